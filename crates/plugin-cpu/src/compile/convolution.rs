//! Convolutions, with what joins them.

use super::{
    build::{Builder, Layout, dims4},
    fuse::{self, Image, Padding},
};
use crate::{
    isa::Isa,
    kernels::{
        conv::{Addend, Algorithm, Blocked, BlockedMut, Conv, ConvShape},
        conv_image::{ImageConv, ImageLayout, Pixels},
        post::{PostOps, Sum},
    },
    plan::{Io, Routine},
    pool::Pool,
    weights::Weights,
};
use ir::{ElementType, Model, NodeId, Op, op::Window};

/// The geometry with padding that the convolution has taken over or, with `more`, would.
fn geometry(builder: &Builder, id: NodeId, more: Option<&Padding>) -> Option<ConvShape> {
    let node = builder.model.node(id);
    let [data, weights] = node.inputs() else { return None };
    let taken = more.is_none().then(|| fuse::taken_padding(builder, node)).flatten();
    let padding = more.or(taken.as_ref());
    let [batch, in_channels, ..] = builder.blockable(*data)?;
    if builder.model.ty(*weights).element_type != ElementType::F32 || !builder.constants.has(*weights) {
        return None;
    }
    let (shape, weights) = (builder.shape_of(*data), builder.shape_of(*weights));
    let (windows, groups): (Vec<Window>, usize) = match &node.op {
        Op::Convolution(op) => (op.windows(&shape, &weights).ok()?, 1),
        Op::GroupConvolution(op) => (op.windows(&shape, &weights).ok()?, weights[0]),
        _ => return None,
    };
    let output = builder.shape_of(id.into());
    let [_, out_channels, ..] = builder.blockable(id.into())?;
    // One dimension is a height of one.
    let pair = |f: &dyn Fn(usize) -> usize, flat: usize| match windows.len() {
        1 => Some([flat, f(0)]),
        2 => Some([f(0), f(1)]),
        _ => None,
    };
    let pads = |i: usize| {
        let own = windows[i].pad_begin;
        own + padding.map_or(0, |p| p.begin[i])
    };
    if (0..windows.len()).any(|i| windows[i].pad_begin < 0 || windows[i].pad_end < 0 && padding.is_some()) {
        return None;
    }
    let unpadded = padding.map_or(shape, |p| builder.shape_of(p.data));
    let [_, _, h, w] = dims4(&unpadded)?;
    let [_, _, oh, ow] = dims4(&output)?;
    Some(ConvShape {
        batch,
        groups,
        in_channels,
        out_channels,
        input: [h, w],
        output: [oh, ow],
        kernel: pair(&|i| windows[i].kernel, 1)?,
        stride: pair(&|i| windows[i].stride, 1)?,
        dilation: pair(&|i| windows[i].dilation, 1)?,
        pad_begin: pair(&|i| pads(i) as usize, 0)?,
    })
}

/// The geometry, if there is a kernel for it.
pub(crate) fn shape(builder: &Builder, id: NodeId) -> Option<ConvShape> {
    geometry(builder, id, None)
}

/// Bytes of a batch's activations beyond which a layer is computed image by image: they leave the second-level cache.
/// Networks of tests have fewer.
const SPILLED: usize = if cfg!(test) { 0 } else { 1 << 20 };

/// Images that the convolutions, of which each reads what the one before writes, are computed for one after the other: all
/// of the batch where activations need the cache more than weights do, otherwise one, which is to say at once.
pub(crate) fn images(shapes: &[&ConvShape]) -> usize {
    let ([first, ..], [.., last]) = (shapes, shapes) else { return 1 };
    let weights = |shape: &&ConvShape| {
        shape.out_channels * shape.in_channels / shape.groups * shape.kernel[0] * shape.kernel[1]
    };
    let size = |channels: usize, [h, w]: [usize; 2]| channels * h * w;
    let activations = size(first.in_channels, first.input) + size(last.out_channels, last.output);
    let by_image = shapes.iter().map(weights).sum::<usize>() <= activations
        && first.batch * activations * size_of::<f32>() > SPILLED;
    if by_image { first.batch } else { 1 }
}

/// True when the convolution can take the padding before it.
pub(crate) fn takes_padding(builder: &Builder, id: NodeId, padding: &Padding) -> bool {
    builder.blockable(padding.data).is_some() && geometry(builder, id, Some(padding)).is_some()
}

