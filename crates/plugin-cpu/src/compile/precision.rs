//! Half precision is a way to store numbers: what a model computes in it is computed in f32.

use ir::{ElementType, Model, NodeId, Op, Port, device::DeviceResult, op::Convert};

fn is_half(ty: ElementType) -> bool {
    matches!(ty, ElementType::F16 | ElementType::Bf16)
}

/// The model with f32 in place of half precision, but for its inputs, outputs and constants; `None` if that is how it
/// is.
pub(crate) fn widened(model: &Model) -> DeviceResult<Option<Model>> {
    let is_half_port = |port: Port| is_half(model.ty(port).element_type);
    let stored = |op: &Op| matches!(op, Op::Constant(_) | Op::Parameter(_) | Op::OpResult(_));
    let computes = |(id, node): (NodeId, &ir::Node)| {
        !stored(&node.op) && (0..node.outputs().len()).any(|i| is_half_port(id.output(i)))
    };
    if !model.nodes().any(computes) {
        return Ok(None);
    }
    let mut wide = model.clone();
    for (id, node) in model.nodes() {
        match &node.op {
            Op::Constant(_) | Op::Parameter(_) if is_half_port(id.into()) => {
                // Conversions take what is stored as it is.
                let users: Vec<(NodeId, usize)> = model
                    .consumers(id.into())
                    .into_iter()
                    .filter(|(user, _)| !matches!(model.node(*user).op, Op::Convert(_) | Op::OpResult(_)))
                    .collect();
                if !users.is_empty() {
                    let full = wide.add(node.name.clone(), Convert::to(ElementType::F32), &[id.into()])?;
                    users.into_iter().for_each(|(user, input)| wide.set_input(user, input, full.into()));
                }
            }
            Op::Convert(convert) if is_half(convert.destination_type) => {
                wide.node_mut(id).op = Convert::to(ElementType::F32).into();
            }
            Op::OpResult(_) => {
                let from = node.inputs()[0];
                if is_half_port(from) && !stored(&model.node(from.node).op) {
                    let half = Convert::to(model.ty(from).element_type);
                    let half = wide.add(model.node(from.node).name.clone(), half, &[from])?;
                    wide.set_input(id, 0, half.into());
                }
            }
            _ => {}
        }
    }
    wide.infer()?;
    Ok(Some(wide))
}
