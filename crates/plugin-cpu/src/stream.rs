//! Streams: threads that run requests, each stream one request at a time.

use crate::{arena::Arena, config::Settings, pool::Pool};
use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
};

/// What a stream gives to the work that runs on it.
pub(crate) struct Stream {
    /// The threads that the work may use, the calling one included.
    pub(crate) pool: Pool,
    /// The memory of activations.
    pub(crate) arena: Arena,
}

type Job = Box<dyn FnOnce(&mut Stream) + Send>;

struct Queue {
    jobs: VecDeque<Job>,
    closed: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    /// A stream that nobody runs on right now can be borrowed by a thread that waits anyway.
    streams: Vec<Mutex<Stream>>,
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
            lock(&shared.queue).closed = true;
            shared.changed.notify_all();
        }
    }
}

/// Jobs catch their own panics, and what they leave is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Streams {
    /// Starts the threads.
    pub(crate) fn new(settings: &Settings) -> Self {
        let stream =
            |i| Mutex::new(Stream { pool: Pool::new(settings.threads_of(i)), arena: Arena::default() });
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue { jobs: VecDeque::new(), closed: false }),
            changed: Condvar::new(),
            streams: (0..settings.streams).map(stream).collect(),
        });
        for i in 0..settings.streams {
            let shared = shared.clone();
            let named = std::thread::Builder::new().name(format!("cpu-stream-{i}"));
            named.spawn(move || run(&shared, i)).expect("the system starts a thread");
        }
        let close = Arc::new(Close(Arc::downgrade(&shared)));
        Self { shared, _close: close }
    }

    /// Appends a job to the queue.
    pub(crate) fn push(&self, job: Job) {
        lock(&self.shared.queue).jobs.push_back(job);
        self.shared.changed.notify_one();
    }

    /// Runs a job on the calling thread, on a stream that is free, if one is and nobody waits before it.
    pub(crate) fn try_run<T>(
        &self,
        job: impl FnOnce(&mut Stream) -> T,
    ) -> Result<T, impl FnOnce(&mut Stream) -> T> {
        if lock(&self.shared.queue).jobs.is_empty()
            && let Some(mut stream) = self.shared.streams.iter().find_map(|stream| stream.try_lock().ok())
        {
            return Ok(job(&mut stream));
        }
        Err(job)
    }
}

fn run(shared: &Shared, index: usize) {
    loop {
        let job = {
            let mut queue = lock(&shared.queue);
            loop {
                if let Some(job) = queue.jobs.pop_front() {
                    break job;
                }
                if queue.closed {
                    return;
                }
                queue = shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
        };
        job(&mut lock(&shared.streams[index]));
    }
}
