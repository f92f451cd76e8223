//! What is known at compile: constants, and what follows from constants alone.

use ir::{ElementType, Model, NodeId, Op, Port, Tensor, op::Value};
use std::collections::HashMap;

enum Known {
    /// As it is.
    Tensor(Tensor),
    /// f16 numbers that are used as f32, widened when they are asked for: all weights at once would be much.
    Half(Tensor),
}

/// The known tensors of a model.
pub(crate) struct Constants<'m> {
    model: &'m Model,
    known: HashMap<Port, Known>,
}

impl<'m> Constants<'m> {
    /// Folds what follows from constants alone.
    pub(crate) fn new(model: &'m Model, order: &[NodeId]) -> Self {
        let mut this = Self { model, known: HashMap::new() };
        for id in order {
            let node = model.node(*id);
            match &node.op {
                Op::Parameter(_) | Op::OpResult(_) => continue,
                Op::Constant(constant) => {
                    this.known.insert((*id).into(), Known::Tensor(constant.tensor.clone()));
                    continue;
                }
                Op::Convert(convert) if convert.destination_type == ElementType::F32 => {
                    if let Some(Known::Tensor(tensor)) = this.known.get(&node.inputs()[0])
                        && tensor.element_type() == ElementType::F16
                    {
                        let tensor = tensor.clone();
                        this.known.insert((*id).into(), Known::Half(tensor));
                        continue;
                    }
                }
                _ => {}
            }
            let value = |output: &ir::Output| match &output.value {
                Some(Value::Known(tensor)) => Some(tensor.clone()),
                _ => None,
            };
            let values: Option<Vec<Tensor>> = node.outputs().iter().map(value).collect();
            let values = values.or_else(|| {
                let inputs: Option<Vec<Tensor>> = node.inputs().iter().map(|port| this.get(*port)).collect();
                // What the reference refuses is refused when the node runs, with its name.
                inputs.filter(|inputs| !inputs.is_empty()).and_then(|i| node.op.operator().evaluate(&i).ok())
            });
            for (i, tensor) in values.into_iter().flatten().enumerate() {
                this.known.insert(id.output(i), Known::Tensor(tensor));
            }
        }
        this
    }

    /// The tensor that comes out of `port`, if it is known.
    pub(crate) fn get(&self, port: Port) -> Option<Tensor> {
        match self.known.get(&port)? {
            Known::Tensor(tensor) => Some(tensor.clone()),
            Known::Half(half) => {
                use half::slice::HalfFloatSliceExt;
                let half_numbers = half.view::<half::f16>().ok()?;
                let mut bytes = ir::aligned_zeros(half.len() * 4);
                half_numbers.convert_to_f32_slice(bytemuck::cast_slice_mut(&mut bytes));
                Tensor::from_aligned(ElementType::F32, half.shape().to_vec(), bytes).ok()
            }
        }
    }

    /// The numbers that come out of `port`, if they are known and f32.
    pub(crate) fn floats(&self, port: Port) -> Option<Vec<f32>> {
        Some(self.get(port)?.view::<f32>().ok()?.into_owned())
    }

    /// The f32 numbers that come out of `port` as they are stored: f32 or f16.
    pub(crate) fn stored(&self, port: Port) -> Option<&Tensor> {
        match self.known.get(&port)? {
            Known::Half(half) => Some(half),
            Known::Tensor(tensor) => (tensor.element_type() == ElementType::F32).then_some(tensor),
        }
    }

    /// The only number that comes out of `port`.
    pub(crate) fn float(&self, port: Port) -> Option<f32> {
        self.has(port).then(|| self.floats(port)).flatten().filter(|v| v.len() == 1).map(|v| v[0])
    }

    /// The integers that come out of `port`, if they are known.
    pub(crate) fn integers(&self, port: Port) -> Option<Vec<i64>> {
        match self.known.get(&port)? {
            Known::Tensor(tensor) if tensor.element_type().is_integer() => Some(tensor.to_i64s()),
            _ => None,
        }
    }

    /// True when what comes out of `port` is known.
    pub(crate) fn has(&self, port: Port) -> bool {
        self.known.contains_key(&port)
    }

    /// True for a node that only says how a constant is stored.
    pub(crate) fn is_stored(&self, id: NodeId) -> bool {
        let node = self.model.node(id);
        let of_constant = |port: &Port| matches!(self.model.node(port.node).op, Op::Constant(_));
        matches!(node.op, Op::Convert(_)) && node.inputs().iter().all(of_constant)
    }
}
