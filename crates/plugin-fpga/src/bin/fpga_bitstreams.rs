//! `fpga_bitstreams FOLDER`: writes the named bitstreams, as `cargo xtask bitstreams` does.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(folder), None) = (arguments.next().map(PathBuf::from), arguments.next()) else {
        eprintln!("fpga_bitstreams FOLDER: writes the named bitstreams into a folder");
        return ExitCode::FAILURE;
    };
    match plugin_fpga::bitstreams::write_all(&folder) {
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
