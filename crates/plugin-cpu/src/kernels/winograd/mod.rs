//! Convolution of 3x3 windows at stride 1 by Winograd's minimal filtering, F(m x m, 3 x 3).
//!
//! Each tile of `n x n` inputs (`n = m + 2`) gives `m x m` outputs: `Y = A^T [(G g G^T) * (B^T d B)] A`, where the
//! products are taken element by element and summed over the channels: `n^2` matrix products of tiles by channels.
//! The matrices follow from the points at which the polynomials are evaluated (Toom-Cook), see A. Lavin and S. Gray,
//! "Fast Algorithms for Convolutional Neural Networks", arXiv:1509.09308; the points of F(4x4) are chosen for the least
//! error, see B. Barabasz et al., "Error Analysis and Improving the Accuracy of Winograd Convolution for Deep Neural
//! Networks", arXiv:1803.10986.
//!
//! A chunk of tiles goes through all three stages before the next one does, so that what lies between stays in the
//! second-level cache: transformed inputs `[n * n][channel block][tile][LANES]`, products of a group of output channels
//! `[n * n][channel block][tile][LANES]`.

mod transform;

use super::{
    conv::{
        Addend, Blocked, BlockedMut, ConvShape, Floats, OutTile, Target, by_count, out_tiles, pack,
        pack_bias, packed_for_tiles,
    },
    conv_tile::{self, Ahead, Blocks, Column, Tile, TileFn, max_pixels, tile},
    post::PostOps,
    split::{Split, Work},
};
use crate::{
    isa::{Isa, Kernel, Simd},
    pool::{Pool, Shards, by_row, part},
    weights::Weights,
};
use std::{ops::Range, sync::Arc};
use transform::{F2, F4, F6, Transform, dot};

pub(crate) use transform::Size;

/// How a convolution is cut into tiles and chunks.
#[derive(Clone, Copy)]
pub(super) struct Cut {
    pub(super) isa: Isa,
    pub(super) shape: ConvShape,
    size: Size,
    /// Tiles along each axis of the output.
    tiles: [usize; 2],
    /// Tiles of a chunk.
    chunk: usize,
    /// Blocks of output channels whose products are held at a time; even.
    group: usize,
    /// Filters are transformed when weights are packed, and not for each chunk.
    stored: bool,
}

impl Cut {
    /// True when the algorithm applies.
    pub(super) fn fits(shape: &ConvShape) -> bool {
        shape.kernel == [3, 3] && shape.stride == [1, 1] && shape.dilation == [1, 1] && shape.groups == 1
    }

    /// Cuts a convolution that [`fits`](Self::fits).
    pub(super) fn new(isa: Isa, shape: ConvShape, size: Size, stored: bool) -> Self {
        let b = isa.block();
        let n = size.inputs();
        let tiles = shape.output.map(|outputs| outputs.div_ceil(size.outputs()));
        let group = GROUP_BLOCKS.min(shape.out_channels.div_ceil(b).next_multiple_of(2));
        let most = (PRODUCT_BYTES / (4 * n * n * group * b)).max(1);
        let all = tiles[0] * tiles[1];
        let chunk = all.div_ceil(all.div_ceil(most));
        Self { isa, shape, size, tiles, chunk, group, stored }
    }

    /// See [`Algorithm::cost`](super::conv::Algorithm::cost). The constants are measured (`speed_of_convolution`).
    pub(super) fn cost(&self) -> f64 {
        // The part of the multiply-adds that the products reach; cycles to transform a vector of one tile's inputs and
        // outputs, and of a filter; bytes of weights that a cycle brings, and the part of that time in which nothing
        // else happens.
        const RATE: f64 = 0.83;
        const BYTES: f64 = 8.0;
        const STALL: f64 = 0.75;
        let (input, output, filter) = match self.size {
            Size::Two => (150.0, 100.0, 150.0),
            Size::Four => (350.0, 220.0, 230.0),
            Size::Six => (700.0, 420.0, 400.0),
        };
        let shape = &self.shape;
        let tiles = shape.batch * self.tiles[0] * self.tiles[1];
        let [inputs, outputs] =
            [shape.in_channels, shape.out_channels].map(|channels| channels.div_ceil(self.isa.block()));
        let products = (tiles * self.points() * shape.in_channels * outputs) as f64 / (2.0 * RATE);
        let transforms = tiles as f64 * (inputs as f64 * input + outputs as f64 * output);
        let bytes = 4 * self.weights();
        let filters = (shape.in_channels * outputs) as f64 * if self.stored { 0.0 } else { filter };
        let chunks = shape.batch * (self.tiles[0] * self.tiles[1]).div_ceil(self.chunk);
        // What the second-level cache holds comes from memory once.
        let loads = if bytes > CACHE_BYTES { chunks } else { 1 };
        products + transforms + chunks as f64 * filters + STALL * (loads * bytes) as f64 / BYTES
    }

