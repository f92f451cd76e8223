//! Tensors across the boundary: views of one side's memory, tensors over the other's.

use crate::{
    c,
    owner::{Kept, release, retain, retained, share},
    raw::{Fault, list, take},
    status::fault,
};
use ir::{
    ALIGNMENT, AlignedBytes, ElementType, Tensor,
    device::{DeviceError, DeviceResult, HostTensor},
    shape::MAX_RANK,
};
use std::{any::Any, ptr, slice, sync::Arc};

/// Element types by their numbers in the header.
const TYPES: [(i32, ElementType); 17] = [
    (c::TYPE_DYNAMIC, ElementType::Dynamic),
    (c::TYPE_BOOLEAN, ElementType::Boolean),
    (c::TYPE_BF16, ElementType::Bf16),
    (c::TYPE_F16, ElementType::F16),
    (c::TYPE_F32, ElementType::F32),
    (c::TYPE_F64, ElementType::F64),
    (c::TYPE_I4, ElementType::I4),
    (c::TYPE_I8, ElementType::I8),
    (c::TYPE_I16, ElementType::I16),
    (c::TYPE_I32, ElementType::I32),
    (c::TYPE_I64, ElementType::I64),
    (c::TYPE_U1, ElementType::U1),
    (c::TYPE_U4, ElementType::U4),
    (c::TYPE_U8, ElementType::U8),
    (c::TYPE_U16, ElementType::U16),
    (c::TYPE_U32, ElementType::U32),
    (c::TYPE_U64, ElementType::U64),
];

/// The number of an element type.
pub(crate) fn type_number(ty: ElementType) -> i32 {
    TYPES.iter().find(|row| row.1 == ty).map_or(c::TYPE_DYNAMIC, |row| row.0)
}

/// The element type of a number.
pub(crate) fn type_of(number: i32) -> Result<ElementType, Fault> {
    let row = TYPES.iter().find(|row| row.0 == number);
    row.map(|row| row.1).ok_or(Fault::Number { what: "an element type", found: number.into() })
}

/// What owns a view: the tensor, and what the view points to besides it.
struct Viewed {
    tensor: HostTensor,
    strides: Option<Vec<isize>>,
}

/// A view of a tensor whose first byte is `data`. It holds one retain: whoever has it releases it.
pub(crate) fn view(tensor: HostTensor, data: *mut u8, byte_len: usize) -> c::Tensor {
    // No stride of memory that is there is beyond isize.
    let strides =
        (!tensor.is_dense()).then(|| tensor.strides().iter().map(|stride| *stride as isize).collect());
    let owner = Arc::new(Viewed { tensor, strides });
    let tensor = &owner.tensor;
    c::Tensor {
        size: size_of::<c::Tensor>(),
        data,
        byte_len,
        element_type: type_number(tensor.element_type()),
        rank: tensor.shape().len(),
        shape: tensor.shape().as_ptr(),
        strides: owner.strides.as_ref().map_or(ptr::null(), |strides| strides.as_ptr()),
        owner: Arc::into_raw(owner).cast_mut().cast(),
        retain: Some(retain::<Viewed>),
        release: Some(release::<Viewed>),
    }
}

/// A tensor that never changes, as it is sent.
pub(crate) struct SentTensor(Arc<Tensor>);

impl SentTensor {
    /// Elements where nobody may read them as they lie are copied.
    pub(crate) fn new(tensor: &Tensor) -> Self {
        const WIDEST: usize = 8;
        let aligned = tensor.bytes().as_ptr().addr().is_multiple_of(WIDEST);
        let sent = match aligned {
            true => tensor.clone(),
            false => {
                let bytes = AlignedBytes::from_slice(ALIGNMENT, tensor.bytes());
                let copy = Tensor::from_aligned(tensor.element_type(), tensor.shape().to_vec(), bytes);
                copy.expect("as many bytes as before")
            }
        };
        Self(Arc::new(sent))
    }

    /// The tensor for one call.
    pub(crate) fn view(&self) -> c::Tensor {
        c::Tensor {
            size: size_of::<c::Tensor>(),
            data: self.0.bytes().as_ptr().cast_mut(),
            byte_len: self.0.bytes().len(),
            element_type: type_number(self.0.element_type()),
            rank: self.0.shape().len(),
            shape: self.0.shape().as_ptr(),
            strides: ptr::null(),
            owner: Arc::as_ptr(&self.0).cast_mut().cast(),
            retain: Some(retain::<Tensor>),
            release: Some(release::<Tensor>),
        }
    }
}

