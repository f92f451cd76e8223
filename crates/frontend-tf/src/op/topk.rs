//! The largest or smallest along an axis.

use super::INT32;
use crate::scope::{Converted, Scope};
use ir::{
    ElementType, Tensor,
    op::{ShapeOf, Squeeze, TopK, TopKMode, TopKSort},
};

/// The position of the best: data, axis. Of equal elements the first.
pub(super) fn arg(s: &mut Scope, mode: TopKMode) -> Converted {
    let [data, _] = s.exactly()?;
    let axis = s.integer(1)?;
    let index_element_type = s.dtype("output_type", ElementType::I64)?;
    let one = s.constant("one", Tensor::scalar(1i64));
    let op = TopK { axis, mode, sort: TopKSort::Value, index_element_type, stable: true };
    let best = s.add("best", op, &[data, one])?;
    let axes = s.i64s("axes", &[axis]);
    s.one(Squeeze, &[best.node.output(1), axes])
}

/// The order that undoes an order: where each number stands.
pub(super) fn invert_permutation(s: &mut Scope) -> Converted {
    let [order] = s.exactly()?;
    let index_element_type = s.element_type(order);
    let shape = s.add("shape", ShapeOf { output_type: ElementType::I64 }, &[order])?;
    let first = s.i64s("first", &[0]);
    let length = s.add("length", Squeeze, &[shape, first])?;
    let op = TopK { axis: 0, mode: TopKMode::Min, sort: TopKSort::Value, index_element_type, stable: false };
    let sorted = s.add("sorted", op, &[order, length])?;
    Ok(vec![sorted.node.output(1)])
}

/// The `k` largest along the last axis and their positions; `k` is an input, or in the first version an attribute.
pub(super) fn top_k(s: &mut Scope) -> Converted {
    s.ignore(&["sorted"]);
    let data = s.input(0)?;
    let index_element_type = s.dtype("index_type", INT32)?;
    let k = match s.inputs.get(1) {
        Some(k) => *k,
        None => {
            let k = s.int("k", 0)?;
            s.constant("k", Tensor::scalar(k))
        }
    };
    let op = TopK { axis: -1, mode: TopKMode::Max, sort: TopKSort::Value, index_element_type, stable: true };
    let best = s.emit(op, &[data, k])?;
    Ok(vec![best, best.node.output(1)])
}
