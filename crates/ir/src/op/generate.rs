//! Tensors made from a few numbers.

use super::Operator;
use crate::{
    ElementType,
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
}
