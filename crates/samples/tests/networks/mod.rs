//! Networks that tests make from the fixtures, and programs that run on them.

use runtime::InputSettings;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// A file of the fixtures.
pub(crate) fn fixtures(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
}

/// Runs a program in a folder; the flags are words between blanks. What it prints, or its error.
pub(crate) fn run(program: &str, folder: &Path, flags: &str) -> Result<String, String> {
    let output = Command::new(program).current_dir(folder).args(flags.split_whitespace()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    match output.status.code() {
        Some(0) => Ok(text(output.stdout)),
        Some(1) => Err(text(output.stderr)),
        other => panic!("ended with {other:?}: {}", text(output.stderr)),
    }
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
