//! Choice by a condition.

use super::{
    AutoBroadcast, Inputs, OpError, Operator, PortType,
    binary::{broadcast_shapes, broadcast_strides, walk},
    elements::{allocate, bytewise},
    expect_inputs,
};
use crate::{
    ElementType, Tensor,
    attribute::{Visit, Visitor},
};

/// `condition ? then : else`, elementwise, broadcast.
#[derive(Clone, PartialEq, Debug)]
pub struct Select {
    /// By which rules.
    pub auto_broadcast: AutoBroadcast,
}

impl Default for Select {
    fn default() -> Self {
        Self { auto_broadcast: AutoBroadcast::Numpy }
    }
}

impl Visit for Select {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.optional("auto_broadcast", &mut self.auto_broadcast);
    }
}

impl Operator for Select {
    fn type_name(&self) -> &str {
        "Select"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(3..=3)?;
        if !matches!(inputs.element_type(0), ElementType::Boolean | ElementType::Dynamic) {
            return Err(OpError::element_type(format!(
                "the condition is {}, expected boolean",
                inputs.element_type(0)
            )));
        }
        let ty = inputs.same_element_type(1..3)?;
        let branches = broadcast_shapes(self.auto_broadcast, inputs.shape(1), inputs.shape(2))?;
        Ok(vec![PortType::new(ty, broadcast_shapes(self.auto_broadcast, inputs.shape(0), &branches)?)])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 3..=3)?;
        let [condition, then, otherwise] = [&inputs[0], &inputs[1], &inputs[2]];
        if condition.element_type() != ElementType::Boolean || then.element_type() != otherwise.element_type()
        {
            return Err(OpError::element_type(format!(
                "a choice by {} between {} and {}",
                condition.element_type(),
                then.element_type(),
                otherwise.element_type()
            )));
        }
        let shapes = [condition.shape(), then.shape(), otherwise.shape()];
        let (shape, strides) = broadcast_strides(self.auto_broadcast, shapes)?;
        let y = bytewise(then, |then| {
            let choose = |otherwise: &Tensor| {
                let size = then.element_type().bits() / 8;
                let mut bytes = allocate(then.element_type(), &shape)?;
                let mut next = bytes.chunks_exact_mut(size);
                walk(&shape, strides.each_ref().map(Vec::as_slice), |[at, a, b]| {
                    let (from, i) = if condition.bytes()[at] != 0 { (then, a) } else { (otherwise, b) };
                    if let Some(element) = next.next() {
                        element.copy_from_slice(&from.bytes()[i * size..][..size]);
                    }
                });
                Ok(Tensor::from_aligned(then.element_type(), shape.clone(), bytes)?)
            };
            if otherwise.element_type() == then.element_type() {
                return choose(otherwise);
            }
            // Packed elements were widened.
            choose(&Tensor::from_i64_values(then.element_type(), otherwise.shape(), &otherwise.to_i64s())?)
        })?;
        Ok(vec![y])
    }

    fn moves(&self, input: usize) -> bool {
        input > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::testing::{assert_close, infer_types, ramp, run};

    fn truth(shape: &[usize], values: &[i64]) -> Tensor {
        Tensor::from_i64_values(ElementType::Boolean, shape, values).unwrap()
    }

    #[test]
    fn elements_are_chosen_and_broadcast() {
        let op = Select::default();
        let y = run(&op, &[truth(&[2, 1], &[1, 0]), ramp(&[3]), Tensor::scalar(9.0f32)]).unwrap();
        assert_close(&y[0], &[2, 3], &[1., 2., 3., 9., 9., 9.], "broadcast");
        let y = run(&op, &[truth(&[0], &[]), ramp(&[1]), ramp(&[1])]).unwrap();
        assert_eq!(y[0].shape(), [0]);
        for ty in [ElementType::I4, ElementType::U1, ElementType::F16, ElementType::F64, ElementType::Boolean]
        {
            let [a, b] = [[0, 1, 1], [1, 0, 1]].map(|v| Tensor::from_i64_values(ty, &[3], &v).unwrap());
            let y = run(&op, &[truth(&[3], &[1, 0, 1]), a, b]).unwrap();
            assert_eq!(y[0].to_i64s(), [0, 0, 1], "{ty}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let op = Select::default();
        assert!(run(&op, &[ramp(&[2]), ramp(&[2]), ramp(&[2])]).is_err());
        assert!(run(&op, &[truth(&[2], &[0, 1]), ramp(&[3]), ramp(&[3])]).is_err());
        assert!(run(&op, &[truth(&[], &[0]), ramp(&[3]), Tensor::from_i64s(&[0; 3])]).is_err());
        let none = Select { auto_broadcast: AutoBroadcast::None };
        assert!(run(&none, &[truth(&[], &[0]), ramp(&[3]), ramp(&[3])]).is_err());
        assert_eq!(infer_types(&op, &["boolean[?,1]", "f32[3]", "f32[...]"]).unwrap(), ["f32[...]"]);
        assert_eq!(infer_types(&op, &["boolean[?,1]", "f32[3]", "f32[]"]).unwrap(), ["f32[?,3]"]);
    }
}
