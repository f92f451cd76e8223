//! Writes sorted tables and protobuf messages byte by byte, for checkpoints that no writer would leave.

/// A protobuf message, field after field.
#[derive(Default, Clone)]
pub(crate) struct Message(pub(crate) Vec<u8>);

impl Message {
    pub(crate) fn int(mut self, field: u64, value: i64) -> Self {
        varint(&mut self.0, field << 3);
        varint(&mut self.0, value as u64);
        self
    }

    pub(crate) fn fixed32(mut self, field: u64, value: u32) -> Self {
        varint(&mut self.0, field << 3 | 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn bytes(mut self, field: u64, value: impl AsRef<[u8]>) -> Self {
        varint(&mut self.0, field << 3 | 2);
        varint(&mut self.0, value.as_ref().len() as u64);
        self.0.extend(value.as_ref());
        self
    }
}

impl AsRef<[u8]> for Message {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

pub(crate) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The shape of a tensor (`TensorShapeProto`).
pub(crate) fn shape(dims: &[i64]) -> Message {
    dims.iter().fold(Message::default(), |shape, dim| shape.bytes(2, Message::default().int(1, *dim)))
}

/// `TensorSliceProto` of (start, length) pairs; a negative length leaves the extent empty.
pub(crate) fn slice(extents: &[(i64, i64)]) -> Message {
    extents.iter().fold(Message::default(), |slice, (start, length)| {
        let extent = Message::default();
        slice.bytes(1, if *length < 0 { extent } else { extent.int(1, *start).int(2, *length) })
    })
}

/// The key of a slice; numbers below 64 take one byte.
pub(crate) fn slice_key(name: &str, extents: &[(i64, i64)]) -> Vec<u8> {
    let mut key = vec![0];
    key.extend(name.as_bytes());
    key.extend([0, 1]);
    key.extend(if extents.is_empty() { vec![0] } else { vec![1, extents.len() as u8] });
    for (start, length) in extents {
        assert!((0..64).contains(start) && (-1..64).contains(length));
        key.extend([0x80 | *start as u8, if *length < 0 { 0x7f } else { 0x80 | *length as u8 }]);
    }
    key
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Compression {
    None,
    Snappy,
}

/// A table under construction: raw blocks in file order, then the index.
pub(crate) struct Writer {
    pub(crate) file: Vec<u8>,
    pub(crate) compression: Compression,
    /// (last key, offset, size) of the blocks so far.
    pub(crate) blocks: Vec<(Vec<u8>, u64, u64)>,
}

impl Writer {
    pub(crate) fn new(compression: Compression) -> Self {
        Self { file: Vec::new(), compression, blocks: Vec::new() }
    }

    /// Appends a block of entries as they are, with restarts, trailer and checksum.
    pub(crate) fn block(&mut self, last_key: &[u8], entries: &[u8], restarts: &[u32]) {
        let mut content = entries.to_vec();
        for restart in restarts {
            content.extend(restart.to_le_bytes());
        }
        content.extend((restarts.len() as u32).to_le_bytes());
        self.raw_block(last_key, &content);
    }

    /// Appends a block of any content.
    pub(crate) fn raw_block(&mut self, last_key: &[u8], content: &[u8]) {
        let (stored, kind) = match self.compression {
            Compression::None => (content.to_vec(), 0),
            Compression::Snappy => (snap::raw::Encoder::new().compress_vec(content).unwrap(), 1),
        };
        self.sealed(last_key, &stored, kind);
    }

    /// Appends stored bytes under any compression byte.
    pub(crate) fn sealed(&mut self, last_key: &[u8], stored: &[u8], kind: u8) {
        self.blocks.push((last_key.to_vec(), self.file.len() as u64, stored.len() as u64));
        self.file.extend(stored);
        self.file.push(kind);
        let crc = crc32c::crc32c_append(crc32c::crc32c(stored), &[kind]);
        self.file.extend(masked(crc).to_le_bytes());
    }

    /// Writes index block and footer.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let mut index = Vec::new();
        for (key, offset, size) in std::mem::take(&mut self.blocks) {
            let mut handle = Vec::new();
            varint(&mut handle, offset);
            varint(&mut handle, size);
            entry(&mut index, 0, &key, &handle);
        }
        self.block(b"", &index, &[0]);
        let (_, offset, size) = self.blocks.pop().unwrap();
        self.footer(offset, size)
    }

    /// Writes a footer alone.
    pub(crate) fn footer(mut self, offset: u64, size: u64) -> Vec<u8> {
        let mut footer = Vec::new();
        for value in [0, 0, offset, size] {
            varint(&mut footer, value);
        }
        footer.resize(40, 0);
        self.file.extend(footer);
        self.file.extend(0xdb47_7524_8b80_fb57u64.to_le_bytes());
        self.file
    }
}

/// One entry of a block.
pub(crate) fn entry(out: &mut Vec<u8>, shared: u64, unshared: &[u8], value: &[u8]) {
    for number in [shared, unshared.len() as u64, value.len() as u64] {
        varint(out, number);
    }
    out.extend(unshared);
    out.extend(value);
}

/// Keys and values as the entries of a table: sorted, prefix-compressed, `per_block` to a block.
pub(crate) fn table(
    mut entries: Vec<(Vec<u8>, Vec<u8>)>,
    per_block: usize,
    compression: Compression,
) -> Vec<u8> {
    entries.sort();
    let mut writer = Writer::new(compression);
    for block in entries.chunks(per_block) {
        let (mut content, mut restarts, mut last): (_, Vec<u32>, &[u8]) = (Vec::new(), Vec::new(), &[]);
        for (i, (key, value)) in block.iter().enumerate() {
            let mut shared = key.iter().zip(last).take_while(|(a, b)| a == b).count();
            if i % 16 == 0 {
                restarts.push(content.len() as u32);
                shared = 0;
            }
            entry(&mut content, shared as u64, &key[shared..], value);
            last = key;
        }
        writer.block(&block.last().unwrap().0, &content, &restarts);
    }
    writer.finish()
}
