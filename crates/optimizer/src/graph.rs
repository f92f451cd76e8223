//! What rules ask of a graph, and how they add to it.

use ir::{
    Dim, Model, ModelError, NodeId, Op, PartialShape, Port, Tensor,
    op::{Binary, BinaryKind, OpError, Unary, Value},
};

/// The number of elements up to which constants are handled as lists of numbers.
pub(crate) const FEW: usize = 1 << 16;

/// The one use of `port`, when there is exactly one.
pub(crate) fn sole_consumer(model: &Model, port: Port) -> Option<NodeId> {
    match model.consumers(port)[..] {
        [(node, _)] => Some(node),
        _ => None,
    }
}

/// What is known of all elements at `port`: a constant, or a value that follows from shapes.
pub(crate) fn known(model: &Model, port: Port) -> Option<&Tensor> {
    model.constant(port).or_else(|| match &model.output(port).value {
        Some(Value::Known(tensor)) => Some(tensor),
        _ => None,
    })
}

/// The integers at `port`, when they are known.
pub(crate) fn integers(model: &Model, port: Port) -> Option<Vec<i64>> {
    known(model, port).filter(|t| t.len() <= FEW && !t.element_type().is_float()).map(Tensor::to_i64s)
}

/// The one number at `port`, when it is a constant of one element.
pub(crate) fn scalar(model: &Model, port: Port) -> Option<f64> {
    let tensor = model.constant(port).filter(|t| t.len() == 1)?;
    tensor.to_f64s().first().copied()
}

/// The number that all elements of a small constant are.
pub(crate) fn uniform(model: &Model, port: Port) -> Option<f64> {
    let values = model.constant(port).filter(|t| !t.is_empty() && t.len() <= FEW)?.to_f64s();
    values.iter().all(|v| *v == values[0]).then(|| values[0])
}

/// The dimensions at `port`, when the rank is known.
pub(crate) fn dims(model: &Model, port: Port) -> Option<&[Dim]> {
    model.ty(port).shape.dims()
}

/// The rank at `port`.
pub(crate) fn rank(model: &Model, port: Port) -> Option<usize> {
    model.ty(port).shape.rank()
}

/// Axes as they stand in files, negative ones counted from the end, as indices; sorted, without repetition.
pub(crate) fn axes(values: &[i64], rank: usize) -> Option<Vec<usize>> {
    let mut axes: Vec<usize> = values.iter().map(|v| axis(*v, rank)).collect::<Option<_>>()?;
    axes.sort_unstable();
    axes.dedup();
    Some(axes)
}

/// An axis as it stands in files, as an index.
pub(crate) fn axis(value: i64, rank: usize) -> Option<usize> {
    let rank = i64::try_from(rank).ok()?;
    let index = if value < 0 { value.checked_add(rank)? } else { value };
    (0..rank).contains(&index).then_some(index as usize)
}

/// The pattern that reshapes to `shape` whatever its one unknown dimension is; `None` when it has more, or zeros.
pub(crate) fn reshape_pattern(shape: &PartialShape) -> Option<Vec<i64>> {
    let dims = shape.dims()?;
    let unknown = dims.iter().filter(|d| d.value().is_none()).count();
    let fine = unknown <= 1 && dims.iter().all(|d| d.value() != Some(0));
    fine.then(|| dims.iter().map(|d| d.value().unwrap_or(-1)).collect())
}

/// True when tensors of the two shapes have the same dimensions whatever the unknown ones are; one unknown
/// dimension is enough known when the number of elements is the same.
pub(crate) fn same_dims(a: &PartialShape, b: &PartialShape) -> bool {
    a == b && (a.is_fixed() || reshape_pattern(a).is_some())
}

/// True when an elementwise op that takes `from` and gives `to` does not stretch it.
pub(crate) fn keeps_shape(from: &PartialShape, to: &PartialShape) -> bool {
    match (from.dims(), to.dims()) {
        // An unknown dimension can only be stretched when the output knows it.
        (Some(a), Some(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b),
        _ => false,
    }
}

/// Adds a node in place of `like`: same name, run-time information and unread attributes.
pub(crate) fn add_like(
    model: &mut Model,
    like: NodeId,
    op: impl Into<Op>,
    inputs: &[Port],
) -> Result<NodeId, ModelError> {
    let old = model.node(like);
    let (name, rt_info, residue) = (old.name.clone(), old.rt_info.clone(), old.residue.clone());
    let id = model.add(name, op, inputs)?;
    let node = model.node_mut(id);
    node.rt_info = rt_info;
    node.residue = residue;
    Ok(id)
}

/// Adds an elementwise function of two tensors.
pub(crate) fn add_binary(
    model: &mut Model,
    name: impl Into<String>,
    kind: BinaryKind,
    a: Port,
    b: Port,
) -> Result<NodeId, ModelError> {
    model.add(name, Binary::new(kind), &[a, b])
}

/// The operands of `port` when it comes from a function `kind` with numpy's broadcasting.
pub(crate) fn binary(model: &Model, port: Port, kind: BinaryKind) -> Option<(Port, Port)> {
    let node = model.node(port.node);
    match &node.op {
        Op::Binary(op) if *op == Binary::new(kind) => Some((node.inputs()[0], node.inputs()[1])),
        _ => None,
    }
}

/// Both orders of the operands of a commutative function.
pub(crate) fn either(
    model: &Model,
    port: Port,
    kind: BinaryKind,
) -> impl Iterator<Item = (Port, Port)> + use<> {
    binary(model, port, kind).into_iter().flat_map(|(a, b)| [(a, b), (b, a)])
}

/// The other operand and the number when `port` is a commutative function of something and one number.
pub(crate) fn with_scalar(model: &Model, port: Port, kind: BinaryKind) -> Option<(Port, f64)> {
    either(model, port, kind).find_map(|(a, b)| Some((a, scalar(model, b)?)))
}

/// The argument of `port` when it comes from `function`.
pub(crate) fn unary(model: &Model, port: Port, function: Unary) -> Option<Port> {
    let node = model.node(port.node);
    (node.op == Op::Unary(function)).then(|| node.inputs()[0])
}

/// The factor `k` and the argument when `port` is `x * k` or `x / (1 / k)`.
pub(crate) fn scaled(model: &Model, port: Port) -> Option<(Port, f64)> {
    with_scalar(model, port, BinaryKind::Multiply).or_else(|| {
        let (x, d) = binary(model, port, BinaryKind::Divide)?;
        Some((x, 1.0 / scalar(model, d)?))
    })
}

/// True when `a` and `b` are equal but for rounding to f32.
pub(crate) fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * b.abs().max(1e-30)
}

/// A tensor shaped like `tensor` with every element through `f`. Meant for constants of few elements.
pub(crate) fn map(tensor: &Tensor, f: impl Fn(f64) -> f64) -> Result<Tensor, OpError> {
    let values: Vec<f64> = tensor.to_f64s().into_iter().map(f).collect();
    Ok(Tensor::from_f64s(tensor.element_type(), tensor.shape(), &values)?)
}
