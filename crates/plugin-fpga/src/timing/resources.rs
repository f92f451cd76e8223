//! What an architecture takes of an Arria 10 GX 1150, counted from its sizes; no synthesis was run.

use crate::architecture::{Architecture, Precision};

/// DSP blocks of the Arria 10 GX 1150, and its blocks of memory (Intel Arria 10 device overview).
pub const CARD: Resources = Resources { dsp_blocks: 1518, memory_blocks: 2713 };

/// Parts of a chip.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Resources {
    /// Variable precision DSP blocks, with two 18 x 19 multipliers each.
    pub dsp_blocks: u64,
    /// M20K blocks, of 512 words of 40 bits each.
    pub memory_blocks: u64,
}

/// M20K blocks for a memory of so many words of so many bits.
fn memory_blocks(bits: u64, depth: u64) -> u64 {
    bits.div_ceil(40) * depth.div_ceil(512)
}

/// What the array, the stream buffer and the filter cache take. The kernels behind the array and the logic are not
/// counted. Where an array wants more DSP blocks than there are, the rest of its multipliers would be logic.
pub fn resources(architecture: &Architecture) -> Resources {
    let places = u64::from(architecture.rows) * u64::from(architecture.columns);
    let (c_vec, k_vec) = (u64::from(architecture.input_vector), u64::from(architecture.output_vector));
    // Mantissas of 11 bits fill a multiplier. Of 6 bits, two that share a factor fit one: 6 + 6 bits of product and 6 of
    // the other factor are 18.
    let multipliers_of_a_block = match architecture.precision {
        Precision::Fp16 => 2,
        Precision::Fp11 => 4,
    };
    let stream = places * memory_blocks(c_vec * 16, architecture.stream_depth.into());
    // Sign and mantissa of each value, an exponent of 5 bits for a block, two halves.
    let block_bits = c_vec * (1 + u64::from(architecture.precision.mantissa_bits())) + 5;
    let filters = k_vec * memory_blocks(block_bits, 2 * u64::from(architecture.filter_depth));
    Resources {
        dsp_blocks: (places * c_vec * k_vec).div_ceil(multipliers_of_a_block),
        memory_blocks: stream + filters,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_by_hand() {
        let name = "1x1x16x16_fp16_sb1024_fcd256_actk4_poolk4_normk1_owk2_image300x300x8192";
        let architecture: Architecture = name.parse().unwrap();
        // 16 dot products of 16: 256 multipliers. 256 bits are 7 blocks wide, 1024 words 2 deep. 16 x 12 + 5 = 197 bits
        // are 5 wide, 512 words 1 deep, for each of the 16 filters.
        let expected = Resources { dsp_blocks: 128, memory_blocks: 7 * 2 + 16 * 5 };
        assert_eq!(resources(&architecture), expected);
    }
}
