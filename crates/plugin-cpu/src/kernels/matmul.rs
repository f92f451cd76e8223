//! Products of matrices that are both computed: `c[i, j] = sum of a[i, p] * b[p, j]`, in a batch, each operand
//! row-major or transposed. Columns of `b` are packed where many rows use them; single rows or columns are sums of
//! products along memory.

use super::conv_tile::unroll;
use crate::{
    isa::{Isa, Kernel, Simd},
    pool::{Pool, Shards},
};
use std::ops::Range;

/// Vectors of a panel of columns.
const VECTORS: usize = 2;
/// Terms that are summed in one go: a panel of so many rows stays in the second-level cache, rows of `a` in the first.
const DEPTH: usize = 512;
/// Panels that are packed together: a block of rows is used so many times while it is at hand.
const PANELS: usize = 8;
/// Rows of a piece of work.
const ROWS: usize = 240;
/// Rows, or columns, up to which packing costs more than it gives.
const FEW: usize = 3;

/// An operand: elements from row to row and from column to column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Strides {
    /// From row to row.
    pub(crate) row: usize,
    /// From column to column.
    pub(crate) column: usize,
}

/// A batch of products, ready to run.
#[derive(Debug)]
pub(crate) struct Product {
    /// Rows, columns, terms.
    sizes: [usize; 3],
    a: Strides,
    b: Strides,
    /// Where the operands of each product start.
    batch: Vec<(usize, usize)>,
    /// Threads that can have memory to work in.
    threads: usize,
    columns: usize,
}

impl Product {
    /// Of `sizes` rows, columns and terms; `batch` says where the operands of each product start.
    pub(crate) fn new(
        isa: Isa,
        sizes: [usize; 3],
        (a, b): (Strides, Strides),
        batch: Vec<(usize, usize)>,
        threads: usize,
    ) -> Self {
        let columns = sizes[1].next_multiple_of(VECTORS * isa.block()).min(PANELS * VECTORS * isa.block());
        Self { sizes, a, b, batch, threads, columns }
    }

    /// Both operands' terms lie together, and one of them is few vectors.
    fn is_dots(&self) -> bool {
        let [rows, columns, _] = self.sizes;
        rows.min(columns) <= FEW && self.a.column == 1 && self.b.row == 1
    }

    /// f32 elements that a thread packs columns into.
    fn packed(&self) -> usize {
        if self.is_dots() { 0 } else { self.columns * self.sizes[2].min(DEPTH) }
    }

    /// The f32 elements of memory that [`Product::run`] works in.
    pub(crate) fn scratch(&self) -> usize {
        self.threads * self.packed()
    }

    /// Runs it.
    ///
    /// # Panics
    /// If a slice is too short.
    pub(crate) fn run(
        &self,
        isa: Isa,
        pool: &mut Pool,
        a: &[f32],
        b: &[f32],
        c: &mut [f32],
        scratch: &mut [f32],
    ) {
        let [rows, columns, terms] = self.sizes;
        assert!(c.len() == self.batch.len() * rows * columns && scratch.len() >= self.scratch());
        if c.is_empty() {
            return;
        }
        if terms == 0 {
            c.fill(0.0);
            return;
        }
        let reach = |strides: Strides, rows: usize, columns: usize| {
            (rows - 1) * strides.row + (columns - 1) * strides.column
        };
        let (a_reach, b_reach) = (reach(self.a, rows, terms), reach(self.b, terms, columns));
        assert!(self.batch.iter().all(|(i, j)| i + a_reach < a.len() && j + b_reach < b.len()), "{self:?}");
        let (row_parts, column_parts) = match self.is_dots() {
            true => (rows.div_ceil(ROWS), columns.div_ceil(ROWS)),
            false => (rows.div_ceil(ROWS), columns.div_ceil(self.columns)),
        };
        let (out, scratch) = (Shards::new(c), Shards::new(scratch));
        let packed = self.packed();
        pool.run(&|share| {
            let Some(share) = share.among(self.threads) else { return };
            // SAFETY: each of the threads has memory of its own.
            let memory =
                unsafe { std::slice::from_raw_parts_mut(scratch.get().add(share.index() * packed), packed) };
            let mut held = None;
            for at in share.part(self.batch.len() * column_parts * row_parts) {
                let (matrix, column_part, row_part) =
                    (at / row_parts / column_parts, at / row_parts % column_parts, at % row_parts);
                let (i, j) = self.batch[matrix];
                let width = if self.is_dots() { ROWS } else { self.columns };
                let piece = Piece {
                    of: self,
                    a: &a[i..],
                    b: &b[j..],
                    // SAFETY: matrix `matrix` of the output; each piece writes elements of its own.
                    c: unsafe { out.get().add(matrix * rows * columns) },
                    rows: row_part * ROWS..rows.min((row_part + 1) * ROWS),
                    columns: column_part * width..columns.min((column_part + 1) * width),
                    memory: &mut *memory,
                    is_packed: terms <= DEPTH && held == Some((matrix, column_part)),
                };
                isa.dispatch(piece);
                held = Some((matrix, column_part));
            }
        });
    }
}

/// Some rows and columns of one product.
struct Piece<'a> {
    of: &'a Product,
    a: &'a [f32],
    b: &'a [f32],
    c: *mut f32,
    rows: Range<usize>,
    columns: Range<usize>,
    memory: &'a mut [f32],
    /// The memory holds these columns already.
    is_packed: bool,
}

impl Kernel for Piece<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if self.of.is_dots() {
            return self.dots(s);
        }
        // As many sums as registers hold, with the two vectors of `b` and one element of `a`.
        match S::REGISTERS {
            32.. => self.tiles::<S, 12>(s),
            16.. => self.tiles::<S, 6>(s),
            _ => self.tiles::<S, 2>(s),
        }
    }
}

