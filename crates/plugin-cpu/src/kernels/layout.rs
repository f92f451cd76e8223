//! Between layouts: row-major, other orders of dimensions, channel blocks.

use crate::{
    isa::Isa,
    pool::{Pool, Shards, part},
};

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
    let out = Shards::new(dst);
    pool.run(&|index, count| {
        for at in part(n * blocks * h, index, count) {
            let (image, block, y) = (at / h / blocks, at / h % blocks, at % h);
            // SAFETY: row `at` of `w` pixels, within `dst` and this thread's own.
            let row = unsafe { std::slice::from_raw_parts_mut(out.get().add(at * w * b), w * b) };
            let lanes = b.min(c - block * b);
            let from = image * strides[0] + block * b * strides[1] + y * strides[2];
            if strides[1] == 1 {
                for (x, pixel) in row.chunks_exact_mut(b).enumerate() {
                    let from = from + x * strides[3];
                    pixel[..lanes].copy_from_slice(&src[from..from + lanes]);
                    pixel[lanes..].fill(0.0);
                }
                continue;
            }
            for lane in 0..b {
                let from = from + lane * strides[1];
                for (x, pixel) in row.chunks_exact_mut(b).enumerate() {
                    pixel[lane] = if lane < lanes { src[from + x * strides[3]] } else { 0.0 };
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
    let out = Shards::new(dst);
    pool.run(&|index, count| {
        for at in part(n * c, index, count) {
            let (image, channel) = (at / c, at % c);
            // SAFETY: plane `at`, within `dst` and this thread's own.
            let to = unsafe { std::slice::from_raw_parts_mut(out.get().add(at * plane), plane) };
            let from = &src[(image * blocks + channel / b) * plane * b..][..plane * b];
            for (to, pixel) in to.iter_mut().zip(from.chunks_exact(b)) {
                *to = pixel[channel % b];
            }
        }
    });
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
    pool.run(&|index, count| {
        // Whatever is less, rows or bytes of one row, is not divided.
        let (rows, bytes) = match rows >= count {
            true => (part(rows, index, count), 0..length),
            false => (0..rows, part(length, index, count)),
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
