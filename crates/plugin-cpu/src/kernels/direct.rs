//! Direct convolution: a register tile of R pixels by B channel blocks, over a blocked or planar source.
//!
//! Blocked source: [C/N][H][W][N]. Weights: [O/N][C/N][KH][KW][N in][N out]. Planar source: [C][H][W], padded, with
//! weights [O/N][C][KH][KW][N out]: the same with one lane a block. Where the taps of a row lie side by side (no
//! dilation, no padding in reach) a whole kernel row is one run of `KW * N` steps.

use super::{Entry, Floats, Part, Post, Routine, Step, View, entry, registers};
use crate::{
    isa::{Isa, Simd},
    memory::Memory,
};

/// One tile of output: `R` pixels of a row, `B` blocks of channels.
struct Tile {
    /// Block 0, first kernel row inside the image, tap 0 of pixel 0. Taps that `left` and `width` put outside the
    /// image are not read.
    pub(crate) src: *const f32,
    /// Output block 0, source block 0, first kernel row inside the image.
    pub(crate) weights: *const f32,
    /// `B * N` floats to start from; null: start from what `dst` holds.
    pub(crate) bias: *const f32,
    /// Added before the activation, laid out as `dst`; or null.
    pub(crate) residual: *const f32,
    /// Pixel 0 of block 0.
    pub(crate) dst: *mut f32,
    /// Source column of tap 0 of pixel 0, in pixels; negative in the left padding.
    pub(crate) left: isize,
    /// First output channel.
    pub(crate) channel: usize,
    /// Kernel rows inside the image.
    pub(crate) rows: usize,
    /// The taps of a kernel row lie side by side and inside the image for every pixel.
    pub(crate) whole_rows: bool,
    /// No tap lies outside the image.
    pub(crate) inside: bool,
    /// Keep the bare sum: more source blocks follow.
    pub(crate) partial: bool,
    /// What all tiles share.
    pub(crate) shape: *const Strides,
    /// Source blocks to sum over, and lanes of the last one.
    pub(crate) blocks: usize,
    pub(crate) last_lanes: usize,
}

/// Distances in elements, the same for every tile of a convolution.
struct Strides {
    /// Lanes of a source block: N, or 1 when planar.
    pub(crate) lanes: usize,
    pub(crate) taps: usize,
    pub(crate) src_block: usize,
    pub(crate) src_row: usize,
    pub(crate) src_tap: usize,
    pub(crate) src_pixel: usize,
    /// Between output blocks.
    pub(crate) weights_out: usize,
    pub(crate) weights_block: usize,
    pub(crate) weights_row: usize,
    pub(crate) dst_block: usize,
    /// Columns of the source; and pixels between taps and between outputs.
    pub(crate) width: isize,
    pub(crate) dilation: isize,
    pub(crate) stride: isize,
    pub(crate) post: Post,
}

/// The register tile: `R` pixels, `B` blocks. `STEP` says what lies between the source's pixels: with it known,
/// addresses are constants in the instructions.
struct Direct<const R: usize, const B: usize, const STEP: u8>;

/// Pixels of a blocked source, side by side.
const BLOCKED: u8 = 1;
/// Every other pixel of a blocked source.
const BLOCKED_2: u8 = 2;
/// Elements of a planar source, side by side.
const PLANAR: u8 = 3;
/// Every other element of a planar source.
const PLANAR_2: u8 = 4;
/// As the strides say.
const ANY: u8 = 0;

/// True when the accumulators and the weights of a tile fit the registers; with two left for inputs on their way where
/// each is used more than once, or the compiler spills.
const fn fits(registers: usize, pixels: usize, blocks: usize) -> bool {
    pixels * blocks + blocks + 2 * (blocks > 1) as usize <= registers
}

impl<const R: usize, const B: usize, const STEP: u8> Routine for Direct<R, B, STEP> {
    type Args = Tile;

