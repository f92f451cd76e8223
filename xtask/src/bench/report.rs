//! What was measured, as Markdown.

use super::{layers::Comparison, options::Options, peer::Engine};
use crate::process::Process;
use anyhow::Result;
use serde_json::Value;
use std::{fmt::Write, fs};

/// Milliseconds of inferences.
#[derive(Default)]
pub(super) struct Times {
    ms: Vec<f64>,
    pub(super) version: String,
}

impl Times {
    pub(super) fn add(&mut self, ms: Vec<f64>) {
        self.ms.extend(ms);
    }

    pub(super) fn median(&self) -> f64 {
        median(&self.ms)
    }

    fn min(&self) -> f64 {
        self.ms.iter().copied().fold(f64::INFINITY, f64::min)
    }
}

/// The middle of the numbers.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n => (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0,
    }
}

fn geometric_mean(values: &[f64]) -> f64 {
    (values.iter().map(|v| v.ln()).sum::<f64>() / values.len() as f64).exp()
}

/// Processes that loaded a network and answered once.
#[derive(Default)]
pub(super) struct Loading {
    /// Read, compile, first inference, their sum, the whole process.
    ms: [Vec<f64>; 5],
    /// Before the model was read, and the peak.
    mb: [Vec<f64>; 2],
}

impl Loading {
    pub(super) fn add(&mut self, ready: Value, whole_ms: f64, end: Value) {
        let parts = ["read_ms", "compile_ms", "first_ms"].map(|key| ready[key].as_f64().unwrap_or(f64::NAN));
        let all = [parts[0], parts[1], parts[2], parts.iter().sum(), whole_ms];
        self.ms.iter_mut().zip(all).for_each(|(times, ms)| times.push(ms));
        self.mb[0].push(ready["before_mb"].as_f64().unwrap_or(f64::NAN));
        self.mb[1].push(end["peak_mb"].as_f64().unwrap_or(f64::NAN));
    }
}

/// All about one network.
pub(super) struct Measured {
    name: String,
    weight_bytes: u64,
    /// By number of threads.
    pub(super) latency: Vec<(usize, Vec<(Engine, Times)>)>,
    pub(super) throughput: Vec<(Engine, Times)>,
    pub(super) loading: Vec<(Engine, Loading)>,
    pub(super) layers: Option<Comparison>,
}

impl Measured {
    pub(super) fn new(name: &str, weight_bytes: u64) -> Self {
        Self {
            name: name.to_owned(),
            weight_bytes,
            latency: Vec::new(),
            throughput: Vec::new(),
            loading: Vec::new(),
            layers: None,
        }
    }
}

fn of<T>(all: &[(Engine, T)], engine: Engine) -> Option<&T> {
    all.iter().find(|(e, _)| *e == engine).map(|(_, value)| value)
}

pub(super) fn document(measured: &[Measured], options: &Options) -> Result<String> {
    let mut text = String::from("# The zoo beside OpenVINO and ONNX Runtime\n\n");
    let mut versions: Vec<&str> = measured
        .iter()
        .flat_map(|m| m.latency.iter().flat_map(|(_, all)| all.iter().map(|(_, t)| t.version.as_str())))
        .collect();
    versions.sort_unstable();
    versions.dedup();
    text += &heading(&versions.join(", "))?;
    text += "Batch 1, the same IR (ONNX Runtime: the same frozen graph by tf2onnx); minima in brackets. Ratio: ours / \
             OpenVINO's, lower is better.\n\n";
    for (i, threads) in options.threads.iter().enumerate() {
        text += &latency(measured, i, *threads);
    }
    if options.throughput {
        text += &throughput(measured);
    }
    if options.loading {
        text += &loading(measured);
        text += &memory(measured);
    }
    for m in measured {
        if let Some(layers) = &m.layers {
            let threads = options.threads[0];
            text += &format!(
                "## Layers of {}, {threads} thread(s)\n\n{}\n",
                m.name,
                layers.tables(options.layers)
            );
        }
    }
    Ok(text)
}

/// What was measured, where, when, how.
pub(super) fn heading(versions: &str) -> Result<String> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find(|line| line.starts_with("model name")).and_then(|l| l.split_once(": "));
    let model = model.map_or("unknown processor", |(_, name)| name);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let widest = ["avx512f", "avx2"].into_iter().find(|set| cpuinfo.contains(set)).unwrap_or("no AVX2");
    let date = Process::new("date").args(["-u", "+%F %R UTC"]).output()?;
    let commit = Process::new("git").args(["rev-parse", "--short", "HEAD"]).output().unwrap_or_default();
    Ok(format!(
        "{model}, {processors} processors, {widest}. {}; commit {}; {versions}.\n\
         f32, fixed shapes; medians of turns that the engines took in one run.\n\n",
        date.trim(),
        commit.trim()
    ))
}

