//! Version 2, the tensor bundle: an index table, and data files that hold the raw bytes.

use crate::{
    Error, HeaderError, VariableError, checksum, locate,
    ordered_code::slice_key,
    proto::{BundleEntryProto, BundleHeaderProto, TensorSliceProto, bundle_header_proto::Endianness},
    sstable::{Entry, Table},
    variable::{self, Part, Variable},
    varint,
};
use bytes::Bytes;
use prost::Message;
use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

/// The newest reader version that this reader stands for.
const VERSION: i32 = 1;

/// The data files and where in them each part lies.
#[derive(Debug)]
pub(crate) struct Bundle {
    shards: HashMap<i32, Shard>,
    stored: Vec<Stored>,
}

#[derive(Debug)]
struct Shard {
    path: PathBuf,
    bytes: Bytes,
}

/// The bytes of one part.
#[derive(Debug)]
struct Stored {
    shard: i32,
    offset: i64,
    size: i64,
    /// Masked.
    crc32c: u32,
    verified: AtomicBool,
}

impl Bundle {
    /// Reads the index, and maps the data files that its entries name.
    pub(crate) fn open(index: &Path, prefix: &Path) -> Result<(Self, Vec<Variable>), Error> {
        let io = |source| Error::Io { path: index.into(), source };
        let damaged = |source| Error::Table { path: index.into(), source };
        let file = ir::map_file(index).map_err(io)?;
        let entries = Table::open(file).and_then(|table| table.entries()).map_err(damaged)?;
        let num_shards =
            num_shards(entries.first()).map_err(|source| Error::Header { path: index.into(), source })?;

        let mut bundle = Self { shards: HashMap::new(), stored: Vec::new() };
        let mut variables = Vec::new();
        let mut slices = HashMap::new();
        let mut partitioned = Vec::new();
        for entry in entries.into_iter().skip(1) {
            // Keys of slices begin with a zero, no variable's name does.
            let is_slice = entry.key.first() == Some(&0);
            let name = String::from_utf8_lossy(&entry.key).into_owned();
            let failed = |source| Error::Variable { path: index.into(), name: name.clone(), source };
            if !is_slice && std::str::from_utf8(&entry.key).is_err() {
                return Err(failed(VariableError::Name));
            }
            let value = BundleEntryProto::decode(entry.value).map_err(|error| failed(error.into()))?;
            let shape = variable::dimensions(value.shape.as_ref()).map_err(failed)?;
            if value.slices.is_empty() {
                let shard = value.shard_id;
                if !(0..num_shards).contains(&shard) {
                    return Err(failed(VariableError::Shard { shard, shards: num_shards }));
                }
                bundle.map_shard(shard, num_shards, index, prefix)?;
            }
            if is_slice {
                slices.insert(entry.key, value);
                continue;
            }
            let mut parts = Vec::new();
            if value.slices.is_empty() {
                parts.push(Part::whole(&shape, bundle.stored.len()));
                bundle.stored.push(Stored::new(&value));
            } else {
                partitioned.push((variables.len(), value.slices));
            }
            variables.push(Variable { key: name, full_name: None, data_type: value.dtype, shape, parts });
        }
        for (at, listed) in partitioned {
            let whole: &mut Variable = &mut variables[at];
            let parts = bundle.slices_of(whole, &listed, &slices);
            whole.parts = parts.map_err(|source| Error::Variable {
                path: index.into(),
                name: whole.key.clone(),
                source,
            })?;
        }
        Ok((bundle, variables))
    }

