//! Reductions along axes, softmax along an axis.

use super::math;
use crate::{
    isa::{Isa, Kernel, Simd},
    pool::{Pool, Shards},
};

/// How a line of elements becomes one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fold {
    /// The sum.
    Sum,
    /// The product.
    Product,
    /// The greatest.
    Max,
    /// The least.
    Min,
}

/// What is folded of each element.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Term {
    /// Itself.
    Plain,
    /// Its magnitude.
    Abs,
    /// Its square.
    Square,
}

/// A reduction along one axis.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Reduction {
    /// What is folded.
    pub(crate) term: Term,
    /// How.
    pub(crate) fold: Fold,
    /// What the result is multiplied by.
    pub(crate) scale: f32,
    /// Whether the square root is taken then.
    pub(crate) root: bool,
}

/// Folds the middle of `[outer, len, inner]`. Threads divide `outer`, or of every `rows` of it, where that is more than
/// one, the rows.
pub(crate) fn reduce(
    isa: Isa,
    pool: &mut Pool,
    reduction: Reduction,
    [outer, len, inner]: [usize; 3],
    rows: usize,
    src: &[f32],
    dst: &mut [f32],
) {
    assert!(src.len() == outer * len * inner && dst.len() == outer * inner);
    assert!(outer.is_multiple_of(rows));
    if dst.is_empty() {
        return;
    }
    // Lines along the axis: one at a time where they are contiguous, else a few vectors of neighbours.
    let width = if inner == 1 { 1 } else { isa.block() * BESIDE };
    let groups = inner.div_ceil(width);
    let out = Shards::new(dst);
    pool.run(&|share| {
        let fold = |at: usize| {
            let (line, first) = (at / groups, at % groups * width);
            // SAFETY: the lines from `first` on, `width` beside each other if there are so many, are within both; the
            // results are this thread's own.
            unsafe {
                let (src, dst) =
                    (src.as_ptr().add(line * len * inner + first), out.get().add(line * inner + first));
                isa.dispatch(Folded { reduction, src, dst, len, inner, width: width.min(inner - first) });
            }
        };
        let (all, units) = if rows > 1 { (rows, rows * groups) } else { (outer, outer * groups) };
        let mine = share.part(all);
        for first in (0..outer * groups).step_by(units.max(1)) {
            (first + mine.start * groups..first + mine.end * groups).for_each(fold);
        }
    });
}

/// Vectors beside each other that are folded together, or chains that one line is folded in: they hide each other's
/// latency.
const BESIDE: usize = 4;

struct Folded {
    reduction: Reduction,
    src: *const f32,
    dst: *mut f32,
    len: usize,
    inner: usize,
    width: usize,
}

