//! Tensors: a type, a shape, and shared immutable bytes in row-major order.

use crate::{Element, ElementType};
use aligned_vec::{AVec, ConstAlign};
use bytes::Bytes;
use half::{bf16, f16};
use std::{borrow::Cow, fmt};
use thiserror::Error;

/// The alignment of tensor memory that this crate allocates, in bytes: one cache line, one AVX-512 register.
pub const ALIGNMENT: usize = 64;

/// Zeroed or filled bytes that start at a multiple of [`ALIGNMENT`].
pub type AlignedBytes = AVec<u8, ConstAlign<ALIGNMENT>>;

/// `len` zero bytes at a multiple of [`ALIGNMENT`].
pub fn aligned_zeros(len: usize) -> AlignedBytes {
    aligned_vec::avec!([ALIGNMENT] | 0; len)
}

/// Why a tensor could not be made or looked at.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TensorError {
    /// The bytes do not fit the type and the shape.
    #[error("a tensor {ty}{shape:?} takes {expected} bytes, found {found}")]
    Length {
        /// The element type.
        ty: ElementType,
        /// The shape.
        shape: Vec<usize>,
        /// Bytes that the type and shape ask for.
        expected: usize,
        /// Bytes that were given.
        found: usize,
    },
    /// The element count overflows.
    #[error("a tensor {ty}{shape:?} is too large to address")]
    TooLarge {
        /// The element type.
        ty: ElementType,
        /// The shape.
        shape: Vec<usize>,
    },
    /// Strides or a region that the tensor can't have.
    #[error("a tensor {ty}{shape:?} {reason}")]
    Place {
        /// The element type.
        ty: ElementType,
        /// The shape.
        shape: Vec<usize>,
        /// Why.
        reason: String,
    },
    /// Asked for elements of another type than the tensor holds.
    #[error("the tensor holds {found}, not {asked}")]
    Type {
        /// The type that was asked for.
        asked: ElementType,
        /// The type that the tensor holds.
        found: ElementType,
    },
}

/// An immutable tensor. Cloning shares the bytes; they may lie in a mapped file, at any alignment.
#[derive(Clone, PartialEq)]
pub struct Tensor {
    element_type: ElementType,
    shape: Vec<usize>,
    bytes: Bytes,
}

/// The number of elements of a shape, `None` on overflow. A scalar (no dimensions) has one.
pub fn element_count(shape: &[usize]) -> Option<usize> {
    // A zero anywhere makes an empty tensor, however large the other dimensions claim to be.
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1usize, |count, dim| count.checked_mul(*dim))
}

impl Tensor {
    /// A tensor over `bytes` (row-major, little endian), whose length must be exactly what type and shape ask for.
    pub fn new(element_type: ElementType, shape: Vec<usize>, bytes: Bytes) -> Result<Self, TensorError> {
        let Some(expected) = element_count(&shape).and_then(|n| element_type.byte_len(n)) else {
            return Err(TensorError::TooLarge { ty: element_type, shape });
        };
        if bytes.len() != expected {
            return Err(TensorError::Length { ty: element_type, shape, expected, found: bytes.len() });
        }
        Ok(Self { element_type, shape, bytes })
    }

    /// A tensor over 64-byte aligned memory.
    pub fn from_aligned(
        element_type: ElementType,
        shape: Vec<usize>,
        bytes: AlignedBytes,
    ) -> Result<Self, TensorError> {
        Self::new(element_type, shape, Bytes::from_owner(bytes))
    }

    /// Copies `values` into a new tensor.
    pub fn from_slice<T: Element>(shape: &[usize], values: &[T]) -> Result<Self, TensorError> {
        let bytes = AVec::from_slice(ALIGNMENT, bytemuck::cast_slice(values));
        Self::from_aligned(T::TYPE, shape.to_vec(), bytes)
    }

    /// A tensor without dimensions.
    pub fn scalar<T: Element>(value: T) -> Self {
        Self::from_slice(&[], &[value]).expect("one value fills a scalar")
    }

    /// A vector of i64, the form of shapes, axes and pads.
    pub fn from_i64s(values: &[i64]) -> Self {
        Self::from_slice(&[values.len()], values).expect("a vector has the length of its values")
    }

    /// The element type.
    pub fn element_type(&self) -> ElementType {
        self.element_type
    }

