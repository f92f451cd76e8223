//! TensorFlow GraphDef and MetaGraphDef to an IR model; freezing.
//!
//! [`read_graph`] maps a file, [`freeze`] puts variables' values into the graph.
#![forbid(unsafe_code)]

mod error;
mod freeze;
mod graph;
pub mod proto;
mod read;
pub mod tensor;
mod text;
mod unsupported;

pub use error::{Error, VariableError};
pub use freeze::{FreezeOptions, freeze};
pub use graph::{Graph, Port, split_port};
pub use proto::GraphDef;
pub use read::{Encoding, GraphFile, encode_graph, parse_graph, read_graph};
pub use text::TextError;
pub use unsupported::{Unsupported, UnsupportedNode, UnsupportedOp};
