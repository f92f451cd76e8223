//! The command line of `cargo xtask bench`.

use crate::interop::Network;
use anyhow::{Context, Result, bail, ensure};

/// What to measure, how long.
pub(super) struct Options {
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
        let quick = args.iter().any(|arg| arg == "--quick");
        let mut options = Self {
            threads: if quick { vec![1] } else { vec![1, 2] },
            turns: if quick { 3 } else { 5 },
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
                "--quick" => {}
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

    /// The networks that were named, or the whole zoo: the digits say little about speed.
    pub(super) fn select(&self, all: Vec<Network>) -> Result<Vec<Network>> {
        for name in &self.names {
            let names: Vec<&str> = all.iter().map(|n| n.name.as_str()).collect();
            ensure!(names.contains(&name.as_str()), "no network `{name}`; there are {}", names.join(", "));
        }
        let wanted = |n: &Network| match self.names.is_empty() {
            true => n.name != "digits",
            false => self.names.contains(&n.name),
        };
        Ok(all.into_iter().filter(wanted).collect())
    }

    /// True for a run that measures all, which is kept.
    pub(super) fn is_record(&self) -> bool {
        self.names.is_empty() && !self.quick && self.threads == [1, 2]
    }
}
