//! Custom layers in C, from shared libraries: one that works, and libraries that break the contract in every way
//! that can be told.

mod libraries;

use ir::{
    ElementType, Model, PartialShape, Tensor, evaluate,
    extension::{Attributes, EXTENSION_OPSET},
    op::{Custom, Input, Inputs, PortType},
};
use runtime::{Core, Error, LoadError, load_extensions};
use std::path::Path;

/// A layer of one input, as an IR has it: of a type that nobody knows yet.
fn model(type_name: &str, attributes: &[(&str, &str)]) -> Model {
    let mut model = Model::new("layers");
    let x = model.add_parameter("x", ElementType::F32, "[?,2]".parse().unwrap());
    let op = Custom {
        type_name: type_name.to_owned(),
        version: EXTENSION_OPSET.to_owned(),
        attributes: attributes.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect(),
        outputs: vec![PortType::new(ElementType::Dynamic, PartialShape::UNKNOWN)],
        extension: None,
    };
    let layer = model.add("layer", op, &[x.into()]).unwrap();
    model.add_result("result", layer.into()).unwrap();
    model
}

/// The model, read by an engine that knows a library.
fn read(library: &Path, model: &Model) -> Result<Model, Error> {
    let core = Core::new();
    core.add_extensions(library)?;
    let folder = tempfile::tempdir().unwrap();
    let xml = folder.path().join("layers.xml");
    ir::write_ir(model, &xml).unwrap();
    core.read_model(&xml)
}

fn input() -> Tensor {
    Tensor::from_slice(&[2, 2], &[1.0f32, -2.0, 1.5, 3.0]).unwrap()
}

#[test]
fn a_layer_in_c_is_inferred_and_computed() {
    let folder = tempfile::tempdir().unwrap();
    let library = libraries::c_library(folder.path(), "extensions/layers", &[]);
    let model = read(&library, &model("HardShrink", &[("lambda", "1.5")])).unwrap();
    assert_eq!(model.ty(model.find_port("layer").unwrap()).to_string(), "f32[?,2]");
    let answer = evaluate(&model, &[input()]).unwrap();
    assert_eq!((answer[0].shape(), answer[0].to_f64s()), (&[2, 2][..], vec![0.0, -2.0, 0.0, 3.0]));
    // Elements that lie anywhere, as those of constants of a foreign file.
    let mut bytes = vec![0];
    bytes.extend_from_slice(input().bytes());
    let shifted = Tensor::new(ElementType::F32, vec![2, 2], ir::Bytes::from(bytes).slice(1..)).unwrap();
    assert_eq!(evaluate(&model, &[shifted]).unwrap(), answer);
    let empty = Tensor::from_slice::<f32>(&[0, 2], &[]).unwrap();
    assert_eq!(evaluate(&model, &[empty]).unwrap()[0].shape(), [0, 2]);
}

#[test]
fn what_a_layer_in_c_refuses_names_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let library = libraries::c_library(folder.path(), "extensions/layers", &[]);
    let layers = load_extensions(&library).unwrap();
    let names: Vec<_> = layers.iter().map(|layer| (layer.type_name(), layer.version())).collect();
    assert_eq!(names, [("Cross", "extension"), ("HardShrink", "extension")]);
    let infer = |ty: ElementType, lambda: &str| {
        let ty = PortType::new(ty, PartialShape::UNKNOWN);
        let attributes = [("lambda".to_owned(), lambda.to_owned())];
        layers[1].infer(Attributes(&attributes), &Inputs(&[Input { ty: &ty, value: None }]))
    };
    assert_eq!(infer(ElementType::F32, "2").unwrap()[0].to_string(), "f32[...]");
    assert_eq!(infer(ElementType::F16, "2").unwrap_err().to_string(), "HardShrink takes one input of f32");
    let error = read(&library, &model("HardShrink", &[("lambda", "much")])).unwrap_err().to_string();
    assert!(
        error.contains("`layer`") && error.contains("`lambda` is no number that is at least 0"),
        "{error}"
    );
}