impl Folded {
    #[inline(always)]
    fn lines<S: Simd>(
        &self,
        s: S,
        first: f32,
        term: impl Fn(S::V) -> S::V,
        fold: impl Fn(S::V, S::V) -> S::V,
        one: impl Fn(f32, f32) -> f32,
    ) {
        let Self { reduction, src, dst, len, inner, width } = *self;
        let finish = |x: S::V| {
            let x = s.mul(x, s.splat(reduction.scale));
            if reduction.root { s.sqrt(x) } else { x }
        };
        // SAFETY: `reduce` gives lines of `len`, `inner` elements apart, `width` beside each other.
        unsafe {
            let mut acc = [s.splat(first); BESIDE];
            if inner == 1 {
                let step = BESIDE * S::LANES;
                let whole = len / step * step;
                for i in (0..whole).step_by(step) {
                    for (v, acc) in acc.iter_mut().enumerate() {
                        *acc = fold(*acc, term(s.load(src.add(i + v * S::LANES))));
                    }
                }
                let vectors = (len - whole) / S::LANES;
                for v in 0..BESIDE - 1 {
                    if v < vectors {
                        acc[v] = fold(acc[v], term(s.load(src.add(whole + v * S::LANES))));
                    }
                }
                // The lanes, and what is left after whole vectors.
                let mut lanes = [first; 16];
                s.store(lanes.as_mut_ptr(), fold(fold(acc[0], acc[1]), fold(acc[2], acc[3])));
                let mut rest = [0.0; 16];
                let (done, mut n) = (whole + vectors * S::LANES, S::LANES);
                s.store(rest.as_mut_ptr(), term(s.load_first(src.add(done), len - done)));
                for i in 0..len - done {
                    lanes[i] = one(lanes[i], rest[i]);
                }
                while n > 1 {
                    n /= 2;
                    (0..n).for_each(|i| lanes[i] = one(lanes[i], lanes[i + n]));
                }
                s.store_first(dst, finish(s.splat(lanes[0])), 1);
            } else if width == BESIDE * S::LANES {
                for i in 0..len {
                    for (v, acc) in acc.iter_mut().enumerate() {
                        *acc = fold(*acc, term(s.load(src.add(i * inner + v * S::LANES))));
                    }
                }
                for (v, acc) in acc.into_iter().enumerate() {
                    s.store(dst.add(v * S::LANES), finish(acc));
                }
            } else {
                for lane in (0..width).step_by(S::LANES) {
                    let lanes = S::LANES.min(width - lane);
                    let at = |i: usize| match lanes == S::LANES {
                        true => term(s.load(src.add(i * inner + lane))),
                        false => term(s.load_first(src.add(i * inner + lane), lanes)),
                    };
                    let mut acc = [s.splat(first); BESIDE];
                    let whole = len / BESIDE * BESIDE;
                    for i in (0..whole).step_by(BESIDE) {
                        for (j, acc) in acc.iter_mut().enumerate() {
                            *acc = fold(*acc, at(i + j));
                        }
                    }
                    for j in 0..BESIDE - 1 {
                        if whole + j < len {
                            acc[j] = fold(acc[j], at(whole + j));
                        }
                    }
                    let all = fold(fold(acc[0], acc[1]), fold(acc[2], acc[3]));
                    s.store_first(dst.add(lane), finish(all), lanes);
                }
            }
        }
    }
}

