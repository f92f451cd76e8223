//! Shapes, and the same elements under other shapes.

use super::INT32;
use crate::scope::{Converted, Problem, Scope};
use ir::{
    ElementType, Port, Tensor,
    op::{Reduce, ReduceKind, Reshape, ShapeOf, Squeeze, Unsqueeze},
};

pub(super) fn reshape(s: &mut Scope) -> Converted {
    let inputs: [_; 2] = s.exactly()?;
    s.one(Reshape { special_zero: false }, &inputs)
}

pub(super) fn squeeze(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let axes = match s.ints("squeeze_dims")? {
        [] => s.ints("axis")?,
        given => given,
    };
    if !axes.is_empty() {
        let axes = s.i64s("axes", axes);
        return s.one(Squeeze, &[data, axes]);
    }
    match s.sizes(data) {
        Some(sizes) => {
            let axes: Vec<i64> =
                (0..).zip(sizes).filter(|(_, size)| *size == 1).map(|(axis, _)| axis).collect();
            if axes.is_empty() {
                return Ok(vec![data]);
            }
            let axes = s.i64s("axes", &axes);
            s.one(Squeeze, &[data, axes])
        }
        None => s.one(Squeeze, &[data]),
    }
}

pub(super) fn expand_dims(s: &mut Scope) -> Converted {
    let [data, _] = s.exactly()?;
    let axis = s.integer(1)?;
    let axes = s.i64s("axes", &[axis]);
    s.one(Unsqueeze, &[data, axes])
}

/// Only the types that a shape can have.
fn output_type(s: &mut Scope) -> Result<ElementType, Problem> {
    s.dtype("out_type", INT32)
}

pub(super) fn shape(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let output_type = output_type(s)?;
    s.one(ShapeOf { output_type }, &[data])
}

pub(super) fn shapes(s: &mut Scope) -> Converted {
    s.ignore(&["N"]);
    let output_type = output_type(s)?;
    let inputs = s.inputs.clone();
    inputs.into_iter().map(|data| s.emit(ShapeOf { output_type }, &[data])).collect()
}

pub(super) fn size(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let output_type = output_type(s)?;
    let shape = s.add("shape", ShapeOf { output_type }, &[data])?;
    let axes = s.i64s("axes", &[0]);
    s.one(Reduce::new(ReduceKind::Prod), &[shape, axes])
}

pub(super) fn rank(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    if let Some(rank) = s.ty(data).shape.rank() {
        return s.one(ir::op::Constant::new(Tensor::scalar(rank as i32)), &[]);
    }
    let shape = s.add("shape", ShapeOf { output_type: INT32 }, &[data])?;
    let length = s.add("length", ShapeOf { output_type: INT32 }, &[shape])?;
    let axes = s.i64s("axes", &[0]);
    s.one(Squeeze, &[length, axes])
}

/// `port` with dimensions of size 1 at `axes`.
pub(super) fn unsqueezed(s: &mut Scope, suffix: &str, port: Port, axes: &[i64]) -> Result<Port, Problem> {
    if axes.is_empty() {
        return Ok(port);
    }
    let axes = s.i64s(&format!("{suffix}/axes"), axes);
    s.add(suffix, Unsqueeze, &[port, axes])
}