#[test]
fn libraries_without_layers_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |library: &Path| match Core::new().add_extensions(library).unwrap_err() {
        Error::Extensions(error) => error,
        other => panic!("{other:?}"),
    };
    let device = refused(&libraries::c_library(folder.path(), "plugins/elementwise", &[]));
    assert!(matches!(device, LoadError::Symbol { symbol: "terroir_extension_entry", .. }), "{device}");
    assert!(device.to_string().contains("no library of custom layers"), "{device}");
    assert!(matches!(refused(&folder.path().join("gone.so")), LoadError::Missing { .. }));
    let text = folder.path().join("text.so");
    std::fs::write(&text, "no library").unwrap();
    assert!(matches!(refused(&text), LoadError::Open { .. }));
    for (fault, wanted) in [
        ("WRONG_VERSION", "made for version 99 of the interface; this engine has version 1"),
        ("NULL_LIBRARY", "TerroirExtensionLibrary is null"),
        ("SMALL_LIBRARY", "TerroirExtensionLibrary says that it has 4 bytes"),
        ("NO_EXTENSIONS", "`extensions` of TerroirExtensionLibrary is null"),
        ("TELLING_FAILS", "no licence was found"),
        ("NULL_EXTENSION", "an extension is null"),
        ("NULL_TABLE", "TerroirExtensionFunctions is null"),
        ("HUGE_TABLE", "TerroirExtensionFunctions says that it has"),
        ("MISSING_FUNCTION", "`evaluate` of TerroirExtensionFunctions is null"),
        ("EMPTY_NAME", "the type of an extension: it is empty"),
        ("BAD_NAME", "the type of an extension is not UTF-8 from byte 3 on"),
        ("NULL_NAME", "the type of an extension is null"),
        ("NULL_OP_SET", "the op set of an extension is null"),
    ] {
        let library = libraries::c_library(folder.path(), "extensions/faults", &[&format!("FAULT={fault}")]);
        let error = refused(&library).to_string();
        assert!(error.contains(wanted) && error.contains(library.to_str().unwrap()), "{fault}: {error}");
    }
}

#[test]
fn garbage_from_a_layer_is_an_error_of_its_node() {
    let folder = tempfile::tempdir().unwrap();
    let run = |fault: &str| -> Result<Tensor, (&str, String)> {
        let library = libraries::c_library(folder.path(), "extensions/faults", &[&format!("FAULT={fault}")]);
        let model = read(&library, &model("Faulty", &[])).map_err(|error| ("infer", error.to_string()))?;
        let answers = evaluate(&model, &[input()]).map_err(|error| ("evaluate", error.to_string()))?;
        Ok(answers[0].clone())
    };
    assert_eq!(run("NONE").unwrap(), input());
    for (fault, step, wanted) in [
        ("BAD_DIMENSION", "infer", "4 to 3 holds no size"),
        ("BAD_RANK", "infer", "the rank of a port is 1000000"),
        ("NULL_DIMENSIONS", "infer", "the dimensions of a port is null"),
        ("UNKNOWN_TYPE", "infer", "an element type is 4711"),
        ("INFER_FAILS", "infer", "the moon is full"),
        ("HUGE_OUTPUT", "evaluate", "does not fit into memory"),
        ("FAILURE_IGNORED", "evaluate", "does not fit into memory"),
        ("OUTPUT_OF_MANY_AXES", "evaluate", "the rank of an output claims 1000000"),
        ("NULL_SHAPE", "evaluate", "the shape of an output is null"),
        ("OTHER_SHAPE", "evaluate", "output 0 came out as f32[1,1,1], but its inference says f32[2,2]"),
        ("NO_OUTPUT", "evaluate", "0 outputs came out, but its inference says 1"),
        ("TWO_OUTPUTS", "evaluate", "2 outputs came out, but its inference says 1"),
        ("EVALUATE_FAILS", "evaluate", "the well is dry"),
        ("SILENT_FAILURE", "evaluate", "status -4711, without a message"),
    ] {
        let (found, error) = run(fault).unwrap_err();
        assert!(found == step && error.contains(wanted), "{fault}: {found}: {error}");
        assert!(error.contains("`layer`"), "{fault}: {error}");
    }
    let (_, error) = run("NO_OUTPUT_TOLD").unwrap_err();
    assert!(error.contains("output 0 of a node that has fewer outputs"), "{error}");
}
