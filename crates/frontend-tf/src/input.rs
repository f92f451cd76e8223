//! How a graph is converted.

pub use ir::cut::{FrozenValue, InputSpec};
use ir::unsupported::CustomOps;

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
    /// Which ops that have no conversion are kept as custom ops instead of being refused.
    pub custom_ops: CustomOps,
}
