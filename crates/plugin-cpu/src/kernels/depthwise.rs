//! Depthwise convolution on the blocked layout: lanes are channels, a tile is pixels of a row, and each input is
//! loaded once for all the taps of a kernel row.

use super::{
    conv::{Addend, Blocked, BlockedMut, ConvShape, Floats, Target, pack_bias, taps},
    conv_tile::unroll,
    post::{PostOps, Sum},
};
use crate::{
    isa::{Isa, Kernel, Simd},
    pool::{Pool, Shards, by_row},
    weights::Weights,
};
use std::{ops::Range, sync::Arc};

/// A convolution of each channel by itself, ready to run.
pub(crate) struct Depthwise {
    pub(super) isa: Isa,
    pub(super) shape: ConvShape,
    /// `[block][tap row][tap column][LANES]`
    weights: Arc<Floats>,
    bias: Floats,
    post: PostOps,
    /// The tap rows that touch the input, for each row of the output.
    taps: Vec<Range<usize>>,
}

/// Rows of one block of channels of an image. Pointers are to row 0, but only rows that are asked for have to be there.
pub(super) struct Band {
    /// The block's input; the rows that the taps of `rows` touch are there.
    pub(super) src: *const f32,
    /// Its output.
    pub(super) dst: *mut f32,
    /// What is added.
    pub(super) addend: Option<*const f32>,
    /// The block.
    pub(super) block: usize,
    /// Rows of output.
    pub(super) rows: Range<usize>,
}

/// A band to compute. The function is applied once some rows have been written, while they are in the first cache.
struct Rows<'a> {
    of: &'a Depthwise,
    bounds: Option<(f32, f32)>,
    band: Band,
}

/// Bytes of output that a function is applied to at a time.
const FINISH_BYTES: usize = 8 << 10;

/// A row's pointers and bounds.
struct Row {
    /// Column 0 of the first tap row within the input.
    src: *const f32,
    weights: *const f32,
    dst: *mut f32,
    /// Null if none, or a function comes between.
    addend: *const f32,
    rows: usize,
    row_stride: usize,
    width: usize,
    pad: usize,
    before: bool,
    lo: f32,
    hi: f32,
}

impl Kernel for Rows<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let shape = &self.of.shape;
        let width = shape.output[1];
        let kernel = shape.kernel[1];
        let behind = (width - 1) * shape.stride[1] + kernel;
        // Tiles look for padding in their first and last columns only.
        let narrow = shape.pad_begin[1] < kernel && behind < shape.pad_begin[1] + shape.input[1] + kernel;
        match (kernel, shape.stride[1], shape.dilation[1]) {
            (3, 1, 1) if narrow => self.each::<S, Window<3, 1>>(s),
            (3, 2, 1) if narrow => self.each::<S, Window<3, 2>>(s),
            (5, 1, 1) if narrow => self.each::<S, Window<5, 1>>(s),
            (5, 2, 1) if narrow => self.each::<S, Window<5, 2>>(s),
            _ => self.each::<S, AnyWindow>(s),
        }
    }
}

impl Rows<'_> {
    #[inline(always)]
    fn each<S: Simd, L: Line>(&self, s: S) {
        let (of, band) = (self.of, &self.band);
        let Depthwise { shape, weights, post, .. } = of;
        let [kh, kw] = shape.kernel;
        let (line, out_line) = (shape.input[1] * S::LANES, shape.output[1] * S::LANES);
        let weights = weights[band.block * kh * kw * S::LANES..][..kh * kw * S::LANES].as_ptr();
        let bias = of.bias[band.block * S::LANES..][..S::LANES].as_ptr();
        // SAFETY: it was just cut out.
        let bias = unsafe { s.load(bias) };
        let in_place = band.addend.is_some_and(|addend| addend == band.dst.cast_const());
        let addend = band.addend.filter(|_| self.bounds.is_some() || in_place);
        let (lo, hi) = self.bounds.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
        let before = self.bounds.is_none() || post.sum == Sum::BeforeActivation;
        let finished = (FINISH_BYTES / (4 * out_line)).max(1);
        let mut rows = band.rows.clone();
        while !rows.is_empty() {
            let some = rows.start..rows.end.min(rows.start + finished);
            for y in some.clone() {
                let taps = of.taps[y].clone();
                let top = (y * shape.stride[0] + taps.start * shape.dilation[0]) as isize
                    - shape.pad_begin[0] as isize;
                let row = Row {
                    src: band.src.wrapping_offset(top * line as isize),
                    weights: weights.wrapping_add(taps.start * kw * S::LANES),
                    dst: band.dst.wrapping_add(y * out_line),
                    addend: addend.map_or(std::ptr::null(), |a| a.wrapping_add(y * out_line)),
                    rows: taps.len(),
                    row_stride: shape.dilation[0] * line,
                    width: shape.input[1],
                    pad: shape.pad_begin[1],
                    before,
                    lo,
                    hi,
                };
                // SAFETY: the row is this one.
                unsafe { L::run(s, &row, bias, shape) };
            }
            if self.bounds.is_none() {
                let channel = band.block * S::LANES;
                let lanes = S::LANES.min(shape.out_channels - channel);
                let (dst, pixels) =
                    (band.dst.wrapping_add(some.start * out_line), some.len() * shape.output[1]);
                let addend = band.addend.filter(|_| !in_place);
                let addend = addend.map(|addend| addend.wrapping_add(some.start * out_line));
                // SAFETY: the rows have been written, and the addend is as long.
                unsafe { post.finish(of.isa, dst, addend, pixels, channel, lanes) };
            }
            rows.start = some.end;
        }
    }
}

