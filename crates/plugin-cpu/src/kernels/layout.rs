//! Between layouts: row-major, other orders of dimensions, channel blocks.

use crate::{
    isa::{Isa, Kernel, Simd},
    pool::{Pool, Shards},
};

/// Pixels that a thread takes at a time.
const PIXELS: usize = 256;

/// Row-major or permuted `[N, C, H, W]` to blocked. `strides` are those of `src`, in elements.
pub(crate) fn block(
    isa: Isa,
    pool: &mut Pool,
    src: &[f32],
    strides: [usize; 4],
    dst: &mut [f32],
    [n, c, h, w]: [usize; 4],
) {
    let b = isa.block();
    let blocks = c.div_ceil(b);
    assert_eq!(dst.len(), n * blocks * h * w * b);
    let last = (n - 1) * strides[0] + (c - 1) * strides[1] + (h - 1) * strides[2] + (w - 1) * strides[3];
    assert!(last < src.len());
    // Rows that follow each other are one.
    let (lines, length) = if strides[2] == w * strides[3] { (1, h * w) } else { (h, w) };
    let pieces = length.div_ceil(PIXELS);
    let out = Shards::new(dst);
    pool.run(&|share| {
        for at in share.part(n * blocks * lines * pieces) {
            let (line, first) = (at / pieces, at % pieces * PIXELS);
            let (image, block, y) = (line / lines / blocks, line / lines % blocks, line % lines);
            let pixels = PIXELS.min(length - first);
            let from = image * strides[0] + block * b * strides[1] + y * strides[2] + first * strides[3];
            let lanes = b.min(c - block * b);
            // SAFETY: from pixel `first` of line `line` on; the last element of all is within `src`, and these
            // pixels are within `dst` and this thread's own.
            unsafe {
                let (src, dst) = (src.as_ptr().add(from), out.get().add((line * length + first) * b));
                if strides[3] == 1 {
                    isa.dispatch(Turn {
                        src,
                        line: strides[1],
                        lines: lanes,
                        columns: pixels,
                        dst,
                        row: b,
                        width: b,
                    });
                } else {
                    isa.dispatch(Lanes { src, step: strides[1], lanes, pixel: strides[3], pixels, dst });
                }
            }
        }
    });
}

/// Blocked to row-major.
pub(crate) fn unblock(isa: Isa, pool: &mut Pool, src: &[f32], dst: &mut [f32], [n, c, h, w]: [usize; 4]) {
    let b = isa.block();
    let blocks = c.div_ceil(b);
    let plane = h * w;
    assert_eq!(src.len(), n * blocks * plane * b);
    assert_eq!(dst.len(), n * c * plane);
    let pieces = plane.div_ceil(PIXELS);
    let out = Shards::new(dst);
    pool.run(&|share| {
        for at in share.part(n * blocks * pieces) {
            let (place, first) = (at / pieces, at % pieces * PIXELS);
            let (image, block) = (place / blocks, place % blocks);
            let pixels = PIXELS.min(plane - first);
            // SAFETY: these pixels are within `src`; those of the channels of the block that are some are within
            // `dst` and this thread's own.
            unsafe {
                let src = src.as_ptr().add((place * plane + first) * b);
                let dst = out.get().add((image * c + block * b) * plane + first);
                let lanes = b.min(c - block * b);
                isa.dispatch(Turn {
                    src,
                    line: b,
                    lines: pixels,
                    columns: lanes,
                    dst,
                    row: plane,
                    width: pixels,
                });
            }
        }
    });
}

/// Turns a matrix: its columns become rows.
struct Turn {
    /// Lines of neighbours.
    src: *const f32,
    /// From one line to the next.
    line: usize,
    lines: usize,
    /// Elements of a line.
    columns: usize,
    dst: *mut f32,
    /// From one row of the result to the next.
    row: usize,
    /// Elements of a row: the lines, and zeros beyond.
    width: usize,
}

impl Kernel for Turn {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { src, line, lines, columns, dst, row, width } = self;
        for c in (0..columns).step_by(S::LANES) {
            for l in (0..width).step_by(S::LANES) {
                let (rows, have) = (S::LANES.min(columns - c), lines.saturating_sub(l));
                let mut square = [s.splat(0.0); 16];
                // SAFETY: whoever makes one says that there are so many lines, rows, and elements of each.
                unsafe {
                    if rows == S::LANES && have >= S::LANES {
                        for i in 0..S::LANES {
                            square[i] = s.load(src.add((l + i) * line + c));
                        }
                        s.transpose(&mut square);
                        for i in 0..S::LANES {
                            s.store(dst.add((c + i) * row + l), square[i]);
                        }
                        continue;
                    }
                    for (i, line_) in square.iter_mut().enumerate().take(have.min(S::LANES)) {
                        *line_ = s.load_first(src.add((l + i) * line + c), rows);
                    }
                    s.transpose(&mut square);
                    for (i, row_) in square.iter().enumerate().take(rows) {
                        s.store_first(dst.add((c + i) * row + l), *row_, width - l);
                    }
                }
            }
        }
    }
}

