//! Elements written where indices along an axis say.

use super::{
    Inputs, OpError, Operator, PortType,
    axes::{axis, integer, integers},
    expect_inputs, output_shapes,
};
use crate::{
    Dim, PartialShape, Tensor,
    attribute::{Visit, Visitor, text_enum},
};

/// A copy of the data with slices along an axis replaced; of several in one place the last stays. Inputs: data,
/// indices of any shape, updates, the axis.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ScatterUpdate;

impl Visit for ScatterUpdate {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}

impl Operator for ScatterUpdate {
    fn type_name(&self) -> &str {
        "ScatterUpdate"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(4..=4)?;
        let ty = inputs.same_element_type([0, 2])?;
        let (data, indices, updates) = (inputs.shape(0), inputs.shape(1), inputs.shape(2));
        let along = inputs.tensor(3).map(|axis| integer(axis, "the axis")).transpose()?;
        if let (Some(dims), Some(picks), Some(along)) = (data.dims(), indices.dims(), along) {
            let along = axis(along, dims.len())?;
            let (before, after) = (&dims[..along], &dims[along + 1..]);
            let wanted = PartialShape::new(before.iter().chain(picks).chain(after).copied());
            if wanted.intersect(updates).is_none() {
                let message = format!("the updates are {updates}, expected {wanted}");
                return Err(OpError::shape(message));
            }
        }
        Ok(vec![PortType::new(ty, data.clone())])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 4..=4)?;
        let shape = output_shapes(self, inputs)?.remove(0);
        let (ty, indices) = (inputs[0].element_type(), integers(&inputs[1], "the indices")?);
        let along = axis(integer(&inputs[3], "the axis")?, shape.len())?;
        if !ty.bits().is_multiple_of(8) || ty.bits() == 0 {
            return Err(OpError::element_type(format!("the data is {ty}, expected whole bytes")));
        }
        let mut out = inputs[0].bytes().to_vec();
        let inner = shape[along + 1..].iter().product::<usize>() * (ty.bits() / 8);
        let size = shape[along];
        let outer: usize = shape[..along].iter().product();
        let picks: Result<Vec<usize>, OpError> = indices.iter().map(|index| place(*index, size)).collect();
        let picks = picks?;
        if inner > 0 && !picks.is_empty() {
            let rows = (0..outer).flat_map(|row| picks.iter().map(move |pick| row * size + pick));
            for (at, update) in rows.zip(inputs[2].bytes().chunks_exact(inner)) {
                out[at * inner..][..inner].copy_from_slice(update);
            }
        }
        Ok(vec![Tensor::new(ty, shape, out.into())?])
    }
}

/// The position that an index means among `size`; negative ones count from the end.
fn place(index: i64, size: usize) -> Result<usize, OpError> {
    axis(index, size).map_err(|_| OpError::value(format!("index {index} is outside a dimension of {size}")))
}

text_enum! {
    /// What becomes of elements that are written to one place.
    ScatterReduction {
        /// The last stays.
        None = "none",
        /// Their sum.
        Sum = "sum",
        /// Their product.
        Prod = "prod",
        /// The least.
        Min = "min",
        /// The greatest.
        Max = "max",
        /// Their mean.
        Mean = "mean",
    }
}

/// A copy of the data with elements replaced, each by an index of its own along an axis, or put together with what is
/// there. Inputs: data, indices of the same rank, updates of their shape, the axis.
#[derive(Clone, PartialEq, Debug)]
pub struct ScatterElementsUpdate {
    /// What becomes of elements in one place, and whether the data is one of them; op set 3 has no choice.
    pub reduction: Option<(ScatterReduction, bool)>,
}

impl Visit for ScatterElementsUpdate {
    fn visit(&mut self, v: &mut dyn Visitor) {
        if let Some((reduction, with_data)) = &mut self.reduction {
            v.optional("reduction", reduction);
            v.optional("use_init_val", with_data);
        }
    }
}

