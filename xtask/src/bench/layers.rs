//! Layers of Terroir beside those of OpenVINO, matched by the names of the nodes that they compute.

use anyhow::{Context, Result};
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Write,
};

/// One layer that an engine ran.
struct Layer {
    name: String,
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
        exec: text(&row["exec"]),
        us: row["us"].as_f64().unwrap_or_default(),
        of: row["of"].as_array().into_iter().flatten().map(text).collect(),
    };
    Ok(end["layers"].as_array().context("no layers")?.iter().map(layer).collect())
}

/// Takes what both engines said at their ends.
pub(super) fn compare(ours: &Value, theirs: &Value) -> Result<Comparison> {
    let nodes = &ours["nodes"];
    let kind = |name: &str| nodes[name]["kind"].as_str().unwrap_or("other").to_owned();
    let (ours, theirs) = (layers(ours)?, layers(theirs)?);
    // Which of their layers computes a node: the one named after it, or else one that swallowed it.
    let mut computes: HashMap<&str, usize> = HashMap::new();
    for (i, layer) in theirs.iter().enumerate() {
        layer.of.iter().for_each(|node| _ = computes.entry(node).or_insert(i));
    }
    theirs.iter().enumerate().for_each(|(i, layer)| _ = computes.insert(&layer.name, i));
    let mut taken = vec![false; theirs.len()];
    // Some of theirs go by the last node that they swallowed.
    let ran: HashSet<&str> = ours.iter().map(|layer| layer.name.as_str()).collect();
    let find = |name: &str| {
        let next = |name: &&str| nodes[*name]["next"].as_str().filter(|next| !ran.contains(next));
        std::iter::successors(Some(name), next).find_map(|name| computes.get(name).copied())
    };
    let rows = ours.iter().map(|layer| {
        let found = find(&layer.name);
        // Several of ours may go with one of theirs; its time counts once.
        let fresh = found.filter(|i| !std::mem::replace(&mut taken[*i], true));
        Row {
            name: layer.name.clone(),
            kind: kind(&layer.name),
            ours: layer.us,
            theirs: fresh.map(|i| theirs[i].us),
            our_exec: layer.exec.clone(),
            their_exec: found.map(|i| theirs[i].exec.clone()).unwrap_or_default(),
            flops: nodes[&layer.name]["flops"].as_u64().unwrap_or_default(),
        }
    });
    let rows = rows.collect();
    let mut unmatched = BTreeMap::new();
    for (layer, taken) in theirs.iter().zip(taken) {
        if !taken {
            *unmatched.entry(kind(&layer.name)).or_insert(0.0) += layer.us;
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
