//! Terroir's side of `cargo xtask bench`; `xtask/python/turns.py` is the peers', with the same lines in and out.
//!
//! Loads the network, infers once and prints a line of JSON: versions, milliseconds from before the model is read
//! until it is read, compiled, and has answered, and megabytes before that. Then, for every line of input, a number of
//! seconds: infers so long (three times at least) and prints the milliseconds of each inference, or with several
//! streams those per image. At the end of the input: the peak of memory, every layer's median microseconds with
//! `--profile`, and what each node of the model has to do.

use anyhow::{Context, Result, ensure};
use clap::Parser;
use ir::{Model, PartialShape, Tensor};
use optimizer::work;
use runtime::{CompiledModel, Config, HostTensor, InferRequest, LayerStatus, PortInfo, ProfileRow};
use samples::{arrays, engine};
use serde_json::{Value, json};
use std::{
    io::{BufRead, Write},
    path::PathBuf,
    sync::mpsc,
    time::{Duration, Instant},
};

/// Infers in turns, as `cargo xtask bench` asks.
#[derive(Parser)]
struct Args {
    /// The .xml of an IR.
    model: PathBuf,
    /// A .npz with the inputs.
    #[arg(long)]
    inputs: String,
    #[arg(long, default_value_t = 1)]
    threads: usize,
    #[arg(long, default_value_t = 1)]
    streams: usize,
    /// Measure layers.
    #[arg(long)]
    profile: bool,
    /// Another batch, of random data.
    #[arg(long)]
    batch: Option<usize>,
    /// Another side of the image (NHWC), of random data.
    #[arg(long)]
    side: Option<usize>,
}

/// The fewest inferences of a turn.
const FEWEST: usize = 3;

fn main() -> Result<()> {
    let args = Args::parse();
    let given = arrays::read(std::slice::from_ref(&args.inputs))?;
    let before = megabytes("VmRSS")?;
    let start = Instant::now();
    let core = engine::core();
    let mut model = core.read_model(&args.model)?;
    let read = start.elapsed();
    let inputs = shaped(&mut model, given, &args)?;
    let hint = if args.streams > 1 { "THROUGHPUT" } else { "LATENCY" };
    let settings = [
        ("INFERENCE_NUM_THREADS", args.threads.to_string()),
        ("NUM_STREAMS", args.streams.to_string()),
        ("PERFORMANCE_HINT", hint.to_owned()),
        ("INFERENCE_PRECISION_HINT", "f32".to_owned()),
        ("PERF_COUNT", if args.profile { "YES" } else { "NO" }.to_owned()),
    ];
    let config: Config = settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let compiled = core.compile_model(&model, "CPU", &config)?;
    let compile = start.elapsed() - read;
    let mut requests = requests(&compiled, &inputs, args.streams)?;
    requests[0].infer()?;
    let first = start.elapsed() - read - compile;
    say(&json!({
        "engine": format!("Terroir {}", engine::API_VERSION),
        "read_ms": ms(read), "compile_ms": ms(compile), "first_ms": ms(first), "before_mb": before, "gflop": gflop(&model),
    }))?;
    let nodes = if args.profile { nodes(&model) } else { Value::Null };
    drop(model);

    let idle = watch(&mut requests)?;
    let mut layers = Layers::default();
    for line in std::io::stdin().lock().lines() {
        let time = Duration::from_secs_f64(line?.trim().parse().context("expected seconds")?);
        let times = match args.streams {
            1 => one_by_one(&mut requests[0], time, args.profile.then_some(&mut layers))?,
            _ => in_flight(&mut requests, &idle, time)?,
        };
        say(&json!({ "ms": times }))?;
    }
    say(&json!({ "peak_mb": megabytes("VmHWM")?, "layers": layers.medians(), "nodes": nodes }))
}

fn say(line: &Value) -> Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A field of `/proc/self/status` that counts kilobytes, in megabytes.
fn megabytes(field: &str) -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with(field)).context("no such field")?;
    let kilobytes: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kilobytes / 1024.0)
}

/// The inputs, and the model with their shapes.
fn shaped(model: &mut Model, given: Vec<(Option<String>, Tensor)>, args: &Args) -> Result<Vec<Tensor>> {
    let mut inputs = arrays::assign(&PortInfo::inputs(model), given)?;
    for (seed, input) in inputs.iter_mut().enumerate() {
        let mut shape = input.shape().to_vec();
        if shape.len() == 4 {
            shape[0] = args.batch.unwrap_or(shape[0]);
            shape[1] = args.side.unwrap_or(shape[1]);
            shape[2] = args.side.unwrap_or(shape[2]);
        }
        if shape != input.shape() {
            *input = arrays::random(input.element_type(), &shape, seed as u64)?;
        }
    }
    for (id, input) in model.parameters().to_vec().into_iter().zip(&inputs) {
        model.set_parameter_shape(id, PartialShape::fixed(input.shape()));
    }
    model.infer()?;
    Ok(inputs)
}

