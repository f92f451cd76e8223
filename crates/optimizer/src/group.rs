//! Grouped convolutions that frameworks wrote as one convolution a group.

use crate::{
    graph::{axes, integers, rank, sole_consumer},
    rule::{Outcome, Refusal, Rule, ensure},
    weights::stacked,
};
use ir::{
    Model, NodeId, Op, Port, Tensor,
    op::{Convolution, GroupConvolution},
};

pub(crate) const RULES: &[Rule] = &[Rule { name: "group convolution", apply: group }];

/// `Concat(conv(part 0), conv(part 1), ..)` over the equal parts of a Split of the channels.
fn group(model: &mut Model, id: NodeId) -> Outcome {
    let Op::Concat(concat) = &model.node(id).op else { return Err(Refusal::NoMatch) };
    let branches: Vec<Port> = model.node(id).inputs().to_vec();
    let convolution = |port: Port| -> Option<(&Convolution, Port, Port)> {
        let node = model.node(port.node);
        let Op::Convolution(c) = &node.op else { return None };
        Some((c, node.inputs()[0], node.inputs()[1]))
    };
    let parts: Vec<_> =
        branches.iter().map(|b| convolution(*b)).collect::<Option<_>>().ok_or(Refusal::NoMatch)?;
    let [(first, data, _), ..] = parts[..] else { return Err(Refusal::NoMatch) };
    let split = data.node;
    let count = match &model.node(split).op {
        Op::Split(_) | Op::VariadicSplit(_) => model.node(split).outputs().len(),
        _ => return Err(Refusal::NoMatch),
    };
    let rank = rank(model, data).ok_or(Refusal::NoMatch)?;
    ensure(axes(&[concat.axis], rank) == Some(vec![1]), || {
        "the results are not put together by channels".to_owned()
    })?;
    let axis = integers(model, model.node(split).inputs()[1]).and_then(|a| axes(&a, rank));
    ensure(axis == Some(vec![1]), || "the split is not by channels".to_owned())?;
    let in_order = parts.iter().enumerate().all(|(i, (_, data, _))| *data == split.output(i));
    ensure(in_order && parts.len() == count, || "the parts are not all there, in order".to_owned())?;
    ensure(parts.iter().all(|(c, ..)| *c == first), || "the convolutions differ".to_owned())?;
    ensure(branches.iter().all(|b| sole_consumer(model, *b).is_some()), || {
        "the result of one group has other uses".to_owned()
    })?;
    let tensors: Option<Vec<&Tensor>> = parts.iter().map(|(_, _, w)| model.constant(*w)).collect();
    let tensors = tensors.ok_or_else(|| Refusal::because("the weights of a group are computed"))?;
    let weights = stacked(&tensors).ok_or_else(|| Refusal::because("the groups' weights differ in shape"))?;
    let op = GroupConvolution {
        strides: first.strides.clone(),
        pads_begin: first.pads_begin.clone(),
        pads_end: first.pads_end.clone(),
        dilations: first.dilations.clone(),
        auto_pad: first.auto_pad,
    };
    let source = model.node(split).inputs()[0];
    let name = model.node(id).name.clone();
    let weights = model.add_constant(format!("{name}/weights"), weights);
    Ok(model.add(name, op, &[source, weights.into()])?.into())
}