/// The convolution as one step to blocked layout.
pub(crate) fn lower(builder: &mut Builder, id: NodeId) -> Option<()> {
    let mut shape = shape(builder, id)?;
    let images = images(&[&shape]);
    shape.batch /= images;
    let node = builder.model.node(id);
    let fused = builder.fusions.of(id);
    let weights = builder.weights(node.inputs()[1])?;
    let row = weights.len() / shape.out_channels;
    let weights = weights.scaled(fused.scale, row);
    let data = fuse::taken_padding(builder, node).map_or(node.inputs()[0], |padding| padding.data);
    let image = builder.fusions.image(id).cloned();
    let bytes = image.as_ref().is_some_and(|image| image.is_bytes(builder.model));
    let mut inputs = vec![match &image {
        Some(image) => builder.plain(id, image.port),
        None => builder.blocked(id, data),
    }];
    inputs.extend(fused.addend.map(|addend| builder.blocked(id, addend)));
    let output_shape = builder.shape_of(id.into());
    let output = builder.new_value(&output_shape, Layout::Blocked);
    builder.define(fused.output, output);
    let added = fused.sum != Sum::None;
    // What the output holds can only be added where nothing but bounds comes before.
    let in_place = added && (fused.sum == Sum::BeforeActivation || fused.activation.bounds().is_some());
    let post = PostOps { bias: fused.shift, sum: fused.sum, activation: fused.activation };
    let isa = builder.isa;
    let algorithm = builder.algorithms[&id];
    let mut outputs = vec![output];
    let scratch = algorithm.scratch(isa, &shape, builder.settings.threads_of(0));
    if scratch > 0 {
        outputs.push(builder.scratch(scratch));
    }
    let packing = move || {
        let (name, run) = match image {
            Some(image) => on_image(isa, shape, &image, bytes, &weights, post),
            None => on_blocks(isa, shape, algorithm, &weights, post),
        };
        let [h, w] = shape.output;
        let batch_stride = shape.out_channels.next_multiple_of(isa.block()) * h * w;
        let routine: Box<Routine> = Box::new(move |io, pool| {
            let addend = match added {
                false => Addend::None,
                true if io.in_place(1) => Addend::Output,
                true => Addend::Of(Blocked { data: io.input(1), batch_stride }),
            };
            run(pool, io, BlockedMut { data: io.output(0), batch_stride }, addend);
            Ok(())
        });
        (format!("{name}_{}_f32", isa.name()), routine)
    };
    builder.packed_step(id, inputs, outputs, in_place.then_some(1), Box::new(packing));
    builder.by_image(images);
    Some(())
}

impl Image {
    /// True if its elements are u8.
    pub(crate) fn is_bytes(&self, model: &Model) -> bool {
        model.ty(self.port).element_type == ElementType::U8
    }

    /// A convolution on it.
    pub(crate) fn conv(&self, isa: Isa, shape: ConvShape, weights: &Weights, post: PostOps) -> ImageConv {
        let layout = if self.channels_last { ImageLayout::Nhwc } else { ImageLayout::Nchw };
        ImageConv::new(isa, shape, layout, &self.scale, weights, post)
    }
}

/// A kernel's name and the kernel.
type Runner = (&'static str, Box<dyn Fn(&mut Pool, &Io, BlockedMut, Addend) + Send + Sync>);

fn on_image(
    isa: Isa,
    shape: ConvShape,
    image: &Image,
    bytes: bool,
    weights: &Weights,
    post: PostOps,
) -> Runner {
    let conv = image.conv(isa, shape, weights, post);
    let name = conv.name();
    let run = move |pool: &mut Pool, io: &Io, dst: BlockedMut, addend: Addend| {
        let src = if bytes { Pixels::U8(io.input(0)) } else { Pixels::F32(io.input(0)) };
        conv.run(pool, src, dst, addend);
    };
    (name, Box::new(run))
}

fn on_blocks(isa: Isa, shape: ConvShape, algorithm: Algorithm, weights: &Weights, post: PostOps) -> Runner {
    let conv = Conv::new(isa, shape, algorithm, weights, post);
    let name = conv.name();
    let scratched = algorithm.scratch(isa, &shape, 1) > 0;
    let [h, w] = shape.input;
    let batch_stride = shape.in_channels.next_multiple_of(isa.block()) * h * w;
    let run = move |pool: &mut Pool, io: &Io, dst: BlockedMut, addend: Addend| {
        let scratch = if scratched { io.output(1) } else { &mut [] };
        conv.run(pool, Blocked { data: io.input(0), batch_stride }, dst, addend, scratch);
    };
    (name, Box::new(run))
}
