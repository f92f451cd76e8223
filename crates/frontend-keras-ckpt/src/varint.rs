//! Little-endian base-128 integers, and bytes taken one field after another.

use bytes::{Buf, Bytes};

/// Takes a varint of at most 64 bits off the front; `None` when the bytes end or it is longer.
pub(crate) fn take_u64(bytes: &mut Bytes) -> Option<u64> {
    let mut value = 0u64;
    for (i, byte) in bytes.iter().enumerate().take(10) {
        let low = u64::from(byte & 0x7f);
        if i == 9 && low > 1 {
            return None;
        }
        value |= low << (7 * i);
        if byte & 0x80 == 0 {
            bytes.advance(i + 1);
            return Some(value);
        }
    }
    None
}

/// The same, for a length or an offset in memory.
pub(crate) fn take_usize(bytes: &mut Bytes) -> Option<usize> {
    take_u64(bytes).and_then(|value| usize::try_from(value).ok())
}

/// Takes `len` bytes off the front, sharing them.
pub(crate) fn take_bytes(bytes: &mut Bytes, len: usize) -> Option<Bytes> {
    (len <= bytes.len()).then(|| bytes.split_to(len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_end_within_ten_bytes() {
        let take = |raw: &[u8]| {
            let mut bytes = Bytes::copy_from_slice(raw);
            take_u64(&mut bytes).map(|value| (value, bytes.len()))
        };
        assert_eq!(take(&[0x00]), Some((0, 0)));
        assert_eq!(take(&[0xac, 0x02, 0x07]), Some((300, 1)));
        let max = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(take(&max), Some((u64::MAX, 0)));
        assert_eq!(take(&[]), None);
        assert_eq!(take(&[0x80, 0x80]), None);
        assert_eq!(take(&[0xff; 11]), None);
        assert_eq!(take(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]), None);
    }
}
