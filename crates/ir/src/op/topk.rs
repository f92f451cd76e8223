//! The largest or smallest along an axis.

use super::{Inputs, OpError, Operator, PortType, axes, expect_inputs, floats::Lines};
use crate::{
    Dim, ElementType, PartialShape, Tensor,
    attribute::{Visit, Visitor, text_enum},
};
use std::cmp::Ordering;

text_enum! {
    /// Which elements are kept.
    TopKMode {
        /// The largest.
        Max = "max",
        /// The smallest.
        Min = "min",
    }
}

text_enum! {
    /// In which order they are given.
    TopKSort {
        /// Any.
        None = "none",
        /// By position.
        Index = "index",
        /// The best first.
        Value = "value",
    }
}

/// The `k` best along an axis and their positions. Inputs: data, k.
#[derive(Clone, PartialEq, Debug)]
pub struct TopK {
    /// The axis; negative counts from the end.
    pub axis: i64,
    /// Which are best.
    pub mode: TopKMode,
    /// The order of the answer.
    pub sort: TopKSort,
    /// Type of the positions.
    pub index_element_type: ElementType,
    /// Equal elements keep their order.
    pub stable: bool,
}

impl Default for TopK {
    fn default() -> Self {
        Self {
            axis: -1,
            mode: TopKMode::Max,
            sort: TopKSort::Value,
            index_element_type: ElementType::I32,
            stable: false,
        }
    }
}

impl Visit for TopK {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("axis", &mut self.axis);
        v.required("mode", &mut self.mode);
        v.required("sort", &mut self.sort);
        v.optional("index_element_type", &mut self.index_element_type);
        v.optional("stable", &mut self.stable);
    }
}

impl Operator for TopK {
    fn type_name(&self) -> &str {
        "TopK"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(2..=2)?;
        if inputs.element_type(1).is_float() {
            return Err(OpError::element_type(format!(
                "k is {}, expected an integer",
                inputs.element_type(1)
            )));
        }
        if !matches!(self.index_element_type, ElementType::I32 | ElementType::I64) {
            let found = self.index_element_type;
            return Err(OpError::attribute(format!("`index_element_type` is {found}, expected i32 or i64")));
        }
        let shape = match inputs.shape(0).dims() {
            None => PartialShape::UNKNOWN,
            Some(dims) => {
                let axis = axes::axis(self.axis, dims.len())?;
                let k = match inputs.intervals(1).as_deref() {
                    None => Dim::ANY_DIM,
                    Some([k]) => *k,
                    Some(k) => {
                        return Err(OpError::shape(format!("k has {} elements, expected one", k.len())));
                    }
                };
                let up_to_all = Dim::new(0, dims[axis].max()).unwrap_or(Dim::ANY_DIM);
                let count = k.intersect(up_to_all).ok_or_else(|| too_many(k, dims[axis]))?;
                let mut dims = dims.to_vec();
                dims[axis] = count;
                PartialShape::new(dims)
            }
        };
        let types = [inputs.element_type(0), self.index_element_type];
        Ok(types.map(|ty| PortType::new(ty, shape.clone())).to_vec())
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 2..=2)?;
        let x = &inputs[0];
        let ty = x.element_type();
        let axis = axes::axis(self.axis, x.shape().len())?;
        let k = axes::integer(&inputs[1], "k")?;
        let size = x.shape()[axis];
        let count = usize::try_from(k).ok().filter(|k| *k <= size);
        let count = count.ok_or_else(|| too_many(Dim::exactly(k), Dim::dim(size)))?;
        let mut shape = x.shape().to_vec();
        shape[axis] = count;
        let lines = [Lines::new(x.shape(), axis), Lines::new(&shape, axis)];
        let (best, values) = if ty.is_float() {
            let x = x.to_f64s();
            // Zeros of both signs are equal; NaN is beyond infinity.
            let order = |a: &f64, b: &f64| (a + 0.0).total_cmp(&(b + 0.0));
            let best = self.best(&x, lines, order)?;
            let values: Vec<f64> = best.iter().map(|(_, at)| x[*at]).collect();
            (best, Tensor::from_f64s(ty, &shape, &values)?)
        } else {
            let x = x.to_i64s();
            let best = self.best(&x, lines, |a, b| {
                if ty == ElementType::U64 { (*a as u64).cmp(&(*b as u64)) } else { a.cmp(b) }
            })?;
            let values: Vec<i64> = best.iter().map(|(_, at)| x[*at]).collect();
            (best, Tensor::from_i64_values(ty, &shape, &values)?)
        };
        let positions: Vec<i64> = best.iter().map(|(position, _)| *position as i64).collect();
        Ok(vec![values, Tensor::from_i64_values(self.index_element_type, &shape, &positions)?])
    }
}

fn too_many(k: Dim, size: Dim) -> OpError {
    OpError::value(format!("k is {k} of a dimension of {size}"))
}

