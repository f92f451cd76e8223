//! Matrix products with constant weights: `[rows, inputs] x [inputs, outputs]`.
//!
//! Weights are packed in panels, `[outputs / (4 LANES)][inputs][4 LANES]`. A few rows stream them once, front to back;
//! many rows pass over a slice of a panel that stays in the first-level cache. Weights that the model stores as f16
//! stay f16 in memory: they are widened in registers, or a slice at a time.

use super::{
    conv::{Floats, pack_bias},
    conv_tile::unroll,
    post::{PostOps, Sum},
};
use crate::{
    config::processors,
    isa::{Isa, Kernel, Simd},
    memory::Packed,
    pool::{Pool, Shards, part},
    weights::{Weights, transpose},
};
use half::f16;
use std::{mem::MaybeUninit, ops::Range, sync::Arc};

/// Vectors of a panel's width.
const VECTORS: usize = 4;
/// Most floats in a slice of a panel: 32 KiB, which leaves room in the first-level cache for what meets it.
const SLICE: usize = 8192;
/// Most rows that pass over a panel together: theirs of inputs and sums stay in the second-level cache.
const BLOCK: usize = 192;
/// Bytes between the weights that are used and those that are asked for.
const AHEAD: usize = 6144;
/// Bytes of a cache line.
const LINE: usize = 64;

/// A dense layer, ready to run.
pub(crate) struct Dense {
    isa: Isa,
    inputs: usize,
    outputs: usize,
    panels: Panels,
    bias: Floats,
    post: PostOps,
}

enum Panels {
    F32(Arc<Floats>),
    F16(Arc<Packed<f16>>),
}

/// An element of packed weights.
trait Element: Copy {
    /// A vector of them.
    ///
    /// # Safety
    /// `LANES` elements can be read at `p`.
    unsafe fn load<S: Simd>(s: S, p: *const Self) -> S::V;
}

impl Element for f32 {
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, p: *const Self) -> S::V {
        // SAFETY: the caller's.
        unsafe { s.load(p) }
    }
}

impl Element for f16 {
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, p: *const Self) -> S::V {
        // SAFETY: the caller's.
        unsafe { s.load_f16(p) }
    }
}

/// Rows of a tile: sums, an input each and a vector of weights fit the registers.
const fn max_rows<S: Simd>() -> usize {
    match S::REGISTERS {
        32 => 6,
        16 => 3,
        _ => 1,
    }
}

/// [`max_rows`] of an instruction set chosen at run time.
struct MaxRows;

impl Kernel for MaxRows {
    type Out = usize;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> usize {
        max_rows::<S>()
    }
}

impl Dense {
    /// Packs the weights, whose strides are elements from one output to the next and from one input to the next, one
    /// of them 1. The output, and the addend if [`PostOps`] has a sum, are `[rows, outputs]`.
    ///
    /// # Panics
    /// If lengths do not fit.
    pub(crate) fn new(
        isa: Isa,
        [inputs, outputs]: [usize; 2],
        weights: &Weights,
        strides: [usize; 2],
        post: PostOps,
    ) -> Self {
        assert!(post.bias.as_ref().is_none_or(|bias| bias.len() == outputs));
        let width = VECTORS * isa.block();
        let form = format!("dense {width} {strides:?}");
        let panels = if weights.is_half() {
            Panels::F16(weights.packed_half(form, |data| pack(isa, [inputs, outputs], data, strides)))
        } else {
            Panels::F32(weights.packed(form, |data| pack(isa, [inputs, outputs], data, strides)))
        };
        let bias = pack_bias(post.bias.as_ref(), outputs, VECTORS * isa.block());
        Self { isa, inputs, outputs, panels, bias, post }
    }

