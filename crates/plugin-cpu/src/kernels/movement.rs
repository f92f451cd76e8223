//! Elements that are moved and not changed: every element of the output comes from a place that is a sum of one
//! offset for each of its indices, or is filled in. Slices, padding, repetition, picks, and blocks of space to and
//! from channels are all of this form.

use crate::pool::{Pool, Shards};

/// Marks the indices along an axis at which nothing is taken: what lies there is filled in.
pub(crate) const NONE: isize = isize::MAX;

/// How the innermost axis is copied.
#[derive(Clone, PartialEq, Debug)]
enum Inner {
    /// Runs of neighbours, and runs that are filled in.
    Runs(Vec<Run>),
    /// Any offsets.
    Table(Vec<isize>),
    /// Steps of one size, while neighbours lie along another axis: `(steps, step, rows, from row to row in the
    /// output)`.
    Across(usize, isize, usize, usize),
}

#[derive(Clone, Copy, PartialEq, Debug)]
struct Run {
    len: usize,
    /// The first element's offset, or [`NONE`].
    from: isize,
    /// 1, or 0 for one element again and again.
    step: isize,
}

/// An axis of the output: elements from one index to the next, and where each index takes from.
#[derive(Clone, Debug)]
struct Axis {
    stride: usize,
    from: Vec<isize>,
}

impl Axis {
    /// The distance from index to index, where it is the same everywhere.
    fn step(&self) -> Option<isize> {
        let step = self.from.get(1)? - self.from[0];
        let even = self.from.windows(2).all(|pair| pair[1] - pair[0] == step);
        (even && !self.from.contains(&NONE)).then_some(step)
    }
}

/// A movement, ready to run. Offsets count elements.
#[derive(Clone, Debug)]
pub(crate) struct Movement {
    /// Bytes of what moves as one: a power of two up to 64.
    unit: usize,
    base: isize,
    outer: Vec<Axis>,
    inner: Inner,
    /// Elements of a row of `inner`.
    width: usize,
    total: usize,
    /// The places that are read lie below this.
    bound: usize,
}

/// Rows that are turned together: with as many columns they fill cache lines on both sides.
const TILE: usize = 16;

/// Runs shorter than this on the average are no faster than a table.
const SHORT: usize = 4;

impl Movement {
    /// The output has one axis for each table, with as many elements; its element at an index is the one at `base`
    /// and the sum of the tables' entries, or filled in where one of them is [`NONE`]. An element has `bytes`, 1, 2,
    /// 4 or 8, or the size of a block.
    ///
    /// # Panics
    /// If a place before the first element would be read.
    pub(crate) fn new(bytes: usize, base: isize, tables: &[Vec<isize>]) -> Self {
        let total: usize = tables.iter().map(Vec::len).product();
        let (mut low, mut high) = (base, base);
        for table in tables {
            let known = || table.iter().copied().filter(|from| *from != NONE);
            low += known().min().unwrap_or(0);
            high += known().max().unwrap_or(0);
        }
        assert!(low >= 0 || total == 0, "a place before the first element");
        let (mut base, mut unit, mut bound) = (base, bytes, high as usize + 1);
        let mut axes: Vec<Axis> = Vec::new();
        let mut stride = total;
        for table in tables {
            stride = stride.checked_div(table.len()).unwrap_or(0);
            if let [from] = table[..]
                && from != NONE
            {
                base += from;
                continue;
            }
            let axis = Axis { stride, from: table.clone() };
            // Steps that go on where the inner axis ends are one axis.
            match axes.last_mut() {
                Some(last)
                    if let (Some(outer), Some(inner)) = (last.step(), axis.step())
                        && outer == inner * axis.from.len() as isize =>
                {
                    base += last.from[0] + axis.from[0];
                    let len = last.from.len() * axis.from.len();
                    *last = Axis { stride, from: (0..len as isize).map(|i| i * inner).collect() };
                }
                _ => axes.push(axis),
            }
        }
        // Few neighbours are one larger element.
        if let Some(last) = axes.last()
            && last.step() == Some(1)
            && bytes >= 4
            && matches!(last.from.len() * bytes, 8 | 16 | 32 | 64)
            && axes.len() > 1
        {
            let len = last.from.len() as isize;
            let start = base + last.from[0];
            let whole = |from: &isize| *from == NONE || from % len == 0;
            let others = &axes[..axes.len() - 1];
            if start % len == 0 && others.iter().all(|axis| axis.from.iter().all(whole)) {
                axes.pop();
                (base, unit, bound) = (start / len, bytes * len as usize, bound.div_ceil(len as usize));
                for axis in &mut axes {
                    axis.stride /= len as usize;
                    axis.from.iter_mut().filter(|from| **from != NONE).for_each(|from| *from /= len);
                }
            }
        }
        let total = total * bytes / unit;
        let last = axes.pop().unwrap_or(Axis { stride: 1, from: vec![0; total.min(1)] });
        let width = last.from.len();
        let across = axes.iter().position(|axis| axis.step() == Some(1) && axis.from.len() >= SHORT);
        let inner = match (last.step(), across) {
            (Some(step), Some(at)) if step.unsigned_abs() > 1 && unit <= 8 => {
                let rows = axes.remove(at);
                base += rows.from[0] + last.from[0];
                Inner::Across(width, step, rows.from.len(), rows.stride)
            }
            _ => {
                let runs = runs(&last.from);
                if width < SHORT * runs.len() { Inner::Table(last.from) } else { Inner::Runs(runs) }
            }
        };
        Self { unit, base, outer: axes, inner, width, total, bound }
    }

