//! Windows that slide along spatial dimensions: the geometry that convolutions and pools share.

use super::{AutoPad, OpError, RoundingType};
use crate::Dim;

/// A window along one spatial dimension of known size, its padding resolved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// Elements that it slides over, without the padding.
    pub input: usize,
    /// Its taps.
    pub kernel: usize,
    /// Elements from one position to the next.
    pub stride: usize,
    /// Elements from one tap to the next.
    pub dilation: usize,
    /// Padding before the input; negative cuts off.
    pub pad_begin: i64,
    /// Padding behind the input; negative cuts off.
    pub pad_end: i64,
    /// Its positions.
    pub output: usize,
}

impl Window {
    /// True when every position has one tap, on the element of the same index.
    pub fn is_identity(&self) -> bool {
        self.kernel == 1 && self.stride == 1 && self.pad_begin == 0 && self.input == self.output
    }

    /// The input index of the first tap at position `at`; negative in the padding.
    pub fn start(&self, at: usize) -> i64 {
        at as i64 * self.stride as i64 - self.pad_begin
    }

    /// The taps that lie on the input at position `at`.
    pub fn taps(&self, at: usize) -> std::ops::Range<usize> {
        hits(self.start(at), self.dilation, self.kernel, self.input)
    }

    /// The input index of tap `tap` at position `at`, when [`Window::taps`] holds it.
    pub fn index(&self, at: usize, tap: usize) -> usize {
        (self.start(at) + (tap * self.dilation) as i64) as usize
    }

    /// The positions at which tap `tap` lies on the input.
    pub fn positions(&self, tap: usize) -> std::ops::Range<usize> {
        hits((tap * self.dilation) as i64 - self.pad_begin, self.stride, self.output, self.input)
    }
}

/// The `i < count` for which `0 <= start + i * step < len`.
fn hits(start: i64, step: usize, count: usize, len: usize) -> std::ops::Range<usize> {
    let (step, len) = (step as i64, len as i64);
    // Steps from `start` until `bound` is reached or passed.
    let until = |bound: i64| {
        let gap = bound.saturating_sub(start);
        let steps = if gap <= 0 { 0 } else { (gap - 1) / step + 1 };
        (steps as usize).min(count)
    };
    let (low, high) = (until(0), until(len));
    low..high.max(low)
}

/// The attributes of windows along all spatial dimensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sliding<'a> {
    pub(crate) strides: &'a [usize],
    /// Empty means 1.
    pub(crate) dilations: &'a [usize],
    /// Empty means none.
    pub(crate) pads_begin: &'a [i64],
    /// Empty means none.
    pub(crate) pads_end: &'a [i64],
    pub(crate) auto_pad: AutoPad,
    pub(crate) rounding: RoundingType,
}

