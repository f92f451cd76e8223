//! Layers that remember. Caffe's take a second input that says, step by step, whether a sequence goes on: where it is
//! 0 the memory is forgotten. That hangs on the data, so steps stand one behind the other.

use crate::scope::{Converted, Problem, Scope, malformed, refuse};
use ir::{
    Port, Tensor,
    op::{Binary, BinaryKind, Broadcast, CellKind, Concat, Gather, MatMul, RecurrentCell, Unary, Unsqueeze},
};

/// The most steps that are written out.
const MOST_STEPS: usize = 4096;

/// What the steps of a layer share.
struct Steps {
    /// Data `[T,N,I]`, that of all steps `[N,S]` beside it.
    data: Port,
    /// Whether a sequence goes on, `[T,N,1]`.
    goes_on: Port,
    steps: usize,
    /// Numbers of a step's data, and of what all steps share.
    widths: [usize; 2],
    hidden: usize,
    /// States before the first step.
    states: Vec<Port>,
}

/// Reads inputs: data, whether it goes on, perhaps data of all steps, perhaps `states` states.
fn steps(s: &mut Scope, states: usize) -> Result<Steps, Problem> {
    let params = s.params("recurrent_param");
    let hidden = params.required_size("num_output")?;
    let exposed = params.flag("expose_hidden", false)?;
    let given = if exposed { states } else { 0 };
    let shared = match s.inputs.len().checked_sub(2 + given) {
        Some(shared @ 0..=1) => shared == 1,
        _ => {
            let found = s.inputs.len();
            return malformed(format!("it has {found} bottoms, expected {} or one more", 2 + given));
        }
    };
    let sizes = s.sizes(s.input(0)?)?;
    let [steps, batch, rest @ ..] = &sizes[..] else {
        return malformed(format!("its data is {sizes:?}, expected [T,N,..]"));
    };
    let (steps, batch) = (*steps, *batch);
    if steps == 0 || steps > MOST_STEPS {
        return refuse(format!("it has {steps} steps; 1 to {MOST_STEPS} can be written out"));
    }
    let mut widths = [rest.iter().product(), 0];
    let mut data = s.reshaped("steps", s.input(0)?, &[0, 0, -1])?;
    if shared {
        let of_all = s.reshaped("shared", s.input(2)?, &[0, -1])?;
        widths[1] = s.sizes(of_all)?.get(1).copied().unwrap_or(0);
        let shape = [steps, batch, widths[1]].map(|size| size as i64);
        let shape = s.i64s("shared/shape", &shape);
        let of_all = s.add("shared/each", Broadcast::default(), &[of_all, shape])?;
        data = s.add("data", Concat { axis: 2 }, &[data, of_all])?;
    }
    let goes_on = s.reshaped("goes_on", s.input(1)?, &[steps as i64, batch as i64, 1])?;
    let mut before = Vec::new();
    for i in 0..states {
        before.push(if exposed {
            let port = s.input(s.inputs.len() - states + i)?;
            s.reshaped(&format!("state_{i}"), port, &[batch as i64, hidden as i64])?
        } else {
            s.floats("state", &[batch, hidden], &vec![0.0; batch * hidden])?
        });
    }
    Ok(Steps { data, goes_on, steps, widths, hidden, states: before })
}

/// Blobs that are blocks of rows, put in another order of blocks; those of shared data stand beside those of a step's.
fn weights(
    s: &mut Scope,
    own: &Steps,
    [bias, state]: [usize; 2],
    order: &[usize],
) -> Result<[Port; 3], Problem> {
    let rows = order.len() * own.hidden;
    let [width, shared] = own.widths;
    let arrange = |tensor: Tensor| -> Vec<f64> {
        let values = tensor.to_f64s();
        let block = values.len() / order.len();
        order.iter().flat_map(|i| &values[i * block..(i + 1) * block]).copied().collect()
    };
    let of_data = arrange(s.blob(0, "weights of the data", &[rows, width])?);
    let of_shared = match shared {
        0 => Vec::new(),
        _ => arrange(s.blob(2, "weights of what all steps share", &[rows, shared])?),
    };
    let both: Vec<f64> = (0..rows)
        .flat_map(|row| {
            of_data[row * width..][..width].iter().chain(&of_shared[row * shared..][..shared]).copied()
        })
        .collect();
    let bias = arrange(s.blob(bias, "bias", &[rows])?);
    let of_state = arrange(s.blob(state, "weights of the state", &[rows, own.hidden])?);
    Ok([
        s.floats("weights", &[rows, width + shared], &both)?,
        s.floats("recurrent", &[rows, own.hidden], &of_state)?,
        s.floats("bias", &[rows], &bias)?,
    ])
}

