//! The device contract: what a device offers to the engine, and what it may ask of it. Safe traits only; the C
//! form of the same contract lives in `plugin-abi`.

use crate::{
    AlignedBytes, Element, ElementType, Model, Tensor, TensorError, aligned_zeros, element_count,
    op::PortType,
};
use std::{
    any::Any,
    collections::BTreeMap,
    fmt,
    io::{Read, Write},
    ops::{Deref, DerefMut},
    sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError},
    time::Duration,
};
use thiserror::Error;

/// Settings by key, as users give them: `NUM_STREAMS=2`.
pub type Config = BTreeMap<String, String>;

/// Why a device could not do what it was asked.
#[derive(Debug, Error, Clone)]
#[non_exhaustive]
pub enum DeviceError {
    /// There is no device of that name.
    #[error("there is no device `{name}`; available: {}", available.join(", "))]
    NoSuchDevice {
        /// The name asked for.
        name: String,
        /// Those that are there.
        available: Vec<String>,
    },
    /// A configuration key that the device doesn't have, or a value that the key doesn't take.
    #[error("{device}: `{key}={value}`: {reason}")]
    Config {
        /// The device.
        device: String,
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What the key takes.
        reason: String,
    },
    /// The device can't run the model.
    #[error("{device} cannot run `{node}`: {reason}")]
    Unsupported {
        /// The device.
        device: String,
        /// The node.
        node: String,
        /// Why.
        reason: String,
    },
    /// A tensor that doesn't fit the port it was given to.
    #[error("{port} takes {expected}, found {found}")]
    Tensor {
        /// The port.
        port: String,
        /// What it takes.
        expected: String,
        /// What it was given.
        found: String,
    },
    /// The request, or memory it needs, is in use.
    #[error("{0} is busy: wait for the running inference first")]
    Busy(String),
    /// The request was cancelled.
    #[error("the inference was cancelled")]
    Cancelled,
    /// Not offered by this device.
    #[error("{device} does not offer {what}")]
    NotOffered {
        /// The device.
        device: String,
        /// What was asked for.
        what: String,
    },
    /// The model itself is at fault.
    #[error(transparent)]
    Model(#[from] crate::ModelError),
    /// Anything else, with its cause in words.
    #[error("{device}: {message}")]
    Failed {
        /// The device.
        device: String,
        /// What happened.
        message: String,
    },
}

/// A result of the device contract.
pub type DeviceResult<T> = Result<T, DeviceError>;

/// Memory that a tensor can lie in: the engine's own, or the caller's.
pub trait Memory: AsRef<[u8]> + AsMut<[u8]> + Send + Sync + 'static {}

impl<T: AsRef<[u8]> + AsMut<[u8]> + Send + Sync + 'static> Memory for T {}

/// A tensor that requests read from and write to. Clones share the memory, so a caller keeps one and gives one
/// away: nothing is copied. Reading and writing are guarded; the guards never wait, they say [`DeviceError::Busy`].
#[derive(Clone)]
pub struct HostTensor {
    element_type: ElementType,
    shape: Vec<usize>,
    memory: Arc<RwLock<dyn Memory>>,
}

/// Elements of type `T` as plain memory.
struct Elements<T>(Vec<T>);

impl<T: Element> AsRef<[u8]> for Elements<T> {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

impl<T: Element> AsMut<[u8]> for Elements<T> {
    fn as_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}

impl HostTensor {
    /// A tensor in the caller's memory (row-major, little endian), whose length must be exactly what type and
    /// shape ask for. Devices copy less when it starts at a multiple of 64 bytes.
    pub fn new(
        element_type: ElementType,
        shape: Vec<usize>,
        memory: impl Memory,
    ) -> Result<Self, TensorError> {
        let Some(expected) = element_count(&shape).and_then(|n| element_type.byte_len(n)) else {
            return Err(TensorError::TooLarge { ty: element_type, shape });
        };
        let found = memory.as_ref().len();
        if found != expected {
            return Err(TensorError::Length { ty: element_type, shape, expected, found });
        }
        Ok(Self { element_type, shape, memory: Arc::new(RwLock::new(memory)) })
    }

    /// A tensor of zeros.
    pub fn zeros(element_type: ElementType, shape: &[usize]) -> Result<Self, TensorError> {
        let Some(len) = element_count(shape).and_then(|n| element_type.byte_len(n)) else {
            return Err(TensorError::TooLarge { ty: element_type, shape: shape.to_vec() });
        };
        let memory: AlignedBytes = aligned_zeros(len);
        Self::new(element_type, shape.to_vec(), AlignedMemory(memory))
    }

