//! Where a network begins and ends: parameters, constants, results.

use super::{Inputs, OpError, OpErrorKind, Operator, PortType, expect_inputs};
use crate::{
    ElementType, Layout, PartialShape, Tensor,
    attribute::{Visit, Visitor},
};

/// An input of the network.
#[derive(Clone, PartialEq, Debug)]
pub struct Parameter {
    /// Element type of the tensors that it takes.
    pub element_type: ElementType,
    /// Shapes that it takes.
    pub shape: PartialShape,
    /// What the dimensions mean; may say nothing.
    pub layout: Layout,
}

impl Parameter {
    /// An input of a type and a shape.
    pub fn new(element_type: ElementType, shape: PartialShape) -> Self {
        Self { element_type, shape, layout: Layout::default() }
    }
}

impl Default for Parameter {
    fn default() -> Self {
        Self::new(ElementType::F32, PartialShape::UNKNOWN)
    }
}

/// The layout lies in the port's `rt_info`, not among the attributes.
impl Visit for Parameter {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("shape", &mut self.shape);
        v.required("element_type", &mut self.element_type);
    }
}

impl Operator for Parameter {
    fn type_name(&self) -> &str {
        "Parameter"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(0..=0)?;
        Ok(vec![PortType::new(self.element_type, self.shape.clone())])
    }

    fn evaluate(&self, _: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        Err(OpError::new(OpErrorKind::Value, "a Parameter has no value of its own; the caller gives it"))
    }
}

/// A tensor that is part of the network.
#[derive(Clone, PartialEq, Debug)]
pub struct Constant {
    /// The elements.
    pub tensor: Tensor,
}

impl Constant {
    /// A constant of these elements.
    pub fn new(tensor: Tensor) -> Self {
        Self { tensor }
    }
}

impl Default for Constant {
    fn default() -> Self {
        Self::new(Tensor::from_slice::<f32>(&[0], &[]).expect("no elements fill no space"))
    }
}

/// IR files hold a constant by its place in the `.bin`, which the reader and the writer know.
impl Visit for Constant {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}

impl Operator for Constant {
    fn type_name(&self) -> &str {
        "Const"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(0..=0)?;
        Ok(vec![PortType::new(self.tensor.element_type(), self.tensor.shape().into())])
    }

    fn evaluate(&self, _: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        Ok(vec![self.tensor.clone()])
    }
}

/// An output of the network.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct OpResult {
    /// What the dimensions mean; may say nothing.
    pub layout: Layout,
}

impl Visit for OpResult {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}

impl Operator for OpResult {
    fn type_name(&self) -> &str {
        "Result"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(1..=1)?;
        Ok(vec![inputs.0[0].ty.clone()])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 1..=1)?;
        Ok(vec![inputs[0].clone()])
    }

    fn moves(&self, _: usize) -> bool {
        true
    }
}
