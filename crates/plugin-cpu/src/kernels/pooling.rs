//! Maxima and means of windows, on the blocked layout.

use crate::{
    isa::{Isa, Kernel, Simd},
    pool::{Pool, Shards, part},
};

/// What is made of a window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reduction {
    /// The maximum of the elements.
    Max,
    /// The maximum of the elements and, where the window goes beyond them, zero.
    MaxWithZeros,
    /// The mean of the elements.
    Mean,
    /// The sum of the elements, divided by this.
    SumOver(usize),
}

/// The geometry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PoolShape {
    /// What is made of a window.
    pub(crate) reduction: Reduction,
    /// Images times channel blocks.
    pub(crate) planes: usize,
    /// Input height and width.
    pub(crate) input: [usize; 2],
    /// Output height and width.
    pub(crate) output: [usize; 2],
    /// Window height and width.
    pub(crate) kernel: [usize; 2],
    /// Distance of the windows.
    pub(crate) stride: [usize; 2],
    /// Distance of the taps.
    pub(crate) dilation: [usize; 2],
    /// Padding above and left.
    pub(crate) pad_begin: [usize; 2],
}

/// Runs it.
pub(crate) fn run(isa: Isa, pool: &mut Pool, shape: &PoolShape, src: &[f32], dst: &mut [f32]) {
    let b = isa.block();
    let [ih, iw] = shape.input;
    let [oh, ow] = shape.output;
    assert_eq!(src.len(), shape.planes * ih * iw * b);
    assert_eq!(dst.len(), shape.planes * oh * ow * b);
    let out = Shards::new(dst);
    pool.run(&|index, count| {
        for at in part(shape.planes * oh, index, count) {
            let (plane, y) = (at / oh, at % oh);
            // SAFETY: row `at`, within `dst` and this thread's own.
            let row = unsafe { std::slice::from_raw_parts_mut(out.get().add(at * ow * b), ow * b) };
            isa.dispatch(Row { shape, y, src: &src[plane * ih * iw * b..][..ih * iw * b], dst: row });
        }
    });
}

struct Row<'a> {
    shape: &'a PoolShape,
    y: usize,
    src: &'a [f32],
    dst: &'a mut [f32],
}

/// The taps of the window at `at` that lie on the input, and the index that tap 0 would have.
fn taps(
    at: usize,
    stride: usize,
    dilation: usize,
    pad: usize,
    kernel: usize,
    input: usize,
) -> (usize, usize, isize) {
    let start = (at * stride) as isize - pad as isize;
    let first = if start < 0 { (-start) as usize } else { 0 }.div_ceil(dilation).min(kernel);
    let room = (input as isize - start).max(0) as usize;
    (first, room.div_ceil(dilation).min(kernel).max(first), start)
}

impl Kernel for Row<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let p = self.shape;
        let [ih, iw] = p.input;
        let (y0, y1, sy) = taps(self.y, p.stride[0], p.dilation[0], p.pad_begin[0], p.kernel[0], ih);
        let whole = p.kernel[0] * p.kernel[1];
        let max = matches!(p.reduction, Reduction::Max | Reduction::MaxWithZeros);
        for (x, pixel) in self.dst.chunks_exact_mut(S::LANES).enumerate() {
            let (x0, x1, sx) = taps(x, p.stride[1], p.dilation[1], p.pad_begin[1], p.kernel[1], iw);
            let inside = (y1 - y0) * (x1 - x0);
            let start = match p.reduction {
                Reduction::Max => f32::NEG_INFINITY,
                Reduction::MaxWithZeros if inside == whole => f32::NEG_INFINITY,
                _ => 0.0,
            };
            let mut sum = s.splat(start);
            for ky in y0..y1 {
                let row = (sy + (ky * p.dilation[0]) as isize) as usize * iw;
                for kx in x0..x1 {
                    let at = (row + (sx + (kx * p.dilation[1]) as isize) as usize) * S::LANES;
                    // SAFETY: the slice is bounds-checked.
                    let v = unsafe { s.load(self.src[at..at + S::LANES].as_ptr()) };
                    sum = if max { s.max(sum, v) } else { s.add(sum, v) };
                }
            }
            let divisor = match p.reduction {
                Reduction::Mean => Some(inside.max(1)),
                Reduction::SumOver(n) => Some(n),
                _ => None,
            };
            if let Some(n) = divisor {
                sum = s.mul(sum, s.splat(1.0 / n as f32));
            }
            // SAFETY: a chunk is a vector long.
            unsafe { s.store(pixel.as_mut_ptr(), sum) };
        }
    }
}
