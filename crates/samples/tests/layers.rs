//! Custom layers in C, from a Caffe network to the answers that the samples give.

#[path = "../../runtime/tests/libraries/mod.rs"]
mod libraries;

use ir::{Tensor, extension::Extensions, unsupported::CustomOps};
use samples::numpy;
use std::{fs, path::Path, process::Command};

/// What a sample prints, or the error that it ends with.
fn sample(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    match output.status.success() {
        true => Ok(text(output.stdout)),
        false => Err(text(output.stderr)),
    }
}

/// An image's channels, cut off below `lambda` as a part of white, and which of them is the brightest.
const PROTOTXT: &str = "name: 'bright'
layer { name: 'data' type: 'Input' top: 'data' input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: 'part' type: 'Power' bottom: 'data' top: 'part' power_param { scale: 0.015625 } }
layer { name: 'shrunk' type: 'HardShrink' bottom: 'part' top: 'shrunk' hard_shrink_param { lambda: 1.5 } }
layer { name: 'mean' type: 'Pooling' bottom: 'shrunk' top: 'mean' pooling_param { pool: AVE global_pooling: true } }
layer { name: 'prob' type: 'Softmax' bottom: 'mean' top: 'prob' }
";

#[test]
fn a_caffe_layer_in_c_goes_from_the_prototxt_to_a_class() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let library = libraries::c_library(folder.path(), "extensions/layers", &[]);
    fs::write(path("bright.prototxt"), PROTOTXT).unwrap();
    let mut extensions = Extensions::default();
    runtime::load_extensions(&library).unwrap().into_iter().for_each(|layer| extensions.add(layer));
    let net = frontend_caffe::read(Some(Path::new(&path("bright.prototxt"))), None).unwrap();
    let custom_ops = CustomOps { extensions, ..CustomOps::default() };
    let options = frontend_caffe::Options { custom_ops, ..frontend_caffe::Options::default() };
    let model = frontend_caffe::convert(&net, &options).unwrap().model;
    ir::write_ir(&model, path("bright.xml")).unwrap();
    let library = library.to_str().unwrap();

    // What the samples are fed, and what comes of it by the layers' definitions.
    let image = image::RgbImage::from_fn(8, 8, |x, y| image::Rgb([90, (x * 30) as u8, (y * 36) as u8]));
    image.save(path("image.png")).unwrap();
    let channel = |c: usize| -> f64 {
        let parts = image.pixels().map(|pixel| f64::from(pixel[c]) / 64.0);
        parts.filter(|part| *part > 1.5).sum::<f64>() / 64.0
    };
    let powers = [2, 1, 0].map(|c| channel(c).exp());
    let wanted = powers.map(|power| power / powers.iter().sum::<f64>());
    assert!(wanted[0] > wanted[1] + 0.1 && wanted[1] > wanted[2] + 0.1, "{wanted:?}");

    let classify = |arguments: &[&str]| {
        let line = ["-m", &path("bright.xml"), "-i", &path("image.png"), "-nt", "3"];
        sample(env!("CARGO_BIN_EXE_classification_sample"), &[&line[..], arguments].concat())
    };
    let error = classify(&[]).unwrap_err();
    assert!(error.contains("`shrunk`") && error.contains("HardShrink"), "{error}");
    let error = classify(&["-l", &path("nothing.so")]).unwrap_err();
    assert!(error.contains("nothing.so: there is no such library"), "{error}");
    let text = classify(&["-l", library, "-pc"]).unwrap();
    let table: Vec<(usize, f64)> = text
        .lines()
        .skip_while(|line| !line.starts_with("-------"))
        .skip(1)
        .map_while(|line| line.split_once(' '))
        .map(|(class, probability)| (class.parse().unwrap(), probability.trim().parse().unwrap()))
        .collect();
    assert_eq!(table.iter().map(|row| row.0).collect::<Vec<_>>(), [0, 1, 2], "{text}");
    table.iter().zip(wanted).for_each(|(row, want)| assert!((row.1 - want).abs() < 1e-5, "{text}{wanted:?}"));
    let row = text.lines().find(|line| line.starts_with("shrunk")).unwrap();
    assert!(row.contains("layerType: HardShrink") && row.contains("execType: extension"), "{row}");

    let values =
        [2, 1, 0].map(|c| image.pixels().map(|pixel| f32::from(pixel[c])).collect::<Vec<_>>()).concat();
    let tensor = Tensor::from_slice(&[1, 3, 8, 8], &values).unwrap();
    numpy::write_npz(Path::new(&path("in.npz")), &[("data".to_owned(), tensor)]).unwrap();
    let line = ["-m", &path("bright.xml"), "-i", &path("in.npz"), "-o", &path("out.npz"), "-l", library];
    sample(env!("CARGO_BIN_EXE_infer"), &line).unwrap();
    let found = numpy::read_npz(Path::new(&path("out.npz"))).unwrap()[0].1.to_f64s();
    found.iter().zip(wanted).for_each(|(found, want)| assert!((found - want).abs() < 1e-5, "{found} {want}"));
}
