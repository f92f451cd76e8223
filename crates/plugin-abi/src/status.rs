//! Errors as they cross: a status, and what it means in words.

use crate::{
    c,
    raw::{Fault, give, list, text},
};
use ir::{
    ModelError,
    device::{DeviceError, DeviceResult},
};
use std::{
    any::Any,
    ffi::c_void,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
};

/// The words of a panic.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message").to_owned()
}

/// Runs what must not unwind into the other side.
pub(crate) fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| panic_text(&*panic))
}

/// A fault of the other side, as an error of `device`.
pub(crate) fn fault(device: &str) -> impl Fn(Fault) -> DeviceError {
    move |fault| DeviceError::Failed {
        device: device.to_owned(),
        message: format!("the other side of the plugin interface broke the contract: {fault}"),
    }
}

/// A message with the texts that it refers to.
pub(crate) struct Told {
    /// The number by which the kind crosses.
    pub(crate) status: i32,
    text: String,
    details: Vec<String>,
    views: Vec<c::Str>,
}

impl Told {
    fn new(status: i32, text: String, details: Vec<String>) -> Self {
        Self { status, text, details, views: Vec::new() }
    }

    /// The message, which lives as long as `self` stays where it is and is not changed.
    pub(crate) fn message(&mut self) -> c::Message {
        self.views = self.details.iter().map(|text| text.as_str().into()).collect();
        c::Message {
            size: size_of::<c::Message>(),
            text: self.text.as_str().into(),
            details: self.views.as_ptr(),
            details_len: self.views.len(),
            owner: ptr::null_mut(),
            release: None,
        }
    }
}

impl From<&DeviceError> for Told {
    fn from(error: &DeviceError) -> Self {
        let (status, details) = match error.clone() {
            DeviceError::NoSuchDevice { name, available } => {
                (c::STATUS_NOT_FOUND, [vec![name], available].concat())
            }
            DeviceError::Config { device, key, value, reason } => {
                (c::STATUS_CONFIG, vec![device, key, value, reason])
            }
            DeviceError::Unsupported { device, node, reason } => {
                (c::STATUS_NETWORK_NOT_LOADED, vec![device, node, reason])
            }
            DeviceError::Tensor { port, expected, found } => {
                (c::STATUS_PARAMETER_MISMATCH, vec![port, expected, found])
            }
            DeviceError::Busy(what) => (c::STATUS_REQUEST_BUSY, vec![what]),
            DeviceError::Cancelled => (c::STATUS_INFER_CANCELLED, vec![]),
            DeviceError::NotOffered { device, what } => (c::STATUS_NOT_IMPLEMENTED, vec![device, what]),
            DeviceError::Model(_) => (c::STATUS_NETWORK_NOT_READ, vec![]),
            DeviceError::Failed { device, message } => (c::STATUS_GENERAL_ERROR, vec![device, message]),
            // What is new here is at least told in words.
            _ => (c::STATUS_GENERAL_ERROR, vec![]),
        };
        Self::new(status, error.to_string(), details)
    }
}

