//! From Rust to C: devices, compiled models, requests and the host as tables of functions.

mod compiled;
mod device;
mod extension;
mod host;
mod remote;
mod request;

use crate::{
    c,
    raw::{Fault, take},
    status::{answer, fault},
    tensor,
};
use ir::device::{Device, DeviceResult, HostTensor, PortIndex};
use std::{ffi::c_void, sync::Arc};

pub(crate) use compiled::PortView;
pub(crate) use device::export as device;
pub(crate) use extension::SentExtensions;
#[doc(hidden)]
pub use extension::{library, tell};
pub(crate) use host::SentHost;

/// What [`crate::export_device`] puts behind the entry symbol.
///
/// # Safety
/// The pointers are as the engine gives them to `create`.
#[doc(hidden)]
pub unsafe fn create(
    device: *mut c::Device,
    message: *mut c::Message,
    make: impl FnOnce() -> Arc<dyn Device>,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { answer(message, || give_object(device, "the device", || Ok(self::device(make())))) }
}

/// What the entry function of a plugin in Rust returns.
#[doc(hidden)]
pub const fn plugin(create: unsafe extern "C" fn(*mut c::Device, *mut c::Message) -> i32) -> c::Plugin {
    c::Plugin { size: size_of::<c::Plugin>(), abi_version: c::ABI_VERSION, create: Some(create) }
}

/// Exports a device as this library's plugin: `export_device!(Arc::new(MyDevice::new()))`. For crates of type
/// `cdylib`, once each.
#[macro_export]
macro_rules! export_device {
    ($device:expr) => {
        /// The entry of this plugin.
        // SAFETY: the name is the contract's, and this library defines it once.
        #[unsafe(no_mangle)]
        pub extern "C" fn terroir_plugin_entry(_abi_version: u32) -> *const $crate::c::Plugin {
            unsafe extern "C" fn create(
                device: *mut $crate::c::Device,
                message: *mut $crate::c::Message,
            ) -> i32 {
                // SAFETY: the pointers are the engine's, passed on.
                unsafe { $crate::export::create(device, message, || $device) }
            }
            static PLUGIN: $crate::c::Plugin = $crate::export::plugin(create);
            &raw const PLUGIN
        }
    };
}

/// The device that an error of an exported function names when it doesn't know better.
const HERE: &str = "the plugin";

/// The object that a function was given.
///
/// # Safety
/// `object` is null, or one of this side's of type `T` that lives for `'a`.
unsafe fn object<'a, T>(object: *mut c_void) -> DeviceResult<&'a T> {
    // SAFETY: the caller's promise.
    unsafe { object.cast::<T>().as_ref() }.ok_or_else(|| fault(HERE)(Fault::Null { what: "the object" }))
}

/// Makes an object, and gives it away through `to`, if that is there.
///
/// # Safety
/// `to` is null, or valid for writes.
unsafe fn give_object<T>(
    to: *mut T,
    what: &'static str,
    make: impl FnOnce() -> DeviceResult<T>,
) -> DeviceResult<()> {
    if to.is_null() {
        return Err(fault(HERE)(Fault::Null { what }));
    }
    // SAFETY: the caller's promise.
    unsafe { crate::raw::put(to, make()?, what) }.map_err(fault(HERE))
}

/// Ends an object of this side.
///
/// # Safety
/// `object` is a box of this side's of type `T`, given away once and coming back once.
unsafe extern "C" fn release<T>(object: *mut c_void) {
    if !object.is_null() {
        // A panic while dropping must not unwind into the other side.
        // SAFETY: the caller's promise.
        _ = crate::status::caught(|| drop(unsafe { Box::from_raw(object.cast::<T>()) }));
    }
}

/// Gives an object away.
fn raw<T>(value: T) -> *mut c_void {
    Box::into_raw(Box::new(value)).cast()
}

/// A function of the other side that must be there.
fn there<F>(function: Option<F>, what: &'static str) -> DeviceResult<F> {
    function.ok_or_else(|| fault(HERE)(Fault::Null { what }))
}

/// A tensor that the other side gives, retained.
///
/// # Safety
/// `view` is null, or as the contract has it.
unsafe fn given_tensor(view: *const c::Tensor) -> DeviceResult<HostTensor> {
    // SAFETY: the caller's promise.
    unsafe {
        let view = take(view).map_err(fault(HERE))?;
        let retain = there(view.retain, "`retain` of a tensor")?;
        there(view.release, "`release` of a tensor")?;
        retain(view.owner);
        let kept = tensor::keeper(&view, Arc::new(()));
        tensor::receive(&view, kept, HERE)
    }
}

/// The port of a side and a number.
fn port_index(side: i32, index: usize) -> DeviceResult<PortIndex> {
    match side {
        c::SIDE_INPUT => Ok(PortIndex::Input(index)),
        c::SIDE_OUTPUT => Ok(PortIndex::Output(index)),
        found => Err(fault(HERE)(Fault::Number { what: "a side", found: found.into() })),
    }
}
