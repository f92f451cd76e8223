//! Running sums.

use super::{
    Inputs, OpError, Operator, PortType,
    axes::{axis, integer},
    output_shapes,
};
use crate::{
    Tensor,
    attribute::{Visit, Visitor},
};

/// The sum of the elements up to each. Inputs: data, optionally the axis (0).
#[derive(Clone, PartialEq, Debug, Default)]
pub struct CumSum {
    /// Without the element itself.
    pub exclusive: bool,
    /// From the end on.
    pub reverse: bool,
}

impl Visit for CumSum {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.optional("exclusive", &mut self.exclusive);
        v.optional("reverse", &mut self.reverse);
    }
}

impl Operator for CumSum {
    fn type_name(&self) -> &str {
        "CumSum"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(1..=2)?;
        let along = inputs.tensor(1).map(|t| integer(t, "the axis")).transpose()?;
        if let (Some(rank), Some(value)) = (inputs.shape(0).rank(), along) {
            axis(value, rank)?;
        }
        Ok(vec![inputs.0[0].ty.clone()])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shape = output_shapes(self, inputs)?.remove(0);
        let (x, ty) = (&inputs[0], inputs[0].element_type());
        let along = inputs.get(1).map_or(Ok(0), |t| integer(t, "the axis"))?;
        let axis = axis(along, shape.len())?;
        let y = if ty.is_float() {
            let y = self.sums(&shape, axis, &x.to_f64s(), |a, b| a + b);
            Tensor::from_f64s(ty, &shape, &y)?
        } else {
            let y = self.sums(&shape, axis, &x.to_i64s(), i64::wrapping_add);
            Tensor::from_i64_values(ty, &shape, &y)?
        };
        Ok(vec![y])
    }
}

impl CumSum {
    fn sums<T: Copy + Default>(
        &self,
        shape: &[usize],
        axis: usize,
        x: &[T],
        add: impl Fn(T, T) -> T,
    ) -> Vec<T> {
        let mut y = vec![T::default(); x.len()];
        if x.is_empty() {
            return y;
        }
        let inner: usize = shape[axis + 1..].iter().product();
        for line in (0..x.len()).filter(|i| (i / inner).is_multiple_of(shape[axis])) {
            let mut sum = T::default();
            for step in 0..shape[axis] {
                let step = if self.reverse { shape[axis] - 1 - step } else { step };
                let at = line + step * inner;
                let after = add(sum, x[at]);
                y[at] = if self.exclusive { sum } else { after };
                sum = after;
            }
        }
        y
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::testing::{evaluated, i64s, inferred, iota};

    /// The numbers are OpenVINO 2026.4's.
    #[test]
    fn running_sums() {
        for (exclusive, reverse, want) in [
            (false, false, [0, 1, 3, 3, 7, 12]),
            (false, true, [3, 3, 2, 12, 9, 5]),
            (true, false, [0, 0, 1, 0, 3, 7]),
            (true, true, [3, 2, 0, 9, 5, 0]),
        ] {
            let op = CumSum { exclusive, reverse };
            let last = Tensor::scalar(-1i64);
            assert_eq!(evaluated(&op, &[iota(&[2, 3]), last.clone()]).unwrap().1, want);
            assert_eq!(evaluated(&op, &[iota(&[2, 0]), last]).unwrap().0, [2, 0]);
        }
        let op = CumSum::default();
        assert_eq!(evaluated(&op, &[i64s(&[2, 2], &[1, 2, i64::MAX, 4])]).unwrap().1, [1, 2, i64::MIN, 6]);
        assert_eq!(inferred(&op, &["f32[?,2]".into(), "i64[]".into()]).unwrap(), "f32[?,2]");
        assert!(inferred(&op, &["f32[?,2]".into(), 2i64.into()]).is_err());
    }
}
