//! Threads that work together on one kernel: static partition, no lock or allocation on the way.

use std::{
    any::Any,
    cell::UnsafeCell,
    hint::spin_loop,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{JoinHandle, Thread},
};

/// Work: called once on each thread with its index and the number of threads.
type Work = dyn Fn(usize, usize) + Sync;

/// How often a thread looks for news before it parks: a few ten microseconds.
const SPINS: usize = 4000;

/// The threads. Whoever holds the pool mutably is its first thread; the others spin briefly, then park.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<(Thread, Option<JoinHandle<()>>)>,
}

struct Shared {
    /// Counts the runs; a worker that sees it change has work.
    run: AtomicUsize,
    /// The work of the run, valid from the change of `run` until `pending` is zero.
    work: UnsafeCell<Option<*const Work>>,
    /// Workers that have not finished the run.
    pending: AtomicUsize,
    /// Per worker: it is parked, or about to be.
    parked: Vec<AtomicBool>,
    /// The first worker that panics leaves its message here.
    panicked: AtomicBool,
    panic: UnsafeCell<Option<Box<dyn Any + Send>>>,
    close: AtomicBool,
}

// SAFETY: `work` is written by the pool's owner while no worker runs (`pending` is zero), and read by workers after
// an acquire of `run`; `panic` is written by the one worker that wins `panicked`, and read once `pending` is zero.
unsafe impl Sync for Shared {}
// SAFETY: as above; the work's pointer is to something `Sync`.
unsafe impl Send for Shared {}

impl Pool {
    /// A pool of `threads`, the calling one included.
    pub(crate) fn new(threads: usize) -> Self {
        let count = threads.max(1);
        let shared = Arc::new(Shared {
            run: AtomicUsize::new(0),
            work: UnsafeCell::new(None),
            pending: AtomicUsize::new(0),
            parked: (1..count).map(|_| AtomicBool::new(false)).collect(),
            panicked: AtomicBool::new(false),
            panic: UnsafeCell::new(None),
            close: AtomicBool::new(false),
        });
        let start = |i: usize| {
            let shared = shared.clone();
            let named = std::thread::Builder::new().name(format!("cpu-worker-{i}"));
            let handle = named.spawn(move || shared.worker(i, count)).expect("the system starts a thread");
            (handle.thread().clone(), Some(handle))
        };
        let workers = (1..count).map(start).collect();
        Self { shared, workers }
    }

    /// Threads, the calling one included.
    pub(crate) fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `work(index, count)` once on each thread, and returns when all have. A panic is passed on.
    pub(crate) fn run(&mut self, work: &(dyn Fn(usize, usize) + Sync)) {
        let count = self.threads();
        if count == 1 {
            return work(0, 1);
        }
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes; `Wait` keeps this call, even if it unwinds, until no worker uses it.
        let work_ptr =
            unsafe { std::mem::transmute::<*const (dyn Fn(usize, usize) + Sync + '_), *const Work>(work) };
        // SAFETY: no worker runs: the last run's `Wait` saw `pending` at zero, and the pool is borrowed mutably.
        unsafe { *shared.work.get() = Some(work_ptr) };
        shared.pending.store(count - 1, Ordering::Relaxed);
        shared.run.fetch_add(1, Ordering::SeqCst);
        let wait = Wait(shared);
        for (parked, (thread, _)) in shared.parked.iter().zip(&self.workers) {
            if parked.load(Ordering::SeqCst) {
                thread.unpark();
            }
        }
        work(0, count);
        drop(wait);
        if shared.panicked.swap(false, Ordering::Relaxed) {
            // SAFETY: `pending` is zero, so the worker that wrote it is done.
            if let Some(panic) = unsafe { (*shared.panic.get()).take() } {
                resume_unwind(panic);
            }
        }
    }
}

/// Waits, when dropped, until every worker has finished the run.
struct Wait<'a>(&'a Shared);

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let mut spins = 0;
        while self.0.pending.load(Ordering::Acquire) != 0 {
            spins += 1;
            // A worker that the system has taken off its processor needs ours.
            if spins % SPINS == 0 { std::thread::yield_now() } else { spin_loop() }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.close.store(true, Ordering::SeqCst);
        self.shared.run.fetch_add(1, Ordering::SeqCst);
        for (thread, handle) in &mut self.workers {
            thread.unpark();
            // Workers catch the panics of their work.
            let _ = handle.take().map(JoinHandle::join);
        }
    }
}

impl Shared {
    fn worker(&self, index: usize, count: usize) {
        let mut seen = 0;
        loop {
            let mut spins = 0;
            while self.run.load(Ordering::Acquire) == seen {
                spins += 1;
                if spins < SPINS {
                    spin_loop();
                    continue;
                }
                let parked = &self.parked[index - 1];
                parked.store(true, Ordering::SeqCst);
                // The runner raises `run` before it looks at `parked`, so one of the two sees the other.
                while self.run.load(Ordering::SeqCst) == seen {
                    std::thread::park();
                }
                parked.store(false, Ordering::SeqCst);
            }
            seen = self.run.load(Ordering::Acquire);
            if self.close.load(Ordering::SeqCst) {
                return;
            }
            // SAFETY: `run` changed, so the work is set, and stays valid until `pending` is zero.
            let work = unsafe { (*self.work.get()).map(|work| &*work) };
            let result = catch_unwind(AssertUnwindSafe(|| work.map(|work| work(index, count))));
            if let Err(panic) = result
                && !self.panicked.swap(true, Ordering::Relaxed)
            {
                // SAFETY: only one worker wins `panicked`, and nobody reads before `pending` is zero.
                unsafe { *self.panic.get() = Some(panic) };
            }
            self.pending.fetch_sub(1, Ordering::Release);
        }
    }
}

/// The part of `0..n` that thread `index` of `count` takes: contiguous, and of even size but for one.
pub(crate) fn part(n: usize, index: usize, count: usize) -> std::ops::Range<usize> {
    n * index / count..n * (index + 1) / count
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
                pool.run(&|index, count| {
                    assert_eq!(count, threads);
                    calls[index].fetch_add(1, Ordering::Relaxed);
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
        let panic = catch_unwind(AssertUnwindSafe(|| pool.run(&|index, _| assert_ne!(index, 1, "broken"))));
        assert!(panic.unwrap_err().downcast_ref::<String>().is_some_and(|text| text.contains("broken")));
        let count = AtomicUsize::new(0);
        pool.run(&|_, _| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(count.into_inner(), 2);
    }

    #[test]
    fn parts_cover_everything_once() {
        for (n, count) in [(0, 3), (1, 3), (7, 3), (9, 3), (100, 7)] {
            let all: Vec<usize> = (0..count).flat_map(|i| part(n, i, count)).collect();
            assert_eq!(all, (0..n).collect::<Vec<_>>());
        }
    }
}
