//! Elements in another order, put together, or taken apart.

use crate::scope::{Converted, Params, Problem, Scope, axis_of, malformed, refuse};
use ir::{
    ElementType,
    op::{Concat, Convert, Gather, ShuffleChannels, Slice, Split, Tile, VariadicSplit},
};

/// Every top is the bottom.
pub(super) fn split(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    Ok(vec![data; s.layer.tops.len()])
}

/// `axis`, or the name that it had once.
fn axis(params: &Params, old: &str, rank: usize) -> Result<usize, Problem> {
    let old = params.maybe_int(old)?;
    axis_of(params.maybe_int("axis")?.or(old).unwrap_or(1), rank, "axis", false)
}

pub(super) fn concat(s: &mut Scope) -> Converted {
    let data = s.input(0)?;
    let axis = axis(&s.params("concat_param"), "concat_dim", s.rank(data)?)? as i64;
    let inputs = s.inputs.clone();
    match inputs[..] {
        [one] => Ok(vec![one]),
        _ => s.one(Concat { axis }, &inputs),
    }
}

/// Parts that end at the slice points, or equal ones.
pub(super) fn slice(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let params = s.params("slice_param");
    let dims = s.dims(data)?;
    let axis = axis(&params, "slice_dim", dims.len())?;
    let points = params.ints("slice_point")?;
    let parts = s.layer.tops.len();
    if parts == 1 && points.is_empty() {
        return Ok(vec![data]);
    }
    let along = s.i64("axis", axis as i64);
    if points.is_empty() {
        return s.several(Split { num_splits: parts }, &[data, along]);
    }
    if points.len() + 1 != parts {
        return malformed(format!(
            "it has {parts} tops and {} slice points, expected one less",
            points.len()
        ));
    }
    let mut lengths = Vec::with_capacity(parts);
    let mut start = 0;
    for end in points {
        if end <= start {
            return malformed(format!(
                "its slice point {end} stands behind {start}, expected rising ones above 0"
            ));
        }
        lengths.push(end - start);
        start = end;
    }
    match dims[axis].map(|size| size as i64) {
        Some(size) if size <= start => {
            return malformed(format!(
                "its slice point {start} lies outside of axis {axis}, which has {size}"
            ));
        }
        // What is left may be open.
        _ => lengths.push(-1),
    }
    let lengths = s.i64s("lengths", &lengths);
    s.several(VariadicSplit, &[data, along, lengths])
}

/// One dimension in the place of those from `axis` to `end_axis`.
pub(super) fn flatten(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let params = s.params("flatten_param");
    let dims = s.dims(data)?;
    let axis = axis_of(params.int("axis", 1)?, dims.len(), "axis", false)?;
    let end = axis_of(params.int("end_axis", -1)?, dims.len(), "end_axis", false)?;
    if end < axis {
        return malformed(format!("it flattens from axis {axis} to axis {end}"));
    }
    let mut pattern = vec![0; axis];
    pattern.push(-1);
    for dim in &dims[end + 1..] {
        match dim {
            Some(size) => pattern.push(*size as i64),
            None => return refuse("a dimension behind those that it flattens is open (--input_shape)"),
        }
    }
    Ok(vec![s.reshaped("flat", data, &pattern)?])
}

/// Other dimensions in the place of `num_axes` from `axis` on; 0 keeps one, -1 is what is left.
pub(super) fn reshape(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let params = s.params("reshape_param");
    let wanted = params.inner("shape").ints("dim")?;
    let dims = s.dims(data)?;
    let rank = dims.len();
    let start = axis_of(params.int("axis", 0)?, rank, "axis", true)?;
    let end = match params.int("num_axes", -1)? {
        -1 => rank,
        count => match usize::try_from(count).ok().and_then(|count| start.checked_add(count)) {
            Some(end) if end <= rank => end,
            _ => {
                return malformed(format!(
                    "`num_axes` is {count} from axis {start} on, of {rank} dimensions"
                ));
            }
        },
    };
    // A 0 of a pattern keeps the dimension of the same place, which these are.
    let mut pattern = vec![0; start];
    for (i, dim) in wanted.iter().enumerate() {
        if *dim < -1 || *dim == 0 && start + i >= end {
            return malformed(format!("dimension {i} of its shape is {dim}, which nothing stands for"));
        }
        pattern.push(*dim);
    }
    let open =
        dims[end..].iter().filter(|dim| dim.is_none()).count() + wanted.iter().filter(|d| **d == -1).count();
    if open > 1 {
        return refuse("more than one of the dimensions that it makes is open (--input_shape)");
    }
    pattern.extend(dims[end..].iter().map(|dim| dim.map_or(-1, |size| size as i64)));
    Ok(vec![s.reshaped("reshaped", data, &pattern)?])
}

