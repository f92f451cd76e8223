//! Normalisations along a run of axes: numbers that are taken from all elements of a line, then applied to each.

use super::math;
use crate::{
    isa::{Isa, Kernel, Simd},
    pool::{Pool, Shards},
};

/// What becomes of a line.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Norm {
    /// `x - mean`
    Mean,
    /// `(x - mean) / sqrt(variance + eps)`
    Inside(f32),
    /// `(x - mean) / (sqrt(variance) + eps)`
    Outside(f32),
    /// `x / sqrt(sum of squares + eps)`
    L2Add(f32),
    /// `x / sqrt(max(sum of squares, eps))`
    L2Max(f32),
    /// `x - log(sum of exp(x))`
    LogSoftmax,
}

/// Vectors beside each other that are worked on together where lines are not contiguous: two cache lines and more.
const BESIDE: usize = 4;

/// Normalises along the middle of `[outer, len, inner]`.
///
/// # Panics
/// If the slices are not of that shape.
pub(crate) fn lines(
    isa: Isa,
    pool: &mut Pool,
    norm: Norm,
    [outer, len, inner]: [usize; 3],
    src: &[f32],
    dst: &mut [f32],
) {
    assert!(src.len() == outer * len * inner && dst.len() == src.len());
    if src.is_empty() {
        return;
    }
    let out = Shards::new(dst);
    let width = if inner == 1 { 1 } else { BESIDE * isa.block() };
    let groups = inner.div_ceil(width);
    pool.run(&|share| {
        for at in share.part(outer * groups) {
            let first = at % groups * width;
            let start = at / groups * len * inner + first;
            // SAFETY: the lines from `start` on, `width` beside each other, are within both and this thread's own.
            unsafe {
                let (src, dst) = (src.as_ptr().add(start), out.get().add(start));
                match inner {
                    1 => isa.dispatch(Line { norm, src, dst, len }),
                    _ => isa.dispatch(Lines { norm, src, dst, len, inner, width: width.min(inner - first) }),
                }
            }
        }
    });
}

impl Norm {
    /// From the sum of squares (of the differences from the mean), what a line's elements are multiplied by.
    #[inline(always)]
    fn scale<S: Simd>(self, s: S, squares: S::V, len: usize) -> S::V {
        let one = s.splat(1.0);
        let variance = s.mul(squares, s.splat(1.0 / len as f32));
        match self {
            Self::Mean | Self::LogSoftmax => one,
            Self::Inside(eps) => s.div(one, s.sqrt(s.add(variance, s.splat(eps)))),
            Self::Outside(eps) => s.div(one, s.add(s.sqrt(variance), s.splat(eps))),
            Self::L2Add(eps) => s.div(one, s.sqrt(s.add(squares, s.splat(eps)))),
            Self::L2Max(eps) => s.div(one, s.sqrt(s.max(squares, s.splat(eps)))),
        }
    }

    fn has_squares(self) -> bool {
        !matches!(self, Self::Mean | Self::LogSoftmax)
    }

    fn has_mean(self) -> bool {
        matches!(self, Self::Mean | Self::Inside(_) | Self::Outside(_))
    }
}

/// A contiguous line.
struct Line {
    norm: Norm,
    src: *const f32,
    dst: *mut f32,
    len: usize,
}

impl Line {
    /// The sum of `f` of all elements, in four sums that hide the latency and lose less.
    ///
    /// # Safety
    /// `len` elements can be read at `src`.
    #[inline(always)]
    unsafe fn sum<S: Simd>(&self, s: S, f: impl Fn(S::V) -> S::V) -> f32 {
        let mut sums = [s.splat(0.0); 4];
        let mut rest = 0.0;
        let mut i = 0;
        while i < self.len {
            let n = S::LANES.min(self.len - i);
            // SAFETY: at most `len` elements are read; a vector has up to sixteen lanes.
            unsafe {
                let at = self.src.add(i);
                // Called in one place only: else it would stay a function of its own, without the instruction set.
                let y = f(if n == S::LANES { s.load(at) } else { s.load_first(at, n) });
                if n == S::LANES {
                    sums[0] = s.add(sums[0], y);
                } else {
                    // What is beyond the end must not count, whatever `f` makes of it.
                    let mut lanes = [0.0f32; 16];
                    s.store(lanes.as_mut_ptr(), y);
                    rest = lanes[..n].iter().sum();
                }
            }
            let [a, b, c, d] = sums;
            sums = [b, c, d, a];
            i += n;
        }
        s.sum(s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3]))) + rest
    }
}

