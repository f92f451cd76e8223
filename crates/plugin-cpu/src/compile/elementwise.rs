//! Functions of elements: unary, binary, scale and shift, with what joins them.

use super::{
    build::{Builder, Draft, Layout, dims4},
    fuse::{self, Fused},
};
use crate::kernels::{
    eltwise::{Combine, Elementwise, Reach},
    post::{Activation, Sum},
};
use ir::{
    ElementType, NodeId, Op, Port,
    op::{AutoBroadcast, BinaryKind},
};

/// The data of a node that scales and shifts channels, and what it does to them.
pub(crate) fn affine(builder: &Builder, id: NodeId) -> Option<(Port, Fused)> {
    let (data, scale, shift) = fuse::scale_and_shift(builder, id, 1)?;
    builder.blockable(data)?;
    let (sum, activation) = (Sum::None, Activation::None);
    Some((data, Fused { scale, shift, sum, addend: None, activation, output: id.into() }))
}

/// A function of two tensors that there is a kernel for: the first, which has the output's shape, the second, and how.
pub(crate) fn binary(builder: &Builder, id: NodeId) -> Option<(Port, Port, Combine, Reach)> {
    let node = builder.model.node(id);
    let Op::Binary(binary) = &node.op else { return None };
    if binary.auto_broadcast == AutoBroadcast::Pdpd || node.outputs()[0].ty.element_type != ElementType::F32 {
        return None;
    }
    let straight = match binary.kind {
        BinaryKind::Add => Combine::Add,
        BinaryKind::Subtract => Combine::Subtract,
        BinaryKind::Multiply => Combine::Multiply,
        BinaryKind::Divide => Combine::Divide,
        BinaryKind::Maximum => Combine::Maximum,
        BinaryKind::Minimum => Combine::Minimum,
        BinaryKind::SquaredDifference => Combine::SquaredDifference,
        _ => return None,
    };
    let swapped = match straight {
        Combine::Subtract => Combine::SubtractFrom,
        Combine::Divide => Combine::DivideInto,
        other => other,
    };
    let shape = builder.shape_of(id.into());
    if shape.contains(&0) {
        return None;
    }
    let [a, b] = [node.inputs()[0], node.inputs()[1]];
    let reach = |full: Port, other: Port| {
        let (full, other) = (builder.shape_of(full), builder.shape_of(other));
        if full != shape {
            return None;
        }
        let planes = || {
            let ([n, c, ..], [m, d, 1, 1]) = (dims4(&full)?, dims4(&other)?) else { return None };
            let fits = full.len() == other.len() && full.len() > 2 && c == d && (m == n || m == 1);
            fits.then_some(Reach::Planes(m == 1))
        };
        match ir::element_count(&other) {
            _ if full == other => Some(Reach::Elements),
            Some(1) => Some(Reach::Scalar),
            _ => planes(),
        }
    };
    match (reach(a, b), reach(b, a)) {
        (Some(reach), _) => Some((a, b, straight, reach)),
        (None, Some(reach)) => Some((b, a, swapped, reach)),
        (None, None) => None,
    }
}

/// A node as one step, in the layout that its data comes in.
pub(crate) fn lower(builder: &mut Builder, id: NodeId) -> Option<()> {
    let node = builder.model.node(id);
    let shape = builder.shape_of(id.into());
    if node.outputs().len() != 1
        || node.outputs()[0].ty.element_type != ElementType::F32
        || ir::element_count(&shape) == Some(0)
    {
        return None;
    }
    let chain = builder.fusions.of(id);
    let joined = chain.output != id.into();
    let (data, second, combine, fused) = if let Some((data, own)) = affine(builder, id) {
        (data, None, Combine::Add, if joined { chain } else { own })
    } else if let Some((data, other, combine, reach)) = binary(builder, id) {
        (data, Some((other, reach)), combine, chain)
    } else {
        let activation = fuse::activation(builder, node, 1)?;
        (node.inputs()[0], None, Combine::Add, Fused { activation, ..chain })
    };
    if builder.model.ty(data).element_type != ElementType::F32 {
        return None;
    }
    let dims = dims4(&shape);
    let per_channel = fused.scale.is_some()
        || fused.shift.is_some()
        || matches!(second, Some((_, Reach::Planes(_))))
        || matches!(fused.activation, Activation::PRelu(_));
    let mut ports = vec![data];
    ports.extend(second.filter(|(_, reach)| *reach == Reach::Elements).map(|(port, _)| port));
    ports.extend(fused.addend);
    let is_blocked = |builder: &mut Builder, port: &Port| {
        let value = builder.value(*port);
        *builder.layout(value) == Layout::Blocked
    };
    let blocked = dims.is_some()
        && ports.iter().all(|port| builder.shape_of(*port) == shape)
        && (matches!(fused.activation, Activation::PRelu(_))
            || ports.iter().any(|port| is_blocked(builder, port)));
    if per_channel && dims.is_none() {
        return None;
    }
    let take = |builder: &mut Builder, port: Port| {
        if blocked { builder.blocked(id, port) } else { builder.plain(id, port) }
    };
    let mut inputs = vec![take(builder, data)];
    let reach = second.map_or(Reach::Absent, |(_, reach)| reach);
    if let Some((port, reach)) = second {
        let value = match reach {
            Reach::Scalar => {
                let value = builder.value(port);
                // The first element is the first whatever the layout.
                builder.view(value, &[1], Layout::Plain)
            }
            _ => take(builder, port),
        };
        inputs.push(value);
    }
    if let Some(addend) = fused.addend {
        let value = take(builder, addend);
        inputs.push(value);
    }
    let output = builder.new_value(&shape, if blocked { Layout::Blocked } else { Layout::Plain });
    builder.define(fused.output, output);
    let b = builder.isa.block();
    let (images, planes, len) = match dims {
        Some([n, c, h, w]) if blocked => (n, c.div_ceil(b), h * w * b),
        Some([n, c, h, w]) if per_channel => (n, c, h * w),
        _ => (1, 1, shape.iter().product()),
    };
    let channels = blocked.then(|| shape[1]);
    let filled = |numbers: Option<Vec<f32>>, default: f32| {
        let mut numbers = numbers.unwrap_or_else(|| vec![default; shape[1]]);
        numbers.resize(numbers.len().next_multiple_of(b), 0.0);
        numbers
    };
    let affine = (fused.scale.is_some() || fused.shift.is_some())
        .then(|| (filled(fused.scale, 1.0), filled(fused.shift, 0.0)));
    let (sum, activation) = (fused.sum, fused.activation);
    let work = Elementwise { images, planes, len, channels, affine, combine, reach, sum, activation };
    let isa = builder.isa;
    let (has_second, has_addend) = (second.is_some(), fused.addend.is_some());
    builder.step(
        id,
        Draft {
            exec_type: format!("eltwise_{}_f32", isa.name()),
            inputs,
            outputs: vec![output],
            in_place: Some(0),
            routine: Box::new(move |io, pool| {
                let a = (!io.in_place(0)).then(|| io.input(0));
                let b = if has_second { io.input(1) } else { &[] };
                let addend = if has_addend { io.input(1 + usize::from(has_second)) } else { &[] };
                work.run(isa, pool, a, b, addend, io.out());
                Ok(())
            }),
        },
    );
    Some(())
}
