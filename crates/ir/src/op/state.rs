//! State: what a network keeps from one inference to the next.

use super::{Inputs, OpError, Operator, PortType, expect_inputs};
use crate::{
    ElementType, PartialShape, Tensor,
    attribute::{Visit, Visitor},
};

/// A variable without a first value has at most as many elements: 1 GiB of f32.
const MOST_ZEROS: usize = 1 << 28;

/// Gives the value of a variable: what [`Assign`] of the last inference left, or the input where there was none yet.
/// Without an input a variable begins as zeros.
#[derive(Clone, PartialEq, Debug)]
pub struct ReadValue {
    /// The variable.
    pub variable_id: String,
    /// Its element type; the input's when `Dynamic`.
    pub variable_type: ElementType,
    /// Its shape; the input's where nothing is known.
    pub variable_shape: PartialShape,
}

impl Default for ReadValue {
    fn default() -> Self {
        Self {
            variable_id: String::new(),
            variable_type: ElementType::Dynamic,
            variable_shape: PartialShape::UNKNOWN,
        }
    }
}

impl Visit for ReadValue {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("variable_id", &mut self.variable_id);
        v.optional("variable_type", &mut self.variable_type);
        v.optional("variable_shape", &mut self.variable_shape);
    }
}

impl Operator for ReadValue {
    fn type_name(&self) -> &str {
        "ReadValue"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(0..=1)?;
        let mut ty = PortType::new(self.variable_type, self.variable_shape.clone());
        if let Some(input) = inputs.0.first() {
            if ty.element_type == ElementType::Dynamic {
                ty.element_type = input.ty.element_type;
            } else if ![ElementType::Dynamic, ty.element_type].contains(&input.ty.element_type) {
                return Err(OpError::element_type(format!(
                    "the variable `{}` is {}, its first value {}",
                    self.variable_id, ty.element_type, input.ty.element_type
                )));
            }
            if ty.shape == PartialShape::UNKNOWN {
                ty.shape = input.ty.shape.clone();
            } else if ty.shape.intersect(&input.ty.shape).is_none() {
                return Err(OpError::shape(format!(
                    "the variable `{}` is {}, its first value {}",
                    self.variable_id, ty.shape, input.ty.shape
                )));
            }
        }
        Ok(vec![ty])
    }

    /// The first value.
    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 0..=1)?;
        if let Some(first) = inputs.first() {
            return Ok(vec![first.clone()]);
        }
        let dims = self.variable_shape.dims().ok_or_else(|| {
            OpError::shape(format!("the variable `{}` has no first value and no rank", self.variable_id))
        })?;
        let least = |dim: &crate::Dim| usize::try_from(dim.min()).unwrap_or(0);
        let shape: Vec<usize> = dims.iter().map(least).collect();
        let count = crate::element_count(&shape)
            .filter(|count| *count <= MOST_ZEROS)
            .ok_or_else(|| OpError::shape(format!("a variable of {shape:?} begins with too many zeros")))?;
        Ok(vec![Tensor::from_f64s(self.variable_type, &shape, &vec![0.0; count])?])
    }

    fn has_state(&self) -> bool {
        true
    }
}

/// Leaves its input in a variable, for [`ReadValue`] of the next inference, and hands it on.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Assign {
    /// The variable.
    pub variable_id: String,
}

impl Visit for Assign {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("variable_id", &mut self.variable_id);
    }
}

impl Operator for Assign {
    fn type_name(&self) -> &str {
        "Assign"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(1..=1)?;
        Ok(vec![inputs.0[0].ty.clone()])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 1..=1)?;
        Ok(vec![inputs[0].clone()])
    }

    fn has_state(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::testing::{floats, infer_types, run};

    #[test]
    fn a_variable_begins_with_its_input_or_zeros() {
        let read = ReadValue { variable_id: "v".to_owned(), ..ReadValue::default() };
        assert_eq!(infer_types(&read, &["f32[1,3]"]).unwrap(), ["f32[1,3]"]);
        let first = floats(&[2], &[1.0, 2.0]);
        assert_eq!(run(&read, std::slice::from_ref(&first)).unwrap(), [first]);

        let typed = ReadValue {
            variable_type: ElementType::F32,
            variable_shape: "[?,2]".parse().unwrap(),
            ..read.clone()
        };
        assert_eq!(infer_types(&typed, &[]).unwrap(), ["f32[?,2]"]);
        assert_eq!(typed.evaluate(&[]).unwrap()[0].shape(), [0, 2]);
        assert!(infer_types(&typed, &["f32[3]"]).unwrap_err().to_string().contains("its first value [3]"));
        assert!(infer_types(&typed, &["i64[1,2]"]).is_err());
        assert!(read.evaluate(&[]).is_err());
        let vast = ReadValue { variable_shape: "[1000000,1000000]".parse().unwrap(), ..typed };
        assert!(vast.evaluate(&[]).unwrap_err().to_string().contains("too many zeros"));
    }

    #[test]
    fn an_assignment_hands_on() {
        let assign = Assign { variable_id: "v".to_owned() };
        assert_eq!(infer_types(&assign, &["f16[?]"]).unwrap(), ["f16[?]"]);
        let x = floats(&[1], &[5.0]);
        assert_eq!(run(&assign, std::slice::from_ref(&x)).unwrap(), [x]);
    }
}
