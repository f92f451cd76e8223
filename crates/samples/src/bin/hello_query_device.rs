//! The devices of this machine, and what can be asked of them.

use anyhow::Result;
use clap::{ArgAction, Parser};
use samples::{argv, engine};
use std::process::ExitCode;

/// Lists the devices with their properties.
#[derive(Parser, Debug)]
#[command(version, about, disable_help_flag = true)]
struct Args {
    /// Prints this text and ends.
    #[arg(short = 'h', long, action = ArgAction::Help)]
    help: Option<bool>,
}

/// What can be asked of a device, and not be set.
const PROPERTIES: [&str; 5] = [
    "AVAILABLE_DEVICES",
    "FULL_DEVICE_NAME",
    "OPTIMIZATION_CAPABILITIES",
    "RANGE_FOR_ASYNC_INFER_REQUESTS",
    "RANGE_FOR_STREAMS",
];

fn main() -> ExitCode {
    argv::main(run)
}

fn run(_: &Args) -> Result<()> {
    println!("[ INFO ] Terroir {}", engine::API_VERSION);
    println!("[ INFO ] Available devices:");
    let core = engine::core();
    for name in core.available_devices() {
        println!("[ INFO ] {name}: {}\n[ INFO ] \tSUPPORTED_PROPERTIES:", core.device(&name)?.description());
        for key in PROPERTIES {
            if let Ok(value) = core.property(&name, key) {
                println!("[ INFO ] \t\tImmutable: {key} : {value}");
            }
        }
    }
    Ok(())
}
