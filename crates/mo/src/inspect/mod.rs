//! What a network is: inputs, outputs, ops, arithmetic, memory, and what stands in the way of converting it.

mod picture;

pub use picture::{to_dot, to_svg};

use crate::{Error, Request, load, report};
use ir::{
    Model, NodeId, Op, Port,
    device::PortInfo,
    unsupported::{CustomOps, Unsupported, UnsupportedNode, UnsupportedOp},
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

/// A network as [`inspect`] found it.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// The network, as far as it could be read; ops without a conversion stand in it as custom ops.
    pub model: Model,
    /// The framework's name, as `--framework` has it.
    pub framework: &'static str,
    /// Ops by type and op set, the most frequent first.
    pub ops: Vec<OpCount>,
    /// Elements of all constants.
    pub parameters: u64,
    /// Bytes of all constants, as they are stored.
    pub weight_bytes: u64,
    /// The most bytes that tensors between nodes take at one time; `None` when shapes are open.
    pub peak_bytes: Option<u64>,
    /// Floating-point operations of convolutions and products in one inference; `None` when shapes are open.
    pub flops: Option<u64>,
    /// Nodes that cannot be converted, or that no device of this workspace knows.
    pub unsupported: Vec<Obstacle>,
    /// Outputs that leave all of these out.
    pub cuts: Vec<String>,
    /// What reading it and looking at it brought to light.
    pub notes: Vec<String>,
    /// Where its nodes would run on the device that was asked for.
    pub placement: Option<String>,
}

/// How often an op occurs, and what its nodes come to.
#[derive(Debug, Clone, PartialEq)]
pub struct OpCount {
    /// The op's type.
    pub op: String,
    /// The op set, `opset1` or `extension`.
    pub version: String,
    /// The number of nodes.
    pub count: usize,
    /// Their floating-point operations, as far as they are known.
    pub flops: u64,
    /// Elements of the constants that they take.
    pub parameters: u64,
}

/// A node in the way.
#[derive(Debug, Clone, PartialEq)]
pub struct Obstacle {
    /// The framework's op type.
    pub op: String,
    /// The node's name.
    pub node: String,
    /// Shapes of its inputs, as far as they are known.
    pub inputs: Vec<String>,
    /// What is not supported.
    pub reason: String,
}

/// Looks at the network of a request, which need not be convertible: what cannot be is named, with the last places
/// before it.
pub fn inspect(request: &Request) -> Result<Inspection, Error> {
    let mut request = request.clone();
    let (mut unsupported, mut cuts) = (Vec::new(), Vec::new());
    let mut attempt = load(&request, &mut |_| {});
    if let Err(Error::Graph(frontend_tf::Error::Outputs { candidates })) = &attempt
        && !candidates.is_empty()
    {
        request.outputs.clone_from(candidates);
        attempt = load(&request, &mut |_| {});
    }
    if let Some(report) = attempt.as_ref().err().and_then(Error::unsupported) {
        unsupported = obstacles(report);
        cuts.clone_from(&report.cut_points);
        // Unknown ops can stand in the model as they are; what is refused for its attributes cannot.
        let custom_ops = CustomOps { all: true, ..request.custom_ops.clone() };
        let kept = Request { custom_ops, ..request.clone() };
        let before = Request { outputs: cuts.clone(), ..request.clone() };
        attempt = load(&kept, &mut |_| {});
        if attempt.is_err() && !cuts.is_empty() {
            attempt = load(&before, &mut |_| {});
        }
        if attempt.is_err() {
            attempt = Ok((Model::new(request.model_name.clone()), Vec::new()));
        }
    }
    let (model, mut notes) = attempt?;
    notes.extend(report::warnings(&model, &request));
    let placement = report::placement(&model, &request);
    if unsupported.is_empty() {
        unsupported = unknown_ops(&model);
        cuts = cuts_before_unknown(&model)?;
    }
    Ok(Inspection {
        framework: request.source.framework().name(),
        ops: op_counts(&model),
        parameters: constants(&model).map(|tensor| tensor.len() as u64).sum(),
        weight_bytes: constants(&model).map(|tensor| tensor.bytes().len() as u64).sum(),
        peak_bytes: peak_bytes(&model)?,
        flops: flops(&model),
        unsupported,
        cuts,
        notes,
        placement,
        model,
    })
}

