//! Tensors put together along an axis, and taken apart.

use super::{
    Inputs, OpError, Operator, PortType,
    axes::{axis, integer, integers},
    elements::{allocate, row_major, strided},
    output_shapes,
};
use crate::{
    Dim, ElementType, PartialShape, Tensor,
    attribute::{Visit, Visitor},
};

/// Inputs side by side along an axis.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Concat {
    /// The axis; negative counts from the end.
    pub axis: i64,
}

impl Visit for Concat {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("axis", &mut self.axis);
    }
}

impl Operator for Concat {
    fn type_name(&self) -> &str {
        "Concat"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(1..=usize::MAX)?;
        let ty = inputs.same_element_type(0..inputs.len())?;
        let Some(rank) = (0..inputs.len()).find_map(|i| inputs.shape(i).rank()) else {
            return Ok(vec![PortType::new(ty, PartialShape::UNKNOWN)]);
        };
        let axis = axis(self.axis, rank)?;
        let mut common = PartialShape::of_rank(rank);
        let mut along = Dim::exactly(0);
        for i in 0..inputs.len() {
            let Some(dims) = inputs.shape(i).dims() else {
                along = along + Dim::ANY_DIM;
                continue;
            };
            let mut dims = dims.to_vec();
            if let Some(dim) = dims.get_mut(axis) {
                along = along + std::mem::replace(dim, Dim::ANY_DIM);
            }
            common = common.intersect(&PartialShape::new(dims)).ok_or_else(|| {
                OpError::shape(format!("input {i} does not lie beside those before it along axis {axis}"))
            })?;
        }
        let mut dims = common.dims().expect("of known rank").to_vec();
        dims[axis] = along;
        Ok(vec![PortType::new(ty, PartialShape::new(dims))])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shape = output_shapes(self, inputs)?.remove(0);
        let ty = inputs[0].element_type();
        if !ty.bits().is_multiple_of(8) {
            // Packed elements needn't begin at a byte: side by side as bytes, then packed again.
            let wide = |t: &Tensor| Tensor::from_i64_values(ElementType::I8, t.shape(), &t.to_i64s());
            let wide: Vec<Tensor> = inputs.iter().map(wide).collect::<Result<_, _>>()?;
            let joined = self.evaluate(&wide)?.remove(0);
            return Ok(vec![Tensor::from_i64_values(ty, &shape, &joined.to_i64s())?]);
        }
        let axis = axis(self.axis, shape.len())?;
        let mut out = allocate(ty, &shape)?;
        if !out.is_empty() {
            let inner = shape[axis + 1..].iter().product::<usize>() * (ty.bits() / 8);
            let mut slots = out.as_mut_slice();
            for outer in 0..shape[..axis].iter().product() {
                for input in inputs {
                    let run = input.shape()[axis] * inner;
                    let (slot, rest) = slots.split_at_mut(run);
                    slot.copy_from_slice(&input.bytes()[outer * run..][..run]);
                    slots = rest;
                }
            }
        }
        Ok(vec![Tensor::from_aligned(ty, shape, out)?])
    }

    fn moves(&self, _: usize) -> bool {
        true
    }
}

/// Equal parts along an axis. Inputs: data, axis.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Split {
    /// The number of parts.
    pub num_splits: usize,
}

impl Visit for Split {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("num_splits", &mut self.num_splits);
    }
}

impl Operator for Split {
    fn type_name(&self) -> &str {
        "Split"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(2..=2)?;
        if self.num_splits == 0 || self.num_splits > MOST_PARTS {
            let message = format!("num_splits is {}, expected 1 to {MOST_PARTS}", self.num_splits);
            return Err(OpError::attribute(message));
        }
        let along = inputs.tensor(1).map(|t| integer(t, "the axis")).transpose()?;
        let shape = match (inputs.shape(0).dims(), along) {
            (None, _) => PartialShape::UNKNOWN,
            (Some(dims), None) => PartialShape::of_rank(dims.len()),
            (Some(dims), Some(value)) => {
                let (axis, mut dims) = (axis(value, dims.len())?, dims.to_vec());
                let parts = self.num_splits as i64;
                let fail = || {
                    let message = format!(
                        "dimension {axis} is {}, which {parts} parts do not share evenly",
                        dims[axis]
                    );
                    OpError::shape(message)
                };
                dims[axis] = dims[axis].exact_quotients(parts).ok_or_else(fail)?;
                PartialShape::new(dims)
            }
        };
        Ok(vec![PortType::new(inputs.element_type(0), shape); self.num_splits])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shapes = output_shapes(self, inputs)?;
        parts(&inputs[0], axis(integer(&inputs[1], "the axis")?, inputs[0].shape().len())?, shapes)
    }

