//! TensorFlow's tensors and element types, to and from the model's.

use crate::proto::{DataType, TensorProto, TensorShapeProto, tensor_shape_proto::Dim};
use bytes::Bytes;
use ir::{ElementType, Tensor, element_count, shape::MAX_RANK};

/// One repeated value may fill this many bytes, no more: the file merely claims them.
const MAX_SPLAT_BYTES: usize = 1 << 28;

/// The model's type for TensorFlow's. A reference counts as what it refers to; quantised types as their integers.
pub fn element_type(ty: i32) -> Result<ElementType, String> {
    let plain = if ty > 100 { ty - 100 } else { ty };
    Ok(match DataType::try_from(plain) {
        Ok(DataType::DtFloat) => ElementType::F32,
        Ok(DataType::DtDouble) => ElementType::F64,
        Ok(DataType::DtHalf) => ElementType::F16,
        Ok(DataType::DtBfloat16) => ElementType::Bf16,
        Ok(DataType::DtInt8 | DataType::DtQint8) => ElementType::I8,
        Ok(DataType::DtInt16 | DataType::DtQint16) => ElementType::I16,
        Ok(DataType::DtInt32 | DataType::DtQint32) => ElementType::I32,
        Ok(DataType::DtInt64) => ElementType::I64,
        Ok(DataType::DtUint8 | DataType::DtQuint8) => ElementType::U8,
        Ok(DataType::DtUint16 | DataType::DtQuint16) => ElementType::U16,
        Ok(DataType::DtUint32) => ElementType::U32,
        Ok(DataType::DtUint64) => ElementType::U64,
        Ok(DataType::DtBool) => ElementType::Boolean,
        Ok(other) => return Err(format!("the element type {} has no place in a model", other.as_str_name())),
        Err(_) => return Err(format!("unknown element type {ty}")),
    })
}

/// TensorFlow's type for the model's; `None` for the types that it does not have.
pub fn data_type(ty: ElementType) -> Option<DataType> {
    Some(match ty {
        ElementType::F32 => DataType::DtFloat,
        ElementType::F64 => DataType::DtDouble,
        ElementType::F16 => DataType::DtHalf,
        ElementType::Bf16 => DataType::DtBfloat16,
        ElementType::I8 => DataType::DtInt8,
        ElementType::I16 => DataType::DtInt16,
        ElementType::I32 => DataType::DtInt32,
        ElementType::I64 => DataType::DtInt64,
        ElementType::U8 => DataType::DtUint8,
        ElementType::U16 => DataType::DtUint16,
        ElementType::U32 => DataType::DtUint32,
        ElementType::U64 => DataType::DtUint64,
        ElementType::Boolean => DataType::DtBool,
        _ => return None,
    })
}

/// The dimensions of a shape; `None` for an unknown one, the whole `None` for an unknown rank.
pub fn dimensions(shape: &TensorShapeProto) -> Result<Option<Vec<Option<usize>>>, String> {
    if shape.unknown_rank {
        return Ok(None);
    }
    if shape.dim.len() > MAX_RANK {
        return Err(format!("a shape of {} dimensions; at most {MAX_RANK} are allowed", shape.dim.len()));
    }
    let dim = |dim: &Dim| match dim.size {
        -1 => Ok(None),
        size => usize::try_from(size).map(Some).map_err(|_| format!("a dimension of {size}")),
    };
    shape.dim.iter().map(dim).collect::<Result<_, _>>().map(Some)
}

/// The shape of a tensor that is there: every dimension known.
fn known_shape(proto: &TensorProto) -> Result<Vec<usize>, String> {
    let Some(shape) = &proto.tensor_shape else { return Ok(Vec::new()) };
    let dims = dimensions(shape)?.ok_or("a tensor without a rank")?;
    dims.into_iter().map(|dim| dim.ok_or_else(|| "a tensor with an unknown dimension".to_owned())).collect()
}

