//! Tensors in the card's memory: fp16 words in the form of a feature map, on one board.

use crate::{
    board::Held,
    device::{Compiled, failed},
    executor::{CardMemory, Executor},
    program::Feature,
    request::Worker,
    room::Taken,
    words::{floats, from_words, store, to_words, values_of},
};
use ir::{
    ElementType,
    device::{DeviceError, DeviceResult, HostTensor, PortInfo, Property, RemoteTensor},
};
use parking_lot::{ArcRwLockReadGuard, ArcRwLockWriteGuard, RawRwLock, RwLock};
use std::{any::Any, sync::Arc};

/// The memory of a tensor, held by an inference that reads it.
pub(crate) type Reading = ArcRwLockReadGuard<RawRwLock, Box<dyn CardMemory>>;
/// The memory of a tensor, held by an inference that writes it.
pub(crate) type Writing = ArcRwLockWriteGuard<RawRwLock, Box<dyn CardMemory>>;

/// A tensor on a board.
pub(crate) struct CardTensor {
    device: String,
    /// The port that it was made for: type, shape, and how the words lie.
    feature: Feature,
    vector: usize,
    memory: Arc<RwLock<Box<dyn CardMemory>>>,
    /// Who computes on its board: by it boards are told apart.
    worker: Arc<Worker>,
    _taken: Taken,
    /// A board that is programmed anew forgets.
    _held: Arc<Held>,
}

fn busy() -> DeviceError {
    DeviceError::Busy("the remote tensor".to_owned())
}

impl CardTensor {
    pub(crate) fn new(compiled: &Compiled, feature: &Feature) -> DeviceResult<Self> {
        let vector = compiled.architecture().input_vector as usize;
        let values = values_of(feature, vector);
        let worker = compiled.worker.clone();
        let taken = worker.room().take(2 * values as u64, "the remote tensor")?;
        let memory = compiled.executor.allocate(values).map_err(failed)?;
        Ok(Self {
            device: compiled.place(),
            feature: feature.clone(),
            vector,
            memory: Arc::new(RwLock::new(memory)),
            worker,
            _taken: taken,
            _held: compiled.held.clone(),
        })
    }

    /// The tensor as the board's own, if it fits the port, whose feature map `feature` is.
    pub(crate) fn of(
        tensor: Arc<dyn RemoteTensor>,
        compiled: &Compiled,
        port: &PortInfo,
        feature: &Feature,
    ) -> DeviceResult<Arc<Self>> {
        let place = compiled.place();
        let found = format!("{}{:?} on {}", tensor.element_type(), tensor.shape(), tensor.device());
        let wrong = |expected: String, found: String| DeviceError::Tensor {
            port: format!("`{}`", port.name()),
            expected,
            found,
        };
        let any: Arc<dyn Any + Send + Sync> = tensor;
        let Ok(own) = any.downcast::<Self>() else {
            return Err(wrong(format!("a remote tensor of {place}"), found));
        };
        if !Arc::ptr_eq(&own.worker, &compiled.worker) {
            return Err(wrong(format!("a remote tensor of {place}, as this device has it"), found));
        }
        if own.feature.element_type != feature.element_type || own.feature.shape != feature.shape {
            return Err(wrong(format!("{} on {place}", port.ty), found));
        }
        let vector = compiled.architecture().input_vector as usize;
        let layout = |feature: &Feature| (feature.height, feature.width, feature.channels.clone());
        if own.vector != vector || layout(&own.feature) != layout(feature) {
            return Err(wrong(layout_text(feature, vector), layout_text(&own.feature, own.vector)));
        }
        if !own.is_reached_by(&*compiled.executor)? {
            let expected = format!("memory of the executor `{}`", compiled.executor.name());
            return Err(wrong(expected, "that of another (FPGA_EXECUTOR)".to_owned()));
        }
        Ok(own)
    }

    fn is_reached_by(&self, executor: &dyn Executor) -> DeviceResult<bool> {
        Ok(executor.reaches(&**self.memory.try_read().ok_or_else(busy)?))
    }

    pub(crate) fn reading(&self) -> DeviceResult<Reading> {
        self.memory.try_read_arc().ok_or_else(busy)
    }

    pub(crate) fn writing(&self) -> DeviceResult<Writing> {
        self.memory.try_write_arc().ok_or_else(busy)
    }
}

/// How the words of a feature map lie.
fn layout_text(feature: &Feature, vector: usize) -> String {
    let pieces = feature.channels.iter().map(|piece| format!("{} from word {}", piece.count, piece.word));
    format!(
        "{} x {} places of {} words of {vector} fp16 values, channels: {}",
        feature.height,
        feature.width,
        feature.pitch(vector as u32),
        pieces.collect::<Vec<_>>().join(", ")
    )
}

impl RemoteTensor for CardTensor {
    fn device(&self) -> &str {
        &self.device
    }

    fn element_type(&self) -> ElementType {
        self.feature.element_type
    }

    fn shape(&self) -> &[usize] {
        &self.feature.shape
    }

    fn properties(&self) -> Vec<Property> {
        vec![
            Property::answer("BYTES", (2 * values_of(&self.feature, self.vector)).to_string()),
            Property::answer("LAYOUT", layout_text(&self.feature, self.vector)),
        ]
    }

    fn copy_to(&self, tensor: &HostTensor) -> DeviceResult<()> {
        self.check(tensor)?;
        let mut words = vec![0; values_of(&self.feature, self.vector)];
        self.memory.try_read().ok_or_else(busy)?.read(&mut words).map_err(failed)?;
        store(tensor, &from_words(&self.feature, &words, self.vector))
    }

    fn copy_from(&self, tensor: &HostTensor) -> DeviceResult<()> {
        self.check(tensor)?;
        let words = to_words(&self.feature, &floats(tensor)?, self.vector);
        self.memory.try_write().ok_or_else(busy)?.write(&words).map_err(failed)
    }
}