    pub(super) fn points(&self) -> usize {
        self.size.inputs() * self.size.inputs()
    }

    /// Elements from a point to the next of transformed inputs, and of products.
    fn strides(&self) -> [usize; 2] {
        let b = self.isa.block();
        let inputs = self.shape.in_channels.div_ceil(b);
        [inputs, self.group].map(|blocks| point_stride(blocks * self.chunk * b))
    }

    /// Elements of scratch memory on so many threads.
    pub(super) fn scratch(&self, threads: usize) -> usize {
        let [inputs, own] = self.parts();
        (inputs + own) * threads
    }

    /// Elements of the transformed inputs of a chunk; of its products and a row of filters.
    fn parts(&self) -> [usize; 2] {
        let [inputs, products] = self.strides().map(|stride| stride * self.points());
        let row = self.size.inputs() * self.shape.in_channels * 2 * self.isa.block();
        [inputs, products + if self.stored { 0 } else { row }]
    }

    /// Elements from the weights of a point to those of the next, in the group of an output block.
    fn point_weights(&self, block: usize) -> usize {
        let b = self.isa.block();
        let blocks = self.shape.out_channels.div_ceil(b) - block / self.group * self.group;
        self.shape.in_channels * blocks.min(self.group) * b
    }

    /// Elements of the packed weights.
    pub(super) fn weights(&self) -> usize {
        let points = if self.stored { self.points() } else { 9 };
        points * self.shape.in_channels * self.shape.out_channels.next_multiple_of(self.isa.block())
    }
}

/// A convolution by Winograd's algorithm, ready to run.
pub(super) struct Winograd {
    pub(super) cut: Cut,
    outs: Vec<OutTile>,
    /// Stored `[group][point][out tile][in channel][channels of the out tile]`, or else as for direct convolution.
    weights: Arc<Floats>,
    bias: Floats,
    post: PostOps,
    /// Product kernels by tiles (less one) and by [`by_count`] of blocks.
    kernels: Vec<[TileFn; 2]>,
    /// The column of a 1x1 kernel of so many pixels (less one).
    columns: Vec<Column>,
    zeros: Floats,
    /// The filter matrix.
    matrix: Vec<[f32; 3]>,
}

/// Bytes of products that are held at a time: half of what a small second-level cache has.
const PRODUCT_BYTES: usize = 512 << 10;
/// Bytes of weights that stay in the second-level cache.
const CACHE_BYTES: usize = 768 << 10;
/// Products that take as long as the transform of one filter.
const FILTER_TERMS: usize = 450;
/// Blocks of output channels that share what is held.
const GROUP_BLOCKS: usize = 4;

/// All product kernels: by tiles, then by blocks.
struct Products;

impl Kernel for Products {
    type Out = Vec<[TileFn; 2]>;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Self::Out {
        let kernel = |mr| [1, 2].map(|nb| tile::<S, Blocks<1>, false>(s, mr, nb));
        (1..=max_pixels::<S>(2)).map(kernel).collect()
    }
}

/// Elements from one point to the next: an odd number of cache lines, so that the points of one tile do not all meet
/// in the same set.
fn point_stride(elements: usize) -> usize {
    (elements.div_ceil(16) | 1) * 16
}

