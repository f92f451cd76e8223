//! Closed integer intervals: a dimension, or a value that shape arithmetic follows.

use std::{
    fmt,
    ops::{Add, Mul, Neg, Sub},
};

/// The integers from `min` to `max`, both included. `i64::MAX` and `i64::MIN` stand for "no bound"; arithmetic
/// saturates there.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Interval {
    min: i64,
    max: i64,
}

/// A dimension of a [`crate::PartialShape`]: an interval that holds no negative number.
pub type Dim = Interval;

impl Interval {
    /// A dimension of any size: 0 to no bound.
    pub const ANY_DIM: Self = Self { min: 0, max: i64::MAX };
    /// A value of which nothing is known.
    pub const UNKNOWN: Self = Self { min: i64::MIN, max: i64::MAX };

    /// Exactly `value`.
    pub const fn exactly(value: i64) -> Self {
        Self { min: value, max: value }
    }

    /// The dimension of exactly `size`; sizes beyond i64 saturate.
    pub fn dim(size: usize) -> Self {
        Self::exactly(i64::try_from(size).unwrap_or(i64::MAX))
    }

    /// From `min` to `max`, both included; `None` when that is empty.
    pub fn new(min: i64, max: i64) -> Option<Self> {
        (min <= max).then_some(Self { min, max })
    }

    /// The smallest member.
    pub fn min(self) -> i64 {
        self.min
    }

    /// The largest member; `i64::MAX` means no bound.
    pub fn max(self) -> i64 {
        self.max
    }

    /// The only member, when there is only one.
    pub fn value(self) -> Option<i64> {
        (self.min == self.max && self.min != i64::MAX && self.min != i64::MIN).then_some(self.min)
    }

    /// The only member as a size, when there is only one and it isn't negative.
    pub fn size(self) -> Option<usize> {
        self.value().and_then(|v| usize::try_from(v).ok())
    }

    /// True when `value` is a member.
    pub fn contains(self, value: i64) -> bool {
        (self.min..=self.max).contains(&value)
    }

    /// The members of both; `None` when there are none.
    pub fn intersect(self, other: Self) -> Option<Self> {
        Self::new(self.min.max(other.min), self.max.min(other.max))
    }

    /// The smallest interval that holds both.
    pub fn hull(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }

    /// Applies a function that grows with its argument to both ends; an absent bound stays absent.
    pub fn map_monotone(self, f: impl Fn(i64) -> i64) -> Self {
        let end = |v: i64| if v == i64::MAX || v == i64::MIN { v } else { f(v) };
        let (a, b) = (end(self.min), end(self.max));
        Self { min: a.min(b), max: a.max(b) }
    }

    /// What `divisor`, above 0, divides without rest, divided by it; `None` when there is no such member.
    pub fn exact_quotients(self, divisor: i64) -> Option<Self> {
        let up = |v: i64| v.div_euclid(divisor) + i64::from(v.rem_euclid(divisor) != 0);
        let min = if self.min == i64::MIN { self.min } else { up(self.min) };
        let max = if self.max == i64::MAX { self.max } else { self.max.div_euclid(divisor) };
        Self::new(min, max)
    }

    /// The same, with whatever lies below zero cut off: what arithmetic on dimensions leaves.
    pub fn as_dim(self) -> Self {
        Self { min: self.min.max(0), max: self.max.max(0) }
    }
}

fn saturating_add(a: i64, b: i64) -> i64 {
    if a == i64::MAX || b == i64::MAX {
        i64::MAX
    } else if a == i64::MIN || b == i64::MIN {
        i64::MIN
    } else {
        a.saturating_add(b)
    }
}

impl Add for Interval {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { min: saturating_add(self.min, other.min), max: saturating_add(self.max, other.max) }
    }
}

impl Neg for Interval {
    type Output = Self;
    fn neg(self) -> Self {
        // `saturating_neg` of MIN is MAX: no lower bound becomes no upper bound. The reverse needs saying.
        let end = |v: i64| if v == i64::MAX { i64::MIN } else { v.saturating_neg() };
        Self { min: end(self.max), max: end(self.min) }
    }
}

impl Sub for Interval {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Mul for Interval {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let products = [
            self.min.saturating_mul(other.min),
            self.min.saturating_mul(other.max),
            self.max.saturating_mul(other.min),
            self.max.saturating_mul(other.max),
        ];
        Self {
            min: products.into_iter().min().expect("four products"),
            max: products.into_iter().max().expect("four products"),
        }
    }
}

impl From<usize> for Interval {
    fn from(size: usize) -> Self {
        Self::dim(size)
    }
}

/// `7`, `?`, `2..9`, `2..`.
impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min, self.max) {
            (min, max) if min == max => write!(f, "{min}"),
            (0 | i64::MIN, i64::MAX) => f.write_str("?"),
            (min, i64::MAX) => write!(f, "{min}.."),
            (i64::MIN, max) => write!(f, "..{max}"),
            (min, max) => write!(f, "{min}..{max}"),
        }
    }
}

impl fmt::Debug for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_keeps_absent_bounds() {
        let any = Interval::ANY_DIM;
        assert_eq!((any + Interval::exactly(3)).to_string(), "3..");
        assert_eq!((Interval::exactly(8) - any).to_string(), "..8");
        assert_eq!(any * Interval::exactly(2), any);
        assert_eq!((any * Interval::exactly(0)).value(), Some(0));
        let small = Interval::new(2, 4).unwrap();
        assert_eq!((small * Interval::exactly(-3)).to_string(), "-12..-6");
        assert_eq!((-Interval::UNKNOWN), Interval::UNKNOWN);
        assert_eq!(small.intersect(Interval::exactly(5)), None);
        assert_eq!(Interval::new(5, 13).unwrap().exact_quotients(4), Interval::new(2, 3));
        assert_eq!(Interval::exactly(7).exact_quotients(2), None);
        assert_eq!(any.exact_quotients(3), Some(any));
    }
}
