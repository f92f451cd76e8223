//! Runs a network on raw tensors from NumPy files and writes its answers to one: for scripts and tests.

use anyhow::{Context, Result};
use clap::{ArgAction, Parser};
use ir::Tensor;
use runtime::{Config, HostTensor};
use samples::{argv, arrays, engine::EngineArgs, numpy, printout};
use std::{path::PathBuf, process::ExitCode, time::Instant};

/// Runs a network on tensors from NumPy files.
#[derive(Parser, Debug)]
#[command(version, disable_help_flag = true)]
struct Args {
    /// Prints this text and ends.
    #[arg(short = 'h', long, action = ArgAction::Help)]
    help: Option<bool>,
    /// The network: the .xml of an IR, its .bin beside it.
    #[arg(short, value_name = "XML", required = true)]
    m: PathBuf,
    #[command(flatten)]
    engine: EngineArgs,
    /// The inputs: one .npz with an array an input, or NAME=file.npy for each. Arrays are matched by the inputs'
    /// names; where no name matches, in order.
    #[arg(short, value_name = "[NAME=]FILE", num_args = 1..)]
    i: Vec<String>,
    /// Where the outputs go: a .npz with an array an output.
    #[arg(short, value_name = "NPZ")]
    o: Option<PathBuf>,
    /// A setting of the device, such as INFERENCE_NUM_THREADS=1.
    #[arg(short, value_name = "KEY=VALUE")]
    c: Vec<String>,
    /// How many times to infer; more than once prints the times.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    niter: u32,
    /// Prints the performance counts of every layer.
    #[arg(long)]
    pc: bool,
}

fn main() -> ExitCode {
    argv::main(run)
}

fn run(args: &Args) -> Result<()> {
    let mut config = Config::new();
    for setting in &args.c {
        let (key, value) =
            setting.split_once('=').with_context(|| format!("-c {setting}: expected KEY=VALUE"))?;
        config.insert(key.to_owned(), value.to_owned());
    }
    if args.pc {
        config.insert("PERF_COUNT".into(), "YES".into());
    }
    let given = arrays::read(&args.i)?;
    let core = args.engine.core()?;
    let model = core.read_model(&args.m)?;
    let compiled = core.compile_model(&model, &args.engine.d, &config)?;
    let mut request = compiled.create_infer_request()?;
    for (i, tensor) in arrays::assign(compiled.inputs(), given)?.iter().enumerate() {
        request.set_input(i, HostTensor::from(tensor))?;
    }
    let mut times = Vec::new();
    for _ in 0..args.niter {
        let start = Instant::now();
        request.infer()?;
        times.push(start.elapsed());
    }
    if args.niter > 1 {
        times.sort();
        let ms = |time: std::time::Duration| time.as_secs_f64() * 1e3;
        println!("min {:.3} ms, median {:.3} ms", ms(times[0]), ms(times[times.len() / 2]));
    }
    if args.pc {
        println!("{}", printout::performance_counts(&request.profile()));
    }
    let Some(path) = &args.o else { return Ok(()) };
    let mut outputs: Vec<(String, Tensor)> = Vec::new();
    for (i, port) in compiled.outputs().iter().enumerate() {
        let mut name = port.name().to_owned();
        while outputs.iter().any(|(taken, _)| *taken == name) {
            name.push('_');
        }
        outputs.push((name, request.output(i)?.to_tensor()?));
    }
    numpy::write_npz(path, &outputs)
}
