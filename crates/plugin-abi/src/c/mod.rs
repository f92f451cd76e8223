//! The C side of the contract: what `include/terroir_plugin.h` is generated from.
//!
//! Structs that may grow begin with their size, in bytes, as the one who made them knows it; fields are only ever
//! appended. Functions that may be absent are null; those that must not be are marked as required.

// The types of a C interface are what they are.
#![allow(clippy::type_complexity)]

mod device;
mod extension;
mod message;
mod model;
mod remote;
mod request;

pub use device::*;
pub use extension::*;
pub use message::*;
pub use model::*;
pub use remote::*;
pub use request::*;

/// The version of this interface. It changes only when older plugins can no longer be used; what is appended to the
/// structs is told by their sizes.
pub const ABI_VERSION: u32 = 1;

/// Text in UTF-8, without a zero at its end. Who is given one may read it until the call returns.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Str {
    /// The first byte; anything when `len` is 0.
    pub data: *const std::ffi::c_char,
    /// The number of bytes.
    pub len: usize,
}

const _: () = assert!(size_of::<Str>() == 2 * size_of::<usize>());
