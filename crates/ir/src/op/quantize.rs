//! Quantisation.

use super::Operator;
use crate::attribute::{Visit, Visitor};

/// Rounds to one of `levels` values between ranges. Inputs: data, input low, input high, output low, output high.
#[derive(Clone, PartialEq, Debug)]
pub struct FakeQuantize {
    /// The number of values.
    pub levels: usize,
}

impl Default for FakeQuantize {
    fn default() -> Self {
        Self { levels: 256 }
    }
}

impl Visit for FakeQuantize {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("levels", &mut self.levels);
    }
}

impl Operator for FakeQuantize {
    fn type_name(&self) -> &str {
        "FakeQuantize"
    }
}