impl Winograd {
    /// Packs transformed weights; `weights` is `[out_channels, in_channels, 3, 3]`.
    pub(super) fn new(cut: Cut, weights: &Weights, post: PostOps) -> Self {
        let Cut { isa, shape, size, .. } = cut;
        let b = isa.block();
        let blocks = shape.out_channels.div_ceil(b);
        let mut outs = Vec::new();
        let mut at = 0;
        let last_depth = shape.in_channels - (shape.in_channels - 1) / b * b;
        for (block, count) in out_tiles(blocks, 2) {
            let sources = 0..shape.in_channels.div_ceil(b);
            // Point 0; the others are a group's width apart.
            outs.push(OutTile { block, count, sources, last_depth, weights: at });
            at += shape.in_channels * count * b * if cut.stored { 1 } else { 9 };
            if !cut.stored {
                continue;
            }
            if block + count == blocks || (block + count).is_multiple_of(cut.group) {
                at += (cut.points() - 1) * cut.point_weights(block);
            }
        }
        let matrix = size.filter_matrix();
        let packed = if cut.stored {
            weights.packed(format!("winograd {size:?} {} {b}", cut.group), |weights| {
                let mut packed = Floats::zeroed(cut.weights());
                for out in &outs {
                    let (width, stride) = (out.count * b, cut.point_weights(out.block));
                    let mut filters = vec![0.0; 9 * shape.in_channels * width];
                    let alone = OutTile { weights: 0, sources: out.sources.clone(), ..*out };
                    pack(isa, &shape, &[alone], &mut filters, weights);
                    for row in 0..size.inputs() {
                        let to = &mut packed[out.weights + row * size.inputs() * stride..];
                        assert!(to.len() >= (size.inputs() - 1) * stride + shape.in_channels * width);
                        let (matrix, filters, to) = (&matrix[..], &filters[..], to.as_mut_ptr());
                        let in_channels = shape.in_channels;
                        isa.dispatch(FilterRow { matrix, row, filters, in_channels, width, to, stride });
                    }
                }
                packed
            })
        } else {
            packed_for_tiles(isa, &shape, 2, &outs, weights)
        };
        let kernels = isa.dispatch(Products);
        let columns = (1..=kernels.len()).map(|hi| Column { lo: 0, hi, offset: 0, taps: 1 }).collect();
        let zeros = Floats::zeroed(2 * b);
        let bias = pack_bias(post.bias.as_ref(), shape.out_channels, b);
        Self { cut, outs, weights: packed, bias, post, kernels, columns, zeros, matrix }
    }

    /// The name of the kernel, for profiles.
    pub(super) fn name(&self) -> &'static str {
        match (self.cut.size, self.cut.stored) {
            (Size::Two, true) => "wino2",
            (Size::Four, true) => "wino4",
            (Size::Six, true) => "wino6",
            (Size::Two, false) => "wino2_lean",
            (Size::Four, false) => "wino4_lean",
            (Size::Six, false) => "wino6_lean",
        }
    }

    /// As [`Conv::run`](super::conv::Conv::run).
    pub(super) fn run(
        &self,
        pool: &mut Pool,
        src: Blocked,
        dst: BlockedMut,
        addend: Addend,
        scratch: &mut [f32],
    ) {
        let Cut { isa, shape, tiles, .. } = &self.cut;
        let b = isa.block();
        let threads = pool.threads();
        assert!(scratch.len() >= self.cut.scratch(threads), "scratch for {threads} threads");
        let image = shape.out_channels.div_ceil(b) * shape.output[0] * shape.output[1] * b;
        let target = Target::new(&self.post, addend, image, shape.batch);
        let [inputs, products] = self.cut.parts();
        let dst_stride = dst.batch_stride;
        let (out, scratch) = (Shards::new(dst.data), Shards::new(scratch));
        let (all, chunk) = (tiles[0] * tiles[1], self.cut.chunk);
        let stage = |tiles: Range<usize>, [inputs, products, filters]: [*mut f32; 3]| Stage {
            of: self,
            src,
            image: tiles.start / all,
            first: tiles.start % all,
            count: tiles.len(),
            inputs,
            products,
            filters,
            dst: out.get(),
            dst_stride,
            target: &target,
        };
        // The memory of a thread.
        let own = |index: usize| {
            let inputs_at = scratch.get().wrapping_add(index * (inputs + products));
            let products_at = inputs_at.wrapping_add(inputs);
            [inputs_at, products_at, products_at.wrapping_add(self.cut.strides()[1] * self.cut.points())]
        };
        let total = shape.batch * all;
        // Some tiles in chunks of even size, each of one image.
        let chunks = |tiles: Range<usize>| {
            by_row(tiles, all).flat_map(move |(image, tiles)| {
                let (first, count) = (image * all + tiles.start, tiles.len().div_ceil(chunk));
                let cut = move |i| part(tiles.len(), i, count);
                (0..count).map(cut).map(move |part| first + part.start..first + part.end)
            })
        };
        if self.work().split(threads) == Split::Places {
            return pool.run(&|share| {
                for tiles in chunks(share.part(total)) {
                    let stage = stage(tiles, own(share.index()));
                    stage.transform_inputs(0..stage.count);
                    stage.multiply(0..self.outs.len());
                }
            });
        }
        // Too few output channels for all threads: they divide the points of the transform.
        let by_points = self.outs.len() < threads;
        for tiles in chunks(0..total) {
            // In the first thread's memory but for the filters.
            let shared = |index: usize| stage(tiles.clone(), [own(0)[0], own(0)[1], own(index)[2]]);
            pool.run(&|share| {
                let stage = shared(share.index());
                stage.transform_inputs(share.part(stage.count));
            });
            if by_points {
                pool.run(&|share| {
                    let rows = share.part(self.cut.size.inputs());
                    shared(share.index()).products(&self.outs, rows);
                });
                pool.run(&|share| {
                    shared(share.index()).outputs(&self.outs, share.part(tiles.len()));
                });
            } else {
                pool.run(&|share| {
                    let mut stage = shared(share.index());
                    stage.products = own(share.index())[1];
                    stage.multiply(share.part(self.outs.len()));
                });
            }
        }
    }

    fn work(&self) -> Work {
        let Cut { shape, tiles, .. } = &self.cut;
        let all = shape.batch * tiles[0] * tiles[1];
        let products = self.cut.points() * shape.in_channels;
        let outputs = shape.out_channels.next_multiple_of(self.cut.isa.block());
        // Each thread transforms every filter that is not stored: a vector costs about as much as so many products.
        let filters = if self.cut.stored { 0 } else { FILTER_TERMS * shape.in_channels * outputs };
        let terms = all * products * outputs + filters;
        Work {
            terms,
            input: all * products,
            weights: self.weights.len(),
            places: all,
            again: filters as f64 / 2.0 / terms as f64,
            channels: if self.outs.len() > 1 { self.outs.len() } else { self.cut.size.inputs() },
        }
    }
}

