//! Elements in another order, or repeated.

use super::{
    AutoBroadcast, Inputs, OpError, Operator, Places, PortType,
    axes::{axis, check_rank, distinct_axes, integers},
    broadcast_shapes,
    elements::{row_major, strided, take},
    expect_inputs, output_shapes,
};
use crate::{
    Dim, Interval, PartialShape, Tensor,
    attribute::{Visit, Visitor, text_enum},
};

text_enum! {
    /// How a shape is broadcast to a target.
    BroadcastMode {
        /// From the last dimension on.
        Numpy = "numpy",
        /// By an input that maps the axes.
        Explicit = "explicit" | "none",
        /// From the last dimension on, both ways.
        Bidirectional = "bidirectional",
    }
}

/// Dimension `i` of the output is dimension `order[i]` of the data. Inputs: data, order (empty reverses).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Transpose;

impl Visit for Transpose {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}

impl Operator for Transpose {
    fn type_name(&self) -> &str {
        "Transpose"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(2..=2)?;
        let data = inputs.shape(0);
        let order = inputs.tensor(1).map(|t| integers(t, "the order")).transpose()?;
        let shape = match (data.dims(), order) {
            (None, Some(order)) if !order.is_empty() => PartialShape::of_rank(check_rank(order.len())?),
            (None, _) => PartialShape::UNKNOWN,
            (Some(dims), None) => PartialShape::of_rank(dims.len()),
            (Some(dims), Some(order)) => {
                PartialShape::new(permutation(&order, dims.len())?.into_iter().map(|i| dims[i]))
            }
        };
        Ok(vec![PortType::new(inputs.element_type(0), shape)])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 2..=2)?;
        let data = &inputs[0];
        let order = permutation(&integers(&inputs[1], "the order")?, data.shape().len())?;
        Ok(vec![transposed(data, &order)?])
    }

    fn moves(&self, input: usize) -> bool {
        input == 0
    }
}

/// `order` as axes of a tensor of `rank` dimensions, each once; an empty order reverses.
fn permutation(order: &[i64], rank: usize) -> Result<Vec<usize>, OpError> {
    if order.is_empty() {
        return Ok((0..rank).rev().collect());
    }
    if order.len() != rank {
        let message = format!("the order {order:?} does not name each of {rank} dimensions once");
        return Err(OpError::value(message));
    }
    distinct_axes(order, rank)
}

/// `data` with dimension `order[i]` as dimension `i`.
pub(crate) fn transposed(data: &Tensor, order: &[usize]) -> Result<Tensor, OpError> {
    let strides = row_major(data.shape());
    let shape: Vec<usize> = order.iter().map(|i| data.shape()[*i]).collect();
    let strides: Vec<isize> = order.iter().map(|i| strides[*i]).collect();
    strided(data, 0, &shape, &strides)
}

/// Repeats along dimensions of size 1. Inputs: data, target shape, for explicit mode the axes.
#[derive(Clone, PartialEq, Debug)]
pub struct Broadcast {
    /// By which rules.
    pub mode: BroadcastMode,
}

impl Default for Broadcast {
    fn default() -> Self {
        Self { mode: BroadcastMode::Numpy }
    }
}

impl Visit for Broadcast {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.optional("mode", &mut self.mode);
    }
}

