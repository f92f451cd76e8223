//! What CI runs, in the order in which it fails soonest.

use crate::{
    demo,
    process::{cargo, program, root},
    tidy,
};
use anyhow::Result;
use std::time::Instant;

pub(crate) fn run() -> Result<()> {
    type Step = fn() -> Result<()>;
    let steps: &[(&str, Step)] = &[
        ("formatting", || cargo(["fmt", "--all", "--check"]).run()),
        ("tidy", tidy::run),
        ("clippy", || {
            cargo(["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]).run()
        }),
        ("tests", || cargo(["test", "--workspace", "--quiet"]).run()),
        ("documentation", || {
            cargo(["doc", "--workspace", "--no-deps", "--quiet"]).env("RUSTDOCFLAGS", "-D warnings").run()
        }),
        ("demo", demo::run),
        ("corpus", || if root().join(CORPUS).is_dir() { corpus(None) } else { skip_corpus() }),
    ];
    for (name, step) in steps {
        println!("== {name}");
        let start = Instant::now();
        step()?;
        println!("== {name}: {:.0} s", start.elapsed().as_secs_f64());
    }
    Ok(())
}

const CORPUS: &str = "../shared/corpus";

fn skip_corpus() -> Result<()> {
    println!("{CORPUS} is not here: the corpus was NOT run");
    Ok(())
}

/// Converts and runs the cases of a corpus folder.
pub(crate) fn corpus(folder: Option<&str>) -> Result<()> {
    let runner = program("corpus")?;
    match folder {
        Some(folder) => runner.arg(folder).run(),
        None => runner.arg(root().join(CORPUS)).run(),
    }
}
