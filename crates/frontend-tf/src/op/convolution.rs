//! Convolutions and their transposes.

use super::layout::{Channels, Padding, positive};
use crate::scope::{Converted, Problem, Scope, malformed, refuse};
use ir::{
    Port, Tensor,
    op::{AutoPad, Convolution, ConvolutionBackpropData, Gather, GroupConvolution, Reshape},
};

/// What convolutions have in common.
struct Window {
    channels: Channels,
    padding: Padding,
    strides: Vec<usize>,
    dilations: Vec<usize>,
}

impl Window {
    fn of(s: &mut Scope, spatial: usize) -> Result<Self, Problem> {
        s.ignore(&["use_cudnn_on_gpu"]);
        let channels = Channels::of(s)?;
        let padding = Padding::of(s, channels, spatial)?;
        let strides = channels.spatial(s.ints("strides")?, spatial, 1, "strides")?;
        let dilations = match s.ints("dilations")? {
            [] => vec![1; spatial],
            given => channels.spatial(given, spatial, 1, "dilations")?,
        };
        let (strides, dilations) = (positive(strides, "strides")?, positive(dilations, "dilations")?);
        Ok(Self { channels, padding, strides, dilations })
    }
}

/// `Conv2D`, `Conv3D`: data, weights [kernel.., in, out]. Fewer weight channels than data channels make groups.
pub(super) fn convolution(s: &mut Scope, spatial: usize) -> Converted {
    let [data, weights] = s.exactly()?;
    let Window { channels, padding, strides, dilations } = Window::of(s, spatial)?;
    let rank = spatial + 2;
    let data = channels.second(s, data, rank)?;
    let k = spatial as i64;
    let order: Vec<i64> = [k + 1, k].into_iter().chain(0..k).collect();
    let weights = s.transposed("weights", weights, &order)?;
    let Padding { auto: auto_pad, begin: pads_begin, end: pads_end } = padding;
    let size = |s: &Scope, port: Port| s.ty(port).shape.dims().and_then(|dims| dims.get(1)?.size());
    let (have, take) = (size(s, data), size(s, weights));
    let groups = match (have, take) {
        (Some(have), Some(take)) if have != take => {
            if have == 0 || take == 0 || have % take > 0 {
                return malformed(format!(
                    "its data has {have} channels, its weights take {take}; is the network's input in its own layout?"
                ));
            }
            have / take
        }
        _ => 1,
    };
    let result = if groups == 1 {
        s.emit(Convolution { strides, pads_begin, pads_end, dilations, auto_pad }, &[data, weights])?
    } else {
        let Some(sizes) = s.sizes(weights).filter(|sizes| sizes[0] % groups == 0) else {
            return refuse(format!("weights {} in {groups} groups", s.ty(weights)));
        };
        let shape: Vec<i64> = [groups, sizes[0] / groups]
            .into_iter()
            .chain(sizes[1..].iter().copied())
            .map(|d| d as i64)
            .collect();
        let weights = reshaped(s, "groups", weights, &shape)?;
        s.emit(GroupConvolution { strides, pads_begin, pads_end, dilations, auto_pad }, &[data, weights])?
    };
    Ok(vec![channels.restored(s, result, rank)?])
}

fn reshaped(s: &mut Scope, suffix: &str, port: Port, shape: &[i64]) -> Result<Port, Problem> {
    let shape = s.i64s(&format!("{suffix}/shape"), shape);
    s.add(suffix, Reshape { special_zero: false }, &[port, shape])
}

/// `DepthwiseConv2dNative`: data, weights [height, width, channels, multiplier].
pub(super) fn depthwise(s: &mut Scope) -> Converted {
    let [data, weights] = s.exactly()?;
    let Window { channels, padding, strides, dilations } = Window::of(s, 2)?;
    let Some(&[height, width, depth, multiplier]) = s.sizes(weights).as_deref() else {
        return refuse(format!("weights of shape {}, expected four known dimensions", s.ty(weights)));
    };
    let data = channels.second(s, data, 4)?;
    let weights = s.transposed("weights", weights, &[2, 3, 0, 1])?;
    let shape = [depth, multiplier, 1, height, width].map(|d| d as i64);
    let weights = reshaped(s, "groups", weights, &shape)?;
    let Padding { auto: auto_pad, begin: pads_begin, end: pads_end } = padding;
    let op = GroupConvolution { strides, pads_begin, pads_end, dilations, auto_pad };
    let result = s.emit(op, &[data, weights])?;
    Ok(vec![channels.restored(s, result, 4)?])
}

