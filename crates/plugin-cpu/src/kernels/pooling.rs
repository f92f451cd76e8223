//! Maxima and means of windows, on the blocked layout.

use crate::{
    isa::{Isa, Kernel, Simd},
    pool::{Pool, Shards, by_row},
};
use std::ops::Range;

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

/// So few rows of output are not divided among threads.
const FEW_ROWS: usize = 12;

/// Runs it.
pub(crate) fn run(isa: Isa, pool: &mut Pool, shape: &PoolShape, src: &[f32], dst: &mut [f32]) {
    let b = isa.block();
    let [ih, iw] = shape.input;
    let [oh, ow] = shape.output;
    assert_eq!(src.len(), shape.planes * ih * iw * b);
    assert_eq!(dst.len(), shape.planes * oh * ow * b);
    let out = Shards::new(dst);
    pool.run(&|share| {
        let row = |plane: usize, y: usize| {
            let at = plane * oh + y;
            // SAFETY: row `at`, within `dst` and this thread's own.
            let row = unsafe { std::slice::from_raw_parts_mut(out.get().add(at * ow * b), ow * b) };
            isa.dispatch(Row { shape, y, src: &src[plane * ih * iw * b..][..ih * iw * b], dst: row });
        };
        if oh < FEW_ROWS {
            by_row(share.part(shape.planes * oh), oh).for_each(|(plane, ys)| ys.for_each(|y| row(plane, y)));
            return;
        }
        // Places, not channels: so the convolutions before and after are divided.
        let ys = share.part(oh);
        (0..shape.planes).for_each(|plane| ys.clone().for_each(|y| row(plane, y)));
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

/// Bytes between the input that is used and the one that is asked for.
const AHEAD: usize = 1024;

impl Row<'_> {
    /// The outputs whose windows lie between the left and the right edge.
    fn interior(&self) -> Range<usize> {
        let p = self.shape;
        let ow = p.output[1];
        let first = p.pad_begin[1].div_ceil(p.stride[1]).min(ow);
        let span = (p.kernel[1] - 1) * p.dilation[1] + 1;
        let end = (p.input[1] + p.pad_begin[1]).checked_sub(span).map_or(0, |room| room / p.stride[1] + 1);
        first..end.clamp(first, ow)
    }

    /// `N` outputs from `x` on, whose windows have the columns `columns`; the first window starts in column `start`.
    #[inline(always)]
    fn tile<S: Simd, const N: usize, const MAX: bool>(
        &mut self,
        s: S,
        x: usize,
        rows: &Range<usize>,
        columns: Range<usize>,
        start: isize,
    ) {
        let p = self.shape;
        let inside = rows.len() * columns.len();
        let top = (self.y * p.stride[0]) as isize - p.pad_begin[0] as isize;
        let first = match p.reduction {
            Reduction::Max => f32::NEG_INFINITY,
            Reduction::MaxWithZeros if inside == p.kernel[0] * p.kernel[1] => f32::NEG_INFINITY,
            _ => 0.0,
        };
        let (step, tap) = (p.stride[1] * S::LANES, p.dilation[1] * S::LANES);
        let mut acc = [s.splat(first); N];
        if !columns.is_empty() {
            let from = (start + (columns.start * p.dilation[1]) as isize) as usize;
            for ky in rows.clone() {
                let row = (top + (ky * p.dilation[0]) as isize) as usize * p.input[1];
                let line = &self.src[(row + from) * S::LANES..];
                let line = line[..(N - 1) * step + (columns.len() - 1) * tap + S::LANES].as_ptr();
                for n in 0..N {
                    s.prefetch(line.wrapping_add(n * step).wrapping_byte_add(AHEAD));
                }
                for kx in 0..columns.len() {
                    for n in 0..N {
                        // SAFETY: within the line, whose length is checked.
                        let v = unsafe { s.load(line.add(kx * tap + n * step)) };
                        acc[n] = if MAX { s.max(acc[n], v) } else { s.add(acc[n], v) };
                    }
                }
            }
        }
        let divisor = match p.reduction {
            Reduction::Mean => Some(inside.max(1)),
            Reduction::SumOver(n) => Some(n),
            _ => None,
        };
        if let Some(divisor) = divisor {
            let scale = s.splat(1.0 / divisor as f32);
            for n in 0..N {
                acc[n] = s.mul(acc[n], scale);
            }
        }
        let to = self.dst[x * S::LANES..(x + N) * S::LANES].as_mut_ptr();
        for n in 0..N {
            // SAFETY: the slice is `N` vectors long.
            unsafe { s.store(to.add(n * S::LANES), acc[n]) };
        }
    }

    /// `N` outputs at a time, whose chains of additions hide each other's latency. The last ones may be computed twice.
    #[inline(always)]
    fn tiles<S: Simd, const N: usize, const MAX: bool>(
        &mut self,
        s: S,
        rows: &Range<usize>,
        outputs: Range<usize>,
    ) {
        let p = self.shape;
        for x in outputs.clone().step_by(N) {
            let x = x.min(outputs.end - N);
            let start = (x * p.stride[1] - p.pad_begin[1]) as isize;
            self.tile::<S, N, MAX>(s, x, rows, 0..p.kernel[1], start);
        }
    }

    #[inline(always)]
    fn outputs<S: Simd, const MAX: bool>(&mut self, s: S) {
        let p = self.shape;
        let (y0, y1, _) = taps(self.y, p.stride[0], p.dilation[0], p.pad_begin[0], p.kernel[0], p.input[0]);
        let (rows, mut interior) = (y0..y1, self.interior());
        match interior.len() {
            8.. if const { S::REGISTERS >= 16 } => self.tiles::<S, 8, MAX>(s, &rows, interior.clone()),
            4.. => self.tiles::<S, 4, MAX>(s, &rows, interior.clone()),
            _ => interior = 0..0,
        }
        for x in (0..interior.start).chain(interior.end..p.output[1]) {
            let (x0, x1, start) =
                taps(x, p.stride[1], p.dilation[1], p.pad_begin[1], p.kernel[1], p.input[1]);
            self.tile::<S, 1, MAX>(s, x, &rows, x0..x1, start);
        }
    }
}

impl Kernel for Row<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        match self.shape.reduction {
            Reduction::Max | Reduction::MaxWithZeros => self.outputs::<S, true>(s),
            Reduction::Mean | Reduction::SumOver(_) => self.outputs::<S, false>(s),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::conv_tests::{Random, best_of};

    /// One window, element by element.
    fn window(p: &PoolShape, src: &[f32], [plane, y, x, lane]: [usize; 4], lanes: usize) -> f64 {
        let (mut max, mut sum, mut inside) = (f64::NEG_INFINITY, 0.0, 0);
        for ky in 0..p.kernel[0] {
            for kx in 0..p.kernel[1] {
                let sy = (y * p.stride[0] + ky * p.dilation[0]).wrapping_sub(p.pad_begin[0]);
                let sx = (x * p.stride[1] + kx * p.dilation[1]).wrapping_sub(p.pad_begin[1]);
                if sy < p.input[0] && sx < p.input[1] {
                    let v = f64::from(src[((plane * p.input[0] + sy) * p.input[1] + sx) * lanes + lane]);
                    (max, sum, inside) = (max.max(v), sum + v, inside + 1);
                }
            }
        }
        match p.reduction {
            Reduction::Max => max,
            Reduction::MaxWithZeros if inside == p.kernel[0] * p.kernel[1] => max,
            Reduction::MaxWithZeros => max.max(0.0),
            Reduction::Mean => sum / inside as f64,
            Reduction::SumOver(n) => sum / n as f64,
        }
    }

    #[test]
    fn random_windows_on_every_instruction_set() {
        let mut r = Random(5);
        for case in 0..200 {
            let kernel = [1 + r.below(4), 1 + r.below(4)];
            let dilation = [1 + r.below(2), 1 + r.below(2)];
            let span = [0, 1].map(|i: usize| (kernel[i] - 1) * dilation[i] + 1);
            let input = [span[0] + r.below(6), span[1] + r.below(24)];
            let (stride, pad_begin) = ([1 + r.below(3), 1 + r.below(3)], kernel.map(|k| r.below(k)));
            // Every window touches the input.
            let output = [0, 1].map(|i: usize| {
                let room = input[i] + pad_begin[i] + r.below(kernel[i]);
                (room - span[i]) / stride[i] + 1
            });
            let reductions =
                [Reduction::Max, Reduction::MaxWithZeros, Reduction::Mean, Reduction::SumOver(kernel[0])];
            let reduction = r.of(&reductions);
            let p = PoolShape {
                reduction,
                planes: 1 + r.below(3),
                input,
                output,
                kernel,
                stride,
                dilation,
                pad_begin,
            };
            for isa in Isa::available() {
                let b = isa.block();
                let src = r.vec(p.planes * input[0] * input[1] * b);
                let run = |threads| {
                    let mut dst = vec![f32::NAN; p.planes * output[0] * output[1] * b];
                    super::run(isa, &mut Pool::uneven(threads), &p, &src, &mut dst);
                    dst
                };
                let one = run(1);
                for (i, y) in one.iter().enumerate() {
                    let at = [
                        i / b / output[1] / output[0],
                        i / b / output[1] % output[0],
                        i / b % output[1],
                        i % b,
                    ];
                    let wanted = window(&p, &src, at, b);
                    assert!((f64::from(*y) - wanted).abs() < 1e-5, "case {case} {} {p:?} {at:?}", isa.name());
                }
                assert!(run(2).iter().zip(&one).all(|(a, b)| a.to_bits() == b.to_bits()));
            }
        }
    }

    #[test]
    #[ignore = "measures"]
    fn speed_of_pooling() {
        let isa = Isa::best();
        let mut r = Random(1);
        for (reduction, side, channels, kernel, stride, pad) in [
            (Reduction::Max, 224, 64, 2, 2, 0),
            (Reduction::Max, 112, 128, 2, 2, 0),
            (Reduction::Max, 112, 64, 3, 2, 1),
            (Reduction::Max, 147, 64, 3, 2, 0),
            (Reduction::Mean, 35, 192, 3, 1, 1),
            (Reduction::Mean, 17, 768, 3, 1, 1),
            (Reduction::Mean, 8, 1280, 3, 1, 1),
            (Reduction::Mean, 56, 128, 2, 2, 0),
        ] {
            let out = (side + 2 * pad - kernel) / stride + 1;
            let planes = channels / isa.block();
            let p = PoolShape {
                reduction,
                planes,
                input: [side; 2],
                output: [out; 2],
                kernel: [kernel; 2],
                stride: [stride; 2],
                dilation: [1; 2],
                pad_begin: [pad; 2],
            };
            let src = r.vec(channels * side * side);
            let mut dst = vec![0.0; channels * out * out];
            let mut pool = Pool::new(1);
            let best = best_of(|| super::run(isa, &mut pool, &p, &src, &mut dst));
            let bytes = 4.0 * (src.len() + dst.len()) as f64;
            let what = format!("{side}x{side}x{channels} {kernel}x{kernel} /{stride}");
            println!("{reduction:?} {what:20} {:7.1} us {:6.1} GB/s", best * 1e6, bytes / best / 1e9);
        }
    }
}