    #[inline(always)]
    unsafe fn run<S: Simd>(s: S, tile: &Tile) {
        // SAFETY: the driver hands out tiles that lie inside its buffers; taps outside the image are skipped.
        unsafe {
            if !fits(if S::LANES == 16 { 32 } else { 16 }, R, B) {
                unreachable!("no such tile is handed out");
            }
            let shape = &*tile.shape;
            let px = match STEP {
                BLOCKED => S::LANES,
                BLOCKED_2 => 2 * S::LANES,
                PLANAR => 1,
                PLANAR_2 => 2,
                _ => shape.src_pixel,
            };
            let mut acc = [[s.splat(0.0); B]; R];
            if tile.bias.is_null() {
                for r in 0..R {
                    for b in 0..B {
                        acc[r][b] = s.load(tile.dst.add(b * shape.dst_block + r * S::LANES));
                    }
                }
            } else {
                for b in 0..B {
                    let bias = s.load(tile.bias.add(b * S::LANES));
                    for r in 0..R {
                        acc[r][b] = bias;
                    }
                }
            }
            for block in 0..tile.blocks {
                let lanes = if block + 1 == tile.blocks { tile.last_lanes } else { shape.lanes };
                for row in 0..tile.rows {
                    let src = tile.src.wrapping_add(block * shape.src_block + row * shape.src_row);
                    let weights = tile.weights.add(block * shape.weights_block + row * shape.weights_row);
                    if tile.whole_rows && lanes == shape.lanes {
                        steps::<S, R, B, 0, 0>(
                            s,
                            &mut acc,
                            src,
                            px,
                            weights,
                            shape.weights_out,
                            shape.taps * lanes,
                        );
                        continue;
                    }
                    let mut at = tile.left;
                    for tap in 0..shape.taps {
                        let src = src.wrapping_add(tap * shape.src_tap);
                        let weights = weights.add(tap * shape.lanes * S::LANES);
                        let out_left = !tile.inside && at < 0;
                        let out_right = !tile.inside && at + (R as isize - 1) * shape.stride >= shape.width;
                        let w_out = shape.weights_out;
                        if out_left {
                            steps::<S, R, B, 1, 0>(s, &mut acc, src, px, weights, w_out, lanes);
                        } else if out_right {
                            steps::<S, R, B, 0, 1>(s, &mut acc, src, px, weights, w_out, lanes);
                        } else {
                            steps::<S, R, B, 0, 0>(s, &mut acc, src, px, weights, w_out, lanes);
                        }
                        at += shape.dilation;
                    }
                }
            }
            if !tile.partial {
                if !tile.residual.is_null() {
                    for r in 0..R {
                        for b in 0..B {
                            let other = s.load(tile.residual.add(b * shape.dst_block + r * S::LANES));
                            acc[r][b] = s.add(acc[r][b], other);
                        }
                    }
                }
                let (low, high) = (s.splat(shape.post.low), s.splat(shape.post.high));
                for r in 0..R {
                    for b in 0..B {
                        acc[r][b] = s.min(high, s.max(low, acc[r][b]));
                    }
                }
            }
            for b in 0..B {
                for r in 0..R {
                    s.store(tile.dst.add(b * shape.dst_block + r * S::LANES), acc[r][b]);
                }
            }
            if !tile.partial
                && let Some(map) = &shape.post.map
            {
                for b in 0..B {
                    map.in_place(
                        tile.dst.add(b * shape.dst_block),
                        R * S::LANES,
                        tile.channel + b * S::LANES,
                    );
                }
            }
        }
    }
}

/// `len` steps of one input element times `B` vectors of weights each, for the pixels from `LO` to `R - HI`.
#[inline(always)]
unsafe fn steps<S: Simd, const R: usize, const B: usize, const LO: usize, const HI: usize>(
    s: S,
    acc: &mut [[S::V; B]; R],
    src: *const f32,
    px: usize,
    weights: *const f32,
    weights_out: usize,
    len: usize,
) {
    // SAFETY: see the caller.
    unsafe {
        for i in 0..len {
            let mut w = [s.splat(0.0); B];
            for b in 0..B {
                w[b] = s.load(weights.add(b * weights_out + i * S::LANES));
            }
            for r in 0..R {
                if r < LO || r >= R - HI {
                    continue;
                }
                let x = s.splat(*src.wrapping_add(r * px + i));
                for b in 0..B {
                    acc[r][b] = s.mul_add(x, w[b], acc[r][b]);
                }
            }
        }
    }
}

