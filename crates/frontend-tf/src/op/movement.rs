//! Elements in another order, put together, or taken apart.

use super::reshape::unsqueezed;
use crate::scope::{Converted, Problem, Scope, malformed, refuse};
use ir::{
    ElementType, Port, Tensor,
    op::{
        Binary, BinaryKind, Broadcast, Concat, Convert, CumSum, Gather, GatherNd, NonZero, Pad, PadMode,
        ReverseSequence, Roll, ScatterNdUpdate, Select, Slice, Split, Squeeze, StridedSlice, Tile, Transpose,
        VariadicSplit,
    },
    shape::MAX_RANK,
};
use std::collections::HashSet;

/// The axis is the first input of the first version of the op, the last of the second.
pub(super) fn concat(s: &mut Scope, axis_first: bool) -> Converted {
    s.ignore(&["N"]);
    let Some(last) = s.inputs.len().checked_sub(1) else { return malformed("it has no inputs") };
    let at = if axis_first { 0 } else { last };
    let axis = s.integer(at)?;
    let mut parts = s.inputs.clone();
    parts.remove(at);
    match parts[..] {
        [] => malformed("it has nothing to put together"),
        [only] => Ok(vec![only]),
        _ => s.one(Concat { axis }, &parts),
    }
}

/// A new dimension over the inputs.
pub(super) fn pack(s: &mut Scope) -> Converted {
    s.ignore(&["N"]);
    let axis = s.int("axis", 0)?;
    let inputs = s.inputs.clone();
    let parts: Vec<Port> = (inputs.iter().enumerate())
        .map(|(i, part)| unsqueezed(s, &format!("part_{i}"), *part, &[axis]))
        .collect::<Result<_, _>>()?;
    match parts[..] {
        [] => malformed("it has no inputs"),
        [only] => Ok(vec![only]),
        _ => s.one(Concat { axis }, &parts),
    }
}

fn splits(s: &mut Scope, name: &'static str) -> Result<usize, Problem> {
    let number = s.int(name, 0)?;
    match usize::try_from(number) {
        Ok(number @ 1..=65536) => Ok(number),
        _ => malformed(format!("`{name}` is {number}")),
    }
}

/// Takes the dimension `axis` apart.
pub(super) fn unpack(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let axis = s.int("axis", 0)?;
    let num_splits = match s.int("num", 0)? {
        0 => return Ok(vec![]),
        _ => splits(s, "num")?,
    };
    let at = s.constant("axis", Tensor::scalar(axis));
    let parts = s.add("parts", Split { num_splits }, &[data, at])?;
    let axes = s.i64s("axes", &[axis]);
    (0..num_splits).map(|i| s.emit(Squeeze, &[parts.node.output(i), axes])).collect()
}

/// Axis, data; equal parts.
pub(super) fn split(s: &mut Scope) -> Converted {
    let [_, data] = s.exactly()?;
    let num_splits = splits(s, "num_split")?;
    let axis = s.integer(0)?;
    if num_splits == 1 {
        return Ok(vec![data]);
    }
    let axis = s.constant("axis", Tensor::scalar(axis));
    let parts = s.emit(Split { num_splits }, &[data, axis])?;
    Ok((0..num_splits).map(|i| parts.node.output(i)).collect())
}

/// Data, sizes, axis; parts of those sizes.
pub(super) fn split_v(s: &mut Scope) -> Converted {
    let [data, _, _] = s.exactly()?;
    let parts = splits(s, "num_split")?;
    let (sizes, axis) = (s.integers(1)?, s.integer(2)?);
    if sizes.len() != parts {
        return malformed(format!("{} sizes for {parts} parts", sizes.len()));
    }
    if parts == 1 {
        return Ok(vec![data]);
    }
    let axis = s.constant("axis", Tensor::scalar(axis));
    let sizes = s.i64s("sizes", &sizes);
    let result = s.emit(VariadicSplit, &[data, axis, sizes])?;
    Ok((0..parts).map(|i| result.node.output(i)).collect())
}

pub(super) fn transpose(s: &mut Scope) -> Converted {
    let [data, order] = s.exactly()?;
    // An empty order reverses in the model; in TensorFlow it is that of a scalar.
    if s.sizes(order).is_some_and(|sizes| sizes == [0]) {
        return Ok(vec![data]);
    }
    s.one(Transpose, &[data, order])
}

