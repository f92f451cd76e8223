//! Pads taken into the windows that follow, and blocks of space in the batch that are a dilation.

use crate::{
    graph::{add_like, integers, scalar, sole_consumer},
    rule::{Outcome, Refusal, Rule, ensure},
};
use ir::{
    Model, NodeId, Op, Port,
    op::{AutoPad, BinaryKind, PadMode, RoundingType, Unary},
};

pub(crate) const RULES: &[Rule] = &[
    Rule { name: "pad into window", apply: pad_into_window },
    Rule { name: "blocks into dilation", apply: blocks_into_dilation },
];

/// A Pad with known amounts, of which only spatial dimensions get any.
struct Padding {
    source: Port,
    begin: Vec<i64>,
    end: Vec<i64>,
    value: f64,
}

fn padding(model: &Model, id: NodeId) -> Result<Padding, Refusal> {
    let node = model.node(id);
    let Op::Pad(pad) = &node.op else { return Err(Refusal::NoMatch) };
    ensure(pad.pad_mode == PadMode::Constant, || "it pads with the data's own elements".to_owned())?;
    let list = |i: usize| {
        integers(model, node.inputs()[i])
            .ok_or_else(|| Refusal::because("the amounts of padding are computed"))
    };
    let (begin, end) = (list(1)?, list(2)?);
    let value = match node.inputs().get(3) {
        Some(port) => scalar(model, *port).ok_or_else(|| Refusal::because("the padded value is computed"))?,
        None => 0.0,
    };
    ensure(begin.len() > 2 && begin.len() == end.len(), || "there are no spatial dimensions".to_owned())?;
    ensure(begin.iter().chain(&end).all(|p| *p >= 0), || "it crops".to_owned())?;
    let outer = begin[..2].iter().chain(&end[..2]);
    ensure(outer.copied().all(|p| p == 0), || "it pads batches or channels".to_owned())?;
    Ok(Padding { source: node.inputs()[0], begin: begin[2..].to_vec(), end: end[2..].to_vec(), value })
}

/// The padding that a window's attributes say, when they say it outright.
fn explicit(auto_pad: AutoPad, pads: &[i64], rank: usize) -> Result<Vec<i64>, Refusal> {
    match auto_pad {
        AutoPad::Valid => Ok(vec![0; rank]),
        AutoPad::Explicit if pads.len() == rank => Ok(pads.to_vec()),
        AutoPad::Explicit => Err(Refusal::because("the window's padding does not fit its dimensions")),
        _ => Err(Refusal::because("the window's own padding depends on the size of its input")),
    }
}

fn sum(a: &[i64], b: &[i64]) -> Vec<i64> {
    a.iter().zip(b).map(|(a, b)| a.saturating_add(*b)).collect()
}

fn pad_into_window(model: &mut Model, id: NodeId) -> Outcome {
    let node = model.node(id);
    let mut op = node.op.clone();
    let mut inputs = node.inputs().to_vec();
    if !matches!(
        op,
        Op::Convolution(_) | Op::GroupConvolution(_) | Op::MaxPool(_) | Op::MaxPool8(_) | Op::AvgPool(_)
    ) {
        return Err(Refusal::NoMatch);
    }
    let pad = padding(model, inputs[0].node)?;
    let rank = pad.begin.len();
    let zero = || ensure(pad.value == 0.0, || format!("it pads with {}, a convolution with 0", pad.value));
    macro_rules! widen {
        ($op:expr) => {{
            let begin = explicit($op.auto_pad, &$op.pads_begin, rank)?;
            let end = explicit($op.auto_pad, &$op.pads_end, rank)?;
            $op.pads_begin = sum(&begin, &pad.begin);
            $op.pads_end = sum(&end, &pad.end);
            $op.auto_pad = AutoPad::Explicit;
        }};
    }
    let floor = |rounding: RoundingType| {
        ensure(rounding == RoundingType::Floor, || "the number of windows is rounded up".to_owned())
    };
    match &mut op {
        Op::Convolution(c) => {
            zero()?;
            widen!(c);
        }
        Op::GroupConvolution(c) => {
            zero()?;
            widen!(c);
        }
        Op::MaxPool(p) => {
            floor(p.rounding_type)?;
            widen!(p);
            let reach: Vec<usize> = p.kernel.clone();
            maximum_ignores(model, &pad, &p.pads_begin, &p.pads_end, &reach)?;
        }
        Op::MaxPool8(p) => {
            floor(p.rounding_type)?;
            ensure(model.consumers(id.output(1)).is_empty(), || {
                "the positions of the maxima are in use; they count the padding".to_owned()
            })?;
            ensure(p.dilations.iter().all(|d| *d == 1), || "its window is dilated".to_owned())?;
            widen!(p);
            let reach: Vec<usize> = p.kernel.clone();
            maximum_ignores(model, &pad, &p.pads_begin, &p.pads_end, &reach)?;
        }
        Op::AvgPool(p) => {
            floor(p.rounding_type)?;
            ensure(pad.value == 0.0, || format!("it pads with {}, and those count in the mean", pad.value))?;
            let own = [&p.pads_begin, &p.pads_end].iter().any(|pads| pads.iter().any(|v| *v != 0));
            ensure(!own || !p.exclude_pad || p.auto_pad == AutoPad::Valid, || {
                "the mean leaves out the window's own padding, but not this".to_owned()
            })?;
            widen!(p);
            p.exclude_pad = false;
        }
        _ => return Err(Refusal::NoMatch),
    }
    inputs[0] = pad.source;
    Ok(add_like(model, id, op, &inputs)?.into())
}

