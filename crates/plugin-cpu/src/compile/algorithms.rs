//! Which algorithm computes each convolution. That depends on the layer alone, so that a model which is cut in parts
//! gives the same bits as the whole. Only whether Winograd's transformed filters are kept, which takes memory and
//! changes no bit, depends on the other layers: those come first where a byte saves the most time, until the model's
//! share is used up.

use super::{build::Builder, convolution};
use crate::{
    isa::Isa,
    kernels::conv::{Algorithm, ConvShape, Size},
};
use ir::{NodeId, Op};
use std::collections::HashMap;

/// What transformed weights may take in addition, as a part of all weights, and at least.
const SHARE: usize = 5;
const LEAST: usize = 2 << 20;
/// The part of a layer's time that must be saved for the algorithm to change.
const GAIN: f64 = 0.1;
/// Time that a byte of kept filters must save, in the units of [`Algorithm::cost`]: about what the last bytes of the
/// share save in ResNet50 and VGG16.
const PRICE: f64 = 0.06;

/// A layer whose transformed filters might be kept.
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
        let Some(mut shape) = convolution::shape(builder, *id) else { continue };
        shape.batch /= convolution::images(&[&shape]);
        chosen.insert(*id, Algorithm::exact(&shape));
        if builder.fusions.image(*id).is_some() || builder.settings.accuracy {
            continue;
        }
        let cost = |algorithm: Algorithm| algorithm.cost(builder.isa, &shape);
        if let Some(size) = winograd(builder.isa, &shape) {
            let [lean, kept] = [false, true].map(|stored| Algorithm::Winograd { size, stored });
            chosen.insert(*id, lean);
            let bytes = kept.extra_bytes(builder.isa, &shape);
            candidates.push(Candidate { node: *id, algorithm: kept, saved: cost(lean) - cost(kept), bytes });
        }
    }
    candidates.sort_by(|a, b| (b.saved / b.bytes as f64).total_cmp(&(a.saved / a.bytes as f64)));
    let mut room = weights / SHARE + LEAST;
    for Candidate { node, algorithm, saved, bytes } in candidates {
        if saved > 0.0 && bytes <= room {
            room -= bytes;
            chosen.insert(node, algorithm);
        }
    }
    chosen
}

/// The tiles of Winograd's algorithm, where it saves time. Filters that are kept cost their [`PRICE`]: whether there is
/// room for them is not known here.
fn winograd(isa: Isa, shape: &ConvShape) -> Option<Size> {
    if !Algorithm::winograd_fits(shape) {
        return None;
    }
    let cost =
        |algorithm: Algorithm| algorithm.cost(isa, shape) + PRICE * algorithm.extra_bytes(isa, shape) as f64;
    let least = |size: Size| {
        let [lean, kept] = [false, true].map(|stored| cost(Algorithm::Winograd { size, stored }));
        lean.min(kept)
    };
    let sizes = [Size::Two, Size::Four, Size::Six].map(|size| (size, least(size)));
    let (size, least) = sizes.into_iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
    (least < (1.0 - GAIN) * cost(Algorithm::Direct)).then_some(size)
}
