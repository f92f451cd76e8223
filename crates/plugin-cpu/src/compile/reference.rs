//! Any op, by its reference `evaluate`.

use super::build::{Builder, Draft};
use crate::{plan::Io, pool::Pool};
use ir::{
    Bytes, ElementType, NodeId, Op, Tensor,
    device::{DeviceError, DeviceResult},
};

/// Where an argument of the reference comes from.
enum Argument {
    /// It is known.
    Known(Tensor),
    /// An operand of the step.
    Operand(usize, ElementType, Vec<usize>),
}

/// A step that runs `Operator::evaluate`.
pub(crate) fn lower(builder: &mut Builder, id: NodeId) {
    let model = builder.model;
    let node = model.node(id);
    let mut inputs = Vec::new();
    let mut arguments = Vec::new();
    for port in node.inputs() {
        arguments.push(match builder.constants.get(*port) {
            Some(tensor) => Argument::Known(tensor),
            None => {
                inputs.push(builder.plain(id, *port));
                Argument::Operand(inputs.len() - 1, model.ty(*port).element_type, builder.shape_of(*port))
            }
        });
    }
    let outputs: Vec<_> = (0..node.outputs().len()).map(|i| builder.plain_value(id.output(i))).collect();
    for (i, output) in outputs.iter().enumerate() {
        builder.define(id.output(i), *output);
    }
    let op = node.op.clone();
    let exec_type = if matches!(op, Op::Custom(_)) { "extension" } else { "ref_any" };
    let (name, type_name) = (node.name.clone(), op.type_name().to_owned());
    let types: Vec<String> = node.inputs().iter().map(|port| model.ty(*port).to_string()).collect();
    let expected: Vec<(ElementType, Vec<usize>)> = (0..outputs.len())
        .map(|i| (model.ty(id.output(i)).element_type, builder.shape_of(id.output(i))))
        .collect();
    let routine = move |io: &Io, _: &mut Pool| -> DeviceResult<()> {
        let fail = |message: String| DeviceError::Failed {
            device: "CPU".to_owned(),
            message: format!("{type_name} `{name}`: {message}"),
        };
        let argument = |argument: &Argument| match argument {
            Argument::Known(tensor) => Ok(tensor.clone()),
            Argument::Operand(i, ty, shape) => {
                let mut bytes = ir::aligned_zeros(io.input::<u8>(*i).len());
                bytes.copy_from_slice(io.input(*i));
                Tensor::new(*ty, shape.clone(), Bytes::from_owner(bytes)).map_err(|e| fail(e.to_string()))
            }
        };
        let arguments: Vec<Tensor> = arguments.iter().map(argument).collect::<DeviceResult<_>>()?;
        let answers = op.operator().evaluate(&arguments).map_err(|source| ir::ModelError::Op {
            node: name.clone(),
            op: type_name.clone(),
            inputs: types.join(", "),
            source,
        })?;
        for (i, (answer, (ty, shape))) in answers.iter().zip(&expected).enumerate() {
            if answer.element_type() != *ty || answer.shape() != shape {
                return Err(fail(format!("output {i} is {answer:?} where {ty}{shape:?} was inferred")));
            }
            io.output::<u8>(i).copy_from_slice(answer.bytes());
        }
        Ok(())
    };
    builder.step(
        id,
        Draft { exec_type: exec_type.into(), inputs, outputs, in_place: None, routine: Box::new(routine) },
    );
}
