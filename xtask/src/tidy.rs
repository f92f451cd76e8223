//! The rules of the house that a program can check.

use crate::process::{cargo, metadata, root};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What library crates may take from the workspace, where that is more than `ir`.
const MORE_DEPENDENCIES: &[(&str, &[&str])] = &[("runtime", &["ir", "plugin-abi"]), ("ir", &[])];
/// Those that put the crates together: the programs, and devices as shared libraries.
const COMPOSERS: &[&str] = &[
    "mo",
    "samples",
    "xtask",
    "benches",
    "terroir-cpu-plugin",
    "terroir-fpga-plugin",
    "terroir-hetero-plugin",
];
/// Where `unsafe` may stand: the kernels, the mapping of files, an allocator that counts, the loops that measure the
/// machine.
const UNSAFE: &[&str] = &[
    "crates/plugin-cpu/src",
    "crates/plugin-cpu/tests/allocations.rs",
    "crates/ir/src/mapped.rs",
    "crates/plugin-abi/src",
    "crates/plugin-fpga/src/sim/instruction_sets.rs",
    "crates/plugin-fpga/src/opencl",
    "benches/src/peaks.rs",
];
/// Words that name nothing.
const BAD_NAMES: &[&str] = &["manager", "helper", "helpers", "util", "utils", "common", "misc"];

pub(crate) fn run() -> Result<()> {
    let mut faults = dependency_faults()?;
    for file in tracked_files()? {
        if file.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(root().join(&file)).with_context(|| file.display().to_string())?;
            faults.extend(source_faults(&file, &text));
        }
    }
    faults.iter().for_each(|fault| println!("{fault}"));
    ensure!(faults.is_empty(), "{} faults", faults.len());
    Ok(())
}

fn dependency_faults() -> Result<Vec<String>> {
    let metadata = metadata()?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    let name = |value: &serde_json::Value| value["name"].as_str().unwrap_or_default().to_owned();
    let members: Vec<String> = packages.iter().map(name).collect();
    let mut faults = Vec::new();
    for package in packages {
        let own = name(package);
        if COMPOSERS.contains(&own.as_str()) {
            continue;
        }
        let more = MORE_DEPENDENCIES.iter().find(|(crate_, _)| *crate_ == own).map(|(_, allowed)| *allowed);
        let allowed = more.unwrap_or(&["ir"]);
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            // Tests may compare with anything.
            let of_tests = dependency["kind"].as_str() == Some("dev");
            let taken = name(dependency);
            if !of_tests && members.contains(&taken) && !allowed.contains(&taken.as_str()) {
                faults.push(format!("{own} depends on {taken}; a library crate depends on ir alone"));
            }
        }
    }
    Ok(faults)
}

fn tracked_files() -> Result<Vec<PathBuf>> {
    let listed = crate::process::Process::new("git").args(["ls-files"]).output();
    // A source archive has no git; cargo then says at least where the crates are.
    let listed = match listed {
        Ok(text) => text,
        Err(_) => {
            cargo(["--version"]).output()?;
            return walk(root());
        }
    };
    Ok(listed.lines().map(PathBuf::from).filter(|path| root().join(path).is_file()).collect())
}

fn walk(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() && name != "target" && name != ".cache" {
            files.extend(walk(&path)?);
        } else if path.is_file() {
            files.push(path.strip_prefix(root())?.to_owned());
        }
    }
    Ok(files)
}

fn source_faults(file: &Path, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |what: &str| faults.push(format!("{}: {what}", file.display()));
    if !text.starts_with("//!") {
        fault("a module starts with a line `//! What it is`");
    }
    let stem = file.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    if BAD_NAMES.contains(&stem) {
        fault("this name says nothing of what the file holds");
    }
    let allowed_here = UNSAFE.iter().any(|place| file.starts_with(place));
    for (i, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        if line.ends_with([' ', '\t']) {
            fault(&format!("line {}: blanks at the end", i + 1));
        }
        // The word is put together here, so that this file does not find itself.
        let raw = ["{", "fn", "impl"].iter().any(|what| code.contains(&format!("un{} {what}", "safe")));
        if raw && !allowed_here {
            fault(&format!("line {}: `unsafe` outside the places for it", i + 1));
        }
        // What only measures is no test; it says so.
        if code.contains(concat!("#[", "ignore")) && !code.contains("= \"measures") {
            fault(&format!("line {}: an ignored test looks passed", i + 1));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_found() {
        let bad = concat!("fn f() { uns", "afe { } } \n#[ig", "nore]\n");
        let faults = source_faults(Path::new("crates/ir/src/util.rs"), bad);
        assert_eq!(faults.len(), 5, "{faults:?}");
        assert!(source_faults(Path::new("crates/ir/src/shape.rs"), "//! Shapes.\nfn f() {}\n").is_empty());
    }

    #[test]
    fn the_tree_is_tidy() {
        run().unwrap();
    }
}
