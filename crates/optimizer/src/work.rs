//! What a layer has to do at the least: arithmetic, and bytes that move.

use ir::{Model, Node, NodeId, Op, Port, op::Window};

/// The work of one node, with shapes known.
#[derive(Clone, PartialEq, Debug)]
pub struct Work {
    /// What people call it: `3x3`, `1x1`, `depthwise 3x3/2`, `dense`, or the op's type.
    pub kind: String,
    /// Floating-point operations of convolutions and products (a multiply-add is two), padding counted as data.
    pub flops: u64,
    /// The same without the taps that fall on padding.
    pub useful: u64,
    /// Bytes of the activations read and written, each once.
    pub activations: u64,
    /// Bytes of constants read, as they are stored.
    pub weights: u64,
}

/// The work of a node; nothing for one whose shapes aren't known, and for constants and the model's edges.
pub fn of(model: &Model, id: NodeId) -> Option<Work> {
    let node = model.node(id);
    if matches!(node.op, Op::Parameter(_) | Op::Constant(_) | Op::OpResult(_)) {
        return None;
    }
    let mut work =
        Work { kind: node.op.type_name().to_owned(), flops: 0, useful: 0, activations: 0, weights: 0 };
    for input in node.inputs() {
        let bytes = bytes(model, *input)?;
        match is_constant(model, *input) {
            true => work.weights += bytes,
            false => work.activations += bytes,
        }
    }
    for output in 0..node.outputs().len() {
        work.activations += bytes(model, id.output(output))?;
    }
    if let Some((kind, flops, useful)) = arithmetic(model, node, sizes(model, id.into())?) {
        (work.kind, work.flops, work.useful) = (kind, flops, useful);
    }
    Some(work)
}

/// Kind, operations, and operations without padding of what multiplies and adds.
fn arithmetic(model: &Model, node: &Node, output: Vec<usize>) -> Option<(String, u64, u64)> {
    let data = sizes(model, *node.inputs().first()?)?;
    let weights = sizes(model, *node.inputs().get(1)?)?;
    let count = |sizes: &[usize]| product(sizes.iter().map(|size| *size as u64));
    let (windows, channels, groups) = match &node.op {
        Op::Convolution(op) => (op.windows(&data, &weights).ok()?, weights[1], 1),
        Op::GroupConvolution(op) => (op.windows(&data, &weights).ok()?, weights[2], weights[0]),
        // Every element of the data meets every output channel and every tap.
        Op::ConvolutionBackpropData(_) => {
            let flops = product([2, count(&data), count(weights.get(1..)?)]);
            return Some(("transposed".into(), flops, flops));
        }
        Op::GroupConvolutionBackpropData(_) => {
            let flops = product([2, count(&data), count(weights.get(2..)?)]);
            return Some(("transposed".into(), flops, flops));
        }
        Op::MatMul(op) => {
            let depth = data[data.len().checked_sub(if op.transpose_a { 2 } else { 1 })?];
            let flops = product([2, count(&output), depth as u64]);
            return Some(("dense".into(), flops, flops));
        }
        _ => return None,
    };
    let planes = product([count(&output[..2]), channels as u64]);
    let per_axis = |taps: &dyn Fn(&Window) -> u64| product(windows.iter().map(taps));
    let all = per_axis(&|w| product([w.output as u64, w.kernel as u64]));
    let inside = per_axis(&taps_inside);
    let kind = convolution_kind(&windows, channels, groups);
    Some((kind, product([2, planes, all]), product([2, planes, inside])))
}

/// The taps of all positions that lie on the input: what lies on padding counts for nothing.
fn taps_inside(window: &Window) -> u64 {
    (0..window.kernel).map(|tap| window.positions(tap).len() as u64).sum()
}

/// Files claim any size; what does not fit is as much as fits.
fn product(factors: impl IntoIterator<Item = u64>) -> u64 {
    factors.into_iter().fold(1, u64::saturating_mul)
}

fn convolution_kind(windows: &[Window], channels: usize, groups: usize) -> String {
    let mut kind: Vec<String> = windows.iter().map(|w| w.kernel.to_string()).collect();
    let mut text = kind.join("x");
    if let Some(stride) = windows.iter().map(|w| w.stride).max().filter(|s| *s > 1) {
        text += &format!("/{stride}");
    }
    if windows.iter().any(|w| w.dilation > 1) {
        text += " dilated";
    }
    kind.clear();
    match (groups, channels) {
        (1, 1..=4) => format!("stem {text}"),
        (1, _) => text,
        (_, 1) => format!("depthwise {text}"),
        _ => format!("grouped {text}"),
    }
}

fn sizes(model: &Model, port: Port) -> Option<Vec<usize>> {
    model.ty(port).shape.sizes()
}

fn bytes(model: &Model, port: Port) -> Option<u64> {
    // What is stored narrower and widened on use is read as it is stored.
    let port = widened(model, port).unwrap_or(port);
    let count = ir::element_count(&sizes(model, port)?)?;
    model.ty(port).element_type.byte_len(count).map(|n| n as u64)
}

fn is_constant(model: &Model, port: Port) -> bool {
    model.constant(port).is_some() || widened(model, port).is_some()
}

/// The constant behind a conversion.
fn widened(model: &Model, port: Port) -> Option<Port> {
    let node = model.node(port.node);
    let from = matches!(node.op, Op::Convert(_)).then(|| node.inputs()[0])?;
    model.constant(from).map(|_| from)
}
