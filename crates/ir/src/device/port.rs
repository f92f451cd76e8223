//! Inputs and outputs of compiled models.

use crate::{Model, op::PortType};

/// An input or an output of a compiled model.
#[derive(Clone, PartialEq, Debug)]
pub struct PortInfo {
    /// The name of the node that gives it.
    pub node: String,
    /// The names of the tensor.
    pub names: Vec<String>,
    /// Type and shape.
    pub ty: PortType,
}

impl PortInfo {
    /// The first name of the tensor, or its node's.
    pub fn name(&self) -> &str {
        self.names.first().unwrap_or(&self.node)
    }

    /// True when the tensor or its node goes by `name`. TensorFlow's `x` and `x:0` are the same tensor.
    pub fn is_called(&self, name: &str) -> bool {
        fn plain(name: &str) -> &str {
            name.strip_suffix(":0").unwrap_or(name)
        }
        let same = |own: &str| plain(own) == plain(name);
        same(&self.node) || self.names.iter().any(|own| same(own))
    }

    /// The inputs of a model, in order.
    pub fn inputs(model: &Model) -> Vec<Self> {
        let info = |id: &crate::NodeId| {
            let node = model.node(*id);
            let output = &node.outputs()[0];
            Self { node: node.name.clone(), names: output.names.clone(), ty: output.ty.clone() }
        };
        model.parameters().iter().map(info).collect()
    }

    /// The outputs of a model, in order: named after what flows into the results.
    pub fn outputs(model: &Model) -> Vec<Self> {
        let info = |id: &crate::NodeId| {
            let from = model.node(*id).inputs()[0];
            let output = model.output(from);
            let node = model.node(from.node).name.clone();
            Self { node, names: output.names.clone(), ty: output.ty.clone() }
        };
        model.results().iter().map(info).collect()
    }
}

/// Which tensor of a request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PortIndex {
    /// Input by number.
    Input(usize),
    /// Output by number.
    Output(usize),
}
