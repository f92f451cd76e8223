//! Convolutions and their transposes.

use super::layout::{Channels, Padding, positive};
use crate::scope::{Converted, Problem, Scope, malformed, refuse};
use ir::{
    Port,
    op::{AutoPad, Convolution, ConvolutionBackpropData, GroupConvolution, Reshape},
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
        (Some(have), Some(take)) if take > 0 && have != take => {
            if have % take > 0 {
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

/// `Conv2DBackpropInput`: the output's shape, weights [kernel.., out, in], data.
pub(super) fn transposed(s: &mut Scope, spatial: usize) -> Converted {
    let [_, weights, data] = s.exactly()?;
    let Window { channels, padding, strides, dilations } = Window::of(s, spatial)?;
    let rank = spatial + 2;
    let kernel = s.sizes(weights).filter(|sizes| sizes.len() == rank);
    let Some(kernel) = kernel else {
        return refuse(format!("weights of shape {}, expected {rank} known dimensions", s.ty(weights)));
    };
    let mut wanted: Vec<i64> = match s.integers(0)? {
        // TensorFlow takes the spatial part alone too.
        list if list.len() == spatial => list,
        list => {
            let first = if channels == Channels::Last { 1 } else { 2 };
            if list.len() != rank {
                return malformed(format!("input 0 has {} entries, expected {rank}", list.len()));
            }
            list[first..first + spatial].to_vec()
        }
    };
    let data = channels.second(s, data, rank)?;
    let k = spatial as i64;
    let order: Vec<i64> = [k + 1, k].into_iter().chain(0..k).collect();
    let weights = s.transposed("weights", weights, &order)?;
    let dims = s.ty(data).shape.dims().map(<[_]>::to_vec).unwrap_or_default();
    let sizes: Option<Vec<usize>> = dims.iter().skip(2).map(|dim| dim.size()).collect();
    let mut op = ConvolutionBackpropData {
        strides,
        pads_begin: padding.begin,
        pads_end: padding.end,
        dilations,
        auto_pad: padding.auto,
        output_padding: vec![0; spatial],
    };
    // With sizes known the padding can be said outright; all devices read that the same way.
    let result = match sizes.filter(|sizes| sizes.len() == spatial) {
        Some(sizes) => {
            for i in 0..spatial {
                let full = covered(sizes[i], op.strides[i], kernel[i], op.dilations[i]);
                let Some(full) = full else { return malformed("its sizes overflow") };
                let cut = full - op.pads_begin[i] - op.pads_end[i] - wanted[i];
                if padding.auto == AutoPad::SameUpper && cut > 0 {
                    op.pads_begin[i] = cut / 2;
                    op.pads_end[i] = cut - cut / 2;
                } else if padding.auto != AutoPad::SameUpper && cut > 0 {
                    return malformed(format!(
                        "an output of {} where {} elements come out",
                        wanted[i],
                        wanted[i] + cut
                    ));
                } else {
                    op.output_padding[i] = -cut;
                }
            }
            op.auto_pad = AutoPad::Explicit;
            s.emit(op, &[data, weights])?
        }
        None => {
            let shape = s.i64s("output_shape", &std::mem::take(&mut wanted));
            s.emit(op, &[data, weights, shape])?
        }
    };
    Ok(vec![channels.restored(s, result, rank)?])
}

/// The length that `size` windows cover.
fn covered(size: usize, stride: usize, kernel: usize, dilation: usize) -> Option<i64> {
    let steps = size.checked_sub(1)?.checked_mul(stride)?;
    let window = kernel.checked_sub(1)?.checked_mul(dilation)?.checked_add(1)?;
    i64::try_from(steps.checked_add(window)?).ok()
}
