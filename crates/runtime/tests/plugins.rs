//! Plugins in C: a device that works, and libraries that break the contract in every way that can be told.

mod libraries;
mod plugin_list;

use ir::{
    ElementType, Model, PartialShape, Tensor,
    op::{Binary, BinaryKind, OpResult, Parameter, Unary},
};
use runtime::{Config, Core, DeviceError, Error, HostTensor, InferRequest, LoadError};
use std::{path::Path, sync::mpsc, time::Duration};

/// (x + 1) * y, cut off below zero, with `op` on top if there is one.
fn small(extra: Option<Unary>) -> Model {
    let mut model = Model::new("small");
    let four = || Parameter::new(ElementType::F32, PartialShape::fixed(&[4]));
    let x = model.add("x", four(), &[]).unwrap();
    let y = model.add("y", four(), &[]).unwrap();
    let one = model.add_constant("one", Tensor::from_f64s(ElementType::F32, &[], &[1.0]).unwrap());
    let sum = model.add("sum", Binary::new(BinaryKind::Add), &[x.into(), one.into()]).unwrap();
    let product = model.add("product", Binary::new(BinaryKind::Multiply), &[sum.into(), y.into()]).unwrap();
    let mut last = model.add("relu", Unary::Relu, &[product.into()]).unwrap();
    if let Some(op) = extra {
        last = model.add("extra", op, &[last.into()]).unwrap();
    }
    model.add("result", OpResult::default(), &[last.into()]).unwrap();
    model
}

fn four(values: [f32; 4]) -> HostTensor {
    HostTensor::from_vec(&[4], values.to_vec()).unwrap()
}

fn values(tensor: &HostTensor) -> Vec<f64> {
    tensor.to_tensor().unwrap().to_f64s()
}

fn core_with(folder: &Path, name: &str, library: &Path) -> Core {
    plugin_list::write(folder, &[(name, library)]);
    let core = Core::new();
    core.add_plugins(folder).unwrap();
    core
}

#[test]
fn a_device_in_c_runs_elementwise_networks() {
    let folder = tempfile::tempdir().unwrap();
    let core = core_with(
        folder.path(),
        "ELEMENTWISE",
        &libraries::c_library(folder.path(), "plugins/elementwise", &[]),
    );
    assert_eq!(core.available_devices(), ["ELEMENTWISE"]);
    assert_eq!(core.device("ELEMENTWISE").unwrap().description(), "elementwise ops, in C");
    let compiled = core.compile_model(&small(None), "ELEMENTWISE", &Config::new()).unwrap();
    let names = |ports: &[runtime::PortInfo]| ports.iter().map(|p| p.node.clone()).collect::<Vec<_>>();
    assert_eq!(
        (names(compiled.inputs()), names(compiled.outputs())),
        (vec!["x".to_owned(), "y".to_owned()], vec!["relu".to_owned()])
    );
    let mut request = compiled.create_infer_request().unwrap();

    // The request's own tensors.
    request.input(0).unwrap().write().unwrap().copy_from_slice(&four([0.0, 1.0, 2.0, -9.0]).read().unwrap());
    request.set_input(1, four([1.0, 2.0, -3.0, 4.0])).unwrap();
    request.infer().unwrap();
    assert_eq!(values(&request.output(0).unwrap()), [1.0, 4.0, 0.0, 0.0]);

    // The caller's, and an inference that the engine puts on a thread of its own.
    let answer = four([9.0; 4]);
    request.set_output(0, answer.clone()).unwrap();
    request.set_input(0, four([1.0; 4])).unwrap();
    request.start_async().unwrap();
    request.wait().unwrap();
    assert_eq!(values(&answer), [2.0, 4.0, 0.0, 8.0]);

    // It takes dense tensors alone: a region goes in and out as a copy.
    let wide = HostTensor::from_vec(&[8], vec![7.0f32; 8]).unwrap();
    let strided = |values: [f32; 8]| {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        HostTensor::strided(ElementType::F32, vec![4], vec![8], bytes).unwrap()
    };
    let gaps = strided([9.0; 8]);
    request.set_input(0, strided([1.0, 5.0, 2.0, 5.0, 3.0, 5.0, 4.0, 5.0])).unwrap();
    request.set_input(1, wide.region(std::slice::from_ref(&(2..6))).unwrap()).unwrap();
    request.set_output(0, gaps.clone()).unwrap();
    request.infer().unwrap();
    assert_eq!(values(&gaps), [14.0, 21.0, 28.0, 35.0]);

    // What is the request's own outlives request and model.
    let own = compiled.create_infer_request().unwrap().output(0).unwrap();
    drop((request, compiled));
    assert_eq!(values(&own), [0.0; 4]);
}