/// The error that a status and its message stand for. A side that gives no details still says what kind it is.
fn error_of(status: i32, message: String, details: Vec<String>, device: &str) -> DeviceError {
    let device = device.to_owned();
    let said = if message.is_empty() { format!("status {status}, without a message") } else { message };
    let count = details.len();
    let mut details = details.into_iter();
    let mut next = || details.next().unwrap_or_default();
    match (status, count) {
        (c::STATUS_NOT_FOUND, 1..) => {
            DeviceError::NoSuchDevice { name: next(), available: details.collect() }
        }
        (c::STATUS_CONFIG, 4) => {
            DeviceError::Config { device: next(), key: next(), value: next(), reason: next() }
        }
        (c::STATUS_NETWORK_NOT_LOADED, 3) => {
            DeviceError::Unsupported { device: next(), node: next(), reason: next() }
        }
        (c::STATUS_NETWORK_NOT_LOADED, _) => {
            DeviceError::Unsupported { device, node: "the model".to_owned(), reason: said }
        }
        (c::STATUS_PARAMETER_MISMATCH, 3) => {
            DeviceError::Tensor { port: next(), expected: next(), found: next() }
        }
        (c::STATUS_REQUEST_BUSY, 1) => DeviceError::Busy(next()),
        (c::STATUS_REQUEST_BUSY, _) => DeviceError::Busy(format!("the request on {device}")),
        (c::STATUS_INFER_CANCELLED, _) => DeviceError::Cancelled,
        (c::STATUS_NOT_IMPLEMENTED, 2) => DeviceError::NotOffered { device: next(), what: next() },
        (c::STATUS_NOT_IMPLEMENTED, _) => DeviceError::NotOffered { device, what: said },
        (c::STATUS_NETWORK_NOT_READ, _) => DeviceError::Model(ModelError::Arguments(said)),
        (c::STATUS_GENERAL_ERROR, 2) => DeviceError::Failed { device: next(), message: next() },
        (c::STATUS_UNEXPECTED, _) => {
            DeviceError::Failed { device, message: format!("internal error: {said}") }
        }
        _ => DeviceError::Failed { device, message: said },
    }
}

/// The error of a status and the message that came with it, of which nothing is believed unchecked.
///
/// # Safety
/// The message's texts are readable, as far as they are there.
pub(crate) unsafe fn understand(status: i32, message: &c::Message, device: &str) -> DeviceError {
    // SAFETY: the caller's promise.
    let read = || unsafe {
        let said = text(message.text, "the text of a message")?.to_owned();
        let details = list(message.details, message.details_len, "the details of a message")?;
        let details = details.iter().map(|detail| Ok(text(*detail, "a detail of a message")?.to_owned()));
        Ok((said, details.collect::<Result<Vec<_>, Fault>>()?))
    };
    match read() {
        Ok((said, details)) => error_of(status, said, details, device),
        Err(error) => fault(device)(error),
    }
}

/// Answers a call of the other side: runs `run`, and tells what went wrong.
///
/// # Safety
/// `message` is null, or a message as the caller of a function provides it.
pub(crate) unsafe fn answer(message: *mut c::Message, run: impl FnOnce() -> DeviceResult<()>) -> i32 {
    let told = match caught(run) {
        Ok(Ok(())) => return c::STATUS_OK,
        Ok(Err(error)) => Told::from(&error),
        Err(panic) => Told::new(c::STATUS_UNEXPECTED, panic, Vec::new()),
    };
    let status = told.status;
    let mut told = Box::new(told);
    let mut filled = told.message();
    filled.owner = Box::into_raw(told).cast();
    filled.release = Some(release_told);
    let owner = filled.owner;
    // SAFETY: the caller's promise.
    if unsafe { give(message, filled) }.is_err() {
        // Nobody listens.
        // SAFETY: it was made above, and nobody else has it.
        drop(unsafe { Box::from_raw(owner.cast::<Told>()) });
    }
    status
}

unsafe extern "C" fn release_told(owner: *mut c_void) {
    // SAFETY: `owner` is the box that `answer` gave away, and comes back once.
    drop(unsafe { Box::from_raw(owner.cast::<Told>()) });
}

/// Calls a function of the other side and turns its status into a result.
///
/// # Safety
/// `call` calls a function that fills messages as the contract says.
pub(crate) unsafe fn ask(device: &str, call: impl FnOnce(*mut c::Message) -> i32) -> DeviceResult<()> {
    let mut message = c::Message {
        size: size_of::<c::Message>(),
        text: "".into(),
        details: ptr::null(),
        details_len: 0,
        owner: ptr::null_mut(),
        release: None,
    };
    let status = call(&raw mut message);
    if status == c::STATUS_OK {
        return Ok(());
    }
    // SAFETY: the other side filled the message, and keeps its texts until they are released.
    let error = unsafe { understand(status, &message, device) };
    if let Some(release) = message.release {
        // SAFETY: called once, with what belongs to it.
        unsafe { release(message.owner) };
    }
    Err(error)
}

