//! A 1x1 convolution, or one on an image, that only a depthwise convolution reads runs with it.

use super::{
    build::{Builder, Layout},
    convolution, fuse,
};
use crate::{
    kernels::{
        conv::{Blocked, BlockedMut},
        conv_image::Pixels,
        expand::{self, ExpandDepthwise, First, Part, Source},
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

/// The convolution that the depthwise convolution `id` alone reads.
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
    {
        return None;
    }
    let whole = builder.fusions.of(before);
    let expand = convolution::shape(builder, before)?;
    let fits = builder.fusions.image(before).is_some() || expand::is_pointwise(&expand);
    let joins = whole.output == data && whole.sum == Sum::None && expand::follows(&expand, &depthwise);
    (fits && joins).then_some(before)
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
    let (mut first, mut depthwise) = (half(builder, before)?, half(builder, id)?);
    let images = convolution::images(&[&first.shape, &depthwise.shape]);
    first.shape.batch /= images;
    depthwise.shape.batch /= images;
    let image = builder.fusions.image(before).cloned();
    let input = match &image {
        Some(image) => builder.plain(id, image.port),
        None => builder.blocked(id, builder.model.node(before).inputs()[0]),
    };
    let bytes = image.as_ref().is_some_and(|image| image.is_bytes(builder.model));
    let output_shape = builder.shape_of(id.into());
    let output = builder.new_value(&output_shape, Layout::Blocked);
    builder.define(builder.fusions.of(id).output, output);
    let isa = builder.isa;
    let threads = builder.settings.threads_of(0);
    let scratch = builder.scratch(threads * ExpandDepthwise::scratch(isa, &first.shape, &depthwise.shape));
    let stride = |channels: usize, [h, w]: [usize; 2]| channels.next_multiple_of(isa.block()) * h * w;
    let from = stride(first.shape.in_channels, first.shape.input);
    let to = stride(depthwise.shape.out_channels, depthwise.shape.output);
    let packing = move || {
        let on_blocks = image.is_none();
        let first = match image {
            Some(image) => First::Image(Box::new(image.conv(isa, first.shape, &first.weights, first.post))),
            None => First::pointwise(isa, first),
        };
        let both = ExpandDepthwise::new(isa, first, depthwise);
        let name = both.name();
        let routine: Box<Routine> = Box::new(move |io, pool| {
            let src = match (on_blocks, bytes) {
                (true, _) => Source::Blocked(Blocked { data: io.input(0), batch_stride: from }),
                (false, true) => Source::Image(Pixels::U8(io.input(0))),
                (false, false) => Source::Image(Pixels::F32(io.input(0))),
            };
            let dst = BlockedMut { data: io.output(0), batch_stride: to };
            both.run(pool, src, dst, io.output(1));
            Ok(())
        });
        (format!("{name}_{}_f32", isa.name()), routine)
    };
    builder.packed_step(id, vec![input], vec![output, scratch], None, Box::new(packing));
    builder.by_image(images);
    Some(())
}