fn obstacles(report: &Unsupported) -> Vec<Obstacle> {
    let of = |op: &UnsupportedOp| {
        let name = op.op.clone();
        let node = move |node: &UnsupportedNode| Obstacle {
            op: name.clone(),
            node: node.name.clone(),
            inputs: node.input_shapes.clone(),
            reason: node.reason.clone().unwrap_or_else(|| "there is no conversion for this op".to_owned()),
        };
        op.nodes.iter().map(node).collect::<Vec<_>>()
    };
    report.ops.iter().flat_map(of).collect()
}

fn unknown_ops(model: &Model) -> Vec<Obstacle> {
    let custom = |(_, node): (NodeId, &ir::Node)| {
        let Op::Custom(op) = &node.op else { return None };
        op.extension.is_none().then(|| Obstacle {
            op: op.type_name.clone(),
            node: node.name.clone(),
            inputs: node.inputs().iter().map(|port| model.ty(*port).shape.to_string()).collect(),
            reason: format!("no device of Terroir knows this op of {}", op.version),
        })
    };
    model.nodes().filter_map(custom).collect()
}

/// The tensors that unknown ops take and that none of them had a part in.
fn cuts_before_unknown(model: &Model) -> Result<Vec<String>, Error> {
    let mut tainted = vec![false; model.capacity()];
    let mut cuts = Vec::new();
    for id in model.topological_order()? {
        let node = model.node(id);
        let is_unknown = matches!(node.op, Op::Custom(_));
        tainted[id.index()] = is_unknown || node.inputs().iter().any(|port| tainted[port.node.index()]);
        for port in node.inputs().iter().filter(|port| is_unknown && !tainted[port.node.index()]) {
            let source = model.node(port.node);
            let name = tensor_name(model, *port);
            if !source.inputs().is_empty() && !cuts.contains(&name) {
                cuts.push(name);
            }
        }
    }
    Ok(cuts)
}

/// How `--output` would name a tensor.
fn tensor_name(model: &Model, port: Port) -> String {
    match port.index {
        0 => model.node(port.node).name.clone(),
        index => format!("{}:{index}", model.node(port.node).name),
    }
}

fn constants(model: &Model) -> impl Iterator<Item = &ir::Tensor> {
    model.nodes().filter_map(|(_, node)| node.constant())
}

fn is_edge(op: &Op) -> bool {
    matches!(op, Op::Parameter(_) | Op::Constant(_) | Op::OpResult(_))
}

fn op_counts(model: &Model) -> Vec<OpCount> {
    let mut counts: BTreeMap<(String, String), OpCount> = BTreeMap::new();
    for (id, node) in model.nodes().filter(|(_, node)| !is_edge(&node.op)) {
        let version = match &node.op {
            Op::Custom(op) => op.version.clone(),
            _ => format!("opset{}", node.opset),
        };
        let op = node.op.type_name().to_owned();
        let entry = counts.entry((op.clone(), version.clone())).or_insert(OpCount {
            op,
            version,
            count: 0,
            flops: 0,
            parameters: 0,
        });
        entry.count += 1;
        entry.flops = entry.flops.saturating_add(optimizer::work::of(model, id).map_or(0, |work| work.flops));
        let taken = node.inputs().iter().filter_map(|port| model.constant(*port));
        entry.parameters += taken.map(|tensor| tensor.len() as u64).sum::<u64>();
    }
    let mut counts: Vec<OpCount> = counts.into_values().collect();
    counts.sort_by_key(|count| std::cmp::Reverse(count.count));
    counts
}

/// All arithmetic, unless a node that has some does not know its shapes.
fn flops(model: &Model) -> Option<u64> {
    let mut sum = 0u64;
    for (id, node) in model.nodes() {
        let counts = matches!(
            node.op,
            Op::Convolution(_)
                | Op::GroupConvolution(_)
                | Op::ConvolutionBackpropData(_)
                | Op::GroupConvolutionBackpropData(_)
                | Op::MatMul(_)
        );
        if counts {
            sum = sum.saturating_add(optimizer::work::of(model, id)?.flops);
        }
    }
    Some(sum)
}

/// Every tensor lives from its node to the last that takes it.
fn peak_bytes(model: &Model) -> Result<Option<u64>, Error> {
    let order = model.topological_order()?;
    let mut last: HashMap<NodeId, usize> = HashMap::new();
    for (at, id) in order.iter().enumerate() {
        for port in model.node(*id).inputs() {
            last.insert(port.node, at);
        }
    }
    let mut ends: Vec<Vec<u64>> = vec![Vec::new(); order.len()];
    let (mut now, mut most) = (0u64, 0u64);
    for (at, id) in order.iter().enumerate() {
        let node = model.node(*id);
        if !matches!(node.op, Op::Constant(_) | Op::OpResult(_)) {
            for output in node.outputs() {
                let count = output.ty.shape.sizes().and_then(|sizes| ir::element_count(&sizes));
                let Some(bytes) = count.and_then(|count| output.ty.element_type.byte_len(count)) else {
                    return Ok(None);
                };
                now = now.saturating_add(bytes as u64);
                if let Some(end) = last.get(id) {
                    ends[*end].push(bytes as u64);
                }
            }
        }
        most = most.max(now);
        now -= ends[at].drain(..).sum::<u64>().min(now);
    }
    Ok(Some(most))
}

