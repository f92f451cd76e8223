//! `benchmark_app`: how fast a network runs here, with the flags, the steps and the closing report of OpenVINO's
//! program of that name.

mod args;
mod counters;
mod graph;
mod inputs;
mod measure;
mod ports;
mod report;
mod settings;

use crate::{argv, engine, printout, trace::Trace};
use anyhow::{Result, ensure};
use args::{Api, Args, Hint, ReportType};
use inputs::{Data, Source};
use ir::{Model, Op};
use measure::Limits;
use report::Report;
use runtime::{CompiledModel, HostTensor, InferRequest, PortInfo};
use settings::Settings;
use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

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

    args.gpu.check()?;
    let mut report = Report::default();

    step(2, "Loading Terroir");
    println!("[ INFO ] Terroir:\n[ INFO ] Version ............................... {}", engine::API_VERSION);
    let core = args.engine.core()?;
    println!("[ INFO ]\n[ INFO ] Device info:");
    for (name, description) in args.engine.devices(&core)? {
        println!("[ INFO ] {name}: {description}");
    }
    println!("[ INFO ]");

    step(3, "Setting device configuration");
    if args.hint.is_none() && hint != Hint::None {
        println!(
            "[ WARNING ] -hint was not given; the performance hint of {} will be {hint:?}.",
            args.engine.d
        );
    }
    let settings = Settings::new(args, hint)?;
    if let Some(path) = &args.dump_config {
        settings.dump(path)?;
        println!("[ INFO ] OpenVINO configuration settings were dumped to {}", path.display());
    }
    let config = settings.apply(&core)?;

    step(4, "Reading model files");
    println!("[ INFO ] Loading model files");
    let start = Instant::now();
    let mut model = core.read_model(&args.m)?;
    report.time("Read model", start.elapsed());
    println!("[ INFO ] Original model I/O parameters:");
    print_ports(&model);

    step(5, "Resizing model to match image sizes and given batch");
    let mut data = Data::new(&model, args.layout.as_deref(), args.data_shape.as_deref())?;
    let start = Instant::now();
    if data.reshape(&mut model, args.shape.as_deref(), args.b)? {
        report.time("Reshape model", start.elapsed());
    }
    println!("[ INFO ] Model batch size: {}", data.batch_of(&model));

    step(6, "Configuring input of the model");
    if !args.load_from_file {
        ports::apply(&mut model, args, &data)?;
    }
    print_ports(&model);

    step(7, "Loading the model to the device");
    let start = Instant::now();
    let compiled = if args.load_from_file {
        core.compile_file(&args.m, &args.engine.d, &config)?
    } else {
        core.compile_model(&model, &args.engine.d, &config)?
    };
    report.time("Compile model", start.elapsed());
    if args.niter == Some(0) {
        println!("[ INFO ] Model compiled successfully. Skipping inference due to -niter 0.");
        if args.report_type.is_some() {
            report.write(args, &report::command_line(std::env::args().skip(1)))?;
        }
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
    let is_fixed = compiled.inputs().iter().all(|port| port.ty.shape.is_fixed());
    let inference_only = args.inference_only.unwrap_or(is_fixed);
    ensure!(
        !inference_only || tensors.turns() == 1,
        "-inference_only true: inputs whose tensors take turns are filled before every inference"
    );
    for (name, value) in [
        ("topology", model.name.as_str()),
        ("target device", &args.engine.d),
        ("API", if api == Api::Sync { "sync" } else { "async" }),
        ("inference_only", if inference_only { "True" } else { "False" }),
        ("precision", "UNSPECIFIED"),
        ("batch size", &data.batch_of(&model)),
    ] {
        report.setup(name, value);
    }
    report.setup("number of iterations", limits.iterations.map_or("None".to_owned(), |n| n.to_string()));
    report.setup("number of parallel infer requests", count);
    report.setup("duration (ms)", limits.time.map_or(0, |time| time.as_millis()));
    if let Ok(streams) = compiled.property("NUM_STREAMS") {
        report.setup(&format!("number of {} streams", args.engine.d), streams);
    }

    step(10, &format!("Measuring performance ({})", plan(api, count, &limits, &compiled)));
    println!(
        "[ INFO ] Benchmarking in {}.",
        if inference_only {
            "inference only mode (inputs filling are not included in measurement loop)"
        } else {
            "full mode (inputs filling are included in measurement loop)"
        }
    );
    if args.no_warmup {
        println!("[ INFO ] Skipping warmup inference due to -no_warmup flag");
    } else {
        let start = Instant::now();
        requests[0].infer()?;
        report.time("First inference", start.elapsed());
    }
    let mut work = measure::Work {
        refill: (!inference_only).then_some(&tensors),
        frames: (0..tensors.turns()).map(|turn| data.batch(&tensors, turn)).collect(),
        limits,
        counts: args.counts().then(printout::AverageCounts::default),
        trace: args.trace.as_ref().map(|_| Trace::default()),
        rate: Some(args.max_irate).filter(|rate| *rate > 0.0),
    };
    let outcome = match api {
        Api::Sync => measure::one_by_one(&mut requests[0], &mut work)?,
        Api::Async => measure::in_flight(&mut requests, &mut work)?,
    };

    step(11, "Dumping statistics report");
    if let Some(counts) = &work.counts {
        report_layers(args, counts, &requests)?;
        if let Some(path) = &args.exec_graph_path {
            graph::write(path, &model, &counts.rows())?;
            println!("[ INFO ] Executable graph is stored to {}", path.display());
        }
    }
    if let Some((path, trace)) = args.trace.as_ref().zip(work.trace) {
        println!("[ INFO ] {}", trace.write(path)?);
    }
    report.close(&outcome, &compiled, args.latency_percentile);
    if args.report_type.is_some() {
        report.write(args, &report::command_line(std::env::args().skip(1)))?;
    }
    Ok(())
}

/// Prints the layers' times and writes the files about them, as the flags ask for.
fn report_layers(args: &Args, counts: &printout::AverageCounts, requests: &[InferRequest]) -> Result<()> {
    let rows = counts.rows();
    let (folder, as_json) = (&args.report_folder, args.json_stats);
    let mut written = Vec::new();
    if let Some(order) = args.pcsort {
        println!("[ INFO ] Performance counts sorted, averages of {} inferences", counts.inferences());
        let sorted = counters::sorted(&rows, order);
        println!("{}", counters::sorted_table(&sorted));
        if args.report_type.is_some() {
            written.push(counters::write_sorted(folder, as_json, &sorted)?);
        }
    } else if args.pc {
        println!("[ INFO ] Performance counts, averages of {} inferences", counts.inferences());
        println!("{counts}");
    }
    match args.report_type {
        Some(ReportType::Average) => {
            written.push(counters::write_average(folder, as_json, &rows)?);
        }
        Some(ReportType::Detailed) => {
            let last: Vec<_> = requests.iter().map(InferRequest::profile).collect();
            written.push(counters::write_detailed(folder, as_json, &last)?);
        }
        Some(ReportType::No) | None => {}
    }
    for path in written {
        println!("[ INFO ] Performance counters report is stored to {}", path.display());
    }
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
