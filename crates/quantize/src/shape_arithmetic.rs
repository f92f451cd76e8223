//! Constants that decide about shapes.

use ir::{Model, NodeId, Op, Port};

/// For each node, along [`NodeId::index`], whether it takes part in computing a shape.
pub(crate) fn nodes(model: &Model) -> Vec<bool> {
    let mut marked = vec![false; model.capacity()];
    let mut open: Vec<NodeId> = Vec::new();
    for (_, node) in model.nodes() {
        open.extend(shape_inputs(&node.op, node.inputs()).iter().map(|port| port.node));
    }
    while let Some(id) = open.pop() {
        // The shape of data says nothing about its elements.
        let end = matches!(model.node(id).op, Op::ShapeOf(_));
        if !std::mem::replace(&mut marked[id.index()], true) && !end {
            open.extend(model.node(id).inputs().iter().map(|port| port.node));
        }
    }
    marked
}

/// The inputs that say how large the output is or where elements go.
fn shape_inputs<'a>(op: &Op, inputs: &'a [Port]) -> &'a [Port] {
    let from = match op {
        Op::Range(_) => 0,
        Op::Reshape(_)
        | Op::Broadcast(_)
        | Op::Tile(_)
        | Op::Interpolate(_)
        | Op::TopK(_)
        | Op::StridedSlice(_)
        | Op::Slice(_)
        | Op::Roll(_)
        | Op::VariadicSplit(_)
        | Op::SpaceToBatch(_)
        | Op::BatchToSpace(_) => 1,
        Op::ConvolutionBackpropData(_) | Op::GroupConvolutionBackpropData(_) => 2,
        // The padded value is data.
        Op::Pad(_) => return inputs.get(1..3).unwrap_or(&[]),
        Op::OneHot(_) => return inputs.get(1..2).unwrap_or(&[]),
        _ => return &[],
    };
    inputs.get(from..).unwrap_or(&[])
}
