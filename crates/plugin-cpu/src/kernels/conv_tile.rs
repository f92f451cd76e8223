//! The inner kernel of direct convolution: a tile of pixels times output channels, held in registers.
//!
//! For each tap and input channel, one vector of weights per channel block meets one broadcast input per pixel.
//! The tile's loops have constant bounds: the compiler unrolls them and keeps the sums in registers.

use crate::isa::{Kernel, Simd};
use std::marker::PhantomData;

/// Which pixels of a tile a column of taps touches; the others would read padding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Column {
    /// The first pixel that reads the input.
    pub(super) lo: usize,
    /// One past the last.
    pub(super) hi: usize,
    /// From [`Tile::src`] to the input of the tile's first pixel, in elements.
    pub(super) offset: isize,
    /// Taps that lie side by side, and are run as one.
    pub(super) taps: usize,
}

/// A tile to compute, or several side by side: a call costs as much as some dozen taps.
#[derive(Clone, Copy)]
pub(super) struct Tile<'a> {
    /// Column 0 of the input row of tap row 0, which may lie in padding.
    pub(super) src: *const f32,
    /// `[block of in channels][tap row][tap column][in channel][NB][LANES]`
    pub(super) weights: *const f32,
    /// First pixel of the first output block.
    pub(super) dst: *mut f32,
    /// The same of the tensor to add.
    pub(super) addend: *const f32,
    /// `[NB][LANES]`
    pub(super) bias: *const f32,
    /// Elements from one output block to the next.
    pub(super) dst_block: usize,
    /// Elements from one block of input channels to the next.
    pub(super) src_block: usize,
    /// Blocks of input channels.
    pub(super) blocks: usize,
    /// Input channels of a block, and of the last one.
    pub(super) depth: usize,
    /// Input channels of the last block.
    pub(super) last_depth: usize,
    /// Tap rows and columns of the kernel.
    pub(super) kernel: [usize; 2],
    /// The first tap row that touches the input.
    pub(super) row_begin: usize,
    /// One past the last.
    pub(super) row_end: usize,
    /// Elements from one tap row's input to the next.
    pub(super) row_stride: usize,
    /// Every column touches every pixel, and a row of taps lies side by side: it runs as one.
    pub(super) whole_rows: bool,
    /// The tap columns.
    pub(super) columns: &'a [Column],
    /// Elements from one pixel to the next, for [`AnyStep`].
    pub(super) step: usize,
    /// Pixels of a tile: those that the kernel was chosen for.
    pub(super) pixels: usize,
    /// Tiles, each beginning where the one before ends.
    pub(super) repeat: usize,
    /// Weights that are needed later.
    pub(super) weights_ahead: Ahead,
    /// Output that is written later.
    pub(super) output_ahead: Ahead,
    /// Add `addend` before the bounds.
    pub(super) add_before: bool,
    /// Add `addend` after the bounds.
    pub(super) add_after: bool,
    /// The bounds of the result.
    pub(super) lo: f32,
    /// The upper one.
    pub(super) hi: f32,
}

/// Lines that a kernel asks for ahead of time. A core can wait for a dozen cache lines at a time, so what comes from
/// memory or from another core has to be asked for steadily, not all while the first tile needs it.
#[derive(Clone, Copy)]
pub(super) struct Ahead {
    /// Where they begin; nothing has to be there.
    pub(super) from: *const f32,
    /// Elements that it goes on with each input element.
    pub(super) step: usize,
}

/// How far ahead weights are asked for that are used once, in elements: nearer ones come late, and farther ones leave
/// the first-level cache before they are used.
const STREAMED: usize = 2048;

impl Ahead {
    /// What lies behind a panel of `len` weights at `weights`, as many, while `tiles` tiles are computed, of which
    /// `done` have been. A single tile streams its weights.
    pub(super) fn panel(weights: *const f32, len: usize, width: usize, done: usize, tiles: usize) -> Self {
        let step = width.div_ceil(tiles);
        if tiles == 1 {
            return Self { from: weights.wrapping_add(STREAMED), step };
        }
        Self { from: weights.wrapping_add(len + done * step * (len / width)), step }
    }

    /// The next address.
    #[inline(always)]
    pub(super) fn next(&mut self) -> *const f32 {
        let next = self.from;
        self.from = next.wrapping_add(self.step);
        next
    }