impl Sliding<'_> {
    /// Demands attributes for `spatial` dimensions, within sizes that arithmetic on i64 can take.
    pub(crate) fn check(&self, spatial: usize) -> Result<(), OpError> {
        if spatial == 0 {
            return Err(OpError::shape("the data has no spatial dimensions; expected [N,C,spatial..]"));
        }
        let fits = |name: &str, found: usize, may_be_empty: bool| {
            if found == spatial || (may_be_empty && found == 0) {
                return Ok(());
            }
            Err(OpError::attribute(format!("`{name}` has {found} entries for {spatial} spatial dimensions")))
        };
        fits("strides", self.strides.len(), false)?;
        fits("dilations", self.dilations.len(), true)?;
        fits("pads_begin", self.pads_begin.len(), true)?;
        fits("pads_end", self.pads_end.len(), true)?;
        for (name, steps) in [("strides", self.strides), ("dilations", self.dilations)] {
            if steps.iter().any(|step| *step == 0 || *step > MOST) {
                return Err(OpError::attribute(format!(
                    "`{name}` is {steps:?}; each must lie between 1 and {MOST}"
                )));
            }
        }
        for (name, pads) in [("pads_begin", self.pads_begin), ("pads_end", self.pads_end)] {
            if pads.iter().any(|pad| pad.unsigned_abs() > MOST as u64) {
                return Err(OpError::attribute(format!("`{name}` is {pads:?}; the most is {MOST}")));
            }
        }
        Ok(())
    }

    pub(crate) fn stride(&self, i: usize) -> i64 {
        self.strides[i] as i64
    }

    pub(crate) fn dilation(&self, i: usize) -> usize {
        self.dilations.get(i).copied().unwrap_or(1)
    }

    /// What the attributes say of padding along dimension `i`.
    pub(crate) fn explicit_pads(&self, i: usize) -> (i64, i64) {
        match self.auto_pad {
            AutoPad::Explicit => {
                let at = |pads: &[i64]| pads.get(i).copied().unwrap_or(0);
                (at(self.pads_begin), at(self.pads_end))
            }
            _ => (0, 0),
        }
    }

    /// From the first tap to the last, both included.
    pub(crate) fn span(&self, i: usize, kernel: usize) -> Result<i64, OpError> {
        let taps =
            i64::try_from(kernel).ok().and_then(|kernel| kernel.checked_sub(1)).filter(|taps| *taps >= 0);
        let span = taps.and_then(|taps| taps.checked_mul(self.dilation(i) as i64)?.checked_add(1));
        span.filter(|span| *span <= i64::MAX / 4)
            .ok_or_else(|| OpError::shape(format!("no window has {kernel} taps along spatial dimension {i}")))
    }

    /// The window along spatial dimension `i` over `input` elements with `kernel` taps.
    fn window(&self, i: usize, input: usize, kernel: usize) -> Result<Window, OpError> {
        let (span, stride) = (self.span(i, kernel)?, self.stride(i));
        let size = i64::try_from(input).ok().filter(|size| *size <= i64::MAX / 4);
        let size = size.ok_or_else(|| OpError::shape(format!("spatial dimension {i} is {input}")))?;
        let (output, pad_begin, pad_end) = match self.auto_pad {
            AutoPad::SameUpper | AutoPad::SameLower => {
                let output = size / stride + i64::from(size % stride != 0);
                // `stride * (output - 1)` is less than `size`.
                let total = (stride * (output - 1).max(0) + span - size).max(0);
                let (small, large) = (total / 2, total - total / 2);
                let upper = self.auto_pad == AutoPad::SameUpper;
                if upper { (output, small, large) } else { (output, large, small) }
            }
            AutoPad::Explicit | AutoPad::Valid => {
                let (begin, end) = self.explicit_pads(i);
                let room = size + begin + end - span;
                if room < 0 {
                    return Err(OpError::shape(format!(
                        "along spatial dimension {i} a window of {kernel} taps at dilation {} is longer than \
                         the data with its padding, {begin} + {size} + {end}",
                        self.dilation(i)
                    )));
                }
                let up = self.rounding != RoundingType::Floor && room % stride != 0;
                let mut output = room / stride + 1 + i64::from(up);
                if self.rounding == RoundingType::CeilTorch && up && (output - 1) * stride >= size + begin {
                    output -= 1;
                }
                (output, begin, end)
            }
        };
        Ok(Window {
            input,
            kernel,
            stride: self.strides[i],
            dilation: self.dilation(i),
            pad_begin,
            pad_end,
            output: output as usize,
        })
    }

    /// The windows over data of known spatial sizes.
    pub(crate) fn windows(&self, input: &[usize], kernel: &[usize]) -> Result<Vec<Window>, OpError> {
        self.check(input.len())?;
        (0..input.len()).map(|i| self.window(i, input[i], kernel[i])).collect()
    }

    /// The numbers of positions along spatial dimensions that are not all known.
    pub(crate) fn outputs(&self, input: &[Dim], kernel: &[Dim]) -> Result<Vec<Dim>, OpError> {
        self.check(input.len())?;
        let same = matches!(self.auto_pad, AutoPad::SameUpper | AutoPad::SameLower);
        let output = |i: usize| {
            let (size, taps) = (input[i], kernel[i]);
            if let (Some(size), Some(taps)) = (size.size(), taps.size()) {
                return Ok(Dim::dim(self.window(i, size, taps)?.output));
            }
            // More data and a shorter window: more positions. Without a bound there is none.
            let most = match size.max() {
                i64::MAX => i64::MAX,
                size => self.window(i, size as usize, taps.min().max(1) as usize)?.output as i64,
            };
            // Where the smallest data is too short the op fails, so at least one position is left.
            let taps = if same { 1 } else { taps.max() };
            let least = self.window(i, size.min().max(0) as usize, taps.max(1) as usize);
            let least = least.map_or(1, |window| window.output as i64);
            Ok(Dim::new(least.min(most), most).unwrap_or(Dim::ANY_DIM))
        };
        (0..input.len()).map(output).collect()
    }
}

