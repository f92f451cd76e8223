//! Activations with parameters.

use super::{
    AutoBroadcast, Inputs, OpError, Operator, PortType,
    binary::{broadcast_strides, walk},
    erf, expect_inputs,
    unary::map_floats,
};
use crate::{
    Tensor,
    attribute::{Visit, Visitor, text_enum},
};
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

text_enum! {
    /// Where halves go.
    RoundMode {
        /// To the even neighbour.
        HalfToEven = "half_to_even",
        /// Away from zero.
        HalfAwayFromZero = "half_away_from_zero",
    }
}

text_enum! {
    /// By which formula.
    GeluApproximation {
        /// With the error function.
        Erf = "ERF" | "erf",
        /// With the hyperbolic tangent.
        Tanh = "TANH" | "tanh",
    }
}

/// To the nearest integer.
#[derive(Clone, PartialEq, Debug)]
pub struct Round {
    /// Where halves go.
    pub mode: RoundMode,
}

impl Default for Round {
    fn default() -> Self {
        Self { mode: RoundMode::HalfToEven }
    }
}

impl Visit for Round {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.optional("mode", &mut self.mode);
    }
}

impl Operator for Round {
    fn type_name(&self) -> &str {
        "Round"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        same_as_data(inputs, 1..=1)
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 1..=1)?;
        if !inputs[0].element_type().is_float() {
            return Ok(inputs.to_vec());
        }
        let y = map_floats(&inputs[0], |x| match self.mode {
            RoundMode::HalfToEven => x.round_ties_even(),
            RoundMode::HalfAwayFromZero => x.round(),
        })?;
        Ok(vec![y])
    }
}

/// `x` above 0, else `alpha * (exp(x) - 1)`.
#[derive(Clone, PartialEq, Debug)]
pub struct Elu {
    /// The scale below 0.
    pub alpha: f64,
}

impl Default for Elu {
    fn default() -> Self {
        Self { alpha: 1.0 }
    }
}

impl Visit for Elu {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("alpha", &mut self.alpha);
    }
}

impl Operator for Elu {
    fn type_name(&self) -> &str {
        "Elu"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        same_as_data(inputs, 1..=1)
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 1..=1)?;
        Ok(vec![map_floats(&inputs[0], |x| if x < 0.0 { self.alpha * x.exp_m1() } else { x })?])
    }
}

/// `lambda * (x above 0, else alpha * (exp(x) - 1))`. Inputs: data, alpha, lambda.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Selu;

impl Visit for Selu {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}

impl Operator for Selu {
    fn type_name(&self) -> &str {
        "Selu"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        same_as_data(inputs, 3..=3)
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 3..=3)?;
        let (alpha, lambda) = (number(inputs, 1)?, number(inputs, 2)?);
        Ok(vec![map_floats(&inputs[0], |x| lambda * if x > 0.0 { x } else { alpha * x.exp_m1() })?])
    }
}

/// `min(max(x, min), max)`.
#[derive(Clone, PartialEq, Debug)]
pub struct Clamp {
    /// The least value.
    pub min: f64,
    /// The greatest value.
    pub max: f64,
}

impl Default for Clamp {
    fn default() -> Self {
        Self { min: 0.0, max: 1.0 }
    }
}

impl Visit for Clamp {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("min", &mut self.min);
        v.required("max", &mut self.max);
    }
}

impl Clamp {
    fn check(&self) -> Result<(), OpError> {
        if self.min <= self.max {
            return Ok(());
        }
        Err(OpError::attribute(format!(
            "`min` is {} and `max` is {}; `min` must not be larger",
            self.min, self.max
        )))
    }
}

impl Operator for Clamp {
    fn type_name(&self) -> &str {
        "Clamp"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        self.check()?;
        same_as_data(inputs, 1..=1)
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 1..=1)?;
        let x = &inputs[0];
        self.check()?;
        if x.element_type().is_float() {
            // Not `clamp`, which would panic, nor `max`, which would turn NaN into a bound.
            let bound = |x| {
                if x < self.min {
                    self.min
                } else if x > self.max {
                    self.max
                } else {
                    x
                }
            };
            return Ok(vec![map_floats(x, bound)?]);
        }
        // Integers stay between the bounds: the lower rounds up, the upper down.
        let (min, max) = (self.min.ceil() as i64, self.max.floor() as i64);
        let y: Vec<i64> = x.to_i64s().into_iter().map(|v| v.max(min).min(max)).collect();
        Ok(vec![Tensor::from_i64_values(x.element_type(), x.shape(), &y)?])
    }
}

/// `x` above 0, else `slope * x`. Inputs: data, slope (one a channel, or broadcast).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PRelu;

impl Visit for PRelu {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}

