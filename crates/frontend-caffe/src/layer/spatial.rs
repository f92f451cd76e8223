//! Layers that look at places: transformed images, and images compared at distances.

use crate::scope::{Converted, Problem, Scope, malformed, refuse};
use ir::{
    Port,
    op::{
        AvgPool, BinaryKind, Broadcast, Concat, Gather, GridMode, GridPadding, GridSample, MatMul, Pad,
        PadMode, Reduce, ReduceKind, Slice, Unary,
    },
};

/// An image under an affine transformation: at each place of the answer, the element where the transformation leads.
pub(super) fn spatial_transformer(s: &mut Scope) -> Converted {
    let [image, transformation] = s.exactly()?;
    let params = s.params("st_param");
    params.ignore(&["to_compute_dU", "de_transform", "transform_type", "sampler_type"]);
    let &[batch, _, height, width] = &s.sizes(image)?[..] else {
        return malformed("its first input has other than 4 dimensions, expected [N,C,H,W]");
    };
    let rows = params.size("output_H", height)?;
    let columns = params.size("output_W", width)?;
    let (rows, columns) = (if rows == 0 { height } else { rows }, if columns == 0 { width } else { columns });
    let mut fixed = Vec::new();
    for name in ["theta_1_1", "theta_1_2", "theta_1_3", "theta_2_1", "theta_2_2", "theta_2_3"] {
        fixed.push(params.maybe_float(name)?);
    }
    let learned = fixed.iter().filter(|theta| theta.is_none()).count();
    let theta = s.reshaped("theta/flat", transformation, &[batch as i64, learned as i64])?;
    let theta = filled(s, theta, batch, &fixed)?;
    let theta = s.reshaped("theta", theta, &[batch as i64, 2, 3])?;
    // Caffe's first coordinate is the row; grids have the column first.
    let (swapped, axis) = (s.i64s("theta/order", &[1, 0]), s.i64("theta/axis", 1));
    let theta = s.add("theta/swapped", Gather::default(), &[theta, swapped, axis])?;
    let place = |i: usize, count: usize| 2.0 * i as f64 / count as f64 - 1.0;
    let places = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
    let base: Vec<f64> =
        places.flat_map(|(row, column)| [place(row, rows), place(column, columns), 1.0]).collect();
    let base = s.floats("places", &[rows * columns, 3], &base)?;
    let places = s.add("grid/places", MatMul { transpose_a: false, transpose_b: true }, &[base, theta])?;
    // Caffe's -1 is the middle of the first element, a grid's its edge.
    let half = s.floats("half", &[1, 1, 2], &[1.0 / width as f64, 1.0 / height as f64])?;
    let grid = s.binary("grid/shifted", BinaryKind::Add, places, half)?;
    let shape = [batch, rows, columns, 2].map(|size| size as i64);
    let grid = s.reshaped("grid", grid, &shape)?;
    let op = GridSample { align_corners: false, mode: GridMode::Bilinear, padding_mode: GridPadding::Zeros };
    s.one(op, &[image, grid])
}

/// Six numbers for each image: those that the layer fixes, and between them those that are learned.
fn filled(s: &mut Scope, learned: Port, batch: usize, fixed: &[Option<f64>]) -> Result<Port, Problem> {
    if fixed.iter().all(Option::is_none) {
        return Ok(learned);
    }
    let constants: Vec<f64> = fixed.iter().flatten().copied().collect();
    let count = constants.len();
    let constants = s.floats("theta/fixed", &[1, count], &constants)?;
    let shape = s.i64s("theta/fixed/shape", &[batch as i64, count as i64]);
    let constants = s.add("theta/each", Broadcast::default(), &[constants, shape])?;
    let all = s.add("theta/all", Concat { axis: 1 }, &[learned, constants])?;
    let (mut next_learned, mut next_fixed) = (0, (fixed.len() - count) as i64);
    let mut order = Vec::new();
    for theta in fixed {
        let next = if theta.is_some() { &mut next_fixed } else { &mut next_learned };
        order.push(*next);
        *next += 1;
    }
    let (order, axis) = (s.i64s("theta/places", &order), s.i64("theta/columns", 1));
    s.add("theta/filled", Gather::default(), &[all, order, axis])
}