    /// The name of the kernel, for profiles.
    pub(crate) fn name(&self) -> &'static str {
        match self.panels {
            Panels::F32(_) => "dense",
            Panels::F16(_) => "dense_f16",
        }
    }

    /// Floats of scratch memory that [`run`](Self::run) needs for so many rows of so many inputs.
    pub(crate) fn scratch(isa: Isa, rows: usize, inputs: usize) -> usize {
        if rows > isa.dispatch(MaxRows) { rows * copied_stride(inputs) } else { 0 }
    }

    /// Runs it on rows of inputs, dense in `src`.
    ///
    /// # Panics
    /// If lengths do not fit, or there is an addend and no [`Sum`] or the other way round.
    pub(crate) fn run(
        &self,
        pool: &mut Pool,
        src: &[f32],
        dst: &mut [f32],
        addend: Option<&[f32]>,
        scratch: &mut [f32],
    ) {
        let rows = dst.len() / self.outputs.max(1);
        assert_eq!((src.len(), dst.len()), (rows * self.inputs, rows * self.outputs));
        assert!(addend.is_none_or(|addend| addend.len() == dst.len()));
        assert_eq!(self.post.sum == Sum::None, addend.is_none(), "an addend where none is summed");
        let needed = Self::scratch(self.isa, rows, self.inputs);
        assert!(scratch.len() >= needed);
        let (src, stride) = match needed {
            0 => (src, self.inputs),
            _ => {
                // Rows that lie a power of two apart push each other out of the cache.
                let stride = copied_stride(self.inputs);
                let to = Shards::new(scratch);
                pool.run(&|share| {
                    for row in share.part(rows) {
                        let from = &src[row * self.inputs..][..self.inputs];
                        // SAFETY: row `row` of the scratch memory, whose length was checked; this thread's own.
                        unsafe {
                            to.get().add(row * stride).copy_from_nonoverlapping(from.as_ptr(), from.len())
                        };
                    }
                });
                (&*scratch, stride)
            }
        };
        let panels = self.outputs.div_ceil(VECTORS * self.isa.block());
        let dst = Shards::new(dst);
        pool.run(&|share| {
            let run = |panels: Range<usize>, rows: Range<usize>| {
                let addend = addend.map_or(std::ptr::null(), <[f32]>::as_ptr);
                self.isa.dispatch(Part { of: self, src, stride, dst: dst.get(), addend, panels, rows });
            };
            // Few panels and many rows: threads share the rows.
            if panels >= share.count() * 4 || rows < share.count() * 2 {
                run(share.part(panels), 0..rows)
            } else {
                run(0..panels, share.part(rows))
            }
        });
    }
}

/// Floats from one copied row to the next: an odd number of cache lines.
fn copied_stride(inputs: usize) -> usize {
    let lines = (inputs * size_of::<f32>()).div_ceil(LINE);
    (lines | 1) * LINE / size_of::<f32>()
}

/// Bytes of weights from which on several threads pack them.
const SHARED: usize = 16 << 20;
/// Inputs that are packed before the next ones are: what they come from is read whole, where it lies together.
const STRETCH: usize = 256;

/// Packs weights in panels of [`VECTORS`] vectors of outputs.
fn pack<T: bytemuck::Pod + Send + Sync>(
    isa: Isa,
    [inputs, outputs]: [usize; 2],
    data: &[T],
    [output_stride, input_stride]: [usize; 2],
) -> Packed<T> {
    let width = VECTORS * isa.block();
    let mut packed = Packed::zeroed(outputs.next_multiple_of(width) * inputs);
    let panels = outputs.div_ceil(width);
    let pack = |panels: Range<usize>, inputs_now: Range<usize>, to: Shards<T>| {
        for p in panels {
            let (first, used) = (p * width, width.min(outputs - p * width));
            let len = inputs_now.len() * width;
            // SAFETY: this part of panel `p`, which nobody else packs, is within the packed weights.
            let to = unsafe {
                std::slice::from_raw_parts_mut(to.get().add((p * inputs + inputs_now.start) * width), len)
            };
            let from = &data[first * output_stride + inputs_now.start * input_stride..];
            if output_stride == 1 {
                for (k, to) in to.chunks_exact_mut(width).enumerate() {
                    to[..used].copy_from_slice(&from[k * input_stride..][..used]);
                }
            } else {
                transpose(isa, from, output_stride, [used, inputs_now.len()], to, |k| k * width);
            }
        }
    };
    let to = Shards::new(&mut packed);
    let own = |index: usize, count: usize| {
        if output_stride == 1 {
            let mine = part(inputs, index, count);
            for first in mine.clone().step_by(STRETCH) {
                let stretch = first..mine.end.min(first + STRETCH);
                pack(0..panels, stretch.clone(), to);
                ir::release(bytemuck::cast_slice(
                    &data[stretch.start * input_stride..][..(stretch.len() - 1) * input_stride + outputs],
                ));
            }
        } else {
            for p in part(panels, index, count) {
                pack(p..p + 1, 0..inputs, to);
                let end = ((p + 1) * width).min(outputs);
                ir::release(bytemuck::cast_slice(&data[p * width * output_stride..end * output_stride]));
            }
        }
    };
    // A layer that is most of a network is not left to one processor.
    let threads = if size_of_val(data) < SHARED { 1 } else { processors() };
    std::thread::scope(|scope| {
        (1..threads).for_each(|i| _ = scope.spawn(move || own(i, threads)));
        own(0, threads);
    });
    packed
}

