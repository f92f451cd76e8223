//! The first convolution, straight from an image: few channels, interleaved or in planes, u8 or f32.
//!
//! The input rows that a few output rows need are unpacked, with their padding, into a strip that stays in the
//! cache: `[row][x][channel]` in f32, so that the taps of a kernel row lie side by side and run as one. The sums are
//! short: a kernel computes a whole row of output, lest it be called more often than it adds.

use super::{
    conv::{Addend, BlockedMut, ConvShape, Floats, Target, out_tiles, pack_bias, taps},
    conv_tile::{Ahead, AnyStep, Elements, Step, max_pixels, unroll},
    expand::Later,
    post::{PostOps, Sum},
};
use crate::{
    isa::{Isa, Kernel, Simd},
    pool::{Pool, Shards},
    weights::Weights,
};
use std::{cell::RefCell, marker::PhantomData, ops::Range, sync::Arc};

/// The elements of an image.
#[derive(Clone, Copy)]
pub(crate) enum Pixels<'a> {
    /// Bytes, 0 to 255.
    U8(&'a [u8]),
    /// Floats.
    F32(&'a [f32]),
}

/// Where the channels of an image are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ImageLayout {
    /// In planes.
    Nchw,
    /// Side by side.
    Nhwc,
}

/// A convolution whose source is an image, ready to run.
pub(crate) struct ImageConv {
    isa: Isa,
    shape: ConvShape,
    layout: ImageLayout,
    weights: Arc<Floats>,
    bias: Floats,
    post: PostOps,
    /// What the elements of a row of the strip are multiplied by, and what is then added: a vector for each channel,
    /// after which the numbers repeat. Empty for nothing. Padding stays zero.
    scale: Vec<f32>,
    shift: Vec<f32>,
    outs: Vec<Out>,
    runs: Vec<Run>,
    /// Elements of a row of the strip.
    row: usize,
}

/// Blocks of output channels that are computed together.
struct Out {
    block: usize,
    count: usize,
    /// Where their weights start.
    weights: usize,
    kernel: RowFn,
    /// Pixels of its tiles.
    pixels: usize,
}

/// Taps of a kernel row that lie side by side.
#[derive(Clone, Copy)]
struct Run {
    /// From the first tap, in elements.
    offset: usize,
    /// Taps times channels.
    steps: usize,
}

/// Output rows that share a strip.
const ROWS: usize = 8;

thread_local! {
    /// The strip; grown once, then kept.
    static STRIP: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// A row of output to compute.
struct Row<'a> {
    /// The first tap of the first pixel.
    src: *const f32,
    /// `[tap row][tap column][in channel][NB][LANES]`
    weights: *const f32,
    /// First pixel of the first output block.
    dst: *mut f32,
    /// The same of the tensor to add.
    addend: *const f32,
    /// `[NB][LANES]`
    bias: *const f32,
    /// Elements from one output block to the next.
    dst_block: usize,
    /// Pixels.
    width: usize,
    /// Elements of `src` from one pixel to the next.
    step: usize,
    /// Tap rows that touch the image.
    taps: Range<usize>,
    /// Elements of `src` from one tap row to the next.
    row_stride: usize,
    /// Taps times channels of a kernel row.
    row_steps: usize,
    runs: &'a [Run],
    /// The part of the image that is unpacked next.
    input_ahead: Ahead,
    /// Output that is written later.
    output_ahead: Ahead,
    sum: Sum,
    lo: f32,
    hi: f32,
}

/// A compiled row.
///
/// # Safety
/// The row's pointers are to what its fields say, and the machine has the instruction set.
type RowFn = unsafe fn(&Row);

/// A row in tiles of `MR` pixels by `NB` blocks.
struct Tiles<'a, P, const MR: usize, const NB: usize>(&'a Row<'a>, PhantomData<P>);

