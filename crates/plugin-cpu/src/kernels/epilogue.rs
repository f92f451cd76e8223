//! What a step does to a result while it is at hand: bounds in registers, other functions on the tile just stored.

use super::{Entry, Routine, entry, post::Activation};
use crate::isa::{Isa, Simd};

/// What a step does to a result: bounds while it is in registers, then, where bounds aren't enough, a function.
#[derive(Clone)]
pub(crate) struct Post {
    /// The lower bound.
    pub(crate) low: f32,
    /// The upper bound.
    pub(crate) high: f32,
    /// The function, applied after the bounds.
    pub(crate) map: Option<Mapped>,
}

impl Post {
    /// For an activation.
    pub(crate) fn new(isa: Isa, activation: &Activation) -> Self {
        match *activation {
            Activation::Clamp(low, high) => Self { low, high, map: None },
            _ => match activation.bounds() {
                Some((low, high)) => Self { low, high, map: None },
                None => {
                    let map = Some(Mapped::new(isa, activation.clone()));
                    Self { low: f32::NEG_INFINITY, high: f32::INFINITY, map }
                }
            },
        }
    }
}

/// An activation with the routine that applies it.
#[derive(Clone)]
pub(crate) struct Mapped {
    activation: Activation,
    entry: Entry<Run>,
}

/// A run of elements to apply an activation to; source and destination may be the same.
struct Run {
    activation: *const Activation,
    src: *const f32,
    dst: *mut f32,
    len: usize,
    channel: usize,
}

struct RunRoutine;

impl Routine for RunRoutine {
    type Args = Run;

    #[inline(always)]
    unsafe fn run<S: Simd>(s: S, a: &Run) {
        // SAFETY: both pointers hold `len` elements; the activation outlives the call.
        unsafe {
            let activation = &*a.activation;
            let whole = a.len / S::LANES * S::LANES;
            for i in (0..whole).step_by(S::LANES) {
                s.store(a.dst.add(i), activation.vector(s, s.load(a.src.add(i)), a.channel, S::LANES));
            }
            if whole < a.len {
                let (rest, x) = (a.len - whole, s.load_first(a.src.add(whole), a.len - whole));
                s.store_first(a.dst.add(whole), activation.vector(s, x, a.channel, rest), rest);
            }
        }
    }
}

impl Mapped {
    /// For an instruction set.
    pub(crate) fn new(isa: Isa, activation: Activation) -> Self {
        Self { activation, entry: entry::<RunRoutine>(isa) }
    }

    /// Applies it to `len` floats at `at`. `channel` is that of every vector's first lane; only
    /// [`Activation::PRelu`] asks.
    ///
    /// # Safety
    /// `at` holds `len` floats that nobody else looks at.
    pub(crate) unsafe fn in_place(&self, at: *mut f32, len: usize, channel: usize) {
        // SAFETY: the caller's.
        unsafe { self.apply(at, at, len, channel) }
    }

    /// Applies it to `len` floats at `src`.
    ///
    /// # Safety
    /// Both hold `len` floats; nobody else writes them, nobody else looks at `dst`.
    pub(crate) unsafe fn apply(&self, src: *const f32, dst: *mut f32, len: usize, channel: usize) {
        // SAFETY: the caller's.
        unsafe { self.entry.call(&Run { activation: &self.activation, src, dst, len, channel }) }
    }
}