/// What one thread computes.
struct Part<'a> {
    of: &'a Dense,
    src: &'a [f32],
    /// From one row of `src` to the next.
    stride: usize,
    dst: *mut f32,
    addend: *const f32,
    panels: Range<usize>,
    rows: Range<usize>,
}

impl Kernel for Part<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = VECTORS * S::LANES;
        let size = width * self.of.inputs;
        if self.rows.len() <= max_rows::<S>() {
            for panel in self.panels.clone() {
                let inputs = 0..self.of.inputs;
                match &self.of.panels {
                    Panels::F32(w) => self.tile(s, panel, self.rows.clone(), inputs, &w[panel * size..]),
                    Panels::F16(w) => self.tile(s, panel, self.rows.clone(), inputs, &w[panel * size..]),
                }
            }
            return;
        }
        let mut wide = Slice([const { MaybeUninit::uninit() }; SLICE]);
        let blocks = self.rows.len().div_ceil(BLOCK);
        for block in 0..blocks {
            let own = part(self.rows.len(), block, blocks);
            let rows = self.rows.start + own.start..self.rows.start + own.end;
            let tiles = rows.len().div_ceil(max_rows::<S>());
            for panel in self.panels.clone() {
                // No inputs at all leave the bias.
                for from in (0..self.of.inputs.max(1)).step_by(SLICE / width) {
                    let depth = from..self.of.inputs.min(from + SLICE / width);
                    let slice = panel * size + depth.start * width..panel * size + depth.end * width;
                    let weights = match &self.of.panels {
                        Panels::F32(w) => &w[slice],
                        Panels::F16(w) => widen(s, &w[slice], &mut wide),
                    };
                    for i in 0..tiles {
                        let own = part(rows.len(), i, tiles);
                        let rows = rows.start + own.start..rows.start + own.end;
                        self.tile(s, panel, rows, depth.clone(), weights);
                    }
                }
            }
        }
    }
}

/// A slice of a panel.
#[repr(align(64))]
struct Slice([MaybeUninit<f32>; SLICE]);

/// Widens whole vectors.
#[inline(always)]
fn widen<'a, S: Simd>(s: S, from: &[f16], to: &'a mut Slice) -> &'a [f32] {
    assert!(from.len() <= SLICE);
    let to = to.0.as_mut_ptr().cast::<f32>();
    for i in (0..from.len() / S::LANES * S::LANES).step_by(S::LANES) {
        // SAFETY: within both.
        unsafe { s.store(to.add(i), s.load_f16(from.as_ptr().add(i))) };
    }
    // SAFETY: a panel's slice is whole vectors, all of which have been written.
    unsafe { std::slice::from_raw_parts(to, from.len() / S::LANES * S::LANES) }
}

impl Part<'_> {
    /// At most [`max_rows`] rows by the inputs `depth`, whose weights are given.
    #[inline(always)]
    fn tile<S: Simd, T: Element>(
        &self,
        s: S,
        panel: usize,
        rows: Range<usize>,
        depth: Range<usize>,
        weights: &[T],
    ) {
        assert!(weights.len() >= depth.len() * VECTORS * S::LANES);
        macro_rules! of {
            ($($r:literal)*) => {
                match rows.len() {
                    $($r if const { $r <= max_rows::<S>() } => {
                        s.vectorize(Tile::<_, $r> { of: self, panel, row: rows.start, depth, weights: weights.as_ptr() })
                    })*
                    _ => {}
                }
            };
        }
        of!(1 2 3 4 5 6);
    }
}

