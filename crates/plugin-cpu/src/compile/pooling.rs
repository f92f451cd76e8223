//! Pools.

use super::{
    build::{Builder, Draft, Layout, dims4},
    fuse::{self, Padding},
};
use crate::kernels::{
    pooling::{self, PoolShape, Reduction},
    pooling_any,
};
use ir::{ElementType, NodeId, Op, op::Window};

fn geometry(builder: &Builder, id: NodeId, more: Option<&Padding>) -> Option<PoolShape> {
    let node = builder.model.node(id);
    let data = node.inputs()[0];
    let taken = more.is_none().then(|| fuse::taken_padding(builder, node)).flatten();
    let padding = more.or(taken.as_ref());
    let [n, c, ..] = builder.blockable(data)?;
    builder.blockable(id.into())?;
    let shape = builder.shape_of(data);
    let windows: Vec<Window> = match &node.op {
        Op::MaxPool(op) => op.windows(&shape).ok()?,
        // The positions are the reference's work.
        Op::MaxPool8(op) if !builder.model.consumers(id.output(1)).is_empty() => {
            let _ = op;
            return None;
        }
        Op::MaxPool8(op) => op.windows(&shape).ok()?,
        Op::AvgPool(op) => op.windows(&shape).ok()?,
        _ => return None,
    };
    let padded = windows.iter().any(|window| window.pad_begin != 0 || window.pad_end != 0);
    let empty = |window: &Window| (0..window.output).any(|at| window.taps(at).is_empty());
    if windows.iter().any(|w| w.pad_begin < 0 || w.pad_end < 0 || empty(w)) || padded && padding.is_some() {
        return None;
    }
    let whole = windows.iter().map(|window| window.kernel).product();
    let reduction = match &node.op {
        Op::AvgPool(_) if padding.is_some() => Reduction::SumOver(whole),
        // As OpenVINO counts: with padding on any side its elements and those past it count, without they don't.
        Op::AvgPool(op) if !op.exclude_pad && padded => Reduction::SumOver(whole),
        Op::AvgPool(_) => Reduction::Mean,
        _ if padding.is_some() => Reduction::MaxWithZeros,
        _ => Reduction::Max,
    };
    // A window past the padding of a mean counts what is there; of a padding taken over, that is not known any more.
    if padding.is_some()
        && windows.iter().any(|w| (w.output - 1) * w.stride + (w.kernel - 1) * w.dilation >= w.input)
    {
        return None;
    }
    let unpadded = padding.map_or(shape, |p| builder.shape_of(p.data));
    let pair = |f: &dyn Fn(usize) -> usize, flat: usize| match windows.len() {
        1 => Some([flat, f(0)]),
        2 => Some([f(0), f(1)]),
        _ => None,
    };
    let [_, _, h, w] = dims4(&unpadded)?;
    let [_, _, oh, ow] = dims4(&builder.shape_of(id.into()))?;
    let pads = |i: usize| (windows[i].pad_begin + padding.map_or(0, |p| p.begin[i])) as usize;
    Some(PoolShape {
        reduction,
        planes: n * c.div_ceil(builder.isa.block()),
        input: [h, w],
        output: [oh, ow],
        kernel: pair(&|i| windows[i].kernel, 1)?,
        stride: pair(&|i| windows[i].stride, 1)?,
        dilation: pair(&|i| windows[i].dilation, 1)?,
        pad_begin: pair(&pads, 0)?,
    })
}

/// True when the pool can take the padding before it.
pub(crate) fn takes_padding(builder: &Builder, id: NodeId, padding: &Padding) -> bool {
    builder.blockable(padding.data).is_some() && geometry(builder, id, Some(padding)).is_some()
}

/// The pool as one step on blocked layout.
pub(crate) fn lower(builder: &mut Builder, id: NodeId) -> Option<()> {
    let shape = geometry(builder, id, None)?;
    let node = builder.model.node(id);
    let data = fuse::taken_padding(builder, node).map_or(node.inputs()[0], |padding| padding.data);
    let input = builder.blocked(id, data);
    let output_shape = builder.shape_of(id.into());
    let output = builder.new_value(&output_shape, Layout::Blocked);
    builder.define(id.into(), output);
    let isa = builder.isa;
    let kind = if matches!(node.op, Op::AvgPool(_)) { "avg" } else { "max" };
    builder.step(
        id,
        Draft {
            exec_type: format!("{kind}_{}_f32", isa.name()),
            inputs: vec![input],
            outputs: vec![output],
            in_place: None,
            routine: Box::new(move |io, pool| {
                pooling::run(isa, pool, &shape, io.input(0), io.out());
                Ok(())
            }),
        },
    );
    Some(())
}

/// A pool of any rank, or with positions, on row-major data.
pub(crate) fn any(builder: &mut Builder, id: NodeId) -> Option<()> {
    let node = builder.model.node(id);
    let data = node.inputs()[0];
    let shape = builder.shape_of(data);
    let output_shape = builder.shape_of(id.into());
    if builder.model.ty(data).element_type != ElementType::F32
        || shape.contains(&0)
        || output_shape.contains(&0)
        || fuse::taken_padding(builder, node).is_some()
    {
        return None;
    }
    let (windows, reduction) = match &node.op {
        Op::MaxPool(op) => (op.windows(&shape).ok()?, Reduction::Max),
        Op::MaxPool8(op) if builder.model.consumers(id.output(1)).is_empty() => {
            (op.windows(&shape).ok()?, Reduction::Max)
        }
        Op::AvgPool(op) => {
            let windows = op.windows(&shape).ok()?;
            let padded = windows.iter().any(|window| window.pad_begin != 0 || window.pad_end != 0);
            let whole = windows.iter().map(|window| window.kernel).product();
            let mean = if !op.exclude_pad && padded { Reduction::SumOver(whole) } else { Reduction::Mean };
            (windows, mean)
        }
        _ => return None,
    };
    let empty = |window: &Window| (0..window.output).any(|at| window.taps(at).is_empty());
    if windows.len() > 3 || windows.iter().any(empty) {
        return None;
    }
    let flat = Window { input: 1, kernel: 1, stride: 1, dilation: 1, pad_begin: 0, pad_end: 0, output: 1 };
    let mut all = [flat; 3];
    all[3 - windows.len()..].copy_from_slice(&windows);
    let planes = shape[0] * shape[1];
    let input = builder.plain(id, data);
    let output = builder.plain_value(id.into());
    builder.define(id.into(), output);
    let isa = builder.isa;
    let kind = if reduction == Reduction::Max { "max" } else { "avg" };
    builder.step(
        id,
        Draft {
            exec_type: format!("{kind}_any_{}_f32", isa.name()),
            inputs: vec![input],
            outputs: vec![output],
            in_place: None,
            routine: Box::new(move |io, pool| {
                pooling_any::run(isa, pool, reduction, planes, &all, io.input(0), io.out());
                Ok(())
            }),
        },
    );
    Some(())
}
