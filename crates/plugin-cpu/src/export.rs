//! Compiled models as bytes: the model's IR, and its weights in the forms that kernels take. Whoever maps such a file
//! plans anew, which is quick, and packs nothing.
//!
//! | part | what |
//! |---|---|
//! | magic, version, instruction set | who wrote it: another version or instruction set is refused |
//! | head: length, checksum | the tables below |
//! | IR | the text of the `.xml`; place and checksum of the `.bin` |
//! | forms | node and output, scale, form, place, checksum of each |
//! | data | every part starts at a multiple of 64 bytes |
//!
//! All numbers are little endian; checksums are CRC-32C.

use crate::{
    isa::Isa,
    weights::{Key, Shelf},
};
use ir::{ALIGNMENT, Bytes, Model, extension::Extensions};
use std::{
    collections::HashMap,
    io::{self, Write},
    ops::Range,
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
    Model(#[from] ir::ModelError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Version and instruction set: forms of weights are theirs.
fn build() -> String {
    format!("Terroir CPU {} for {}", env!("CARGO_PKG_VERSION"), Isa::best().name())
}

/// A model that was read back.
pub(crate) struct Imported {
    /// The model.
    pub(crate) model: Model,
    /// Its weights, packed.
    pub(crate) shelf: Shelf,
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
    weights: &Bytes,
    forms: &[(Key, Bytes)],
    to: &mut dyn Write,
) -> Result<(), ExportError> {
    let mut layout = Layout::default();
    let mut head = Table::default();
    head.text(xml);
    let mut parts = vec![(layout.add(weights.len() as u64, crc32c::crc32c(weights)), &weights[..])];
    head.part(parts[0].0);
    head.number(forms.len() as u64);
    for (key, bytes) in forms {
        let part = layout.add(bytes.len() as u64, crc32c::crc32c(bytes));
        [key.node as u64, key.output as u64, key.scale].into_iter().for_each(|number| head.number(number));
        head.text(&key.form);
        head.part(part);
        parts.push((part, bytes));
    }

    let mut start = Table(MAGIC.to_vec());
    start.text(&build());
    start.number(head.0.len() as u64);
    start.number(u64::from(crc32c::crc32c(&head.0)));
    to.write_all(&start.0)?;
    to.write_all(&head.0)?;
    let pad = |at: u64| [0; ALIGNMENT][..(at.next_multiple_of(ALIGNMENT as u64) - at) as usize].to_vec();
    to.write_all(&pad((start.0.len() + head.0.len()) as u64))?;
    for (part, bytes) in parts {
        to.write_all(bytes)?;
        to.write_all(&pad(part.offset + part.len))?;
    }
    Ok(to.flush()?)
}

/// Reads what [`write()`] wrote, and verifies every byte.
pub(crate) fn read(from: &Bytes, extensions: &Extensions) -> Result<Imported, ExportError> {
    let mut start = Rows(from);
    if start.bytes(MAGIC.len()).ok() != Some(MAGIC) {
        return Err(ExportError::Foreign);
    }
    let (found, expected) = (start.text()?.to_owned(), build());
    if found != expected {
        return Err(ExportError::Build { found, expected });
    }
    let (len, crc) = (start.number()?, start.number()?);
    if len > LONGEST_HEAD {
        return Err(ExportError::Table("it is longer than any"));
    }
    let at = from.len() - start.0.len();
    let head = start.bytes(len as usize)?;
    if u64::from(crc32c::crc32c(head)) != crc {
        return Err(ExportError::Damaged { what: "the table".to_owned(), at: at as u64 });
    }
    let data = (at + head.len()).next_multiple_of(ALIGNMENT);
    let range = |part: &Part| -> Result<Range<usize>, ExportError> {
        let end = part.offset.checked_add(part.len).and_then(|end| end.checked_add(data as u64));
        let end = end.ok_or(ExportError::Table("a place beyond all files"))?;
        if end > from.len() as u64 {
            return Err(ExportError::Short { what: "the data", found: from.len() as u64, expected: end });
        }
        Ok((end - part.len) as usize..end as usize)
    };
    let mut rows = Rows(head);
    let xml = rows.text()?;
    let weights = rows.part()?;
    let weights_range = range(&weights)?;
    let mut places = vec![("the weights".to_owned(), weights.crc, weights_range.clone())];
    let mut forms = HashMap::new();
    for _ in 0..rows.number()? {
        let (node, output, scale) = (rows.size()?, rows.size()?, rows.number()?);
        let key = Key { node, output, scale, form: rows.text()?.to_owned() };
        let part = rows.part()?;
        let range = range(&part)?;
        places.push((format!("form `{}` of node {node}", key.form), part.crc, range.clone()));
        forms.insert(key, from.slice(range));
    }
    // Reading every byte takes most of the time, so all processors share it; the IR is read meanwhile.
    let weights = from.slice(weights_range);
    let (model, verified) = std::thread::scope(|scope| {
        let model = scope.spawn(|| {
            let mut model = ir::read_ir_from(xml, weights)?;
            extensions.attach(&mut model)?;
            Ok::<_, ExportError>(model)
        });
        let verified = verify(from, &places);
        (model.join(), verified)
    });
    verified?;
    let model = model.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    Ok(Imported { shelf: Shelf::stored(forms), model })
}

/// Bytes that one processor verifies at a time.
const SPAN: usize = 4 << 20;

/// Compares the checksums of all places.
fn verify(from: &[u8], places: &[(String, u32, Range<usize>)]) -> Result<(), ExportError> {
    let spans: Vec<(usize, Range<usize>)> = places
        .iter()
        .enumerate()
        .flat_map(|(i, (_, _, range))| {
            let starts = range.clone().step_by(SPAN);
            starts.map(move |start| (i, start..range.end.min(start + SPAN)))
        })
        .collect();
    let threads = crate::config::processors().min(spans.len()).max(1);
    let share = |thread: usize| {
        let own = spans.iter().skip(thread).step_by(threads);
        own.map(|(_, range)| crc32c::crc32c(&from[range.clone()])).collect::<Vec<u32>>()
    };
    let sums: Vec<Vec<u32>> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|thread| scope.spawn(move || share(thread))).collect();
        let own = share(0);
        let others = others.into_iter().map(|o| o.join().unwrap_or_else(|p| std::panic::resume_unwind(p)));
        std::iter::once(own).chain(others).collect()
    });
    let mut whole = vec![0u32; places.len()];
    for (i, (place, range)) in spans.iter().enumerate() {
        whole[*place] = crc32c::crc32c_combine(whole[*place], sums[i % threads][i / threads], range.len());
    }
    for ((what, crc, range), sum) in places.iter().zip(whole) {
        if sum != *crc {
            return Err(ExportError::Damaged { what: what.clone(), at: range.start as u64 });
        }
    }
    Ok(())
}
