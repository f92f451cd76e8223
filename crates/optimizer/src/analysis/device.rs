//! Which nodes a device takes, and what HETERO would make of the rest.
//!
//! The CPU takes every op of the op set. For the FPGA there is no plugin yet: what stands here is the table that Intel
//! published for its FPGA plugin ("Supported Devices", OpenVINO 2020.4), so it tells what such a device takes, not
//! what one on this machine would.

use ir::{
    Model, NodeId, Op, Port,
    op::{BinaryKind, Custom, Unary},
};
use std::{collections::BTreeSet, fmt};

/// A node that the device does not take.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// The node.
    pub node: String,
    /// Its type.
    pub op: String,
    /// Why.
    pub reason: String,
}

/// Where the nodes of a model would run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Placement {
    /// The device.
    pub device: String,
    /// The number of nodes that it takes.
    pub taken: usize,
    /// Those that it does not.
    pub refused: Vec<Refused>,
    /// The parts that run one after another, on alternating devices, when HETERO gives the rest to the CPU.
    pub subgraphs: usize,
    /// What the answer rests on, where it is not the device itself.
    pub source: Option<&'static str>,
}

/// Asks `device`: `CPU`, `FPGA`, or the first of a list, `HETERO:FPGA,CPU`. `None` when nothing is known of it.
pub fn place(model: &Model, device: &str) -> Option<Placement> {
    let name = device.rsplit(':').next()?.split(',').next()?.trim();
    let (refusal, source): (fn(&Model, NodeId) -> Option<String>, _) = match name {
        "CPU" => (cpu, None),
        "FPGA" => (fpga, Some(FPGA_SOURCE)),
        _ => return None,
    };
    let (mut taken, mut refused) = (0, Vec::new());
    let mut is_taken = vec![true; model.capacity()];
    for (id, node) in model.nodes().filter(|(id, _)| computes(model, *id)) {
        match refusal(model, id) {
            None => taken += 1,
            Some(reason) => {
                is_taken[id.index()] = false;
                let (node, op) = (node.name.clone(), node.op.type_name().to_owned());
                refused.push(Refused { node, op, reason });
            }
        }
    }
    let subgraphs = subgraphs(model, &is_taken);
    Some(Placement { device: name.to_owned(), taken, refused, subgraphs, source })
}

const FPGA_SOURCE: &str = "Terroir has no FPGA plugin yet; this is the table that Intel published for OpenVINO 2020.4, \
                           of which a bitstream may take less";

/// Nodes that run: neither the model's edges nor what follows from constants.
fn computes(model: &Model, id: NodeId) -> bool {
    let node = model.node(id);
    let is_edge = matches!(node.op, Op::Parameter(_) | Op::Constant(_) | Op::OpResult(_));
    let is_widened = matches!(node.op, Op::Convert(_)) && model.constant(node.inputs()[0]).is_some();
    !is_edge && !is_widened && node.outputs().iter().any(|output| output.value.is_none())
}

/// Parts of neighbours on one device, none of which waits for itself through another.
fn subgraphs(model: &Model, is_taken: &[bool]) -> usize {
    let Ok(order) = model.topological_order() else { return 0 };
    let mut depth = vec![0usize; model.capacity()];
    let mut parts = BTreeSet::new();
    for id in order.into_iter().filter(|id| computes(model, *id)) {
        let own = is_taken[id.index()];
        for port in model.node(id).inputs().iter().filter(|port| computes(model, port.node)) {
            let crossing = usize::from(is_taken[port.node.index()] != own);
            depth[id.index()] = depth[id.index()].max(depth[port.node.index()] + crossing);
        }
        parts.insert((depth[id.index()], own));
    }
    parts.len()
}

fn cpu(model: &Model, id: NodeId) -> Option<String> {
    match &model.node(id).op {
        Op::Custom(op) if op.extension.is_none() => Some(unknown(op)),
        _ => None,
    }
}

fn unknown(op: &Custom) -> String {
    format!("`{}` of {} is not an op that it knows", op.type_name, op.version)
}

