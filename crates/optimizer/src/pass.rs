//! Passes: values with a name, run one after another, timed and checked.

use ir::{Model, ModelError, op::PortType};
use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, Instant},
};
use thiserror::Error;

/// One step of the optimisation.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// What it is called in reports and in [`crate::Options::skip`].
    pub name: &'static str,
    /// Changes the model; returns the number of changes.
    pub run: fn(&mut Model, &mut Record) -> Result<usize, ModelError>,
}

/// What passes leave behind besides the model.
#[derive(Debug, Default)]
pub struct Record {
    refusals: Vec<Refused>,
    seen: HashSet<(&'static str, String)>,
    applied: BTreeMap<&'static str, usize>,
    /// Names of nodes that are not to be fused with others.
    keep: HashSet<String>,
}

impl Record {
    pub(crate) fn applied(&mut self, rule: &'static str) {
        *self.applied.entry(rule).or_default() += 1;
    }

    /// True when the node must not go into another.
    pub(crate) fn keeps(&self, node: &str) -> bool {
        self.keep.contains(node)
    }

    pub(crate) fn refused(&mut self, rule: &'static str, node: &str, reason: String) {
        if self.seen.insert((rule, node.to_owned())) {
            tracing::debug!(rule, node, reason, "refused");
            self.refusals.push(Refused { rule, node: node.to_owned(), reason });
        }
    }
}

/// A rule that found its pattern at a node and yet did not apply.
#[derive(Clone, PartialEq, Debug)]
pub struct Refused {
    /// The rule.
    pub rule: &'static str,
    /// The node's name.
    pub node: String,
    /// Why not.
    pub reason: String,
}

/// What one pass did.
#[derive(Clone, PartialEq, Debug)]
pub struct Step {
    /// The pass.
    pub pass: &'static str,
    /// The number of changes.
    pub changes: usize,
    /// How long it took, checks not included.
    pub time: Duration,
    /// How often each rule applied in it.
    pub applied: BTreeMap<&'static str, usize>,
}

/// What an optimisation did.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Report {
    /// The passes that ran, in order.
    pub steps: Vec<Step>,
    /// How often each rule applied.
    pub applied: BTreeMap<&'static str, usize>,
    /// Rules that found their pattern and did not apply, each node once a rule.
    pub refusals: Vec<Refused>,
}

/// Why an optimisation failed. The model is then in the middle of it and of no use.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// A pass met or made a malformed graph.
    #[error("pass `{pass}`: {source}")]
    Model {
        /// The pass.
        pass: &'static str,
        /// What is wrong.
        source: ModelError,
    },
    /// A pass changed what comes out of the network: a fault of the pass.
    #[error(
        "pass `{pass}` turned output `{output}` from {was} into {is}; skip that pass and report the model"
    )]
    OutputChanged {
        /// The pass.
        pass: &'static str,
        /// The output's name.
        output: String,
        /// Its type before.
        was: PortType,
        /// Its type now.
        is: PortType,
    },
}

/// Runs `passes` in order. After each the types are inferred anew, the outputs must be what they were, and `after`
/// sees the model (to write it to a file, for instance).
pub fn run(
    model: &mut Model,
    passes: &[Pass],
    after: &mut dyn FnMut(&Step, &Model),
) -> Result<Report, Error> {
    run_keeping(model, passes, &HashSet::new(), after)
}

/// The same; passes that fuse leave the nodes called `keep` alone.
pub(crate) fn run_keeping(
    model: &mut Model,
    passes: &[Pass],
    keep: &HashSet<String>,
    after: &mut dyn FnMut(&Step, &Model),
) -> Result<Report, Error> {
    let mut record = Record { keep: keep.clone(), ..Record::default() };
    let mut steps = Vec::new();
    for pass in passes {
        let fail = |source| Error::Model { pass: pass.name, source };
        let outputs: Vec<PortType> = output_types(model);
        let start = Instant::now();
        let before = std::mem::take(&mut record.applied);
        let changes = (pass.run)(model, &mut record).map_err(fail)?;
        let step = Step { pass: pass.name, changes, time: start.elapsed(), applied: record.applied.clone() };
        for (rule, count) in before {
            *record.applied.entry(rule).or_default() += count;
        }
        tracing::debug!(pass = pass.name, changes, time = ?step.time, nodes = model.len(), "pass");
        if changes > 0 {
            model.infer().map_err(fail)?;
        }
        for ((was, is), result) in outputs.into_iter().zip(output_types(model)).zip(model.results()) {
            if was.element_type != is.element_type || was.shape.intersect(&is.shape).is_none() {
                let output = model.node(*result).name.clone();
                return Err(Error::OutputChanged { pass: pass.name, output, was, is });
            }
        }
        after(&step, model);
        steps.push(step);
    }
    Ok(Report { steps, applied: record.applied, refusals: record.refusals })
}

fn output_types(model: &Model) -> Vec<PortType> {
    model.results().iter().map(|id| model.ty((*id).into()).clone()).collect()
}
