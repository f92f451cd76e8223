//! Convolutions, transposed ones and those in three dimensions as sets of convolutions in two: which elements of the
//! output a set computes, from which taps.

use crate::kernels::conv::ConvShape;
use ir::op::Window;

/// One set along one axis: element `i` of it takes tap `j` at element `i * stride + j * dilation - pad_begin` of the
/// data.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Set {
    /// Its first element of the output.
    pub(super) first: usize,
    /// Elements that are computed.
    pub(super) count: usize,
    /// Of these, at the begin, what the output does not have.
    pub(super) skip: usize,
    /// The taps, in the order in which the convolution passes over the data; `None` for one that weighs nothing.
    pub(super) taps: Vec<Option<usize>>,
    /// Elements of the data from one element of the set to the next.
    pub(super) stride: usize,
    /// Elements of the data from one tap to the next.
    pub(super) dilation: usize,
    /// Zeros before the data.
    pub(super) pad_begin: usize,
}

/// The one set of a convolution.
pub(super) fn whole(window: &Window) -> Set {
    Set {
        first: 0,
        count: window.output,
        skip: 0,
        taps: (0..window.kernel).map(Some).collect(),
        stride: window.stride,
        dilation: window.dilation,
        pad_begin: window.pad_begin.max(0) as usize,
    }
}

/// The sets of a transposed convolution: elements of the output that lie a stride apart meet the same taps. The window slides over the output: its position `p` has its tap `t` at
/// `p * stride + t * dilation - pad_begin`.
pub(super) fn of_transposed(window: &Window) -> Vec<Set> {
    let (stride, dilation) = (window.stride as i64, window.dilation as i64);
    let mut sets = Vec::new();
    for rest in 0..stride {
        let first = (rest - window.pad_begin).rem_euclid(stride);
        let count = (window.input as i64 - first + stride - 1).div_euclid(stride);
        if count <= 0 {
            continue;
        }
        let mut taps: Vec<usize> =
            (0..window.kernel).filter(|tap| (*tap as i64 * dilation) % stride == rest).collect();
        taps.reverse();
        // Positions of the data that the taps of the set's first element lie on.
        let from = (first + window.pad_begin - rest) / stride;
        let position = |tap: usize| from - (tap as i64 * dilation - rest) / stride;
        let step = match taps[..] {
            [a, b, ..] => position(b) - position(a),
            _ => 1,
        };
        let start = taps.first().map_or(0, |tap| position(*tap));
        let skip = start.max(0) as usize;
        sets.push(Set {
            first: first as usize,
            count: count as usize + skip,
            skip,
            taps: if taps.is_empty() { vec![None] } else { taps.into_iter().map(Some).collect() },
            stride: 1,
            dilation: step as usize,
            pad_begin: (-start).max(0) as usize,
        });
    }
    sets
}

/// The channels and weights of an op.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Channels {
    /// Groups.
    pub(super) groups: usize,
    /// Channels of the data, of all groups.
    pub(super) inputs: usize,
    /// Channels of the output, of all groups.
    pub(super) outputs: usize,
    /// The weights' taps along depth, height and width.
    pub(super) kernel: [usize; 3],
    /// The weights have the data's channels first, as transposed convolutions have them.
    pub(super) transposed: bool,
}

impl Channels {
    /// The weights of a convolution in two dimensions with the taps of three sets, those along the depth as channels:
    /// the taps of a channel beside each other, or with `taps_outside` the channels of a tap. `scale` is one factor
    /// for each channel of the output.
    pub(super) fn weights(
        &self,
        weights: &[f32],
        [z, y, x]: [&Set; 3],
        taps_outside: bool,
        scale: Option<&[f32]>,
    ) -> Vec<f32> {
        let (inputs, outputs) = (self.inputs / self.groups, self.outputs / self.groups);
        let [depth, height, width] = self.kernel;
        let taps = z.taps.len();
        let mut all = Vec::with_capacity(self.outputs * inputs * taps * y.taps.len() * x.taps.len());
        for output in 0..self.outputs {
            let (group, o) = (output / outputs, output % outputs);
            let scale = scale.map_or(1.0, |scale| scale[output]);
            for i in 0..inputs * taps {
                let (input, tap) = if taps_outside { (i % inputs, i / inputs) } else { (i / taps, i % taps) };
                let row = match self.transposed {
                    true => (group * inputs + input) * outputs + o,
                    false => output * inputs + input,
                };
                let own = &weights[row * depth * height * width..][..depth * height * width];
                for ty in &y.taps {
                    all.extend(x.taps.iter().map(|tx| match (z.taps[tap], ty, tx) {
                        (Some(tz), Some(ty), Some(tx)) => own[(tz * height + ty) * width + tx] * scale,
                        _ => 0.0,
                    }));
                }
            }
        }
        all
    }
}

/// The convolution of two sets over images of `input`, and the second set, to which it may add a tap.
pub(super) fn shape(
    batch: usize,
    [groups, in_channels, out_channels]: [usize; 3],
    input: [usize; 2],
    [y, x]: [&Set; 2],
) -> (ConvShape, Set) {
    let mut x = x.clone();
    let output = [y.count, x.count];
    let stride = [y.stride, x.stride];
    let moves = output != input || [y.pad_begin, x.pad_begin] != [0, 0];
    if [y.taps.len(), x.taps.len()] == [1, 1] && stride == [1, 1] && moves {
        // A convolution of single pixels takes the data to lie under the output.
        x.taps.push(None);
    }
    let shape = ConvShape {
        batch,
        groups,
        in_channels,
        out_channels,
        input,
        output,
        kernel: [y.taps.len(), x.taps.len()],
        stride,
        dilation: [y.dilation, x.dilation],
        pad_begin: [y.pad_begin, x.pad_begin],
    };
    (shape, x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_cover_every_tap_of_every_element_once() {
        for (kernel, stride, dilation, pad, output) in [
            (4, 2, 1, 1, 12),
            (3, 2, 1, 0, 13),
            (2, 3, 1, 0, 17),
            (3, 2, 3, 5, 9),
            (4, 4, 2, -1, 30),
            (3, 1, 2, 2, 8),
        ] {
            let window =
                Window { input: output, kernel, stride, dilation, pad_begin: pad, pad_end: 0, output: 6 };
            let mut pairs = Vec::new();
            for set in of_transposed(&window) {
                for i in set.skip..set.count {
                    for (j, tap) in set.taps.iter().enumerate().filter_map(|(j, tap)| Some((j, (*tap)?))) {
                        let position = i as i64 + (j * set.dilation) as i64 - set.pad_begin as i64;
                        pairs.push((set.first + (i - set.skip) * stride, tap, position));
                    }
                }
            }
            pairs.sort_unstable();
            let mut want = Vec::new();
            for at in 0..output {
                for tap in 0..kernel {
                    let from = at as i64 + pad - (tap * dilation) as i64;
                    if from.rem_euclid(stride as i64) == 0 {
                        want.push((at, tap, from / stride as i64));
                    }
                }
            }
            assert_eq!(pairs, want, "{window:?}");
        }
    }
}