/// What callbacks gather while the other side runs; what goes wrong in them is told when it has returned.
pub(crate) struct Gather<'a, T> {
    /// The side that calls back, for errors.
    device: &'a str,
    value: T,
    failure: DeviceResult<()>,
}

impl<'a, T> Gather<'a, T> {
    /// Runs `call` with a pointer for its callbacks.
    pub(crate) fn run(
        device: &'a str,
        value: T,
        call: impl FnOnce(*mut c_void) -> DeviceResult<()>,
    ) -> DeviceResult<T> {
        let mut own = Self { device, value, failure: Ok(()) };
        let called = call((&raw mut own).cast());
        own.failure.and(called).map(|()| own.value)
    }

    /// Called by callbacks: `false` when something went wrong, now or before.
    ///
    /// # Safety
    /// `user` is the pointer that [`Gather::run`] of the same `T` gave, and its call has not returned.
    pub(crate) unsafe fn add(user: *mut c_void, step: impl FnOnce(&mut T, &str) -> DeviceResult<()>) -> bool {
        // SAFETY: the caller's promise; the other side calls back from within the call, one at a time.
        let Some(own) = (unsafe { user.cast::<Self>().as_mut() }) else { return false };
        if own.failure.is_ok() {
            own.failure = caught(|| step(&mut own.value, own.device)).unwrap_or_else(|panic| {
                let message = format!("internal error: {panic}");
                Err(DeviceError::Failed { device: "the engine".to_owned(), message })
            });
        }
        own.failure.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cross(error: &DeviceError) -> DeviceError {
        // SAFETY: `answer` fills the message that `ask` provides.
        unsafe { ask("D", |message| answer(message, || Err(error.clone()))) }.unwrap_err()
    }

    #[test]
    fn errors_keep_their_kind_and_words() {
        let s = |text: &str| text.to_owned();
        let errors = [
            DeviceError::NoSuchDevice { name: s("GPU"), available: vec![s("CPU"), s("FPGA")] },
            DeviceError::Config { device: s("CPU"), key: s("K"), value: s(""), reason: s("why") },
            DeviceError::Unsupported { device: s("CPU"), node: s("conv1"), reason: s("too large") },
            DeviceError::Tensor { port: s("`x`"), expected: s("f32[1]"), found: s("f32[2]") },
            DeviceError::Busy(s("the request")),
            DeviceError::Cancelled,
            DeviceError::NotOffered { device: s("CPU"), what: s("import") },
            DeviceError::Model(ModelError::Arguments(s("one input too many"))),
            DeviceError::Failed { device: s("CPU"), message: s("größer") },
        ];
        for error in errors {
            let came = cross(&error);
            assert_eq!(std::mem::discriminant(&came), std::mem::discriminant(&error));
            assert_eq!(format!("{came:?}"), format!("{error:?}"));
        }
        let cycle = DeviceError::Model(ModelError::Cycle { path: vec![s("a"), s("b")] });
        assert_eq!(cross(&cycle).to_string(), cycle.to_string());
    }

    #[test]
    fn panics_and_bare_statuses_are_errors() {
        // SAFETY: `answer` fills the message that `ask` provides, and takes null for it.
        unsafe {
            let panicked = ask("D", |message| answer(message, || panic!("on {}", "purpose"))).unwrap_err();
            assert_eq!(panicked.to_string(), "D: internal error: on purpose");
            let status = answer(ptr::null_mut(), || Err(DeviceError::Cancelled));
            assert_eq!(status, c::STATUS_INFER_CANCELLED);
            let bare = ask("D", |_| -8).unwrap_err();
            assert!(matches!(&bare, DeviceError::Busy(what) if what.contains('D')), "{bare}");
            assert_eq!(ask("D", |_| 77).unwrap_err().to_string(), "D: status 77, without a message");
            let short = ask("D", |message| {
                (*message).text = c::Str { data: ptr::null(), len: 5 };
                -1
            });
            assert!(short.unwrap_err().to_string().contains("the text of a message is null"));
        }
    }
}
