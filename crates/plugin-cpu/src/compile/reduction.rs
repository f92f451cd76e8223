//! Reductions along axes, and softmax.

use super::build::{Builder, Draft, Layout, ValueId};
use crate::kernels::reduce::{self, Fold, Reduction, Term};
use ir::{ElementType, NodeId, Op, op::ReduceKind};

/// Planes of so few rows are reduced in one step.
const FEW_ROWS: usize = 12;

/// A reduction, in one step for each run of neighbouring axes. Over all spatial dimensions it takes and gives blocked
/// layout.
pub(crate) fn lower(builder: &mut Builder, id: NodeId) -> Option<()> {
    let node = builder.model.node(id);
    let Op::Reduce(op) = &node.op else { return None };
    let data = node.inputs()[0];
    let shape = builder.shape_of(data);
    if builder.model.ty(data).element_type != ElementType::F32 || shape.contains(&0) {
        return None;
    }
    let (fold, term) = match op.kind {
        ReduceKind::Mean | ReduceKind::Sum => (Fold::Sum, Term::Plain),
        ReduceKind::Max => (Fold::Max, Term::Plain),
        ReduceKind::Min => (Fold::Min, Term::Plain),
        ReduceKind::Prod => (Fold::Product, Term::Plain),
        ReduceKind::L1 => (Fold::Sum, Term::Abs),
        ReduceKind::L2 => (Fold::Sum, Term::Square),
        ReduceKind::LogicalAnd | ReduceKind::LogicalOr => return None,
    };
    let mut reduced = vec![false; shape.len()];
    for axis in builder.constants.integers(node.inputs()[1])? {
        let axis = if axis < 0 { axis + shape.len() as i64 } else { axis };
        *reduced.get_mut(usize::try_from(axis).ok()?)? = true;
    }
    if !reduced.contains(&true) {
        let value = builder.value(data);
        builder.define(id.into(), value);
        return Some(());
    }
    let terms: usize =
        shape.iter().zip(&reduced).filter(|(_, reduced)| **reduced).map(|(size, _)| size).product();
    let scale = if op.kind == ReduceKind::Mean { 1.0 / terms as f32 } else { 1.0 };
    let last = Reduction { term, fold, scale, root: op.kind == ReduceKind::L2 };
    let output_shape = builder.shape_of(id.into());
    let isa = builder.isa;
    let spatial =
        reduced.len() > 2 && reduced.iter().enumerate().all(|(axis, reduced)| *reduced == (axis > 1));
    if let Some([n, c, h, w]) = builder.blockable(data).filter(|_| spatial) {
        let input = builder.blocked(id, data);
        let output = builder.new_value(&output_shape, Layout::Blocked);
        builder.define(id.into(), output);
        let planes = n * c.div_ceil(isa.block());
        if h < FEW_ROWS {
            step(builder, id, "planes", last, [planes, h * w, isa.block()], 1, [input, output]);
            return Some(());
        }
        // Rows first: threads divide them as they divide what comes before and after.
        let sums = builder.new_value(&[planes * h * isa.block()], Layout::Plain);
        let first = Reduction { term, fold, scale: 1.0, root: false };
        step(builder, id, "planes", first, [planes * h, w, isa.block()], h, [input, sums]);
        let last = Reduction { term: Term::Plain, ..last };
        step(builder, id, "planes", last, [planes, h, isa.block()], 1, [sums, output]);
        return Some(());
    }
    // Axes that are reduced, and those that stay, as runs; the innermost is reduced first. An axis of one element is
    // neither, unless there are no others.
    let mut runs: Vec<(usize, bool)> = Vec::new();
    for (size, reduced) in shape.iter().zip(&reduced).filter(|(size, _)| **size > 1) {
        match runs.last_mut() {
            Some((len, same)) if same == reduced => *len *= size,
            _ => runs.push((*size, *reduced)),
        }
    }
    if !runs.iter().any(|(_, reduced)| *reduced) {
        runs.push((1, true));
    }
    let mut term = term;
    let mut value = builder.plain(id, data);
    while let Some(at) = runs.iter().rposition(|(_, reduced)| *reduced) {
        let product = |runs: &[(usize, bool)]| runs.iter().map(|(len, _)| len).product::<usize>();
        let sizes = [product(&runs[..at]), runs[at].0, product(&runs[at + 1..])];
        runs.remove(at);
        let more = runs.iter().any(|(_, reduced)| *reduced);
        let (reduction, to) = if more {
            let whole = [sizes[0] * sizes[2]];
            (Reduction { term, fold, scale: 1.0, root: false }, builder.new_value(&whole, Layout::Plain))
        } else {
            (Reduction { term, ..last }, builder.new_value(&output_shape, Layout::Plain))
        };
        step(builder, id, "reduce", reduction, sizes, 1, [value, to]);
        (value, term) = (to, Term::Plain);
    }
    builder.define(id.into(), value);
    Some(())
}

fn step(
    builder: &mut Builder,
    id: NodeId,
    name: &str,
    reduction: Reduction,
    sizes: [usize; 3],
    rows: usize,
    [input, output]: [ValueId; 2],
) {
    let isa = builder.isa;
    builder.step(
        id,
        Draft {
            exec_type: format!("{name}_{}_f32", isa.name()),
            inputs: vec![input],
            outputs: vec![output],
            in_place: None,
            routine: Box::new(move |io, pool| {
                reduce::reduce(isa, pool, reduction, sizes, rows, io.input(0), io.out());
                Ok(())
            }),
        },
    );
}

/// Softmax as one step on row-major layout.
pub(crate) fn softmax(builder: &mut Builder, id: NodeId) -> Option<()> {
    let node = builder.model.node(id);
    let Op::Softmax(op) = &node.op else { return None };
    let shape = builder.shape_of(id.into());
    if builder.model.ty(id.into()).element_type != ElementType::F32 {
        return None;
    }
    let axis = if op.axis < 0 { op.axis + shape.len() as i64 } else { op.axis };
    let axis = usize::try_from(axis).ok().filter(|axis| *axis < shape.len())?;
    let sizes = [shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product()];
    let input = builder.plain(id, node.inputs()[0]);
    let output = builder.new_value(&shape, Layout::Plain);
    builder.define(id.into(), output);
    let isa = builder.isa;
    builder.step(
        id,
        Draft {
            exec_type: format!("softmax_{}_f32", isa.name()),
            inputs: vec![input],
            outputs: vec![output],
            in_place: None,
            routine: Box::new(move |io, pool| {
                reduce::softmax(isa, pool, sizes, io.input(0), io.out());
                Ok(())
            }),
        },
    );
    Some(())
}
