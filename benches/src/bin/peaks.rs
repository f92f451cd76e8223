//! Prints what the machine can do at the most, as a line of JSON: `peaks THREADS`.

use anyhow::{Context, Result};
use benches::peaks::Peaks;

fn main() -> Result<()> {
    let threads = std::env::args().nth(1).map_or(Ok(1), |n| n.parse()).context("peaks THREADS")?;
    let peaks = Peaks::measure(threads);
    let line = serde_json::json!({
        "threads": peaks.threads, "isa": peaks.isa, "flops": peaks.flops, "reads": peaks.reads,
    });
    println!("{line}");
    Ok(())
}