impl<P: Step, const MR: usize, const NB: usize> Kernel for Tiles<'_, P, MR, NB> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let r = self.0;
        // As code, not as loops: the sums stay in registers.
        macro_rules! each {
            (|$m:ident| $body:block) => {
                unroll!($m < MR, $body)
            };
        }
        let (lo, hi) = (s.splat(r.lo), s.splat(r.hi));
        let (mut input, mut output) = (r.input_ahead, r.output_ahead);
        for x in (0..r.width).step_by(MR) {
            let pixels = MR.min(r.width - x);
            // SAFETY: `Row` says that the taps of whole tiles, the weights, the bias, and `width` pixels of `NB`
            // blocks of output and addend are there.
            unsafe {
                let mut acc = [[s.splat(0.0); NB]; MR];
                for j in 0..NB {
                    let bias = s.load(r.bias.add(j * S::LANES));
                    each!(|M| {
                        acc[M][j] = bias;
                    });
                }
                let src = r.src.add(x * r.step);
                for ky in r.taps.clone() {
                    let mut w = r.weights.add(ky * r.row_steps * NB * S::LANES);
                    for run in r.runs {
                        let a = src.add(ky * r.row_stride + run.offset);
                        for i in 0..run.steps {
                            let mut b = [s.splat(0.0); NB];
                            for j in 0..NB {
                                b[j] = s.load(w.add(j * S::LANES));
                            }
                            s.prefetch(input.next());
                            s.prefetch_to_write(output.next());
                            each!(|M| {
                                let x = s.splat(*a.add(i + P::offset::<S>(M, r.step)));
                                for j in 0..NB {
                                    acc[M][j] = s.mul_add(x, b[j], acc[M][j]);
                                }
                            });
                            w = w.add(NB * S::LANES);
                        }
                    }
                }
                unroll!(J < NB, {
                    let at = J * r.dst_block + x * S::LANES;
                    let (dst, addend) = (r.dst.add(at), r.addend.wrapping_add(at));
                    if pixels == MR && r.sum == Sum::None {
                        each!(|M| {
                            s.store(dst.add(M * S::LANES), s.min(hi, s.max(lo, acc[M][J])));
                        });
                    } else {
                        each!(|M| {
                            if M < pixels {
                                let mut y = acc[M][J];
                                if r.sum == Sum::BeforeActivation {
                                    y = s.add(y, s.load(addend.add(M * S::LANES)));
                                }
                                y = s.min(hi, s.max(lo, y));
                                if r.sum == Sum::AfterActivation {
                                    y = s.add(y, s.load(addend.add(M * S::LANES)));
                                }
                                s.store(dst.add(M * S::LANES), y);
                            }
                        });
                    }
                });
            }
        }
    }
}

/// # Safety
/// As [`RowFn`].
unsafe fn entry<S: Simd, P: Step, const MR: usize, const NB: usize>(row: &Row) {
    // SAFETY: the token was there when the kernel was chosen; tokens hold no data.
    let s = unsafe { S::assume() };
    s.vectorize(Tiles::<P, MR, NB>(row, PhantomData));
}

/// Chooses the kernel for pixels so many elements apart, and 1 or 2 blocks; with the pixels of its tiles.
struct Choose {
    step: usize,
    count: usize,
}

impl Kernel for Choose {
    type Out = (RowFn, usize);
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> Self::Out {
        macro_rules! of {
            ($step:ty: $($most:literal => $pixels:literal),*) => {
                match (max_pixels::<S>(2), self.count) {
                    $(($most, 1) => (entry::<S, $step, $pixels, 1> as RowFn, $pixels),
                    ($most, _) => (entry::<S, $step, $pixels, 2> as RowFn, $pixels),)*
                    _ => unreachable!("the tiles of all instruction sets are listed"),
                }
            };
        }
        match self.step {
            3 => of!(Elements<3>: 2 => 2, 6 => 6, 14 => 14),
            6 => of!(Elements<6>: 2 => 2, 6 => 6, 14 => 14),
            // Where the compiler does not know the distance, more pixels take more registers for their addresses.
            _ => of!(AnyStep: 2 => 2, 6 => 6, 14 => 6),
        }
    }
}

