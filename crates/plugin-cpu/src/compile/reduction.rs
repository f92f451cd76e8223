//! Reductions over whole planes, and softmax.

use super::build::{Builder, Draft, Layout, dims4};
use crate::kernels::reduce::{self, Fold};
use ir::{ElementType, NodeId, Op, op::ReduceKind};

/// A reduction over all spatial dimensions as one step on blocked layout.
pub(crate) fn lower(builder: &mut Builder, id: NodeId) -> Option<()> {
    let node = builder.model.node(id);
    let Op::Reduce(op) = &node.op else { return None };
    let data = node.inputs()[0];
    let [_, _, h, w] = builder.blockable(data)?;
    let rank = builder.shape_of(data).len();
    let mut axes = builder.constants.integers(node.inputs()[1])?;
    axes.iter_mut().for_each(|axis| *axis += if *axis < 0 { rank as i64 } else { 0 });
    axes.sort_unstable();
    if rank < 3 || !axes.iter().copied().eq(2..rank as i64) {
        return None;
    }
    let fold = match op.kind {
        ReduceKind::Mean => Fold::Sum(1.0 / (h * w) as f32),
        ReduceKind::Sum => Fold::Sum(1.0),
        ReduceKind::Max => Fold::Max,
        ReduceKind::Min => Fold::Min,
        _ => return None,
    };
    let shape = builder.shape_of(id.into());
    dims4(&shape)?;
    let input = builder.blocked(id, data);
    let output = builder.new_value(&shape, Layout::Blocked);
    builder.define(id.into(), output);
    let isa = builder.isa;
    builder.step(
        id,
        Draft {
            exec_type: format!("planes_{}_f32", isa.name()),
            inputs: vec![input],
            outputs: vec![output],
            in_place: None,
            routine: Box::new(move |io, pool| {
                reduce::planes(isa, pool, fold, h * w, io.input(0), io.out());
                Ok(())
            }),
        },
    );
    Some(())
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
