//! The model: graph, op set, shape inference, reference semantics, IR files, device contract.
//!
//! | to | use |
//! |---|---|
//! | build a network | [`Model::add`] with the ops of [`op`] |
//! | give it other inputs and outputs | [`cut::cut`] |
//! | run it plainly | [`evaluate`] |
//! | read and write IR files | [`read_ir`], [`write_ir`] |
//! | give custom layers a meaning | [`extension::Extension`] |
//! | write a device | the traits of [`device`] |
#![deny(unsafe_code)]

pub mod attribute;
pub mod cut;
pub mod device;
mod element;
mod evaluate;
pub mod extension;
mod file;
mod infer;
mod interval;
mod layout;
#[allow(unsafe_code)]
mod mapped;
mod model;
pub mod op;
pub mod shape;
mod tensor;
pub mod unsupported;

pub use bytes::Bytes;
pub use element::{Element, ElementType};
pub use evaluate::evaluate;
pub use file::{
    IrVersion, ReadError, ReadErrorKind, Weights, WriteError, Written, read_ir, read_ir_from, to_ir,
    to_ir_as, write_ir, write_ir_as,
};
pub use interval::{Dim, Interval};
pub use layout::{Layout, LayoutSyntaxError};
pub use mapped::{map_file, release};
pub use model::{Model, ModelError, Node, NodeId, Output, Port, RtAttribute, RtInfo};
pub use op::Op;
pub use shape::{PartialShape, ShapeSyntaxError};
pub use tensor::{ALIGNMENT, AlignedBytes, Tensor, TensorError, aligned_zeros, element_count};
