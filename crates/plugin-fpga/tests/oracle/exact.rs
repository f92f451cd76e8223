//! Exact binary numbers, and rounding by the text of `SPEC.md`. Nothing here is shared with `number.rs`.

/// `digits` x 2^`power`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exact {
    pub(crate) digits: i128,
    pub(crate) power: i32,
}

pub(crate) const ZERO: Exact = Exact { digits: 0, power: 0 };

/// Rounds digits x 2^-shift to an integer, ties to even.
fn shifted(digits: u128, shift: i32) -> u128 {
    if shift <= 0 {
        return digits << -shift;
    }
    if shift >= 127 {
        return 0;
    }
    let whole = digits >> shift;
    let rest = digits - (whole << shift);
    let half = 1 << (shift - 1);
    if rest > half || rest == half && whole % 2 == 1 { whole + 1 } else { whole }
}

fn length(digits: u128) -> i32 {
    128 - digits.leading_zeros() as i32
}

impl Exact {
    pub(crate) fn of_f32(value: f32) -> Self {
        assert!(value.is_finite() && (value == 0.0 || value.is_normal()), "{value} does not arise");
        let bits = value.to_bits();
        if bits << 1 == 0 {
            return ZERO;
        }
        let digits = i128::from(bits & 0x7f_ffff | 0x80_0000);
        let sign = if bits >> 31 == 0 { 1 } else { -1 };
        Self { digits: sign * digits, power: (bits >> 23 & 255) as i32 - 127 - 23 }
    }

    /// An fp16 as an input.
    pub(crate) fn of_fp16(bits: u16) -> Self {
        let sign = if bits >> 15 == 0 { 1 } else { -1 };
        let exponent = i32::from(bits >> 10 & 31);
        match exponent {
            0 => ZERO,
            31 => Self { digits: sign * 65504, power: 0 },
            _ => Self { digits: sign * i128::from(1024 + (bits & 1023)), power: exponent - 15 - 10 },
        }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        if self.digits == 0 {
            return other;
        }
        if other.digits == 0 {
            return self;
        }
        let power = self.power.min(other.power);
        let at = |value: Self| {
            let shift = value.power - power;
            assert!(length(value.digits.unsigned_abs()) + shift < 126, "the sum is wider than the oracle");
            value.digits << shift
        };
        Self { digits: at(self) + at(other), power }
    }

    pub(crate) fn times(self, other: Self) -> Self {
        Self { digits: self.digits * other.digits, power: self.power + other.power }
    }

    pub(crate) fn negative(self) -> Self {
        Self { digits: -self.digits, ..self }
    }

    pub(crate) fn is_negative(self) -> bool {
        self.digits < 0
    }

    pub(crate) fn is_above(self, other: Self) -> bool {
        other.plus(self.negative()).is_negative()
    }

    /// To so many significant bits, ties to even, exponents without bound.
    pub(crate) fn rounded(self, bits: i32) -> Self {
        let magnitude = self.digits.unsigned_abs();
        let shift = length(magnitude) - bits;
        if shift <= 0 {
            return self;
        }
        let digits = shifted(magnitude, shift) as i128;
        Self { digits: digits * self.digits.signum(), power: self.power + shift }
    }

    /// What an f32 operation makes of it.
    pub(crate) fn to_f32(self) -> Self {
        self.rounded(24)
    }

    /// To fp16: the four steps.
    pub(crate) fn to_fp16(self) -> u16 {
        let rounded = self.rounded(11);
        let sign = if rounded.digits < 0 { 0x8000 } else { 0 };
        let magnitude = Self { digits: rounded.digits.abs(), power: rounded.power };
        if magnitude.is_above(Self { digits: 65504, power: 0 }) {
            return sign | 0x7bff;
        }
        if magnitude.digits == 0 || (Self { digits: 1, power: -14 }).is_above(magnitude) {
            return 0;
        }
        let digits = magnitude.digits as u128;
        let place = length(digits) - 1 + magnitude.power;
        let fraction = shifted(digits, length(digits) - 11) as u16 - 1024;
        sign | ((place + 15) as u16) << 10 | fraction
    }

    /// An fp16, as a value.
    pub(crate) fn half(self) -> Self {
        Self::of_fp16(self.to_fp16())
    }

    /// 1/n, rounded to f32.
    pub(crate) fn reciprocal(n: u64) -> Self {
        let one = 1u128 << 100;
        let quotient = one / u128::from(n);
        // What is cut off only matters for being there.
        let sticky = u128::from(!one.is_multiple_of(u128::from(n)));
        Self { digits: (quotient << 1 | sticky) as i128, power: -101 }.to_f32()
    }
}

/// A block: its exponent and its signed integers.
pub(crate) fn block(values: &[u16], mantissa_bits: i32) -> (u8, Vec<i32>) {
    let exponents = values.iter().map(|bits| match bits >> 10 & 31 {
        31 => 30,
        exponent => exponent as u8,
    });
    let exponent = exponents.max().unwrap_or(0);
    let unit = i32::from(exponent) - 15 - (mantissa_bits - 1);
    let integer = |bits: &u16| {
        let value = Exact::of_fp16(*bits);
        let magnitude = shifted(value.digits.unsigned_abs(), unit - value.power);
        let bounded = magnitude.min((1 << mantissa_bits) - 1) as i32;
        if value.is_negative() { -bounded } else { bounded }
    };
    (exponent, values.iter().map(integer).collect())
}