impl Operator for ScatterElementsUpdate {
    fn type_name(&self) -> &str {
        "ScatterElementsUpdate"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(4..=4)?;
        let ty = inputs.same_element_type([0, 2])?;
        let (data, indices, updates) = (inputs.shape(0), inputs.shape(1), inputs.shape(2));
        let Some(both) = indices.intersect(updates) else {
            return Err(OpError::shape(format!("the updates are {updates}, the indices {indices}")));
        };
        if let (Some(rank), Some(own)) = (data.rank(), both.rank())
            && rank != own
        {
            return Err(OpError::shape(format!("the indices are {both}, the data {data}: other ranks")));
        }
        let along = inputs.tensor(3).map(|axis| integer(axis, "the axis")).transpose()?;
        if let (Some(along), Some(dims), Some(own)) = (along, data.dims(), both.dims()) {
            let along = axis(along, dims.len())?;
            let beyond = |(i, (dim, own)): (usize, (&Dim, &Dim))| i != along && own.min() > dim.max();
            if dims.iter().zip(own).enumerate().any(beyond) {
                return Err(OpError::shape(format!("the indices are {both}, larger than the data, {data}")));
            }
        }
        Ok(vec![PortType::new(ty, data.clone())])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 4..=4)?;
        let shape = output_shapes(self, inputs)?.remove(0);
        let (ty, indices) = (inputs[0].element_type(), integers(&inputs[1], "the indices")?);
        let along = axis(integer(&inputs[3], "the axis")?, shape.len())?;
        // Where each update goes.
        let own = inputs[1].shape();
        let mut places = Vec::with_capacity(indices.len());
        for (i, index) in indices.iter().enumerate() {
            let (mut rest, mut at, mut stride) = (i, 0, 1);
            for (k, size) in shape.iter().enumerate().rev() {
                let position = if k == along { place(*index, *size)? } else { rest % own[k] };
                rest /= own[k];
                at += position * stride;
                stride *= size;
            }
            places.push(at);
        }
        let (reduction, with_data) = self.reduction.unwrap_or((ScatterReduction::None, true));
        let tensor = if ty.is_float() {
            let mut out = inputs[0].to_f64s();
            let combine = |kind: ScatterReduction, a: f64, b: f64| match kind {
                ScatterReduction::None => b,
                ScatterReduction::Sum | ScatterReduction::Mean => a + b,
                ScatterReduction::Prod => a * b,
                ScatterReduction::Min => a.min(b),
                ScatterReduction::Max => a.max(b),
            };
            scatter(&mut out, &places, &inputs[2].to_f64s(), reduction, with_data, combine, |sum, n| {
                sum / n as f64
            });
            Tensor::from_f64s(ty, &shape, &out)?
        } else {
            let mut out = inputs[0].to_i64s();
            let combine = |kind: ScatterReduction, a: i64, b: i64| match kind {
                ScatterReduction::None => b,
                ScatterReduction::Sum | ScatterReduction::Mean => a.wrapping_add(b),
                ScatterReduction::Prod => a.wrapping_mul(b),
                ScatterReduction::Min => a.min(b),
                ScatterReduction::Max => a.max(b),
            };
            scatter(&mut out, &places, &inputs[2].to_i64s(), reduction, with_data, combine, |sum, n| sum / n);
            Tensor::from_i64_values(ty, &shape, &out)?
        };
        Ok(vec![tensor])
    }
}

fn scatter<T: Copy>(
    out: &mut [T],
    places: &[usize],
    updates: &[T],
    reduction: ScatterReduction,
    with_data: bool,
    combine: impl Fn(ScatterReduction, T, T) -> T,
    mean: impl Fn(T, i64) -> T,
) {
    // How many elements have met in each place.
    let mut met = vec![i64::from(with_data); out.len()];
    for (at, update) in places.iter().zip(updates) {
        out[*at] = if met[*at] == 0 { *update } else { combine(reduction, out[*at], *update) };
        met[*at] += 1;
    }
    if reduction == ScatterReduction::Mean {
        let mut touched = places.to_vec();
        touched.sort_unstable();
        touched.dedup();
        touched.into_iter().for_each(|at| out[at] = mean(out[at], met[at]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::testing::{evaluated, i64s, inferred, iota};

    #[test]
    fn slices_are_replaced() {
        let put = |x: Tensor, indices: Tensor, updates: Tensor, along: i64| {
            evaluated(&ScatterUpdate, &[x, indices, updates, Tensor::scalar(along)])
        };
        let y = put(iota(&[3, 2]), i64s(&[2], &[2, 0]), iota(&[2, 2]), 0).unwrap();
        assert_eq!(y, (vec![3, 2], vec![2, 3, 2, 3, 0, 1]));
        assert_eq!(put(iota(&[2, 2]), i64s(&[], &[-1]), iota(&[2]), 1).unwrap().1, [0, 0, 2, 1]);
        assert!(put(iota(&[3, 2]), i64s(&[1], &[3]), iota(&[1, 2]), 0).is_err());
        assert!(put(iota(&[3, 2]), i64s(&[2], &[0, 1]), iota(&[1, 2]), 0).is_err());
    }

    #[test]
    fn elements_are_put_together() {
        use ScatterReduction::*;
        let indices = i64s(&[1, 4], &[1, 1, -1, 1]);
        for (reduction, with_data, want) in [
            (None, true, [0, 3, 2]),
            (Sum, true, [0, 5, 4]),
            (Sum, false, [0, 4, 2]),
            (Prod, false, [0, 0, 2]),
            (Max, true, [0, 3, 2]),
            (Min, false, [0, 0, 2]),
            (Mean, false, [0, 1, 2]),
        ] {
            let op = ScatterElementsUpdate { reduction: Some((reduction, with_data)) };
            let inputs = [
                i64s(&[1, 3], &[0, 1, 2]),
                indices.clone(),
                i64s(&[1, 4], &[0, 1, 2, 3]),
                Tensor::scalar(1i64),
            ];
            assert_eq!(evaluated(&op, &inputs).unwrap().1, want, "{reduction:?} {with_data}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let op = ScatterElementsUpdate { reduction: Option::None };
        let check = |indices: &str, updates: &str| {
            inferred(&op, &["f32[2,?]".into(), indices.into(), updates.into(), 1.into()])
        };
        assert_eq!(check("i64[2,5]", "f32[?,5]").unwrap(), "f32[2,?]");
        assert!(check("i64[3,5]", "f32[3,5]").is_err());
        assert!(check("i64[2,5]", "f32[2,4]").is_err());
        assert!(check("i64[5]", "f32[5]").is_err());
    }
}
