//! Normalisation over channels.

use super::{Inputs, OpError, Operator, PortType, expect_inputs, floats::Lines};
use crate::{
    Tensor,
    attribute::{Visit, Visitor},
};

/// Each place divided by the root of its channels' squares. Input [N,C,spatial..].
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Grn {
    /// Added to the sum of the squares.
    pub bias: f32,
}

impl Visit for Grn {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("bias", &mut self.bias);
    }
}

impl Operator for Grn {
    fn type_name(&self) -> &str {
        "GRN"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(1..=1)?;
        let shape = inputs.shape(0);
        if shape.rank().is_some_and(|rank| rank < 2) {
            return Err(OpError::shape(format!("the data is {shape}, expected a batch and channels")));
        }
        Ok(vec![PortType::new(inputs.element_type(0), shape.clone())])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 1..=1)?;
        let x = &inputs[0];
        if x.shape().len() < 2 {
            return Err(OpError::shape(format!(
                "the data is {:?}, expected a batch and channels",
                x.shape()
            )));
        }
        let mut y = x.to_f64s();
        let lines = Lines::new(x.shape(), 1);
        for start in lines.starts() {
            let places = || (0..lines.len).map(|i| start + i * lines.step);
            let squares: f64 = places().map(|i| y[i] * y[i]).sum();
            let root = (squares + f64::from(self.bias)).sqrt();
            places().for_each(|i| y[i] /= root);
        }
        Ok(vec![Tensor::from_f64s(x.element_type(), x.shape(), &y)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::testing::{assert_close, floats, infer_types, run};

    #[test]
    fn channels_are_normalised() {
        let y = run(&Grn { bias: 0.0 }, &[floats(&[1, 2, 2], &[3.0, 0.0, 4.0, 2.0])]).unwrap();
        assert_close(&y[0], &[1, 2, 2], &[0.6, 0.0, 0.8, 1.0], "grn");
        assert!(run(&Grn::default(), &[floats(&[2], &[1.0; 2])]).is_err());
        assert_eq!(infer_types(&Grn::default(), &["f16[?,3,4]"]).unwrap(), ["f16[?,3,4]"]);
    }
}
