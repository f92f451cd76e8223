//! A 1x1 convolution or the first one on an image, and the depthwise convolution that alone reads it, as one: what lies
//! between never is a tensor. Some rows of a tile's channel blocks at a time go to memory of the thread's own, small enough for the second-level
//! cache, and the depthwise kernel reads them there.

use super::{
    conv::{
        Addend, Blocked, BlockedMut, ConvShape, FINISHED_PIXELS, Floats, Most, OutTile, by_count, out_tiles,
        pack_bias, packed_for_tiles,
    },
    conv_image::{ImageConv, Pixels},
    conv_tile::{Ahead, Blocks, Column, Tile, TileFn, cut, tile},
    depthwise::{Band, Depthwise},
    post::{PostOps, Sum},
    split::{Split, Work},
};
use crate::{
    isa::{Isa, Kernel, Simd},
    pool::{Pool, Shards, by_row},
    weights::Weights,
};
use std::{ops::Range, sync::Arc};

/// Bytes of the rows between that a thread holds.
const BAND_BYTES: usize = 256 << 10;
/// Channel blocks of a tile.
const MOST_BLOCKS: usize = 2;

/// Both convolutions, ready to run.
pub(crate) struct ExpandDepthwise {
    isa: Isa,
    first: First,
    depthwise: Depthwise,
    /// The tiles of blocks: the first block of each, and how many.
    outs: Vec<(usize, usize)>,
    /// Rows that a thread holds.
    lines: usize,
}

/// The convolution that computes what lies between.
pub(crate) enum First {
    /// A 1x1 convolution.
    Pointwise(Box<Pointwise>),
    /// One on an image.
    Image(Box<ImageConv>),
}

