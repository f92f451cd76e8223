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
    if op.operator().has_state() || op.operator().owns_graph() || !outputs.iter().any(small) {
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
    // Position 0 stands for the zeros that ops such as Pad fill in.
    let mut pool = vec![Interval::exactly(0)];
    let mut tensors = Vec::new();
    let mut anything_known = false;
    for i in 0..inputs.len() {
        if !operator.moves(i) {
            tensors.push(inputs.tensor(i)?.clone());
            continue;
        }
        let shape = inputs.shape(i).sizes()?;
        let count = element_count(&shape).filter(|n| n.saturating_add(pool.len()) <= 64 * MOST_ELEMENTS)?;
        // One unknown part must not hide the known ones beside it.
        let elements = match inputs.intervals(i) {
            Some(elements) => elements,
            None if inputs.element_type(i).is_float() => return None,
            None => vec![Interval::UNKNOWN; count],
        };
        anything_known |= elements.iter().any(|element| *element != Interval::UNKNOWN);
        let positions: Vec<i64> = (pool.len() as i64..).take(count).collect();
        pool.extend(elements);
        tensors.push(Tensor::from_slice(&shape, &positions).ok()?);
    }
    if !anything_known {
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

#[cfg(test)]
mod tests {
    use crate::{
        ElementType, Model, NodeId, Tensor,
        op::{Binary, BinaryKind, Concat, Convert, Gather, Reshape, ShapeOf, StridedSlice, Unsqueeze},
    };

    fn constant(model: &mut Model, values: &[i64]) -> NodeId {
        model.add_constant("c", Tensor::from_i64s(values))
    }

    #[test]
    fn a_flattening_network_keeps_what_is_known() {
        let mut model = Model::new("m");
        let x = model.add_parameter("x", ElementType::F32, "[?,7,7,64]".parse().unwrap());
        let shape = model.add("shape", ShapeOf::default(), &[x.into()]).unwrap();
        // TensorFlow's way: strided slice with a shrunk axis, pack.
        let [zero, one] = [constant(&mut model, &[0]), constant(&mut model, &[1])];
        let shrink = StridedSlice {
            begin_mask: vec![0],
            end_mask: vec![0],
            shrink_axis_mask: vec![1],
            ..StridedSlice::default()
        };
        let batch = model.add("batch", shrink, &[shape.into(), zero.into(), one.into(), one.into()]).unwrap();
        assert_eq!(model.ty(batch.into()).to_string(), "i64[]");
        let batch = model.add("unsqueeze", Unsqueeze, &[batch.into(), zero.into()]).unwrap();
        let rest = constant(&mut model, &[3136]);
        let pattern = model.add("pattern", Concat { axis: 0 }, &[batch.into(), rest.into()]).unwrap();
        let flat = model.add("flat", Reshape::default(), &[x.into(), pattern.into()]).unwrap();
        assert_eq!(model.ty(flat.into()).to_string(), "f32[?,3136]");
        // Gather, arithmetic and a change of type on the way.
        let gather = model.add("g", Gather::default(), &[shape.into(), one.into(), zero.into()]).unwrap();
        let two = constant(&mut model, &[2]);
        let double = model.add("d", Binary::new(BinaryKind::Multiply), &[gather.into(), two.into()]).unwrap();
        let narrow =
            model.add("n", Convert { destination_type: ElementType::I32 }, &[double.into()]).unwrap();
        let minus = model.add_constant("-1", Tensor::from_slice(&[1], &[-1i32]).unwrap());
        let pattern = model.add("p", Concat { axis: -1 }, &[minus.into(), narrow.into()]).unwrap();
        let out = model.add("out", Reshape::default(), &[x.into(), pattern.into()]).unwrap();
        assert_eq!(model.ty(out.into()).to_string(), "f32[?,14]");
    }

    #[test]
    fn an_unknown_element_does_not_hide_its_neighbours() {
        let mut model = Model::new("m");
        let x = model.add_parameter("x", ElementType::F32, "[4,6]".parse().unwrap());
        let n = model.add_parameter("n", ElementType::I64, "[1]".parse().unwrap());
        let six = constant(&mut model, &[3]);
        let pattern = model.add("p", Concat { axis: 0 }, &[n.into(), six.into()]).unwrap();
        let out = model.add("out", Reshape::default(), &[x.into(), pattern.into()]).unwrap();
        assert_eq!(model.ty(out.into()).to_string(), "f32[8,3]");
    }
}