/// The published table, layer by layer.
fn fpga(model: &Model, id: NodeId) -> Option<String> {
    let node = model.node(id);
    let rank = |port: Port| model.ty(port).shape.rank();
    let data = node.inputs().first().copied()?;
    let is_constant = |i: usize| node.inputs().get(i).is_some_and(|port| is_stored(model, *port));
    let plane = |what: &str| {
        (rank(data) != Some(4)).then(|| format!("{what} runs there on two spatial dimensions only"))
    };
    let refused = |what: &str| Some(what.to_owned());
    match &node.op {
        Op::Convolution(_) | Op::GroupConvolution(_) => {
            if is_constant(1) {
                plane("a convolution")
            } else {
                refused("its weights are computed")
            }
        }
        Op::ConvolutionBackpropData(_) | Op::GroupConvolutionBackpropData(_) => {
            plane("a transposed convolution")
        }
        Op::MatMul(_) if is_constant(1) => None,
        Op::MatMul(_) => refused("both factors are computed; it takes fully connected layers"),
        Op::MaxPool(_) | Op::MaxPool8(_) | Op::AvgPool(_) => plane("pooling"),
        Op::Unary(Unary::Relu) | Op::PRelu(_) | Op::Elu(_) | Op::Lrn(_) | Op::BatchNormInference(_) => None,
        Op::Clamp(_) | Op::Concat(_) | Op::Split(_) | Op::VariadicSplit(_) => None,
        Op::Binary(op) => match op.kind {
            BinaryKind::Add | BinaryKind::Subtract => None,
            BinaryKind::Multiply | BinaryKind::Divide | BinaryKind::Power
                if is_constant(0) || is_constant(1) =>
            {
                None
            }
            _ => refused("of elementwise functions of two tensors it takes sums and differences"),
        },
        Op::Interpolate(_) => plane("resampling"),
        Op::Custom(op) => Some(unknown(op)),
        other => Some(format!("{} is not in the table", other.type_name())),
    }
}

/// A constant, as it is or widened from half precision.
fn is_stored(model: &Model, port: Port) -> bool {
    let node = model.node(port.node);
    node.constant().is_some()
        || matches!(node.op, Op::Convert(_)) && model.constant(node.inputs()[0]).is_some()
}

/// The refused nodes that are named; the rest are counted.
const SHOWN: usize = 10;

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, taken, refused, subgraphs, source } = self;
        write!(f, "{device} takes {taken} of {} nodes", taken + refused.len())?;
        if !refused.is_empty() {
            write!(f, "; HETERO:{device},CPU would run {subgraphs} subgraph(s), the CPU what is named here")?;
        }
        if let Some(source) = source {
            write!(f, " ({source})")?;
        }
        for Refused { node, op, reason } in refused.iter().take(SHOWN) {
            write!(f, "\n  {op} '{node}': {reason}")?;
        }
        if refused.len() > SHOWN {
            write!(f, "\n  and {} more", refused.len() - SHOWN)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ir::{
        ElementType,
        op::{Binary, Softmax},
    };

    #[test]
    fn what_falls_off_is_told_with_what_hetero_does() {
        let mut model = Model::new("m");
        let x = model.add_parameter("x", ElementType::F32, "[1,4]".parse().unwrap());
        let relu = model.add("relu", Unary::Relu, &[x.into()]).unwrap();
        let sigmoid = model.add("sigmoid", Unary::Sigmoid, &[relu.into()]).unwrap();
        let product =
            model.add("product", Binary::new(BinaryKind::Multiply), &[relu.into(), sigmoid.into()]).unwrap();
        let sum = model.add("sum", Binary::new(BinaryKind::Add), &[product.into(), relu.into()]).unwrap();
        let soft = model.add("soft", Softmax { axis: 1 }, &[sum.into()]).unwrap();
        model.add_result("y", soft.into()).unwrap();
        let placement = place(&model, "HETERO:FPGA,CPU").unwrap();
        let names: Vec<&str> = placement.refused.iter().map(|r| &r.node[..]).collect();
        assert_eq!((placement.taken, names), (2, vec!["sigmoid", "product", "soft"]));
        // relu; sigmoid and product; sum; soft.
        assert_eq!(placement.subgraphs, 4);
        assert!(placement.to_string().contains("no FPGA plugin yet"), "{placement}");
        let cpu = place(&model, "CPU").unwrap();
        assert_eq!((cpu.taken, cpu.refused.len(), cpu.subgraphs), (5, 0, 1));
        assert_eq!(place(&model, "TPU"), None);
    }
}
