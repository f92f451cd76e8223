//! How much of a kernel's work each thread takes. That is fixed before the kernel starts, so that nothing is shared on
//! the way; but from kernel to kernel the shares follow the threads' speeds, for cores are not equally fast: another
//! program runs on the same core, another virtual machine on its other hardware thread, or they are of several kinds.

use std::{cell::Cell, ops::Range, time::Duration};

/// The part of the work that a thread takes.
pub(crate) struct Share<'a> {
    index: usize,
    count: usize,
    /// Where the part begins and ends, in parts of [`WHOLE`].
    bounds: [u64; 2],
    taken: &'a Taken,
}

/// What a thread has taken, of how many.
pub(crate) type Taken = Cell<[u64; 2]>;

/// The end of the work in the numbers that shares are cut by.
const WHOLE: u64 = 1 << 32;

impl<'a> Share<'a> {
    /// The share within bounds that [`Speeds::bounds`] gave.
    pub(crate) fn new(index: usize, count: usize, bounds: [u64; 2], taken: &'a Taken) -> Self {
        Self { index, count, bounds, taken }
    }

    /// An even share.
    pub(crate) fn even(index: usize, count: usize, taken: &'a Taken) -> Self {
        let bound = |i: usize| WHOLE * i as u64 / count as u64;
        Self { index, count, bounds: [bound(index), bound(index + 1)], taken }
    }

    /// The thread's number.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// The number of threads.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The part of `0..n` that is this thread's; those of all threads are all of it.
    pub(crate) fn part(&self, n: usize) -> Range<usize> {
        let at = |bound: u64| {
            ((n as u128 * u128::from(bound) + u128::from(WHOLE / 2)) / u128::from(WHOLE)) as usize
        };
        let part = at(self.bounds[0])..at(self.bounds[1]);
        let [taken, of] = self.taken.get();
        self.taken.set([taken + part.len() as u64, of + n as u64]);
        part
    }

    /// The share if only so many threads have memory to work in; nothing for the others.
    pub(crate) fn among(&self, threads: usize) -> Option<Self> {
        match threads < self.count {
            true => (self.index < threads).then(|| Self::even(self.index, threads, self.taken)),
            false => Some(Self { ..*self }),
        }
    }
}

/// What a thread did in one run: the part of the work that it took, and nanoseconds.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sample {
    pub(crate) part: f64,
    pub(crate) time: f64,
}

impl Sample {
    pub(crate) fn new(taken: &Taken, time: Duration) -> Self {
        let [taken, of] = taken.get().map(|number| number as f64);
        Self { part: if of > 0.0 { taken / of } else { 0.0 }, time: time.as_nanos() as f64 }
    }
}

/// The speeds of threads, as far as they are known, and the shares that follow.
pub(crate) struct Speeds {
    /// The part of all threads' speed that is each one's.
    parts: Vec<f64>,
    /// The parts that the shares are made by.
    used: Vec<f64>,
}

/// Nanoseconds of measured work that speeds are learnt over: some layers of a small network. Over ten times as many the
/// shares come too late.
const MEMORY: f64 = 3e5;
/// What takes fewer nanoseconds says nothing about speed.
const LEAST: f64 = 3000.0;
/// A thread is taken to be no slower than this part of the mean speed, so that it has work which shows its speed.
const SLOWEST: f64 = 0.25;
/// A thread that is slower by such a factor all at once was interrupted, which says nothing about its speed.
const INTERRUPTED: f64 = 5.0;
/// By how much a speed must change for the shares to change: they should stay, for a thread's data are in its cache.
const CHANGE: f64 = 0.08;

impl Speeds {
    /// Of so many threads, all the same.
    pub(crate) fn even(threads: usize) -> Self {
        let parts = vec![1.0 / threads as f64; threads];
        Self { used: parts.clone(), parts }
    }

    /// Of threads each of which is as much faster than the one before as the second is than the first.
    #[cfg(test)]
    pub(crate) fn uneven(threads: usize) -> Self {
        let all = (threads * (threads + 1) / 2) as f64;
        let parts: Vec<f64> = (1..=threads).map(|speed| speed as f64 / all).collect();
        Self { used: parts.clone(), parts }
    }

    /// The bounds of each thread's share.
    pub(crate) fn bounds(&self) -> impl Iterator<Item = [u64; 2]> {
        let all: f64 = self.used.iter().sum();
        let (mut before, mut end) = (0.0, 0);
        self.used.iter().enumerate().map(move |(i, part)| {
            let start = end;
            before += part;
            end = if i + 1 == self.used.len() { WHOLE } else { (before / all * WHOLE as f64) as u64 };
            [start, end]
        })
    }

