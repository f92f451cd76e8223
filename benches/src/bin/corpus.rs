//! Converts and runs every case of a corpus folder, and says which passed and where the others stopped.

use anyhow::{Context, Result, ensure};
use benches::corpus::{self, Tools};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    path::PathBuf,
    sync::Mutex,
    sync::atomic::{AtomicUsize, Ordering},
};

/// Runs a corpus of small networks.
#[derive(Parser)]
struct Args {
    /// The folder with the cases.
    folder: PathBuf,
    /// Only cases whose names contain this.
    #[arg(long, default_value = "")]
    filter: String,
    /// Only cases of this framework.
    #[arg(long)]
    framework: Option<String>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let mut cases = corpus::find(&args.folder)?;
    cases.retain(|c| {
        c.name().contains(&args.filter) && args.framework.as_deref().is_none_or(|f| f == c.framework())
    });
    ensure!(!cases.is_empty(), "no cases below {}", args.folder.display());
    // The programs lie beside this one: cargo built them together.
    let folder = std::env::current_exe()?.parent().context("a program lies in a folder")?.to_owned();
    let tools = Tools { mo: folder.join("mo"), infer: folder.join("infer") };
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}")?;
    let bar = ProgressBar::new(cases.len() as u64).with_style(style);
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = case.run(&tools) {
                        let mut failures = failures.lock().expect("no thread panics with the lock");
                        failures.push(format!("{}: {error:#}", case.name()));
                    }
                    bar.inc(1);
                }
            });
        }
    });
    bar.finish_and_clear();
    let mut failures = failures.into_inner().expect("the threads have ended");
    failures.sort();
    failures.iter().for_each(|line| println!("{line}"));
    println!("{} passed, {} failed", cases.len() - failures.len(), failures.len());
    ensure!(failures.is_empty(), "{} of {} cases failed", failures.len(), cases.len());
    Ok(())
}
