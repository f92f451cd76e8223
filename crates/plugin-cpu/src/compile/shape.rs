//! Ops that give elements other places or names, mostly without moving them.

use super::build::{Builder, Draft, Layout, ValueId, dims4};
use crate::kernels::{
    layout,
    regroup::{Regroup, Run},
};
use ir::{ElementType, NodeId, Op, Port};

/// The same elements under another shape.
pub(crate) fn reinterpret(builder: &mut Builder, id: NodeId) -> Option<()> {
    let node = builder.model.node(id);
    let shape = builder.shape_of(id.into());
    let data = builder.value(node.inputs()[0]);
    let from = dims4(builder.shape(data));
    // Dimensions of one beside the channels come and go in blocked layout too.
    let view = if *builder.layout(data) == Layout::Blocked && from.is_some() && from == dims4(&shape) {
        builder.view(data, &shape, Layout::Blocked)
    } else {
        let plain = builder.plain(id, node.inputs()[0]);
        builder.view(plain, &shape, Layout::Plain)
    };
    builder.define(id.into(), view);
    Some(())
}

/// Another order of dimensions: only said, until somebody needs the elements in theirs.
pub(crate) fn transpose(builder: &mut Builder, id: NodeId) -> Option<()> {
    let node = builder.model.node(id);
    let shape = builder.shape_of(id.into());
    let data = builder.value(node.inputs()[0]);
    let bits = builder.model.ty(node.inputs()[0]).element_type.bits();
    if !matches!(bits, 8 | 16 | 32 | 64) {
        return None;
    }
    let order = builder.constants.integers(node.inputs()[1])?;
    let mut order: Vec<usize> = order.into_iter().map(|axis| axis as usize).collect();
    if order.is_empty() {
        order = (0..shape.len()).rev().collect();
    }
    let own = match builder.layout(data) {
        Layout::Permuted(own) => own.clone(),
        _ => (0..shape.len()).collect(),
    };
    let order: Vec<usize> = order.into_iter().map(|axis| own[axis]).collect();
    let source = match builder.layout(data) {
        Layout::Blocked => builder.plain_of(id, data),
        _ => data,
    };
    let view = if order.iter().copied().eq(0..order.len()) {
        builder.view(source, &shape, Layout::Plain)
    } else {
        builder.view(source, &shape, Layout::Permuted(order))
    };
    builder.define(id.into(), view);
    Some(())
}

/// Parts beside each other. Along the channels of one image in blocked layout they lie that way from the start,
/// if blocks are whole; else their lanes move.
pub(crate) fn concat(builder: &mut Builder, id: NodeId) -> Option<()> {
    let node = builder.model.node(id);
    let Op::Concat(op) = &node.op else { return None };
    let shape = builder.shape_of(id.into());
    let axis = usize::try_from(if op.axis < 0 { op.axis + shape.len() as i64 } else { op.axis }).ok()?;
    let ports: Vec<_> =
        node.inputs().iter().copied().filter(|port| !builder.shape_of(*port).contains(&0)).collect();
    let bits = builder.model.ty(id.into()).element_type.bits();
    if shape.contains(&0) || !bits.is_multiple_of(8) {
        return None;
    }
    let b = builder.isa.block();
    let sizes: Vec<usize> = ports.iter().map(|port| builder.shape_of(*port)[axis]).collect();
    let is_blocked = |builder: &mut Builder| {
        ports.iter().any(|port| {
            let value = builder.value(*port);
            *builder.layout(value) == Layout::Blocked
        })
    };
    let whole_blocks = sizes[..sizes.len() - 1].iter().all(|size| size.is_multiple_of(b));
    let blocked = axis == 1 && builder.blockable(id.into()).is_some() && is_blocked(builder);
    if blocked && !whole_blocks {
        let run = |(source, count): (usize, &usize)| Run { source, first: 0, count: *count };
        let runs: Vec<Run> = sizes.iter().enumerate().map(run).collect();
        regroup(builder, id, &ports, &runs, id.into());
        return Some(());
    }
    let (layout, outer, inner) = match dims4(&shape) {
        Some([n, _, h, w]) if blocked => (Layout::Blocked, n, h * w * 4),
        _ => (
            Layout::Plain,
            shape[..axis].iter().product(),
            shape[axis + 1..].iter().product::<usize>() * bits / 8,
        ),
    };
    let output = match layout {
        Layout::Blocked => builder.new_value(&shape, Layout::Blocked),
        _ => builder.plain_value(id.into()),
    };
    builder.define(id.into(), output);
    let mut offset = 0;
    // Bytes of one part for one index of the outer dimensions.
    let lengths: Vec<usize> =
        sizes.iter().map(|size| if blocked { size.next_multiple_of(b) } else { *size } * inner).collect();
    let row: usize = lengths.iter().sum();
    let mut copies: Vec<(ValueId, usize, usize)> = Vec::new();
    for (port, length) in ports.iter().zip(&lengths) {
        let part = if blocked { builder.blocked(id, *port) } else { builder.plain(id, *port) };
        // Nobody may write to a part that somebody else takes too: parts are only ever read after they are made.
        if outer != 1 || !builder.place_within(part, output, offset) {
            copies.push((part, offset, *length));
        }
        offset += length;
    }
    if outer == 1 {
        for (part, offset, _) in copies {
            let shape = builder.shape(part).to_vec();
            let to = builder.part(output, offset, &shape, layout.clone());
            copy(builder, id, part, to);
        }
        return Some(());
    }
    let inputs = copies.iter().map(|(part, ..)| *part).collect();
    builder.step(
        id,
        Draft {
            exec_type: "copy_any".to_owned(),
            inputs,
            outputs: vec![output],
            in_place: None,
            routine: Box::new(move |io, pool| {
                for (i, (_, offset, length)) in copies.iter().enumerate() {
                    layout::copy_rows(pool, io.input(i), (*length, 0), io.out(), (row, *offset), *length);
                }
                Ok(())
            }),
        },
    );
    Some(())
}

