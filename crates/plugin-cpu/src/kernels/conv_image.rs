//! The first convolution, straight from an image: few channels, interleaved or in planes, u8 or f32.
//!
//! The input rows that a few output rows need are unpacked, with their padding, into a strip that stays in the
//! cache: `[row][x mod stride][x / stride][channel]`, so that neighbouring outputs read neighbouring pixels, and the
//! taps of a kernel row that have the same phase lie side by side.

use super::{
    conv::{
        Addend, BlockedMut, ConvShape, Floats, Most, OutTile, Target, by_count, out_tiles, pack_bias, taps,
    },
    conv_tile::{AnyStep, Column, Elements, Tile, TileFn, tile, widest},
    post::PostOps,
};
use crate::{
    isa::{Isa, Kernel, Simd},
    pool::{Pool, Shards, part},
    weights::Weights,
};
use std::{cell::RefCell, sync::Arc};

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
    /// Each element is multiplied by the first, then the second is added, by channel. Padding stays zero.
    scale: Vec<[f32; 2]>,
    outs: Vec<OutTile>,
    kernels: [Option<TileFn>; 3],
    columns: Vec<Column>,
    /// Pixels of a tile.
    pixels: usize,
    /// Pixels of a phase of a row of the strip.
    phase: usize,
}

/// Output rows that share a strip.
const ROWS: usize = 8;

