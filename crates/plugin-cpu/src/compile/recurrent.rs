//! Cells that remember, and sequences in one direction.

use super::build::Builder;
use crate::{
    kernels::{
        dense::Dense,
        picks::Indices,
        post::PostOps,
        recurrent::{Memory, Recurrent, Squash},
    },
    plan::{Io, Routine},
    pool::Pool,
};
use ir::{
    ElementType, NodeId, Op,
    device::{DeviceError, DeviceResult},
    op::{Activation, CellKind},
};

/// The op as one step; nothing where both directions are asked for, weights are computed, or a GRU's reset comes
/// before its product.
pub(crate) fn lower(builder: &mut Builder, id: NodeId) -> Option<()> {
    let node = builder.model.node(id);
    let (cell, reversed) = match &node.op {
        Op::RecurrentCell(op) => (op.clone(), None),
        Op::RecurrentSequence(op) if op.directions() == 1 => (op.cell.clone(), Some(op.reversed(0))),
        _ => return None,
    };
    if matches!(cell.kind, CellKind::Gru { linear_before_reset: false }) {
        return None;
    }
    let states = cell.states();
    let ports = node.inputs().to_vec();
    let ([weights, recurrent, biases], rest) = match &ports[..] {
        [rest @ .., w, r, b] => ([*w, *r, *b], rest),
        _ => return None,
    };
    let floats = |port: &ir::Port| builder.model.ty(*port).element_type == ElementType::F32;
    if !rest[..=states].iter().all(floats) || builder.constants.has(rest[0]) {
        return None;
    }
    let index_type = rest.get(1 + states).map(|port| builder.model.ty(*port).element_type);
    if !matches!(index_type, None | Some(ElementType::I32 | ElementType::I64)) {
        return None;
    }
    let (size, gates) = (cell.hidden_size, cell.gates() * cell.hidden_size);
    let (batch, steps, width) = match builder.shape_of(rest[0])[..] {
        [batch, steps, width] => (batch, steps, width),
        [batch, width] => (batch, 1, width),
        _ => return None,
    };
    let bias = builder.constants.floats(biases)?;
    let (weights, recurrent) = (builder.weights(weights)?, builder.weights(recurrent)?);
    if [batch, steps, width, size].contains(&0) {
        return None;
    }
    // The candidate's second bias goes with the state.
    let of_state = (bias.len() > gates).then(|| [&vec![0.0; 2 * size], &bias[gates..]].concat());
    let post = |bias| PostOps { bias, ..PostOps::default() };
    let (data_post, state_post) = (post(Some(bias[..gates].to_vec())), post(of_state));
    let isa = builder.isa;
    let memory = Recurrent::scratch(isa, [batch, steps, width], [gates, size]);
    let inputs = rest.iter().map(|port| builder.plain(id, *port)).collect();
    let count = builder.model.node(id).outputs().len();
    let mut outputs: Vec<_> = (0..count).map(|i| builder.plain_value(id.output(i))).collect();
    (0..count).for_each(|i| builder.define(id.output(i), outputs[i]));
    // A step with one state has no second.
    if states == 1 {
        outputs.push(builder.scratch(0));
    }
    outputs.extend(memory.map(|floats| builder.scratch(floats)));
    let mut activations = [Activation::Tanh; 3];
    activations.iter_mut().zip(&cell.activations).for_each(|(slot, own)| *slot = *own);
    let squash = Squash { activations, clip: cell.clip };
    let (kind, name) = (cell.kind, builder.model.node(id).name.clone());
    let packing = move || {
        let strides = |terms: usize| [terms, 1];
        let work = Recurrent {
            isa,
            kind,
            data: Dense::new(isa, [width, gates], &weights, strides(width), data_post),
            state: Dense::new(isa, [size, gates], &recurrent, strides(size), state_post),
            batch,
            steps,
            size,
            gates,
            reversed: reversed == Some(true),
            squash,
        };
        let exec_type = format!("recurrent_{}_f32", isa.name());
        let routine: Box<Routine> = Box::new(move |io: &Io, pool: &mut Pool| -> DeviceResult<()> {
            let lengths = match index_type {
                None => None,
                Some(ElementType::I32) => Some(Indices::I32(io.input(1 + states))),
                Some(_) => Some(Indices::I64(io.input(1 + states))),
            };
            let length = |item: usize| lengths.map_or(steps as i64, |lengths| lengths.at(item));
            if let Some(wrong) = (0..batch).map(length).find(|length| !(0..=steps as i64).contains(length)) {
                let message =
                    format!("recurrent layer `{name}`: a length of {wrong} is not within 0..={steps}");
                return Err(DeviceError::Failed { device: "CPU".to_owned(), message });
            }
            // A sequence gives its answers before its states.
            let first = usize::from(lengths.is_some());
            let [h, c] = [io.output::<f32>(first), io.output::<f32>(first + 1)];
            h.copy_from_slice(io.input(1));
            if states == 2 {
                c.copy_from_slice(io.input(2));
            }
            let memory = Memory {
                answers: lengths.is_some().then(|| io.output(0)),
                states: [h, c],
                from_data: io.output(first + 2),
                from_state: io.output(first + 3),
                scratch: io.output(first + 4),
            };
            work.run(pool, io.input(0), |item| length(item) as usize, memory);
            Ok(())
        });
        (exec_type, routine)
    };
    builder.packed_step(id, inputs, outputs, None, Box::new(packing));
    Some(())
}
