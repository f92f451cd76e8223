//! Which tensors lie within others: concatenation is allocation, its parts are written where they belong.

use super::passes::{Network, Pass, Place, Step, Tensor, TensorId};
use ir::NodeId;
use std::collections::{BTreeSet, HashSet};

/// Passes in order, over tensors that have their places.
pub(crate) struct Placed {
    pub(crate) tensors: Vec<Tensor>,
    pub(crate) passes: Vec<Pass>,
    pub(crate) inputs: Vec<(NodeId, TensorId)>,
    pub(crate) outputs: Vec<(NodeId, TensorId)>,
}

impl Placed {
    /// Places the tensors. Parts that are written elsewhere, or must lie in two places, are copied.
    pub(crate) fn new(network: Network, apart: &BTreeSet<NodeId>, vector: usize) -> Self {
        let Network { mut tensors, steps, inputs, outputs } = network;
        let mut makes = HashSet::new();
        for step in &steps {
            makes.insert(match step {
                Step::Pass(pass) => pass.output,
                Step::Concat { output, .. } => *output,
            });
        }
        let mut passes = Vec::new();
        // From the last to the first: a concatenation that is part of another has its place before its parts.
        for step in steps.into_iter().rev() {
            let (node, parts, output) = match step {
                Step::Pass(pass) => {
                    passes.push(*pass);
                    continue;
                }
                Step::Concat { node, parts, output } => (node, parts, output),
            };
            let mut word = 0;
            for part in parts {
                let blocks = tensors[part].image.lanes.blocks(vector);
                let place = Place::Within(output, word, node);
                let is_free = tensors[part].place == Place::Own && makes.contains(&part);
                if is_free && !apart.contains(&node) {
                    tensors[part].place = place;
                } else {
                    let image = tensors[part].image.clone();
                    tensors.push(Tensor { image, place });
                    passes.push(Pass::copy(node, part, tensors.len() - 1));
                }
                word += blocks;
            }
        }
        passes.reverse();
        let mut placed = Self { tensors, passes, inputs, outputs: Vec::new() };
        for (node, tensor) in outputs {
            // The host reads maps of their own.
            let own = match placed.tensors[tensor].place {
                Place::Own => tensor,
                Place::Within(..) => {
                    let image = placed.tensors[tensor].image.clone();
                    placed.tensors.push(Tensor { image, place: Place::Own });
                    let own = placed.tensors.len() - 1;
                    placed.passes.push(Pass::copy(node, tensor, own));
                    own
                }
            };
            placed.outputs.push((node, own));
        }
        placed
    }

    /// The tensor that a tensor lies in, and the word of its places where it begins.
    pub(crate) fn root(&self, mut tensor: TensorId) -> (TensorId, usize) {
        let mut word = 0;
        while let Place::Within(parent, at, _) = self.tensors[tensor].place {
            (tensor, word) = (parent, word + at);
        }
        (tensor, word)
    }

    /// The concatenations and divisions by which a tensor lies in others.
    pub(crate) fn sharing(&self, mut tensor: TensorId) -> Vec<NodeId> {
        let mut nodes = Vec::new();
        while let Place::Within(parent, _, node) = self.tensors[tensor].place {
            nodes.push(node);
            tensor = parent;
        }
        nodes
    }
}
