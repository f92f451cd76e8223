//! Tensors of requests, in memory that the engine and the caller share.

use super::{DeviceError, DeviceResult, strides};
use crate::{AlignedBytes, Element, ElementType, Tensor, TensorError, aligned_zeros, element_count};
use parking_lot::{
    ArcRwLockReadGuard, ArcRwLockWriteGuard, RawRwLock, RwLock, RwLockReadGuard, RwLockWriteGuard,
};
use std::{
    fmt,
    ops::{Deref, DerefMut, Range},
    sync::Arc,
};

/// Memory that a tensor can lie in: the engine's own, or the caller's.
pub trait Memory: AsRef<[u8]> + AsMut<[u8]> + Send + Sync + 'static {}

impl<T: AsRef<[u8]> + AsMut<[u8]> + Send + Sync + 'static> Memory for T {}

/// A tensor that requests read from and write to. Clones share the memory, so a caller keeps one and gives one
/// away: nothing is copied. Reading and writing are guarded; the guards never wait, they say [`DeviceError::Busy`].
///
/// Elements lie row-major without gaps, unless the tensor was made by [`HostTensor::strided`] or is a
/// [`HostTensor::region`]: then [`HostTensor::read`] and [`HostTensor::write`] refuse, and elements are copied out and
/// in ([`HostTensor::copy_to`], [`HostTensor::copy_from`]), or found by [`HostTensor::strides`] in
/// [`HostTensor::read_span`] and [`HostTensor::write_span`].
#[derive(Clone)]
pub struct HostTensor {
    element_type: ElementType,
    shape: Vec<usize>,
    /// Bytes; nothing when there are no gaps.
    strides: Option<Vec<usize>>,
    /// The bytes of the memory from the first element to the end of the last.
    span: Range<usize>,
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
        let memory = Arc::new(RwLock::new(memory));
        Ok(Self { element_type, shape, strides: None, span: 0..expected, memory })
    }

    /// A tensor in the caller's memory whose elements lie `strides` bytes apart along each axis, the first one at the
    /// beginning. Elements must not overlap; the memory may be longer than they reach.
    pub fn strided(
        element_type: ElementType,
        shape: Vec<usize>,
        strides: Vec<usize>,
        memory: impl Memory,
    ) -> Result<Self, TensorError> {
        let found = memory.as_ref().len();
        let memory = Arc::new(RwLock::new(memory));
        let tensor = Self { element_type, shape, strides: None, span: 0..0, memory };
        let reach = strides::span(&tensor.shape, &strides, tensor.element_size()?);
        let reach = reach.map_err(|reason| tensor.refused(reason))?;
        if reach > found {
            let reason = format!("at strides of {strides:?} bytes reaches over {reach} bytes, found {found}");
            return Err(tensor.refused(reason));
        }
        tensor.placed(strides, 0..reach)
    }

    /// A part of the tensor in the same memory: nothing is copied. All parts of one memory are guarded together: a
    /// request that writes one keeps others from reading the rest.
    pub fn region(&self, ranges: &[Range<usize>]) -> Result<Self, TensorError> {
        let size = self.element_size()?;
        let fits = |(range, dim): (&Range<usize>, &usize)| range.start <= range.end && range.end <= *dim;
        if ranges.len() != self.shape.len() || !ranges.iter().zip(&self.shape).all(fits) {
            return Err(self.refused(format!("has no region {ranges:?}")));
        }
        let strides = self.strides();
        let shape: Vec<usize> = ranges.iter().map(Range::len).collect();
        let reach = strides::span(&shape, &strides, size).map_err(|reason| self.refused(reason))?;
        let before = ranges.iter().zip(&strides).map(|(range, stride)| range.start * stride).sum::<usize>();
        let start = if reach == 0 { self.span.start } else { self.span.start + before };
        Self { shape, ..self.clone() }.placed(strides, start..start + reach)
    }

    fn placed(self, strides: Vec<usize>, span: Range<usize>) -> Result<Self, TensorError> {
        let dense = strides::is_dense(&self.shape, &strides, self.element_size()?);
        Ok(Self { strides: (!dense).then_some(strides), span, ..self })
    }

    fn refused(&self, reason: String) -> TensorError {
        TensorError::Place { ty: self.element_type, shape: self.shape.clone(), reason }
    }

    /// Bytes of an element.
    fn element_size(&self) -> Result<usize, TensorError> {
        match self.element_type.bits() {
            bits if bits > 0 && bits.is_multiple_of(8) => Ok(bits / 8),
            _ => {
                Err(self.refused("has elements that are not whole bytes: no strides, no regions".to_owned()))
            }
        }
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

    /// The bytes from one element to the next along each axis. An element of less than a byte counts as one.
    pub fn strides(&self) -> Vec<usize> {
        let size = self.element_type.bits().div_ceil(8);
        let dense = || strides::dense_strides(&self.shape, size);
        // What overflows has no elements to step to.
        self.strides.clone().or_else(dense).unwrap_or_else(|| vec![0; self.shape.len()])
    }

    /// True when elements lie row-major without gaps.
    pub fn is_dense(&self) -> bool {
        self.strides.is_none()
    }

    /// The bytes of the elements, without gaps.
    pub fn byte_len(&self) -> usize {
        let count = element_count(&self.shape).and_then(|count| self.element_type.byte_len(count));
        count.expect("checked when the tensor was made")
    }

    /// The bytes of a dense tensor, to read. Fails while a request writes them.
    pub fn read(&self) -> DeviceResult<ReadGuard<'_>> {
        self.check_dense()?;
        self.read_span()
    }

    /// The bytes of a dense tensor, to write. Fails while anyone reads or writes them.
    pub fn write(&self) -> DeviceResult<WriteGuard<'_>> {
        self.check_dense()?;
        self.write_span()
    }

    /// The bytes from the first element to the end of the last, gaps included, to read.
    pub fn read_span(&self) -> DeviceResult<ReadGuard<'_>> {
        let guard = self.memory.try_read().ok_or_else(busy)?;
        Ok(ReadGuard { guard, span: self.span.clone() })
    }

    /// The bytes from the first element to the end of the last, gaps included, to write.
    pub fn write_span(&self) -> DeviceResult<WriteGuard<'_>> {
        let guard = self.memory.try_write().ok_or_else(busy)?;
        Ok(WriteGuard { guard, span: self.span.clone() })
    }

    /// The same as [`HostTensor::read_span`], for as long as an inference runs that this thread doesn't wait for.
    pub fn read_span_owned(&self) -> DeviceResult<OwnedReadGuard> {
        let guard = self.memory.try_read_arc().ok_or_else(busy)?;
        Ok(OwnedReadGuard { guard, span: self.span.clone() })
    }

    /// The same as [`HostTensor::write_span`], for as long as an inference runs that this thread doesn't wait for.
    pub fn write_span_owned(&self) -> DeviceResult<OwnedWriteGuard> {
        let guard = self.memory.try_write_arc().ok_or_else(busy)?;
        Ok(OwnedWriteGuard { guard, span: self.span.clone() })
    }

    fn check_dense(&self) -> DeviceResult<()> {
        if self.is_dense() { Ok(()) } else { Err(self.no_fit("elements without gaps".to_owned())) }
    }

    fn no_fit(&self, expected: String) -> DeviceError {
        let found = format!("{self:?} at strides of {:?} bytes", self.strides());
        DeviceError::Tensor { port: "the access".to_owned(), expected, found }
    }

    /// Copies the elements, however they lie, to memory without gaps of [`HostTensor::byte_len`] bytes.
    pub fn copy_to(&self, dense: &mut [u8]) -> DeviceResult<()> {
        self.check_len(dense.len())?;
        let bytes = self.read_span()?;
        let Some(strides) = &self.strides else {
            dense.copy_from_slice(&bytes);
            return Ok(());
        };
        let mut dense = dense;
        strides::for_each_run(&self.shape, strides, self.element_type.bits() / 8, |start, len| {
            let (run, rest) = std::mem::take(&mut dense).split_at_mut(len);
            run.copy_from_slice(&bytes[start..start + len]);
            dense = rest;
        });
        Ok(())
    }

    /// Copies elements without gaps to where those of the tensor lie.
    pub fn copy_from(&self, dense: &[u8]) -> DeviceResult<()> {
        self.check_len(dense.len())?;
        let mut bytes = self.write_span()?;
        let Some(strides) = &self.strides else {
            bytes.copy_from_slice(dense);
            return Ok(());
        };
        let mut dense = dense;
        strides::for_each_run(&self.shape, strides, self.element_type.bits() / 8, |start, len| {
            let (run, rest) = dense.split_at(len);
            bytes[start..start + len].copy_from_slice(run);
            dense = rest;
        });
        Ok(())
    }

    fn check_len(&self, len: usize) -> DeviceResult<()> {
        let own = self.byte_len();
        if len == own { Ok(()) } else { Err(self.no_fit(format!("{own} bytes, not {len}"))) }
    }

    /// True when both lie in the same memory.
    pub fn shares_memory_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.memory, &other.memory)
    }

    /// An immutable copy.
    pub fn to_tensor(&self) -> DeviceResult<Tensor> {
        let mut bytes = aligned_zeros(self.byte_len());
        self.copy_to(&mut bytes)?;
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
pub struct ReadGuard<'a> {
    guard: RwLockReadGuard<'a, dyn Memory>,
    span: Range<usize>,
}

