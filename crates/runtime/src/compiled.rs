//! A model that is loaded on a device.

use crate::{InferRequest, PortInfo, Property, error::Result};
use std::{io::Write, sync::Arc};

/// A model on a device. Clones are handles on the same one; it may be used from any thread.
#[derive(Clone)]
pub struct CompiledModel {
    device: Arc<dyn ir::device::CompiledModel>,
}

impl CompiledModel {
    pub(crate) fn new(device: Arc<dyn ir::device::CompiledModel>) -> Self {
        Self { device }
    }

    pub(crate) fn device(&self) -> &Arc<dyn ir::device::CompiledModel> {
        &self.device
    }

    /// The inputs, in the model's order.
    pub fn inputs(&self) -> &[PortInfo] {
        self.device.inputs()
    }

    /// The outputs, in the model's order.
    pub fn outputs(&self) -> &[PortInfo] {
        self.device.outputs()
    }

    /// A request with memory of its own.
    pub fn create_infer_request(&self) -> Result<InferRequest> {
        let request = self.device.clone().create_request()?;
        Ok(InferRequest::new(request, self.inputs().to_vec(), self.outputs().to_vec()))
    }

    /// A property, such as `OPTIMAL_NUMBER_OF_INFER_REQUESTS`.
    pub fn property(&self, key: &str) -> Result<String> {
        Ok(self.device.property(key)?)
    }

    /// All properties, what it was compiled with included.
    pub fn properties(&self) -> Vec<Property> {
        self.device.properties()
    }

    /// Writes what [`crate::Core::import_model`] reads.
    pub fn export(&self, to: &mut dyn Write) -> Result<()> {
        Ok(self.device.export(to)?)
    }
}
