//! Convolution, its transpose, and the one of single channels.

use super::window::{padding, positive};
use crate::scope::{Converted, Problem, Scope, axis_of, malformed, refuse};
use ir::{
    ElementType, Port, Tensor,
    op::{BinaryKind, Convolution, ConvolutionBackpropData, GroupConvolution, GroupConvolutionBackpropData},
};

/// What both kinds have.
struct Geometry {
    outputs: usize,
    group: usize,
    kernel: Vec<usize>,
    pads: Vec<i64>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    bias: bool,
}

/// The parameters, for data of `rank` dimensions.
fn geometry(s: &Scope, rank: usize) -> Result<Geometry, Problem> {
    let params = s.params("convolution_param");
    let axis = axis_of(params.int("axis", 1)?, rank, "axis", false)?;
    if axis != 1 {
        return refuse(format!("its channels are axis {axis}; only axis 1 can be converted"));
    }
    let spatial = match rank.checked_sub(2) {
        Some(spatial @ 1..) => spatial,
        _ => return malformed(format!("its input has {rank} dimensions, expected at least 3")),
    };
    let group = params.size("group", 1)?;
    if group == 0 {
        return malformed("`group` is 0, expected a positive number");
    }
    params.ignore(&["kernel_dilation"]);
    Ok(Geometry {
        outputs: params.required_size("num_output")?,
        group,
        kernel: positive(&params, "kernel_size", "kernel", spatial, None)?,
        pads: padding(&params, spatial)?,
        strides: positive(&params, "stride", "stride", spatial, Some(1))?,
        dilations: positive(&params, "dilation", "dilation", spatial, Some(1))?,
        bias: params.flag("bias_term", true)?,
    })
}

/// The channels of the data; weights alone tell them where the data does not.
fn channels(s: &Scope, data: Port, of_weights: impl Fn(usize) -> Option<usize>) -> Result<usize, Problem> {
    if let Some(known) = s.dims(data)?.get(1).copied().flatten() {
        return Ok(known);
    }
    let count = s.raw_blob(0, "weights", "as many as outputs x channels x kernel")?.len();
    of_weights(count).map_or_else(|| malformed(format!("its {count} weights fit no number of channels")), Ok)
}

/// Every bottom goes through the same weights to its top.
pub(super) fn convolution(s: &mut Scope, depthwise: bool) -> Converted {
    let inputs = s.inputs.clone();
    if inputs.is_empty() {
        return malformed("it has no bottom");
    }
    inputs.into_iter().map(|data| convolve(s, data, depthwise)).collect()
}

fn convolve(s: &mut Scope, data: Port, depthwise: bool) -> Result<Port, Problem> {
    let rank = s.rank(data)?;
    let Geometry { outputs, mut group, kernel, pads, strides, dilations, bias } = geometry(s, rank)?;
    let window: usize = kernel.iter().fold(1, |product, side| product.saturating_mul(*side));
    let channels = channels(s, data, |count| {
        let a_group = count.checked_div(outputs.checked_mul(window)?)?;
        if depthwise && group == 1 { Some(outputs) } else { a_group.checked_mul(group) }
    })?;
    if depthwise && group == 1 {
        group = channels;
    }
    divides(group, channels, "channels")?;
    divides(group, outputs, "outputs")?;
    let weights = s.blob(0, "weights", &[&[outputs, channels / group], &kernel[..]].concat())?;
    let result = if group == 1 {
        let weights = s.constant("weights", weights);
        let op = Convolution {
            strides,
            pads_begin: pads.clone(),
            pads_end: pads,
            dilations,
            ..Convolution::default()
        };
        s.add("convolved", op, &[data, weights])?
    } else {
        let shape = [&[group, outputs / group, channels / group], &kernel[..]].concat();
        let weights = weights.reshaped(shape).map_err(|error| Problem::Malformed(error.to_string()))?;
        let weights = s.constant("weights", weights);
        let op = GroupConvolution {
            strides,
            pads_begin: pads.clone(),
            pads_end: pads,
            dilations,
            ..GroupConvolution::default()
        };
        s.add("convolved", op, &[data, weights])?
    };
    biased(s, result, bias, outputs, rank)
}

