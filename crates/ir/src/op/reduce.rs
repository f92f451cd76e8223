//! Reductions.

use super::{Inputs, OpError, Operator, PortType, Value, axes, binary::walk, expect_inputs};
use crate::{
    Dim, ElementType, Interval, PartialShape, Tensor,
    attribute::{Visit, Visitor},
    element_count,
    shape::MAX_RANK,
};

/// What a reduction computes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ReduceKind {
    /// The mean.
    Mean,
    /// The largest.
    Max,
    /// The smallest.
    Min,
    /// The sum.
    Sum,
    /// The product.
    Prod,
    /// The sum of magnitudes.
    L1,
    /// The square root of the sum of squares.
    L2,
    /// True when all are.
    LogicalAnd,
    /// True when one is.
    LogicalOr,
}

/// Reduces over axes. Inputs: data, axes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reduce {
    /// What is computed.
    pub kind: ReduceKind,
    /// Reduced dimensions stay, with size 1.
    pub keep_dims: bool,
}

impl Reduce {
    /// A reduction that drops the reduced dimensions.
    pub fn new(kind: ReduceKind) -> Self {
        Self { kind, keep_dims: false }
    }
}

impl Reduce {
    fn check_type(&self, ty: ElementType) -> Result<(), OpError> {
        let logical = matches!(self.kind, ReduceKind::LogicalAnd | ReduceKind::LogicalOr);
        if ty == ElementType::Dynamic || logical == (ty == ElementType::Boolean) {
            return Ok(());
        }
        let expected = if logical { "booleans" } else { "numbers" };
        Err(OpError::element_type(format!("the data is {ty}, expected {expected}")))
    }

    /// `dims` after the reduction.
    fn reduced<T: Copy>(&self, dims: &[T], axes: &[usize], one: T) -> Vec<T> {
        let dim = |i: usize| match axes.contains(&i) {
            true => self.keep_dims.then_some(one),
            false => Some(dims[i]),
        };
        (0..dims.len()).filter_map(dim).collect()
    }

    /// Joins the elements of each group, in row-major order of the groups.
    fn fold<X: Copy, A: Copy>(
        &self,
        x: &[X],
        shape: &[usize],
        axes: &[usize],
        start: A,
        join: impl Fn(A, X) -> A,
    ) -> Result<Vec<A>, OpError> {
        let kept: Vec<usize> = (0..shape.len()).filter(|i| !axes.contains(i)).collect();
        let sizes: Vec<usize> = kept.iter().map(|i| shape[*i]).collect();
        let mut groups = Vec::new();
        // With an empty tensor there may still be groups, as many as the other dimensions claim.
        let count = element_count(&sizes).filter(|count| groups.try_reserve_exact(*count).is_ok());
        let count =
            count.ok_or_else(|| OpError::shape(format!("{sizes:?} groups do not fit into memory")))?;
        groups.resize(count, start);
        let mut strides = vec![0; shape.len()];
        let mut stride = 1usize;
        for axis in kept.into_iter().rev() {
            strides[axis] = stride;
            stride = stride.wrapping_mul(shape[axis]);
        }
        let mut next = x.iter();
        walk(shape, [&strides], |[at]| {
            if let Some(x) = next.next() {
                groups[at] = join(groups[at], *x);
            }
        });
        Ok(groups)
    }

    fn start(&self) -> f64 {
        match self.kind {
            ReduceKind::Max => f64::NEG_INFINITY,
            ReduceKind::Min => f64::INFINITY,
            ReduceKind::Prod | ReduceKind::LogicalAnd => 1.0,
            _ => 0.0,
        }
    }

    fn join(&self, a: f64, x: f64) -> f64 {
        match self.kind {
            ReduceKind::Mean | ReduceKind::Sum => a + x,
            ReduceKind::Max if x > a || x.is_nan() => x,
            ReduceKind::Min if x < a || x.is_nan() => x,
            ReduceKind::Max | ReduceKind::Min => a,
            ReduceKind::Prod => a * x,
            ReduceKind::L1 => a + x.abs(),
            ReduceKind::L2 => a + x * x,
            ReduceKind::LogicalAnd => a.min(x),
            ReduceKind::LogicalOr => a.max(x),
        }
    }

