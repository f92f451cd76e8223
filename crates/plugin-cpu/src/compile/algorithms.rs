//! Which algorithm computes each convolution. Winograd's needs more memory for weights than the definition does, so the
//! layers where a byte saves the most time come first, until the model's share is used up.

use super::{build::Builder, convolution};
use crate::kernels::conv::{Algorithm, ConvShape, Size};
use ir::{NodeId, Op};
use std::collections::HashMap;

/// What transformed weights may take in addition, as a part of all weights, and at least.
const SHARE: usize = 5;
const LEAST: usize = 2 << 20;
/// The part of a layer's time that must be saved for the algorithm to change.
const GAIN: f64 = 0.1;

struct Candidate {
    node: NodeId,
    algorithm: Algorithm,
    /// Time saved, in the units of [`Algorithm::cost`].
    saved: f64,
    /// Additional bytes.
    bytes: usize,
}

/// Chooses for all convolutions.
pub(crate) fn choose(builder: &Builder, order: &[NodeId]) -> HashMap<NodeId, Algorithm> {
    let (mut chosen, mut candidates, mut weights) = (HashMap::new(), Vec::new(), 0);
    for id in order {
        let node = builder.model.node(*id);
        let is_weighted = matches!(node.op, Op::Convolution(_) | Op::GroupConvolution(_) | Op::MatMul(_));
        if let Some(port) = node.inputs().get(1).filter(|port| is_weighted && builder.constants.has(**port)) {
            weights += 4 * builder.shape_of(*port).iter().product::<usize>();
        }
        let Some(shape) = convolution::shape(builder, *id) else { continue };
        chosen.insert(*id, Algorithm::exact(&shape));
        if builder.fusions.image(*id).is_none() && !builder.settings.accuracy {
            candidates.extend(winograd(builder, *id, &shape));
        }
    }
    candidates.sort_by(|a, b| (b.saved / b.bytes as f64).total_cmp(&(a.saved / a.bytes as f64)));
    let mut room = weights / SHARE + LEAST;
    let mut taken: HashMap<NodeId, (f64, usize)> = HashMap::new();
    for Candidate { node, algorithm, saved, bytes } in candidates {
        let (before, held) = taken.get(&node).copied().unwrap_or_default();
        if saved > before && bytes <= room + held {
            room = room + held - bytes;
            taken.insert(node, (saved, bytes));
            chosen.insert(node, algorithm);
        }
    }
    chosen
}

fn winograd(builder: &Builder, node: NodeId, shape: &ConvShape) -> Vec<Candidate> {
    let direct = Algorithm::Direct.cost(builder.isa, shape);
    let candidate = |(size, stored)| {
        let algorithm = Algorithm::Winograd { size, stored };
        let saved = direct - algorithm.cost(builder.isa, shape);
        let bytes = algorithm.extra_bytes(builder.isa, shape);
        Candidate { node, algorithm, saved, bytes }
    };
    if !Algorithm::winograd_fits(shape) {
        return Vec::new();
    }
    let sizes = [Size::Two, Size::Four, Size::Six];
    let all = sizes.iter().flat_map(|size| [(*size, false), (*size, true)]).map(candidate);
    all.filter(|candidate| candidate.saved > GAIN * direct).collect()
}
