//! What each op does behind a transpose: `op(transpose(x))` as `transpose(op'(x))`.

use crate::{
    graph::{self, integers},
    identity::{add_transpose, transpose},
    permutation::{Permutation, transposed},
    rule::{Refusal, ensure},
};
use ir::{
    Model, NodeId, Op, PartialShape, Port, Tensor,
    op::{AutoBroadcast, BroadcastMode},
};

/// How a node looks when it takes its data in another order of dimensions.
#[derive(Debug)]
pub(crate) struct Commuted {
    /// The op.
    pub(crate) op: Op,
    /// Its inputs.
    pub(crate) inputs: Vec<Port>,
    /// The transpose that brings every output back to what it was.
    pub(crate) order: Permutation,
}

/// Which inputs of a node are data that a transpose moves through.
pub(crate) enum Data {
    /// The first.
    First,
    /// All.
    All,
    /// All, and they broadcast against each other.
    Broadcast,
}

/// Whether and where a transpose moves through `op`.
pub(crate) fn data_inputs(op: &Op) -> Option<Data> {
    Some(match op {
        Op::Concat(_) => Data::All,
        Op::Binary(b) if b.auto_broadcast == AutoBroadcast::Numpy => Data::Broadcast,
        Op::Select(s) if s.auto_broadcast == AutoBroadcast::Numpy => Data::Broadcast,
        Op::FakeQuantize(_) => Data::Broadcast,
        Op::Unary(_)
        | Op::Round(_)
        | Op::Elu(_)
        | Op::Selu(_)
        | Op::Clamp(_)
        | Op::HardSigmoid(_)
        | Op::Swish(_)
        | Op::Gelu(_)
        | Op::Convert(_)
        | Op::PRelu(_)
        | Op::Softmax(_)
        | Op::LogSoftmax(_)
        | Op::Reduce(_)
        | Op::TopK(_)
        | Op::Lrn(_)
        | Op::Mvn(_)
        | Op::NormalizeL2(_)
        | Op::Squeeze(_)
        | Op::Unsqueeze(_)
        | Op::Split(_)
        | Op::VariadicSplit(_)
        | Op::StridedSlice(_)
        | Op::Slice(_)
        | Op::Gather(_)
        | Op::Pad(_)
        | Op::Tile(_)
        | Op::Broadcast(_)
        | Op::Roll(_)
        | Op::SpaceToBatch(_)
        | Op::BatchToSpace(_)
        | Op::Interpolate(_) => Data::First,
        _ => return None,
    })
}

