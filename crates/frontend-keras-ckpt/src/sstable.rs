//! LevelDB-style sorted tables: prefix-compressed keys in checksummed blocks, found through an index block.
//!
//! A table ends in a 48-byte footer: the handles (offset, size; varints) of the meta-index and the index block,
//! zeros, and a magic number. A block is followed by a byte that names its compression and a masked crc32c over
//! both. Inside, an entry is `shared, unshared, value length` as varints, the unshared end of its key, its value;
//! offsets of the entries that share nothing (restarts) and their count close the block.

use crate::{checksum, checksum::ChecksumError, varint};
use bytes::Bytes;
use std::sync::atomic::{AtomicBool, Ordering};
use thiserror::Error;

const FOOTER: usize = 48;
const TRAILER: usize = 5;
const MAGIC: u64 = 0xdb47_7524_8b80_fb57;

/// A key may share its beginning with the one before, so that a small block can claim keys without end. Writers
/// store a key whole every 16 entries; blocks whose keys grow beyond this multiple of the block are refused.
const MAX_KEY_EXPANSION: usize = 64;

/// Snappy's densest element copies 64 bytes and takes 3.
const MAX_SNAPPY_EXPANSION: usize = 22;

/// What is wrong with a sorted table. Offsets are in bytes: of a block in its file, of an entry in its block.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TableError {
    /// Shorter than a footer.
    #[error("{found} bytes are too few for a table, its footer alone takes {FOOTER}: the file is truncated")]
    TooShort {
        /// The file's length.
        found: usize,
    },
    /// The last eight bytes are not a table's.
    #[error("the last 8 bytes are {found:#018x}, a table ends in {MAGIC:#018x}: not a table, or truncated")]
    Magic {
        /// What stands there.
        found: u64,
    },
    /// Footer or index entry hold no block handle.
    #[error("no block handle (two varints) in the {place}")]
    Handle {
        /// Footer or index block.
        place: &'static str,
    },
    /// A block reaches beyond the file, or into the block before.
    #[error(
        "block at {offset} of {size} bytes lies outside {start}..{end}, what is left for it: truncated or damaged"
    )]
    BlockRange {
        /// Where the block begins.
        offset: usize,
        /// Its length without trailer.
        size: usize,
        /// The first byte that it may use.
        start: usize,
        /// The end of what it may use.
        end: usize,
    },
    /// A block's checksum is wrong.
    #[error("block at {offset}: {source}")]
    Checksum {
        /// Where the block begins.
        offset: usize,
        /// Both checksums.
        source: ChecksumError,
    },
    /// Neither raw nor snappy.
    #[error("block at {offset} has compression {found}, known are 0 (none) and 1 (snappy)")]
    Compression {
        /// Where the block begins.
        offset: usize,
        /// The compression byte.
        found: u8,
    },
    /// Snappy data that is none.
    #[error("block at {offset}: {source}")]
    Snappy {
        /// Where the block begins.
        offset: usize,
        /// What the decoder says.
        source: snap::Error,
    },
    /// A snappy block that claims more than snappy can hold.
    #[error(
        "block at {offset} claims {claimed} bytes out of {stored} compressed ones, more than snappy can hold"
    )]
    SnappyLength {
        /// Where the block begins.
        offset: usize,
        /// The claim.
        claimed: usize,
        /// Compressed bytes.
        stored: usize,
    },
    /// No room for the restart offsets that the block claims.
    #[error("block at {offset} of {size} bytes claims {restarts} restart offsets")]
    Restarts {
        /// Where the block begins.
        offset: usize,
        /// Its length.
        size: usize,
        /// Claimed restarts.
        restarts: u32,
    },
    /// An entry that does not fit its block or shares more than the key before has.
    #[error(
        "block at {offset}: the entry at byte {entry} shares more than the key before it, or reaches past the block"
    )]
    Entry {
        /// Where the block begins.
        offset: usize,
        /// Where in the block the entry begins.
        entry: usize,
    },
    /// Keys do not ascend.
    #[error("block at {offset}: the key at byte {entry} does not come after the one before it")]
    Order {
        /// Where the block begins.
        offset: usize,
        /// Where in the block the entry begins.
        entry: usize,
    },
    /// Keys grow out of proportion to the block.
    #[error("block at {offset}: keys grow beyond {MAX_KEY_EXPANSION} times the block's {size} bytes")]
    KeyExpansion {
        /// Where the block begins.
        offset: usize,
        /// Its length.
        size: usize,
    },
}

