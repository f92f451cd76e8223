//! The `.bin`: where each constant lies, and how the bytes get there.

use crate::ALIGNMENT;
use bytes::Bytes;
use std::{
    collections::HashMap,
    fmt,
    io::{self, Write},
};

/// The constants of an IR in the order of their places: each starts at a multiple of [`ALIGNMENT`], equal ones
/// share one place. The bytes are those of the model's tensors, not copies.
#[derive(Default)]
pub struct Weights {
    chunks: Vec<(u64, Bytes)>,
    places: HashMap<Bytes, u64>,
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
}