/// Writes the steps out; the answers of all `[T,N,H]` and the last states.
fn unrolled(
    s: &mut Scope,
    own: Steps,
    cell: RecurrentCell,
    [weights, recurrent, bias]: [Port; 3],
) -> Result<(Port, Vec<Port>), Problem> {
    let (axis, first) = (s.i64("axis", 0), s.i64s("first", &[0]));
    let mut states = own.states;
    let mut answers = Vec::new();
    for step in 0..own.steps {
        let at = s.i64(&format!("{step}/place"), step as i64);
        let data = s.add(&format!("{step}/data"), Gather::default(), &[own.data, at, axis])?;
        let goes_on = s.add(&format!("{step}/goes_on"), Gather::default(), &[own.goes_on, at, axis])?;
        let mut inputs = vec![data];
        for (i, state) in states.iter().enumerate() {
            let op = Binary::new(BinaryKind::Multiply);
            inputs.push(s.add(&format!("{step}/state_{i}"), op, &[*state, goes_on])?);
        }
        inputs.extend([weights, recurrent, bias]);
        let cell = s.add(&format!("{step}/cell"), cell.clone(), &inputs)?;
        states = (0..states.len()).map(|i| cell.node.output(i)).collect();
        answers.push(s.add(&format!("{step}/answer"), Unsqueeze, &[cell, first])?);
    }
    let all = s.add("answers", Concat { axis: 0 }, &answers)?;
    Ok((all, states))
}

/// The tops: answers, and the last states as `[1,N,H]` where the layer shows them.
fn tops(s: &mut Scope, answers: Port, states: &[Port]) -> Converted {
    let mut tops = vec![answers];
    if s.layer.tops.len() > 1 {
        let first = s.i64s("last/axis", &[0]);
        for (i, state) in states.iter().enumerate() {
            tops.push(s.add(&format!("last_{i}"), Unsqueeze, &[*state, first])?);
        }
    }
    if tops.len() < s.layer.tops.len() {
        return malformed(format!(
            "it has {} tops, expected {} at most",
            s.layer.tops.len(),
            1 + states.len()
        ));
    }
    Ok(tops)
}

pub(super) fn lstm(s: &mut Scope) -> Converted {
    let own = steps(s, 2)?;
    let cell = RecurrentCell { hidden_size: own.hidden, ..RecurrentCell::new(CellKind::Lstm) };
    let last = if own.widths[1] > 0 { 3 } else { 2 };
    // Caffe has input, forget, output, candidate.
    let weights = weights(s, &own, [1, last], &[1, 0, 3, 2])?;
    let (answers, states) = unrolled(s, own, cell, weights)?;
    tops(s, answers, &states)
}

/// The state goes through a layer of its own to become the answer.
pub(super) fn rnn(s: &mut Scope) -> Converted {
    let own = steps(s, 1)?;
    let cell = RecurrentCell { hidden_size: own.hidden, ..RecurrentCell::new(CellKind::Rnn) };
    let last = if own.widths[1] > 0 { 3 } else { 2 };
    let hidden = own.hidden;
    let weights = weights(s, &own, [1, last], &[0])?;
    let (all, states) = unrolled(s, own, cell, weights)?;
    let out = s.weights(last + 1, "weights of the answer", &[hidden, hidden])?;
    let bias = s.weights(last + 2, "bias of the answer", &[hidden])?;
    let product = s.add("product", MatMul { transpose_a: false, transpose_b: true }, &[all, out])?;
    let shifted = s.binary("shifted", BinaryKind::Add, product, bias)?;
    let answers = s.emit(Unary::Tanh, &[shifted])?;
    tops(s, answers, &states)
}