/// Transforms the filters of one out tile, for the points of one row.
struct FilterRow<'a> {
    /// The filter matrix.
    matrix: &'a [[f32; 3]],
    /// The row.
    row: usize,
    /// `[source block][tap][in channel][channels of the out tile]`
    filters: &'a [f32],
    in_channels: usize,
    /// Channels of the out tile.
    width: usize,
    /// `[in channel][channels of the out tile]` of the row's first point.
    to: *mut f32,
    /// Elements from point to point.
    stride: usize,
}

impl Kernel for FilterRow<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { matrix, row, filters, in_channels, width, to, stride } = self;
        assert!(filters.len() >= 9 * in_channels * width);
        let row = matrix[row];
        for c in 0..in_channels {
            let first = c / S::LANES * S::LANES;
            let depth = S::LANES.min(in_channels - first);
            let from = &filters[(9 * first + c - first) * width..];
            for lanes in (0..width).step_by(S::LANES) {
                let mut half = [s.splat(0.0); 3];
                // SAFETY: the filters of the channel's block are there, as asserted; `to` holds the channels of all
                // points of the row.
                unsafe {
                    let tap = from.as_ptr().add(lanes);
                    for x in 0..3 {
                        let mut column = [s.splat(0.0); 3];
                        for y in 0..3 {
                            column[y] = s.load(tap.add((y * 3 + x) * depth * width));
                        }
                        half[x] = dot(s, row, column);
                    }
                    for (x, column) in matrix.iter().enumerate() {
                        s.store(to.add(x * stride + c * width + lanes), dot(s, *column, half));
                    }
                }
            }
        }
    }
}

/// A chunk of tiles of one image.
struct Stage<'a> {
    of: &'a Winograd,
    src: Blocked<'a>,
    image: usize,
    /// The first tile.
    first: usize,
    /// Tiles.
    count: usize,
    /// Transformed inputs, `[point][block][tile of the chunk][LANES]`.
    inputs: *mut f32,
    /// Products of a group, the same way.
    products: *mut f32,
    /// A row of filters.
    filters: *mut f32,
    dst: *mut f32,
    dst_stride: usize,
    target: &'a Target<'a>,
}

