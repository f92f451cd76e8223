//! The binary form (caffemodel): wire format to a tree of fields, by the tables of `schema`.
//!
//! Weights are not decoded: a field that holds them becomes a view of the file. Fields that a table does not have, or
//! has with another type, are skipped, as every reader of protobuf does.

use crate::{
    message::{Field, MAX_FIELDS, Message, Value},
    schema::{self, Kind, Row},
};
use bytes::Bytes;
use std::borrow::Cow;
use thiserror::Error;

/// Where a binary file ceased to be one.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("byte {offset}: {message}")]
pub struct BinaryError {
    /// The place, from 0.
    pub offset: usize,
    /// What was found and what was expected.
    pub message: String,
}

/// The value of one field in wire format.
pub(crate) enum Wire {
    Varint(u64),
    Fixed64([u8; 8]),
    Fixed32([u8; 4]),
    Delimited(Bytes),
}

/// The fields of one message in wire format.
pub(crate) struct Fields {
    bytes: Bytes,
    at: usize,
    /// Where `bytes` begin in the file.
    origin: usize,
}

impl Fields {
    pub(crate) fn new(bytes: Bytes, origin: usize) -> Self {
        Self { bytes, at: 0, origin }
    }

    /// The next field: number, value, and where the value stands in the file.
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Wire, usize)>, BinaryError> {
        if self.at == self.bytes.len() {
            return Ok(None);
        }
        let start = self.at;
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).ok().filter(|number| (1..1 << 29).contains(number));
        let Some(number) = number else { return self.fail(start, format!("{key} is no key of a field")) };
        let wire = match key & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(self.fixed()?),
            5 => Wire::Fixed32(self.fixed()?),
            2 => {
                let at = self.at;
                let len = self.varint()?;
                let left = self.bytes.len() - self.at;
                match usize::try_from(len) {
                    Ok(len) if len <= left => {
                        let part = self.bytes.slice(self.at..self.at + len);
                        self.at += len;
                        Wire::Delimited(part)
                    }
                    _ => {
                        let message = format!(
                            "field {number} claims {len} bytes, {left} are left; is the file truncated?"
                        );
                        return self.fail(at, message);
                    }
                }
            }
            other => {
                return self.fail(
                    start,
                    format!("field {number} has the wire type {other}, which Caffe never writes"),
                );
            }
        };
        let length = if let Wire::Delimited(part) = &wire { part.len() } else { 0 };
        Ok(Some((number, wire, self.origin + self.at - length)))
    }

    fn varint(&mut self) -> Result<u64, BinaryError> {
        let start = self.at;
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let Some(&byte) = self.bytes.get(self.at) else {
                return self.fail(start, "the file ends within a number; is it truncated?".to_owned());
            };
            self.at += 1;
            value |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Ok(value);
            }
        }
        self.fail(start, "a number is longer than 64 bits".to_owned())
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], BinaryError> {
        match self.bytes.get(self.at..self.at + N).and_then(|part| part.try_into().ok()) {
            Some(value) => {
                self.at += N;
                Ok(value)
            }
            None => self.fail(self.at, "the file ends within a number; is it truncated?".to_owned()),
        }
    }

    fn fail<T>(&self, at: usize, message: String) -> Result<T, BinaryError> {
        Err(BinaryError { offset: self.origin + at, message })
    }
}

/// Decodes a message by a table.
pub(crate) fn decode(bytes: Bytes, rows: &'static [Row]) -> Result<Message, BinaryError> {
    Decoder { fields: 0 }.message(bytes, 0, rows, None)
}

struct Decoder {
    fields: usize,
}

impl Decoder {
    /// As deep as the tables are.
    fn message(
        &mut self,
        bytes: Bytes,
        origin: usize,
        rows: &'static [Row],
        more: Option<&'static [Row]>,
    ) -> Result<Message, BinaryError> {
        let mut message = Message::default();
        let mut fields = Fields::new(bytes, origin);
        while let Some((number, wire, at)) = fields.next()? {
            let row = more.iter().flat_map(|more| more.iter()).chain(rows).find(|row| row.number == number);
            match (row, more) {
                (Some(row), _) => self.field(&mut message, row, wire, at)?,
                // Parameters of a fork that the tables do not have: the layer's converter tells of them.
                (None, Some(_)) if number >= schema::FIRST_PARAMETER => {
                    self.push(&mut message, format!("field {number}").into(), Value::Integer(0), at)?;
                }
                (None, _) => {}
            }
        }
        Ok(message)
    }

