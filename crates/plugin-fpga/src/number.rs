//! Numbers of the overlay, as `SPEC.md` says: fp16 without subnormals, infinities and NaNs, and blocks of numbers with
//! one exponent.

use crate::architecture::Precision;

/// The largest magnitude of an fp16: 65504.
pub const LARGEST: u16 = 0x7bff;
/// The bits of 2^-14 as f32: the least magnitude that an fp16 has.
const LEAST_F32: u32 = (127 - 14) << 23;
/// The bits of 65504 as f32.
const LARGEST_F32: u32 = 0x477f_e000;

/// To fp16: 11 significant bits, to nearest, ties to even; beyond 65504 it is 65504, below 2^-14 and for NaN +0.
#[inline(always)]
pub fn to_fp16(value: f32) -> u16 {
    let bits = value.to_bits();
    let magnitude = bits & 0x7fff_ffff;
    // A carry out of the fraction raises the exponent, which is what rounding up to a power of two means.
    let rounded = (magnitude + 0xfff + (magnitude >> 13 & 1)) & !0x1fff;
    let bounded = rounded.min(LARGEST_F32);
    let fp16 = (bounded >> 13).wrapping_sub((127 - 15) << 10) | (bits >> 16 & 0x8000);
    let vanishes = rounded < LEAST_F32 || magnitude > 0x7f80_0000;
    if vanishes { 0 } else { fp16 as u16 }
}

/// The value of an fp16: exponent 0 counts as +0, exponent 31 as 65504 with its sign.
#[inline(always)]
pub fn from_fp16(bits: u16) -> f32 {
    let bits = u32::from(bits);
    let magnitude = (bits & 0x7fff).min(u32::from(LARGEST));
    let value = (bits & 0x8000) << 16 | ((magnitude << 13) + ((127 - 15) << 23));
    f32::from_bits(if magnitude < 0x400 { 0 } else { value })
}

/// The bits of the value that these bits count as: what an executor reads is this before anything is done with it.
#[inline(always)]
pub fn canonical(bits: u16) -> u16 {
    let magnitude = (bits & 0x7fff).min(LARGEST);
    if magnitude < 0x400 { 0 } else { bits & 0x8000 | magnitude }
}

/// [`to_fp16`] of each value.
///
/// # Panics
/// If the slices differ in length.
pub fn to_fp16_slice(values: &[f32], fp16: &mut [u16]) {
    assert_eq!(values.len(), fp16.len());
    fp16.iter_mut().zip(values).for_each(|(to, from)| *to = to_fp16(*from));
}

/// [`from_fp16`] of each value.
///
/// # Panics
/// If the slices differ in length.
pub fn from_fp16_slice(fp16: &[u16], values: &mut [f32]) {
    assert_eq!(values.len(), fp16.len());
    values.iter_mut().zip(fp16).for_each(|(to, from)| *to = from_fp16(*from));
}

/// Forms a block: the signed mantissas, and the exponent that is returned. Each mantissa is worth
/// [`block_unit`] of that exponent.
///
/// # Panics
/// If the slices differ in length.
#[inline(always)]
pub fn block(fp16: &[u16], precision: Precision, mantissas: &mut [i16]) -> u8 {
    assert_eq!(fp16.len(), mantissas.len());
    let exponent = fp16.iter().fold(0, |largest, bits| largest.max(canonical(*bits) >> 10 & 31));
    let bits = precision.mantissa_bits();
    let most = (1u32 << bits) - 1;
    for (mantissa, value) in mantissas.iter_mut().zip(fp16) {
        let value = canonical(*value);
        let own = value >> 10 & 31;
        let significand = if own == 0 { 0 } else { u32::from(value & 0x3ff | 0x400) };
        // Shifted by 12, all of the significand lies below a half.
        let shift = (u32::from(exponent - own) + 11 - bits).min(12);
        // One bit more on the right, so that no shift is a special case.
        let doubled = significand << 1;
        let odd = doubled >> (shift + 1) & 1;
        let rounded = ((doubled + (1 << shift) - 1 + odd) >> (shift + 1)).min(most) as i16;
        *mantissa = if value & 0x8000 == 0 { rounded } else { -rounded };
    }
    exponent as u8
}

