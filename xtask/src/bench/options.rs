//! The command line of `cargo xtask bench`.

use crate::interop::Network;
use anyhow::{Context, Result, bail, ensure};

/// Which table to make.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// The networks beside their peers.
    Zoo,
    /// Layers beside the machine's limits.
    Roofline,
    /// Batches and sides of the image.
    Sweep,
}

/// What to measure, how long.
pub(super) struct Options {
    pub(super) what: What,
    pub(super) threads: Vec<usize>,
    pub(super) turns: usize,
    /// Of one turn of one engine.
    pub(super) seconds: f64,
    /// Rows of a network's table of layers.
    pub(super) layers: usize,
    pub(super) throughput: bool,
    pub(super) loading: bool,
    pub(super) onnx: bool,
    names: Vec<String>,
    quick: bool,
}

impl Options {
    pub(super) fn parse(args: &[String]) -> Result<Self> {
        let has = |flag: &str| args.iter().any(|arg| arg == flag);
        let quick = has("--quick");
        let what = match (has("--roofline"), has("--sweep")) {
            (true, true) => bail!("--roofline and --sweep are tables of their own"),
            (true, false) => What::Roofline,
            (false, true) => What::Sweep,
            (false, false) => What::Zoo,
        };
        let brief = quick || what != What::Zoo;
        let mut options = Self {
            what,
            threads: if brief { vec![1] } else { vec![1, 2] },
            turns: if brief { 3 } else { 5 },
            seconds: if quick { 0.3 } else { 0.5 },
            layers: 15,
            throughput: !quick,
            loading: !quick,
            onnx: !quick,
            names: Vec::new(),
            quick,
        };
        for arg in args {
            let (flag, value) = arg.split_once('=').unwrap_or((arg, ""));
            let number = || value.parse::<usize>().with_context(|| format!("{arg}: expected a number"));
            match flag {
                "--quick" | "--roofline" | "--sweep" => {}
                "--threads" => {
                    let parsed: Result<Vec<usize>, _> = value.split(',').map(str::parse).collect();
                    options.threads =
                        parsed.with_context(|| format!("{arg}: expected numbers, as in 1,2"))?;
                }
                "--turns" => options.turns = number()?,
                "--layers" => options.layers = number()?,
                _ if flag.starts_with('-') => bail!("bench has no option {flag}"),
                _ => options.names.push(arg.clone()),
            }
        }
        ensure!(options.turns > 0 && !options.threads.contains(&0), "turns and threads count from 1");
        Ok(options)
    }

    /// The networks that were named; else the whole zoo (the digits say little about speed), or for the sweep two that
    /// differ most.
    pub(super) fn select(&self, all: Vec<Network>) -> Result<Vec<Network>> {
        for name in &self.names {
            let names: Vec<&str> = all.iter().map(|n| n.name.as_str()).collect();
            ensure!(names.contains(&name.as_str()), "no network `{name}`; there are {}", names.join(", "));
        }
        let wanted = |n: &Network| match (self.names.is_empty(), self.what) {
            (false, _) => self.names.contains(&n.name),
            (true, What::Sweep) => ["resnet50", "mobilenet_v2"].contains(&n.name.as_str()),
            (true, _) => n.name != "digits",
        };
        Ok(all.into_iter().filter(wanted).collect())
    }

    /// True for a run that measures all, which is kept.
    pub(super) fn is_record(&self) -> bool {
        let threads: &[usize] = if self.what == What::Zoo { &[1, 2] } else { &[1] };
        self.names.is_empty() && !self.quick && self.threads == threads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &str) -> Result<Options> {
        Options::parse(&args.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn only_whole_runs_are_records() {
        for (args, record) in [
            ("", true),
            ("--turns=9", true),
            ("--quick", false),
            ("--threads=1", false),
            ("resnet50", false),
            ("--roofline", true),
            ("--sweep --threads=2", false),
        ] {
            assert_eq!(parse(args).unwrap().is_record(), record, "{args}");
        }
        for wrong in ["--nothing", "--threads=0", "--threads=two", "--turns=0", "--roofline --sweep"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
