//! Version 1: tables that hold the values themselves, each a message of its own.

use crate::{
    Error, HeaderError, VariableError,
    ordered_code::{Extent, slice_key},
    proto::{self, SavedTensorSlices, TensorProto},
    sstable::Table,
    variable::{self, Part, Variable},
};
use bytes::Bytes;
use ir::ElementType;
use prost::Message;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

/// A 64-bit element takes a byte at least (a varint), and a snappy block grows by no more than 22.
const MAX_EXPANSION: usize = 8 * 22;

/// The tables and which of their keys holds each part.
#[derive(Debug)]
pub(crate) struct SavedSlices {
    tables: Vec<(PathBuf, Table)>,
    stored_len: usize,
    stored: Vec<Stored>,
}

#[derive(Debug)]
struct Stored {
    table: usize,
    slice: Vec<Extent>,
}

impl SavedSlices {
    /// Reads the lists of variables, not the values.
    pub(crate) fn open(paths: &[PathBuf]) -> Result<(Self, Vec<Variable>), Error> {
        let mut slices = Self { tables: Vec::new(), stored_len: 0, stored: Vec::new() };
        let mut variables: Vec<Variable> = Vec::new();
        let mut by_name: HashMap<String, usize> = HashMap::new();
        for path in paths {
            for meta in slices.open_table(path)?.tensor {
                let failed = |source| Error::Variable { path: path.clone(), name: meta.name.clone(), source };
                let shape = variable::dimensions(meta.shape.as_ref()).map_err(failed)?;
                // Shards list the slices of one variable each for itself.
                let at = *by_name.entry(meta.name.clone()).or_insert(variables.len());
                if at == variables.len() {
                    let (key, data_type, shape) = (meta.name.clone(), meta.r#type, shape.clone());
                    variables.push(Variable { key, full_name: None, data_type, shape, parts: Vec::new() });
                }
                let variable = &mut variables[at];
                if variable.shape != shape || variable.data_type != meta.r#type {
                    return Err(failed(VariableError::Disagreement));
                }
                for slice in &meta.slice {
                    let slice = variable::extents(slice);
                    let part = Part::of_slice(&slice, &shape, slices.stored.len()).map_err(failed)?;
                    variable.parts.push(part);
                    slices.stored.push(Stored { table: slices.tables.len() - 1, slice });
                }
            }
        }
        for variable in &mut variables {
            variable::order_parts(&mut variable.parts, &variable.shape).map_err(|source| {
                Error::Variable { path: paths[0].clone(), name: variable.key.clone(), source }
            })?;
        }
        Ok((slices, variables))
    }

    fn open_table(&mut self, path: &Path) -> Result<proto::SavedTensorSliceMeta, Error> {
        let file = ir::map_file(path).map_err(|source| Error::Io { path: path.into(), source })?;
        let damaged = |source| Error::Table { path: path.into(), source };
        let header = |source| Error::Header { path: path.into(), source };
        self.stored_len = self.stored_len.saturating_add(file.len());
        let table = Table::open(file).map_err(damaged)?;
        let first = table.get(b"").map_err(damaged)?.ok_or_else(|| header(HeaderError::Missing))?;
        let slices = SavedTensorSlices::decode(first).map_err(|error| header(error.into()))?;
        self.tables.push((path.into(), table));
        slices.meta.ok_or_else(|| header(HeaderError::Missing))
    }

    /// What all tables can hold once decoded, in bytes.
    pub(crate) fn stored_len(&self) -> usize {
        self.stored_len.saturating_mul(MAX_EXPANSION)
    }

    fn value(&self, variable: &Variable, place: usize) -> Result<TensorProto, VariableError> {
        let Stored { table, slice } = &self.stored[place];
        let (file, table) = &self.tables[*table];
        let value = table.get(&slice_key(&variable.key, slice));
        let value = value.map_err(|source| VariableError::Table { file: file.clone(), source })?;
        let decoded = value.map(SavedTensorSlices::decode).transpose()?;
        let tensor = decoded.and_then(|slices| slices.data?.data);
        tensor.ok_or_else(|| VariableError::MissingSlice { slice: variable::slice_text(slice) })
    }

    /// The bytes of a part of a tensor: of 32 and 64 bit floats a view of the file, of other types decoded.
    pub(crate) fn read(&self, variable: &Variable, place: usize) -> Result<Bytes, VariableError> {
        let value = self.value(variable, place)?;
        if !value.tensor_content.is_empty() {
            return Ok(value.tensor_content);
        }
        let unsupported = || VariableError::Unsupported { type_name: variable.type_name() };
        Ok(match variable.element_type().ok_or_else(unsupported)? {
            ElementType::F32 => joined(value.float_val),
            ElementType::F64 => joined(value.double_val),
            // Both as the 16 bits that they are.
            ElementType::F16 | ElementType::Bf16 => encoded(&value.half_val, |v| (v as u16).to_le_bytes()),
            ElementType::I8 | ElementType::U8 => encoded(&value.int_val, |v| [v as u8]),
            ElementType::I16 | ElementType::U16 => encoded(&value.int_val, |v| (v as u16).to_le_bytes()),
            ElementType::I32 => encoded(&value.int_val, i32::to_le_bytes),
            ElementType::I64 => encoded(&value.int64_val, i64::to_le_bytes),
            ElementType::U32 => encoded(&value.uint32_val, u32::to_le_bytes),
            ElementType::U64 => encoded(&value.uint64_val, u64::to_le_bytes),
            ElementType::Boolean => encoded(&value.bool_val, |v| [u8::from(v)]),
            _ => return Err(unsupported()),
        })
    }

    /// The elements of a part of a string tensor.
    pub(crate) fn read_strings(
        &self,
        variable: &Variable,
        place: usize,
        count: usize,
    ) -> Result<Vec<Bytes>, VariableError> {
        let strings = self.value(variable, place)?.string_val;
        if strings.len() == count {
            return Ok(strings);
        }
        Err(VariableError::Strings { count, size: strings.iter().map(Bytes::len).sum() })
    }
}

/// Packed values in one piece, as writers leave them, stay the view that they are.
fn joined(mut pieces: Vec<Bytes>) -> Bytes {
    if pieces.len() > 1 { pieces.concat().into() } else { pieces.pop().unwrap_or_default() }
}

fn encoded<T: Copy, const N: usize>(values: &[T], bytes: impl Fn(T) -> [u8; N]) -> Bytes {
    values.iter().flat_map(|value| bytes(*value)).collect::<Vec<_>>().into()
}
