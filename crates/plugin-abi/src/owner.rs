//! What crosses the boundary and must be let go: `Arc`s as owners, and objects of the other side.

use crate::{
    c,
    raw::{Fault, Grows, list, take},
};
use ir::Bytes;
use std::{ffi::c_void, sync::Arc};

/// Counts one more holder of an `Arc<T>` that crossed as a pointer.
///
/// # Safety
/// `owner` came from `Arc::<T>::as_ptr` or `into_raw`, and somebody holds it.
pub(crate) unsafe extern "C" fn retain<T>(owner: *mut c_void) {
    // SAFETY: the caller's promise.
    unsafe { Arc::increment_strong_count(owner.cast::<T>()) };
}

/// Takes one [`retain`] back.
///
/// # Safety
/// As for [`retain`]; what is taken back was held.
pub(crate) unsafe extern "C" fn release<T>(owner: *mut c_void) {
    // A panic while dropping must not unwind into the other side.
    // SAFETY: the caller's promise.
    _ = crate::status::caught(|| unsafe { Arc::decrement_strong_count(owner.cast::<T>()) });
}

/// Memory of the other side, retained.
pub(crate) struct Kept {
    owner: *mut c_void,
    release: unsafe extern "C" fn(owner: *mut c_void),
}

// SAFETY: the contract allows `release` from any thread.
unsafe impl Send for Kept {}
// SAFETY: nothing but dropping uses it.
unsafe impl Sync for Kept {}

impl Kept {
    /// Takes over one retain of `owner`.
    ///
    /// # Safety
    /// `release(owner)` may be called once, from any thread.
    pub(crate) unsafe fn new(owner: *mut c_void, release: unsafe extern "C" fn(owner: *mut c_void)) -> Self {
        Self { owner, release }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // SAFETY: promised when this was made.
        unsafe { (self.release)(self.owner) };
    }
}

/// Keeps what an owner owns, if it can be kept.
///
/// # Safety
/// The functions are the owner's, which lives.
pub(crate) unsafe fn retained(
    owner: *mut c_void,
    retain: Option<unsafe extern "C" fn(owner: *mut c_void)>,
    release: Option<unsafe extern "C" fn(owner: *mut c_void)>,
) -> Option<Kept> {
    let (retain, release) = (retain?, release?);
    // SAFETY: the caller's promise; what is retained is released once.
    Some(unsafe {
        retain(owner);
        Kept::new(owner, release)
    })
}

/// Bytes of the other side: shared when they are kept, else copied, since they end with the call.
///
/// # Safety
/// The bytes are there until the call returns, and for as long as they are kept.
pub(crate) unsafe fn share(data: *const u8, len: usize, kept: Option<&Arc<Kept>>) -> Result<Bytes, Fault> {
    // SAFETY: the caller's promise; the slice can only be reached through what keeps it, which lies beside it.
    let bytes: &'static [u8] = unsafe { list(data, len, "bytes of the other side")? };
    Ok(match kept {
        Some(kept) => Bytes::from_owner(Borrowed { bytes, _kept: kept.clone() }),
        None => Bytes::copy_from_slice(bytes),
    })
}

/// Bytes of the other side.
struct Borrowed {
    bytes: &'static [u8],
    _kept: Arc<Kept>,
}

impl AsRef<[u8]> for Borrowed {
    fn as_ref(&self) -> &[u8] {
        self.bytes
    }
}

/// A table of functions that ends objects.
pub(crate) trait Table: Grows + Copy {
    /// Its `release`.
    fn release(&self) -> Option<unsafe extern "C" fn(object: *mut c_void)>;
}

macro_rules! tables {
    ($($type:ident),*) => {$(
        impl Table for c::$type {
            fn release(&self) -> Option<unsafe extern "C" fn(object: *mut c_void)> {
                self.release
            }
        }
    )*};
}

tables!(DeviceFunctions, CompiledFunctions, RequestFunctions, RemoteFunctions, HostFunctions);

/// An object of the other side, released when dropped.
pub(crate) struct Object<F: Table> {
    /// What the functions take first.
    pub(crate) object: *mut c_void,
    /// A checked copy of the functions.
    pub(crate) functions: F,
    /// Where the other side has them: never read again.
    pub(crate) table: *const F,
}

// SAFETY: the contract allows calls from any thread; for requests, whose functions may not be called at the same
// time, `import::Request` sees to that.
unsafe impl<F: Table> Send for Object<F> {}
// SAFETY: as above.
unsafe impl<F: Table> Sync for Object<F> {}

impl<F: Table> Object<F> {
    /// Takes over an object.
    ///
    /// # Safety
    /// Both pointers are null, or as the contract has them; the object belongs to the caller.
    pub(crate) unsafe fn adopt(object: *mut c_void, functions: *const F) -> Result<Self, Fault> {
        // SAFETY: the caller's promise.
        Ok(Self { object, functions: unsafe { take(functions)? }, table: functions })
    }
}

impl<F: Table> Drop for Object<F> {
    fn drop(&mut self) {
        if let Some(release) = self.functions.release() {
            // SAFETY: the object is ours, and this is its end.
            unsafe { release(self.object) };
        }
    }
}
