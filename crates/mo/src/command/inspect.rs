//! `mo inspect`: what a network is.

use super::{console, network::NetworkFlags};
use crate::inspect::{inspect, to_dot, to_svg};
use clap::Parser;
use ir::cut::InputSpec;
use std::{ffi::OsString, path::PathBuf, process::ExitCode};

/// Shows what a network is: inputs, outputs, ops, arithmetic, memory, what is not supported and where to cut.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "mo inspect",
    bin_name = "mo inspect",
    infer_long_args = true,
    after_help = "Examples:\n  mo inspect resnet50_frozen.xml\n  \
                  mo inspect frozen.pb --input_shape [1,224,224,3] --json\n  \
                  mo inspect frozen.pb --svg frozen.svg"
)]
struct Arguments {
    /// Network: an IR (.xml) or any model that `mo` converts
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// Inputs other than the network's own, as `mo --input` has them
    #[arg(long, value_name = "INPUTS", value_parser = crate::grammar::inputs)]
    input: Option<std::vec::Vec<InputSpec>>,
    /// Device whose view of the network is told (CPU, FPGA)
    #[arg(long = "target_device", value_name = "DEVICE", value_parser = crate::grammar::device)]
    target_device: Option<String>,
    /// Prints one JSON object instead of text
    #[arg(long)]
    json: bool,
    /// Writes the graph in Graphviz's language
    #[arg(long, value_name = "FILE")]
    dot: Option<PathBuf>,
    /// Writes the graph as an image that browsers show
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    #[command(flatten)]
    network: NetworkFlags,
}

/// Runs the command with these words, the program's name first.
pub fn run(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(words) {
        Ok(arguments) => arguments,
        Err(error) => return console::usage(&error),
    };
    match shown(&arguments) {
        Ok(text) => console::print(&text),
        Err(error) => console::failed(&error),
    }
}

fn shown(arguments: &Arguments) -> Result<String, crate::Error> {
    let mut request = arguments.network.request(&arguments.model)?;
    request.target_device.clone_from(&arguments.target_device);
    request.inputs = arguments.input.clone().unwrap_or_default();
    let found = inspect(&request)?;
    if let Some(path) = &arguments.dot {
        crate::output::write_whole(path, to_dot(&found.model)?.as_bytes())?;
    }
    if let Some(path) = &arguments.svg {
        crate::output::write_whole(path, to_svg(&found.model)?.as_bytes())?;
    }
    Ok(if arguments.json { format!("{:#}\n", found.to_json()) } else { found.to_string() })
}