impl ImageConv {
    /// Packs the weights, `[out_channels, in_channels, kernel height, kernel width]`. `scale` (multiplier and then
    /// addend, by input channel; empty for none) applies to the elements of the image before anything else.
    ///
    /// # Panics
    /// If there are groups, or lengths do not fit the shape.
    pub(crate) fn new(
        isa: Isa,
        shape: ConvShape,
        layout: ImageLayout,
        scale: &[[f32; 2]],
        weights: &Weights,
        post: PostOps,
    ) -> Self {
        let [kh, kw] = shape.kernel;
        let (ic, oc) = (shape.in_channels, shape.out_channels);
        assert_eq!((shape.groups, weights.len()), (1, oc * ic * kh * kw), "{shape:?}");
        assert!(scale.is_empty() || scale.len() == ic);
        assert!(post.bias.as_ref().is_none_or(|bias| bias.len() == oc));
        let b = isa.block();
        let (stride, dilation) = (shape.stride[1], shape.dilation[1]);
        let runs = match dilation {
            1 => vec![Run { offset: 0, steps: kw * ic }],
            _ => (0..kw).map(|kx| Run { offset: kx * dilation * ic, steps: ic }).collect(),
        };
        let mut outs = Vec::new();
        // Pixels of the widest tiles' row: the last tile may reach beyond the output.
        let mut width = 0;
        for (block, count) in out_tiles(oc.div_ceil(b), 2) {
            let (kernel, pixels) = isa.dispatch(Choose { step: stride * ic, count });
            width = width.max(shape.output[1].next_multiple_of(pixels));
            outs.push(Out { block, count, weights: block * b * kh * kw * ic, kernel, pixels });
        }
        let weights = weights.packed(format!("image {b} {ic} {kh} {kw}"), |weights| {
            let mut packed = Vec::new();
            for Out { block, count, .. } in &outs {
                for ky in 0..kh {
                    for kx in 0..kw {
                        for i in 0..ic {
                            for o in block * b..(block + count) * b {
                                let at = ((o * ic + i) * kh + ky) * kw + kx;
                                packed.push(if o < oc { weights[at] } else { 0.0 });
                            }
                        }
                    }
                }
            }
            packed[..].into()
        });
        let row = ((width - 1) * stride + (kw - 1) * dilation + 1) * ic;
        let bias = pack_bias(post.bias.as_ref(), oc, b);
        let repeated = |i: usize| scale.iter().cycle().take(scale.len() * b).map(|pair| pair[i]).collect();
        let [scale, shift] = [0, 1].map(repeated);
        Self { isa, shape, layout, weights, bias, post, scale, shift, outs, runs, row }
    }

