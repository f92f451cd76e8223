//! Ops one behind the other at an edge of a model, by the name of the input or output there.

use super::CustomOps;
use crate::{Error, error::Result};
use ir::{
    ElementType, Layout, Model, Op, Port, Tensor,
    op::{Convert, PortType, Transpose},
};

/// The end of a chain, to which ops are added.
pub(super) struct Chain<'a> {
    pub(super) model: &'a mut Model,
    /// The input or output. What gives it in another form goes by its name, in profiles too.
    pub(super) name: String,
    /// Where the chain ends.
    pub(super) at: Port,
}

impl Chain<'_> {
    /// Type and shape at the end.
    pub(super) fn ty(&self) -> &PortType {
        self.model.ty(self.at)
    }

    /// What can't be done with this input or output.
    pub(super) fn fail(&self, reason: impl Into<String>) -> Error {
        Error::Settings { port: self.name.clone(), reason: reason.into() }
    }

    /// An op on the end of the chain and `others`, which becomes the end.
    pub(super) fn then(&mut self, op: impl Into<Op>, others: &[Port]) -> Result<()> {
        let inputs: Vec<Port> = [self.at].iter().chain(others).copied().collect();
        self.at = self.beside(op, &inputs)?;
        Ok(())
    }

    /// An op beside the chain.
    pub(super) fn beside(&mut self, op: impl Into<Op>, inputs: &[Port]) -> Result<Port> {
        Ok(self.model.add(self.name.as_str(), op, inputs)?.into())
    }

    /// A constant, called `what` of this input or output.
    pub(super) fn constant(&mut self, what: &str, tensor: Tensor) -> Port {
        self.model.add_constant(format!("{}/{what}", self.name), tensor).into()
    }

    /// A constant of integers.
    pub(super) fn integers(&mut self, what: &str, values: &[i64]) -> Port {
        self.constant(what, Tensor::from_i64s(values))
    }

    /// A change of the element type, unless it is that already.
    pub(super) fn convert(&mut self, ty: ElementType) -> Result<()> {
        if self.ty().element_type == ty { Ok(()) } else { self.then(Convert::to(ty), &[]) }
    }

    /// Dimensions in another order.
    pub(super) fn transpose(&mut self, order: &[usize]) -> Result<()> {
        let order: Vec<i64> = order.iter().map(|i| *i as i64).collect();
        let order = self.integers("order", &order);
        self.then(Transpose, &[order])
    }

    /// The caller's own ops.
    pub(super) fn custom(&mut self, ops: Option<&CustomOps>) -> Result<()> {
        if let Some(CustomOps(add)) = ops {
            self.at = add(self.model, self.at)?;
        }
        Ok(())
    }

    /// The order that turns dimensions of one layout into those of another; nothing when there is nothing to do.
    pub(super) fn order(&self, from: &Layout, to: &Layout) -> Result<Option<Vec<usize>>> {
        if from.is_empty() != to.is_empty() {
            return Err(self.fail(format!(
                "cannot go from layout {from} to {to}: say both, the caller's and the model's"
            )));
        }
        if from == to {
            return Ok(None);
        }
        let differ = || self.fail(format!("layouts {from} and {to} do not name the same dimensions"));
        let order = from.order_to(to).ok_or_else(differ)?;
        Ok(Some(order).filter(|order| order.iter().enumerate().any(|(i, o)| i != *o)))
    }
}