    /// Nothing but a line that is there already.
    pub(super) fn none(line: *const f32) -> Self {
        Self { from: line, step: 0 }
    }
}

/// Cuts a row of pixels into tiles of at most `most`, as even as can be: the pixels of a tile and the number of such
/// tiles, first of one kind, then of the other.
pub(super) fn cut(pixels: usize, most: usize) -> [(usize, usize); 2] {
    let tiles = pixels.div_ceil(most).max(1);
    let (short, longer) = (pixels / tiles, pixels % tiles);
    [(short + 1, longer), (short, tiles - longer)]
}

/// The distance of a tile's pixels in the input.
pub(super) trait Step: Copy + 'static {
    /// Elements from pixel 0 to pixel `m`.
    fn offset<S: Simd>(m: usize, step: usize) -> usize;
}

/// `N` blocks: a stride of `N` in blocked layout.
#[derive(Clone, Copy)]
pub(super) struct Blocks<const N: usize>;
/// `N` elements: pixels of `N` interleaved channels.
#[derive(Clone, Copy)]
pub(super) struct Elements<const N: usize>;
/// What [`Tile::step`] says.
#[derive(Clone, Copy)]
pub(super) struct AnyStep;

impl<const N: usize> Step for Blocks<N> {
    #[inline(always)]
    fn offset<S: Simd>(m: usize, _: usize) -> usize {
        m * N * S::LANES
    }
}
impl<const N: usize> Step for Elements<N> {
    #[inline(always)]
    fn offset<S: Simd>(m: usize, _: usize) -> usize {
        m * N
    }
}
impl Step for AnyStep {
    #[inline(always)]
    fn offset<S: Simd>(m: usize, step: usize) -> usize {
        m * step
    }
}

/// Repeats a body for constants below a bound of 32, as code. The bound is constant, so that what is beyond it is
/// not even generated.
macro_rules! unroll {
    ($i:ident < $n:expr, $body:block) => {
        $crate::kernels::conv_tile::unroll!(@ $i $n, $body,
            0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31)
    };
    (@ $i:ident $n:expr, $body:block, $($k:literal)*) => {
        $({ const $i: usize = $k; if const { $i < $n } $body })*
    };
}
pub(super) use unroll;

/// Pixels that a tile of `nb` blocks may have: accumulators, weights and one broadcast fit the registers.
pub(super) const fn max_pixels<S: Simd>(nb: usize) -> usize {
    match (S::REGISTERS, nb) {
        (32, 4) => 6,
        (32, _) => 14,
        (16, 1) => 12,
        (16, 2) => 6,
        (16, _) => 3,
        (_, 1) => 4,
        (_, 2) => 2,
        _ => 1,
    }
}

/// A tile of `MR` pixels by `NB` blocks. `ANY`: columns may touch any of the pixels; otherwise all, all but the first,
/// all but the last, or none. More cases in one instance, and the compiler moves the sums through memory between them.
struct Run<'a, P, const MR: usize, const NB: usize, const ANY: bool>(&'a Tile<'a>, PhantomData<P>);