    /// Learns from a run; true if the shares change.
    pub(crate) fn learn(&mut self, samples: impl Iterator<Item = Sample> + Clone) -> bool {
        let (mut all, mut least) = (0.0, f64::INFINITY);
        for Sample { part, time } in samples.clone() {
            if part <= 0.0 || time < LEAST {
                return false;
            }
            (all, least) = (all + part / time, least.min(time));
        }
        let seen = samples.map(|Sample { part, time }| part / time / all);
        if self.parts.iter().zip(seen.clone()).any(|(known, seen)| seen * INTERRUPTED < *known) {
            return false;
        }
        let (weight, count) = ((least / MEMORY).min(0.5), self.parts.len() as f64);
        let mut changed = false;
        for ((known, used), seen) in self.parts.iter_mut().zip(&self.used).zip(seen) {
            *known += weight * (seen.max(SLOWEST / count) - *known);
            changed |= (*known - used).abs() * count > CHANGE;
        }
        changed |= self.is_level() && self.used.iter().any(|part| *part != 1.0 / count);
        if changed {
            self.follow();
        }
        changed
    }

    /// True when the threads are about equally fast.
    fn is_level(&self) -> bool {
        let count = self.parts.len() as f64;
        self.parts.iter().all(|part| (part * count - 1.0).abs() <= CHANGE / 2.0)
    }

    /// Makes the shares that follow from what is known.
    fn follow(&mut self) {
        self.used.clone_from(&self.parts);
        if self.is_level() {
            self.used.fill(1.0 / self.parts.len() as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share<'a>(speeds: &Speeds, index: usize, taken: &'a Taken) -> Share<'a> {
        let bounds = speeds.bounds().nth(index).unwrap();
        Share::new(index, speeds.parts.len(), bounds, taken)
    }

    fn parts(speeds: &Speeds, n: usize) -> Vec<usize> {
        let taken = Taken::default();
        let mut end = 0;
        let count = speeds.parts.len();
        let parts = (0..count).map(|i| {
            let part = share(speeds, i, &taken).part(n);
            assert_eq!(part.start, end, "shares follow each other");
            end = part.end;
            part.len()
        });
        let parts = parts.collect();
        assert_eq!(end, n, "nothing is left");
        parts
    }

    /// Runs of `n` units that take each thread so many nanoseconds a unit.
    fn work(speeds: &mut Speeds, runs: usize, n: usize, pace: &[u64]) {
        for _ in 0..runs {
            let sample = |(i, pace): (usize, &u64)| {
                let taken = Taken::default();
                let units = share(speeds, i, &taken).part(n).len() as u64;
                Sample::new(&taken, Duration::from_nanos(units * pace))
            };
            let samples: Vec<Sample> = pace.iter().enumerate().map(sample).collect();
            speeds.learn(samples.into_iter());
        }
    }

    #[test]
    fn shares_cover_everything_once() {
        for count in [1, 2, 3, 7] {
            let mut speeds = Speeds::even(count);
            for n in [0, 1, 7, 9, 100] {
                let parts = parts(&speeds, n);
                assert!(parts.iter().max().unwrap() - parts.iter().min().unwrap() <= 1, "{parts:?}");
            }
            let pace: Vec<u64> = (0..count as u64).map(|i| 100 + 37 * i).collect();
            work(&mut speeds, 1000, 10_000, &pace);
            for n in [0, 1, 7, 9, 100, 1 << 40] {
                parts(&speeds, n);
            }
        }
    }

    #[test]
    fn shares_follow_speeds_and_come_back() {
        let mut speeds = Speeds::even(2);
        work(&mut speeds, 500, 1000, &[100, 200]);
        let uneven = parts(&speeds, 300);
        assert!((187..=213).contains(&uneven[0]), "{uneven:?}");
        // What differs little stays.
        work(&mut speeds, 500, 1000, &[102, 198]);
        assert_eq!(parts(&speeds, 300), uneven);
        work(&mut speeds, 500, 1000, &[150, 151]);
        assert_eq!(parts(&speeds, 300), [150, 150]);
        // The speed follows from what each thread took, not from the time alone.
        work(&mut speeds, 500, 3, &[10_000, 10_000]);
        assert_eq!(parts(&speeds, 300), [150, 150]);
    }

    #[test]
    fn interruptions_and_small_work_change_nothing() {
        let mut speeds = Speeds::even(2);
        work(&mut speeds, 1000, 1000, &[100, 100_000]);
        work(&mut speeds, 1000, 10, &[1, 200]);
        // One thread had nothing to do.
        work(&mut speeds, 1000, 1, &[10_000, 10_000]);
        assert_eq!(parts(&speeds, 300), [150, 150]);
        // However slow a thread is, it keeps work that shows when it is faster again.
        work(&mut speeds, 5000, 100_000, &[100, 850]);
        let least = parts(&speeds, 1000)[1];
        assert!((100..=155).contains(&least), "{least}");
    }

    #[test]
    fn few_threads_share_evenly() {
        let (speeds, taken) = (Speeds::even(4), Taken::default());
        let parts = (0..4).map(|i| share(&speeds, i, &taken).among(3).map(|share| share.part(9)));
        assert_eq!(parts.collect::<Vec<_>>(), [Some(0..3), Some(3..6), Some(6..9), None]);
        assert_eq!(share(&speeds, 3, &taken).among(4).map(|share| share.part(8)), Some(6..8));
    }
}
