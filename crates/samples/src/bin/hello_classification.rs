//! The shortest way from an image to an answer: reads a network, gives it an image, prints the best classes.

use anyhow::Result;
use clap::{ArgAction, Parser};
use runtime::Config;
use samples::{
    argv, classification,
    engine::{self, LibraryArgs},
    labels, printout,
};
use std::{path::PathBuf, process::ExitCode};

/// Classifies one image.
#[derive(Parser, Debug)]
#[command(version, disable_help_flag = true)]
struct Args {
    /// Prints this text and ends.
    #[arg(short = 'h', long, action = ArgAction::Help)]
    help: Option<bool>,
    /// The network: the .xml of an IR, its .bin beside it.
    model: PathBuf,
    /// The image: PNG, JPEG or BMP.
    image: PathBuf,
    /// The device: CPU, or several as in HETERO:FPGA,CPU.
    device: String,
    #[command(flatten)]
    libraries: LibraryArgs,
}

fn main() -> ExitCode {
    argv::main(run)
}

fn run(args: &Args) -> Result<()> {
    println!("[ INFO ] Terroir {}", engine::API_VERSION);
    // The engine, and the network.
    let core = args.libraries.core()?;
    println!("[ INFO ] Loading model files: {}", args.model.display());
    let mut model = core.read_model(&args.model)?;
    println!("[ INFO ] model name: {}", model.name);
    // The network shall take 8-bit images as they come from files: what that needs becomes part of it.
    let input = classification::open(&mut model)?;
    let images = input.load(std::slice::from_ref(&args.image))?;
    let image = &images[..1];
    input.reshape(&mut model, 1, (image[0].width, image[0].height))?;
    // On the device it is ready to run, in requests.
    let compiled = core.compile_model(&model, &args.device, &Config::new())?;
    let mut request = compiled.create_infer_request()?;
    request.set_input(input.index, input.tensor(&compiled, image)?)?;
    request.infer()?;
    // One row of probabilities an image.
    let rows = classification::rows(&request, 1)?;
    let classes = printout::top_classes(&rows[0], 10);
    let names = labels::beside(&args.model)?;
    println!("\nTop {} results:\n", classes.len());
    print!("{}", printout::class_table(&args.image, &classes, names.as_deref()));
    Ok(())
}
