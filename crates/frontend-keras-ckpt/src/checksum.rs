//! CRC-32C as LevelDB and TensorFlow store it: rotated and offset, so that a checksum of checksums stays strong.

use thiserror::Error;

/// Stored and computed checksum differ: the bytes changed after they were written.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error("crc32c is {found:#010x}, the file says {stored:#010x}: the bytes are damaged, fetch the file again")]
pub struct ChecksumError {
    /// The checksum in the file, unmasked.
    pub stored: u32,
    /// The checksum of the bytes.
    pub found: u32,
}

const DELTA: u32 = 0xa282_ead8;

pub(crate) fn mask(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(DELTA)
}

/// Compares the checksum of some bytes with a stored, masked one.
pub(crate) fn compare(found: u32, stored: u32) -> Result<(), ChecksumError> {
    if mask(found) == stored {
        return Ok(());
    }
    Err(ChecksumError { stored: stored.wrapping_sub(DELTA).rotate_left(15), found })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_masked_checksum_of_the_bytes_passes() {
        // The check value of CRC-32C (Castagnoli) in the catalogue of CRC algorithms.
        let crc = crc32c::crc32c(b"123456789");
        assert_eq!(crc, 0xe306_9283);
        assert_eq!(compare(crc, mask(crc)), Ok(()));
        assert_eq!(compare(crc, mask(7)), Err(ChecksumError { stored: 7, found: crc }));
        assert!(compare(crc, crc).is_err());
    }
}
