//! Threads that work together on one kernel: static partition, no lock or allocation on the way.

use crate::share::{Sample, Share, Speeds, Taken};
use std::{
    any::Any,
    cell::UnsafeCell,
    hint::spin_loop,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::{JoinHandle, Thread},
    time::Instant,
};

/// Work: called once on each thread with its share.
type Work = dyn Fn(&Share) + Sync;

/// How often a thread looks for news before it parks: a few ten microseconds.
const SPINS: usize = 4000;

/// How often a thread looks whether the others are done before it lets the system run something else.
const PATIENCE: usize = 1000;

/// Threads that share work by their speeds. Whoever holds the pool mutably is its first thread.
pub(crate) struct Pool {
    threads: Threads,
    speeds: Speeds,
}

impl Pool {
    /// A pool of `threads`, the calling one included.
    pub(crate) fn new(threads: usize) -> Self {
        let count = threads.max(1);
        Self { threads: Threads::new(count), speeds: Speeds::even(count) }.shared_out()
    }

    /// As [`new`](Self::new), with shares that differ from the start.
    #[cfg(test)]
    pub(crate) fn uneven(threads: usize) -> Self {
        Self { speeds: Speeds::uneven(threads), ..Self::new(threads) }.shared_out()
    }

    fn shared_out(mut self) -> Self {
        self.threads.share_out(&self.speeds);
        self
    }

    /// Threads, the calling one included.
    pub(crate) fn threads(&self) -> usize {
        self.threads.count()
    }

    /// Calls `work` once on each thread, and returns when all have done their shares. A panic is passed on.
    pub(crate) fn run(&mut self, work: &(dyn Fn(&Share) + Sync)) {
        if self.threads() == 1 {
            return work(&Share::even(0, 1, &Taken::default()));
        }
        if let Some(first) = self.threads.run(work)
            && self.speeds.learn(std::iter::once(first).chain(self.threads.samples()))
        {
            self.threads.share_out(&self.speeds);
        }
    }
}

/// One run of so many is measured: to look at the clock twice takes a third of the time that it takes to start a run.
const MEASURED: usize = 3;

/// Does a share of a run; what was done, if the run is measured.
fn measured(run: usize, share: (usize, usize, [u64; 2]), work: &(dyn Fn(&Share) + Sync)) -> Option<Sample> {
    let (taken, start) = (Taken::default(), run.is_multiple_of(MEASURED).then(Instant::now));
    work(&Share::new(share.0, share.1, share.2, &taken));
    start.map(|start| Sample::new(&taken, start.elapsed()))
}

/// The threads; all but the first spin briefly, then park.
struct Threads {
    shared: Arc<Shared>,
    workers: Vec<(Thread, Option<JoinHandle<()>>)>,
    /// The bounds of the first one's share.
    bounds: [u64; 2],
}

/// Data that other data shares no cache line with, nor the line beside it, which processors fetch along.
#[repr(align(128))]
struct Apart<T>(T);

/// What all workers read when a run begins.
struct Order {
    /// Counts the runs; a worker that sees it change has work.
    run: AtomicUsize,
    /// The work of the run, valid from the change of `run` until all workers have finished it.
    work: UnsafeCell<Option<*const Work>>,
    close: AtomicBool,
}

/// What one worker writes.
#[derive(Default)]
struct Report {
    /// The last run that it has finished.
    done: AtomicUsize,
    /// The bits of what it did in the last measured run: in the line that is read for `done` anyway.
    sample: [AtomicU64; 2],
    /// The bounds of its share, written while it does not run.
    bounds: [AtomicU64; 2],
    /// It is parked, or about to be.
    parked: AtomicBool,
}

struct Shared {
    order: Apart<Order>,
    reports: Vec<Apart<Report>>,
    /// The first worker that panics leaves its message here.
    panicked: AtomicBool,
    panic: UnsafeCell<Option<Box<dyn Any + Send>>>,
}

// SAFETY: `work` is written by the pool's owner while no worker runs (all have reported the last run as done), and
// read by workers after an acquire of `run`; `panic` is written by the one worker that wins `panicked`, and read
// once all are done.
unsafe impl Sync for Shared {}
// SAFETY: as above; the work's pointer is to something `Sync`.
unsafe impl Send for Shared {}

impl Threads {
    fn new(count: usize) -> Self {
        let order =
            Order { run: AtomicUsize::new(0), work: UnsafeCell::new(None), close: AtomicBool::new(false) };
        let shared = Arc::new(Shared {
            order: Apart(order),
            reports: (1..count).map(|_| Apart(Report::default())).collect(),
            panicked: AtomicBool::new(false),
            panic: UnsafeCell::new(None),
        });
        let start = |i: usize| {
            let shared = shared.clone();
            let named = std::thread::Builder::new().name(format!("cpu-worker-{i}"));
            let handle = named.spawn(move || shared.worker(i, count)).expect("the system starts a thread");
            (handle.thread().clone(), Some(handle))
        };
        let workers = (1..count).map(start).collect();
        Self { shared, workers, bounds: [0; 2] }
    }