/// Axes in another order; those that are not named follow in theirs.
pub(super) fn permute(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let rank = s.rank(data)?;
    let mut order = s.params("permute_param").sizes("order")?;
    if let Some(bad) = order.iter().find(|axis| **axis >= rank) {
        return malformed(format!("its order names axis {bad} of {rank}"));
    }
    for axis in 0..rank {
        if !order.contains(&axis) {
            order.push(axis);
        }
    }
    if order.len() != rank {
        return malformed(format!("its order {order:?} names an axis twice"));
    }
    let order: Vec<i64> = order.into_iter().map(|axis| axis as i64).collect();
    Ok(vec![s.transposed("permuted", data, &order)?])
}

/// As much as the second bottom has, from an offset on.
pub(super) fn crop(s: &mut Scope) -> Converted {
    let [data, reference] = s.exactly()?;
    let params = s.params("crop_param");
    let rank = s.rank(data)?;
    let axis = axis_of(params.int("axis", 2)?, rank, "axis", false)?;
    let offsets = params.sizes("offset")?;
    let (have, want) = (s.dims(data)?, s.dims(reference)?);
    if want.len() != rank {
        return malformed(format!("its bottoms have {rank} and {} dimensions", want.len()));
    }
    let (mut starts, mut stops) = (Vec::new(), Vec::new());
    for (i, at) in (axis..rank).enumerate() {
        let offset = match offsets.len() {
            0 => 0,
            1 => offsets[0],
            n if n == rank - axis => offsets[i],
            n => return malformed(format!("it has {n} offsets for {} axes", rank - axis)),
        };
        let Some(size) = want[at] else {
            return refuse("the size that it crops to is open (--input_shape)");
        };
        let stop = offset.saturating_add(size);
        if have[at].is_some_and(|own| stop > own) {
            let own = have[at].unwrap_or_default();
            return malformed(format!(
                "it takes {size} elements from {offset} on of axis {at}, which has {own}"
            ));
        }
        starts.push(i64::try_from(offset).unwrap_or(i64::MAX));
        stops.push(i64::try_from(stop).unwrap_or(i64::MAX));
    }
    let axes: Vec<i64> = (axis..rank).map(|axis| axis as i64).collect();
    let steps = s.i64s("steps", &vec![1; axes.len()]);
    let (starts, stops, axes) = (s.i64s("starts", &starts), s.i64s("stops", &stops), s.i64s("axes", &axes));
    s.one(Slice, &[data, starts, stops, steps, axes])
}

pub(super) fn tile(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let params = s.params("tile_param");
    let rank = s.rank(data)?;
    let axis = axis_of(params.int("axis", 1)?, rank, "axis", false)?;
    let tiles = params.required_size("tiles")?;
    let mut repeats = vec![1; rank];
    repeats[axis] = i64::try_from(tiles).unwrap_or(i64::MAX);
    let repeats = s.i64s("repeats", &repeats);
    s.one(Tile, &[data, repeats])
}

/// Interleaves groups of channels.
pub(super) fn shuffle_channel(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let group = s.params("shuffle_channel_param").size("group", 1)?;
    s.one(ShuffleChannels { axis: 1, group }, &[data])
}

/// The data of a batch that the second bottom names.
pub(super) fn batch_reindex(s: &mut Scope) -> Converted {
    let [data, places] = s.exactly()?;
    let places = s.add("places", Convert::to(ElementType::I32), &[places])?;
    let axis = s.i64("axis", 0);
    s.one(Gather { batch_dims: 0 }, &[data, places, axis])
}
