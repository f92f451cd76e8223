//! Tensors made from a few numbers.

use super::{
    Inputs, OpError, Operator, PortType,
    axes::{axis, check_rank, integer, integers},
    elements::{allocate, bytewise, check_fits},
    output_shapes,
};
use crate::{
    Dim, ElementType, Interval, PartialShape, Tensor,
    attribute::{Visit, Visitor},
};

/// From start to stop by step. Inputs: start, stop, step.
#[derive(Clone, PartialEq, Debug)]
pub struct Range {
    /// Type of the output.
    pub output_type: ElementType,
}

impl Default for Range {
    fn default() -> Self {
        Self { output_type: ElementType::F32 }
    }
}

impl Visit for Range {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("output_type", &mut self.output_type);
    }
}

impl Operator for Range {
    fn type_name(&self) -> &str {
        "Range"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(3..=3)?;
        for i in 0..3 {
            if inputs.count(i).is_some_and(|count| count != 1) {
                return Err(OpError::shape(format!("input {i} is {}, expected a scalar", inputs.shape(i))));
            }
        }
        let floats = (0..3).any(|i| inputs.element_type(i).is_float());
        let length = match (floats, self.output_type) {
            (_, ElementType::Dynamic | ElementType::Boolean) => {
                return Err(OpError::attribute(format!(
                    "output_type is {}, expected a number",
                    self.output_type
                )));
            }
            (true, _) => match (inputs.tensor(0), inputs.tensor(1), inputs.tensor(2)) {
                (Some(start), Some(stop), Some(step)) => float_length(start, stop, step)?,
                _ => Dim::ANY_DIM,
            },
            (false, _) => {
                let bound = |i| match inputs.intervals(i).as_deref() {
                    Some([value]) => *value,
                    _ => Interval::UNKNOWN,
                };
                integer_length(bound(0), bound(1), bound(2))?
            }
        };
        Ok(vec![PortType::new(self.output_type, PartialShape::new([length]))])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shape = output_shapes(self, inputs)?.remove(0);
        check_fits(self.output_type, &shape)?;
        let count = shape[0];
        let y = if inputs.iter().any(|t| t.element_type().is_float()) {
            let [start, step] = [inputs[0].to_f64s()[0], inputs[2].to_f64s()[0]];
            let y: Vec<f64> = (0..count).map(|i| start + i as f64 * step).collect();
            Tensor::from_f64s(self.output_type, &shape, &y)?
        } else {
            let [start, step] = [integer(&inputs[0], "the start")?, integer(&inputs[2], "the step")?];
            let y: Vec<i64> = (0..count as i64).map(|i| start.wrapping_add(i.wrapping_mul(step))).collect();
            Tensor::from_i64_values(self.output_type, &shape, &y)?
        };
        Ok(vec![y])
    }
}

/// The number of values from `start` to before `stop`.
fn float_length(start: &Tensor, stop: &Tensor, step: &Tensor) -> Result<Dim, OpError> {
    let wide = [start, stop, step].iter().any(|t| t.element_type() == ElementType::F64);
    let [start, stop, step] = [start, stop, step].map(|t| t.to_f64s()[0]);
    if !(start.is_finite() && stop.is_finite() && step.is_finite()) || step == 0.0 {
        let message = format!("from {start} to {stop} by {step}: all must be finite, and the step not 0");
        return Err(OpError::value(message));
    }
    // In the inputs' precision, as the frameworks do: to 7.9 from 1.9 it is four steps of 1.5, in f64 a bit more.
    let steps =
        if wide { (stop - start) / step } else { f64::from((stop as f32 - start as f32) / step as f32) };
    // Beyond i64 the conversion saturates, and the size is refused as any that is too large.
    Ok(Dim::exactly(steps.ceil().max(0.0) as i64))
}

/// The same for integers, of which some may be known in part.
fn integer_length(start: Interval, stop: Interval, step: Interval) -> Result<Dim, OpError> {
    let Some(by) = step.value() else { return Ok(Dim::ANY_DIM) };
    if by == 0 {
        return Err(OpError::value("the step is 0"));
    }
    let way = if by > 0 { stop - start } else { start - stop };
    let by = by.saturating_abs();
    // Away from the stop nothing comes; an absent bound stays absent.
    let count = |way: i64| way.div_euclid(by) + i64::from(way.rem_euclid(by) != 0);
    Ok(way.as_dim().map_monotone(count))
}

/// A new axis on which one place is on. Inputs: indices, depth, on value, off value.
#[derive(Clone, PartialEq, Debug)]
pub struct OneHot {
    /// Where the new axis stands; negative counts from the end.
    pub axis: i64,
}

impl Default for OneHot {
    fn default() -> Self {
        Self { axis: -1 }
    }
}

impl Visit for OneHot {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("axis", &mut self.axis);
    }
}

