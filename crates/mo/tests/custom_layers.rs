//! A layer that Terroir doesn't know, from the framework's graph to the answer, by an extension in Rust.

#[allow(dead_code)]
#[path = "../examples/custom_layer.rs"]
mod custom_layer;
mod digits;

use custom_layer::Cross;
use digits::{array, fixture};
use ir::{extension::Extensions, unsupported::CustomOps};
use mo::{Request, Source, convert};
use runtime::{Config, HostTensor};
use std::sync::Arc;

fn request(output_dir: &std::path::Path) -> Request {
    Request {
        source: Source { graph: fixture("custom_ops/cross.pb"), ..Source::default() },
        model_name: "cross".to_owned(),
        output_dir: output_dir.to_owned(),
        ..Request::default()
    }
}

#[test]
fn an_extension_converts_and_computes_what_tensorflow_computes() {
    let folder = tempfile::tempdir().unwrap();
    let mut extensions = Extensions::default();
    extensions.add(Arc::new(Cross));
    let custom_ops = CustomOps { extensions, ..CustomOps::default() };
    let written = convert(&Request { custom_ops, ..request(folder.path()) }, &mut |_| {}).unwrap();

    let core = samples::engine::core();
    core.add_extension(Arc::new(Cross));
    let model = core.read_model(&written.xml).unwrap();
    let normal = model.find_port("normal").unwrap();
    assert_eq!(model.ty(normal).to_string(), "f32[?,3]");
    let config = Config::from([("PERF_COUNT".to_owned(), "YES".to_owned())]);
    let compiled = core.compile_model(&model, "CPU", &config).unwrap();
    let mut infer = compiled.create_infer_request().unwrap();
    infer.set_input(0, HostTensor::from(&array("custom_ops/cross.npz", "x"))).unwrap();
    infer.infer().unwrap();
    let answer = infer.output(0).unwrap().to_tensor().unwrap().to_f64s();
    let want = array("custom_ops/cross.npz", "y").to_f64s();
    assert_eq!(answer.len(), want.len());
    answer.iter().zip(&want).for_each(|(a, b)| assert!((a - b).abs() <= 1e-4, "{a} {b}"));
    let row = infer.profile().into_iter().find(|row| row.name == "normal").unwrap();
    assert_eq!((row.layer_type.as_str(), row.exec_type.as_str()), ("Cross", "extension"));
}

#[test]
fn without_the_extension_every_step_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let err = convert(&request(folder.path()), &mut |_| {}).unwrap_err().to_string();
    assert!(err.contains("Cross (1)") && err.contains("normal"), "{err}");
    let kept = Request { custom_ops: CustomOps::all(), ..request(folder.path()) };
    let written = convert(&kept, &mut |_| {}).unwrap();
    let core = samples::engine::core();
    let model = core.read_model(&written.xml).unwrap();
    let err = core.compile_model(&model, "CPU", &Config::new()).err().unwrap().to_string();
    assert!(err.contains("CPU cannot run `normal`: `Cross` of extension is not an op"), "{err}");
    core.add_extension(Arc::new(Cross));
    assert!(core.compile_model(&model, "CPU", &Config::new()).is_ok());
}
