//! A request as a table of functions.

use super::{HERE, given_tensor, object, port_index, raw, release, remote, there};
use crate::{
    c,
    raw::give,
    status::{Told, answer, caught, fault},
    tensor,
};
use ir::device::{DeviceError, DeviceResult, InferRequest, LayerStatus, PortIndex};
use std::{
    ffi::c_void,
    ptr,
    sync::{Mutex, MutexGuard, TryLockError},
    time::UNIX_EPOCH,
};

/// The lock is never waited for: who finds it taken came at a time when the contract forbids it.
type Exported = Mutex<Box<dyn InferRequest>>;

/// A request for the other side, which releases it.
pub(crate) fn export(request: Box<dyn InferRequest>) -> c::Request {
    c::Request { object: raw::<Exported>(Mutex::new(request)), functions: &raw const FUNCTIONS }
}

static FUNCTIONS: c::RequestFunctions = c::RequestFunctions {
    size: size_of::<c::RequestFunctions>(),
    release: Some(release::<Exported>),
    set_tensor: Some(set_tensor),
    tensor: Some(get_tensor),
    infer: Some(infer),
    start: Some(start),
    cancel: Some(cancel),
    profile: Some(profile),
    set_remote: Some(set_remote),
};

/// The request, for one call.
///
/// # Safety
/// `this` is null, or one of `export`'s.
unsafe fn request<'a>(this: *mut c_void) -> DeviceResult<MutexGuard<'a, Box<dyn InferRequest>>> {
    // SAFETY: the caller's promise.
    match unsafe { object::<Exported>(this) }?.try_lock() {
        Ok(request) => Ok(request),
        Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => Err(DeviceError::Busy("the request".to_owned())),
    }
}

unsafe extern "C" fn set_tensor(
    this: *mut c_void,
    side: i32,
    index: usize,
    view: *const c::Tensor,
    message: *mut c::Message,
) -> i32 {
    // SAFETY: the object is one of `export`'s, the rest is as the contract has it.
    unsafe {
        answer(message, || {
            let (port, tensor) = (port_index(side, index)?, given_tensor(view)?);
            request(this)?.set_tensor(port, tensor)
        })
    }
}

unsafe extern "C" fn set_remote(
    this: *mut c_void,
    side: i32,
    index: usize,
    tensor: c::Remote,
    message: *mut c::Message,
) -> i32 {
    // SAFETY: the object is one of `export`'s, the rest is as the contract has it.
    unsafe {
        answer(message, || {
            let (port, tensor) = (port_index(side, index)?, remote::own(tensor)?);
            request(this)?.set_remote(port, tensor)
        })
    }
}

unsafe extern "C" fn get_tensor(
    this: *mut c_void,
    side: i32,
    index: usize,
    to: *mut c::Tensor,
    message: *mut c::Message,
) -> i32 {
    // SAFETY: the object is one of `export`'s, the rest is as the contract has it.
    unsafe {
        answer(message, || {
            let port = port_index(side, index)?;
            let found = request(this)?.tensor(port)?;
            let (data, len) = match port {
                PortIndex::Input(_) => {
                    let bytes = found.read_span()?;
                    (bytes.as_ptr().cast_mut(), bytes.len())
                }
                PortIndex::Output(_) => {
                    let mut bytes = found.write_span()?;
                    (bytes.as_mut_ptr(), bytes.len())
                }
            };
            let view = tensor::view(found, data, len);
            let (owner, release) = (view.owner, view.release);
            give(to, view).map_err(|error| {
                if let Some(release) = release {
                    release(owner);
                }
                fault(HERE)(error)
            })
        })
    }
}

unsafe extern "C" fn infer(this: *mut c_void, message: *mut c::Message) -> i32 {
    // SAFETY: the object is one of `export`'s.
    unsafe { answer(message, || request(this)?.infer()) }
}

/// The other side's pointer, on its way to the thread on which the inference ends.
struct User(*mut c_void);

// SAFETY: only handed back to the other side, which takes it on any thread.
unsafe impl Send for User {}

unsafe extern "C" fn start(
    this: *mut c_void,
    done: c::Completion,
    user: *mut c_void,
    message: *mut c::Message,
) -> i32 {
    // SAFETY: the object is one of `export`'s, the rest is as the contract has it.
    unsafe {
        answer(message, || {
            let done = there(done, "the completion")?;
            let user = User(user);
            request(this)?.start(Box::new(move |result| {
                let User(user) = { user };
                match result {
                    Ok(()) => done(user, c::STATUS_OK, ptr::null()),
                    Err(error) => {
                        let mut told = Told::from(&error);
                        let status = told.status;
                        let view = told.message();
                        done(user, status, &raw const view);
                    }
                }
            }))
        })
    }
}

unsafe extern "C" fn cancel(this: *mut c_void) {
    // While `infer` runs nothing can be told to it; a started inference leaves the request free.
    // SAFETY: the object is one of `export`'s.
    _ = caught(|| unsafe { request(this) }.map(|request| request.cancel()));
}

unsafe extern "C" fn profile(
    this: *mut c_void,
    visit: c::ProfileVisitor,
    user: *mut c_void,
    message: *mut c::Message,
) -> i32 {
    // SAFETY: the object is one of `export`'s, the rest is as the contract has it.
    unsafe {
        answer(message, || {
            let visit = there(visit, "the visitor of a profile")?;
            let nanoseconds = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            for row in request(this)?.profile() {
                let begin = row.span.as_ref().and_then(|span| span.begin.duration_since(UNIX_EPOCH).ok());
                let row = c::ProfileRow {
                    size: size_of::<c::ProfileRow>(),
                    name: row.name.as_str().into(),
                    status: match row.status {
                        LayerStatus::Executed => c::LAYER_EXECUTED,
                        LayerStatus::NotRun => c::LAYER_NOT_RUN,
                        LayerStatus::OptimizedOut => c::LAYER_OPTIMIZED_OUT,
                    },
                    layer_type: row.layer_type.as_str().into(),
                    exec_type: row.exec_type.as_str().into(),
                    real_nanoseconds: nanoseconds(row.real_time),
                    cpu_nanoseconds: nanoseconds(row.cpu_time),
                    device: row.span.as_ref().map_or("", |span| &span.device).into(),
                    lane: row.span.as_ref().map_or(0, |span| span.lane),
                    begin_nanoseconds: begin.map_or(0, nanoseconds),
                };
                visit(user, &raw const row);
            }
            Ok(())
        })
    }
}