/// Larger strides, dilations and pads are nobody's; arithmetic stays clear of overflow.
const MOST: usize = 1 << 31;

/// The product of a size over all windows. It wraps only where data is empty, and then nobody indexes by it.
pub(crate) fn plane(windows: &[Window], size: impl Fn(&Window) -> usize) -> usize {
    windows.iter().map(size).fold(1, usize::wrapping_mul)
}

/// Calls `f` for every row of positions (all indices but the innermost) with the row's number and, for every row
/// of taps that lies on the input, the numbers of the input's row and the kernel's.
pub(crate) fn for_rows(windows: &[Window], mut f: impl FnMut(usize, &[(usize, usize)])) {
    let Some((_, outer)) = windows.split_last() else { return };
    if windows.iter().any(|window| window.output == 0) {
        return;
    }
    let sizes: Vec<usize> = outer.iter().map(|window| window.output).collect();
    let mut taps = Vec::new();
    let mut index = vec![0; outer.len()];
    for row in 0..sizes.iter().product() {
        let mut rest = row;
        for (at, size) in index.iter_mut().zip(&sizes).rev() {
            *at = rest % size;
            rest /= size;
        }
        taps.clear();
        taps.push((0, 0));
        for (window, at) in outer.iter().zip(&index) {
            for _ in 0..taps.len() {
                let (input, kernel) = taps.remove(0);
                // These wrap only for empty data and for the kernels of pools, which hold nothing to index.
                let row =
                    |number: usize, size: usize, more: usize| number.wrapping_mul(size).wrapping_add(more);
                let rows = window.taps(*at).map(|tap| {
                    (row(input, window.input, window.index(*at, tap)), row(kernel, window.kernel, tap))
                });
                taps.extend(rows);
            }
        }
        f(row, &taps);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sliding(
        stride: &[usize],
        pad: &[i64; 1],
        auto_pad: AutoPad,
        rounding: RoundingType,
    ) -> Sliding<'static> {
        Sliding {
            strides: stride.to_vec().leak(),
            dilations: &[],
            pads_begin: pad.to_vec().leak(),
            pads_end: pad.to_vec().leak(),
            auto_pad,
            rounding,
        }
    }

    #[test]
    fn positions_are_counted_by_the_rules() {
        use {AutoPad::*, RoundingType::*};
        // input, kernel, stride, pad, auto_pad, rounding -> output, pad_begin, pad_end
        let cases = [
            (5, 3, 2, 0, Explicit, Floor, (2, 0, 0)),
            (6, 3, 2, 0, Explicit, Floor, (2, 0, 0)),
            (6, 3, 2, 0, Explicit, Ceil, (3, 0, 0)),
            (6, 3, 2, 1, Explicit, Ceil, (4, 1, 1)),
            (3, 2, 2, 1, Explicit, Ceil, (3, 1, 1)),
            (2, 1, 2, 1, Explicit, Ceil, (3, 1, 1)),
            (2, 1, 2, 1, Explicit, CeilTorch, (2, 1, 1)),
            (5, 2, 1, 9, SameUpper, Floor, (5, 0, 1)),
            (5, 2, 1, 9, SameLower, Floor, (5, 1, 0)),
            (5, 2, 3, 9, SameUpper, Floor, (2, 0, 0)),
            (0, 3, 2, 0, SameUpper, Floor, (0, 1, 2)),
            (5, 5, 1, 9, Valid, Floor, (1, 0, 0)),
        ];
        for (input, kernel, stride, pad, auto, rounding, want) in cases {
            let window = sliding(&[stride], &[pad], auto, rounding).windows(&[input], &[kernel]).unwrap()[0];
            let found = (window.output, window.pad_begin, window.pad_end);
            assert_eq!(found, want, "{input} {kernel} {stride} {pad} {auto:?} {rounding:?}");
        }
    }

    #[test]
    fn taps_and_positions_agree_with_counting() {
        for (input, kernel, stride, dilation, pad_begin, output) in [
            (7, 3, 2, 2, 3, 5),
            (4, 2, 3, 1, -1, 2),
            (1, 5, 1, 1, 2, 1),
            (3, 2, 1, 5, 5, 4),
            (0, 2, 1, 1, 1, 1),
        ] {
            let window = Window { input, kernel, stride, dilation, pad_begin, pad_end: 0, output };
            for at in 0..output {
                for tap in 0..kernel {
                    let index = (at * stride + tap * dilation) as i64 - pad_begin;
                    let hit = (0..input as i64).contains(&index);
                    assert_eq!(window.taps(at).contains(&tap), hit, "{window:?} {at} {tap}");
                    assert_eq!(window.positions(tap).contains(&at), hit, "{window:?} {at} {tap}");
                }
            }
        }
    }

    #[test]
    fn unknown_sizes_keep_their_bounds() {
        let three = [Dim::exactly(3)];
        let plain = sliding(&[2], &[1], AutoPad::Explicit, RoundingType::Floor);
        for (size, want) in [("?", "1.."), ("7..9", "4..5"), ("0..9", "1..5")] {
            let shape: crate::PartialShape = size.parse().unwrap();
            assert_eq!(plain.outputs(shape.dims().unwrap(), &three).unwrap()[0].to_string(), want, "{size}");
        }
        let same = sliding(&[2], &[1], AutoPad::SameUpper, RoundingType::Floor);
        assert_eq!(same.outputs(&[Dim::ANY_DIM], &[Dim::ANY_DIM]).unwrap()[0], Dim::ANY_DIM);
        let unknown_kernel = plain.outputs(&[Dim::exactly(8)], &[Dim::ANY_DIM]).unwrap()[0];
        assert_eq!(unknown_kernel.to_string(), "1..5");
    }

    #[test]
    fn wild_attributes_are_errors() {
        let explicit =
            |stride: usize, pad: i64| sliding(&[stride], &[pad], AutoPad::Explicit, RoundingType::Floor);
        assert!(explicit(0, 0).windows(&[5], &[3]).is_err());
        assert!(explicit(usize::MAX, 0).windows(&[5], &[3]).is_err());
        assert!(explicit(1, i64::MAX).windows(&[5], &[3]).is_err());
        assert!(explicit(1, i64::MIN).windows(&[5], &[3]).is_err());
        assert!(explicit(1, 0).windows(&[5], &[0]).is_err());
        assert!(explicit(1, 0).windows(&[5], &[6]).is_err());
        assert!(explicit(1, 0).windows(&[usize::MAX], &[1]).is_err());
        assert!(explicit(1, 0).windows(&[5, 5], &[1, 1]).is_err());
        assert!(explicit(1, 0).windows(&[], &[]).is_err());
    }
}
