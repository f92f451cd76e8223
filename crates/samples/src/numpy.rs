//! Tensors in NumPy's files: `.npy`, and `.npz`, a ZIP of them.

use anyhow::{Context, Result, bail, ensure};
use half::f16;
use ir::{Element, ElementType, Tensor};
use npyz::{DType, NpyFile, Order, WriteOptions, WriterBuilder};
use std::{
    fs::File,
    io::{BufReader, Cursor, Read, Write},
    path::Path,
};
use zip::{ZipArchive, ZipWriter, write::SimpleFileOptions};

/// The most bytes that one array may have: a claim beyond that is refused before memory is asked for.
const MOST_BYTES: u64 = 1 << 36;

/// Reads one `.npy` file.
pub fn read_npy(path: &Path) -> Result<Tensor> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    parse(BufReader::new(file)).with_context(|| path.display().to_string())
}

/// Reads every array of a `.npz` file, in the file's order.
pub fn read_npz(path: &Path) -> Result<Vec<(String, Tensor)>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut archive = ZipArchive::new(BufReader::new(file))
        .with_context(|| format!("{} is no .npz file", path.display()))?;
    let mut arrays = Vec::new();
    for i in 0..archive.len() {
        let entry = archive.by_index(i).with_context(|| path.display().to_string())?;
        let name = entry.name()?.into_owned();
        let name = name.strip_suffix(".npy").unwrap_or(&name).to_owned();
        // Elements are read one by one, and an entry looks at the checksum and the limits in every call.
        let tensor =
            parse(BufReader::new(entry)).with_context(|| format!("{}: array `{name}`", path.display()))?;
        arrays.push((name, tensor));
    }
    Ok(arrays)
}

fn parse(reader: impl Read) -> Result<Tensor> {
    let npy = NpyFile::new(reader)?;
    let DType::Plain(ty) = npy.dtype() else {
        bail!("arrays of records are not supported");
    };
    let text = ty.to_string();
    // `<f4`, `|u1`: the byte order that npyz converts by itself, the kind and the size.
    macro_rules! typed {
        ($($code:literal => $rust:ty),*) => {
            match text.get(1..).unwrap_or_default() {
                $($code => elements::<$rust>(npy),)*
                "b1" => booleans(npy),
                _ => bail!("arrays of type `{text}` are not supported; use float16/32/64, (u)int8..64, or bool"),
            }
        };
    }
    typed!("f2" => f16, "f4" => f32, "f8" => f64, "i1" => i8, "i2" => i16, "i4" => i32, "i8" => i64,
           "u1" => u8, "u2" => u16, "u4" => u32, "u8" => u64)
}

/// The shape, checked, and whether the elements lie in column-major order.
fn shape_of<R: Read>(npy: &NpyFile<R>, size: u64) -> Result<(Vec<usize>, bool)> {
    let bytes = npy.shape().iter().try_fold(size, |n, d| n.checked_mul(*d));
    ensure!(bytes.is_some_and(|n| n <= MOST_BYTES), "an array of shape {:?} is too large", npy.shape());
    Ok((npy.shape().iter().map(|d| *d as usize).collect(), npy.order() == Order::Fortran))
}

fn elements<T: Element + npyz::Deserialize>(npy: NpyFile<impl Read>) -> Result<Tensor> {
    let (shape, column_major) = shape_of(&npy, size_of::<T>() as u64)?;
    // Element by element: the file's claim is not trusted with an allocation.
    let values = npy.data::<T>()?.collect::<std::io::Result<Vec<T>>>()?;
    Ok(Tensor::from_slice(&shape, &row_major(&shape, column_major, values))?)
}

fn booleans(npy: NpyFile<impl Read>) -> Result<Tensor> {
    let (shape, column_major) = shape_of(&npy, 1)?;
    let values = npy.data::<bool>()?.map(|v| v.map(i64::from)).collect::<std::io::Result<Vec<_>>>()?;
    Ok(Tensor::from_i64_values(ElementType::Boolean, &shape, &row_major(&shape, column_major, values))?)
}

