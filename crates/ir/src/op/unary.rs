//! Elementwise functions of one tensor without parameters.

use super::{Inputs, OpError, Operator, PortType, Value, expect_inputs};
use crate::{
    ElementType, Tensor,
    attribute::{Visit, Visitor},
};

/// An elementwise function.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)] // Each is the function of that name; the formulas stand in `apply`.
pub enum Unary {
    Abs,
    Acos,
    Acosh,
    Asin,
    Asinh,
    Atan,
    Atanh,
    Ceiling,
    Cos,
    Cosh,
    Erf,
    Exp,
    Floor,
    HSigmoid,
    HSwish,
    Log,
    LogicalNot,
    Mish,
    Negative,
    Relu,
    Sigmoid,
    Sign,
    Sin,
    Sinh,
    SoftPlus,
    SoftSign,
    Sqrt,
    Tan,
    Tanh,
}

impl Unary {
    /// The function on one number.
    pub fn apply(self, x: f64) -> f64 {
        match self {
            Self::Abs => x.abs(),
            Self::Acos => x.acos(),
            Self::Acosh => x.acosh(),
            Self::Asin => x.asin(),
            Self::Asinh => x.asinh(),
            Self::Atan => x.atan(),
            Self::Atanh => x.atanh(),
            Self::Ceiling => x.ceil(),
            Self::Cos => x.cos(),
            Self::Cosh => x.cosh(),
            Self::Erf => erf(x),
            Self::Exp => x.exp(),
            Self::Floor => x.floor(),
            Self::HSigmoid => (x + 3.0).clamp(0.0, 6.0) / 6.0,
            Self::HSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
            Self::Log => x.ln(),
            Self::LogicalNot => f64::from(u8::from(x == 0.0)),
            Self::Mish => x * softplus(x).tanh(),
            Self::Negative => -x,
            // Not `max`, which would turn NaN into 0.
            Self::Relu => {
                if x < 0.0 {
                    0.0
                } else {
                    x
                }
            }
            Self::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Self::Sign if x.is_nan() || x == 0.0 => x,
            Self::Sign => x.signum(),
            Self::Sin => x.sin(),
            Self::Sinh => x.sinh(),
            Self::SoftPlus => softplus(x),
            Self::SoftSign => x / (1.0 + x.abs()),
            Self::Sqrt => x.sqrt(),
            Self::Tan => x.tan(),
            Self::Tanh => x.tanh(),
        }
    }

    /// The function on one integer, where it does not leave the integers.
    fn apply_integer(self, x: i64) -> Option<i64> {
        Some(match self {
            Self::Abs => x.wrapping_abs(),
            Self::Ceiling | Self::Floor => x,
            Self::LogicalNot => i64::from(x == 0),
            Self::Negative => x.wrapping_neg(),
            Self::Relu => x.max(0),
            Self::Sign => x.signum(),
            _ => return None,
        })
    }
}

