//! Convolutions in three dimensions: the taps along the depth are channels of a convolution in two. Where blocks of
//! channels are whole, the slices of the data follow each other in memory and the images that are convolved overlap
//! there; else each image gets its own.

use super::{
    build::{Builder, Layout},
    fuse::Fused,
};
use crate::{
    kernels::{
        conv::{Addend, Algorithm, Blocked, BlockedMut, Conv, ConvShape},
        phases::{self, ZEROS},
        post::{PostOps, Sum},
    },
    plan::{Io, Routine},
    pool::Pool,
};
use ir::{ElementType, NodeId, Op, op::Window};

/// The geometry of the op.
struct Geometry {
    /// Batch, groups, channels of the data and the output.
    sizes: [usize; 4],
    windows: [Window; 3],
}

fn geometry(builder: &Builder, id: NodeId) -> Option<Geometry> {
    let model = builder.model;
    let node = model.node(id);
    let [data, weights] = node.inputs() else { return None };
    let (shape, weights_shape) = (builder.shape_of(*data), builder.shape_of(*weights));
    let (windows, groups) = match &node.op {
        Op::Convolution(op) => (op.windows(&shape, &weights_shape).ok()?, 1),
        Op::GroupConvolution(op) => (op.windows(&shape, &weights_shape).ok()?, weights_shape[0]),
        _ => return None,
    };
    let windows: [Window; 3] = windows.try_into().ok()?;
    let output = builder.shape_of(id.into());
    let fits = model.ty(*data).element_type == ElementType::F32
        && model.ty(*weights).element_type == ElementType::F32
        && builder.constants.has(*weights)
        && !shape.contains(&0)
        && !output.contains(&0)
        && !weights_shape.contains(&0)
        && windows.iter().all(|window| window.pad_begin >= 0);
    fits.then(|| Geometry { sizes: [shape[0], groups, shape[1], output[1]], windows })
}

/// True when there is a kernel for the op.
pub(crate) fn takes(builder: &Builder, id: NodeId) -> bool {
    geometry(builder, id).is_some()
}

/// How the slices of the data become images.
struct Slices {
    /// Channels of an image as it is gathered.
    channels: usize,
    /// Images of one element of the batch.
    count: usize,
    /// Where each channel of each image starts in the data.
    planes: Vec<usize>,
    /// Channels of an image that is convolved.
    convolved: usize,
    /// Gathered images from one convolved one to the next.
    step: usize,
}

impl Slices {
    fn new(geometry: &Geometry, block: usize) -> Self {
        let [batch, groups, channels, _] = geometry.sizes;
        let [depth, height, width] = geometry.windows;
        let plane = height.input * width.input;
        let place = |image: usize, channel: usize, position: i64| {
            let position = usize::try_from(position).ok().filter(|at| *at < depth.input);
            position.map_or(ZEROS, |at| ((image * channels + channel) * depth.input + at) * plane)
        };
        let mut planes = Vec::new();
        if groups == 1 && channels.is_multiple_of(block) && depth.dilation == 1 {
            let count = (depth.output - 1) * depth.stride + depth.kernel;
            for image in 0..batch {
                for slice in 0..count {
                    let at = slice as i64 - depth.pad_begin;
                    planes.extend((0..channels).map(|channel| place(image, channel, at)));
                }
            }
            let convolved = channels * depth.kernel;
            return Self { channels, count, planes, convolved, step: depth.stride };
        }
        for image in 0..batch {
            for at in 0..depth.output {
                for channel in 0..channels {
                    let position = |tap: usize| depth.start(at) + (tap * depth.dilation) as i64;
                    planes.extend((0..depth.kernel).map(|tap| place(image, channel, position(tap))));
                }
            }
        }
        let channels = channels * depth.kernel;
        Self { channels, count: depth.output, planes, convolved: channels, step: 1 }
    }

    /// True when the taps of one channel follow each other, instead of the channels of one tap.
    fn taps_are_inner(&self) -> bool {
        self.channels == self.convolved
    }
}

