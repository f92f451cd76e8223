//! Elements picked by indices that are computed, the best along an axis, and running sums.

use crate::pool::{Pool, Shards};
use std::{
    ops::Range,
    sync::atomic::{AtomicUsize, Ordering},
};

/// Indices as they come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Indices<'a> {
    /// 32 bits.
    I32(&'a [i32]),
    /// 64 bits.
    I64(&'a [i64]),
}

impl Indices<'_> {
    /// Index `i` as it stands there.
    pub(crate) fn at(&self, i: usize) -> i64 {
        match self {
            Self::I32(indices) => i64::from(indices[i]),
            Self::I64(indices) => indices[i],
        }
    }

    /// The position that index `i` means among `size`; negative ones count from the end.
    pub(crate) fn place(&self, i: usize, size: usize) -> Option<usize> {
        let value = self.at(i);
        let at = if value < 0 { value + size as i64 } else { value };
        usize::try_from(at).ok().filter(|at| *at < size)
    }
}

/// An index, the one of this slot, that is outside of its dimension.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Outside(pub(crate) usize);

/// Copies runs of `size` bytes: slot `i` of `dst` is run `place(i)` of `src`.
///
/// # Panics
/// If a place lies outside of `src`.
pub(crate) fn pick(
    pool: &mut Pool,
    size: usize,
    src: &[u8],
    dst: &mut [u8],
    place: impl Fn(usize) -> Option<usize> + Sync,
) -> Result<(), Outside> {
    let slots = dst.len() / size;
    let outside = AtomicUsize::new(usize::MAX);
    let out = Shards::new(dst);
    pool.run(&|share| {
        let slots = share.part(slots);
        // SAFETY: the slots of this thread, within `dst`.
        let dst =
            unsafe { std::slice::from_raw_parts_mut(out.get().add(slots.start * size), slots.len() * size) };
        let failed = match size {
            1 => fixed::<1>(src, dst, slots, &place),
            2 => fixed::<2>(src, dst, slots, &place),
            4 => fixed::<4>(src, dst, slots, &place),
            8 => fixed::<8>(src, dst, slots, &place),
            _ => dst.chunks_exact_mut(size).zip(slots).find_map(|(slot, i)| match place(i) {
                Some(at) => {
                    slot.copy_from_slice(&src[at * size..][..size]);
                    None
                }
                None => Some(i),
            }),
        };
        if let Some(slot) = failed {
            outside.fetch_min(slot, Ordering::Relaxed);
        }
    });
    match outside.into_inner() {
        usize::MAX => Ok(()),
        slot => Err(Outside(slot)),
    }
}

/// The slot whose place is outside, if any.
fn fixed<const SIZE: usize>(
    src: &[u8],
    dst: &mut [u8],
    slots: Range<usize>,
    place: &impl Fn(usize) -> Option<usize>,
) -> Option<usize> {
    let src = src.as_chunks::<SIZE>().0;
    dst.as_chunks_mut::<SIZE>().0.iter_mut().zip(slots).find_map(|(slot, i)| match place(i) {
        Some(at) => {
            *slot = src[at];
            None
        }
        None => Some(i),
    })
}

/// A number whose order is that of an unsigned one.
pub(crate) trait Key: bytemuck::Pod + Send + Sync {
    /// The number. Zeros of both signs are equal; NaN is beyond infinity.
    fn key(self) -> u32;
}

impl Key for f32 {
    fn key(self) -> u32 {
        let bits = (self + 0.0).to_bits();
        if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
    }
}

impl Key for i32 {
    fn key(self) -> u32 {
        self as u32 ^ 1 << 31
    }
}

impl Key for u8 {
    fn key(self) -> u32 {
        u32::from(self)
    }
}

/// Which elements are kept, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Best {
    /// Elements before, along and behind the axis.
    pub(crate) sizes: [usize; 3],
    /// How many are kept.
    pub(crate) count: usize,
    /// The largest.
    pub(crate) largest: bool,
    /// In the order of their positions instead of their own.
    pub(crate) by_position: bool,
    /// Threads that can have memory to work in.
    pub(crate) threads: usize,
}

