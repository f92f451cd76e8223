//! Convolution on the blocked layout, weights packed when it is made.

use super::{
    conv_tile::{Ahead, AnyStep, Blocks, Column, Tile, TileFn, cut, max_pixels, tile},
    depthwise::Depthwise,
    post::{PostOps, Sum},
    split::{Split, Work},
    winograd::{Cut, Winograd},
};
use crate::{
    isa::{Isa, Kernel, Simd},
    memory::Packed,
    pool::{Pool, Shards, by_row, part},
    weights::{Weights, transpose},
};
use std::{ops::Range, sync::Arc};

pub(crate) use super::winograd::Size;

/// The geometry of a two-dimensional convolution (one dimension is a height of one).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ConvShape {
    /// Images.
    pub(crate) batch: usize,
    /// Groups; both channel counts are multiples.
    pub(crate) groups: usize,
    /// Input channels of all groups.
    pub(crate) in_channels: usize,
    /// Output channels of all groups.
    pub(crate) out_channels: usize,
    /// Input height and width.
    pub(crate) input: [usize; 2],
    /// Output height and width.
    pub(crate) output: [usize; 2],
    /// Kernel height and width.
    pub(crate) kernel: [usize; 2],
    /// Distance of the windows.
    pub(crate) stride: [usize; 2],
    /// Distance of the taps.
    pub(crate) dilation: [usize; 2],
    /// Zeros above and left of the input; those below and right follow from the output's size.
    pub(crate) pad_begin: [usize; 2],
}

/// An input in blocked layout.
#[derive(Clone, Copy)]
pub(crate) struct Blocked<'a> {
    /// Starts at the first channel block of the first image.
    pub(crate) data: &'a [f32],
    /// Elements from one image to the next (more than an image when it is part of a concatenation).
    pub(crate) batch_stride: usize,
}

/// An output in blocked layout; fields as [`Blocked`].
pub(crate) struct BlockedMut<'a> {
    /// Starts at the first channel block of the first image.
    pub(crate) data: &'a mut [f32],
    /// Elements from one image to the next.
    pub(crate) batch_stride: usize,
}

/// The tensor that [`Sum`] adds.
#[derive(Clone, Copy)]
pub(crate) enum Addend<'a> {
    /// There is none.
    None,
    /// A tensor of the output's shape in blocked layout.
    Of(Blocked<'a>),
    /// What the output holds before.
    Output,
}

/// Numbers that start on a cache line, on huge pages.
pub(super) type Floats = Packed<f32>;

/// Bytes of input that one group of output channels passes over before the next one does: with the weights of the
/// group it stays in the second-level cache (1 MiB here, rarely less than 512 KiB).
const CHUNK_BYTES: usize = 320 << 10;

/// Pixels that a function other than bounds is applied to at a time: they are in the first-level cache still.
pub(super) const FINISHED_PIXELS: usize = 100;

/// How a convolution is computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Algorithm {
    /// By the definition, in register tiles.
    Direct,
    /// Each channel by itself.
    Depthwise,
    /// In tiles of so many outputs, by Winograd's algorithm.
    Winograd {
        /// Outputs of a tile.
        size: Size,
        /// Filters are transformed when weights are packed, and not in each run.
        stored: bool,
    },
}

impl Algorithm {
    /// The one that follows the definition.
    pub(crate) fn exact(shape: &ConvShape) -> Self {
        match shape.groups == shape.in_channels && shape.groups == shape.out_channels {
            true => Self::Depthwise,
            false => Self::Direct,
        }
    }

    /// Elements of scratch memory that it needs on so many threads.
    pub(crate) fn scratch(self, isa: Isa, shape: &ConvShape, threads: usize) -> usize {
        match self {
            Self::Winograd { size, stored } => Cut::new(isa, *shape, size, stored).scratch(threads),
            _ => 0,
        }
    }

    /// True when Winograd's algorithm applies.
    pub(crate) fn winograd_fits(shape: &ConvShape) -> bool {
        Cut::fits(shape)
    }

