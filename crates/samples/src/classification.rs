//! The classification samples: images in, the most probable classes out. Both binaries run this; they differ in how
//! requests are started.

use crate::{
    argv,
    image_input::ImageInput,
    image_sample::{ImageSampleArgs, Opening},
    images::Image,
    labels, printout,
    trace::Trace,
};
use anyhow::{Result, ensure};
use clap::{ArgAction, Parser};
use ir::Model;
use runtime::{CompiledModel, Config, InferRequest};
use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

/// How the inferences are run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// One after the other, each waited for.
    Sync,
    /// Several requests in flight.
    Async,
}

/// Classifies images with a network.
#[derive(Parser, Debug)]
#[command(version, disable_help_flag = true)]
struct Args {
    /// Prints this text and ends.
    #[arg(short = 'h', long, action = ArgAction::Help)]
    help: Option<bool>,
    #[command(flatten)]
    sample: ImageSampleArgs,
    /// How many classes to print.
    #[arg(long, value_name = "N", default_value_t = 10)]
    nt: usize,
    /// How many requests are in flight at once (asynchronous sample).
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    nireq: u32,
    /// How many threads the CPU uses; all that the machine lends when not given.
    #[arg(long, value_name = "N")]
    nthreads: Option<usize>,
    /// Writes the course of the inferences as a trace file, which Chrome and Perfetto show.
    #[arg(long, value_name = "JSON")]
    trace: Option<PathBuf>,
}

/// The whole program, from the command line to the exit code.
pub fn main(mode: Mode) -> ExitCode {
    argv::main(|args: &Args| run(args, mode))
}

fn run(args: &Args, mode: Mode) -> Result<()> {
    let Opening { files, core, mut model } = args.sample.open()?;
    let labels = labels::beside(&args.sample.m)?;

    println!("[ INFO ] Preparing input blobs");
    let input = open(&mut model)?;
    let images = input.load(&files)?;
    // Each image needs a row of classes of its own.
    let gives = |model: &Model| {
        let output = &model.ty(model.results()[0].into()).shape;
        let rows = output.dims().and_then(|dims| dims.first()?.size());
        rows.is_none_or(|rows| rows == images.len())
    };
    let batch = input.set_batch(&mut model, &images, gives)?;
    println!("[ INFO ] Batch size is {batch}");

    println!("[ INFO ] Preparing output blobs\n[ INFO ] Loading model to the plugin");
    let mut config = Config::new();
    if args.sample.pc || args.trace.is_some() {
        config.insert("PERF_COUNT".into(), "YES".into());
    }
    if let Some(threads) = args.nthreads {
        config.insert("INFERENCE_NUM_THREADS".into(), threads.to_string());
    }
    let compiled = core.compile_model(&model, &args.sample.engine.d, &config)?;

    println!("[ INFO ] Starting inference ({} iterations)", args.sample.ni);
    let groups: Vec<&[Image]> = images.chunks(batch).collect();
    let mut trace = args.trace.as_ref().map(|_| Trace::default());
    let outcome = match mode {
        Mode::Sync => run_sync(&compiled, &input, &groups, args.sample.ni, &mut trace)?,
        Mode::Async => run_async(&compiled, &input, &groups, args, &mut trace)?,
    };

    println!("[ INFO ] Processing output blobs\n\nTop {} results:\n", args.nt);
    for (image, probabilities) in images.iter().zip(&outcome.probabilities) {
        let classes = printout::top_classes(probabilities, args.nt);
        println!("{}", printout::class_table(&image.path, &classes, labels.as_deref()));
    }
    println!("{}", printout::times(outcome.time, outcome.inferences, batch));
    if args.sample.pc {
        println!("{}", printout::performance_counts(&outcome.profile));
    }
    if let Some((path, trace)) = args.trace.as_ref().zip(trace) {
        println!("[ INFO ] {}", trace.write(path)?);
    }
    println!("[ INFO ] Execution successful");
    Ok(())
}

/// Opens the input of a network that has one, and one output.
pub fn open(model: &mut Model) -> Result<ImageInput> {
    ensure!(
        model.parameters().len() == 1 && model.results().len() == 1,
        "this sample classifies with networks of one input and one output; this one has {} and {}",
        model.parameters().len(),
        model.results().len()
    );
    ImageInput::open(model)
}

/// What the inferences gave.
struct Outcome {
    /// One row of probabilities an image.
    probabilities: Vec<Vec<f32>>,
    /// From the first start to the last end.
    time: Duration,
    inferences: usize,
    profile: Vec<runtime::ProfileRow>,
}

fn run_sync(
    compiled: &CompiledModel,
    input: &ImageInput,
    groups: &[&[Image]],
    iterations: u32,
    trace: &mut Option<Trace>,
) -> Result<Outcome> {
    let mut request = compiled.create_infer_request()?;
    let mut probabilities = Vec::new();
    let mut time = Duration::ZERO;
    for group in groups {
        request.set_input(input.index, input.tensor(compiled, group)?)?;
        for _ in 0..iterations {
            let start = Instant::now();
            request.infer()?;
            time += start.elapsed();
            draw(trace, &request);
        }
        probabilities.extend(rows(&request, group.len())?);
    }
    let inferences = groups.len() * iterations as usize;
    Ok(Outcome { probabilities, time, inferences, profile: request.profile() })
}

/// Adds the request's last inference to the trace, if one is wanted.
fn draw(trace: &mut Option<Trace>, request: &InferRequest) {
    if let Some(trace) = trace {
        trace.add(&request.profile());
    }
}

/// Requests take turns: each is waited for only when it's its turn again.
fn run_async(
    compiled: &CompiledModel,
    input: &ImageInput,
    groups: &[&[Image]],
    args: &Args,
    trace: &mut Option<Trace>,
) -> Result<Outcome> {
    let iterations = args.sample.ni;
    let create = |_| compiled.create_infer_request();
    let mut requests = (0..args.nireq).map(create).collect::<Result<Vec<_>, _>>()?;
    let mut probabilities = Vec::new();
    let mut time = Duration::ZERO;
    for group in groups {
        for request in &mut requests {
            request.set_input(input.index, input.tensor(compiled, group)?)?;
        }
        let start = Instant::now();
        let count = requests.len();
        for i in 0..iterations as usize {
            let request = &mut requests[i % count];
            if i >= count {
                request.wait()?;
                draw(trace, request);
            }
            request.start_async()?;
        }
        let last = (iterations as usize - 1) % count;
        for request in requests.iter().take(iterations as usize) {
            request.wait()?;
        }
        time += start.elapsed();
        requests.iter().take(iterations as usize).for_each(|request| draw(trace, request));
        probabilities.extend(rows(&requests[last], group.len())?);
    }
    let inferences = groups.len() * iterations as usize;
    Ok(Outcome { probabilities, time, inferences, profile: requests[0].profile() })
}

/// The first `count` rows of the output.
pub fn rows(request: &InferRequest, count: usize) -> Result<Vec<Vec<f32>>> {
    let output = request.output(0)?.to_tensor()?;
    let batch = output.shape().first().copied().unwrap_or(1);
    ensure!(batch >= count, "the network gave {batch} answers for {count} images");
    let values = output.view::<f32>()?;
    let width = values.len() / batch.max(1);
    ensure!(width > 0, "the network's output {:?} holds no classes", output.shape());
    Ok(values.chunks_exact(width).take(count).map(<[f32]>::to_vec).collect())
}