/// A tensor that the other side sent: shared where it can be kept.
///
/// # Safety
/// `view` is null, or a dense tensor as the contract has it.
pub(crate) unsafe fn receive_constant(view: *const c::Tensor, side: &str) -> DeviceResult<Tensor> {
    // SAFETY: the caller's promise.
    let read = || unsafe {
        let view = take(view)?;
        let kept = retained(view.owner, view.retain, view.release).map(Arc::new);
        let bytes = share(view.data, view.byte_len, kept.as_ref())?;
        Ok((type_of(view.element_type)?, shape_of(&view)?, bytes))
    };
    let (ty, shape, bytes) = read().map_err(fault(side))?;
    Tensor::new(ty, shape, bytes)
        .map_err(|error| DeviceError::Failed { device: side.to_owned(), message: error.to_string() })
}

/// Takes the retain of a [`view`] back.
pub(crate) fn end_view(view: &c::Tensor) {
    // SAFETY: `view` made it, with one retain; every caller ends a view once.
    unsafe { release::<Viewed>(view.owner) };
}

/// Memory of the other side.
struct Foreign {
    data: *mut u8,
    len: usize,
    /// What keeps it.
    _kept: Arc<dyn Any + Send + Sync>,
}

// SAFETY: plain bytes; the guards of the tensor around it let nobody read while somebody writes.
unsafe impl Send for Foreign {}
// SAFETY: as above.
unsafe impl Sync for Foreign {}

impl AsRef<[u8]> for Foreign {
    fn as_ref(&self) -> &[u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: checked to be there when it was received, and kept since. The contract has nobody else write it
        // while this side uses it.
        unsafe { slice::from_raw_parts(self.data, self.len) }
    }
}

impl AsMut<[u8]> for Foreign {
    fn as_mut(&mut self) -> &mut [u8] {
        if self.len == 0 {
            return &mut [];
        }
        // SAFETY: as above, and nobody else uses it at all.
        unsafe { slice::from_raw_parts_mut(self.data, self.len) }
    }
}

/// What keeps the memory of a view that came retained. Views without an owner live as long as `request`.
///
/// # Safety
/// The view is retained for the caller.
pub(crate) unsafe fn keeper(
    view: &c::Tensor,
    request: Arc<dyn Any + Send + Sync>,
) -> Arc<dyn Any + Send + Sync> {
    match view.release {
        // SAFETY: the retain is the caller's, and is handed on.
        Some(release) => Arc::new(unsafe { Kept::new(view.owner, release) }),
        None => request,
    }
}

/// The shape that a view states.
///
/// # Safety
/// The array is null, or as long as the view says.
pub(crate) unsafe fn shape_of(view: &c::Tensor) -> Result<Vec<usize>, Fault> {
    if view.rank > MAX_RANK {
        return Err(Fault::Length { what: "the rank of a tensor", len: view.rank });
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { list(view.shape, view.rank, "the shape of a tensor")? }.to_vec())
}

/// A tensor over the memory of the other side.
///
/// # Safety
/// `kept` keeps the memory of the view.
pub(crate) unsafe fn receive(
    view: &c::Tensor,
    kept: Arc<dyn Any + Send + Sync>,
    device: &str,
) -> DeviceResult<HostTensor> {
    // SAFETY: the view is as the contract has it.
    let read = || unsafe {
        let ty = type_of(view.element_type)?;
        let shape = shape_of(view)?;
        let strides = match view.strides.is_null() {
            true => None,
            false => Some(strides_of(list(view.strides, view.rank, "the strides of a tensor")?)?),
        };
        // Length and address are checked as those of a list are.
        list(view.data.cast_const(), view.byte_len, "the memory of a tensor")?;
        Ok((ty, shape, strides))
    };
    let (ty, shape, strides) = read().map_err(fault(device))?;
    let memory = Foreign { data: view.data, len: view.byte_len, _kept: kept };
    let tensor = match strides {
        None => HostTensor::new(ty, shape, memory),
        Some(strides) => HostTensor::strided(ty, shape, strides, memory),
    };
    tensor.map_err(|error| DeviceError::Failed { device: device.to_owned(), message: error.to_string() })
}

/// Strides as tensors here have them: forwards alone.
fn strides_of(strides: &[isize]) -> Result<Vec<usize>, Fault> {
    let backwards = |stride| Fault::Contradiction {
        what: "the strides of a tensor",
        reason: format!("{stride} leads backwards; strides of 0 and more are taken"),
    };
    strides.iter().map(|stride| usize::try_from(*stride).map_err(|_| backwards(*stride))).collect()
}
