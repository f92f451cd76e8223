//! Two networks side by side: where do they part?
//!
//! Both run on the CPU with every tensor that the two have in common as an output. Tensors are the same when they go
//! by the same name; names that frameworks gave survive conversion, so an IR can be held against its source.

use anyhow::{Context, Result, bail, ensure};
use ir::{ElementType, Model, NodeId, Op, Port, Tensor, device::PortInfo, op::BinaryKind};
use runtime::{Config, HostTensor};
use samples::{arrays, engine, images, numpy};
use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

/// One tensor of both networks.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The node in the first network.
    pub node: String,
    /// Its type.
    pub op: String,
    /// The shape of the tensor there.
    pub shape: Vec<usize>,
    /// The largest difference between elements.
    pub absolute: f64,
    /// The same over the largest element of the first network's tensor.
    pub relative: f64,
    /// Apart as far as it can be because the optimizer rewrote the node: no difference between the networks by itself.
    pub is_rewritten: bool,
}

/// What [`compare`] found, in the order of the first network's computation.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The tensors that could be compared.
    pub rows: Vec<Row>,
    /// Where the networks part: the first row whose relative error is beyond the tolerance.
    pub first: Option<usize>,
    /// Nodes that feed that one and that the optimizer rewrote: the difference may begin there.
    pub suspects: Vec<String>,
    /// Tensors of the first network's nodes that the second does not have under that name and shape.
    pub unmatched: usize,
    /// The tolerance.
    pub tolerance: f64,
}

/// Runs both networks on the same data and compares tensor by tensor. `input` is an image, a `.npy` or `.npz` file;
/// without one the data are pseudo-random, the same in every run.
pub fn compare(a: &Model, b: &Model, input: Option<&Path>, tolerance: f64) -> Result<Comparison> {
    let inputs = inputs_of(a, input)?;
    let pairs = pairs(a, b)?;
    ensure!(!pairs.is_empty(), "the networks have no tensor in common: no two go by the same name");
    let nodes = a.nodes().filter(|(_, node)| computes(&node.op)).count();
    let outputs_b = run(b, pairs.iter().map(|pair| pair.b), fitted(a, b, &inputs)?)?;
    let outputs_a = run(a, pairs.iter().map(|pair| pair.a), inputs)?;
    let mut rows = Vec::new();
    for ((pair, x), y) in pairs.iter().zip(&outputs_a).zip(&outputs_b) {
        let Some((absolute, relative)) = difference(x, y) else { continue };
        let node = a.node(pair.a.node);
        let (name, op, shape) = (node.name.clone(), node.op.type_name().to_owned(), x.shape().to_vec());
        let is_apart = relative.is_nan() || relative > tolerance;
        rows.push((
            pair,
            Row { node: name, op, shape, absolute, relative, is_rewritten: is_apart && !pair.sure },
        ));
    }
    let apart =
        |(_, row): &(&Pair, Row)| !row.is_rewritten && (row.relative.is_nan() || row.relative > tolerance);
    let first = rows.iter().position(apart);
    let feeds =
        |first: usize, port: Port| a.node(rows[first].0.a.node).inputs().iter().any(|p| p.node == port.node);
    let suspects = match first {
        Some(first) => rows
            .iter()
            .filter(|(pair, row)| row.is_rewritten && feeds(first, pair.a))
            .map(|(_, row)| row.node.clone())
            .collect(),
        None => Vec::new(),
    };
    let rows: Vec<Row> = rows.into_iter().map(|(_, row)| row).collect();
    Ok(Comparison { first, suspects, unmatched: nodes.saturating_sub(rows.len()), rows, tolerance })
}

fn computes(op: &Op) -> bool {
    !matches!(op, Op::Parameter(_) | Op::Constant(_) | Op::OpResult(_))
}

/// One tensor in both networks.
struct Pair {
    a: Port,
    b: Port,
    /// Whether the two must be equal. A convolution that took a scale in has its name still, and gives something else.
    sure: bool,
}

