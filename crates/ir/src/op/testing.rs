//! What the tests of ops share: inference on written types, evaluation that must agree with inference.

use super::{Input, Inputs, OpError, Operator, PortType, Value};
use crate::{PartialShape, Tensor};

/// Infers on inputs written like `f32[?,3]`, of which some are known; the outputs are written the same way.
pub(crate) fn infer(op: &dyn Operator, inputs: &[(&str, Option<Tensor>)]) -> Result<Vec<String>, OpError> {
    let parse = |text: &str| text.parse::<PortType>().expect("a type with a shape");
    let inputs: Vec<_> =
        inputs.iter().map(|(ty, tensor)| (parse(ty), tensor.clone().map(Value::Known))).collect();
    let views: Vec<_> = inputs.iter().map(|(ty, value)| Input { ty, value: value.as_ref() }).collect();
    Ok(op.infer(&Inputs(&views))?.iter().map(PortType::to_string).collect())
}

/// [`infer`] where no elements are known.
pub(crate) fn infer_types(op: &dyn Operator, inputs: &[&str]) -> Result<Vec<String>, OpError> {
    infer(op, &inputs.iter().map(|ty| (*ty, None)).collect::<Vec<_>>())
}

/// Evaluates; what inference says of these inputs, known and unknown, must be so.
pub(crate) fn run(op: &dyn Operator, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
    let ports: Vec<_> = inputs
        .iter()
        .map(|tensor| PortType::new(tensor.element_type(), PartialShape::fixed(tensor.shape())))
        .collect();
    let values: Vec<_> = inputs.iter().map(|tensor| Value::Known(tensor.clone())).collect();
    let outputs = op.evaluate(inputs);
    for known in [true, false] {
        let views: Vec<_> = ports
            .iter()
            .zip(&values)
            .map(|(ty, value)| Input { ty, value: known.then_some(value) })
            .collect();
        let types = match (op.infer(&Inputs(&views)), &outputs) {
            (Ok(types), Ok(_)) => types,
            (Err(error), Ok(_)) => panic!("inference refuses what is evaluated: {error}"),
            (Ok(types), Err(error)) if known => panic!("inferred {types:?}, but evaluation says: {error}"),
            _ => continue,
        };
        let outputs = outputs.as_ref().expect("matched above");
        assert_eq!(types.len(), outputs.len());
        for (ty, output) in types.iter().zip(outputs) {
            assert_eq!(ty.element_type, output.element_type(), "inferred {ty}");
            assert!(ty.shape.admits(output.shape()), "inferred {ty}, evaluated {:?}", output.shape());
            assert!(!known || ty.shape.is_fixed(), "inferred {ty} from known inputs");
        }
    }
    outputs
}

/// 1, 2, 3... as f32.
pub(crate) fn ramp(shape: &[usize]) -> Tensor {
    let values: Vec<f32> = (1..=shape.iter().product::<usize>()).map(|v| v as f32).collect();
    floats(shape, &values)
}

/// A tensor f32.
pub(crate) fn floats(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::from_slice(shape, values).expect("as many values as the shape says")
}

/// Demands a shape and values up to a relative error of 1e-6.
#[track_caller]
pub(crate) fn assert_close(found: &Tensor, shape: &[usize], want: &[f64], case: impl std::fmt::Debug) {
    assert_eq!(found.shape(), shape, "{case:?}");
    let values = found.to_f64s();
    let close = |(a, b): (&f64, &f64)| {
        a == b || (a - b).abs() <= 1e-6 * b.abs().max(1.0) || (a.is_nan() && b.is_nan())
    };
    assert!(
        values.len() == want.len() && values.iter().zip(want).all(close),
        "{case:?}: found {values:?}, expected {want:?}"
    );
}

/// An input of which the type is written, or every element known.
pub(crate) struct Given(String, Option<Tensor>);

impl From<&str> for Given {
    fn from(text: &str) -> Self {
        Self(text.to_owned(), None)
    }
}

impl From<Tensor> for Given {
    fn from(tensor: Tensor) -> Self {
        let ty = PortType::new(tensor.element_type(), tensor.shape().into());
        Self(ty.to_string(), Some(tensor))
    }
}

/// A vector of i64.
impl<const N: usize> From<[i64; N]> for Given {
    fn from(values: [i64; N]) -> Self {
        Tensor::from_i64s(&values).into()
    }
}

/// A scalar i64.
impl From<i64> for Given {
    fn from(value: i64) -> Self {
        Tensor::scalar(value).into()
    }
}

/// [`infer`] on either, the outputs with spaces between them.
pub(crate) fn inferred(op: &dyn Operator, inputs: &[Given]) -> Result<String, OpError> {
    let inputs: Vec<_> = inputs.iter().map(|given| (given.0.as_str(), given.1.clone())).collect();
    Ok(infer(op, &inputs)?.join(" "))
}

/// Shape and elements of the first output of [`run`]; what only shows in elements may be refused by evaluation alone.
pub(crate) fn evaluated(op: &dyn Operator, inputs: &[Tensor]) -> Result<(Vec<usize>, Vec<i64>), OpError> {
    op.evaluate(inputs)?;
    let y = run(op, inputs)?.remove(0);
    Ok((y.shape().to_vec(), y.to_i64s()))
}

/// 0, 1, 2, .. as f32.
pub(crate) fn iota(shape: &[usize]) -> Tensor {
    let values: Vec<f32> = (0..shape.iter().product::<usize>()).map(|v| v as f32).collect();
    floats(shape, &values)
}

/// i64 elements under a shape.
pub(crate) fn i64s(shape: &[usize], values: &[i64]) -> Tensor {
    Tensor::from_slice(shape, values).expect("as many values as the shape says")
}