/// What a mantissa of 1 is worth in a block of this exponent: a power of two.
#[inline(always)]
pub fn block_unit(exponent: u8, precision: Precision) -> f32 {
    f32::from_bits((127 + u32::from(exponent) - 15 - (precision.mantissa_bits() - 1)) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rustc_apfloat::{
        Float, FloatConvert, Round,
        ieee::{Half, Quad, Single},
    };

    /// By the steps of the specification: 11 bits with exponents as far as quad precision goes, then the bounds.
    fn expected(value: f32) -> u16 {
        if value.is_nan() {
            return 0;
        }
        let single = Single::from_bits(value.to_bits().into());
        let exact: Quad = single.convert(&mut false).value;
        if !exact.is_finite() {
            return LARGEST | u16::from(value < 0.0) << 15;
        }
        if exact.is_zero() {
            return 0;
        }
        // To an integer of 11 bits, and back.
        let place = exact.ilogb() - 10;
        let integer = exact.scalbn(-place).round_to_integral(Round::NearestTiesToEven).value;
        let rounded = integer.scalbn(place);
        let power = |n: i32| Quad::from_u128(1).value.scalbn(n);
        let largest = Quad::from_u128(65504).value;
        let magnitude = rounded.abs();
        if magnitude < power(-14) {
            return 0;
        }
        let bounded = if magnitude > largest { largest.copy_sign(rounded) } else { rounded };
        let half: Half = bounded.convert(&mut false).value;
        half.to_bits() as u16
    }

    #[test]
    fn every_fp16_comes_back_as_what_it_counts_as() {
        for bits in 0..=u16::MAX {
            let exact: Single = Half::from_bits(bits.into()).convert(&mut false).value;
            let counts_as = match bits >> 10 & 31 {
                0 => 0.0,
                31 => 65504f32.copysign(if bits >> 15 == 0 { 1.0 } else { -1.0 }),
                _ => f32::from_bits(exact.to_bits() as u32),
            };
            assert_eq!(from_fp16(bits).to_bits(), counts_as.to_bits(), "{bits:#06x}");
            assert_eq!(to_fp16(from_fp16(bits)), canonical(bits), "{bits:#06x}");
            assert_eq!(canonical(bits), expected(counts_as), "{bits:#06x}");
        }
    }

    #[test]
    fn ties_and_their_neighbours_round_as_specified() {
        // Each fp16, the middle to the next, and the f32 on both sides of each; subnormal and beyond the bounds too.
        for bits in 0..=0x9400u32 {
            let exponent_kept = (bits << 13) + ((127 - 15 - 4) << 23);
            for middle in [0, 0x1000] {
                for off in [u32::MAX, 0, 1] {
                    let value = f32::from_bits((exponent_kept + middle).wrapping_add(off));
                    assert_eq!(to_fp16(value), expected(value), "{value:e}");
                    assert_eq!(to_fp16(-value), expected(-value), "{value:e}");
                }
            }
        }
    }

    #[test]
    fn edges_are_as_specified() {
        let edges = [0.0, f32::MIN_POSITIVE, f32::MAX, f32::INFINITY, 65504.0, 65519.99, 65520.0, 65536.0];
        let least = 2f32.powi(-14);
        for value in edges.into_iter().chain([least, least.next_down(), least * (1.0 - 2f32.powi(-12))]) {
            assert_eq!(to_fp16(value), expected(value), "{value:e}");
            assert_eq!(to_fp16(-value), expected(-value), "{value:e}");
        }
        assert_eq!(to_fp16(f32::NAN), 0);
        assert_eq!(to_fp16(-f32::NAN), 0);
        assert_eq!(to_fp16(f32::INFINITY), LARGEST);
        // Half a unit below 2^-14 rounds up to it before what is too small vanishes.
        assert_eq!(to_fp16(least * (1.0 - 2f32.powi(-13))), 0x400);
    }

    #[test]
    fn a_block_has_the_exponent_of_its_largest() {
        let values = [1.0, -0.5, 65504.0, 0.0].map(to_fp16);
        let mut mantissas = [0; 4];
        assert_eq!(block(&values, Precision::Fp16, &mut mantissas), 30);
        assert_eq!(mantissas, [0, 0, 2047, 0]);
        // 65504 is 63.97 units of 1024 in FP11: rounding would give 64.
        assert_eq!(block(&values, Precision::Fp11, &mut mantissas), 30);
        assert_eq!(mantissas, [0, 0, 63, 0]);
        assert_eq!(block(&[0x8000, 0x03ff], Precision::Fp16, &mut [1; 2]), 0);
        let mut ties = [0; 3];
        // Units of 1/1024: 1, then 1.5 and 2.5 units, both to 2.
        let values = [1.0, 1.5 / 1024.0, -2.5 / 1024.0].map(to_fp16);
        assert_eq!(block(&values, Precision::Fp16, &mut ties), 15);
        assert_eq!(ties, [1024, 2, -2]);
        assert_eq!(block_unit(15, Precision::Fp16), 1.0 / 1024.0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn any_f32_rounds_as_specified(bits in any::<u32>(), near in 0x3780_0000..0x4790_0000u32) {
            for bits in [bits, near, near | 1 << 31] {
                let value = f32::from_bits(bits);
                prop_assert_eq!(to_fp16(value), expected(value), "{:e}", value);
            }
        }
    }
}
