//! Chains of multiplications and additions by constants: merged, and taken into weights.

use crate::{
    graph::{self, FEW, add_binary, add_like, map, rank, sole_consumer},
    rule::{Outcome, Refusal, Replacement, Rule, ensure},
    weights,
};
use ir::{
    Model, NodeId, Op, Port, Tensor,
    op::{AutoPad, Binary, BinaryKind, Operator},
};

/// What turns a normalisation into a chain.
pub(crate) const DECOMPOSE: &[Rule] = &[Rule { name: "decompose batch norm", apply: decompose_batch_norm }];

/// What shortens chains and takes them into weights.
pub(crate) const RULES: &[Rule] = &[
    Rule { name: "scale after shift", apply: scale_after_shift },
    Rule { name: "merge scales", apply: merge_scales },
    Rule { name: "merge shifts", apply: merge_shifts },
    Rule { name: "scale into weights before it", apply: scale_behind },
    Rule { name: "scale into weights behind it", apply: scale_before },
    Rule { name: "scale past a shift into weights", apply: scale_past_shift },
    Rule { name: "shift into bias behind it", apply: shift_before },
    Rule { name: "gather into weights", apply: gather_before },
    Rule { name: "gather behind elementwise", apply: gather_after_linear },
];

/// `gamma * (x - mean) / sqrt(variance + epsilon) + beta` with constants is a scale and a shift per channel.
fn decompose_batch_norm(model: &mut Model, id: NodeId) -> Outcome {
    let node = model.node(id);
    let Op::BatchNormInference(op) = &node.op else { return Err(Refusal::NoMatch) };
    let order = if op.data_input == 2 { [2, 0, 1, 3, 4] } else { [0, 1, 2, 3, 4] };
    let [x, gamma, beta, mean, variance] = order.map(|i| node.inputs()[i]);
    let list = |port| -> Result<Vec<f64>, Refusal> {
        let tensor = model.constant(port).ok_or_else(|| Refusal::because("its statistics are computed"))?;
        Ok(tensor.to_f64s())
    };
    let (gamma, beta, mean, variance) = (list(gamma)?, list(beta)?, list(mean)?, list(variance)?);
    let scale: Vec<f64> = gamma.iter().zip(&variance).map(|(g, v)| g / (v + op.epsilon).sqrt()).collect();
    let shift: Vec<f64> = beta.iter().zip(&mean).zip(&scale).map(|((b, m), s)| b - m * s).collect();
    let rank = rank(model, x).ok_or_else(|| Refusal::because("the rank of its input is not known"))?;
    let mut shape = vec![1; rank];
    *shape.get_mut(1).ok_or(Refusal::NoMatch)? = scale.len();
    let ty = model.ty(x).element_type;
    let tensor =
        |values: &[f64]| Tensor::from_f64s(ty, &shape, values).map_err(|e| Refusal::because(e.to_string()));
    let (scale, shift) = (tensor(&scale)?, tensor(&shift)?);
    let name = model.node(id).name.clone();
    // Two nodes can't both be called as the one was; where the scale stays, it goes by the framework's gamma.
    let gamma = model.node(model.node(id).inputs()[order[1]].node).name.clone();
    let scale = model.add_constant(format!("{name}/scale"), scale);
    let shift = model.add_constant(format!("{name}/shift"), shift);
    let scaled = add_binary(model, gamma, BinaryKind::Multiply, x, scale.into())?;
    Ok(add_binary(model, &name, BinaryKind::Add, scaled.into(), shift.into())?.into())
}

/// `x * c` or `x + c`, from whichever of the four functions.
struct Linear {
    x: Port,
    constant: Port,
    kind: BinaryKind,
}

impl Linear {
    /// What a node does, when it is multiplication or addition of a small constant of floats.
    fn of(model: &Model, id: NodeId) -> Option<Self> {
        let node = model.node(id);
        let Op::Binary(Binary { kind, .. }) = node.op else { return None };
        let (a, b) = graph::binary(model, id.into(), kind)?;
        let usable = |port| {
            model
                .constant(port)
                .is_some_and(|t| t.len() <= FEW && t.element_type().is_float() && !t.is_empty())
        };
        let linear = match kind {
            BinaryKind::Add | BinaryKind::Multiply if usable(a) && !usable(b) => {
                Self { x: b, constant: a, kind }
            }
            BinaryKind::Add | BinaryKind::Multiply | BinaryKind::Subtract | BinaryKind::Divide
                if usable(b) =>
            {
                Self { x: a, constant: b, kind }
            }
            _ => return None,
        };
        // The constant must not stretch the data.
        let (from, to) = (model.ty(linear.x), model.ty(id.into()));
        (model.constant(linear.x).is_none() && graph::keeps_shape(&from.shape, &to.shape)).then_some(linear)
    }

