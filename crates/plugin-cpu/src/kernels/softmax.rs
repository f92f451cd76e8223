//! SoftMax along an axis: e^(x - max) over the sum.

use super::{Entry, Part, Routine, Step, View, entry};
use crate::{
    isa::{Isa, Simd},
    kernels::math::exp,
    memory::Memory,
};

/// SoftMax of a plain tensor [outer][axis][inner].
pub(crate) struct Softmax {
    pub(crate) src: View,
    pub(crate) dst: View,
    pub(crate) outer: usize,
    pub(crate) axis: usize,
    pub(crate) inner: usize,
    pub(crate) isa: Isa,
    entry: Entry<Slab>,
}

/// One [axis][inner].
struct Slab {
    src: *const f32,
    dst: *mut f32,
    axis: usize,
    inner: usize,
}

struct SlabKernel;

impl Routine for SlabKernel {
    type Args = Slab;

    #[inline(always)]
    unsafe fn run<S: Simd>(s: S, a: &Slab) {
        // SAFETY: the step's.
        unsafe {
            if a.inner == 1 {
                return row(s, a.src, a.dst, a.axis);
            }
            let mut at = 0;
            while at < a.inner {
                let lanes = S::LANES.min(a.inner - at);
                let load = |p: *const f32| if lanes == S::LANES { s.load(p) } else { s.load_first(p, lanes) };
                let store = |p: *mut f32, v| {
                    if lanes == S::LANES { s.store(p, v) } else { s.store_first(p, v, lanes) }
                };
                let mut most = s.splat(f32::NEG_INFINITY);
                for i in 0..a.axis {
                    most = s.max(most, load(a.src.add(i * a.inner + at)));
                }
                let mut sum = s.splat(0.0);
                for i in 0..a.axis {
                    let e = exp(s, s.sub(load(a.src.add(i * a.inner + at)), most));
                    sum = s.add(sum, e);
                    store(a.dst.add(i * a.inner + at), e);
                }
                for i in 0..a.axis {
                    let p = a.dst.add(i * a.inner + at);
                    store(p, s.div(load(p), sum));
                }
                at += lanes;
            }
        }
    }
}

#[inline(always)]
unsafe fn row<S: Simd>(s: S, src: *const f32, dst: *mut f32, len: usize) {
    // SAFETY: the step's.
    unsafe {
        let whole = len / S::LANES * S::LANES;
        let mut most = s.splat(f32::NEG_INFINITY);
        for i in (0..whole).step_by(S::LANES) {
            most = s.max(most, s.load(src.add(i)));
        }
        let mut top = lanes(s, most, S::LANES).fold(f32::NEG_INFINITY, f32::max);
        for i in whole..len {
            top = top.max(*src.add(i));
        }
        let most = s.splat(top);
        let mut sums = s.splat(0.0);
        for i in (0..whole).step_by(S::LANES) {
            let e = exp(s, s.sub(s.load(src.add(i)), most));
            sums = s.add(sums, e);
            s.store(dst.add(i), e);
        }
        let mut sum = s.sum(sums);
        if whole < len {
            let rest = len - whole;
            let e = exp(s, s.sub(s.load_first(src.add(whole), rest), most));
            s.store_first(dst.add(whole), e, rest);
            sum += lanes(s, e, rest).sum::<f32>();
        }
        let sums = s.splat(sum);
        for i in (0..whole).step_by(S::LANES) {
            s.store(dst.add(i), s.div(s.load(dst.add(i)), sums));
        }
        for i in whole..len {
            *dst.add(i) /= sum;
        }
    }
}

/// The first `n` lanes.
#[inline(always)]
fn lanes<S: Simd>(s: S, v: S::V, n: usize) -> impl Iterator<Item = f32> {
    let mut lanes = [0.0; 16];
    // SAFETY: no instruction set has more lanes than the array.
    unsafe { s.store(lanes.as_mut_ptr(), v) };
    lanes.into_iter().take(n)
}

impl Softmax {
    pub(crate) fn new(isa: Isa, [src, dst]: [View; 2], [outer, axis, inner]: [usize; 3]) -> Self {
        Self { src, dst, outer, axis, inner, isa, entry: entry::<SlabKernel>(isa) }
    }
}

impl Step for Softmax {
    fn views(&mut self) -> Vec<&mut View> {
        vec![&mut self.src, &mut self.dst]
    }

    fn name(&self) -> String {
        format!("softmax_{}_f32", self.isa.name())
    }

    fn run(&self, memory: &Memory, part: Part) {
        for outer in part.of(self.outer) {
            let offset = outer * self.axis * self.inner;
            let args = Slab {
                src: memory.at::<f32>(self.src).wrapping_add(offset),
                dst: memory.at::<f32>(self.dst).wrapping_add(offset),
                axis: self.axis,
                inner: self.inner,
            };
            // SAFETY: the views hold `outer` slabs; each is one part's.
            unsafe { self.entry.call(&args) };
        }
    }
}
