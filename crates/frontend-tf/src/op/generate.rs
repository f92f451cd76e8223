//! Tensors made from a few numbers.

use crate::scope::{Converted, Scope};
use ir::{
    ElementType, Port,
    op::{Broadcast, OneHot, Range, ShapeOf},
};

/// Shape, value.
pub(super) fn fill(s: &mut Scope) -> Converted {
    let [shape, value] = s.exactly()?;
    s.one(Broadcast::default(), &[value, shape])
}

/// Data, shape.
pub(super) fn broadcast_to(s: &mut Scope) -> Converted {
    let inputs: [_; 2] = s.exactly()?;
    s.one(Broadcast::default(), &inputs)
}

/// One value in the shape of the input.
pub(super) fn like(s: &mut Scope, value: f64) -> Converted {
    let [data] = s.exactly()?;
    let value = s.scalar("value", s.element_type(data), value)?;
    let shape: Port = match s.sizes(data) {
        Some(sizes) => s.i64s("shape", &sizes.into_iter().map(|size| size as i64).collect::<Vec<_>>()),
        None => s.add("shape", ShapeOf { output_type: ElementType::I64 }, &[data])?,
    };
    s.one(Broadcast::default(), &[value, shape])
}

/// Start, limit, step.
pub(super) fn range(s: &mut Scope) -> Converted {
    let inputs: [_; 3] = s.exactly()?;
    let output_type = s.element_type(inputs[0]);
    s.one(Range { output_type }, &inputs)
}

/// Indices, depth, on value, off value.
pub(super) fn one_hot(s: &mut Scope) -> Converted {
    let inputs: [_; 4] = s.exactly()?;
    let axis = s.int("axis", -1)?;
    s.one(OneHot { axis }, &inputs)
}
