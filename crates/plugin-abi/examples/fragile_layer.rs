//! A library of custom layers in Rust, for the engine's tests. Its layer repeats rows, and panics when it is told to.

use ir::{
    PartialShape, Tensor,
    extension::{Attributes, Extension},
    op::{Inputs, OpError, PortType},
};
use std::sync::Arc;

/// Repeats the rows of the first input as often as the second, a scalar, says.
struct Fragile;

fn breaks(attributes: Attributes, step: &str) {
    assert!(attributes.text("breaks") != Some(step), "broken in {step}");
}

impl Extension for Fragile {
    fn type_name(&self) -> &str {
        "Fragile"
    }

    fn version(&self) -> &str {
        "glass"
    }

    fn infer(&self, attributes: Attributes, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        breaks(attributes, "infer");
        inputs.expect(2..=2)?;
        let Some(count) = inputs.integers(1) else {
            return Ok(vec![PortType::new(inputs.element_type(0), PartialShape::UNKNOWN)]);
        };
        let rows = inputs.shape(0).sizes().ok_or_else(|| OpError::shape("the rows must be known"))?;
        let sizes: Vec<usize> = count.iter().map(|n| *n as usize).chain(rows).collect();
        Ok(vec![PortType::new(inputs.element_type(0), PartialShape::fixed(&sizes))])
    }

    fn evaluate(&self, attributes: Attributes, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        breaks(attributes, "evaluate");
        let count = inputs[1].to_i64s()[0] as usize;
        let shape: Vec<usize> = std::iter::once(count).chain(inputs[0].shape().iter().copied()).collect();
        let bytes = inputs[0].bytes().repeat(count);
        Ok(vec![Tensor::new(inputs[0].element_type(), shape, bytes.into())?])
    }
}

plugin_abi::export_extensions![Arc::new(Fragile)];
