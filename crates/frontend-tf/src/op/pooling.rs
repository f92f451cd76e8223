//! Pooling.

use super::layout::{Channels, Padding, positive};
use crate::scope::{Converted, Problem, Scope};
use ir::op::{AvgPool, MaxPool, RoundingType};

struct Window {
    channels: Channels,
    kernel: Vec<usize>,
    strides: Vec<usize>,
    padding: Padding,
}

impl Window {
    /// Sizes and steps are attributes, or in the second version of the op inputs 1 and 2.
    fn of(s: &mut Scope, spatial: usize) -> Result<Self, Problem> {
        let channels = Channels::of(s)?;
        let padding = Padding::of(s, channels, spatial)?;
        let (kernel, strides) = if s.inputs.len() == 3 {
            (s.integers(1)?, s.integers(2)?)
        } else {
            (s.ints("ksize")?.to_vec(), s.ints("strides")?.to_vec())
        };
        let kernel = positive(channels.spatial(&kernel, spatial, 1, "ksize")?, "ksize")?;
        let strides = positive(channels.spatial(&strides, spatial, 1, "strides")?, "strides")?;
        Ok(Self { channels, kernel, strides, padding })
    }
}

pub(super) fn maximum(s: &mut Scope, spatial: usize) -> Converted {
    let data = s.input(0)?;
    let Window { channels, kernel, strides, padding } = Window::of(s, spatial)?;
    let data = channels.second(s, data, spatial + 2)?;
    let Padding { auto: auto_pad, begin: pads_begin, end: pads_end } = padding;
    let rounding_type = RoundingType::Floor;
    let result =
        s.emit(MaxPool { strides, pads_begin, pads_end, kernel, rounding_type, auto_pad }, &[data])?;
    Ok(vec![channels.restored(s, result, spatial + 2)?])
}

/// The maxima; the positions of the maxima, the second output, have no conversion.
pub(super) fn maximum_with_positions(s: &mut Scope) -> Converted {
    s.ignore(&["include_batch_in_index"]);
    maximum(s, 2)
}

/// The padding does not count.
pub(super) fn average(s: &mut Scope, spatial: usize) -> Converted {
    let data = s.input(0)?;
    let Window { channels, kernel, strides, padding } = Window::of(s, spatial)?;
    let data = channels.second(s, data, spatial + 2)?;
    let Padding { auto: auto_pad, begin: pads_begin, end: pads_end } = padding;
    let rounding_type = RoundingType::Floor;
    let op = AvgPool { strides, pads_begin, pads_end, kernel, exclude_pad: true, rounding_type, auto_pad };
    let result = s.emit(op, &[data])?;
    Ok(vec![channels.restored(s, result, spatial + 2)?])
}
