//! The digits fixtures, and what TensorFlow computes from them.
// Each test file uses its part of it.
#![allow(dead_code)]

use ir::{Model, Tensor};
use mo::{Converted, Error, Request, Source};
use npyz::NpyFile;
use std::{
    fs::File,
    path::{Path, PathBuf},
};
use zip::ZipArchive;

/// The output of the digits network.
pub(crate) const OUTPUT: &str = "predictions/Softmax";

/// A file of the fixtures.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
}

/// An array of f32 from a `.npz` file.
pub(crate) fn array(file: &str, name: &str) -> Tensor {
    let mut archive = ZipArchive::new(File::open(fixture(file)).unwrap()).unwrap();
    let npy = NpyFile::new(archive.by_name(&format!("{name}.npy")).unwrap()).unwrap();
    let shape: Vec<usize> = npy.shape().iter().map(|dim| *dim as usize).collect();
    Tensor::from_slice(&shape, &npy.into_vec::<f32>().unwrap()).unwrap()
}

/// A request to convert a fixture into `folder`.
pub(crate) fn request(graph: &str, checkpoint: Option<&str>, folder: &Path) -> Request {
    Request {
        source: Source { graph: fixture(graph), checkpoint: checkpoint.map(fixture), ..Source::default() },
        model_name: "net".to_owned(),
        output_dir: folder.to_owned(),
        outputs: vec![OUTPUT.to_owned()],
        ..Request::default()
    }
}

/// Converts and reads back.
pub(crate) fn convert(request: &Request) -> Result<Model, Error> {
    let Converted { xml, .. } = mo::convert(request, &mut |_| {})?;
    Ok(ir::read_ir(&xml).unwrap_or_else(|e| panic!("{e}")))
}

/// Runs a model of one input and one output.
pub(crate) fn run(model: &Model, input: &Tensor) -> Tensor {
    ir::evaluate(model, std::slice::from_ref(input)).unwrap_or_else(|e| panic!("{e}")).remove(0)
}

/// max |found - want| / max |want|.
pub(crate) fn error(found: &Tensor, want: &Tensor) -> f64 {
    assert_eq!(found.shape(), want.shape());
    let (found, want) = (found.to_f64s(), want.to_f64s());
    let difference = found.iter().zip(&want).map(|(f, w)| (f - w).abs()).fold(0.0, f64::max);
    assert!(found.iter().all(|v| v.is_finite()));
    difference / want.iter().fold(0.0, |most, w| w.abs().max(most))
}

/// The classes with the largest probabilities.
pub(crate) fn classes(probabilities: &Tensor) -> Vec<usize> {
    let row = |row: &[f64]| (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
    probabilities.to_f64s().chunks(probabilities.shape()[1]).map(row).collect()
}
