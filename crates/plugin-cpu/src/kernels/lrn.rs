//! Local response normalisation: `x * (bias + alpha * sum of squares)^-beta`, the sum over a window of neighbours.

use super::math;
use crate::{
    isa::{Isa, Kernel, Simd},
    pool::{Pool, Shards},
};

/// The numbers of the formula; `alpha` is divided by the window's size already.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Response {
    /// Of the sum.
    pub(crate) alpha: f32,
    /// The exponent.
    pub(crate) beta: f32,
    /// Added to the sum.
    pub(crate) bias: f32,
    /// Neighbours on either side.
    pub(crate) reach: usize,
}

impl Response {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::V, sum: S::V) -> S::V {
        let one = s.splat(1.0);
        let base = s.mul_add(sum, s.splat(self.alpha), s.splat(self.bias));
        let power = match self.beta {
            1.0 => s.div(one, base),
            0.5 => s.div(one, s.sqrt(base)),
            0.75 => {
                let root = s.sqrt(base);
                s.div(one, s.mul(root, s.sqrt(root)))
            }
            beta => math::exp(s, s.mul(s.splat(-beta), math::log(s, base))),
        };
        s.mul(x, power)
    }
}

/// How the neighbours lie.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Neighbours {
    /// Along the middle of `[outer, len, inner]`, `inner` elements apart.
    Apart([usize; 3]),
    /// In blocks, whose places are sums of strides: of the blocked layout, or of contiguous lines.
    Blocks {
        /// Images.
        images: usize,
        /// Pixels of an image.
        pixels: usize,
        /// Neighbours of a pixel.
        channels: usize,
        /// Elements from a pixel to the next one.
        pixel_stride: usize,
        /// Elements from a block to the next one.
        block_stride: usize,
        /// Elements of an image.
        image_stride: usize,
        /// The memory holds whole blocks, zeros behind the last neighbour.
        whole: bool,
    },
}

/// Pixels whose squares are written before the first of them are read again: what was just written can't be read at
/// another alignment without a wait.
const PIXELS: usize = 8;

impl Neighbours {
    /// The f32 elements of memory that [`run`] works in, on up to `threads` threads.
    pub(crate) fn scratch(&self, isa: Isa, response: Response, threads: usize) -> usize {
        match self {
            Self::Apart(_) => 0,
            Self::Blocks { channels, .. } => threads * PIXELS * line(isa, response, *channels),
        }
    }
}

/// Elements of a line of squares, with zeros on both sides.
fn line(isa: Isa, response: Response, channels: usize) -> usize {
    channels.next_multiple_of(isa.block()) + 2 * response.reach
}

/// Normalises `src` into `dst`, on up to `threads` threads.
///
/// # Panics
/// If a slice is too short for the shape.
pub(crate) fn run(
    isa: Isa,
    pool: &mut Pool,
    (response, neighbours): (Response, Neighbours),
    threads: usize,
    src: &[f32],
    dst: &mut [f32],
    scratch: &mut [f32],
) {
    assert!(src.len() == dst.len() && scratch.len() >= neighbours.scratch(isa, response, threads));
    let out = Shards::new(dst);
    match neighbours {
        Neighbours::Apart([outer, len, inner]) => {
            assert_eq!(src.len(), outer * len * inner);
            let groups = inner.div_ceil(isa.block());
            pool.run(&|share| {
                for at in share.part(outer * groups) {
                    let first = at % groups * isa.block();
                    let start = at / groups * len * inner + first;
                    // SAFETY: a vector of lines from `start` on is within both slices, and this thread's own.
                    unsafe {
                        let (src, dst) = (src.as_ptr().add(start), out.get().add(start));
                        let width = isa.block().min(inner - first);
                        isa.dispatch(Apart { response, src, dst, len, inner, width });
                    }
                }
            });
        }
        Neighbours::Blocks { images, pixels, channels, image_stride, pixel_stride, block_stride, whole } => {
            let last = (images - 1) * image_stride
                + (pixels - 1) * pixel_stride
                + (channels.div_ceil(isa.block()) - 1) * block_stride;
            assert!(last + (channels - 1) % isa.block() < src.len());
            let groups = pixels.div_ceil(PIXELS);
            let size = PIXELS * line(isa, response, channels);
            let scratch = Shards::new(scratch);
            pool.run(&|share| {
                let Some(share) = share.among(threads) else { return };
                // SAFETY: each of the threads has memory of its own.
                let lines =
                    unsafe { std::slice::from_raw_parts_mut(scratch.get().add(share.index() * size), size) };
                lines.fill(0.0);
                for at in share.part(images * groups) {
                    let first = at % groups * PIXELS;
                    let start = at / groups * image_stride + first * pixel_stride;
                    // SAFETY: pixels within both slices, as was checked, and this thread's own.
                    unsafe {
                        let (src, dst) = (src.as_ptr().add(start), out.get().add(start));
                        isa.dispatch(Blocks {
                            response,
                            src,
                            dst,
                            lines,
                            pixels: PIXELS.min(pixels - first),
                            channels,
                            pixel_stride,
                            block_stride,
                            whole,
                        });
                    }
                }
            });
        }
    }
}

/// A vector of lines.
struct Apart {
    response: Response,
    src: *const f32,
    dst: *mut f32,
    len: usize,
    inner: usize,
    width: usize,
}