/// How a row is computed.
trait Line {
    /// # Safety
    /// The row's pointers are to what its fields say.
    unsafe fn run<S: Simd>(s: S, row: &Row, bias: S::V, shape: &ConvShape);
}

/// By tiles of pixels, for a kernel `K` wide at `STRIDE` without dilation.
struct Window<const K: usize, const STRIDE: usize>;

/// Pixel by pixel, for any kernel.
struct AnyWindow;

impl<const K: usize, const STRIDE: usize> Line for Window<K, STRIDE> {
    #[inline(always)]
    #[allow(clippy::int_plus_one)] // The tile of one pixel comes out of the same macro.
    unsafe fn run<S: Simd>(s: S, row: &Row, bias: S::V, shape: &ConvShape) {
        let output = shape.output[1];
        let mut at = 0;
        macro_rules! tiles {
            ($($p:literal)*) => {$(
                while const { S::REGISTERS >= 32 || $p <= 8 } && at + $p <= output {
                    // SAFETY: `$p` pixels from `at` on are within the row, and taps outside the input are left out.
                    unsafe { tile::<S, K, STRIDE, $p>(s, row, bias, at) };
                    at += $p;
                }
            )*};
        }
        tiles!(14 7 4 2 1);
    }
}

impl Line for AnyWindow {
    #[inline(always)]
    unsafe fn run<S: Simd>(s: S, row: &Row, bias: S::V, shape: &ConvShape) {
        let [kernel, stride, dilation] = [shape.kernel[1], shape.stride[1], shape.dilation[1]];
        for at in 0..shape.output[1] {
            let mut sum = bias;
            for kx in 0..kernel {
                let column = (at * stride + kx * dilation).wrapping_sub(row.pad);
                if column < row.width {
                    for ky in 0..row.rows {
                        // SAFETY: the column and the tap rows are within the input.
                        unsafe {
                            let x = s.load(row.src.wrapping_add(ky * row.row_stride + column * S::LANES));
                            let w = s.load(row.weights.add((ky * kernel + kx) * S::LANES));
                            sum = s.mul_add(x, w, sum);
                        }
                    }
                }
            }
            // SAFETY: `at` is within the row.
            unsafe { finish(s, row, at, sum) };
        }
    }
}

/// # Safety
/// `P` pixels from `at` on are within the row.
#[inline(always)]
unsafe fn tile<S: Simd, const K: usize, const STRIDE: usize, const P: usize>(
    s: S,
    row: &Row,
    bias: S::V,
    at: usize,
) {
    let inputs = (P - 1) * STRIDE + K;
    // The inputs of the tile that are within the row.
    let start = at * STRIDE;
    let lo = row.pad.saturating_sub(start);
    let hi = (row.width + row.pad).saturating_sub(start).min(inputs);
    let src = row.src.wrapping_offset((start as isize - row.pad as isize) * S::LANES as isize);
    let mut acc = [bias; P];
    for ky in 0..row.rows {
        let src = src.wrapping_add(ky * row.row_stride);
        // SAFETY: the weights of the tap rows are there, and inputs from `lo` to `hi` are within the row.
        unsafe {
            let mut w = [s.splat(0.0); K];
            for kx in 0..K {
                w[kx] = s.load(row.weights.add((ky * K + kx) * S::LANES));
            }
            // Only the first and the last columns can be outside.
            tap_row::<S, K, STRIDE, P>(s, &mut acc, src, &w, |i| {
                (i >= K - 1 || lo <= i) && (i + K <= inputs || i < hi)
            });
        }
    }
    if row.addend.is_null() {
        let (lo, hi) = (s.splat(row.lo), s.splat(row.hi));
        unroll!(M < P, {
            // SAFETY: pixel `at + M` is within the row.
            unsafe { s.store(row.dst.add((at + M) * S::LANES), s.min(hi, s.max(lo, acc[M]))) };
        });
    } else {
        for m in 0..P {
            // SAFETY: pixel `at + m` is within the row.
            unsafe { finish(s, row, at + m, acc[m]) };
        }
    }
}

