//! Compiled models as bytes: the model's IR, and its weights in the forms that kernels take. Whoever maps such a file
//! plans anew, which is quick, and packs nothing.
//!
//! | part | what |
//! |---|---|
//! | magic, version, instruction set | who wrote it: another version or instruction set is refused |
//! | head: length, checksum | the tables below |
//! | IR | the text of the `.xml`; place of the `.bin`, and of every constant in it, with its checksum |
//! | forms | node and output, scale, form, place, checksum of each |
//! | data | every part starts at a multiple of 64 bytes |
//!
//! All numbers are little endian; checksums are CRC-32C. Nothing is used unverified: forms and what plans read of the
//! constants at once, a constant of which only forms are needed when it is packed after all.

use crate::{
    isa::Isa,
    weights::{Key, Shelf},
};
use ir::{
    ALIGNMENT, Bytes, Model, NodeId, Op, Weights,
    device::{DeviceError, DeviceResult},
    extension::Extensions,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    io::{self, Write},
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use thiserror::Error;

const MAGIC: &[u8; 8] = b"TERRCPU\x01";
/// The longest table that is believed: names and places of forms, and the text of an IR.
const LONGEST_HEAD: u64 = 1 << 30;

/// What is wrong with an exported model.
#[derive(Debug, Error)]
pub(crate) enum ExportError {
    #[error("the bytes are not a model that this device exported")]
    Foreign,
    #[error("written by {found}, this is {expected}: export the model anew")]
    Build { found: String, expected: String },
    #[error("{what} ends after {found} of {expected} bytes: the file is cut off")]
    Short { what: &'static str, found: u64, expected: u64 },
    #[error("{what} at byte {at} is damaged: its checksum differs")]
    Damaged { what: String, at: u64 },
    #[error("the table of weights is damaged: {0}")]
    Table(&'static str),
    #[error(transparent)]
    Read(#[from] ir::ReadError),
    #[error(transparent)]
    Write(#[from] ir::WriteError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Version and instruction set: forms of weights are theirs.
fn build() -> String {
    format!("Terroir CPU {} for {}", env!("CARGO_PKG_VERSION"), Isa::best().name())
}

/// Where a part lies, from the start of the data.
#[derive(Clone, Copy)]
struct Part {
    offset: u64,
    len: u64,
    crc: u32,
}

/// The parts, one behind the other.
#[derive(Default)]
struct Layout {
    end: u64,
}

impl Layout {
    fn add(&mut self, len: u64, crc: u32) -> Part {
        let offset = self.end.next_multiple_of(ALIGNMENT as u64);
        self.end = offset + len;
        Part { offset, len, crc }
    }
}

/// Writes numbers and texts of a table.
#[derive(Default)]
struct Table(Vec<u8>);

impl Table {
    fn number(&mut self, number: u64) {
        self.0.extend(number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend(text.as_bytes());
    }

    fn part(&mut self, part: Part) {
        [part.offset, part.len, u64::from(part.crc)].into_iter().for_each(|number| self.number(number));
    }
}

/// Reads them back.
struct Rows<'a>(&'a [u8]);

impl<'a> Rows<'a> {
    fn bytes(&mut self, len: usize) -> Result<&'a [u8], ExportError> {
        let (own, rest) = self.0.split_at_checked(len).ok_or(ExportError::Table("it ends early"))?;
        self.0 = rest;
        Ok(own)
    }

    fn number(&mut self) -> Result<u64, ExportError> {
        Ok(u64::from_le_bytes(self.bytes(8)?.try_into().expect("eight bytes")))
    }

    fn size(&mut self) -> Result<usize, ExportError> {
        usize::try_from(self.number()?).map_err(|_| ExportError::Table("a size beyond this machine's"))
    }

    fn text(&mut self) -> Result<&'a str, ExportError> {
        let len = self.size()?;
        std::str::from_utf8(self.bytes(len)?).map_err(|_| ExportError::Table("a text is not UTF-8"))
    }

    fn part(&mut self) -> Result<Part, ExportError> {
        let [offset, len, crc] = [self.number()?, self.number()?, self.number()?];
        let crc = u32::try_from(crc).map_err(|_| ExportError::Table("a checksum of more than 32 bits"))?;
        Ok(Part { offset, len, crc })
    }
}

/// Writes a model and the forms of its weights, whose nodes are numbered as [`read`] will find them.
pub(crate) fn write(
    xml: &str,
    weights: &Weights,
    forms: &[(Key, Bytes)],
    to: &mut dyn Write,
) -> Result<(), ExportError> {
    let mut layout = Layout::default();
    let mut head = Table::default();
    head.text(xml);
    let bin = layout.add(weights.len(), 0);
    head.part(bin);
    head.number(weights.chunks().count() as u64);
    for (offset, bytes) in weights.chunks() {
        head.part(Part { offset, len: bytes.len() as u64, crc: crc32c::crc32c(bytes) });
    }
    head.number(forms.len() as u64);
    for (key, bytes) in forms {
        [key.node as u64, key.output as u64, key.scale].into_iter().for_each(|number| head.number(number));
        head.text(&key.form);
        head.part(layout.add(bytes.len() as u64, crc32c::crc32c(bytes)));
    }

    let mut start = Table(MAGIC.to_vec());
    start.text(&build());
    start.number(head.0.len() as u64);
    start.number(u64::from(crc32c::crc32c(&head.0)));
    to.write_all(&start.0)?;
    to.write_all(&head.0)?;
    let pad = |at: u64| [0; ALIGNMENT][..(at.next_multiple_of(ALIGNMENT as u64) - at) as usize].to_vec();
    to.write_all(&pad((start.0.len() + head.0.len()) as u64))?;
    weights.write_to(&mut *to)?;
    to.write_all(&pad(weights.len()))?;
    for (_, bytes) in forms {
        to.write_all(bytes)?;
        to.write_all(&pad(bytes.len() as u64))?;
    }
    Ok(to.flush()?)
}

/// Constants as they lie in the file, and their checksums.
pub(crate) struct Originals {
    bin: Bytes,
    /// By their offsets: length and checksum.
    chunks: BTreeMap<usize, (usize, u32)>,
}

impl Originals {
    /// Where `bytes` begin in the `.bin`, if they are of it.
    fn offset(&self, bytes: &[u8]) -> Option<usize> {
        let offset = (bytes.as_ptr() as usize).checked_sub(self.bin.as_ptr() as usize)?;
        (!bytes.is_empty() && offset < self.bin.len()).then_some(offset)
    }

    /// False when these bytes are a constant's that is damaged.
    pub(crate) fn intact(&self, bytes: &[u8]) -> bool {
        let chunk = self.offset(bytes).and_then(|offset| self.chunks.get_key_value(&offset));
        chunk.is_none_or(|(offset, (len, crc))| crc32c::crc32c(&self.bin[*offset..][..*len]) == *crc)
    }

    /// The places of constants that plans read themselves: not those of which they only want forms that are there.
    fn read_by_plans(&self, model: &Model, forms: &HashMap<Key, Bytes>) -> BTreeSet<usize> {
        let packed: HashSet<usize> = forms.keys().map(|key| key.node).collect();
        let only_user = |id: NodeId| {
            let mut users = model.users_of(id);
            users.next().filter(|_| users.next().is_none()).map(|(user, _)| user)
        };
        let is_packed = |id: NodeId| {
            let user = only_user(id)?;
            let widened = matches!(model.node(user).op, Op::Convert(_)) && only_user(user).is_some();
            Some(packed.contains(&id.index()) || widened && packed.contains(&user.index()))
        };
        let others = model.nodes().filter(|(id, _)| is_packed(*id) != Some(true));
        others.filter_map(|(_, node)| self.offset(node.constant()?.bytes())).collect()
    }
}

/// A part that is to be verified.
struct Claim {
    what: String,
    range: Range<usize>,
    crc: u32,
}

/// Reads what [`write()`] wrote and makes something of the model and its packed weights, verifying the bytes meanwhile.
pub(crate) fn read<T>(
    from: &Bytes,
    extensions: &Extensions,
    make: impl FnOnce(Model, Arc<Shelf>) -> DeviceResult<T>,
) -> DeviceResult<T> {
    let mut start = Rows(from);
    if start.bytes(MAGIC.len()).ok() != Some(MAGIC) {
        return Err(ExportError::Foreign.into());
    }
    let (found, expected) = (start.text()?.to_owned(), build());
    if found != expected {
        return Err(ExportError::Build { found, expected }.into());
    }
    let (len, crc) = (start.number()?, start.number()?);
    if len > LONGEST_HEAD {
        return Err(ExportError::Table("it is longer than any").into());
    }
    let at = from.len() - start.0.len();
    let head = start.bytes(len as usize)?;
    if u64::from(crc32c::crc32c(head)) != crc {
        return Err(ExportError::Damaged { what: "the table".to_owned(), at: at as u64 }.into());
    }
    let data = (at + head.len()).next_multiple_of(ALIGNMENT);
    let mut rows = Rows(head);
    let xml = rows.text()?;
    let bin = range(&rows.part()?, data, from.len())?;
    let mut chunks = BTreeMap::new();
    for _ in 0..rows.number()? {
        let part = rows.part()?;
        let chunk = range(&part, 0, bin.len())?;
        chunks.insert(chunk.start, (chunk.len(), part.crc));
    }
    let (mut claims, mut forms) = (Vec::new(), HashMap::new());
    for _ in 0..rows.number()? {
        let (node, output, scale) = (rows.size()?, rows.size()?, rows.number()?);
        let key = Key { node, output, scale, form: rows.text()?.to_owned() };
        let part = rows.part()?;
        let range = range(&part, data, from.len())?;
        let what = format!("form `{}` of node {node}", key.form);
        claims.push(Claim { what, range: range.clone(), crc: part.crc });
        forms.insert(key, from.slice(range));
    }
    let originals = Originals { bin: from.slice(bin.clone()), chunks };
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let verified = scope.spawn(|| verify(from, &claims, &next));
        let mut model = ir::read_ir_from(xml, originals.bin.clone()).map_err(ExportError::from)?;
        extensions.attach(&mut model)?;
        for offset in originals.read_by_plans(&model, &forms) {
            if !originals.intact(&originals.bin[offset..]) {
                let at = (bin.start + offset) as u64;
                return Err(ExportError::Damaged { what: "a constant".to_owned(), at }.into());
            }
        }
        let made = make(model, Arc::new(Shelf::stored(forms, originals)));
        // Who has planned helps with what is left.
        verify(from, &claims, &next)?;
        verified.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        made
    })
}

/// Where a part lies in `len` bytes.
fn range(part: &Part, start: usize, len: usize) -> Result<Range<usize>, ExportError> {
    let end = part.offset.checked_add(part.len).and_then(|end| end.checked_add(start as u64));
    let end = end.ok_or(ExportError::Table("a place beyond all files"))?;
    if end > len as u64 {
        return Err(ExportError::Short { what: "the data", found: len as u64, expected: end });
    }
    Ok((end - part.len) as usize..end as usize)
}

/// Compares checksums, from claim `next` on; several threads may share the work.
fn verify(from: &[u8], claims: &[Claim], next: &AtomicUsize) -> Result<(), ExportError> {
    while let Some(Claim { what, range, crc }) = claims.get(next.fetch_add(1, Ordering::Relaxed)) {
        if crc32c::crc32c(&from[range.clone()]) != *crc {
            return Err(ExportError::Damaged { what: what.clone(), at: range.start as u64 });
        }
    }
    Ok(())
}

impl From<ExportError> for DeviceError {
    fn from(error: ExportError) -> Self {
        Self::Failed { device: "CPU".to_owned(), message: error.to_string() }
    }
}