impl Operator for OneHot {
    fn type_name(&self) -> &str {
        "OneHot"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(4..=4)?;
        let ty = inputs.same_element_type([2, 3])?;
        for i in 1..4 {
            if inputs.count(i).is_some_and(|count| count != 1) {
                return Err(OpError::shape(format!("input {i} is {}, expected a scalar", inputs.shape(i))));
            }
        }
        let depth = match inputs.intervals(1).as_deref() {
            Some([depth]) if depth.max() < 0 => {
                return Err(OpError::value(format!("the depth is {depth}")));
            }
            Some([depth]) => depth.as_dim(),
            _ => Dim::ANY_DIM,
        };
        let shape = match inputs.shape(0).dims() {
            None => PartialShape::UNKNOWN,
            Some(dims) => {
                let rank = check_rank(dims.len() + 1)?;
                let axis = axis(self.axis, rank)?;
                let mut dims = dims.to_vec();
                dims.insert(axis, depth);
                PartialShape::new(dims)
            }
        };
        Ok(vec![PortType::new(ty, shape)])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shape = output_shapes(self, inputs)?.remove(0);
        let indices = integers(&inputs[0], "the indices")?;
        let axis = axis(self.axis, shape.len())?;
        // One vector of both values, of which bytes are copied.
        let values = super::Concat { axis: 0 };
        let [on, off] = [2, 3].map(|i| inputs[i].reshaped(vec![1]));
        let values = values.evaluate(&[on?, off?])?.remove(0);
        let y = bytewise(&values, |values| {
            let ty = values.element_type();
            let size = ty.bits() / 8;
            let (on, off) = values.bytes().split_at(size);
            let mut out = allocate(ty, &shape)?;
            if !out.is_empty() {
                let inner: usize = shape[axis + 1..].iter().product();
                for (i, slot) in out.chunks_exact_mut(size).enumerate() {
                    let (outer, place) = (i / inner / shape[axis], i / inner % shape[axis]);
                    let index = indices[outer * inner + i % inner];
                    slot.copy_from_slice(if index == place as i64 { on } else { off });
                }
            }
            Ok(Tensor::from_aligned(ty, shape.clone(), out)?)
        });
        Ok(vec![y?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::testing::{Given, evaluated, i64s, inferred};

    fn range(ty: ElementType, bounds: [Tensor; 3]) -> Result<Vec<f64>, OpError> {
        Ok(Range { output_type: ty }.evaluate(&bounds)?.remove(0).to_f64s())
    }

    /// The floats are OpenVINO 2026.4's.
    #[test]
    fn ranges() {
        let of = |a: i64, b: i64, c: i64| range(ElementType::I64, [a, b, c].map(Tensor::scalar));
        assert_eq!(of(2, 9, 3).unwrap(), [2.0, 5.0, 8.0]);
        assert_eq!(of(2, 8, 3).unwrap(), [2.0, 5.0]);
        assert_eq!(of(3, -3, -2).unwrap(), [3.0, 1.0, -1.0]);
        assert!(of(3, 1, 1).unwrap().is_empty());
        assert_eq!(of(0, i64::MAX - 1, i64::MAX - 1).unwrap(), [0.0]);
        assert!(of(0, 3, 0).is_err());
        assert!(of(i64::MIN + 1, i64::MAX - 1, 1).is_err());
        assert!(of(0, 1 << 60, 1).is_err());
        let floats = |a: f32, b: f32, c: f32| range(ElementType::F32, [a, b, c].map(Tensor::scalar));
        let narrow = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
        assert_eq!(floats(0.0, 1.0, 0.1).unwrap().len(), 10);
        assert_eq!(floats(1.9, 7.9, 1.5).unwrap(), narrow(&[1.9, 3.4, 4.9, 6.4]));
        assert_eq!(floats(5.0, 1.0, -1.5).unwrap(), narrow(&[5.0, 3.5, 2.0]));
        assert!(floats(0.5, 0.5, 1.0).unwrap().is_empty());
        assert!(floats(0.0, 1.0, 0.0).is_err());
        assert!(floats(0.0, f32::NAN, 1.0).is_err());
        assert!(floats(0.0, 1e30, 1e-30).is_err());
        let infer = |stop: Given, step: i64| {
            inferred(&Range { output_type: ElementType::I32 }, &[1i64.into(), stop, step.into()])
        };
        assert_eq!(infer(7i64.into(), 2).unwrap(), "i32[3]");
        assert_eq!(infer("i64[]".into(), 2).unwrap(), "i32[?]");
        assert!(infer("i64[2]".into(), 2).is_err());
        assert_eq!(
            integer_length(Interval::exactly(0), Interval::new(-2, 9).unwrap(), Interval::exactly(2))
                .unwrap(),
            Interval::new(0, 5).unwrap()
        );
    }

    /// The numbers are OpenVINO 2026.4's.
    #[test]
    fn one_place_is_on() {
        let run = |axis, indices: Tensor, depth: i64| {
            evaluated(
                &OneHot { axis },
                &[indices, Tensor::scalar(depth), Tensor::scalar(7i64), Tensor::scalar(1i64)],
            )
        };
        let (shape, y) = run(-2, i64s(&[2, 2], &[0, -1, 3, 2]), 3).unwrap();
        assert_eq!((shape, y), (vec![2, 3, 2], vec![7, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 7]));
        assert_eq!(run(0, i64s(&[2], &[1, 0]), 2).unwrap(), (vec![2, 2], vec![1, 7, 7, 1]));
        assert_eq!(run(-1, i64s(&[], &[1]), 2).unwrap(), (vec![2], vec![1, 7]));
        assert_eq!(run(-1, i64s(&[2], &[0, 0]), 0).unwrap(), (vec![2, 0], vec![]));
        assert!(run(2, i64s(&[2], &[0, 0]), 2).is_err());
        assert!(run(0, i64s(&[2], &[0, 0]), -1).is_err());
        assert!(run(0, i64s(&[2], &[0, 0]), 1 << 60).is_err());
        let infer = |depth: Given| {
            inferred(&OneHot { axis: 1 }, &["i64[?,5]".into(), depth, "f32[]".into(), "f32[]".into()])
        };
        assert_eq!(infer(4i64.into()).unwrap(), "f32[?,4,5]");
        assert_eq!(infer("i64[]".into()).unwrap(), "f32[?,?,5]");
    }
}