/// A sorted table over shared bytes. Opening reads the index block; data blocks are read when asked for.
#[derive(Debug)]
pub(crate) struct Table {
    file: Bytes,
    blocks: Vec<Block>,
}

#[derive(Debug)]
struct Block {
    /// No key in the block comes after this one.
    last_key: Vec<u8>,
    handle: Handle,
    verified: AtomicBool,
}

#[derive(Debug, Clone, Copy)]
struct Handle {
    offset: usize,
    size: usize,
}

/// One key with its value, a view of the table unless the block was compressed.
pub(crate) struct Entry {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Bytes,
}

/// True when the bytes end as a table does.
pub(crate) fn has_magic(file: &[u8]) -> bool {
    file.last_chunk().is_some_and(|tail| u64::from_le_bytes(*tail) == MAGIC)
}

impl Table {
    pub(crate) fn open(file: Bytes) -> Result<Self, TableError> {
        let Some(footer) = file.len().checked_sub(FOOTER) else {
            return Err(TableError::TooShort { found: file.len() });
        };
        let tail = file.last_chunk().expect("longer than a footer");
        let magic = u64::from_le_bytes(*tail);
        if magic != MAGIC {
            return Err(TableError::Magic { found: magic });
        }
        let mut handles = file.slice(footer..file.len() - 8);
        let read = Handle::take(&mut handles).and_then(|_meta| Handle::take(&mut handles));
        let index = read.ok_or(TableError::Handle { place: "footer" })?;
        index.end_within(0, footer)?;
        let content = index.content(&file, &AtomicBool::new(false))?;

        let mut blocks = Vec::new();
        let mut end = 0;
        for entry in Entries::new(content, index.offset)? {
            let Entry { key, mut value } = entry?;
            let handle = Handle::take(&mut value).ok_or(TableError::Handle { place: "index block" })?;
            // Blocks follow each other, so that no byte can be claimed by two of them.
            end = handle.end_within(end, footer)?;
            blocks.push(Block { last_key: key, handle, verified: AtomicBool::new(false) });
        }
        Ok(Self { file, blocks })
    }

    /// Every entry, in the order of keys.
    pub(crate) fn entries(&self) -> Result<Vec<Entry>, TableError> {
        let mut all = Vec::new();
        for block in &self.blocks {
            for entry in self.block(block)? {
                all.push(entry?);
            }
        }
        Ok(all)
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, TableError> {
        let at = self.blocks.partition_point(|block| block.last_key.as_slice() < key);
        let Some(block) = self.blocks.get(at) else { return Ok(None) };
        for entry in self.block(block)? {
            let entry = entry?;
            if entry.key == key {
                return Ok(Some(entry.value));
            }
        }
        Ok(None)
    }

    fn block(&self, block: &Block) -> Result<Entries, TableError> {
        let content = block.handle.content(&self.file, &block.verified)?;
        Entries::new(content, block.handle.offset)
    }
}

impl Handle {
    fn take(bytes: &mut Bytes) -> Option<Self> {
        Some(Self { offset: varint::take_usize(bytes)?, size: varint::take_usize(bytes)? })
    }

