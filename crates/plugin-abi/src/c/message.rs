//! Statuses and their messages.

use super::Str;
use std::{ffi::c_void, mem::offset_of};

/// All is well.
pub const STATUS_OK: i32 = 0;
/// Anything that has no number of its own. Details: the device, what happened.
pub const STATUS_GENERAL_ERROR: i32 = -1;
/// The device does not offer what it was asked for. Details: the device, what was asked for.
pub const STATUS_NOT_IMPLEMENTED: i32 = -2;
/// The device can't run the model. Details: the device, the node, the reason.
pub const STATUS_NETWORK_NOT_LOADED: i32 = -3;
/// A tensor does not fit its port. Details: the port, what it takes, what it was given.
pub const STATUS_PARAMETER_MISMATCH: i32 = -4;
/// There is no such device. Details: the name asked for, then those that are there.
pub const STATUS_NOT_FOUND: i32 = -5;
/// A number is too large.
pub const STATUS_OUT_OF_BOUNDS: i32 = -6;
/// The other side is at fault: it panicked, or gave what it must not give.
pub const STATUS_UNEXPECTED: i32 = -7;
/// The request, or memory that it needs, is in use. Details: what is in use.
pub const STATUS_REQUEST_BUSY: i32 = -8;
/// The model itself is at fault.
pub const STATUS_NETWORK_NOT_READ: i32 = -12;
/// The inference was cancelled.
pub const STATUS_INFER_CANCELLED: i32 = -13;
/// A setting that the device doesn't have, or a value that it doesn't take. Details: the device, the key, the value,
/// the reason.
pub const STATUS_CONFIG: i32 = -100;

/// What a status other than `STATUS_OK` means, in words. The caller gives one, zeroed except for `size`; the
/// function that fails may fill it. The caller then reads it and calls `release(owner)`, if that is there.
#[repr(C)]
pub struct Message {
    /// The size of this struct.
    pub size: usize,
    /// The message.
    pub text: Str,
    /// What the message is made of, in the order that the status states; null when unknown.
    pub details: *const Str,
    /// The number of details.
    pub details_len: usize,
    /// What `release` takes.
    pub owner: *mut c_void,
    /// Ends the life of the texts. Null when they live as long as the library, as literals do.
    pub release: Option<unsafe extern "C" fn(owner: *mut c_void)>,
}

const _: () = {
    let word = size_of::<usize>();
    assert!(offset_of!(Message, text) == word);
    assert!(offset_of!(Message, details) == 3 * word);
    assert!(offset_of!(Message, owner) == 5 * word);
    assert!(size_of::<Message>() == 7 * word);
};
