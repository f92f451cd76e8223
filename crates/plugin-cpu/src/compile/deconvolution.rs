//! Transposed convolutions: of the elements of the output that lie a stride apart, each set is a convolution of the
//! data with those taps of the kernel that meet it. The sets interleave to the output.

use super::{
    build::{Builder, Layout},
    fuse::Fused,
    sets::{self, Channels, Set},
};
use crate::{
    kernels::{
        conv::{Addend, Algorithm, Blocked, BlockedMut, Conv, ConvShape},
        phases::{self, Phase},
        post::{PostOps, Sum},
    },
    plan::{Io, Routine},
    pool::Pool,
};
use ir::{ElementType, NodeId, Op, op::Window};

/// The windows of a transposed convolution with known weights, and what they join.
pub(super) fn windows(builder: &Builder, id: NodeId) -> Option<(Vec<Window>, Channels)> {
    let model = builder.model;
    let node = model.node(id);
    let [data, weights] = [*node.inputs().first()?, *node.inputs().get(1)?];
    let target = match node.inputs().get(2) {
        Some(port) => Some(builder.constants.integers(*port)?),
        None => None,
    };
    let (shape, kernel) = (builder.shape_of(data), builder.shape_of(weights));
    let output = builder.shape_of(id.into());
    let (windows, groups) = match &node.op {
        Op::ConvolutionBackpropData(op) => (op.windows(&shape, &kernel, target.as_deref()).ok()?, 1),
        Op::GroupConvolutionBackpropData(op) => {
            (op.windows(&shape, &kernel, target.as_deref()).ok()?, kernel[0])
        }
        _ => return None,
    };
    let is_f32 = |port| model.ty(port).element_type == ElementType::F32;
    let known = builder.constants.has(weights) && is_f32(weights) && is_f32(data);
    if !known || [&shape, &kernel, &output].iter().any(|sizes| sizes.contains(&0)) || windows.len() > 3 {
        return None;
    }
    let mut taps = [1; 3];
    taps[3 - windows.len()..].copy_from_slice(&kernel[kernel.len() - windows.len()..]);
    let channels = Channels { groups, inputs: shape[1], outputs: output[1], kernel: taps, transposed: true };
    Some((windows, channels))
}

/// A window that does nothing.
pub(super) const FLAT: Window =
    Window { input: 1, kernel: 1, stride: 1, dilation: 1, pad_begin: 0, pad_end: 0, output: 1 };

/// The windows of two dimensions.
fn flat_windows(builder: &Builder, id: NodeId) -> Option<([Window; 2], Channels)> {
    let (windows, channels) = windows(builder, id)?;
    match windows[..] {
        [window] => Some(([FLAT, window], channels)),
        [y, x] => Some(([y, x], channels)),
        _ => None,
    }
}

/// True when there is a kernel for the op.
pub(crate) fn takes(builder: &Builder, id: NodeId) -> bool {
    flat_windows(builder, id).is_some()
}

/// The op as one step on blocked layout.
pub(crate) fn lower(builder: &mut Builder, id: NodeId) -> Option<()> {
    let ([height, width], channels) = flat_windows(builder, id)?;
    let node = builder.model.node(id);
    let Fused { scale, shift, sum, activation, output: fused_output, .. } = builder.fusions.of(id);
    debug_assert_eq!(sum, Sum::None);
    let weights = builder.constants.get(node.inputs()[1])?;
    let batch = builder.shape_of(id.into())[0];
    let b = builder.isa.block();
    let planes = batch * channels.outputs.div_ceil(b);
    let data = [height.output, width.output];
    let mut start = 0;
    let mut all: Vec<(Phase, ConvShape, [Set; 2])> = Vec::new();
    let (ys, xs) = (sets::of_transposed(&height), sets::of_transposed(&width));
    for y in &ys {
        for x in &xs {
            let sizes = [channels.groups, channels.inputs, channels.outputs];
            let (shape, x) = sets::shape(batch, sizes, data, [y, x]);
            let size = shape.output;
            let phase = Phase { start, size, skip: [y.skip, x.skip], first: [y.first, x.first] };
            start += planes * size[0] * size[1] * b;
            all.push((phase, shape, [y.clone(), x]));
        }
    }
    let step = [height.stride, width.stride];
    let direct = matches!(&all[..], [(phase, ..)] if phase.skip == [0, 0] && step == [1, 1]);
    let input = builder.blocked(id, node.inputs()[0]);
    let output_shape = builder.shape_of(id.into());
    let output = builder.new_value(&output_shape, Layout::Blocked);
    builder.define(fused_output, output);
    let mut outputs = vec![output];
    if !direct {
        outputs.push(builder.scratch(start));
    }
    let isa = builder.isa;
    let in_stride = channels.inputs.next_multiple_of(b) * data[0] * data[1];
    let packing = move || {
        let weights = weights.view::<f32>().expect("the type was checked");
        let post = PostOps { bias: shift, sum: Sum::None, activation };
        let flat = sets::whole(&FLAT);
        let make = |(phase, shape, [y, x]): (Phase, ConvShape, [Set; 2])| {
            let weights = channels.weights(&weights, [&flat, &y, &x], false, scale.as_deref());
            (phase, shape, Conv::new(isa, shape, Algorithm::exact(&shape), &weights[..].into(), post.clone()))
        };
        let convs: Vec<(Phase, ConvShape, Conv)> = all.into_iter().map(make).collect();
        let name = format!("deconv_{}_{}_f32", convs[0].2.name(), isa.name());
        let phases: Vec<Phase> = convs.iter().map(|(phase, ..)| phase.clone()).collect();
        let output = [height.input, width.input];
        let routine: Box<Routine> = Box::new(move |io: &Io, pool: &mut Pool| {
            let src = Blocked { data: io.input(0), batch_stride: in_stride };
            let (dst, whole) = match direct {
                true => (io.output(0), None),
                false => (io.output(1), Some(io.output(0))),
            };
            for (phase, shape, conv) in &convs {
                let image = shape.out_channels.next_multiple_of(b) * phase.size[0] * phase.size[1];
                let data: &mut [f32] = &mut dst[phase.start..][..image * shape.batch];
                conv.run(pool, src, BlockedMut { data, batch_stride: image }, Addend::None, &mut []);
            }
            if let Some(whole) = whole {
                phases::interleave(isa, pool, &phases, (planes, output, step), dst, whole);
            }
            Ok(())
        });
        (name, routine)
    };
    builder.packed_step(id, vec![input], outputs, None, Box::new(packing));
    Some(())
}
