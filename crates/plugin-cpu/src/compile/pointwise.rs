//! Functions of elements that have no kernel of their own in [`super::elementwise`]: other types, other functions,
//! more operands.

use super::build::{Builder, Draft, Layout, ValueId, dims4};
use crate::kernels::pointwise::{Function, Operand, Pointwise, Wide};
use ir::{
    ElementType, NodeId, Op, Port,
    device::DeviceError,
    op::{AutoBroadcast, Unary},
};

/// How the elements of an operand go with those of the output.
#[derive(Clone, Copy, PartialEq)]
enum Reach {
    /// From the last dimension on, those of size 1 repeat.
    Broadcast,
    /// A vector, one element a channel.
    Channels,
}

/// A function, in which numbers, of which operands.
type Formula = (Function, Wide, Vec<(Port, Reach)>);

/// The function that a node computes.
fn function(builder: &Builder, id: NodeId) -> Option<Formula> {
    let model = builder.model;
    let node = model.node(id);
    let ty = |i: usize| model.ty(node.inputs()[i]).element_type;
    let numbers = |ty: ElementType| match ty {
        ElementType::F64 => Wide::F64,
        ty if ty.is_float() => Wide::F32,
        _ => Wide::I64,
    };
    let all = |count: usize| node.inputs()[..count].iter().map(|port| (*port, Reach::Broadcast)).collect();
    let own = numbers(ty(0));
    Some(match &node.op {
        Op::Convert(convert) => {
            // Few bits fit f32.
            let narrow = ty(0).bits() <= 16 && convert.destination_type.is_float();
            (Function::Convert, if narrow { Wide::F32 } else { own }, all(1))
        }
        Op::Unary(unary) => {
            use Unary::{Abs, Ceiling, Floor, LogicalNot, Negative, Relu, Sign};
            let whole = matches!(unary, Abs | Ceiling | Floor | LogicalNot | Negative | Relu | Sign);
            (Function::Unary(*unary), if whole || own != Wide::I64 { own } else { Wide::F64 }, all(1))
        }
        Op::Clamp(clamp) => (Function::Clamp(clamp.min, clamp.max), own, all(1)),
        Op::Round(_) if own == Wide::I64 => (Function::Convert, own, all(1)),
        Op::Round(round) => (Function::Round(round.mode), own, all(1)),
        Op::IsNan(_) => (Function::IsOneOf([true, false, false, false]), own, all(1)),
        Op::IsInf(op) => {
            let is = [false, op.detect_positive, op.detect_negative, false];
            (Function::IsOneOf(is), own, all(1))
        }
        Op::IsFinite(_) => (Function::IsOneOf([false, false, false, true]), own, all(1)),
        Op::Binary(op) if op.auto_broadcast != AutoBroadcast::Pdpd => {
            (Function::Binary(op.kind), own, all(2))
        }
        Op::Select(op) if op.auto_broadcast != AutoBroadcast::Pdpd => {
            (Function::Select, numbers(ty(1)), all(3))
        }
        Op::PRelu(_) if own != Wide::I64 => {
            let (data, slope) = (builder.shape_of(node.inputs()[0]), builder.shape_of(node.inputs()[1]));
            let channel = usize::from(data.len() > 1);
            let channels = slope.len() == 1 && data.get(channel) == Some(&slope[0]);
            let reach = if channels && channel == 1 { Reach::Channels } else { Reach::Broadcast };
            (Function::PRelu, own, vec![(node.inputs()[0], Reach::Broadcast), (node.inputs()[1], reach)])
        }
        Op::FakeQuantize(op) if own != Wide::I64 => (Function::FakeQuantize(op.clone()), own, all(5)),
        Op::BatchNormInference(op) if own != Wide::I64 => {
            let order = if op.data_input == 2 { [2, 0, 1, 3, 4] } else { [0, 1, 2, 3, 4] };
            let reach = |at: usize| if at == op.data_input { Reach::Broadcast } else { Reach::Channels };
            let operands = order.map(|at| (node.inputs()[at], reach(at)));
            (Function::Normalize(op.epsilon), own, operands.to_vec())
        }
        _ => return None,
    })
}