    fn moves(&self, input: usize) -> bool {
        input == 0
    }
}

/// The most parts that one op gives: a bound for what a file may ask for.
const MOST_PARTS: usize = 1 << 16;

/// The parts of `data` of these shapes, one after the other along `axis`.
fn parts(data: &Tensor, axis: usize, shapes: Vec<Vec<usize>>) -> Result<Vec<Tensor>, OpError> {
    let strides = row_major(data.shape());
    let mut start = 0;
    let mut parts = Vec::new();
    for shape in &shapes {
        let at = if data.is_empty() { 0 } else { start * strides[axis] as usize };
        parts.push(strided(data, at, shape, &strides)?);
        start += shape[axis];
    }
    Ok(parts)
}

/// Parts of given lengths along an axis. Inputs: data, axis, lengths (one may be -1: what is left).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct VariadicSplit;

impl Visit for VariadicSplit {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}

impl Operator for VariadicSplit {
    fn type_name(&self) -> &str {
        "VariadicSplit"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(3..=3)?;
        let along = inputs.tensor(1).map(|t| integer(t, "the axis")).transpose()?;
        let lengths = inputs.tensor(2).map(|t| integers(t, "the lengths")).transpose()?;
        let count = inputs.count(2).ok_or_else(|| OpError::shape("the number of parts is not known"))?;
        if count > MOST_PARTS {
            return Err(OpError::shape(format!("{count} parts, expected at most {MOST_PARTS}")));
        }
        let ty = inputs.element_type(0);
        let Some(dims) = inputs.shape(0).dims() else {
            return Ok(vec![PortType::new(ty, PartialShape::UNKNOWN); count]);
        };
        let Some(value) = along else {
            return Ok(vec![PortType::new(ty, PartialShape::of_rank(dims.len())); count]);
        };
        let axis = axis(value, dims.len())?;
        let lengths = match lengths {
            Some(lengths) => lengths_along(dims[axis], &lengths)?,
            None => vec![Dim::ANY_DIM; count],
        };
        let part = |length| {
            let mut dims = dims.to_vec();
            dims[axis] = length;
            PortType::new(ty, PartialShape::new(dims))
        };
        Ok(lengths.into_iter().map(part).collect())
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shapes = output_shapes(self, inputs)?;
        parts(&inputs[0], axis(integer(&inputs[1], "the axis")?, inputs[0].shape().len())?, shapes)
    }

    fn moves(&self, input: usize) -> bool {
        input == 0
    }
}

