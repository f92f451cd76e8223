//! Networks that tests make from the fixtures.

use runtime::InputSettings;
use std::path::{Path, PathBuf};

/// A file of the fixtures.
pub(crate) fn fixtures(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
}

/// The detector of the fixtures as an IR that takes 0..255, in a folder. The smaller the scale, the surer it is.
pub(crate) fn detector(folder: &Path, scale: f32) -> PathBuf {
    let file = |extension: &str| fixtures("caffe_nets").join(format!("mobilenet_ssd.{extension}"));
    let net = frontend_caffe::read(Some(&file("prototxt")), Some(&file("caffemodel"))).unwrap();
    let mut model = frontend_caffe::convert(&net, &frontend_caffe::Options::default()).unwrap().model;
    let settings = InputSettings {
        model_layout: Some("NCHW".parse().unwrap()),
        mean: vec![127.5],
        scale: vec![scale],
        ..InputSettings::default()
    };
    runtime::apply_settings(&mut model, &[settings], &[]).unwrap();
    let path = folder.join("detector.xml");
    ir::write_ir(&model, &path).unwrap();
    path
}