/// Rewrites node `id` so that its data inputs come as they are before a transpose by `order`. Inputs that are such
/// transposes lose them, constants are transposed, other data gets the inverse transpose in front.
pub(crate) fn commute(model: &mut Model, id: NodeId, order: &Permutation) -> Result<Commuted, Refusal> {
    let node = model.node(id);
    let (mut op, mut inputs) = (node.op.clone(), node.inputs().to_vec());
    let name = node.name.clone();
    let rank = order.rank();
    let mut out = order.clone();
    match data_inputs(&op).ok_or(Refusal::NoMatch)? {
        Data::First => inputs[0] = before(model, inputs[0], order)?,
        Data::All => {
            for port in &mut inputs {
                *port = before(model, *port, order)?;
            }
        }
        Data::Broadcast => {
            ensure(graph::rank(model, id.into()) == Some(rank), || {
                "it is broadcast to a higher rank than the transpose has".to_owned()
            })?;
            for port in &mut inputs {
                *port = before_broadcast(model, *port, order)?;
            }
        }
    }
    let axis_of = |value: i64| {
        graph::axis(value, rank)
            .map(|a| order.axes()[a] as i64)
            .ok_or_else(|| Refusal::because("its axis is out of range"))
    };
    match &mut op {
        Op::Unary(_) | Op::Round(_) | Op::Elu(_) | Op::Clamp(_) | Op::Gelu(_) | Op::Convert(_) => {}
        Op::Binary(_) | Op::Select(_) | Op::FakeQuantize(_) => {}
        // The other inputs are single numbers.
        Op::Selu(_) | Op::HardSigmoid(_) | Op::Swish(_) => {}
        Op::PRelu(_) => inputs[1] = slope(model, inputs[1], order)?,
        Op::Softmax(s) => s.axis = axis_of(s.axis)?,
        Op::LogSoftmax(s) => s.axis = axis_of(s.axis)?,
        Op::TopK(t) => t.axis = axis_of(t.axis)?,
        Op::Concat(c) => c.axis = axis_of(c.axis)?,
        Op::Lrn(_) | Op::Mvn(_) | Op::NormalizeL2(_) => {
            inputs[1] = mapped_axes(model, &name, inputs[1], order)?;
        }
        Op::Reduce(reduce) => {
            let keep = reduce.keep_dims;
            let axes = known_axes(model, inputs[1], rank)?;
            inputs[1] = mapped_axes(model, &name, inputs[1], order)?;
            if !keep {
                out = order.without(&axes);
            }
        }
        Op::Squeeze(_) => {
            let axes = match inputs.get(1) {
                Some(port) => known_axes(model, *port, rank)?,
                None => return Err(Refusal::because("it squeezes whatever has size 1")),
            };
            inputs[1] = mapped_axes(model, &name, inputs[1], order)?;
            out = order.without(&axes);
        }
        Op::Unsqueeze(_) => {
            let count =
                integers(model, inputs[1]).ok_or_else(|| Refusal::because("its axes are computed"))?.len();
            let new = known_axes(model, inputs[1], rank + count)?;
            ensure(new.len() == count, || "its axes repeat".to_owned())?;
            let old: Vec<usize> = (0..rank + count).filter(|a| !new.contains(a)).collect();
            let mut axes: Vec<usize> = (0..rank + count).collect();
            for (i, from) in order.axes().iter().enumerate() {
                axes[old[i]] = old[*from];
            }
            out = Permutation::new(axes);
        }
        Op::Split(_) | Op::VariadicSplit(_) => {
            inputs[1] = mapped_axis(model, &name, inputs[1], order)?;
        }
        Op::Gather(gather) => {
            ensure(gather.batch_dims == 0, || "it gathers in batches".to_owned())?;
            let indices = graph::rank(model, inputs[1]);
            let at = known_axes(model, inputs[2], rank)?;
            inputs[2] = mapped_axis(model, &name, inputs[2], order)?;
            match indices {
                Some(0) => out = order.without(&at),
                Some(1) => {}
                _ => return Err(Refusal::because("its indices have more than one dimension")),
            }
        }
        Op::Pad(_) => {
            for port in &mut inputs[1..3] {
                *port = reordered(model, &name, *port, order)?;
            }
        }
        Op::SpaceToBatch(_) | Op::BatchToSpace(_) => {
            // The batch takes the blocks; it must stay in front.
            ensure(order.axes()[0] == 0, || "the transpose moves the batch".to_owned())?;
            ensure(blocks_are_one_sided(model, &inputs, order), || {
                "the order of its blocks in the batch depends on the order of its dimensions".to_owned()
            })?;
            for port in &mut inputs[1..4] {
                *port = reordered(model, &name, *port, order)?;
            }
        }
        Op::Tile(_) => inputs[1] = reordered(model, &name, inputs[1], order)?,
        Op::Broadcast(broadcast) => {
            ensure(broadcast.mode != BroadcastMode::Explicit, || "its axes are mapped".to_owned())?;
            inputs[1] = reordered(model, &name, inputs[1], order)?;
        }
        Op::Roll(_) => {
            let axes = integers(model, inputs[2]).ok_or_else(|| Refusal::because("its axes are computed"))?;
            let axes: Vec<i64> = axes.into_iter().map(axis_of).collect::<Result<_, _>>()?;
            inputs[2] = constant_like(model, &name, inputs[2], &axes)?;
        }
        Op::StridedSlice(slice) => {
            let plain =
                [&slice.new_axis_mask, &slice.ellipsis_mask].iter().all(|m| m.iter().all(|v| *v == 0));
            ensure(plain, || "it adds dimensions or leaves some out".to_owned())?;
            let dropped: Vec<usize> =
                (0..rank).filter(|i| slice.shrink_axis_mask.get(*i).is_some_and(|m| *m != 0)).collect();
            let length =
                integers(model, inputs[1]).ok_or_else(|| Refusal::because("its bounds are computed"))?.len();
            ensure(length <= rank, || "it slices more dimensions than there are".to_owned())?;
            let inverse = order.inverse();
            // Dimensions that the lists do not reach are taken whole.
            let spread = |list: &[i64], fill: i64| -> Vec<i64> {
                let full: Vec<i64> = (0..rank)
                    .map(|i| if i < length { list.get(i).copied().unwrap_or(0) } else { fill })
                    .collect();
                inverse.apply(&full)
            };
            slice.begin_mask = spread(&slice.begin_mask, 1);
            slice.end_mask = spread(&slice.end_mask, 1);
            slice.new_axis_mask = vec![0; rank];
            slice.ellipsis_mask = vec![0; rank];
            slice.shrink_axis_mask = spread(&slice.shrink_axis_mask, 0);
            for i in 1..inputs.len() {
                let list =
                    integers(model, inputs[i]).ok_or_else(|| Refusal::because("its bounds are computed"))?;
                ensure(list.len() == length, || "its bounds differ in length".to_owned())?;
                inputs[i] = constant_like(model, &name, inputs[i], &spread(&list, i64::from(i == 3)))?;
            }
            if !dropped.is_empty() {
                out = order.without(&dropped);
            }
        }
        Op::Slice(_) => {
            let axes: Vec<i64> = match inputs.get(4) {
                Some(port) => {
                    integers(model, *port).ok_or_else(|| Refusal::because("its axes are computed"))?
                }
                None => {
                    let starts = integers(model, inputs[1])
                        .ok_or_else(|| Refusal::because("its bounds are computed"))?;
                    (0..starts.len() as i64).collect()
                }
            };
            let axes: Vec<i64> = axes.into_iter().map(axis_of).collect::<Result<_, _>>()?;
            let axes = model.add_constant(format!("{name}/axes"), Tensor::from_i64s(&axes));
            inputs.truncate(4);
            inputs.push(axes.into());
        }
        Op::Interpolate(interpolate) => {
            let padded = interpolate.pads_begin.iter().chain(&interpolate.pads_end).any(|p| *p != 0);
            ensure(!padded, || "it pads".to_owned())?;
            let at = match interpolate.form {
                ir::op::InterpolateForm::SizesAndScales => 3,
                ir::op::InterpolateForm::SizesOrScales => 2,
            };
            let port = *inputs.get(at).ok_or_else(|| Refusal::because("it resizes all dimensions"))?;
            let axes = integers(model, port).ok_or_else(|| Refusal::because("its axes are computed"))?;
            let axes: Vec<i64> = axes.into_iter().map(axis_of).collect::<Result<_, _>>()?;
            inputs[at] = constant_like(model, &name, port, &axes)?;
        }
        _ => return Err(Refusal::NoMatch),
    }
    Ok(Commuted { op, inputs, order: out })
}

