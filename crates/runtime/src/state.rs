//! State: devices see models without it. A variable is one more input and one more output of the compiled model, which
//! the request turns round: what an inference leaves is what the next one reads.

use crate::{Error, HostTensor, error::Result};
use ir::{
    Model, NodeId, Op, Port, Tensor,
    device::{DeviceResult, InferRequest, PortIndex},
    evaluate,
    op::PortType,
};
use std::collections::BTreeSet;

/// A variable of a compiled model; its hidden ports come after the model's own, in the order of the variables.
#[derive(Clone, Debug)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) ty: PortType,
    pub(crate) first: Tensor,
}

impl Variable {
    /// The error for a value that it cannot have.
    pub(crate) fn check(&self, value: &Tensor, what: &str) -> Result<()> {
        let ty = &self.ty;
        if value.element_type() == ty.element_type && ty.shape.admits(value.shape()) {
            return Ok(());
        }
        let found = format!("{}{:?}", value.element_type(), value.shape());
        Err(fault(&self.name, &format!("it is {ty}, {what} {found}")))
    }
}

/// The model with a hidden input and output for each of its variables; `None` where it has none.
pub(crate) fn stateless(model: &Model) -> Result<Option<(Model, Vec<Variable>)>> {
    if model.nodes().all(|(_, node)| !matches!(node.op, Op::ReadValue(_) | Op::Assign(_))) {
        return Ok(None);
    }
    let mut plain = model.clone();
    let mut variables = Vec::new();
    let reads: Vec<(NodeId, String)> = model
        .nodes()
        .filter_map(|(id, node)| match &node.op {
            Op::ReadValue(read) => Some((id, read.variable_id.clone())),
            _ => None,
        })
        .collect();
    let mut names = BTreeSet::new();
    for (id, name) in reads {
        if !names.insert(name.clone()) {
            return Err(fault(&name, "it is read by two ReadValue nodes; let both use the output of one"));
        }
        let node = model.node(id);
        let first = first_value(model, id, &name)?;
        let variable = Variable { name, ty: node.outputs()[0].ty.clone(), first };
        variable.check(&variable.first, "its first value")?;
        let PortType { element_type, shape } = variable.ty.clone();
        let input = plain.add_parameter(node.name.clone(), element_type, shape);
        plain.replace(id.into(), input.into());
        plain.remove(id);
        variables.push(variable);
    }
    let assigns: Vec<(NodeId, String)> = plain
        .nodes()
        .filter_map(|(id, node)| match &node.op {
            Op::Assign(assign) => Some((id, assign.variable_id.clone())),
            _ => None,
        })
        .collect();
    let mut left: Vec<Option<Port>> = vec![None; variables.len()];
    for (id, name) in assigns {
        let at = variables.iter().position(|variable| variable.name == name);
        let at = at.ok_or_else(|| fault(&name, "an Assign leaves it, no ReadValue reads it"))?;
        let from = plain.node(id).inputs()[0];
        if left[at].replace(from).is_some() {
            return Err(fault(&name, "two Assign nodes leave it; only one can be the last"));
        }
        let found = plain.ty(from);
        let ty = &variables[at].ty;
        if found.element_type != ty.element_type || found.shape.intersect(&ty.shape).is_none() {
            return Err(fault(&name, &format!("it is {ty}, what is assigned {found}")));
        }
        plain.replace(id.into(), from);
        plain.remove(id);
    }
    for (variable, left) in variables.iter().zip(left) {
        let left = left.ok_or_else(|| fault(&variable.name, "a ReadValue reads it, no Assign leaves it"))?;
        plain.add_result(format!("{}/left", variable.name), left)?;
    }
    plain.infer()?;
    Ok(Some((plain, variables)))
}

fn fault(variable: &str, reason: &str) -> Error {
    Error::State { variable: variable.to_owned(), reason: reason.to_owned() }
}

