//! Resizing between points, on any memory layout: each element of the output is a weighted sum of elements along the
//! axes that change. Of each row of the output, first the rows of the input that make it up become one, then that
//! row is resized.

use crate::{
    isa::{Isa, Kernel, Simd},
    pool::{Pool, Shards},
};

/// The elements of the input, with their weights, that make up each element along an axis of the output.
pub(crate) type Taps = Vec<Vec<(usize, f32)>>;

/// The taps of one axis, as many for each element.
#[derive(Clone, Debug)]
struct Axis {
    input: usize,
    output: usize,
    count: usize,
    /// `count` for each element of the output, those that are too many with a weight of 0.
    taps: Vec<(u32, f32)>,
}

impl Axis {
    fn new(input: usize, taps: Option<&Taps>) -> Self {
        let Some(taps) = taps else {
            let taps = (0..input as u32).map(|at| (at, 1.0)).collect();
            return Self { input, output: input, count: 1, taps };
        };
        let count = taps.iter().map(Vec::len).max().unwrap_or(1).max(1);
        let mut all = Vec::new();
        for (i, taps) in taps.iter().enumerate() {
            all.extend(taps.iter().map(|(at, weight)| (*at as u32, *weight)));
            all.resize((i + 1) * count, (0, 0.0));
        }
        Self { input, output: taps.len(), count, taps: all }
    }

    fn taps(&self, at: usize) -> &[(u32, f32)] {
        &self.taps[at * self.count..][..self.count]
    }
}

/// A resizing, ready to run.
#[derive(Debug)]
pub(crate) struct Resample {
    /// The axes before the last one that is resized.
    outer: Vec<Axis>,
    row: Axis,
    /// Elements that lie together behind the row's axis.
    unit: usize,
    /// Threads that can have memory to work in.
    threads: usize,
}

/// Rows that are summed at a time.
const ROWS: usize = 4;

impl Resample {
    /// Of a tensor of `shape` as it lies in memory; `taps` for each axis that is resized.
    ///
    /// # Panics
    /// If no axis is resized, or a tap lies outside of its axis.
    pub(crate) fn new(shape: &[usize], taps: &[Option<Taps>], threads: usize) -> Self {
        let last = taps.iter().rposition(Option::is_some).expect("something is resized");
        let axes: Vec<Axis> =
            shape.iter().zip(taps).map(|(size, taps)| Axis::new(*size, taps.as_ref())).collect();
        assert!(axes.iter().all(|axis| axis.taps.iter().all(|tap| (tap.0 as usize) < axis.input)));
        let unit = shape[last + 1..].iter().product();
        Self { outer: axes[..last].to_vec(), row: axes[last].clone(), unit, threads }
    }

    /// The f32 elements of memory that [`Resample::run`] works in.
    pub(crate) fn scratch(&self) -> usize {
        self.threads * self.row.input * self.unit
    }

    /// Runs it.
    ///
    /// # Panics
    /// If a slice is not as long as the shapes say.
    pub(crate) fn run(&self, isa: Isa, pool: &mut Pool, src: &[f32], dst: &mut [f32], scratch: &mut [f32]) {
        let (from, to) = (self.row.input * self.unit, self.row.output * self.unit);
        let rows: usize = self.outer.iter().map(|axis| axis.output).product();
        let input: usize = self.outer.iter().map(|axis| axis.input).product();
        assert!(src.len() == input * from && dst.len() == rows * to && scratch.len() >= self.scratch());
        let (out, scratch) = (Shards::new(dst), Shards::new(scratch));
        pool.run(&|share| {
            let Some(share) = share.among(self.threads) else { return };
            // SAFETY: each of the threads has memory of its own, of a row.
            let blend =
                unsafe { std::slice::from_raw_parts_mut(scratch.get().add(share.index() * from), from) };
            for row in share.part(rows) {
                // SAFETY: row `row` of `dst`, this thread's own.
                let dst = unsafe { std::slice::from_raw_parts_mut(out.get().add(row * to), to) };
                isa.dispatch(Row { of: self, src, row, blend, dst });
            }
        });
    }
}

struct Row<'a> {
    of: &'a Resample,
    src: &'a [f32],
    row: usize,
    blend: &'a mut [f32],
    dst: &'a mut [f32],
}

