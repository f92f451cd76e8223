//! The device contract of [`ir::device`] as a C ABI: devices and custom layers from shared libraries, and for them.
//!
//! | to | use |
//! |---|---|
//! | load a plugin | [`load_device`] |
//! | load custom layers | [`load_extensions`] |
//! | make a library of custom layers in Rust | [`export_extensions!`] in a crate of type `cdylib` |
//! | make a plugin from a device in Rust | [`export_device!`] in a crate of type `cdylib` |
//! | write one in another language | `include/terroir_plugin.h` |
//!
//! [`c`] holds what the header is generated from. What the other side gives is checked as far as it can be: null
//! pointers, sizes, numbers, UTF-8 and lengths give errors; a pointer to somewhere else can't be told. Panics are
//! caught on both sides.

pub mod c;
#[doc(hidden)]
pub mod export;
mod import;
mod load;
mod model;
mod owner;
mod raw;
mod status;
mod tensor;

pub use load::{LoadError, load_device, load_extensions};
pub use raw::Fault;