    fn map_shard(&mut self, shard: i32, shards: i32, index: &Path, prefix: &Path) -> Result<(), Error> {
        if self.shards.contains_key(&shard) {
            return Ok(());
        }
        let path = locate::appended(prefix, &format!(".data-{shard:05}-of-{shards:05}"));
        let bytes = ir::map_file(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::MissingShard { path: index.into(), shard: path.clone() },
            _ => Error::Io { path: path.clone(), source },
        })?;
        self.shards.insert(shard, Shard { path, bytes });
        Ok(())
    }

    /// The parts of a partitioned variable, from the slices that its entry lists.
    fn slices_of(
        &mut self,
        whole: &Variable,
        listed: &[TensorSliceProto],
        slices: &HashMap<Vec<u8>, BundleEntryProto>,
    ) -> Result<Vec<Part>, VariableError> {
        let listed: Vec<_> = listed.iter().map(variable::extents).collect();
        let part = |(at, slice): (usize, &Vec<_>)| Part::of_slice(slice, &whole.shape, at);
        let mut parts = listed.iter().enumerate().map(part).collect::<Result<Vec<_>, _>>()?;
        // First, since it leaves no more slices than the table can have keys.
        variable::order_parts(&mut parts, &whole.shape)?;
        for part in &mut parts {
            let slice = &listed[part.place];
            let value = slices
                .get(&slice_key(&whole.key, slice))
                .filter(|value| value.slices.is_empty() && value.dtype == whole.data_type)
                .ok_or_else(|| VariableError::MissingSlice { slice: variable::slice_text(slice) })?;
            part.place = self.stored.len();
            self.stored.push(Stored::new(value));
        }
        Ok(parts)
    }

    /// Bytes of all data files.
    pub(crate) fn stored_len(&self) -> usize {
        self.shards.values().fold(0, |sum, shard| sum.saturating_add(shard.bytes.len()))
    }

    /// The bytes of a part as they lie in the data file, which the checksum does not cover for strings.
    fn raw(&self, place: usize) -> Result<(&Shard, Bytes), VariableError> {
        let Stored { shard, offset, size, .. } = self.stored[place];
        let file = &self.shards[&shard];
        let range = || {
            let (start, len) = (usize::try_from(offset).ok()?, usize::try_from(size).ok()?);
            start.checked_add(len).filter(|end| *end <= file.bytes.len()).map(|end| start..end)
        };
        match range() {
            Some(range) => Ok((file, file.bytes.slice(range))),
            None => {
                Err(VariableError::Range { file: file.path.clone(), offset, size, len: file.bytes.len() })
            }
        }
    }

    /// The bytes of a part of a tensor, a view of the data file. The first read verifies the checksum.
    pub(crate) fn read(&self, place: usize) -> Result<Bytes, VariableError> {
        let (file, bytes) = self.raw(place)?;
        self.verify(place, file, || crc32c::crc32c(&bytes))?;
        Ok(bytes)
    }

    /// The elements of a string tensor: all lengths as varints, their checksum, then all bytes.
    pub(crate) fn read_strings(&self, place: usize, count: usize) -> Result<Vec<Bytes>, VariableError> {
        let (file, bytes) = self.raw(place)?;
        let size = bytes.len();
        let mut rest = bytes;
        let mismatch = || VariableError::Strings { count, size };
        // A length takes a byte at least.
        if count > size {
            return Err(mismatch());
        }
        let mut crc = 0;
        let mut lengths = Vec::with_capacity(count);
        for _ in 0..count {
            let length = varint::take_u64(&mut rest).ok_or_else(mismatch)?;
            // Lengths are part of the checksum as integers, of 32 bits where that is enough.
            crc = match u32::try_from(length) {
                Ok(short) => crc32c::crc32c_append(crc, &short.to_le_bytes()),
                Err(_) => crc32c::crc32c_append(crc, &length.to_le_bytes()),
            };
            lengths.push(usize::try_from(length).map_err(|_| mismatch())?);
        }
        if count > 0 {
            let stored = varint::take_bytes(&mut rest, 4).ok_or_else(mismatch)?;
            crc = crc32c::crc32c_append(crc, &stored);
        }
        self.verify(place, file, || crc32c::crc32c_append(crc, &rest))?;
        let strings = lengths.into_iter().map(|length| varint::take_bytes(&mut rest, length));
        let strings: Option<Vec<_>> = strings.collect();
        strings.filter(|_| rest.is_empty()).ok_or_else(mismatch)
    }

    fn verify(&self, place: usize, file: &Shard, crc: impl Fn() -> u32) -> Result<(), VariableError> {
        let stored = &self.stored[place];
        if stored.verified.load(Ordering::Relaxed) {
            return Ok(());
        }
        checksum::compare(crc(), stored.crc32c).map_err(|source| VariableError::Checksum {
            file: file.path.clone(),
            offset: stored.offset.unsigned_abs(),
            source,
        })?;
        stored.verified.store(true, Ordering::Relaxed);
        Ok(())
    }
}

impl Stored {
    fn new(value: &BundleEntryProto) -> Self {
        let BundleEntryProto { shard_id: shard, offset, size, crc32c, .. } = *value;
        Self { shard, offset, size, crc32c, verified: AtomicBool::new(false) }
    }
}

/// How many data files the header, the entry of the empty key, claims.
fn num_shards(first: Option<&Entry>) -> Result<i32, HeaderError> {
    let header = first.filter(|entry| entry.key.is_empty()).ok_or(HeaderError::Missing)?;
    let header = BundleHeaderProto::decode(header.value.clone())?;
    if header.endianness() == Endianness::Big {
        return Err(HeaderError::BigEndian);
    }
    match header.version.map_or(0, |version| version.min_consumer) {
        consumer if consumer > VERSION => Err(HeaderError::Version(consumer)),
        _ if header.num_shards < 1 => Err(HeaderError::Shards(header.num_shards)),
        _ => Ok(header.num_shards),
    }
}
