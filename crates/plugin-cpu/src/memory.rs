//! Memory for much data: zeroed, and on huge pages where the system offers them, because the first touch of so many
//! small pages takes longer than packing weights does.

use bytemuck::Pod;
use ir::{ALIGNMENT, Bytes};
use memmap2::MmapMut;
use std::{
    ops::{Deref, DerefMut},
    ptr::NonNull,
    sync::{Arc, Mutex, PoisonError, Weak},
};

/// Bytes of a huge page.
const HUGE: usize = 2 << 20;
/// Bytes that one region reserves for many small buffers; those that nobody touches take no memory.
const REGION: usize = 64 << 20;

/// Zeroed memory straight from the system; from [`HUGE`] bytes on it starts at a huge page.
pub(crate) struct Region {
    map: MmapMut,
    start: usize,
    len: usize,
}

impl Region {
    /// So many zero bytes.
    ///
    /// # Panics
    /// If the system has no memory.
    pub(crate) fn zeroed(len: usize) -> Self {
        let slack = if len < HUGE { 0 } else { HUGE };
        let map = MmapMut::map_anon(len + slack).expect("the system has memory");
        let start = if slack == 0 { 0 } else { map.as_ptr().align_offset(HUGE) };
        // Without huge pages everything works, slower.
        #[cfg(target_os = "linux")]
        if slack != 0 {
            _ = map.advise(memmap2::Advice::HugePage);
        }
        Self { map, start, len }
    }
}

impl Deref for Region {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.map[self.start..][..self.len]
    }
}

impl DerefMut for Region {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.map[self.start..][..self.len]
    }
}

/// The region that buffers are cut from, and how much of it they have. It goes with the last of them.
struct Open {
    base: NonNull<u8>,
    taken: usize,
    region: Weak<Region>,
}

// SAFETY: `base` is only used to cut parts that nobody has yet, of a region that lives.
unsafe impl Send for Open {}

static OPEN: Mutex<Option<Open>> = Mutex::new(None);

/// What keeps the memory of a [`Packed`].
enum Owner {
    /// A region that many share.
    Region { _keep: Arc<Region> },
    /// Bytes that nobody may write: those of a mapped file.
    Bytes { _keep: Bytes },
}

/// Numbers that stay as long as a model does: packed weights, above all. They start on a cache line; small ones
/// share huge pages.
pub(crate) struct Packed<T> {
    start: NonNull<T>,
    len: usize,
    owner: Owner,
}

// SAFETY: a `Packed` owns its part of the region as a `Vec` owns its elements; shared bytes are only read.
unsafe impl<T: Send> Send for Packed<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Packed<T> {}

impl<T: Pod> Packed<T> {
    /// So many zeros.
    ///
    /// # Panics
    /// If the system has no memory.
    pub(crate) fn zeroed(len: usize) -> Self {
        const { assert!(align_of::<T>() <= ALIGNMENT) };
        let bytes = len.checked_mul(size_of::<T>()).and_then(|n| n.checked_next_multiple_of(ALIGNMENT));
        let bytes = bytes.expect("a length in memory");
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = &mut *open
            && let Some(region) = open.region.upgrade()
            && bytes <= region.len() - open.taken
        {
            // SAFETY: within the region, which lives.
            let start = unsafe { open.base.add(open.taken) }.cast();
            open.taken += bytes;
            return Self { start, len, owner: Owner::Region { _keep: region } };
        }
        let mut region = Region::zeroed(bytes.max(REGION));
        let base = NonNull::from(&mut *region).cast::<u8>();
        let region = Arc::new(region);
        if bytes < REGION {
            *open = Some(Open { base, taken: bytes, region: Arc::downgrade(&region) });
        }
        Self { start: base.cast(), len, owner: Owner::Region { _keep: region } }
    }

    /// Numbers that were packed before, used where they lie if they are aligned. `None` if they are no whole numbers.
    pub(crate) fn stored(bytes: &Bytes) -> Option<Self> {
        if !bytes.len().is_multiple_of(size_of::<T>()) {
            return None;
        }
        let len = bytes.len() / size_of::<T>();
        if bytes.as_ptr().align_offset(ALIGNMENT) != 0 {
            let mut packed = Self::zeroed(len);
            bytemuck::cast_slice_mut(&mut packed).copy_from_slice(bytes);
            return Some(packed);
        }
        let start = NonNull::new(bytes.as_ptr().cast_mut())?.cast();
        Some(Self { start, len, owner: Owner::Bytes { _keep: bytes.clone() } })
    }
}

impl<T: Pod> From<&[T]> for Packed<T> {
    fn from(values: &[T]) -> Self {
        let mut packed = Self::zeroed(values.len());
        packed.copy_from_slice(values);
        packed
    }
}

impl<T> Deref for Packed<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `zeroed` cut these bytes of the region for this buffer alone, or they are bytes that `owner` keeps:
        // aligned, and any bits are a `T`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Packed<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        assert!(matches!(self.owner, Owner::Region { .. }), "stored numbers are only read");
        // SAFETY: a part of a region, as above; the buffer is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_zero_aligned_and_apart() {
        let mut buffers: Vec<Packed<f32>> = (0..300).map(|i| Packed::zeroed(i * 97)).collect();
        for (i, buffer) in buffers.iter_mut().enumerate() {
            assert!(buffer.iter().all(|x| *x == 0.0));
            assert_eq!((buffer.len(), buffer.as_ptr() as usize % ALIGNMENT), (i * 97, 0));
            buffer.fill(i as f32);
        }
        buffers.retain(|buffer| buffer.len() % 2 == 0);
        let late = Packed::<f32>::zeroed(REGION / 8);
        assert!(late.iter().all(|x| *x == 0.0));
        for buffer in &buffers {
            assert!(buffer.iter().all(|x| *x as usize * 97 == buffer.len()));
        }
    }

    #[test]
    fn stored_numbers_are_used_where_they_lie() {
        let numbers = Packed::<f32>::from(&[1.0, 2.0, 3.0][..]);
        let mut bytes = ir::aligned_zeros(12);
        bytes.copy_from_slice(bytemuck::cast_slice(&numbers));
        let bytes = Bytes::from_owner(bytes);
        let stored = Packed::<f32>::stored(&bytes).unwrap();
        assert_eq!((&stored[..], stored.as_ptr().cast()), (&numbers[..], bytes.as_ptr()));
        assert!(Packed::<f32>::stored(&bytes.slice(1..)).is_none());
        let moved = Packed::<f32>::stored(&bytes.slice(4..)).unwrap();
        assert_eq!(&moved[..], [2.0, 3.0]);
    }

    #[test]
    #[should_panic(expected = "only read")]
    fn stored_numbers_cannot_be_written() {
        let bytes = Bytes::from_owner(ir::aligned_zeros(8));
        Packed::<f32>::stored(&bytes).unwrap()[0] = 1.0;
    }

    #[test]
    fn large_regions_start_at_huge_pages() {
        for len in [0, 1, HUGE - 1, HUGE, 3 * HUGE + 5] {
            let mut region = Region::zeroed(len);
            assert_eq!(region.len(), len);
            assert!(len < HUGE || (region.as_ptr() as usize).is_multiple_of(HUGE));
            region.fill(1);
        }
    }
}
