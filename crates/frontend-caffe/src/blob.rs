//! Weights as files hold them: shapes old and new, floats, doubles and halves.

use crate::{
    message::{Message, Value},
    wire::{BinaryError, Fields, Wire},
};
use bytes::Bytes;
use half::f16;
use ir::{ElementType, Tensor};

/// One blob of a layer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Blob {
    /// The shape as the file has it; of the old form always four dimensions.
    pub(crate) shape: Vec<usize>,
    /// f32, little endian. A view of the file where that has them so.
    bytes: Bytes,
}

impl Blob {
    /// Decodes the blob that a field holds.
    pub(crate) fn new(value: &Value) -> Result<Self, String> {
        match value {
            Value::Blob(bytes) => Self::from_wire(bytes).map_err(|error| error.to_string()),
            Value::Message(message) => Self::from_message(message),
            other => Err(format!("a blob is {}, expected a message", other.shown())),
        }
    }

    /// The blob under a shape that has as many elements.
    pub(crate) fn tensor(&self, shape: &[usize]) -> Result<Tensor, ir::TensorError> {
        Tensor::new(ElementType::F32, shape.to_vec(), self.bytes.clone())
    }

    /// The number of elements.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() / 4
    }

    fn from_wire(bytes: &Bytes) -> Result<Self, BinaryError> {
        let mut fields = Fields::new(bytes.clone(), 0);
        let mut parts = Parts::default();
        let mut raw_type = 1;
        let mut raw = None;
        while let Some((number, wire, at)) = fields.next()? {
            match (number, wire) {
                (1..=4, Wire::Varint(value)) => {
                    parts.old[number as usize - 1] = Some(value as i64);
                }
                (5, Wire::Delimited(packed)) => parts.floats(packed),
                (5, Wire::Fixed32(value)) => parts.loose.extend(value),
                (7, Wire::Delimited(shape)) => parts.shape = Some(dims(shape, at)?),
                (8, Wire::Delimited(packed)) => {
                    for value in packed.chunks_exact(8) {
                        let value = value.try_into().map(f64::from_le_bytes).unwrap_or_default();
                        parts.loose.extend((value as f32).to_le_bytes());
                    }
                }
                (8, Wire::Fixed64(value)) => {
                    parts.loose.extend((f64::from_le_bytes(value) as f32).to_le_bytes());
                }
                // NVIDIA's fork.
                (10, Wire::Varint(value)) => raw_type = value,
                (12, Wire::Delimited(bytes)) => raw = Some((bytes, at)),
                _ => {}
            }
        }
        match (raw, raw_type) {
            (None, _) => {}
            (Some((raw, _)), 0) => {
                let value = |v: &[u8]| v.try_into().map(f64::from_le_bytes).unwrap_or_default() as f32;
                parts.loose = raw.chunks_exact(8).flat_map(|v| value(v).to_le_bytes()).collect();
            }
            (Some((raw, _)), 1) => parts.floats(raw),
            (Some((raw, _)), 2) => {
                let value = |v: &[u8]| f16::from_le_bytes([v[0], v[1]]).to_f32();
                parts.loose = raw.chunks_exact(2).flat_map(|v| value(v).to_le_bytes()).collect();
            }
            (Some((_, offset)), other) => {
                return Err(BinaryError {
                    offset,
                    message: format!(
                        "weights are of type {other}; expected doubles (0), floats (1) or halves (2)"
                    ),
                });
            }
        }
        Ok(parts.blob())
    }

    /// A text may hold weights too.
    fn from_message(message: &Message) -> Result<Self, String> {
        let mut parts = Parts::default();
        for (i, name) in ["num", "channels", "height", "width"].into_iter().enumerate() {
            parts.old[i] = message.last(name).and_then(|field| field.value.integer());
        }
        if let Some(shape) = message.messages("shape").last() {
            let dims: Option<Vec<i64>> = shape.all("dim").map(|dim| dim.value.integer()).collect();
            parts.shape = Some(dims.ok_or("the `shape` of a blob holds something that is no integer")?);
        }
        for field in message.all("data").chain(message.all("double_data")) {
            let value = field.value.real().ok_or_else(|| field.wrong("a number"))?;
            parts.loose.extend((value as f32).to_le_bytes());
        }
        Ok(parts.blob())
    }
}

fn dims(shape: Bytes, origin: usize) -> Result<Vec<i64>, BinaryError> {
    let mut fields = Fields::new(shape, origin);
    let mut dims = Vec::new();
    while let Some((number, wire, at)) = fields.next()? {
        match (number, wire) {
            (1, Wire::Varint(value)) => dims.push(value as i64),
            (1, Wire::Delimited(packed)) => dims.extend(crate::wire::varints(packed, at)?),
            _ => {}
        }
    }
    Ok(dims)
}

