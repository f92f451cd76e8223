//! Cells that remember, and sequences of their steps.

use super::{Inputs, OpError, Operator, PortType, axes::integers, floats::zeros, output_shapes};
use crate::{
    Dim, PartialShape, Tensor,
    attribute::{Attribute, Visit, Visitor, text_enum},
};

text_enum! {
    /// What squashes a gate.
    Activation {
        /// Its logistic sigmoid.
        Sigmoid = "sigmoid",
        /// Its hyperbolic tangent.
        Tanh = "tanh",
        /// What is positive of it.
        Relu = "relu",
    }
}

impl Activation {
    fn of(self, value: f64) -> f64 {
        match self {
            Self::Sigmoid => 1.0 / (1.0 + (-value).exp()),
            Self::Tanh => value.tanh(),
            Self::Relu => value.max(0.0),
        }
    }
}

impl Attribute for Vec<Activation> {
    fn to_text(&self) -> String {
        self.iter().map(Attribute::to_text).collect::<Vec<_>>().join(",")
    }

    fn parse(&mut self, text: &str) -> Result<(), &'static str> {
        self.clear();
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            let mut activation = Activation::Tanh;
            activation.parse(&part.trim().to_ascii_lowercase())?;
            self.push(activation);
        }
        Ok(())
    }
}

/// What a cell computes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CellKind {
    /// Gates forget, input, candidate, output; remembers its state and its answer.
    Lstm,
    /// Gates update, reset, candidate.
    Gru {
        /// The reset gate applies to the product with the weights, not to the state; the candidate then has two
        /// biases.
        linear_before_reset: bool,
    },
    /// One gate.
    Rnn,
}

/// One step of a recurrent layer. Inputs: data `[N,I]`, state `[N,H]`, for LSTM a second state `[N,H]`, weights of the
/// data [gates H, I] and of the state [gates H, H], biases. Outputs: the states.
#[derive(Clone, PartialEq, Debug)]
pub struct RecurrentCell {
    /// What it computes.
    pub kind: CellKind,
    /// Numbers of a state.
    pub hidden_size: usize,
    /// What squashes the gates, the candidate, and an LSTM's state.
    pub activations: Vec<Activation>,
    /// First parameters of the activations; those that are known here have none.
    pub activations_alpha: Vec<f32>,
    /// Second parameters.
    pub activations_beta: Vec<f32>,
    /// Gates are brought to -clip..=clip before they are squashed; 0 leaves them.
    pub clip: f32,
}

impl RecurrentCell {
    /// A cell with the activations that OpenVINO takes by default.
    pub fn new(kind: CellKind) -> Self {
        let activations = match kind {
            CellKind::Lstm => vec![Activation::Sigmoid, Activation::Tanh, Activation::Tanh],
            CellKind::Gru { .. } => vec![Activation::Sigmoid, Activation::Tanh],
            CellKind::Rnn => vec![Activation::Tanh],
        };
        Self {
            kind,
            hidden_size: 1,
            activations,
            activations_alpha: Vec::new(),
            activations_beta: Vec::new(),
            clip: 0.0,
        }
    }

    /// Blocks of rows in the weights.
    pub fn gates(&self) -> usize {
        match self.kind {
            CellKind::Lstm => 4,
            CellKind::Gru { .. } => 3,
            CellKind::Rnn => 1,
        }
    }

    /// Blocks of the biases.
    pub fn biases(&self) -> usize {
        match self.kind {
            CellKind::Gru { linear_before_reset: true } => 4,
            _ => self.gates(),
        }
    }

    /// The number of states.
    pub fn states(&self) -> usize {
        if self.kind == CellKind::Lstm { 2 } else { 1 }
    }

    fn check(&self) -> Result<(), OpError> {
        let expected = Self::new(self.kind).activations.len();
        if self.activations.len() != expected {
            let message = format!("there are {} activations, expected {expected}", self.activations.len());
            return Err(OpError::attribute(message));
        }
        Ok(())
    }
}

impl Visit for RecurrentCell {
    fn visit(&mut self, v: &mut dyn Visitor) {
        if let CellKind::Gru { linear_before_reset } = &mut self.kind {
            v.optional("linear_before_reset", linear_before_reset);
        }
        v.required("hidden_size", &mut self.hidden_size);
        v.optional("activations", &mut self.activations);
        v.optional("activations_alpha", &mut self.activations_alpha);
        v.optional("activations_beta", &mut self.activations_beta);
        v.optional("clip", &mut self.clip);
    }
}