    fn field(&mut self, message: &mut Message, row: &Row, wire: Wire, at: usize) -> Result<(), BinaryError> {
        let value = match (&row.kind, wire) {
            (Kind::Integer, Wire::Varint(value)) => Value::Integer(value as i64),
            (Kind::Float, Wire::Fixed32(value)) => Value::Real(f64::from(f32::from_le_bytes(value))),
            (Kind::Float, Wire::Fixed64(value)) => Value::Real(f64::from_le_bytes(value)),
            (Kind::Integer, Wire::Delimited(packed)) => {
                return self.packed_integers(message, row, packed, at);
            }
            (Kind::Float, Wire::Delimited(packed)) => {
                for value in packed.chunks_exact(4) {
                    let value = f32::from_le_bytes([value[0], value[1], value[2], value[3]]);
                    self.push(message, row.name.into(), Value::Real(f64::from(value)), at)?;
                }
                return Ok(());
            }
            (Kind::Text, Wire::Delimited(text)) => match std::str::from_utf8(&text) {
                Ok(text) => Value::Text(text.to_owned()),
                Err(error) => {
                    let message = format!("`{}` is not UTF-8", row.name);
                    return Err(BinaryError { offset: at + error.valid_up_to(), message });
                }
            },
            (Kind::Blob, Wire::Delimited(blob)) => Value::Blob(blob),
            (Kind::Layer(rows), Wire::Delimited(part)) => {
                let more = schema::fork_rows(&layer_type(&part));
                Value::Message(self.message(part, at, rows, Some(more))?)
            }
            (Kind::Message(rows), Wire::Delimited(part)) => {
                Value::Message(self.message(part, at, rows, None)?)
            }
            // Another fork's field under the same number.
            _ => return Ok(()),
        };
        self.push(message, row.name.into(), value, at)
    }

    fn packed_integers(
        &mut self,
        message: &mut Message,
        row: &Row,
        packed: Bytes,
        origin: usize,
    ) -> Result<(), BinaryError> {
        for value in varints(packed, origin)? {
            self.push(message, row.name.into(), Value::Integer(value), origin)?;
        }
        Ok(())
    }

    fn push(
        &mut self,
        message: &mut Message,
        name: Cow<'static, str>,
        value: Value,
        at: usize,
    ) -> Result<(), BinaryError> {
        self.fields += 1;
        if self.fields > MAX_FIELDS {
            return Err(BinaryError {
                offset: at,
                message: format!("the file holds more than {MAX_FIELDS} fields"),
            });
        }
        message.fields.push(Field { name, value, at: None });
        Ok(())
    }
}

/// Packed integers.
pub(crate) fn varints(packed: Bytes, origin: usize) -> Result<Vec<i64>, BinaryError> {
    let mut numbers = Fields::new(packed, origin);
    let mut found = Vec::new();
    while numbers.at < numbers.bytes.len() {
        found.push(numbers.varint()? as i64);
    }
    Ok(found)
}

/// The type of a layer, which says what the numbers of forks mean; empty when there is none.
fn layer_type(layer: &Bytes) -> String {
    let mut fields = Fields::new(layer.clone(), 0);
    while let Ok(Some((number, wire, _))) = fields.next() {
        if let (2, Wire::Delimited(text)) = (number, wire) {
            return String::from_utf8_lossy(&text).into_owned();
        }
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::NET;

    #[test]
    fn layers_are_decoded_by_the_tables() {
        // name: "n", layer { name: "c" type: "Convolution" blobs: {..} convolution_param { num_output: 300, pad: [1, 2] } }
        let mut layer = b"\x0a\x01c\x12\x0bConvolution".to_vec();
        layer.extend(b"\x3a\x03abc");
        layer.extend(b"\xd2\x06\x07\x08\xac\x02\x1a\x02\x01\x02");
        let mut file = b"\x0a\x01n\xa2\x06".to_vec();
        file.push(layer.len() as u8);
        file.extend(&layer);
        let net = decode(file.clone().into(), NET).unwrap();
        assert_eq!(net.text("name"), Some("n"));
        let layer = net.messages("layer").next().unwrap();
        assert_eq!(layer.last("blobs").unwrap().value, Value::Blob(Bytes::from_static(b"abc")));
        let params = layer.messages("convolution_param").next().unwrap();
        assert_eq!(params.last("num_output").unwrap().value.integer(), Some(300));
        assert_eq!(params.all("pad").filter_map(|f| f.value.integer()).collect::<Vec<_>>(), [1, 2]);
        for len in 1..file.len() {
            match decode(file[..len].to_vec().into(), NET) {
                Ok(_) => assert!(len == 3, "cut at {len}"),
                Err(error) => assert!(error.offset <= len, "{error}"),
            }
        }
    }

    #[test]
    fn errors_point_at_the_byte() {
        for (file, expected) in [
            (&b"\x0a\x05n"[..], "byte 1: field 1 claims 5 bytes, 1 are left; is the file truncated?"),
            (b"\x0a\x01\xff", "byte 2: `name` is not UTF-8"),
            (b"\x0b", "byte 0: field 1 has the wire type 3, which Caffe never writes"),
            (b"\x00\x01", "byte 0: 0 is no key of a field"),
            (b"\x20\xff\xff", "byte 1: the file ends within a number; is it truncated?"),
            (b"\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "byte 1: a number is longer than 64 bits"),
        ] {
            assert_eq!(decode(file.into(), NET).unwrap_err().to_string(), expected);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_an_error(bytes: Vec<u8>) {
            let _ = decode(bytes.into(), NET);
        }
    }
}
