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
