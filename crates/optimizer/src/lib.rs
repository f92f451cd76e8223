//! Passes `Model -> Model`: fold, fuse, sink transposes, embed mean and scale.
//!
//! | to | use |
//! |---|---|
//! | optimise a model | [`optimize`] |
//! | run some passes only, or see the model after each | [`run`] with values of [`PASSES`] |
//! | find what will not work on a device or in half precision | [`analysis`] |
//! | know what a node has to compute and to move | [`work::of`] |
//! | put mean, scale, reversed channels or another layout behind an input | [`preprocessing`] |
//!
//! A pass is a value with a name. Most are lists of rules; a rule looks at one node and answers with a replacement
//! or with the reason why there is none, so that "why was this not fused?" has an answer: [`Report::refusals`].
//! Nodes keep the names of the framework's nodes whose outputs they produce; what was merged into a node stands in
//! its run-time information as `fused_names`.
#![forbid(unsafe_code)]

mod activation;
pub mod analysis;
mod fold;
mod graph;
mod group;
mod identity;
mod layout;
mod linear;
mod padding;
mod pass;
mod permutation;
pub mod preprocessing;
mod rule;
mod stride;
mod weights;
pub mod work;

pub use pass::{Error, Pass, Record, Refused, Report, Step, run};

use ir::{Model, ModelError};
use rule::{Effect, Rule, rewrite, rewrite_with};
use std::collections::HashSet;

/// What is asked of [`optimize`].
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Names of passes to leave out.
    pub skip: Vec<String>,
    /// Names of nodes that are not fused with others.
    pub keep: HashSet<String>,
}

/// The pass that takes linear operations into weights.
pub const LINEAR_FUSING: &str = "fuse linear chains";
/// The pass that makes grouped convolutions.
pub const GROUP_FUSING: &str = "group convolutions";
/// The pass that moves the strides of 1x1 convolutions towards the inputs.
pub const STRIDE_HOISTING: &str = "hoist strides";

/// All passes, in the order in which [`optimize`] runs them.
pub const PASSES: &[Pass] = &[
    Pass { name: "fold constants", run: fold_constants },
    Pass { name: "remove identities", run: remove_identities },
    Pass { name: "decompose normalisations", run: |model, record| rules(model, linear::DECOMPOSE, record) },
    Pass { name: "settle layouts", run: layout::settle },
    Pass { name: "fold transposed constants", run: fold_constants },
    Pass { name: "fuse pads and dilations", run: |model, record| fuse(model, padding::RULES, record) },
    Pass { name: GROUP_FUSING, run: |model, record| fuse(model, group::RULES, record) },
    Pass { name: "fuse activations", run: |model, record| fuse(model, activation::RULES, record) },
    Pass { name: LINEAR_FUSING, run: |model, record| fuse(model, linear::RULES, record) },
    Pass { name: STRIDE_HOISTING, run: stride::hoist },
    Pass { name: "remove leftovers", run: remove_identities },
];

/// Runs all passes but those that `options` leaves out.
pub fn optimize(model: &mut Model, options: &Options) -> Result<Report, Error> {
    optimize_watched(model, options, &mut |_, _| {})
}

/// The same; `after` sees the model after each pass, to dump it for instance.
pub fn optimize_watched(
    model: &mut Model,
    options: &Options,
    after: &mut dyn FnMut(&Step, &Model),
) -> Result<Report, Error> {
    let passes: Vec<Pass> =
        PASSES.iter().filter(|pass| !options.skip.iter().any(|name| name == pass.name)).copied().collect();
    pass::run_keeping(model, &passes, &options.keep, after)
}

fn rules(model: &mut Model, rules: &[Rule], record: &mut Record) -> Result<usize, ModelError> {
    Ok(rewrite(model, rules, record)? + model.remove_dead())
}

fn fuse(model: &mut Model, rules: &[Rule], record: &mut Record) -> Result<usize, ModelError> {
    Ok(rewrite_with(model, rules, Effect::Fuses, record)? + model.remove_dead())
}

fn fold_constants(model: &mut Model, record: &mut Record) -> Result<usize, ModelError> {
    let dead = model.remove_dead();
    Ok(dead + fold::fold_constants(model, record)? + model.remove_dead())
}

fn remove_identities(model: &mut Model, record: &mut Record) -> Result<usize, ModelError> {
    let changes = rules(model, identity::RULES, record)?;
    Ok(changes + fold_constants(model, record)?)
}
