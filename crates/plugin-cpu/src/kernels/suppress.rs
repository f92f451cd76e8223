//! The best boxes of those that overlap. A candidate meets all that are kept at once, a vector of them at a time.

use crate::isa::{Isa, Kernel, Simd};

/// Left, top, right, bottom.
pub(crate) type Corners = [f32; 4];

/// A number for a candidate: the best and, of equal ones, the first has the least.
pub(crate) fn key(score: f32, index: usize) -> u64 {
    let bits = (score + 0.0).to_bits();
    let up = if bits >> 31 == 1 { !bits } else { bits | 1 << 31 };
    u64::from(!up) << 32 | index as u64
}

/// The candidate's index.
pub(crate) fn index(key: u64) -> usize {
    key as u32 as usize
}

/// Leaves the `most` best of `keys`, in order; their number.
pub(crate) fn best(keys: &mut [u64], most: usize) -> usize {
    if most < keys.len() && most > 0 {
        keys.select_nth_unstable(most - 1);
    }
    let kept = most.min(keys.len());
    keys[..kept].sort_unstable();
    kept
}

/// Floats of memory that [`suppress`] works in to keep so many boxes.
pub(crate) fn scratch(most: usize) -> usize {
    most.next_multiple_of(AT_ONCE) * 5
}

/// Boxes that are met between two looks at the result.
const AT_ONCE: usize = 64;

/// Writes the keys of candidates, the best first, that overlap none of those written before by more than
/// `threshold`, which is at least 0; their number. No more than `to` has room for.
pub(crate) fn suppress(
    isa: Isa,
    keys: &[u64],
    corners: impl Fn(usize) -> Corners,
    threshold: f32,
    to: &mut [u64],
    scratch: &mut [f32],
) -> usize {
    let room = to.len().next_multiple_of(AT_ONCE);
    assert!(scratch.len() >= 5 * room && threshold >= 0.0);
    let mut count = 0;
    for candidate in keys {
        if count == to.len() {
            break;
        }
        let corners = corners(index(*candidate));
        let [left, top, right, bottom] = corners;
        let area = if right < left || bottom < top { 0.0 } else { (right - left) * (bottom - top) };
        if isa.dispatch(Meets { kept: scratch, room, count, corners, area, threshold }) {
            continue;
        }
        if count.is_multiple_of(AT_ONCE) {
            // Boxes that nothing overlaps, up to where vectors reach.
            (0..5).for_each(|i| scratch[i * room + count..][..AT_ONCE].fill(0.0));
        }
        let numbers = [left, top, right, bottom, area];
        numbers.iter().enumerate().for_each(|(i, number)| scratch[i * room + count] = *number);
        to[count] = *candidate;
        count += 1;
    }
    count
}

/// Whether one of the boxes that are kept overlaps a candidate too much.
struct Meets<'a> {
    kept: &'a [f32],
    room: usize,
    count: usize,
    corners: Corners,
    area: f32,
    threshold: f32,
}

impl Kernel for Meets<'_> {
    type Out = bool;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> bool {
        let [left, top, right, bottom] = self.corners.map(|corner| s.splat(corner));
        let (area, threshold) = (s.splat(self.area), s.splat(self.threshold));
        let (zero, one) = (s.splat(0.0), s.splat(1.0));
        for start in (0..self.count).step_by(AT_ONCE) {
            let mut met = zero;
            for at in (start..start + AT_ONCE).step_by(S::LANES) {
                // SAFETY: `suppress` gave memory for five rows of `room`, and `start` is a multiple below it.
                let [l, t, r, b, a] =
                    std::array::from_fn(|i| unsafe { s.load(self.kept[i * self.room + at..].as_ptr()) });
                let width = s.max(zero, s.sub(s.min(right, r), s.max(left, l)));
                let height = s.max(zero, s.sub(s.min(bottom, b), s.max(top, t)));
                let shared = s.mul(width, height);
                let overlap = s.div(shared, s.sub(s.add(area, a), shared));
                met = s.max(met, s.select(s.lt(threshold, overlap), one, zero));
            }
            if s.sum(met) > 0.0 {
                return true;
            }
        }
        false
    }
}
