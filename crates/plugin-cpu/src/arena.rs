//! The memory of activations: offsets chosen by liveness, one block that holds them all.

use crate::memory::Region;
use ir::ALIGNMENT;

/// A stretch of memory that steps `first` to `last` use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Buffer {
    /// Its length in bytes.
    pub(crate) bytes: usize,
    /// The first step that uses it.
    pub(crate) first: usize,
    /// The last step that uses it.
    pub(crate) last: usize,
}

/// Offsets, each a multiple of [`ALIGNMENT`], and the length of the whole. Buffers that live at the same time do
/// not overlap. The largest are placed first, each into the smallest gap that holds it.
pub(crate) fn assign(buffers: &[Buffer]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..buffers.len()).collect();
    order.sort_by_key(|i| (std::cmp::Reverse(buffers[*i].bytes), buffers[*i].first));
    let mut offsets = vec![0; buffers.len()];
    let mut placed: Vec<usize> = Vec::new();
    let mut total = 0;
    for i in order {
        let Buffer { bytes, first, last } = buffers[i];
        let bytes = bytes.next_multiple_of(ALIGNMENT);
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|j| buffers[**j].first <= last && first <= buffers[**j].last)
            .map(|j| (offsets[*j], offsets[*j] + buffers[*j].bytes.next_multiple_of(ALIGNMENT)))
            .collect();
        taken.sort_unstable();
        let (mut end, mut best) = (0, None::<(usize, usize)>);
        for (from, to) in taken {
            if from >= end + bytes && best.is_none_or(|(gap, _)| from - end < gap) {
                best = Some((from - end, end));
            }
            end = end.max(to);
        }
        offsets[i] = best.map_or(end, |(_, offset)| offset);
        total = total.max(offsets[i] + bytes);
        placed.push(i);
    }
    (offsets, total)
}

/// Memory that grows to what the largest plan of a stream needs.
pub(crate) struct Arena(Region);

impl Default for Arena {
    fn default() -> Self {
        Self(Region::zeroed(0))
    }
}

impl Arena {
    /// At least `bytes` bytes; what they hold is undefined but initialised.
    pub(crate) fn bytes(&mut self, bytes: usize) -> &mut [u8] {
        if self.0.len() < bytes {
            self.0 = Region::zeroed(0);
            self.0 = Region::zeroed(bytes);
        }
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_that_live_together_do_not_overlap() {
        let mut state = 1u64;
        let mut random = |n: usize| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as usize % n
        };
        for _ in 0..50 {
            let buffers: Vec<Buffer> = (0..40)
                .map(|_| {
                    let first = random(60);
                    Buffer { bytes: random(5000), first, last: first + random(8) }
                })
                .collect();
            let (offsets, total) = assign(&buffers);
            for (i, a) in buffers.iter().enumerate() {
                assert_eq!(offsets[i] % ALIGNMENT, 0);
                assert!(offsets[i] + a.bytes <= total);
                for (j, b) in buffers.iter().enumerate().skip(i + 1) {
                    let together = a.first <= b.last && b.first <= a.last;
                    let apart = offsets[i] + a.bytes <= offsets[j] || offsets[j] + b.bytes <= offsets[i];
                    assert!(!together || apart || a.bytes == 0 || b.bytes == 0, "{a:?} {b:?}");
                }
            }
        }
    }

    #[test]
    fn a_chain_takes_two_buffers() {
        let chain: Vec<Buffer> = (0..10).map(|i| Buffer { bytes: 64, first: i, last: i + 1 }).collect();
        assert_eq!(assign(&chain).1, 128);
    }
}
