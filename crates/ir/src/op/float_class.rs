//! Which elements are NaN, infinite, or finite.

use super::{Inputs, OpError, Operator, PortType, expect_inputs};
use crate::{
    ElementType, Tensor,
    attribute::{Visit, Visitor},
};

fn infer(inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
    inputs.expect(1..=1)?;
    let ty = inputs.element_type(0);
    if ty != ElementType::Dynamic && !ty.is_float() {
        return Err(OpError::element_type(format!("the input is {ty}, expected a floating-point type")));
    }
    Ok(vec![PortType::new(ElementType::Boolean, inputs.shape(0).clone())])
}

fn evaluate(inputs: &[Tensor], test: impl Fn(f64) -> bool) -> Result<Vec<Tensor>, OpError> {
    expect_inputs(inputs.len(), 1..=1)?;
    let y: Vec<i64> = inputs[0].to_f64s().into_iter().map(|v| i64::from(test(v))).collect();
    Ok(vec![Tensor::from_i64_values(ElementType::Boolean, inputs[0].shape(), &y)?])
}

/// True where the element is no number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct IsNan;

impl Visit for IsNan {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}

impl Operator for IsNan {
    fn type_name(&self) -> &str {
        "IsNaN"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        infer(inputs)
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        evaluate(inputs, f64::is_nan)
    }
}

/// True where the element is a number, and not infinite.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct IsFinite;

impl Visit for IsFinite {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}

impl Operator for IsFinite {
    fn type_name(&self) -> &str {
        "IsFinite"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        infer(inputs)
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        evaluate(inputs, f64::is_finite)
    }
}

/// True where the element is infinite.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IsInf {
    /// Minus infinity counts.
    pub detect_negative: bool,
    /// Plus infinity counts.
    pub detect_positive: bool,
}

impl Default for IsInf {
    fn default() -> Self {
        Self { detect_negative: true, detect_positive: true }
    }
}

impl Visit for IsInf {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.optional("detect_negative", &mut self.detect_negative);
        v.optional("detect_positive", &mut self.detect_positive);
    }
}

impl Operator for IsInf {
    fn type_name(&self) -> &str {
        "IsInf"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        infer(inputs)
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        evaluate(inputs, |v| {
            v.is_infinite() && if v > 0.0 { self.detect_positive } else { self.detect_negative }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::testing::{evaluated, floats, inferred};

    #[test]
    fn classes_of_floats() {
        let x = [floats(&[4], &[1.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN])];
        assert_eq!(evaluated(&IsNan, &x).unwrap().1, [0, 0, 0, 1]);
        assert_eq!(evaluated(&IsFinite, &x).unwrap().1, [1, 0, 0, 0]);
        assert_eq!(evaluated(&IsInf::default(), &x).unwrap().1, [0, 1, 1, 0]);
        let positive = IsInf { detect_negative: false, detect_positive: true };
        assert_eq!(evaluated(&positive, &x).unwrap().1, [0, 1, 0, 0]);
        assert_eq!(inferred(&IsNan, &["f16[?,2]".into()]).unwrap(), "boolean[?,2]");
        assert!(inferred(&IsNan, &["i64[2]".into()]).is_err());
    }
}