    /// Runs it. `fill` is the element, of as many bytes as [`Movement::new`] was told, that is filled in.
    ///
    /// # Panics
    /// If a slice is too short, or not aligned for its elements.
    pub(crate) fn run(&self, pool: &mut Pool, src: &[u8], dst: &mut [u8], fill: &[u8]) {
        match self.unit {
            1 => self.typed::<u8>(pool, src, dst, fill),
            2 => self.typed::<u16>(pool, src, dst, fill),
            4 => self.typed::<u32>(pool, src, dst, fill),
            8 if src.as_ptr().cast::<u64>().is_aligned() && dst.as_ptr().cast::<u64>().is_aligned() => {
                self.typed::<u64>(pool, src, dst, fill);
            }
            8 => self.typed::<[u32; 2]>(pool, src, dst, fill),
            16 => self.typed::<[u32; 4]>(pool, src, dst, fill),
            32 => self.typed::<[u32; 8]>(pool, src, dst, fill),
            _ => self.typed::<[u32; 16]>(pool, src, dst, fill),
        }
    }

    fn typed<T: bytemuck::Pod + Send + Sync>(
        &self,
        pool: &mut Pool,
        src: &[u8],
        dst: &mut [u8],
        fill: &[u8],
    ) {
        if self.total == 0 {
            return;
        }
        let src: &[T] = bytemuck::cast_slice(&src[..src.len() / size_of::<T>() * size_of::<T>()]);
        let dst: &mut [T] = bytemuck::cast_slice_mut(dst);
        assert!(src.len() >= self.bound && dst.len() == self.total, "{self:?}");
        let mut filler = T::zeroed();
        if !fill.is_empty() {
            let bytes = bytemuck::bytes_of_mut(&mut filler);
            bytes.chunks_mut(fill.len()).for_each(|chunk| chunk.copy_from_slice(&fill[..chunk.len()]));
        }
        let out = Shards::new(dst);
        let rows: usize = self.outer.iter().map(|axis| axis.from.len()).product();
        // A row for each index of the outer axes; tiles of rows where the inner one goes across.
        let tiles = match self.inner {
            Inner::Across(_, _, rows, _) => rows.div_ceil(TILE),
            _ => 1,
        };
        pool.run(&|share| {
            for at in share.part(rows * tiles) {
                let (mut rest, tile) = (at / tiles, at % tiles);
                let (mut from, mut to, mut filled) = (self.base, 0, false);
                for axis in self.outer.iter().rev() {
                    let i = rest % axis.from.len();
                    rest /= axis.from.len();
                    to += i * axis.stride;
                    filled |= axis.from[i] == NONE;
                    from = from.wrapping_add(axis.from[i]);
                }
                // SAFETY: `new` took the bounds of the places from the tables, and they were checked against both
                // slices; each index of the outer axes writes elements of its own.
                unsafe {
                    let to = out.get().add(to);
                    match &self.inner {
                        Inner::Across(steps, step, rows, stride) => {
                            let first = tile * TILE;
                            let rows = TILE.min(rows - first);
                            if filled {
                                for row in first..first + rows {
                                    std::slice::from_raw_parts_mut(to.add(row * stride), *steps).fill(filler);
                                }
                            } else {
                                let src = src.as_ptr().offset(from).add(first);
                                turn(src, *step, to.add(first * stride), *stride, [rows, *steps]);
                            }
                        }
                        _ if filled => std::slice::from_raw_parts_mut(to, self.width).fill(filler),
                        Inner::Runs(runs) => {
                            let mut to = to;
                            for run in runs {
                                let row = std::slice::from_raw_parts_mut(to, run.len);
                                to = to.add(run.len);
                                if run.from == NONE {
                                    row.fill(filler);
                                    continue;
                                }
                                let src = src.as_ptr().offset(from + run.from);
                                match run.step {
                                    0 => row.fill(*src),
                                    _ => row.as_mut_ptr().copy_from_nonoverlapping(src, run.len),
                                }
                            }
                        }
                        Inner::Table(table) => {
                            for (i, offset) in table.iter().enumerate() {
                                to.add(i).write(match *offset {
                                    NONE => filler,
                                    offset => *src.as_ptr().offset(from + offset),
                                });
                            }
                        }
                    }
                }
            }
        });
    }
}