impl<P: Step, const MR: usize, const NB: usize, const ANY: bool> Kernel for Run<'_, P, MR, NB, ANY> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let t = self.0;
        debug_assert_eq!(t.pixels, MR);
        let (lo, hi) = (s.splat(t.lo), s.splat(t.hi));
        let (mut weights_ahead, mut output_ahead) = (t.weights_ahead, t.output_ahead);
        let whole = !ANY && t.whole_rows;
        for at in 0..t.repeat {
            let mut acc = [[s.splat(0.0); NB]; MR];
            // SAFETY: `Tile` says that the bias, the weights, the taps within `columns` and rows, and the pixels of
            // `NB` blocks of output and addend are there.
            unsafe {
                for j in 0..NB {
                    let bias = s.load(t.bias.add(j * S::LANES));
                    for m in 0..MR {
                        acc[m][j] = bias;
                    }
                }
                let mut weights = t.weights;
                let src = t.src.wrapping_add(at * P::offset::<S>(MR, t.step));
                // The one row of taps may lie in padding.
                if whole && t.kernel == [1, 1] && t.row_begin < t.row_end {
                    // As below, with as little as can be between the taps: most networks live here.
                    let first = src.wrapping_offset(t.columns[0].offset);
                    for block in 0..t.blocks {
                        let a = first.wrapping_add(block * t.src_block);
                        let (depth, next) = match block + 1 == t.blocks {
                            true => (t.last_depth, first.wrapping_add(P::offset::<S>(MR, t.step))),
                            false => (S::LANES, a.wrapping_add(t.src_block)),
                        };
                        let ahead = (&mut weights_ahead, &mut output_ahead);
                        points::<S, P, MR, NB>(s, &mut acc, t, ahead, a, weights, depth, next);
                        weights = weights.add(depth * NB * S::LANES);
                    }
                } else {
                    for block in 0..t.blocks {
                        let depth = if block + 1 == t.blocks { t.last_depth } else { t.depth };
                        let tap = depth * NB * S::LANES;
                        let src = src.wrapping_add(block * t.src_block);
                        let ahead = &mut weights_ahead;
                        for ky in t.row_begin..t.row_end {
                            let row = src.wrapping_add(ky * t.row_stride);
                            let mut w = weights.add(ky * t.kernel[1] * tap);
                            if whole && depth == t.depth {
                                let a = row.wrapping_offset(t.columns[0].offset);
                                let steps = depth * t.kernel[1];
                                taps::<S, P, MR, NB>(s, &mut acc, t, ahead, a, w, steps, 0, MR);
                                continue;
                            }
                            for column in t.columns {
                                let a = row.wrapping_offset(column.offset);
                                let steps = depth * column.taps;
                                let (lo, hi) = (column.lo, column.hi);
                                if lo >= hi {
                                    // In the padding for every pixel.
                                } else if (lo, hi) == (0, MR) {
                                    taps::<S, P, MR, NB>(s, &mut acc, t, ahead, a, w, steps, 0, MR);
                                } else if (lo, hi) == (1, MR) {
                                    taps::<S, P, MR, NB>(s, &mut acc, t, ahead, a, w, steps, 1, MR);
                                } else if !ANY || (lo, hi + 1) == (0, MR) {
                                    taps::<S, P, MR, NB>(s, &mut acc, t, ahead, a, w, steps, 0, MR - 1);
                                } else {
                                    taps::<S, P, MR, NB>(s, &mut acc, t, ahead, a, w, steps, lo, hi);
                                }
                                w = w.add(column.taps * tap);
                            }
                        }
                        weights = weights.add(t.kernel[0] * t.kernel[1] * tap);
                    }
                }
                // One decision for all pixels: per pixel they would be most of the code.
                let place = |j: usize, m: usize| j * t.dst_block + (at * MR + m) * S::LANES;
                if t.add_before {
                    for m in 0..MR {
                        for j in 0..NB {
                            acc[m][j] = s.add(acc[m][j], s.load(t.addend.add(place(j, m))));
                        }
                    }
                }
                if t.lo != f32::NEG_INFINITY {
                    for m in 0..MR {
                        for j in 0..NB {
                            acc[m][j] = s.max(lo, acc[m][j]);
                        }
                    }
                }
                if t.hi != f32::INFINITY {
                    for m in 0..MR {
                        for j in 0..NB {
                            acc[m][j] = s.min(hi, acc[m][j]);
                        }
                    }
                }
                if t.add_after {
                    for m in 0..MR {
                        for j in 0..NB {
                            acc[m][j] = s.add(acc[m][j], s.load(t.addend.add(place(j, m))));
                        }
                    }
                }
                for j in 0..NB {
                    for m in 0..MR {
                        s.store(t.dst.add(place(j, m)), acc[m][j]);
                    }
                }
            }
        }
    }
}