impl Stage<'_> {
    fn transform_inputs(&self, tiles: Range<usize>) {
        self.of.cut.isa.dispatch(Inputs(self, tiles));
    }

    /// Multiplies, and transforms the products to outputs of some out tiles.
    fn multiply(&self, outs: Range<usize>) {
        let (of, cut) = (self.of, &self.of.cut);
        // All out tiles but the last are of two blocks.
        for first in outs.clone().step_by(cut.group / 2) {
            let group = &of.outs[first..outs.end.min(first + cut.group / 2)];
            self.products(group, 0..cut.size.inputs());
            self.outputs(group, 0..self.count);
        }
    }

    /// Multiplies for some rows of points and the out tiles of a group.
    fn products(&self, group: &[OutTile], rows: Range<usize>) {
        let (of, cut) = (self.of, &self.of.cut);
        let (b, n) = (cut.isa.block(), cut.size.inputs());
        let in_channels = cut.shape.in_channels;
        if cut.stored {
            for point in rows.start * n..rows.end * n {
                let mut block = 0;
                for out in group {
                    let at = out.weights + point * cut.point_weights(out.block);
                    let panel = &of.weights[at..][..in_channels * out.count * b];
                    self.product(point, out, block, panel.as_ptr());
                    block += out.count;
                }
            }
            return;
        }
        let (to, matrix) = (self.filters, &of.matrix[..]);
        let mut block = 0;
        for out in group {
            let width = out.count * b;
            let stride = in_channels * width;
            let filters = &of.weights[out.weights..][..9 * stride];
            for row in rows.clone() {
                cut.isa.dispatch(FilterRow { matrix, row, filters, in_channels, width, to, stride });
                for x in 0..n {
                    self.product(row * n + x, out, block, to.wrapping_add(x * stride));
                }
            }
            block += out.count;
        }
    }

    /// Transforms the products of a group to outputs of some tiles.
    fn outputs(&self, group: &[OutTile], tiles: Range<usize>) {
        self.of.cut.isa.dispatch(Outputs(self, group, tiles));
    }

    /// Multiplies for one point and out tile, whose products begin at `block` of the group's.
    fn product(&self, point: usize, out: &OutTile, block: usize, weights: *const f32) {
        let (of, cut) = (self.of, &self.of.cut);
        let b = cut.isa.block();
        let [input_stride, product_stride] = cut.strides();
        let plane = cut.chunk * b;
        let panel = cut.shape.in_channels * out.count * b;
        let kinds = conv_tile::cut(self.count, of.kernels.len());
        let mut done = 0;
        let mut start = 0;
        for (mr, repeat) in kinds.into_iter().filter(|(_, repeat)| *repeat > 0) {
            let dst = self.products.wrapping_add(point * product_stride + block * plane + start * b);
            let tile = Tile {
                src: self.inputs.wrapping_add(point * input_stride + start * b),
                weights,
                dst,
                addend: std::ptr::null(),
                bias: of.zeros.as_ptr(),
                dst_block: plane,
                src_block: plane,
                blocks: out.sources.len(),
                depth: b,
                last_depth: out.last_depth,
                kernel: [1, 1],
                row_begin: 0,
                row_end: 1,
                row_stride: 0,
                whole_rows: true,
                columns: &of.columns[mr - 1..mr],
                step: b,
                pixels: mr,
                repeat,
                weights_ahead: Ahead::panel(weights, panel, out.count * b, done, kinds[0].1 + kinds[1].1),
                output_ahead: Ahead::none(dst),
                add_before: false,
                add_after: false,
                lo: f32::NEG_INFINITY,
                hi: f32::INFINITY,
            };
            // SAFETY: the scratch holds the inputs and products of all tiles of a chunk, the weights are those of a
            // panel, and the products are this thread's.
            unsafe { of.kernels[mr - 1][by_count(out.count)](&tile) };
            (start, done) = (start + repeat * mr, done + repeat);
        }
    }

    /// Row and column of the first output of a tile.
    #[inline(always)]
    fn corner(&self, tile: usize) -> [usize; 2] {
        let m = self.of.cut.size.outputs();
        let columns = self.of.cut.tiles[1];
        [(self.first + tile) / columns * m, (self.first + tile) % columns * m]
    }
}

/// Transforms the inputs of some tiles of a chunk.
struct Inputs<'a>(&'a Stage<'a>, Range<usize>);

impl Kernel for Inputs<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.0.of.cut.size {
            Size::Two => self.transform::<S, F2, 4, 2>(s),
            Size::Four => self.transform::<S, F4, 6, 4>(s),
            Size::Six => self.transform::<S, F6, 8, 6>(s),
        }
    }
}

