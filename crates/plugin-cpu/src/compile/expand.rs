//! A 1x1 convolution that only a depthwise convolution reads runs with it.

use super::{
    build::{Builder, Layout},
    convolution, fuse,
};
use crate::{
    kernels::{
        conv::{Blocked, BlockedMut},
        expand::{self, ExpandDepthwise, Part},
        post::{PostOps, Sum},
    },
    plan::Routine,
};
use ir::{NodeId, Op};

/// Finds the pairs, once it is known what joins each convolution.
pub(crate) fn find(builder: &mut Builder, order: &[NodeId]) {
    for id in order {
        if let Some(expansion) = expansion(builder, *id) {
            builder.fusions.join(expansion, *id);
        }
    }
}

/// The 1x1 convolution that the depthwise convolution `id` alone reads.
fn expansion(builder: &Builder, id: NodeId) -> Option<NodeId> {
    let node = builder.model.node(id);
    if !matches!(node.op, Op::GroupConvolution(_)) || builder.fusions.of(id).sum != Sum::None {
        return None;
    }
    let depthwise = convolution::shape(builder, id)?;
    let data = fuse::taken_padding(builder, node).map_or(node.inputs()[0], |padding| padding.data);
    let before = builder.fusions.head(data.node);
    if !matches!(builder.model.node(before).op, Op::Convolution(_))
        || builder.model.consumers(data).len() != 1
        || builder.fusions.image(before).is_some()
    {
        return None;
    }
    let whole = builder.fusions.of(before);
    let expand = convolution::shape(builder, before)?;
    (whole.output == data && whole.sum == Sum::None && expand::fits(&expand, &depthwise)).then_some(before)
}

/// A convolution of the pair.
fn half(builder: &Builder, id: NodeId) -> Option<Part> {
    let shape = convolution::shape(builder, id)?;
    let fused = builder.fusions.of(id);
    let weights = builder.weights(builder.model.node(id).inputs()[1])?;
    let row = weights.len() / shape.out_channels;
    let post = PostOps { bias: fused.shift, sum: Sum::None, activation: fused.activation };
    Some(Part { shape, weights: weights.scaled(fused.scale, row), post })
}

/// Both as one step, if `id` is the second of a pair.
pub(crate) fn lower(builder: &mut Builder, id: NodeId) -> Option<()> {
    let before = builder.fusions.expansion(id)?;
    let (expand, depthwise) = (half(builder, before)?, half(builder, id)?);
    let input = builder.blocked(id, builder.model.node(before).inputs()[0]);
    let output_shape = builder.shape_of(id.into());
    let output = builder.new_value(&output_shape, Layout::Blocked);
    builder.define(builder.fusions.of(id).output, output);
    let isa = builder.isa;
    let threads = builder.settings.threads_of(0);
    let scratch = builder.scratch(threads * ExpandDepthwise::scratch(isa, &expand.shape, &depthwise.shape));
    let stride = |channels: usize, [h, w]: [usize; 2]| channels.next_multiple_of(isa.block()) * h * w;
    let from = stride(expand.shape.in_channels, expand.shape.input);
    let to = stride(depthwise.shape.out_channels, depthwise.shape.output);
    let packing = move || {
        let both = ExpandDepthwise::new(isa, expand, depthwise);
        let routine: Box<Routine> = Box::new(move |io, pool| {
            let src = Blocked { data: io.input(0), batch_stride: from };
            let dst = BlockedMut { data: io.output(0), batch_stride: to };
            both.run(pool, src, dst, io.output(1));
            Ok(())
        });
        (format!("expand_depthwise_{}_f32", isa.name()), routine)
    };
    builder.packed_step(id, vec![input], vec![output, scratch], None, Box::new(packing));
    Some(())
}
