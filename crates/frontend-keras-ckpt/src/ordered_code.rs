//! OrderedCode, the encoding of (tensor name, slice) as a table key that sorts as the pair does.

/// One dimension of a slice: where it starts and how far it goes; `None` is the whole dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Extent {
    pub(crate) start: i64,
    pub(crate) length: Option<i64>,
}

/// The key under which a checkpoint stores a slice of a tensor: 0, the name, the rank, then start and length (-1 for
/// a whole dimension) of each dimension.
pub(crate) fn slice_key(name: &str, slice: &[Extent]) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 4 + 2 * slice.len());
    write_u64(&mut key, 0);
    write_bytes(&mut key, name.as_bytes());
    write_u64(&mut key, slice.len() as u64);
    for extent in slice {
        write_i64(&mut key, extent.start);
        write_i64(&mut key, extent.length.unwrap_or(-1));
    }
    key
}

/// How many bytes follow, then the bytes, the most significant first.
fn write_u64(out: &mut Vec<u8>, value: u64) {
    let bytes = value.to_be_bytes();
    let used = 8 - value.leading_zeros() as usize / 8;
    out.push(used as u8);
    out.extend_from_slice(&bytes[8 - used..]);
}

/// 0x00 and 0xff are escaped, 0x00 0x01 ends the string.
fn write_bytes(out: &mut Vec<u8>, value: &[u8]) {
    for &byte in value {
        match byte {
            0x00 => out.extend_from_slice(&[0x00, 0xff]),
            0xff => out.extend_from_slice(&[0xff, 0x00]),
            _ => out.push(byte),
        }
    }
    out.extend_from_slice(&[0x00, 0x01]);
}

/// Big-endian two's complement in the fewest bytes n with room for n header bits: the first n bits equal each other
/// (all ones when the number is not negative), the next one differs.
fn write_i64(out: &mut Vec<u8>, value: i64) {
    let magnitude = if value < 0 { !value } else { value };
    let bits = 64 - magnitude.leading_zeros() as usize;
    // n bytes hold n header bits, the bit that ends them, and the rest.
    let len = bits / 7 + 1;
    // Positive numbers carry ones for a header, negative ones zeros: the sign extension turned over.
    let header = !0u128 << (8 * len - len);
    let bytes = (i128::from(value) as u128 ^ header).to_be_bytes();
    out.extend_from_slice(&bytes[16 - len..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(value: i64) -> Vec<u8> {
        let mut out = Vec::new();
        write_i64(&mut out, value);
        out
    }

    #[test]
    fn signed_numbers_are_encoded_as_tensorflow_documents_them() {
        assert_eq!(signed(0x0042_4242), [0xf0, 0x42, 0x42, 0x42]);
        assert_eq!(signed(-0x800), [0x38, 0x00]);
        assert_eq!(signed(0), [0x80]);
        assert_eq!(signed(-1), [0x7f]);
        assert_eq!(signed(63), [0xbf]);
        assert_eq!(signed(64), [0xc0, 0x40]);
        assert_eq!(signed(-64), [0x40]);
        assert_eq!(signed(-65), [0x3f, 0xbf]);
        assert_eq!(signed(i64::MAX), [0xff, 0xff - 0x3f, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(signed(i64::MIN), [0x00, 0x3f, 0x80, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn encoded_numbers_sort_as_the_numbers_do() {
        let mut values: Vec<i64> = (0..63).flat_map(|bit| [-1, 0, 1].map(|d| (1i64 << bit) + d)).collect();
        values.extend(values.clone().iter().map(|v| -v));
        values.extend([i64::MIN, i64::MAX]);
        values.sort_unstable();
        values.dedup();
        assert!(values.windows(2).all(|pair| signed(pair[0]) < signed(pair[1])));
    }

    #[test]
    fn names_are_escaped() {
        let whole = Extent { start: 0, length: None };
        assert_eq!(slice_key("a/b", &[whole]), b"\x00a/b\x00\x01\x01\x01\x80\x7f");
        assert_eq!(slice_key("\0", &[]), b"\x00\x00\xff\x00\x01\x00");
        let extent = Extent { start: 3, length: Some(2) };
        assert_eq!(slice_key("w", &[extent, whole]), b"\x00w\x00\x01\x01\x02\x83\x82\x80\x7f");
    }
}
