//! What the samples of 2018 for images have in common: their flags, and how they begin.

use crate::{
    engine::{self, EngineArgs, GpuArgs},
    images,
};
use anyhow::Result;
use clap::Args;
use ir::Model;
use runtime::Core;
use std::path::PathBuf;

/// The flags of every sample for images.
#[derive(Args, Debug)]
pub struct ImageSampleArgs {
    /// Images or folders of images: PNG, JPEG, BMP, or MNIST's ubyte.
    #[arg(short, value_name = "PATH", num_args = 1.., required = true)]
    pub i: Vec<PathBuf>,
    /// The network: the .xml of an IR, its .bin beside it. Class names are read from the .labels file of the same name.
    #[arg(short, value_name = "XML", required = true)]
    pub m: PathBuf,
    /// The device, and what is loaded beside it.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// How many times to infer.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub ni: u32,
    /// Prints the performance counts of every layer.
    #[arg(long)]
    pub pc: bool,
    /// Prints the engine's own messages.
    #[arg(long = "p_msg")]
    pub p_msg: bool,
    #[command(flatten)]
    gpu: GpuArgs,
}

/// What a sample begins with.
pub struct Opening {
    /// The images.
    pub files: Vec<PathBuf>,
    /// The engine.
    pub core: Core,
    /// The network.
    pub model: Model,
}

impl ImageSampleArgs {
    /// Finds the images, makes the engine and reads the network, and says so in the words of 2018.
    pub fn open(&self) -> Result<Opening> {
        self.gpu.check()?;
        if self.p_msg {
            tracing_subscriber::fmt().with_writer(std::io::stderr).init();
        }
        println!("[ INFO ] InferenceEngine:\n\tAPI version ............ {}", engine::API_VERSION);
        println!("\tBuild .................. {}\nParsing input parameters", env!("CARGO_PKG_NAME"));
        let files = images::find(&self.i)?;
        println!("[ INFO ] Files were added: {}", files.len());
        files.iter().for_each(|file| println!("[ INFO ]     {}", file.display()));

        println!("[ INFO ] Loading plugin\n");
        let core = self.engine.core()?;
        for (_, description) in self.engine.devices(&core)? {
            println!(
                "\tAPI version ............ {}\n\tDescription ............ {description}",
                engine::API_VERSION
            );
        }
        println!(
            "[ INFO ] Loading network files:\n\t{}\n\t{}",
            self.m.display(),
            self.m.with_extension("bin").display()
        );
        let model = core.read_model(&self.m)?;
        Ok(Opening { files, core, model })
    }
}
