//! Between memory layouts of images and the channel blocks that convolutions work on, for ops that are several
//! convolutions in one: planes of any places to blocks and back, and images that interleave into a larger one.

use crate::{
    isa::{Isa, Kernel, Simd},
    pool::{Pool, Shards},
};

/// Marks a plane of zeros.
pub(crate) const ZEROS: usize = usize::MAX;

/// Gathers planes of `len` elements into images of `channels` in blocked layout; `planes` says where each one starts
/// in `src`, channel by channel, image by image, or [`ZEROS`].
///
/// # Panics
/// If a plane lies outside of `src`, or `dst` is not as long as the images.
pub(crate) fn gather(
    isa: Isa,
    pool: &mut Pool,
    src: &[f32],
    (planes, channels, len): (&[usize], usize, usize),
    dst: &mut [f32],
) {
    let b = isa.block();
    let blocks = channels.div_ceil(b);
    assert_eq!(dst.len(), planes.len() / channels * blocks * b * len);
    let tiles = len.div_ceil(b);
    let out = Shards::new(dst);
    pool.run(&|share| {
        for at in share.part(planes.len() / channels * blocks * tiles) {
            let (image, block, first) = (at / tiles / blocks, at / tiles % blocks, at % tiles * b);
            let pixels = b.min(len - first);
            let start = (at / tiles * len + first) * b;
            // SAFETY: `pixels` pixels of block `at / tiles`, within `dst` and this thread's own.
            let to = unsafe { std::slice::from_raw_parts_mut(out.get().add(start), pixels * b) };
            for lane in 0..b {
                let channel = block * b + lane;
                let plane = if channel < channels { planes[image * channels + channel] } else { ZEROS };
                let lanes = to[lane..].iter_mut().step_by(b);
                match plane {
                    ZEROS => lanes.for_each(|to| *to = 0.0),
                    plane => lanes.zip(&src[plane + first..][..pixels]).for_each(|(to, from)| *to = *from),
                }
            }
        }
    });
}

/// Where the channels of images in blocked layout go: a plane each.
pub(crate) struct Scatter {
    planes: Vec<usize>,
    channels: usize,
    len: usize,
}

impl Scatter {
    /// `planes` says where each one starts, channel by channel, image by image; each has `len` elements.
    ///
    /// # Panics
    /// If planes overlap.
    pub(crate) fn new(planes: Vec<usize>, channels: usize, len: usize) -> Self {
        let mut sorted = planes.clone();
        sorted.sort_unstable();
        assert!(sorted.windows(2).all(|pair| pair[0] + len <= pair[1]), "planes overlap");
        Self { planes, channels, len }
    }

    /// Runs it.
    ///
    /// # Panics
    /// If a plane lies outside of `dst`, or `src` is not as long as the images.
    pub(crate) fn run(&self, isa: Isa, pool: &mut Pool, src: &[f32], dst: &mut [f32]) {
        let Self { planes, channels, len } = self;
        let b = isa.block();
        let blocks = channels.div_ceil(b);
        assert_eq!(src.len(), planes.len() / channels * blocks * b * len);
        assert!(planes.iter().all(|plane| plane + len <= dst.len()));
        let tiles = len.div_ceil(b);
        let out = Shards::new(dst);
        pool.run(&|share| {
            for at in share.part(planes.len() / channels * blocks * tiles) {
                let (image, block, first) = (at / tiles / blocks, at / tiles % blocks, at % tiles * b);
                let pixels = b.min(len - first);
                let from = &src[(at / tiles * len + first) * b..][..pixels * b];
                for lane in 0..b.min(channels - block * b) {
                    let plane = planes[image * channels + block * b + lane];
                    // SAFETY: part of a plane, within `dst` as asserted, and this thread's own: planes don't overlap.
                    let to = unsafe { std::slice::from_raw_parts_mut(out.get().add(plane + first), pixels) };
                    to.iter_mut().zip(from[lane..].iter().step_by(b)).for_each(|(to, from)| *to = *from);
                }
            }
        });
    }
}

/// An image of which a larger one takes every so many rows and columns.
#[derive(Clone, Debug)]
pub(crate) struct Phase {
    /// Where it begins among all.
    pub(crate) start: usize,
    /// Its height and width.
    pub(crate) size: [usize; 2],
    /// Rows and columns at its begin that nobody takes.
    pub(crate) skip: [usize; 2],
    /// The first row and column of the larger image that it gives.
    pub(crate) first: [usize; 2],
}

/// Interleaves images in blocked layout: row `first + i * step` of the larger image is row `skip + i` of a phase, and
/// so for columns. `planes` blocks of all images are done.
///
/// # Panics
/// If a phase is shorter than what is taken of it.
pub(crate) fn interleave(
    isa: Isa,
    pool: &mut Pool,
    phases: &[Phase],
    (planes, [height, width], step): (usize, [usize; 2], [usize; 2]),
    src: &[f32],
    dst: &mut [f32],
) {
    let b = isa.block();
    assert_eq!(dst.len(), planes * height * width * b);
    let out = Shards::new(dst);
    pool.run(&|share| {
        for at in share.part(planes * height) {
            let (plane, y) = (at / height, at % height);
            // SAFETY: row `at`, within `dst` and this thread's own.
            let row = unsafe { std::slice::from_raw_parts_mut(out.get().add(at * width * b), width * b) };
            for phase in phases.iter().filter(|phase| y % step[0] == phase.first[0] % step[0]) {
                let [h, w] = phase.size;
                let from = phase.skip[0] + (y - phase.first[0]) / step[0];
                let from = &src[phase.start + (plane * h + from) * w * b..][..w * b][phase.skip[1] * b..];
                isa.dispatch(Spread { from, first: phase.first[1], step: step[1], row: &mut *row });
            }
        }
    });
}

struct Spread<'a> {
    from: &'a [f32],
    first: usize,
    step: usize,
    row: &'a mut [f32],
}

impl Kernel for Spread<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let to = self.row.chunks_exact_mut(S::LANES).skip(self.first).step_by(self.step);
        for (to, from) in to.zip(self.from.chunks_exact(S::LANES)) {
            // SAFETY: both slices are a vector long.
            unsafe { s.store(to.as_mut_ptr(), s.load(from.as_ptr())) };
        }
    }
}