impl Operator for Broadcast {
    fn type_name(&self) -> &str {
        "Broadcast"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        let explicit = self.mode == BroadcastMode::Explicit;
        inputs.expect(if explicit { 3..=3 } else { 2..=3 })?;
        let data = inputs.shape(0);
        let target = match (inputs.intervals(1), inputs.count(1)) {
            (Some(target), _) => {
                if let Some(bad) = target.iter().find(|dim| dim.max() < 0) {
                    return Err(OpError::value(format!("the target shape holds {bad}")));
                }
                check_rank(target.len())?;
                PartialShape::new(target.into_iter().map(Interval::as_dim))
            }
            (None, Some(count)) => PartialShape::of_rank(check_rank(count)?),
            (None, None) => PartialShape::UNKNOWN,
        };
        let shape = match self.mode {
            BroadcastMode::Bidirectional => broadcast_shapes(AutoBroadcast::Numpy, data, &target)?,
            BroadcastMode::Numpy => match (data.dims(), target.dims()) {
                (Some(dims), Some(wanted)) => {
                    let lead = wanted.len().checked_sub(dims.len()).ok_or_else(|| {
                        OpError::shape(format!("{data} has more dimensions than the target {target}"))
                    })?;
                    let axes: Vec<usize> = (lead..wanted.len()).collect();
                    stretch(dims, wanted, &axes)?
                }
                _ => target,
            },
            BroadcastMode::Explicit => {
                let axes = inputs.tensor(2).map(|t| integers(t, "the axes mapping")).transpose()?;
                match (data.dims(), target.dims(), axes) {
                    (Some(dims), Some(wanted), Some(axes)) => {
                        stretch(dims, wanted, &mapped_axes(&axes, dims.len(), wanted.len())?)?
                    }
                    _ => target,
                }
            }
        };
        Ok(vec![PortType::new(inputs.element_type(0), shape)])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shape = output_shapes(self, inputs)?.remove(0);
        let data = &inputs[0];
        let rank = data.shape().len();
        let axes = match self.mode {
            BroadcastMode::Explicit => {
                mapped_axes(&integers(&inputs[2], "the axes mapping")?, rank, shape.len())?
            }
            BroadcastMode::Numpy | BroadcastMode::Bidirectional => {
                (shape.len() - rank..shape.len()).collect()
            }
        };
        let own = row_major(data.shape());
        let mut strides = vec![0; shape.len()];
        for (i, axis) in axes.into_iter().enumerate().filter(|(i, _)| data.shape()[*i] != 1) {
            strides[axis] = own[i];
        }
        Ok(vec![strided(data, 0, &shape, &strides)?])
    }

    fn places(&self, shape: &[usize], parameters: &[Option<Tensor>]) -> Option<Places> {
        let target = integers(parameters[1].as_ref()?, "the target").ok()?;
        let target: Vec<usize> =
            target.into_iter().map(|size| usize::try_from(size).ok()).collect::<Option<_>>()?;
        let rank = target.len().max(shape.len());
        let axes = match self.mode {
            BroadcastMode::Explicit => {
                let axes = integers(parameters[2].as_ref()?, "the axes mapping").ok()?;
                mapped_axes(&axes, shape.len(), rank).ok()?
            }
            BroadcastMode::Numpy | BroadcastMode::Bidirectional => (rank - shape.len()..rank).collect(),
        };
        let (mut sizes, mut wanted) = (vec![1; rank], vec![1; rank]);
        axes.iter().zip(shape).for_each(|(axis, size)| sizes[*axis] = *size);
        wanted[rank - target.len()..].copy_from_slice(&target);
        let mut places = Places::along(&sizes, |_, at| at);
        for (axis, count) in places.axes.iter_mut().zip(wanted) {
            if axis.len() == 1 {
                *axis = axis.repeat(count);
            }
        }
        Some(places)
    }

    fn moves(&self, input: usize) -> bool {
        input == 0
    }
}

/// Which axis of the target each dimension of the data goes to: distinct, in order.
fn mapped_axes(values: &[i64], rank: usize, target: usize) -> Result<Vec<usize>, OpError> {
    let axes = distinct_axes(values, target)?;
    if axes.len() != rank || !axes.is_sorted() {
        let message = format!("the axes mapping {values:?} does not name {rank} axes in rising order");
        return Err(OpError::value(message));
    }
    Ok(axes)
}

/// `wanted` where dimension `i` of the data lies along `axes[i]`: it must be of that size, or 1.
fn stretch(dims: &[Dim], wanted: &[Dim], axes: &[usize]) -> Result<PartialShape, OpError> {
    let mut shape = wanted.to_vec();
    for (dim, axis) in dims.iter().zip(axes) {
        if !dim.contains(1) {
            shape[*axis] = dim.intersect(wanted[*axis]).ok_or_else(|| {
                OpError::shape(format!("dimension {dim} does not stretch to {} of the target", wanted[*axis]))
            })?;
        }
    }
    Ok(PartialShape::new(shape))
}

/// Repeats whole tensors. Inputs: data, repeats.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tile;

impl Visit for Tile {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}