    /// Bytes that its packed weights take beyond those of the definition.
    pub(crate) fn extra_bytes(self, isa: Isa, shape: &ConvShape) -> usize {
        match self {
            Self::Winograd { size, stored } => {
                let cut = Cut::new(isa, *shape, size, stored);
                if stored { 4 * (cut.weights() - cut.weights() / cut.points() * 9) } else { 0 }
            }
            _ => 0,
        }
    }

    /// The time that it takes on one thread, in cycles of a processor that starts two multiply-adds in each. Only
    /// ratios are of use. For [`Direct`](Self::Direct) and Winograd's.
    pub(crate) fn cost(self, isa: Isa, shape: &ConvShape) -> f64 {
        match self {
            Self::Winograd { size, stored } => Cut::new(isa, *shape, size, stored).cost(),
            _ => {
                let terms = shape.in_channels / shape.groups * shape.kernel[0] * shape.kernel[1];
                let outputs = shape.batch * shape.output[0] * shape.output[1];
                let vectors = outputs * shape.out_channels.div_ceil(isa.block());
                (vectors * terms) as f64 / (2.0 * DIRECT_RATE)
            }
        }
    }
}

/// The part of the processor's multiply-adds that direct convolution reaches (measured, see `speed_of_convolution`).
const DIRECT_RATE: f64 = 0.92;

/// A convolution, ready to run.
pub(crate) struct Conv(Kind);

enum Kind {
    Direct(Box<Direct>),
    Depthwise(Box<Depthwise>),
    Winograd(Box<Winograd>),
}

impl Conv {
    /// Packs the weights, `[out_channels, in_channels / groups, kernel height, kernel width]`.
    ///
    /// # Panics
    /// If the lengths do not fit the shape, or the algorithm does not.
    pub(crate) fn new(
        isa: Isa,
        shape: ConvShape,
        algorithm: Algorithm,
        weights: &Weights,
        post: PostOps,
    ) -> Self {
        let terms = shape.in_channels / shape.groups * shape.kernel[0] * shape.kernel[1];
        assert_eq!(weights.len(), shape.out_channels * terms, "weights of {shape:?}");
        assert!(post.bias.as_ref().is_none_or(|bias| bias.len() == shape.out_channels));
        Self(match algorithm {
            Algorithm::Direct => Kind::Direct(Box::new(Direct::new(isa, shape, weights, post))),
            Algorithm::Depthwise => Kind::Depthwise(Box::new(Depthwise::new(isa, shape, weights, post))),
            Algorithm::Winograd { size, stored } => {
                Kind::Winograd(Box::new(Winograd::new(Cut::new(isa, shape, size, stored), weights, post)))
            }
        })
    }

    /// The name of the kernel, for profiles.
    pub(crate) fn name(&self) -> &'static str {
        match &self.0 {
            Kind::Direct(direct) if direct.shape.kernel == [1, 1] => "direct_1x1",
            Kind::Direct(_) => "direct",
            Kind::Depthwise(_) => "depthwise",
            Kind::Winograd(winograd) => winograd.name(),
        }
    }

    /// Runs it: `src` is `[batch, in_channels, input]`, `dst` `[batch, out_channels, output]`, both blocked. `scratch`
    /// is what [`Algorithm::scratch`] says.
    ///
    /// # Panics
    /// If a slice is too short; if there is an addend and no [`Sum`] or the other way round; if what the output
    /// holds is to be added after a function other than bounds.
    pub(crate) fn run(
        &self,
        pool: &mut Pool,
        src: Blocked,
        dst: BlockedMut,
        addend: Addend,
        scratch: &mut [f32],
    ) {
        let (shape, isa) = match &self.0 {
            Kind::Direct(direct) => (&direct.shape, direct.isa),
            Kind::Depthwise(depthwise) => (&depthwise.shape, depthwise.isa),
            Kind::Winograd(winograd) => (&winograd.cut.shape, winograd.cut.isa),
        };
        let fits = |len: usize, stride: usize, channels: usize, [h, w]: [usize; 2]| {
            let image = channels.next_multiple_of(isa.block()) * h * w;
            assert!(len >= (shape.batch - 1) * stride + image, "{len} elements for {shape:?}");
        };
        fits(src.data.len(), src.batch_stride, shape.in_channels, shape.input);
        fits(dst.data.len(), dst.batch_stride, shape.out_channels, shape.output);
        match &self.0 {
            Kind::Direct(direct) => direct.run(pool, src, dst, addend),
            Kind::Depthwise(depthwise) => depthwise.run(pool, src, dst, addend),
            Kind::Winograd(winograd) => winograd.run(pool, src, dst, addend, scratch),
        }
    }
}