impl Deref for ReadGuard<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &(*self.guard).as_ref()[self.span.clone()]
    }
}

/// The bytes of a [`HostTensor`], held for writing.
pub struct WriteGuard<'a> {
    guard: RwLockWriteGuard<'a, dyn Memory>,
    span: Range<usize>,
}

impl Deref for WriteGuard<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &(*self.guard).as_ref()[self.span.clone()]
    }
}

impl DerefMut for WriteGuard<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut (*self.guard).as_mut()[self.span.clone()]
    }
}

/// The bytes of a [`HostTensor`], held for reading; keeps the memory, and may go to another thread.
pub struct OwnedReadGuard {
    guard: ArcRwLockReadGuard<RawRwLock, dyn Memory>,
    span: Range<usize>,
}

impl Deref for OwnedReadGuard {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &(*self.guard).as_ref()[self.span.clone()]
    }
}

/// The bytes of a [`HostTensor`], held for writing; keeps the memory, and may go to another thread.
pub struct OwnedWriteGuard {
    guard: ArcRwLockWriteGuard<RawRwLock, dyn Memory>,
    span: Range<usize>,
}

impl Deref for OwnedWriteGuard {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &(*self.guard).as_ref()[self.span.clone()]
    }
}

impl DerefMut for OwnedWriteGuard {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut (*self.guard).as_mut()[self.span.clone()]
    }
}

