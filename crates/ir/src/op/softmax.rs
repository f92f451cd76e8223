//! Softmax and its logarithm.

use super::Operator;
use crate::attribute::{Visit, Visitor};

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
}
