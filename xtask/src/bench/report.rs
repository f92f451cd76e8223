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
    /// The median of each turn.
    turns: Vec<f64>,
    pub(super) version: String,
}

impl Times {
    pub(super) fn add(&mut self, ms: Vec<f64>) {
        self.turns.push(median(&ms));
        self.ms.extend(ms);
    }

    /// The median ratio of turns that were taken one after the other: what slows the machine for a while slows both.
    fn beside(&self, other: &Self) -> f64 {
        median(&self.turns.iter().zip(&other.turns).map(|(own, other)| own / other).collect::<Vec<_>>())
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
             OpenVINO's, lower is better: of medians, of minima, and the median of those of single turns, for these \
             machines do not keep their speed.\n\n";
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
        "## Latency, {threads} thread(s), ms\n\n| network | Terroir | OpenVINO | ONNX Runtime | ratio | of minima | of turns |\n|---|--:|--:|--:|--:|--:|--:|\n"
    );
    let mut ratios = [(); 3].map(|()| Vec::new());
    for m in measured {
        let all = &m.latency[at].1;
        let shown = Engine::ALL.map(|engine| {
            of(all, engine).map_or(String::new(), |t| format!("{:.2} ({:.2})", t.median(), t.min()))
        });
        let (Some(ours), Some(theirs)) = (of(all, Engine::Terroir), of(all, Engine::OpenVino)) else {
            continue;
        };
        let own = [ours.median() / theirs.median(), ours.min() / theirs.min(), ours.beside(theirs)];
        ratios.iter_mut().zip(own).for_each(|(ratios, own)| ratios.push(own));
        writeln!(
            text,
            "| {} | {} | {} |",
            m.name,
            shown.join(" | "),
            own.map(|r| format!("{r:.2}")).join(" | ")
        )
        .expect("a string takes all");
    }
    let means = ratios.map(|ratios| format!("{:.2}", geometric_mean(&ratios))).join(" | ");
    text + &format!("| geometric mean | | | | {means} |\n\n")
}

fn throughput(measured: &[Measured]) -> String {
    let mut text = String::from(
        "## Throughput, two streams on two threads, images a second\n\n| network | Terroir | OpenVINO | ratio of time per image | of turns |\n|---|--:|--:|--:|--:|\n",
    );
    let mut ratios = [(); 2].map(|()| Vec::new());
    for m in measured {
        let all = &m.throughput;
        let (Some(ours), Some(theirs)) = (of(all, Engine::Terroir), of(all, Engine::OpenVino)) else {
            continue;
        };
        let turns = ours.beside(theirs);
        let (ours, theirs) = (ours.median(), theirs.median());
        ratios[0].push(ours / theirs);
        ratios[1].push(turns);
        let (name, ratio) = (&m.name, ours / theirs);
        writeln!(text, "| {name} | {:.1} | {:.1} | {ratio:.2} | {turns:.2} |", 1e3 / ours, 1e3 / theirs)
            .expect("a string takes all");
    }
    let means = ratios.map(|ratios| format!("{:.2}", geometric_mean(&ratios))).join(" | ");
    text + &format!("| geometric mean | | | {means} |\n\n")
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