/// What a variable begins with: it may be computed, but not from the model's inputs.
fn first_value(model: &Model, read: NodeId, name: &str) -> Result<Tensor> {
    let node = model.node(read);
    let Some(from) = node.inputs().first() else {
        let first = node.op.operator().evaluate(&[]);
        return Ok(first.map_err(|source| model.op_error(node, source))?.swap_remove(0));
    };
    let mut only = Model::new(name);
    let mut copies = std::collections::HashMap::new();
    let mut open = vec![from.node];
    while let Some(&id) = open.last() {
        let node = model.node(id);
        if matches!(node.op, Op::Parameter(_)) {
            let reason = format!("its first value depends on the input `{}`; only constants may", node.name);
            return Err(fault(name, &reason));
        }
        let missing = node.inputs().iter().find(|port| !copies.contains_key(&port.node));
        if let Some(port) = missing {
            open.push(port.node);
            continue;
        }
        open.pop();
        let inputs: Vec<Port> =
            node.inputs().iter().map(|port| NodeId::output(copies[&port.node], port.index)).collect();
        copies.insert(id, only.add(node.name.clone(), node.op.clone(), &inputs)?);
    }
    only.add_result("first", copies[&from.node].output(from.index))?;
    Ok(evaluate(&only, &[])?.swap_remove(0))
}

/// The variables of a request, and what they hold.
pub(crate) struct States {
    slots: Vec<Slot>,
    /// The model's own inputs and outputs come before the hidden ones.
    inputs: usize,
    outputs: usize,
}

struct Slot {
    variable: Variable,
    value: HostTensor,
    /// Where the next value goes; none where its shape is only known then.
    next: Option<HostTensor>,
}

impl States {
    pub(crate) fn new(variables: &[Variable], inputs: usize, outputs: usize) -> Result<Self> {
        let slot = |variable: &Variable| -> Result<Slot> {
            let ty = &variable.ty;
            let room = |shape: Vec<usize>| {
                HostTensor::zeros(ty.element_type, &shape)
                    .map_err(|error| fault(&variable.name, &error.to_string()))
            };
            let next = ty.shape.sizes().map(room).transpose()?;
            Ok(Slot { variable: variable.clone(), value: copy(&variable.first)?, next })
        };
        Ok(Self { slots: variables.iter().map(slot).collect::<Result<_>>()?, inputs, outputs })
    }

    /// Hands the values to an inference that is about to start.
    pub(crate) fn bind(&self, request: &mut dyn InferRequest) -> DeviceResult<()> {
        for (i, slot) in self.slots.iter().enumerate() {
            request.set_tensor(PortIndex::Input(self.inputs + i), slot.value.clone())?;
            if let Some(next) = &slot.next {
                request.set_tensor(PortIndex::Output(self.outputs + i), next.clone())?;
            }
        }
        Ok(())
    }

    /// Takes over what an inference that ended well has left.
    pub(crate) fn advance(&mut self, request: &dyn InferRequest) -> Result<()> {
        for (i, slot) in self.slots.iter_mut().enumerate() {
            match &mut slot.next {
                Some(next) => std::mem::swap(&mut slot.value, next),
                None => {
                    slot.value = copy(&request.tensor(PortIndex::Output(self.outputs + i))?.to_tensor()?)?
                }
            }
        }
        Ok(())
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.slots.iter().map(|slot| slot.variable.name.as_str()).collect()
    }

    pub(crate) fn get(&self, name: &str) -> Result<Tensor> {
        Ok(self.slots[self.find(name)?].value.to_tensor()?)
    }

    pub(crate) fn set(&mut self, name: &str, value: &Tensor) -> Result<()> {
        let slot = self.find(name)?;
        let slot = &mut self.slots[slot];
        slot.variable.check(value, "the value given is")?;
        slot.value = copy(value)?;
        Ok(())
    }

    pub(crate) fn reset(&mut self) -> Result<()> {
        for slot in &mut self.slots {
            slot.value = copy(&slot.variable.first)?;
        }
        Ok(())
    }

    fn find(&self, name: &str) -> Result<usize> {
        let at = self.slots.iter().position(|slot| slot.variable.name == name);
        at.ok_or_else(|| {
            let known = self.names().join(", ");
            fault(name, &format!("the model has no such variable; it has {known}"))
        })
    }
}

/// Memory of its own: what a caller holds is not what an inference writes.
fn copy(tensor: &Tensor) -> Result<HostTensor> {
    let copy = HostTensor::zeros(tensor.element_type(), tensor.shape())
        .map_err(|error| fault("a state", &error.to_string()))?;
    copy.copy_from(tensor.bytes())?;
    Ok(copy)
}
