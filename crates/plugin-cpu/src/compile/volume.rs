//! Convolutions in three dimensions, and transposed ones: the taps along the depth are channels of convolutions in
//! two. Where blocks of channels are whole, the slices of the data follow each other in memory and the images that
//! are convolved overlap there; else each image gets its own.

use super::{
    build::Builder,
    deconvolution,
    fuse::Fused,
    sets::{self, Channels, Set},
};
use crate::{
    isa::Isa,
    kernels::{
        conv::{Addend, Algorithm, Blocked, BlockedMut, Conv, ConvShape},
        phases::{self, Phase, Scatter, ZEROS},
        post::{PostOps, Sum},
    },
    plan::{Io, Routine},
    pool::Pool,
};
use ir::{ElementType, NodeId, Op, op::Window};

/// The geometry of the op.
struct Geometry {
    batch: usize,
    channels: Channels,
    /// Depth, height and width of the data and of the output.
    data: [usize; 3],
    output: [usize; 3],
    /// The sets along each of them, and the elements of the output from one to the next of a set.
    sets: [Vec<Set>; 3],
    step: [usize; 3],
}

fn geometry(builder: &Builder, id: NodeId) -> Option<Geometry> {
    let model = builder.model;
    let node = model.node(id);
    let [data, weights] = [*node.inputs().first()?, *node.inputs().get(1)?];
    let (shape, kernel) = (builder.shape_of(data), builder.shape_of(weights));
    let batch = *shape.first()?;
    if let Some((windows, channels)) = deconvolution::windows(builder, id) {
        let windows: [Window; 3] = windows.try_into().ok()?;
        let sets = windows.map(|window| sets::of_transposed(&window));
        return Some(Geometry {
            batch,
            channels,
            data: windows.map(|window| window.output),
            output: windows.map(|window| window.input),
            sets,
            step: windows.map(|window| window.stride),
        });
    }
    let (windows, groups) = match &node.op {
        Op::Convolution(op) => (op.windows(&shape, &kernel).ok()?, 1),
        Op::GroupConvolution(op) => (op.windows(&shape, &kernel).ok()?, kernel[0]),
        _ => return None,
    };
    let windows: [Window; 3] = windows.try_into().ok()?;
    let output = builder.shape_of(id.into());
    let is_f32 = |port| model.ty(port).element_type == ElementType::F32;
    let known = builder.constants.has(weights) && is_f32(weights) && is_f32(data);
    let empty = [&shape, &kernel, &output].iter().any(|sizes| sizes.contains(&0));
    if !known || empty || windows.iter().any(|window| window.pad_begin < 0) {
        return None;
    }
    let taps = windows.map(|window| window.kernel);
    Some(Geometry {
        batch,
        channels: Channels { groups, inputs: shape[1], outputs: output[1], kernel: taps, transposed: false },
        data: windows.map(|window| window.input),
        output: windows.map(|window| window.output),
        sets: windows.map(|window| vec![sets::whole(&window)]),
        step: [1; 3],
    })
}

/// True when there is a kernel for the op.
pub(crate) fn takes(builder: &Builder, id: NodeId) -> bool {
    geometry(builder, id).is_some()
}

/// How slices of the data become the images of one set along the depth.
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
    /// The channels of a tap follow each other, instead of the taps of a channel.
    taps_outside: bool,
}

impl Slices {
    fn new(geometry: &Geometry, set: &Set, block: usize) -> Self {
        let [depth, height, width] = geometry.data;
        let (channels, taps) = (geometry.channels.inputs, set.taps.len());
        let start = (set.skip * set.stride) as i64 - set.pad_begin as i64;
        let images = set.count - set.skip;
        let place = |image: usize, channel: usize, at: usize| {
            let position = usize::try_from(start + at as i64).ok().filter(|at| *at < depth);
            position.map_or(ZEROS, |at| ((image * channels + channel) * depth + at) * height * width)
        };
        let mut planes = Vec::new();
        if geometry.channels.groups == 1 && channels.is_multiple_of(block) && (set.dilation == 1 || taps == 1)
        {
            let count = (images - 1) * set.stride + taps;
            for image in 0..geometry.batch {
                for at in 0..count {
                    planes.extend((0..channels).map(|channel| place(image, channel, at)));
                }
            }
            let (convolved, step) = (channels * taps, set.stride);
            return Self { channels, count, planes, convolved, step, taps_outside: true };
        }
        for image in 0..geometry.batch {
            for at in 0..images {
                for channel in 0..channels {
                    let at = |tap: usize| at * set.stride + tap * set.dilation;
                    planes.extend((0..taps).map(|tap| place(image, channel, at(tap))));
                }
            }
        }
        let channels = channels * taps;
        Self { channels, count: images, planes, convolved: channels, step: 1, taps_outside: false }
    }
}

/// One set along the depth: images that are gathered, convolved by each pair of sets in the plane, interleaved, and
/// scattered.
struct Part {
    slices: Slices,
    /// Convolved images of one element of the batch.
    images: usize,
    phases: Vec<Phase>,
    shapes: Vec<ConvShape>,
    /// The sets, to pack weights for.
    sets: Vec<[Set; 3]>,
    /// Elements of all phases.
    len: usize,
    /// Where each channel of each image goes.
    scatter: Scatter,
}