    fn is_scale(&self) -> bool {
        matches!(self.kind, BinaryKind::Multiply | BinaryKind::Divide)
    }

    /// The constant as a factor or a summand.
    fn tensor(&self, model: &Model) -> Result<Tensor, Refusal> {
        let tensor = model.constant(self.constant).ok_or(Refusal::NoMatch)?;
        let tensor = match self.kind {
            BinaryKind::Subtract => map(tensor, |v| -v),
            BinaryKind::Divide => map(tensor, |v| 1.0 / v),
            _ => return Ok(tensor.clone()),
        };
        tensor.map_err(|e| Refusal::because(e.to_string()))
    }
}

/// A node of the wanted kind, and the node of the wanted kind before it whose only use it is.
fn chain(model: &Model, id: NodeId, first: bool, second: bool) -> Result<(Linear, Linear), Refusal> {
    let behind = Linear::of(model, id).filter(|l| l.is_scale() == second).ok_or(Refusal::NoMatch)?;
    let before =
        Linear::of(model, behind.x.node).filter(|l| l.is_scale() == first).ok_or(Refusal::NoMatch)?;
    ensure(sole_consumer(model, behind.x).is_some(), || {
        format!("`{}` has other uses", model.node(behind.x.node).name)
    })?;
    Ok((before, behind))
}

/// Both constants by one function, as one.
fn combined(a: &Tensor, b: &Tensor, kind: BinaryKind) -> Result<Tensor, Refusal> {
    let result = Binary::new(kind).evaluate(&[a.clone(), b.clone()]);
    let tensor = result.map_err(|e| Refusal::because(e.to_string()))?.remove(0);
    let limit = a.len().max(b.len());
    ensure(tensor.len() <= limit, || {
        format!("the constants would grow from {limit} to {} elements", tensor.len())
    })?;
    Ok(tensor)
}

/// `(x + b) * s` as `x * s + b * s`.
fn scale_after_shift(model: &mut Model, id: NodeId) -> Outcome {
    let (shift, scale) = chain(model, id, false, true)?;
    let (b, s) = (shift.tensor(model)?, scale.tensor(model)?);
    let product = combined(&b, &s, BinaryKind::Multiply)?;
    let name = model.node(id).name.clone();
    // The names change places: the sum is now what the product was, and the product is neither.
    let inner = model.node(scale.x.node).name.clone();
    let s = model.add_constant(format!("{name}/scale"), s);
    let scaled = add_binary(model, inner, BinaryKind::Multiply, shift.x, s.into())?;
    let product = model.add_constant(format!("{name}/shift"), product);
    Ok(add_binary(model, &name, BinaryKind::Add, scaled.into(), product.into())?.into())
}

/// `(x * a) * b` as `x * (a * b)`.
fn merge_scales(model: &mut Model, id: NodeId) -> Outcome {
    merge(model, id, true, BinaryKind::Multiply, "scale")
}

/// `(x + a) + b` as `x + (a + b)`.
fn merge_shifts(model: &mut Model, id: NodeId) -> Outcome {
    merge(model, id, false, BinaryKind::Add, "shift")
}

fn merge(model: &mut Model, id: NodeId, scales: bool, kind: BinaryKind, what: &str) -> Outcome {
    let (before, behind) = chain(model, id, scales, scales)?;
    let constant = combined(&before.tensor(model)?, &behind.tensor(model)?, kind)?;
    let name = model.node(id).name.clone();
    let constant = model.add_constant(format!("{name}/{what}"), constant);
    Ok(add_binary(model, &name, kind, before.x, constant.into())?.into())
}

/// A convolution or product with constant weights, and what its weights' axes mean.
struct Weighted {
    data: Port,
    weights: Port,
    /// Axes of the weights that together run over the output's channels.
    out: Vec<usize>,
    /// The same of the input's channels.
    input: Vec<usize>,
    /// The channels' axis, counted from the end, in data and output: `rank - 1 - axis`.
    from_end: Option<usize>,
    /// No output sees anything but data: nothing is padded.
    unpadded: bool,
}

