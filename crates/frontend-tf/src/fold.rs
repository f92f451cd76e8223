//! The values of what is constant in a model under construction.

use ir::{Model, NodeId, Port, Tensor, element_count, op::Value};
use std::collections::HashMap;

/// Larger tensors are not computed to be looked at: whatever an op takes as a parameter is far smaller.
const MOST_BYTES: usize = 1 << 28;

/// Evaluates what does not depend on an input, and remembers it.
#[derive(Default)]
pub(crate) struct Folder {
    values: HashMap<NodeId, Vec<Tensor>>,
}

impl Folder {
    /// The tensor at `port`; `None` when it depends on an input or cannot be computed here.
    pub(crate) fn value(&mut self, model: &Model, port: Port) -> Option<Tensor> {
        let mut stack = vec![port.node];
        while let Some(&id) = stack.last() {
            if self.known(model, id).is_some() {
                stack.pop();
                continue;
            }
            let node = model.node(id);
            let small = node.outputs().iter().all(|output| {
                let bytes =
                    output.ty.shape.sizes().and_then(|s| output.ty.element_type.byte_len(element_count(&s)?));
                bytes.is_some_and(|bytes| bytes <= MOST_BYTES)
            });
            if node.inputs().is_empty() || !small {
                return None;
            }
            let waiting: Vec<NodeId> =
                node.inputs().iter().filter(|p| self.at(model, **p).is_none()).map(|p| p.node).collect();
            if waiting.is_empty() {
                let inputs: Option<Vec<Tensor>> = node.inputs().iter().map(|p| self.at(model, *p)).collect();
                let outputs = node.op.operator().evaluate(&inputs?).ok()?;
                self.values.insert(id, outputs);
            }
            stack.extend(waiting);
        }
        self.at(model, port)
    }

    fn at(&self, model: &Model, port: Port) -> Option<Tensor> {
        match &model.output(port).value {
            Some(Value::Known(tensor)) => Some(tensor.clone()),
            _ => self.values.get(&port.node)?.get(port.index).cloned(),
        }
    }

    fn known(&self, model: &Model, id: NodeId) -> Option<()> {
        (0..model.node(id).outputs().len()).all(|i| self.at(model, id.output(i)).is_some()).then_some(())
    }
}
