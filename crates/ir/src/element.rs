//! Element types and the Rust types that hold them.

use half::{bf16, f16};
use std::fmt;

/// The type of one tensor element, named as OpenVINO's IR names it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ElementType {
    /// Not known yet (the output of an op nobody recognises).
    Dynamic,
    /// One byte, 0 or 1.
    Boolean,
    /// bfloat16.
    Bf16,
    /// IEEE binary16.
    F16,
    /// IEEE binary32.
    F32,
    /// IEEE binary64.
    F64,
    /// Signed 4 bits, two to a byte, the low half first.
    I4,
    /// Signed 8 bits.
    I8,
    /// Signed 16 bits.
    I16,
    /// Signed 32 bits.
    I32,
    /// Signed 64 bits.
    I64,
    /// One bit, eight to a byte, the high bit first.
    U1,
    /// Unsigned 4 bits, two to a byte, the low half first.
    U4,
    /// Unsigned 8 bits.
    U8,
    /// Unsigned 16 bits.
    U16,
    /// Unsigned 32 bits.
    U32,
    /// Unsigned 64 bits.
    U64,
}

/// (type, name in attributes, name on ports, bits)
const NAMES: &[(ElementType, &str, &str, usize)] = &[
    (ElementType::Dynamic, "dynamic", "UNSPECIFIED", 0),
    (ElementType::Boolean, "boolean", "BOOL", 8),
    (ElementType::Bf16, "bf16", "BF16", 16),
    (ElementType::F16, "f16", "FP16", 16),
    (ElementType::F32, "f32", "FP32", 32),
    (ElementType::F64, "f64", "FP64", 64),
    (ElementType::I4, "i4", "I4", 4),
    (ElementType::I8, "i8", "I8", 8),
    (ElementType::I16, "i16", "I16", 16),
    (ElementType::I32, "i32", "I32", 32),
    (ElementType::I64, "i64", "I64", 64),
    (ElementType::U1, "u1", "U1", 1),
    (ElementType::U4, "u4", "U4", 4),
    (ElementType::U8, "u8", "U8", 8),
    (ElementType::U16, "u16", "U16", 16),
    (ElementType::U32, "u32", "U32", 32),
    (ElementType::U64, "u64", "U64", 64),
];

impl ElementType {
    /// Bits of one element; 0 for [`ElementType::Dynamic`].
    pub fn bits(self) -> usize {
        self.row().3
    }

    /// Bytes that `count` elements take, sub-byte types packed; `None` when that overflows.
    pub fn byte_len(self, count: usize) -> Option<usize> {
        count.checked_mul(self.bits()).map(|bits| bits.div_ceil(8))
    }

    /// True for the floating-point types.
    pub fn is_float(self) -> bool {
        matches!(self, Self::Bf16 | Self::F16 | Self::F32 | Self::F64)
    }

    /// True for signed and unsigned integers; `Boolean` is none.
    pub fn is_integer(self) -> bool {
        !self.is_float() && !matches!(self, Self::Boolean | Self::Dynamic)
    }

    /// True for integers that hold negative values.
    pub fn is_signed_integer(self) -> bool {
        matches!(self, Self::I4 | Self::I8 | Self::I16 | Self::I32 | Self::I64)
    }

    /// The name in attributes: `f32`, `i64`, `boolean`.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The name in a port's `precision`: `FP32`, `I64`, `BOOL`.
    pub fn precision(self) -> &'static str {
        self.row().2
    }

    /// Finds a type by either of its names, letter case ignored.
    pub fn parse(text: &str) -> Option<Self> {
        NAMES
            .iter()
            .find(|row| row.1.eq_ignore_ascii_case(text) || row.2.eq_ignore_ascii_case(text))
            .map(|row| row.0)
    }

    fn row(self) -> &'static (Self, &'static str, &'static str, usize) {
        NAMES.iter().find(|row| row.0 == self).expect("every type has a row")
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A Rust type that is the memory form of an [`ElementType`].
pub trait Element: bytemuck::Pod + PartialEq + fmt::Debug + Send + Sync {
    /// The element type that this Rust type holds.
    const TYPE: ElementType;
}

macro_rules! elements {
    ($($rust:ty => $variant:ident),* $(,)?) => { $(
        impl Element for $rust {
            const TYPE: ElementType = ElementType::$variant;
        }
    )* };
}
elements!(f16 => F16, bf16 => Bf16, f32 => F32, f64 => F64, i8 => I8, i16 => I16, i32 => I32, i64 => I64,
          u8 => U8, u16 => U16, u32 => U32, u64 => U64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back_to_its_type() {
        for (ty, name, precision, _) in NAMES {
            assert_eq!(ElementType::parse(name), Some(*ty));
            assert_eq!(ElementType::parse(precision), Some(*ty));
        }
        assert_eq!(ElementType::parse("f31"), None);
    }

    #[test]
    fn packed_types_round_up_to_bytes() {
        assert_eq!(ElementType::U4.byte_len(3), Some(2));
        assert_eq!(ElementType::U1.byte_len(9), Some(2));
        assert_eq!(ElementType::F64.byte_len(usize::MAX), None);
    }
}
