//! Darknet's predictions squashed, and regions of feature maps pooled.

use super::math;
use crate::{
    isa::{Isa, Kernel, Simd},
    pool::{Pool, Shards},
};
use std::ops::Range;

/// Predictions of boxes: `[boxes, coords + 1 + classes, area]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Predictions {
    pub(crate) boxes: usize,
    pub(crate) coords: usize,
    pub(crate) classes: usize,
    pub(crate) area: usize,
    /// Classes exclude each other.
    pub(crate) softmax: bool,
}

impl Predictions {
    /// Squashes centers, objectness and classes.
    ///
    /// # Panics
    /// If a slice is not of that shape.
    pub(crate) fn run(self, isa: Isa, pool: &mut Pool, src: &[f32], dst: &mut [f32]) {
        let each = (self.coords + 1 + self.classes) * self.area;
        assert!(src.len() == self.boxes * each && dst.len() == src.len());
        let out = Shards::new(dst);
        pool.run(&|share| {
            for at in share.part(self.boxes) {
                // SAFETY: the elements of a box of this thread's own, within `dst`.
                let dst = unsafe { std::slice::from_raw_parts_mut(out.get().add(at * each), each) };
                let src = &src[at * each..][..each];
                let (center, start) = (self.coords.min(2) * self.area, self.coords * self.area);
                dst[center..start].copy_from_slice(&src[center..start]);
                let classes = start + self.area;
                isa.dispatch(Sigmoid { src: &src[..center], dst: &mut dst[..center] });
                let end = if self.softmax { classes } else { each };
                isa.dispatch(Sigmoid { src: &src[start..end], dst: &mut dst[start..end] });
                if self.softmax {
                    isa.dispatch(Classes { src: &src[classes..], dst: &mut dst[classes..], area: self.area });
                }
            }
        });
    }
}

struct Sigmoid<'a> {
    src: &'a [f32],
    dst: &'a mut [f32],
}

impl Kernel for Sigmoid<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (src, dst) in self.src.chunks(S::LANES).zip(self.dst.chunks_mut(S::LANES)) {
            // SAFETY: both chunks have as many elements.
            unsafe {
                let x = s.load_first(src.as_ptr(), src.len());
                s.store_first(dst.as_mut_ptr(), math::sigmoid(s, x), dst.len());
            }
        }
    }
}

/// Softmax over the first dimension of `[classes, area]`.
struct Classes<'a> {
    src: &'a [f32],
    dst: &'a mut [f32],
    area: usize,
}

impl Kernel for Classes<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for start in (0..self.area).step_by(S::LANES) {
            let n = S::LANES.min(self.area - start);
            let rows = || (start..self.src.len()).step_by(self.area);
            // SAFETY: a row has `n` elements from there on, in both.
            let load = |at: usize| unsafe { s.load_first(self.src[at..at + n].as_ptr(), n) };
            let most = rows().fold(s.splat(f32::NEG_INFINITY), |most, at| s.max(most, load(at)));
            let mut sum = s.splat(0.0);
            for at in rows() {
                let power = math::exp(s, s.sub(load(at), most));
                sum = s.add(sum, power);
                // SAFETY: as above.
                unsafe { s.store_first(self.dst[at..at + n].as_mut_ptr(), power, n) };
            }
            for at in rows() {
                // SAFETY: as above.
                unsafe {
                    let power = s.load_first(self.dst[at..at + n].as_ptr(), n);
                    s.store_first(self.dst[at..at + n].as_mut_ptr(), s.div(power, sum), n);
                }
            }
        }
    }
}

/// Regions of feature maps, cut into bins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Regions {
    /// Channels of the maps, and of the answer.
    pub(crate) channels: [usize; 2],
    /// Height and width of a map.
    pub(crate) sizes: [usize; 2],
    /// Rows and columns of bins.
    pub(crate) bins: [usize; 2],
    /// Threads that can have memory to work in.
    pub(crate) threads: usize,
}

/// Where a thread notes the bins of a region: rows, then columns.
type Bounds = [u32; 2];

impl Regions {
    /// The elements of memory that [`run`](Self::run) works in, of [`Bounds`].
    pub(crate) fn scratch(&self) -> usize {
        self.threads * (self.bins[0] + self.bins[1])
    }

    /// Pools every region, whose image `images` tells: bin `i` of axis `k` of region `r` has the rows or columns
    /// `bounds(r, k, i)`; `map` says which channel a bin of a channel of the answer takes, `pool_bin` what becomes of
    /// its elements: a map, its rows, its columns, a map's width.
    ///
    /// # Panics
    /// If a slice is too short or a bound beyond its map.
    #[expect(clippy::too_many_arguments, reason = "three slices, three functions")]
    pub(crate) fn run(
        &self,
        pool: &mut Pool,
        src: &[f32],
        dst: &mut [f32],
        scratch: &mut [u32],
        images: impl Fn(usize) -> usize + Sync,
        bounds: impl Fn(usize, usize, usize) -> Range<usize> + Sync,
        map: impl Fn(usize, usize) -> usize + Sync,
        pool_bin: impl Fn(&[f32], Range<usize>, Range<usize>, usize) -> f32 + Sync,
    ) {
        let ([inputs, outputs], [height, width], [rows, columns]) = (self.channels, self.sizes, self.bins);
        let each = outputs * rows * columns;
        let own = rows + columns;
        assert!(scratch.len() >= self.scratch() * 2 && each > 0 && dst.len().is_multiple_of(each));
        let (count, area) = (dst.len() / each, height * width);
        let (out, scratch) = (Shards::new(dst), Shards::new(scratch));
        pool.run(&|share| {
            let Some(share) = share.among(self.threads) else { return };
            // SAFETY: each of the threads has memory of its own, of the length asserted.
            let noted: &mut [Bounds] = unsafe {
                std::slice::from_raw_parts_mut(scratch.get().cast::<Bounds>().add(share.index() * own), own)
            };
            for region in share.part(count) {
                for (i, slot) in noted.iter_mut().enumerate() {
                    let (k, bin) = if i < rows { (0, i) } else { (1, i - rows) };
                    let range = bounds(region, k, bin);
                    *slot = [range.start as u32, range.end as u32];
                }
                // SAFETY: the answer of a region of this thread's own.
                let dst = unsafe { std::slice::from_raw_parts_mut(out.get().add(region * each), each) };
                let image = images(region);
                for (i, slot) in dst.iter_mut().enumerate() {
                    let (channel, bin) = (i / (rows * columns), i % (rows * columns));
                    let own = (image * inputs + map(channel, bin)) * area;
                    let range = |[start, end]: Bounds| start as usize..end as usize;
                    let (down, across) = (range(noted[bin / columns]), range(noted[rows + bin % columns]));
                    *slot = pool_bin(&src[own..][..area], down, across, width);
                }
            }
        });
    }
}

/// The largest element, or 0 where there is none.
pub(crate) fn largest(map: &[f32], rows: Range<usize>, columns: Range<usize>, width: usize) -> f32 {
    let mut most = f32::NEG_INFINITY;
    for row in rows.clone() {
        most = map[row * width..][columns.clone()].iter().fold(most, |most, x| most.max(*x));
    }
    if rows.is_empty() || columns.is_empty() { 0.0 } else { most }
}

/// The mean of the elements, or 0 where there is none.
pub(crate) fn mean(map: &[f32], rows: Range<usize>, columns: Range<usize>, width: usize) -> f32 {
    let count = rows.len() * columns.len();
    let sum: f32 = rows.flat_map(|row| &map[row * width..][columns.clone()]).sum();
    if count == 0 { 0.0 } else { sum / count as f32 }
}