/// What stands before a transpose by `order` at `port`: its source, a transposed constant, or an inverse transpose.
fn before(model: &mut Model, port: Port, order: &Permutation) -> Result<Port, Refusal> {
    if let Some((_, source)) = transpose(model, port.node).filter(|(found, _)| found == order) {
        return Ok(source);
    }
    ensure(graph::rank(model, port) == Some(order.rank()), || {
        format!("`{}` is not of the transpose's rank", model.node(port.node).name)
    })?;
    let inverse = order.inverse();
    let name = model.node(port.node).name.clone();
    if let Some(tensor) = model.constant(port) {
        let tensor =
            transposed(tensor, &inverse).ok_or_else(|| Refusal::because("a constant can't be transposed"))?;
        return Ok(model.add_constant(name, tensor).into());
    }
    Ok(add_transpose(model, &(name + "/transposed"), port, &inverse)?.into())
}

/// The same for an operand that may have fewer dimensions.
fn before_broadcast(model: &mut Model, port: Port, order: &Permutation) -> Result<Port, Refusal> {
    let rank =
        graph::rank(model, port).ok_or_else(|| Refusal::because("the rank of an operand is not known"))?;
    let missing = order.rank().checked_sub(rank).ok_or(Refusal::NoMatch)?;
    let name = model.node(port.node).name.clone();
    if let Some(tensor) = model.constant(port) {
        if tensor.len() == 1 {
            return Ok(port);
        }
        let shape = [&vec![1; missing][..], tensor.shape()].concat();
        let tensor = tensor.reshaped(shape).ok().and_then(|t| transposed(&t, &order.inverse()));
        let tensor = tensor.ok_or_else(|| Refusal::because("a constant can't be transposed"))?;
        return Ok(model.add_constant(name, tensor).into());
    }
    if rank == 0 {
        return Ok(port);
    }
    if missing == 0 {
        return before(model, port, order);
    }
    let axes: Vec<i64> = (0..missing as i64).collect();
    let axes = model.add_constant(format!("{name}/axes"), Tensor::from_i64s(&axes));
    let raised = model.add(&name, ir::op::Unsqueeze, &[port, axes.into()])?;
    before(model, raised.into(), order)
}

