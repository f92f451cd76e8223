//! The reference interpreter: runs a model node by node with the ops' own `evaluate`.

use crate::{Model, Op, Tensor, model::ModelError};

/// Runs `model` on `inputs`, which stand in the order of its parameters; the answers stand in the order of its
/// results. Slow and plain: what every device is measured against.
pub fn evaluate(model: &Model, inputs: &[Tensor]) -> Result<Vec<Tensor>, ModelError> {
    let parameters = model.parameters();
    if inputs.len() != parameters.len() {
        let message = format!("the model takes {} inputs, found {}", parameters.len(), inputs.len());
        return Err(ModelError::Arguments(message));
    }
    let order = model.topological_order()?;
    // A tensor is dropped when its last user has run.
    let mut uses: Vec<usize> = vec![0; model.capacity()];
    for (id, _) in model.nodes() {
        uses[id.index()] = model.users_of(id).count();
    }
    let mut values: Vec<Vec<Tensor>> = vec![Vec::new(); model.capacity()];
    for id in order {
        let node = model.node(id);
        values[id.index()] = if let Op::Parameter(parameter) = &node.op {
            let i = parameters.iter().position(|p| *p == id).expect("a parameter is listed");
            let tensor = &inputs[i];
            if tensor.element_type() != parameter.element_type || !parameter.shape.admits(tensor.shape()) {
                let message = format!(
                    "input {i} `{}` takes {}{}, found {}{:?}",
                    node.name,
                    parameter.element_type,
                    parameter.shape,
                    tensor.element_type(),
                    tensor.shape()
                );
                return Err(ModelError::Arguments(message));
            }
            vec![tensor.clone()]
        } else {
            let arguments: Vec<Tensor> =
                node.inputs().iter().map(|port| values[port.node.index()][port.index].clone()).collect();
            let outputs = node.op.operator().evaluate(&arguments);
            outputs.map_err(|source| model.op_error(node, source))?
        };
        for port in node.inputs() {
            uses[port.node.index()] -= 1;
            if uses[port.node.index()] == 0 {
                values[port.node.index()].clear();
            }
        }
    }
    Ok(model.results().iter().map(|id| values[id.index()][0].clone()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ElementType,
        op::{Binary, BinaryKind, Unary},
    };

    #[test]
    fn a_small_model_runs() {
        let mut model = Model::new("m");
        let x = model.add_parameter("x", ElementType::F32, "[?]".parse().unwrap());
        let two = model.add_constant("two", Tensor::scalar(2.0f32));
        let twice = model.add("twice", Binary::new(BinaryKind::Multiply), &[x.into(), two.into()]).unwrap();
        let relu = model.add("relu", Unary::Relu, &[twice.into()]).unwrap();
        model.add_result("a", relu.into()).unwrap();
        model.add_result("b", twice.into()).unwrap();
        let x = Tensor::from_slice(&[2], &[-1.0f32, 3.0]).unwrap();
        let y = evaluate(&model, &[x]).unwrap();
        assert_eq!(y[0].to_f64s(), [0.0, 6.0]);
        assert_eq!(y[1].to_f64s(), [-2.0, 6.0]);
        let wrong = evaluate(&model, &[Tensor::from_i64s(&[1])]).unwrap_err();
        assert_eq!(wrong.to_string(), "input 0 `x` takes f32[?], found i64[1]");
    }
}
