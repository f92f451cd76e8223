//! Pooling, with Caffe's rounding: up, but no window begins in the padding behind the data.

use super::window::{padding, positive};
use crate::scope::{Converted, Problem, Scope, malformed, refuse};
use ir::{
    ElementType, Port,
    op::{
        AvgPool, BinaryKind, Concat, Convert, MaxPool, MaxPool8, Pad, PadMode, Reduce, ReduceKind,
        RoundingType,
    },
};

#[derive(Clone, Copy, PartialEq)]
enum Method {
    Max,
    Average,
    /// At inference the average weighted by the elements themselves.
    Stochastic,
}

const METHODS: [(&str, i64, Method); 3] =
    [("MAX", 0, Method::Max), ("AVE", 1, Method::Average), ("STOCHASTIC", 2, Method::Stochastic)];

/// The windows of a pooling.
#[derive(Clone)]
struct Windows {
    kernel: Vec<usize>,
    strides: Vec<usize>,
    pads: Vec<i64>,
    rounds_up: bool,
}

pub(super) fn pooling(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let params = s.params("pooling_param");
    let method = params.choice("pool", &METHODS, Method::Max)?;
    let global = params.flag("global_pooling", false)?;
    let rank = s.rank(data)?;
    let spatial = match rank.checked_sub(2) {
        Some(spatial @ 1..) => spatial,
        _ => return malformed(format!("its input has {rank} dimensions, expected at least 3")),
    };
    let up = params.choice("round_mode", &[("CEIL", 0, true), ("FLOOR", 1, false)], true)?;
    let rounds_up = params.flag("ceil_mode", up)?;
    let wants_places = s.layer.tops.len() > 1;
    if global {
        params.ignore(&["kernel_size", "kernel_h", "kernel_w", "stride", "stride_h", "stride_w"]);
        params.ignore(&["pad", "pad_h", "pad_w"]);
        if !wants_places {
            return Ok(vec![everywhere(s, data, method, rank)?]);
        }
    }
    let windows = if global {
        Windows {
            kernel: s.sizes(data)?[2..].to_vec(),
            strides: vec![1; spatial],
            pads: vec![0; spatial],
            rounds_up,
        }
    } else {
        Windows {
            kernel: positive(&params, "kernel_size", "kernel", spatial, None)?,
            strides: positive(&params, "stride", "stride", spatial, Some(1))?,
            pads: padding(&params, spatial)?,
            rounds_up,
        }
    };
    if windows.pads.iter().zip(&windows.kernel).any(|(pad, kernel)| *pad >= *kernel as i64) {
        return malformed(format!(
            "it pads by {:?}, as much as its windows {:?} are wide",
            windows.pads, windows.kernel
        ));
    }
    if wants_places {
        return with_places(s, data, method, windows);
    }
    Ok(vec![pool(s, "pooled", data, method, &windows)?])
}

/// The windows' pads and rounding as an op has them. Where Caffe leaves the last window out, the padding behind the
/// data ends where the window before it does.
fn rounded(s: &Scope, data: Port, windows: &Windows) -> Result<(Vec<i64>, RoundingType), Problem> {
    let mut pads_end = windows.pads.clone();
    if !windows.rounds_up {
        return Ok((pads_end, RoundingType::Floor));
    }
    let dims = s.dims(data)?;
    let mut rounding = RoundingType::Floor;
    for (i, dim) in dims[2..].iter().enumerate() {
        let as_i64 = |size: usize| i64::try_from(size).unwrap_or(i64::MAX);
        let (kernel, stride, pad) = (as_i64(windows.kernel[i]), as_i64(windows.strides[i]), windows.pads[i]);
        if stride == 1 {
            continue;
        }
        let Some(size) = dim.map(as_i64) else {
            return Ok((windows.pads.clone(), RoundingType::CeilTorch));
        };
        let span = size.saturating_add(pad).saturating_add(pad).saturating_sub(kernel);
        let left = span.rem_euclid(stride);
        if left == 0 {
            continue;
        }
        let last = span - left + stride;
        if pad > 0 && last >= size.saturating_add(pad) {
            pads_end[i] = pad - left;
        } else {
            rounding = RoundingType::Ceil;
        }
    }
    Ok((pads_end, rounding))
}

fn pool(s: &mut Scope, suffix: &str, data: Port, method: Method, windows: &Windows) -> Result<Port, Problem> {
    let (pads_end, rounding_type) = rounded(s, data, windows)?;
    let (strides, pads_begin, kernel) =
        (windows.strides.clone(), windows.pads.clone(), windows.kernel.clone());
    match method {
        Method::Max if rounding_type == RoundingType::CeilTorch => {
            let op = MaxPool8 { strides, pads_begin, pads_end, kernel, rounding_type, ..MaxPool8::default() };
            s.add(suffix, op, &[data])
        }
        Method::Max => {
            let op = MaxPool { strides, pads_begin, pads_end, kernel, rounding_type, ..MaxPool::default() };
            s.add(suffix, op, &[data])
        }
        Method::Average => {
            let (mut data, mut pads_begin, mut pads_end) = (data, pads_begin, pads_end);
            if rounding_type != RoundingType::Floor && pads_begin.iter().any(|pad| *pad > 0) {
                if rounding_type == RoundingType::CeilTorch {
                    return refuse("averages of padded images of open size; give it one (--input_shape)");
                }
                // What hangs over the padding does not count in Caffe, and counts in OpenVINO: the padding becomes data.
                data = padded(s, suffix, data, &pads_begin, &pads_end)?;
                (pads_begin, pads_end) = (vec![0; kernel.len()], vec![0; kernel.len()]);
            }
            let op = AvgPool {
                strides,
                pads_begin,
                pads_end,
                kernel,
                rounding_type,
                exclude_pad: false,
                ..AvgPool::default()
            };
            s.add(suffix, op, &[data])
        }
        Method::Stochastic => {
            let squares = s.binary(&format!("{suffix}/squares"), BinaryKind::Multiply, data, data)?;
            let above = pool(s, &format!("{suffix}/above"), squares, Method::Average, windows)?;
            let below = pool(s, &format!("{suffix}/below"), data, Method::Average, windows)?;
            weighted(s, above, below)
        }
    }
}

