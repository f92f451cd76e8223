//! Constant folding: what depends on constants alone becomes a constant, unless that makes the model larger.

use crate::{
    graph::{integers, known},
    pass::Record,
    permutation::{Permutation, transposed},
};
use ir::{
    Model, ModelError, NodeId, Op, Port, Tensor,
    op::{Binary, BinaryKind, Constant},
};

/// Results up to this many bytes are folded whatever they come from.
const SMALL: usize = 4096;

/// Shape arithmetic that inference knows, and functions of constants.
pub(crate) fn fold_constants(model: &mut Model, record: &mut Record) -> Result<usize, ModelError> {
    let mut changes = 0;
    for id in model.topological_order()? {
        let Some(node) = model.get(id) else { continue };
        if matches!(node.op, Op::Parameter(_) | Op::Constant(_) | Op::OpResult(_) | Op::Custom(_))
            || node.rt_info.contains_key("decompression")
            || node.op.operator().has_state()
        {
            continue;
        }
        let folded = match known_outputs(model, id) {
            Some(tensors) => Ok(tensors),
            None if node.inputs().iter().all(|port| model.constant(*port).is_some())
                && !node.inputs().is_empty() =>
            {
                fold(model, id)
            }
            None => continue,
        };
        match folded {
            Ok(tensors) => {
                replace_outputs(model, id, tensors);
                changes += 1;
            }
            Err(reason) => record.refused("fold", &model.node(id).name, reason),
        }
    }
    Ok(changes)
}

/// The outputs, when inference knows every element.
fn known_outputs(model: &Model, id: NodeId) -> Option<Vec<Tensor>> {
    (0..model.node(id).outputs().len()).map(|i| known(model, id.output(i)).cloned()).collect()
}

fn fold(model: &Model, id: NodeId) -> Result<Vec<Tensor>, String> {
    let node = model.node(id);
    let mut freed = 0;
    let mut inputs = Vec::new();
    for (i, port) in node.inputs().iter().enumerate() {
        let tensor = model.constant(*port).expect("the caller checked");
        if model.users_of(port.node).all(|(user, _)| user == id) && !node.inputs()[..i].contains(port) {
            freed += tensor.bytes().len();
        }
        inputs.push(tensor.clone());
    }
    let mut bytes = 0usize;
    for output in node.outputs() {
        let sizes = output.ty.shape.sizes().ok_or("its output shape is not known")?;
        let count = ir::element_count(&sizes).and_then(|n| output.ty.element_type.byte_len(n));
        bytes = bytes.saturating_add(count.unwrap_or(usize::MAX));
    }
    if bytes > SMALL && bytes > freed {
        return Err(format!("folding would add {bytes} bytes to the model and free {freed}"));
    }
    let folded = match fast(model, id, &inputs) {
        Some(tensor) => Ok(vec![tensor]),
        None => node.op.operator().evaluate(&inputs).map_err(|e| e.to_string()),
    };
    // What was read of a file for it need not stay in memory beside the result.
    inputs.iter().filter(|t| t.bytes().len() > SMALL).for_each(|t| ir::release(t.bytes()));
    folded
}

/// Ways for large constants that share or copy bytes instead of evaluating element by element.
fn fast(model: &Model, id: NodeId, inputs: &[Tensor]) -> Option<Tensor> {
    let node = model.node(id);
    match &node.op {
        Op::Transpose(_) => {
            let order = integers(model, node.inputs()[1])?;
            transposed(&inputs[0], &Permutation::from_order(&order, inputs[0].shape().len())?)
        }
        Op::Reshape(_) | Op::Squeeze(_) | Op::Unsqueeze(_) => {
            inputs[0].reshaped(node.outputs()[0].ty.shape.sizes()?).ok()
        }
        Op::Binary(Binary { kind: BinaryKind::Multiply, .. }) => {
            // A factor per place along one axis, on whichever side.
            let (large, small) = if inputs[0].len() >= inputs[1].len() {
                (&inputs[0], &inputs[1])
            } else {
                (&inputs[1], &inputs[0])
            };
            let rank = large.shape().len();
            let lead = rank.checked_sub(small.shape().len())?;
            let mut along = (0..small.shape().len()).filter(|i| small.shape()[*i] != 1);
            let axis = along.next()? + lead;
            if along.next().is_some() {
                return None;
            }
            crate::weights::scaled(large, &[axis], &small.to_f64s())
        }
        _ => None,
    }
}

/// Puts constants in the place of a node's outputs.
fn replace_outputs(model: &mut Model, id: NodeId, tensors: Vec<Tensor>) {
    let node = model.node(id);
    let name = node.name.clone();
    let single = tensors.len() == 1;
    for (i, tensor) in tensors.into_iter().enumerate() {
        let from = id.output(i);
        if model.consumers(from).is_empty() {
            continue;
        }
        let name = if single { name.clone() } else { format!("{name}:{i}") };
        let constant = model.add(name, Constant::new(tensor), &[]).expect("a constant has no inputs");
        model.replace(from, constant.into());
    }
    // Originals go at once: large models would otherwise be held twice.
    let mut open = vec![id];
    while let Some(id) = open.pop() {
        let Some(node) = model.get(id) else { continue };
        if model.users_of(id).next().is_some() || matches!(node.op, Op::Parameter(_) | Op::OpResult(_)) {
            continue;
        }
        open.extend(node.inputs().iter().map(|port: &Port| port.node));
        model.remove(id);
    }
}
