//! Quantisation.

use crate::scope::{Converted, Problem, Scope, malformed};
use ir::{Port, Tensor, op::FakeQuantize};

/// Data, and the range as attributes.
pub(super) fn min_max_args(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let (min, max) = (s.float("min", -6.0)?, s.float("max", 6.0)?);
    fake_quantize(s, data, &[], &[min], &[max])
}

/// Data, and the range as inputs: one for all, or one for each channel, which comes last.
pub(super) fn min_max_vars(s: &mut Scope) -> Converted {
    let [data, ..] = s.exactly::<3>()?;
    let (min, max) = (s.folded(1)?, s.folded(2)?);
    let floats = |tensor: &Tensor| tensor.to_f64s().into_iter().map(|v| v as f32).collect::<Vec<_>>();
    if min.shape() != max.shape() {
        return malformed(format!(
            "its range is {:?} to {:?}, which differ in shape",
            min.shape(),
            max.shape()
        ));
    }
    fake_quantize(s, data, min.shape(), &floats(&min), &floats(&max))
}

fn fake_quantize(s: &mut Scope, data: Port, shape: &[usize], min: &[f32], max: &[f32]) -> Converted {
    let bits = s.int("num_bits", 8)?;
    let narrow = s.bool("narrow_range", false)?;
    if !(2..=16).contains(&bits) {
        return malformed(format!("{bits} bits, expected 2 to 16"));
    }
    let greatest = (1usize << bits) - 1;
    let least = usize::from(narrow);
    let nudged: Vec<(f32, f32)> =
        min.iter().zip(max).map(|(min, max)| nudge(*min, *max, least as f32, greatest as f32)).collect();
    let mut bound = |suffix: &str, values: Vec<f32>| -> Result<Port, Problem> {
        let tensor = Tensor::from_slice(shape, &values).map_err(|e| Problem::Malformed(e.to_string()))?;
        Ok(s.constant(suffix, tensor))
    };
    let low = bound("low", nudged.iter().map(|range| range.0).collect())?;
    let high = bound("high", nudged.iter().map(|range| range.1).collect())?;
    s.one(FakeQuantize { levels: greatest - least + 1 }, &[data, low, high, low, high])
}

/// Moves a range so that zero falls on one of the quantised values, in single precision as TensorFlow does.
fn nudge(min: f32, max: f32, least: f32, greatest: f32) -> (f32, f32) {
    let scale = (max - min) / (greatest - least);
    let zero = least - min / scale;
    // Not `clamp`: an empty range leaves a zero that is no number.
    let zero = if zero < least {
        least
    } else if zero > greatest {
        greatest
    } else {
        zero.round()
    };
    ((least - zero) * scale, (greatest - zero) * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_falls_on_a_step() {
        let (low, high) = nudge(-0.1, 63.65, 0.0, 255.0);
        assert_eq!((low, high), (0.0, 63.75));
        let (low, high) = nudge(-1.0, 1.0, 1.0, 255.0);
        assert_eq!((low, high), (-1.0, 1.0));
        assert_eq!(nudge(2.0, 6.0, 0.0, 255.0).0, 0.0);
    }
}
