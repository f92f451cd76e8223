//! Writes the named bitstreams, as `cargo xtask bitstreams` does.

use clap::Parser;
use plugin_fpga::opencl::OpenCl;
use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

/// Writes the named bitstreams into a folder. They are for simulated boards.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The folder; it is made if it is not there
    folder: PathBuf,
    /// With the binary of their program for this machine's OpenCL device
    #[arg(long)]
    opencl: bool,
}

fn main() -> ExitCode {
    let Arguments { folder, opencl } = Arguments::parse();
    let binary = match opencl {
        false => Ok(None),
        true => OpenCl::from_source(0).and_then(|device| device.binary()).map(Some),
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