impl Kernel for Folded {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let term = self.reduction.term;
        let of = |x: S::V| match term {
            Term::Plain => x,
            Term::Abs => s.abs(x),
            Term::Square => s.mul(x, x),
        };
        match self.reduction.fold {
            Fold::Sum => self.lines(s, 0.0, of, |a, x| s.add(a, x), |a, x| a + x),
            Fold::Product => self.lines(s, 1.0, of, |a, x| s.mul(a, x), |a, x| a * x),
            Fold::Max => {
                self.lines(s, f32::NEG_INFINITY, of, |a, x| s.max(a, x), |a, x| if a > x { a } else { x })
            }
            Fold::Min => {
                self.lines(s, f32::INFINITY, of, |a, x| s.min(a, x), |a, x| if a < x { a } else { x })
            }
        }
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
    pool.run(&|share| {
        for at in share.part(outer * groups) {
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
                let mut top = s.splat(f32::NEG_INFINITY);
                let whole = len / S::LANES * S::LANES;
                for i in (0..whole).step_by(S::LANES) {
                    top = s.max(top, s.load(src.add(i)));
                }
                let mut lanes = [f32::NEG_INFINITY; 16];
                s.store(lanes.as_mut_ptr(), top);
                let rest = (whole..len).map(|i| *src.add(i));
                let max = lanes.into_iter().chain(rest).fold(f32::NEG_INFINITY, f32::max);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::conv_tests::{Random, best_of, compare};

    #[test]
    fn lines_of_any_size_on_every_instruction_set() {
        let mut r = Random(4);
        for case in 0..300 {
            let [outer, len, inner] =
                [1 + r.below(4), 1 + r.below(150), r.of(&[1, 1, 2, 3, 7, 8, 9, 16, 17, 31, 64, 65, 130])];
            let rows = r.of(&[1, 1, outer]);
            let src = r.vec(outer * len * inner);
            let reduction = Reduction {
                term: r.of(&[Term::Plain, Term::Abs, Term::Square]),
                fold: r.of(&[Fold::Sum, Fold::Product, Fold::Max, Fold::Min]),
                scale: r.of(&[1.0, 0.25]),
                root: false,
            };
            let reduction = Reduction { root: reduction.term != Term::Plain, ..reduction };
            let expected: Vec<f32> = (0..outer * inner)
                .map(|at| {
                    let line = (0..len).map(|i| f64::from(src[(at / inner * len + i) * inner + at % inner]));
                    let terms = line.map(|x| match reduction.term {
                        Term::Plain => x,
                        Term::Abs => x.abs(),
                        Term::Square => x * x,
                    });
                    let y = match reduction.fold {
                        Fold::Sum => terms.sum(),
                        Fold::Product => terms.product(),
                        Fold::Max => terms.fold(f64::NEG_INFINITY, f64::max),
                        Fold::Min => terms.fold(f64::INFINITY, f64::min),
                    };
                    let y = y * f64::from(reduction.scale);
                    (if reduction.root { y.sqrt() } else { y }) as f32
                })
                .collect();
            for isa in Isa::available() {
                let run = |threads| {
                    let mut dst = vec![f32::NAN; outer * inner];
                    let sizes = [outer, len, inner];
                    reduce(isa, &mut Pool::uneven(threads), reduction, sizes, rows, &src, &mut dst);
                    dst
                };
                let one = run(1);
                let what = format!("case {case} {} {outer} {len} {inner} {reduction:?}", isa.name());
                compare(&what, &one, &expected, len);
                assert!(run(2).iter().zip(&one).all(|(a, b)| a.to_bits() == b.to_bits()), "{what}");
            }
        }
    }

    #[test]
    fn softmax_of_any_size_on_every_instruction_set() {
        let mut r = Random(6);
        for case in 0..100 {
            let [outer, len, inner] = [1 + r.below(3), 1 + r.below(70), r.of(&[1, 1, 2, 7, 16, 17, 40])];
            let src: Vec<f32> = r.vec(outer * len * inner).into_iter().map(|x| x * 20.0).collect();
            let at = |i: usize, k: usize| (i / inner / len * len + k) * inner + i % inner;
            let expected: Vec<f32> = (0..src.len())
                .map(|i| {
                    let line = || (0..len).map(|k| f64::from(src[at(i, k)]));
                    let max = line().fold(f64::NEG_INFINITY, f64::max);
                    let sum: f64 = line().map(|x| (x - max).exp()).sum();
                    ((f64::from(src[i]) - max).exp() / sum) as f32
                })
                .collect();
            for isa in Isa::available() {
                let run = |threads| {
                    let mut dst = vec![f32::NAN; src.len()];
                    softmax(isa, &mut Pool::uneven(threads), [outer, len, inner], &src, &mut dst);
                    dst
                };
                let one = run(1);
                compare(&format!("case {case} {} {outer} {len} {inner}", isa.name()), &one, &expected, len);
                assert!(run(2).iter().zip(&one).all(|(a, b)| a.to_bits() == b.to_bits()));
            }
        }
    }

    #[test]
    #[ignore = "measures"]
    fn speed_of_reductions() {
        let isa = Isa::best();
        let mut r = Random(1);
        let mut pool = Pool::new(1);
        let mean = Reduction { term: Term::Plain, fold: Fold::Sum, scale: 0.5, root: false };
        for sizes in [[128, 49, 16], [1, 3136, 256], [256, 3136, 1], [64, 197, 768], [1, 1 << 20, 1]] {
            let [outer, len, inner] = sizes;
            let src = r.vec(outer * len * inner);
            let mut dst = vec![0.0; outer * inner];
            let best = best_of(|| reduce(isa, &mut pool, mean, sizes, 1, &src, &mut dst));
            println!("{sizes:?} {:7.1} us {:6.1} GB/s", best * 1e6, 4.0 * src.len() as f64 / best / 1e9);
        }
    }
}