/// The most pixels that a tile of `blocks` blocks has room for; 0 when there is no such tile.
fn most_pixels(isa: Isa, blocks: usize, step: u8) -> usize {
    (1..=14).rev().find(|pixels| tile_kernel(isa, *pixels, blocks, step).is_some()).unwrap_or(0)
}

/// What lies between the source's pixels, as the tiles tell it apart.
fn source_step(planar: bool, stride: usize) -> u8 {
    match (planar, stride) {
        (false, 1) => BLOCKED,
        (false, 2) => BLOCKED_2,
        (true, 1) => PLANAR,
        (true, 2) => PLANAR_2,
        _ => ANY,
    }
}

/// The kernel for tiles of `pixels` by `blocks`. `None` when there is no such tile.
fn tile_kernel(isa: Isa, pixels: usize, blocks: usize, step: u8) -> Option<Entry<Tile>> {
    macro_rules! table {
        ($step:ident; $($b:literal: $($r:literal)*;)*) => {
            match (blocks, pixels) {
                $($(($b, $r) => entry::<Direct<$r, $b, $step>>(isa),)*)*
                _ => return None,
            }
        };
    }
    if !fits(registers(isa), pixels, blocks) {
        return None;
    }
    Some(match step {
        BLOCKED => table! { BLOCKED;
            1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14;
            2: 1 2 3 4 5 6 7 8 9 10 11 12 13 14;
            3: 1 2 3 4 5 6 7 8 9;
        },
        BLOCKED_2 => table! { BLOCKED_2;
            1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14;
            2: 1 2 3 4 5 6 7 8 9 10 11 12 13 14;
        },
        PLANAR => table! { PLANAR; 1: 1 2 3 4 5 6 7 8; 2: 1 2 3 4 5 6 7 8 9 10 11 12 13 14; },
        PLANAR_2 => table! { PLANAR_2; 1: 1 2 3 4 5 6 7 8; 2: 1 2 3 4 5 6 7 8 9 10 11 12 13 14; },
        _ => table! { ANY; 1: 1 2 3 4 5 6; 2: 1 2 3 4 5 6; },
    })
}

/// The numbers of a convolution along one spatial axis.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Axis {
    pub(crate) input: usize,
    pub(crate) output: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) dilation: usize,
    /// Padding before; what is behind follows from `output`.
    pub(crate) before: usize,
}

impl Axis {
    /// The taps of output `at` that lie inside the image.
    pub(crate) fn taps(&self, at: usize) -> std::ops::Range<usize> {
        let start = (at * self.stride) as isize - self.before as isize;
        let dilation = self.dilation as isize;
        let first = if start < 0 { (-start + dilation - 1) / dilation } else { 0 };
        let behind = (self.input as isize - start + dilation - 1) / dilation;
        let last = behind.clamp(0, self.kernel as isize);
        first.min(last) as usize..last as usize
    }

    /// The padding behind.
    pub(crate) fn after(&self) -> usize {
        ((self.output - 1) * self.stride + (self.kernel - 1) * self.dilation + 1)
            .saturating_sub(self.before + self.input)
    }
}

/// The shape of a convolution; images are [C][H][W].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shape {
    pub(crate) images: usize,
    pub(crate) groups: usize,
    /// Source channels of a group.
    pub(crate) inputs: usize,
    /// Output channels of a group.
    pub(crate) outputs: usize,
    pub(crate) rows: Axis,
    pub(crate) columns: Axis,
}

/// A convolution: its tiles, weights and places.
pub(crate) struct Conv {
    shape: Shape,
    src: View,
    dst: View,
    residual: Option<View>,
    weights: Floats,
    bias: Floats,
    strides: Strides,
    planar: bool,
    /// Rows follow each other without a gap: a line is a tile.
    flat: bool,
    /// Elements between source channel groups, and between output groups.
    src_group: usize,
    dst_group: usize,
    /// Lines of output that are computed one after the other for a group of output blocks: they share weights in L1
    /// or L2, and their source stays in L2.
    lines: usize,
    lines_at_once: usize,
    /// Source blocks whose weights fit L2 together.
    blocks_at_once: usize,
    /// First pixel and pixels of each tile: of a line, or of the whole image when `flat`.
    tiles: Vec<(usize, usize)>,
    /// Output blocks of a tile: as many as the kernels below take, then the rest.
    blocks: usize,
    /// By blocks and pixels, from one up.
    kernels: Vec<Vec<Option<Entry<Tile>>>>,
    lanes: usize,
    isa: Isa,
}