impl Operator for Tile {
    fn type_name(&self) -> &str {
        "Tile"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(2..=2)?;
        let shape = match (inputs.shape(0).dims(), inputs.intervals(1), inputs.count(1)) {
            (Some(dims), Some(repeats), _) => {
                let rank = check_rank(dims.len().max(repeats.len()))?;
                let at = |list: &[Interval], i: usize| {
                    (i + list.len()).checked_sub(rank).map_or(Interval::exactly(1), |i| list[i])
                };
                let mut shape = Vec::new();
                for i in 0..rank {
                    let count = at(&repeats, i);
                    if count.max() < 0 {
                        return Err(OpError::value(format!("{count} repeats")));
                    }
                    shape.push(at(dims, i) * count.as_dim());
                }
                PartialShape::new(shape)
            }
            (Some(dims), None, Some(count)) => PartialShape::of_rank(check_rank(count.max(dims.len()))?),
            _ => PartialShape::UNKNOWN,
        };
        Ok(vec![PortType::new(inputs.element_type(0), shape)])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shape = output_shapes(self, inputs)?.remove(0);
        let mut repeats = integers(&inputs[1], "the repeats")?;
        let mut sizes = inputs[0].shape().to_vec();
        repeats.splice(0..0, std::iter::repeat_n(1, shape.len() - repeats.len()));
        sizes.splice(0..0, std::iter::repeat_n(1, shape.len() - sizes.len()));
        // Each dimension is seen as two, of which the outer one repeats.
        let own = row_major(&sizes);
        let (mut view, mut strides) = (Vec::new(), Vec::new());
        for i in 0..shape.len() {
            view.extend([
                usize::try_from(repeats[i]).map_err(|_| OpError::value("negative repeats"))?,
                sizes[i],
            ]);
            strides.extend([0, own[i]]);
        }
        Ok(vec![strided(&inputs[0], 0, &view, &strides)?.reshaped(shape)?])
    }

    fn places(&self, shape: &[usize], parameters: &[Option<Tensor>]) -> Option<Places> {
        let mut repeats = integers(parameters[1].as_ref()?, "the repeats").ok()?;
        let mut sizes = shape.to_vec();
        let rank = sizes.len().max(repeats.len());
        repeats.splice(0..0, std::iter::repeat_n(1, rank - repeats.len()));
        sizes.splice(0..0, std::iter::repeat_n(1, rank - sizes.len()));
        let mut places = Places::along(&sizes, |_, at| at);
        for (axis, count) in places.axes.iter_mut().zip(repeats) {
            *axis = axis.repeat(usize::try_from(count).ok()?);
        }
        Some(places)
    }

    fn moves(&self, input: usize) -> bool {
        input == 0
    }
}

/// Shifts along axes, what falls out comes in at the other end. Inputs: data, shift, axes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Roll;

impl Visit for Roll {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}

impl Operator for Roll {
    fn type_name(&self) -> &str {
        "Roll"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(3..=3)?;
        if let (Some(rank), Some(axes)) = (inputs.shape(0).rank(), inputs.integers(2)) {
            for value in &axes {
                axis(*value, rank)?;
            }
            let shifts = inputs.integers(1).map_or(1, |shifts| shifts.len());
            if shifts != 1 && shifts != axes.len() {
                return Err(OpError::shape(format!("{shifts} shifts for {} axes", axes.len())));
            }
        }
        Ok(vec![inputs.0[0].ty.clone()])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        output_shapes(self, inputs)?;
        let mut data = inputs[0].clone();
        if data.is_empty() {
            return Ok(vec![data]);
        }
        let shape = data.shape().to_vec();
        // Shifts along the same axis add up.
        let mut shifts = vec![0i128; shape.len()];
        let by = integers(&inputs[1], "the shift")?;
        for (i, value) in integers(&inputs[2], "the axes")?.into_iter().enumerate() {
            shifts[axis(value, shape.len())?] += i128::from(by[i.min(by.len() - 1)]);
        }
        for (axis, shift) in shifts.into_iter().enumerate().filter(|(_, shift)| *shift != 0) {
            let size = shape[axis] as i128;
            let from: Vec<_> = (0..size).map(|i| Some((i - shift).rem_euclid(size) as usize)).collect();
            data = take(&data, axis, &from, None)?;
        }
        Ok(vec![data])
    }

    fn places(&self, shape: &[usize], parameters: &[Option<Tensor>]) -> Option<Places> {
        let known = |i: usize| integers(parameters[i].as_ref()?, "a shift").ok();
        let (by, axes) = (known(1)?, known(2)?);
        let mut shifts = vec![0i128; shape.len()];
        for (i, value) in axes.into_iter().enumerate() {
            shifts[axis(value, shape.len()).ok()?] += i128::from(*by.get(i.min(by.len().checked_sub(1)?))?);
        }
        let place = |i: usize, at: usize| (at as i128 - shifts[i]).rem_euclid(shape[i] as i128) as usize;
        Some(Places::along(shape, place))
    }