impl Part {
    fn new(geometry: &Geometry, z: &Set, isa: Isa) -> Self {
        let b = isa.block();
        let slices = Slices::new(geometry, z, b);
        let images = z.count - z.skip;
        let (batch, outputs) = (geometry.batch, geometry.channels.outputs);
        let [_, height, width] = geometry.data;
        let (mut phases, mut shapes, mut sets) = (Vec::new(), Vec::new(), Vec::new());
        let mut len = 0;
        for y in &geometry.sets[1] {
            for x in &geometry.sets[2] {
                let sizes = [geometry.channels.groups, slices.convolved, outputs];
                let (shape, x) = sets::shape(images, sizes, [height, width], [y, x]);
                let size = shape.output;
                phases.push(Phase { start: len, size, skip: [y.skip, x.skip], first: [y.first, x.first] });
                len += batch * images * outputs.next_multiple_of(b) * size[0] * size[1];
                shapes.push(shape);
                sets.push([z.clone(), y.clone(), x]);
            }
        }
        let [depth, height, width] = geometry.output;
        let place = |image: usize, channel: usize| {
            let at = z.first + image % images * geometry.step[0];
            ((image / images * outputs + channel) * depth + at) * height * width
        };
        let planes = (0..batch * images)
            .flat_map(|image| (0..outputs).map(move |channel| (image, channel)))
            .map(|(image, channel)| place(image, channel))
            .collect();
        let scatter = Scatter::new(planes, outputs, height * width);
        Self { slices, images, phases, shapes, sets, len, scatter }
    }
}

/// The op as one step on row-major data.
pub(crate) fn lower(builder: &mut Builder, id: NodeId) -> Option<()> {
    let geometry = geometry(builder, id)?;
    let node = builder.model.node(id);
    let Fused { scale, shift, sum, activation, output: fused_output, .. } = builder.fusions.of(id);
    debug_assert_eq!(sum, Sum::None);
    let weights = builder.constants.get(node.inputs()[1])?;
    let (isa, b) = (builder.isa, builder.isa.block());
    let parts: Vec<Part> = geometry.sets[0].iter().map(|z| Part::new(&geometry, z, isa)).collect();
    let batch = geometry.batch;
    let in_plane = geometry.data[1] * geometry.data[2];
    let [_, height, width] = geometry.output;
    let image_len = move |channels: usize, plane: usize| channels.next_multiple_of(b) * plane;
    let out_image = image_len(geometry.channels.outputs, height * width);
    let gathered =
        parts.iter().map(|p| batch * p.slices.count * image_len(p.slices.channels, in_plane)).max()?;
    let phased = parts.iter().map(|part| part.len).max()?;
    let direct = geometry.step[1..] == [1, 1]
        && parts.iter().all(|part| matches!(&part.phases[..], [phase] if phase.skip == [0, 0]));
    let whole = match direct {
        true => 0,
        false => parts.iter().map(|part| batch * part.images * out_image).max()?,
    };
    let input = builder.plain(id, node.inputs()[0]);
    let mut outputs = vec![builder.plain_value(id.into())];
    builder.define(fused_output, outputs[0]);
    outputs.extend([gathered, phased, whole].map(|floats| builder.scratch(floats)));
    let packing = move || {
        let weights = weights.view::<f32>().expect("the type was checked");
        let post = PostOps { bias: shift, sum: Sum::None, activation };
        let make = |part: Part| {
            let conv = |(shape, [z, y, x]): (&ConvShape, &[Set; 3])| {
                let outside = part.slices.taps_outside;
                let weights = geometry.channels.weights(&weights, [z, y, x], outside, scale.as_deref());
                Conv::new(isa, *shape, Algorithm::exact(shape), &weights[..].into(), post.clone())
            };
            let convs: Vec<Conv> = part.shapes.iter().zip(&part.sets).map(conv).collect();
            (part, convs)
        };
        let parts: Vec<(Part, Vec<Conv>)> = parts.into_iter().map(make).collect();
        let kind = if geometry.channels.transposed { "deconv3d" } else { "conv3d" };
        let name = format!("{kind}_{}_{}_f32", parts[0].1[0].name(), isa.name());
        let channels = geometry.channels.outputs;
        let (blocks, step) = (channels.div_ceil(b), [geometry.step[1], geometry.step[2]]);
        let routine: Box<Routine> = Box::new(move |io: &Io, pool: &mut Pool| {
            let output: &mut [f32] = io.output(0);
            let (gathered, phased, whole): (&mut [f32], &mut [f32], &mut [f32]) =
                (io.output(1), io.output(2), io.output(3));
            for (part, convs) in &parts {
                let slices = &part.slices;
                let image = image_len(slices.channels, in_plane);
                let images = &mut gathered[..batch * slices.count * image];
                let places = (&slices.planes[..], slices.channels, in_plane);
                phases::gather(isa, pool, io.input(0), places, images);
                for (phase, conv) in part.phases.iter().zip(convs) {
                    let batch_stride = image_len(channels, phase.size[0] * phase.size[1]);
                    let answer = part.images * batch_stride;
                    let answers = phased[phase.start..][..batch * answer].chunks_exact_mut(answer);
                    for (images, data) in images.chunks_exact(slices.count * image).zip(answers) {
                        let src = Blocked { data: images, batch_stride: slices.step * image };
                        conv.run(pool, src, BlockedMut { data, batch_stride }, Addend::None, &mut []);
                    }
                }
                let len = batch * part.images * out_image;
                let done = if direct {
                    &phased[..len]
                } else {
                    let planes = batch * part.images * blocks;
                    let whole = &mut whole[..len];
                    phases::interleave(
                        isa,
                        pool,
                        &part.phases,
                        (planes, [height, width], step),
                        phased,
                        whole,
                    );
                    whole
                };
                part.scatter.run(isa, pool, done, output);
            }
            Ok(())
        });
        (name, routine)
    };
    builder.packed_step(id, vec![input], outputs, None, Box::new(packing));
    Some(())
}
