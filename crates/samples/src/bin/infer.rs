//! Runs a network on raw tensors from NumPy files and writes its answers to one: for scripts and tests.

use anyhow::{Context, Result, bail, ensure};
use clap::{ArgAction, Parser};
use ir::Tensor;
use runtime::{CompiledModel, Config, HostTensor};
use samples::{argv, engine, numpy, printout};
use std::{path::PathBuf, process::ExitCode, time::Instant};

/// Runs a network on tensors from NumPy files.
#[derive(Parser, Debug)]
#[command(version, about, disable_help_flag = true)]
struct Args {
    /// Prints this text and ends.
    #[arg(short = 'h', long, action = ArgAction::Help)]
    help: Option<bool>,
    /// The network: the .xml of an IR, its .bin beside it.
    #[arg(short, value_name = "XML", required = true)]
    m: PathBuf,
    /// The device.
    #[arg(short, value_name = "DEVICE", default_value = "CPU")]
    d: String,
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
    let arrays = read_arrays(&args.i)?;
    let core = engine::core();
    let model = core.read_model(&args.m)?;
    let compiled = core.compile_model(&model, &args.d, &config)?;
    let mut request = compiled.create_infer_request()?;
    for (i, tensor) in match_inputs(&compiled, arrays)?.iter().enumerate() {
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

/// The arrays of all `-i`: with the name that goes with each, if one does.
fn read_arrays(arguments: &[String]) -> Result<Vec<(Option<String>, Tensor)>> {
    let mut arrays = Vec::new();
    for argument in arguments {
        match argument.split_once('=') {
            Some((name, file)) => arrays.push((Some(name.to_owned()), numpy::read_npy(file.as_ref())?)),
            None if argument.ends_with(".npz") => {
                let all = numpy::read_npz(argument.as_ref())?;
                arrays.extend(all.into_iter().map(|(name, tensor)| (Some(name), tensor)));
            }
            None => arrays.push((None, numpy::read_npy(argument.as_ref())?)),
        }
    }
    Ok(arrays)
}

/// One tensor an input: by name where names match, the others in order. Arrays that fit no input are left alone as
/// long as every input has one by name: data files often hold the expected outputs too.
fn match_inputs(compiled: &CompiledModel, mut arrays: Vec<(Option<String>, Tensor)>) -> Result<Vec<Tensor>> {
    let inputs = compiled.inputs();
    let mut found: Vec<Option<Tensor>> = vec![None; inputs.len()];
    for (port, place) in inputs.iter().zip(&mut found) {
        let named = |(name, _): &(Option<String>, Tensor)| name.as_ref().is_some_and(|n| port.is_called(n));
        if let Some(at) = arrays.iter().position(named) {
            *place = Some(arrays.remove(at).1);
        }
    }
    let missing = found.iter().filter(|tensor| tensor.is_none()).count();
    if missing > 0 && arrays.len() != missing {
        let names: Vec<&str> = inputs.iter().map(|port| port.name()).collect();
        let given: Vec<_> = arrays.iter().map(|(name, _)| name.as_deref().unwrap_or("(no name)")).collect();
        bail!(
            "the network takes {}; no array for {missing} of them, left over: {}",
            names.join(", "),
            given.join(", ")
        );
    }
    let mut rest = arrays.into_iter().map(|(_, tensor)| tensor);
    let filled = found.into_iter().map(|tensor| tensor.or_else(|| rest.next()));
    let tensors: Option<Vec<Tensor>> = filled.collect();
    let tensors = tensors.context("as many arrays as inputs were counted")?;
    for (tensor, port) in tensors.iter().zip(inputs) {
        ensure!(
            tensor.element_type() == port.ty.element_type && port.ty.shape.admits(tensor.shape()),
            "input `{}` takes {}, found {}{:?}",
            port.name(),
            port.ty,
            tensor.element_type(),
            tensor.shape()
        );
    }
    Ok(tensors)
}