fn busy() -> DeviceError {
    DeviceError::Busy("the tensor".to_owned())
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
        // An owned guard outlives its tensor, and may be let go elsewhere.
        let held = given.write_span_owned().unwrap();
        drop(given);
        assert!(matches!(mine.read(), Err(DeviceError::Busy(_))));
        std::thread::spawn(move || drop(held)).join().unwrap();
        let held = mine.read_span_owned().unwrap();
        assert!(mine.read().is_ok() && mine.write().is_err());
        assert_eq!(held[..4], 5.0f32.to_le_bytes());
    }

    #[test]
    fn a_region_shares_the_memory_and_is_never_read_as_if_it_were_dense() {
        let image = HostTensor::from_vec(&[4, 5], (0..20u8).collect()).unwrap();
        let region = image.region(&[1..3, 2..4]).unwrap();
        assert_eq!((region.shape(), region.strides()), (&[2, 2][..], vec![5, 1]));
        assert!(region.shares_memory_with(&image) && !region.is_dense());
        assert!(matches!(region.read(), Err(DeviceError::Tensor { .. })));
        assert!(matches!(region.write(), Err(DeviceError::Tensor { .. })));
        assert_eq!(region.to_tensor().unwrap().to_f64s(), [7., 8., 12., 13.]);
        assert_eq!(&region.read_span().unwrap()[..], [7, 8, 9, 10, 11, 12, 13]);
        region.copy_from(&[70, 80, 120, 130]).unwrap();
        assert_eq!(image.read().unwrap()[6..9], [6, 70, 80]);
        assert_eq!(image.read().unwrap()[11..15], [11, 120, 130, 14]);
        // Rows, and a column of one element, have no gaps.
        let rows = image.region(&[2..4, 0..5]).unwrap();
        assert_eq!(&rows.read().unwrap()[..2], [10, 11]);
        assert!(image.region(&[3..4, 1..2]).unwrap().is_dense());
        assert!(region.region(&[1..2, 0..2]).unwrap().read().is_ok_and(|bytes| bytes[..] == [120, 130]));
        assert_eq!(image.region(&[4..4, 0..5]).unwrap().read().unwrap().len(), 0);
        assert!(image.region(&[0..5, 0..5]).is_err());
        assert!(image.region(&[0..1, 0..5, 0..1]).is_err());
        assert!(region.copy_from(&[1]).is_err());
        assert!(HostTensor::zeros(ElementType::U4, &[4, 2]).unwrap().region(&[0..2, 0..2]).is_err());
    }

    #[test]
    fn strides_of_the_callers_memory_are_checked() {
        let memory = || (0..24u8).collect::<Vec<u8>>();
        // Channels apart: planes in memory, pixels to read.
        let pixels = HostTensor::strided(ElementType::U8, vec![2, 2, 3], vec![4, 1, 8], memory()).unwrap();
        assert_eq!(
            pixels.to_tensor().unwrap().to_f64s(),
            [0., 8., 16., 1., 9., 17., 4., 12., 20., 5., 13., 21.]
        );
        let dense = HostTensor::strided(ElementType::U16, vec![2, 6], vec![12, 2], memory()).unwrap();
        assert!(dense.is_dense() && dense.read().is_ok());
        let refused = |shape: &[usize], strides: &[usize]| {
            let made = HostTensor::strided(ElementType::U16, shape.to_vec(), strides.to_vec(), memory());
            made.unwrap_err().to_string()
        };
        assert!(refused(&[2, 7], &[12, 2]).contains("overlap"));
        assert!(refused(&[3, 6], &[12, 2]).contains("reaches over 36 bytes, found 24"));
        assert!(refused(&[3], &[usize::MAX]).contains("too large"));
    }
}
