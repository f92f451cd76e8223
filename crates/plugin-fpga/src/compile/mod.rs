//! From a model to a program: which nodes the overlay takes, which of them run at once, where their maps lie, and the
//! descriptors.
//!
//! | file | part |
//! |---|---|
//! | `layers.rs` | the table of layers |
//! | `legality.rs` | each node's action, or why it is refused |
//! | `convolution.rs`, `pooling.rs`, `pointwise.rs`, `movement.rs` | layers by family, with their limits |
//! | `passes.rs` | which nodes run at once |
//! | `placement.rs` | which maps lie within others |
//! | `schedule.rs`, `buffer.rs` | what lies in the stream buffer when, and slices |
//! | `packing.rs` | filters, parameters, tables |
//! | `emission.rs` | descriptors |
//! | [`export`] | programs as bytes |

mod action;
mod buffer;
mod constants;
mod convolution;
mod emission;
pub mod export;
mod image;
mod layers;
mod legality;
mod movement;
mod packing;
mod passes;
mod placement;
mod pointwise;
mod pooling;
mod schedule;
#[cfg(test)]
mod tests;

use crate::{architecture::Architecture, program::Program};
use ir::{Model, ModelError, NodeId, device::Support};
use legality::Judgement;
use passes::{Network, Pass};
use placement::Placed;
use std::{collections::BTreeSet, fmt};
use thiserror::Error;

/// A layer that the overlay does not take.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The node's name.
    pub name: String,
    /// Its op: `SoftMax`.
    pub kind: String,
    /// Why, each reason a sentence.
    pub reasons: Vec<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Layer (Name: {}, Type: {}) is not supported:", self.name, self.kind)?;
        self.reasons.iter().try_for_each(|reason| write!(f, "\n    {reason}"))
    }
}

/// Why a model becomes no program.
#[derive(Clone, PartialEq, Debug, Error)]
pub enum CompileError {
    /// The overlay does not take a layer.
    #[error("{0}")]
    Refused(Refusal),
    /// The program would be too large for its own form.
    #[error("the program has {found} {what}, at most {most} are possible: divide the model")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        found: u64,
        /// How much there may be.
        most: u64,
    },
    /// The graph is none.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// The layers of a model that the overlay does not take, in the order of the graph.
pub fn refusals(model: &Model, architecture: &Architecture) -> Result<Vec<Refusal>, ModelError> {
    let order = model.topological_order()?;
    Ok(Judgement::new(model, architecture, order).refusals)
}

/// Which nodes of a model the overlay takes. A part of the model that consists of such nodes compiles.
pub fn query(model: &Model, architecture: &Architecture) -> Result<Support, ModelError> {
    let order = model.topological_order()?;
    let judgement = Judgement::new(model, architecture, order);
    let mut support = Support::default();
    for id in &judgement.order {
        if judgement.action(*id).is_some() {
            support.supported.push(model.node(*id).name.clone());
        }
    }
    for Refusal { name, reasons, .. } in judgement.refusals {
        support.refused.push((name, reasons.join("; ")));
    }
    Ok(support)
}

/// The program of a model, for an overlay.
pub fn compile(model: &Model, architecture: &Architecture) -> Result<Program, CompileError> {
    let order = model.topological_order()?;
    let judgement = Judgement::new(model, architecture, order);
    if let Some(refusal) = judgement.refusals.first() {
        return Err(CompileError::Refused(refusal.clone()));
    }
    // What does not fit together runs apart: that changes no value.
    let mut apart = BTreeSet::new();
    loop {
        let vector = judgement.vector();
        let placed = Placed::new(Network::new(&judgement, &apart), &apart, vector);
        match schedule::schedule(&placed, architecture.stream_words(), vector) {
            Ok(schedule) => return emission::program(&judgement, &placed, &schedule),
            Err(no_room) => {
                let pass = &placed.passes[no_room.pass];
                let more = separable(&placed, pass);
                let before = apart.len();
                apart.extend(more);
                if apart.len() == before {
                    let node = model.node(pass.nodes[0]);
                    return Err(CompileError::Refused(Refusal {
                        name: node.name.clone(),
                        kind: node.op.type_name().to_owned(),
                        reasons: vec![format!(
                            "the least part of it takes {} words of the stream buffer, which has {}",
                            no_room.needed,
                            architecture.stream_words()
                        )],
                    }));
                }
            }
        }
    }
}

/// The nodes of a pass that need not run with it, and those for which its maps lie in larger ones.
fn separable(placed: &Placed, pass: &Pass) -> Vec<NodeId> {
    let tensors = pass.reads().into_iter().chain([pass.output]);
    let mut nodes: Vec<NodeId> = tensors.flat_map(|tensor| placed.sharing(tensor)).collect();
    nodes.extend(&pass.nodes[1..]);
    nodes
}
