//! What is known at compile: constants, and what follows from constants alone.

use half::{f16, slice::HalfFloatSliceExt};
use ir::{ElementType, Model, NodeId, Op, Port, Tensor, op::Value};
use std::{borrow::Cow, collections::HashMap};

/// The known tensors of a model. Halves that a model widens stay halves until they are asked for.
pub(crate) struct Constants(HashMap<Port, Tensor>);

fn widened(tensor: &Tensor) -> Option<Cow<'_, [f32]>> {
    if tensor.element_type() == ElementType::F32 {
        return tensor.view().ok();
    }
    let halves = tensor.view::<f16>().ok()?;
    let mut floats = vec![0.0; halves.len()];
    halves.convert_to_f32_slice(&mut floats);
    Some(floats.into())
}

impl Constants {
    /// Folds what follows from constants alone; `order` puts nodes after those that they take from.
    pub(crate) fn new(model: &Model, order: &[NodeId]) -> Self {
        let mut this = Self(HashMap::new());
        for id in order {
            let node = model.node(*id);
            if let Op::Parameter(_) | Op::OpResult(_) = node.op {
                continue;
            }
            if let Some(tensor) = node.constant() {
                this.0.insert((*id).into(), tensor.clone());
                continue;
            }
            if let (Op::Convert(convert), [from]) = (&node.op, node.inputs())
                && convert.destination_type == ElementType::F32
                && let Some(half) = this.0.get(from).filter(|t| t.element_type() == ElementType::F16)
            {
                let half = half.clone();
                this.0.insert((*id).into(), half);
                continue;
            }
            let value = |output: &ir::Output| match &output.value {
                Some(Value::Known(tensor)) => Some(tensor.clone()),
                _ => None,
            };
            let values: Option<Vec<Tensor>> = node.outputs().iter().map(value).collect();
            let values = values.or_else(|| {
                let input = |port: &Port| this.as_typed(model, *port);
                let inputs: Option<Vec<Tensor>> = node.inputs().iter().map(input).collect();
                inputs.filter(|inputs| !inputs.is_empty()).and_then(|i| node.op.operator().evaluate(&i).ok())
            });
            for (index, tensor) in values.into_iter().flatten().enumerate() {
                this.0.insert(id.output(index), tensor);
            }
        }
        this
    }

    /// The tensor of `port` in the type that the model gives it.
    fn as_typed(&self, model: &Model, port: Port) -> Option<Tensor> {
        let tensor = self.0.get(&port)?;
        if tensor.element_type() == model.ty(port).element_type {
            return Some(tensor.clone());
        }
        Tensor::from_slice(tensor.shape(), &widened(tensor)?).ok()
    }

    /// True when what comes out of `port` is known.
    pub(crate) fn has(&self, port: Port) -> bool {
        self.0.contains_key(&port)
    }

    /// The shape of what is known at `port`, if it is numbers.
    pub(crate) fn shape(&self, port: Port) -> Option<&[usize]> {
        let float = |t: &&Tensor| matches!(t.element_type(), ElementType::F32 | ElementType::F16);
        self.0.get(&port).filter(float).map(Tensor::shape)
    }

    /// The numbers that come out of `port`.
    pub(crate) fn floats(&self, port: Port) -> Option<Cow<'_, [f32]>> {
        self.shape(port)?;
        widened(self.0.get(&port)?)
    }

    /// The integers that come out of `port`.
    pub(crate) fn integers(&self, port: Port) -> Option<Vec<i64>> {
        self.0.get(&port).filter(|tensor| tensor.element_type().is_integer()).map(Tensor::to_i64s)
    }

    /// What is known at `port`, as it is stored.
    pub(crate) fn tensor(&self, port: Port) -> Option<&Tensor> {
        self.0.get(&port)
    }
}
