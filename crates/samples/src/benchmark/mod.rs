//! `benchmark_app`: how fast a network runs here, with the flags, the steps and the closing report of OpenVINO's
//! program of that name.

mod inputs;
mod measure;

use crate::{argv, engine, printout};
use anyhow::{Result, bail, ensure};
use clap::{ArgAction, Parser, ValueEnum};
use inputs::{Data, Source};
use ir::{ElementType, Model, Op};
use measure::{Limits, Outcome};
use runtime::{CompiledModel, Config, HostTensor, InferRequest, InputSettings, PortInfo};
use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

/// Measures how fast a network runs on a device.
#[derive(Parser, Debug)]
#[command(name = "benchmark_app", version, about, disable_help_flag = true)]
struct Args {
    /// Prints this text and ends.
    #[arg(short = 'h', long, action = ArgAction::Help)]
    help: Option<bool>,
    /// The network: the .xml of an IR, its .bin beside it.
    #[arg(short, value_name = "XML", required = true)]
    m: PathBuf,
    /// The device: CPU, or several as in HETERO:FPGA,CPU.
    #[arg(short, value_name = "DEVICE", default_value = "CPU")]
    d: String,
    /// What the input tensors hold: [INPUT:]FILE with images or folders of images, .npy, .npz with arrays by the
    /// inputs' names, or raw bytes. Inputs without a file get random numbers, the same in every run.
    #[arg(short, value_name = "[INPUT:]FILE", num_args = 1..)]
    i: Vec<String>,
    /// What the device shall be good at. Not given: none beside -nstreams or -nthreads, else latency for -api sync,
    /// and throughput.
    #[arg(long, value_enum, value_name = "HINT")]
    hint: Option<Hint>,
    /// Inferences to run; 0 only compiles. Rounded up to a multiple of -nireq.
    #[arg(long, value_name = "N")]
    niter: Option<u64>,
    /// Seconds to run at the least; 60 where -niter isn't given either.
    #[arg(short, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    t: Option<u64>,
    /// The batch.
    #[arg(short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    b: Option<u32>,
    /// The shapes of the inputs, which may be dynamic: [1,3,?,?], or INPUT[1,224..448,3],INPUT[2] for several.
    #[arg(long, value_name = "SHAPES")]
    shape: Option<String>,
    /// The shapes of the tensors for inputs of dynamic shape; several of one input take turns:
    /// [1,3,224,224][1,3,448,448].
    #[arg(long = "data_shape", value_name = "SHAPES")]
    data_shape: Option<String>,
    /// What the dimensions of the inputs mean: [NCHW], or INPUT[NHWC],INPUT[NC] for several.
    #[arg(long, value_name = "LAYOUTS")]
    layout: Option<String>,
    /// One inference after the other, or -nireq in flight. Not given: sync for -hint latency, else async.
    #[arg(long, value_enum, value_name = "API")]
    api: Option<Api>,
    /// Requests in flight; as many as the device finds best when not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    nireq: Option<u32>,
    /// Streams, [DEVICE:]N or AUTO.
    #[arg(long, value_name = "N")]
    nstreams: Option<String>,
    /// Threads that the CPU uses, of all streams together.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    nthreads: Option<u32>,
    /// The arithmetic, [DEVICE:]TYPE.
    #[arg(long = "infer_precision", value_name = "TYPE")]
    infer_precision: Option<String>,
    /// The element type of the tensors given to the inputs, such as u8 for images; the network's own when not given.
    #[arg(long, value_name = "TYPE", value_parser = element_type)]
    ip: Option<ElementType>,
    /// Prints the performance counts of every layer, averaged over the inferences.
    #[arg(long)]
    pc: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Hint {
    #[value(alias = "tput")]
    Throughput,
    #[value(name = "cumulative_throughput", alias = "ctput")]
    CumulativeThroughput,
    Latency,
    None,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Api {
    Sync,
    Async,
}

fn element_type(text: &str) -> Result<ElementType, String> {
    ElementType::parse(text).ok_or_else(|| "no element type; f32 and u8 are some".to_owned())
}

/// The whole program, from the command line to the exit code.
pub fn main() -> ExitCode {
    argv::main(run)
}

/// Seconds of a run that neither `-t` nor `-niter` limits.
const DEFAULT_SECONDS: u64 = 60;

fn step(number: usize, what: &str) {
    println!("[Step {number}/11] {what}");
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn run(args: &Args) -> Result<()> {
    step(1, "Parsing and validating input arguments");
    let hint = args.hint.unwrap_or_else(|| default_hint(args));
    let api = args.api.unwrap_or(if hint == Hint::Latency { Api::Sync } else { Api::Async });
    ensure!(
        api == Api::Async || args.nireq.is_none_or(|n| n == 1),
        "-nireq {}: requests are in flight at once with -api async only",
        args.nireq.unwrap_or_default()
    );

    step(2, "Loading Terroir");
    println!("[ INFO ] Terroir:\n[ INFO ] Version ............................... {}", engine::API_VERSION);
    let core = engine::core();
    let device = core.device(args.d.split([':', '.']).next().unwrap_or_default())?;
    println!("[ INFO ]\n[ INFO ] Device info:\n[ INFO ] {}: {}\n[ INFO ]", args.d, device.description());

    step(3, "Setting device configuration");
    if args.hint.is_none() && hint != Hint::None {
        println!("[ WARNING ] -hint was not given; the performance hint of {} will be {hint:?}.", args.d);
    }
    let config = config(args, hint)?;

    step(4, "Reading model files");
    println!("[ INFO ] Loading model files");
    let start = Instant::now();
    let mut model = core.read_model(&args.m)?;
    println!("[ INFO ] Read model took {:.2} ms", ms(start.elapsed()));
    println!("[ INFO ] Original model I/O parameters:");
    print_ports(&model);

    step(5, "Resizing model to match image sizes and given batch");
    let mut data = Data::new(&model, args.layout.as_deref(), args.data_shape.as_deref())?;
    let start = Instant::now();
    if data.reshape(&mut model, args.shape.as_deref(), args.b)? {
        println!("[ INFO ] Reshape model took {:.2} ms", ms(start.elapsed()));
    }
    println!("[ INFO ] Model batch size: {}", data.batch_of(&model));

    step(6, "Configuring input of the model");
    if let Some(ty) = args.ip {
        let settings = InputSettings { element_type: Some(ty), ..InputSettings::default() };
        let settings = vec![settings; model.parameters().len()];
        runtime::apply_settings(&mut model, &settings, &[])?;
    }
    print_ports(&model);

    step(7, "Loading the model to the device");
    let start = Instant::now();
    let compiled = core.compile_model(&model, &args.d, &config)?;
    println!("[ INFO ] Compile model took {:.2} ms", ms(start.elapsed()));
    if args.niter == Some(0) {
        println!("[ INFO ] Model compiled successfully. Skipping inference due to -niter 0.");
        return Ok(());
    }

    step(8, "Querying optimal runtime parameters");
    print_properties(&compiled);

    step(9, "Creating infer requests and preparing input tensors");
    let best = || compiled.property("OPTIMAL_NUMBER_OF_INFER_REQUESTS").ok()?.parse().ok();
    let count = match (api, args.nireq) {
        (Api::Sync, _) => 1,
        (Api::Async, Some(count)) => count as usize,
        (Api::Async, None) => best().unwrap_or(1),
    };
    let tensors = data.tensors(compiled.inputs(), &args.i)?;
    let mut requests =
        (0..count).map(|_| compiled.create_infer_request()).collect::<Result<Vec<InferRequest>, _>>()?;
    for (i, request) in requests.iter_mut().enumerate() {
        feed(request, &tensors, i)?;
    }
    let limits = limits(args, api, count);
    // Tensors of one shape stay in their requests; those that take turns are set for every inference.
    let refill = compiled.inputs().iter().any(|port| !port.ty.shape.is_fixed());

    step(10, &format!("Measuring performance ({})", plan(api, count, &limits, &compiled)));
    println!(
        "[ INFO ] Benchmarking in {}.",
        if refill {
            "full mode (inputs filling are included in measurement loop)"
        } else {
            "inference only mode (inputs filling are not included in measurement loop)"
        }
    );
    let start = Instant::now();
    requests[0].infer()?;
    println!("[ INFO ] First inference took {:.2} ms", ms(start.elapsed()));
    let mut work = measure::Work {
        refill: refill.then_some(&tensors),
        frames: (0..tensors.turns()).map(|turn| data.batch(&tensors, turn)).collect(),
        limits,
        counts: args.pc.then(printout::AverageCounts::default),
    };
    let outcome = match api {
        Api::Sync => measure::one_by_one(&mut requests[0], &mut work)?,
        Api::Async => measure::in_flight(&mut requests, &mut work)?,
    };

    step(11, "Dumping statistics report");
    if let Some(counts) = &work.counts {
        println!("[ INFO ] Performance counts, averages of {} inferences", counts.inferences());
        println!("{counts}");
    }
    report(&outcome, &compiled);
    Ok(())
}

/// What OpenVINO's program assumes, but that its rule "-nstreams and -nthreads only with -hint none" is a default
/// here.
fn default_hint(args: &Args) -> Hint {
    match (args.nstreams.is_some() || args.nthreads.is_some(), args.api) {
        (true, _) => Hint::None,
        (false, Some(Api::Sync)) => Hint::Latency,
        (false, _) => Hint::Throughput,
    }
}

fn config(args: &Args, hint: Hint) -> Result<Config> {
    let mut config = Config::new();
    let mut set = |key: &str, value: String| _ = config.insert(key.to_owned(), value);
    match hint {
        Hint::Throughput => set("PERFORMANCE_HINT", "THROUGHPUT".into()),
        Hint::CumulativeThroughput => set("PERFORMANCE_HINT", "CUMULATIVE_THROUGHPUT".into()),
        Hint::Latency => set("PERFORMANCE_HINT", "LATENCY".into()),
        Hint::None => {}
    }
    if let Some(requests) = args.nireq.filter(|_| hint != Hint::None) {
        set("PERFORMANCE_HINT_NUM_REQUESTS", requests.to_string());
    }
    if let Some(threads) = args.nthreads {
        set("INFERENCE_NUM_THREADS", threads.to_string());
    }
    if let Some(streams) = &args.nstreams {
        set("NUM_STREAMS", for_device(streams, &args.d, "nstreams")?);
    }
    if let Some(precision) = &args.infer_precision {
        set("INFERENCE_PRECISION_HINT", for_device(precision, &args.d, "infer_precision")?);
    }
    if args.pc {
        set("PERF_COUNT", "YES".into());
    }
    Ok(config)
}

/// The value behind `DEVICE:`, which may be left out.
fn for_device(text: &str, device: &str, flag: &str) -> Result<String> {
    match text.split_once(':') {
        Some((name, value)) if name == device => Ok(value.to_owned()),
        Some((name, _)) => bail!("-{flag} {text}: the device is {device}, not {name}"),
        None => Ok(text.to_owned()),
    }
}

/// Gives a request the tensors of the `turn`-th inference.
fn feed(request: &mut InferRequest, tensors: &Source, turn: usize) -> Result<()> {
    for (i, tensor) in tensors.of(turn).enumerate() {
        request.set_input(i, HostTensor::clone(tensor))?;
    }
    Ok(())
}

fn limits(args: &Args, api: Api, count: usize) -> Limits {
    let given = args.niter;
    let iterations = match api {
        Api::Sync => given,
        Api::Async => given.map(|n| n.next_multiple_of(count as u64)),
    };
    if let (Some(given), Some(rounded)) = (given, iterations.filter(|n| Some(*n) != given)) {
        println!(
            "[ WARNING ] Number of iterations was aligned by request number from {given} to {rounded} using number of requests {count}"
        );
    }
    let time = args.t.or(given.is_none().then_some(DEFAULT_SECONDS)).map(Duration::from_secs);
    Limits { iterations, time }
}

/// What will be measured, in OpenVINO's words.
fn plan(api: Api, count: usize, limits: &Limits, compiled: &CompiledModel) -> String {
    let mut text = match api {
        Api::Sync => "Start inference synchronously".to_owned(),
        Api::Async => format!("Start inference asynchronously, {count} inference requests"),
    };
    if let Ok(streams) = compiled.property("NUM_STREAMS") {
        text += &format!(" using {streams} streams");
    }
    let time = limits.time.map(|time| format!("{} ms duration", time.as_millis()));
    let iterations = limits.iterations.map(|n| format!("{n} iterations"));
    let all: Vec<String> = time.into_iter().chain(iterations).collect();
    text + ", limits: " + &all.join(", ")
}

fn print_ports(model: &Model) {
    let print = |port: &PortInfo, layout: &ir::Layout| {
        let layout = if layout.is_empty() { "[...]".to_owned() } else { layout.to_string() };
        let names = if port.names.is_empty() { "***NO_NAME***".to_owned() } else { port.names.join(" , ") };
        let (ty, shape) = (port.ty.element_type, &port.ty.shape);
        println!("[ INFO ]     {names} (node: {}) : {ty} / {layout} / {shape}", port.node);
    };
    println!("[ INFO ] Model inputs:");
    for (port, id) in PortInfo::inputs(model).iter().zip(model.parameters()) {
        let Op::Parameter(parameter) = &model.node(*id).op else { unreachable!("parameters are Parameters") };
        print(port, &parameter.layout);
    }
    println!("[ INFO ] Model outputs:");
    for (port, id) in PortInfo::outputs(model).iter().zip(model.results()) {
        let Op::OpResult(result) = &model.node(*id).op else { unreachable!("results are Results") };
        print(port, &result.layout);
    }
}

/// The properties that a compiled model is asked for.
const PROPERTIES: [&str; 6] = [
    "NETWORK_NAME",
    "OPTIMAL_NUMBER_OF_INFER_REQUESTS",
    "NUM_STREAMS",
    "INFERENCE_NUM_THREADS",
    "INFERENCE_PRECISION_HINT",
    "EXECUTION_DEVICES",
];

fn print_properties(compiled: &CompiledModel) {
    println!("[ INFO ] Model:");
    for key in PROPERTIES {
        if let Ok(value) = compiled.property(key) {
            println!("[ INFO ]   {key}: {value}");
        }
    }
}

/// The closing lines, as scripts look for them.
fn report(outcome: &Outcome, compiled: &CompiledModel) {
    if let Ok(devices) = compiled.property("EXECUTION_DEVICES") {
        println!("[ INFO ] Execution Devices:['{devices}']");
    }
    let latency = outcome.latency();
    // Two decimals of a millisecond say nothing of an inference that takes a few microseconds.
    let digits = if latency.average < 1.0 { 4 } else { 2 };
    println!("[ INFO ] Count:            {} iterations", outcome.latencies.len());
    println!("[ INFO ] Duration:         {:.2} ms", ms(outcome.total));
    println!("[ INFO ] Latency:");
    println!("[ INFO ]    Median:        {:.digits$} ms", latency.median);
    println!("[ INFO ]    Average:       {:.digits$} ms", latency.average);
    println!("[ INFO ]    Min:           {:.digits$} ms", latency.min);
    println!("[ INFO ]    Max:           {:.digits$} ms", latency.max);
    println!("[ INFO ] Throughput:   {:.2} FPS", outcome.frames as f64 / outcome.total.as_secs_f64());
}