fn row_major<T: Copy>(shape: &[usize], column_major: bool, values: Vec<T>) -> Vec<T> {
    if !column_major || shape.len() < 2 {
        return values;
    }
    let at = |mut place: usize| {
        let mut offset = 0;
        let mut strides = Vec::with_capacity(shape.len());
        let mut stride = 1;
        for dim in shape {
            strides.push(stride);
            stride *= dim;
        }
        for axis in (0..shape.len()).rev() {
            offset += place % shape[axis] * strides[axis];
            place /= shape[axis];
        }
        offset
    };
    (0..values.len()).map(|i| values[at(i)]).collect()
}

/// Writes arrays to a `.npz` file, which appears whole or not at all. NumPy has no bf16: such tensors become f32.
pub fn write_npz(path: &Path, arrays: &[(String, Tensor)]) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = tempfile::NamedTempFile::new_in(folder)
        .with_context(|| format!("cannot write into {}", folder.display()))?;
    let mut archive = ZipWriter::new(file);
    for (name, tensor) in arrays {
        archive.start_file(format!("{name}.npy"), SimpleFileOptions::default().large_file(true))?;
        archive.write_all(&npy_bytes(tensor)?)?;
    }
    let file = archive.finish()?;
    file.persist(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

fn npy_bytes(tensor: &Tensor) -> Result<Vec<u8>> {
    fn write<T: npyz::AutoSerialize + Copy>(shape: &[usize], values: &[T]) -> Result<Vec<u8>> {
        let mut bytes = Cursor::new(Vec::new());
        let dims: Vec<u64> = shape.iter().map(|d| *d as u64).collect();
        let mut writer = WriteOptions::new().default_dtype().shape(&dims).writer(&mut bytes).begin_nd()?;
        for value in values {
            writer.push(value)?;
        }
        writer.finish()?;
        Ok(bytes.into_inner())
    }
    let shape = tensor.shape();
    macro_rules! typed {
        ($($variant:ident => $rust:ty),*) => {
            match tensor.element_type() {
                $(ElementType::$variant => write(shape, &tensor.view::<$rust>()?),)*
                ElementType::Boolean => {
                    write(shape, &tensor.bytes().iter().map(|b| *b != 0).collect::<Vec<bool>>())
                }
                ty if ty.is_float() => {
                    write(shape, &tensor.to_f64s().into_iter().map(|v| v as f32).collect::<Vec<_>>())
                }
                _ => write(shape, &tensor.to_i64s()),
            }
        };
    }
    typed!(F16 => f16, F32 => f32, F64 => f64, I8 => i8, I16 => i16, I32 => i32, I64 => i64,
           U8 => u8, U16 => u16, U32 => u32, U64 => u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_survives_a_round_trip() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.npz");
        let types = [
            ElementType::Boolean,
            ElementType::F16,
            ElementType::F32,
            ElementType::F64,
            ElementType::I8,
            ElementType::I16,
            ElementType::I32,
            ElementType::I64,
            ElementType::U8,
            ElementType::U16,
            ElementType::U32,
            ElementType::U64,
        ];
        let mut arrays: Vec<_> = types
            .map(|ty| (format!("a/{ty}"), Tensor::from_i64_values(ty, &[2, 2], &[0, 1, 1, 0]).unwrap()))
            .to_vec();
        arrays.push(("scalar".into(), Tensor::scalar(3.5f32)));
        arrays.push(("empty".into(), Tensor::from_slice::<f32>(&[0, 4], &[]).unwrap()));
        write_npz(&path, &arrays).unwrap();
        assert_eq!(read_npz(&path).unwrap(), arrays);
    }

    #[test]
    fn column_major_arrays_are_turned() {
        let header = "{'descr': '<i4', 'fortran_order': True, 'shape': (2, 3), }";
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16 + 1).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.push(b'\n');
        bytes.extend([1i32, 4, 2, 5, 3, 6].iter().flat_map(|v| v.to_le_bytes()));
        assert_eq!(parse(&bytes[..]).unwrap().to_i64s(), [1, 2, 3, 4, 5, 6]);
        assert!(parse(&bytes[..bytes.len() - 1]).is_err(), "truncated");
    }

    #[test]
    fn absurd_claims_are_refused() {
        let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999, 9999), }";
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        assert!(parse(&bytes[..]).unwrap_err().to_string().contains("too large"));
    }
}