/// The most distances at which images are compared.
const MOST_DISTANCES: usize = 4096;

/// For every place of one image its likeness to those of another at each distance, a channel for a distance.
pub(super) fn correlation(s: &mut Scope) -> Converted {
    let [first, second] = s.exactly()?;
    let params = s.params("correlation_param");
    let (pad, kernel) = (params.size("pad", 0)?, params.required_size("kernel_size")?);
    let farthest = params.size("max_displacement", 0)?;
    let (stride, step) = (params.size("stride_1", 1)?, params.size("stride_2", 1)?);
    let types = [("MULTIPLY", 0, false), ("SUBTRACT", 1, true)];
    let differences = params.choice("correlation_type", &types, false)?;
    if params.int("single_direction", 0)? != 0 || params.flag("do_abs", false)? {
        return refuse("it compares in one direction or without signs");
    }
    if kernel % 2 == 0 || stride == 0 || step == 0 {
        return malformed(format!(
            "its kernel is {kernel}, its strides {stride} and {step}; expected odd, above 0"
        ));
    }
    let &[_, _, height, width] = &s.sizes(first)?[..] else {
        return malformed("its first input has other than 4 dimensions, expected [N,C,H,W]");
    };
    let border = farthest + (kernel - 1) / 2;
    let extent = |size: usize| (size + 2 * pad).checked_sub(2 * border).filter(|size| *size > 0);
    let (Some(rows), Some(columns)) = (extent(height), extent(width)) else {
        return malformed(format!("its input is {height} by {width}, smaller than what it looks at"));
    };
    // What the windows of all places of the answer cover.
    let reach = |size: usize| ((size.div_ceil(stride) - 1) * stride + kernel) as i64;
    let (rows, columns) = (reach(rows), reach(columns));
    let radius = (farthest / step) as i64;
    let distances = (2 * radius + 1).unsigned_abs() as usize;
    if distances.saturating_mul(distances) > MOST_DISTANCES {
        return refuse(format!(
            "it compares at {distances} by {distances} distances, more than {MOST_DISTANCES}"
        ));
    }
    let padded = |s: &mut Scope, suffix: &str, port: Port| {
        let pads = s.i64s(&format!("{suffix}/pads"), &[0, 0, pad as i64, pad as i64]);
        s.add(suffix, Pad { pad_mode: PadMode::Constant }, &[port, pads, pads])
    };
    let part = |s: &mut Scope, suffix: &str, port: Port, [row, column]: [i64; 2]| {
        let start = s.i64s(&format!("{suffix}/start"), &[row, column]);
        let stop = s.i64s(&format!("{suffix}/stop"), &[row + rows, column + columns]);
        let (steps, axes) =
            (s.i64s(&format!("{suffix}/steps"), &[1, 1]), s.i64s(&format!("{suffix}/axes"), &[2, 3]));
        s.add(suffix, Slice, &[port, start, stop, steps, axes])
    };
    let (first, second) = (padded(s, "first", first)?, padded(s, "second", second)?);
    let farthest = farthest as i64;
    let own = part(s, "own", first, [farthest; 2])?;
    let channel = s.i64s("channel", &[1]);
    let mut likeness = Vec::new();
    for down in -radius..=radius {
        for across in -radius..=radius {
            let name = format!("{down}_{across}");
            let place = [down, across].map(|distance| farthest + distance * step as i64);
            let other = part(s, &format!("{name}/other"), second, place)?;
            let both = if differences {
                let apart = s.binary(&format!("{name}/apart"), BinaryKind::Subtract, own, other)?;
                s.add(&format!("{name}/distance"), Unary::Abs, &[apart])?
            } else {
                s.binary(&format!("{name}/product"), BinaryKind::Multiply, own, other)?
            };
            let op = Reduce { kind: ReduceKind::Mean, keep_dims: true };
            likeness.push(s.add(&format!("{name}/mean"), op, &[both, channel])?);
        }
    }
    let all = s.add("distances", Concat { axis: 1 }, &likeness)?;
    let op = AvgPool {
        strides: vec![stride; 2],
        kernel: vec![kernel; 2],
        pads_begin: vec![0; 2],
        pads_end: vec![0; 2],
        ..AvgPool::default()
    };
    s.one(op, &[all])
}