    /// A tensor over a vector, which is not copied.
    pub fn from_vec<T: Element>(shape: &[usize], elements: Vec<T>) -> Result<Self, TensorError> {
        Self::new(T::TYPE, shape.to_vec(), Elements(elements))
    }

    /// The element type.
    pub fn element_type(&self) -> ElementType {
        self.element_type
    }

    /// The dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The bytes, to read. Fails while a request writes them.
    pub fn read(&self) -> DeviceResult<ReadGuard<'_>> {
        match self.memory.try_read() {
            Ok(guard) => Ok(ReadGuard(guard)),
            Err(TryLockError::Poisoned(poisoned)) => Ok(ReadGuard(poisoned.into_inner())),
            Err(TryLockError::WouldBlock) => Err(DeviceError::Busy("the tensor".to_owned())),
        }
    }

    /// The bytes, to write. Fails while anyone reads or writes them.
    pub fn write(&self) -> DeviceResult<WriteGuard<'_>> {
        match self.memory.try_write() {
            Ok(guard) => Ok(WriteGuard(guard)),
            Err(TryLockError::Poisoned(poisoned)) => Ok(WriteGuard(poisoned.into_inner())),
            Err(TryLockError::WouldBlock) => Err(DeviceError::Busy("the tensor".to_owned())),
        }
    }

    /// True when both lie in the same memory.
    pub fn shares_memory_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.memory, &other.memory)
    }

    /// An immutable copy.
    pub fn to_tensor(&self) -> DeviceResult<Tensor> {
        let bytes = aligned_vec::AVec::from_slice(crate::ALIGNMENT, &self.read()?);
        Ok(Tensor::from_aligned(self.element_type, self.shape.clone(), bytes)
            .expect("the lengths were checked when the tensor was made"))
    }
}

/// A copy in fresh memory.
impl From<&Tensor> for HostTensor {
    fn from(tensor: &Tensor) -> Self {
        let bytes = aligned_vec::AVec::from_slice(crate::ALIGNMENT, tensor.bytes());
        Self::new(tensor.element_type(), tensor.shape().to_vec(), AlignedMemory(bytes))
            .expect("the lengths were checked when the tensor was made")
    }
}

struct AlignedMemory(AlignedBytes);

impl AsRef<[u8]> for AlignedMemory {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl AsMut<[u8]> for AlignedMemory {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl fmt::Debug for HostTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.element_type, self.shape)
    }
}

/// The bytes of a [`HostTensor`], held for reading.
pub struct ReadGuard<'a>(RwLockReadGuard<'a, dyn Memory>);

impl Deref for ReadGuard<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

/// The bytes of a [`HostTensor`], held for writing.
pub struct WriteGuard<'a>(RwLockWriteGuard<'a, dyn Memory>);

impl Deref for WriteGuard<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

impl DerefMut for WriteGuard<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        (*self.0).as_mut()
    }
}

/// An input or an output of a compiled model.
#[derive(Clone, PartialEq, Debug)]
pub struct PortInfo {
    /// The name of the node that gives it.
    pub node: String,
    /// The names of the tensor.
    pub names: Vec<String>,
    /// Type and shape.
    pub ty: PortType,
}

impl PortInfo {
    /// The first name of the tensor, or its node's.
    pub fn name(&self) -> &str {
        self.names.first().unwrap_or(&self.node)
    }

    /// True when the tensor or its node goes by `name`. TensorFlow's `x` and `x:0` are the same tensor.
    pub fn is_called(&self, name: &str) -> bool {
        fn plain(name: &str) -> &str {
            name.strip_suffix(":0").unwrap_or(name)
        }
        let same = |own: &str| plain(own) == plain(name);
        same(&self.node) || self.names.iter().any(|own| same(own))
    }

    /// The inputs of a model, in order.
    pub fn inputs(model: &Model) -> Vec<Self> {
        let info = |id: &crate::NodeId| {
            let node = model.node(*id);
            let output = &node.outputs()[0];
            Self { node: node.name.clone(), names: output.names.clone(), ty: output.ty.clone() }
        };
        model.parameters().iter().map(info).collect()
    }

