//! Shared libraries in C that the tests build.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A library in C from `plugins/SOURCE.c`, built with some definitions.
pub(crate) fn c_library(folder: &Path, source: &str, definitions: &[&str]) -> PathBuf {
    let library = folder.join(format!("lib{source}{}.so", definitions.join("_").replace('=', "_")));
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples/plugins").join(source).with_extension("c");
    let mut cc = Command::new("cc");
    cc.args(["-std=gnu11", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-I"]);
    cc.arg(root().join("crates/plugin-abi/include"));
    cc.args(definitions.iter().map(|definition| format!("-D{definition}")));
    let output = cc.arg(file).arg("-o").arg(&library).arg("-lpthread").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    library
}

/// A folder's `plugins.json`.
pub(crate) fn list_plugins(folder: &Path, devices: &[(&str, &Path)]) {
    let entry = |(name, path): &(&str, &Path)| format!("\"{name}\": \"{}\"", path.display());
    let entries: Vec<String> = devices.iter().map(entry).collect();
    std::fs::write(folder.join("plugins.json"), format!("{{ {} }}", entries.join(", "))).unwrap();
}