    /// The dimensions, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        element_count(&self.shape).expect("checked when the tensor was made")
    }

    /// True when there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The raw bytes, possibly unaligned.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The same bytes under another shape of the same element count.
    pub fn reshaped(&self, shape: Vec<usize>) -> Result<Self, TensorError> {
        Self::new(self.element_type, shape, self.bytes.clone())
    }

    /// The elements as a slice: borrowed when the bytes are aligned for `T`, copied otherwise.
    pub fn view<T: Element>(&self) -> Result<Cow<'_, [T]>, TensorError> {
        if T::TYPE != self.element_type {
            return Err(TensorError::Type { asked: T::TYPE, found: self.element_type });
        }
        Ok(match bytemuck::try_cast_slice(&self.bytes) {
            Ok(slice) => Cow::Borrowed(slice),
            Err(_) => Cow::Owned(bytemuck::allocation::pod_collect_to_vec(&self.bytes)),
        })
    }

    /// Every element as f64, whatever the type. Integers beyond 2^53 round.
    pub fn to_f64s(&self) -> Vec<f64> {
        fn map<T: Element>(tensor: &Tensor, f: impl Fn(T) -> f64) -> Vec<f64> {
            tensor.view::<T>().expect("the type was matched").iter().map(|v| f(*v)).collect()
        }
        match self.element_type {
            ElementType::F32 => map(self, |v: f32| f64::from(v)),
            ElementType::F64 => map(self, |v: f64| v),
            ElementType::F16 => map(self, f16::to_f64),
            ElementType::Bf16 => map(self, bf16::to_f64),
            ElementType::U64 => map(self, |v: u64| v as f64),
            _ => self.to_i64s().into_iter().map(|v| v as f64).collect(),
        }
    }

    /// Every element as i64, whatever the type. Floats are truncated and saturate; u64 wraps beyond 2^63.
    pub fn to_i64s(&self) -> Vec<i64> {
        fn map<T: Element>(tensor: &Tensor, f: impl Fn(T) -> i64) -> Vec<i64> {
            tensor.view::<T>().expect("the type was matched").iter().map(|v| f(*v)).collect()
        }
        match self.element_type {
            ElementType::I64 => map(self, |v: i64| v),
            ElementType::I32 => map(self, |v: i32| i64::from(v)),
            ElementType::I16 => map(self, |v: i16| i64::from(v)),
            ElementType::I8 => map(self, |v: i8| i64::from(v)),
            ElementType::U64 => map(self, |v: u64| v as i64),
            ElementType::U32 => map(self, |v: u32| i64::from(v)),
            ElementType::U16 => map(self, |v: u16| i64::from(v)),
            ElementType::U8 => map(self, |v: u8| i64::from(v)),
            ElementType::Boolean => self.bytes.iter().map(|b| i64::from(*b != 0)).collect(),
            ElementType::I4 | ElementType::U4 | ElementType::U1 => {
                (0..self.len()).map(|i| self.packed(i)).collect()
            }
            ElementType::Dynamic => Vec::new(),
            _ => self.to_f64s().into_iter().map(|v| v as i64).collect(),
        }
    }

    fn packed(&self, i: usize) -> i64 {
        match self.element_type {
            ElementType::U1 => i64::from(self.bytes[i / 8] >> (7 - i % 8) & 1),
            ElementType::U4 => i64::from(self.bytes[i / 2] >> (i % 2 * 4) & 15),
            _ => i64::from(((self.bytes[i / 2] >> (i % 2 * 4) << 4) as i8) >> 4),
        }
    }

    /// A tensor of any type from f64 values: floats round to nearest even, integers truncate and saturate,
    /// booleans are "not zero".
    pub fn from_f64s(ty: ElementType, shape: &[usize], values: &[f64]) -> Result<Self, TensorError> {
        match ty {
            ElementType::F64 => Self::from_slice(shape, values),
            ElementType::F32 => Self::collect(shape, values, |v| *v as f32),
            ElementType::F16 => Self::collect(shape, values, |v| f16::from_f64(*v)),
            ElementType::Bf16 => Self::collect(shape, values, |v| bf16::from_f64(*v)),
            ElementType::I64 => Self::collect(shape, values, |v| *v as i64),
            ElementType::U64 => Self::collect(shape, values, |v| *v as u64),
            ElementType::U32 => Self::collect(shape, values, |v| *v as u32),
            ElementType::U16 => Self::collect(shape, values, |v| *v as u16),
            ElementType::U8 => Self::collect(shape, values, |v| *v as u8),
            ElementType::I32 => Self::collect(shape, values, |v| *v as i32),
            ElementType::I16 => Self::collect(shape, values, |v| *v as i16),
            ElementType::I8 => Self::collect(shape, values, |v| *v as i8),
            ElementType::Boolean => {
                let bytes = values.iter().map(|v| u8::from(*v != 0.0)).collect::<Vec<_>>();
                Self::new(ty, shape.to_vec(), bytes.into())
            }
            ElementType::I4 | ElementType::U4 | ElementType::U1 => {
                Self::from_i64_values(ty, shape, &values.iter().map(|v| *v as i64).collect::<Vec<_>>())
            }
            ElementType::Dynamic => Err(TensorError::Type { asked: ty, found: ElementType::F64 }),
        }
    }

    /// A tensor of any type from i64 values: narrower integers wrap, as a cast does.
    pub fn from_i64_values(ty: ElementType, shape: &[usize], values: &[i64]) -> Result<Self, TensorError> {
        match ty {
            ElementType::I64 => Self::from_slice(shape, values),
            ElementType::I32 => Self::collect(shape, values, |v| *v as i32),
            ElementType::I16 => Self::collect(shape, values, |v| *v as i16),
            ElementType::I8 => Self::collect(shape, values, |v| *v as i8),
            ElementType::U64 => Self::collect(shape, values, |v| *v as u64),
            ElementType::U32 => Self::collect(shape, values, |v| *v as u32),
            ElementType::U16 => Self::collect(shape, values, |v| *v as u16),
            ElementType::U8 => Self::collect(shape, values, |v| *v as u8),
            ElementType::Boolean => {
                let bytes = values.iter().map(|v| u8::from(*v != 0)).collect::<Vec<_>>();
                Self::new(ty, shape.to_vec(), bytes.into())
            }
            ElementType::I4 | ElementType::U4 => {
                let byte =
                    |pair: &[i64]| (pair[0] & 15 | pair.get(1).map_or(0, |high| (high & 15) << 4)) as u8;
                Self::new(ty, shape.to_vec(), values.chunks(2).map(byte).collect::<Vec<_>>().into())
            }
            ElementType::U1 => {
                let bit = |(i, v): (usize, &i64)| u8::from(*v != 0) << (7 - i);
                let byte = |bits: &[i64]| bits.iter().enumerate().map(bit).sum();
                Self::new(ty, shape.to_vec(), values.chunks(8).map(byte).collect::<Vec<u8>>().into())
            }
            _ => Self::from_f64s(ty, shape, &values.iter().map(|v| *v as f64).collect::<Vec<_>>()),
        }
    }

    fn collect<S, T: Element>(
        shape: &[usize],
        values: &[S],
        f: impl Fn(&S) -> T,
    ) -> Result<Self, TensorError> {
        Self::from_slice(shape, &values.iter().map(f).collect::<Vec<T>>())
    }
}