impl Best {
    /// The f32 elements of memory that [`Best::run`] works in.
    pub(crate) fn scratch(&self) -> usize {
        self.threads * self.sizes[1] * 2
    }

    /// The best of each line and, by `position`, where they stand. Of equal ones the first come first.
    ///
    /// # Panics
    /// If a slice is not as long as the sizes say.
    pub(crate) fn run<T: Key, P: Copy + Send + Sync>(
        &self,
        pool: &mut Pool,
        src: &[T],
        dst: &mut [T],
        positions: &mut [P],
        scratch: &mut [u64],
        position: impl Fn(u32) -> P + Sync,
    ) {
        let Self { sizes: [outer, len, inner], count: kept, .. } = *self;
        assert!(src.len() == outer * len * inner && scratch.len() >= self.threads * len);
        assert!(dst.len() == outer * kept * inner && positions.len() == dst.len() && kept <= len);
        let (out, places, scratch) = (Shards::new(dst), Shards::new(positions), Shards::new(scratch));
        pool.run(&|share| {
            let Some(share) = share.among(self.threads) else { return };
            // SAFETY: each of the threads has memory of its own, of a line.
            let keys = unsafe { std::slice::from_raw_parts_mut(scratch.get().add(share.index() * len), len) };
            for line in share.part(outer * inner) {
                let (o, i) = (line / inner, line % inner);
                let at = |position: usize| (o * len + position) * inner + i;
                for (position, slot) in keys.iter_mut().enumerate() {
                    let key = src[at(position)].key();
                    // Of equal ones the first has the least number.
                    *slot = u64::from(if self.largest { !key } else { key }) << 32 | position as u64;
                }
                if kept < len {
                    keys.select_nth_unstable(kept);
                }
                let best = &mut keys[..kept];
                match self.by_position {
                    true => best.sort_unstable_by_key(|key| *key as u32),
                    false => best.sort_unstable(),
                }
                for (j, key) in best.iter().enumerate() {
                    let to = (o * kept + j) * inner + i;
                    // SAFETY: an element of the line's answer, within both and this thread's own.
                    unsafe {
                        out.get().add(to).write(src[at(*key as u32 as usize)]);
                        places.get().add(to).write(position(*key as u32));
                    }
                }
            }
        });
    }
}

/// Sums along the middle of `[outer, len, inner]` up to each element, without it if `exclusive`, from the end if
/// `reverse`. `widen` makes the numbers that are added, `narrow` the output's of them.
///
/// # Panics
/// If the slices are not of that shape.
pub(crate) fn running_sums<T: Copy + Send + Sync, W: Copy + Default>(
    pool: &mut Pool,
    [outer, len, inner]: [usize; 3],
    [exclusive, reverse]: [bool; 2],
    (src, dst): (&[T], &mut [T]),
    add: impl Fn(W, T) -> W + Sync,
    narrow: impl Fn(W) -> T + Sync,
) {
    assert!(src.len() == outer * len * inner && dst.len() == src.len());
    /// Lines beside each other that are summed together.
    const BESIDE: usize = 64;
    let groups = inner.div_ceil(BESIDE);
    let out = Shards::new(dst);
    pool.run(&|share| {
        for at in share.part(outer * groups) {
            let first = at % groups * BESIDE;
            let width = BESIDE.min(inner - first);
            let mut sums = [W::default(); BESIDE];
            for step in 0..len {
                let step = if reverse { len - 1 - step } else { step };
                let start = (at / groups * len + step) * inner + first;
                // SAFETY: elements of the group's lines, within `dst` and this thread's own.
                let to = unsafe { std::slice::from_raw_parts_mut(out.get().add(start), width) };
                for ((to, from), sum) in to.iter_mut().zip(&src[start..]).zip(&mut sums) {
                    let after = add(*sum, *from);
                    *to = narrow(if exclusive { *sum } else { after });
                    *sum = after;
                }
            }
        }
    });
}
