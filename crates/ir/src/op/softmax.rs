//! Softmax and its logarithm.

use super::{Inputs, OpError, Operator, PortType, axes, expect_inputs, floats::Lines};
use crate::{
    Tensor,
    attribute::{Visit, Visitor},
};

/// `exp(x - max) / sum` along an axis.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Softmax {
    /// The axis; negative counts from the end.
    pub axis: i64,
}

impl Visit for Softmax {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.optional("axis", &mut self.axis);
    }
}

impl Operator for Softmax {
    fn type_name(&self) -> &str {
        "SoftMax"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        infer(self.axis, inputs)
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        evaluate(self.axis, inputs, |x, max, sum| (x - max).exp() / sum)
    }
}

/// `x - max - log(sum exp)` along an axis.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct LogSoftmax {
    /// The axis; negative counts from the end.
    pub axis: i64,
}

impl Visit for LogSoftmax {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.optional("axis", &mut self.axis);
    }
}

impl Operator for LogSoftmax {
    fn type_name(&self) -> &str {
        "LogSoftmax"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        infer(self.axis, inputs)
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        evaluate(self.axis, inputs, |x, max, sum| x - max - sum.ln())
    }
}

fn infer(axis: i64, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
    inputs.expect(1..=1)?;
    if let Some(rank) = inputs.shape(0).rank() {
        axes::axis(axis, rank)?;
    }
    Ok(vec![inputs.0[0].ty.clone()])
}

/// `f` of every element, the maximum along the axis, and the sum of `exp(x - maximum)` along it.
fn evaluate(axis: i64, inputs: &[Tensor], f: impl Fn(f64, f64, f64) -> f64) -> Result<Vec<Tensor>, OpError> {
    expect_inputs(inputs.len(), 1..=1)?;
    let x = &inputs[0];
    let lines = Lines::new(x.shape(), axes::axis(axis, x.shape().len())?);
    let mut y = x.to_f64s();
    for start in lines.starts() {
        let line = (0..lines.len).map(|i| start + i * lines.step);
        let max = line.clone().fold(f64::NEG_INFINITY, |max, i| max.max(y[i]));
        let sum: f64 = line.clone().map(|i| (y[i] - max).exp()).sum();
        line.for_each(|i| y[i] = f(y[i], max, sum));
    }
    Ok(vec![Tensor::from_f64s(x.element_type(), x.shape(), &y)?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::testing::{assert_close, floats, infer_types, run};

    #[test]
    fn lines_along_any_axis_sum_to_one() {
        // tf.nn.softmax and tf.nn.log_softmax of [[0,1,2],[3,5,1000]].
        let x = floats(&[2, 3], &[0.0, 1.0, 2.0, 3.0, 5.0, 1000.0]);
        let rows = [0.09003057, 0.24472848, 0.66524094, 0.0, 0.0, 1.0];
        let columns = [0.04742587, 0.01798621, 0.0, 0.95257413, 0.98201376, 1.0];
        for (axis, want) in [(1, rows), (-1, rows), (-2, columns)] {
            assert_close(&run(&Softmax { axis }, std::slice::from_ref(&x)).unwrap()[0], &[2, 3], &want, axis);
        }
        let want = [-2.4076059, -1.4076059, -0.40760596, -997.0, -995.0, 0.0];
        assert_close(&run(&LogSoftmax { axis: 1 }, &[x]).unwrap()[0], &[2, 3], &want, "log");
    }

    #[test]
    fn edges() {
        let one = Softmax { axis: 0 }.evaluate(&[Tensor::from_slice(&[1], &[-7.5f32]).unwrap()]).unwrap();
        assert_eq!(one[0].to_f64s(), [1.0]);
        let empty = Tensor::from_slice::<f32>(&[2, 0, 3], &[]).unwrap();
        assert_eq!(Softmax { axis: 0 }.evaluate(&[empty]).unwrap()[0].shape(), [2, 0, 3]);
        assert!(Softmax { axis: 0 }.evaluate(&[Tensor::scalar(1.0f32)]).is_err());
        for (shape, axis, fits) in [("[?,3]", -2, true), ("[?,3]", 2, false), ("[...]", 7, true)] {
            let found = infer_types(&Softmax { axis }, &[&format!("f32{shape}")]);
            assert_eq!(found.is_ok(), fits, "{shape} {axis}");
        }
    }
}