    /// The name of the kernel, for profiles.
    pub(crate) fn name(&self) -> &'static str {
        "direct_image"
    }

    /// Runs it: `src` is a dense batch of images, `dst` `[batch, out_channels, output]`, blocked.
    ///
    /// # Panics
    /// As [`Conv::run`](super::conv::Conv::run).
    pub(crate) fn run(&self, pool: &mut Pool, src: Pixels, dst: BlockedMut, addend: Addend) {
        let shape = &self.shape;
        let b = self.isa.block();
        let [oh, ow] = shape.output;
        self.check(src);
        let dst_image = shape.out_channels.next_multiple_of(b) * oh * ow;
        assert!(dst.data.len() >= (shape.batch - 1) * dst.batch_stride + dst_image);
        let out = Shards::new(dst.data);
        let target = Target::new(&self.post, addend, dst_image, shape.batch);
        let span = self.span();
        pool.run(&|share| {
            self.with_strip(|strip| {
                let mine = share.part(shape.batch * oh);
                let mut at = mine.start;
                while at < mine.end {
                    let (image, first) = (at / oh, at % oh);
                    let rows = ROWS.min(mine.end - at).min(oh - first);
                    at += rows;
                    let top = first * shape.stride[0];
                    let unpacked = top + (rows - 1) * shape.stride[0] + span;
                    self.unpack(src, image, top, unpacked - top, strip);
                    for y in first..first + rows {
                        for o in &self.outs {
                            let strip = &strip[(y - first) * shape.stride[0] * self.row..][..span * self.row];
                            let place = (o.block * oh + y) * ow * b;
                            let dst = out.get().wrapping_add(image * dst.batch_stride + place);
                            // SAFETY: row `y` of these blocks of the image, within the output as the shape says,
                            // and this thread's own.
                            unsafe {
                                let ahead = [
                                    self.image_ahead(src, image, unpacked + (y - first) * shape.stride[0], o),
                                    Ahead::none(dst),
                                ];
                                self.row(&target, o, strip, [image, y, place], (dst, oh * ow * b), ahead);
                            }
                        }
                    }
                }
            });
        });
    }

    /// # Panics
    /// If the source is not as long as the shape says.
    pub(super) fn check(&self, src: Pixels) {
        let len = match src {
            Pixels::U8(data) => data.len(),
            Pixels::F32(data) => data.len(),
        };
        let shape = &self.shape;
        assert_eq!(len, shape.batch * shape.in_channels * shape.input[0] * shape.input[1], "{shape:?}");
    }

    /// Rows of the strip that a row of output depends on.
    fn span(&self) -> usize {
        (self.shape.kernel[0] - 1) * self.shape.dilation[0] + 1
    }

    /// Works on the thread's strip.
    fn with_strip(&self, work: impl FnOnce(&mut [f32])) {
        STRIP.with_borrow_mut(|strip| {
            let len = ((ROWS - 1) * self.shape.stride[0] + self.span()) * self.row;
            strip.resize(strip.len().max(len), 0.0);
            work(strip);
        });
    }

    /// The geometry.
    pub(super) fn shape(&self) -> &ConvShape {
        &self.shape
    }

    /// Elements of the packed weights.
    pub(super) fn weights(&self) -> usize {
        self.weights.len()
    }

    /// Rows of an image's output for the blocks of a tile (see [`out_tiles`], of at most 2), where nothing is added.
    ///
    /// # Safety
    /// The rows of each block can be written at `dst`, `dst_block` elements apart, and nobody else uses them.
    pub(super) unsafe fn rows(
        &self,
        src: Pixels,
        image: usize,
        tile: usize,
        mut rows: Range<usize>,
        (mut dst, dst_block): (*mut f32, usize),
        later: Later,
    ) {
        let (shape, o) = (&self.shape, &self.outs[tile]);
        let target = Target::new(&self.post, Addend::None, 0, shape.batch);
        let line = shape.output[1] * self.isa.block();
        let all = rows.clone();
        self.with_strip(|strip| {
            while !rows.is_empty() {
                let first = rows.start;
                let some = ROWS.min(rows.len());
                let stride = shape.stride[0];
                let unpacked = (first + some - 1) * stride + self.span();
                self.unpack(src, image, first * stride, unpacked - first * stride, strip);
                for y in first..first + some {
                    // A row asks for the output of one block.
                    let part = all.len().div_ceil(o.count);
                    let (block, done) = ((y - all.start) / part, (y - all.start) % part);
                    let steps = self.steps(o);
                    let ahead = [
                        self.image_ahead(src, image, unpacked + (y - first) * stride, o),
                        later.ahead(self.isa.block(), block, done * steps, part * steps),
                    ];
                    let strip = &strip[(y - first) * stride * self.row..][..self.span() * self.row];
                    // SAFETY: the caller's.
                    unsafe {
                        self.row(&target, o, strip, [image, y, 0], (dst, dst_block), ahead);
                    }
                    dst = dst.wrapping_add(line);
                }
                rows.start += some;
            }
        });
    }

    /// Steps of a kernel on a row: taps of tiles.
    fn steps(&self, o: &Out) -> usize {
        let [kh, kw] = self.shape.kernel;
        self.shape.output[1].div_ceil(o.pixels) * kh * kw * self.shape.in_channels
    }

    /// Lines that a kernel asks for while it computes a row: of the image, from padded row `first` on, as many rows as
    /// it goes on by. Where channels are in planes, nothing: the processor follows those by itself.
    fn image_ahead(&self, src: Pixels, image: usize, first: usize, o: &Out) -> Ahead {
        let [height, width] = self.shape.input;
        let row = width * self.shape.in_channels;
        let at = (image * height + first.saturating_sub(self.shape.pad_begin[0])) * row;
        let (from, bytes) = match src {
            Pixels::U8(data) => (data.as_ptr().wrapping_add(at).cast(), row),
            Pixels::F32(data) => (data.as_ptr().wrapping_add(at), 4 * row),
        };
        match self.layout {
            ImageLayout::Nchw => Ahead::none(from),
            ImageLayout::Nhwc => {
                Ahead { from, step: (self.shape.stride[0] * bytes / 4).div_ceil(self.steps(o)) }
            }
        }
    }

    /// Row `y` of the blocks `o`, which stands at `place` of its image.
    ///
    /// # Safety
    /// The row of each block can be written at `dst`, `dst_block` elements apart, and nobody else uses it.
    unsafe fn row(
        &self,
        target: &Target,
        o: &Out,
        strip: &[f32],
        [image, y, place]: [usize; 3],
        (dst, dst_block): (*mut f32, usize),
        [input_ahead, output_ahead]: [Ahead; 2],
    ) {
        let shape = &self.shape;
        let b = self.isa.block();
        let ow = shape.output[1];
        let addend = target.addend(image, place, dst);
        let bounds = target.bounds();
        // The kernel overwrites what the output holds, so that goes first into the sum or comes after it.
        let in_place = addend == Some(dst.cast_const());
        let sum = match (bounds, in_place) {
            (Some(_), _) => self.post.sum,
            (None, true) => Sum::BeforeActivation,
            (None, false) => Sum::None,
        };
        let (lo, hi) = bounds.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
        let row = Row {
            src: strip.as_ptr(),
            weights: self.weights[o.weights..].as_ptr(),
            dst,
            addend: addend.unwrap_or(std::ptr::null()),
            bias: self.bias[o.block * b..].as_ptr(),
            dst_block,
            width: ow,
            step: shape.stride[1] * shape.in_channels,
            taps: taps(shape, 0, y),
            row_stride: shape.dilation[0] * self.row,
            row_steps: shape.kernel[1] * shape.in_channels,
            runs: &self.runs,
            input_ahead,
            output_ahead,
            sum,
            lo,
            hi,
        };
        // SAFETY: the strip holds the taps of whole tiles; the caller says that of the output, and `Target` that of
        // the addend.
        unsafe {
            (o.kernel)(&row);
            if bounds.is_none() {
                for j in 0..o.count {
                    let (channel, at) = ((o.block + j) * b, j * row.dst_block);
                    let addend = addend.filter(|_| !in_place).map(|addend| addend.wrapping_add(at));
                    let lanes = b.min(shape.out_channels - channel);
                    self.post.finish(self.isa, dst.add(at), addend, ow, channel, lanes);
                }
            }
        }
    }

    /// Fills `rows` rows of the strip from padded row `first` of an image.
    fn unpack(&self, src: Pixels, image: usize, first: usize, rows: usize, strip: &mut [f32]) {
        let [height, width] = self.shape.input;
        let ic = self.shape.in_channels;
        let (pad, pixels) = (self.shape.pad_begin[1], self.row / ic);
        let begin = pad.min(pixels);
        let used = width.min(pixels - begin);
        for (r, strip) in strip.chunks_exact_mut(self.row).take(rows).enumerate() {
            let y = (first + r).wrapping_sub(self.shape.pad_begin[0]);
            // Rows of padding are not read.
            if y >= height {
                continue;
            }
            let (before, rest) = strip.split_at_mut(begin * ic);
            let (inside, behind) = rest.split_at_mut(used * ic);
            before.fill(0.0);
            behind.fill(0.0);
            let (plane, from) = match self.layout {
                ImageLayout::Nchw => (height * width, (image * ic * height + y) * width),
                ImageLayout::Nhwc => (0, (image * height + y) * width * ic),
            };
            match src {
                Pixels::U8(data) => {
                    self.isa.dispatch(Unpack { of: self, src: &data[from..], plane, dst: inside })
                }
                Pixels::F32(data) => {
                    self.isa.dispatch(Unpack { of: self, src: &data[from..], plane, dst: inside })
                }
            }
        }
    }
}

