//! Inferences that run on the other side: what they hold, and their ends.
//!
//! The other side knows an inference by a number, never by an address: a completion that comes twice, or late, finds
//! nothing and does no harm.

use super::request::Handle;
use crate::{
    c,
    raw::take,
    status::{caught, understand},
};
use ir::device::{Completion, DeviceError, DeviceResult, HostTensor, OwnedReadGuard, OwnedWriteGuard};
use smallvec::SmallVec;
use std::{
    collections::HashMap,
    ffi::c_void,
    ptr,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

/// The tensors of one inference, held.
pub(super) struct Flight {
    inputs: SmallVec<[OwnedReadGuard; 4]>,
    outputs: SmallVec<[OwnedWriteGuard; 4]>,
    /// From where, to where.
    back: Vec<(HostTensor, HostTensor)>,
    running: Arc<AtomicBool>,
}

impl Flight {
    /// From now on an inference runs.
    pub(super) fn new(running: Arc<AtomicBool>) -> Self {
        running.store(true, Ordering::Release);
        Self { inputs: SmallVec::new(), outputs: SmallVec::new(), back: Vec::new(), running }
    }

    pub(super) fn hold_input(&mut self, bytes: OwnedReadGuard) {
        self.inputs.push(bytes);
    }

    pub(super) fn hold_output(&mut self, bytes: OwnedWriteGuard) {
        self.outputs.push(bytes);
    }

    /// At the end the contents of one go to the other.
    pub(super) fn copy_back(&mut self, from: &HostTensor, to: &HostTensor) {
        self.back.push((from.clone(), to.clone()));
    }

    /// Lets the tensors go.
    pub(super) fn end(mut self, result: DeviceResult<()>) -> DeviceResult<()> {
        self.inputs.clear();
        self.outputs.clear();
        result?;
        for (from, to) in &self.back {
            to.copy_from(&from.read()?)?;
        }
        Ok(())
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        // Guards first: whoever sees that nothing runs finds the tensors free.
        self.inputs.clear();
        self.outputs.clear();
        self.running.store(false, Ordering::Release);
    }
}

/// A started inference.
struct Started {
    flight: Flight,
    done: Completion,
    handle: Arc<Handle>,
}

/// The number of a started inference.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Id(usize);

impl Id {
    /// The number as the other side carries it.
    pub(super) fn as_pointer(self) -> *mut c_void {
        ptr::without_provenance_mut(self.0)
    }
}

static STARTED: LazyLock<Mutex<HashMap<Id, Started>>> = LazyLock::new(Mutex::default);

/// One map operation at a time: a panic leaves it whole.
fn started() -> MutexGuard<'static, HashMap<Id, Started>> {
    STARTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes an inference that is about to start.
pub(super) fn enter(flight: Flight, done: Completion, handle: Arc<Handle>) -> Id {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    let id = Id(NEXT.fetch_add(1, Ordering::Relaxed));
    started().insert(id, Started { flight, done, handle });
    id
}

/// Forgets an inference that could not be started. False when it has ended before.
pub(super) fn abandon(id: Id) -> bool {
    let found = started().remove(&id);
    found.is_some()
}

/// Ends an inference: lets its tensors go, then tells.
pub(super) fn leave(id: Id, result: DeviceResult<()>) {
    let found = started().remove(&id);
    let Some(Started { flight, done, handle }) = found else {
        tracing::warn!("a plugin told the end of an inference that doesn't run; it must do so once");
        return;
    };
    let result = flight.end(result);
    if let Err(panic) = caught(|| done(result)) {
        tracing::error!("what was to be called at the end of an inference panicked: {panic}");
    }
    // The request was dropped while it ran. Its release may wait for the thread that this runs on.
    if let Some(handle) = Arc::into_inner(handle) {
        std::thread::spawn(move || drop(handle));
    }
}

/// The completion that the other side calls.
///
/// # Safety
/// `message` is null, or as the contract has it.
pub(super) unsafe extern "C" fn completed(user: *mut c_void, status: i32, message: *const c::Message) {
    let id = Id(user.addr());
    _ = caught(|| {
        let device = started().get(&id).map(|started| started.handle.device().to_owned());
        let device = device.as_deref().unwrap_or("the plugin");
        let result = match status {
            c::STATUS_OK => Ok(()),
            // SAFETY: the caller's promise.
            status => Err(unsafe { error_of(status, message, device) }),
        };
        leave(id, result);
    });
}

/// # Safety
/// `message` is null, or as the contract has it.
unsafe fn error_of(status: i32, message: *const c::Message, device: &str) -> DeviceError {
    // SAFETY: zeros are a value of every field.
    let none = || unsafe { std::mem::zeroed::<c::Message>() };
    // SAFETY: the caller's promise. Without a message the status speaks for itself.
    unsafe { understand(status, &take(message).unwrap_or_else(|_| none()), device) }
}
