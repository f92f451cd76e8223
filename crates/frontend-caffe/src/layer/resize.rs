//! Images of another size.

use crate::scope::{Converted, Problem, Scope, malformed, refuse};
use ir::{
    ElementType, Port, Tensor,
    op::{
        BinaryKind, Convert, CoordinateTransformation, Interpolate, InterpolateForm, InterpolateMode,
        NearestMode, ScatterNdUpdate, Slice,
    },
};

/// Rows and columns of images.
fn sides(s: &Scope, port: Port) -> Result<[usize; 2], Problem> {
    let dims = s.dims(port)?;
    match dims[..] {
        [_, _, Some(rows), Some(columns)] => Ok([rows, columns]),
        [_, _, _, _] => refuse("the size of its images is open (--input_shape)"),
        _ => malformed(format!("its input has {} dimensions, expected 4", dims.len())),
    }
}

fn resized(s: &mut Scope, mut op: Interpolate, data: Port, sides: [usize; 2]) -> Result<Port, Problem> {
    op.form = InterpolateForm::SizesOrScales;
    let target = s.i64s("size", &sides.map(|side| i64::try_from(side).unwrap_or(i64::MAX)));
    let axes = s.i64s("axes", &[2, 3]);
    s.add("resized", op, &[data, target, axes])
}

fn interpolate(mode: InterpolateMode, coordinates: CoordinateTransformation) -> Interpolate {
    Interpolate {
        mode,
        coordinate_transformation_mode: coordinates,
        nearest_mode: NearestMode::Floor,
        ..Interpolate::new(InterpolateForm::SizesOrScales)
    }
}

/// Bilinear, corners on corners. The size is given, or follows from factors, or is the second bottom's.
pub(super) fn interp(s: &mut Scope) -> Converted {
    let data = s.input(0)?;
    let params = s.params("interp_param");
    let pads = [params.int("pad_beg", 0)?, params.int("pad_end", 0)?];
    let (height, width) = (params.size("height", 0)?, params.size("width", 0)?);
    let (zoom, shrink) = (params.maybe_size("zoom_factor")?, params.maybe_size("shrink_factor")?);
    if pads.iter().any(|pad| *pad > 0) {
        return malformed(format!(
            "`pad_beg` and `pad_end` are {pads:?}; only what is cut off, not above 0, has a meaning"
        ));
    }
    if zoom == Some(0) || shrink == Some(0) {
        return malformed("`zoom_factor` and `shrink_factor` must be positive");
    }
    let [mut rows, mut columns] = sides(s, data)?;
    let cut = |side: usize| {
        let left = (side as i64).saturating_add(pads[0]).saturating_add(pads[1]);
        usize::try_from(left).ok().filter(|left| *left > 0)
    };
    let mut data = data;
    if pads != [0, 0] {
        (rows, columns) = match (cut(rows), cut(columns)) {
            (Some(rows), Some(columns)) => (rows, columns),
            _ => return malformed(format!("its padding {pads:?} leaves nothing of {rows}x{columns}")),
        };
        let start = -pads[0];
        let ends = [start + rows as i64, start + columns as i64];
        let inputs = [
            data,
            s.i64s("starts", &[start, start]),
            s.i64s("stops", &ends),
            s.i64s("steps", &[1, 1]),
            s.i64s("cut_axes", &[2, 3]),
        ];
        data = s.add("cut", Slice, &inputs)?;
    }
    let by_factors = |side: usize| {
        let side = shrink.map_or(side, |factor| (side - 1) / factor + 1);
        zoom.map_or(Some(side), |factor| (side - 1).checked_mul(factor - 1)?.checked_add(side))
    };
    let target = if height > 0 && width > 0 {
        [height, width]
    } else if zoom.is_some() || shrink.is_some() {
        match (by_factors(rows), by_factors(columns)) {
            (Some(rows), Some(columns)) => [rows, columns],
            _ => return malformed("the size that follows from its factors is out of range"),
        }
    } else if s.inputs.len() > 1 {
        sides(s, s.input(1)?)?
    } else {
        return malformed("it has neither a size nor a factor nor a second bottom");
    };
    let op = interpolate(InterpolateMode::LinearOnnx, CoordinateTransformation::AlignCorners);
    Ok(vec![resized(s, op, data, target)?])
}