/// Fills blocks from channels that lie `step` apart.
struct Lanes {
    src: *const f32,
    step: usize,
    lanes: usize,
    /// From one pixel to the next.
    pixel: usize,
    pixels: usize,
    dst: *mut f32,
}

impl Kernel for Lanes {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for x in 0..self.pixels {
            // SAFETY: whoever makes one says that there are so many pixels and lanes.
            unsafe {
                let (from, to) = (self.src.add(x * self.pixel), self.dst.add(x * S::LANES));
                if self.step == 1 {
                    s.store(to, s.load_first(from, self.lanes));
                    continue;
                }
                s.store(to, s.splat(0.0));
                for lane in 0..self.lanes {
                    *to.add(lane) = *from.add(lane * self.step);
                }
            }
        }
    }
}

/// Copies a run of `length` bytes from each row of `src` to each row of `dst`; a row is (its bytes, where in it the
/// run begins).
pub(crate) fn copy_rows(
    pool: &mut Pool,
    src: &[u8],
    from: (usize, usize),
    dst: &mut [u8],
    to: (usize, usize),
    length: usize,
) {
    let rows = dst.len() / to.0;
    assert!(from.1 + length <= from.0 && to.1 + length <= to.0 && src.len() >= rows * from.0);
    let out = Shards::new(dst);
    pool.run(&|share| {
        // Whatever is less, rows or bytes of one row, is not divided.
        let (rows, bytes) = match rows >= share.count() {
            true => (share.part(rows), 0..length),
            false => (0..rows, share.part(length)),
        };
        for row in rows {
            let src = &src[row * from.0 + from.1..][bytes.clone()];
            // SAFETY: the run's part within row `row` of `dst`, as asserted; this thread's own.
            unsafe {
                let at = out.get().add(row * to.0 + to.1 + bytes.start);
                at.copy_from_nonoverlapping(src.as_ptr(), src.len());
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::conv_tests::{Random, best_of};

    #[test]
    fn blocks_and_back_of_any_size() {
        let mut r = Random(2);
        for case in 0..120 {
            let sizes = [1 + r.below(3), 1 + r.below(40), 1 + r.below(20), 1 + r.below(40)];
            let [n, c, h, w] = sizes;
            let src = r.vec(n * c * h * w);
            let layouts = [[c * h * w, h * w, w, 1], [c * h * w, 1, w * c, c], [c * h * w, h, 1, c * h]];
            let strides = r.of(&layouts);
            let at =
                |[i, j, y, x]: [usize; 4]| i * strides[0] + j * strides[1] + y * strides[2] + x * strides[3];
            for isa in Isa::available() {
                let (b, blocks) = (isa.block(), c.div_ceil(isa.block()));
                let mut pool = Pool::uneven(1 + case % 2);
                let mut blocked = vec![f32::NAN; n * blocks * h * w * b];
                block(isa, &mut pool, &src, strides, &mut blocked, sizes);
                let mut plain = vec![f32::NAN; src.len()];
                unblock(isa, &mut pool, &blocked, &mut plain, sizes);
                for (i, found) in blocked.iter().enumerate() {
                    let (pixel, channel) = (i / b, i / b / h / w % blocks * b + i % b);
                    let (image, y, x) = (pixel / w / h / blocks, pixel / w % h, pixel % w);
                    let wanted = if channel < c { src[at([image, channel, y, x])] } else { 0.0 };
                    assert_eq!(*found, wanted, "case {case} {} {sizes:?} {strides:?} {i}", isa.name());
                }
                for (i, found) in plain.iter().enumerate() {
                    let wanted = src[at([i / w / h / c, i / w / h % c, i / w % h, i % w])];
                    assert_eq!(*found, wanted, "case {case} {} {sizes:?} back", isa.name());
                }
            }
        }
    }

    #[test]
    #[ignore = "measures"]
    fn speed_of_layouts() {
        let isa = Isa::best();
        let mut r = Random(1);
        let mut pool = Pool::new(1);
        for sizes in [[1, 64, 56, 56], [1, 512, 7, 7], [1, 255, 52, 52], [1, 1000, 32, 32]] {
            let [n, c, h, w] = sizes;
            let src = r.vec(n * c * h * w);
            let mut blocked = vec![0.0; n * c.next_multiple_of(isa.block()) * h * w];
            let mut plain = src.clone();
            let bytes = 4.0 * (src.len() + blocked.len()) as f64 / 1e9;
            let nchw = best_of(|| block(isa, &mut pool, &src, [c * h * w, h * w, w, 1], &mut blocked, sizes));
            let nhwc = best_of(|| block(isa, &mut pool, &src, [c * h * w, 1, w * c, c], &mut blocked, sizes));
            let back = best_of(|| unblock(isa, &mut pool, &blocked, &mut plain, sizes));
            println!(
                "{sizes:?} blocked from NCHW {:.1}, NHWC {:.1}, back {:.1} GB/s",
                bytes / nchw,
                bytes / nhwc,
                bytes / back
            );
        }
    }
}