impl TopK {
    /// For every element of the answer its position along the axis and its index in `x`. Of equal elements the
    /// first come first, which is right whether they must or not.
    fn best<T>(
        &self,
        x: &[T],
        [from, to]: [Lines; 2],
        order: impl Fn(&T, &T) -> Ordering,
    ) -> Result<Vec<(usize, usize)>, OpError> {
        let mut best = vec![(0, 0); to.starts().count() * to.len];
        let mut positions: Vec<usize> = Vec::new();
        for (start, out) in from.starts().zip(to.starts()) {
            let at = |position: usize| start + position * from.step;
            positions.clear();
            positions.extend(0..from.len);
            positions.sort_by(|a, b| match self.mode {
                TopKMode::Max => order(&x[at(*b)], &x[at(*a)]),
                TopKMode::Min => order(&x[at(*a)], &x[at(*b)]),
            });
            positions.truncate(to.len);
            if self.sort == TopKSort::Index {
                positions.sort_unstable();
            }
            for (i, position) in positions.iter().enumerate() {
                best[out + i * to.step] = (*position, at(*position));
            }
        }
        Ok(best)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::testing::{assert_close, floats, infer, infer_types, ramp, run};

    fn top(mode: TopKMode, sort: TopKSort, axis: i64) -> TopK {
        TopK { axis, mode, sort, ..TopK::default() }
    }

    #[test]
    fn modes_and_orders() {
        use {TopKMode::*, TopKSort::*};
        // OpenVINO 2026.4.1's CPU device, stable.
        let x = [3.0, 1.0, 3.0, 2.0, 1.0, 3.0];
        for (mode, sort, values, positions) in [
            (Max, None, [3., 3., 3., 2.], [0, 2, 5, 3]),
            (Max, Value, [3., 3., 3., 2.], [0, 2, 5, 3]),
            (Max, Index, [3., 3., 2., 3.], [0, 2, 3, 5]),
            (Min, Value, [1., 1., 2., 3.], [1, 4, 3, 0]),
            (Min, Index, [3., 1., 2., 1.], [0, 1, 3, 4]),
        ] {
            let y = run(&top(mode, sort, 0), &[floats(&[6], &x), Tensor::scalar(4i64)]).unwrap();
            assert_close(&y[0], &[4], &values, (mode, sort));
            assert_eq!(y[1].to_i64s(), positions, "{mode:?} {sort:?}");
            let whole = Tensor::from_i64_values(ElementType::U8, &[6], &x.map(|v| v as i64)).unwrap();
            let y = run(&top(mode, sort, 0), &[whole, Tensor::scalar(4i32)]).unwrap();
            assert_close(&y[0], &[4], &values, (mode, sort));
        }
    }

    #[test]
    fn any_axis() {
        let x = floats(&[2, 3, 2], &[1., 8., 5., 2., 3., 9., 7., 0., 6., 4., -1., -2.]);
        let y = run(&top(TopKMode::Max, TopKSort::Value, 1), &[x.clone(), Tensor::scalar(2i64)]).unwrap();
        assert_close(&y[0], &[2, 2, 2], &[5., 9., 3., 8., 7., 4., 6., 0.], "middle");
        assert_eq!(y[1].to_i64s(), [1, 2, 2, 0, 0, 1, 1, 0]);
        let y = run(&top(TopKMode::Min, TopKSort::Value, -3), &[x, Tensor::scalar(1i64)]).unwrap();
        assert_close(&y[0], &[1, 3, 2], &[1., 0., 5., 2., -1., -2.], "first");
    }

    #[test]
    fn edges() {
        let op = TopK::default();
        let nan = floats(&[4], &[1.0, f32::NAN, f32::INFINITY, -0.0]);
        assert_eq!(run(&op, &[nan, Tensor::scalar(3i64)]).unwrap()[1].to_i64s(), [1, 2, 0]);
        let zeros = floats(&[2], &[-0.0, 0.0]);
        assert_eq!(run(&op, &[zeros, Tensor::scalar(1i64)]).unwrap()[1].to_i64s(), [0]);
        assert_eq!(run(&op, &[ramp(&[2, 3]), Tensor::scalar(0i64)]).unwrap()[0].shape(), [2, 0]);
        assert_eq!(run(&op, &[ramp(&[0, 3]), Tensor::scalar(2i64)]).unwrap()[1].shape(), [0, 2]);
        for k in [-1i64, 4, i64::MAX] {
            assert!(run(&op, &[ramp(&[3]), Tensor::scalar(k)]).is_err(), "{k}");
        }
        assert!(run(&op, &[ramp(&[3]), Tensor::from_i64s(&[1, 1])]).is_err());
        assert!(run(&op, &[ramp(&[]), Tensor::scalar(1i64)]).is_err());
        let big = Tensor::from_slice(&[2], &[u64::MAX, 1]).unwrap();
        assert_eq!(run(&op, &[big, Tensor::scalar(1i64)]).unwrap()[1].to_i64s(), [0]);
    }

    #[test]
    fn unknown_k_is_at_most_all() {
        let op = TopK { axis: 1, ..TopK::default() };
        assert_eq!(infer_types(&op, &["f32[?,10]", "i64[]"]).unwrap(), ["f32[?,0..10]", "i32[?,0..10]"]);
        assert_eq!(infer_types(&op, &["f32[...]", "i64[]"]).unwrap(), ["f32[...]", "i32[...]"]);
        let three = ("i64[]", Some(Tensor::scalar(3i64)));
        assert_eq!(infer(&op, &[("f16[2,?]", None), three.clone()]).unwrap(), ["f16[2,3]", "i32[2,3]"]);
        assert!(infer(&op, &[("f16[2,2]", None), three]).is_err());
        assert!(infer_types(&op, &["f32[?]", "i64[]"]).is_err());
    }
}