fn divides(group: usize, of: usize, what: &str) -> Result<(), Problem> {
    if group > 0 && of.is_multiple_of(group) {
        return Ok(());
    }
    malformed(format!("{of} {what} do not divide into {group} groups"))
}

fn biased(s: &mut Scope, data: Port, bias: bool, outputs: usize, rank: usize) -> Result<Port, Problem> {
    if !bias {
        return Ok(data);
    }
    let bias = s.weights(1, "bias", &Scope::along(1, rank, outputs))?;
    s.binary("biased", BinaryKind::Add, data, bias)
}

pub(super) fn deconvolution(s: &mut Scope) -> Converted {
    let inputs = s.inputs.clone();
    if inputs.is_empty() {
        return malformed("it has no bottom");
    }
    inputs.into_iter().map(|data| deconvolve(s, data)).collect()
}

fn deconvolve(s: &mut Scope, data: Port) -> Result<Port, Problem> {
    let rank = s.rank(data)?;
    let Geometry { outputs, group, kernel, pads, strides, dilations, bias } = geometry(s, rank)?;
    let window: usize = kernel.iter().fold(1, |product, side| product.saturating_mul(*side));
    let channels =
        channels(s, data, |count| count.checked_mul(group)?.checked_div(outputs.checked_mul(window)?))?;
    divides(group, channels, "channels")?;
    divides(group, outputs, "outputs")?;
    let weights = match s.blob(0, "weights", &[&[channels, outputs / group], &kernel[..]].concat()) {
        Err(Problem::NoBlob(what, expected)) if s.blob_count() == 0 && !bias => {
            let filled = bilinear(s, &[channels, outputs / group], &kernel)?;
            filled.ok_or(Problem::NoBlob(what, expected))
        }
        other => other,
    }?;
    let result = if group == 1 {
        let weights = s.constant("weights", weights);
        let op = ConvolutionBackpropData {
            strides,
            pads_begin: pads.clone(),
            pads_end: pads,
            dilations,
            ..ConvolutionBackpropData::default()
        };
        s.add("convolved", op, &[data, weights])?
    } else {
        let shape = [&[group, channels / group, outputs / group], &kernel[..]].concat();
        let weights = weights.reshaped(shape).map_err(|error| Problem::Malformed(error.to_string()))?;
        let weights = s.constant("weights", weights);
        let op = GroupConvolutionBackpropData {
            strides,
            pads_begin: pads.clone(),
            pads_end: pads,
            dilations,
            ..GroupConvolutionBackpropData::default()
        };
        s.add("convolved", op, &[data, weights])?
    };
    biased(s, result, bias, outputs, rank)
}

/// The weights of an enlargement, which networks state instead of training them (`weight_filler { type: "bilinear" }`):
/// every map is enlarged by itself. `None` where they do not, or where maps would mix.
fn bilinear(s: &mut Scope, maps: &[usize; 2], kernel: &[usize]) -> Result<Option<Tensor>, Problem> {
    let filler = s.params("convolution_param").inner("weight_filler").text("type")?;
    let (&[side, other], 1) = (kernel, maps[1]) else { return Ok(None) };
    // A kernel that a file merely claims is made only as far as an enlargement makes sense.
    if filler != Some("bilinear") || side != other || side > 256 {
        return Ok(None);
    }
    let factor = side.div_ceil(2) as f64;
    let centre = (2.0 * factor - 1.0 - factor % 2.0) / (2.0 * factor);
    let along: Vec<f64> = (0..side).map(|i| 1.0 - (i as f64 / factor - centre).abs()).collect();
    let plane: Vec<f64> = along.iter().flat_map(|y| along.iter().map(move |x| x * y)).collect();
    let values: Vec<f64> = plane.iter().copied().cycle().take(maps[0] * plane.len()).collect();
    s.notes.push("the caffemodel has no weights for it; its bilinear filler gave them".to_owned());
    let tensor = Tensor::from_f64s(ElementType::F32, &[maps[0], 1, side, side], &values);
    tensor.map(Some).map_err(|error| Problem::Malformed(error.to_string()))
}