/// A convolution by register tiles.
struct Direct {
    isa: Isa,
    shape: ConvShape,
    /// The geometry that runs: the same, or one long row.
    geometry: ConvShape,
    weights: Arc<Floats>,
    bias: Floats,
    post: PostOps,
    outs: Vec<OutTile>,
    spans: Vec<Span>,
    /// The columns of each span, one after the other.
    columns: Vec<Column>,
    /// Tiles of pixels in a chunk, at most.
    chunk: usize,
}

/// Blocks of output channels that are computed together.
pub(super) struct OutTile {
    /// The first block.
    pub(super) block: usize,
    /// Blocks.
    pub(super) count: usize,
    /// Blocks of input channels that they depend on.
    pub(super) sources: Range<usize>,
    /// Input channels of the last of them.
    pub(super) last_depth: usize,
    /// Where their weights start.
    pub(super) weights: usize,
}

/// Pixels of a row that are computed together.
struct Span {
    x: usize,
    pixels: usize,
    /// Spans from this one on that one call computes: they differ in their place only.
    alike: usize,
    /// As [`Tile::whole_rows`].
    whole_rows: bool,
    /// Kernels for 1, 2 and 4 blocks.
    kernels: [Option<TileFn>; 3],
}

/// Splits the blocks of output channels into tiles of at most `most`: 1, 2 or 4.
pub(super) fn out_tiles(blocks: usize, most: usize) -> Vec<(usize, usize)> {
    let mut tiles = Vec::new();
    let mut block = 0;
    while block < blocks {
        let mut count = most;
        while count > blocks - block {
            count /= 2;
        }
        tiles.push((block, count));
        block += count;
    }
    tiles
}

/// Index of the kernel for so many blocks.
pub(super) fn by_count(count: usize) -> usize {
    count.trailing_zeros() as usize
}

/// The taps of an axis that touch the input at output `at`.
pub(super) fn taps(shape: &ConvShape, axis: usize, at: usize) -> Range<usize> {
    let dilation = shape.dilation[axis];
    let start = at * shape.stride[axis];
    let pad = shape.pad_begin[axis];
    let first = pad.saturating_sub(start).div_ceil(dilation).min(shape.kernel[axis]);
    let end = (shape.input[axis] + pad).saturating_sub(start).div_ceil(dilation).min(shape.kernel[axis]);
    first..end.max(first)
}

/// Chooses the kernels of a span.
struct Choose {
    pixels: usize,
    counts: [bool; 3],
    stride: usize,
    /// As `ANY` of [`tile`].
    any: bool,
}

impl Kernel for Choose {
    type Out = [Option<TileFn>; 3];
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Self::Out {
        std::array::from_fn(|i| {
            self.counts[i].then(|| match (self.stride, self.any) {
                (1, false) => tile::<S, Blocks<1>, false>(s, self.pixels, 1 << i),
                (1, true) => tile::<S, Blocks<1>, true>(s, self.pixels, 1 << i),
                (2, false) => tile::<S, Blocks<2>, false>(s, self.pixels, 1 << i),
                _ => tile::<S, AnyStep, true>(s, self.pixels, 1 << i),
            })
        })
    }
}

/// [`max_pixels`] of an instruction set chosen at run time.
pub(super) struct Most(pub(super) usize);

impl Kernel for Most {
    type Out = usize;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> usize {
        max_pixels::<S>(self.0)
    }
}

/// Copies one number per output channel into blocks, the rest zero.
pub(super) fn pack_bias(bias: Option<&Vec<f32>>, channels: usize, block: usize) -> Floats {
    let mut packed = Floats::zeroed(channels.next_multiple_of(block));
    if let Some(bias) = bias {
        packed[..channels].copy_from_slice(bias);
    }
    packed
}

