//! Depthwise convolution on the blocked layout: lanes are channels, a tile is pixels of a row, and each input is
//! loaded once for all the taps of a kernel row.

use super::{
    conv::{Addend, Blocked, BlockedMut, ConvShape, Floats, Target, pack_bias, taps},
    conv_tile::unroll,
    post::{PostOps, Sum},
};
use crate::{
    isa::{Isa, Kernel, Simd},
    pool::{Pool, Shards, part},
    weights::Weights,
};
use std::sync::Arc;

/// A convolution of each channel by itself, ready to run.
pub(crate) struct Depthwise {
    pub(super) isa: Isa,
    pub(super) shape: ConvShape,
    /// `[block][tap row][tap column][LANES]`
    weights: Arc<Floats>,
    bias: Floats,
    post: PostOps,
}

/// The rows that one thread computes.
struct Rows<'a> {
    of: &'a Depthwise,
    src: Blocked<'a>,
    dst: *mut f32,
    dst_stride: usize,
    target: &'a Target<'a>,
    /// Of all rows of all blocks of all images.
    range: std::ops::Range<usize>,
}

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
        let Depthwise { shape, weights, bias, post, isa } = self.of;
        let [oh, ow] = shape.output;
        let [ih, iw] = shape.input;
        let blocks = shape.out_channels.div_ceil(S::LANES);
        let [kh, kw] = shape.kernel;
        for i in self.range.clone() {
            let (image, block, y) = (i / oh / blocks, i / oh % blocks, i % oh);
            let taps = taps(shape, 0, y);
            let place = (block * oh + y) * ow * S::LANES;
            let dst = self.dst.wrapping_add(image * self.dst_stride + place);
            let addend = self.target.addend(image, place, dst);
            let top = (y * shape.stride[0] + taps.start * shape.dilation[0]).wrapping_sub(shape.pad_begin[0]);
            let top = if taps.is_empty() { 0 } else { top };
            let simple = self.target.bounds();
            let in_place = addend.is_some_and(|addend| addend == dst.cast_const());
            let (lo, hi) = simple.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
            let arguments = Row {
                src: self.src.data[image * self.src.batch_stride + (block * ih + top) * iw * S::LANES..]
                    .as_ptr(),
                weights: weights[(block * kh + taps.start) * kw * S::LANES..].as_ptr(),
                dst,
                addend: addend.filter(|_| simple.is_some() || in_place).unwrap_or(std::ptr::null()),
                rows: taps.len(),
                row_stride: shape.dilation[0] * iw * S::LANES,
                width: iw,
                pad: shape.pad_begin[1],
                before: simple.is_none() || post.sum == Sum::BeforeActivation,
                lo,
                hi,
            };
            // SAFETY: there is a bias for every block.
            let bias = unsafe { s.load(bias[block * S::LANES..].as_ptr()) };
            match (kw, shape.stride[1], shape.dilation[1]) {
                (3, 1, 1) => row::<S, 3, 1>(s, &arguments, bias, ow),
                (3, 2, 1) => row::<S, 3, 2>(s, &arguments, bias, ow),
                (5, 1, 1) => row::<S, 5, 1>(s, &arguments, bias, ow),
                (5, 2, 1) => row::<S, 5, 2>(s, &arguments, bias, ow),
                (_, stride, dilation) => {
                    // SAFETY: the row is this one.
                    unsafe { any_row(s, &arguments, bias, ow, [kw, stride, dilation]) }
                }
            }
            if simple.is_none() {
                let channel = block * S::LANES;
                let lanes = S::LANES.min(shape.out_channels - channel);
                // SAFETY: the row has been written, and the addend is as long.
                unsafe { post.finish(*isa, dst, addend.filter(|_| !in_place), ow, channel, lanes) };
            }
        }
    }
}

/// A row by the widest tiles that fit.
#[inline(always)]
#[allow(clippy::int_plus_one)] // The tile of one pixel comes out of the same macro.
fn row<S: Simd, const K: usize, const STRIDE: usize>(s: S, row: &Row, bias: S::V, output: usize) {
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
    tiles!(14 8 7 4 2 1);
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
            if lo == 0 && hi == inputs {
                tap_row::<S, K, STRIDE, P>(s, &mut acc, src, &w, |_| true);
            } else {
                tap_row::<S, K, STRIDE, P>(s, &mut acc, src, &w, |i| lo <= i && i < hi);
            }
        }
    }
    unroll!(M < P, {
        // SAFETY: pixel `at + M` is within the row.
        unsafe { finish(s, row, at + M, acc[M]) };
    });
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

/// A row of any kernel, pixel by pixel.
///
/// # Safety
/// The row's pointers are to what its fields say.
#[inline(always)]
unsafe fn any_row<S: Simd>(
    s: S,
    row: &Row,
    bias: S::V,
    output: usize,
    [kernel, stride, dilation]: [usize; 3],
) {
    for at in 0..output {
        let mut sum = bias;
        for kx in 0..kernel {
            let column = (at * stride + kx * dilation).wrapping_sub(row.pad);
            if column < row.width {
                for ky in 0..row.rows {
                    // SAFETY: the column and the tap rows are within the input.
                    unsafe {
                        let x = s.load(row.src.add(ky * row.row_stride + column * S::LANES));
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

impl Depthwise {
    /// Packs weights `[channels, kernel height, kernel width]`.
    pub(super) fn new(isa: Isa, shape: ConvShape, weights: &Weights, post: PostOps) -> Self {
        let b = isa.block();
        let taps = shape.kernel[0] * shape.kernel[1];
        let packed = weights.packed(format!("depthwise {b}"), |weights| {
            let mut packed = Floats::zeroed(shape.out_channels.next_multiple_of(b) * taps);
            for (i, w) in weights.iter().enumerate() {
                let (c, tap) = (i / taps, i % taps);
                packed[(c / b * taps + tap) * b + c % b] = *w;
            }
            packed
        });
        let bias = pack_bias(post.bias.as_ref(), shape.out_channels, b);
        Self { isa, shape, weights: packed, bias, post }
    }

    /// As [`Conv::run`](super::conv::Conv::run).
    pub(super) fn run(&self, pool: &mut Pool, src: Blocked, dst: BlockedMut, addend: Addend) {
        let shape = &self.shape;
        let blocks = shape.out_channels.div_ceil(self.isa.block());
        let dst_stride = dst.batch_stride;
        let out = Shards::new(dst.data);
        let image = blocks * shape.output[0] * shape.output[1] * self.isa.block();
        let target = Target::new(&self.post, addend, image, shape.batch);
        pool.run(&|index, count| {
            let range = part(shape.batch * blocks * shape.output[0], index, count);
            let (of, target) = (self, &target);
            self.isa.dispatch(Rows { of, src, dst: out.get(), dst_stride, target, range });
        });
    }
}
