//! Many inferences at a time: a few requests, and more work than they can do at once.

mod exchange;
mod job;
#[cfg(all(test, loom))]
mod loom_tests;
mod sync;

use crate::{CompiledModel, Error, InferRequest, error::Result};
use exchange::Exchange;
use ir::device::{Completion, HostTensor};
use job::{Job, Runs};
use std::{
    collections::BTreeMap,
    fmt,
    ops::{Deref, DerefMut},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};
use sync::{Condvar, Mutex, lock, wait};
use thiserror::Error as ThisError;

pub use exchange::Order;

/// A request of the queue, and its own tensors of the outputs.
struct Slot {
    request: InferRequest,
    outputs: Vec<HostTensor>,
}

/// The requests that are free.
type Pool = Arc<Exchange<Slot>>;

/// A request in use; it goes back when this does.
struct Lease {
    slot: Option<Slot>,
    pool: Pool,
    promise: u64,
}

impl Lease {
    fn new(slot: Slot, pool: &Pool) -> Self {
        Self { slot: Some(slot), pool: pool.clone(), promise: pool.promise() }
    }

    /// Takes away the tensors that the job before gave for outputs: no job writes to those of another.
    fn restore(&mut self) -> Result<()> {
        let Slot { request, outputs } = self.slot.as_mut().expect("it goes back only when this does");
        for output in request.take_given_outputs() {
            request.set_output(output, outputs[output].clone())?;
        }
        // Setting them back has marked them as given.
        request.take_given_outputs();
        Ok(())
    }
}

impl Deref for Lease {
    type Target = InferRequest;
    fn deref(&self) -> &InferRequest {
        &self.slot.as_ref().expect("it goes back only when this does").request
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut InferRequest {
        &mut self.slot.as_mut().expect("it goes back only when this does").request
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            self.pool.put(self.promise, slot);
        }
    }
}

impl Runs for Lease {
    fn run(&mut self, done: Completion) -> Result<()> {
        self.start_with(done)
    }

    fn stop(&self) {
        self.cancel();
    }
}

/// A job that didn't begin: why, and what the caller gave with it.
#[derive(ThisError)]
#[error("{error}")]
pub struct Refused<T> {
    /// Why.
    #[source]
    pub error: Error,
    /// What the caller gave with it.
    pub user: T,
}

impl<T> fmt::Debug for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<T> From<Refused<T>> for Error {
    fn from(refused: Refused<T>) -> Self {
        refused.error
    }
}

/// What became of a job. It lends the request, whose outputs hold the answer; dropping it gives the request back to
/// the queue, which then uses the request's own tensors again: take copies of what you keep.
pub struct Done<T> {
    /// The number that submitting gave.
    pub job: u64,
    /// How it went.
    pub result: Result<()>,
    /// What the caller gave with the job.
    pub user: T,
    request: Lease,
}

impl<T> Deref for Done<T> {
    type Target = InferRequest;
    fn deref(&self) -> &InferRequest {
        &self.request
    }
}

/// Where a job's end goes.
enum Destination<T> {
    /// To the results, under this promise.
    Results(u64),
    /// To the one who waits for this job.
    Owner(Arc<Exchange<Done<T>>>),
    Callback,
}

struct Shared<T> {
    pool: Pool,
    results: Arc<Exchange<Done<T>>>,
    callback: Option<Box<dyn Fn(Done<T>) + Send + Sync>>,
    running: Mutex<Running>,
    ended: Condvar,
}

#[derive(Default)]
struct Running {
    next: u64,
    closed: bool,
    jobs: BTreeMap<u64, Arc<Job<Lease>>>,
}

impl<T> Shared<T> {
    /// On the thread where the inference ended.
    fn deliver(&self, done: Done<T>, destination: Destination<T>) {
        let job = done.job;
        match (destination, &self.callback) {
            (Destination::Results(promise), _) => self.results.put(promise, done),
            (Destination::Owner(owner), _) => owner.put(0, done),
            // The caller's code must not take the device's thread down with it.
            (Destination::Callback, Some(callback)) => {
                _ = catch_unwind(AssertUnwindSafe(|| callback(done)));
            }
            (Destination::Callback, None) => unreachable!("jobs go to callbacks where there is one"),
        }
        lock(&self.running).jobs.remove(&job);
        self.ended.notify_all();
    }
}

