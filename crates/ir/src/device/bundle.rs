//! Bytes in several parts: how exported models are written that hold others.
//!
//! | part | what |
//! |---|---|
//! | format | eight bytes: who wrote it, the last of them a version |
//! | parts | each at a multiple of [`ALIGNMENT`], so that devices may use them where they lie |
//! | table | offset, length and checksum of each part |
//! | head | what the parts are, in the words of who wrote them |
//! | end | how many parts there are, the head's length, a checksum of format, table, head and these two |
//!
//! All numbers are `u64`, little endian; checksums are XXH3. The table lies behind the parts, since how long they are
//! shows when they are written, and an export is a stream.

use crate::{ALIGNMENT, Bytes};
use std::io::{self, Write};
use thiserror::Error;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// Who writes a bundle; the last byte is the version.
pub type BundleFormat = [u8; 8];

const NUMBER: usize = size_of::<u64>();
const ROW: usize = 3 * NUMBER;
const END: usize = 3 * NUMBER;

/// Why bytes are no bundle.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum BundleError {
    /// They are something else.
    #[error("these bytes are not what it exports")]
    Foreign,
    /// They were written by another version.
    #[error("written in version {found} of its format, this is version {expected}: export the model anew")]
    Version {
        /// The version that wrote them.
        found: u8,
        /// The one that reads.
        expected: u8,
    },
    /// They are cut off, or changed.
    #[error("the exported model of {len} bytes is cut off or damaged: the {what} is wrong; export it anew")]
    Damaged {
        /// The part that is wrong.
        what: String,
        /// How many bytes there are.
        len: usize,
    },
}

/// Writes a bundle: [`BundleWriter::begin`] a part, write it, and so on; [`BundleWriter::finish`] ends it.
pub struct BundleWriter<'w> {
    to: &'w mut dyn Write,
    format: BundleFormat,
    at: u64,
    /// Offsets, lengths and checksums of the parts that have ended.
    rows: Vec<[u64; 3]>,
    /// The part that is being written: where it began, and its checksum so far.
    open: Option<(u64, Box<Xxh3>)>,
}

impl<'w> BundleWriter<'w> {
    /// Begins a bundle.
    pub fn new(format: BundleFormat, to: &'w mut dyn Write) -> io::Result<Self> {
        to.write_all(&format)?;
        Ok(Self { to, format, at: format.len() as u64, rows: Vec::new(), open: None })
    }

    /// Begins the next part: what is written from now on.
    pub fn begin(&mut self) -> io::Result<()> {
        self.end();
        let gap = self.at.next_multiple_of(ALIGNMENT as u64) - self.at;
        self.to.write_all(&[0; ALIGNMENT][..gap as usize])?;
        self.at += gap;
        self.open = Some((self.at, Box::default()));
        Ok(())
    }

    fn end(&mut self) {
        self.rows.extend(self.open.take().map(|(offset, hash)| [offset, self.at - offset, hash.digest()]));
    }

    /// Ends the bundle.
    pub fn finish(mut self, head: &str) -> io::Result<()> {
        self.end();
        let mut last: Vec<u8> = self.rows.iter().flatten().flat_map(|number| number.to_le_bytes()).collect();
        last.extend(head.as_bytes());
        last.extend((self.rows.len() as u64).to_le_bytes());
        last.extend((head.len() as u64).to_le_bytes());
        last.extend(checksum(&self.format, &last).to_le_bytes());
        self.to.write_all(&last)?;
        self.to.flush()
    }
}

impl Write for BundleWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (_, hash) = self.open.as_mut().ok_or_else(|| io::Error::other("no part was begun"))?;
        let written = self.to.write(bytes)?;
        hash.update(&bytes[..written]);
        self.at += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

fn checksum(format: &BundleFormat, last: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(format);
    hash.update(last);
    hash.digest()
}

/// A bundle that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bundle {
    /// What its writer says of the parts.
    pub head: String,
    /// The parts.
    pub parts: Vec<BundlePart>,
}

/// A part of a bundle.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BundlePart {
    /// The bytes, where they lie; only [`BundlePart::verified`] has looked at them.
    pub bytes: Bytes,
    checksum: u64,
    index: usize,
}

impl BundlePart {
    /// The bytes, if they are as they were written: for parts that carry no checksum of their own.
    pub fn verified(&self) -> Result<&Bytes, BundleError> {
        if xxh3_64(&self.bytes) == self.checksum {
            return Ok(&self.bytes);
        }
        let what = format!("checksum of part {}", self.index);
        Err(BundleError::Damaged { what, len: self.bytes.len() })
    }
}

impl Bundle {
    /// True for bytes that begin as this format does, of whatever version.
    pub fn is_of(format: &BundleFormat, from: &[u8]) -> bool {
        from.starts_with(&format[..format.len() - 1])
    }

