//! Caffemodels put together by hand.

use ir::Tensor;

/// A field of bytes in wire format.
pub(crate) fn field(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = varint(u64::from(number) << 3 | 2);
    out.extend(varint(bytes.len() as u64));
    out.extend(bytes);
    out
}

/// An integer field in wire format.
pub(crate) fn integer(number: u32, value: u64) -> Vec<u8> {
    [varint(u64::from(number) << 3), varint(value)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value > 127 {
        out.push(value as u8 & 127 | 128);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// Numbers that differ, as many as `shape` has.
pub(crate) fn numbers(shape: &[u64]) -> Vec<f32> {
    (0..shape.iter().product::<u64>()).map(|i| (i % 7) as f32 - 2.5).collect()
}

/// A BlobProto of `numbers`, with the shape as it is written today.
pub(crate) fn blob(shape: &[u64]) -> Vec<u8> {
    let dims: Vec<u8> = shape.iter().flat_map(|dim| varint(*dim)).collect();
    [field(7, &field(1, &dims)), floats(shape)].concat()
}

/// The same with the shape of old.
pub(crate) fn old_blob(shape: [u64; 4]) -> Vec<u8> {
    let dims = (1..).zip(shape).flat_map(|(number, dim)| integer(number, dim));
    dims.chain(floats(&shape)).collect()
}

fn floats(shape: &[u64]) -> Vec<u8> {
    field(5, &numbers(shape).iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())
}

/// A layer of the current form.
pub(crate) fn layer(name: &str, kind: &str, blobs: &[Vec<u8>]) -> Vec<u8> {
    let blobs = blobs.iter().flat_map(|blob| field(7, blob));
    let head = [field(1, name.as_bytes()), field(2, kind.as_bytes())].concat();
    field(100, &head.into_iter().chain(blobs).collect::<Vec<u8>>())
}

/// A tensor of `numbers`.
pub(crate) fn tensor(shape: &[u64]) -> Tensor {
    let sizes: Vec<usize> = shape.iter().map(|dim| *dim as usize).collect();
    Tensor::from_slice(&sizes, &numbers(shape)).unwrap()
}