impl Operator for RecurrentCell {
    fn type_name(&self) -> &str {
        match self.kind {
            CellKind::Lstm => "LSTMCell",
            CellKind::Gru { .. } => "GRUCell",
            CellKind::Rnn => "RNNCell",
        }
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        self.check()?;
        let states = self.states();
        inputs.expect(4 + states..=4 + states)?;
        let ty = inputs.same_element_type(0..4 + states)?;
        let hidden = Dim::dim(self.hidden_size);
        let rows = Dim::dim(self.gates()) * hidden;
        let mut data = inputs.fit(0, &[Dim::ANY_DIM; 2], "the data")?;
        for i in 1..=states {
            data[0] = inputs.fit(i, &[data[0], hidden], "a state")?[0];
        }
        inputs.fit(1 + states, &[rows, data[1]], "the weights of the data")?;
        inputs.fit(2 + states, &[rows, hidden], "the weights of the state")?;
        inputs.fit(3 + states, &[Dim::dim(self.biases()) * hidden], "the biases")?;
        Ok(vec![PortType::new(ty, PartialShape::new([data[0], hidden])); states])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shapes = output_shapes(self, inputs)?;
        let states = self.states();
        let [weights, recurrent, biases] = [1, 2, 3].map(|i| inputs[i + states].to_f64s());
        let parameters = Parameters { weights: &weights, recurrent: &recurrent, biases: &biases };
        let data = inputs[0].to_f64s();
        let mut state: Vec<Vec<f64>> = inputs[1..=states].iter().map(Tensor::to_f64s).collect();
        let width = inputs[0].shape()[1];
        for item in 0..shapes[0][0] {
            let range = item * self.hidden_size..(item + 1) * self.hidden_size;
            let mut own: Vec<Vec<f64>> = state.iter().map(|state| state[range.clone()].to_vec()).collect();
            self.step(&data[item * width..][..width], &mut own, &parameters);
            for (state, own) in state.iter_mut().zip(own) {
                state[range.clone()].copy_from_slice(&own);
            }
        }
        let ty = inputs[0].element_type();
        state.iter().map(|state| Ok(Tensor::from_f64s(ty, &shapes[0], state)?)).collect()
    }
}

/// Weights and biases of one direction.
struct Parameters<'a> {
    weights: &'a [f64],
    recurrent: &'a [f64],
    biases: &'a [f64],
}

impl RecurrentCell {
    fn step(&self, x: &[f64], states: &mut [Vec<f64>], parameters: &Parameters) {
        let size = self.hidden_size;
        let clip = |v: f64| match f64::from(self.clip) {
            clip if clip > 0.0 => v.max(-clip).min(clip),
            _ => v,
        };
        let product = |weights: &[f64], row: usize, values: &[f64]| -> f64 {
            let row = &weights[row * values.len()..][..values.len()];
            row.iter().zip(values).map(|(w, v)| w * v).sum()
        };
        let from_data = |row: usize| product(parameters.weights, row, x) + parameters.biases[row];
        let from = |state: &[f64], row: usize| product(parameters.recurrent, row, state);
        let f = |i: usize, v: f64| self.activations[i].of(clip(v));
        let h = states[0].clone();
        let gate = |block: usize, i: usize| from_data(block * size + i) + from(&h, block * size + i);
        match self.kind {
            CellKind::Rnn => states[0].iter_mut().enumerate().for_each(|(i, h)| *h = f(0, gate(0, i))),
            CellKind::Lstm => {
                for i in 0..size {
                    let [forget, input, output] = [0, 1, 3].map(|block| f(0, gate(block, i)));
                    states[1][i] = forget * states[1][i] + input * f(1, gate(2, i));
                    states[0][i] = output * self.activations[2].of(states[1][i]);
                }
            }
            CellKind::Gru { linear_before_reset } => {
                let reset: Vec<f64> = (0..size).map(|i| f(0, gate(1, i))).collect();
                let weakened: Vec<f64> = h.iter().zip(&reset).map(|(h, r)| h * r).collect();
                for i in 0..size {
                    let row = 2 * size + i;
                    let remembered = match linear_before_reset {
                        true => reset[i] * (from(&h, row) + parameters.biases[3 * size + i]),
                        false => from(&weakened, row),
                    };
                    let (update, candidate) = (f(0, gate(0, i)), f(1, from_data(row) + remembered));
                    states[0][i] = (1.0 - update) * candidate + update * h[i];
                }
            }
        }
    }
}

text_enum! {
    /// Which way a sequence is gone through.
    Direction {
        /// From its beginning.
        Forward = "forward",
        /// From its end.
        Reverse = "reverse",
        /// Both, each with weights and states of its own.
        Bidirectional = "bidirectional",
    }
}

/// Steps of a cell over sequences. Inputs: data `[N,T,I]`, states `[N,D,H]`, lengths `[N]`, and for each of D directions
/// weights and biases as the cell's. Outputs: the answers `[N,D,T,H]`, 0 behind the end of a sequence, and the last
/// states `[N,D,H]`.
#[derive(Clone, PartialEq, Debug)]
pub struct RecurrentSequence {
    /// What each step computes.
    pub cell: RecurrentCell,
    /// The direction.
    pub direction: Direction,
}