/// Packs weights for tiles of output channels into zeros: `[tile][source block][tap][input][output]`.
pub(super) fn pack(isa: Isa, shape: &ConvShape, outs: &[OutTile], packed: &mut [f32], weights: &[f32]) {
    let b = isa.block();
    let (ic, oc) = (shape.in_channels / shape.groups, shape.out_channels / shape.groups);
    let taps = shape.kernel[0] * shape.kernel[1];
    // Where `[input][tap]` of a source block goes; the same in nearly all, and a table for want of a fast division.
    let mut places = (0, 0, Vec::new());
    for &OutTile { block, count, ref sources, last_depth, weights: at } in outs {
        let width = count * b;
        let (first_out, end_out) = (block * b, (block * b + width).min(shape.out_channels));
        for source in sources.clone() {
            let depth = if source + 1 == sources.end { last_depth } else { b };
            if (places.0, places.1) != (depth, width) {
                let place = |i| (i % taps * depth + i / taps) * width;
                places = (depth, width, (0..depth * taps).map(place).collect());
            }
            let to = &mut packed[at + (source - sources.start) * b * taps * width..][..depth * taps * width];
            for group in first_out / oc..end_out.div_ceil(oc) {
                // Outputs of this tile and inputs of this block that are this group's: of others, weights are zero.
                let outputs = first_out.max(group * oc)..end_out.min((group + 1) * oc);
                let inputs = (source * b).max(group * ic)..(source * b + depth).min((group + 1) * ic);
                if inputs.is_empty() {
                    continue;
                }
                let from = &weights[(outputs.start * ic + inputs.start - group * ic) * taps..];
                let places = &places.2[(inputs.start - source * b) * taps..][..inputs.len() * taps];
                let to = &mut to[outputs.start - first_out..];
                transpose(isa, from, ic * taps, [outputs.len(), places.len()], to, |i| places[i]);
            }
        }
    }
}

/// The weights of all tiles, of which most are of `most` blocks, as [`pack`] packs them.
pub(super) fn packed_for_tiles(
    isa: Isa,
    shape: &ConvShape,
    most: usize,
    outs: &[OutTile],
    weights: &Weights,
) -> Arc<Floats> {
    let b = isa.block();
    weights.packed(format!("direct {most}x{b} {}", shape.groups), |weights| {
        let taps = shape.kernel[0] * shape.kernel[1];
        let len = |out: &OutTile| ((out.sources.len() - 1) * b + out.last_depth) * taps * out.count * b;
        let mut packed = Floats::zeroed(outs.iter().map(len).sum());
        pack(isa, shape, outs, &mut packed, weights);
        packed
    })
}

