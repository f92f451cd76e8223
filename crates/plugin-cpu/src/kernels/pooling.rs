//! Maxima and averages over windows, and over whole planes, in channel blocks.

use super::{Entry, Part, Routine, Step, View, direct::Shape, entry};
use crate::{
    isa::{Isa, Simd},
    memory::Memory,
};

/// What a window becomes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pooling {
    Max,
    /// The sum over the taps inside the image, divided by their number.
    AverageInside,
    /// The same, divided by the taps inside the padded image.
    Average,
}

/// Pooling over windows. `shape` has one group for each channel.
pub(crate) struct Windows {
    pub(crate) shape: Shape,
    pub(crate) src: View,
    pub(crate) dst: View,
    pub(crate) kind: Pooling,
    /// Padding behind that counts, for [`Pooling::Average`]: rows, columns.
    pub(crate) after: [usize; 2],
    pub(crate) isa: Isa,
    entry: Entry<Row>,
}

struct Row {
    src: *const f32,
    dst: *mut f32,
    row: usize,
    step: *const Windows,
}

struct RowKernel;

impl Routine for RowKernel {
    type Args = Row;

    #[inline(always)]
    unsafe fn run<S: Simd>(s: S, a: &Row) {
        // SAFETY: only taps inside the image are read; the rest is the step's.
        unsafe {
            let step = &*a.step;
            let (rows, columns) = (&step.shape.rows, &step.shape.columns);
            let height = rows.taps(a.row);
            let first = (a.row * rows.stride + height.start * rows.dilation) as isize - rows.before as isize;
            let src = a.src.wrapping_offset(first * (columns.input * S::LANES) as isize);
            let (src_row, tap) = (rows.dilation * columns.input * S::LANES, columns.dilation * S::LANES);
            for at in 0..columns.output {
                let width = columns.taps(at);
                let left =
                    (at * columns.stride + width.start * columns.dilation) as isize - columns.before as isize;
                let src = src.wrapping_offset(left * S::LANES as isize);
                let y = if step.kind == Pooling::Max {
                    let mut y = s.splat(f32::NEG_INFINITY);
                    for r in 0..height.len() {
                        for t in 0..width.len() {
                            y = s.max(y, s.load(src.add(r * src_row + t * tap)));
                        }
                    }
                    y
                } else {
                    let mut y = s.splat(0.0);
                    for r in 0..height.len() {
                        for t in 0..width.len() {
                            y = s.add(y, s.load(src.add(r * src_row + t * tap)));
                        }
                    }
                    let count = if step.kind == Pooling::AverageInside {
                        height.len() * width.len()
                    } else {
                        let within = |axis: &super::direct::Axis, at: usize, after: usize| {
                            axis.kernel.min(axis.input + axis.before + after - at * axis.stride)
                        };
                        within(rows, a.row, step.after[0]) * within(columns, at, step.after[1])
                    };
                    s.div(y, s.splat(count as f32))
                };
                s.store(a.dst.add(at * S::LANES), y);
            }
        }
    }
}

impl Windows {
    pub(crate) fn new(
        isa: Isa,
        shape: Shape,
        [src, dst]: [View; 2],
        kind: Pooling,
        after: [usize; 2],
    ) -> Self {
        Self { shape, src, dst, kind, after, isa, entry: entry::<RowKernel>(isa) }
    }
}

impl Step for Windows {
    fn views(&mut self) -> Vec<&mut View> {
        vec![&mut self.src, &mut self.dst]
    }

    fn name(&self) -> String {
        let kind = if self.kind == Pooling::Max { "max" } else { "avg" };
        format!("pool_{kind}_{}_f32", self.isa.name())
    }

    fn run(&self, memory: &Memory, part: Part) {
        let n = self.isa.block();
        let Shape { images, groups, rows, columns, .. } = self.shape;
        let blocks = groups.div_ceil(n);
        for i in part.of(images * blocks * rows.output) {
            let (image, block, row) = (i / rows.output / blocks, i / rows.output % blocks, i % rows.output);
            let src = memory.at::<f32>(self.src).wrapping_add(image * self.src.batch);
            let dst = memory.at::<f32>(self.dst).wrapping_add(image * self.dst.batch);
            let args = Row {
                src: src.wrapping_add(block * rows.input * columns.input * n),
                dst: dst.wrapping_add((block * rows.output + row) * columns.output * n),
                row,
                step: self,
            };
            // SAFETY: the views hold images of this shape; each row of each block is one part's.
            unsafe { self.entry.call(&args) };
        }
    }
}

/// The average of each channel's plane, from channel blocks to [N][C].
pub(crate) struct GlobalAverage {
    pub(crate) src: View,
    pub(crate) dst: View,
    pub(crate) images: usize,
    pub(crate) channels: usize,
    pub(crate) pixels: usize,
    pub(crate) isa: Isa,
    entry: Entry<Plane>,
}

struct Plane {
    src: *const f32,
    dst: *mut f32,
    pixels: usize,
    lanes: usize,
}

struct PlaneKernel;

impl Routine for PlaneKernel {
    type Args = Plane;

    #[inline(always)]
    unsafe fn run<S: Simd>(s: S, a: &Plane) {
        // SAFETY: the step's.
        unsafe {
            let mut sums = [s.splat(0.0); 4];
            for i in 0..a.pixels / 4 {
                for j in 0..4 {
                    sums[j] = s.add(sums[j], s.load(a.src.add((4 * i + j) * S::LANES)));
                }
            }
            for i in a.pixels / 4 * 4..a.pixels {
                sums[0] = s.add(sums[0], s.load(a.src.add(i * S::LANES)));
            }
            let sum = s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3]));
            let mean = s.div(sum, s.splat(a.pixels as f32));
            if a.lanes == S::LANES { s.store(a.dst, mean) } else { s.store_first(a.dst, mean, a.lanes) }
        }
    }
}

impl GlobalAverage {
    pub(crate) fn new(
        isa: Isa,
        [src, dst]: [View; 2],
        images: usize,
        channels: usize,
        pixels: usize,
    ) -> Self {
        Self { src, dst, images, channels, pixels, isa, entry: entry::<PlaneKernel>(isa) }
    }
}

impl Step for GlobalAverage {
    fn views(&mut self) -> Vec<&mut View> {
        vec![&mut self.src, &mut self.dst]
    }

    fn name(&self) -> String {
        format!("global_avg_{}_f32", self.isa.name())
    }

    fn run(&self, memory: &Memory, part: Part) {
        let n = self.isa.block();
        let blocks = self.channels.div_ceil(n);
        for i in part.of(self.images * blocks) {
            let (image, block) = (i / blocks, i % blocks);
            let args = Plane {
                src: memory
                    .at::<f32>(self.src)
                    .wrapping_add(image * self.src.batch + block * self.pixels * n),
                dst: memory.at::<f32>(self.dst).wrapping_add(image * self.channels + block * n),
                pixels: self.pixels,
                lanes: n.min(self.channels - block * n),
            };
            // SAFETY: the views hold images of this shape; each block is one part's.
            unsafe { self.entry.call(&args) };
        }
    }
}