impl Inputs<'_> {
    #[inline(always)]
    fn transform<S: Simd, T: Transform<N, M>, const N: usize, const M: usize>(&self, s: S) {
        let Self(stage, tiles) = self;
        let cut = &stage.of.cut;
        let [height, width] = cut.shape.input;
        let [top, left] = cut.shape.pad_begin;
        let [stride, _] = cut.strides();
        let plane = height * width * S::LANES;
        let image = stage.src.data[stage.image * stage.src.batch_stride..].as_ptr();
        let blocks = cut.shape.in_channels.div_ceil(S::LANES);
        for (block, tile) in (0..blocks).flat_map(|block| tiles.clone().map(move |tile| (block, tile))) {
            let [y, x] = stage.corner(tile);
            let (y, x) = (y.wrapping_sub(top) as isize, x.wrapping_sub(left) as isize);
            // SAFETY: the block is the image's; inputs outside of it are not loaded. The scratch holds all points of
            // all tiles.
            unsafe {
                let src = image.add(block * plane);
                let to = stage.inputs.add((block * cut.chunk + tile) * S::LANES);
                let mut half = [[s.splat(0.0); N]; N];
                let inside =
                    y >= 0 && x >= 0 && y + N as isize <= height as isize && x + N as isize <= width as isize;
                for j in 0..N {
                    let mut column = [s.splat(0.0); N];
                    if inside {
                        let at = src.offset((y * width as isize + x + j as isize) * S::LANES as isize);
                        for i in 0..N {
                            column[i] = s.load(at.add(i * width * S::LANES));
                        }
                    } else if (0..width as isize).contains(&(x + j as isize)) {
                        for i in 0..N {
                            let (y, x) = (y + i as isize, x + j as isize);
                            if (0..height as isize).contains(&y) {
                                column[i] = s.load(src.offset((y * width as isize + x) * S::LANES as isize));
                            }
                        }
                    }
                    let column = T::input(s, column);
                    for i in 0..N {
                        half[i][j] = column[i];
                    }
                }
                for i in 0..N {
                    let row = T::input(s, half[i]);
                    for j in 0..N {
                        s.store(to.add((i * N + j) * stride), row[j]);
                    }
                }
            }
        }
    }
}

/// Transforms the products of a group to outputs of some tiles.
struct Outputs<'a>(&'a Stage<'a>, &'a [OutTile], Range<usize>);

impl Kernel for Outputs<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.0.of.cut.size {
            Size::Two => self.transform::<S, F2, 4, 2>(s),
            Size::Four => self.transform::<S, F4, 6, 4>(s),
            Size::Six => self.transform::<S, F6, 8, 6>(s),
        }
    }
}

impl Outputs<'_> {
    #[inline(always)]
    fn transform<S: Simd, T: Transform<N, M>, const N: usize, const M: usize>(&self, s: S) {
        let Self(stage, outs, tiles) = self;
        let (of, cut) = (stage.of, &stage.of.cut);
        let [height, width] = cut.shape.output;
        let [_, stride] = cut.strides();
        let blocks = outs.iter().flat_map(|out| out.block..out.block + out.count);
        for (held, block) in blocks.enumerate() {
            let channel = block * S::LANES;
            let lanes = S::LANES.min(cut.shape.out_channels - channel);
            // SAFETY: the packed bias has whole blocks.
            let bias = unsafe { s.load(of.bias[channel..].as_ptr()) };
            for tile in tiles.clone() {
                let [y, x] = stage.corner(tile);
                let place = (block * height * width + y * width + x) * S::LANES;
                let dst = stage.dst.wrapping_add(stage.image * stage.dst_stride + place);
                let addend = stage.target.addend(stage.image, place, dst);
                // SAFETY: the products of all points are there; outputs beyond the last row and column are neither
                // stored nor added to.
                unsafe {
                    let from = stage.products.add((held * cut.chunk + tile) * S::LANES);
                    let mut half = [[s.splat(0.0); N]; M];
                    for j in 0..N {
                        let mut column = [s.splat(0.0); N];
                        for i in 0..N {
                            column[i] = s.load(from.add((i * N + j) * stride));
                        }
                        let column = T::output(s, column);
                        for i in 0..M {
                            half[i][j] = column[i];
                        }
                    }
                    for i in 0..M.min(height - y) {
                        let mut row = T::output(s, half[i]);
                        for j in 0..M {
                            row[j] = s.add(row[j], bias);
                        }
                        let at = i * width * S::LANES;
                        let (dst, addend) = (dst.add(at), addend.map(|a| a.add(at)));
                        let n = M.min(width - x);
                        stage.target.store((s, cut.isa), row, n, dst, addend, [channel, lanes]);
                    }
                }
            }
        }
    }
}
