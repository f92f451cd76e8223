//! Inputs for the tests of ops, in short.

use super::{Input, Inputs, OpError, Operator, PortType, Value};
use crate::{ElementType, Tensor, element_count};

/// An input of which the type is given as text, `f32[?,3]`, or every element.
pub(crate) enum Given {
    Type(PortType),
    Known(Tensor),
}

impl From<&str> for Given {
    fn from(text: &str) -> Self {
        let (ty, shape) = text.split_at(text.find('[').expect("a type, then a shape in brackets"));
        Self::Type(PortType::new(ElementType::parse(ty).expect("a type"), shape.parse().expect("a shape")))
    }
}

/// A vector of i64.
impl<const N: usize> From<[i64; N]> for Given {
    fn from(values: [i64; N]) -> Self {
        Self::Known(Tensor::from_i64s(&values))
    }
}

/// A scalar i64.
impl From<i64> for Given {
    fn from(value: i64) -> Self {
        Self::Known(Tensor::scalar(value))
    }
}

impl From<Tensor> for Given {
    fn from(tensor: Tensor) -> Self {
        Self::Known(tensor)
    }
}

/// The types of the outputs as text, separated by spaces.
pub(crate) fn inferred(op: &dyn Operator, inputs: &[Given]) -> Result<String, OpError> {
    let inputs: Vec<(PortType, Option<Value>)> = inputs
        .iter()
        .map(|given| match given {
            Given::Type(ty) => (ty.clone(), None),
            Given::Known(t) => {
                (PortType::new(t.element_type(), t.shape().into()), Some(Value::Known(t.clone())))
            }
        })
        .collect();
    let views: Vec<Input> = inputs.iter().map(|(ty, value)| Input { ty, value: value.as_ref() }).collect();
    let types = op.infer(&Inputs(&views))?;
    Ok(types.iter().map(PortType::to_string).collect::<Vec<_>>().join(" "))
}

/// Shape and elements of the first output.
pub(crate) fn evaluated(op: &dyn Operator, inputs: &[Tensor]) -> Result<(Vec<usize>, Vec<i64>), OpError> {
    let y = op.evaluate(inputs)?.remove(0);
    Ok((y.shape().to_vec(), y.to_i64s()))
}

/// 0, 1, 2, .. as f32.
pub(crate) fn iota(shape: &[usize]) -> Tensor {
    let count = element_count(shape).expect("a small shape");
    Tensor::from_slice(shape, &(0..count).map(|i| i as f32).collect::<Vec<_>>()).expect("as many as it takes")
}

/// i64 elements under a shape.
pub(crate) fn i64s(shape: &[usize], values: &[i64]) -> Tensor {
    Tensor::from_slice(shape, values).expect("as many as it takes")
}
