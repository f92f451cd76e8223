//! Functions of tensors of one shape.

use crate::scope::{Converted, Scope, malformed};
use ir::{
    Port,
    op::{Binary, BinaryKind},
};

pub(super) fn eltwise(s: &mut Scope) -> Converted {
    let params = s.params("eltwise_param");
    let operations = [
        ("PROD", 0, BinaryKind::Multiply),
        ("SUM", 1, BinaryKind::Add),
        ("MAX", 2, BinaryKind::Maximum),
        // Of forks.
        ("DIV", 3, BinaryKind::Divide),
        ("MIN", 4, BinaryKind::Minimum),
    ];
    let kind = params.choice("operation", &operations, BinaryKind::Add)?;
    let coefficients = params.floats("coeff")?;
    let inputs = s.inputs.clone();
    if inputs.is_empty() {
        return malformed("it has no bottom");
    }
    let is_weighted = !coefficients.is_empty() && kind == BinaryKind::Add;
    if !coefficients.is_empty() && coefficients.len() != inputs.len() {
        return malformed(format!("it has {} bottoms and {} `coeff`", inputs.len(), coefficients.len()));
    }
    let mut result: Option<Port> = None;
    for (i, input) in inputs.into_iter().enumerate() {
        let factor = if is_weighted { coefficients[i] } else { 1.0 };
        result = Some(match result {
            // A difference is one op, not a product and a sum.
            Some(sum) if factor == -1.0 => {
                s.add(&format!("until_{i}"), Binary::new(BinaryKind::Subtract), &[sum, input])?
            }
            sum => {
                let mut term = input;
                if factor != 1.0 {
                    let factor = s.scalar(&format!("coeff_{i}"), factor);
                    term = s.binary(&format!("term_{i}"), BinaryKind::Multiply, term, factor)?;
                }
                match sum {
                    Some(sum) => s.binary(&format!("until_{i}"), kind, sum, term)?,
                    None => term,
                }
            }
        });
    }
    Ok(result.into_iter().collect())
}

/// At inference nothing is dropped; networks that scale at test time are scaled.
pub(super) fn dropout(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let params = s.params("dropout_param");
    let ratio = params.float("dropout_ratio", 0.5)?;
    params.ignore(&["scale_train", "sample_weights_test"]);
    if params.flag("scale_train", true)? {
        return Ok(vec![data]);
    }
    let kept = s.scalar("kept", 1.0 - ratio);
    Ok(vec![s.binary("scaled", BinaryKind::Multiply, data, kept)?])
}