/// # Safety
/// The inputs that are `within` can be read.
#[inline(always)]
#[allow(clippy::absurd_extreme_comparisons)] // The first tap comes out of the same macro.
unsafe fn tap_row<S: Simd, const K: usize, const STRIDE: usize, const P: usize>(
    s: S,
    acc: &mut [S::V; P],
    src: *const f32,
    w: &[S::V; K],
    within: impl Fn(usize) -> bool,
) {
    unroll!(I < (P - 1) * STRIDE + K, {
        if within(I) {
            // SAFETY: the caller's.
            let x = unsafe { s.load(src.wrapping_add(I * S::LANES)) };
            unroll!(KX < K, {
                if const { KX <= I && (I - KX).is_multiple_of(STRIDE) && (I - KX) / STRIDE < P } {
                    let m = I.wrapping_sub(KX) / STRIDE;
                    acc[m] = s.mul_add(x, w[KX], acc[m]);
                }
            });
        }
    });
}

/// Adds, bounds and stores one pixel.
///
/// # Safety
/// Pixel `at` is within the row.
#[inline(always)]
unsafe fn finish<S: Simd>(s: S, row: &Row, at: usize, mut x: S::V) {
    // SAFETY: the caller's; the addend is as long as the output.
    unsafe {
        let addend = row.addend.wrapping_add(at * S::LANES);
        if !row.addend.is_null() && row.before {
            x = s.add(x, s.load(addend));
        }
        x = s.min(s.splat(row.hi), s.max(s.splat(row.lo), x));
        if !row.addend.is_null() && !row.before {
            x = s.add(x, s.load(addend));
        }
        s.store(row.dst.add(at * S::LANES), x);
    }
}

impl Depthwise {
    /// Packs weights `[channels, kernel height, kernel width]`.
    pub(super) fn new(isa: Isa, shape: ConvShape, weights: &Weights, post: PostOps) -> Self {
        let b = isa.block();
        let window = shape.kernel[0] * shape.kernel[1];
        let packed = weights.packed(format!("depthwise {b}"), |weights| {
            let mut packed = Floats::zeroed(shape.out_channels.next_multiple_of(b) * window);
            for (i, w) in weights.iter().enumerate() {
                let (c, tap) = (i / window, i % window);
                packed[(c / b * window + tap) * b + c % b] = *w;
            }
            packed
        });
        let bias = pack_bias(post.bias.as_ref(), shape.out_channels, b);
        let taps = (0..shape.output[0]).map(|y| taps(&shape, 0, y)).collect();
        Self { isa, shape, weights: packed, bias, post, taps }
    }

    /// Computes a band.
    ///
    /// # Safety
    /// The rows that [`Band`] speaks of are there, and the output's are this thread's.
    pub(super) unsafe fn band(&self, target: &Target, band: Band) {
        self.isa.dispatch(Rows { of: self, bounds: target.bounds(), band });
    }

    /// The rows of the input within the window of row `y` of the output; they do not go back as `y` goes on.
    pub(super) fn inputs(&self, y: usize) -> Range<usize> {
        let shape = &self.shape;
        let (start, pad) = (y * shape.stride[0], shape.pad_begin[0]);
        let end = start + (shape.kernel[0] - 1) * shape.dilation[0] + 1;
        start.saturating_sub(pad)..end.saturating_sub(pad).min(shape.input[0])
    }

    /// What happens to the sums.
    pub(super) fn target<'a>(&'a self, addend: Addend<'a>) -> Target<'a> {
        let [h, w] = self.shape.output;
        let image = self.shape.out_channels.next_multiple_of(self.isa.block()) * h * w;
        Target::new(&self.post, addend, image, self.shape.batch)
    }

    /// As [`Conv::run`](super::conv::Conv::run).
    pub(super) fn run(&self, pool: &mut Pool, src: Blocked, dst: BlockedMut, addend: Addend) {
        let (shape, b) = (&self.shape, self.isa.block());
        let blocks = shape.out_channels.div_ceil(b);
        let plane = |[h, w]: [usize; 2]| h * w * b;
        let height = shape.output[0];
        let dst_stride = dst.batch_stride;
        let out = Shards::new(dst.data);
        let target = self.target(addend);
        let band = |image: usize, block: usize, rows: Range<usize>| {
            let place = block * plane(shape.output);
            let dst = out.get().wrapping_add(image * dst_stride + place);
            let addend = target.addend(image, place, dst);
            let src = src.data[image * src.batch_stride + block * plane(shape.input)..].as_ptr();
            // SAFETY: the tensors are as long as the shape says; the parts of the threads are disjoint.
            unsafe { self.band(&target, Band { src, dst, addend, block, rows }) };
        };
        pool.run(&|share| {
            // Places, not channels: so the convolutions before and after are divided.
            for (image, rows) in by_row(share.part(shape.batch * height), height) {
                (0..blocks).for_each(|block| band(image, block, rows.clone()));
            }
        });
    }
}