pub(super) fn tile(s: &mut Scope) -> Converted {
    let [data, repeats] = s.exactly()?;
    if s.sizes(repeats).is_some_and(|sizes| sizes == [0]) {
        return Ok(vec![data]);
    }
    s.one(Tile, &[data, repeats])
}

pub(super) fn roll(s: &mut Scope) -> Converted {
    let inputs: [_; 3] = s.exactly()?;
    s.one(Roll, &inputs)
}

/// Data, indices, in the second version the axis.
pub(super) fn gather(s: &mut Scope) -> Converted {
    s.ignore(&["validate_indices"]);
    let (data, indices) = (s.input(0)?, s.input(1)?);
    let batch_dims = s.int("batch_dims", 0)?;
    let axis = if s.inputs.len() > 2 { s.integer(2)? } else { 0 };
    let axis = s.constant("axis", Tensor::scalar(axis));
    s.one(Gather { batch_dims }, &[data, indices, axis])
}

/// Data, indices.
pub(super) fn gather_nd(s: &mut Scope) -> Converted {
    s.ignore(&["bad_indices_policy"]);
    let inputs: [_; 2] = s.exactly()?;
    s.one(GatherNd { batch_dims: 0, merges_batch: false }, &inputs)
}

/// Data, indices, updates.
pub(super) fn scatter_update(s: &mut Scope) -> Converted {
    s.ignore(&["bad_indices_policy"]);
    let inputs: [_; 3] = s.exactly()?;
    s.one(ScatterNdUpdate, &inputs)
}

/// Indices, updates, shape: zeros elsewhere. Updates of one place add up, which the model's op does not do.
pub(super) fn scatter(s: &mut Scope) -> Converted {
    s.ignore(&["bad_indices_policy"]);
    let [indices, updates, shape] = s.exactly()?;
    let places = s.folded(0)?;
    let depth = places.shape().last().copied().unwrap_or(1).max(1);
    let mut seen = HashSet::new();
    if !places.to_i64s().chunks(depth).all(|place| seen.insert(place.to_vec())) {
        return refuse("several updates of one place");
    }
    let zero = s.scalar("zero", s.element_type(updates), 0.0)?;
    let zeros = s.add("zeros", Broadcast::default(), &[zero, shape])?;
    s.one(ScatterNdUpdate, &[zeros, indices, updates])
}

/// Data, lengths: the beginning of each row of a batch turned round.
pub(super) fn reverse_sequence(s: &mut Scope) -> Converted {
    let inputs: [_; 2] = s.exactly()?;
    let (seq_axis, batch_axis) = (s.int("seq_dim", 0)?, s.int("batch_dim", 0)?);
    s.one(ReverseSequence { seq_axis, batch_axis }, &inputs)
}

/// Data, the axes that are turned round.
pub(super) fn reverse(s: &mut Scope) -> Converted {
    let [data, _] = s.exactly()?;
    let axes = s.integers(1)?;
    if axes.is_empty() {
        return Ok(vec![data]);
    }
    let all = |value: i64| vec![value; axes.len()];
    let (start, stop, step) =
        (s.i64s("start", &all(-1)), s.i64s("stop", &all(i64::MIN)), s.i64s("step", &all(-1)));
    let axes = s.i64s("axes", &axes);
    s.one(Slice, &[data, start, stop, step, axes])
}

/// The positions of what is not zero, a row each.
pub(super) fn positions(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let columns = s.add("columns", NonZero { output_type: ElementType::I64 }, &[data])?;
    Ok(vec![s.transposed("rows", columns, &[1, 0])?])
}

/// Data, axis.
pub(super) fn cumulative_sum(s: &mut Scope) -> Converted {
    let inputs: [_; 2] = s.exactly()?;
    let (exclusive, reverse) = (s.bool("exclusive", false)?, s.bool("reverse", false)?);
    s.one(CumSum { exclusive, reverse }, &inputs)
}

