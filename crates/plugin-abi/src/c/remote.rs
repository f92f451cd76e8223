//! Tensors in a device's own memory.

use super::{Message, PropertyVisitor, Str, Tensor};
use std::{ffi::c_void, mem::offset_of};

/// A tensor in a device's own memory, made for a port of fixed shape: type and shape are that port's. It belongs to the
/// engine, which releases it before the compiled model that made it. By the address of the functions a device tells its
/// own tensors from those of others.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Remote {
    /// What its functions take first.
    pub object: *mut c_void,
    /// The functions; they live as long as the library.
    pub functions: *const RemoteFunctions,
}

/// The functions of a remote tensor. Any of them may be called from several threads at once, `release` last and once.
/// They wait for nobody: while an inference uses the memory, what would be in its way answers `STATUS_REQUEST_BUSY`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct RemoteFunctions {
    /// The size of this struct.
    pub size: usize,
    /// Required. Ends the tensor. A request where it is set keeps the memory by itself until it gets another one.
    pub release: Option<unsafe extern "C" fn(object: *mut c_void)>,
    /// Required. Where it lies, such as `FPGA.0`; it lives as long as the tensor.
    pub device: Option<unsafe extern "C" fn(object: *mut c_void) -> Str>,
    /// Required. Copies the elements to a dense tensor of the host, of the port's type and shape.
    pub copy_to: Option<
        unsafe extern "C" fn(object: *mut c_void, tensor: *const Tensor, message: *mut Message) -> i32,
    >,
    /// Required. Copies the elements from a dense tensor of the host, of the port's type and shape.
    pub copy_from: Option<
        unsafe extern "C" fn(object: *mut c_void, tensor: *const Tensor, message: *mut Message) -> i32,
    >,
    /// Tells what there is to know of the memory, such as size and layout. Null: nothing.
    pub properties: Option<
        unsafe extern "C" fn(
            object: *mut c_void,
            visit: PropertyVisitor,
            user: *mut c_void,
            message: *mut Message,
        ) -> i32,
    >,
}

const _: () = {
    let word = size_of::<usize>();
    assert!(size_of::<Remote>() == 2 * word);
    assert!(offset_of!(RemoteFunctions, copy_to) == 3 * word);
    assert!(size_of::<RemoteFunctions>() == 6 * word);
};