    fn join_integers(&self, a: i64, x: i64) -> i64 {
        match self.kind {
            ReduceKind::Mean | ReduceKind::Sum => a.wrapping_add(x),
            ReduceKind::Max => a.max(x),
            ReduceKind::Min => a.min(x),
            ReduceKind::Prod => a.wrapping_mul(x),
            ReduceKind::L1 => a.wrapping_add(x.wrapping_abs()),
            ReduceKind::L2 => a.wrapping_add(x.wrapping_mul(x)),
            ReduceKind::LogicalAnd => a & x,
            ReduceKind::LogicalOr => a | x,
        }
    }
}

impl Visit for Reduce {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.optional("keep_dims", &mut self.keep_dims);
    }
}

impl Operator for Reduce {
    fn type_name(&self) -> &str {
        match self.kind {
            ReduceKind::Mean => "ReduceMean",
            ReduceKind::Max => "ReduceMax",
            ReduceKind::Min => "ReduceMin",
            ReduceKind::Sum => "ReduceSum",
            ReduceKind::Prod => "ReduceProd",
            ReduceKind::L1 => "ReduceL1",
            ReduceKind::L2 => "ReduceL2",
            ReduceKind::LogicalAnd => "ReduceLogicalAnd",
            ReduceKind::LogicalOr => "ReduceLogicalOr",
        }
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(2..=2)?;
        let (ty, shape) = (inputs.element_type(0), inputs.shape(0));
        self.check_type(ty)?;
        let axes = axes::known_axes(inputs, 1, shape.rank().unwrap_or(MAX_RANK))?;
        let Some(dims) = shape.dims() else { return Ok(vec![PortType::new(ty, PartialShape::UNKNOWN)]) };
        let shape = match axes {
            Some(axes) => PartialShape::new(self.reduced(dims, &axes, Dim::exactly(1))),
            // Any dimension may have become 1, or may be gone.
            None if self.keep_dims => PartialShape::new(dims.iter().map(|dim| dim.hull(Dim::exactly(1)))),
            None => match inputs.shape(1).sizes() {
                Some(count) => {
                    let count = count.first().copied().unwrap_or(1);
                    let rank = dims.len().checked_sub(count);
                    let message = || OpError::value(format!("{count} axes of {} dimensions", dims.len()));
                    PartialShape::of_rank(rank.ok_or_else(message)?)
                }
                None => PartialShape::UNKNOWN,
            },
        };
        Ok(vec![PortType::new(ty, shape)])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 2..=2)?;
        let x = &inputs[0];
        let ty = x.element_type();
        self.check_type(ty)?;
        let axes = axes::axes_of(&inputs[1], x.shape().len())?;
        if axes.is_empty() {
            return Ok(vec![x.clone()]);
        }
        let shape = self.reduced(x.shape(), &axes, 1);
        let count: usize = if x.is_empty() { 0 } else { axes.iter().map(|axis| x.shape()[*axis]).product() };
        let y = if ty.is_float() {
            let least = self.fold(&x.to_f64s(), x.shape(), &axes, self.start(), |a, x| self.join(a, x))?;
            let end = |sum: f64| match self.kind {
                ReduceKind::Mean => sum / count as f64,
                ReduceKind::L2 => sum.sqrt(),
                _ => sum,
            };
            Tensor::from_f64s(ty, &shape, &least.into_iter().map(end).collect::<Vec<_>>())?
        } else {
            let start = match self.kind {
                ReduceKind::Max => Tensor::from_f64s(ty, &[], &[f64::MIN])?.to_i64s()[0],
                ReduceKind::Min => Tensor::from_f64s(ty, &[], &[f64::MAX])?.to_i64s()[0],
                _ => self.start() as i64,
            };
            let sums = self.fold(&x.to_i64s(), x.shape(), &axes, start, |a, x| self.join_integers(a, x))?;
            let end = |sum: i64| match self.kind {
                ReduceKind::Mean => sum.checked_div(count as i64).unwrap_or(0),
                ReduceKind::L2 => (sum as f64).sqrt() as i64,
                _ => sum,
            };
            Tensor::from_i64_values(ty, &shape, &sums.into_iter().map(end).collect::<Vec<_>>())?
        };
        Ok(vec![y])
    }

    fn infer_values(&self, inputs: &Inputs) -> Option<Vec<Option<Value>>> {
        let data = inputs.0.first()?.value?;
        let axes = axes::axes_of(inputs.tensor(1)?, data.shape().len()).ok()?;
        let join: fn(Interval, Interval) -> Interval = match self.kind {
            ReduceKind::Sum => |a, b| a + b,
            ReduceKind::Prod => |a, b| a * b,
            ReduceKind::Max => {
                |a, b| Interval::new(a.min().max(b.min()), a.max().max(b.max())).unwrap_or(Interval::UNKNOWN)
            }
            ReduceKind::Min => {
                |a, b| Interval::new(a.min().min(b.min()), a.max().min(b.max())).unwrap_or(Interval::UNKNOWN)
            }
            _ => return None,
        };
        let shape = self.reduced(data.shape(), &axes, 1);
        let join = |a: Option<Interval>, x| Some(a.map_or(x, |a| join(a, x)));
        let sums = self.fold(&data.intervals()?, data.shape(), &axes, None, join).ok()?;
        let sums: Option<Vec<Interval>> = sums.into_iter().collect();
        Some(vec![Value::from_intervals(inputs.element_type(0), shape, sums?)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{
        Input,
        testing::{assert_close, floats, infer, infer_types, ramp, run},
    };

    fn reduce(kind: ReduceKind, keep_dims: bool, x: Tensor, axes: &[i64]) -> Result<Tensor, OpError> {
        run(&Reduce { kind, keep_dims }, &[x, Tensor::from_i64s(axes)]).map(|mut y| y.remove(0))
    }

    #[test]
    fn every_kind() {
        use ReduceKind::*;
        let x = floats(&[2, 3], &[1.0, -2.0, 3.0, 4.0, 5.0, -6.0]);
        // numpy: mean, max, min, sum, prod, linalg.norm with ord 1 and 2.
        for (kind, columns, rows) in [
            (Mean, [2.5, 1.5, -1.5], [2. / 3., 1.]),
            (Max, [4., 5., 3.], [3., 5.]),
            (Min, [1., -2., -6.], [-2., -6.]),
            (Sum, [5., 3., -3.], [2., 3.]),
            (Prod, [4., -10., -18.], [-6., -120.]),
            (L1, [5., 7., 9.], [6., 15.]),
            (L2, [17f64.sqrt(), 29f64.sqrt(), 45f64.sqrt()], [14f64.sqrt(), 77f64.sqrt()]),
        ] {
            assert_close(&reduce(kind, false, x.clone(), &[0]).unwrap(), &[3], &columns, kind);
            assert_close(&reduce(kind, true, x.clone(), &[-1]).unwrap(), &[2, 1], &rows, kind);
        }
        let truth = Tensor::from_i64_values(ElementType::Boolean, &[2, 2], &[1, 0, 1, 1]).unwrap();
        assert_eq!(reduce(LogicalAnd, false, truth.clone(), &[1]).unwrap().to_i64s(), [0, 1]);
        assert_eq!(reduce(LogicalOr, false, truth, &[0]).unwrap().to_i64s(), [1, 1]);
    }

    #[test]
    fn integers_stay_integers() {
        use ReduceKind::*;
        let x = Tensor::from_i64s(&[7, -2, -10]);
        for (kind, want) in [(Mean, -1), (Max, 7), (Min, -10), (Sum, -5), (Prod, 140), (L1, 19), (L2, 12)] {
            assert_eq!(reduce(kind, false, x.clone(), &[0]).unwrap().to_i64s(), [want], "{kind:?}");
        }
        let big = Tensor::from_i64s(&[i64::MAX, i64::MAX - 1]);
        assert_eq!(reduce(Min, false, big, &[0]).unwrap().to_i64s(), [i64::MAX - 1]);
    }

    #[test]
    fn edges() {
        use ReduceKind::*;
        let x = floats(&[2, 3], &[1.0, -2.0, 3.0, 4.0, 5.0, -6.0]);
        assert_eq!(reduce(L1, false, x.clone(), &[]).unwrap(), x);
        assert_close(&reduce(Sum, false, x.clone(), &[1, 0]).unwrap(), &[], &[5.0], "all");
        for (kind, want) in [(Sum, 0.0), (Prod, 1.0), (Max, f64::NEG_INFINITY), (Mean, f64::NAN)] {
            let empty = floats(&[2, 0], &[]);
            assert_close(&reduce(kind, true, empty.clone(), &[1]).unwrap(), &[2, 1], &[want; 2], kind);
            assert_eq!(reduce(kind, false, empty, &[0]).unwrap().shape(), [0]);
        }
        let empty = Tensor::from_slice::<i32>(&[0], &[]).unwrap();
        assert_eq!(reduce(Max, false, empty.clone(), &[0]).unwrap().to_i64s(), [i64::from(i32::MIN)]);
        assert_eq!(reduce(Mean, false, empty, &[0]).unwrap().to_i64s(), [0]);
        for axes in [&[2][..], &[-3], &[0, 0], &[0, -2], &[i64::MIN]] {
            assert!(reduce(Sum, false, x.clone(), axes).is_err(), "{axes:?}");
        }
        assert!(reduce(LogicalAnd, false, x.clone(), &[0]).is_err());
        assert!(run(&Reduce::new(Sum), &[x.clone(), ramp(&[1])]).is_err());
        let vast = Tensor::new(ElementType::F32, vec![1 << 62, 0], Default::default()).unwrap();
        assert!(Reduce::new(Sum).evaluate(&[vast, Tensor::from_i64s(&[1])]).is_err());
    }

    #[test]
    fn unknown_axes_leave_the_rank() {
        let keep = Reduce { kind: ReduceKind::Mean, keep_dims: true };
        let drop = Reduce::new(ReduceKind::Mean);
        assert_eq!(infer_types(&keep, &["f32[?,3,1]", "i64[2]"]).unwrap(), ["f32[?,1..3,1]"]);
        assert_eq!(infer_types(&drop, &["f32[?,3,1]", "i64[2]"]).unwrap(), ["f32[?]"]);
        assert_eq!(infer_types(&drop, &["f32[?,3,1]", "i64[]"]).unwrap(), ["f32[?,?]"]);
        assert_eq!(infer_types(&drop, &["f32[?,3,1]", "i64[?]"]).unwrap(), ["f32[...]"]);
        assert!(infer_types(&drop, &["f32[3]", "i64[2]"]).is_err());
        assert!(infer_types(&drop, &["f32[3]", "f32[1]"]).is_err());
        let axes = ("i32[2]", Some(Tensor::from_slice(&[2], &[-1i32, 1]).unwrap()));
        assert_eq!(infer(&drop, &[("f32[?,3,8,4]", None), axes.clone()]).unwrap(), ["f32[?,8]"]);
        assert_eq!(infer(&keep, &[("f32[?,3,8,4]", None), axes.clone()]).unwrap(), ["f32[?,1,8,1]"]);
        assert_eq!(infer(&keep, &[("f32[...]", None), axes]).unwrap(), ["f32[...]"]);
    }

    #[test]
    fn bounds_of_values_are_followed() {
        let dims = ["?", "3", "2..4"].map(|dim| dim.parse::<PartialShape>().unwrap().dims().unwrap()[0]);
        let value = Value::Bounded { shape: vec![3], elements: dims.to_vec() };
        let axes = Value::Known(Tensor::from_i64s(&[0]));
        let ty = PortType::new(ElementType::I64, PartialShape::fixed(&[3]));
        let inputs = [Input { ty: &ty, value: Some(&value) }, Input { ty: &ty, value: Some(&axes) }];
        for (kind, want) in [(ReduceKind::Sum, "5.."), (ReduceKind::Prod, "?"), (ReduceKind::Min, "0..3")] {
            let found = Reduce::new(kind).infer_values(&Inputs(&inputs)).unwrap().remove(0).unwrap();
            assert_eq!(found.intervals().unwrap()[0].to_string(), want, "{kind:?}");
        }
    }
}
