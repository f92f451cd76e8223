//! A remote tensor of the other side.

use super::{asked_properties, compiled};
use crate::{
    c,
    owner::Object,
    raw::{Fault, text},
    status::ask,
    tensor,
};
use ir::{
    ElementType,
    device::{DeviceError, DeviceResult, HostTensor, PortInfo, Property, RemoteTensor},
};
use std::sync::Arc;

/// A tensor in memory of the other side's device.
pub(super) struct Remote {
    object: Object<c::RemoteFunctions>,
    // Fields are dropped in order: the model after what it has made.
    _compiled: compiled::Handle,
    device: String,
    element_type: ElementType,
    shape: Vec<usize>,
}

impl Remote {
    /// A tensor for a port of fixed shape over an object of the other side.
    pub(super) fn adopt(
        object: Object<c::RemoteFunctions>,
        compiled: compiled::Handle,
        port: &PortInfo,
        shape: Vec<usize>,
    ) -> Result<Self, Fault> {
        const WHAT: &str = "the device of a remote tensor";
        let tell = object.functions.device.ok_or(Fault::Null { what: WHAT })?;
        // SAFETY: the object lives, and its text as long as it.
        let device = unsafe { text(tell(object.object), WHAT) }?.to_owned();
        Ok(Self { object, _compiled: compiled, device, element_type: port.ty.element_type, shape })
    }

    /// As the other side knows it.
    pub(super) fn view(&self) -> c::Remote {
        c::Remote { object: self.object.object, functions: self.object.table }
    }

    /// Calls one of the two copies with a dense tensor whose bytes lie at `data`, and are held.
    fn copy(&self, call: CopyCall, tensor: &HostTensor, data: *mut u8, len: usize) -> DeviceResult<()> {
        let call = call.expect("checked when it was adopted");
        let view = tensor::view(tensor.clone(), data, len);
        // SAFETY: the object lives; the view is retained until it is ended below.
        let result =
            unsafe { ask(&self.device, |message| call(self.object.object, &raw const view, message)) };
        tensor::end_view(&view);
        result
    }

    /// Memory without gaps, for tensors that have some.
    fn dense(&self) -> DeviceResult<HostTensor> {
        HostTensor::zeros(self.element_type, &self.shape)
            .map_err(|error| DeviceError::Failed { device: self.device.clone(), message: error.to_string() })
    }
}

type CopyCall = Option<
    unsafe extern "C" fn(
        object: *mut std::ffi::c_void,
        tensor: *const c::Tensor,
        message: *mut c::Message,
    ) -> i32,
>;

impl RemoteTensor for Remote {
    fn device(&self) -> &str {
        &self.device
    }

    fn element_type(&self) -> ElementType {
        self.element_type
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn properties(&self) -> Vec<Property> {
        // SAFETY: the object lives.
        unsafe { asked_properties(&self.device, self.object.functions.properties, self.object.object) }
    }

    fn copy_to(&self, tensor: &HostTensor) -> DeviceResult<()> {
        self.check(tensor)?;
        if !tensor.is_dense() {
            let dense = self.dense()?;
            self.copy_to(&dense)?;
            return tensor.copy_from(&dense.read()?);
        }
        let mut bytes = tensor.write()?;
        let (data, len) = (bytes.as_mut_ptr(), bytes.len());
        self.copy(self.object.functions.copy_to, tensor, data, len)
    }

    fn copy_from(&self, tensor: &HostTensor) -> DeviceResult<()> {
        self.check(tensor)?;
        if !tensor.is_dense() {
            let dense = self.dense()?;
            tensor.copy_to(&mut dense.write()?)?;
            return self.copy_from(&dense);
        }
        let bytes = tensor.read()?;
        let (data, len) = (bytes.as_ptr().cast_mut(), bytes.len());
        self.copy(self.object.functions.copy_from, tensor, data, len)
    }
}

/// The tensor as one that has crossed, for a request of `device`.
pub(super) fn crossed(
    tensor: &Arc<dyn RemoteTensor>,
    device: &str,
    port: &PortInfo,
) -> DeviceResult<c::Remote> {
    let any: &dyn std::any::Any = &**tensor;
    any.downcast_ref::<Remote>().map(Remote::view).ok_or_else(|| DeviceError::Tensor {
        port: format!("`{}`", port.name()),
        expected: format!("a remote tensor that a model on {device} has made"),
        found: format!("{}{:?} on {}", tensor.element_type(), tensor.shape(), tensor.device()),
    })
}
