//! Tensors in a device's own memory.

use super::{DeviceError, DeviceResult, HostTensor, Property};
use crate::ElementType;
use std::any::Any;

/// A tensor in the memory of a device, such as a card's. [`super::CompiledModel::create_remote`] makes one for a port, in
/// the form in which the device has that port; [`super::InferRequest::set_remote`] lets inferences use it where it lies, at
/// every port of the device where it fits. Elements come and go by copies.
///
/// Any thread may use it. Nothing waits: an inference has its tensors from its start to its end, and what would write while
/// somebody reads, or read while somebody writes, fails with [`DeviceError::Busy`]: copying, and starting another inference.
/// Inferences that read the same tensor may run at the same time. A tensor lives as long as somebody has it, a request where
/// it is set included.
///
/// The type is the device's own: by `Any` it tells its tensors from those of others.
pub trait RemoteTensor: Any + Send + Sync {
    /// Where it lies: `FPGA.0`.
    fn device(&self) -> &str;

    /// The type that its elements have on the host: the port's.
    fn element_type(&self) -> ElementType;

    /// The shape: the port's.
    fn shape(&self) -> &[usize];

    /// What there is to know of its memory, such as size and layout.
    fn properties(&self) -> Vec<Property> {
        Vec::new()
    }

    /// Checks that a tensor of the host has the type and shape of this one.
    fn check(&self, tensor: &HostTensor) -> DeviceResult<()> {
        if (tensor.element_type(), tensor.shape()) == (self.element_type(), self.shape()) {
            return Ok(());
        }
        Err(DeviceError::Tensor {
            port: "the remote tensor".to_owned(),
            expected: format!("{}{:?}", self.element_type(), self.shape()),
            found: format!("{tensor:?}"),
        })
    }

    /// Copies the elements to the host: to a tensor of the same type and shape.
    fn copy_to(&self, tensor: &HostTensor) -> DeviceResult<()>;

    /// Copies the elements of a tensor of the same type and shape from the host.
    fn copy_from(&self, tensor: &HostTensor) -> DeviceResult<()>;
}

impl DeviceError {
    /// What a device says that has no memory of its own.
    pub fn no_remote_tensors(device: impl Into<String>) -> Self {
        let what = "remote tensors: what it reads and writes is the host's memory, so set a `HostTensor`";
        Self::NotOffered { device: device.into(), what: what.to_owned() }
    }
}
