//! What the tests of ops share: inference on written types, evaluation that must agree with inference.

use super::{Input, Inputs, OpError, Operator, PortType, Value};
use crate::{ElementType, PartialShape, Tensor};

/// Infers on inputs written like `f32[?,3]`, of which some are known; the outputs are written the same way.
pub(crate) fn infer(op: &dyn Operator, inputs: &[(&str, Option<Tensor>)]) -> Result<Vec<String>, OpError> {
    let parse = |text: &str| {
        let (ty, shape) = text.split_at(text.find('[').expect("a shape"));
        PortType::new(ElementType::parse(ty).expect("a type"), shape.parse().expect("a shape"))
    };
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
