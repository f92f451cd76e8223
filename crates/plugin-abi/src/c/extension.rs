//! Custom layers, from shared libraries and across the boundary.

use super::{Dimension, Message, Settings, Str, Tensor};
use std::{ffi::c_void, mem::offset_of};

/// The name of the one function that a library of custom layers exports.
pub const EXTENSION_ENTRY: &str = "terroir_extension_entry";

/// That function. `abi_version` is the engine's. It must not fail: a library that can't serve that version says its
/// own. The struct lives as long as the library, which is never unloaded.
pub type ExtensionEntry = unsafe extern "C" fn(abi_version: u32) -> *const ExtensionLibrary;

/// What a library of custom layers is.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ExtensionLibrary {
    /// The size of this struct.
    pub size: usize,
    /// The version that the library was built for: `ABI_VERSION`.
    pub abi_version: u32,
    /// Required. Tells the extensions.
    pub extensions: Option<
        unsafe extern "C" fn(visit: ExtensionVisitor, user: *mut c_void, message: *mut Message) -> i32,
    >,
}

/// The meaning of one type of custom layers.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Extension {
    /// What its functions take first.
    pub object: *mut c_void,
    /// The functions; they live as long as the library.
    pub functions: *const ExtensionFunctions,
}

/// Told every extension; who needs one longer than the call retains it, if it can be retained.
pub type ExtensionVisitor = Option<unsafe extern "C" fn(user: *mut c_void, extension: *const Extension)>;

/// What is known of an input before the model runs.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct InputType {
    /// One of `TYPE_*`.
    pub element_type: i32,
    /// The number of dimensions; -1 when unknown.
    pub rank: i32,
    /// The dimensions.
    pub dimensions: *const Dimension,
    /// The elements when they are known, as those of constants are; else null.
    pub value: *const Tensor,
}

/// Told the type of every output, in order; `rank` is -1 when it is unknown.
pub type OutputVisitor = Option<
    unsafe extern "C" fn(user: *mut c_void, element_type: i32, rank: i32, dimensions: *const Dimension),
>;

/// Gives the memory of an output, which starts at an address that fits every element type and is there until the
/// call returns. Called once for every output, in order. Null: there can be no such output; give up with any status.
pub type OutputAllocator = Option<
    unsafe extern "C" fn(user: *mut c_void, element_type: i32, rank: usize, shape: *const usize) -> *mut u8,
>;

/// The functions of an extension. Any of them may be called from several threads at once. All that is passed lives
/// until the call returns.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ExtensionFunctions {
    /// The size of this struct.
    pub size: usize,
    /// Keeps the extension. Null together with `release`: it lives as long as its library.
    pub retain: Option<unsafe extern "C" fn(object: *mut c_void)>,
    /// Takes one `retain` back.
    pub release: Option<unsafe extern "C" fn(object: *mut c_void)>,
    /// Required. The type of the layers, the framework's; it lives as long as the extension.
    pub type_name: Option<unsafe extern "C" fn(object: *mut c_void) -> Str>,
    /// The op set that files name for them; it lives as long as the extension. Null: `extension`.
    pub version: Option<unsafe extern "C" fn(object: *mut c_void) -> Str>,
    /// Required. Types and shapes of the outputs, from the layer's attributes and its inputs, as far as they are
    /// known.
    pub infer: Option<
        unsafe extern "C" fn(
            object: *mut c_void,
            attributes: Settings,
            inputs: *const InputType,
            inputs_len: usize,
            visit: OutputVisitor,
            user: *mut c_void,
            message: *mut Message,
        ) -> i32,
    >,
    /// Required. Computes the outputs, of the types and shapes that `infer` gives for these inputs. The inputs are
    /// dense, and start at addresses that fit their element types.
    pub evaluate: Option<
        unsafe extern "C" fn(
            object: *mut c_void,
            attributes: Settings,
            inputs: *const *const Tensor,
            inputs_len: usize,
            allocate: OutputAllocator,
            user: *mut c_void,
            message: *mut Message,
        ) -> i32,
    >,
}

const _: () = {
    let word = size_of::<usize>();
    assert!(offset_of!(ExtensionLibrary, extensions) == word + 8);
    assert!(size_of::<ExtensionLibrary>() == 2 * word + 8);
    assert!(size_of::<Extension>() == 2 * word);
    assert!(offset_of!(InputType, value) == word + 8);
    assert!(size_of::<InputType>() == 2 * word + 8);
    assert!(offset_of!(ExtensionFunctions, infer) == 5 * word);
    assert!(size_of::<ExtensionFunctions>() == 7 * word);
};
