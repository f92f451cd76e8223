//! Feature maps as the overlay sees them: places, and where channels lie in their words.

use crate::program::Channels;
use std::ops::Range;

/// Where the channels of a place lie in its words: pieces, each from the start of a word.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Lanes(Vec<Channels>);

impl Lanes {
    /// All channels, one after the other.
    pub(crate) fn new(channels: usize) -> Self {
        Self(vec![Channels { word: 0, count: channels as u32 }])
    }

    /// The pieces.
    pub(crate) fn pieces(&self) -> &[Channels] {
        &self.0
    }

    /// How many channels there are.
    pub(crate) fn count(&self) -> usize {
        self.0.iter().map(|piece| piece.count as usize).sum()
    }

    /// Words of a place.
    pub(crate) fn blocks(&self, vector: usize) -> usize {
        let end = |piece: &Channels| piece.word as usize + (piece.count as usize).div_ceil(vector);
        self.0.iter().map(end).max().unwrap_or(0)
    }

    /// True when channel c is value c of the place.
    pub(crate) fn is_contiguous(&self) -> bool {
        self.0.len() == 1 && self.0[0].word == 0
    }

    /// The value of the place that each channel is.
    pub(crate) fn positions(&self, vector: usize) -> Vec<usize> {
        let of = |piece: &Channels| {
            let first = piece.word as usize * vector;
            first..first + piece.count as usize
        };
        self.0.iter().flat_map(of).collect()
    }

    /// The channels of several, one behind the other; and the word where each begins.
    pub(crate) fn concatenated(parts: &[&Self], vector: usize) -> (Self, Vec<usize>) {
        let (mut pieces, mut words, mut next) = (Vec::<Channels>::new(), Vec::new(), 0);
        for part in parts {
            words.push(next as usize);
            for piece in &part.0 {
                let word = next + piece.word;
                match pieces.last_mut() {
                    // No gap between them.
                    Some(last)
                        if last.count.is_multiple_of(vector as u32)
                            && last.word + last.count / vector as u32 == word =>
                    {
                        last.count += piece.count;
                    }
                    _ => pieces.push(Channels { word, count: piece.count }),
                }
            }
            next += part.blocks(vector) as u32;
        }
        (Self(pieces), words)
    }

    /// The channels of a range, if they are words of their own: the first word and how they lie from there.
    pub(crate) fn part(&self, range: Range<usize>, vector: usize) -> Option<(usize, Self)> {
        let positions = self.positions(vector);
        let first = *positions.get(range.start)?;
        let alone = first.is_multiple_of(vector)
            && positions.get(range.end).is_none_or(|next| next.is_multiple_of(vector));
        let (word, mut at, mut pieces) = (first / vector, 0, Vec::new());
        for piece in &self.0 {
            let (from, to) = (at.max(range.start), (at + piece.count as usize).min(range.end));
            if from < to {
                let start = piece.word as usize * vector + from - at;
                pieces.push(Channels { word: (start / vector - word) as u32, count: (to - from) as u32 });
            }
            at += piece.count as usize;
        }
        (alone && !pieces.is_empty()).then_some((word, Self(pieces)))
    }
}

/// A feature map.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Image {
    /// Rows.
    pub(crate) height: usize,
    /// Columns.
    pub(crate) width: usize,
    /// Its channels.
    pub(crate) lanes: Lanes,
}

impl Image {
    /// An image whose channels lie one after the other.
    pub(crate) fn new(height: usize, width: usize, channels: usize) -> Self {
        Self { height, width, lanes: Lanes::new(channels) }
    }

    /// Height, width, channels.
    pub(crate) fn sizes(&self) -> [usize; 3] {
        [self.height, self.width, self.lanes.count()]
    }
}

/// How a window slides along one axis: over an input that has `zoom - 1` zeros between its elements, or whose elements
/// are repeated `repeat` times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Span {
    /// Its taps.
    pub(crate) kernel: usize,
    /// From one position to the next.
    pub(crate) stride: usize,
    /// From one tap to the next.
    pub(crate) dilation: usize,
    /// Steps before the input where it begins.
    pub(crate) pad: usize,
    /// Steps from one element to the next, zeros between.
    pub(crate) zoom: usize,
    /// Steps that each element fills.
    pub(crate) repeat: usize,
}

impl Span {
    /// One element at a time.
    pub(crate) const ONE: Self = Self { kernel: 1, stride: 1, dilation: 1, pad: 0, zoom: 1, repeat: 1 };

    /// From the first tap to the last.
    pub(crate) fn reach(&self) -> usize {
        (self.kernel - 1) * self.dilation
    }

    /// The elements that positions read, of `length`; and the padding before the first of them.
    pub(crate) fn reads(&self, positions: &Range<usize>, length: usize) -> (Range<usize>, usize) {
        let begin = positions.start * self.stride;
        let end = ((positions.end - 1) * self.stride + self.reach()).saturating_sub(self.pad);
        let first = begin.saturating_sub(self.pad);
        let first = if self.repeat > 1 { first / self.repeat } else { first.div_ceil(self.zoom) };
        let first = first.min(length - 1);
        let end = (end / (self.zoom * self.repeat) + 1).clamp(first + 1, length);
        (first..end, self.pad + first * self.zoom * self.repeat - begin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concatenated_channels_keep_their_gaps_and_their_places() {
        let (ten, six, full) = (Lanes::new(10), Lanes::new(6), Lanes::new(16));
        let (lanes, words) = Lanes::concatenated(&[&full, &ten, &six], 8);
        assert_eq!((lanes.count(), lanes.blocks(8), words), (32, 5, vec![0, 2, 4]));
        // The first two join without a gap.
        assert_eq!(lanes.pieces(), [Channels { word: 0, count: 26 }, Channels { word: 4, count: 6 }]);
        assert_eq!(lanes.positions(8)[24..28], [24, 25, 32, 33]);
        assert_eq!(lanes.part(26..32, 8), Some((4, Lanes::new(6))));
        assert_eq!(lanes.part(8..26, 8), Some((1, Lanes::new(18))));
        assert_eq!(lanes.part(0..25, 8), None);
        assert_eq!(lanes.part(4..26, 8), None);
    }

    #[test]
    fn slices_read_what_their_windows_cover() {
        // By trying every tap.
        for (kernel, stride, dilation, pad, zoom) in
            [(3, 1, 1, 1, 1), (3, 2, 1, 1, 1), (3, 1, 2, 2, 1), (4, 1, 1, 2, 2), (2, 1, 1, 1, 3)]
        {
            let span = Span { kernel, stride, dilation, pad, zoom, repeat: 1 };
            let length = 9;
            let outputs = ((length - 1) * zoom + 1 + 2 * pad - span.reach() - 1) / stride + 1;
            for a in 0..outputs {
                for b in a + 1..=outputs {
                    let (read, front) = span.reads(&(a..b), length);
                    for (at, tap) in (a..b).flat_map(|at| (0..kernel).map(move |tap| (at, tap))) {
                        let step = at * stride + tap * dilation;
                        let element =
                            step.checked_sub(pad).filter(|s| s.is_multiple_of(zoom)).map(|s| s / zoom);
                        let here = ((at - a) * stride + tap * dilation).checked_sub(front);
                        let here = here.filter(|s| s.is_multiple_of(zoom)).map(|s| read.start + s / zoom);
                        match element.filter(|e| *e < length) {
                            Some(element) => assert!(read.contains(&element) && here == Some(element)),
                            None => assert!(here.is_none_or(|here| here >= read.end)),
                        }
                    }
                }
            }
        }
    }
}
