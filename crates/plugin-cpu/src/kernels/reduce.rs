//! Reductions: whole planes of the blocked layout, softmax along an axis.

use super::math;
use crate::{
    isa::{Isa, Kernel, Simd},
    pool::{Pool, Shards, part},
};

/// What becomes of a plane.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Fold {
    /// The sum, times a number.
    Sum(f32),
    /// The greatest.
    Max,
    /// The least.
    Min,
}

/// Folds each plane (`len` pixels of a block) of `src` into one block of `dst`.
pub(crate) fn planes(isa: Isa, pool: &mut Pool, fold: Fold, len: usize, src: &[f32], dst: &mut [f32]) {
    let b = isa.block();
    assert_eq!(src.len(), dst.len() * len);
    let planes = dst.len() / b;
    let out = Shards::new(dst);
    pool.run(&|index, count| {
        for plane in part(planes, index, count) {
            // SAFETY: block `plane`, within `dst` and this thread's own.
            let to = unsafe { std::slice::from_raw_parts_mut(out.get().add(plane * b), b) };
            isa.dispatch(Plane { fold, src: &src[plane * len * b..][..len * b], dst: to });
        }
    });
}

struct Plane<'a> {
    fold: Fold,
    src: &'a [f32],
    dst: &'a mut [f32],
}

impl Kernel for Plane<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let at = |i: usize| {
            let pixel = &self.src[i * S::LANES..(i + 1) * S::LANES];
            // SAFETY: the slice is a vector long.
            unsafe { s.load(pixel.as_ptr()) }
        };
        let pixels = self.src.len() / S::LANES;
        let result = match self.fold {
            Fold::Sum(scale) => {
                // Four sums hide the latency and lose less.
                let mut sums = [s.splat(0.0); 4];
                let quads = pixels / 4 * 4;
                for i in (0..quads).step_by(4) {
                    for (j, sum) in sums.iter_mut().enumerate() {
                        *sum = s.add(*sum, at(i + j));
                    }
                }
                for i in quads..pixels {
                    sums[i % 4] = s.add(sums[i % 4], at(i));
                }
                let sum = s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3]));
                s.mul(sum, s.splat(scale))
            }
            Fold::Max => (1..pixels).fold(at(0), |max, i| s.max(max, at(i))),
            Fold::Min => (1..pixels).fold(at(0), |min, i| s.min(min, at(i))),
        };
        // SAFETY: `planes` gives a block.
        unsafe { s.store(self.dst.as_mut_ptr(), result) };
    }
}

/// `exp(x - max) / sum` along the middle of `[outer, len, inner]`.
pub(crate) fn softmax(
    isa: Isa,
    pool: &mut Pool,
    [outer, len, inner]: [usize; 3],
    src: &[f32],
    dst: &mut [f32],
) {
    assert!(src.len() == outer * len * inner && dst.len() == src.len());
    if dst.is_empty() {
        return;
    }
    let out = Shards::new(dst);
    // Lines along the axis: one at a time where they are contiguous, else a vector of neighbours.
    let groups = if inner == 1 { 1 } else { inner.div_ceil(isa.block()) };
    pool.run(&|index, count| {
        for at in part(outer * groups, index, count) {
            let start = at / groups * len * inner + at % groups * isa.block();
            let width = isa.block().min(inner - at % groups * isa.block());
            // SAFETY: the lines from `start` on, `width` beside each other, are within both and this thread's own.
            unsafe {
                let (src, dst) = (src.as_ptr().add(start), out.get().add(start));
                isa.dispatch(Lines { src, dst, len, inner, width });
            }
        }
    });
}

struct Lines {
    src: *const f32,
    dst: *mut f32,
    len: usize,
    inner: usize,
    width: usize,
}

impl Kernel for Lines {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { src, dst, len, inner, width } = self;
        if inner == 1 {
            // SAFETY: `softmax` gives `len` elements at both pointers.
            unsafe {
                let mut max = f32::NEG_INFINITY;
                for i in 0..len {
                    max = max.max(*src.add(i));
                }
                let shift = s.splat(max);
                let mut sum = s.splat(0.0);
                let mut i = 0;
                let mut rest = 0.0f32;
                while i < len {
                    let n = S::LANES.min(len - i);
                    if n == S::LANES {
                        let e = math::exp(s, s.sub(s.load(src.add(i)), shift));
                        sum = s.add(sum, e);
                        s.store(dst.add(i), e);
                    } else {
                        let e = math::exp(s, s.sub(s.load_first(src.add(i), n), shift));
                        s.store_first(dst.add(i), e, n);
                        rest = s.sum(s.load_first(dst.add(i), n));
                    }
                    i += n;
                }
                let scale = s.splat(1.0 / (s.sum(sum) + rest));
                let mut i = 0;
                while i < len {
                    let n = S::LANES.min(len - i);
                    let x = s.load_first(dst.add(i), n);
                    s.store_first(dst.add(i), s.mul(x, scale), n);
                    i += n;
                }
            }
            return;
        }
        // SAFETY: `softmax` gives lines of `len`, `inner` elements apart, `width` beside each other.
        unsafe {
            let at = |i: usize| s.load_first(src.add(i * inner), width);
            let max = (1..len).fold(at(0), |max, i| s.max(max, at(i)));
            let mut sum = s.splat(0.0);
            for i in 0..len {
                let e = math::exp(s, s.sub(at(i), max));
                sum = s.add(sum, e);
                s.store_first(dst.add(i * inner), e, width);
            }
            let scale = s.div(s.splat(1.0), sum);
            for i in 0..len {
                let x = s.load_first(dst.add(i * inner), width);
                s.store_first(dst.add(i * inner), s.mul(x, scale), width);
            }
        }
    }
}
