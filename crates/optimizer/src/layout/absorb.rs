//! Transposes taken in by what follows them: shape changes, products, shape arithmetic.

use super::commute::moves_nothing;
use crate::{
    graph::{self, add_like, reshape_pattern, sole_consumer},
    identity::transpose,
    permutation::{Permutation, transposed},
    rule::{Outcome, Refusal, Rule, ensure},
};
use ir::{
    Model, NodeId, Op, Tensor,
    op::{Gather, MatMul, Reshape},
};

pub(super) const RULES: &[Rule] = &[
    Rule { name: "transpose of ones", apply: reshape_ones },
    Rule { name: "shape of transpose", apply: shape_of },
    Rule { name: "transpose into product", apply: into_product },
    Rule { name: "transpose into dense weights", apply: into_dense },
];

/// Where a transpose moves only dimensions of size 1 and a shape change stands beside it, it is a shape change too.
fn reshape_ones(model: &mut Model, id: NodeId) -> Outcome {
    let (order, source) = transpose(model, id).ok_or(Refusal::NoMatch)?;
    if !moves_nothing(&model.ty(source).shape, &order) {
        return Err(Refusal::NoMatch);
    }
    let changes_shape = |id: NodeId| {
        matches!(model.node(id).op, Op::Reshape(_) | Op::Squeeze(_) | Op::Unsqueeze(_) | Op::OpResult(_))
    };
    let near = changes_shape(source.node) || model.users_of(id).any(|(user, _)| changes_shape(user));
    if !near {
        return Err(Refusal::NoMatch);
    }
    let pattern = reshape_pattern(&model.ty(id.into()).shape)
        .ok_or_else(|| Refusal::because("more than one dimension is unknown"))?;
    let name = model.node(id).name.clone();
    let pattern = model.add_constant(format!("{name}/shape"), Tensor::from_i64s(&pattern));
    Ok(model.add(name, Reshape { special_zero: false }, &[source, pattern.into()])?.into())
}

/// The shape of a transpose is the shape of its source, reordered.
fn shape_of(model: &mut Model, id: NodeId) -> Outcome {
    let Op::ShapeOf(op) = model.node(id).op.clone() else { return Err(Refusal::NoMatch) };
    let (order, source) = transpose(model, model.node(id).inputs()[0].node).ok_or(Refusal::NoMatch)?;
    let name = model.node(id).name.clone();
    let shape = model.add(&name, op, &[source])?;
    let picks = model.add_constant(format!("{name}/order"), Tensor::from_i64s(&order.order()));
    let axis = model.add_constant(format!("{name}/axis"), Tensor::scalar(0i64));
    Ok(model.add(name, Gather { batch_dims: 0 }, &[shape.into(), picks.into(), axis.into()])?.into())
}

/// A transpose of the two innermost dimensions is a flag of the product.
fn into_product(model: &mut Model, id: NodeId) -> Outcome {
    let Op::MatMul(op) = model.node(id).op.clone() else { return Err(Refusal::NoMatch) };
    let mut inputs = model.node(id).inputs().to_vec();
    let mut flags = [op.transpose_a, op.transpose_b];
    let mut found = false;
    for (input, flag) in inputs.iter_mut().zip(&mut flags) {
        let Some((order, source)) = transpose(model, input.node) else { continue };
        let Some(outer) = order.rank().checked_sub(2) else { continue };
        let swapped = (0..outer).chain([outer + 1, outer]).eq(order.axes().iter().copied());
        // Constant weights are better copied once than read across at every run.
        if swapped && model.constant(source).is_none() {
            (*input, *flag, found) = (source, !*flag, true);
        }
    }
    if !found {
        return Err(Refusal::NoMatch);
    }
    let [transpose_a, transpose_b] = flags;
    Ok(add_like(model, id, MatMul { transpose_a, transpose_b }, &inputs)?.into())
}

/// A dense layer over flattened, transposed data: its weights' rows are reordered instead.
fn into_dense(model: &mut Model, id: NodeId) -> Outcome {
    let Op::MatMul(op) = model.node(id).op.clone() else { return Err(Refusal::NoMatch) };
    let inputs = model.node(id).inputs().to_vec();
    let flatten = inputs[0].node;
    let Op::Reshape(_) = model.node(flatten).op else { return Err(Refusal::NoMatch) };
    let (order, source) = transpose(model, model.node(flatten).inputs()[0].node).ok_or(Refusal::NoMatch)?;
    ensure(!op.transpose_a, || "the product takes its data transposed".to_owned())?;
    let moved = graph::dims(model, model.node(flatten).inputs()[0]).ok_or(Refusal::NoMatch)?;
    let sizes: Option<Vec<usize>> = moved.iter().skip(1).map(|d| d.size()).collect();
    let sizes = sizes.ok_or_else(|| Refusal::because("a flattened dimension is not known"))?;
    let rows: usize = sizes.iter().product();
    let flat = graph::dims(model, inputs[0]).ok_or(Refusal::NoMatch)?;
    ensure(order.axes().first() == Some(&0) && flat.len() == 2 && flat[1].size() == Some(rows), || {
        "not all dimensions but the batch are flattened".to_owned()
    })?;
    let weights = inputs[1];
    let tensor = model.constant(weights).ok_or_else(|| Refusal::because("its weights are computed"))?;
    ensure(sole_consumer(model, weights).is_some(), || "its weights are shared".to_owned())?;
    let inner = Permutation::new(order.axes()[1..].iter().map(|a| a - 1).collect());
    let tensor = reordered_rows(tensor, &sizes, &inner, op.transpose_b)
        .ok_or_else(|| Refusal::because("its weights are not a matrix of as many rows as are flattened"))?;
    let name = model.node(flatten).name.clone();
    let batch = flat[0].value().unwrap_or(-1);
    let pattern = model.add_constant(format!("{name}/shape"), Tensor::from_i64s(&[batch, rows as i64]));
    let flat = add_like(model, flatten, Reshape { special_zero: false }, &[source, pattern.into()])?;
    let weights = model.add_constant(model.node(weights.node).name.clone(), tensor);
    Ok(add_like(model, id, op, &[flat.into(), weights.into()])?.into())
}

/// The rows of a matrix that run over `sizes`, as they run over what `sizes` was before a transpose by `order`.
fn reordered_rows(matrix: &Tensor, sizes: &[usize], order: &Permutation, columns: bool) -> Option<Tensor> {
    let [a, b] = matrix.shape() else { return None };
    let (rows, others) = if columns { (*b, *a) } else { (*a, *b) };
    if rows != sizes.iter().product::<usize>() {
        return None;
    }
    let inverse = order.inverse();
    let (shape, axes): (Vec<usize>, Vec<usize>) = if columns {
        let axes = [0].into_iter().chain(inverse.axes().iter().map(|a| a + 1)).collect();
        ([&[others], sizes].concat(), axes)
    } else {
        let axes = inverse.axes().iter().copied().chain([sizes.len()]).collect();
        ([sizes, &[others]].concat(), axes)
    };
    let moved = transposed(&matrix.reshaped(shape).ok()?, &Permutation::new(axes))?;
    moved.reshaped(matrix.shape().to_vec()).ok()
}