    fn moves(&self, input: usize) -> bool {
        input == 0
    }
}

/// Reverses the beginning of each sequence. Inputs: data, the lengths to reverse, one for each of the batch.
#[derive(Clone, PartialEq, Debug)]
pub struct ReverseSequence {
    /// The axis along which the lengths differ; negative counts from the end.
    pub batch_axis: i64,
    /// The axis that is reversed; negative counts from the end.
    pub seq_axis: i64,
}

impl Default for ReverseSequence {
    fn default() -> Self {
        Self { batch_axis: 0, seq_axis: 1 }
    }
}

impl Visit for ReverseSequence {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.optional("batch_axis", &mut self.batch_axis);
        v.optional("seq_axis", &mut self.seq_axis);
    }
}

impl Operator for ReverseSequence {
    fn type_name(&self) -> &str {
        "ReverseSequence"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(2..=2)?;
        let data = inputs.shape(0);
        if let Some(dims) = data.dims() {
            let axes = distinct_axes(&[self.batch_axis, self.seq_axis], dims.len())?;
            let lengths = inputs.shape(1);
            if lengths.intersect(&PartialShape::new([dims[axes[0]]])).is_none() {
                let message = format!("lengths {lengths} for a batch of {}", dims[axes[0]]);
                return Err(OpError::shape(message));
            }
            let fits = |length: &i64| (0..=dims[axes[1]].max()).contains(length);
            if let Some(bad) = inputs.integers(1).and_then(|l| l.into_iter().find(|length| !fits(length))) {
                let message = format!("a length of {bad} in a dimension of {}", dims[axes[1]]);
                return Err(OpError::value(message));
            }
        }
        Ok(vec![inputs.0[0].ty.clone()])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shape = output_shapes(self, inputs)?.remove(0);
        let lengths = integers(&inputs[1], "the lengths")?;
        if inputs[0].is_empty() {
            return Ok(vec![inputs[0].clone()]);
        }
        let axes = distinct_axes(&[self.batch_axis, self.seq_axis], shape.len())?;
        // With both axes in front as one, every row has its source.
        let mut order = axes.clone();
        order.extend((0..shape.len()).filter(|axis| !axes.contains(axis)));
        let front = transposed(&inputs[0], &order)?;
        let (batch, steps) = (shape[axes[0]], shape[axes[1]]);
        let from = |row: usize| {
            let (b, step) = (row / steps, row % steps);
            let length = lengths[b] as usize;
            Some(b * steps + if step < length { length - 1 - step } else { step })
        };
        let from: Vec<_> = (0..batch * steps).map(from).collect();
        let sizes = front.shape().to_vec();
        let rows = front.reshaped([&[batch * steps], &sizes[2..]].concat())?;
        let reversed = take(&rows, 0, &from, None)?.reshaped(sizes)?;
        let mut back = vec![0; order.len()];
        order.iter().enumerate().for_each(|(i, axis)| back[*axis] = i);
        Ok(vec![transposed(&reversed, &back)?])
    }

    fn moves(&self, input: usize) -> bool {
        input == 0
    }
}

/// Interleaves the groups of an axis.
#[derive(Clone, PartialEq, Debug)]
pub struct ShuffleChannels {
    /// The axis; negative counts from the end.
    pub axis: i64,
    /// The number of groups.
    pub group: usize,
}

impl Default for ShuffleChannels {
    fn default() -> Self {
        Self { axis: 1, group: 1 }
    }
}

impl Visit for ShuffleChannels {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.optional("axis", &mut self.axis);
        v.optional("group", &mut self.group);
    }
}

impl Operator for ShuffleChannels {
    fn type_name(&self) -> &str {
        "ShuffleChannels"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(1..=1)?;
        if let Some(dims) = inputs.shape(0).dims() {
            let dim = dims[axis(self.axis, dims.len())?];
            let groups = i64::try_from(self.group).ok().filter(|group| *group > 0);
            if groups.and_then(|groups| dim.exact_quotients(groups)).is_none() {
                return Err(OpError::shape(format!("{dim} channels in {} groups", self.group)));
            }
        }
        Ok(vec![inputs.0[0].ty.clone()])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shape = output_shapes(self, inputs)?.remove(0);
        let axis = axis(self.axis, shape.len())?;
        let each = shape[axis] / self.group;
        let from: Vec<_> = (0..shape[axis]).map(|i| Some(i % self.group * each + i / self.group)).collect();
        Ok(vec![take(&inputs[0], axis, &from, None)?])
    }

