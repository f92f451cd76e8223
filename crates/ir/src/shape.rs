//! Shapes of which some dimensions, or even the rank, may be unknown.

use crate::{Dim, Interval};
use std::{fmt, str::FromStr};
use thiserror::Error;

/// The most dimensions that a tensor may have: far above any network, low enough to bound a hostile file.
pub const MAX_RANK: usize = 64;

/// A shape: unknown rank, or a list of dimensions that are sizes or intervals of sizes.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct PartialShape(Option<Vec<Dim>>);

impl PartialShape {
    /// A shape of which not even the rank is known.
    pub const UNKNOWN: Self = Self(None);

    /// A shape of known rank.
    pub fn new(dims: impl IntoIterator<Item = Dim>) -> Self {
        Self(Some(dims.into_iter().collect()))
    }

    /// A fully known shape.
    pub fn fixed(sizes: &[usize]) -> Self {
        Self::new(sizes.iter().map(|size| Dim::dim(*size)))
    }

    /// `rank` dimensions of any size.
    pub fn of_rank(rank: usize) -> Self {
        Self(Some(vec![Dim::ANY_DIM; rank]))
    }

    /// The dimensions, when the rank is known.
    pub fn dims(&self) -> Option<&[Dim]> {
        self.0.as_deref()
    }

    /// The number of dimensions, when known.
    pub fn rank(&self) -> Option<usize> {
        self.0.as_ref().map(Vec::len)
    }

    /// The sizes, when every one is known.
    pub fn sizes(&self) -> Option<Vec<usize>> {
        self.0.as_ref()?.iter().map(|dim| dim.size()).collect()
    }

    /// True when every dimension is known.
    pub fn is_fixed(&self) -> bool {
        self.sizes().is_some()
    }

    /// What is known from either; `None` when they contradict each other.
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        match (&self.0, &other.0) {
            (None, _) => Some(other.clone()),
            (_, None) => Some(self.clone()),
            (Some(a), Some(b)) if a.len() == b.len() => {
                let dims: Option<Vec<_>> = a.iter().zip(b).map(|(a, b)| a.intersect(*b)).collect();
                dims.map(|dims| Self(Some(dims)))
            }
            _ => None,
        }
    }

    /// True when a tensor of shape `sizes` fits.
    pub fn admits(&self, sizes: &[usize]) -> bool {
        self.intersect(&Self::fixed(sizes)).is_some()
    }

    /// The shape of an elementwise result by numpy's rules; `None` when the shapes do not broadcast.
    pub fn broadcast(&self, other: &Self) -> Option<Self> {
        let (Some(a), Some(b)) = (self.dims(), other.dims()) else {
            return Some(Self::UNKNOWN);
        };
        let rank = a.len().max(b.len());
        let at =
            |dims: &[Dim], i: usize| (i + dims.len()).checked_sub(rank).map_or(Dim::exactly(1), |i| dims[i]);
        let dims: Option<Vec<_>> = (0..rank).map(|i| broadcast_dims(at(a, i), at(b, i))).collect();
        dims.map(|dims| Self(Some(dims)))
    }
}

/// One dimension of a broadcast: a known 1 yields to the other side, otherwise both must agree.
fn broadcast_dims(a: Dim, b: Dim) -> Option<Dim> {
    match (a.value(), b.value()) {
        (Some(1), _) => Some(b),
        (_, Some(1)) => Some(a),
        // The unknown side can still be 1, and then the known one decides; it can't be anything else.
        (Some(_), None) => b.hull(Dim::exactly(1)).intersect(a).map(|_| a),
        (None, Some(_)) => a.hull(Dim::exactly(1)).intersect(b).map(|_| b),
        (Some(_), Some(_)) => a.intersect(b),
        (None, None) if a == b => Some(a),
        (None, None) => Some(a.hull(b)),
    }
}

impl From<&[usize]> for PartialShape {
    fn from(sizes: &[usize]) -> Self {
        Self::fixed(sizes)
    }
}

/// `[1,3,?,8..16]`, `[]` for a scalar, `[...]` when the rank is unknown.
impl fmt::Display for PartialShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(dims) = self.dims() else { return f.write_str("[...]") };
        let dims: Vec<_> = dims.iter().map(Interval::to_string).collect();
        write!(f, "[{}]", dims.join(","))
    }
}

impl fmt::Debug for PartialShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that isn't a shape.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("`{0}` is no shape: expected sizes, `?`, or ranges like `1..8`, with commas or spaces between them")]
pub struct ShapeSyntaxError(String);

/// Reads what [`fmt::Display`] writes, with or without brackets, round or square; `-1` also means any size, and
/// spaces may stand for commas.
impl FromStr for PartialShape {
    type Err = ShapeSyntaxError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = || ShapeSyntaxError(text.to_owned());
        let inner = text.trim();
        let inner = match inner.as_bytes() {
            [b'[', .., b']'] | [b'(', .., b')'] => inner[1..inner.len() - 1].trim(),
            _ => inner,
        };
        if inner == "..." {
            return Ok(Self::UNKNOWN);
        }
        if inner.is_empty() {
            return Ok(Self::fixed(&[]));
        }
        let parts: Vec<&str> = if inner.contains(',') {
            inner.split(',').map(str::trim).collect()
        } else {
            inner.split_whitespace().collect()
        };
        if parts.len() > MAX_RANK {
            return Err(fail());
        }
        let dims: Option<Vec<_>> = parts.into_iter().map(parse_dim).collect();
        dims.map(|dims| Self(Some(dims))).ok_or_else(fail)
    }
}

fn parse_dim(text: &str) -> Option<Dim> {
    if matches!(text, "?" | "-1") {
        return Some(Dim::ANY_DIM);
    }
    if let Some((low, high)) = text.split_once("..") {
        let low = if low.trim().is_empty() { 0 } else { low.trim().parse().ok()? };
        let high = if high.trim().is_empty() { i64::MAX } else { high.trim().parse().ok()? };
        return Dim::new(low, high).filter(|dim| dim.min() >= 0);
    }
    text.parse().ok().filter(|size| *size >= 0).map(Dim::exactly)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> PartialShape {
        text.parse().unwrap()
    }

    #[test]
    fn text_round_trips() {
        for text in ["[1,3,?,8..16]", "[]", "[...]", "[2..]", "[0]"] {
            assert_eq!(shape(text).to_string(), text);
        }
        assert_eq!(shape("(1, 224, 224, 3)"), shape("[1 224 224 3]"));
        assert_eq!(shape("-1,3"), shape("?,3"));
        for bad in ["[1,,2]", "[a]", "[-2]", "[9..2]", "[1.5]"] {
            assert!(bad.parse::<PartialShape>().is_err(), "{bad}");
        }
    }

    #[test]
    fn broadcasting_follows_numpy() {
        for (a, b, want) in [
            ("[2,3]", "[3]", Some("[2,3]")),
            ("[1,3]", "[4,1]", Some("[4,3]")),
            ("[?,3]", "[5,1]", Some("[5,3]")),
            ("[?]", "[1]", Some("[?]")),
            ("[2]", "[3]", None),
            ("[]", "[7]", Some("[7]")),
            ("[...]", "[7]", Some("[...]")),
            ("[0]", "[1]", Some("[0]")),
        ] {
            let found = shape(a).broadcast(&shape(b)).map(|s| s.to_string());
            assert_eq!(found.as_deref(), want, "{a} with {b}");
        }
    }
}
