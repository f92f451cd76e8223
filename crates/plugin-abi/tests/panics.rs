//! A plugin in Rust that panics.

use plugin_abi::{LoadError, load_device};
use std::env::consts;

#[test]
fn a_plugin_that_panics_is_an_error() {
    let name = format!("examples/{}panicking_plugin{}", consts::DLL_PREFIX, consts::DLL_SUFFIX);
    let own = std::env::current_exe().unwrap();
    let library = own.ancestors().nth(2).unwrap().join(name);
    assert!(library.is_file(), "{}: `cargo test -p plugin-abi` builds it", library.display());
    let error = load_device(&library, "PANICS").err().unwrap();
    let LoadError::Panicked { text, .. } = &error else { panic!("{error:?}") };
    assert!(text.contains("there is no card in this machine"), "{error}");
}
