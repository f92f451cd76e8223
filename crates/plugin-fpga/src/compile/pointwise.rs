//! What happens to each value: scales and shifts, additions, activations, normalisation over channels.

use super::{
    action::{Action, Affine, Curve, Norm, Sign},
    image::Image,
    legality::{Judgement, Reasons},
};
use crate::architecture::Primitive;
use ir::{
    NodeId, Op, Port,
    op::{AutoBroadcast, BatchNormInference, Binary, BinaryKind, Lrn},
};

fn refuse<T>(why: impl Into<String>) -> Result<T, Reasons> {
    Err(vec![why.into()])
}

/// The numbers of a constant by the channels of `data`.
fn by_channel(judgement: &Judgement, data: Port, constant: Port) -> Result<Vec<f32>, Reasons> {
    let image = judgement.image(data)?;
    let channels = image.lanes.count();
    let rank = judgement.model.ty(data).shape.rank().unwrap_or(0);
    // The channels' axis, from the last.
    let axis = if rank == 4 { 2 } else { 0 };
    let shape = judgement.constants.shape(constant).unwrap_or_default();
    let fits = |(at, size): (usize, &usize)| *size == 1 || at == axis && *size == channels;
    if shape.len() > rank || !shape.iter().rev().enumerate().all(fits) {
        return refuse(format!(
            "constants of one number, or one for each of the {channels} channels, are taken, found {shape:?}"
        ));
    }
    let Some(values) = judgement.constants.floats(constant) else {
        return refuse("the constant must be f32 or f16");
    };
    Ok(if values.len() == 1 { vec![values[0]; channels] } else { values.into_owned() })
}

/// Arithmetic with a constant, or of two maps.
pub(crate) fn binary(
    judgement: &Judgement,
    id: NodeId,
    op: &Binary,
) -> Result<(Action, Vec<Image>), Reasons> {
    let node = judgement.model.node(id);
    if op.auto_broadcast == AutoBroadcast::Pdpd {
        return refuse("broadcasting as of PaddlePaddle is not taken");
    }
    if let Some((map, constant)) = judgement.map_and_constant(node) {
        let data = node.inputs()[map];
        let image = judgement.image(data)?;
        let values = by_channel(judgement, data, node.inputs()[constant])?;
        let mut affine = Affine::identity(values.len());
        match (op.kind, map) {
            (BinaryKind::Add, _) => affine.shifts = values,
            (BinaryKind::Subtract, 0) => affine.shifts = values.iter().map(|value| -value).collect(),
            (BinaryKind::Subtract, _) => {
                affine.scales.fill(-1.0);
                affine.shifts = values;
            }
            (BinaryKind::Multiply, _) => affine.scales = values,
            (_, 0) => affine.scales = values.iter().map(|value| 1.0 / value).collect(),
            _ => return refuse("a division by a feature map is not taken"),
        }
        return Ok((Action::Affine(data, affine), vec![judgement.output_like(id.into(), &image)?]));
    }
    let sign = match op.kind {
        BinaryKind::Add => Sign::Plus,
        BinaryKind::Subtract => Sign::Minus,
        BinaryKind::Multiply => return refuse("a product of two feature maps is not taken"),
        _ => return refuse("a quotient of two feature maps is not taken"),
    };
    let [a, b] = *node.inputs() else { return refuse("it takes two inputs") };
    let (left, right) = (judgement.image(a)?, judgement.image(b)?);
    if left.sizes() != right.sizes() {
        return refuse(format!(
            "feature maps of one size are added, found {:?} and {:?}",
            left.sizes(),
            right.sizes()
        ));
    }
    if !left.lanes.is_contiguous() || !right.lanes.is_contiguous() {
        return refuse(format!(
            "feature maps are added where their channels lie one after the other; a concatenation before has parts \
             that are no multiples of {} channels",
            judgement.vector()
        ));
    }
    Ok((Action::Add([a, b], sign), vec![judgement.output(id.into())?]))
}

/// Powers: only the first.
pub(crate) fn power(judgement: &Judgement, id: NodeId) -> Result<(Action, Vec<Image>), Reasons> {
    let node = judgement.model.node(id);
    let data = node.inputs()[0];
    let exponent = node.inputs().get(1).and_then(|port| judgement.constants.floats(*port));
    match exponent.as_deref() {
        Some([1.0]) => {
            let image = judgement.image(data)?;
            Ok((Action::Same(data), vec![judgement.output_like(id.into(), &image)?]))
        }
        Some([exponent]) => refuse(format!("the exponent 1 is taken, found {exponent}")),
        _ => refuse("the exponent must be a constant number"),
    }
}