thread_local! {
    /// The strip; grown once, then kept.
    static STRIP: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

struct Choose {
    pixels: usize,
    channels: usize,
    counts: [bool; 3],
}

impl Kernel for Choose {
    type Out = [Option<TileFn>; 3];
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Self::Out {
        std::array::from_fn(|i| {
            self.counts[i].then(|| match self.channels {
                1 if i < 2 => widest::<S, Elements<1>>(s, 1 << i),
                3 if i < 2 => widest::<S, Elements<3>>(s, 1 << i),
                _ => tile::<S, AnyStep, true>(s, self.pixels, 1 << i),
            })
        })
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
        let most = isa.dispatch(Most(2));
        let pixels = if ic == 1 || ic == 3 { most } else { most.min(6) };
        let spans = shape.output[1].div_ceil(pixels);
        // The last tile may reach beyond the row.
        let phase = spans * pixels + (kw - 1) * dilation / stride;

        // The taps in the order of their phases.
        let mut order: Vec<usize> = (0..kw).collect();
        order.sort_by_key(|kx| (kx * dilation % stride, *kx));
        let mut columns: Vec<Column> = Vec::new();
        for kx in &order {
            let at = kx * dilation;
            let offset = ((at % stride * phase + at / stride) * ic) as isize;
            match columns.last_mut() {
                Some(last) if last.offset + (last.taps * ic) as isize == offset => last.taps += 1,
                _ => columns.push(Column { lo: 0, hi: pixels, offset, taps: 1 }),
            }
        }
        let mut outs = Vec::new();
        for (block, count) in out_tiles(oc.div_ceil(b), 2) {
            let weights = block * b * kh * kw * ic;
            outs.push(OutTile { block, count, sources: 0..1, last_depth: ic, weights });
        }
        let packed = weights.packed(format!("image {b} {order:?}"), |weights| {
            let mut packed = Vec::new();
            for OutTile { block, count, .. } in &outs {
                for ky in 0..kh {
                    for kx in &order {
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
        let counts = std::array::from_fn(|i| outs.iter().any(|out| by_count(out.count) == i));
        let kernels = isa.dispatch(Choose { pixels, channels: ic, counts });
        let bias = pack_bias(post.bias.as_ref(), oc, b);
        let scale = scale.to_vec();
        Self { isa, shape, layout, weights: packed, bias, post, scale, outs, kernels, columns, pixels, phase }
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
        let len = match src {
            Pixels::U8(data) => data.len(),
            Pixels::F32(data) => data.len(),
        };
        assert_eq!(len, shape.batch * shape.in_channels * shape.input[0] * shape.input[1], "{shape:?}");
        let dst_image = shape.out_channels.next_multiple_of(b) * oh * ow;
        assert!(dst.data.len() >= (shape.batch - 1) * dst.batch_stride + dst_image);
        let out = Shards::new(dst.data);
        let target = Target::new(&self.post, addend, dst_image, shape.batch);
        let row = shape.stride[1] * self.phase * shape.in_channels;
        let span = (shape.kernel[0] - 1) * shape.dilation[0] + 1;
        pool.run(&|index, count| {
            STRIP.with_borrow_mut(|strip| {
                strip.resize(strip.len().max(((ROWS - 1) * shape.stride[0] + span) * row), 0.0);
                let mine = part(shape.batch * oh, index, count);
                let mut at = mine.start;
                while at < mine.end {
                    let (image, first) = (at / oh, at % oh);
                    let rows = ROWS.min(mine.end - at).min(oh - first);
                    at += rows;
                    self.unpack(
                        src,
                        image,
                        first * shape.stride[0],
                        (rows - 1) * shape.stride[0] + span,
                        strip,
                    );
                    for o in &self.outs {
                        for y in first..first + rows {
                            for x in (0..ow).step_by(self.pixels) {
                                let place = (o.block * oh * ow + y * ow + x) * b;
                                let taps = taps(shape, 0, y);
                                let begin = ((y - first) * shape.stride[0] * row) + x * shape.in_channels;
                                let tile = Tile {
                                    src: strip[begin..].as_ptr(),
                                    weights: self.weights[o.weights..].as_ptr(),
                                    dst: out.get().wrapping_add(image * dst.batch_stride + place),
                                    addend: std::ptr::null(),
                                    bias: self.bias[o.block * b..].as_ptr(),
                                    dst_block: oh * ow * b,
                                    src_block: 0,
                                    blocks: 1,
                                    depth: shape.in_channels,
                                    last_depth: shape.in_channels,
                                    kernel: shape.kernel,
                                    row_begin: taps.start,
                                    row_end: taps.end,
                                    row_stride: shape.dilation[0] * row,
                                    whole_rows: false,
                                    columns: &self.columns,
                                    step: shape.in_channels,
                                    pixels: self.pixels.min(ow - x),
                                    add_before: false,
                                    add_after: false,
                                    lo: 0.0,
                                    hi: 0.0,
                                };
                                let kernel =
                                    self.kernels[by_count(o.count)].expect("chosen for these counts");
                                // SAFETY: the strip holds the taps of whole tiles; the output is as long as the
                                // shape says; the tiles are disjoint.
                                unsafe {
                                    target.run(self.isa, kernel, tile, o, image, place, shape.out_channels)
                                };
                            }
                        }
                    }
                }
            });
        });
    }

    /// Fills `rows` rows of the strip from padded row `first` of an image.
    fn unpack(&self, src: Pixels, image: usize, first: usize, rows: usize, strip: &mut [f32]) {
        let size = self.shape.stride[1] * self.phase * self.shape.in_channels;
        for (r, strip) in strip.chunks_exact_mut(size).take(rows).enumerate() {
            let y = (first + r).wrapping_sub(self.shape.pad_begin[0]);
            // Rows of padding are not read.
            if y < self.shape.input[0] {
                match src {
                    Pixels::U8(data) => self.unpack_row(data, image, y, strip),
                    Pixels::F32(data) => self.unpack_row(data, image, y, strip),
                }
            }
        }
    }

    fn unpack_row<T: Copy + Into<f32>>(&self, data: &[T], image: usize, y: usize, strip: &mut [f32]) {
        let ic = self.shape.in_channels;
        let [height, width] = self.shape.input;
        let (stride, pad) = (self.shape.stride[1], self.shape.pad_begin[1]);
        let scale = |c: usize| self.scale.get(c).copied().unwrap_or([1.0, 0.0]);
        let image = &data[image * height * width * ic..][..height * width * ic];
        for (p, phase) in strip.chunks_exact_mut(self.phase * ic).enumerate() {
            // Pixel `i` of the phase is column `i * stride + p - pad`.
            let begin = pad.saturating_sub(p).div_ceil(stride).min(self.phase);
            let end = (width + pad).saturating_sub(p).div_ceil(stride).clamp(begin, self.phase);
            phase[..begin * ic].fill(0.0);
            phase[end * ic..].fill(0.0);
            if begin == end {
                continue;
            }
            let phase = &mut phase[begin * ic..end * ic];
            let first = begin * stride + p - pad;
            match self.layout {
                ImageLayout::Nhwc => {
                    let row = &image[y * width * ic..][..width * ic][first * ic..];
                    if ic == 3 {
                        let scale = [scale(0), scale(1), scale(2)];
                        // The common case, of a length that the compiler knows.
                        for (to, from) in phase.chunks_exact_mut(3).zip(row.chunks(3 * stride)) {
                            for c in 0..3 {
                                to[c] = from[c].into() * scale[c][0] + scale[c][1];
                            }
                        }
                    } else {
                        for (to, from) in phase.chunks_exact_mut(ic).zip(row.chunks(ic * stride)) {
                            for (c, (to, from)) in to.iter_mut().zip(from).enumerate() {
                                *to = (*from).into() * scale(c)[0] + scale(c)[1];
                            }
                        }
                    }
                }
                ImageLayout::Nchw => {
                    for c in 0..ic {
                        let [scale, shift] = scale(c);
                        let row = &image[(c * height + y) * width..][..width][first..];
                        for (to, from) in phase[c..].iter_mut().step_by(ic).zip(row.iter().step_by(stride)) {
                            *to = (*from).into() * scale + shift;
                        }
                    }
                }
            }
        }
    }
}