/// Inferences on a compiled model, `requests` at a time. Who submits more waits, is refused, or awaits. A job is what
/// `prepare` sets on a request (all inputs: it still has those of the job before), and `user`, which comes back with
/// the answer. Dropping the queue cancels what runs. A queue is used from any thread, also from several;
/// but a callback runs where an inference ended, so one that waits for a free request ([`InferQueue::submit`]) may wait
/// for itself: there, use [`InferQueue::try_submit`].
///
/// ```no_run
/// # fn show(compiled: runtime::CompiledModel, images: Vec<ir::device::HostTensor>) -> Result<(), runtime::Error> {
/// use runtime::{InferQueue, Order};
/// let queue = InferQueue::new(&compiled, 4, Order::Submitted)?;
/// std::thread::scope(|scope| {
///     scope.spawn(|| {
///         while let Some(done) = queue.next() {
///             println!("image {}: {:?}", done.user, done.result.as_ref().map(|_| done.output(0)));
///         }
///     });
///     for (number, image) in images.into_iter().enumerate() {
///         queue.submit(number, |request| request.set_input(0, image))?;
///     }
///     queue.close();
///     Ok(())
/// })
/// # }
/// ```
pub struct InferQueue<T> {
    shared: Arc<Shared<T>>,
}

impl<T: Send + 'static> InferQueue<T> {
    /// A queue whose answers come from [`InferQueue::next`]. Answers that nobody takes hold their requests.
    pub fn new(compiled: &CompiledModel, requests: usize, order: Order) -> Result<Self> {
        Self::build(compiled, requests, order, None)
    }

    /// A queue that calls `callback` with each answer, on the thread where it ended.
    pub fn with_callback(
        compiled: &CompiledModel,
        requests: usize,
        callback: impl Fn(Done<T>) + Send + Sync + 'static,
    ) -> Result<Self> {
        Self::build(compiled, requests, Order::Completed, Some(Box::new(callback)))
    }

    fn build(
        compiled: &CompiledModel,
        requests: usize,
        order: Order,
        callback: Option<Box<dyn Fn(Done<T>) + Send + Sync>>,
    ) -> Result<Self> {
        let pool = Arc::new(Exchange::new(Order::Completed));
        for _ in 0..requests.max(1) {
            let request = compiled.create_infer_request()?;
            let outputs = request.own_outputs()?;
            pool.put(pool.promise(), Slot { request, outputs });
        }
        let shared = Shared {
            pool,
            results: Arc::new(Exchange::new(order)),
            callback,
            running: Mutex::default(),
            ended: Condvar::new(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Starts a job, after waiting for a request that is free. Its number comes back.
    pub fn submit(
        &self,
        user: T,
        prepare: impl FnOnce(&mut InferRequest) -> Result<()>,
    ) -> std::result::Result<u64, Refused<T>> {
        let slot = self.shared.pool.take();
        self.begin(user, prepare, slot, None).map(|(job, _)| job)
    }

    /// Starts a job if a request is free, else refuses with [`Error::QueueFull`].
    pub fn try_submit(
        &self,
        user: T,
        prepare: impl FnOnce(&mut InferRequest) -> Result<()>,
    ) -> std::result::Result<u64, Refused<T>> {
        let slot = self.shared.pool.try_take();
        self.begin(user, prepare, slot, None).map(|(job, _)| job)
    }

    /// [`InferQueue::submit`] that awaits a free request.
    pub async fn submit_async(
        &self,
        user: T,
        prepare: impl FnOnce(&mut InferRequest) -> Result<()>,
    ) -> std::result::Result<u64, Refused<T>> {
        let slot = self.shared.pool.take_async().await;
        self.begin(user, prepare, slot, None).map(|(job, _)| job)
    }

    /// One job from begin to end, for its owner alone: its answer comes back here and nowhere else. Dropping the
    /// future cancels the job.
    pub async fn infer(
        &self,
        user: T,
        prepare: impl FnOnce(&mut InferRequest) -> Result<()>,
    ) -> std::result::Result<Done<T>, Refused<T>> {
        /// Cancelling what has ended does nothing.
        struct CancelOnDrop(Arc<Job<Lease>>);
        impl Drop for CancelOnDrop {
            fn drop(&mut self) {
                self.0.cancel();
            }
        }
        let slot = self.shared.pool.take_async().await;
        let owner = Arc::new(Exchange::new(Order::Completed));
        let (_, job) = self.begin(user, prepare, slot, Some(&owner))?;
        let _cancel = CancelOnDrop(job);
        Ok(owner.take_async().await.expect("it is never closed"))
    }

    fn begin(
        &self,
        user: T,
        prepare: impl FnOnce(&mut InferRequest) -> Result<()>,
        slot: Option<Slot>,
        owner: Option<&Arc<Exchange<Done<T>>>>,
    ) -> std::result::Result<(u64, Arc<Job<Lease>>), Refused<T>> {
        let Some(slot) = slot else { return Err(Refused { error: Error::QueueFull, user }) };
        let mut lease = Lease::new(slot, &self.shared.pool);
        if let Err(error) = lease.restore().and_then(|()| prepare(&mut lease)) {
            return Err(Refused { error, user });
        }
        let mut running = lock(&self.shared.running);
        if running.closed {
            return Err(Refused { error: Error::QueueClosed, user });
        }
        let number = running.next;
        running.next += 1;
        let destination = match owner {
            Some(owner) => {
                owner.promise();
                Destination::Owner(owner.clone())
            }
            None if self.shared.callback.is_some() => Destination::Callback,
            None => Destination::Results(self.shared.results.promise()),
        };
        let shared = self.shared.clone();
        let job = Job::new(move |request, result| {
            shared.deliver(Done { job: number, result, user, request }, destination);
        });
        running.jobs.insert(number, job.clone());
        drop(running);
        job.start(lease);
        Ok((number, job))
    }

    /// Waits for the next answer; none when the queue is closed and all have been taken.
    pub fn next(&self) -> Option<Done<T>> {
        self.shared.results.take()
    }

    /// The next answer if it is there.
    pub fn try_next(&self) -> Option<Done<T>> {
        self.shared.results.try_take()
    }

    /// [`InferQueue::next`] for futures.
    pub async fn next_async(&self) -> Option<Done<T>> {
        self.shared.results.take_async().await
    }

    /// Asks a job to end early: its answer is then [`crate::DeviceError::Cancelled`], unless it was faster. False
    /// when it has ended.
    pub fn cancel(&self, job: u64) -> bool {
        let found = lock(&self.shared.running).jobs.get(&job).cloned();
        found.inspect(|job| job.cancel()).is_some()
    }
}

impl<T> InferQueue<T> {
    /// Asks all jobs that run to end early.
    pub fn cancel_all(&self) {
        let jobs: Vec<_> = lock(&self.shared.running).jobs.values().cloned().collect();
        jobs.iter().for_each(|job| job.cancel());
    }

    /// Refuses further jobs, with [`Error::QueueClosed`]: [`InferQueue::next`] then comes to an end.
    pub fn close(&self) {
        lock(&self.shared.running).closed = true;
        self.shared.results.close();
    }

    /// Waits until no job runs and all callbacks have returned. Answers may still wait to be taken.
    pub fn wait_idle(&self) {
        let mut running = lock(&self.shared.running);
        while !running.jobs.is_empty() {
            running = wait(&self.shared.ended, running);
        }
    }
}

impl<T> Drop for InferQueue<T> {
    fn drop(&mut self) {
        self.close();
        self.cancel_all();
    }
}
