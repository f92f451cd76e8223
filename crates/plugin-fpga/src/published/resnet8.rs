//! ResNet-8 on Intel's FPGA AI Suite, as somebody else measured it; nothing is tuned to it.

use super::{lower::lower, nets};
use crate::{architecture::Architecture, timing::Estimate};

/// Cycles that were measured, the same for every image: `k_vector` 16, `c_vector` 8, 300 MHz.
pub const MEASURED_CYCLES: u64 = 158_271;

/// `k_vector` 16 and `c_vector` 8; the other sizes were not told.
const ARCHITECTURE: &str = "1x1x8x16_fp16_sb9408_fcd1024_actk8_poolk8_normk8_owk8_image300x300x8192";

/// The families of chips that the suite is for, and how many accumulators take turns there: `num_interleaved_features`,
/// common values of its IP reference manual, "Parameter group: pe_array". The measurement does not tell its family.
pub const FAMILIES: [(&str, u32); 3] = [("Arria 10", 4), ("Agilex 7", 5), ("Agilex 5", 12)];

/// Cycles by the model, for each of [`FAMILIES`].
pub fn cycles() -> [u64; 3] {
    let architecture: Architecture = ARCHITECTURE.parse().expect("a test parses it");
    let program = lower(&nets::resnet8(), &architecture);
    FAMILIES.map(|(_, interleave)| Estimate::interleaved(&architecture, interleave, &program, &[]).cycles)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_by_family() {
        assert_eq!(cycles(), [104_789, 123_645, 140_053]);
        let errors = cycles().map(|cycles| cycles as f64 / MEASURED_CYCLES as f64 - 1.0);
        // Accumulators of an Arria 10 take fewer turns than the measurement shows.
        assert!(errors[0] < -0.30);
        assert!(errors[1..].iter().all(|error| error.abs() < 0.25), "{errors:?}");
    }
}