impl Weighted {
    fn of(model: &Model, id: NodeId) -> Option<Self> {
        let node = model.node(id);
        let unpadded = |auto: AutoPad, begin: &[i64], end: &[i64]| match auto {
            AutoPad::Valid => true,
            AutoPad::Explicit => begin.iter().chain(end).all(|p| *p == 0),
            AutoPad::SameUpper | AutoPad::SameLower => false,
        };
        let (out, input, unpadded) = match &node.op {
            Op::Convolution(c) => (vec![0], vec![1], unpadded(c.auto_pad, &c.pads_begin, &c.pads_end)),
            Op::GroupConvolution(c) => {
                (vec![0, 1], vec![0, 2], unpadded(c.auto_pad, &c.pads_begin, &c.pads_end))
            }
            // Outputs at the edge see fewer taps.
            Op::ConvolutionBackpropData(_) => (vec![1], vec![0], false),
            Op::GroupConvolutionBackpropData(_) => (vec![0, 2], vec![0, 1], false),
            Op::MatMul(m) if !m.transpose_a => {
                if m.transpose_b {
                    (vec![0], vec![1], true)
                } else {
                    (vec![1], vec![0], true)
                }
            }
            _ => return None,
        };
        let (data, weights) = (node.inputs()[0], node.inputs()[1]);
        let tensor = model.constant(weights).filter(|t| t.element_type().is_float())?;
        let matmul = matches!(node.op, Op::MatMul(_));
        if matmul && tensor.shape().len() != 2 {
            return None;
        }
        Some(Self { data, weights, out, input, from_end: matmul.then_some(0), unpadded })
    }

    fn tensor<'a>(&self, model: &'a Model) -> &'a Tensor {
        model.constant(self.weights).expect("seen in `of`")
    }

    /// The channels' axis in a tensor of `rank` dimensions.
    fn channel_axis(&self, rank: usize) -> Option<usize> {
        match self.from_end {
            Some(back) => rank.checked_sub(1 + back),
            None => (rank > 2).then_some(1),
        }
    }

    fn count(&self, model: &Model, axes: &[usize]) -> usize {
        axes.iter().map(|a| self.tensor(model).shape()[*a]).product()
    }

    /// The weights scaled along `axes`, unless others use them too.
    fn scaled(&self, model: &Model, axes: &[usize], factors: &[f64]) -> Result<Tensor, Refusal> {
        ensure(sole_consumer(model, self.weights).is_some(), || "its weights are shared".to_owned())?;
        weights::scaled(self.tensor(model), axes, factors)
            .ok_or_else(|| Refusal::because("its weights are not of a type that can be scaled"))
    }
}

/// The elements of `constant`, broadcast into a tensor of `rank` dimensions, along `axis`: `count` of them. Refuses
/// when it varies along another axis.
fn along(constant: &Tensor, rank: usize, axis: usize, count: usize) -> Result<Vec<f64>, Refusal> {
    let values = constant.to_f64s();
    if let [value] = values[..] {
        return Ok(vec![value; count]);
    }
    let lead = rank.checked_sub(constant.shape().len()).ok_or(Refusal::NoMatch)?;
    let fits = constant.shape().iter().enumerate().all(|(i, size)| *size == 1 || i + lead == axis);
    ensure(fits && values.len() == count, || {
        format!("the constant of shape {:?} is not one number a channel", constant.shape())
    })?;
    Ok(values)
}

/// `weighted(x) * s`: the outputs' factors go into the weights.
fn scale_behind(model: &mut Model, id: NodeId) -> Outcome {
    let scale = Linear::of(model, id).filter(Linear::is_scale).ok_or(Refusal::NoMatch)?;
    let inner = scale.x.node;
    let weighted = Weighted::of(model, inner).ok_or(Refusal::NoMatch)?;
    ensure(sole_consumer(model, scale.x).is_some(), || {
        format!("`{}` has other uses", model.node(inner).name)
    })?;
    let rank = rank(model, scale.x).ok_or(Refusal::NoMatch)?;
    let axis = weighted.channel_axis(rank).ok_or(Refusal::NoMatch)?;
    let factors = along(&scale.tensor(model)?, rank, axis, weighted.count(model, &weighted.out))?;
    let tensor = weighted.scaled(model, &weighted.out, &factors)?;
    let fused = reweighted(model, inner, weighted.data, tensor)?;
    // A scale whose output has no name is no node of the framework's, but what is left of one.
    let keeps_name = model.output(id.into()).names.is_empty();
    Ok(Replacement { port: fused.into(), keeps_name })
}