    /// The outputs of a model, in order: named after what flows into the results.
    pub fn outputs(model: &Model) -> Vec<Self> {
        let info = |id: &crate::NodeId| {
            let from = model.node(*id).inputs()[0];
            let output = model.output(from);
            let node = model.node(from.node).name.clone();
            Self { node, names: output.names.clone(), ty: output.ty.clone() }
        };
        model.results().iter().map(info).collect()
    }
}

/// Which tensor of a request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PortIndex {
    /// Input by number.
    Input(usize),
    /// Output by number.
    Output(usize),
}

/// The nodes of a model that a device takes, and why it doesn't take the others.
#[derive(Clone, Debug, Default)]
pub struct Support {
    /// Names of the nodes that it takes.
    pub supported: Vec<String>,
    /// Names of those that it doesn't, each with the reason.
    pub refused: Vec<(String, String)>,
}

/// What became of a layer in the last inference.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LayerStatus {
    /// It ran.
    Executed,
    /// It had nothing to do.
    NotRun,
    /// It is part of another layer, or was computed at compile time.
    OptimizedOut,
}

/// One row of a profile.
#[derive(Clone, PartialEq, Debug)]
pub struct ProfileRow {
    /// The node's name: the framework's.
    pub name: String,
    /// What became of it.
    pub status: LayerStatus,
    /// The op's type name.
    pub layer_type: String,
    /// How it was computed, in the device's words.
    pub exec_type: String,
    /// From begin to end on the clock.
    pub real_time: Duration,
    /// Time that processors spent on it.
    pub cpu_time: Duration,
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

    /// Makes the model ready to run.
    fn compile(
        &self,
        model: &Model,
        config: &Config,
        host: &Arc<dyn Host>,
    ) -> DeviceResult<Arc<dyn CompiledModel>>;

    /// Takes a model that [`CompiledModel::export`] wrote.
    fn import(
        &self,
        _from: &mut dyn Read,
        _config: &Config,
        _host: &Arc<dyn Host>,
    ) -> DeviceResult<Arc<dyn CompiledModel>> {
        Err(DeviceError::NotOffered { device: self.name().to_owned(), what: "import".to_owned() })
    }

    /// A property of the device by its key, such as `FULL_DEVICE_NAME`.
    fn property(&self, key: &str) -> DeviceResult<String>;
}

/// A model that is ready to run on a device.
pub trait CompiledModel: Send + Sync {
    /// The inputs, in the model's order.
    fn inputs(&self) -> &[PortInfo];

    /// The outputs, in the model's order.
    fn outputs(&self) -> &[PortInfo];

    /// A request with memory of its own.
    fn create_request(self: Arc<Self>) -> DeviceResult<Box<dyn InferRequest>>;

    /// Writes what [`Device::import`] reads.
    fn export(&self, _to: &mut dyn Write) -> DeviceResult<()> {
        Err(DeviceError::NotOffered { device: "the device".to_owned(), what: "export".to_owned() })
    }

    /// A property by its key, such as `OPTIMAL_NUMBER_OF_INFER_REQUESTS`.
    fn property(&self, key: &str) -> DeviceResult<String>;
}

/// One inference at a time on a compiled model. Dropping it while it runs cancels it and is safe: the completion
/// still comes, once.
pub trait InferRequest: Send {
    /// Lets the request read from, or write to, the caller's tensor from the next inference on.
    fn set_tensor(&mut self, port: PortIndex, tensor: HostTensor) -> DeviceResult<()>;

    /// The tensor of a port. Outputs of dynamic shape are there after the first inference.
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

    /// Something that a device keeps for all its compiled models, by key; made by `make` the first time.
    fn shared(
        &self,
        key: &str,
        make: &mut dyn FnMut() -> Arc<dyn Any + Send + Sync>,
    ) -> Arc<dyn Any + Send + Sync>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_memory_is_shared_not_copied() {
        let mine = HostTensor::from_vec(&[2], vec![1.0f32, 2.0]).unwrap();
        let given = mine.clone();
        given.write().unwrap()[..4].copy_from_slice(&5.0f32.to_le_bytes());
        assert_eq!(mine.to_tensor().unwrap().to_f64s(), [5.0, 2.0]);
        assert!(mine.shares_memory_with(&given));
        let held = mine.read().unwrap();
        assert!(matches!(given.write(), Err(DeviceError::Busy(_))));
        drop(held);
        assert!(given.write().is_ok());
        assert!(HostTensor::new(ElementType::F32, vec![3], vec![0u8; 11]).is_err());
    }
}
