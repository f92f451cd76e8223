//! The stream buffer while a program is made: which words are taken.

use std::ops::Range;

/// The words that are taken, in order.
pub(crate) struct Buffer {
    words: u32,
    taken: Vec<Range<u32>>,
}

impl Buffer {
    /// An empty buffer.
    pub(crate) fn new(words: u32) -> Self {
        Self { words, taken: Vec::new() }
    }

    /// How many words it has.
    pub(crate) fn words(&self) -> u32 {
        self.words
    }

    /// Takes words from the smallest gap that has as many.
    pub(crate) fn take(&mut self, words: u32) -> Option<u32> {
        let ends = std::iter::once(0).chain(self.taken.iter().map(|range| range.end));
        let starts = self.taken.iter().map(|range| range.start).chain([self.words]);
        let gaps = ends.zip(starts).enumerate().filter(|(_, (end, start))| start - end >= words);
        let (at, (address, _)) = gaps.min_by_key(|(_, (end, start))| start - end)?;
        self.taken.insert(at, address..address + words);
        Some(address)
    }

    /// Gives back what begins at `address`.
    pub(crate) fn give(&mut self, address: u32) {
        self.taken.retain(|range| range.start != address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_gap_is_taken() {
        let mut buffer = Buffer::new(100);
        let all: Vec<u32> = [30, 10, 20, 10].into_iter().filter_map(|words| buffer.take(words)).collect();
        assert_eq!(all, [0, 30, 40, 60]);
        buffer.give(0);
        buffer.give(40);
        assert_eq!(buffer.take(15), Some(40));
        assert_eq!(buffer.take(31), None);
        assert_eq!(buffer.take(30), Some(0));
        assert_eq!(buffer.take(30), Some(70));
    }
}
