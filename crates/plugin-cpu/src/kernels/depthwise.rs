//! Convolution of each channel by itself, in channel blocks: lanes are channels, a register tile is pixels of a row.

use super::{Entry, Floats, Part, Post, Routine, Step, View, direct::Shape, entry};
use crate::{
    isa::{Isa, Simd},
    memory::Memory,
};

/// Output pixels of a tile: enough sums in flight to hide the latency of the products.
const PIXELS: usize = 8;

/// A depthwise convolution. `shape` has one group for each channel.
pub(crate) struct Depthwise {
    pub(crate) shape: Shape,
    pub(crate) src: View,
    pub(crate) dst: View,
    pub(crate) residual: Option<View>,
    /// [C/N][KH][KW][N].
    pub(crate) weights: Floats,
    /// [C/N][N].
    pub(crate) bias: Floats,
    pub(crate) post: Post,
    pub(crate) isa: Isa,
    entry: Entry<Row>,
}

/// One row of one channel block.
struct Row {
    /// First kernel row inside the image, column 0.
    src: *const f32,
    weights: *const f32,
    bias: *const f32,
    residual: *const f32,
    dst: *mut f32,
    channel: usize,
    /// Kernel rows inside the image.
    taps: usize,
    step: *const Depthwise,
}

struct RowKernel;

impl Routine for RowKernel {
    type Args = Row;

    #[inline(always)]
    unsafe fn run<S: Simd>(s: S, a: &Row) {
        // SAFETY: the step's.
        unsafe {
            let step = &*a.step;
            let c = &step.shape.columns;
            match (c.stride, c.kernel, c.dilation) {
                (1, 3, 1) => row::<S, 1, 3>(s, a, step),
                (2, 3, 1) => row::<S, 2, 3>(s, a, step),
                (1, 5, 1) => row::<S, 1, 5>(s, a, step),
                (2, 5, 1) => row::<S, 2, 5>(s, a, step),
                _ => row::<S, 0, 0>(s, a, step),
            }
        }
    }
}

/// `STRIDE` and `TAPS` are 0 where only the shape knows them.
#[inline(always)]
unsafe fn row<S: Simd, const STRIDE: usize, const TAPS: usize>(s: S, a: &Row, step: &Depthwise) {
    // SAFETY: taps outside the image are skipped; the rest is the step's.
    unsafe {
        let (rows, c) = (&step.shape.rows, &step.shape.columns);
        let stride = if STRIDE == 0 { c.stride } else { STRIDE };
        let taps = if TAPS == 0 { c.kernel } else { TAPS };
        let dilation = if TAPS == 0 { c.dilation } else { 1 };
        let src_row = rows.dilation * c.input * S::LANES;
        let (low, high) = (s.splat(step.post.low), s.splat(step.post.high));
        let finish = |at: usize, sum: S::V| {
            let sum =
                if a.residual.is_null() { sum } else { s.add(sum, s.load(a.residual.add(at * S::LANES))) };
            s.store(a.dst.add(at * S::LANES), s.min(high, s.max(low, sum)));
        };
        let bias = s.load(a.bias);
        let mut at = 0;
        while at < c.output {
            let left = (at * stride) as isize - c.before as isize;
            let right = left + ((PIXELS - 1) * stride + (taps - 1) * dilation) as isize;
            if left >= 0 && right < c.input as isize && at + PIXELS <= c.output {
                let mut acc = [bias; PIXELS];
                let src = a.src.offset(left * S::LANES as isize);
                for row in 0..a.taps {
                    for tap in 0..taps {
                        let w = s.load(a.weights.add((row * taps + tap) * S::LANES));
                        let src = src.add(row * src_row + tap * dilation * S::LANES);
                        for p in 0..PIXELS {
                            acc[p] = s.mul_add(s.load(src.add(p * stride * S::LANES)), w, acc[p]);
                        }
                    }
                }
                for p in 0..PIXELS {
                    finish(at + p, acc[p]);
                }
                at += PIXELS;
            } else {
                let inside = c.taps(at);
                let mut sum = bias;
                for row in 0..a.taps {
                    for tap in inside.clone() {
                        let w = s.load(a.weights.add((row * taps + tap) * S::LANES));
                        let column = left + (tap * dilation) as isize;
                        let x = s.load(a.src.add(row * src_row).offset(column * S::LANES as isize));
                        sum = s.mul_add(x, w, sum);
                    }
                }
                finish(at, sum);
                at += 1;
            }
        }
        if let Some(map) = &step.post.map {
            map.in_place(a.dst, c.output * S::LANES, a.channel);
        }
    }
}

impl Depthwise {
    pub(crate) fn new(
        isa: Isa,
        shape: Shape,
        [src, dst]: [View; 2],
        residual: Option<View>,
        weights: Floats,
        bias: Floats,
        post: Post,
    ) -> Self {
        Self { shape, src, dst, residual, weights, bias, post, isa, entry: entry::<RowKernel>(isa) }
    }

    /// Packs weights [C][KH][KW], each channel times its `scale`.
    pub(crate) fn pack(isa: Isa, shape: &Shape, weights: &[f32], scale: &[f32]) -> Floats {
        let n = isa.block();
        let kernel = shape.rows.kernel * shape.columns.kernel;
        Floats::new(shape.groups.div_ceil(n) * n * kernel, |packed| {
            for channel in 0..shape.groups {
                for tap in 0..kernel {
                    packed[(channel / n * kernel + tap) * n + channel % n] =
                        weights[channel * kernel + tap] * scale[channel];
                }
            }
        })
    }
}

impl Step for Depthwise {
    fn views(&mut self) -> Vec<&mut View> {
        [&mut self.src, &mut self.dst].into_iter().chain(&mut self.residual).collect()
    }

    fn name(&self) -> String {
        format!("depthwise_{}_f32", self.isa.name())
    }

    fn run(&self, memory: &Memory, part: Part) {
        let n = self.isa.block();
        let Shape { images, groups, rows, columns, .. } = self.shape;
        let blocks = groups.div_ceil(n);
        for i in part.of(images * blocks * rows.output) {
            let (image, block, row) = (i / rows.output / blocks, i / rows.output % blocks, i % rows.output);
            let taps = rows.taps(row);
            let top = (row * rows.stride + taps.start * rows.dilation) as isize - rows.before as isize;
            let src = memory.at::<f32>(self.src).wrapping_add(image * self.src.batch);
            let offset = (block * rows.output + row) * columns.output * n;
            let kernel = rows.kernel * columns.kernel;
            let args = Row {
                src: src
                    .wrapping_offset(((block * rows.input) as isize + top) * (columns.input * n) as isize),
                weights: self
                    .weights
                    .as_ptr()
                    .wrapping_add((block * kernel + taps.start * columns.kernel) * n),
                bias: self.bias.as_ptr().wrapping_add(block * n),
                residual: self.residual.map_or(std::ptr::null(), |view| {
                    memory.at::<f32>(view).wrapping_add(image * view.batch + offset).cast_const()
                }),
                dst: memory.at::<f32>(self.dst).wrapping_add(image * self.dst.batch + offset),
                channel: block * n,
                taps: taps.len(),
                step: self,
            };
            // SAFETY: the views hold images of this shape; each row of each block is one part's.
            unsafe { self.entry.call(&args) };
        }
    }
}
