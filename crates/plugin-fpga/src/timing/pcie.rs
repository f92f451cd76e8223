//! The model of transfers between the host and the card.

/// What the start of a write takes, in microseconds: the middle of 150 to 180 on the PAC with Arria 10 GX.
pub const WRITE_START_US: f64 = 165.0;

/// What the start of a read takes, in microseconds: Intel's plugin reports 55 for the 1000 values of GoogLeNet on that
/// card (`4. output transfer from DDR`), where the bytes themselves are nothing.
pub const READ_START_US: f64 = 55.0;

/// GB/s that large blocks are written at on the PAC.
pub const WRITE_GB_S: f64 = 6.8;

/// GB/s that large blocks are read at on the PAC.
pub const READ_GB_S: f64 = 6.0;

/// Microseconds from the host's memory to the card's.
pub fn write_us(bytes: u64) -> f64 {
    WRITE_START_US + bytes as f64 / (WRITE_GB_S * 1e3)
}

/// Microseconds from the card's memory to the host's.
pub fn read_us(bytes: u64) -> f64 {
    READ_START_US + bytes as f64 / (READ_GB_S * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_that_intel_printed_for_googlenet() {
        // 201 us for an image of 224 x 224 x 3 fp16 values, 55 us for 1000 of them.
        assert!((write_us(224 * 224 * 3 * 2) / 201.0 - 1.0).abs() < 0.05);
        assert!((read_us(2000) / 55.0 - 1.0).abs() < 0.05);
    }
}
