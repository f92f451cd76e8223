//! Shared libraries in C that the tests build.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// A library from `crates/samples/SOURCE.c`, built with some definitions.
pub(crate) fn c_library(folder: &Path, source: &str, definitions: &[&str]) -> PathBuf {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates");
    let file = crates.join("samples").join(source).with_extension("c");
    let name = file.file_stem().and_then(|stem| stem.to_str()).unwrap();
    let library = folder.join(format!("lib{name}{}.so", definitions.join("_").replace('=', "_")));
    let mut cc = Command::new("cc");
    cc.args(["-std=gnu11", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-I"]);
    cc.arg(crates.join("plugin-abi/include"));
    cc.args(definitions.iter().map(|definition| format!("-D{definition}")));
    let output = cc.arg(file).arg("-o").arg(&library).arg("-lpthread").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    library
}
