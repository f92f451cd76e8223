//! Layouts: which dimension of a tensor means what.

use std::{fmt, str::FromStr};
use thiserror::Error;

/// One dimension of a layout.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Mark {
    Named(String),
    Unnamed,
    /// `...`: any number of dimensions.
    Rest,
}

/// The meaning of a tensor's dimensions: `NCHW`, `[N,H,W,C]`, `NC?`, `N...C`. The default says nothing.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Layout(Vec<Mark>);

impl Layout {
    /// The index of the dimension called `name` (letter case ignored) in a tensor of `rank` dimensions.
    pub fn index_of(&self, name: &str, rank: usize) -> Option<usize> {
        let at = self.0.iter().position(|m| matches!(m, Mark::Named(n) if n.eq_ignore_ascii_case(name)))?;
        let rest = self.0.iter().position(|m| *m == Mark::Rest);
        let fits = if rest.is_some() { self.0.len() <= rank + 1 } else { self.0.len() == rank };
        if !fits {
            return None;
        }
        Some(if rest.is_some_and(|rest| rest < at) { rank - (self.0.len() - at) } else { at })
    }

    /// True when nothing is said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of dimensions, unless `...` leaves it open.
    pub fn rank(&self) -> Option<usize> {
        (!self.is_empty() && !self.0.contains(&Mark::Rest)).then_some(self.0.len())
    }

    /// The order that turns a tensor of this layout into one of layout `target`: dimension `i` of the result is
    /// dimension `order[i]` of the source. `None` when they do not name the same dimensions.
    pub fn order_to(&self, target: &Self) -> Option<Vec<usize>> {
        let rank = target.rank()?;
        let order: Option<Vec<_>> = target
            .0
            .iter()
            .map(|mark| match mark {
                Mark::Named(name) => self.index_of(name, rank),
                _ => None,
            })
            .collect();
        order.filter(|_| self.rank() == Some(rank))
    }

    /// The layout of a tensor whose dimension `i` was dimension `order[i]` of one of this layout.
    pub fn permuted(&self, order: &[usize]) -> Option<Self> {
        if self.rank() != Some(order.len()) {
            return None;
        }
        order.iter().map(|i| self.0.get(*i).cloned()).collect::<Option<_>>().map(Self)
    }
}

/// The bracketed form, `[N,C,H,W]`.
impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let marks: Vec<_> = self
            .0
            .iter()
            .map(|mark| match mark {
                Mark::Named(name) => name.as_str(),
                Mark::Unnamed => "?",
                Mark::Rest => "...",
            })
            .collect();
        write!(f, "[{}]", marks.join(","))
    }
}

impl fmt::Debug for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that isn't a layout.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error(
    "`{0}` is no layout: expected letters such as `NCHW`, or `[N,C,H,W]`, with `?` and one `...` allowed"
)]
pub struct LayoutSyntaxError(String);

impl FromStr for Layout {
    type Err = LayoutSyntaxError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = || LayoutSyntaxError(text.to_owned());
        let trimmed = text.trim();
        let mut marks = Vec::new();
        if let Some(inner) = trimmed.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
            for part in inner.split(',').map(str::trim).filter(|_| !inner.trim().is_empty()) {
                marks.push(match part {
                    "?" => Mark::Unnamed,
                    "..." => Mark::Rest,
                    name if !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_') => {
                        Mark::Named(name.to_ascii_uppercase())
                    }
                    _ => return Err(fail()),
                });
            }
        } else {
            let mut rest = trimmed;
            while let Some(c) = rest.chars().next() {
                if let Some(tail) = rest.strip_prefix("...") {
                    marks.push(Mark::Rest);
                    rest = tail;
                    continue;
                }
                marks.push(match c {
                    '?' => Mark::Unnamed,
                    c if c.is_ascii_alphabetic() => Mark::Named(c.to_ascii_uppercase().to_string()),
                    _ => return Err(fail()),
                });
                rest = &rest[c.len_utf8()..];
            }
        }
        let duplicate = (1..marks.len()).any(|i| marks[i] != Mark::Unnamed && marks[..i].contains(&marks[i]));
        if duplicate || marks.len() > crate::shape::MAX_RANK {
            return Err(fail());
        }
        Ok(Self(marks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(text: &str) -> Layout {
        text.parse().unwrap()
    }

    #[test]
    fn dimensions_are_found() {
        assert_eq!(layout("NHWC"), layout("[n, h, w, c]"));
        assert_eq!(layout("nchw").index_of("C", 4), Some(1));
        assert_eq!(layout("N...C").index_of("c", 5), Some(4));
        assert_eq!(layout("...HW").index_of("H", 4), Some(2));
        assert_eq!(layout("NC").index_of("C", 4), None);
        assert_eq!(layout("NHWC").order_to(&layout("NCHW")), Some(vec![0, 3, 1, 2]));
        assert_eq!(layout("NHWC").permuted(&[0, 3, 1, 2]), Some(layout("NCHW")));
        for bad in ["NN", "N C", "[N,,C]", "......"] {
            assert!(bad.parse::<Layout>().is_err(), "{bad}");
        }
    }
}