    fn places(&self, shape: &[usize], _: &[Option<Tensor>]) -> Option<Places> {
        let axis = axis(self.axis, shape.len()).ok()?;
        let each = shape[axis] / self.group;
        Some(Places::along(
            shape,
            |i, at| if i == axis { at % self.group * each + at / self.group } else { at },
        ))
    }

    fn moves(&self, input: usize) -> bool {
        input == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::testing::{Given, evaluated, i64s, inferred, iota};

    #[test]
    fn transposing() {
        let x = iota(&[2, 3, 2]);
        let found = evaluated(&Transpose, &[x.clone(), Tensor::from_i64s(&[2, 0, -2])]).unwrap();
        assert_eq!(found, (vec![2, 2, 3], vec![0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11]));
        let reversed = evaluated(&Transpose, &[x, Tensor::from_i64s(&[])]).unwrap();
        assert_eq!(reversed, (vec![2, 3, 2], vec![0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11]));
        let infer = |data: &str, order: Given| inferred(&Transpose, &[data.into(), order]);
        assert_eq!(infer("f32[?,224,224,3]", [0i64, 3, 1, 2].into()).unwrap(), "f32[?,3,224,224]");
        assert_eq!(infer("f32[1,2,3]", "i64[3]".into()).unwrap(), "f32[?,?,?]");
        assert_eq!(infer("f32[...]", [1i64, 0].into()).unwrap(), "f32[?,?]");
        assert_eq!(infer("f32[...]", "i64[0]".into()).unwrap(), "f32[...]");
        for bad in [vec![0, 0, 1], vec![0, 1], vec![0, 1, 3]] {
            assert!(infer("f32[1,2,3]", Tensor::from_i64s(&bad).into()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn broadcasting_to_a_target() {
        let (numpy, both) = (Broadcast::default(), Broadcast { mode: BroadcastMode::Bidirectional });
        let explicit = Broadcast { mode: BroadcastMode::Explicit };
        let target = Tensor::from_i64s;
        let run = |op: &Broadcast, x: Tensor, rest: &[Tensor]| evaluated(op, &[&[x], rest].concat());
        assert_eq!(run(&numpy, iota(&[2, 1]), &[target(&[2, 2, 2])]).unwrap().1, [0, 0, 1, 1, 0, 0, 1, 1]);
        assert_eq!(run(&numpy, iota(&[1]), &[target(&[0, 3])]).unwrap(), (vec![0, 3], vec![]));
        assert_eq!(run(&both, iota(&[3]), &[target(&[2, 1])]).unwrap(), (vec![2, 3], vec![0, 1, 2, 0, 1, 2]));
        let columns = run(&explicit, iota(&[2]), &[target(&[2, 3]), target(&[0])]).unwrap();
        assert_eq!(columns.1, [0, 0, 0, 1, 1, 1]);
        assert!(run(&numpy, iota(&[2]), &[target(&[3])]).is_err());
        assert!(run(&numpy, iota(&[2]), &[target(&[1])]).is_err());
        assert!(run(&numpy, iota(&[1, 1]), &[target(&[1])]).is_err());
        assert!(run(&numpy, iota(&[1]), &[target(&[-1])]).is_err());
        assert!(run(&explicit, iota(&[2, 3]), &[target(&[3, 2]), target(&[1, 0])]).is_err());
        let huge = run(&numpy, iota(&[1]), &[target(&[1 << 40, 1 << 20])]).unwrap_err();
        assert!(huge.to_string().contains("does not fit into memory"), "{huge}");
        for (op, data, target, want) in [
            (&numpy, "f32[?,3]", [4i64, 3].into(), "f32[4,3]"),
            (&numpy, "f32[7,3]", "i64[2]".into(), "f32[7,3]"),
            (&numpy, "f32[3]", "i64[?]".into(), "f32[...]"),
            (&both, "f32[1,3]", [5i64, 1].into(), "f32[5,3]"),
            (&both, "f32[...]", [5i64, 1].into(), "f32[...]"),
        ] {
            assert_eq!(inferred(op, &[data.into(), target]).unwrap(), want, "{data}");
        }
    }

    #[test]
    fn tiling() {
        let run =
            |shape: &[usize], repeats: &[i64]| evaluated(&Tile, &[iota(shape), Tensor::from_i64s(repeats)]);
        assert_eq!(run(&[2, 1], &[2, 2]).unwrap(), (vec![4, 2], vec![0, 0, 1, 1, 0, 0, 1, 1]));
        assert_eq!(run(&[2, 2], &[2]).unwrap(), (vec![2, 4], vec![0, 1, 0, 1, 2, 3, 2, 3]));
        assert_eq!(run(&[2], &[2, 1, 2]).unwrap(), (vec![2, 1, 4], vec![0, 1, 0, 1, 0, 1, 0, 1]));
        assert_eq!(run(&[2], &[0]).unwrap(), (vec![0], vec![]));
        assert_eq!(run(&[], &[3]).unwrap(), (vec![3], vec![0, 0, 0]));
        for hostile in [[-1, 1], [1 << 60, 1], [i64::MAX, 2], [1 << 40, 1 << 40]] {
            assert!(run(&[2, 2], &hostile).is_err(), "{hostile:?}");
        }
        assert_eq!(inferred(&Tile, &["f32[?,3]".into(), [2i64, 2].into()]).unwrap(), "f32[?,6]");
        assert_eq!(inferred(&Tile, &["f32[2,3]".into(), "i64[3]".into()]).unwrap(), "f32[?,?,?]");
    }

    /// The numbers are OpenVINO 2026.4's.
    #[test]
    fn rolling() {
        let run = |x: Tensor, shift: &[i64], axes: &[i64]| {
            evaluated(&Roll, &[x, Tensor::from_i64s(shift), Tensor::from_i64s(axes)])
        };
        assert_eq!(run(iota(&[2, 3]), &[1, 1], &[0, -1]).unwrap().1, [5, 3, 4, 2, 0, 1]);
        assert_eq!(run(iota(&[1, 3]), &[2, -7], &[1, 1]).unwrap().1, [2, 0, 1]);
        assert_eq!(run(iota(&[3]), &[i64::MIN, i64::MIN], &[0, 0]).unwrap().1, [1, 2, 0]);
        assert_eq!(run(iota(&[0, 3]), &[1], &[0]).unwrap().0, [0, 3]);
        assert!(run(iota(&[3]), &[1], &[1]).is_err());
        assert!(run(iota(&[3, 3]), &[1, 1, 1], &[0, 1]).is_err());
        let scalar = evaluated(&Roll, &[iota(&[2, 2]), i64s(&[], &[1]), Tensor::from_i64s(&[0, 1])]);
        assert_eq!(scalar.unwrap().1, [3, 2, 1, 0]);
    }

    /// The numbers are OpenVINO 2026.4's.
    #[test]
    fn reversing_and_shuffling() {
        let run = |batch_axis, seq_axis, shape: &[usize], lengths: &[i64]| {
            evaluated(&ReverseSequence { batch_axis, seq_axis }, &[iota(shape), Tensor::from_i64s(lengths)])
        };
        assert_eq!(run(0, 1, &[2, 3], &[1, 3]).unwrap().1, [0, 1, 2, 5, 4, 3]);
        assert_eq!(run(0, 1, &[2, 3], &[0, 2]).unwrap().1, [0, 1, 2, 4, 3, 5]);
        assert_eq!(run(1, 0, &[3, 2], &[2, 1]).unwrap().1, [2, 1, 0, 3, 4, 5]);
        assert!(run(0, 1, &[2, 3], &[4, 0]).is_err());
        assert!(run(0, 0, &[2, 3], &[1, 1]).is_err());
        assert!(run(0, 1, &[2, 3], &[1]).is_err());
        let shuffle = |group| evaluated(&ShuffleChannels { axis: -2, group }, &[iota(&[1, 6, 1])]);
        assert_eq!(shuffle(2).unwrap().1, [0, 3, 1, 4, 2, 5]);
        assert!(shuffle(4).is_err());
        assert!(shuffle(0).is_err());
        assert_eq!(inferred(&ShuffleChannels::default(), &["f32[?,?]".into()]).unwrap(), "f32[?,?]");
    }
}
