//! A remote tensor as a table of functions.

use super::{HERE, given_tensor, object, raw, release, there};
use crate::{
    c,
    raw::Fault,
    status::{answer, caught, fault},
};
use ir::device::{DeviceError, DeviceResult, RemoteTensor};
use std::{ffi::c_void, ptr, sync::Arc};

type Exported = Arc<dyn RemoteTensor>;

/// A remote tensor for the other side, which releases it.
pub(super) fn export(tensor: Arc<dyn RemoteTensor>) -> c::Remote {
    c::Remote { object: raw::<Exported>(tensor), functions: &raw const FUNCTIONS }
}

static FUNCTIONS: c::RemoteFunctions = c::RemoteFunctions {
    size: size_of::<c::RemoteFunctions>(),
    release: Some(release::<Exported>),
    device: Some(device),
    copy_to: Some(copy_to),
    copy_from: Some(copy_from),
    properties: Some(properties),
};

/// The tensor that the other side gives back, if it is one of `export`'s.
///
/// # Safety
/// The tensor is as the contract has it.
pub(super) unsafe fn own(tensor: c::Remote) -> DeviceResult<Arc<dyn RemoteTensor>> {
    if tensor.functions.is_null() {
        return Err(fault(HERE)(Fault::Null { what: "the functions of a remote tensor" }));
    }
    if !ptr::eq(tensor.functions, &raw const FUNCTIONS) {
        return Err(DeviceError::Tensor {
            port: "the request".to_owned(),
            expected: "a remote tensor that a model of its own device has made".to_owned(),
            found: "one of another device".to_owned(),
        });
    }
    // SAFETY: only `export` gives these functions away, with its objects.
    unsafe { object::<Exported>(tensor.object) }.cloned()
}

unsafe extern "C" fn device(this: *mut c_void) -> c::Str {
    // SAFETY: the object is one of `export`'s.
    caught(|| unsafe { object::<Exported>(this) }.map_or("", |this| this.device()).into())
        .unwrap_or_else(|_| "".into())
}

unsafe extern "C" fn copy_to(this: *mut c_void, tensor: *const c::Tensor, message: *mut c::Message) -> i32 {
    // SAFETY: the object is one of `export`'s, the rest is as the contract has it.
    unsafe { answer(message, || object::<Exported>(this)?.copy_to(&given_tensor(tensor)?)) }
}

unsafe extern "C" fn copy_from(this: *mut c_void, tensor: *const c::Tensor, message: *mut c::Message) -> i32 {
    // SAFETY: the object is one of `export`'s, the rest is as the contract has it.
    unsafe { answer(message, || object::<Exported>(this)?.copy_from(&given_tensor(tensor)?)) }
}

unsafe extern "C" fn properties(
    this: *mut c_void,
    visit: c::PropertyVisitor,
    user: *mut c_void,
    message: *mut c::Message,
) -> i32 {
    // SAFETY: the object is one of `export`'s, the rest is as the contract has it.
    unsafe {
        answer(message, || {
            let visit = there(visit, "the visitor of properties")?;
            for property in object::<Exported>(this)?.properties() {
                let mutable = i32::from(property.mutable);
                visit(user, property.name.as_str().into(), property.value.as_str().into(), mutable);
            }
            Ok(())
        })
    }
}