/// An element of an image.
trait Element: Copy + Into<f32> {
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

impl Element for u8 {
    #[inline(always)]
    unsafe fn load<S: Simd>(s: S, p: *const Self) -> S::V {
        // SAFETY: the caller's.
        unsafe { s.load_u8(p) }
    }
}

/// Unpacks pixels of one row.
struct Unpack<'a, T> {
    of: &'a ImageConv,
    /// From the first element on.
    src: &'a [T],
    /// Elements from one channel's plane to the next, or 0 where channels lie side by side.
    plane: usize,
    dst: &'a mut [f32],
}

impl<T: Element> Kernel for Unpack<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { of, src, plane, dst } = self;
        let ic = of.shape.in_channels;
        let pixels = dst.len() / ic;
        let affine = |x: S::V, vector: usize| {
            if of.scale.is_empty() {
                return x;
            }
            let at = vector * S::LANES;
            let (scale, shift) = (&of.scale[at..at + S::LANES], &of.shift[at..at + S::LANES]);
            // SAFETY: the slices are a vector long.
            unsafe { s.mul_add(x, s.load(scale.as_ptr()), s.load(shift.as_ptr())) }
        };
        let mut done = 0;
        if plane == 0 {
            while done + S::LANES * ic <= dst.len() {
                for v in 0..ic {
                    let at = done + v * S::LANES;
                    let from = &src[at..at + S::LANES];
                    // SAFETY: the slices are a vector long.
                    unsafe {
                        s.store(dst[at..at + S::LANES].as_mut_ptr(), affine(T::load(s, from.as_ptr()), v))
                    };
                }
                done += S::LANES * ic;
            }
        } else if ic == 3 {
            while done + S::LANES * 3 <= dst.len() {
                let from = [0, 1, 2].map(|c| &src[c * plane + done / 3..][..S::LANES]);
                let to = &mut dst[done..done + S::LANES * 3];
                // SAFETY: the slices are one vector and three vectors long.
                unsafe {
                    let [a, b, c] = [from[0].as_ptr(), from[1].as_ptr(), from[2].as_ptr()];
                    let mixed = s.interleave([T::load(s, a), T::load(s, b), T::load(s, c)]);
                    for v in 0..3 {
                        s.store(to.as_mut_ptr().add(v * S::LANES), affine(mixed[v], v));
                    }
                }
                done += S::LANES * 3;
            }
        }
        for pixel in done / ic..pixels {
            for c in 0..ic {
                let from = if plane == 0 { pixel * ic + c } else { c * plane + pixel };
                let x: f32 = src[from].into();
                let [scale, shift] =
                    if of.scale.is_empty() { [1.0, 0.0] } else { [of.scale[c], of.shift[c]] };
                dst[pixel * ic + c] = x * scale + shift;
            }
        }
    }
}
