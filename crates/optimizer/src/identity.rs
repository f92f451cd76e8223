//! Nodes that give out what they take in, and shape changes that come to one.

use crate::{
    graph::{self, integers, reshape_pattern, same_dims, uniform},
    permutation::Permutation,
    rule::{Outcome, Refusal, Replacement, Rule, ensure},
};
use ir::{
    Model, NodeId, Op, Tensor,
    op::{BinaryKind, Clamp, Reshape, Transpose, Unary},
};

pub(crate) const RULES: &[Rule] = &[
    Rule { name: "remove identity", apply: remove_identity },
    Rule { name: "remove neutral operand", apply: remove_neutral_operand },
    Rule { name: "choose constant branch", apply: choose_branch },
    Rule { name: "merge reshapes", apply: merge_reshapes },
    Rule { name: "merge transposes", apply: merge_transposes },
    Rule { name: "settle reshape", apply: settle_reshape },
    Rule { name: "share", apply: share },
];

/// Ops whose attributes or constant inputs make them hand on their first input.
fn remove_identity(model: &mut Model, id: NodeId) -> Outcome {
    let node = model.node(id);
    let input = *node.inputs().first().ok_or(Refusal::NoMatch)?;
    let int = |i: usize| node.inputs().get(i).and_then(|port| integers(model, *port));
    let zeros = |i: usize| int(i).is_some_and(|v| v.iter().all(|v| *v == 0));
    let (from, to) = (model.ty(input), &node.outputs()[0].ty);
    let same = same_dims(&from.shape, &to.shape);
    let identity = match &node.op {
        Op::Convert(convert) => convert.destination_type == from.element_type,
        // Equal shapes say it all for ops that only change the shape.
        Op::Reshape(_) | Op::Squeeze(_) | Op::Unsqueeze(_) | Op::Broadcast(_) | Op::Tile(_) => same,
        Op::Transpose(_) => {
            let order = int(1).ok_or(Refusal::NoMatch)?;
            from.shape
                .rank()
                .and_then(|r| Permutation::from_order(&order, r))
                .is_some_and(|p| p.is_identity())
        }
        Op::Concat(_) => node.inputs().len() == 1,
        Op::Split(split) => split.num_splits == 1,
        Op::VariadicSplit(_) => node.outputs().len() == 1,
        Op::Pad(_) => zeros(1) && zeros(2),
        Op::Roll(_) => zeros(1),
        // With steps of 1 nothing but the whole is as long as the whole.
        Op::StridedSlice(slice) => {
            let plain =
                [&slice.new_axis_mask, &slice.shrink_axis_mask].iter().all(|m| m.iter().all(|v| *v == 0));
            let steps = node.inputs().len() < 4 || int(3).is_some_and(|s| s.iter().all(|v| *v > 0));
            same && plain && steps && from.shape.is_fixed()
        }
        Op::Slice(_) => same && from.shape.is_fixed() && int(3).is_some_and(|s| s.iter().all(|v| *v > 0)),
        Op::Reduce(reduce) => {
            use ir::op::ReduceKind::*;
            matches!(reduce.kind, Mean | Max | Min | Sum | Prod)
                && (int(1).is_some_and(|axes| axes.is_empty()) || reduced_ones(model, id) && reduce.keep_dims)
        }
        Op::MaxPool(pool) => whole(&pool.kernel, &pool.strides, &pool.pads_begin, &pool.pads_end),
        Op::AvgPool(pool) => whole(&pool.kernel, &pool.strides, &pool.pads_begin, &pool.pads_end),
        Op::Clamp(clamp) => *clamp == Clamp { min: f64::NEG_INFINITY, max: f64::INFINITY },
        Op::Unary(Unary::Relu) => graph::unary(model, input, Unary::Relu).is_some(),
        Op::Unary(Unary::Negative) => {
            return graph::unary(model, input, Unary::Negative).map(Into::into).ok_or(Refusal::NoMatch);
        }
        _ => false,
    };
    if identity { Ok(input.into()) } else { Err(Refusal::NoMatch) }
}

