//! Channels from one or more tensors in blocked layout side by side in another: concatenation and splitting where the
//! channels do not fill whole blocks.

use crate::{
    isa::{Isa, Kernel, Simd},
    pool::{Pool, Shards},
};

/// Channels that follow each other in a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Run {
    /// The source's number.
    pub(crate) source: usize,
    /// The first channel.
    pub(crate) first: usize,
    /// Channels.
    pub(crate) count: usize,
}

/// Lanes of one block of a source that become lanes of one block of the result.
#[derive(Clone, Copy, Debug)]
struct Piece {
    block: usize,
    from: usize,
    to_block: usize,
    to: usize,
    count: usize,
    /// Lanes behind these in the result that become zero.
    behind: usize,
}

/// The runs beside each other, ready to be copied.
pub(crate) struct Regroup {
    isa: Isa,
    images: usize,
    pixels: usize,
    /// Channel blocks of each source, and its pieces.
    sources: Vec<(usize, Vec<Piece>)>,
    /// Channel blocks of the result.
    blocks: usize,
}

/// Pixels that a thread copies at a time.
const PIXELS: usize = 256;

impl Regroup {
    /// `channels` are those of each source; all tensors have as many images, and as many pixels in each.
    ///
    /// # Panics
    /// If a run names channels that are not there.
    pub(crate) fn new(isa: Isa, images: usize, pixels: usize, channels: &[usize], runs: &[Run]) -> Self {
        let b = isa.block();
        let mut sources: Vec<_> =
            channels.iter().map(|channels| (channels.div_ceil(b), Vec::new())).collect();
        let all: usize = runs.iter().map(|run| run.count).sum();
        let mut lane = 0;
        for &Run { source, first, count } in runs {
            assert!(first + count <= channels[source], "channels of source {source}");
            let mut channel = first;
            while channel < first + count {
                let (from, to) = (channel % b, lane % b);
                let count = (first + count - channel).min(b - from).min(b - to);
                let behind = if lane + count == all { b - to - count } else { 0 };
                let piece = Piece { block: channel / b, from, to_block: lane / b, to, count, behind };
                sources[source].1.push(piece);
                (channel, lane) = (channel + count, lane + count);
            }
        }
        Self { isa, images, pixels, sources, blocks: all.div_ceil(b) }
    }

    /// Runs it. `source(i)` are the elements of source `i`.
    ///
    /// # Panics
    /// If lengths do not fit.
    pub(crate) fn run<'a>(&self, pool: &mut Pool, source: impl Fn(usize) -> &'a [f32], dst: &mut [f32]) {
        let b = self.isa.block();
        let plane = self.pixels * b;
        assert_eq!(dst.len(), self.images * self.blocks * plane);
        let chunks = self.pixels.div_ceil(PIXELS);
        let out = Shards::new(dst);
        for (i, (blocks, pieces)) in self.sources.iter().enumerate() {
            let src = source(i);
            assert_eq!(src.len(), self.images * blocks * plane);
            pool.run(&|share| {
                for at in share.part(self.images * pieces.len() * chunks) {
                    let (image, first) = (at / chunks / pieces.len(), at % chunks * PIXELS);
                    let piece = &pieces[at / chunks % pieces.len()];
                    let pixels = PIXELS.min(self.pixels - first);
                    let src = &src[(image * blocks + piece.block) * plane..][first * b..(first + pixels) * b];
                    // SAFETY: these lanes of these pixels are within `dst` and this thread's own.
                    let dst =
                        unsafe { out.get().add((image * self.blocks + piece.to_block) * plane + first * b) };
                    self.isa.dispatch(Copy { piece, src: src.as_ptr(), dst, pixels });
                }
            });
        }
    }
}

/// Copies a piece of some pixels.
struct Copy<'a> {
    piece: &'a Piece,
    src: *const f32,
    dst: *mut f32,
    pixels: usize,
}

impl Kernel for Copy<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Piece { from, to, count, behind, .. } = *self.piece;
        for pixel in 0..self.pixels {
            // SAFETY: `Regroup::run` gives so many blocks; a piece and the lanes behind it are within one.
            unsafe {
                let (src, dst) = (self.src.add(pixel * S::LANES + from), self.dst.add(pixel * S::LANES + to));
                // Lanes beyond the piece are read as zeros.
                let x = s.load_first(src, count);
                s.store_first(dst, x, count + behind);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::conv_tests::{Random, block};

    #[test]
    fn runs_of_any_channels() {
        let mut r = Random(8);
        for case in 0..100 {
            let (images, pixels) = (1 + r.below(2), 1 + r.below(300));
            let channels: Vec<usize> = (0..1 + r.below(4)).map(|_| 1 + r.below(40)).collect();
            let sources: Vec<Vec<f32>> = channels.iter().map(|c| r.vec(images * c * pixels)).collect();
            let runs: Vec<Run> = (0..1 + r.below(5))
                .map(|_| {
                    let source = r.below(channels.len());
                    let first = r.below(channels[source]);
                    Run { source, first, count: 1 + r.below(channels[source] - first) }
                })
                .collect();
            let picked: Vec<(usize, usize)> = runs
                .iter()
                .flat_map(|run| (run.first..run.first + run.count).map(|c| (run.source, c)))
                .collect();
            let plain: Vec<f32> = (0..images * picked.len() * pixels)
                .map(|i| {
                    let (source, c) = picked[i / pixels % picked.len()];
                    sources[source][(i / pixels / picked.len() * channels[source] + c) * pixels + i % pixels]
                })
                .collect();
            for isa in Isa::available() {
                let blocked: Vec<Vec<f32>> = (sources.iter().zip(&channels))
                    .map(|(data, c)| block(isa, data, [images, *c, pixels]))
                    .collect();
                let expected = block(isa, &plain, [images, picked.len(), pixels]);
                let regroup = Regroup::new(isa, images, pixels, &channels, &runs);
                for threads in [1, 2] {
                    let mut dst = vec![f32::NAN; expected.len()];
                    regroup.run(&mut Pool::uneven(threads), |i| &blocked[i][..], &mut dst);
                    assert_eq!(dst, expected, "case {case} {} {channels:?} {runs:?}", isa.name());
                }
            }
        }
    }
}