impl Direct {
    fn new(isa: Isa, shape: ConvShape, weights: &Weights, post: PostOps) -> Self {
        let [kh, kw] = shape.kernel;
        let (ic, oc) = (shape.in_channels / shape.groups, shape.out_channels / shape.groups);
        let b = isa.block();
        let mut geometry = shape;
        if shape.kernel == [1, 1] && shape.stride == [1, 1] && shape.input == shape.output {
            let pixels = shape.input[0] * shape.input[1];
            (geometry.input, geometry.output, geometry.pad_begin) = ([1, pixels], [1, pixels], [0, 0]);
        }
        let width = geometry.output[1];
        // Few pixels need more channels to keep the multipliers busy.
        let most_blocks = if width <= 4.min(isa.dispatch(Most(4))) { 4 } else { 2 };
        let mut outs = Vec::new();
        let mut weights_at = 0;
        for (block, count) in out_tiles(shape.out_channels.div_ceil(b), most_blocks) {
            // The groups of these channels, and the blocks of their inputs: of other groups the weights are zero.
            let (first, last) = (block * b / oc, ((block + count) * b).min(shape.out_channels).div_ceil(oc));
            let sources = first * ic / b..(last * ic).div_ceil(b);
            let last_depth = (shape.in_channels - (sources.end - 1) * b).min(b);
            outs.push(OutTile { block, count, sources, last_depth, weights: weights_at });
            weights_at += ((outs[outs.len() - 1].sources.len() - 1) * b + last_depth) * kh * kw * count * b;
        }
        let packed = packed_for_tiles(isa, &shape, most_blocks, &outs, weights);
        let mut most = isa.dispatch(Most(most_blocks));
        if geometry.stride[1] > 2 {
            most = most.min(6);
        }
        let counts = std::array::from_fn(|i| outs.iter().any(|out| by_count(out.count) == i));
        let (mut spans, mut columns) = (Vec::<Span>::new(), Vec::new());
        let mut x = 0;
        for pixels in
            cut(width, most).into_iter().flat_map(|(pixels, tiles)| std::iter::repeat_n(pixels, tiles))
        {
            let row: Vec<Column> = (0..kw)
                .map(|kx| {
                    let start = (x * geometry.stride[1] + kx * geometry.dilation[1]) as isize
                        - geometry.pad_begin[1] as isize;
                    let from = |column: isize| {
                        let distance = (column - start).max(0) as usize;
                        distance.div_ceil(geometry.stride[1]).min(pixels)
                    };
                    let (lo, hi) = (from(0), from(geometry.input[1] as isize));
                    Column { lo, hi, offset: start * b as isize, taps: 1 }
                })
                .collect();
            let whole = |c: &Column| (c.lo, c.hi) == (0, pixels);
            let simple = |c: &Column| c.lo >= c.hi || c.lo + (pixels - c.hi) <= 1;
            let any = !row.iter().all(simple);
            let kernels = isa.dispatch(Choose { pixels, counts, stride: geometry.stride[1], any });
            let whole_rows = geometry.dilation[1] == 1 && row.iter().all(whole);
            spans.push(Span { x, pixels, alike: 1, whole_rows, kernels });
            columns.extend(row);
            x += pixels;
        }
        let tiles = spans.len();
        let shape_of = |i: usize| columns[i * kw..][..kw].iter().map(|c: &Column| (c.lo, c.hi));
        for i in (1..tiles).rev() {
            if spans[i - 1].pixels == spans[i].pixels && shape_of(i - 1).eq(shape_of(i)) {
                spans[i - 1].alike = spans[i].alike + 1;
            }
        }
        let row_bytes = 4 * shape.in_channels * geometry.input[1] * geometry.stride[0].min(kh);
        let chunk = (CHUNK_BYTES / (row_bytes / tiles).max(1)).max(1);
        let bias = pack_bias(post.bias.as_ref(), shape.out_channels, b);
        Self { isa, shape, geometry, weights: packed, bias, post, outs, spans, columns, chunk }
    }

    fn run(&self, pool: &mut Pool, src: Blocked, dst: BlockedMut, addend: Addend) {
        let (shape, g) = (&self.shape, &self.geometry);
        let pixels = g.output[0] * g.output[1];
        let dst_image = shape.out_channels.div_ceil(self.isa.block()) * pixels * self.isa.block();
        let target = Target::new(&self.post, addend, dst_image, shape.batch);
        let (tiles, outs) = (g.output[0] * self.spans.len(), self.outs.len());
        let (dst, dst_stride) = (Shards::new(dst.data), dst.batch_stride);
        let split = self.work().split(pool.threads());
        pool.run(&|share| {
            let run = Run { of: self, src, dst: dst.get(), dst_stride, target: &target };
            let mine = match split {
                Split::Places => share.part(shape.batch * tiles),
                Split::Channels => 0..shape.batch * tiles,
            };
            for (image, tiles) in by_row(mine, tiles) {
                let chunks = tiles.len().div_ceil(self.chunk);
                for i in 0..chunks {
                    let chunk = part(tiles.len(), i, chunks);
                    let own = match split {
                        Split::Places => 0..outs * chunk.len(),
                        Split::Channels => share.part(outs * chunk.len()),
                    };
                    for (out, own) in by_row(own, chunk.len()) {
                        let first = tiles.start + chunk.start;
                        run.tiles(image, &self.outs[out], first + own.start..first + own.end);
                    }
                }
            }
        });
    }