/// The tensors that go by the same name in both, in topological order of the first.
fn pairs<'a>(a: &'a Model, b: &Model) -> Result<Vec<Pair>> {
    // Names as they are go before `x` for `x:0`: with Caffe these are two tensors where a layer works in place.
    let mut named: HashMap<&str, Port> = HashMap::new();
    let mut plainly: HashMap<&str, Port> = HashMap::new();
    let mut nameless: HashMap<(&str, &str), Port> = HashMap::new();
    for (id, node) in b.nodes().filter(|(_, node)| computes(&node.op)) {
        for (index, output) in node.outputs().iter().enumerate() {
            for name in &output.names {
                named.insert(name, id.output(index));
                plainly.insert(plain(name), id.output(index));
            }
            if output.names.is_empty() && index == 0 {
                nameless.insert((&node.name, node.op.type_name()), id.into());
            }
        }
    }
    let names_of = |(_, node): (_, &'a ir::Node)| node.outputs().iter().flat_map(|output| &output.names);
    let a_names: HashSet<&str> = a.nodes().flat_map(names_of).map(|name| plain(name)).collect();
    let mut pairs = Vec::new();
    for id in a.topological_order()? {
        let node = a.node(id);
        // What is the same whatever the input says nothing of the networks.
        if !computes(&node.op) || node.outputs().iter().all(|output| output.value.is_some()) {
            continue;
        }
        for (index, output) in node.outputs().iter().enumerate() {
            let a = id.output(index);
            let exactly = output.names.iter().find_map(|name| named.get(&name[..]));
            let by_name = exactly.or_else(|| output.names.iter().find_map(|name| plainly.get(plain(name))));
            let (found, sure) = match by_name {
                Some(port) => (Some(port), true),
                None if index > 0 || !output.names.is_empty() => (None, false),
                // The tensor's name went with a transpose, since the node has taken others in, or to what works in place
                // behind it. The framework's tensor is the one of that name; where there is none, or the first network has
                // that very tensor elsewhere, both networks went through the same.
                None => {
                    let name = &node.name[..];
                    let elsewhere = a_names.contains(name);
                    let named = named.get(name).or_else(|| plainly.get(name)).filter(|_| !elsewhere);
                    match named {
                        Some(port) => (Some(port), !may_be_rewritten(&node.op)),
                        None => (nameless.get(&(name, node.op.type_name())), true),
                    }
                }
            };
            pairs.extend(found.map(|b| Pair { a, b: *b, sure }));
        }
    }
    Ok(pairs)
}

/// Ops that keep their names when a step behind or before them becomes part of them, or the order of the elements
/// another.
fn may_be_rewritten(op: &Op) -> bool {
    matches!(
        op,
        Op::Convolution(_)
            | Op::GroupConvolution(_)
            | Op::ConvolutionBackpropData(_)
            | Op::GroupConvolutionBackpropData(_)
            | Op::MatMul(_)
            | Op::Gather(_)
            | Op::Reshape(_)
            | Op::Squeeze(_)
            | Op::Unsqueeze(_)
            | Op::Transpose(_)
    ) || matches!(op, Op::Binary(binary) if binary.kind == BinaryKind::Multiply)
}

/// TensorFlow's `x` and `x:0` are one tensor.
fn plain(name: &str) -> &str {
    name.strip_suffix(":0").unwrap_or(name)
}

/// Infers with other outputs: the tensors at `ports`, one each.
fn run(model: &Model, ports: impl Iterator<Item = Port>, inputs: Vec<Tensor>) -> Result<Vec<Tensor>> {
    let mut model = model.clone();
    let own: Vec<NodeId> = model.results().to_vec();
    for (i, port) in ports.enumerate() {
        model.add_result(format!("compared {i}"), port)?;
    }
    for id in own {
        model.remove(id);
    }
    let config = Config::from([("EXECUTION_MODE_HINT".to_owned(), "ACCURACY".to_owned())]);
    let compiled = engine::core().compile_model(&model, "CPU", &config)?;
    let mut request = compiled.create_infer_request()?;
    for (i, tensor) in inputs.iter().enumerate() {
        request.set_input(i, HostTensor::from(tensor))?;
    }
    request.infer()?;
    (0..model.results().len()).map(|i| Ok(request.output(i)?.to_tensor()?)).collect()
}

/// The largest difference, absolute and relative. Tensors that have their channels at the other end are turned; `None`
/// when the shapes have nothing to do with each other.
fn difference(x: &Tensor, y: &Tensor) -> Option<(f64, f64)> {
    let values = x.to_f64s();
    let largest = values.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
    let measured = layouts(y).into_iter().filter(|turned| turned.shape() == x.shape()).map(|turned| {
        let pairs = values.iter().zip(turned.to_f64s());
        // Both infinite, or both no number, is agreement.
        let apart = |(a, b): (&f64, f64)| {
            if *a == b || a.is_nan() && b.is_nan() { 0.0 } else { (a - b).abs() }
        };
        pairs.map(apart).fold(0.0, |most: f64, d| if d.is_nan() { f64::INFINITY } else { most.max(d) })
    });
    let absolute = measured.min_by(f64::total_cmp)?;
    let relative = if absolute == 0.0 { 0.0 } else { absolute / largest.max(f64::MIN_POSITIVE) };
    Some((absolute, relative))
}

/// A tensor as it is, with its channels moved to the end, and with them moved to the front.
fn layouts(tensor: &Tensor) -> Vec<Tensor> {
    let rank = tensor.shape().len();
    if !(3..=5).contains(&rank) {
        return vec![tensor.clone()];
    }
    let mut last: Vec<usize> = (0..rank).collect();
    last.remove(1);
    last.push(1);
    let mut first: Vec<usize> = (0..rank - 1).collect();
    first.insert(1, rank - 1);
    [Some(tensor.clone()), transposed(tensor, &last), transposed(tensor, &first)]
        .into_iter()
        .flatten()
        .collect()
}

fn transposed(tensor: &Tensor, order: &[usize]) -> Option<Tensor> {
    let order = Tensor::from_i64s(&order.iter().map(|axis| *axis as i64).collect::<Vec<_>>());
    let transpose: Op = ir::op::Transpose.into();
    transpose.operator().evaluate(&[tensor.clone(), order]).ok()?.into_iter().next()
}

/// What the second network takes, from what the first takes: by name, else by order; types and the place of the
/// channels are adapted.
fn fitted(a: &Model, b: &Model, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
    let (from, to) = (PortInfo::inputs(a), PortInfo::inputs(b));
    ensure!(from.len() == to.len(), "the first network has {} inputs, the second {}", from.len(), to.len());
    let fit = |(i, port): (usize, &PortInfo)| {
        let named = from.iter().position(|other| other.names.iter().any(|name| port.is_called(name)));
        let tensor = &inputs[named.unwrap_or(i)];
        let fitting = layouts(tensor).into_iter().find(|turned| port.ty.shape.admits(turned.shape()));
        let turned = fitting.with_context(|| {
            format!(
                "input `{}` of the second network takes {}, the first has {:?}",
                port.name(),
                port.ty,
                tensor.shape()
            )
        })?;
        converted(&turned, port.ty.element_type)
    };
    to.iter().enumerate().map(fit).collect()
}

fn converted(tensor: &Tensor, ty: ElementType) -> Result<Tensor> {
    if tensor.element_type() == ty {
        return Ok(tensor.clone());
    }
    if ty.is_float() {
        return Ok(Tensor::from_f64s(ty, tensor.shape(), &tensor.to_f64s())?);
    }
    let values: Vec<i64> = tensor.to_f64s().into_iter().map(|v| v as i64).collect();
    Ok(Tensor::from_i64_values(ty, tensor.shape(), &values)?)
}

/// What the network is fed with.
fn inputs_of(model: &Model, file: Option<&Path>) -> Result<Vec<Tensor>> {
    let ports = PortInfo::inputs(model);
    match file {
        None => ports.iter().enumerate().map(|(i, port)| random(port, i as u64 + 1)).collect(),
        Some(path) if path.extension().is_some_and(|e| e == "npz" || e == "npy") => {
            let arrays = if path.extension().is_some_and(|e| e == "npz") {
                numpy::read_npz(path)?.into_iter().map(|(name, tensor)| (Some(name), tensor)).collect()
            } else {
                vec![(None, numpy::read_npy(path)?)]
            };
            arrays::assign(&ports, arrays)
        }
        Some(path) => match &ports[..] {
            [port] => Ok(vec![image(port, path)?]),
            _ => bail!("an image feeds one input, the network has {}; give a .npz file", ports.len()),
        },
    }
}

/// The sizes of an input; an open batch is 1.
fn sizes(port: &PortInfo) -> Result<Vec<usize>> {
    let dims = port.ty.shape.dims().map(<[_]>::to_vec).unwrap_or_default();
    let open = || {
        format!("input `{}` is {}: fix it with --input_shape or give data with --input", port.name(), port.ty)
    };
    ensure!(port.ty.shape.rank().is_some(), open());
    let size = |(i, dim): (usize, &ir::Dim)| match dim.size() {
        None if i == 0 && dim.min() <= 1 => Ok(1),
        size => size.with_context(open),
    };
    dims.iter().enumerate().map(size).collect()
}

/// Numbers from 0 to 1, or of the whole range of images where the input holds integers.
fn random(port: &PortInfo, seed: u64) -> Result<Tensor> {
    let sizes = sizes(port)?;
    let tensor = arrays::random(port.ty.element_type, &sizes, seed)?;
    if !port.ty.element_type.is_float() {
        return Ok(tensor);
    }
    let values: Vec<f64> = tensor.to_f64s().into_iter().map(|v| v / 255.0).collect();
    Ok(Tensor::from_f64s(port.ty.element_type, &sizes, &values)?)
}

fn image(port: &PortInfo, path: &Path) -> Result<Tensor> {
    let sizes = sizes(port)?;
    let layout = images::guess_layout(port.ty.shape.dims().unwrap_or_default())
        .with_context(|| format!("input `{}` is {}, which is no image's shape", port.name(), port.ty))?;
    let axis = |name: &str| layout.index_of(name, sizes.len()).context("a layout of images names it");
    let (c, h, w) = (sizes[axis("C")?], sizes[axis("H")?], sizes[axis("W")?]);
    let read = images::read(path, c)?;
    let image = read.first().map(|image| image.resized(w, h));
    let image = image.with_context(|| format!("{} holds no image", PathBuf::from(path).display()))?;
    let pixels: Vec<f64> = image.pixels.iter().map(|p| f64::from(*p)).collect();
    let nhwc = Tensor::from_f64s(ElementType::F32, &[1, h, w, c], &pixels)?;
    let nhwc =
        if axis("C")? == 1 { transposed(&nhwc, &[0, 3, 1, 2]).context("four dimensions")? } else { nhwc };
    // A batch is the image so many times.
    let bytes = nhwc.bytes().repeat(sizes[0]);
    let batch = Tensor::new(ElementType::F32, sizes, bytes.into())?;
    converted(&batch, port.ty.element_type)
}

impl Comparison {
    /// The report as one JSON object.
    pub fn to_json(&self) -> serde_json::Value {
        let rows = self.rows.iter().map(|row| {
            serde_json::json!({
                "node": row.node, "op": row.op, "shape": row.shape,
                "absolute": row.absolute, "relative": row.relative, "rewritten": row.is_rewritten,
            })
        });
        serde_json::json!({
            "first_difference": self.first.map(|i| &self.rows[i].node),
            "suspects": self.suspects,
            "tolerance": self.tolerance,
            "unmatched": self.unmatched,
            "tensors": rows.collect::<Vec<_>>(),
        })
    }
}

/// Rows that stand before and behind the first difference in the report.
const AROUND: usize = 5;

/// The report for people: the error along the way, and where the networks part.
impl std::fmt::Display for Comparison {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{:<48} {:<24} {:>12} {:>12}", "node", "op", "absolute", "relative")?;
        let last = self.rows.len().saturating_sub(1);
        let near = |i: usize| match self.first {
            Some(first) => i.abs_diff(first) <= AROUND || i == last,
            // Where all is well, ten rows show how the error grows.
            None => i.is_multiple_of((self.rows.len() / 10).max(1)) || i == last,
        };
        for (i, row) in self.rows.iter().enumerate().filter(|(i, _)| near(*i)) {
            let mark = match row.is_rewritten {
                _ if self.first == Some(i) => "  <- they part here",
                true => "  (rewritten by the optimizer)",
                false => "",
            };
            let Row { node, op, absolute, relative, .. } = row;
            writeln!(f, "{node:<48} {op:<24} {absolute:>12.3e} {relative:>12.3e}{mark}")?;
        }
        let (count, unmatched) = (self.rows.len(), self.unmatched);
        writeln!(
            f,
            "\n{count} tensors compared; {unmatched} nodes of the first network have no counterpart"
        )?;
        match self.first {
            Some(first) => {
                let Row { node, op, relative, .. } = &self.rows[first];
                writeln!(
                    f,
                    "The networks part at '{node}' ({op}): relative error {relative:.3e}, beyond {:e}",
                    self.tolerance
                )?;
                if !self.suspects.is_empty() {
                    writeln!(
                        f,
                        "or in what feeds it and was rewritten by the optimizer: '{}'",
                        self.suspects.join("', '")
                    )?;
                }
                Ok(())
            }
            None => writeln!(f, "No tensor differs by more than {:e} of its largest element", self.tolerance),
        }
    }
}
