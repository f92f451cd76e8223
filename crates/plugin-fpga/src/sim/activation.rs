//! What happens to values at the end of an instruction: addition of a map, activation.

use crate::{
    instruction::{Activation, Addend, Map},
    number::{from_fp16, to_fp16},
};

/// Rounds to fp16.
pub(super) fn round(value: f32) -> f32 {
    from_fp16(to_fp16(value))
}

/// fp16 number `index` of a table.
pub(super) fn entry(table: &[u8], index: u16) -> f32 {
    let at = 2 * usize::from(index);
    from_fp16(u16::from_le_bytes([table[at], table[at + 1]]))
}

/// The map that is added, and what its values are multiplied by.
pub(super) fn addend(addend: Addend) -> Option<(Map, f32)> {
    match addend {
        Addend::None => None,
        Addend::Plus(map) => Some((map, 1.0)),
        Addend::Minus(map) => Some((map, -1.0)),
    }
}

/// Adds fp16 values, each sum rounded once: the f32 sum of two fp16 has bits enough that rounding it again is harmless.
pub(super) fn add(values: &mut [f32], fp16: &[u16], sign: f32) {
    for (value, other) in values.iter_mut().zip(fp16) {
        *value = round(*value + sign * from_fp16(*other));
    }
}

/// The activation of fp16 values. Products are exact here; the caller rounds them to fp16.
pub(super) fn activate(activation: Activation, constants: &[u8], slopes: &[f32], values: &mut [f32]) {
    match activation {
        Activation::None => {}
        Activation::Relu { slope } => {
            let slope = from_fp16(slope);
            for value in values {
                *value = if *value < 0.0 { *value * slope } else { *value };
            }
        }
        Activation::Prelu => {
            for (value, slope) in values.iter_mut().zip(slopes) {
                *value = if *value < 0.0 { *value * slope } else { *value };
            }
        }
        Activation::Clamp { low, high } => {
            let [low, high] = [low, high].map(from_fp16);
            values.iter_mut().for_each(|value| *value = value.clamp(low, high));
        }
        Activation::Table { address } => {
            let table = &constants[address as usize * 64..];
            values.iter_mut().for_each(|value| *value = entry(table, to_fp16(*value)));
        }
    }
}
