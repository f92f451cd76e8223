//! The table of layers: which ops the overlay takes, each with its limits.

use super::{
    action::Action,
    convolution,
    image::Image,
    legality::{Judgement, Reasons},
    movement, pointwise, pooling,
};
use ir::{
    NodeId, Op,
    op::{BinaryKind, ReduceKind, Unary},
};

/// What a node that computes becomes, and the images that it gives.
pub(crate) fn action(judgement: &Judgement, id: NodeId) -> Result<(Action, Vec<Image>), Reasons> {
    let node = judgement.model.node(id);
    match &node.op {
        Op::Convolution(_) | Op::GroupConvolution(_) => convolution::forward(judgement, id),
        Op::ConvolutionBackpropData(_) | Op::GroupConvolutionBackpropData(_) => {
            convolution::transposed(judgement, id)
        }
        Op::MatMul(op) => convolution::product(judgement, id, op),
        Op::MaxPool(_) | Op::MaxPool8(_) | Op::AvgPool(_) => pooling::pool(judgement, id),
        Op::Reduce(op) if op.kind == ReduceKind::Mean => pooling::mean(judgement, id),
        Op::Interpolate(op) => pooling::resample(judgement, id, op),
        Op::Unary(Unary::Relu) | Op::PRelu(_) | Op::Elu(_) | Op::Clamp(_) => {
            pointwise::activation(judgement, id)
        }
        Op::Binary(op) => match op.kind {
            BinaryKind::Add | BinaryKind::Subtract | BinaryKind::Multiply | BinaryKind::Divide => {
                pointwise::binary(judgement, id, op)
            }
            BinaryKind::Power => pointwise::power(judgement, id),
            _ => Err(vec!["the overlay has no such element-wise unit".to_owned()]),
        },
        Op::BatchNormInference(op) => pointwise::batch_norm(judgement, id, op),
        Op::Lrn(op) => pointwise::normalisation(judgement, id, op),
        Op::Concat(op) => movement::concat(judgement, id, op),
        Op::Split(_) | Op::VariadicSplit(_) => movement::split(judgement, id),
        Op::Slice(_) => movement::slice(judgement, id),
        Op::Convert(_) => movement::convert(judgement, id),
        Op::Reshape(_) | Op::Squeeze(_) => movement::flatten(judgement, id),
        _ => Err(vec!["the overlay has no unit for it: it runs on another device".to_owned()]),
    }
}