/// `R` rows by a panel.
struct Tile<'a, T, const R: usize> {
    of: &'a Part<'a>,
    panel: usize,
    row: usize,
    depth: Range<usize>,
    weights: *const T,
}

impl<T: Element, const R: usize> Kernel for Tile<'_, T, R> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { of: &Part { of, src, stride, dst, addend, .. }, panel, row, depth, weights } = self;
        let Dense { inputs, outputs, bias, post, .. } = of;
        let width = VECTORS * S::LANES;
        let first = panel * width;
        let place = |r: usize, v: usize| (row + r) * outputs + first + v * S::LANES;
        let lanes = |v: usize| outputs.saturating_sub(first + v * S::LANES).min(S::LANES);
        // As code, not as loops: the sums stay in registers.
        macro_rules! each {
            (|$r:ident, $v:ident| $body:block) => {
                unroll!($r < R, { each!(@ $v $body 0 1 2 3); });
            };
            (@ $v:ident $body:block $($vector:literal)*) => {
                $({
                    const $v: usize = $vector;
                    $body
                })*
            };
        }
        const { assert!(VECTORS == 4) };
        // SAFETY: rows, outputs and inputs are within `src`, `dst`, the addend and the packed bias, whose lengths
        // `run` has compared; lanes beyond the last output are not touched; `tile` has compared the weights' length.
        unsafe {
            let whole = first + width <= *outputs;
            let load = |p: *const f32, v: usize| if whole { s.load(p) } else { s.load_first(p, lanes(v)) };
            let mut acc = [[s.splat(0.0); VECTORS]; R];
            if depth.start == 0 {
                each!(|M, V| {
                    acc[M][V] = s.load(bias.as_ptr().add(first + V * S::LANES));
                });
            } else {
                each!(|M, V| {
                    acc[M][V] = load(dst.wrapping_add(place(M, V)), V);
                });
            }
            let src = src.as_ptr().add(row * stride + depth.start);
            for k in 0..depth.len() {
                let w = weights.add(k * width);
                for line in 0..(width * size_of::<T>()).div_ceil(LINE) {
                    s.prefetch(w.wrapping_byte_add(AHEAD + line * LINE));
                }
                let mut x = [s.splat(0.0); R];
                for r in 0..R {
                    x[r] = s.splat(*src.add(r * stride + k));
                }
                for v in 0..VECTORS {
                    let w = T::load(s, w.add(v * S::LANES));
                    for r in 0..R {
                        acc[r][v] = s.mul_add(x[r], w, acc[r][v]);
                    }
                }
            }
            let last = depth.end == *inputs;
            let bounds = post.activation.bounds().filter(|_| last);
            let sum = if bounds.is_some() { post.sum } else { Sum::None };
            if sum == Sum::BeforeActivation {
                each!(|M, V| {
                    acc[M][V] = s.add(acc[M][V], load(addend.wrapping_add(place(M, V)), V));
                });
            }
            if let Some((lo, hi)) = bounds {
                let (lo, hi) = (s.splat(lo), s.splat(hi));
                each!(|M, V| {
                    acc[M][V] = s.min(hi, s.max(lo, acc[M][V]));
                });
            }
            if sum == Sum::AfterActivation {
                each!(|M, V| {
                    acc[M][V] = s.add(acc[M][V], load(addend.wrapping_add(place(M, V)), V));
                });
            }
            if whole {
                each!(|M, V| {
                    s.store(dst.wrapping_add(place(M, V)), acc[M][V]);
                });
            } else {
                each!(|M, V| {
                    s.store_first(dst.wrapping_add(place(M, V)), acc[M][V], lanes(V));
                });
            }
            if last && bounds.is_none() {
                for r in 0..R {
                    let (dst, addend) = (dst.add(place(r, 0)), addend.wrapping_add(place(r, 0)));
                    post.finish_channels(of.isa, dst, addend, first, (outputs - first).min(width));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::conv_tests::{Random, best_of, compare};
    use crate::kernels::post::Activation;

    #[test]
    fn sizes_about_the_blocks_on_every_instruction_set() {
        let mut r = Random(3);
        for case in 0..120 {
            let rows = r.of(&[1, 1, 2, 3, 4, 5, 6, 7, 13, 20]);
            let inputs = r.of(&[1, 2, 17, 127, 128, 129, 300]);
            let outputs = r.of(&[1, 7, 8, 15, 16, 17, 33, 64, 65, 130]);
            let src = r.vec(rows * inputs);
            let half: Vec<f16> = r.vec(inputs * outputs).into_iter().map(f16::from_f32).collect();
            let full: Vec<f32> = half.iter().map(|h| h.to_f32()).collect();
            let by_output = r.below(2) == 0;
            let strides = if by_output { [inputs, 1] } else { [1, outputs] };
            let add = r.vec(rows * outputs);
            let bias = r.vec(outputs);
            let slopes = r.vec(outputs);
            let (prelu, sum) =
                (r.below(2) == 0, r.of(&[Sum::None, Sum::BeforeActivation, Sum::AfterActivation]));
            let expected: Vec<f32> = (0..rows * outputs)
                .map(|i| {
                    let (m, o) = (i / outputs, i % outputs);
                    let term = |k: usize| {
                        f64::from(src[m * inputs + k]) * f64::from(full[o * strides[0] + k * strides[1]])
                    };
                    let mut y = f64::from(bias[o]) + (0..inputs).map(term).sum::<f64>();
                    if sum == Sum::BeforeActivation {
                        y += f64::from(add[i]);
                    }
                    y = if y > 0.0 {
                        y
                    } else if prelu {
                        y * f64::from(slopes[o])
                    } else {
                        0.0
                    };
                    if sum == Sum::AfterActivation {
                        y += f64::from(add[i]);
                    }
                    y as f32
                })
                .collect();
            for isa in Isa::available() {
                for weights in [Weights::from(&full[..]), Weights::from(&half[..])] {
                    let activation = if prelu { Activation::PRelu(slopes.clone()) } else { Activation::Relu };
                    let post = PostOps { bias: Some(bias.clone()), sum, activation };
                    let dense = Dense::new(isa, [inputs, outputs], &weights, strides, post);
                    let run = |threads| {
                        let mut dst = vec![f32::NAN; rows * outputs];
                        let addend = (sum != Sum::None).then_some(&add[..]);
                        let mut scratch = vec![f32::NAN; Dense::scratch(isa, rows, inputs)];
                        dense.run(&mut Pool::uneven(threads), &src, &mut dst, addend, &mut scratch);
                        dst
                    };
                    let one = run(1);
                    let what =
                        format!("case {case} {} {rows}x{inputs}x{outputs} {}", isa.name(), dense.name());
                    compare(&what, &one, &expected, inputs);
                    assert!(run(2).iter().zip(&one).all(|(a, b)| a.to_bits() == b.to_bits()), "{what}");
                }
            }
        }
    }

    #[test]
    #[ignore = "measures"]
    fn speed_of_dense() {
        let isa = Isa::best();
        let mut r = Random(1);
        for [rows, inputs, outputs] in [
            [1, 2048, 1000],
            [1, 25088, 4096],
            [1, 4096, 4096],
            [2, 4096, 1024],
            [5, 4096, 1024],
            [16, 4096, 1024],
            [32, 2048, 1000],
            [128, 1024, 1024],
            [197, 768, 3072],
        ] {
            let full = r.vec(inputs * outputs);
            let half: Vec<f16> = full.iter().map(|x| f16::from_f32(*x)).collect();
            let src = r.vec(rows * inputs);
            let mut dst = vec![0.0; rows * outputs];
            for (weights, size) in [(Weights::from(&full[..]), 4), (Weights::from(&half[..]), 2)] {
                let dense = Dense::new(isa, [inputs, outputs], &weights, [inputs, 1], PostOps::default());
                let mut pool = Pool::new(1);
                let mut scratch = vec![0.0; Dense::scratch(isa, rows, inputs)];
                let best = best_of(|| dense.run(&mut pool, &src, &mut dst, None, &mut scratch));
                let (bytes, flop) = ((inputs * outputs * size) as f64, (2 * rows * inputs * outputs) as f64);
                println!(
                    "{rows:3} x {inputs:5} x {outputs:4} {:9} {:8.1} us {:6.1} GB/s {:6.1} GFLOP/s",
                    dense.name(),
                    best * 1e6,
                    bytes / best / 1e9,
                    flop / best / 1e9
                );
            }
        }
    }
}
