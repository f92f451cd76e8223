//! What the caller asks of a conversion.

use ir::{cut::InputSpec, unsupported::CustomOps};

/// Which inputs and outputs the model is to have.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options {
    /// The name of the model.
    pub name: String,
    /// Inputs other than the network's own as they are: cuts, shapes, types, values. They come first in the model, in
    /// this order.
    pub inputs: Vec<InputSpec>,
    /// The outputs, in this order: a blob or a layer, `layer:1` or `0:layer` (what the bottom takes). Empty: what no
    /// layer takes.
    pub outputs: Vec<String>,
    /// Which layers that have no conversion are kept as custom ops instead of being refused.
    pub custom_ops: CustomOps,
}
