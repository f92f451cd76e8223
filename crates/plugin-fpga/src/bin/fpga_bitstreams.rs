//! `fpga_bitstreams FOLDER`: writes the named bitstreams, as `cargo xtask bitstreams` does.

use std::{path::PathBuf, process::ExitCode};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(folder), None) = (arguments.next().map(PathBuf::from), arguments.next()) else {
        eprintln!("fpga_bitstreams FOLDER: writes the named bitstreams into a folder");
        return ExitCode::FAILURE;
    };
    match plugin_fpga::bitstreams::write_all(&folder) {
        Ok(files) => {
            files.iter().for_each(|file| println!("{}", file.display()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}
