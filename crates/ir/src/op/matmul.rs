//! Matrix products.

use super::Operator;
use crate::attribute::{Visit, Visitor};

/// Matrix product of the two innermost dimensions, the outer ones broadcast.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct MatMul {
    /// Transpose the first operand.
    pub transpose_a: bool,
    /// Transpose the second operand.
    pub transpose_b: bool,
}

impl Visit for MatMul {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.optional("transpose_a", &mut self.transpose_a);
        v.optional("transpose_b", &mut self.transpose_b);
    }
}

impl Operator for MatMul {
    fn type_name(&self) -> &str {
        "MatMul"
    }
}