    /// Where the block and its trailer end, when that lies within `start..end`.
    fn end_within(self, start: usize, end: usize) -> Result<usize, TableError> {
        let Self { offset, size } = self;
        let stop = offset.checked_add(size).and_then(|stop| stop.checked_add(TRAILER));
        stop.filter(|stop| offset >= start && *stop <= end).ok_or(TableError::BlockRange {
            offset,
            size,
            start,
            end,
        })
    }

    /// The block's entries and restarts, decompressed. The handle must lie within the file.
    fn content(self, file: &Bytes, verified: &AtomicBool) -> Result<Bytes, TableError> {
        let Self { offset, size } = self;
        let raw = file.slice(offset..offset + size);
        let trailer = &file[offset + size..offset + size + TRAILER];
        if !verified.load(Ordering::Relaxed) {
            let stored = u32::from_le_bytes(*trailer.last_chunk().expect("a trailer has five bytes"));
            checksum::compare(crc32c::crc32c(&file[offset..=offset + size]), stored)
                .map_err(|source| TableError::Checksum { offset, source })?;
            verified.store(true, Ordering::Relaxed);
        }
        match trailer[0] {
            0 => Ok(raw),
            1 => {
                let snappy = |source| TableError::Snappy { offset, source };
                let claimed = snap::raw::decompress_len(&raw).map_err(snappy)?;
                if claimed > size.saturating_mul(MAX_SNAPPY_EXPANSION) {
                    return Err(TableError::SnappyLength { offset, claimed, stored: size });
                }
                Ok(snap::raw::Decoder::new().decompress_vec(&raw).map_err(snappy)?.into())
            }
            found => Err(TableError::Compression { offset, found }),
        }
    }
}

/// The entries of one block, front to back.
struct Entries {
    rest: Bytes,
    /// Length of the entries, without the restarts.
    len: usize,
    offset: usize,
    key: Vec<u8>,
    key_budget: usize,
    first: bool,
}

impl Entries {
    fn new(mut content: Bytes, offset: usize) -> Result<Self, TableError> {
        let size = content.len();
        let restarts = content.last_chunk().map_or(u32::MAX, |tail| u32::from_le_bytes(*tail));
        let tail = usize::try_from(restarts).ok().and_then(|n| n.checked_add(1)?.checked_mul(4));
        let Some(len) = tail.and_then(|tail| size.checked_sub(tail)) else {
            return Err(TableError::Restarts { offset, size, restarts });
        };
        content.truncate(len);
        let key_budget = size.saturating_mul(MAX_KEY_EXPANSION);
        Ok(Self { rest: content, len, offset, key: Vec::new(), key_budget, first: true })
    }

    fn take(&mut self) -> Result<Entry, TableError> {
        let (offset, entry) = (self.offset, self.len - self.rest.len());
        let rest = &mut self.rest;
        let mut fields = || {
            let shared = varint::take_usize(rest)?;
            let unshared = varint::take_usize(rest)?;
            let value = varint::take_usize(rest)?;
            Some((shared, varint::take_bytes(rest, unshared)?, varint::take_bytes(rest, value)?))
        };
        let Some((shared, unshared, value)) = fields().filter(|(shared, ..)| *shared <= self.key.len())
        else {
            return Err(TableError::Entry { offset, entry });
        };
        // The shared part is equal, so the rest decides; only the table's first key may be empty.
        if !self.first && unshared.as_ref() <= &self.key[shared..] {
            return Err(TableError::Order { offset, entry });
        }
        self.first = false;
        self.key.truncate(shared);
        self.key.extend_from_slice(&unshared);
        let left = self.key_budget.checked_sub(self.key.len());
        self.key_budget = left.ok_or(TableError::KeyExpansion { offset, size: self.len })?;
        Ok(Entry { key: self.key.clone(), value })
    }
}

/// Ends after the first error.
impl Iterator for Entries {
    type Item = Result<Entry, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let entry = self.take();
        if entry.is_err() {
            self.rest.clear();
        }
        Some(entry)
    }
}