/// Decodes a tensor. Raw contents are shared with the file; typed values are converted, the last one repeating.
pub fn decode(proto: &TensorProto) -> Result<Tensor, String> {
    let ty = element_type(proto.dtype)?;
    let shape = known_shape(proto)?;
    let claimed = element_count(&shape).and_then(|n| Some((n, ty.byte_len(n)?)));
    let Some((count, byte_len)) = claimed else { return Err(format!("a tensor {ty}{shape:?} is too large")) };
    if !proto.tensor_content.is_empty() {
        return Tensor::new(ty, shape, proto.tensor_content.clone()).map_err(|e| e.to_string());
    }
    let values = typed_values(proto, ty, count);
    let width = ty.bits() / 8;
    if values.len() < byte_len && byte_len > MAX_SPLAT_BYTES {
        return Err(format!(
            "a tensor {ty}{shape:?} of one repeated value takes {byte_len} bytes; at most {MAX_SPLAT_BYTES} are allowed"
        ));
    }
    let mut bytes = values;
    if bytes.is_empty() {
        bytes.resize(byte_len, 0);
    } else if bytes.len() < byte_len {
        let last = bytes[bytes.len() - width..].to_vec();
        bytes.reserve_exact(byte_len - bytes.len());
        while bytes.len() < byte_len {
            bytes.extend_from_slice(&last);
        }
    }
    Tensor::new(ty, shape, Bytes::from(bytes)).map_err(|e| e.to_string())
}

/// The value and the shape of a tensor that repeats one value over more than `bytes` bytes; `None` for any other.
pub(crate) fn splat(proto: &TensorProto, bytes: usize) -> Result<Option<(Tensor, Vec<i64>)>, String> {
    let ty = element_type(proto.dtype)?;
    let shape = known_shape(proto)?;
    let large = element_count(&shape).and_then(|n| ty.byte_len(n)).is_none_or(|len| len > bytes);
    let one = typed_values(proto, ty, 2);
    if !large || !proto.tensor_content.is_empty() || one.len() > ty.bits() / 8 {
        return Ok(None);
    }
    let scalar = TensorProto { tensor_shape: None, ..proto.clone() };
    let shape = shape.into_iter().map(|dim| i64::try_from(dim).unwrap_or(i64::MAX)).collect();
    Ok(Some((decode(&scalar)?, shape)))
}

/// The bytes of up to `count` values of the typed fields.
fn typed_values(proto: &TensorProto, ty: ElementType, count: usize) -> Vec<u8> {
    fn bytes<T: Copy, const N: usize>(values: &[T], count: usize, f: impl Fn(T) -> [u8; N]) -> Vec<u8> {
        values.iter().take(count).flat_map(|v| f(*v)).collect()
    }
    match ty {
        ElementType::F32 => bytes(&proto.float_val, count, f32::to_le_bytes),
        ElementType::F64 => bytes(&proto.double_val, count, f64::to_le_bytes),
        ElementType::F16 | ElementType::Bf16 => bytes(&proto.half_val, count, |v| (v as u16).to_le_bytes()),
        ElementType::I8 | ElementType::U8 => bytes(&proto.int_val, count, |v| [v as u8]),
        ElementType::I16 | ElementType::U16 => bytes(&proto.int_val, count, |v| (v as u16).to_le_bytes()),
        ElementType::I32 => bytes(&proto.int_val, count, i32::to_le_bytes),
        ElementType::I64 => bytes(&proto.int64_val, count, i64::to_le_bytes),
        ElementType::U32 => bytes(&proto.uint32_val, count, u32::to_le_bytes),
        ElementType::U64 => bytes(&proto.uint64_val, count, u64::to_le_bytes),
        ElementType::Boolean => bytes(&proto.bool_val, count, |v| [u8::from(v)]),
        _ => Vec::new(),
    }
}

/// The strings of a DT_STRING tensor, in order; empty for any other type.
pub fn strings(proto: &TensorProto) -> &[Bytes] {
    if proto.dtype == DataType::DtString as i32 { &proto.string_val } else { &[] }
}

