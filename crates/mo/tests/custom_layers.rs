//! Layers that Terroir doesn't know, from the framework's graph to the answer, by extensions in Rust and in C.

#[allow(dead_code)]
#[path = "../examples/custom_layer.rs"]
mod custom_layer;
mod digits;
#[path = "../../runtime/tests/libraries/mod.rs"]
mod libraries;

use custom_layer::Cross;
use digits::{array, fixture};
use ir::{extension::Extensions, unsupported::CustomOps};
use mo::{Request, Source, convert};
use runtime::{Config, HostTensor};
use std::{path::Path, process::Command, sync::Arc};

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

/// Runs `mo`: whether it converts, and what it says of errors.
fn run_mo(folder: &Path, flags: &[&str]) -> (bool, String) {
    let line = ["--silent", "--output_dir", folder.to_str().unwrap()];
    let output = Command::new(env!("CARGO_BIN_EXE_mo")).args(line).args(flags).output().unwrap();
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_library_in_c_converts_and_computes_what_tensorflow_computes() {
    let folder = tempfile::tempdir().unwrap();
    let library = libraries::c_library(folder.path(), "extensions/layers", &[]);
    let graph = fixture("custom_ops/cross.pb");
    let line = ["-m", graph.to_str().unwrap(), "-l"];
    let (done, error) = run_mo(folder.path(), &[&line[..], &["nothing.so"]].concat());
    assert!(!done && error.contains("nothing.so: there is no such library"), "{error}");
    let (done, error) = run_mo(folder.path(), &[&line[..], &[library.to_str().unwrap()]].concat());
    assert!(done, "{error}");

    let core = samples::engine::core();
    core.add_extensions(&library).unwrap();
    let model = core.read_model(folder.path().join("cross.xml")).unwrap();
    assert_eq!(model.ty(model.find_port("normal").unwrap()).to_string(), "f32[?,3]");
    let mut infer =
        core.compile_model(&model, "CPU", &Config::new()).unwrap().create_infer_request().unwrap();
    infer.set_input(0, HostTensor::from(&array("custom_ops/cross.npz", "x"))).unwrap();
    infer.infer().unwrap();
    let answer = infer.output(0).unwrap().to_tensor().unwrap().to_f64s();
    let want = array("custom_ops/cross.npz", "y").to_f64s();
    assert_eq!(answer.len(), want.len());
    answer.iter().zip(&want).for_each(|(a, b)| assert!((a - b).abs() <= 1e-4, "{a} {b}"));
}

#[test]
fn a_caffe_layer_converts_by_the_mapping_and_the_library() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let library = libraries::c_library(folder.path(), "extensions/layers", &[]);
    let net = "name: 'net'
        layer { name: 'data' type: 'Input' top: 'data' input_param { shape { dim: 1 dim: 2 dim: 1 dim: 2 } } }
        layer { name: 'shrunk' type: 'HardShrink' bottom: 'data' top: 'shrunk' hard_shrink_param { lambda: 1.5 } }";
    std::fs::write(path("net.prototxt"), net).unwrap();
    let mapping = "<CustomLayers>\n<CustomLayer NativeType=\"HardShrink\" hasParam=\"true\" \
                   protoParamName=\"hard_shrink_param\"/>\n</CustomLayers>";
    std::fs::write(path("CustomLayersMapping.xml"), mapping).unwrap();
    let (net, mapping) = (path("net.prototxt"), path("CustomLayersMapping.xml"));
    let line = ["-m", &net, "-k", &mapping];
    let types = |flags: &[&str]| {
        let (done, error) = run_mo(folder.path(), &[&line[..], flags].concat());
        assert!(done, "{error}");
        let model = ir::read_ir(path("net.xml")).unwrap();
        model.ty(model.find_port("shrunk").unwrap()).to_string()
    };
    // The mapping keeps the layer, the library says what it gives.
    assert_eq!(types(&[]), "dynamic[...]");
    assert_eq!(types(&["-l", library.to_str().unwrap()]), "f32[1,2,1,2]");
    let core = samples::engine::core();
    core.add_extensions(&library).unwrap();
    let compiled = core.compile_file(path("net.xml"), "CPU", &Config::new()).unwrap();
    let mut infer = compiled.create_infer_request().unwrap();
    infer.set_input(0, HostTensor::from_vec(&[1, 2, 1, 2], vec![1.0f32, -2.0, 1.5, 3.0]).unwrap()).unwrap();
    infer.infer().unwrap();
    assert_eq!(infer.output(0).unwrap().to_tensor().unwrap().to_f64s(), [0.0, -2.0, 0.0, 3.0]);
}
