//! Copies between layouts: plain, channels last, channel blocks, with or without columns of padding.

use super::{Entry, Part, Routine, Step, View, entry};
use crate::{
    isa::{Isa, Simd},
    memory::Memory,
};

/// Distances in elements of one image [C][H][W], its channels in blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Geometry {
    pub(crate) block: usize,
    pub(crate) lane: usize,
    pub(crate) row: usize,
    pub(crate) column: usize,
    /// Elements before the first.
    pub(crate) start: usize,
}

/// A copy of images from one layout to another.
pub(crate) struct Reorder {
    pub(crate) src: View,
    pub(crate) dst: View,
    pub(crate) from: Geometry,
    pub(crate) to: Geometry,
    pub(crate) images: usize,
    pub(crate) channels: usize,
    /// Channels of a block.
    pub(crate) lanes: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Columns of zeros written before and behind each row.
    pub(crate) pad: [usize; 2],
    /// Lanes behind the last channel that are written, as zeros.
    pub(crate) fill: bool,
    pub(crate) entry: Entry<Rows>,
}

impl Reorder {
    pub(crate) fn kernel(isa: Isa) -> Entry<Rows> {
        entry::<CopyRow>(isa)
    }
}

impl Step for Reorder {
    fn views(&mut self) -> Vec<&mut View> {
        vec![&mut self.src, &mut self.dst]
    }

    fn name(&self) -> String {
        "reorder_f32".to_owned()
    }

    fn run(&self, memory: &Memory, part: Part) {
        let blocks = self.channels.div_ceil(self.lanes);
        for i in part.of(self.images * blocks * self.rows) {
            let (image, block, row) = (i / self.rows / blocks, i / self.rows % blocks, i % self.rows);
            let used = (self.channels - block * self.lanes).min(self.lanes);
            let at = |g: &Geometry| g.start + block * g.block + row * g.row;
            let rows = Rows {
                src: memory.at::<f32>(self.src).wrapping_add(image * self.src.batch + at(&self.from)),
                dst: memory.at::<f32>(self.dst).wrapping_add(image * self.dst.batch + at(&self.to)),
                from: self.from,
                to: self.to,
                lanes: used,
                fill: if self.fill { self.lanes - used } else { 0 },
                columns: self.columns,
                pad: self.pad,
            };
            // SAFETY: the views hold images of these geometries; each row of each block is written by one part.
            unsafe { self.entry.call(&rows) };
        }
    }
}

/// One row of one channel block.
pub(crate) struct Rows {
    src: *const f32,
    dst: *mut f32,
    from: Geometry,
    to: Geometry,
    lanes: usize,
    fill: usize,
    columns: usize,
    pad: [usize; 2],
}

struct CopyRow;

impl Routine for CopyRow {
    type Args = Rows;

    #[inline(always)]
    unsafe fn run<S: Simd>(s: S, a: &Rows) {
        // SAFETY: the step's.
        unsafe {
            let (from, to) = (a.from, a.to);
            if from.lane == 1 && to.lane == 1 && a.lanes == S::LANES {
                for x in 0..a.columns {
                    s.store(a.dst.add(x * to.column), s.load(a.src.add(x * from.column)));
                }
            } else if from.column == 1 && to.column == 1 {
                for lane in 0..a.lanes {
                    let (src, dst) = (a.src.add(lane * from.lane), a.dst.add(lane * to.lane));
                    std::ptr::copy_nonoverlapping(src, dst, a.columns);
                }
            } else {
                for x in 0..a.columns {
                    for lane in 0..a.lanes {
                        *a.dst.add(x * to.column + lane * to.lane) =
                            *a.src.add(x * from.column + lane * from.lane);
                    }
                }
            }
            for lane in a.lanes..a.lanes + a.fill {
                for x in 0..a.columns {
                    *a.dst.add(x * to.column + lane * to.lane) = 0.0;
                }
            }
            for lane in 0..a.lanes + a.fill {
                let dst = a.dst.wrapping_add(lane * to.lane);
                for x in 1..=a.pad[0] {
                    *dst.wrapping_sub(x * to.column) = 0.0;
                }
                for x in a.columns..a.columns + a.pad[1] {
                    *dst.wrapping_add(x * to.column) = 0.0;
                }
            }
        }
    }
}
