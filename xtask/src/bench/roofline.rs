//! Every layer beside the least time that the machine's limits allow it.

use super::{
    converted,
    nodes::Nodes,
    options::Options,
    peer::{Engine, Peer, Setting},
    report,
};
use crate::{interop::Network, process::program};
use anyhow::{Context, Result};
use serde_json::Value;
use std::fmt::Write;

/// The machine's limits with some threads.
struct Peaks {
    threads: usize,
    flops: f64,
    /// Bytes that a thread reads again and again, ascending, and bytes a second.
    reads: Vec<(f64, f64)>,
}

impl Peaks {
    fn measure(threads: usize) -> Result<Self> {
        let line = program("peaks")?.arg(threads.to_string()).output()?;
        let json: Value = serde_json::from_str(&line)?;
        let reads = json["reads"].as_array().context("no reads")?;
        let reads = reads.iter().filter_map(|pair| Some((pair[0].as_f64()?, pair[1].as_f64()?))).collect();
        Ok(Self { threads, flops: json["flops"].as_f64().context("no peak")?, reads })
    }

    /// The better of both: what else the machine does only lowers a peak.
    fn or_better(mut self, other: Self) -> Self {
        self.flops = self.flops.max(other.flops);
        for (read, again) in self.reads.iter_mut().zip(other.reads) {
            read.1 = read.1.max(again.1);
        }
        self
    }

    /// Bytes a second, at the most, for data of that size that is read again and again, over all threads: the speed of
    /// the next smaller size, so that the bound stays one.
    fn bandwidth(&self, bytes: f64) -> f64 {
        let own = bytes / self.threads as f64;
        let found = self.reads.iter().rfind(|(size, _)| *size <= own).or(self.reads.first());
        found.map_or(f64::INFINITY, |(_, rate)| *rate)
    }
}

pub(super) fn run(networks: &[Network], options: &Options) -> Result<String> {
    let threads = options.threads[0];
    let mut peaks = Peaks::measure(threads)?;
    let mut ends = Vec::new();
    let mut version = String::new();
    for network in networks {
        eprintln!("{}", network.name);
        let setting = Setting { threads, profile: true, ..Setting::default() };
        let mut peer = Peer::start(Engine::Terroir, &converted(network)?, &network.data, &setting)?;
        for _ in 0..options.turns {
            peer.turn(options.seconds)?;
        }
        version = peer.version();
        ends.push((&network.name, peer.finish()?));
        peaks = peaks.or_better(Peaks::measure(threads)?);
    }
    let mut text = format!("# The roofline, {threads} thread(s)\n\n{}", report::heading(&version)?);
    text += "For each layer: the operations on data (taps on padding left out), the bytes of activations and of \
             weights, the least time that these need at the peaks below, and what was measured. Activations are taken to \
             move at the speed of the level of memory that holds the layer's, weights at the speed of that which holds all \
             weights of the network. Operations are those of the direct algorithm: Winograd's does fewer and may \
             need less than the bound.\n\n";
    write!(text, "Peak: {:.0} GFLOP/s. Reads", peaks.flops / 1e9)?;
    for (size, rate) in &peaks.reads {
        write!(text, ", {:.0} KiB: {:.0} GB/s", size / 1024.0, rate / 1e9)?;
    }
    text += ".\n\n";
    for (name, end) in &ends {
        table(&mut text, name, end, &peaks)?;
    }
    Ok(text)
}

fn table(text: &mut String, name: &str, end: &Value, peaks: &Peaks) -> Result<()> {
    let nodes = Nodes::new(end).context("no nodes")?;
    let works = nodes.work();
    let all_weights: u64 = works.values().map(|work| work.weights).sum();
    let mut rows = String::new();
    let (mut bounds, mut measured) = (0.0, 0.0);
    for row in end["layers"].as_array().context("no layers")? {
        let name = row["name"].as_str().unwrap_or_default();
        let us = row["us"].as_f64().unwrap_or_default();
        measured += us;
        let Some(work) = works.get(name) else { continue };
        let (activations, weights) = (work.activations as f64, work.weights as f64);
        let compute = work.useful as f64 / peaks.flops * 1e6;
        let memory = (activations / peaks.bandwidth(activations)
            + weights / peaks.bandwidth(all_weights as f64))
            * 1e6;
        let bound = compute.max(memory);
        bounds += bound;
        writeln!(
            rows,
            "| {name} | {} | {} | {:.1} | {:.2} | {:.2} | {bound:.0} | {} | {us:.0} | {:.0} % | {:.0} |",
            work.kind,
            row["exec"].as_str().unwrap_or_default(),
            work.useful as f64 / 1e6,
            activations / 1e6,
            weights / 1e6,
            if compute >= memory { "arithmetic" } else { "memory" },
            100.0 * bound / us,
            us - bound,
        )?;
    }
    write!(
        text,
        "## {name}\n\nBound {:.2} ms, measured {:.2} ms (the sum of the layers): {:.0} % of the roofline.\n\n\
         | layer | kind | kernel | MFLOP | activations MB | weights MB | bound us | by | measured us | of the bound | lost us |\n\
         |---|---|---|--:|--:|--:|--:|---|--:|--:|--:|\n{rows}\n",
        bounds / 1e3,
        measured / 1e3,
        100.0 * bounds / measured
    )?;
    Ok(())
}