/// Type and shape, and the values when they are few.
impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.element_type, self.shape)?;
        match self.len() {
            0..=8 if self.element_type.is_float() => write!(f, " {:?}", self.to_f64s()),
            0..=8 => write!(f, " {:?}", self.to_i64s()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_must_fit_the_shape() {
        let err = Tensor::new(ElementType::F32, vec![2, 3], Bytes::from(vec![0; 23])).unwrap_err();
        assert_eq!(err.to_string(), "a tensor f32[2, 3] takes 24 bytes, found 23");
        let huge = Tensor::new(ElementType::F32, vec![usize::MAX, 8], Bytes::new()).unwrap_err();
        assert!(matches!(huge, TensorError::TooLarge { .. }));
        assert!(Tensor::new(ElementType::F32, vec![0, usize::MAX], Bytes::new()).is_ok());
    }

    #[test]
    fn unaligned_bytes_can_be_viewed() {
        for start in 0..4 {
            let mut raw = vec![0u8; start];
            raw.extend_from_slice(bytemuck::cast_slice(&[1.5f32, -2.0]));
            let shifted = Bytes::from(raw).slice(start..);
            let tensor = Tensor::new(ElementType::F32, vec![2], shifted).unwrap();
            assert_eq!(&*tensor.view::<f32>().unwrap(), &[1.5, -2.0], "start {start}");
        }
    }

    #[test]
    fn every_type_round_trips_through_the_wide_forms() {
        for ty in [ElementType::I4, ElementType::I8, ElementType::I16, ElementType::I32, ElementType::I64] {
            let values = [-8, -1, 0, 1, 7];
            let tensor = Tensor::from_i64_values(ty, &[5], &values).unwrap();
            assert_eq!(tensor.to_i64s(), values, "{ty}");
        }
        let bits = [1, 0, 1, 1, 0, 0, 0, 1, 1];
        assert_eq!(Tensor::from_i64_values(ElementType::U1, &[9], &bits).unwrap().to_i64s(), bits);
        for ty in [ElementType::F16, ElementType::Bf16, ElementType::F32, ElementType::F64] {
            let values = [-2.0, 0.5, 0.0, 1024.0];
            let tensor = Tensor::from_f64s(ty, &[4], &values).unwrap();
            assert_eq!(tensor.to_f64s(), values, "{ty}");
        }
    }

    #[test]
    fn own_memory_is_aligned() {
        let tensor = Tensor::from_slice(&[3], &[1.0f32, 2.0, 3.0]).unwrap();
        assert_eq!(tensor.bytes().as_ptr() as usize % ALIGNMENT, 0);
        assert_eq!(aligned_zeros(100).as_ptr() as usize % ALIGNMENT, 0);
    }
}
