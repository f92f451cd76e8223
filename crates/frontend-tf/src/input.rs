//! How a graph is converted.

pub use ir::cut::{FrozenValue, InputSpec};

/// What the caller asks of a conversion.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options {
    /// The name of the model.
    pub name: String,
    /// Inputs other than the graph's placeholders as they are. They come first in the model, in this order.
    pub inputs: Vec<InputSpec>,
    /// The outputs, in this order: `node`, `node:1` or `0:node` (what the input port takes). Empty: what looks like
    /// the graph's one output.
    pub outputs: Vec<String>,
    /// Keep ops that have no conversion as opaque custom ops instead of refusing them.
    pub custom_ops: bool,
}
