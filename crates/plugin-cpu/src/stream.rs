//! Streams: threads that run requests, each stream one request at a time.
//!
//! A stream is what an inference runs on: threads that work together, and memory. One that nobody uses lies in the
//! queue. Whoever takes it, a thread of ours for a job or a caller that would only wait, is its first thread
//! meanwhile: no more threads run at a time than all streams have.

use crate::{arena::Arena, config::Settings, pool::Pool};
use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
};

/// What a stream gives to the work that runs on it.
pub(crate) struct Stream {
    /// Which one it is, in profiles.
    pub(crate) number: usize,
    /// The threads that the work may use, the calling one included.
    pub(crate) pool: Pool,
    /// The memory of activations.
    pub(crate) arena: Arena,
}

type Job = Box<dyn FnOnce(&mut Stream) + Send>;

struct Queue {
    jobs: VecDeque<Job>,
    /// Streams that nobody runs on; the last was used last.
    idle: Vec<Stream>,
    closed: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// The streams of one compiled model. The last handle ends the threads, after the queue has run dry.
#[derive(Clone)]
pub(crate) struct Streams {
    shared: Arc<Shared>,
    _close: Arc<Close>,
}

/// Tells the threads to end when the last handle goes.
struct Close(Weak<Shared>);

impl Drop for Close {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.lock().closed = true;
            shared.changed.notify_all();
        }
    }
}

/// A stream in use; it goes back when this does.
struct Taken<'a> {
    shared: &'a Shared,
    stream: Option<Stream>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.idle.extend(self.stream.take());
        if !queue.jobs.is_empty() {
            self.shared.changed.notify_one();
        }
    }
}

impl Taken<'_> {
    fn stream(&mut self) -> &mut Stream {
        self.stream.as_mut().expect("it is taken back only when this goes")
    }
}

impl Shared {
    /// What a panicking job leaves is whole.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn taken(&self, stream: Stream) -> Taken<'_> {
        Taken { shared: self, stream: Some(stream) }
    }

    /// Runs jobs until the queue is closed and empty.
    fn work(&self) {
        let mut queue = self.lock();
        loop {
            if queue.closed && queue.jobs.is_empty() {
                return;
            }
            if !queue.jobs.is_empty()
                && let Some(stream) = queue.idle.pop()
            {
                let job = queue.jobs.pop_front().expect("looked at above");
                drop(queue);
                job(self.taken(stream).stream());
                queue = self.lock();
            } else {
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

impl Streams {
    /// Starts the threads.
    pub(crate) fn new(settings: &Settings) -> Self {
        let stream =
            |i| Stream { number: i, pool: Pool::new(settings.threads_of(i)), arena: Arena::default() };
        // The first, which may have a thread more, is taken first.
        let idle = (0..settings.streams).rev().map(stream).collect();
        let queue = Queue { jobs: VecDeque::new(), idle, closed: false };
        let shared = Arc::new(Shared { queue: Mutex::new(queue), changed: Condvar::new() });
        for i in 0..settings.streams {
            let shared = shared.clone();
            let named = std::thread::Builder::new().name(format!("cpu-stream-{i}"));
            named.spawn(move || shared.work()).expect("the system starts a thread");
        }
        let close = Arc::new(Close(Arc::downgrade(&shared)));
        Self { shared, _close: close }
    }

    /// Appends a job to the queue. It must not panic.
    pub(crate) fn push(&self, job: Job) {
        let mut queue = self.shared.lock();
        queue.jobs.push_back(job);
        if !queue.idle.is_empty() {
            self.shared.changed.notify_one();
        }
    }

    /// Runs a job on the calling thread, on a stream that is free, if one is and nobody waits before it.
    pub(crate) fn try_run<T>(
        &self,
        job: impl FnOnce(&mut Stream) -> T,
    ) -> Result<T, impl FnOnce(&mut Stream) -> T> {
        let mut queue = self.shared.lock();
        let stream = if queue.jobs.is_empty() { queue.idle.pop() } else { None };
        drop(queue);
        match stream {
            Some(stream) => Ok(job(self.shared.taken(stream).stream())),
            None => Err(job),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::atomic::{AtomicUsize, Ordering::SeqCst},
        thread,
        time::Duration,
    };

    #[test]
    fn no_more_run_at_a_time_than_there_are_streams() {
        let settings = Settings { streams: 2, threads: 2, profile: false, accuracy: false };
        let streams = Streams::new(&settings);
        let (running, most, done) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let counts = Arc::new((running, most, done));
        let job = |counts: Arc<(AtomicUsize, AtomicUsize, AtomicUsize)>| {
            move |stream: &mut Stream| {
                let now = counts.0.fetch_add(1, SeqCst) + 1;
                counts.1.fetch_max(now, SeqCst);
                stream.pool.run(&|_| thread::sleep(Duration::from_micros(200)));
                counts.0.fetch_sub(1, SeqCst);
                counts.2.fetch_add(1, SeqCst);
            }
        };
        thread::scope(|scope| {
            for borrows in [false, true, true, false] {
                let (streams, counts) = (streams.clone(), counts.clone());
                scope.spawn(move || {
                    for _ in 0..100 {
                        let work = job(counts.clone());
                        match if borrows { streams.try_run(work).err() } else { None } {
                            None if borrows => {}
                            _ => streams.push(Box::new(job(counts.clone()))),
                        }
                    }
                });
            }
        });
        while counts.2.load(SeqCst) < 400 {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(counts.1.load(SeqCst), 2);
    }
}