/// Runs of channels of tensors in blocked layout as `output`, in blocked layout too.
fn regroup(builder: &mut Builder, id: NodeId, ports: &[Port], runs: &[Run], output: Port) {
    let isa = builder.isa;
    let shape = builder.shape_of(output);
    let [n, _, h, w] = dims4(&shape).expect("only shapes of rank 2 to 4 are blocked");
    let channels: Vec<usize> = ports.iter().map(|port| builder.shape_of(*port)[1]).collect();
    let inputs = ports.iter().map(|port| builder.blocked(id, *port)).collect();
    let to = builder.new_value(&shape, Layout::Blocked);
    builder.define(output, to);
    let regroup = Regroup::new(isa, n, h * w, &channels, runs);
    builder.step(
        id,
        Draft {
            exec_type: format!("regroup_{}_f32", isa.name()),
            inputs,
            outputs: vec![to],
            in_place: None,
            routine: Box::new(move |io, pool| {
                regroup.run(pool, |i| io.input(i), io.out());
                Ok(())
            }),
        },
    );
}

fn copy(builder: &mut Builder, id: NodeId, from: ValueId, to: ValueId) {
    builder.step(
        id,
        Draft {
            exec_type: "copy_any".to_owned(),
            inputs: vec![from],
            outputs: vec![to],
            in_place: None,
            routine: Box::new(|io, pool| {
                let src: &[u8] = io.input(0);
                let n = src.len();
                layout::copy_rows(pool, src, (n, 0), io.out(), (n, 0), n);
                Ok(())
            }),
        },
    );
}

/// Parts of a tensor: views where a part is contiguous, else copies.
pub(crate) fn split(builder: &mut Builder, id: NodeId) -> Option<()> {
    let node = builder.model.node(id);
    let data = node.inputs()[0];
    let shape = builder.shape_of(data);
    let bits = builder.model.ty(data).element_type.bits();
    let axis = *builder.constants.integers(node.inputs()[1])?.first()?;
    let axis = usize::try_from(if axis < 0 { axis + shape.len() as i64 } else { axis }).ok()?;
    if shape.contains(&0) || !bits.is_multiple_of(8) {
        return None;
    }
    let count = node.outputs().len();
    let shapes: Vec<Vec<usize>> = (0..count).map(|i| builder.shape_of(id.output(i))).collect();
    let b = builder.isa.block();
    let value = builder.value(data);
    let whole_blocks =
        shapes[..count - 1].iter().all(|shape| shape.get(axis).is_some_and(|c| c.is_multiple_of(b)));
    let blocked = axis == 1 && *builder.layout(value) == Layout::Blocked;
    if blocked && !whole_blocks && shapes.iter().all(|shape| !shape.contains(&0)) {
        let mut first = 0;
        for (i, part) in shapes.iter().enumerate() {
            regroup(builder, id, &[data], &[Run { source: 0, first, count: part[1] }], id.output(i));
            first += part[1];
        }
        return Some(());
    }
    let blocked = blocked && whole_blocks;
    let (layout, outer, inner) = match dims4(&shape) {
        Some([n, _, h, w]) if blocked => (Layout::Blocked, n, h * w * 4),
        _ => (
            Layout::Plain,
            shape[..axis].iter().product(),
            shape[axis + 1..].iter().product::<usize>() * bits / 8,
        ),
    };
    let source = if blocked { value } else { builder.plain_of(id, value) };
    let width = |shape: &[usize]| if blocked { shape[1].next_multiple_of(b) } else { shape[axis] } * inner;
    let row = width(&shape);
    let mut offset = 0;
    for (i, part) in shapes.iter().enumerate() {
        let length = width(part);
        if outer == 1 {
            let view = builder.part(source, offset, part, layout.clone());
            builder.define(id.output(i), view);
        } else if !part.contains(&0) {
            let to = match blocked {
                true => builder.new_value(part, Layout::Blocked),
                false => builder.plain_value(id.output(i)),
            };
            builder.define(id.output(i), to);
            builder.step(
                id,
                Draft {
                    exec_type: "copy_any".to_owned(),
                    inputs: vec![source],
                    outputs: vec![to],
                    in_place: None,
                    routine: Box::new(move |io, pool| {
                        layout::copy_rows(pool, io.input(0), (row, offset), io.out(), (length, 0), length);
                        Ok(())
                    }),
                },
            );
        } else {
            let to = builder.plain_value(id.output(i));
            builder.define(id.output(i), to);
        }
        offset += length;
    }
    debug_assert!(builder.model.ty(data).element_type != ElementType::Dynamic);
    Some(())
}