/// A convolution or product like `like` with other data and weights.
fn reweighted(model: &mut Model, like: NodeId, data: Port, tensor: Tensor) -> Result<NodeId, Refusal> {
    let old = model.node(like);
    let op = old.op.clone();
    let name = model.node(old.inputs()[1].node).name.clone();
    let weights = model.add_constant(name, tensor);
    let mut inputs = model.node(like).inputs().to_vec();
    inputs[0] = data;
    inputs[1] = weights.into();
    Ok(add_like(model, like, op, &inputs)?)
}

/// `weighted(x * s)`: the inputs' factors go into the weights; zeros around the data stay zeros.
fn scale_before(model: &mut Model, id: NodeId) -> Outcome {
    let weighted = Weighted::of(model, id).ok_or(Refusal::NoMatch)?;
    let scale = Linear::of(model, weighted.data.node).filter(Linear::is_scale).ok_or(Refusal::NoMatch)?;
    let factors = input_values(model, &weighted, &scale)?;
    let tensor = weighted.scaled(model, &weighted.input, &factors)?;
    Ok(reweighted(model, id, scale.x, tensor)?.into())
}

/// `weighted(x * s + b)` as `scaled weights of (x + b / s)`, where the shift can't go because of padding.
fn scale_past_shift(model: &mut Model, id: NodeId) -> Outcome {
    let weighted = Weighted::of(model, id).filter(|w| !w.unpadded).ok_or(Refusal::NoMatch)?;
    let shift = Linear::of(model, weighted.data.node).filter(|l| !l.is_scale()).ok_or(Refusal::NoMatch)?;
    let scale = Linear::of(model, shift.x.node).filter(Linear::is_scale).ok_or(Refusal::NoMatch)?;
    ensure(sole_consumer(model, shift.x).is_some(), || {
        format!("`{}` has other uses", model.node(shift.x.node).name)
    })?;
    let factors = input_values(model, &weighted, &scale)?;
    let inverse = map(&scale.tensor(model)?, |v| 1.0 / v).map_err(|e| Refusal::because(e.to_string()))?;
    let summand = combined(&shift.tensor(model)?, &inverse, BinaryKind::Multiply)?;
    ensure(summand.to_f64s().iter().all(|v| v.is_finite()), || "it scales by zero".to_owned())?;
    let tensor = weighted.scaled(model, &weighted.input, &factors)?;
    let name = model.node(weighted.data.node).name.clone();
    let summand = model.add_constant(format!("{name}/shift"), summand);
    let shifted = add_binary(model, name, BinaryKind::Add, scale.x, summand.into())?;
    Ok(reweighted(model, id, shifted.into(), tensor)?.into())
}

/// `weighted(x + b)` as `weighted(x) + weights * b`, where no padding stands beside the data.
fn shift_before(model: &mut Model, id: NodeId) -> Outcome {
    let weighted = Weighted::of(model, id).ok_or(Refusal::NoMatch)?;
    let shift = Linear::of(model, weighted.data.node).filter(|l| !l.is_scale()).ok_or(Refusal::NoMatch)?;
    ensure(weighted.unpadded, || {
        "zeros are padded around the data behind the addition; a bias would add to them too".to_owned()
    })?;
    ensure(Weighted::of(model, shift.x.node).is_none(), || {
        format!("it is the bias of `{}`, where it costs nothing", model.node(shift.x.node).name)
    })?;
    let values = input_values(model, &weighted, &shift)?;
    let sums = summed(model, &weighted, &values)?;
    let rank = rank(model, id.into()).ok_or(Refusal::NoMatch)?;
    let axis = weighted.channel_axis(rank).ok_or(Refusal::NoMatch)?;
    let mut shape = vec![1; rank];
    shape[axis] = sums.len();
    let bias = Tensor::from_f64s(model.ty(id.into()).element_type, &shape, &sums)
        .map_err(|e| Refusal::because(e.to_string()))?;
    let name = model.node(id).name.clone();
    let op = model.node(id).op.clone();
    let mut inputs = model.node(id).inputs().to_vec();
    inputs[0] = shift.x;
    let product = add_like(model, id, op, &inputs)?;
    let bias = model.add_constant(format!("{name}/bias"), bias);
    let name = model.node(weighted.data.node).name.clone();
    let sum = add_binary(model, name, BinaryKind::Add, product.into(), bias.into())?;
    Ok(Replacement { port: sum.into(), keeps_name: true })
}

