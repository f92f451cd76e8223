//! A model that is loaded on a device.

use crate::{
    InferRequest, PortInfo, Property,
    error::Result,
    export,
    request::port_called,
    state::{States, Variable},
};
use ir::device::RemoteTensor;
use std::{io::Write, sync::Arc};

/// A model on a device. Clones are handles on the same one; it may be used from any thread.
#[derive(Clone)]
pub struct CompiledModel {
    device: Arc<dyn ir::device::CompiledModel>,
    variables: Arc<[Variable]>,
}

impl CompiledModel {
    pub(crate) fn new(device: Arc<dyn ir::device::CompiledModel>) -> Self {
        Self::stateful(device, Vec::new())
    }

    /// A model whose last ports are those of its variables.
    pub(crate) fn stateful(device: Arc<dyn ir::device::CompiledModel>, variables: Vec<Variable>) -> Self {
        Self { device, variables: variables.into() }
    }

    /// The inputs, in the model's order.
    pub fn inputs(&self) -> &[PortInfo] {
        let all = self.device.inputs();
        &all[..all.len() - self.variables.len()]
    }

    /// The outputs, in the model's order.
    pub fn outputs(&self) -> &[PortInfo] {
        let all = self.device.outputs();
        &all[..all.len() - self.variables.len()]
    }

    /// A request with memory of its own.
    pub fn create_infer_request(&self) -> Result<InferRequest> {
        let request = self.device.clone().create_request()?;
        let (inputs, outputs) = (self.inputs().to_vec(), self.outputs().to_vec());
        let states = States::new(&self.variables, inputs.len(), outputs.len())?;
        Ok(InferRequest::new(request, inputs, outputs, states))
    }

    /// Memory of the device for an input or output, by any of its names: for [`InferRequest::set_remote_tensor`]. It has
    /// the type and shape of the port of the compiled model: what [`crate::apply_settings`] has made part of the model, the
    /// device does with it. Devices that work in the host's memory have none.
    pub fn create_remote_tensor(&self, name: &str) -> Result<Arc<dyn RemoteTensor>> {
        let port = port_called(name, self.inputs(), self.outputs())?;
        Ok(self.device.create_remote(port)?)
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
        export::write(&*self.device, &self.variables, to)
    }
}