/// Bytes of source rows that are kept while the output blocks pass over them, and bytes of weights that are kept
/// while the rows pass: together below the second-level cache of current processors (1 MiB and up).
const KEPT_SOURCE: usize = 320 << 10;
const KEPT_WEIGHTS: usize = 640 << 10;

/// Cycles of a tile for one input element, from what the ports allow: two products, two loads; and what it costs to
/// wait for the sum before.
fn tile_cycles(pixels: usize, blocks: usize) -> f64 {
    let (pixels, blocks) = (pixels as f64, blocks as f64);
    (pixels * blocks / 2.0).max((pixels + blocks) / 2.0).max(4.0) + 0.3
}

/// Pixels of each tile when `total` are split evenly into tiles of at most `most`.
fn even_tiles(total: usize, most: usize) -> Vec<(usize, usize)> {
    let count = total.div_ceil(most);
    (0..count).map(|i| (i * total / count, (i + 1) * total / count - i * total / count)).collect()
}

impl Conv {
    /// True when the register tiles can leave out the taps in the padding: of the pixels of a tile, a tap misses the
    /// image at the first, or at the last, or at none. Otherwise the source must come with columns of zeros.
    pub(crate) fn skips_padding(columns: &Axis) -> bool {
        let (before, after) = (columns.before, columns.after());
        before.max(after) <= columns.stride && before + after <= (columns.kernel - 1) * columns.dilation
    }

    /// Plans a convolution. `planar`: the source is [C][H][W] without channel blocks, and has its padding.
    pub(crate) fn new(
        isa: Isa,
        shape: Shape,
        planar: bool,
        [src, dst]: [View; 2],
        residual: Option<View>,
        weights: Floats,
        bias: Floats,
        post: Post,
    ) -> Self {
        let n = isa.block();
        let Shape { rows, columns, inputs, outputs, .. } = shape;
        let lanes = if planar { 1 } else { n };
        let out_blocks = outputs.div_ceil(n);
        let pointwise = rows.kernel * columns.kernel == 1 && rows.before + columns.before == 0;
        let flat = !planar
            && pointwise
            && rows.stride * columns.stride == 1
            && rows.input == rows.output
            && columns.input == columns.output;
        let pixels = if flat { rows.output * columns.output } else { columns.output };
        let step = source_step(planar, columns.stride);
        let cost = |blocks: usize| -> f64 {
            let line = |blocks: usize| -> f64 {
                let tiles = even_tiles(pixels, most_pixels(isa, blocks, step));
                tiles.iter().map(|tile| tile_cycles(tile.1, blocks)).sum()
            };
            let rest = out_blocks % blocks;
            (out_blocks / blocks) as f64 * line(blocks) + if rest > 0 { line(rest) } else { 0.0 }
        };
        let candidates = (1..=3.min(out_blocks)).filter(|blocks| most_pixels(isa, *blocks, step) > 0);
        let blocks = candidates.min_by(|a, b| cost(*a).total_cmp(&cost(*b))).unwrap_or(1);
        let tiles = even_tiles(pixels, most_pixels(isa, blocks, step));
        let kernels = (1..=blocks)
            .map(|b| (1..=most_pixels(isa, b, step)).map(|p| tile_kernel(isa, p, b, step)).collect())
            .collect();
        let kernel = rows.kernel * columns.kernel;
        let in_blocks = inputs.div_ceil(lanes);
        let plane = |axis: [usize; 2]| axis[0] * axis[1] * lanes;
        let strides = Strides {
            lanes,
            taps: columns.kernel,
            src_block: plane([rows.input, columns.input]),
            src_row: rows.dilation * columns.input * lanes,
            src_tap: columns.dilation * lanes,
            src_pixel: columns.stride * lanes,
            weights_out: in_blocks * kernel * lanes * n,
            weights_block: kernel * lanes * n,
            weights_row: columns.kernel * lanes * n,
            dst_block: rows.output * columns.output * n,
            width: columns.input as isize,
            dilation: columns.dilation as isize,
            stride: columns.stride as isize,
            post,
        };
        let source_line = 4 * inputs * if flat { tiles[0].1 } else { rows.stride * columns.input };
        let lines = if flat { tiles.len() } else { rows.output };
        let weights_block = 4 * blocks * strides.weights_block;
        Self {
            shape,
            src,
            dst,
            residual,
            weights,
            bias,
            planar,
            flat,
            src_group: in_blocks * strides.src_block,
            dst_group: out_blocks * strides.dst_block,
            lines,
            lines_at_once: (KEPT_SOURCE / source_line.max(1)).clamp(1, lines),
            blocks_at_once: (KEPT_WEIGHTS / weights_block).clamp(1, in_blocks),
            strides,
            tiles,
            blocks,
            kernels,
            lanes: n,
            isa,
        }
    }