    fn work(&self) -> Work {
        let Self { shape, geometry, .. } = self;
        let outputs = shape.batch * shape.output[0] * shape.output[1];
        let tiles = shape.batch * geometry.output[0] * self.spans.len();
        Work {
            terms: self.weights.len() * outputs,
            input: shape.batch * shape.in_channels * shape.input[0] * shape.input[1],
            weights: self.weights.len(),
            places: tiles,
            again: 0.0,
            channels: tiles * self.outs.len(),
        }
    }
}

/// A run of a [`Direct`] convolution.
struct Run<'a> {
    of: &'a Direct,
    src: Blocked<'a>,
    dst: *mut f32,
    dst_stride: usize,
    target: &'a Target<'a>,
}

impl Run<'_> {
    /// Computes tiles of pixels for one tile of output channels.
    fn tiles(&self, image: usize, o: &OutTile, mut at: Range<usize>) {
        let Self { of, src, target, .. } = self;
        let (g, b) = (&of.geometry, of.isa.block());
        let pixels = g.output[0] * g.output[1];
        let src_block = g.input[0] * g.input[1] * b;
        let weights = of.weights[o.weights..].as_ptr();
        let panel = ((o.sources.len() - 1) * b + o.last_depth) * g.kernel[0] * g.kernel[1] * o.count * b;
        let (start, tiles) = (at.start, at.len());
        while !at.is_empty() {
            let (y, x) = (at.start / of.spans.len(), at.start % of.spans.len());
            let span = &of.spans[x];
            let place = (o.block * pixels + y * g.output[1] + span.x) * b;
            let rows = taps(g, 0, y);
            let top = (y * g.stride[0]) as isize - g.pad_begin[0] as isize;
            let repeat = span.alike.min(at.len()).min(target.most_tiles(span.pixels));
            let dst = self.dst.wrapping_add(image * self.dst_stride + place);
            let tile = Tile {
                src: src.data.as_ptr().wrapping_offset(
                    (image * src.batch_stride + o.sources.start * src_block) as isize
                        + top * (g.input[1] * b) as isize,
                ),
                weights,
                dst,
                addend: std::ptr::null(),
                bias: of.bias[o.block * b..].as_ptr(),
                dst_block: pixels * b,
                src_block,
                blocks: o.sources.len(),
                depth: b,
                last_depth: o.last_depth,
                kernel: g.kernel,
                row_begin: rows.start,
                row_end: rows.end,
                row_stride: g.dilation[0] * g.input[1] * b,
                whole_rows: span.whole_rows,
                columns: &of.columns[x * g.kernel[1]..][..g.kernel[1]],
                step: g.stride[1] * b,
                pixels: span.pixels,
                repeat,
                weights_ahead: Ahead::panel(weights, panel, o.count * b, at.start - start, tiles),
                output_ahead: Ahead::none(dst),
                add_before: false,
                add_after: false,
                lo: 0.0,
                hi: 0.0,
            };
            let kernel = span.kernels[by_count(o.count)].expect("chosen for these counts");
            // SAFETY: rows and columns are those that touch the input, which is as long as the shape says, and so is
            // the output; the tiles are disjoint.
            unsafe { target.run(of.isa, kernel, tile, o, image, place, of.shape.out_channels) };
            at.start += repeat;
        }
    }
}

/// What happens to a tile's sums.
pub(super) struct Target<'a> {
    post: &'a PostOps,
    addend: Addend<'a>,
    bounds: Option<(f32, f32)>,
}

impl<'a> Target<'a> {
    /// # Panics
    /// If there is an addend and no [`Sum`] or the other way round, or it is too short.
    pub(super) fn new(post: &'a PostOps, addend: Addend<'a>, image: usize, batch: usize) -> Self {
        assert_eq!(post.sum == Sum::None, matches!(addend, Addend::None), "an addend where none is summed");
        if let Addend::Of(addend) = addend {
            assert!(addend.data.len() >= (batch - 1) * addend.batch_stride + image);
        }
        let bounds = post.activation.bounds();
        let in_place = matches!(addend, Addend::Output);
        // A kernel stores its sums before it applies the function.
        assert!(
            !in_place || bounds.is_some() || post.sum == Sum::BeforeActivation,
            "adds to what is overwritten"
        );
        Self { post, addend, bounds }
    }