fn latency(measured: &[Measured], at: usize, threads: usize) -> String {
    let mut text = format!(
        "## Latency, {threads} thread(s), ms\n\n| network | Terroir | OpenVINO | ONNX Runtime | ratio | ratio of minima |\n|---|--:|--:|--:|--:|--:|\n"
    );
    let (mut medians, mut minima) = (Vec::new(), Vec::new());
    for m in measured {
        let all = &m.latency[at].1;
        let shown = Engine::ALL.map(|engine| {
            of(all, engine).map_or(String::new(), |t| format!("{:.2} ({:.2})", t.median(), t.min()))
        });
        let (Some(ours), Some(theirs)) = (of(all, Engine::Terroir), of(all, Engine::OpenVino)) else {
            continue;
        };
        medians.push(ours.median() / theirs.median());
        minima.push(ours.min() / theirs.min());
        let ratios = (medians[medians.len() - 1], minima[minima.len() - 1]);
        writeln!(text, "| {} | {} | {:.2} | {:.2} |", m.name, shown.join(" | "), ratios.0, ratios.1)
            .expect("a string takes all");
    }
    let means = (geometric_mean(&medians), geometric_mean(&minima));
    text + &format!("| geometric mean | | | | {:.2} | {:.2} |\n\n", means.0, means.1)
}

fn throughput(measured: &[Measured]) -> String {
    let mut text = String::from(
        "## Throughput, two streams on two threads, images a second\n\n| network | Terroir | OpenVINO | ratio of time per image |\n|---|--:|--:|--:|\n",
    );
    let mut ratios = Vec::new();
    for m in measured {
        let all = &m.throughput;
        let (Some(ours), Some(theirs)) = (of(all, Engine::Terroir), of(all, Engine::OpenVino)) else {
            continue;
        };
        let (ours, theirs) = (ours.median(), theirs.median());
        ratios.push(ours / theirs);
        writeln!(text, "| {} | {:.1} | {:.1} | {:.2} |", m.name, 1e3 / ours, 1e3 / theirs, ours / theirs)
            .expect("a string takes all");
    }
    text + &format!("| geometric mean | | | {:.2} |\n\n", geometric_mean(&ratios))
}

fn loading(measured: &[Measured]) -> String {
    let mut text = String::from(
        "## Read, compile, first inference, 2 threads, ms\n\n\
         From before the model is read until the first answer, in the engine's process, and with the process's own start. \
         OpenVINO is called from C++ (`xtask/cpp/start.cpp`).\n\n\
         | network | engine | read | compile | first inference | sum | whole process | ratio of whole processes |\n|---|---|--:|--:|--:|--:|--:|--:|\n",
    );
    for m in measured {
        let whole = |engine| of(&m.loading, engine).map(|l| median(&l.ms[4]));
        for (engine, loading) in &m.loading {
            let shown = loading.ms.each_ref().map(|times| format!("{:.1}", median(times)));
            let ratio = match (engine, whole(Engine::Terroir), whole(Engine::OpenVinoCpp)) {
                (Engine::Terroir, Some(ours), Some(theirs)) => format!("{:.2}", ours / theirs),
                _ => String::new(),
            };
            writeln!(text, "| {} | {} | {} | {ratio} |", m.name, engine.name(), shown.join(" | "))
                .expect("a string takes all");
        }
    }
    text + "\n"
}

fn memory(measured: &[Measured]) -> String {
    let mut text = String::from(
        "## Peak memory of that process, MB (resident)\n\n\
         | network | weights | Terroir | over the weights | OpenVINO | before it read the model |\n|---|--:|--:|--:|--:|--:|\n",
    );
    for m in measured {
        let (Some(ours), Some(theirs)) =
            (of(&m.loading, Engine::Terroir), of(&m.loading, Engine::OpenVinoCpp))
        else {
            continue;
        };
        let weights = m.weight_bytes as f64 / f64::from(1 << 20);
        let (peak, theirs, before) = (median(&ours.mb[1]), median(&theirs.mb[1]), median(&theirs.mb[0]));
        let row = [weights, peak, peak - weights, theirs, before].map(|mb| format!("{mb:.0}"));
        writeln!(text, "| {} | {} |", m.name, row.join(" | ")).expect("a string takes all");
    }
    text + "\n"
}
