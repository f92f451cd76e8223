//! The model: graph, op set, shape inference, reference semantics, IR files, device contract.
#![deny(unsafe_code)]

mod element;
#[allow(unsafe_code)]
mod mapped;
mod tensor;

pub use bytes::Bytes;
pub use element::{Element, ElementType};
pub use mapped::map_file;
pub use tensor::{ALIGNMENT, AlignedBytes, Tensor, TensorError, aligned_zeros, element_count};