impl Operator for PRelu {
    fn type_name(&self) -> &str {
        "PReLU"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(2..=2)?;
        let ty = inputs.same_element_type(0..2)?;
        let (data, slope) = (inputs.shape(0), inputs.shape(1));
        if let (Some(data), Some(slope)) = (data.sizes(), slope.sizes()) {
            slope_strides(&data, &slope)?;
        }
        Ok(vec![PortType::new(ty, data.clone())])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 2..=2)?;
        let (x, slope) = (&inputs[0], inputs[1].to_f64s());
        let strides = slope_strides(x.shape(), inputs[1].shape())?;
        let mut y = x.to_f64s();
        let mut next = y.iter_mut();
        walk(x.shape(), [&strides], |[at]| {
            if let Some(y) = next.next().filter(|y| **y < 0.0) {
                *y *= slope[at];
            }
        });
        Ok(vec![Tensor::from_f64s(x.element_type(), x.shape(), &y)?])
    }
}

/// `max(0, min(1, alpha * x + beta))`. Inputs: data, alpha, beta.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HardSigmoid;

impl Visit for HardSigmoid {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}

impl Operator for HardSigmoid {
    fn type_name(&self) -> &str {
        "HardSigmoid"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        same_as_data(inputs, 3..=3)
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 3..=3)?;
        let (alpha, beta) = (number(inputs, 1)?, number(inputs, 2)?);
        Ok(vec![map_floats(&inputs[0], |x| (alpha * x + beta).clamp(0.0, 1.0))?])
    }
}

/// `x * sigmoid(beta * x)`. Inputs: data, optionally beta (1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Swish;

impl Visit for Swish {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}

impl Operator for Swish {
    fn type_name(&self) -> &str {
        "Swish"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        same_as_data(inputs, 1..=2)
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 1..=2)?;
        let beta = if inputs.len() > 1 { number(inputs, 1)? } else { 1.0 };
        Ok(vec![map_floats(&inputs[0], |x| x / (1.0 + (-beta * x).exp()))?])
    }
}

/// `x` times the normal distribution function of `x`.
#[derive(Clone, PartialEq, Debug)]
pub struct Gelu {
    /// By which formula.
    pub approximation_mode: GeluApproximation,
}

impl Default for Gelu {
    fn default() -> Self {
        Self { approximation_mode: GeluApproximation::Erf }
    }
}

impl Visit for Gelu {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.optional("approximation_mode", &mut self.approximation_mode);
    }
}

impl Operator for Gelu {
    fn type_name(&self) -> &str {
        "Gelu"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        same_as_data(inputs, 1..=1)
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 1..=1)?;
        let y = map_floats(&inputs[0], |x| match self.approximation_mode {
            GeluApproximation::Erf => x / 2.0 * (1.0 + erf(x * FRAC_1_SQRT_2)),
            GeluApproximation::Tanh => {
                x / 2.0 * (1.0 + ((x + 0.044715 * x * x * x) * FRAC_2_SQRT_PI * FRAC_1_SQRT_2).tanh())
            }
        })?;
        Ok(vec![y])
    }
}

/// The type of input 0; the others are numbers of that type.
fn same_as_data(inputs: &Inputs, counts: std::ops::RangeInclusive<usize>) -> Result<Vec<PortType>, OpError> {
    inputs.expect(counts)?;
    let ty = inputs.same_element_type(0..inputs.len())?;
    for i in 1..inputs.len() {
        if inputs.shape(i).sizes().is_some_and(|sizes| sizes.iter().any(|size| *size != 1)) {
            return Err(OpError::shape(format!("input {i} is {}, expected one number", inputs.shape(i))));
        }
    }
    Ok(vec![PortType::new(ty, inputs.shape(0).clone())])
}

/// The only element of input `i`.
fn number(inputs: &[Tensor], i: usize) -> Result<f64, OpError> {
    match inputs[i].to_f64s()[..] {
        [value] => Ok(value),
        _ => Err(OpError::shape(format!("input {i} is {:?}, expected one number", inputs[i]))),
    }
}

