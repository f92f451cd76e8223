//! Caffe's prototxt and caffemodel to an IR model.
//!
//! [`read`] maps the files and makes a [`Net`] of them, [`convert`] makes a model of that.
//!
//! | step | module |
//! |---|---|
//! | bytes to a tree of fields | `text`, `wire` with the tables of `schema` |
//! | all versions to one form | `upgrade` |
//! | what an inference has | `phase` |
//! | names to edges | `graph` |
//! | layer by layer to ops | `convert`, `scope`, and one table of types in `layer` |
#![forbid(unsafe_code)]

mod blob;
mod convert;
mod error;
mod graph;
mod layer;
mod message;
mod net;
mod options;
mod phase;
mod schema;
mod scope;
mod text;
mod upgrade;
mod wire;

pub use convert::{Converted, convert, inputs};
pub use error::{Error, Site};
pub use message::Position;
pub use net::{Net, parse, read};
pub use options::Options;
pub use text::TextError;
pub use wire::BinaryError;
