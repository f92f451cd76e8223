//! Inference of types and of small values over the graph.
//!
//! Shapes are often computed by the network itself: ShapeOf, Gather, Concat, Reshape. So inference follows the
//! elements of small integer tensors, and where dimensions are dynamic, intervals of them. Ops that only move
//! elements need no rules of their own for that: their reference `evaluate` runs on the positions of what is known.

use crate::{
    ElementType, Interval, Op, RtInfo, Tensor, element_count,
    model::Output,
    op::{Input, Inputs, OpError, OpErrorKind, Value},
};

/// Tensors of more elements than this are not followed, unless they are constants.
const MOST_ELEMENTS: usize = 1024;

/// Types, shapes and values of the outputs of `op` on these inputs.
pub(crate) fn infer_node(op: &Op, inputs: &[&Output]) -> Result<Vec<Output>, OpError> {
    let views: Vec<Input> =
        inputs.iter().map(|output| Input { ty: &output.ty, value: output.value.as_ref() }).collect();
    let inputs = Inputs(&views);
    let types = op.operator().infer(&inputs)?;
    for ty in &types {
        let sizes = ty.shape.sizes();
        if sizes.is_some_and(|s| element_count(&s).and_then(|n| ty.element_type.byte_len(n)).is_none()) {
            return Err(OpError::new(OpErrorKind::Shape, format!("the output {ty} is too large to address")));
        }
    }
    let mut outputs: Vec<Output> = types
        .into_iter()
        .map(|ty| Output { ty, names: Vec::new(), rt_info: RtInfo::new(), value: None })
        .collect();
    if let Op::Constant(constant) = op {
        outputs[0].value = Some(Value::Known(constant.tensor.clone()));
    } else if let Some(values) = infer_values(op, &inputs, &outputs) {
        for (output, value) in outputs.iter_mut().zip(values) {
            output.value = value.filter(|v| output.ty.shape.admits(v.shape()));
        }
    }
    Ok(outputs)
}

fn infer_values(op: &Op, inputs: &Inputs, outputs: &[Output]) -> Option<Vec<Option<Value>>> {
    let small = |output: &Output| {
        let sizes = output.ty.shape.sizes();
        !output.ty.element_type.is_float()
            && sizes.and_then(|s| element_count(&s)).is_some_and(|n| n <= MOST_ELEMENTS)
    };
    // Dynamic shapes still leave values to follow: the rank-long vectors of shape arithmetic have fixed shapes.
    if !outputs.iter().any(small) {
        return None;
    }
    let known: Option<Vec<Tensor>> = (0..inputs.len()).map(|i| inputs.tensor(i).cloned()).collect();
    if let Some(tensors) = known.filter(|t| !t.is_empty() && t.iter().all(|t| t.len() <= 64 * MOST_ELEMENTS))
    {
        let values = op.operator().evaluate(&tensors).ok()?;
        return Some(values.into_iter().map(|tensor| Some(Value::Known(tensor))).collect());
    }
    op.operator().infer_values(inputs).or_else(|| move_values(op, inputs, outputs))
}

/// Runs an op that only moves elements on the positions of its partly known elements.
fn move_values(op: &Op, inputs: &Inputs, outputs: &[Output]) -> Option<Vec<Option<Value>>> {
    let operator = op.operator();
    let mut pool: Vec<Interval> = Vec::new();
    let mut tensors = Vec::new();
    let mut moved = false;
    for i in 0..inputs.len() {
        if !operator.moves(i) {
            tensors.push(inputs.tensor(i)?.clone());
            continue;
        }
        moved = true;
        let elements = inputs.intervals(i)?;
        let shape = inputs.0[i].value?.shape();
        let positions: Vec<i64> = (pool.len() as i64..).take(elements.len()).collect();
        pool.extend(elements);
        tensors.push(Tensor::from_slice(shape, &positions).ok()?);
    }
    if !moved || pool.len() > 64 * MOST_ELEMENTS {
        return None;
    }
    let results = operator.evaluate(&tensors).ok()?;
    let value = |(tensor, output): (&Tensor, &Output)| {
        if tensor.element_type() != ElementType::I64 {
            return None;
        }
        let positions = tensor.to_i64s().into_iter();
        let elements: Option<Vec<_>> =
            positions.map(|p| pool.get(usize::try_from(p).ok()?).copied()).collect();
        Value::from_intervals(output.ty.element_type, tensor.shape().to_vec(), elements?)
    };
    Some(results.iter().zip(outputs).map(value).collect())
}