/// Demands that the padded value never is a maximum: it is minus infinity, or no element is below it and every
/// window holds an element.
fn maximum_ignores(
    model: &Model,
    pad: &Padding,
    begin: &[i64],
    end: &[i64],
    kernel: &[usize],
) -> Result<(), Refusal> {
    let small = begin.iter().chain(end).zip(kernel.iter().chain(kernel)).all(|(p, k)| *p < *k as i64);
    ensure(small, || "a window may lie wholly in the padding".to_owned())?;
    let ignored = pad.value == f64::NEG_INFINITY || pad.value <= 0.0 && never_negative(model, pad.source);
    ensure(ignored, || {
        format!("it pads with {}, which can be the maximum where all elements are less", pad.value)
    })
}

/// Nodes looked at before the answer is "not known".
const MOST_LOOKED_AT: usize = 256;

/// True when no element at `port` can be negative.
pub(crate) fn never_negative(model: &Model, port: Port) -> bool {
    let mut open = vec![port];
    for _ in 0..MOST_LOOKED_AT {
        let Some(port) = open.pop() else { return true };
        let node = model.node(port.node);
        match &node.op {
            Op::Unary(
                Unary::Relu
                | Unary::Sigmoid
                | Unary::Exp
                | Unary::Abs
                | Unary::HSigmoid
                | Unary::Sqrt
                | Unary::SoftPlus,
            )
            | Op::Softmax(_)
            | Op::HardSigmoid(_) => {}
            Op::Clamp(clamp) if clamp.min >= 0.0 => {}
            Op::Constant(constant) if constant.tensor.to_f64s().iter().all(|v| *v >= 0.0) => {}
            Op::Binary(op)
                if matches!(op.kind, BinaryKind::Add | BinaryKind::Multiply | BinaryKind::Minimum) =>
            {
                open.extend(node.inputs());
            }
            // Zeros join non-negative data.
            Op::Pad(pad) if pad.pad_mode != PadMode::Constant => open.push(node.inputs()[0]),
            Op::MaxPool(_)
            | Op::AvgPool(_)
            | Op::Transpose(_)
            | Op::Reshape(_)
            | Op::Squeeze(_)
            | Op::Unsqueeze(_)
            | Op::Split(_)
            | Op::StridedSlice(_)
            | Op::Slice(_) => open.push(node.inputs()[0]),
            Op::MaxPool8(_) if port.index == 0 => open.push(node.inputs()[0]),
            Op::Concat(_) => open.extend(node.inputs()),
            _ => return false,
        }
    }
    false
}

/// `BatchToSpace(convolution(SpaceToBatch(x)))`, as frameworks wrote dilated convolutions: blocks become the
/// dilation, what is padded and not cropped again becomes the padding.
fn blocks_into_dilation(model: &mut Model, id: NodeId) -> Outcome {
    let Op::BatchToSpace(_) = model.node(id).op else { return Err(Refusal::NoMatch) };
    let behind = model.node(id).inputs().to_vec();
    let inner = behind[0].node;
    let mut op = model.node(inner).op.clone();
    if !matches!(op, Op::Convolution(_) | Op::GroupConvolution(_)) {
        return Err(Refusal::NoMatch);
    }
    let mut inputs = model.node(inner).inputs().to_vec();
    let spread = model.node(inputs[0].node);
    let Op::SpaceToBatch(_) = spread.op else { return Err(Refusal::NoMatch) };
    let before = spread.inputs().to_vec();
    for port in [behind[0], inputs[0]] {
        ensure(sole_consumer(model, port).is_some(), || {
            format!("`{}` has other uses", model.node(port.node).name)
        })?;
    }
    let list = |port| integers(model, port).ok_or_else(|| Refusal::because("its blocks are computed"));
    let (block, pad_begin, pad_end) = (list(before[1])?, list(before[2])?, list(before[3])?);
    let (block_behind, crop_begin, crop_end) = (list(behind[1])?, list(behind[2])?, list(behind[3])?);
    ensure(block == block_behind, || format!("the blocks are {block:?} and then {block_behind:?}"))?;
    ensure(block.len() > 2 && block[..2] == [1, 1], || "it takes blocks of channels".to_owned())?;
    let pads = |pad: &[i64], crop: &[i64]| -> Result<Vec<i64>, Refusal> {
        let pads: Vec<i64> = pad.iter().zip(crop).map(|(p, c)| p.saturating_sub(*c)).collect();
        ensure(pads.iter().all(|p| *p >= 0), || "more is cropped than was padded".to_owned())?;
        Ok(pads[2..].to_vec())
    };
    let (begin, end) = (pads(&pad_begin, &crop_begin)?, pads(&pad_end, &crop_end)?);
    macro_rules! dilate {
        ($c:expr) => {{
            let rank = begin.len();
            ensure($c.strides.iter().all(|s| *s == 1), || "the convolution strides".to_owned())?;
            let own =
                [explicit($c.auto_pad, &$c.pads_begin, rank)?, explicit($c.auto_pad, &$c.pads_end, rank)?];
            ensure(own.iter().flatten().all(|p| *p == 0), || "the convolution pads every block".to_owned())?;
            let factors = block[2..].iter().map(|b| usize::try_from(*b).ok().filter(|b| *b > 0));
            let factors: Option<Vec<usize>> = factors.collect();
            let factors = factors.ok_or_else(|| Refusal::because("a block is not positive"))?;
            $c.dilations = $c.dilations.iter().zip(factors).map(|(d, f)| d.saturating_mul(f)).collect();
            ($c.pads_begin, $c.pads_end, $c.auto_pad) = (begin, end, AutoPad::Explicit);
        }};
    }
    match &mut op {
        Op::Convolution(c) => dilate!(c),
        Op::GroupConvolution(c) => dilate!(c),
        _ => return Err(Refusal::NoMatch),
    }
    inputs[0] = before[0];
    Ok(add_like(model, inner, op, &inputs)?.into())
}