/// Encodes a tensor; its bytes are shared.
pub fn encode(tensor: &Tensor) -> Result<TensorProto, String> {
    let ty = tensor.element_type();
    let dtype = data_type(ty).ok_or_else(|| format!("TensorFlow has no element type {ty}"))?;
    let dim = |size: &usize| Dim { size: *size as i64, ..Default::default() };
    let dim = tensor.shape().iter().map(dim).collect();
    let tensor_shape = Some(TensorShapeProto { dim, unknown_rank: false });
    Ok(TensorProto {
        dtype: dtype.into(),
        tensor_shape,
        tensor_content: tensor.bytes().clone(),
        ..Default::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::{bf16, f16};

    fn proto(dtype: DataType, shape: &[i64]) -> TensorProto {
        let dim = shape.iter().map(|size| Dim { size: *size, ..Default::default() }).collect();
        let tensor_shape = Some(TensorShapeProto { dim, unknown_rank: false });
        TensorProto { dtype: dtype.into(), tensor_shape, ..Default::default() }
    }

    #[test]
    fn every_typed_field_is_read_and_its_last_value_repeats() {
        use DataType::*;
        let halves = |a: u16, b: u16| vec![i32::from(a), i32::from(b)];
        let cases = [
            TensorProto { float_val: vec![1.0, -2.0], ..proto(DtFloat, &[3]) },
            TensorProto { double_val: vec![1.0, -2.0], ..proto(DtDouble, &[3]) },
            TensorProto {
                half_val: halves(f16::from_f32(1.0).to_bits(), f16::from_f32(-2.0).to_bits()),
                ..proto(DtHalf, &[3])
            },
            TensorProto {
                half_val: halves(bf16::from_f32(1.0).to_bits(), bf16::from_f32(-2.0).to_bits()),
                ..proto(DtBfloat16, &[3])
            },
            TensorProto { int_val: vec![1, -2], ..proto(DtInt8, &[3]) },
            TensorProto { int_val: vec![1, -2], ..proto(DtQint8, &[3]) },
            TensorProto { int_val: vec![1, -2], ..proto(DtInt16, &[3]) },
            TensorProto { int_val: vec![1, -2], ..proto(DtInt32, &[3]) },
            TensorProto { int64_val: vec![1, -2], ..proto(DtInt64, &[3]) },
        ];
        for case in cases {
            assert_eq!(decode(&case).unwrap().to_f64s(), [1.0, -2.0, -2.0], "{case:?}");
        }
        let unsigned = [
            TensorProto { int_val: vec![1, 200], ..proto(DtUint8, &[1, 3]) },
            TensorProto { int_val: vec![1, 200], ..proto(DtUint16, &[1, 3]) },
            TensorProto { uint32_val: vec![1, 200], ..proto(DtUint32, &[1, 3]) },
            TensorProto { uint64_val: vec![1, 200], ..proto(DtUint64, &[1, 3]) },
        ];
        for case in unsigned {
            assert_eq!(decode(&case).unwrap().to_i64s(), [1, 200, 200], "{case:?}");
        }
        let flags = TensorProto { bool_val: vec![false, true], ..proto(DtBool, &[3]) };
        assert_eq!(decode(&flags).unwrap().to_i64s(), [0, 1, 1]);
    }

    #[test]
    fn no_value_is_zero_and_surplus_values_are_ignored() {
        assert_eq!(decode(&proto(DataType::DtFloat, &[2])).unwrap().to_f64s(), [0.0, 0.0]);
        let surplus = TensorProto { int_val: vec![1, 2, 3], ..proto(DataType::DtInt32, &[2]) };
        assert_eq!(decode(&surplus).unwrap().to_i64s(), [1, 2]);
        let empty = TensorProto { int_val: vec![1], ..proto(DataType::DtInt32, &[0, 5]) };
        assert_eq!(decode(&empty).unwrap().shape(), [0, 5]);
        let scalar = TensorProto { dtype: DataType::DtInt32.into(), int_val: vec![4], ..Default::default() };
        assert_eq!(decode(&scalar).unwrap(), Tensor::scalar(4i32));
    }

    #[test]
    fn claims_are_not_allocated() {
        for shape in [&[1i64 << 40][..], &[i64::MAX, i64::MAX], &[1 << 31, 1 << 31, 4]] {
            let one = TensorProto { float_val: vec![0.0], ..proto(DataType::DtFloat, shape) };
            assert!(decode(&one).unwrap_err().contains("f32["), "{shape:?}");
            let content =
                TensorProto { tensor_content: vec![0; 4].into(), ..proto(DataType::DtFloat, shape) };
            decode(&content).unwrap_err();
        }
        assert_eq!(decode(&proto(DataType::DtFloat, &[-2])).unwrap_err(), "a dimension of -2");
        assert!(decode(&proto(DataType::DtFloat, &[-1])).unwrap_err().contains("unknown dimension"));
    }

    #[test]
    fn types_without_a_place_are_named() {
        assert!(decode(&proto(DataType::DtString, &[1])).unwrap_err().contains("DT_STRING"));
        assert!(element_type(DataType::DtResource.into()).unwrap_err().contains("DT_RESOURCE"));
        assert_eq!(element_type(77).unwrap_err(), "unknown element type 77");
        assert_eq!(element_type(DataType::DtFloatRef.into()), Ok(ElementType::F32));
    }

    #[test]
    fn encoding_is_undone_by_decoding() {
        let tensor = Tensor::from_slice(&[2, 1], &[1.5f32, -3.0]).unwrap();
        assert_eq!(decode(&encode(&tensor).unwrap()).unwrap(), tensor);
    }
}