/// A function of elements as one step.
pub(crate) fn lower(builder: &mut Builder, id: NodeId) -> Option<()> {
    let (function, wide, ports) = function(builder, id)?;
    let node = builder.model.node(id);
    let output_type = builder.model.ty(id.into()).element_type;
    let shape = builder.shape_of(id.into());
    let types: Vec<ElementType> =
        ports.iter().map(|(port, _)| builder.model.ty(*port).element_type).collect();
    let whole_bytes = |ty: &ElementType| ty.bits() >= 8 && ty.bits().is_multiple_of(8);
    if node.outputs().len() != 1 || !types.iter().chain([&output_type]).all(whole_bytes) {
        return None;
    }
    let floats = types.iter().chain([&output_type]).all(|ty| *ty == ElementType::F32);
    let (inputs, dims, strides, output) =
        match floats.then(|| in_blocks(builder, id, &ports, &shape)).flatten() {
            Some(blocked) => blocked,
            None => {
                let inputs = ports.iter().map(|(port, _)| builder.plain(id, *port)).collect();
                let strides = ports.iter().map(|(port, reach)| {
                    let own = builder.shape_of(*port);
                    match reach {
                        Reach::Broadcast => strides_in(&own, &shape),
                        Reach::Channels => (0..shape.len()).map(|axis| usize::from(axis == 1)).collect(),
                    }
                });
                (inputs, shape.clone(), strides.collect(), builder.plain_value(id.into()))
            }
        };
    builder.define(id.into(), output);
    let operands = types.iter().zip(strides).map(|(ty, strides)| Operand { ty: *ty, strides }).collect();
    let work = Pointwise::new(function, wide, &dims, operands, output_type);
    let isa = builder.isa;
    let count = inputs.len();
    let (name, type_name) = (node.name.clone(), node.op.type_name().to_owned());
    builder.step(
        id,
        Draft {
            exec_type: format!("pointwise_{}_{output_type}", isa.name()),
            inputs,
            outputs: vec![output],
            in_place: None,
            routine: Box::new(move |io, pool| {
                let sources: [&[u8]; 5] = std::array::from_fn(|i| if i < count { io.input(i) } else { &[] });
                work.run(isa, pool, &sources[..count], io.out()).map_err(|_| DeviceError::Failed {
                    device: "CPU".to_owned(),
                    message: format!("{type_name} `{name}`: integer division by zero"),
                })
            }),
        },
    );
    Some(())
}

/// The strides of a row-major tensor in an output that it is broadcast to.
fn strides_in(own: &[usize], shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![0; shape.len()];
    let mut stride = 1;
    for (size, to) in own.iter().rev().zip(strides.iter_mut().rev()) {
        *to = if *size == 1 { 0 } else { stride };
        stride *= size;
    }
    strides
}

/// Inputs, dimensions of the output, strides of the inputs in it, and the output.
type Operands = (Vec<ValueId>, Vec<usize>, Vec<Vec<usize>>, ValueId);

/// The operands in blocks of channels, if one comes that way, the others can be seen so, and blocks are whole: a
/// function may not keep zeros.
fn in_blocks(
    builder: &mut Builder,
    id: NodeId,
    ports: &[(Port, Reach)],
    shape: &[usize],
) -> Option<Operands> {
    let [n, c, h, w] = dims4(shape).filter(|dims| !dims.contains(&0))?;
    let b = builder.isa.block();
    let any = ports.iter().any(|(port, _)| {
        let value = builder.value(*port);
        *builder.layout(value) == Layout::Blocked && builder.shape_of(*port) == shape
    });
    if !any || !c.is_multiple_of(b) {
        return None;
    }
    let plane = h * w;
    let strides = |(port, reach): &(Port, Reach)| {
        let own = builder.shape_of(*port);
        if *reach == Reach::Channels {
            return Some((false, vec![0, b, 0, 1]));
        }
        match dims4(&own) {
            _ if own == shape => Some((true, vec![c * plane, plane * b, b, 1])),
            _ if own.iter().all(|size| *size == 1) => Some((false, vec![0; 4])),
            Some([m, d, 1, 1]) if own.len() == shape.len() && d == c && (m == 1 || m == n) => {
                Some((false, vec![if m == 1 { 0 } else { c }, b, 0, 1]))
            }
            _ => None,
        }
    };
    let strides: Vec<(bool, Vec<usize>)> = ports.iter().map(strides).collect::<Option<_>>()?;
    let inputs = ports
        .iter()
        .zip(&strides)
        .map(
            |((port, _), (whole, _))| {
                if *whole { builder.blocked(id, *port) } else { builder.plain(id, *port) }
            },
        )
        .collect();
    let output = builder.new_value(shape, Layout::Blocked);
    Some((
        inputs,
        vec![n, c / b, plane, b],
        strides.into_iter().map(|(_, strides)| strides).collect(),
        output,
    ))
}
