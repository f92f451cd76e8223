//! `fpga_bitstreams FOLDER [--opencl]`: writes the named bitstreams, as `cargo xtask bitstreams` does.

use plugin_fpga::opencl::OpenCl;
use std::{
    ffi::OsString,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let folder = arguments.next().map(PathBuf::from);
    let flags: Vec<OsString> = arguments.collect();
    let (Some(folder), true) = (folder, flags.iter().all(|flag| flag == "--opencl")) else {
        eprintln!(
            "fpga_bitstreams FOLDER [--opencl]: writes the named bitstreams into a folder\n\
             --opencl: with the binary of their program for this machine's OpenCL device"
        );
        return ExitCode::FAILURE;
    };
    let binary = match flags.is_empty() {
        true => Ok(None),
        false => OpenCl::from_source(0).and_then(|device| device.binary()).map(Some),
    };
    let binary = match binary {
        Ok(binary) => binary,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    match plugin_fpga::bitstreams::write_all(&folder, binary.as_deref()) {
        Ok(files) => {
            let names: String = files.iter().map(|file| format!("{}\n", file.display())).collect();
            // A closed pipe is no fault: the files are written.
            _ = io::stdout().write_all(names.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}