/// `Conv2DBackpropInput`, `Conv3DBackpropInputV2`: the output's shape, weights [kernel.., out, in], data.
pub(super) fn transposed(s: &mut Scope, spatial: usize) -> Converted {
    let [_, weights, data] = s.exactly()?;
    let Window { channels, padding, strides, dilations } = Window::of(s, spatial)?;
    let rank = spatial + 2;
    let kernel = s.sizes(weights).filter(|sizes| sizes.len() == rank);
    let Some(kernel) = kernel else {
        return refuse(format!("weights of shape {}, expected {rank} known dimensions", s.ty(weights)));
    };
    let known = s.partly_known(0)?;
    // TensorFlow takes the spatial part alone too.
    let first = match known.len() {
        length if length == spatial => 0,
        length if length == rank => {
            if channels == Channels::Last {
                1
            } else {
                2
            }
        }
        length => return malformed(format!("input 0 has {length} entries, expected {rank}")),
    };
    let wanted: Option<Vec<i64>> = known[first..first + spatial].iter().copied().collect();
    let data = channels.second(s, data, rank)?;
    let k = spatial as i64;
    let order: Vec<i64> = [k + 1, k].into_iter().chain(0..k).collect();
    let weights = s.transposed("weights", weights, &order)?;
    let mut op = ConvolutionBackpropData {
        strides,
        pads_begin: padding.begin,
        pads_end: padding.end,
        dilations,
        auto_pad: padding.auto,
        output_padding: vec![0; spatial],
    };
    // The output's size determines the input's, and so the padding, which is best said outright.
    let result = match wanted {
        Some(wanted) => {
            for (i, size) in wanted.into_iter().enumerate() {
                let Some(cut) = surplus(&op, i, kernel[i], size) else {
                    return malformed(format!("an output size of {size}"));
                };
                if cut < 0 {
                    op.output_padding[i] = -cut;
                } else if op.auto_pad == AutoPad::SameUpper {
                    (op.pads_begin[i], op.pads_end[i]) = (cut / 2, cut - cut / 2);
                }
            }
            op.auto_pad = AutoPad::Explicit;
            s.emit(op, &[data, weights])?
        }
        None => {
            // Of a transpose it is the lower kind that puts the odd element behind.
            if op.auto_pad == AutoPad::SameUpper {
                op.auto_pad = AutoPad::SameLower;
            }
            let [shape, ..] = s.exactly::<3>()?;
            let at: Vec<i64> = (first as i64..).take(spatial).collect();
            let at = s.i64s("spatial", &at);
            let axis = s.constant("axis", Tensor::scalar(0i64));
            let shape = s.add("output_shape", Gather { batch_dims: 0 }, &[shape, at, axis])?;
            s.emit(op, &[data, weights, shape])?
        }
    };
    Ok(vec![channels.restored(s, result, rank)?])
}

/// By how much the windows over a spatial dimension reach beyond an output of `size` plus its padding. The number of
/// windows is that of the forward convolution over such an output.
fn surplus(op: &ConvolutionBackpropData, i: usize, kernel: usize, size: i64) -> Option<i64> {
    let stride = i64::try_from(op.strides[i]).ok()?;
    let reach = kernel.checked_sub(1)?.checked_mul(op.dilations[i])?.checked_add(1)?;
    let reach = i64::try_from(reach).ok()?;
    let padded = size.checked_add(op.pads_begin[i])?.checked_add(op.pads_end[i])?;
    let steps = match op.auto_pad {
        AutoPad::SameUpper => (size - 1).div_euclid(stride),
        _ => padded.checked_sub(reach)?.div_euclid(stride),
    };
    if size < 1 || steps < 0 {
        return None;
    }
    steps.checked_mul(stride)?.checked_add(reach)?.checked_sub(padded)
}

/// `ExtractImagePatches`: every window laid out along the channels, as a convolution whose every filter picks one
/// element of the window.
pub(super) fn patches(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let channels = Channels::Last;
    let padding = Padding::of(s, channels, 2)?;
    let mut sizes = |name: &'static str| positive(channels.spatial(s.ints(name)?, 2, 1, name)?, name);
    let (kernel, strides, dilations) = (sizes("ksizes")?, sizes("strides")?, sizes("rates")?);
    let depth = s.ty(data).shape.dims().and_then(|dims| dims.get(3)?.size());
    let Some(depth) = depth else { return refuse("the number of channels is not known") };
    let filters = kernel.iter().try_fold(depth, |all, size| all.checked_mul(*size));
    let Some(filters) = filters.filter(|filters| *filters <= 4096) else {
        return refuse(format!("windows of {kernel:?} over {depth} channels"));
    };
    let window = filters / depth.max(1);
    // Filter `position * depth + channel` takes `channel` at `position`.
    let mut weights = vec![0.0; filters * filters];
    for filter in 0..filters {
        let (position, channel) = (filter / depth, filter % depth);
        weights[(filter * depth + channel) * window + position] = 1.0;
    }
    let shape = [filters, depth, kernel[0], kernel[1]];
    let weights = Tensor::from_f64s(s.element_type(data), &shape, &weights);
    let weights = weights.map_err(|e| Problem::Malformed(e.to_string()))?;
    let weights = s.constant("windows", weights);
    let data = channels.second(s, data, 4)?;
    let Padding { auto: auto_pad, begin: pads_begin, end: pads_end } = padding;
    let result =
        s.emit(Convolution { strides, pads_begin, pads_end, dilations, auto_pad }, &[data, weights])?;
    Ok(vec![channels.restored(s, result, 4)?])
}
