//! Requests and their tensors.

use super::{Message, Remote, Str};
use std::{ffi::c_void, mem::offset_of};

/// Not known before the model runs.
pub const TYPE_DYNAMIC: i32 = 0;
/// One byte, 0 or 1.
pub const TYPE_BOOLEAN: i32 = 1;
/// bfloat16.
pub const TYPE_BF16: i32 = 2;
/// IEEE binary16.
pub const TYPE_F16: i32 = 3;
/// IEEE binary32.
pub const TYPE_F32: i32 = 4;
/// IEEE binary64.
pub const TYPE_F64: i32 = 5;
/// Signed 4 bits, two to a byte, the low half first.
pub const TYPE_I4: i32 = 6;
/// Signed 8 bits.
pub const TYPE_I8: i32 = 7;
/// Signed 16 bits.
pub const TYPE_I16: i32 = 8;
/// Signed 32 bits.
pub const TYPE_I32: i32 = 9;
/// Signed 64 bits.
pub const TYPE_I64: i32 = 10;
/// One bit, eight to a byte, the high bit first.
pub const TYPE_U1: i32 = 11;
/// Unsigned 4 bits, two to a byte, the low half first.
pub const TYPE_U4: i32 = 12;
/// Unsigned 8 bits.
pub const TYPE_U8: i32 = 13;
/// Unsigned 16 bits.
pub const TYPE_U16: i32 = 14;
/// Unsigned 32 bits.
pub const TYPE_U32: i32 = 15;
/// Unsigned 64 bits.
pub const TYPE_U64: i32 = 16;

/// The inputs of a model.
pub const SIDE_INPUT: i32 = 0;
/// The outputs of a model.
pub const SIDE_OUTPUT: i32 = 1;

/// The layer ran.
pub const LAYER_EXECUTED: i32 = 0;
/// The layer had nothing to do.
pub const LAYER_NOT_RUN: i32 = 1;
/// The layer is part of another one, or was computed at compile time.
pub const LAYER_OPTIMIZED_OUT: i32 = 2;

/// A tensor in somebody's memory: elements in row-major order, little endian.
///
/// Given to a function, it lives until the call returns; who needs the memory longer calls `retain`, and `release`
/// once for every `retain`. Given by a function, it comes retained: who received it calls `release` once.
#[repr(C)]
pub struct Tensor {
    /// The size of this struct.
    pub size: usize,
    /// The first element. An input's memory is only read.
    pub data: *mut u8,
    /// The bytes from the first element to the end of the last.
    pub byte_len: usize,
    /// One of `TYPE_*`.
    pub element_type: i32,
    /// The number of dimensions; 0 for a scalar.
    pub rank: usize,
    /// The sizes of the dimensions.
    pub shape: *const usize,
    /// The bytes from one element to the next along each dimension; null when the elements lie densely.
    pub strides: *const isize,
    /// What `retain` and `release` take.
    pub owner: *mut c_void,
    /// Keeps the memory. From any thread. Null together with `release`: the memory lives as long as the request.
    pub retain: Option<unsafe extern "C" fn(owner: *mut c_void)>,
    /// Takes one `retain` back. From any thread.
    pub release: Option<unsafe extern "C" fn(owner: *mut c_void)>,
}

/// One row of a profile.
#[repr(C)]
pub struct ProfileRow {
    /// The size of this struct.
    pub size: usize,
    /// The name of the model's node.
    pub name: Str,
    /// One of `LAYER_*`.
    pub status: i32,
    /// The op's type name.
    pub layer_type: Str,
    /// How it was computed, in the device's words.
    pub exec_type: Str,
    /// Nanoseconds from begin to end on the clock.
    pub real_nanoseconds: u64,
    /// Nanoseconds that processors spent on it.
    pub cpu_nanoseconds: u64,
    /// The name of the device that it ran on.
    pub device: Str,
    /// Which of the device's workers: what has the same number ran one after the other.
    pub lane: usize,
    /// When it began, in nanoseconds since 1970 on the system's clock; 0 when that, `device` and `lane` are unknown.
    pub begin_nanoseconds: u64,
}