/// The element strides of a PReLU's slope in the data: a vector as long as there are channels lies along
/// dimension 1, anything else broadcasts.
fn slope_strides(data: &[usize], slope: &[usize]) -> Result<Vec<usize>, OpError> {
    let channel = usize::from(data.len() > 1);
    if slope.len() == 1 && data.get(channel) == Some(&slope[0]) {
        let mut strides = vec![0; data.len()];
        strides[channel] = 1;
        return Ok(strides);
    }
    let (common, [_, strides]) = broadcast_strides(AutoBroadcast::Numpy, [data, slope])?;
    if common != data {
        return Err(OpError::shape(format!("the slope {slope:?} does not broadcast to the data {data:?}")));
    }
    Ok(strides)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::testing::{assert_close, floats, infer_types, ramp, run};

    #[test]
    fn curves() {
        // TensorFlow 2.15 in f64: tf.nn.elu, selu, gelu, silu; numpy.round.
        let x = floats(&[5], &[-2.5, -0.5, 0.0, 0.5, 2.5]);
        let scalar = Tensor::scalar::<f32>;
        let elu = [-0.917915001, -0.393469340, 0.0, 0.5, 2.5];
        let half: Vec<f64> = elu.iter().map(|y| if *y < 0.0 { y / 2.0 } else { *y }).collect();
        let selu = [-1.613_785_76, -0.691_758_19, 0.0, 0.525_350_49, 2.626_752_47];
        let cases: &[(&dyn Operator, Vec<Tensor>, &[f64])] = &[
            (&Elu { alpha: 1.0 }, vec![], &elu),
            (&Elu { alpha: 0.5 }, vec![], &half),
            (&Selu, vec![scalar(1.673_263_2), scalar(1.050_701)], &selu),
            (&Clamp { min: -1.0, max: 0.5 }, vec![], &[-1.0, -0.5, 0.0, 0.5, 0.5]),
            (&HardSigmoid, vec![scalar(0.25), scalar(0.5)], &[0.0, 0.375, 0.5, 0.625, 1.0]),
            (&Swish, vec![], &[-0.189_645_48, -0.188_770_33, 0.0, 0.311_229_67, 2.310_354_5]),
            (&Swish, vec![scalar(2.0)], &[-0.016_732_127, -0.134_470_71, 0.0, 0.365_529_3, 2.483_267_9]),
            (&Gelu::default(), vec![], &[-0.015_524_16, -0.154_268_77, 0.0, 0.345_731_23, 2.484_475_8]),
            (
                &Gelu { approximation_mode: GeluApproximation::Tanh },
                vec![],
                &[-0.015_084_27, -0.154_285_99, 0.0, 0.345_714, 2.484_915_7],
            ),
            (&Round::default(), vec![], &[-2.0, 0.0, 0.0, 0.0, 2.0]),
            (&Round { mode: RoundMode::HalfAwayFromZero }, vec![], &[-3.0, -1.0, 0.0, 1.0, 3.0]),
        ];
        for (op, parameters, want) in cases {
            let inputs: Vec<Tensor> = [x.clone()].into_iter().chain(parameters.iter().cloned()).collect();
            assert_close(&run(*op, &inputs).unwrap()[0], &[5], want, op.type_name());
        }
    }

    #[test]
    fn large_arguments_stay_finite() {
        let x = floats(&[3], &[-1e30, -200.0, 1e30]);
        for op in [&Swish as &dyn Operator, &Gelu::default(), &Elu::default()] {
            let y = run(op, std::slice::from_ref(&x)).unwrap()[0].to_f64s();
            assert!(y.iter().all(|y| y.is_finite()), "{}: {y:?}", op.type_name());
            assert_eq!(y[2] as f32, 1e30, "{}", op.type_name());
        }
    }

    #[test]
    fn integers_are_clamped_as_integers() {
        let x = Tensor::from_i64s(&[i64::MIN, -3, 0, 5, i64::MAX]);
        let y = run(&Clamp { min: -2.5, max: 3.5 }, std::slice::from_ref(&x)).unwrap();
        assert_eq!(y[0].to_i64s(), [-2, -2, 0, 3, 3]);
        assert_eq!(run(&Round::default(), std::slice::from_ref(&x)).unwrap()[0], x);
        for (min, max) in [(1.0, 0.0), (f64::NAN, 1.0)] {
            assert!(run(&Clamp { min, max }, std::slice::from_ref(&x)).is_err());
        }
        let nan = run(&Clamp { min: 0.0, max: 1.0 }, &[floats(&[1], &[f32::NAN])]).unwrap();
        assert!(nan[0].to_f64s()[0].is_nan());
    }

    #[test]
    fn slopes_lie_along_the_channels_or_broadcast() {
        let x = floats(&[1, 2, 2], &[-1.0; 4]);
        for (slope, want) in [
            (floats(&[2], &[2.0, 3.0]), [-2.0, -2.0, -3.0, -3.0]),
            (floats(&[1], &[2.0]), [-2.0; 4]),
            (floats(&[], &[2.0]), [-2.0; 4]),
            (floats(&[2, 1], &[2.0, 3.0]), [-2.0, -2.0, -3.0, -3.0]),
            (floats(&[1, 2], &[2.0, 3.0]), [-2.0, -3.0, -2.0, -3.0]),
        ] {
            assert_close(&run(&PRelu, &[x.clone(), slope.clone()]).unwrap()[0], &[1, 2, 2], &want, slope);
        }
        // A vector that doesn't fit the channels lies along the last dimension.
        let y = run(&PRelu, &[floats(&[1, 1, 2], &[-1.0, -1.0]), floats(&[2], &[2.0, 3.0])]).unwrap();
        assert_close(&y[0], &[1, 1, 2], &[-2.0, -3.0], "last");
        assert!(run(&PRelu, &[ramp(&[1, 2, 2]), ramp(&[3])]).is_err());
        assert!(run(&PRelu, &[ramp(&[2]), ramp(&[2, 2])]).is_err());
        assert_eq!(infer_types(&PRelu, &["f32[?,3,?]", "f32[3]"]).unwrap(), ["f32[?,3,?]"]);
    }

    #[test]
    fn parameters_are_single_numbers_of_the_same_type() {
        assert!(run(&Selu, &[ramp(&[2]), ramp(&[2]), ramp(&[])]).is_err());
        assert!(run(&HardSigmoid, &[ramp(&[2]), ramp(&[])]).is_err());
        assert_eq!(infer_types(&Swish, &["f32[...]", "f32[...]"]).unwrap(), ["f32[...]"]);
        assert!(infer_types(&Swish, &["f32[2]", "f16[]"]).is_err());
    }
}
