//! Layouts: TensorFlow's channels-last networks around ops whose channels come second.

use crate::scope::{Problem, Scope, malformed, refuse};
use ir::{Port, op::AutoPad};

/// Where the channels of a node's data stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Channels {
    Last,
    Second,
}

impl Channels {
    /// Reads `data_format`.
    pub(super) fn of(s: &mut Scope) -> Result<Self, Problem> {
        match s.text("data_format", "NHWC")? {
            "NHWC" | "NDHWC" => Ok(Self::Last),
            "NCHW" | "NCDHW" => Ok(Self::Second),
            other => refuse(format!("the data format {other}")),
        }
    }

    /// The rank that `data_format` speaks of.
    pub(super) fn named_rank(s: &mut Scope) -> Result<usize, Problem> {
        Ok(s.text("data_format", "NHWC")?.len())
    }

    /// `port` with its channels second.
    pub(super) fn second(self, s: &mut Scope, port: Port, rank: usize) -> Result<Port, Problem> {
        if self == Self::Second || rank < 3 {
            return Ok(port);
        }
        let rank = rank as i64;
        let order: Vec<i64> = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
        s.transposed("nchw", port, &order)
    }

    /// A result with its channels second, back in the node's own layout.
    pub(super) fn restored(self, s: &mut Scope, port: Port, rank: usize) -> Result<Port, Problem> {
        if self == Self::Second || rank < 3 {
            return Ok(port);
        }
        let order: Vec<i64> = [0].into_iter().chain(2..rank as i64).chain([1]).collect();
        s.transposed("nhwc", port, &order)
    }

    /// The spatial part of a list that has one entry a dimension; batch and channels must say `outer`.
    pub(super) fn spatial<T: Copy + PartialEq>(
        self,
        list: &[T],
        spatial: usize,
        outer: T,
        what: &str,
    ) -> Result<Vec<T>, Problem> {
        if list.len() != spatial + 2 {
            return malformed(format!("`{what}` has {} entries, expected {}", list.len(), spatial + 2));
        }
        let (start, channel) = if self == Self::Last { (1, spatial + 1) } else { (2, 1) };
        if list[0] != outer || list[channel] != outer {
            return refuse(format!("`{what}` over batch or channels"));
        }
        Ok(list[start..start + spatial].to_vec())
    }
}

/// Sizes that must be positive.
pub(super) fn positive(list: Vec<i64>, what: &str) -> Result<Vec<usize>, Problem> {
    let size = |v: &i64| usize::try_from(*v).ok().filter(|v| *v > 0);
    let sizes: Option<Vec<usize>> = list.iter().map(size).collect();
    sizes.map_or_else(|| malformed(format!("`{what}` is {list:?}, expected positive numbers")), Ok)
}

/// The padding of a window.
pub(super) struct Padding {
    pub(super) auto: AutoPad,
    pub(super) begin: Vec<i64>,
    pub(super) end: Vec<i64>,
}

impl Padding {
    /// Reads `padding` and `explicit_paddings`.
    pub(super) fn of(s: &mut Scope, channels: Channels, spatial: usize) -> Result<Self, Problem> {
        let explicit = s.ints("explicit_paddings")?;
        let zeros = || vec![0; spatial];
        let auto = match s.text("padding", "")? {
            "SAME" => AutoPad::SameUpper,
            "VALID" => AutoPad::Valid,
            "EXPLICIT" => {
                let pairs: Vec<(i64, i64)> =
                    explicit.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
                let pairs = channels.spatial(&pairs, spatial, (0, 0), "explicit_paddings")?;
                let (begin, end) = pairs.into_iter().unzip();
                return Ok(Self { auto: AutoPad::Explicit, begin, end });
            }
            other => return refuse(format!("the padding `{other}`")),
        };
        Ok(Self { auto, begin: zeros(), end: zeros() })
    }
}
