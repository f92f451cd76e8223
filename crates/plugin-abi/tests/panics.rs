//! Libraries in Rust, and what comes of their panics.

use ir::{
    PartialShape, Tensor,
    extension::{Attributes, Extension},
    op::{Input, Inputs, PortType, Value},
};
use plugin_abi::{LoadError, load_device, load_extensions};
use std::{env::consts, path::PathBuf, sync::Arc};

/// An example of this crate, which `cargo test` has built.
fn library(name: &str) -> PathBuf {
    let name = format!("examples/{}{name}{}", consts::DLL_PREFIX, consts::DLL_SUFFIX);
    let own = std::env::current_exe().unwrap();
    let library = own.ancestors().nth(2).unwrap().join(name);
    assert!(library.is_file(), "{}: `cargo test -p plugin-abi` builds it", library.display());
    library
}

#[test]
fn a_plugin_that_panics_is_an_error() {
    let error = load_device(&library("panicking_plugin"), "PANICS").err().unwrap();
    let LoadError::Panicked { text, .. } = &error else { panic!("{error:?}") };
    assert!(text.contains("there is no card in this machine"), "{error}");
}

fn fragile() -> Arc<dyn Extension> {
    let [only] = <[_; 1]>::try_from(load_extensions(&library("fragile_layer")).unwrap()).ok().unwrap();
    only
}

#[test]
fn a_layer_in_rust_is_known_by_what_its_inputs_are() {
    let layer = fragile();
    assert_eq!((layer.type_name(), layer.version()), ("Fragile", "glass"));
    let (rows, count) = (Tensor::from_i64s(&[7, -8]), Tensor::scalar(3i64));
    let (of_rows, of_count) = (
        PortType::new(rows.element_type(), rows.shape().into()),
        PortType::new(count.element_type(), PartialShape::fixed(&[])),
    );
    let value = Value::Known(count.clone());
    let infer = |value| {
        let inputs = [Input { ty: &of_rows, value: None }, Input { ty: &of_count, value }];
        layer.infer(Attributes(&[]), &Inputs(&inputs)).unwrap()[0].to_string()
    };
    assert_eq!(infer(None), "i64[...]");
    assert_eq!(infer(Some(&value)), "i64[3,2]");
    let answer = layer.evaluate(Attributes(&[]), &[rows, count]).unwrap();
    assert_eq!((answer[0].shape(), answer[0].to_i64s()), (&[3, 2][..], [7, -8].repeat(3)));
    let inputs = layer.infer(Attributes(&[]), &Inputs(&[])).unwrap_err().to_string();
    assert_eq!(inputs, "takes 2 inputs, found 0");
}

#[test]
fn a_layer_that_panics_is_an_error() {
    let layer = fragile();
    let breaks = |step: &str| [("breaks".to_owned(), step.to_owned())];
    let error = layer.infer(Attributes(&breaks("infer")), &Inputs(&[])).unwrap_err().to_string();
    assert!(error.contains("broken in infer"), "{error}");
    let error = layer.evaluate(Attributes(&breaks("evaluate")), &[]).unwrap_err().to_string();
    assert!(error.contains("broken in evaluate"), "{error}");
    // Where nobody looked, the language does.
    let error = layer.evaluate(Attributes(&[]), &[]).unwrap_err().to_string();
    assert!(error.contains("internal error: index out of bounds"), "{error}");
}