/// A window of one element that visits every place.
fn whole(kernel: &[usize], strides: &[usize], begin: &[i64], end: &[i64]) -> bool {
    kernel.iter().chain(strides).all(|v| *v == 1) && begin.iter().chain(end).all(|v| *v == 0)
}

/// True when every reduced dimension has size 1.
fn reduced_ones(model: &Model, id: NodeId) -> bool {
    let inputs = model.node(id).inputs();
    let axes = |rank| integers(model, inputs[1]).and_then(|a| graph::axes(&a, rank));
    graph::dims(model, inputs[0])
        .and_then(|dims| Some(axes(dims.len())?.iter().all(|a| dims[*a].value() == Some(1))))
        .unwrap_or(false)
}

/// `x + 0`, `x - 0`, `x * 1`, `x / 1`, `x ^ 1`.
fn remove_neutral_operand(model: &mut Model, id: NodeId) -> Outcome {
    let Op::Binary(op) = model.node(id).op else { return Err(Refusal::NoMatch) };
    let (neutral, commutes) = match op.kind {
        BinaryKind::Add => (0.0, true),
        BinaryKind::Subtract => (0.0, false),
        BinaryKind::Multiply => (1.0, true),
        BinaryKind::Divide | BinaryKind::Power => (1.0, false),
        _ => return Err(Refusal::NoMatch),
    };
    let inputs = [model.node(id).inputs()[0], model.node(id).inputs()[1]];
    let found = [(0, 1), (1, 0)].into_iter().take(if commutes { 2 } else { 1 });
    let mut found = found.filter(|(_, c)| uniform(model, inputs[*c]) == Some(neutral));
    let (kept, _) = found.next().ok_or(Refusal::NoMatch)?;
    let (was, is) = (&model.node(id).outputs()[0].ty, model.ty(inputs[kept]));
    ensure(same_dims(&was.shape, &is.shape), || format!("the constant stretches {is} to {was}"))?;
    Ok(inputs[kept].into())
}

/// `Select` by a constant condition.
fn choose_branch(model: &mut Model, id: NodeId) -> Outcome {
    let node = model.node(id);
    let (Op::Select(_), [condition, then, other]) = (&node.op, node.inputs()) else {
        return Err(Refusal::NoMatch);
    };
    let chosen = match uniform(model, *condition) {
        Some(0.0) => *other,
        Some(_) => *then,
        None => return Err(Refusal::NoMatch),
    };
    let (was, is) = (&node.outputs()[0].ty, model.ty(chosen));
    ensure(same_dims(&was.shape, &is.shape), || format!("the branch is {is} and the result {was}"))?;
    Ok(chosen.into())
}

/// A shape change of a shape change is one.
fn merge_reshapes(model: &mut Model, id: NodeId) -> Outcome {
    let changes_shape = |op: &Op| matches!(op, Op::Reshape(_) | Op::Squeeze(_) | Op::Unsqueeze(_));
    let node = model.node(id);
    let before = node.inputs().first().map(|port| model.node(port.node)).ok_or(Refusal::NoMatch)?;
    if !changes_shape(&node.op) || !changes_shape(&before.op) {
        return Err(Refusal::NoMatch);
    }
    let source = before.inputs()[0];
    if same_dims(&model.ty(source).shape, &node.outputs()[0].ty.shape) {
        return Ok(source.into());
    }
    let pattern = reshape_pattern(&node.outputs()[0].ty.shape)
        .ok_or_else(|| Refusal::because("more than one dimension of the result is unknown"))?;
    // Of the two, the framework's node gives the name.
    let inner = model.node(id).inputs()[0].node;
    let named = |id: NodeId| !model.output(id.into()).names.is_empty();
    let keeps_name = !named(id) && named(inner);
    let Replacement { port, .. } = reshape(model, id, source, &pattern)?;
    if keeps_name {
        model.node_mut(port.node).name = model.node(inner).name.clone();
    }
    Ok(Replacement { port, keeps_name })
}

