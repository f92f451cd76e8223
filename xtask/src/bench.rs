//! Terroir beside OpenVINO: the same IR, the same threads, turn by turn in the same run.

use crate::{
    interop,
    process::{cache, program},
};
use anyhow::{Context, Result};

/// Turns that each engine gets on each network; the best of them counts, since other work on the machine only slows.
const TURNS: usize = 3;

pub(crate) fn run(args: &[String]) -> Result<()> {
    crate::zoo::environments(&["ov"])?;
    let threads = args.iter().find_map(|a| a.strip_prefix("--threads=")).unwrap_or("1");
    let only: Vec<&String> = args.iter().filter(|a| !a.starts_with("--")).collect();
    println!("milliseconds an inference, batch 1, f32, {threads} thread(s), best of {TURNS} turns");
    println!("{:<18} {:>10} {:>10} {:>8}", "network", "Terroir", "OpenVINO", "ratio");
    let out = cache().join("interop");
    for network in interop::networks()?.iter().filter(|n| only.is_empty() || only.contains(&&n.name)) {
        let xml = interop::convert_ours(network, "FP32", &out)?;
        let (mut ours, mut theirs) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..TURNS {
            let setting = format!("INFERENCE_NUM_THREADS={threads}");
            let printed = program("infer")?
                .args(["-niter", "30", "-c", &setting, "-m"])
                .arg(&xml)
                .arg("-i")
                .arg(&network.data)
                .output()?;
            // `min 1.234 ms, median 1.345 ms`
            let min = printed.split_whitespace().nth(1).and_then(|word| word.parse().ok());
            ours = ours.min(min.with_context(|| format!("infer printed `{}`", printed.trim()))?);
            let benchmark = interop::script("benchmark").arg(&xml).arg("--inputs").arg(&network.data);
            let printed = benchmark.args(["--threads", threads, "--seconds", "2"]).output()?;
            let json: serde_json::Value = serde_json::from_str(&printed)?;
            theirs = theirs.min(json["min_ms"].as_f64().context("no min_ms")?);
        }
        println!("{:<18} {ours:>10.2} {theirs:>10.2} {:>8.2}", network.name, ours / theirs);
    }
    Ok(())
}