/// What the first convolution reads.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    /// The input of a [`First::Pointwise`].
    Blocked(Blocked<'a>),
    /// The input of a [`First::Image`].
    Image(Pixels<'a>),
}

/// The output that is written once the rows between are there. Meanwhile the first convolution asks for its lines: the
/// depthwise one does little with each, and would wait for them.
#[derive(Clone, Copy)]
pub(super) struct Later {
    /// Where that of the first block begins.
    first: *const f32,
    /// From one block to the next, in elements.
    block: usize,
    /// Elements of each block.
    len: usize,
}

impl Later {
    /// The lines of a block of `lanes` channels to ask for in `all` steps, of which `done` have been done.
    pub(super) fn ahead(&self, lanes: usize, block: usize, done: usize, all: usize) -> Ahead {
        let step = self.len.div_ceil(all).min(lanes);
        Ahead { from: self.first.wrapping_add(block * self.block + done * step), step }
    }
}

/// A 1x1 convolution.
pub(crate) struct Pointwise {
    isa: Isa,
    shape: ConvShape,
    /// `[tile of blocks][in channel][block of the tile][LANES]`
    weights: Arc<Floats>,
    bias: Floats,
    post: PostOps,
    outs: Vec<OutTile>,
    /// For 1 and 2 blocks, by pixels less one.
    kernels: Vec<[TileFn; MOST_BLOCKS]>,
}

/// One of the convolutions, as [`Conv::new`](super::conv::Conv::new) takes them.
pub(crate) struct Part {
    pub(crate) shape: ConvShape,
    pub(crate) weights: Weights,
    pub(crate) post: PostOps,
}

/// The tiles of 1 to so many pixels.
struct Choose(usize);

impl Kernel for Choose {
    type Out = Vec<[TileFn; MOST_BLOCKS]>;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Self::Out {
        (1..=self.0)
            .map(|pixels| [1, 2].map(|blocks| tile::<S, Blocks<1>, false>(s, pixels, blocks)))
            .collect()
    }
}

/// True for the 1x1 convolutions that [`First`] takes.
pub(crate) fn is_pointwise(shape: &ConvShape) -> bool {
    let plain = |axis: usize| {
        (shape.kernel[axis], shape.stride[axis], shape.pad_begin[axis]) == (1, 1, 0)
            && shape.input[axis] == shape.output[axis]
    };
    shape.groups == 1 && plain(0) && plain(1)
}

/// True for a depthwise convolution that [`ExpandDepthwise`] can compute with the one before.
pub(crate) fn follows(first: &ConvShape, depthwise: &ConvShape) -> bool {
    let channels = first.out_channels;
    // No row of the output is padding alone.
    let last = (depthwise.output[0] - 1) * depthwise.stride[0];
    let window = (depthwise.kernel[0] - 1) * depthwise.dilation[0];
    let touches = window >= depthwise.pad_begin[0] && last < depthwise.input[0] + depthwise.pad_begin[0];
    touches
        && [depthwise.groups, depthwise.in_channels, depthwise.out_channels] == [channels; 3]
        && (depthwise.batch, depthwise.input) == (first.batch, first.output)
}

/// Rows between that so many bytes hold, at least those of one row of output.
fn lines(isa: Isa, first: &ConvShape, depthwise: &ConvShape, bytes: usize) -> usize {
    let window = (depthwise.kernel[0] - 1) * depthwise.dilation[0] + 1;
    let line = MOST_BLOCKS * isa.block() * first.output[1] * size_of::<f32>();
    (bytes / line).max(window).min(first.output[0])
}

impl First {
    /// A 1x1 convolution; packs the weights.
    ///
    /// # Panics
    /// If it [is none](is_pointwise), a length does not fit its shape, or something is added.
    pub(crate) fn pointwise(isa: Isa, part: Part) -> Self {
        let Part { shape, weights, post } = part;
        assert!(is_pointwise(&shape) && post.sum == Sum::None);
        let (ic, oc, b) = (shape.in_channels, shape.out_channels, isa.block());
        assert_eq!(weights.len(), oc * ic, "weights of {shape:?}");
        let sources = 0..ic.div_ceil(b);
        let last_depth = ic - (sources.end - 1) * b;
        let outs = out_tiles(oc.div_ceil(b), MOST_BLOCKS);
        let outs = outs.into_iter().map(|(block, count)| OutTile {
            block,
            count,
            sources: sources.clone(),
            last_depth,
            weights: block * b * ic,
        });
        let outs: Vec<OutTile> = outs.collect();
        let packed = packed_for_tiles(isa, &shape, MOST_BLOCKS, &outs, &weights);
        let bias = pack_bias(post.bias.as_ref(), oc, b);
        let kernels = isa.dispatch(Choose(isa.dispatch(Most(MOST_BLOCKS))));
        Self::Pointwise(Box::new(Pointwise { isa, shape, weights: packed, bias, post, outs, kernels }))
    }

    fn shape(&self) -> &ConvShape {
        match self {
            Self::Pointwise(pointwise) => &pointwise.shape,
            Self::Image(image) => image.shape(),
        }
    }

    fn weights(&self) -> usize {
        match self {
            Self::Pointwise(pointwise) => pointwise.weights.len(),
            Self::Image(image) => image.weights(),
        }
    }

    /// Rows of the blocks of a tile.
    ///
    /// # Safety
    /// The rows of each block can be written at `dst`, `dst_block` elements apart, and nobody else uses them; what is
    /// read is as long as the shape says.
    unsafe fn rows(
        &self,
        src: Source,
        image: usize,
        tile: usize,
        rows: Range<usize>,
        (dst, dst_block): (*mut f32, usize),
        later: Later,
    ) {
        match (self, src) {
            (Self::Pointwise(pointwise), Source::Blocked(src)) => {
                let src = src.data[image * src.batch_stride..].as_ptr();
                // SAFETY: the caller's.
                unsafe { pointwise.rows(&pointwise.outs[tile], rows, src, (dst, dst_block), later) };
            }
            // SAFETY: the caller's.
            (Self::Image(conv), Source::Image(src)) => unsafe {
                conv.rows(src, image, tile, rows, (dst, dst_block), later);
            },
            _ => unreachable!("the source was checked"),
        }
    }
}

impl ExpandDepthwise {
    /// Packs the depthwise weights.
    ///
    /// # Panics
    /// If the second does not [follow](follows) the first, a length does not fit its shape, or something is added.
    pub(crate) fn new(isa: Isa, first: First, depthwise: Part) -> Self {
        let lines = lines(isa, first.shape(), &depthwise.shape, BAND_BYTES);
        Self::in_bands(isa, first, depthwise, lines)
    }

    /// [`new`](Self::new), with so many rows between.
    fn in_bands(isa: Isa, first: First, depthwise: Part, lines: usize) -> Self {
        assert!(follows(first.shape(), &depthwise.shape) && depthwise.post.sum == Sum::None);
        let depthwise = Depthwise::new(isa, depthwise.shape, &depthwise.weights, depthwise.post);
        let outs = out_tiles(first.shape().out_channels.div_ceil(isa.block()), MOST_BLOCKS);
        Self { isa, first, depthwise, outs, lines }
    }

    /// The name of the kernel, for profiles.
    pub(crate) fn name(&self) -> &'static str {
        match self.first {
            First::Pointwise(_) => "expand_depthwise",
            First::Image(_) => "image_depthwise",
        }
    }

    /// Numbers of scratch memory that each thread works in.
    pub(crate) fn scratch(isa: Isa, first: &ConvShape, depthwise: &ConvShape) -> usize {
        lines(isa, first, depthwise, BAND_BYTES) * MOST_BLOCKS * isa.block() * first.output[1]
    }

    /// Runs it: `src` is the first convolution's input, `[batch, in channels, height, width]`, and `dst` the depthwise
    /// convolution's output, blocked; at most as many threads work as have their [`scratch`](Self::scratch).
    ///
    /// # Panics
    /// If a slice is too short, or the source is of the other kind.
    pub(crate) fn run(&self, pool: &mut Pool, src: Source, dst: BlockedMut, scratch: &mut [f32]) {
        let b = self.isa.block();
        let shape = self.first.shape();
        let (to, dst_stride) = (&self.depthwise.shape, dst.batch_stride);
        let plane = |[h, w]: [usize; 2]| h * w * b;
        let fits = |len: usize, stride: usize, channels: usize, size: [usize; 2]| {
            assert!(len >= (shape.batch - 1) * stride + channels.div_ceil(b) * plane(size));
        };
        match (&self.first, src) {
            (First::Pointwise(_), Source::Blocked(src)) => {
                fits(src.data.len(), src.batch_stride, shape.in_channels, shape.input);
            }
            (First::Image(image), Source::Image(src)) => image.check(src),
            _ => panic!("an image, and a convolution on blocks, or the other way round"),
        }
        fits(dst.data.len(), dst_stride, to.out_channels, to.output);
        let own = MOST_BLOCKS * self.lines * shape.output[1] * b;
        let threads = pool.threads().min(scratch.len() / own);
        assert!(threads > 0, "no scratch memory");
        let height = to.output[0];
        let outs = &self.outs;
        let split = self.work().split(threads);
        let (out, memory) = (Shards::new(dst.data), Shards::new(scratch));
        let rows = |index: usize, image: usize, tile: usize, rows: Range<usize>| {
            let blocks = outs[tile];
            let dst = out.get().wrapping_add(image * dst_stride + blocks.0 * plane(to.output));
            // SAFETY: the lengths were checked; rows and memory are this thread's.
            unsafe { self.rows([image, tile], blocks, rows, src, dst, memory.get().add(index * own)) };
        };
        pool.run(&|share| {
            let Some(share) = share.among(threads) else { return };
            let index = share.index();
            let units = match split {
                Split::Places => shape.batch * height,
                Split::Channels => shape.batch * outs.len() * height,
            };
            for (plane, some) in by_row(share.part(units), height) {
                match split {
                    Split::Places => (0..outs.len()).for_each(|tile| rows(index, plane, tile, some.clone())),
                    Split::Channels => rows(index, plane / outs.len(), plane % outs.len(), some),
                }
            }
        });
    }

    fn work(&self) -> Work {
        let (shape, to) = (self.first.shape(), &self.depthwise.shape);
        let [height, width] = shape.output;
        // The window's rows that two threads both need.
        let shared = ((to.kernel[0] - 1) * to.dilation[0] + 1).saturating_sub(to.stride[0]);
        Work {
            terms: self.first.weights() * shape.batch * height * width,
            input: shape.batch * shape.in_channels * shape.input[0] * shape.input[1],
            weights: self.first.weights(),
            places: shape.batch * to.output[0],
            again: shared as f64 / 2.0 / (shape.batch * height) as f64,
            channels: shape.batch * self.outs.len() * to.output[0],
        }
    }

    /// Rows of the output of a tile's blocks, band by band.
    ///
    /// # Safety
    /// `dst` is the first of the blocks' output, whose `rows` are this thread's, as is `memory`; the source is as long as
    /// the shape says.
    unsafe fn rows(
        &self,
        [image, tile]: [usize; 2],
        (first_block, blocks): (usize, usize),
        mut rows: Range<usize>,
        src: Source,
        dst: *mut f32,
        memory: *mut f32,
    ) {
        let to = &self.depthwise.shape;
        let line = self.first.shape().output[1] * self.isa.block();
        let out_line = to.output[1] * self.isa.block();
        let block = self.lines * line;
        let target = self.depthwise.target(Addend::None);
        // The rows between that the memory holds.
        let mut held = 0..0;
        while !rows.is_empty() {
            let first = self.depthwise.inputs(rows.start).start;
            let fit = |y: &usize| self.depthwise.inputs(*y).end <= first + self.lines;
            let end = rows.clone().take_while(fit).last().expect("a window fits") + 1;
            let needed = first..self.depthwise.inputs(end - 1).end;
            let kept = if held.contains(&first) { first..held.end } else { first..first };
            // SAFETY: the memory has `lines` rows of each block, so many are needed at most.
            unsafe {
                for j in 0..blocks {
                    let to = memory.add(j * block);
                    std::ptr::copy(
                        to.wrapping_add((first.wrapping_sub(held.start)) * line),
                        to,
                        kept.len() * line,
                    );
                }
                let fresh = kept.end..needed.end;
                let later = Later {
                    first: dst.wrapping_add(rows.start * out_line),
                    block: to.output[0] * out_line,
                    len: (end - rows.start) * out_line,
                };
                let between = (memory.add(kept.len() * line), block);
                self.first.rows(src, image, tile, fresh, between, later);
                for j in 0..blocks {
                    let band = Band {
                        src: memory.add(j * block).wrapping_sub(first * line),
                        dst: dst.wrapping_add(j * to.output[0] * out_line),
                        addend: None,
                        block: first_block + j,
                        rows: rows.start..end,
                    };
                    self.depthwise.band(&target, band);
                }
            }
            held = needed;
            rows.start = end;
        }
    }
}