/// The op as steps: slices to images, the convolution, images to the output.
pub(crate) fn lower(builder: &mut Builder, id: NodeId) -> Option<()> {
    let geometry = geometry(builder, id)?;
    let node = builder.model.node(id);
    let Fused { scale, shift, sum, activation, output: fused_output, .. } = builder.fusions.of(id);
    debug_assert_eq!(sum, Sum::None);
    let weights = builder.constants.get(node.inputs()[1])?;
    let [batch, groups, _, out_channels] = geometry.sizes;
    let [depth, height, width] = geometry.windows;
    let (isa, b) = (builder.isa, builder.isa.block());
    let slices = Slices::new(&geometry, b);
    let shape = ConvShape {
        batch: depth.output,
        groups,
        in_channels: slices.convolved,
        out_channels,
        input: [height.input, width.input],
        output: [height.output, width.output],
        kernel: [height.kernel, width.kernel],
        stride: [height.stride, width.stride],
        dilation: [height.dilation, width.dilation],
        pad_begin: [height.pad_begin as usize, width.pad_begin as usize],
    };
    let (in_plane, out_plane) = (height.input * width.input, height.output * width.output);
    let image = slices.channels.next_multiple_of(b) * in_plane;
    let out_image = out_channels.next_multiple_of(b) * out_plane;
    let (count, step) = (slices.count, slices.step);
    let input = builder.plain(id, node.inputs()[0]);
    let output = builder.plain_value(id.into());
    let gathered = builder.scratch(batch * count * image);
    let convolved = builder.scratch(batch * depth.output * out_image);
    builder.define(fused_output, output);
    let taps_are_inner = slices.taps_are_inner();
    let packing = move || {
        let weights = weights.view::<f32>().expect("the type was checked");
        let (taps, area) = (depth.kernel, height.kernel * width.kernel);
        // [outputs, inputs, taps, area]; the images may have the taps outside of the inputs.
        let inputs = weights.len() / (out_channels * taps * area);
        let mut turned = Vec::with_capacity(weights.len());
        for output in 0..out_channels {
            let scale = scale.as_ref().map_or(1.0, |scale| scale[output]);
            for i in 0..inputs * taps {
                let (input, tap) =
                    if taps_are_inner { (i / taps, i % taps) } else { (i % inputs, i / inputs) };
                let from = &weights[((output * inputs + input) * taps + tap) * area..][..area];
                turned.extend(from.iter().map(|weight| weight * scale));
            }
        }
        let post = PostOps { bias: shift, sum: Sum::None, activation };
        let conv = Conv::new(isa, shape, Algorithm::exact(&shape), &turned[..].into(), post);
        let name = format!("conv3d_{}_{}_f32", conv.name(), isa.name());
        let outer = |image: usize, channel: usize| {
            (image / depth.output * out_channels + channel) * depth.output + image % depth.output
        };
        let planes: Vec<usize> = (0..batch * depth.output)
            .flat_map(|image| (0..out_channels).map(move |channel| outer(image, channel) * out_plane))
            .collect();
        let routine: Box<Routine> = Box::new(move |io: &Io, pool: &mut Pool| {
            let (whole, images, answers): (&mut [f32], &mut [f32], &mut [f32]) =
                (io.output(0), io.output(1), io.output(2));
            let gathered = (&slices.planes[..], slices.channels, in_plane);
            phases::gather(isa, pool, io.input(0), gathered, images);
            let answer = depth.output * out_image;
            for (images, answers) in images.chunks_exact(count * image).zip(answers.chunks_exact_mut(answer))
            {
                let src = Blocked { data: images, batch_stride: step * image };
                let dst = BlockedMut { data: answers, batch_stride: out_image };
                conv.run(pool, src, dst, Addend::None, &mut []);
            }
            phases::scatter(isa, pool, answers, (&planes, out_channels, out_plane), whole);
            Ok(())
        });
        (name, routine)
    };
    builder.packed_step(id, vec![input], vec![output, gathered, convolved], None, Box::new(packing));
    debug_assert_eq!(*builder.layout(output), Layout::Plain);
    Some(())
}