impl Kernel for Apart {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { response, src, dst, len, inner, width } = self;
        // SAFETY: `run` gives `len` rows of `width` elements, `inner` apart, at both pointers.
        unsafe {
            let at = |i: usize| {
                let from = src.add(i * inner);
                if width == S::LANES { s.load(from) } else { s.load_first(from, width) }
            };
            for i in 0..len {
                let mut sum = s.splat(0.0);
                for j in i.saturating_sub(response.reach)..len.min(i + response.reach + 1) {
                    let x = at(j);
                    sum = s.mul_add(x, x, sum);
                }
                let y = response.apply(s, at(i), sum);
                let to = dst.add(i * inner);
                if width == S::LANES { s.store(to, y) } else { s.store_first(to, y, width) }
            }
        }
    }
}

/// Some pixels, whose neighbours lie in blocks.
struct Blocks<'a> {
    response: Response,
    src: *const f32,
    dst: *mut f32,
    /// Of each pixel the squares, between zeros.
    lines: &'a mut [f32],
    pixels: usize,
    channels: usize,
    pixel_stride: usize,
    block_stride: usize,
    /// The memory holds whole blocks.
    whole: bool,
}

impl Kernel for Blocks<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { response, channels, .. } = self;
        let blocks = channels.div_ceil(S::LANES);
        let line = blocks * S::LANES + 2 * response.reach;
        assert!(self.lines.len() >= self.pixels * line);
        let lines = self.lines.as_mut_ptr();
        let place = |pixel: usize, block: usize| pixel * self.pixel_stride + block * self.block_stride;
        let lanes =
            |block: usize| if self.whole { S::LANES } else { S::LANES.min(channels - block * S::LANES) };
        // SAFETY: `run` gives pixels of so many blocks at both pointers, of which the last may end with the channels;
        // the lines are as long as asserted.
        unsafe {
            let load = |pixel: usize, block: usize| {
                let (from, n) = (self.src.add(place(pixel, block)), lanes(block));
                if n == S::LANES { s.load(from) } else { s.load_first(from, n) }
            };
            for pixel in 0..self.pixels {
                for block in 0..blocks {
                    let x = load(pixel, block);
                    s.store(lines.add(pixel * line + response.reach + block * S::LANES), s.mul(x, x));
                }
            }
            for pixel in 0..self.pixels {
                for block in 0..blocks {
                    let from = lines.add(pixel * line + block * S::LANES);
                    let mut sum = s.load(from);
                    for j in 1..2 * response.reach + 1 {
                        sum = s.add(sum, s.load(from.add(j)));
                    }
                    let y = response.apply(s, load(pixel, block), sum);
                    let to = self.dst.add(place(pixel, block));
                    let used = S::LANES.min(channels - block * S::LANES);
                    if used == S::LANES {
                        s.store(to, y);
                    } else {
                        if self.whole {
                            s.store(to, s.splat(0.0));
                        }
                        s.store_first(to, y, used);
                    }
                }
            }
        }
    }
}

/// `dst = sum of the squares of src` (or with `squared` of `src` itself) over the window along the middle of
/// `[outer, len, inner]`: one of several axes.
pub(crate) fn window(
    isa: Isa,
    pool: &mut Pool,
    reach: usize,
    [outer, len, inner]: [usize; 3],
    squared: bool,
    src: &[f32],
    dst: &mut [f32],
) {
    assert!(src.len() == outer * len * inner && dst.len() == src.len());
    let out = Shards::new(dst);
    pool.run(&|share| {
        for row in share.part(outer * len) {
            let (first, i) = (row / len * len, row % len);
            // SAFETY: row `row` of `dst`, this thread's own.
            let to = unsafe { std::slice::from_raw_parts_mut(out.get().add(row * inner), inner) };
            to.fill(0.0);
            for j in i.saturating_sub(reach)..len.min(i + reach + 1) {
                let from = &src[(first + j) * inner..][..inner];
                isa.dispatch(AddRow { squared, from, to });
            }
        }
    });
}

struct AddRow<'a> {
    squared: bool,
    from: &'a [f32],
    to: &'a mut [f32],
}

impl Kernel for AddRow<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let pairs = self.to.iter_mut().zip(self.from);
        match self.squared {
            true => pairs.for_each(|(to, from)| *to += from),
            false => pairs.for_each(|(to, from)| *to += from * from),
        }
    }
}

/// `dst = src * (bias + alpha * dst)^-beta`
pub(crate) fn apply(isa: Isa, pool: &mut Pool, response: Response, src: &[f32], dst: &mut [f32]) {
    assert_eq!(src.len(), dst.len());
    const CHUNK: usize = 1024;
    let total = dst.len();
    let out = Shards::new(dst);
    pool.run(&|share| {
        for chunk in share.part(total.div_ceil(CHUNK)) {
            let range = chunk * CHUNK..total.min((chunk + 1) * CHUNK);
            // SAFETY: a chunk of `dst`, this thread's own.
            let to = unsafe { std::slice::from_raw_parts_mut(out.get().add(range.start), range.len()) };
            isa.dispatch(Apply { response, from: &src[range], to });
        }
    });
}

struct Apply<'a> {
    response: Response,
    from: &'a [f32],
    to: &'a mut [f32],
}

impl Kernel for Apply<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (from, to) in self.from.chunks(S::LANES).zip(self.to.chunks_mut(S::LANES)) {
            // SAFETY: chunks of equal length.
            unsafe {
                let (x, sum) = (s.load_first(from.as_ptr(), from.len()), s.load_first(to.as_ptr(), to.len()));
                s.store_first(to.as_mut_ptr(), self.response.apply(s, x, sum), to.len());
            }
        }
    }
}
