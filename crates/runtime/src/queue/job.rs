//! One inference from its start to its end, on whichever thread that comes.

use super::sync::{Mutex, lock};
use crate::{Error, error::Result};
use ir::device::DeviceResult;
use std::sync::Arc;

/// What a job needs of a request.
pub(super) trait Runs: Send + 'static {
    /// Starts; `done` is called once, on any thread, also before this returns, unless starting fails.
    fn run(&mut self, done: Box<dyn FnOnce(DeviceResult<()>) + Send>) -> Result<()>;
    /// Asks it to end early. May call `done` itself.
    fn stop(&self);
}

/// What becomes of the request and the answer.
type Deliver<R> = Box<dyn FnOnce(R, Result<()>) + Send>;

/// An inference that runs. It ends once both have come: its answer, and the request, from whoever holds it.
pub(super) struct Job<R> {
    state: Mutex<State<R>>,
}

struct State<R> {
    /// Not here while a thread starts or stops it: no lock is held while the device works.
    request: Option<R>,
    answer: Option<Result<()>>,
    deliver: Option<Deliver<R>>,
    cancelled: bool,
    /// The device knows.
    stopped: bool,
}

impl<R: Runs> Job<R> {
    /// A job that is yet to start.
    pub(super) fn new(deliver: impl FnOnce(R, Result<()>) + Send + 'static) -> Arc<Self> {
        let deliver: Option<Deliver<R>> = Some(Box::new(deliver));
        let state = State { request: None, answer: None, deliver, cancelled: false, stopped: false };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// Starts it; called once.
    pub(super) fn start(self: &Arc<Self>, mut request: R) {
        let job = self.clone();
        let started =
            request.run(Box::new(move |answer| job.arrive(None, Some(answer.map_err(Error::from)))));
        self.arrive(Some(request), started.err().map(Err));
    }

    /// Asks it to end early, now or as soon as it has started.
    pub(super) fn cancel(&self) {
        lock(&self.state).cancelled = true;
        self.settle();
    }

    fn arrive(&self, request: Option<R>, answer: Option<Result<()>>) {
        {
            let mut state = lock(&self.state);
            state.request = request.or(state.request.take());
            state.answer = answer.or(state.answer.take());
        }
        self.settle();
    }

    /// Does what can be done now. Without the request, whoever holds it comes here later.
    fn settle(&self) {
        loop {
            let mut state = lock(&self.state);
            let Some(request) = state.request.take() else { return };
            if let Some(answer) = state.answer.take() {
                let deliver = state.deliver.take();
                drop(state);
                if let Some(deliver) = deliver {
                    deliver(request, answer);
                }
                return;
            }
            let stops = state.cancelled && !state.stopped;
            state.stopped |= stops;
            if !stops {
                state.request = Some(request);
                return;
            }
            drop(state);
            request.stop();
            lock(&self.state).request = Some(request);
        }
    }
}
