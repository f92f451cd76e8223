//! Matrix products.

use crate::scope::{Converted, Scope, refuse};
use ir::op::MatMul;

/// A product whose operands may be transposed, as the named attributes say.
pub(super) fn matmul(s: &mut Scope, first: &'static str, second: &'static str) -> Converted {
    s.ignore(&["grad_a", "grad_b", "grad_x", "grad_y"]);
    let inputs: [_; 2] = s.exactly()?;
    let (transpose_a, transpose_b) = (s.bool(first, false)?, s.bool(second, false)?);
    let ty = s.element_type(inputs[0]);
    if s.dtype("Tout", ty)? != ty || s.element_type(inputs[1]) != ty {
        return refuse("a product of other types than its operands");
    }
    s.one(MatMul { transpose_a, transpose_b }, &inputs)
}