/// What is found of a blob.
#[derive(Default)]
struct Parts {
    old: [Option<i64>; 4],
    shape: Option<Vec<i64>>,
    /// All floats in one piece, as writers put them.
    whole: Option<Bytes>,
    /// Floats one by one, or in several pieces.
    loose: Vec<u8>,
}

impl Parts {
    fn floats(&mut self, packed: Bytes) {
        match self.whole.take() {
            None if self.loose.is_empty() => self.whole = Some(packed),
            first => {
                self.loose.extend(first.iter().flatten());
                self.loose.extend(&packed);
            }
        }
    }

    fn blob(mut self) -> Blob {
        let bytes = match self.whole {
            Some(whole) if self.loose.is_empty() => whole,
            Some(whole) => {
                self.loose.splice(0..0, whole);
                self.loose.into()
            }
            None => self.loose.into(),
        };
        let size = |dim: i64| usize::try_from(dim).unwrap_or(0);
        let shape = match self.shape {
            Some(shape) => shape.into_iter().map(size).collect(),
            None if self.old.iter().any(Option::is_some) => {
                self.old.into_iter().map(|dim| size(dim.unwrap_or(0))).collect()
            }
            // Writers that leave the shape out mean a vector.
            None => vec![bytes.len() / 4],
        };
        Blob { shape, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(blob: &[u8]) -> (Vec<usize>, Vec<f64>) {
        let blob = Blob::new(&Value::Blob(Bytes::copy_from_slice(blob))).unwrap();
        let tensor = blob.tensor(&[blob.len()]).unwrap();
        (blob.shape, tensor.to_f64s())
    }

    fn packed(field: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![field << 3 | 2, bytes.len() as u8];
        out.extend(bytes);
        out
    }

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    #[test]
    fn every_form_of_weights_is_read() {
        let new_shape = packed(7, &packed(1, &[2, 1]));
        let two = (vec![2, 1], vec![0.5, -3.0]);
        assert_eq!(values(&[new_shape.clone(), packed(5, &floats(&[0.5, -3.0]))].concat()), two);
        // In two pieces, and one by one.
        let pieces = [packed(5, &floats(&[0.5])), new_shape.clone(), packed(5, &floats(&[-3.0]))];
        assert_eq!(values(&pieces.concat()), two);
        let loose = [&new_shape[..], &[0x2d], &floats(&[0.5]), &[0x2d], &floats(&[-3.0])];
        assert_eq!(values(&loose.concat()), two);
        let doubles: Vec<u8> = [0.5f64, -3.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(values(&[new_shape.clone(), packed(8, &doubles)].concat()), two);
        let halves: Vec<u8> = [0.5, -3.0].iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect();
        assert_eq!(values(&[new_shape.clone(), vec![0x50, 2], packed(12, &halves)].concat()), two);
        assert_eq!(values(&[new_shape, vec![0x50, 0], packed(12, &doubles)].concat()), two);
        let old = [&[0x08, 1, 0x10, 1, 0x18, 1, 0x20, 2][..], &packed(5, &floats(&[0.5, -3.0]))].concat();
        assert_eq!(values(&old), (vec![1, 1, 1, 2], two.1.clone()));
        assert_eq!(values(&packed(5, &floats(&[0.5, -3.0]))), (vec![2], two.1));
    }

    #[test]
    fn weights_in_one_piece_are_a_view() {
        let file = Bytes::from(packed(5, &floats(&[1.0, 2.0])));
        let blob = Blob::new(&Value::Blob(file.clone())).unwrap();
        assert_eq!(blob.bytes.as_ptr(), file[2..].as_ptr());
    }

    #[test]
    fn texts_may_hold_weights() {
        let text = b"blobs { shape { dim: 2 dim: 2 } data: [1, 2.5] data: -3 double_data: 4 }";
        let root = crate::text::parse(text).unwrap();
        let blob = Blob::new(&root.fields[0].value).unwrap();
        assert_eq!(blob.tensor(&[2, 2]).unwrap().to_f64s(), [1.0, 2.5, -3.0, 4.0]);
        let root = crate::text::parse(b"blobs { data: x }").unwrap();
        assert_eq!(
            Blob::new(&root.fields[0].value).unwrap_err(),
            "line 1, column 15: `data` is x, expected a number"
        );
    }

    #[test]
    fn unknown_types_of_weights_are_refused() {
        let error = Blob::new(&Value::Blob([&[0x50, 3][..], &packed(12, &[1])].concat().into())).unwrap_err();
        assert!(error.contains("type 3"), "{error}");
    }
}
