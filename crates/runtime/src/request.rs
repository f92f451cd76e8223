//! One inference at a time: started, asked after, waited for, awaited, cancelled.

use crate::{Error, HostTensor, PortInfo, ProfileRow, error::Result, state::States};
use ir::{
    Tensor,
    device::{Completion, DeviceError, DeviceResult, PortIndex, RemoteTensor},
};
use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

/// Where a request stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// Nothing was started yet.
    NotStarted,
    /// An inference runs.
    Running,
    /// The last inference has ended well, and its callback has returned.
    Ready,
}

/// What a caller wants to be told when an inference ends.
type Callback = Box<dyn FnMut(std::result::Result<(), &DeviceError>) + Send>;

enum State {
    Idle,
    Running,
    Done(DeviceResult<()>),
    /// The inference ended well, the callback did not.
    CallbackPanicked(String),
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    waker: Mutex<Option<Waker>>,
    callback: Mutex<Option<Callback>>,
}

/// Every critical section below leaves whole values behind, so a panic elsewhere does not make them wrong.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Runs on the device's thread: the callback first, so that whoever waits finds it done.
    fn finish(&self, result: DeviceResult<()>) {
        let callback = lock(&self.callback).take();
        let mut end = None;
        if let Some(mut callback) = callback {
            let outcome = result.as_ref().map(|_| ());
            match catch_unwind(AssertUnwindSafe(|| callback(outcome))) {
                // A callback set meanwhile, from within the old one, is the newer wish.
                Ok(()) => _ = lock(&self.callback).get_or_insert(callback),
                Err(panic) => end = Some(State::CallbackPanicked(panic_text(&*panic))),
            }
        }
        *lock(&self.state) = end.unwrap_or(State::Done(result));
        self.changed.notify_all();
        if let Some(waker) = lock(&self.waker).take() {
            waker.wake();
        }
    }

    /// The end of the inference, or nothing while it runs.
    fn end(state: &State) -> Option<Result<()>> {
        match state {
            State::Idle => Some(Err(Error::NotStarted)),
            State::Running => None,
            State::Done(result) => Some(result.clone().map_err(Error::from)),
            State::CallbackPanicked(text) => Some(Err(Error::Callback(text.clone()))),
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message").to_owned()
}

/// One inference at a time on a compiled model. Dropping it while it runs cancels the inference.
pub struct InferRequest {
    device: Box<dyn ir::device::InferRequest>,
    shared: Arc<Shared>,
    inputs: Vec<PortInfo>,
    outputs: Vec<PortInfo>,
    /// Outputs that were given tensors of the caller's.
    given_outputs: Vec<usize>,
    states: States,
    /// An inference was started whose states are not taken over yet.
    leaves_states: bool,
}

impl InferRequest {
    pub(crate) fn new(
        device: Box<dyn ir::device::InferRequest>,
        inputs: Vec<PortInfo>,
        outputs: Vec<PortInfo>,
        states: States,
    ) -> Self {
        let shared = Shared {
            state: Mutex::new(State::Idle),
            changed: Condvar::new(),
            waker: Mutex::new(None),
            callback: Mutex::new(None),
        };
        let shared = Arc::new(shared);
        Self { device, shared, inputs, outputs, given_outputs: Vec::new(), states, leaves_states: false }
    }

    /// The tensor of an input or output, by any of its names. Outputs of dynamic shape are there after the first
    /// inference.
    pub fn tensor(&self, name: &str) -> Result<HostTensor> {
        Ok(self.device.tensor(self.port(name)?)?)
    }

    /// The tensor of an input.
    pub fn input(&self, index: usize) -> Result<HostTensor> {
        check_index("input", index, self.inputs.len())?;
        Ok(self.device.tensor(PortIndex::Input(index))?)
    }

    /// The tensor of an output.
    pub fn output(&self, index: usize) -> Result<HostTensor> {
        check_index("output", index, self.outputs.len())?;
        Ok(self.device.tensor(PortIndex::Output(index))?)
    }

    /// Lets the request read from, or write to, the caller's memory, without a copy.
    pub fn set_tensor(&mut self, name: &str, tensor: HostTensor) -> Result<()> {
        self.set(self.port(name)?, tensor)
    }

    /// Lets the request read an input from the caller's memory, without a copy.
    pub fn set_input(&mut self, index: usize, tensor: HostTensor) -> Result<()> {
        check_index("input", index, self.inputs.len())?;
        self.set(PortIndex::Input(index), tensor)
    }

    /// Lets the request write an output to the caller's memory, without a copy.
    pub fn set_output(&mut self, index: usize, tensor: HostTensor) -> Result<()> {
        check_index("output", index, self.outputs.len())?;
        self.set(PortIndex::Output(index), tensor)
    }

    /// Lets the request read from, or write to, memory of the device ([`crate::CompiledModel::create_remote_tensor`]):
    /// nothing of it passes the host. The port has no tensor here until another one is set.
    pub fn set_remote_tensor(&mut self, name: &str, tensor: Arc<dyn RemoteTensor>) -> Result<()> {
        let port = self.port(name)?;
        self.check_idle()?;
        self.device.set_remote(port, tensor)?;
        self.note_given(port);
        Ok(())
    }

    /// Sets what is called when an inference ends, on the thread where it ended, once each. Waiting ends after
    /// the callback has returned.
    pub fn set_callback(
        &mut self,
        callback: impl FnMut(std::result::Result<(), &DeviceError>) + Send + 'static,
    ) -> Result<()> {
        self.check_idle()?;
        *lock(&self.shared.callback) = Some(Box::new(callback));
        Ok(())
    }

    /// Runs one inference and returns when it has ended. The callback is for [`InferRequest::start_async`] only.
    pub fn infer(&mut self) -> Result<()> {
        self.check_idle()?;
        self.bind_states()?;
        let result = self.device.infer();
        *lock(&self.shared.state) = State::Done(result.clone());
        Ok(result?)
    }

    /// Starts an inference and returns at once.
    pub fn start_async(&mut self) -> Result<()> {
        self.start_device(Shared::finish)
    }

    /// Starts an inference whose end goes to `done` alone, on the thread where it comes.
    pub(crate) fn start_with(&mut self, done: Completion) -> Result<()> {
        self.start_device(|shared, result| {
            *lock(&shared.state) = State::Done(result.clone());
            done(result);
        })
    }

    fn start_device(&mut self, end: impl FnOnce(&Shared, DeviceResult<()>) + Send + 'static) -> Result<()> {
        self.check_idle()?;
        self.bind_states()?;
        *lock(&self.shared.state) = State::Running;
        let shared = self.shared.clone();
        let started = self.device.start(Box::new(move |result| end(&shared, result)));
        if let Err(error) = started {
            *lock(&self.shared.state) = State::Done(Err(error.clone()));
            return Err(error.into());
        }
        Ok(())
    }

    /// The request's own tensors of its outputs; empty ones where the shape is dynamic.
    pub(crate) fn own_outputs(&self) -> Result<Vec<HostTensor>> {
        let own = |(i, port): (usize, &PortInfo)| {
            if port.ty.shape.is_fixed() {
                return self.output(i);
            }
            let least = |dim: &ir::Dim| usize::try_from(dim.min()).unwrap_or(0);
            let least: Vec<usize> =
                port.ty.shape.dims().map_or(vec![0], |dims| dims.iter().map(least).collect());
            HostTensor::zeros(port.ty.element_type, &least)
                .map_err(|error| Error::Settings { port: port.name().to_owned(), reason: error.to_string() })
        };
        self.outputs.iter().enumerate().map(own).collect()
    }

    /// The outputs that were given tensors since the last time.
    pub(crate) fn take_given_outputs(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.given_outputs)
    }

    /// The variables of a stateful model, by their `variable_id`. Each request has values of its own.
    pub fn states(&self) -> Vec<&str> {
        self.states.names()
    }

    /// What a variable holds: what the last inference that ended well has left.
    pub fn state(&mut self, variable: &str) -> Result<Tensor> {
        self.settle_states()?;
        self.states.get(variable)
    }

    /// Gives a variable a value for the next inference.
    pub fn set_state(&mut self, variable: &str, value: &Tensor) -> Result<()> {
        self.settle_states()?;
        self.states.set(variable, value)
    }

    /// Lets all variables begin anew.
    pub fn reset_states(&mut self) -> Result<()> {
        self.settle_states()?;
        self.states.reset()
    }

    fn settle_states(&mut self) -> Result<()> {
        self.check_idle()?;
        if std::mem::take(&mut self.leaves_states)
            && matches!(*lock(&self.shared.state), State::Done(Ok(())) | State::CallbackPanicked(_))
        {
            self.states.advance(&*self.device)?;
        }
        Ok(())
    }

    fn bind_states(&mut self) -> Result<()> {
        self.settle_states()?;
        self.states.bind(&mut *self.device)?;
        self.leaves_states = true;
        Ok(())
    }

    /// Where the request stands.
    pub fn status(&self) -> Status {
        match *lock(&self.shared.state) {
            State::Idle => Status::NotStarted,
            State::Running => Status::Running,
            State::Done(_) | State::CallbackPanicked(_) => Status::Ready,
        }
    }

    /// Waits for the end of the inference and says how it went.
    pub fn wait(&self) -> Result<()> {
        let mut state = lock(&self.shared.state);
        loop {
            if let Some(end) = Shared::end(&state) {
                return end;
            }
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits for at most `timeout`; zero only asks. An inference that failed is an error.
    pub fn wait_for(&self, timeout: Duration) -> Result<Status> {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = lock(&self.shared.state);
        loop {
            if let Some(end) = Shared::end(&state) {
                return end.map(|()| Status::Ready);
            }
            // A timeout beyond the clock's range is no timeout.
            let left = deadline.map_or(Duration::MAX, |d| d.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Ok(Status::Running);
            }
            let waited = self.shared.changed.wait_timeout(state, left.min(Duration::from_secs(3600)));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The end of the inference as a future, for any executor: its threads are not blocked.
    pub fn finished(&self) -> Finished<'_> {
        Finished { shared: &self.shared }
    }

    /// Starts an inference and waits for its end without blocking the thread.
    pub async fn infer_async(&mut self) -> Result<()> {
        self.start_async()?;
        self.finished().await
    }

    /// Asks a running inference to end early; whoever waits then gets [`DeviceError::Cancelled`].
    pub fn cancel(&self) {
        self.device.cancel();
    }

    /// What the layers did in the last inference. Empty unless the model was compiled with `PERF_COUNT=YES`.
    pub fn profile(&self) -> Vec<ProfileRow> {
        self.device.profile()
    }

    fn set(&mut self, port: PortIndex, tensor: HostTensor) -> Result<()> {
        self.check_idle()?;
        self.device.set_tensor(port, tensor)?;
        self.note_given(port);
        Ok(())
    }

    fn note_given(&mut self, port: PortIndex) {
        if let PortIndex::Output(output) = port
            && !self.given_outputs.contains(&output)
        {
            self.given_outputs.push(output);
        }
    }

    fn check_idle(&self) -> Result<()> {
        if matches!(*lock(&self.shared.state), State::Running) { Err(busy()) } else { Ok(()) }
    }

    fn port(&self, name: &str) -> Result<PortIndex> {
        port_called(name, &self.inputs, &self.outputs)
    }
}

/// The input or output that goes by a name.
pub(crate) fn port_called(name: &str, inputs: &[PortInfo], outputs: &[PortInfo]) -> Result<PortIndex> {
    let find = |ports: &[PortInfo]| ports.iter().position(|p| p.is_called(name));
    if let Some(i) = find(inputs) {
        return Ok(PortIndex::Input(i));
    }
    find(outputs).map(PortIndex::Output).ok_or_else(|| Error::NoSuchPort {
        side: "input or output",
        name: name.to_owned(),
        available: inputs.iter().chain(outputs).map(|p| p.name().to_owned()).collect(),
    })
}

impl Drop for InferRequest {
    fn drop(&mut self) {
        if self.status() == Status::Running {
            self.device.cancel();
        }
    }
}

fn busy() -> Error {
    DeviceError::Busy("the request".to_owned()).into()
}

fn check_index(side: &'static str, index: usize, count: usize) -> Result<()> {
    if index < count { Ok(()) } else { Err(Error::NoSuchIndex { side, index, count }) }
}

/// See [`InferRequest::finished`].
pub struct Finished<'a> {
    shared: &'a Shared,
}

impl Future for Finished<'_> {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let shared = self.shared;
        // The waker goes in while the state is held: an end that comes now finds it.
        let state = lock(&shared.state);
        match Shared::end(&state) {
            Some(end) => Poll::Ready(end),
            None => {
                *lock(&shared.waker) = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
