//! Models as they cross.

use super::{Extension, Str};
use std::{ffi::c_void, mem::offset_of};

/// The bytes of one or more constants, at their place in the IR's `.bin`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Chunk {
    /// Where it lies in the `.bin`: what the `offset` of a `Const` layer refers to.
    pub offset: u64,
    /// The bytes.
    pub data: *const u8,
    /// How many.
    pub len: u64,
}

/// A model: the text of an IR of version 11, and the constants that it refers to. Text and bytes live until the call
/// returns; who needs the bytes longer calls `retain`, and `release` once for every `retain`.
#[repr(C)]
pub struct Model {
    /// The size of this struct.
    pub size: usize,
    /// The IR's `.xml`.
    pub xml: Str,
    /// What the `.bin` would hold, by rising offset; every constant lies within one chunk.
    pub chunks: *const Chunk,
    /// The number of chunks.
    pub chunks_len: usize,
    /// What `retain` and `release` take.
    pub owner: *mut c_void,
    /// Keeps the bytes of all chunks. From any thread.
    pub retain: Option<unsafe extern "C" fn(owner: *mut c_void)>,
    /// Takes one `retain` back. From any thread.
    pub release: Option<unsafe extern "C" fn(owner: *mut c_void)>,
    /// The meaning of the model's custom layers, as far as the sender knows it; it lives until the call returns, and
    /// what is retained longer.
    pub extensions: *const Extension,
    /// How many.
    pub extensions_len: usize,
}

/// Bytes that live until the call returns; who needs them longer calls `retain`, and `release` once for every
/// `retain`.
#[repr(C)]
pub struct Bytes {
    /// The size of this struct.
    pub size: usize,
    /// The first.
    pub data: *const u8,
    /// How many.
    pub len: usize,
    /// What `retain` and `release` take.
    pub owner: *mut c_void,
    /// Keeps the bytes. From any thread.
    pub retain: Option<unsafe extern "C" fn(owner: *mut c_void)>,
    /// Takes one `retain` back. From any thread.
    pub release: Option<unsafe extern "C" fn(owner: *mut c_void)>,
}

/// A setting, such as `NUM_STREAMS` and `2`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Setting {
    /// The key.
    pub key: Str,
    /// The value.
    pub value: Str,
}

/// Settings: an array, valid until the call returns.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Settings {
    /// The first.
    pub items: *const Setting,
    /// How many.
    pub len: usize,
}

const _: () = {
    let word = size_of::<usize>();
    assert!(size_of::<Chunk>() == 16 + 8);
    assert!(offset_of!(Model, xml) == word);
    assert!(offset_of!(Model, chunks) == 3 * word);
    assert!(offset_of!(Model, owner) == 5 * word);
    assert!(offset_of!(Model, extensions) == 8 * word);
    assert!(size_of::<Model>() == 10 * word);
    assert!(offset_of!(Bytes, owner) == 3 * word);
    assert!(size_of::<Bytes>() == 6 * word);
    assert!(size_of::<Setting>() == 4 * word);
    assert!(size_of::<Settings>() == 2 * word);
};