    fn count(&self) -> usize {
        self.workers.len() + 1
    }

    /// Tells all threads their shares.
    fn share_out(&mut self, speeds: &Speeds) {
        let mut all = speeds.bounds();
        self.bounds = all.next().expect("there is a first thread");
        for (report, bounds) in self.shared.reports.iter().zip(all) {
            // The next change of `run` publishes them.
            report.0.bounds.iter().zip(bounds).for_each(|(to, bound)| to.store(bound, Ordering::Relaxed));
        }
    }

    /// What the workers did in the last measured run.
    fn samples(&self) -> impl Iterator<Item = Sample> + Clone {
        self.shared.reports.iter().map(|report| {
            let [part, time] =
                report.0.sample.each_ref().map(|bits| f64::from_bits(bits.load(Ordering::Relaxed)));
            Sample { part, time }
        })
    }

    /// Calls `work` once on each thread, and returns when all have; what was done here if the run is measured.
    fn run(&mut self, work: &(dyn Fn(&Share) + Sync)) -> Option<Sample> {
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes; `Wait` keeps this call, even if it unwinds, until no worker uses it.
        let work_ptr =
            unsafe { std::mem::transmute::<*const (dyn Fn(&Share) + Sync + '_), *const Work>(work) };
        let order = &shared.order.0;
        // SAFETY: no worker runs: the last run's `Wait` saw all of them done, and the pool is borrowed mutably.
        unsafe { *order.work.get() = Some(work_ptr) };
        let run = order.run.load(Ordering::Relaxed).wrapping_add(1);
        // Before the look at `parked`: a worker says that it parks before it looks at `run` once more, so that one of
        // the two sees the other.
        order.run.swap(run, Ordering::SeqCst);
        let wait = Wait { shared, run };
        for (report, (thread, _)) in shared.reports.iter().zip(&self.workers) {
            if report.0.parked.load(Ordering::SeqCst) {
                thread.unpark();
            }
        }
        let sample = measured(run, (0, self.count(), self.bounds), work);
        drop(wait);
        if shared.panicked.swap(false, Ordering::Relaxed) {
            // SAFETY: all workers are done, the one that wrote it too.
            if let Some(panic) = unsafe { (*shared.panic.get()).take() } {
                resume_unwind(panic);
            }
        }
        sample
    }
}

/// Waits, when dropped, until every worker has finished the run.
struct Wait<'a> {
    shared: &'a Shared,
    run: usize,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        for report in &self.shared.reports {
            let mut spins = 0;
            while report.0.done.load(Ordering::Acquire) != self.run {
                spins += 1;
                // A worker that the system has taken off its processor needs ours.
                if spins % PATIENCE == 0 { std::thread::yield_now() } else { spin_loop() }
            }
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        let order = &self.shared.order.0;
        order.close.store(true, Ordering::Relaxed);
        order.run.fetch_add(1, Ordering::SeqCst);
        for (thread, handle) in &mut self.workers {
            thread.unpark();
            // Workers catch the panics of their work.
            _ = handle.take().map(JoinHandle::join);
        }
    }
}

impl Shared {
    fn worker(&self, index: usize, count: usize) {
        let (order, report) = (&self.order.0, &self.reports[index - 1].0);
        let mut seen = 0;
        loop {
            let mut spins = 0;
            while order.run.load(Ordering::Acquire) == seen {
                spins += 1;
                if spins < SPINS {
                    spin_loop();
                    continue;
                }
                report.parked.store(true, Ordering::SeqCst);
                while order.run.load(Ordering::SeqCst) == seen {
                    std::thread::park();
                }
                report.parked.store(false, Ordering::SeqCst);
            }
            seen = order.run.load(Ordering::Acquire);
            if order.close.load(Ordering::Relaxed) {
                return;
            }
            // SAFETY: `run` changed, so the work is set, and stays valid until this worker reports that it is done.
            let work = unsafe { (*order.work.get()).map(|work| &*work) };
            let bounds = report.bounds.each_ref().map(|bound| bound.load(Ordering::Relaxed));
            let share = (index, count, bounds);
            let result = catch_unwind(AssertUnwindSafe(|| work.and_then(|work| measured(seen, share, work))));
            match result {
                Ok(Some(Sample { part, time })) => {
                    report.sample[0].store(part.to_bits(), Ordering::Relaxed);
                    report.sample[1].store(time.to_bits(), Ordering::Relaxed);
                }
                Err(panic) if !self.panicked.swap(true, Ordering::Relaxed) => {
                    // SAFETY: only one worker wins `panicked`, and nobody reads before all are done.
                    unsafe { *self.panic.get() = Some(panic) };
                }
                Ok(None) | Err(_) => {}
            }
            report.done.store(seen, Ordering::Release);
        }
    }
}

/// Part `index` of `count` parts of `0..n`: contiguous, and of even size but for one.
pub(crate) fn part(n: usize, index: usize, count: usize) -> Range<usize> {
    n * index / count..n * (index + 1) / count
}

/// A range over many rows of `len` each, row by row: its number, and the part of it.
pub(crate) fn by_row(mut range: Range<usize>, len: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
    std::iter::from_fn(move || {
        let (row, first) = (range.start.checked_div(len)?, range.start % len);
        let some = first..len.min(first + range.len());
        range.start += some.len();
        (!some.is_empty()).then_some((row, some))
    })
}

/// A pointer to a buffer that threads write disjoint parts of.
#[derive(Clone, Copy)]
pub(crate) struct Shards<T>(*mut T);

// SAFETY: a pointer moves no data; whoever dereferences it says why its part is its own.
unsafe impl<T: Send> Send for Shards<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shards<T> {}

impl<T> Shards<T> {
    /// The buffer's start.
    pub(crate) fn new(buffer: &mut [T]) -> Self {
        Self(buffer.as_mut_ptr())
    }