fn softplus(x: f64) -> f64 {
    // ln(1 + e^x) without overflow for large x and without loss for very negative x.
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// The error function by its Taylor series near 0 and the continued fraction of its complement further out
/// (Abramowitz and Stegun 7.1.6 and 7.1.14): below 1e-15 everywhere.
pub fn erf(x: f64) -> f64 {
    let a = x.abs();
    if x.is_nan() {
        return x;
    }
    let value = if a < 2.5 {
        let (mut term, mut sum, mut n) = (a, a, 0.0);
        while term > sum * 1e-17 {
            n += 1.0;
            term *= 2.0 * a * a / (2.0 * n + 1.0);
            sum += term;
        }
        sum * (-a * a).exp() * std::f64::consts::FRAC_2_SQRT_PI
    } else if a < 6.5 {
        let fraction = (1..=60).rev().fold(a, |tail, k| a + f64::from(k) / 2.0 / tail);
        1.0 - (-a * a).exp() / fraction * std::f64::consts::FRAC_2_SQRT_PI / 2.0
    } else {
        1.0
    };
    value.copysign(x)
}

impl Visit for Unary {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}

impl Operator for Unary {
    fn type_name(&self) -> &str {
        match self {
            Self::Abs => "Abs",
            Self::Acos => "Acos",
            Self::Acosh => "Acosh",
            Self::Asin => "Asin",
            Self::Asinh => "Asinh",
            Self::Atan => "Atan",
            Self::Atanh => "Atanh",
            Self::Ceiling => "Ceiling",
            Self::Cos => "Cos",
            Self::Cosh => "Cosh",
            Self::Erf => "Erf",
            Self::Exp => "Exp",
            Self::Floor => "Floor",
            Self::HSigmoid => "HSigmoid",
            Self::HSwish => "HSwish",
            Self::Log => "Log",
            Self::LogicalNot => "LogicalNot",
            Self::Mish => "Mish",
            Self::Negative => "Negative",
            Self::Relu => "ReLU",
            Self::Sigmoid => "Sigmoid",
            Self::Sign => "Sign",
            Self::Sin => "Sin",
            Self::Sinh => "Sinh",
            Self::SoftPlus => "SoftPlus",
            Self::SoftSign => "SoftSign",
            Self::Sqrt => "Sqrt",
            Self::Tan => "Tan",
            Self::Tanh => "Tanh",
        }
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(1..=1)?;
        Ok(vec![inputs.0[0].ty.clone()])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 1..=1)?;
        let x = &inputs[0];
        let ty = x.element_type();
        let integers = || x.to_i64s().into_iter().map(|v| self.apply_integer(v)).collect::<Option<Vec<_>>>();
        let y = match (ty.is_float(), if ty.is_float() { None } else { integers() }) {
            (false, Some(values)) => Tensor::from_i64_values(ty, x.shape(), &values)?,
            _ => map_floats(x, |v| self.apply(v))?,
        };
        Ok(vec![y])
    }

    fn infer_values(&self, inputs: &Inputs) -> Option<Vec<Option<Value>>> {
        if *self != Self::Negative || inputs.element_type(0) == ElementType::Boolean {
            return None;
        }
        let value = inputs.0[0].value?;
        let elements = value.intervals()?.into_iter().map(|v| -v).collect();
        Some(vec![Value::from_intervals(inputs.element_type(0), value.shape().to_vec(), elements)])
    }
}

/// Applies `f` to every element in f64 and rounds back to the tensor's own type.
pub(crate) fn map_floats(x: &Tensor, f: impl Fn(f64) -> f64) -> Result<Tensor, OpError> {
    let values: Vec<f64> = x.to_f64s().into_iter().map(f).collect();
    Ok(Tensor::from_f64s(x.element_type(), x.shape(), &values)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_meet_their_tables() {
        // Values from CPython's math module.
        for (op, x, want) in [
            (Unary::Erf, 0.5, 0.5204998778130465),
            (Unary::Erf, -1.0, -0.842_700_792_949_714_9),
            (Unary::Erf, 3.0, 0.999_977_909_503_001_4),
            (Unary::Mish, -2.0, -0.2525014826957089),
            (Unary::SoftPlus, -40.0, 4.248_354_255_291_589e-18),
            (Unary::SoftPlus, 800.0, 800.0),
            (Unary::HSwish, 1.0, 4.0 / 6.0),
            (Unary::Sigmoid, -1000.0, 0.0),
            (Unary::Sign, -0.3, -1.0),
        ] {
            let found = op.apply(x);
            assert!((found - want).abs() <= want.abs() * 2e-15, "{op:?}({x}) = {found:e}, expected {want:e}");
        }
    }

    #[test]
    fn integers_stay_integers_and_nan_stays_nan() {
        let x = Tensor::from_i64s(&[i64::MIN, -3, 0, 3]);
        let y = Unary::Abs.evaluate(&[x]).unwrap();
        assert_eq!(y[0].to_i64s(), [i64::MIN, 3, 0, 3]);
        assert!(Unary::Relu.apply(f64::NAN).is_nan());
        assert!(Unary::Erf.apply(f64::NAN).is_nan());
    }
}