/// The runs of neighbours, repetitions and gaps in a table.
fn runs(table: &[isize]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for from in table.iter().copied() {
        if let Some(run) = runs.last_mut() {
            let end = |step: isize| run.from + run.len as isize * step;
            let goes_on = match (run.from, from) {
                (NONE, NONE) => Some(0),
                (NONE, _) | (_, NONE) => None,
                _ if run.len == 1 => [0, 1].into_iter().find(|step| end(*step) == from),
                _ => (end(run.step) == from).then_some(run.step),
            };
            if let Some(step) = goes_on {
                (run.len, run.step) = (run.len + 1, step);
                continue;
            }
        }
        runs.push(Run { len: 1, from, step: 1 });
    }
    runs
}

/// `dst[row * stride + i] = src[row + i * step]`, in squares whose cache lines stay at hand.
///
/// # Safety
/// All these places can be read and written.
unsafe fn turn<T: Copy>(src: *const T, step: isize, dst: *mut T, stride: usize, [rows, steps]: [usize; 2]) {
    for start in (0..steps).step_by(TILE) {
        for row in 0..rows {
            for i in start..steps.min(start + TILE) {
                // SAFETY: as the caller says.
                unsafe { dst.add(row * stride + i).write(*src.add(row).offset(i as isize * step)) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the definition, with random tables of every kind.
    #[test]
    fn every_form_of_tables() {
        let mut seed = 7u64;
        let mut below = |n: usize| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) as usize % n
        };
        for _ in 0..600 {
            let bytes = [1, 2, 4, 8][below(4)];
            let rank = below(4);
            let mut tables = Vec::new();
            let mut strides: Vec<isize> = vec![1];
            let (mut reach, mut base) = (0, 0);
            for _ in 0..rank {
                let len = 1 + below(20);
                let step = strides[below(strides.len())];
                let table: Vec<isize> = match below(6) {
                    0 => vec![0; len],
                    1 => (0..len).map(|_| below(7) as isize).collect(),
                    2 => (0..len).map(|i| if i < 3 { NONE } else { i as isize * step }).collect(),
                    3 => {
                        base += len as isize * step;
                        (0..len).map(|i| -(i as isize) * step).collect()
                    }
                    4 => (0..len).map(|i| (i / 2) as isize * step).collect(),
                    _ => (0..len).map(|i| i as isize * step).collect(),
                };
                strides.push(step * len as isize);
                reach += table.iter().filter(|from| **from != NONE).max().copied().unwrap_or(0).max(0);
                tables.push(table);
            }
            tables.reverse();
            let size = (base + reach) as usize + 1;
            let src: Vec<u64> = (0..(size * bytes).div_ceil(8)).map(|_| below(1 << 30) as u64 * 3).collect();
            let src = &bytemuck::cast_slice::<u64, u8>(&src)[..size * bytes];
            let fill = [1, 2, 3, 4, 5, 6, 7, 8];
            let total: usize = tables.iter().map(Vec::len).product();
            let mut want = Vec::new();
            for at in 0..total {
                let (mut rest, mut from) = (at, Some(base));
                for table in tables.iter().rev() {
                    let offset = table[rest % table.len()];
                    from = from.filter(|_| offset != NONE).map(|from| from + offset);
                    rest /= table.len();
                }
                match from {
                    Some(from) => want.extend(&src[from as usize * bytes..][..bytes]),
                    None => want.extend(&fill[..bytes]),
                }
            }
            let movement = Movement::new(bytes, base, &tables);
            for threads in [1, 2] {
                let mut found = vec![0u64; (total * bytes).div_ceil(8)];
                let found = &mut bytemuck::cast_slice_mut::<u64, u8>(&mut found)[..total * bytes];
                movement.run(&mut Pool::uneven(threads), src, found, &fill[..bytes]);
                assert_eq!(found, want, "{movement:?}");
            }
        }
    }
}