/// The `depth` input channels of a block, for all pixels, without windows. `next` is the input that comes after: what
/// another core has written is far away.
///
/// # Safety
/// The input can be read from `a`, and `depth * NB` vectors from `w`.
#[inline(always)]
unsafe fn points<S: Simd, P: Step, const MR: usize, const NB: usize>(
    s: S,
    acc: &mut [[S::V; NB]; MR],
    t: &Tile,
    (weights, output): (&mut Ahead, &mut Ahead),
    a: *const f32,
    w: *const f32,
    depth: usize,
    next: *const f32,
) {
    for i in 0..depth {
        // SAFETY: `i` is below `depth`.
        unsafe {
            let w = w.add(i * NB * S::LANES);
            let mut b = [s.splat(0.0); NB];
            let later = weights.next();
            for j in 0..NB {
                b[j] = s.load(w.add(j * S::LANES));
                // Tiles of two blocks are many: a line with each element is enough.
                if const { NB > 2 } || j == 0 {
                    s.prefetch(later.wrapping_add(j * S::LANES));
                }
            }
            s.prefetch_to_write(output.next());
            s.prefetch(next.wrapping_add(P::offset::<S>(i, t.step)));
            element::<S, P, MR, NB>(s, acc, t, a.wrapping_add(i), b, 0, MR);
        }
    }
}

/// `steps` input elements, for the pixels from `lo` to `hi`.
///
/// # Safety
/// The input of these pixels can be read from `a`, and `steps * NB` vectors from `w`.
#[inline(always)]
unsafe fn taps<S: Simd, P: Step, const MR: usize, const NB: usize>(
    s: S,
    acc: &mut [[S::V; NB]; MR],
    t: &Tile,
    ahead: &mut Ahead,
    a: *const f32,
    w: *const f32,
    steps: usize,
    lo: usize,
    hi: usize,
) {
    for i in 0..steps {
        // SAFETY: `i` is below `steps`.
        unsafe {
            let w = w.add(i * NB * S::LANES);
            let mut b = [s.splat(0.0); NB];
            let later = ahead.next();
            for j in 0..NB {
                b[j] = s.load(w.add(j * S::LANES));
                s.prefetch(later.wrapping_add(j * S::LANES));
            }
            element::<S, P, MR, NB>(s, acc, t, a.wrapping_add(i), b, lo, hi);
        }
    }
}

/// An input element of the pixels from `lo` to `hi`, times weights.
///
/// # Safety
/// The element of these pixels can be read from `a`.
#[inline(always)]
unsafe fn element<S: Simd, P: Step, const MR: usize, const NB: usize>(
    s: S,
    acc: &mut [[S::V; NB]; MR],
    t: &Tile,
    a: *const f32,
    weights: [S::V; NB],
    lo: usize,
    hi: usize,
) {
    for m in 0..MR {
        if lo <= m && m < hi {
            // SAFETY: the caller's.
            let x = s.splat(unsafe { *a.wrapping_add(P::offset::<S>(m, t.step)) });
            for j in 0..NB {
                acc[m][j] = s.mul_add(x, weights[j], acc[m][j]);
            }
        }
    }
}

/// A compiled tile.
///
/// # Safety
/// The tile's pointers are to what its fields say, and the machine has the instruction set.
pub(super) type TileFn = unsafe fn(&Tile);

/// # Safety
/// As [`TileFn`].
unsafe fn entry<S: Simd, P: Step, const MR: usize, const NB: usize, const ANY: bool>(tile: &Tile) {
    if const { MR <= max_pixels::<S>(NB) } {
        // SAFETY: the token was there when the kernel was chosen; tokens hold no data.
        let s = unsafe { S::assume() };
        s.vectorize(Run::<P, MR, NB, ANY>(tile, PhantomData));
    }
}

/// The tile kernel for `mr` pixels by `nb` blocks. `ANY`: its columns may touch any of the pixels, not only all of
/// them, all but the first, all but the last, or none. Every use is a table of kernels to compile: ask for few.
///
/// # Panics
/// If there is none: `mr` is above [`max_pixels`], or `nb` not 1, 2 or 4.
pub(super) fn tile<S: Simd, P: Step, const ANY: bool>(_proof: S, mr: usize, nb: usize) -> TileFn {
    macro_rules! table {
        ($nb:literal: $($mr:literal)*) => {
            match mr {
                $($mr if $mr <= max_pixels::<S>($nb) => entry::<S, P, $mr, $nb, ANY> as TileFn,)*
                _ => unreachable!("no tile of {mr} pixels by {nb} blocks"),
            }
        };
    }
    match nb {
        1 => table!(1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
        2 => table!(2: 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
        _ => table!(4: 1 2 3 4 5 6),
    }
}
