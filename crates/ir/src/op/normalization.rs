//! Normalisation.

use super::Operator;
use crate::attribute::{Visit, Visitor, text_enum};

text_enum! {
    /// Where epsilon is added to a variance.
    MvnEpsMode {
        /// `sqrt(variance + eps)`.
        InsideSqrt = "inside_sqrt" | "INSIDE_SQRT",
        /// `sqrt(variance) + eps`.
        OutsideSqrt = "outside_sqrt" | "OUTSIDE_SQRT",
    }
}

text_enum! {
    /// How epsilon guards a sum of squares.
    NormEpsMode {
        /// `sqrt(sum + eps)`.
        Add = "add",
        /// `sqrt(max(sum, eps))`.
        Max = "max",
    }
}

/// Local response normalisation: `x / (bias + alpha / size^axes * sum of squares)^beta`. Inputs: data, axes.
#[derive(Clone, PartialEq, Debug)]
pub struct Lrn {
    /// Weight of the sum of squares.
    pub alpha: f64,
    /// The exponent.
    pub beta: f64,
    /// Added to the sum.
    pub bias: f64,
    /// Width of the window.
    pub size: usize,
}

impl Default for Lrn {
    fn default() -> Self {
        Self { alpha: 1e-4, beta: 0.75, bias: 1.0, size: 5 }
    }
}

impl Visit for Lrn {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("alpha", &mut self.alpha);
        v.required("beta", &mut self.beta);
        v.required("bias", &mut self.bias);
        v.required("size", &mut self.size);
    }
}

impl Operator for Lrn {
    fn type_name(&self) -> &str {
        "LRN"
    }
}

/// Subtracts the mean over the axes and divides by the deviation. Inputs: data, axes.
#[derive(Clone, PartialEq, Debug)]
pub struct Mvn {
    /// Guards the division.
    pub eps: f64,
    /// Divide by the deviation.
    pub normalize_variance: bool,
    /// Where `eps` goes.
    pub eps_mode: MvnEpsMode,
}

impl Default for Mvn {
    fn default() -> Self {
        Self { eps: 1e-6, normalize_variance: true, eps_mode: MvnEpsMode::InsideSqrt }
    }
}

impl Visit for Mvn {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("eps", &mut self.eps);
        v.required("normalize_variance", &mut self.normalize_variance);
        v.required("eps_mode", &mut self.eps_mode);
    }
}

impl Operator for Mvn {
    fn type_name(&self) -> &str {
        "MVN"
    }
}

/// Mean-variance normalisation of opset2. Input [N,C,spatial..].
#[derive(Clone, PartialEq, Debug)]
pub struct MvnSpatial {
    /// Take the channels into the mean.
    pub across_channels: bool,
    /// Divide by the deviation.
    pub normalize_variance: bool,
    /// Guards the division.
    pub eps: f64,
}

impl Default for MvnSpatial {
    fn default() -> Self {
        Self { across_channels: false, normalize_variance: true, eps: 1e-9 }
    }
}

impl Visit for MvnSpatial {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.optional("across_channels", &mut self.across_channels);
        v.optional("normalize_variance", &mut self.normalize_variance);
        v.required("eps", &mut self.eps);
    }
}

impl Operator for MvnSpatial {
    fn type_name(&self) -> &str {
        "MVN"
    }
}

/// Divides by the Euclidean norm over the axes. Inputs: data, axes.
#[derive(Clone, PartialEq, Debug)]
pub struct NormalizeL2 {
    /// Guards the division.
    pub eps: f64,
    /// How it does.
    pub eps_mode: NormEpsMode,
}

impl Default for NormalizeL2 {
    fn default() -> Self {
        Self { eps: 1e-12, eps_mode: NormEpsMode::Add }
    }
}

impl Visit for NormalizeL2 {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("eps", &mut self.eps);
        v.required("eps_mode", &mut self.eps_mode);
    }
}

impl Operator for NormalizeL2 {
    fn type_name(&self) -> &str {
        "NormalizeL2"
    }
}

/// `gamma * (x - mean) / sqrt(variance + epsilon) + beta` per channel (dimension 1).
#[derive(Clone, PartialEq, Debug)]
pub struct BatchNormInference {
    /// Guards the division.
    pub epsilon: f64,
    /// The input that holds the data: 0 since opset5 (data, gamma, beta, mean, variance), 2 before (gamma, beta, data, mean, variance).
    pub data_input: usize,
}

impl Default for BatchNormInference {
    fn default() -> Self {
        Self { epsilon: 0.0, data_input: 0 }
    }
}

impl Visit for BatchNormInference {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("epsilon", &mut self.epsilon);
    }
}

impl Operator for BatchNormInference {
    fn type_name(&self) -> &str {
        "BatchNormInference"
    }
}