/// FlowNet's resizing: pixels' centres on centres.
pub(super) fn resample(s: &mut Scope) -> Converted {
    let data = s.input(0)?;
    let params = s.params("resample_param");
    let modes = [
        ("NEAREST", 1, Some(InterpolateMode::Nearest)),
        ("LINEAR", 2, Some(InterpolateMode::Linear)),
        ("CUBIC", 3, None),
        ("AREA", 4, None),
    ];
    let Some(mode) = params.choice("type", &modes, Some(InterpolateMode::Linear))? else {
        return refuse("only NEAREST and LINEAR are converted");
    };
    let antialias = params.flag("antialias", true)?;
    let (height, width) = (params.size("height", 0)?, params.size("width", 0)?);
    let factor = params.float("factor", 1.0)?;
    let [rows, columns] = sides(s, data)?;
    let target = if s.inputs.len() > 1 {
        sides(s, s.input(1)?)?
    } else if height > 0 && width > 0 {
        [height, width]
    } else {
        [rows, columns].map(|side| (side as f64 * factor) as usize)
    };
    let mut op = interpolate(mode, CoordinateTransformation::HalfPixel);
    op.nearest_mode = NearestMode::RoundPreferCeil;
    op.antialias = antialias && mode == InterpolateMode::Linear && (target[0] < rows || target[1] < columns);
    Ok(vec![resized(s, op, data, target)?])
}

/// One bottom: every element a block of its own. Two: each element goes back to the place that the second bottom
/// names, in a plane of zeros.
pub(super) fn upsample(s: &mut Scope) -> Converted {
    let data = s.input(0)?;
    let params = s.params("upsample_param");
    let scale = params.maybe_size("scale")?;
    let scales = [params.maybe_size("scale_h")?, params.maybe_size("scale_w")?];
    let given = [params.maybe_size("upsample_h")?, params.maybe_size("upsample_w")?];
    let smaller = [params.flag("pad_out_h", false)?, params.flag("pad_out_w", false)?];
    let own = sides(s, data)?;
    let mut target = [0; 2];
    for i in 0..2 {
        let factor = scales[i].or(scale).unwrap_or(2);
        let grown = own[i].checked_mul(factor).map(|side| side.saturating_sub(usize::from(smaller[i])));
        target[i] = match given[i].or(grown) {
            Some(side @ 1..) => side,
            _ => return malformed(format!("it grows {} elements by {factor}", own[i])),
        };
    }
    match s.inputs[..] {
        [data] => {
            let op = interpolate(InterpolateMode::Nearest, CoordinateTransformation::Asymmetric);
            Ok(vec![resized(s, op, data, target)?])
        }
        [data, places] => unpooled(s, data, places, target),
        _ => malformed(format!("it has {} bottoms, expected 1 or 2", s.inputs.len())),
    }
}

fn unpooled(s: &mut Scope, data: Port, places: Port, [rows, columns]: [usize; 2]) -> Converted {
    let sizes = s.sizes(data)?;
    let planes = sizes[0].checked_mul(sizes[1]);
    let plane = rows.checked_mul(columns);
    let total = planes.zip(plane).and_then(|(planes, plane)| planes.checked_mul(plane));
    let (Some(planes), Some(plane), Some(total)) = (planes, plane, total.and_then(|t| i64::try_from(t).ok()))
    else {
        return malformed(format!("{sizes:?} grown to {rows}x{columns} is out of range"));
    };
    let flat = s.reshaped("values", data, &[-1])?;
    let within = s.add("places", Convert::to(ElementType::I64), &[places])?;
    let firsts: Vec<i64> = (0..planes as i64).map(|i| i * plane as i64).collect();
    let firsts = Tensor::from_slice(&[sizes[0], sizes[1], 1, 1], &firsts);
    let firsts = firsts.map_err(|error| Problem::Malformed(error.to_string()))?;
    let firsts = s.constant("planes", firsts);
    let places = s.binary("from_start", BinaryKind::Add, within, firsts)?;
    let places = s.reshaped("indices", places, &[-1, 1])?;
    let zero = s.scalar("zero", 0.0);
    let count = s.i64s("count", &[total]);
    let zeros = s.add("zeros", ir::op::Broadcast::default(), &[zero, count])?;
    let filled = s.add("filled", ScatterNdUpdate, &[zeros, places, flat])?;
    let shape = [sizes[0] as i64, sizes[1] as i64, rows as i64, columns as i64];
    Ok(vec![s.reshaped("unpooled", filled, &shape)?])
}