/// Told once, on any thread, when a started inference ends. `message` may be null; who calls keeps it.
/// From this call on the request may be released: nothing of it may be touched behind it.
pub type Completion = Option<unsafe extern "C" fn(user: *mut c_void, status: i32, message: *const Message)>;

/// Told every row of a profile.
pub type ProfileVisitor = Option<unsafe extern "C" fn(user: *mut c_void, row: *const ProfileRow)>;

/// One inference at a time on a compiled model.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Request {
    /// What its functions take first.
    pub object: *mut c_void,
    /// The functions; they live as long as the library.
    pub functions: *const RequestFunctions,
}

/// The functions of a request. The engine calls one at a time, from any thread; `cancel` alone may come while
/// another runs. While an inference runs the engine calls nothing but `cancel`, and nobody else touches the tensors;
/// between inferences the request must not touch them. Tensors of different ports never overlap.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct RequestFunctions {
    /// The size of this struct.
    pub size: usize,
    /// Required. Ends the request. Never called while an inference runs; may be called on any thread.
    pub release: Option<unsafe extern "C" fn(object: *mut c_void)>,
    /// Required. From the next inference on the request reads from, or writes to, this tensor. A request that takes
    /// dense tensors alone answers others with `STATUS_NOT_IMPLEMENTED`; the engine then gives it a copy.
    pub set_tensor: Option<
        unsafe extern "C" fn(
            object: *mut c_void,
            side: i32,
            index: usize,
            tensor: *const Tensor,
            message: *mut Message,
        ) -> i32,
    >,
    /// Required. The tensor of a port: the one that was set, or the request's own. That of a port of fixed shape
    /// stays the same until another is set; that of an output of dynamic shape may be another after each inference,
    /// and is there after the first.
    pub tensor: Option<
        unsafe extern "C" fn(
            object: *mut c_void,
            side: i32,
            index: usize,
            tensor: *mut Tensor,
            message: *mut Message,
        ) -> i32,
    >,
    /// Required. Runs one inference and returns when it has ended.
    pub infer: Option<unsafe extern "C" fn(object: *mut c_void, message: *mut Message) -> i32>,
    /// Starts an inference and returns; unless that fails, `done` is called exactly once. Null: the engine calls
    /// `infer` on a thread of its own.
    pub start: Option<
        unsafe extern "C" fn(
            object: *mut c_void,
            done: Completion,
            user: *mut c_void,
            message: *mut Message,
        ) -> i32,
    >,
    /// Asks a running inference to end early with `STATUS_INFER_CANCELLED`. Null: inferences run to their end.
    pub cancel: Option<unsafe extern "C" fn(object: *mut c_void)>,
    /// What the layers did in the last inference, in the order in which they ran. Null: nothing is known.
    pub profile: Option<
        unsafe extern "C" fn(
            object: *mut c_void,
            visit: ProfileVisitor,
            user: *mut c_void,
            message: *mut Message,
        ) -> i32,
    >,
    /// From the next inference on the request reads from, or writes to, memory of the device, until another tensor is set.
    /// Tensors that are not the device's, or do not fit the port, answer `STATUS_PARAMETER_MISMATCH`. Meanwhile the port has
    /// no `tensor`: `STATUS_NOT_IMPLEMENTED`. Null: not offered.
    pub set_remote: Option<
        unsafe extern "C" fn(
            object: *mut c_void,
            side: i32,
            index: usize,
            remote: Remote,
            message: *mut Message,
        ) -> i32,
    >,
}

const _: () = {
    let word = size_of::<usize>();
    assert!(offset_of!(Tensor, byte_len) == 2 * word);
    assert!(offset_of!(Tensor, element_type) == 3 * word);
    assert!(offset_of!(Tensor, rank) == 4 * word);
    assert!(offset_of!(Tensor, owner) == 7 * word);
    assert!(size_of::<Tensor>() == 10 * word);
    assert!(offset_of!(RequestFunctions, infer) == 4 * word);
    assert!(offset_of!(RequestFunctions, set_remote) == 8 * word);
    assert!(size_of::<RequestFunctions>() == 9 * word);
    assert!(size_of::<Request>() == 2 * word);
};
