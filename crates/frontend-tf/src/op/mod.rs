//! The TensorFlow ops that can be converted: one table, [`find`]; one module a family.
//!
//! To add an op: a function in its family's module, and a row. A function reads every attribute that bears on the
//! result through its [`Scope`]; attributes that nobody reads are refused.

mod block;
mod convolution;
mod elementwise;
mod generate;
mod interpolate;
mod io;
mod layout;
mod matmul;
mod movement;
mod normalization;
mod pooling;
mod quantize;
mod reduce;
mod reshape;
mod topk;

pub(crate) use io::merge;

use crate::scope::{Converted, Scope};
use ir::{
    ElementType,
    op::{BinaryKind, IsFinite, IsInf, IsNan, PadMode, ReduceKind, TopKMode, Unary},
};
use std::{collections::HashMap, sync::OnceLock};

/// Converts one node.
pub(crate) type Converter = fn(&mut Scope) -> Converted;

/// The converter of an op type.
pub(crate) fn find(op: &str) -> Option<Converter> {
    static INDEX: OnceLock<HashMap<&str, Converter>> = OnceLock::new();
    INDEX.get_or_init(|| TABLE.iter().copied().collect()).get(op).copied()
}

const TABLE: &[(&str, Converter)] = &[
    // Where data enters, and what only hands it on
    ("Const", io::constant),
    ("Placeholder", io::placeholder),
    ("PlaceholderV2", io::placeholder),
    ("PlaceholderWithDefault", io::placeholder_with_default),
    ("Identity", io::identity),
    ("IdentityN", io::identities),
    ("StopGradient", io::identity),
    ("PreventGradient", io::identity),
    ("Print", io::identity),
    ("RefIdentity", io::identity),
    ("CheckNumerics", io::identity),
    ("CheckNumericsV2", io::identity),
    ("Snapshot", io::identity),
    ("EnsureShape", io::identity),
    ("Switch", io::switch),
    ("RefSwitch", io::switch),
    // Functions of one tensor
    ("Abs", |s| elementwise::unary(s, Unary::Abs)),
    ("Acos", |s| elementwise::unary(s, Unary::Acos)),
    ("Acosh", |s| elementwise::unary(s, Unary::Acosh)),
    ("Asin", |s| elementwise::unary(s, Unary::Asin)),
    ("Asinh", |s| elementwise::unary(s, Unary::Asinh)),
    ("Atan", |s| elementwise::unary(s, Unary::Atan)),
    ("Atanh", |s| elementwise::unary(s, Unary::Atanh)),
    ("Ceil", |s| elementwise::unary(s, Unary::Ceiling)),
    ("Cos", |s| elementwise::unary(s, Unary::Cos)),
    ("Cosh", |s| elementwise::unary(s, Unary::Cosh)),
    ("Erf", |s| elementwise::unary(s, Unary::Erf)),
    ("Exp", |s| elementwise::unary(s, Unary::Exp)),
    ("Floor", |s| elementwise::unary(s, Unary::Floor)),
    ("Log", |s| elementwise::unary(s, Unary::Log)),
    ("LogicalNot", |s| elementwise::unary(s, Unary::LogicalNot)),
    ("Mish", |s| elementwise::unary(s, Unary::Mish)),
    ("Neg", |s| elementwise::unary(s, Unary::Negative)),
    ("Relu", |s| elementwise::unary(s, Unary::Relu)),
    ("Sigmoid", |s| elementwise::unary(s, Unary::Sigmoid)),
    ("Sign", |s| elementwise::unary(s, Unary::Sign)),
    ("Sin", |s| elementwise::unary(s, Unary::Sin)),
    ("Sinh", |s| elementwise::unary(s, Unary::Sinh)),
    ("Softplus", |s| elementwise::unary(s, Unary::SoftPlus)),
    ("Softsign", |s| elementwise::unary(s, Unary::SoftSign)),
    ("Sqrt", |s| elementwise::unary(s, Unary::Sqrt)),
    ("Tan", |s| elementwise::unary(s, Unary::Tan)),
    ("Tanh", |s| elementwise::unary(s, Unary::Tanh)),
    ("Cast", elementwise::cast),
    ("Elu", elementwise::elu),
    ("Erfc", elementwise::erfc),
    ("Expm1", elementwise::expm1),
    ("Inv", elementwise::reciprocal),
    ("IsFinite", |s| elementwise::question(s, IsFinite)),
    ("IsInf", |s| elementwise::question(s, IsInf::default())),
    ("IsNan", |s| elementwise::question(s, IsNan)),
    ("LeakyRelu", elementwise::leaky_relu),
    ("Log1p", elementwise::log1p),
    ("LogSoftmax", elementwise::log_softmax),
    ("Reciprocal", elementwise::reciprocal),
    ("Relu6", elementwise::relu6),
    ("Rint", elementwise::round),
    ("Round", elementwise::round),
    ("Rsqrt", elementwise::rsqrt),
    ("Selu", elementwise::selu),
    ("Softmax", elementwise::softmax),
    ("Square", elementwise::square),
    ("Swish", elementwise::swish),
    ("swish_f32", elementwise::swish),
    // Functions of several tensors
    ("Add", |s| elementwise::binary(s, BinaryKind::Add)),
    ("AddV2", |s| elementwise::binary(s, BinaryKind::Add)),
    ("Equal", |s| elementwise::binary(s, BinaryKind::Equal)),
    ("FloorMod", |s| elementwise::binary(s, BinaryKind::FloorMod)),
    ("Greater", |s| elementwise::binary(s, BinaryKind::Greater)),
    ("GreaterEqual", |s| elementwise::binary(s, BinaryKind::GreaterEqual)),
    ("Less", |s| elementwise::binary(s, BinaryKind::Less)),
    ("LessEqual", |s| elementwise::binary(s, BinaryKind::LessEqual)),
    ("LogicalAnd", |s| elementwise::binary(s, BinaryKind::LogicalAnd)),
    ("LogicalOr", |s| elementwise::binary(s, BinaryKind::LogicalOr)),
    ("Maximum", |s| elementwise::binary(s, BinaryKind::Maximum)),
    ("Minimum", |s| elementwise::binary(s, BinaryKind::Minimum)),
    ("Mod", |s| elementwise::binary(s, BinaryKind::Mod)),
    ("Mul", |s| elementwise::binary(s, BinaryKind::Multiply)),
    ("NotEqual", |s| elementwise::binary(s, BinaryKind::NotEqual)),
    ("Pow", |s| elementwise::binary(s, BinaryKind::Power)),
    ("RealDiv", |s| elementwise::binary(s, BinaryKind::Divide)),
    ("SquaredDifference", |s| elementwise::binary(s, BinaryKind::SquaredDifference)),
    ("Sub", |s| elementwise::binary(s, BinaryKind::Subtract)),
    ("TruncateMod", |s| elementwise::binary(s, BinaryKind::Mod)),
    ("AddN", elementwise::add_n),
    ("Atan2", elementwise::atan2),
    ("ClipByValue", elementwise::clip),
    ("Div", elementwise::divide_by_type),
    ("ApproximateEqual", elementwise::approximate_equal),
    ("DivNoNan", |s| elementwise::guarded(s, BinaryKind::Divide, 1)),
    ("FloorDiv", |s| elementwise::divide(s, BinaryKind::FloorMod)),
    ("MulNoNan", |s| elementwise::guarded(s, BinaryKind::Multiply, 1)),
    ("Select", elementwise::select),
    ("SelectV2", elementwise::select_v2),
    ("TruncateDiv", |s| elementwise::divide(s, BinaryKind::Mod)),
    ("Xdivy", |s| elementwise::guarded(s, BinaryKind::Divide, 0)),
    ("Xlog1py", |s| elementwise::xlogy(s, 1.0)),
    ("Xlogy", |s| elementwise::xlogy(s, 0.0)),
    // Convolutions, products, pools
    ("Conv2D", |s| convolution::convolution(s, 2)),
    ("Conv3D", |s| convolution::convolution(s, 3)),
    ("DepthwiseConv2dNative", convolution::depthwise),
    ("Conv2DBackpropInput", |s| convolution::transposed(s, 2)),
    ("Conv3DBackpropInputV2", |s| convolution::transposed(s, 3)),
    ("MatMul", |s| matmul::matmul(s, "transpose_a", "transpose_b")),
    ("BatchMatMul", |s| matmul::matmul(s, "adj_x", "adj_y")),
    ("BatchMatMulV2", |s| matmul::matmul(s, "adj_x", "adj_y")),
    ("BatchMatMulV3", |s| matmul::matmul(s, "adj_x", "adj_y")),
    ("AvgPool", |s| pooling::average(s, 2)),
    ("AvgPool3D", |s| pooling::average(s, 3)),
    ("MaxPool", |s| pooling::maximum(s, 2)),
    ("MaxPool3D", |s| pooling::maximum(s, 3)),
    ("MaxPoolV2", |s| pooling::maximum(s, 2)),
    ("MaxPoolWithArgmax", pooling::maximum_with_positions),
    // Normalisation
    ("AdjustContrastv2", normalization::adjust_contrast),
    ("BiasAdd", normalization::bias_add),
    ("BiasAddV1", normalization::bias_add),
    ("FusedBatchNorm", normalization::fused_batch_norm),
    ("FusedBatchNormV2", normalization::fused_batch_norm),
    ("FusedBatchNormV3", normalization::fused_batch_norm),
    ("BatchNormWithGlobalNormalization", normalization::global_batch_norm),
    ("LRN", normalization::lrn),
    // Reductions
    ("All", |s| reduce::reduce(s, ReduceKind::LogicalAnd)),
    ("Any", |s| reduce::reduce(s, ReduceKind::LogicalOr)),
    ("EuclideanNorm", |s| reduce::reduce(s, ReduceKind::L2)),
    ("Max", |s| reduce::reduce(s, ReduceKind::Max)),
    ("Mean", |s| reduce::reduce(s, ReduceKind::Mean)),
    ("Min", |s| reduce::reduce(s, ReduceKind::Min)),
    ("Prod", |s| reduce::reduce(s, ReduceKind::Prod)),
    ("Sum", |s| reduce::reduce(s, ReduceKind::Sum)),
    ("L2Loss", reduce::l2_loss),
    ("ArgMax", |s| topk::arg(s, TopKMode::Max)),
    ("ArgMin", |s| topk::arg(s, TopKMode::Min)),
    ("TopK", topk::top_k),
    ("TopKV2", topk::top_k),
    ("InvertPermutation", topk::invert_permutation),
    // Shapes
    ("BroadcastArgs", generate::broadcast_shapes),
    ("BroadcastTo", generate::broadcast_to),
    ("ExpandDims", reshape::expand_dims),
    ("Rank", reshape::rank),
    ("Reshape", reshape::reshape),
    ("Shape", reshape::shape),
    ("ShapeN", reshape::shapes),
    ("Size", reshape::size),
    ("Squeeze", reshape::squeeze),
    // Elements in another order, put together, or taken apart
    ("Concat", |s| movement::concat(s, true)),
    ("ConcatV2", |s| movement::concat(s, false)),
    ("Cumsum", movement::cumulative_sum),
    ("ExtractImagePatches", convolution::patches),
    ("Gather", movement::gather),
    ("GatherNd", movement::gather_nd),
    ("GatherV2", movement::gather),
    ("MirrorPad", movement::mirror_pad),
    ("Pack", movement::pack),
    ("Pad", |s| movement::pad(s, PadMode::Constant)),
    ("PadV2", |s| movement::pad(s, PadMode::Constant)),
    ("ReverseSequence", movement::reverse_sequence),
    ("ReverseV2", movement::reverse),
    ("Roll", movement::roll),
    ("ScatterNd", movement::scatter),
    ("Slice", movement::slice),
    ("Split", movement::split),
    ("SplitV", movement::split_v),
    ("StridedSlice", movement::strided_slice),
    ("TensorScatterUpdate", movement::scatter_update),
    ("Tile", movement::tile),
    ("Transpose", movement::transpose),
    ("Unpack", movement::unpack),
    ("Where", movement::positions),
    ("BatchToSpace", |s| block::batches(s, false, true)),
    ("BatchToSpaceND", |s| block::batches(s, false, false)),
    ("DepthToSpace", |s| block::depth(s, false)),
    ("SpaceToBatch", |s| block::batches(s, true, true)),
    ("SpaceToBatchND", |s| block::batches(s, true, false)),
    ("SpaceToDepth", |s| block::depth(s, true)),
    // Tensors made from a few numbers
    ("Fill", generate::fill),
    ("LinSpace", generate::linspace),
    ("OneHot", generate::one_hot),
    ("OnesLike", |s| generate::like(s, 1.0)),
    ("Range", generate::range),
    ("ZerosLike", |s| generate::like(s, 0.0)),
    // Images and quantisation
    ("ResizeBilinear", interpolate::bilinear),
    ("ResizeNearestNeighbor", interpolate::nearest),
    ("FakeQuantWithMinMaxArgs", quantize::min_max_args),
    ("FakeQuantWithMinMaxVars", quantize::min_max_vars),
    ("FakeQuantWithMinMaxVarsPerChannel", quantize::min_max_vars),
];

/// The type of TensorFlow's shapes and positions where nothing else is said.
const INT32: ElementType = ElementType::I32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_op_stands_twice() {
        assert_eq!(
            TABLE.iter().map(|row| row.0).collect::<std::collections::HashSet<_>>().len(),
            TABLE.len()
        );
    }
}
