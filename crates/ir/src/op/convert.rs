//! Conversion between element types.

use super::{Inputs, OpError, Operator, PortType, Value, expect_inputs};
use crate::{
    ElementType, Tensor,
    attribute::{Visit, Visitor},
};

/// The same values in another element type. Floats truncate toward zero; to boolean means "not zero".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Convert {
    /// The type of the output.
    pub destination_type: ElementType,
}

impl Convert {
    /// A conversion to a type.
    pub fn to(destination_type: ElementType) -> Self {
        Self { destination_type }
    }
}

impl Default for Convert {
    fn default() -> Self {
        Self::to(ElementType::F32)
    }
}

impl Visit for Convert {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("destination_type", &mut self.destination_type);
    }
}

impl Operator for Convert {
    fn type_name(&self) -> &str {
        "Convert"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(1..=1)?;
        Ok(vec![PortType::new(self.destination_type, inputs.shape(0).clone())])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 1..=1)?;
        Ok(vec![convert(&inputs[0], self.destination_type)?])
    }

    fn infer_values(&self, inputs: &Inputs) -> Option<Vec<Option<Value>>> {
        if !self.destination_type.is_integer() || !inputs.element_type(0).is_integer() {
            return None;
        }
        let value = inputs.0[0].value?;
        let converted =
            Value::from_intervals(self.destination_type, value.shape().to_vec(), value.intervals()?);
        Some(vec![converted])
    }
}

/// `tensor` in element type `ty`; the tensor itself when it has that type.
pub fn convert(tensor: &Tensor, ty: ElementType) -> Result<Tensor, OpError> {
    let from = tensor.element_type();
    if from == ty {
        return Ok(tensor.clone());
    }
    // Integers go through i64 so that all 64 bits survive.
    let converted = if from.is_float() {
        Tensor::from_f64s(ty, tensor.shape(), &tensor.to_f64s())
    } else {
        Tensor::from_i64_values(ty, tensor.shape(), &tensor.to_i64s())
    };
    Ok(converted?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_truncate_and_integers_keep_every_bit() {
        let floats = Tensor::from_slice(&[4], &[-1.7f32, 0.0, 0.5, 300.0]).unwrap();
        assert_eq!(convert(&floats, ElementType::I32).unwrap().to_i64s(), [-1, 0, 0, 300]);
        assert_eq!(convert(&floats, ElementType::Boolean).unwrap().to_i64s(), [1, 0, 1, 1]);
        let large = Tensor::from_i64s(&[i64::MAX, i64::MIN + 1]);
        assert_eq!(convert(&large, ElementType::U64).unwrap().to_i64s(), [i64::MAX, i64::MIN + 1]);
        assert_eq!(convert(&Tensor::from_i64s(&[257]), ElementType::U8).unwrap().to_i64s(), [1]);
    }
}
