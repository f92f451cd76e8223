//! The values of what is constant in a model under construction.

use ir::{Model, NodeId, Port, Tensor, element_count, op::Value};
use std::collections::HashMap;

/// Larger tensors are not computed to be looked at: whatever an op takes as a parameter is far smaller.
const MOST_BYTES: usize = 1 << 28;

/// Evaluates what does not depend on an input, and remembers it.
#[derive(Default)]
pub(crate) struct Folder {
    values: HashMap<NodeId, Vec<Tensor>>,
    /// Whether a node can be evaluated. Known before anything is: weights are not transposed just to find that the
    /// data beside them is an input.
    foldable: HashMap<NodeId, bool>,
}

impl Folder {
    /// The tensor at `port`; `None` when it depends on an input or cannot be computed here.
    pub(crate) fn value(&mut self, model: &Model, port: Port) -> Option<Tensor> {
        if let Some(known) = known(model, port) {
            return Some(known.clone());
        }
        if !self.is_foldable(model, port.node) {
            return None;
        }
        let mut stack = vec![port.node];
        while let Some(&id) = stack.last() {
            let waiting = self.waiting(model, id);
            if waiting.is_empty() {
                stack.pop();
                if !self.values.contains_key(&id) {
                    let node = model.node(id);
                    let inputs: Option<Vec<Tensor>> =
                        node.inputs().iter().map(|p| self.at(model, *p)).collect();
                    self.values.insert(id, node.op.operator().evaluate(&inputs?).ok()?);
                }
            }
            stack.extend(waiting);
        }
        self.at(model, port)
    }

    /// The nodes whose values a node needs and that have none yet.
    fn waiting(&self, model: &Model, id: NodeId) -> Vec<NodeId> {
        let inputs = model.node(id).inputs().iter();
        inputs.filter(|p| self.at(model, **p).is_none()).map(|p| p.node).collect()
    }

    fn at(&self, model: &Model, port: Port) -> Option<Tensor> {
        known(model, port).cloned().or_else(|| self.values.get(&port.node)?.get(port.index).cloned())
    }

    /// True when all that a node computes from is constant, and nothing on the way is too large.
    fn is_foldable(&mut self, model: &Model, id: NodeId) -> bool {
        let mut stack = vec![id];
        while let Some(&id) = stack.last() {
            if self.foldable.contains_key(&id) {
                stack.pop();
                continue;
            }
            let node = model.node(id);
            let sources: Vec<NodeId> =
                node.inputs().iter().filter(|p| known(model, **p).is_none()).map(|p| p.node).collect();
            let open: Vec<NodeId> =
                sources.iter().filter(|id| !self.foldable.contains_key(id)).copied().collect();
            if open.is_empty() {
                let small = node.outputs().iter().all(|output| {
                    let sizes = output.ty.shape.sizes();
                    let bytes = sizes.and_then(|s| output.ty.element_type.byte_len(element_count(&s)?));
                    bytes.is_some_and(|bytes| bytes <= MOST_BYTES)
                });
                let fed = !node.inputs().is_empty() && sources.iter().all(|id| self.foldable[id]);
                self.foldable.insert(id, small && fed);
                stack.pop();
            }
            stack.extend(open);
        }
        self.foldable[&id]
    }
}

/// A constant, or what inference knows.
fn known(model: &Model, port: Port) -> Option<&Tensor> {
    match &model.output(port).value {
        Some(Value::Known(tensor)) => Some(tensor),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ir::{
        ElementType,
        op::{Binary, BinaryKind, Broadcast, Unary},
    };

    #[test]
    fn constants_are_computed_and_inputs_are_not() {
        let mut model = Model::new("m");
        let x = model.add_parameter("x", ElementType::F32, "[2]".parse().unwrap());
        let c = model.add_constant("c", Tensor::from_slice(&[2], &[1.0f32, -4.0]).unwrap());
        let mut chain = model.add("abs", Unary::Abs, &[c.into()]).unwrap();
        for _ in 0..20_000 {
            chain = model.add("neg", Unary::Negative, &[chain.into()]).unwrap();
        }
        let sum = model.add("sum", Binary::new(BinaryKind::Add), &[x.into(), chain.into()]).unwrap();
        let mut folder = Folder::default();
        assert_eq!(folder.value(&model, sum.into()), None);
        assert!(folder.values.is_empty());
        assert_eq!(folder.value(&model, chain.into()).unwrap().to_f64s(), [1.0, 4.0]);
    }

    #[test]
    fn what_a_file_merely_claims_is_not_computed() {
        let mut model = Model::new("m");
        let value = model.add_constant("value", Tensor::scalar(1.0f32));
        let shape = model.add_constant("shape", Tensor::from_i64s(&[1 << 20, 1 << 20]));
        let large = model.add("large", Broadcast::default(), &[value.into(), shape.into()]).unwrap();
        assert_eq!(Folder::default().value(&model, large.into()), None);
    }
}