impl RecurrentSequence {
    /// A sequence forward, with the activations that OpenVINO takes by default.
    pub fn new(kind: CellKind) -> Self {
        Self { cell: RecurrentCell::new(kind), direction: Direction::Forward }
    }

    /// The number of directions.
    pub fn directions(&self) -> usize {
        if self.direction == Direction::Bidirectional { 2 } else { 1 }
    }

    /// Whether direction `i` goes from the end.
    pub fn reversed(&self, i: usize) -> bool {
        self.direction == Direction::Reverse || i == 1
    }
}

impl Visit for RecurrentSequence {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("direction", &mut self.direction);
        self.cell.visit(v);
    }
}

impl Operator for RecurrentSequence {
    fn type_name(&self) -> &str {
        match self.cell.kind {
            CellKind::Lstm => "LSTMSequence",
            CellKind::Gru { .. } => "GRUSequence",
            CellKind::Rnn => "RNNSequence",
        }
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        self.cell.check()?;
        let states = self.cell.states();
        inputs.expect(5 + states..=5 + states)?;
        let ty = inputs.same_element_type((0..5 + states).filter(|i| *i != 1 + states))?;
        let lengths = inputs.element_type(1 + states);
        if lengths.is_float() {
            return Err(OpError::element_type(format!("the lengths are {lengths}, expected integers")));
        }
        let (hidden, directions) = (Dim::dim(self.cell.hidden_size), Dim::dim(self.directions()));
        let rows = Dim::dim(self.cell.gates()) * hidden;
        let mut data = inputs.fit(0, &[Dim::ANY_DIM; 3], "the data")?;
        for i in 1..=states {
            data[0] = inputs.fit(i, &[data[0], directions, hidden], "a state")?[0];
        }
        data[0] = inputs.fit(1 + states, &data[..1], "the lengths")?[0];
        inputs.fit(2 + states, &[directions, rows, data[2]], "the weights of the data")?;
        inputs.fit(3 + states, &[directions, rows, hidden], "the weights of the state")?;
        let biases = Dim::dim(self.cell.biases()) * hidden;
        inputs.fit(4 + states, &[directions, biases], "the biases")?;
        let mut types = vec![PortType::new(ty, PartialShape::new([data[0], directions, data[1], hidden]))];
        types.resize(1 + states, PortType::new(ty, PartialShape::new([data[0], directions, hidden])));
        Ok(types)
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shapes = output_shapes(self, inputs)?;
        let (cell, states) = (&self.cell, self.cell.states());
        let (size, directions) = (cell.hidden_size, self.directions());
        let [weights, recurrent, biases] = [2, 3, 4].map(|i| inputs[i + states].to_f64s());
        let data = inputs[0].to_f64s();
        let &[batch, steps, width] = inputs[0].shape() else { return Err(OpError::shape("checked before")) };
        let lengths = integers(&inputs[1 + states], "the lengths")?;
        let mut answers = zeros(&shapes[0])?;
        let mut last: Vec<Vec<f64>> = inputs[1..=states].iter().map(Tensor::to_f64s).collect();
        for (item, length) in lengths.iter().enumerate().take(batch) {
            let length = usize::try_from(*length).ok().filter(|length| *length <= steps);
            let fail = || OpError::value(format!("a length of {} is not within 0..={steps}", lengths[item]));
            let length = length.ok_or_else(fail)?;
            for direction in 0..directions {
                let of = |all: &'_ [f64]| {
                    let each = all.len() / directions;
                    direction * each..(direction + 1) * each
                };
                let parameters = Parameters {
                    weights: &weights[of(&weights)],
                    recurrent: &recurrent[of(&recurrent)],
                    biases: &biases[of(&biases)],
                };
                let place = item * directions + direction;
                let range = place * size..(place + 1) * size;
                let mut own: Vec<Vec<f64>> = last.iter().map(|state| state[range.clone()].to_vec()).collect();
                for step in 0..length {
                    let step = if self.reversed(direction) { length - 1 - step } else { step };
                    cell.step(&data[(item * steps + step) * width..][..width], &mut own, &parameters);
                    answers[(place * steps + step) * size..][..size].copy_from_slice(&own[0]);
                }
                for (state, own) in last.iter_mut().zip(own) {
                    state[range.clone()].copy_from_slice(&own);
                }
            }
        }
        let ty = inputs[0].element_type();
        let all = std::iter::once(&answers).chain(&last).zip(&shapes);
        all.map(|(values, shape)| Ok(Tensor::from_f64s(ty, shape, values)?)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::testing::{assert_close, floats, i64s, infer_types, run};

    /// One state of one number: everything can be followed by hand.
    fn inputs(kind: CellKind, x: &[f32]) -> Vec<Tensor> {
        let cell = RecurrentCell::new(kind);
        let rows = cell.gates();
        let mut inputs = vec![floats(&[1, x.len(), 1], x)];
        inputs.extend(vec![floats(&[1, 1, 1], &[0.5]); cell.states()]);
        inputs.push(i64s(&[1], &[x.len() as i64]));
        inputs.push(floats(&[1, rows, 1], &vec![1.0; rows]));
        inputs.push(floats(&[1, rows, 1], &vec![2.0; rows]));
        inputs.push(floats(&[1, cell.biases()], &vec![-1.0; cell.biases()]));
        inputs
    }

    fn sigmoid(v: f64) -> f64 {
        1.0 / (1.0 + (-v).exp())
    }

    #[test]
    fn steps_by_hand() {
        // All gates are x + 2 h - 1.
        let y = run(&RecurrentSequence::new(CellKind::Rnn), &inputs(CellKind::Rnn, &[1.0, 2.0])).unwrap();
        let first = 1.0f64.tanh();
        let second = (1.0 + 2.0 * first).tanh();
        assert_close(&y[0], &[1, 1, 2, 1], &[first, second], "rnn");
        assert_close(&y[1], &[1, 1, 1], &[second], "rnn");
        let y = run(&RecurrentSequence::new(CellKind::Lstm), &inputs(CellKind::Lstm, &[1.0])).unwrap();
        let state = sigmoid(1.0) * 0.5 + sigmoid(1.0) * 1.0f64.tanh();
        assert_close(&y[1], &[1, 1, 1], &[sigmoid(1.0) * state.tanh()], "lstm");
        assert_close(&y[2], &[1, 1, 1], &[state], "lstm");
        for linear_before_reset in [false, true] {
            let kind = CellKind::Gru { linear_before_reset };
            let y = run(&RecurrentSequence::new(kind), &inputs(kind, &[1.0])).unwrap();
            let gate = sigmoid(1.0);
            let remembered = if linear_before_reset { gate * (1.0 - 1.0) } else { 2.0 * gate * 0.5 };
            let want = (1.0 - gate) * remembered.tanh() + gate * 0.5;
            assert_close(&y[1], &[1, 1, 1], &[want], "gru");
        }
    }

    #[test]
    fn cells_are_single_steps() {
        for kind in [CellKind::Lstm, CellKind::Gru { linear_before_reset: true }, CellKind::Rnn] {
            let sequence = inputs(kind, &[0.7]);
            let want = run(&RecurrentSequence::new(kind), &sequence).unwrap();
            let cell = RecurrentCell::new(kind);
            let one = |t: &Tensor| t.reshaped(t.shape()[1..].to_vec()).unwrap();
            let mut single: Vec<Tensor> = sequence.iter().map(one).collect();
            single.remove(1 + cell.states());
            let y = run(&cell, &single).unwrap();
            assert_eq!(y[0].to_f64s(), want[1].to_f64s(), "{kind:?}");
        }
    }

    #[test]
    fn lengths_end_sequences() {
        let op = RecurrentSequence { direction: Direction::Reverse, ..RecurrentSequence::new(CellKind::Rnn) };
        let mut given = inputs(CellKind::Rnn, &[1.0, 2.0, 9.0]);
        given[2] = i64s(&[1], &[2]);
        let last = 2.0f64.tanh();
        let first = (2.0 * last).tanh();
        let y = run(&op, &given).unwrap();
        assert_close(&y[0], &[1, 1, 3, 1], &[first, last, 0.0], "reverse");
        assert_close(&y[1], &[1, 1, 1], &[first], "reverse");
        given[2] = i64s(&[1], &[4]);
        assert!(op.evaluate(&given).is_err());
    }

    #[test]
    fn types_follow_from_what_is_known() {
        let cell = RecurrentCell { hidden_size: 5, ..RecurrentCell::new(CellKind::Lstm) };
        let op = RecurrentSequence { cell, direction: Direction::Bidirectional };
        let state = "f32[?,2,5]";
        let ok = ["f32[3,?,4]", state, state, "i32[?]", "f32[2,20,4]", "f32[2,20,5]", "f32[2,20]"];
        assert_eq!(infer_types(&op, &ok).unwrap(), ["f32[3,2,?,5]", "f32[3,2,5]", "f32[3,2,5]"]);
        for (i, bad) in
            [(1, "f32[3,1,5]"), (3, "f32[3]"), (4, "f32[2,20,3]"), (6, "f32[2,15]"), (3, "i32[4]")]
        {
            let mut types = ok;
            types[i] = bad;
            assert!(infer_types(&op, &types).is_err(), "{bad}");
        }
        let few = RecurrentCell { activations: vec![Activation::Relu], ..op.cell.clone() };
        assert!(infer_types(&RecurrentSequence { cell: few, ..op }, &ok).is_err());
    }
}
