//! Shapes, and the same elements under other shapes.

use super::Operator;
use crate::{
    ElementType,
    attribute::{Visit, Visitor},
};

/// The shape of the input as a vector.
#[derive(Clone, PartialEq, Debug)]
pub struct ShapeOf {
    /// Type of the vector: i64 or i32.
    pub output_type: ElementType,
}

impl Default for ShapeOf {
    fn default() -> Self {
        Self { output_type: ElementType::I64 }
    }
}

impl Visit for ShapeOf {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.optional("output_type", &mut self.output_type);
    }
}

impl Operator for ShapeOf {
    fn type_name(&self) -> &str {
        "ShapeOf"
    }
}

/// The same elements under another shape. Inputs: data, pattern, where -1 stands for what is left.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Reshape {
    /// A 0 in the pattern keeps the input's dimension.
    pub special_zero: bool,
}

impl Visit for Reshape {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("special_zero", &mut self.special_zero);
    }
}

impl Operator for Reshape {
    fn type_name(&self) -> &str {
        "Reshape"
    }
}

/// Drops dimensions of size 1. Inputs: data, optionally axes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Squeeze;

impl Visit for Squeeze {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}

impl Operator for Squeeze {
    fn type_name(&self) -> &str {
        "Squeeze"
    }
}

/// Inserts dimensions of size 1. Inputs: data, axes of the output.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Unsqueeze;

impl Visit for Unsqueeze {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}

impl Operator for Unsqueeze {
    fn type_name(&self) -> &str {
        "Unsqueeze"
    }
}
