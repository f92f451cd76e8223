//! Transposed convolutions: of the elements of the output that lie a stride apart, each set is a convolution of the
//! data with those taps of the kernel that meet it. The sets interleave to the output.

use super::{
    build::{Builder, Layout},
    fuse::Fused,
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

/// One set along one axis.
#[derive(Clone, PartialEq, Debug)]
struct Set {
    /// Its first element of the output.
    first: usize,
    /// Elements that are computed.
    count: usize,
    /// Of these, at the begin, what the output does not have.
    skip: usize,
    /// The taps, in the order in which the convolution passes over the data; `None` for one that weighs nothing.
    taps: Vec<Option<usize>>,
    /// Elements of the data from one tap to the next.
    dilation: usize,
    /// Zeros before the data.
    pad_begin: usize,
}

/// The sets along an axis. The window slides over the output: its position `p` has its tap `t` at
/// `p * stride + t * dilation - pad_begin`.
fn sets(window: &Window) -> Vec<Set> {
    let (stride, dilation) = (window.stride as i64, window.dilation as i64);
    let mut sets = Vec::new();
    for rest in 0..stride {
        let first = (rest - window.pad_begin).rem_euclid(stride);
        let count = (window.input as i64 - first + stride - 1).div_euclid(stride);
        if count <= 0 {
            continue;
        }
        let mut taps: Vec<usize> =
            (0..window.kernel).filter(|tap| (*tap as i64 * dilation) % stride == rest).collect();
        taps.reverse();
        // Positions of the data that the taps of the set's first element lie on.
        let from = (first + window.pad_begin - rest) / stride;
        let position = |tap: usize| from - (tap as i64 * dilation - rest) / stride;
        let step = match taps[..] {
            [a, b, ..] => position(b) - position(a),
            _ => 1,
        };
        let start = taps.first().map_or(0, |tap| position(*tap));
        let skip = start.max(0) as usize;
        sets.push(Set {
            first: first as usize,
            count: count as usize + skip,
            skip,
            taps: if taps.is_empty() { vec![None] } else { taps.into_iter().map(Some).collect() },
            dilation: step as usize,
            pad_begin: (-start).max(0) as usize,
        });
    }
    sets
}

/// The geometry of the op.
struct Geometry {
    /// Batch, groups, channels of the data and the output.
    sizes: [usize; 4],
    data: [usize; 2],
    output: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    sets: [Vec<Set>; 2],
}

fn geometry(builder: &Builder, id: NodeId) -> Option<Geometry> {
    let model = builder.model;
    let node = model.node(id);
    let [data, weights] = [*node.inputs().first()?, *node.inputs().get(1)?];
    let output_shape = match node.inputs().get(2) {
        Some(port) => Some(builder.constants.integers(*port)?),
        None => None,
    };
    let (shape, weights_shape) = (builder.shape_of(data), builder.shape_of(weights));
    let (windows, groups) = match &node.op {
        Op::ConvolutionBackpropData(op) => {
            (op.windows(&shape, &weights_shape, output_shape.as_deref()).ok()?, 1)
        }
        Op::GroupConvolutionBackpropData(op) => {
            (op.windows(&shape, &weights_shape, output_shape.as_deref()).ok()?, weights_shape[0])
        }
        _ => return None,
    };
    if !builder.constants.has(weights) || model.ty(weights).element_type != ElementType::F32 {
        return None;
    }
    let [batch, inputs, h, w] = builder.blockable(data)?;
    let [_, outputs, oh, ow] = builder.blockable(id.into())?;
    let flat = Window { input: 1, kernel: 1, stride: 1, dilation: 1, pad_begin: 0, pad_end: 0, output: 1 };
    let windows = match windows[..] {
        [window] => [flat, window],
        [y, x] => [y, x],
        _ => return None,
    };
    Some(Geometry {
        sizes: [batch, groups, inputs, outputs],
        data: [h, w],
        output: [oh, ow],
        kernel: windows.map(|window| window.kernel),
        stride: windows.map(|window| window.stride),
        sets: windows.map(|window| sets(&window)),
    })
}

/// True when there is a kernel for the op.
pub(crate) fn takes(builder: &Builder, id: NodeId) -> bool {
    geometry(builder, id).is_some()
}

/// Weights `[groups, inputs, outputs, kernel]` as those of a convolution with the taps of two sets.
fn weights_of(weights: &[f32], geometry: &Geometry, [y, x]: [&Set; 2], scale: Option<&[f32]>) -> Vec<f32> {
    let [_, groups, inputs, outputs] = geometry.sizes;
    let [kh, kw] = geometry.kernel;
    let (inputs, outputs) = (inputs / groups, outputs / groups);
    let mut all = Vec::new();
    for output in 0..groups * outputs {
        let (group, o) = (output / outputs, output % outputs);
        let scale = scale.map_or(1.0, |scale| scale[output]);
        for i in 0..inputs {
            let taps = &weights[((group * inputs + i) * outputs + o) * kh * kw..][..kh * kw];
            let weight = |y: &Option<usize>, x: &Option<usize>| match (y, x) {
                (Some(y), Some(x)) => taps[y * kw + x] * scale,
                _ => 0.0,
            };
            all.extend(y.taps.iter().flat_map(|y| x.taps.iter().map(move |x| weight(y, x))));
        }
    }
    all
}

/// The op as one step on blocked layout.
pub(crate) fn lower(builder: &mut Builder, id: NodeId) -> Option<()> {
    let geometry = geometry(builder, id)?;
    let node = builder.model.node(id);
    let Fused { scale, shift, sum, activation, output: fused_output, .. } = builder.fusions.of(id);
    debug_assert_eq!(sum, Sum::None);
    let weights = builder.constants.get(node.inputs()[1])?;
    let [batch, groups, in_channels, out_channels] = geometry.sizes;
    let b = builder.isa.block();
    let planes = batch * out_channels.div_ceil(b);
    let mut start = 0;
    let mut all: Vec<(Phase, ConvShape, [Set; 2])> = Vec::new();
    for y in &geometry.sets[0] {
        for x in &geometry.sets[1] {
            let size = [y.count, x.count];
            let mut x = x.clone();
            let moves = size != geometry.data || [y.pad_begin, x.pad_begin] != [0, 0];
            if [y.taps.len(), x.taps.len()] == [1, 1] && moves {
                // A convolution of single pixels takes the data to lie under the output.
                x.taps.push(None);
            }
            let shape = ConvShape {
                batch,
                groups,
                in_channels,
                out_channels,
                input: geometry.data,
                output: size,
                kernel: [y.taps.len(), x.taps.len()],
                stride: [1, 1],
                dilation: [y.dilation, x.dilation],
                pad_begin: [y.pad_begin, x.pad_begin],
            };
            let phase = Phase { start, size, skip: [y.skip, x.skip], first: [y.first, x.first] };
            start += planes * size[0] * size[1] * b;
            all.push((phase, shape, [y.clone(), x]));
        }
    }
    let direct = matches!(&all[..], [(phase, ..)] if phase.skip == [0, 0] && geometry.stride == [1, 1]);
    let input = builder.blocked(id, node.inputs()[0]);
    let output_shape = builder.shape_of(id.into());
    let output = builder.new_value(&output_shape, Layout::Blocked);
    builder.define(fused_output, output);
    let mut outputs = vec![output];
    if !direct {
        outputs.push(builder.scratch(start));
    }
    let isa = builder.isa;
    let [h, w] = geometry.data;
    let in_stride = in_channels.next_multiple_of(b) * h * w;
    let packing = move || {
        let weights = weights.view::<f32>().expect("the type was checked");
        let post = PostOps { bias: shift, sum: Sum::None, activation };
        let make = |(phase, shape, [y, x]): (Phase, ConvShape, [Set; 2])| {
            let weights = weights_of(&weights, &geometry, [&y, &x], scale.as_deref());
            (phase, shape, Conv::new(isa, shape, Algorithm::exact(&shape), &weights[..].into(), post.clone()))
        };
        let convs: Vec<(Phase, ConvShape, Conv)> = all.into_iter().map(make).collect();
        let name = format!("deconv_{}_{}_f32", convs[0].2.name(), isa.name());
        let phases: Vec<Phase> = convs.iter().map(|(phase, ..)| phase.clone()).collect();
        let (output, step) = (geometry.output, geometry.stride);
        let routine: Box<Routine> = Box::new(move |io: &Io, pool: &mut Pool| {
            let src = Blocked { data: io.input(0), batch_stride: in_stride };
            let (dst, scratch) = match direct {
                true => (io.output(0), None),
                false => (io.output(1), Some(io.output(0))),
            };
            for (phase, shape, conv) in &convs {
                let image = shape.out_channels.next_multiple_of(b) * phase.size[0] * phase.size[1];
                let data: &mut [f32] = &mut dst[phase.start..][..image * shape.batch];
                conv.run(pool, src, BlockedMut { data, batch_stride: image }, Addend::None, &mut []);
            }
            if let Some(whole) = scratch {
                phases::interleave(isa, pool, &phases, (planes, output, step), dst, whole);
            }
            Ok(())
        });
        (name, routine)
    };
    builder.packed_step(id, vec![input], outputs, None, Box::new(packing));
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_cover_every_tap_of_every_element_once() {
        for (kernel, stride, dilation, pad, output) in [
            (4, 2, 1, 1, 12),
            (3, 2, 1, 0, 13),
            (2, 3, 1, 0, 17),
            (3, 2, 3, 5, 9),
            (4, 4, 2, -1, 30),
            (3, 1, 2, 2, 8),
        ] {
            let window =
                Window { input: output, kernel, stride, dilation, pad_begin: pad, pad_end: 0, output: 6 };
            let mut pairs = Vec::new();
            for set in sets(&window) {
                for i in set.skip..set.count {
                    for (j, tap) in set.taps.iter().enumerate().filter_map(|(j, tap)| Some((j, (*tap)?))) {
                        let position = i as i64 + (j * set.dilation) as i64 - set.pad_begin as i64;
                        pairs.push((set.first + (i - set.skip) * stride, tap, position));
                    }
                }
            }
            pairs.sort_unstable();
            let mut want = Vec::new();
            for at in 0..output {
                for tap in 0..kernel {
                    let from = at as i64 + pad - (tap * dilation) as i64;
                    if from.rem_euclid(stride as i64) == 0 {
                        want.push((at, tap, from / stride as i64));
                    }
                }
            }
            assert_eq!(pairs, want, "{window:?}");
        }
    }
}