    /// Runs the tiles of line `line` for output blocks `from..from + blocks`, over source blocks `sum`.
    fn line(
        &self,
        memory: &Memory,
        image: usize,
        group: usize,
        line: usize,
        [from, blocks]: [usize; 2],
        sum: std::ops::Range<usize>,
    ) {
        let Shape { rows, columns, inputs, .. } = self.shape;
        let s = &self.strides;
        let n = self.lanes;
        let flat = self.flat;
        let (tiles, row) =
            if flat { (std::slice::from_ref(&self.tiles[line]), 0) } else { (&self.tiles[..], line) };
        let taps = if flat { 0..1 } else { rows.taps(row) };
        let top = (row * rows.stride + taps.start * rows.dilation) as isize - rows.before as isize;
        let src = memory.at::<f32>(self.src).wrapping_add(image * self.src.batch + group * self.src_group);
        let src = src.wrapping_add(sum.start * s.src_block);
        let src = src.wrapping_offset(top * (columns.input * s.lanes) as isize);
        let offset = group * self.dst_group + from * s.dst_block + row * columns.output * n;
        let dst = memory.at::<f32>(self.dst).wrapping_add(image * self.dst.batch + offset);
        let residual =
            self.residual.map(|view| memory.at::<f32>(view).wrapping_add(image * view.batch + offset));
        let in_blocks = inputs.div_ceil(s.lanes);
        let out_blocks = self.shape.outputs.div_ceil(n);
        let out = group * out_blocks + from;
        let weights = out * s.weights_out + sum.start * s.weights_block + taps.start * s.weights_row;
        let last = sum.end == in_blocks;
        let last_lanes = if last { inputs - (in_blocks - 1) * s.lanes } else { s.lanes };
        for &(at, pixels) in tiles {
            let left = (at * columns.stride) as isize - columns.before as isize;
            let right =
                left + ((pixels - 1) * columns.stride + (columns.kernel - 1) * columns.dilation) as isize;
            let inside = flat || left >= 0 && right < s.width;
            let tile = Tile {
                src: src.wrapping_offset(left * s.lanes as isize),
                weights: self.weights.as_ptr().wrapping_add(weights),
                bias: if sum.start == 0 {
                    self.bias.as_ptr().wrapping_add(out * n)
                } else {
                    std::ptr::null()
                },
                residual: residual.map_or(std::ptr::null(), |r| r.wrapping_add(at * n).cast_const()),
                dst: dst.wrapping_add(at * n),
                left,
                channel: group * self.shape.outputs + from * n,
                rows: taps.len(),
                whole_rows: inside && columns.dilation == 1,
                inside,
                partial: !last,
                shape: s,
                blocks: sum.len(),
                last_lanes,
            };
            self.tile(tile, blocks, pixels);
        }
    }

