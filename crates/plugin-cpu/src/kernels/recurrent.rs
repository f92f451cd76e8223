//! Cells that remember, step by step: what the data gives to the gates is one product over all steps, what the state
//! gives is a product in each.

use super::{dense::Dense, math};
use crate::{
    isa::{Isa, Kernel, Simd},
    pool::Pool,
};
use ir::op::{Activation, CellKind};

/// A layer, ready to run.
pub(crate) struct Recurrent {
    pub(crate) isa: Isa,
    pub(crate) kind: CellKind,
    /// Gates from the data.
    pub(crate) data: Dense,
    /// Gates from the state.
    pub(crate) state: Dense,
    pub(crate) batch: usize,
    pub(crate) steps: usize,
    /// Numbers of a state.
    pub(crate) size: usize,
    /// Rows of gates: their number times `size`.
    pub(crate) gates: usize,
    /// Sequences are gone through from their ends.
    pub(crate) reversed: bool,
    pub(crate) squash: Squash,
}

/// How gates are squashed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Squash {
    pub(crate) activations: [Activation; 3],
    /// Gates are brought to this much around 0 first; 0 leaves them.
    pub(crate) clip: f32,
}

/// What a run writes, and works in.
pub(crate) struct Memory<'a> {
    /// `[batch, steps, size]`, where all answers are asked for.
    pub(crate) answers: Option<&'a mut [f32]>,
    /// The states before the first step, then those behind the last: the answer, and an LSTM's memory.
    pub(crate) states: [&'a mut [f32]; 2],
    pub(crate) from_data: &'a mut [f32],
    pub(crate) from_state: &'a mut [f32],
    pub(crate) scratch: &'a mut [f32],
}

impl Recurrent {
    /// The f32 elements of the last three parts of [`Memory`].
    pub(crate) fn scratch(
        isa: Isa,
        [batch, steps, width]: [usize; 3],
        [gates, size]: [usize; 2],
    ) -> [usize; 3] {
        let products = Dense::scratch(isa, batch * steps, width).max(Dense::scratch(isa, batch, size));
        [batch * steps * gates, batch * gates, products]
    }

    /// Runs sequences of `lengths`, which are within the steps, over `[batch, steps, width]`.
    ///
    /// # Panics
    /// If a slice is too short or a length too large.
    pub(crate) fn run(&self, pool: &mut Pool, src: &[f32], length: impl Fn(usize) -> usize, memory: Memory) {
        let Memory { mut answers, states: [h, c], from_data, from_state, scratch } = memory;
        let (steps, size, gates) = (self.steps, self.size, self.gates);
        let from_data = &mut from_data[..self.batch * steps * gates];
        let from_state = &mut from_state[..self.batch * gates];
        self.data.run(pool, src, from_data, None, scratch);
        if let Some(answers) = &mut answers {
            answers.fill(0.0);
        }
        let longest = (0..self.batch).map(&length).max().unwrap_or(0);
        for step in 0..longest {
            self.state.run(pool, h, from_state, None, scratch);
            for item in 0..self.batch {
                let length = length(item);
                if step >= length {
                    continue;
                }
                let at = item * steps + if self.reversed { length - 1 - step } else { step };
                let own = item * size..(item + 1) * size;
                self.isa.dispatch(Cell {
                    kind: self.kind,
                    squash: self.squash,
                    from_data: &from_data[at * gates..][..gates],
                    from_state: &from_state[item * gates..][..gates],
                    h: &mut h[own.clone()],
                    c: if self.kind == CellKind::Lstm { &mut c[own.clone()] } else { &mut [] },
                });
                if let Some(answers) = &mut answers {
                    answers[at * size..][..size].copy_from_slice(&h[own]);
                }
            }
        }
    }
}

/// One step of one sequence: gates to states.
struct Cell<'a> {
    kind: CellKind,
    squash: Squash,
    from_data: &'a [f32],
    from_state: &'a [f32],
    h: &'a mut [f32],
    c: &'a mut [f32],
}

#[inline(always)]
fn squashed<S: Simd>(s: S, activation: Activation, x: S::V) -> S::V {
    match activation {
        Activation::Sigmoid => math::sigmoid(s, x),
        Activation::Tanh => math::tanh(s, x),
        Activation::Relu => s.max(s.splat(0.0), x),
    }
}

impl Kernel for Cell<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let size = self.h.len();
        let [f, g, out] = self.squash.activations;
        let limit = self.squash.clip;
        let clip = |x: S::V| match limit > 0.0 {
            true => s.min(s.splat(limit), s.max(s.splat(-limit), x)),
            false => x,
        };
        for start in (0..size).step_by(S::LANES) {
            let n = S::LANES.min(size - start);
            // SAFETY: `n` elements from `at` on, by the slice.
            let load = |from: &[f32], at: usize| unsafe { s.load_first(from[at..at + n].as_ptr(), n) };
            // SAFETY: as above.
            let store =
                |to: &mut [f32], v: S::V| unsafe { s.store_first(to[start..start + n].as_mut_ptr(), v, n) };
            let of_data = |block: usize| load(self.from_data, block * size + start);
            let of_state = |block: usize| load(self.from_state, block * size + start);
            let gate = |block: usize| clip(s.add(of_data(block), of_state(block)));
            let h = match self.kind {
                CellKind::Rnn => squashed(s, f, gate(0)),
                CellKind::Lstm => {
                    let [forget, input, output] = [0, 1, 3].map(|block| squashed(s, f, gate(block)));
                    let candidate = squashed(s, g, gate(2));
                    let c = s.mul_add(forget, load(self.c, start), s.mul(input, candidate));
                    store(self.c, c);
                    s.mul(output, squashed(s, out, c))
                }
                CellKind::Gru { .. } => {
                    let [update, reset] = [0, 1].map(|block| squashed(s, f, gate(block)));
                    let candidate = squashed(s, g, clip(s.mul_add(reset, of_state(2), of_data(2))));
                    let before = load(self.h, start);
                    s.mul_add(update, s.sub(before, candidate), candidate)
                }
            };
            store(self.h, h);
        }
    }
}