/// Column `which` of a two-column table of pads or crops.
pub(super) fn column(s: &mut Scope, suffix: &str, i: usize, which: i64) -> Result<Port, Problem> {
    if let Some(table) = s.try_folded(i) {
        let values: Vec<i64> = table.to_i64s().into_iter().skip(which as usize).step_by(2).collect();
        return Ok(s.i64s(suffix, &values));
    }
    let table = s.input(i)?;
    let at = s.constant(&format!("{suffix}/column"), Tensor::scalar(which));
    let axis = s.constant(&format!("{suffix}/axis"), Tensor::scalar(1i64));
    s.add(suffix, Gather { batch_dims: 0 }, &[table, at, axis])
}

/// Data, a row (before, behind) for each dimension, in the second version the value.
pub(super) fn pad(s: &mut Scope, pad_mode: PadMode) -> Converted {
    let data = s.input(0)?;
    let (begin, end) = (column(s, "pads_begin", 1, 0)?, column(s, "pads_end", 1, 1)?);
    let value = match s.inputs.get(2) {
        Some(value) => *value,
        None => s.scalar("value", s.element_type(data), 0.0)?,
    };
    match pad_mode {
        PadMode::Constant => s.one(Pad { pad_mode }, &[data, begin, end, value]),
        _ => s.one(Pad { pad_mode }, &[data, begin, end]),
    }
}

pub(super) fn mirror_pad(s: &mut Scope) -> Converted {
    match s.text("mode", "")? {
        "REFLECT" => pad(s, PadMode::Reflect),
        "SYMMETRIC" => pad(s, PadMode::Symmetric),
        other => refuse(format!("the mode `{other}`")),
    }
}

/// Data, begin, size; a size of -1 is all that is left.
pub(super) fn slice(s: &mut Scope) -> Converted {
    let [data, begin, size] = s.exactly()?;
    let ones = match s.sizes(begin).as_deref() {
        Some([0]) => return Ok(vec![data]),
        Some(&[rank]) if rank <= MAX_RANK => vec![1; rank],
        _ => vec![1; s.rank(data)?],
    };
    let stop = match (s.try_folded(1), s.try_folded(2)) {
        (Some(begin), Some(size)) => {
            let stop =
                |(begin, size): (i64, i64)| if size < 0 { i64::MAX } else { begin.saturating_add(size) };
            let stops: Vec<i64> = begin.to_i64s().into_iter().zip(size.to_i64s()).map(stop).collect();
            s.i64s("stop", &stops)
        }
        _ => {
            let begin = s.converted("begin", begin, ElementType::I64)?;
            let size = s.converted("size", size, ElementType::I64)?;
            let sum = s.add("sum", Binary::new(BinaryKind::Add), &[begin, size])?;
            let zero = s.constant("zero", Tensor::scalar(0i64));
            let all = s.add("all", Binary::new(BinaryKind::Less), &[size, zero])?;
            let end = s.constant("end", Tensor::scalar(i64::MAX));
            s.add("stop", Select::default(), &[all, end, sum])?
        }
    };
    let begin = match s.try_folded(1) {
        Some(begin) => s.i64s("start", &begin.to_i64s()),
        None => s.add("start", Convert::to(ElementType::I64), &[begin])?,
    };
    let step = s.i64s("step", &ones);
    s.one(Slice, &[data, begin, stop, step])
}

/// Data, begin, end, strides, with TensorFlow's masks.
pub(super) fn strided_slice(s: &mut Scope) -> Converted {
    let inputs @ [_, begin, _, strides] = s.exactly()?;
    let count = [begin, strides].into_iter().find_map(|port| match s.sizes(port)?[..] {
        [count] => Some(count),
        _ => None,
    });
    let Some(count) = count.filter(|count| *count <= 2 * MAX_RANK) else {
        return refuse("how many dimensions it slices is not known");
    };
    let mut mask = |name: &'static str| -> Result<Vec<i64>, Problem> {
        let bits = s.int(name, 0)?;
        Ok((0..count).map(|i| if i < 63 { bits >> i & 1 } else { 0 }).collect())
    };
    let op = StridedSlice {
        begin_mask: mask("begin_mask")?,
        end_mask: mask("end_mask")?,
        new_axis_mask: mask("new_axis_mask")?,
        shrink_axis_mask: mask("shrink_axis_mask")?,
        ellipsis_mask: mask("ellipsis_mask")?,
    };
    s.one(op, &inputs)
}