    /// Tiles of so many pixels that are computed before a function is applied to them.
    pub(super) fn most_tiles(&self, pixels: usize) -> usize {
        if self.bounds.is_some() { usize::MAX } else { FINISHED_PIXELS.div_ceil(pixels) }
    }

    /// The bounds, if the activation is nothing more.
    pub(super) fn bounds(&self) -> Option<(f32, f32)> {
        self.bounds
    }

    /// The addend of the output at `place` of an image.
    #[inline(always)]
    pub(super) fn addend(&self, image: usize, place: usize, dst: *mut f32) -> Option<*const f32> {
        match self.addend {
            Addend::None => None,
            Addend::Of(addend) => Some(addend.data[image * addend.batch_stride + place..].as_ptr()),
            Addend::Output => Some(dst),
        }
    }

    /// Stores the first `n` pixels of a row of one block, whose bias is in already, with addend and activation.
    /// `channel` is that of the first lane, `lanes` how many lanes are channels.
    ///
    /// # Safety
    /// `n` pixels can be written at `dst`, and read at `addend`, which is there if [`Sum`] has one.
    #[inline(always)]
    pub(super) unsafe fn store<S: Simd, const M: usize>(
        &self,
        (s, isa): (S, Isa),
        row: [S::V; M],
        n: usize,
        dst: *mut f32,
        addend: Option<*const f32>,
        [channel, lanes]: [usize; 2],
    ) {
        let in_place = matches!(self.addend, Addend::Output);
        let (lo, hi) = self.bounds.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
        // What the output holds is overwritten, so that goes into the sum whatever comes after.
        let (before, after) = match self.bounds {
            Some(_) => (self.post.sum == Sum::BeforeActivation, self.post.sum == Sum::AfterActivation),
            None => (in_place, false),
        };
        for (j, mut x) in row.into_iter().enumerate().take(n) {
            // SAFETY: the caller's.
            unsafe {
                let sum = addend.filter(|_| before || after).map(|a| s.load(a.add(j * S::LANES)));
                if let (true, Some(sum)) = (before, sum) {
                    x = s.add(x, sum);
                }
                x = s.min(s.splat(hi), s.max(s.splat(lo), x));
                if let (true, Some(sum)) = (after, sum) {
                    x = s.add(x, sum);
                }
                s.store(dst.add(j * S::LANES), x);
            }
        }
        if self.bounds.is_none() {
            // SAFETY: the caller's.
            unsafe { self.post.finish(isa, dst, addend.filter(|_| !in_place), n, channel, lanes) };
        }
    }

    /// Runs a kernel on a tile that stands at `place` of its image, and what follows.
    ///
    /// # Safety
    /// As [`TileFn`], but for the fields that follow from the post-operations; the tile is this thread's.
    #[inline(always)]
    pub(super) unsafe fn run(
        &self,
        isa: Isa,
        kernel: TileFn,
        mut tile: Tile,
        out: &OutTile,
        image: usize,
        place: usize,
        channels: usize,
    ) {
        tile.addend = self.addend(image, place, tile.dst).unwrap_or(std::ptr::null());
        if let Some((lo, hi)) = self.bounds {
            (tile.lo, tile.hi) = (lo, hi);
            tile.add_before = self.post.sum == Sum::BeforeActivation;
            tile.add_after = self.post.sum == Sum::AfterActivation;
            // SAFETY: the caller's.
            return unsafe { kernel(&tile) };
        }
        (tile.lo, tile.hi) = (f32::NEG_INFINITY, f32::INFINITY);
        let b = isa.block();
        // The kernel overwrites what the output holds, so that goes first into the sum or comes after it.
        let in_place = matches!(self.addend, Addend::Output);
        tile.add_before = in_place;
        // SAFETY: the caller's; `finish` stays within the tile.
        unsafe {
            kernel(&tile);
            for j in 0..out.count {
                let channel = (out.block + j) * b;
                let lanes = b.min(channels - channel);
                let (dst, addend) =
                    (tile.dst.add(j * tile.dst_block), tile.addend.wrapping_add(j * tile.dst_block));
                let pixels = tile.repeat * tile.pixels;
                self.post.finish(isa, dst, (!in_place).then_some(addend), pixels, channel, lanes);
            }
        }
    }
}