/// What `lengths` make of a dimension: -1 is what the others leave.
fn lengths_along(dim: Dim, lengths: &[i64]) -> Result<Vec<Dim>, OpError> {
    let fail = || OpError::value(format!("lengths {lengths:?} do not share out a dimension of {dim}"));
    let mut open = None;
    let mut sum = 0i64;
    for (i, length) in lengths.iter().enumerate() {
        match length {
            -1 if open.is_none() => open = Some(i),
            0.. => sum = sum.checked_add(*length).ok_or_else(fail)?,
            _ => return Err(fail()),
        }
    }
    let rest = dim - Dim::exactly(sum);
    let mut dims: Vec<Dim> = lengths.iter().map(|length| Dim::exactly(*length)).collect();
    match open {
        Some(_) if rest.max() < 0 => return Err(fail()),
        Some(open) => dims[open] = rest.as_dim(),
        None if !rest.contains(0) => return Err(fail()),
        None => {}
    }
    Ok(dims)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::testing::{evaluated, i64s, inferred, iota};

    #[test]
    fn inputs_lie_side_by_side() {
        let op = Concat { axis: -1 };
        let found = evaluated(&op, &[iota(&[2, 1]), iota(&[2, 0]), iota(&[2, 2])]).unwrap();
        assert_eq!(found, (vec![2, 3], vec![0, 0, 1, 1, 2, 3]));
        let nibbles =
            |values: &[i64]| Tensor::from_i64_values(ElementType::U4, &[values.len()], values).unwrap();
        let found = evaluated(&op, &[nibbles(&[1, 2, 3]), nibbles(&[15])]).unwrap();
        assert_eq!(found, (vec![4], vec![1, 2, 3, 15]));
        for (axis, a, b, want) in [
            (1, "f32[?,3,5]", "f32[4,?,5]", Ok("f32[4,3..,5]")),
            (1, "f32[?,3,5]", "f32[...]", Ok("f32[?,3..,5]")),
            (-3, "f32[1,3,5]", "f32[2..3,3,5]", Ok("f32[3..4,3,5]")),
            (0, "f32[...]", "f32[...]", Ok("f32[...]")),
            (0, "f32[1,2]", "f32[1,3]", Err("beside")),
            (0, "f32[1,2]", "f32[1]", Err("beside")),
            (0, "f32[1]", "i64[1]", Err("agree")),
            (2, "f32[1,2]", "f32[1,2]", Err("axis 2")),
            (0, "f32[]", "f32[]", Err("scalar")),
        ] {
            match (inferred(&Concat { axis }, &[a.into(), b.into()]), want) {
                (Ok(found), Ok(want)) => assert_eq!(found, want),
                (Err(found), Err(want)) => assert!(found.to_string().contains(want), "{found}"),
                (found, _) => panic!("{a} {b}: {found:?}"),
            }
        }
        assert!(inferred(&op, &[]).is_err());
    }

    #[test]
    fn splits_share_a_dimension() {
        let parts = Split { num_splits: 3 }.evaluate(&[iota(&[2, 3]), Tensor::scalar(-1i64)]).unwrap();
        let parts: Vec<_> = parts.iter().map(|t| (t.shape().to_vec(), t.to_i64s())).collect();
        assert_eq!(parts, [(vec![2, 1], vec![0, 3]), (vec![2, 1], vec![1, 4]), (vec![2, 1], vec![2, 5])]);
        let infer =
            |n, data: &str, axis: i64| inferred(&Split { num_splits: n }, &[data.into(), axis.into()]);
        assert_eq!(infer(2, "f32[?,4]", 1).unwrap(), "f32[?,2] f32[?,2]");
        assert_eq!(infer(2, "f32[5..8]", 0).unwrap(), "f32[3..4] f32[3..4]");
        assert_eq!(infer(1, "f32[...]", 7).unwrap(), "f32[...]");
        for (n, data, axis) in
            [(2, "f32[3]", 0), (0, "f32[3]", 0), (usize::MAX, "f32[0]", 0), (1, "f32[]", 0)]
        {
            assert!(infer(n, data, axis).is_err(), "{n} parts of {data}");
        }
    }

    #[test]
    fn parts_of_given_lengths() {
        let run = |lengths: &[i64]| {
            let inputs = [iota(&[2, 4]), Tensor::scalar(1i64), Tensor::from_i64s(lengths)];
            let parts = VariadicSplit.evaluate(&inputs)?;
            Ok::<_, OpError>(parts.iter().map(|t| (t.shape()[1], t.to_i64s())).collect::<Vec<_>>())
        };
        let want = [(1, vec![0, 4]), (3, vec![1, 2, 3, 5, 6, 7]), (0, vec![])];
        assert_eq!(run(&[1, -1, 0]).unwrap(), want);
        assert_eq!(run(&[4]).unwrap().len(), 1);
        for bad in [&[1, 2][..], &[-1, -1], &[5, -1], &[-2, 6], &[i64::MAX, i64::MAX]] {
            assert!(run(bad).is_err(), "{bad:?}");
        }
        let empty =
            VariadicSplit.evaluate(&[iota(&[0, 4]), Tensor::scalar(1i64), Tensor::from_i64s(&[1, 3])]);
        assert_eq!(empty.unwrap()[1].shape(), [0, 3]);
        let infer = |data: &str, lengths| inferred(&VariadicSplit, &[data.into(), 0i64.into(), lengths]);
        assert_eq!(infer("f32[?]", [2i64, -1].into()).unwrap(), "f32[2] f32[?]");
        assert_eq!(infer("f32[5..9]", [2i64, -1].into()).unwrap(), "f32[2] f32[3..7]");
        assert_eq!(infer("f32[5,2]", "i64[2]".into()).unwrap(), "f32[?,2] f32[?,2]");
        assert_eq!(infer("f32[...]", i64s(&[2], &[1, 1]).into()).unwrap(), "f32[...] f32[...]");
        assert!(infer("f32[5]", "i64[?]".into()).is_err());
    }
}