fn summed(model: &Model, weighted: &Weighted, values: &[f64]) -> Result<Vec<f64>, Refusal> {
    weights::summed(weighted.tensor(model), &weighted.out, &weighted.input, values)
        .ok_or_else(|| Refusal::because("its weights are not f32"))
}

/// The constant before a weighted op, one number an input channel; the op must be its only use.
fn input_values(model: &Model, weighted: &Weighted, linear: &Linear) -> Result<Vec<f64>, Refusal> {
    ensure(sole_consumer(model, weighted.data).is_some(), || {
        format!("`{}` has other uses", model.node(weighted.data.node).name)
    })?;
    let rank = rank(model, weighted.data).ok_or(Refusal::NoMatch)?;
    let axis = weighted.channel_axis(rank).ok_or(Refusal::NoMatch)?;
    along(&linear.tensor(model)?, rank, axis, weighted.count(model, &weighted.input))
}

/// The source and the picks of a Gather that puts the slices along `axis` into another order.
fn reordering(model: &Model, id: NodeId, axis: usize) -> Option<(Port, Vec<usize>)> {
    let node = model.node(id);
    let Op::Gather(op) = &node.op else { return None };
    let rank = rank(model, node.inputs()[0])?;
    let along = graph::integers(model, node.inputs()[2]).filter(|a| a.len() == 1)?[0];
    if op.batch_dims != 0
        || graph::axis(along, rank) != Some(axis)
        || graph::rank(model, node.inputs()[1]) != Some(1)
    {
        return None;
    }
    let picks = graph::integers(model, node.inputs()[1])?;
    let order = crate::permutation::Permutation::from_order(&picks, picks.len())?;
    let count = graph::dims(model, node.inputs()[0])?[axis].size()?;
    (count == picks.len()).then(|| (node.inputs()[0], order.axes().to_vec()))
}

/// `conv(channels reordered)`: the weights' input channels are reordered instead.
fn gather_before(model: &mut Model, id: NodeId) -> Outcome {
    let weighted = Weighted::of(model, id).ok_or(Refusal::NoMatch)?;
    let rank = rank(model, weighted.data).ok_or(Refusal::NoMatch)?;
    let axis = weighted.channel_axis(rank).ok_or(Refusal::NoMatch)?;
    let (source, picks) = reordering(model, weighted.data.node, axis).ok_or(Refusal::NoMatch)?;
    let [along] = weighted.input[..] else {
        return Err(Refusal::because("the channels of a grouped convolution can't change groups"));
    };
    let inverse = crate::permutation::Permutation::new(picks).inverse();
    let tensor = weights::gathered(weighted.tensor(model), along, inverse.axes())
        .ok_or_else(|| Refusal::because("its weights can't be reordered"))?;
    Ok(reweighted(model, id, source, tensor)?.into())
}

/// A linear step behind a reordering of channels goes before it, its constant reordered; then the reordering can
/// reach the weights.
fn gather_after_linear(model: &mut Model, id: NodeId) -> Outcome {
    let linear = Linear::of(model, id).ok_or(Refusal::NoMatch)?;
    let gather = linear.x.node;
    let rank = rank(model, linear.x).ok_or(Refusal::NoMatch)?;
    let (axis, (source, picks)) =
        (0..rank).find_map(|axis| Some((axis, reordering(model, gather, axis)?))).ok_or(Refusal::NoMatch)?;
    ensure(sole_consumer(model, linear.x).is_some(), || {
        format!("`{}` has other uses", model.node(gather).name)
    })?;
    let constant = linear.tensor(model)?;
    let position = (axis + constant.shape().len()).checked_sub(rank);
    let constant = match position {
        Some(at) if constant.shape()[at] != 1 => {
            let inverse = crate::permutation::Permutation::new(picks).inverse();
            weights::gathered(&constant, at, inverse.axes())
                .ok_or_else(|| Refusal::because("the constant can't be reordered"))?
        }
        _ => constant,
    };
    let kind = if linear.is_scale() { BinaryKind::Multiply } else { BinaryKind::Add };
    let name = model.node(id).name.clone();
    let constant = model.add_constant(format!("{name}/constant"), constant);
    let inner = add_binary(model, &name, kind, source, constant.into())?;
    let (op, mut inputs) = (model.node(gather).op.clone(), model.node(gather).inputs().to_vec());
    inputs[0] = inner.into();
    let moved = add_like(model, gather, op, &inputs)?;
    Ok(Replacement { port: moved.into(), keeps_name: true })
}