/// The data with zeros around its planes.
fn padded(s: &mut Scope, suffix: &str, data: Port, begin: &[i64], end: &[i64]) -> Result<Port, Problem> {
    let begin = s.i64s(&format!("{suffix}/pads_begin"), &[&[0, 0], begin].concat());
    let end = s.i64s(&format!("{suffix}/pads_end"), &[&[0, 0], end].concat());
    let zero = s.scalar(&format!("{suffix}/pad_value"), 0.0);
    s.add(&format!("{suffix}/padded"), Pad { pad_mode: PadMode::Constant }, &[data, begin, end, zero])
}

/// The quotient; 0 where both are.
fn weighted(s: &mut Scope, above: Port, below: Port) -> Result<Port, Problem> {
    let least = s.scalar("least", f64::from(f32::MIN_POSITIVE));
    let guarded = s.binary("guarded", BinaryKind::Add, below, least)?;
    s.binary("weighted", BinaryKind::Divide, above, guarded)
}

/// One window over all places.
fn everywhere(s: &mut Scope, data: Port, method: Method, rank: usize) -> Result<Port, Problem> {
    let axes: Vec<i64> = (2..rank).map(|axis| axis as i64).collect();
    let reduce = |s: &mut Scope, suffix: &str, kind, port| {
        let axes = s.i64s(&format!("{suffix}/axes"), &axes);
        s.add(suffix, Reduce { kind, keep_dims: true }, &[port, axes])
    };
    match method {
        Method::Max => reduce(s, "pooled", ReduceKind::Max, data),
        Method::Average => reduce(s, "pooled", ReduceKind::Mean, data),
        Method::Stochastic => {
            let squares = s.binary("squares", BinaryKind::Multiply, data, data)?;
            let above = reduce(s, "above", ReduceKind::Mean, squares)?;
            let below = reduce(s, "below", ReduceKind::Mean, data)?;
            weighted(s, above, below)
        }
    }
}

/// A second top takes where in its plane each maximum was, as a float.
fn with_places(s: &mut Scope, data: Port, method: Method, windows: Windows) -> Converted {
    if method != Method::Max {
        return malformed("only maximum pooling has a second top");
    }
    let (pads_end, rounding_type) = rounded(s, data, &windows)?;
    let op = MaxPool8 {
        strides: windows.strides,
        pads_begin: windows.pads,
        pads_end,
        kernel: windows.kernel,
        rounding_type,
        index_element_type: ElementType::I32,
        axis: 2,
        ..MaxPool8::default()
    };
    let pooled = s.add("pooled", op, &[data])?;
    let places = s.add("places", Convert::to(ElementType::F32), &[pooled.node.output(1)])?;
    Ok(vec![pooled, places])
}

/// Spatial pyramid pooling: 1, 2, 4, .. windows a side, side by side in one vector.
pub(super) fn pyramid(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let params = s.params("spp_param");
    let height = params.required_size("pyramid_height")?;
    let method = params.choice("pool", &METHODS, Method::Max)?;
    let sizes = s.sizes(data)?;
    let [_, _, rows, columns] = sizes[..] else {
        return malformed(format!("its input has {} dimensions, expected 4", sizes.len()));
    };
    // No window is smaller than an element.
    let most = rows.min(columns).checked_ilog2().map_or(0, |levels| levels as usize + 1);
    if height > most {
        return malformed(format!(
            "`pyramid_height` is {height}; of {rows}x{columns} elements {most} is the most"
        ));
    }
    let mut levels = Vec::new();
    for level in 0..height {
        let bins = 1usize << level;
        let kernel: Vec<usize> = [rows, columns].iter().map(|side| side.div_ceil(bins)).collect();
        let pad = |(side, kernel): (&usize, &usize)| ((kernel * bins - side).div_ceil(2)) as i64;
        let pads = [rows, columns].iter().zip(&kernel).map(pad).collect();
        let windows = Windows { strides: kernel.clone(), kernel, pads, rounds_up: true };
        let pooled = pool(s, &format!("level_{level}"), data, method, &windows)?;
        levels.push(s.reshaped(&format!("flat_{level}"), pooled, &[0, -1])?);
    }
    match levels[..] {
        [one] => Ok(vec![one]),
        _ => s.one(Concat { axis: 1 }, &levels),
    }
}