impl Pointwise {
    /// Rows of the blocks of a tile.
    ///
    /// # Safety
    /// `src` is an image; the rows of each block can be written at `dst`, `dst_block` elements apart.
    unsafe fn rows(
        &self,
        o: &OutTile,
        rows: Range<usize>,
        src: *const f32,
        (dst, dst_block): (*mut f32, usize),
        later: Later,
    ) {
        let b = self.isa.block();
        let [height, width] = self.shape.output;
        let bounds = self.post.activation.bounds();
        let (lo, hi) = bounds.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
        let all = rows.len() * width;
        let weights = self.weights[o.weights..].as_ptr();
        let panel = self.shape.in_channels * o.count * b;
        let kinds = cut(all, self.kernels.len());
        let tiles = kinds[0].1 + kinds[1].1;
        let (mut at, mut done) = (0, 0);
        for (pixels, mut left) in kinds {
            let columns = [Column { lo: 0, hi: pixels, offset: 0, taps: 1 }];
            while left > 0 {
                let most = if bounds.is_some() { left } else { FINISHED_PIXELS.div_ceil(pixels) };
                // A call asks for the output of one block.
                let part = tiles.div_ceil(o.count);
                let repeat = left.min(most).min(part - done % part);
                let steps = self.shape.in_channels;
                let tile = Tile {
                    src: src.wrapping_add((rows.start * width + at) * b),
                    weights,
                    dst: dst.wrapping_add(at * b),
                    addend: std::ptr::null(),
                    bias: self.bias[o.block * b..].as_ptr(),
                    dst_block,
                    src_block: height * width * b,
                    blocks: o.sources.len(),
                    depth: b,
                    last_depth: o.last_depth,
                    kernel: [1, 1],
                    row_begin: 0,
                    row_end: 1,
                    row_stride: 0,
                    whole_rows: true,
                    columns: &columns,
                    step: b,
                    pixels,
                    repeat,
                    weights_ahead: Ahead::panel(weights, panel, o.count * b, done, tiles),
                    output_ahead: later.ahead(b, done / part, (done % part) * steps, part * steps),
                    add_before: false,
                    add_after: false,
                    lo,
                    hi,
                };
                let kernel = self.kernels[pixels - 1][by_count(o.count)];
                // SAFETY: the caller's; the tiles' pixels are within the rows.
                unsafe { kernel(&tile) };
                for j in (0..o.count).filter(|_| bounds.is_none()) {
                    let channel = (o.block + j) * b;
                    let lanes = b.min(self.shape.out_channels - channel);
                    let written = dst.wrapping_add(j * dst_block + at * b);
                    // SAFETY: these pixels have just been written.
                    unsafe { self.post.finish(self.isa, written, None, repeat * pixels, channel, lanes) };
                }
                (at, done, left) = (at + repeat * pixels, done + repeat, left - repeat);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{
        conv::{Algorithm, Conv},
        conv_image::ImageLayout,
        conv_tests::{Random, block, compare, random_shape, reference},
        post::Activation,
    };

    #[test]
    fn both_convolutions_on_every_instruction_set() {
        let mut r = Random(29);
        let mut cases = 0;
        while cases < 150 {
            let channels = r.of(&[1, 8, 15, 16, 17, 33, 48, 70]);
            let mut depthwise = random_shape(&mut r, 1);
            (depthwise.groups, depthwise.in_channels, depthwise.out_channels) =
                (channels, channels, channels);
            let mut expand = depthwise;
            (expand.groups, expand.in_channels) = (1, r.of(&[1, 5, 16, 24, 40]));
            (expand.kernel, expand.stride, expand.dilation) = ([1, 1], [1, 1], [1, 1]);
            (expand.pad_begin, expand.output) = ([0, 0], expand.input);
            if !is_pointwise(&expand) || !follows(&expand, &depthwise) {
                continue;
            }
            cases += 1;
            let [[_, n], [_, m]] = [expand.input, depthwise.output].map(|[h, w]| [1, h * w]);
            let window = depthwise.kernel[0] * depthwise.kernel[1];
            let batch = expand.batch;
            let src = r.vec(batch * expand.in_channels * n);
            let (weights, taps) = (r.vec(channels * expand.in_channels), r.vec(channels * window));
            let (bias, shift) = (r.vec(channels), r.vec(channels));
            let swish = r.below(2) == 0;
            let function = |x: f64| if swish { x / (1.0 + (-x).exp()) } else { x.clamp(0.0, 6.0) };
            let finish = |sums: Vec<f64>, bias: &[f32], pixels: usize| -> Vec<f32> {
                let of = |(i, x): (usize, &f64)| function(x + f64::from(bias[i / pixels % channels])) as f32;
                sums.iter().enumerate().map(of).collect()
            };
            let between = finish(reference(&expand, &src, &weights), &bias, n);
            let expected = finish(reference(&depthwise, &between, &taps), &shift, m);
            for isa in Isa::available() {
                let src = block(isa, &src, [batch, expand.in_channels, n]);
                let expected = block(isa, &expected, [batch, channels, m]);
                let post = |bias: &[f32]| PostOps {
                    bias: Some(bias.to_vec()),
                    sum: Sum::None,
                    activation: if swish { Activation::Swish(1.0) } else { Activation::Clamp(0.0, 6.0) },
                };
                let parts = || {
                    let first = Part { shape: expand, weights: weights[..].into(), post: post(&bias) };
                    let second = Part { shape: depthwise, weights: taps[..].into(), post: post(&shift) };
                    (First::pointwise(isa, first), second)
                };
                let run = |both: &ExpandDepthwise, threads: usize| {
                    let mut dst = vec![f32::NAN; expected.len()];
                    let line = MOST_BLOCKS * isa.block() * expand.output[1];
                    let mut scratch = vec![f32::NAN; threads * both.lines * line];
                    let from = Source::Blocked(Blocked { data: &src, batch_stride: src.len() / batch });
                    let batch_stride = dst.len() / batch;
                    let to = BlockedMut { data: &mut dst, batch_stride };
                    both.run(&mut Pool::uneven(threads), from, to, &mut scratch);
                    dst.into_iter().map(f32::to_bits).collect::<Vec<_>>()
                };
                let (first, second) = parts();
                let whole = run(&ExpandDepthwise::new(isa, first, second), 1);
                let what = format!("{} {expand:?} {depthwise:?}", isa.name());
                let floats: Vec<f32> = whole.iter().map(|x| f32::from_bits(*x)).collect();
                compare(&what, &floats, &expected, expand.in_channels * window);
                // Few rows at a time give the same bits.
                let (first, second) = parts();
                let lines = lines(isa, &expand, &depthwise, 1) + r.below(2);
                let banded = ExpandDepthwise::in_bands(isa, first, second, lines);
                for threads in [1, 2] {
                    assert!(
                        run(&banded, threads) == whole,
                        "{what}: {threads} threads, {lines} rows: other bits"
                    );
                }
            }
        }
    }

    /// The two kernels by themselves are held against the definition in `conv_tests`.
    #[test]
    fn an_image_first_gives_the_bits_of_both_kernels() {
        let mut r = Random(31);
        let mut cases = 0;
        while cases < 40 {
            let mut first = random_shape(&mut r, 1);
            (first.in_channels, first.out_channels) = (r.of(&[1, 3, 4]), r.of(&[8, 16, 24, 32, 40]));
            let mut depthwise = random_shape(&mut r, 1);
            (depthwise.groups, depthwise.in_channels, depthwise.out_channels) =
                (first.out_channels, first.out_channels, first.out_channels);
            (depthwise.batch, depthwise.input) = (first.batch, first.output);
            for axis in 0..2 {
                let window = (depthwise.kernel[axis] - 1) * depthwise.dilation[axis] + 1;
                let padded = depthwise.input[axis] + 2 * depthwise.pad_begin[axis];
                depthwise.output[axis] = padded.saturating_sub(window) / depthwise.stride[axis] + 1;
            }
            if !follows(&first, &depthwise) {
                continue;
            }
            cases += 1;
            let src = r.vec(first.batch * first.in_channels * first.input[0] * first.input[1]);
            let weights = r.vec(first.out_channels * first.in_channels * first.kernel[0] * first.kernel[1]);
            let taps = r.vec(depthwise.out_channels * depthwise.kernel[0] * depthwise.kernel[1]);
            let activation = [Activation::Relu, Activation::Swish(1.0)][r.below(2)].clone();
            for isa in Isa::available() {
                let post = |bias: &[f32]| PostOps {
                    bias: Some(bias.to_vec()),
                    sum: Sum::None,
                    activation: activation.clone(),
                };
                let bias = &weights[..first.out_channels.min(weights.len())];
                let image = || {
                    let bias: Vec<f32> = bias.iter().copied().cycle().take(first.out_channels).collect();
                    ImageConv::new(isa, first, ImageLayout::Nhwc, &[], &weights[..].into(), post(&bias))
                };
                let len = |shape: &ConvShape| {
                    shape.out_channels.next_multiple_of(isa.block()) * shape.output[0] * shape.output[1]
                };
                let mut pool = Pool::new(2);
                let mut between = vec![0.0; first.batch * len(&first)];
                let to = BlockedMut { data: &mut between, batch_stride: len(&first) };
                image().run(&mut pool, Pixels::F32(&src), to, Addend::None);
                let mut expected = vec![f32::NAN; first.batch * len(&depthwise)];
                let to = BlockedMut { data: &mut expected, batch_stride: len(&depthwise) };
                let shift: Vec<f32> = taps.iter().copied().cycle().take(depthwise.out_channels).collect();
                let exact = Algorithm::exact(&depthwise);
                let alone = Conv::new(isa, depthwise, exact, &taps[..].into(), post(&shift));
                let from = Blocked { data: &between, batch_stride: len(&first) };
                alone.run(&mut pool, from, to, Addend::None, &mut []);
                let least = lines(isa, &first, &depthwise, 1);
                for lines in [least, least + r.below(3), first.output[0].max(least)] {
                    let second = Part { shape: depthwise, weights: taps[..].into(), post: post(&shift) };
                    let both = ExpandDepthwise::in_bands(isa, First::Image(Box::new(image())), second, lines);
                    let mut dst = vec![f32::NAN; expected.len()];
                    let mut scratch = vec![f32::NAN; 2 * lines * MOST_BLOCKS * isa.block() * first.output[1]];
                    let to = BlockedMut { data: &mut dst, batch_stride: len(&depthwise) };
                    both.run(&mut pool, Source::Image(Pixels::F32(&src)), to, &mut scratch);
                    let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                    let what = format!("{} {first:?} {depthwise:?}, {lines} rows", isa.name());
                    assert!(bits(&dst) == bits(&expected), "{what}: other bits");
                }
            }
        }
    }
}
