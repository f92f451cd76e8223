//! The devices of this machine, and what can be asked of them.

use anyhow::Result;
use clap::{ArgAction, Parser};
use samples::{
    argv,
    engine::{self, LibraryArgs},
};
use std::process::ExitCode;

/// Lists the devices with their properties.
#[derive(Parser, Debug)]
#[command(version, disable_help_flag = true)]
struct Args {
    /// Prints this text and ends.
    #[arg(short = 'h', long, action = ArgAction::Help)]
    help: Option<bool>,
    #[command(flatten)]
    libraries: LibraryArgs,
}

fn main() -> ExitCode {
    argv::main(run)
}

fn run(args: &Args) -> Result<()> {
    println!("[ INFO ] Terroir {}", engine::API_VERSION);
    println!("[ INFO ] Available devices:");
    let core = args.libraries.core()?;
    for name in core.available_devices() {
        println!("[ INFO ] {name}: {}\n[ INFO ] \tSUPPORTED_PROPERTIES:", core.device(&name)?.description());
        for property in core.properties(&name)? {
            let kind = if property.mutable { "Mutable" } else { "Immutable" };
            println!("[ INFO ] \t\t{kind}: {} : {}", property.name, property.value);
        }
    }
    Ok(())
}