/// A slope of PReLU: a list runs along dimension 1, anything else is broadcast.
fn slope(model: &mut Model, port: Port, order: &Permutation) -> Result<Port, Refusal> {
    let tensor = model.constant(port).ok_or_else(|| Refusal::because("its slope is computed"))?;
    if tensor.len() == 1 {
        return Ok(port);
    }
    let mut shape = vec![1; order.rank()];
    if let ([count], Some(channels)) = (tensor.shape(), order.axes().get(1)) {
        shape[*channels] = *count;
        let tensor = tensor.reshaped(shape).map_err(|e| Refusal::because(e.to_string()))?;
        let name = model.node(port.node).name.clone();
        return Ok(model.add_constant(name, tensor).into());
    }
    before_broadcast(model, port, order)
}

fn known_axes(model: &Model, port: Port, rank: usize) -> Result<Vec<usize>, Refusal> {
    integers(model, port)
        .and_then(|a| graph::axes(&a, rank))
        .ok_or_else(|| Refusal::because("its axes are computed or out of range"))
}

/// Axes of the transpose's output as axes of its input, sorted.
fn mapped_axes(model: &mut Model, name: &str, port: Port, order: &Permutation) -> Result<Port, Refusal> {
    let axes = known_axes(model, port, order.rank())?;
    let mut axes: Vec<i64> = axes.into_iter().map(|a| order.axes()[a] as i64).collect();
    axes.sort_unstable();
    // A scalar stays one.
    let ty = model.ty(port).element_type;
    let shape = if model.ty(port).shape.rank() == Some(0) { vec![] } else { vec![axes.len()] };
    let tensor = Tensor::from_i64_values(ty, &shape, &axes).map_err(|e| Refusal::because(e.to_string()))?;
    Ok(model.add_constant(format!("{name}/axes"), tensor).into())
}

fn mapped_axis(model: &mut Model, name: &str, port: Port, order: &Permutation) -> Result<Port, Refusal> {
    let axes = known_axes(model, port, order.rank())?;
    ensure(axes.len() == 1, || "it has more than one axis".to_owned())?;
    mapped_axes(model, name, port, order)
}

/// A list along the transpose's output dimensions as one along its input's.
fn reordered(model: &mut Model, name: &str, port: Port, order: &Permutation) -> Result<Port, Refusal> {
    let list = integers(model, port)
        .ok_or_else(|| Refusal::because("an input that runs along its dimensions is computed"))?;
    ensure(list.len() == order.rank(), || {
        format!("an input runs along {} dimensions where the transpose has {}", list.len(), order.rank())
    })?;
    constant_like(model, name, port, &order.inverse().apply(&list))
}

/// A constant of the element type at `port`.
fn constant_like(model: &mut Model, name: &str, port: Port, values: &[i64]) -> Result<Port, Refusal> {
    let ty = model.ty(port).element_type;
    let tensor = Tensor::from_i64_values(ty, &[values.len()], values);
    let tensor = tensor.map_err(|e| Refusal::because(e.to_string()))?;
    Ok(model.add_constant(format!("{name}/list"), tensor).into())
}

/// Blocks are counted in the batch in the order of the dimensions; that order must be the same for all dimensions
/// with blocks.
fn blocks_are_one_sided(model: &Model, inputs: &[Port], order: &Permutation) -> bool {
    let Some(blocks) = integers(model, inputs[1]).filter(|b| b.len() == order.rank()) else { return false };
    let blocks = order.inverse().apply(&blocks);
    order.moves_only_ones(|axis| blocks[axis] == 1)
}

/// True when a transpose by `order` of something of this shape leaves the elements where they are.
pub(crate) fn moves_nothing(shape: &PartialShape, order: &Permutation) -> bool {
    shape.dims().is_some_and(|dims| order.moves_only_ones(|axis| dims[axis].value() == Some(1)))
}