fn reshape(model: &mut Model, id: NodeId, from: ir::Port, pattern: &[i64]) -> Outcome {
    let name = model.node(id).name.clone();
    let pattern = model.add_constant(format!("{name}/shape"), Tensor::from_i64s(pattern));
    Ok(model.add(name, Reshape { special_zero: false }, &[from, pattern.into()])?.into())
}

/// Two transposes in a row are one.
fn merge_transposes(model: &mut Model, id: NodeId) -> Outcome {
    let (first, source) = transpose(model, id).ok_or(Refusal::NoMatch)?;
    let (second, source) = transpose(model, source.node).ok_or(Refusal::NoMatch)?;
    let both = second.then(&first);
    if both.is_identity() {
        return Ok(source.into());
    }
    let name = model.node(id).name.clone();
    Ok(add_transpose(model, &name, source, &both)?.into())
}

/// The order and the source of a Transpose with known order.
pub(crate) fn transpose(model: &Model, id: NodeId) -> Option<(Permutation, ir::Port)> {
    let node = model.node(id);
    let Op::Transpose(_) = node.op else { return None };
    let source = node.inputs()[0];
    let order = integers(model, node.inputs()[1])?;
    let rank = graph::rank(model, source).or((!order.is_empty()).then_some(order.len()))?;
    Some((Permutation::from_order(&order, rank)?, source))
}

/// Adds a Transpose.
pub(crate) fn add_transpose(
    model: &mut Model,
    name: &str,
    from: ir::Port,
    order: &Permutation,
) -> Result<NodeId, ir::ModelError> {
    let constant = model.add_constant(format!("{name}/order"), Tensor::from_i64s(&order.order()));
    model.add(name, Transpose, &[from, constant.into()])
}

/// A Reshape whose pattern is computed, or keeps dimensions by zeros, takes a constant where the shape is known but
/// for one dimension. Shape arithmetic then falls dead.
fn settle_reshape(model: &mut Model, id: NodeId) -> Outcome {
    let node = model.node(id);
    let Op::Reshape(op) = &node.op else { return Err(Refusal::NoMatch) };
    let constant = model.constant(node.inputs()[1]);
    let zeros = op.special_zero && constant.is_some_and(|t| t.to_i64s().contains(&0));
    if constant.is_some() && !zeros {
        return Err(Refusal::NoMatch);
    }
    let pattern = reshape_pattern(&node.outputs()[0].ty.shape)
        .ok_or_else(|| Refusal::because("more than one dimension of the result is unknown"))?;
    let from = node.inputs()[0];
    reshape(model, id, from, &pattern)
}

/// A node that does what another does already, as far as these only move data: the other serves both.
fn share(model: &mut Model, id: NodeId) -> Outcome {
    let node = model.node(id);
    if !matches!(node.op, Op::Transpose(_) | Op::ShapeOf(_) | Op::Reshape(_)) {
        return Err(Refusal::NoMatch);
    }
    let source = node.inputs()[0];
    let same_input = |a: &ir::Port, b: &ir::Port| {
        a == b || integers(model, *a).is_some_and(|v| integers(model, *b) == Some(v))
    };
    let twin = model.consumers(source).into_iter().map(|(other, _)| other).find(|other| {
        let other_node = model.node(*other);
        *other < id
            && other_node.op == node.op
            && other_node.inputs().len() == node.inputs().len()
            && other_node.inputs()[0] == source
            && node.inputs().iter().zip(other_node.inputs()).skip(1).all(|(a, b)| same_input(a, b))
    });
    twin.map(Into::into).ok_or(Refusal::NoMatch)
}
