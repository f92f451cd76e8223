//! Activations with parameters.

use super::Operator;
use crate::attribute::{Visit, Visitor, text_enum};

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

impl Operator for Clamp {
    fn type_name(&self) -> &str {
        "Clamp"
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
}