/// Batch normalisation with known statistics.
pub(crate) fn batch_norm(
    judgement: &Judgement,
    id: NodeId,
    op: &BatchNormInference,
) -> Result<(Action, Vec<Image>), Reasons> {
    let inputs = judgement.model.node(id).inputs();
    let order = if op.data_input == 2 { [2, 0, 1, 3, 4] } else { [0, 1, 2, 3, 4] };
    let data = inputs[order[0]];
    let image = judgement.image(data)?;
    let known = |at: usize| {
        let values = judgement.constants.floats(inputs[order[at]]);
        values.ok_or_else(|| vec!["the statistics must be constants".to_owned()])
    };
    let (gamma, beta, mean, variance) = (known(1)?, known(2)?, known(3)?, known(4)?);
    let scale = |(gamma, variance): (&f32, &f32)| {
        (f64::from(*gamma) / (f64::from(*variance) + op.epsilon).sqrt()) as f32
    };
    let scales: Vec<f32> = gamma.iter().zip(variance.iter()).map(scale).collect();
    let shift = |((beta, mean), scale): ((&f32, &f32), &f32)| beta - mean * scale;
    let shifts = beta.iter().zip(mean.iter()).zip(&scales).map(shift).collect();
    Ok((Action::Affine(data, Affine { scales, shifts }), vec![judgement.output_like(id.into(), &image)?]))
}

/// Activations.
pub(crate) fn activation(judgement: &Judgement, id: NodeId) -> Result<(Action, Vec<Image>), Reasons> {
    let node = judgement.model.node(id);
    let data = node.inputs()[0];
    let image = judgement.image(data)?;
    let curve = match &node.op {
        Op::Elu(op) => {
            judgement.needs(Primitive::Elu)?;
            Curve::Elu(op.alpha)
        }
        Op::Clamp(op) if op.min == 0.0 && op.max >= 65504.0 => Curve::Relu(0.0),
        Op::Clamp(op) => {
            judgement.needs(Primitive::Clamp)?;
            if op.min > 0.0 || op.max < 0.0 {
                return refuse(format!("bounds around 0 are taken, found {} to {}", op.min, op.max));
            }
            Curve::Clamp([op.min as f32, op.max as f32])
        }
        Op::PRelu(_) => match node.inputs().get(1).and_then(|port| judgement.constants.floats(*port)) {
            None => return refuse("the slopes must be constants"),
            Some(slopes) if slopes.len() == 1 => Curve::Relu(slopes[0]),
            Some(slopes) => {
                judgement.needs(Primitive::Prelu)?;
                let channels = image.lanes.count();
                if judgement.constants.shape(node.inputs()[1]) == Some(&[channels]) {
                    Curve::Slopes(slopes.into_owned())
                } else {
                    Curve::Slopes(by_channel(judgement, data, node.inputs()[1])?)
                }
            }
        },
        _ => Curve::Relu(0.0),
    };
    Ok((Action::Activate(data, curve), vec![judgement.output_like(id.into(), &image)?]))
}

/// Local response normalisation across channels.
pub(crate) fn normalisation(
    judgement: &Judgement,
    id: NodeId,
    op: &Lrn,
) -> Result<(Action, Vec<Image>), Reasons> {
    let [data, axes] = *judgement.model.node(id).inputs() else { return refuse("it takes two inputs") };
    let image = judgement.image(data)?;
    judgement.needs(Primitive::Lrn)?;
    if !matches!(judgement.constants.integers(axes).as_deref(), Some([1 | -3])) {
        return refuse("it is taken across channels, not over places");
    }
    if op.size > 255 || op.size.is_multiple_of(2) {
        return refuse(format!("an odd number of channels up to 255 is taken, found {}", op.size));
    }
    if !image.lanes.is_contiguous() {
        return refuse(
            "channels must lie one after the other; a concatenation before left gaps between them",
        );
    }
    let norm = Norm {
        size: op.size as u8,
        weight: (op.alpha / op.size as f64) as f32,
        bias: op.bias as f32,
        power: op.beta,
    };
    Ok((Action::Normalise(data, norm), vec![judgement.output_like(id.into(), &image)?]))
}