impl Kernel for Line {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: `lines` gives `len` elements at both pointers.
        unsafe {
            let mut shift = 0.0;
            if self.norm.has_mean() {
                shift = self.sum(s, |x| x) / self.len as f32;
            } else if self.norm == Norm::LogSoftmax {
                let line = std::slice::from_raw_parts(self.src, self.len);
                let greatest = line.iter().fold(f32::NEG_INFINITY, |max, x| max.max(*x));
                shift = greatest + self.sum(s, |x| math::exp(s, s.sub(x, s.splat(greatest)))).ln();
            }
            let by = s.splat(shift);
            let mut scale = s.splat(1.0);
            if self.norm.has_squares() {
                let squares = self.sum(s, |x| {
                    let d = s.sub(x, by);
                    s.mul(d, d)
                });
                scale = self.norm.scale(s, s.splat(squares), self.len);
            }
            let mut i = 0;
            while i < self.len {
                let n = S::LANES.min(self.len - i);
                let (from, to) = (self.src.add(i), self.dst.add(i));
                let x = if n == S::LANES { s.load(from) } else { s.load_first(from, n) };
                let y = s.mul(s.sub(x, by), scale);
                if n == S::LANES {
                    s.store(to, y)
                } else {
                    s.store_first(to, y, n)
                }
                i += n;
            }
        }
    }
}

/// Lines beside each other.
struct Lines {
    norm: Norm,
    src: *const f32,
    dst: *mut f32,
    len: usize,
    inner: usize,
    width: usize,
}

impl Lines {
    /// Folds `f` over the lines, a vector each.
    ///
    /// # Safety
    /// `len` rows of `width` elements, `inner` apart, can be read at `src`.
    #[inline(always)]
    unsafe fn fold<S: Simd>(
        &self,
        s: S,
        start: f32,
        f: impl Fn(S::V, S::V, usize) -> S::V,
    ) -> [S::V; BESIDE] {
        let mut sums = [s.splat(start); BESIDE];
        for i in 0..self.len {
            for (j, sum) in sums.iter_mut().enumerate().take(self.width.div_ceil(S::LANES)) {
                let n = S::LANES.min(self.width - j * S::LANES);
                // SAFETY: `n` elements of row `i`.
                let x = unsafe {
                    let from = self.src.add(i * self.inner + j * S::LANES);
                    if n == S::LANES { s.load(from) } else { s.load_first(from, n) }
                };
                *sum = f(*sum, x, j);
            }
        }
        sums
    }
}

impl Kernel for Lines {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: `lines` gives rows of `width` elements at both pointers, and at most `BESIDE` vectors of them.
        unsafe {
            let mut shift = [s.splat(0.0); BESIDE];
            if self.norm.has_mean() {
                shift = self.fold(s, 0.0, |sum, x, _| s.add(sum, x));
                for sum in &mut shift {
                    *sum = s.mul(*sum, s.splat(1.0 / self.len as f32));
                }
            } else if self.norm == Norm::LogSoftmax {
                let greatest = self.fold(s, f32::NEG_INFINITY, |max, x, _| s.max(max, x));
                let sums = self.fold(s, 0.0, |sum, x, j| s.add(sum, math::exp(s, s.sub(x, greatest[j]))));
                for ((shift, greatest), sum) in shift.iter_mut().zip(greatest).zip(sums) {
                    *shift = s.add(greatest, math::log(s, sum));
                }
            }
            let mut scale = [s.splat(1.0); BESIDE];
            if self.norm.has_squares() {
                scale = self.fold(s, 0.0, |sum, x, j| {
                    let d = s.sub(x, shift[j]);
                    s.mul_add(d, d, sum)
                });
                for squares in &mut scale {
                    *squares = self.norm.scale(s, *squares, self.len);
                }
            }
            for i in 0..self.len {
                for j in 0..self.width.div_ceil(S::LANES) {
                    let n = S::LANES.min(self.width - j * S::LANES);
                    let at = i * self.inner + j * S::LANES;
                    let (from, to) = (self.src.add(at), self.dst.add(at));
                    let x = if n == S::LANES { s.load(from) } else { s.load_first(from, n) };
                    let y = s.mul(s.sub(x, shift[j]), scale[j]);
                    if n == S::LANES { s.store(to, y) } else { s.store_first(to, y, n) }
                }
            }
        }
    }
}