#[test]
fn a_device_in_c_says_what_it_does_not_take() {
    let folder = tempfile::tempdir().unwrap();
    let core = core_with(
        folder.path(),
        "ELEMENTWISE",
        &libraries::c_library(folder.path(), "plugins/elementwise", &[]),
    );
    let model = small(Some(Unary::Exp));
    let support = core.query_model(&model, "ELEMENTWISE", &Config::new()).unwrap();
    assert_eq!(support.refused, [("extra".to_owned(), "Exp is not an op of this device".to_owned())]);
    assert!(support.supported.contains(&"product".to_owned()));
    let error = core.compile_model(&model, "ELEMENTWISE", &Config::new()).err().unwrap();
    assert!(
        matches!(&error, Error::Device(DeviceError::Unsupported { device, node, .. })
            if device == "ELEMENTWISE" && node == "extra"),
        "{error:?}"
    );
    // What it leaves out is told, and does no harm.
    let compiled = core.compile_model(&small(None), "ELEMENTWISE", &Config::new()).unwrap();
    let not_offered = |error: Error| assert!(matches!(error, Error::Device(DeviceError::NotOffered { .. })));
    not_offered(compiled.property("NUM_STREAMS").unwrap_err());
    not_offered(core.property("ELEMENTWISE", "FULL_DEVICE_NAME").unwrap_err());
    not_offered(compiled.export(&mut Vec::new()).unwrap_err());
    let mut request = compiled.create_infer_request().unwrap();
    request.cancel();
    assert!(request.profile().is_empty());
    let wrong = HostTensor::zeros(ElementType::F32, &[5]).unwrap();
    assert!(matches!(request.set_input(0, wrong), Err(Error::Device(DeviceError::Tensor { .. }))));
}

#[test]
fn libraries_that_are_no_plugins_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let load = |definitions: &[&str]| {
        let library = libraries::c_library(folder.path(), "plugins/faults", definitions);
        let own = tempfile::tempdir().unwrap();
        let core = core_with(own.path(), "FAULTY", &library);
        // The name is known before anything is loaded; the failure comes with the first use, each time.
        assert_eq!(core.available_devices(), ["FAULTY"]);
        let again = core.device("FAULTY").map(drop).map_err(|error| error.to_string());
        match core.device("FAULTY") {
            Ok(_) => "loaded".to_owned(),
            Err(Error::Plugin { device, source }) => {
                assert_eq!(device, "FAULTY");
                let text = source.to_string();
                assert!(text.contains(library.to_str().unwrap()), "{text}");
                assert!(again.unwrap_err().contains(&text));
                format!("{} {text}", variant(&source))
            }
            Err(other) => panic!("{other:?}"),
        }
    };
    for (definitions, wanted) in [
        (&["FAULT=NONE"][..], "loaded"),
        (&["FAULT=NONE", "LACKS_ENTRY"], "Symbol"),
        (&["FAULT=NONE", "LACKS_FUNCTION"], "Open"),
        (&["FAULT=WRONG_VERSION"], "version 99 of the interface; this engine has version 1"),
        (&["FAULT=NULL_PLUGIN"], "TerroirPlugin is null"),
        (&["FAULT=SMALL_PLUGIN"], "TerroirPlugin says that it has 4 bytes"),
        (&["FAULT=NO_CREATE"], "`create` of TerroirPlugin is null"),
        (&["FAULT=CREATE_FAILS"], "Failed"),
        (&["FAULT=CREATE_FAILS"], "no card was found"),
        (&["FAULT=CREATE_SILENT"], "FAULTY does not offer status -2, without a message"),
        (&["FAULT=NULL_TABLE"], "TerroirDeviceFunctions is null"),
        (&["FAULT=HUGE_TABLE"], "TerroirDeviceFunctions says that it has"),
        (&["FAULT=MISSING_FUNCTION"], "`compile` of TerroirDeviceFunctions is null"),
        (&["FAULT=OTHER_NAME"], "its device is called `NOBODY`, not `FAULTY`"),
        (&["FAULT=BAD_NAME"], "the name of a device is not UTF-8 from byte 3 on"),
        (&["FAULT=NULL_NAME"], "the name of a device is null"),
    ] {
        let found = load(definitions);
        assert!(found.contains(wanted), "{definitions:?}: {found}");
    }
}

fn variant(error: &LoadError) -> String {
    let text = format!("{error:?}");
    text.split([' ', '{']).next().unwrap().to_owned()
}

