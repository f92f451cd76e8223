//! Tensors of requests, in memory that the engine and the caller share.

use super::{DeviceError, DeviceResult};
use crate::{AlignedBytes, Element, ElementType, Tensor, TensorError, aligned_zeros, element_count};
use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError},
};

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