impl Row<'_> {
    /// The `i`th row of the input that belongs to the output's row, and its weight.
    #[inline(always)]
    fn tap(&self, mut i: usize) -> (usize, f32) {
        let (mut rest, mut at, mut stride, mut weight) = (self.row, 0, 1, 1.0);
        for axis in self.of.outer.iter().rev() {
            let (tap, share) = axis.taps(rest % axis.output)[i % axis.count];
            rest /= axis.output;
            i /= axis.count;
            at += tap as usize * stride;
            stride *= axis.input;
            weight *= share;
        }
        (at, weight)
    }
}

impl Kernel for Row<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let of = self.of;
        let len = of.row.input * of.unit;
        let count: usize = of.outer.iter().map(|axis| axis.count).product();
        let mut group = [(0, 0.0); ROWS];
        let (mut held, mut first) = (0, true);
        for i in 0..count {
            let (at, weight) = self.tap(i);
            if weight == 0.0 {
                continue;
            }
            if held == ROWS {
                blend(s, self.src, group, held, first, self.blend);
                (held, first) = (0, false);
            }
            group[held] = (at, weight);
            held += 1;
        }
        let row = match group[0] {
            (at, 1.0) if held == 1 && first => &self.src[at * len..][..len],
            _ => {
                let (any, _) = group[0];
                group[held..].fill((any, 0.0));
                blend(s, self.src, group, held, first, self.blend);
                &*self.blend
            }
        };
        stretch(s, &of.row, of.unit, row, self.dst);
    }
}

/// `dst = sum of weight * row` over `count` of the rows of `src`, or that added to what it holds.
#[inline(always)]
fn blend<S: Simd>(s: S, src: &[f32], rows: [(usize, f32); ROWS], count: usize, first: bool, dst: &mut [f32]) {
    let len = dst.len();
    let at = rows.map(|(at, _)| src[at * len..][..len].as_ptr());
    let mut w = [s.splat(0.0); ROWS];
    for (w, (_, weight)) in w.iter_mut().zip(rows) {
        *w = s.splat(weight);
    }
    let mut i = 0;
    while i < len {
        let n = S::LANES.min(len - i);
        // SAFETY: of each row, all as long as `dst`, the `n` elements from `i` on are touched.
        unsafe {
            let load = |p: *const f32| if n == S::LANES { s.load(p) } else { s.load_first(p, n) };
            let to = dst.as_mut_ptr().add(i);
            let mut sum = s.mul(w[0], load(at[0].add(i)));
            if count > 1 {
                sum = s.mul_add(w[1], load(at[1].add(i)), sum);
            }
            if count > 2 {
                sum = s.mul_add(w[2], load(at[2].add(i)), sum);
                sum = s.mul_add(w[3], load(at[3].add(i)), sum);
            }
            if !first {
                sum = s.add(sum, load(to));
            }
            if n == S::LANES { s.store(to, sum) } else { s.store_first(to, sum, n) }
        }
        i += n;
    }
}

/// `dst[o] = sum of weight * src[tap]` for the taps of `o`, units of elements each.
#[inline(always)]
fn stretch<S: Simd>(s: S, axis: &Axis, unit: usize, src: &[f32], dst: &mut [f32]) {
    assert!(src.len() == axis.input * unit && dst.len() == axis.output * unit);
    if unit == 1 {
        if axis.count == 2 {
            for (dst, taps) in dst.iter_mut().zip(axis.taps.chunks_exact(2)) {
                *dst = src[taps[0].0 as usize] * taps[0].1 + src[taps[1].0 as usize] * taps[1].1;
            }
            return;
        }
        for (dst, taps) in dst.iter_mut().zip(axis.taps.chunks_exact(axis.count)) {
            *dst = taps.iter().map(|(at, weight)| src[*at as usize] * weight).sum();
        }
        return;
    }
    for (dst, taps) in dst.chunks_exact_mut(unit).zip(axis.taps.chunks_exact(axis.count)) {
        let mut i = 0;
        while i < unit {
            let n = S::LANES.min(unit - i);
            // SAFETY: `new` saw that the taps lie on the axis; the `n` elements from `i` on of units are touched.
            unsafe {
                let mut sum = s.splat(0.0);
                for (at, weight) in taps {
                    let from = src.as_ptr().add(*at as usize * unit + i);
                    let x = if n == S::LANES { s.load(from) } else { s.load_first(from, n) };
                    sum = s.mul_add(x, s.splat(*weight), sum);
                }
                let to = dst.as_mut_ptr().add(i);
                if n == S::LANES { s.store(to, sum) } else { s.store_first(to, sum, n) }
            }
            i += n;
        }
    }
}
