//! Layers of Terroir beside those of OpenVINO, matched by the names of the nodes that they compute.

use super::nodes::Nodes;
use anyhow::{Context, Result};
use serde_json::Value;
use std::{collections::BTreeMap, fmt::Write};

/// One layer that an engine ran.
struct Layer {
    name: String,
    kind: String,
    exec: String,
    us: f64,
    /// The nodes that it computes, as far as the engine says.
    of: Vec<String>,
}

/// Layers that compute the same.
struct Row {
    name: String,
    kind: String,
    ours: f64,
    theirs: Option<f64>,
    our_exec: String,
    their_exec: String,
    flops: u64,
}

/// Both engines on one network.
pub(super) struct Comparison {
    rows: Vec<Row>,
    /// Microseconds of their layers that none of ours goes with, by kind.
    unmatched: BTreeMap<String, f64>,
}

fn layers(end: &Value) -> Result<Vec<Layer>> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let layer = |row: &Value| Layer {
        name: text(&row["name"]),
        kind: text(&row["type"]),
        exec: text(&row["exec"]),
        us: row["us"].as_f64().unwrap_or_default(),
        of: row["of"].as_array().into_iter().flatten().map(text).collect(),
    };
    Ok(end["layers"].as_array().context("no layers")?.iter().map(layer).collect())
}

/// Takes what both engines said at their ends.
pub(super) fn compare(ours: &Value, theirs: &Value) -> Result<Comparison> {
    let nodes = Nodes::new(ours).context("no nodes")?;
    let works = nodes.work();
    let row = |layer: Layer| {
        let work = works.get(layer.name.as_str()).cloned().unwrap_or_default();
        Row {
            name: layer.name,
            kind: work.kind,
            ours: layer.us,
            theirs: None,
            our_exec: layer.exec,
            their_exec: String::new(),
            flops: work.flops,
        }
    };
    let mut rows: Vec<Row> = layers(ours)?.into_iter().map(row).collect();
    let mut unmatched = BTreeMap::new();
    for layer in layers(theirs)? {
        // One of ours that is named alike, or computes one of the same nodes; some of theirs go by the last of them.
        let names = || std::iter::once(&layer.name).chain(&layer.of);
        let alike = names().find_map(|name| rows.iter().position(|row| row.name == *name));
        let of_owner = |name: &String| {
            let owner = nodes.owner(name)?;
            rows.iter().position(|row| row.name == owner)
        };
        match alike.or_else(|| names().find_map(of_owner)) {
            Some(i) => {
                *rows[i].theirs.get_or_insert(0.0) += layer.us;
                rows[i].their_exec = layer.exec;
            }
            None => *unmatched.entry(layer.kind).or_insert(0.0) += layer.us,
        }
    }
    Ok(Comparison { rows, unmatched })
}

fn rate(flops: u64, us: f64) -> String {
    if flops == 0 || us <= 0.0 { String::new() } else { format!("{:.0}", flops as f64 / us / 1e3) }
}

impl Comparison {
    /// The kinds of layers with their sums, then the slowest layers.
    pub(super) fn tables(&self, count: usize) -> String {
        let mut text = String::from(
            "| kind | layers | ours us | OpenVINO us | ratio | ours GFLOP/s | OpenVINO GFLOP/s |\n|---|--:|--:|--:|--:|--:|--:|\n",
        );
        let mut kinds: BTreeMap<&str, (usize, f64, f64, u64)> = BTreeMap::new();
        for row in &self.rows {
            let sum = kinds.entry(&row.kind).or_default();
            *sum = (sum.0 + 1, sum.1 + row.ours, sum.2 + row.theirs.unwrap_or_default(), sum.3 + row.flops);
        }
        for (kind, us) in &self.unmatched {
            kinds.entry(kind).or_default().2 += us;
        }
        let mut kinds: Vec<_> = kinds.into_iter().collect();
        kinds.sort_by(|a, b| b.1.1.total_cmp(&a.1.1));
        let (ours, theirs) = kinds.iter().fold((0.0, 0.0), |sum, (_, k)| (sum.0 + k.1, sum.1 + k.2));
        kinds.push(("all", (self.rows.len(), ours, theirs, self.rows.iter().map(|row| row.flops).sum())));
        for (kind, (layers, ours, theirs, flops)) in kinds {
            let ratio = if theirs > 0.0 { format!("{:.2}", ours / theirs) } else { String::new() };
            let (a, b) = (rate(flops, ours), rate(flops, theirs));
            writeln!(text, "| {kind} | {layers} | {ours:.0} | {theirs:.0} | {ratio} | {a} | {b} |")
                .expect("a string takes all");
        }
        text += "\n| layer | kind | ours | us | OpenVINO | us | ratio | ours GFLOP/s | OpenVINO GFLOP/s |\n|---|---|---|--:|---|--:|--:|--:|--:|\n";
        let mut slowest: Vec<&Row> = self.rows.iter().collect();
        slowest.sort_by(|a, b| b.ours.total_cmp(&a.ours));
        for row in slowest.into_iter().take(count) {
            let theirs = row.theirs.map(|us| format!("{us:.0}")).unwrap_or_default();
            let ratio = row.theirs.filter(|us| *us > 0.0).map(|us| format!("{:.2}", row.ours / us));
            writeln!(
                text,
                "| {} | {} | {} | {:.0} | {} | {theirs} | {} | {} | {} |",
                row.name,
                row.kind,
                row.our_exec,
                row.ours,
                row.their_exec,
                ratio.unwrap_or_default(),
                rate(row.flops, row.ours),
                row.theirs.map(|us| rate(row.flops, us)).unwrap_or_default(),
            )
            .expect("a string takes all");
        }
        text
    }
}