impl Inspection {
    /// The report as one JSON object.
    pub fn to_json(&self) -> Value {
        let ports = |ports: Vec<PortInfo>| {
            let port = |port: &PortInfo| {
                json!({
                    "name": port.node,
                    "tensor_names": port.names,
                    "type": port.ty.element_type.name(),
                    "shape": port.ty.shape.to_string(),
                })
            };
            ports.iter().map(port).collect::<Vec<_>>()
        };
        let ops = self.ops.iter().map(|op| {
            json!({
                "op": op.op, "version": op.version, "count": op.count,
                "flops": op.flops, "parameters": op.parameters,
            })
        });
        let unsupported = self
            .unsupported
            .iter()
            .map(|o| json!({ "op": o.op, "node": o.node, "input_shapes": o.inputs, "reason": o.reason }));
        json!({
            "name": self.model.name,
            "framework": self.framework,
            "inputs": ports(PortInfo::inputs(&self.model)),
            "outputs": ports(PortInfo::outputs(&self.model)),
            "nodes": self.ops.iter().map(|op| op.count).sum::<usize>(),
            "ops": ops.collect::<Vec<_>>(),
            "flops": self.flops,
            "parameters": self.parameters,
            "weight_bytes": self.weight_bytes,
            "peak_activation_bytes": self.peak_bytes,
            "unsupported": unsupported.collect::<Vec<_>>(),
            "suggested_outputs": self.cuts,
            "notes": self.notes,
            "placement": self.placement,
        })
    }
}

/// The report for people.
impl std::fmt::Display for Inspection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let open = "not known: shapes are open, fix them with --input_shape";
        writeln!(f, "network      {} ({})", self.model.name, self.framework)?;
        for (what, ports) in
            [("input", PortInfo::inputs(&self.model)), ("output", PortInfo::outputs(&self.model))]
        {
            for port in ports {
                writeln!(f, "{what:<12} {}  {}", port.node, port.ty)?;
            }
        }
        let nodes: usize = self.ops.iter().map(|op| op.count).sum();
        writeln!(f, "nodes        {nodes}")?;
        writeln!(f, "parameters   {} in {}", self.parameters, bytes(self.weight_bytes))?;
        match self.flops {
            Some(flops) => writeln!(f, "arithmetic   {:.3} GFLOP an inference", flops as f64 / 1e9)?,
            None => writeln!(f, "arithmetic   {open}")?,
        }
        match self.peak_bytes {
            Some(peak) => writeln!(f, "activations  {} at the peak", bytes(peak))?,
            None => writeln!(f, "activations  {open}")?,
        }
        writeln!(f, "\n{:<32} {:<10} {:>6} {:>12} {:>12}", "op", "version", "count", "MFLOP", "parameters")?;
        for op in &self.ops {
            let mflop = op.flops as f64 / 1e6;
            writeln!(
                f,
                "{:<32} {:<10} {:>6} {mflop:>12.3} {:>12}",
                op.op, op.version, op.count, op.parameters
            )?;
        }
        for note in self.placement.iter().chain(&self.notes) {
            writeln!(f, "\nnote: {note}")?;
        }
        if self.unsupported.is_empty() {
            return writeln!(f, "\nEverything in it is supported.");
        }
        writeln!(f, "\nnot supported:")?;
        for o in &self.unsupported {
            writeln!(f, "  {} '{}' ({}): {}", o.op, o.node, o.inputs.join(", "), o.reason)?;
        }
        if !self.cuts.is_empty() {
            writeln!(f, "the network up to here converts: --output {}", self.cuts.join(","))?;
        }
        Ok(())
    }
}

fn bytes(count: u64) -> String {
    let (unit, size) = [("GB", 1e9), ("MB", 1e6), ("KB", 1e3)]
        .into_iter()
        .find(|(_, size)| count as f64 >= *size)
        .unwrap_or(("bytes", 1.0));
    if size == 1.0 { format!("{count} bytes") } else { format!("{:.2} {unit}", count as f64 / size) }
}