impl Piece<'_> {
    #[inline(always)]
    fn tiles<S: Simd, const R: usize>(self, s: S) {
        let width = VECTORS * S::LANES;
        let [_, columns, terms] = self.of.sizes;
        let (a, b) = (self.of.a, self.of.b);
        for first in (0..terms).step_by(DEPTH) {
            let depth = DEPTH.min(terms - first);
            if !self.is_packed {
                for (i, panel) in self.columns.clone().step_by(width).enumerate() {
                    let used = width.min(self.columns.end - panel);
                    let from = &self.b[first * b.row + panel * b.column..];
                    let to = &mut self.memory[i * depth * width..][..depth * width];
                    pack(from, b, [depth, used], width, to);
                }
            }
            for top in self.rows.clone().step_by(R) {
                let height = R.min(self.rows.end - top);
                for (i, panel) in self.columns.clone().step_by(width).enumerate() {
                    let packed = &self.memory[i * depth * width..][..depth * width];
                    // Rows beyond the last repeat it.
                    let row = |r: usize| (top + r.min(height - 1)) * a.row + first * a.column;
                    let from: [*const f32; R] = std::array::from_fn(|r| self.a[row(r)..].as_ptr());
                    let used = width.min(self.columns.end - panel);
                    // SAFETY: `run` checked the reach of `a`, of which `depth` terms of these rows are read; the
                    // panel is as long as its slice; rows and columns lie in the matrix at `c`.
                    unsafe {
                        let to = self.c.add(top * columns + panel);
                        tile::<S, R>(s, (from, a.column), packed, (to, columns), [height, used], first > 0);
                    }
                }
            }
        }
    }

    /// Sums of products along memory.
    #[inline(always)]
    fn dots<S: Simd>(self, s: S) {
        let [_, columns, terms] = self.of.sizes;
        for i in self.rows.clone() {
            let a = &self.a[i * self.of.a.row..][..terms];
            for j in self.columns.clone() {
                let b = &self.b[j * self.of.b.column..][..terms];
                let mut sums = [s.splat(0.0); 4];
                let step = 4 * S::LANES;
                let whole = terms / step * step;
                // SAFETY: both slices have `terms` elements; row and column lie in the matrix at `c`.
                unsafe {
                    for p in (0..whole).step_by(step) {
                        for (v, sum) in sums.iter_mut().enumerate() {
                            let at = p + v * S::LANES;
                            *sum = s.mul_add(s.load(a.as_ptr().add(at)), s.load(b.as_ptr().add(at)), *sum);
                        }
                    }
                    for p in (whole..terms).step_by(S::LANES) {
                        let n = S::LANES.min(terms - p);
                        let (x, y) = (s.load_first(a.as_ptr().add(p), n), s.load_first(b.as_ptr().add(p), n));
                        sums[0] = s.mul_add(x, y, sums[0]);
                    }
                    let sum = s.sum(s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3])));
                    self.c.add(i * columns + j).write(sum);
                }
            }
        }
    }
}

/// Packs `depth` rows of `used` columns into rows of `width`, the rest zero.
#[inline(always)]
fn pack(from: &[f32], strides: Strides, [depth, used]: [usize; 2], width: usize, to: &mut [f32]) {
    if strides.column == 1 {
        for (p, to) in to.chunks_exact_mut(width).enumerate() {
            to[..used].copy_from_slice(&from[p * strides.row..][..used]);
            to[used..].fill(0.0);
        }
        return;
    }
    if used < width {
        to.fill(0.0);
    }
    // Some rows of a few columns at a time: both sides stay in cache lines.
    const TILE: usize = 16;
    for first in (0..depth).step_by(TILE) {
        for j in 0..used {
            for p in first..depth.min(first + TILE) {
                to[p * width + j] = from[p * strides.row + j * strides.column];
            }
        }
    }
}

/// Sums the products of `R` rows and a panel of columns; `added` to what is there.
///
/// # Safety
/// As many elements as the panel has rows can be read at each pointer of `a`, its stride apart; `height` rows of `used`
/// elements can be written at `c`, and read if `added`.
#[inline(always)]
unsafe fn tile<S: Simd, const R: usize>(
    s: S,
    (a, a_stride): ([*const f32; R], usize),
    panel: &[f32],
    (c, c_stride): (*mut f32, usize),
    [height, used]: [usize; 2],
    added: bool,
) {
    let mut sums = [[s.splat(0.0); VECTORS]; R];
    let mut at = 0;
    for row in panel.chunks_exact(VECTORS * S::LANES) {
        // SAFETY: a row of the panel; a term of each row of `a`, as the caller says.
        unsafe {
            let b: [S::V; VECTORS] = std::array::from_fn(|v| s.load(row.as_ptr().add(v * S::LANES)));
            for (a, sums) in a.iter().zip(&mut sums) {
                let x = s.splat(*a.add(at));
                for (b, sum) in b.iter().zip(sums) {
                    *sum = s.mul_add(x, *b, *sum);
                }
            }
        }
        at += a_stride;
    }
    // By constants: indices that are computed would send the sums to memory.
    unroll!(K < R, {
        if K < height {
            for (v, sum) in sums[K].into_iter().enumerate() {
                let n = used.saturating_sub(v * S::LANES).min(S::LANES);
                // SAFETY: the caller says that `height` rows of `used` elements are there.
                unsafe {
                    let to = c.add(K * c_stride + v * S::LANES);
                    if n == S::LANES {
                        s.store(to, if added { s.add(sum, s.load(to)) } else { sum });
                    } else if n > 0 {
                        s.store_first(to, if added { s.add(sum, s.load_first(to, n)) } else { sum }, n);
                    }
                }
            }
        }
    });
}
