//! From C to Rust: devices behind tables of functions.

mod compiled;
mod device;
mod extension;
mod ports;
mod remote;
mod request;
mod running;

pub(crate) use device::adopt as device;
pub(crate) use extension::{adopt as extension, gather as extensions};
pub(crate) use ports::port_type;

use crate::{
    c,
    raw::text,
    status::{Gather, ask, fault},
};
use ir::device::{DeviceResult, Property};
use std::ffi::c_void;

/// Asks for a text: `call` gets a sink and what the sink takes.
fn asked_text(
    device: &str,
    call: impl FnOnce(c::TextSink, *mut c_void) -> DeviceResult<()>,
) -> DeviceResult<String> {
    unsafe extern "C" fn sink(user: *mut c_void, said: c::Str) {
        // SAFETY: `user` is the gathering below; the text is as the contract has it.
        unsafe {
            Gather::<String>::add(user, |answer, device| {
                text(said, "a property").map_err(fault(device))?.clone_into(answer);
                Ok(())
            });
        }
    }
    Gather::run(device, String::new(), |user| call(Some(sink), user))
}

/// A function that tells properties.
type TellProperties =
    unsafe extern "C" fn(*mut c_void, c::PropertyVisitor, *mut c_void, *mut c::Message) -> i32;

/// Asks for all properties of a device or a compiled model.
///
/// # Safety
/// The function is the object's, which lives.
unsafe fn asked_properties(device: &str, tell: Option<TellProperties>, object: *mut c_void) -> Vec<Property> {
    unsafe extern "C" fn visit(user: *mut c_void, key: c::Str, value: c::Str, mutable: i32) {
        // SAFETY: `user` is the gathering below; the texts are as the contract has them.
        unsafe {
            Gather::<Vec<Property>>::add(user, |all, device| {
                let read = |given, what| text(given, what).map(str::to_owned).map_err(fault(device));
                let (name, value) = (read(key, "a key")?, read(value, "a value")?);
                all.push(Property { name, mutable: mutable != 0, value });
                Ok(())
            });
        }
    }
    let Some(tell) = tell else { return Vec::new() };
    let properties = Gather::run(device, Vec::new(), |user| {
        // SAFETY: the caller's promise; all that is passed lives until the call returns.
        unsafe { ask(device, |message| tell(object, Some(visit), user, message)) }
    });
    properties.unwrap_or_else(|error| {
        tracing::warn!("no properties of {device}: {error}");
        Vec::new()
    })
}
