//! TensorFlow GraphDef and MetaGraphDef to an IR model; freezing.
//!
//! [`read_graph`] maps a file, [`freeze`] puts variables' values into the graph, [`convert`] makes a model of it.
#![forbid(unsafe_code)]

mod control_flow;
mod convert;
mod custom;
mod dropout;
mod error;
mod fold;
mod freeze;
mod graph;
mod input;
mod op;
pub mod proto;
mod read;
mod scope;
pub mod tensor;
mod text;

pub use convert::{convert, inputs};
pub use error::{Error, VariableError};
pub use freeze::{FreezeOptions, freeze};
pub use graph::{Graph, Port, split_port};
pub use input::{FrozenValue, InputSpec, Options};
pub use ir::unsupported::{CustomOps, Unsupported, UnsupportedNode, UnsupportedOp};
pub use proto::GraphDef;
pub use read::{Encoding, GraphFile, encode_graph, parse_graph, read_graph};
pub use text::TextError;