    /// Runs one tile, in pieces where fewer blocks leave no kernel for as many pixels.
    fn tile(&self, mut tile: Tile, blocks: usize, mut pixels: usize) {
        let kernels = &self.kernels[blocks - 1];
        let s = &self.strides;
        while pixels > 0 {
            let now = pixels.min(kernels.len());
            let entry =
                kernels[now - 1].expect("kernels are there for every number of pixels up to the most");
            // SAFETY: the tile lies inside the views; each tile is run by one part; taps that lie outside the image
            // are skipped by the kernel, at most one pixel at each end (`skips_padding`).
            unsafe { entry.call(&tile) };
            pixels -= now;
            tile.src = tile.src.wrapping_add(now * s.src_pixel);
            tile.dst = tile.dst.wrapping_add(now * self.lanes);
            tile.left += now as isize * s.stride;
            if !tile.residual.is_null() {
                tile.residual = tile.residual.wrapping_add(now * self.lanes);
            }
        }
    }
}

impl Step for Conv {
    fn views(&mut self) -> Vec<&mut View> {
        [&mut self.src, &mut self.dst].into_iter().chain(&mut self.residual).collect()
    }

    fn name(&self) -> String {
        let kind = match (self.planar, self.shape.rows.kernel * self.shape.columns.kernel) {
            (true, _) => "planar",
            (false, 1) => "direct_1x1",
            _ => "direct",
        };
        format!("{kind}_{}_f32", self.isa.name())
    }

    fn run(&self, memory: &Memory, part: Part) {
        let shape = &self.shape;
        let out_blocks = shape.outputs.div_ceil(self.lanes);
        let in_blocks = shape.inputs.div_ceil(self.strides.lanes);
        let total = shape.images * shape.groups * self.lines * out_blocks.div_ceil(self.blocks);
        let mine = part.of(total);
        let mut at = 0;
        for image in 0..shape.images * shape.groups {
            let (image, group) = (image / shape.groups, image % shape.groups);
            for first in (0..self.lines).step_by(self.lines_at_once) {
                let lines = first..(first + self.lines_at_once).min(self.lines);
                for from in (0..out_blocks).step_by(self.blocks) {
                    // Lines of this stretch that are this part's.
                    let own = mine.start.saturating_sub(at)..mine.end.saturating_sub(at).min(lines.len());
                    at += lines.len();
                    if own.is_empty() {
                        continue;
                    }
                    let blocks = [from, self.blocks.min(out_blocks - from)];
                    for sum in (0..in_blocks).step_by(self.blocks_at_once) {
                        let sum = sum..(sum + self.blocks_at_once).min(in_blocks);
                        for line in own.clone() {
                            self.line(memory, image, group, first + line, blocks, sum.clone());
                        }
                    }
                }
            }
        }
    }
}

/// Packs weights [groups * outputs][inputs][KH][KW], each output times its `scale`.
pub(crate) fn pack_weights(isa: Isa, shape: &Shape, planar: bool, weights: &[f32], scale: &[f32]) -> Floats {
    let n = isa.block();
    let lanes = if planar { 1 } else { n };
    let kernel = shape.rows.kernel * shape.columns.kernel;
    let (out_blocks, in_blocks) = (shape.outputs.div_ceil(n), shape.inputs.div_ceil(lanes));
    Floats::new(shape.groups * out_blocks * in_blocks * kernel * lanes * n, |packed| {
        for group in 0..shape.groups {
            for output in 0..shape.outputs {
                let row = group * shape.outputs + output;
                let block = (group * out_blocks + output / n) * in_blocks;
                for input in 0..shape.inputs {
                    let from = &weights[(row * shape.inputs + input) * kernel..][..kernel];
                    for (tap, value) in from.iter().enumerate() {
                        let at = ((block + input / lanes) * kernel + tap) * lanes + input % lanes;
                        packed[at * n + output % n] = value * scale[row];
                    }
                }
            }
        }
    })
}

/// Packs one number for each output channel, groups in blocks of their own.
pub(crate) fn pack_channels(isa: Isa, groups: usize, values: &[f32]) -> Floats {
    let n = isa.block();
    let each = values.len() / groups;
    let blocks = each.div_ceil(n);
    Floats::new(groups * blocks * n, |packed| {
        for (i, value) in values.iter().enumerate() {
            packed[i / each * blocks * n + i % each] = *value;
        }
    })
}