fn requests(compiled: &CompiledModel, inputs: &[Tensor], count: usize) -> Result<Vec<InferRequest>> {
    let request = |_| -> Result<InferRequest> {
        let mut request = compiled.create_infer_request()?;
        for (i, input) in inputs.iter().enumerate() {
            request.set_input(i, HostTensor::from(input))?;
        }
        Ok(request)
    };
    ensure!(count > 0, "no streams");
    (0..count).map(request).collect()
}

/// Where the requests that end an inference say so, by number.
fn watch(requests: &mut [InferRequest]) -> Result<mpsc::Receiver<usize>> {
    let (sender, receiver) = mpsc::channel();
    for (number, request) in requests.iter_mut().enumerate() {
        let sender = sender.clone();
        request.set_callback(move |_| _ = sender.send(number))?;
    }
    Ok(receiver)
}

fn one_by_one(
    request: &mut InferRequest,
    time: Duration,
    mut layers: Option<&mut Layers>,
) -> Result<Vec<f64>> {
    let begin = Instant::now();
    let mut times = Vec::new();
    while times.len() < FEWEST || begin.elapsed() < time {
        let start = Instant::now();
        request.infer()?;
        times.push(ms(start.elapsed()));
        if let Some(layers) = &mut layers {
            layers.add(request.profile());
        }
    }
    Ok(times)
}

/// All requests in flight; the time per image.
fn in_flight(
    requests: &mut [InferRequest],
    idle: &mpsc::Receiver<usize>,
    time: Duration,
) -> Result<Vec<f64>> {
    let batch = requests[0].input(0)?.shape().first().copied().unwrap_or(1);
    let begin = Instant::now();
    let mut count = requests.len();
    requests.iter_mut().try_for_each(InferRequest::start_async)?;
    while count < FEWEST || begin.elapsed() < time {
        let request = &mut requests[idle.recv()?];
        request.wait()?;
        request.start_async()?;
        count += 1;
    }
    for _ in 0..requests.len() {
        requests[idle.recv()?].wait()?;
    }
    Ok(vec![ms(begin.elapsed()) / (count * batch) as f64])
}

/// The layers that ran, with their times in every inference.
#[derive(Default)]
struct Layers(Vec<(ProfileRow, Vec<Duration>)>);

impl Layers {
    fn add(&mut self, rows: Vec<ProfileRow>) {
        if self.0.is_empty() {
            let ran = rows.iter().filter(|row| row.status == LayerStatus::Executed);
            self.0 = ran.map(|row| (row.clone(), Vec::new())).collect();
        }
        let ran = rows.into_iter().filter(|row| row.status == LayerStatus::Executed);
        self.0.iter_mut().zip(ran).for_each(|((_, times), row)| times.push(row.real_time));
    }

    fn medians(self) -> Vec<Value> {
        let median = |(row, mut times): (ProfileRow, Vec<Duration>)| {
            times.sort();
            let us = times[times.len() / 2].as_secs_f64() * 1e6;
            json!({ "name": row.name, "type": row.layer_type, "exec": row.exec_type, "us": us })
        };
        self.0.into_iter().map(median).collect()
    }
}

/// Operations of one inference, in thousands of millions.
fn gflop(model: &Model) -> f64 {
    let works = model.nodes().filter_map(|(id, _)| work::of(model, id));
    works.map(|work| work.useful).sum::<u64>() as f64 / 1e9
}

/// What each node has to do, by name, and who alone takes what it gives (which engines may fuse with it); of nodes of
/// one name, the one with the most arithmetic.
fn nodes(model: &Model) -> Value {
    let mut nodes = serde_json::Map::new();
    for (id, node) in model.nodes() {
        let Some(work) = work::of(model, id) else { continue };
        let known = nodes.get(&node.name).and_then(|w| w["flops"].as_u64());
        if known.is_none_or(|flops| flops < work.flops) {
            let mut users = model.users_of(id);
            let next =
                users.next().filter(|_| users.next().is_none()).map(|(user, _)| &model.node(user).name);
            nodes.insert(
                node.name.clone(),
                json!({
                    "next": next, "kind": work.kind, "flops": work.flops, "useful": work.useful,
                    "activations": work.activations, "weights": work.weights,
                }),
            );
        }
    }
    nodes.into()
}
