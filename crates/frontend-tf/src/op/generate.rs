//! Tensors made from a few numbers.

use crate::scope::{Converted, Problem, Scope, malformed, refuse};
use ir::{
    ElementType, Port, Tensor,
    op::{Binary, BinaryKind, Broadcast, Concat, OneHot, Range, Select, ShapeOf},
    shape::MAX_RANK,
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

/// The shape that two shapes broadcast to.
pub(super) fn broadcast_shapes(s: &mut Scope) -> Converted {
    let [mut a, mut b] = s.exactly()?;
    let length = |s: &Scope, port| match s.sizes(port).as_deref() {
        Some(&[length]) if length <= MAX_RANK => Ok(length),
        _ => refuse("the rank of a shape is not known"),
    };
    let (of_a, of_b) = (length(s, a)?, length(s, b)?);
    let ty = s.element_type(a);
    // The shorter one has ones in front.
    for (port, missing) in [(&mut a, of_b.saturating_sub(of_a)), (&mut b, of_a.saturating_sub(of_b))] {
        if missing > 0 {
            let ones = Tensor::from_i64_values(ty, &[missing], &vec![1; missing]);
            let ones = ones.map_err(|e| Problem::Malformed(e.to_string()))?;
            let ones = s.constant("ones", ones);
            *port = s.add("long", Concat { axis: 0 }, &[ones, *port])?;
        }
    }
    let one = s.scalar("one", ty, 1.0)?;
    let gives_way = s.add("gives_way", Binary::new(BinaryKind::Equal), &[a, one])?;
    s.one(Select::default(), &[gives_way, b, a])
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

/// Start, stop, number of values.
pub(super) fn linspace(s: &mut Scope) -> Converted {
    let [start, stop, _] = s.exactly()?;
    let count = s.integer(2)?;
    let ty = s.element_type(start);
    if !(1..=1 << 24).contains(&count) {
        return malformed(format!("{count} values"));
    }
    let steps: Vec<f64> = (0..count).map(|i| i as f64 / (count - 1).max(1) as f64).collect();
    let steps =
        Tensor::from_f64s(ty, &[steps.len()], &steps).map_err(|e| Problem::Malformed(e.to_string()))?;
    let steps = s.constant("steps", steps);
    let span = s.add("span", Binary::new(BinaryKind::Subtract), &[stop, start])?;
    let offsets = s.add("offsets", Binary::new(BinaryKind::Multiply), &[steps, span])?;
    s.one(Binary::new(BinaryKind::Add), &[offsets, start])
}

/// Indices, depth, on value, off value.
pub(super) fn one_hot(s: &mut Scope) -> Converted {
    let inputs: [_; 4] = s.exactly()?;
    let axis = s.int("axis", -1)?;
    s.one(OneHot { axis }, &inputs)
}
