//! The device contract: what a device offers to the engine, and what it may ask of it. Safe traits only; the C
//! form of the same contract lives in `plugin-abi`.

mod bundle;
mod error;
mod port;
mod profile;
mod property;
mod remote;
mod strides;
mod tensor;

use crate::{Bytes, Model, extension::Extensions};
use std::{any::Any, collections::BTreeMap, io::Write, sync::Arc};

pub use bundle::{Bundle, BundleError, BundleFormat, BundlePart, BundleWriter};
pub use error::{DeviceError, DeviceResult};
pub use port::{PortIndex, PortInfo};
pub use profile::{LayerStatus, ProfileRow, Span};
pub use property::{PROPERTIES, Property, PropertyInfo, ValueKind, todays_settings};
pub use remote::RemoteTensor;
pub use tensor::{HostTensor, Memory, OwnedReadGuard, OwnedWriteGuard, ReadGuard, WriteGuard};

/// Settings by key, as users give them: `NUM_STREAMS=2`.
pub type Config = BTreeMap<String, String>;

/// The nodes of a model that a device takes, and why it doesn't take the others.
#[derive(Clone, Debug, Default)]
pub struct Support {
    /// Names of the nodes that it takes.
    pub supported: Vec<String>,
    /// Names of those that it doesn't, each with the reason.
    pub refused: Vec<(String, String)>,
    /// Where the nodes would run, when the device gives them to others.
    pub placements: Vec<Placement>,
}

/// Where a node would run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Placement {
    /// The node's name.
    pub node: String,
    /// The device.
    pub device: String,
    /// Why there, and why not on those that were to be preferred.
    pub reason: String,
}

/// Called once when an inference ends, on any thread.
pub type Completion = Box<dyn FnOnce(DeviceResult<()>) + Send>;

/// A device.
pub trait Device: Send + Sync {
    /// The name that users give, `CPU`.
    fn name(&self) -> &str;

    /// One line on what it is.
    fn description(&self) -> String;

    /// Which nodes it would take. Runs what `compile` runs, so that both agree.
    fn query(&self, model: &Model, config: &Config) -> DeviceResult<Support>;

    /// As [`Device::query`], for devices that have to ask others.
    fn query_with(&self, model: &Model, config: &Config, _host: &Arc<dyn Host>) -> DeviceResult<Support> {
        self.query(model, config)
    }

    /// Makes the model ready to run.
    fn compile(
        &self,
        model: &Model,
        config: &Config,
        host: &Arc<dyn Host>,
    ) -> DeviceResult<Arc<dyn CompiledModel>>;

    /// Takes a model that [`CompiledModel::export`] wrote. What a device takes of the bytes without a copy keeps them.
    fn import(
        &self,
        _from: Bytes,
        _config: &Config,
        _host: &Arc<dyn Host>,
    ) -> DeviceResult<Arc<dyn CompiledModel>> {
        Err(DeviceError::NotOffered { device: self.name().to_owned(), what: "import".to_owned() })
    }

    /// What can be asked of the device, and what can be set: the same for all models that it compiles.
    fn properties(&self) -> Vec<Property> {
        Vec::new()
    }

    /// A property of the device by its key, such as `FULL_DEVICE_NAME`.
    fn property(&self, key: &str) -> DeviceResult<String> {
        Property::value_of(&self.properties(), self.name(), key)
    }
}

/// A model that is ready to run on a device.
pub trait CompiledModel: Send + Sync {
    /// The inputs, in the model's order.
    fn inputs(&self) -> &[PortInfo];

    /// The outputs, in the model's order.
    fn outputs(&self) -> &[PortInfo];

    /// A request with memory of its own.
    fn create_request(self: Arc<Self>) -> DeviceResult<Box<dyn InferRequest>>;

    /// Memory of the device for a port of fixed shape, zeroed, in the form in which the device has that port.
    fn create_remote(&self, _port: PortIndex) -> DeviceResult<Arc<dyn RemoteTensor>> {
        let device = self.property("EXECUTION_DEVICES");
        Err(DeviceError::no_remote_tensors(device.unwrap_or_else(|_| "the device".to_owned())))
    }

    /// Writes what [`Device::import`] reads.
    fn export(&self, _to: &mut dyn Write) -> DeviceResult<()> {
        Err(DeviceError::NotOffered { device: "the device".to_owned(), what: "export".to_owned() })
    }

    /// What can be asked of the model; what it was compiled with included.
    fn properties(&self) -> Vec<Property> {
        Vec::new()
    }

    /// A property by its key, such as `OPTIMAL_NUMBER_OF_INFER_REQUESTS`.
    fn property(&self, key: &str) -> DeviceResult<String> {
        Property::value_of(&self.properties(), "the compiled model", key)
    }
}

/// One inference at a time on a compiled model. Dropping it while it runs cancels it and is safe: the completion
/// still comes, once.
pub trait InferRequest: Send {
    /// Lets the request read from, or write to, the caller's tensor from the next inference on.
    fn set_tensor(&mut self, port: PortIndex, tensor: HostTensor) -> DeviceResult<()>;

    /// Lets the request read from, or write to, memory of the device from the next inference on, until
    /// [`InferRequest::set_tensor`] gives the port the host's again. A tensor of another device or board is refused, and one
    /// whose type, shape or layout is not the port's, with [`DeviceError::Tensor`]; so is one at an output that is set at
    /// another port of the request, too.
    fn set_remote(&mut self, _port: PortIndex, _tensor: Arc<dyn RemoteTensor>) -> DeviceResult<()> {
        Err(DeviceError::no_remote_tensors("the device"))
    }

    /// The tensor of a port. Outputs of dynamic shape are there after the first inference. A port that has memory of the
    /// device has none here: [`DeviceError::NotOffered`].
    fn tensor(&self, port: PortIndex) -> DeviceResult<HostTensor>;

    /// Runs on the calling thread, or waits for those that do.
    fn infer(&mut self) -> DeviceResult<()>;

    /// Starts; `done` is called exactly once, on any thread, unless starting itself fails.
    fn start(&mut self, done: Completion) -> DeviceResult<()>;

    /// Asks a running inference to end early; its completion then says [`DeviceError::Cancelled`].
    fn cancel(&self);

    /// What the layers did in the last inference, in the order in which they ran. Empty unless `PERF_COUNT` is set.
    fn profile(&self) -> Vec<ProfileRow>;
}

/// What the engine offers to devices.
pub trait Host: Send + Sync {
    /// Another device by name: how a device that distributes work reaches those that do it.
    fn device(&self, name: &str) -> DeviceResult<Arc<dyn Device>>;

    /// What users have set for every model that is compiled for a device, and that is the device's business.
    fn settings(&self, _device: &str) -> Config {
        Config::new()
    }

    /// The meaning of custom layers, for devices that read models themselves.
    fn extensions(&self) -> Extensions {
        Extensions::default()
    }

    /// Something that a device keeps for all its compiled models, by key; made by `make` the first time.
    fn shared(
        &self,
        key: &str,
        make: &mut dyn FnMut() -> Arc<dyn Any + Send + Sync>,
    ) -> Arc<dyn Any + Send + Sync>;
}