#[test]
fn files_that_are_no_libraries_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.so");
    std::fs::write(&text, "no library").unwrap();
    let core = core_with(folder.path(), "TEXT", &text);
    let error = core.device("TEXT").err().unwrap();
    assert!(matches!(&error, Error::Plugin { source: LoadError::Open { .. }, .. }), "{error}");
    let core = core_with(folder.path(), "GONE", &folder.path().join("gone.so"));
    let error = core.compile_model(&small(None), "GONE", &Config::new()).err().unwrap();
    assert!(matches!(&error, Error::Plugin { source: LoadError::Missing { .. }, .. }), "{error}");
    assert!(error.to_string().contains("gone.so"), "{error}");
}

/// A request of a device with a fault.
fn faulty(folder: &Path, fault: &str) -> Result<InferRequest, Error> {
    let library = libraries::c_library(folder, "plugins/faults", &[&format!("FAULT={fault}")]);
    let core = core_with(folder, "FAULTY", &library);
    let mut model = Model::new("copy");
    let x = model.add("in", Parameter::new(ElementType::F32, PartialShape::fixed(&[4])), &[]).unwrap();
    model.add("result", OpResult::default(), &[x.into()]).unwrap();
    if fault == "NONE" {
        let error = core.query_model(&model, "FAULTY", &Config::new()).unwrap_err().to_string();
        assert!(error.contains("the answer on a node is 4711"), "{error}");
    }
    core.compile_model(&model, "FAULTY", &Config::new())?.create_infer_request()
}

#[test]
fn garbage_from_a_plugin_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for (fault, wanted) in [
        ("BAD_PORT", "4 to 3 holds no size"),
        ("BAD_RANK", "the rank of a port is 1000000"),
        ("NULL_COMPILED", "TerroirCompiledFunctions is null"),
        ("NULL_REQUEST", "TerroirRequestFunctions is null"),
    ] {
        let error = faulty(folder.path(), fault).err().unwrap().to_string();
        assert!(error.contains(wanted) && error.contains("FAULTY"), "{fault}: {error}");
    }
    for (fault, wanted) in [
        ("BAD_TENSOR", "15"),
        ("NULL_TENSOR", "the memory of a tensor is null"),
        ("STRIDED_TENSOR", "the memory of a tensor is null"),
        ("UNKNOWN_TYPE", "an element type is 4711"),
    ] {
        let error = faulty(folder.path(), fault).unwrap().output(0).err().unwrap().to_string();
        assert!(error.contains(wanted), "{fault}: {error}");
    }
}

#[test]
fn the_end_of_an_inference_is_told_once_whatever_the_plugin_does() {
    let folder = tempfile::tempdir().unwrap();
    for fault in ["NONE", "DONE_TWICE", "DONE_LATER", "DONE_AND_FAILED"] {
        let mut request = faulty(folder.path(), fault).unwrap();
        let (told, tellings) = mpsc::channel();
        request.set_callback(move |result| told.send(result.is_ok()).unwrap()).unwrap();
        for i in 0..100 {
            request.set_input(0, four([i as f32; 4])).unwrap();
            request.start_async().unwrap();
            request.wait().unwrap();
            assert_eq!(values(&request.output(0).unwrap()), [f64::from(i); 4], "{fault}");
        }
        drop(request);
        assert_eq!(tellings.iter().collect::<Vec<_>>(), [true; 100], "{fault}");
    }
}

#[test]
fn an_inference_that_never_ends_holds_its_request_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut request = faulty(folder.path(), "DONE_NEVER").unwrap();
    let output = request.output(0).unwrap();
    request.start_async().unwrap();
    assert_eq!(request.wait_for(Duration::from_millis(20)).unwrap(), runtime::Status::Running);
    assert!(matches!(request.infer(), Err(Error::Device(DeviceError::Busy(_)))));
    assert!(matches!(output.read(), Err(DeviceError::Busy(_))));
    drop(request);
    let mut other = faulty(folder.path(), "NONE").unwrap();
    other.infer().unwrap();
}

#[test]
fn failures_carry_the_plugins_words() {
    let folder = tempfile::tempdir().unwrap();
    for (fault, wanted) in [
        ("FAILS_WITH_MESSAGE", "FAULTY: the card is hot"),
        ("SILENT_FAILURE", "status -4711, without a message"),
    ] {
        let mut request = faulty(folder.path(), fault).unwrap();
        let error = request.infer().unwrap_err().to_string();
        assert!(error.contains(wanted), "{fault}: {error}");
        request.start_async().unwrap();
        let error = request.wait().unwrap_err().to_string();
        assert!(error.contains(wanted), "{fault}: {error}");
    }
}