    /// The pointer.
    pub(crate) fn get(self) -> *mut T {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_takes_part_in_every_run() {
        for threads in [1, 2, 3] {
            let mut pool = Pool::new(threads);
            let calls: Vec<AtomicUsize> = (0..threads).map(|_| AtomicUsize::new(0)).collect();
            for run in 0..2000 {
                pool.run(&|share| {
                    assert_eq!(share.count(), threads);
                    calls[share.index()].fetch_add(1, Ordering::Relaxed);
                });
                assert!(calls.iter().all(|c| c.load(Ordering::Relaxed) == run + 1));
                if run % 500 == 0 {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
            }
        }
    }

    #[test]
    fn a_panic_is_passed_on_and_the_pool_lives() {
        let mut pool = Pool::new(2);
        let panic =
            catch_unwind(AssertUnwindSafe(|| pool.run(&|share| assert_ne!(share.index(), 1, "broken"))));
        assert!(panic.unwrap_err().downcast_ref::<String>().is_some_and(|text| text.contains("broken")));
        let count = AtomicUsize::new(0);
        pool.run(&|_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(count.into_inner(), 2);
    }

    /// Work of many lengths, with and without parked workers, on more threads than processors, beside other load.
    #[test]
    fn runs_never_overlap() {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    spin_loop();
                }
            });
            for threads in [2, 3, 8] {
                let (stop, runs) = (&stop, if threads > 3 { 300u64 } else { 2000 });
                let pool = scope.spawn(move || {
                    let mut pool = Pool::new(threads);
                    // Not atomic: a run that began before the last one ended would tear them.
                    let mut sums = vec![0u64; threads * 16];
                    let mut state = 1u64;
                    for run in 1..=runs {
                        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                        let length = state >> 54;
                        let to = Shards::new(&mut sums);
                        pool.run(&|share| {
                            (0..length).for_each(|_| spin_loop());
                            // SAFETY: each thread has its own number; the vector outlives the run.
                            unsafe { *to.get().add(share.index() * 16) += run };
                        });
                        let all = sums.iter().step_by(16).all(|sum| *sum == run * (run + 1) / 2);
                        assert!(all, "{threads} threads, run {run}: {sums:?}");
                        if run % 300 == 0 {
                            std::thread::sleep(std::time::Duration::from_millis(2));
                        }
                    }
                });
                let done = pool.join();
                stop.fetch_or(threads == 8 || done.is_err(), Ordering::Relaxed);
                done.unwrap();
            }
        });
    }

    #[test]
    #[ignore = "measures"]
    fn speed_of_a_run() {
        for threads in [1, 2] {
            let mut pool = Pool::new(threads);
            let mut thousand = || {
                let start = std::time::Instant::now();
                (0..1000).for_each(|_| pool.run(&|_| {}));
                start.elapsed()
            };
            let best = (0..500).map(|_| thousand()).min().unwrap();
            println!("{threads} threads: {} ns a run", best.as_micros());
        }
    }

    #[test]
    fn rows_of_a_range() {
        let rows = |range, len| by_row(range, len).collect::<Vec<_>>();
        assert_eq!(rows(2..9, 4), [(0, 2..4), (1, 0..4), (2, 0..1)]);
        assert_eq!(rows(4..8, 4), [(1, 0..4)]);
        assert_eq!(rows(3..3, 4), []);
        assert_eq!(rows(0..0, 0), []);
    }

    #[test]
    fn parts_cover_everything_once() {
        for (n, count) in [(0, 3), (1, 3), (7, 3), (9, 3), (100, 7)] {
            let all: Vec<usize> = (0..count).flat_map(|i| part(n, i, count)).collect();
            assert_eq!(all, (0..n).collect::<Vec<_>>());
        }
    }
}
