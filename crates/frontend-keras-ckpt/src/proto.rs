//! The messages of `proto/checkpoint.proto`, and what their data types mean here.
#![allow(missing_docs, unreachable_pub, clippy::all)]

use ir::ElementType;

include!(concat!(env!("OUT_DIR"), "/checkpoint.rs"));

/// The element type of a stored data type; `None` when no tensor holds it.
pub(crate) fn element_type(data_type: i32) -> Option<ElementType> {
    Some(match DataType::try_from(data_type).ok()? {
        DataType::DtFloat => ElementType::F32,
        DataType::DtDouble => ElementType::F64,
        DataType::DtHalf => ElementType::F16,
        DataType::DtBfloat16 => ElementType::Bf16,
        DataType::DtInt8 | DataType::DtQint8 => ElementType::I8,
        DataType::DtInt16 | DataType::DtQint16 => ElementType::I16,
        DataType::DtInt32 | DataType::DtQint32 => ElementType::I32,
        DataType::DtInt64 => ElementType::I64,
        DataType::DtUint8 | DataType::DtQuint8 => ElementType::U8,
        DataType::DtUint16 | DataType::DtQuint16 => ElementType::U16,
        DataType::DtUint32 => ElementType::U32,
        DataType::DtUint64 => ElementType::U64,
        DataType::DtBool => ElementType::Boolean,
        // TensorFlow's 4-bit elements take a byte each, `ir`'s are packed.
        _ => return None,
    })
}

/// TensorFlow's name of a stored data type.
pub(crate) fn type_name(data_type: i32) -> String {
    match DataType::try_from(data_type) {
        Ok(known) => known.as_str_name().to_owned(),
        Err(_) => format!("DataType {data_type}"),
    }
}
