//! The `.bin`: where each constant lies, and how the bytes get there.

use crate::ALIGNMENT;
use bytes::Bytes;
use std::{
    collections::HashMap,
    fmt,
    io::{self, Write},
};
use xxhash_rust::xxh3::Xxh3DefaultBuilder;

/// The constants of an IR in the order of their places: each starts at a multiple of [`ALIGNMENT`], equal ones
/// share one place. The bytes are those of the model's tensors, not copies.
#[derive(Clone, Default)]
pub struct Weights {
    chunks: Vec<(u64, Bytes)>,
    places: HashMap<Bytes, u64, Xxh3DefaultBuilder>,
    end: u64,
}

impl Weights {
    /// The place of `bytes`: that of equal bytes, or a new one.
    pub(super) fn place(&mut self, bytes: &Bytes) -> u64 {
        // No bytes lie anywhere; the start of the file is always within it.
        if bytes.is_empty() {
            return 0;
        }
        if let Some(offset) = self.places.get(bytes) {
            return *offset;
        }
        let offset = self.end.next_multiple_of(ALIGNMENT as u64);
        self.places.insert(bytes.clone(), offset);
        self.chunks.push((offset, bytes.clone()));
        self.end = offset + bytes.len() as u64;
        offset
    }

    /// Bytes at their places in a file, by rising offset; `None` when they overlap, or lie in another order.
    pub fn from_chunks(chunks: Vec<(u64, Bytes)>) -> Option<Self> {
        let mut end = 0;
        for (offset, bytes) in &chunks {
            if *offset < end {
                return None;
            }
            end = offset.checked_add(bytes.len() as u64)?;
        }
        Some(Self { chunks, places: HashMap::default(), end })
    }

    /// The `size` bytes at `offset`, when one chunk holds them all.
    pub fn get(&self, offset: u64, size: u64) -> Option<Bytes> {
        let at = self.chunks.partition_point(|(start, _)| *start <= offset).checked_sub(1)?;
        let (start, bytes) = &self.chunks[at];
        let from = usize::try_from(offset - start).ok()?;
        let to = from.checked_add(usize::try_from(size).ok()?)?;
        (to <= bytes.len()).then(|| bytes.slice(from..to))
    }

    /// The places and their bytes.
    pub fn chunks(&self) -> impl Iterator<Item = (u64, &Bytes)> {
        self.chunks.iter().map(|(offset, bytes)| (*offset, bytes))
    }

    /// The length of the file.
    pub fn len(&self) -> u64 {
        self.end
    }

    /// True when there are no constants, or only empty ones.
    pub fn is_empty(&self) -> bool {
        self.end == 0
    }

    /// Writes the whole file, zeros between the chunks.
    pub fn write_to(&self, to: impl Write) -> io::Result<()> {
        self.write_watched(to, &mut |_, _| {})
    }

    /// The same; `progress` hears how many bytes of how many are written.
    pub(super) fn write_watched(
        &self,
        mut to: impl Write,
        progress: &mut dyn FnMut(u64, u64),
    ) -> io::Result<()> {
        let mut at = 0;
        for (offset, bytes) in self.chunks() {
            let gap = usize::try_from(offset - at).expect("a gap is shorter than the alignment");
            to.write_all(&[0; ALIGNMENT][..gap])?;
            to.write_all(bytes)?;
            at = offset + bytes.len() as u64;
            progress(at, self.end);
        }
        to.flush()
    }

    /// The whole file in memory.
    pub fn to_bytes(&self) -> Bytes {
        let mut all = Vec::with_capacity(usize::try_from(self.end).unwrap_or(0));
        self.write_to(&mut all).expect("memory takes every byte");
        all.into()
    }
}

/// A whole file.
impl From<Bytes> for Weights {
    fn from(file: Bytes) -> Self {
        Self { end: file.len() as u64, chunks: vec![(0, file)], places: HashMap::default() }
    }
}

/// How many there are, not what they hold.
impl fmt::Debug for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} constants in {} bytes", self.chunks.len(), self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bytes_share_an_aligned_place() {
        let mut weights = Weights::default();
        let (a, b) = (Bytes::from_static(b"abc"), Bytes::from_static(b"x"));
        assert_eq!(weights.place(&a), 0);
        assert_eq!(weights.place(&b), 64);
        assert_eq!(weights.place(&Bytes::from(b"abc".to_vec())), 0);
        assert_eq!(weights.place(&Bytes::new()), 0);
        let file = weights.to_bytes();
        assert_eq!((file.len(), weights.len()), (65, 65));
        assert_eq!((&file[..4], file[64]), (b"abc\0".as_slice(), b'x'));
    }

    #[test]
    fn bytes_are_found_within_one_chunk() {
        let (a, b) = (Bytes::from_static(b"abc"), Bytes::from_static(b"wxyz"));
        let far = 5 << 32;
        let weights = Weights::from_chunks(vec![(0, a.clone()), (far, b.clone())]).unwrap();
        assert_eq!(weights.len(), far + 4);
        assert_eq!(weights.get(far + 1, 2).unwrap(), "xy");
        assert_eq!(weights.get(0, 3).unwrap().as_ptr(), a.as_ptr());
        for (offset, size) in [(0, 4), (3, 1), (far + 1, 4), (u64::MAX, 1), (far, u64::MAX)] {
            assert_eq!(weights.get(offset, size), None, "{size} at {offset}");
        }
        assert!(Weights::from_chunks(vec![(4, a.clone()), (6, b.clone())]).is_none());
        assert!(Weights::from_chunks(vec![(u64::MAX, a)]).is_none());
        assert_eq!(Weights::from(b).get(1, 3).unwrap(), "xyz");
    }
}