    /// Reads a bundle; the parts stay where they are.
    pub fn read(format: &BundleFormat, from: &Bytes) -> Result<Self, BundleError> {
        let damaged = |what: &str| BundleError::Damaged { what: what.to_owned(), len: from.len() };
        if !Self::is_of(format, from) {
            return Err(BundleError::Foreign);
        }
        let expected = format[format.len() - 1];
        match from.get(format.len() - 1) {
            Some(found) if *found == expected => {}
            Some(found) => return Err(BundleError::Version { found: *found, expected }),
            None => return Err(damaged("beginning")),
        }
        let number = |at: usize| {
            let bytes = from.get(at..at.checked_add(NUMBER)?)?;
            Some(u64::from_le_bytes(bytes.try_into().expect("as many bytes as a number has")))
        };
        let size = |at: usize| usize::try_from(number(at)?).ok();
        let read = || {
            let end = from.len().checked_sub(END)?;
            let (count, head) = (size(end)?, size(end + NUMBER)?);
            let table = end.checked_sub(head)?.checked_sub(count.checked_mul(ROW)?)?;
            let sum = checksum(format, from.get(table..end + 2 * NUMBER)?);
            (table >= format.len() && number(end + 2 * NUMBER) == Some(sum)).then_some((table, count, head))
        };
        let (table, count, head) = read().ok_or_else(|| damaged("table at the end"))?;
        let part = |index: usize| {
            let row = table + index * ROW;
            let (offset, len) = (size(row)?, size(row + NUMBER)?);
            let range = offset..offset.checked_add(len).filter(|end| *end <= table)?;
            Some(BundlePart { bytes: from.slice(range), checksum: number(row + 2 * NUMBER)?, index })
        };
        let parts = (0..count).map(part).collect::<Option<_>>().ok_or_else(|| damaged("place of a part"))?;
        let head = &from[table + count * ROW..][..head];
        let head = str::from_utf8(head).map_err(|_| damaged("text of the head"))?.to_owned();
        Ok(Self { head, parts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FORMAT: BundleFormat = *b"TESTING\x03";

    fn written(head: &str, parts: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut bundle = BundleWriter::new(FORMAT, &mut bytes).unwrap();
        for part in parts {
            bundle.begin().unwrap();
            part.chunks(3).for_each(|piece| bundle.write_all(piece).unwrap());
        }
        bundle.finish(head).unwrap();
        bytes
    }

    #[test]
    fn parts_come_back_aligned() {
        let parts: [&[u8]; 3] = [b"the first", b"", &[7; 200]];
        let bytes = Bytes::from(written("three", &parts));
        let bundle = Bundle::read(&FORMAT, &bytes).unwrap();
        assert_eq!(bundle.head, "three");
        assert_eq!(bundle.parts.len(), 3);
        for (found, part) in bundle.parts.iter().zip(parts) {
            assert_eq!(found.verified().unwrap(), part);
            assert_eq!((found.bytes.as_ptr() as usize - bytes.as_ptr() as usize) % ALIGNMENT, 0);
        }
        let none = Bundle::read(&FORMAT, &written("", &[]).into()).unwrap();
        assert_eq!((none.head.as_str(), none.parts.len()), ("", 0));
    }

    #[test]
    fn a_part_must_have_begun() {
        let mut bytes = Vec::new();
        let mut bundle = BundleWriter::new(FORMAT, &mut bytes).unwrap();
        assert!(bundle.write_all(b"x").is_err());
    }

    #[test]
    fn what_is_wrong_is_told() {
        let good = written("head", &[b"part"]);
        let read = |bytes: &[u8]| Bundle::read(&FORMAT, &Bytes::copy_from_slice(bytes));
        assert_eq!(read(b"PK"), Err(BundleError::Foreign));
        let mut newer = good.clone();
        newer[7] = 4;
        assert_eq!(read(&newer), Err(BundleError::Version { found: 4, expected: 3 }));
        assert!(matches!(read(&good[..7]), Err(BundleError::Damaged { .. })));
        for len in 8..good.len() {
            assert!(matches!(read(&good[..len]), Err(BundleError::Damaged { .. })), "{len}");
        }
        // A part may be damaged, which whoever wants to know asks; the rest is found at once.
        for at in 0..good.len() {
            let mut damaged = good.clone();
            damaged[at] ^= 4;
            let is_padding = (8..64).contains(&at);
            match read(&damaged) {
                Ok(bundle) => assert!(is_padding || bundle.parts[0].verified().is_err(), "byte {at}"),
                Err(_) => assert!(!is_padding && !(64..68).contains(&at), "byte {at}"),
            }
        }
    }

    proptest! {
        #[test]
        fn claims_with_a_right_checksum_never_reach_beyond_the_bytes(
            rows in prop::collection::vec((any::<u64>(), 0..200u64), 0..3),
            claims in prop::option::of((any::<u64>(), any::<u64>())),
            head in ".{0,20}",
        ) {
            let mut bytes = FORMAT.to_vec();
            bytes.resize(100, 1);
            let mut last = Vec::new();
            for (offset, len) in &rows {
                [offset % 250, *len, 0].iter().for_each(|number| last.extend(number.to_le_bytes()));
            }
            last.extend(head.as_bytes());
            let (count, len) = claims.unwrap_or((rows.len() as u64, head.len() as u64));
            last.extend(count.to_le_bytes());
            last.extend(len.to_le_bytes());
            last.extend(checksum(&FORMAT, &last).to_le_bytes());
            bytes.extend(last);
            if let Ok(bundle) = Bundle::read(&FORMAT, &bytes.into()) {
                prop_assert!(claims.is_none());
                prop_assert_eq!(bundle.head, head);
                for (part, (offset, len)) in bundle.parts.iter().zip(rows) {
                    prop_assert!(offset % 250 + len <= 100);
                    prop_assert_eq!(part.bytes.len() as u64, len);
                }
            }
        }
    }
}
