//! Compiles networks for the FPGA without a board, and tells what the cycle model says of them.

use clap::Parser;
use plugin_fpga::report::Published;
use std::{io::Write, process::ExitCode};

/// The FPGA compiler. All times that it prints are of a cycle model; no board is measured.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Print the cycle model beside published figures.
    #[arg(long, required = true)]
    published: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let text = if args.published { Published.to_string() } else { String::new() };
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
