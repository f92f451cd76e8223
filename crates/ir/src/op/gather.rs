//! Elements picked and placed by indices.

use super::{
    Inputs, OpError, Operator, PortType,
    axes::{axis, check_rank, integer, integers},
    elements::{allocate, bytewise},
    output_shapes,
};
use crate::{
    PartialShape, Tensor,
    attribute::{Visit, Visitor},
};

/// Slices picked along an axis. Inputs: data, indices, axis.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Gather {
    /// Leading dimensions that data and indices share.
    pub batch_dims: i64,
}

impl Visit for Gather {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.optional("batch_dims", &mut self.batch_dims);
    }
}

impl Operator for Gather {
    fn type_name(&self) -> &str {
        "Gather"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(3..=3)?;
        let along = inputs.tensor(2).map(|t| integer(t, "the axis")).transpose()?;
        let (data, indices) = (inputs.shape(0), inputs.shape(1));
        let shape = match (data.dims(), indices.dims()) {
            (Some(dims), Some(picks)) => {
                let batch = self.batch(picks.len())?;
                let rank = (dims.len() + picks.len()).checked_sub(1 + batch);
                let rank = rank.ok_or_else(|| OpError::shape("the data is a scalar, which has no axis"))?;
                check_rank(rank)?;
                match along {
                    None => PartialShape::of_rank(rank),
                    Some(value) => {
                        let axis = axis(value, dims.len())?;
                        if batch > axis {
                            let message = format!("batch_dims is {batch}, beyond the axis {axis}");
                            return Err(OpError::attribute(message));
                        }
                        let mut shape = Vec::new();
                        for (i, (a, b)) in dims.iter().zip(picks).take(batch).enumerate() {
                            shape.push(a.intersect(*b).ok_or_else(|| {
                                OpError::shape(format!(
                                    "batch dimension {i} is {a} in the data, {b} in the indices"
                                ))
                            })?);
                        }
                        shape.extend(&dims[batch..axis]);
                        shape.extend(&picks[batch..]);
                        shape.extend(&dims[axis + 1..]);
                        PartialShape::new(shape)
                    }
                }
            }
            _ => PartialShape::UNKNOWN,
        };
        Ok(vec![PortType::new(inputs.element_type(0), shape)])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shape = output_shapes(self, inputs)?.remove(0);
        let indices = integers(&inputs[1], "the indices")?;
        let data = bytewise(&inputs[0], |data| {
            let (ty, sizes) = (data.element_type(), data.shape());
            let axis = axis(integer(&inputs[2], "the axis")?, sizes.len())?;
            let batch = self.batch(inputs[1].shape().len())?;
            let mut out = allocate(ty, &shape)?;
            if !out.is_empty() {
                let inner = sizes[axis + 1..].iter().product::<usize>() * (ty.bits() / 8);
                let batches: usize = sizes[..batch].iter().product();
                let outer: usize = sizes[batch..axis].iter().product();
                let picks = indices.len() / batches;
                let mut slots = out.chunks_exact_mut(inner);
                for (b, o) in (0..batches).flat_map(|b| (0..outer).map(move |o| (b, o))) {
                    for (value, slot) in indices[b * picks..][..picks].iter().zip(&mut slots) {
                        let at = ((b * outer + o) * sizes[axis] + index(*value, sizes[axis])?) * inner;
                        slot.copy_from_slice(&data.bytes()[at..at + inner]);
                    }
                }
            }
            Ok(Tensor::from_aligned(ty, shape.clone(), out)?)
        });
        Ok(vec![data?])
    }

    fn moves(&self, input: usize) -> bool {
        input == 0
    }
}

impl Gather {
    /// The number of leading dimensions that data and indices of `rank` dimensions share.
    fn batch(&self, rank: usize) -> Result<usize, OpError> {
        // May equal the rank of the indices, so it isn't an axis of theirs.
        axis(self.batch_dims, rank + 1 - usize::from(self.batch_dims < 0)).map_err(|_| {
            let message =
                format!("batch_dims is {} where the indices have {rank} dimensions", self.batch_dims);
            OpError::attribute(message)
        })
    }
}

/// The position that an index means among `size`: negative values count from the end.
fn index(value: i64, size: usize) -> Result<usize, OpError> {
    axis(value, size).map_err(|_| OpError::value(format!("index {value} is outside a dimension of {size}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::testing::{Given, evaluated, i64s, inferred, iota};

    /// The numbers are OpenVINO 2026.4's.
    #[test]
    fn gathering_along_an_axis() {
        let run = |batch_dims, x: Tensor, indices: Tensor, axis: i64| {
            evaluated(&Gather { batch_dims }, &[x, indices, Tensor::scalar(axis)])
        };
        let square = i64s(&[2, 2], &[1, 0, -1, 1]);
        assert_eq!(run(0, iota(&[2, 2]), square, 0).unwrap(), (vec![2, 2, 2], vec![2, 3, 0, 1, 2, 3, 2, 3]));
        let rows = i64s(&[2, 2], &[1, 0, -1, 2]);
        assert_eq!(run(1, iota(&[2, 1, 3]), rows.clone(), 2).unwrap(), (vec![2, 1, 2], vec![1, 0, 5, 5]));
        assert_eq!(run(-1, iota(&[2, 1, 3]), rows, 2).unwrap().1, [1, 0, 5, 5]);
        assert_eq!(run(0, iota(&[2, 3]), i64s(&[], &[-1]), -1).unwrap(), (vec![2], vec![2, 5]));
        assert_eq!(run(0, iota(&[2, 3]), i64s(&[0], &[]), 0).unwrap(), (vec![0, 3], vec![]));
        for outside in [2, -3, i64::MIN, i64::MAX] {
            let err = run(0, iota(&[2]), i64s(&[1], &[outside]), 0).unwrap_err();
            assert_eq!(err.to_string(), format!("index {outside} is outside a dimension of 2"));
        }
        assert!(run(0, iota(&[]), i64s(&[], &[0]), 0).is_err());
        assert!(run(1, iota(&[2, 2]), i64s(&[2], &[0, 0]), 0).is_err());
        assert!(run(3, iota(&[2, 2]), i64s(&[2], &[0, 0]), 1).is_err());
        assert!(run(0, iota(&[2, 2]), iota(&[1]), 1).is_err(), "indices of floats");
        let infer = |batch_dims, data: &str, indices: &str, axis: Given| {
            inferred(&Gather { batch_dims }, &[data.into(), indices.into(), axis])
        };
        assert_eq!(infer(0, "f32[?,5,6]", "i64[2,?]", 1i64.into()).unwrap(), "f32[?,2,?,6]");
        assert_eq!(infer(1, "f32[?,5,6]", "i64[3,4]", 1i64.into()).unwrap(), "f32[3,4,6]");
        assert_eq!(infer(0, "f32[4,5]", "i64[2]", "i64[]".into()).unwrap(), "f32[?,?]");
        assert_eq!(infer(0, "f32[...]", "i64[2]", 0i64.into()).unwrap(), "f32[...]");
        assert!(infer(1, "f32[2,5]", "i64[3,4]", 1i64.into()).is_err());
    }
}
