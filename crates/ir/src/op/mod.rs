//! The op set. One family of ops is one module; one table, [`Op`]'s, registers them all.
//!
//! To add an op: a struct in its family's module with [`Visit`] (attributes) and [`Operator`] (inference and
//! reference semantics), and a row below.

mod activation;
mod axes;
mod binary;
mod block;
mod boxes;
mod color;
mod concat;
mod convert;
mod convolution;
mod ctc;
mod cumulative;
mod custom;
mod detection;
mod elements;
mod float_class;
mod floats;
mod gather;
mod generate;
mod grid_sample;
mod grn;
mod interpolate;
mod io;
mod matmul;
mod movement;
mod normalization;
mod pad;
mod pooling;
mod prior_box;
mod proposal;
mod quantize;
mod recurrent;
mod reduce;
mod reshape;
mod roi;
mod roi_align;
mod scatter;
mod select;
mod slice;
mod softmax;
mod state;
mod subgraph;
mod suppression;
#[cfg(test)]
mod testing;
mod topk;
mod unary;
mod window;
mod yolo;

pub use activation::*;
pub use binary::*;
pub use block::*;
pub use color::*;
pub use concat::*;
pub use convert::*;
pub use convolution::*;
pub use ctc::*;
pub use cumulative::*;
pub use custom::*;
pub use detection::*;
pub use float_class::*;
pub use gather::*;
pub use generate::*;
pub use grid_sample::*;
pub use grn::*;
pub use interpolate::*;
pub use io::*;
pub use matmul::*;
pub use movement::*;
pub use normalization::*;
pub use pad::*;
pub use pooling::*;
pub use prior_box::*;
pub use proposal::*;
pub use quantize::*;
pub use recurrent::*;
pub use reduce::*;
pub use reshape::*;
pub use roi::*;
pub use roi_align::*;
pub use scatter::*;
pub use select::*;
pub use slice::*;
pub use softmax::*;
pub use state::*;
pub use subgraph::*;
pub use suppression::*;
pub use topk::*;
pub use unary::*;
pub use window::Window;
pub use yolo::*;

use crate::{
    Dim, ElementType, Interval, PartialShape, Tensor, TensorError,
    attribute::{Visit, Visitor},
};
use std::{fmt, str::FromStr};
use thiserror::Error;

/// Type and shape of one tensor that flows between nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortType {
    /// The element type.
    pub element_type: ElementType,
    /// The shape, as far as it is known before a run.
    pub shape: PartialShape,
}

impl PortType {
    /// A type and a shape.
    pub fn new(element_type: ElementType, shape: PartialShape) -> Self {
        Self { element_type, shape }
    }
}

/// `f32[1,3,?,?]`.
impl fmt::Display for PortType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.element_type, self.shape)
    }
}

/// A text that is not a type and a shape.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[error("`{0}` is no type with a shape: expected one like `f32[1,3,?,?]`")]
pub struct PortTypeSyntaxError(String);

/// Reads what [`fmt::Display`] writes.
impl FromStr for PortType {
    type Err = PortTypeSyntaxError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (ty, shape) = text.split_at(text.find('[')?);
            Some(Self::new(ElementType::parse(ty)?, shape.parse().ok()?))
        };
        read().ok_or_else(|| PortTypeSyntaxError(text.to_owned()))
    }
}

/// What is known before a run about the elements of a tensor.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// Every element: a constant, or small values that follow from shapes.
    Known(Tensor),
    /// Integers of which some are only bounded: a shape with dynamic dimensions.
    Bounded {
        /// The shape of the tensor.
        shape: Vec<usize>,
        /// The elements in row-major order.
        elements: Vec<Interval>,
    },
}

impl Value {
    /// The elements as intervals, when they are integers.
    pub fn intervals(&self) -> Option<Vec<Interval>> {
        match self {
            Self::Known(tensor) if tensor.element_type().is_float() => None,
            Self::Known(tensor) => Some(tensor.to_i64s().into_iter().map(Interval::exactly).collect()),
            Self::Bounded { elements, .. } => Some(elements.clone()),
        }
    }

    /// The shape of the tensor.
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::Known(tensor) => tensor.shape(),
            Self::Bounded { shape, .. } => shape,
        }
    }

    /// `Known` when every element is, in type `ty`.
    pub fn from_intervals(ty: ElementType, shape: Vec<usize>, elements: Vec<Interval>) -> Option<Self> {
        let known: Option<Vec<i64>> = elements.iter().map(|e| e.value()).collect();
        match known {
            Some(values) => Tensor::from_i64_values(ty, &shape, &values).ok().map(Self::Known),
            None => Some(Self::Bounded { shape, elements }),
        }
    }
}

/// What an op sees of one input while types are inferred.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Type and shape.
    pub ty: &'a PortType,
    /// What is known of the elements.
    pub value: Option<&'a Value>,
}

/// The inputs of an op while types are inferred.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a>(pub &'a [Input<'a>]);

impl<'a> Inputs<'a> {
    /// The number of inputs.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Demands a number of inputs.
    pub fn expect(&self, counts: std::ops::RangeInclusive<usize>) -> Result<(), OpError> {
        expect_inputs(self.len(), counts)
    }

    /// The element type of input `i`.
    pub fn element_type(&self, i: usize) -> ElementType {
        self.0[i].ty.element_type
    }

    /// The shape of input `i`.
    pub fn shape(&self, i: usize) -> &'a PartialShape {
        &self.0[i].ty.shape
    }

    /// The dimensions of input `i`, called `what`, which must fit `expected`: what is known from both.
    pub fn fit(&self, i: usize, expected: &[Dim], what: &str) -> Result<Vec<Dim>, OpError> {
        let (found, expected) = (self.shape(i), PartialShape::new(expected.iter().copied()));
        let both = found.intersect(&expected);
        let dims = both.as_ref().and_then(|shape| shape.dims());
        let fail = || OpError::shape(format!("{what} are {found}, expected {expected}"));
        Ok(dims.ok_or_else(fail)?.to_vec())
    }

    /// The number of elements of input `i`, when it is known.
    pub fn count(&self, i: usize) -> Option<usize> {
        crate::element_count(&self.0.get(i)?.ty.shape.sizes()?)
    }

    /// All elements of input `i`, when they are known.
    pub fn tensor(&self, i: usize) -> Option<&'a Tensor> {
        match self.0.get(i)?.value? {
            Value::Known(tensor) => Some(tensor),
            Value::Bounded { .. } => None,
        }
    }

    /// All elements of input `i` as i64, when they are known.
    pub fn integers(&self, i: usize) -> Option<Vec<i64>> {
        self.tensor(i).map(Tensor::to_i64s)
    }

    /// The elements of input `i` as intervals, when something is known of them.
    pub fn intervals(&self, i: usize) -> Option<Vec<Interval>> {
        self.0.get(i)?.value?.intervals()
    }

    /// The element type that inputs `which` share; a mismatch is an error. `Dynamic` agrees with everything.
    pub fn same_element_type(&self, which: impl IntoIterator<Item = usize>) -> Result<ElementType, OpError> {
        let mut found = ElementType::Dynamic;
        for i in which {
            let ty = self.element_type(i);
            if found == ElementType::Dynamic {
                found = ty;
            } else if ty != found && ty != ElementType::Dynamic {
                return Err(OpError::new(
                    OpErrorKind::ElementType,
                    format!("input {i} is {ty} where the inputs before it are {found}; they must agree"),
                ));
            }
        }
        Ok(found)
    }
}

/// Demands a number of inputs, in inference and in evaluation.
pub fn expect_inputs(found: usize, counts: std::ops::RangeInclusive<usize>) -> Result<(), OpError> {
    if counts.contains(&found) {
        return Ok(());
    }
    let expected = match (counts.start(), counts.end()) {
        (min, max) if min == max => min.to_string(),
        (min, &usize::MAX) => format!("at least {min}"),
        (min, max) => format!("{min} to {max}"),
    };
    Err(OpError::new(OpErrorKind::InputCount, format!("takes {expected} inputs, found {found}")))
}

/// What kind of thing is wrong with an op.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum OpErrorKind {
    /// The number of inputs.
    InputCount,
    /// An element type.
    ElementType,
    /// A rank or a shape.
    Shape,
    /// An attribute's value.
    Attribute,
    /// The elements of an input.
    Value,
    /// The op is well formed but can't be computed here.
    Unsupported,
}

/// What is wrong with an op; the graph adds which node it is and what its inputs are.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{message}")]
pub struct OpError {
    kind: OpErrorKind,
    message: String,
}

impl OpError {
    /// An error of a kind.
    pub fn new(kind: OpErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// A wrong rank or shape.
    pub fn shape(message: impl Into<String>) -> Self {
        Self::new(OpErrorKind::Shape, message)
    }

    /// A wrong element type.
    pub fn element_type(message: impl Into<String>) -> Self {
        Self::new(OpErrorKind::ElementType, message)
    }

    /// A wrong attribute.
    pub fn attribute(message: impl Into<String>) -> Self {
        Self::new(OpErrorKind::Attribute, message)
    }

    /// Wrong elements in an input.
    pub fn value(message: impl Into<String>) -> Self {
        Self::new(OpErrorKind::Value, message)
    }

    /// What kind of thing is wrong.
    pub fn kind(&self) -> OpErrorKind {
        self.kind
    }
}

impl From<TensorError> for OpError {
    fn from(error: TensorError) -> Self {
        Self::shape(error.to_string())
    }
}

/// Elements of an output as a sum over its axes: the element at an index is the one of the data at `base` and the
/// sum of the offsets of the index along each axis. Where one of them is `None`, nothing is taken: something is
/// filled in. Neighbouring axes may stand here as one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Places {
    /// An element of the data.
    pub base: usize,
    /// The offsets along each axis, in elements.
    pub axes: Vec<Vec<Option<usize>>>,
}

/// What every op knows about itself.
pub trait Operator: Visit {
    /// The type's name in OpenVINO's op sets, `Convolution`.
    fn type_name(&self) -> &str;

    /// Types and shapes of the outputs.
    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError>;

    /// Computes the outputs, slowly and plainly: the meaning of the op. Shapes and types are those that
    /// [`Operator::infer`] accepted, but inputs may come from hostile files: no panic, errors instead.
    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError>;

    /// What follows for the elements of the outputs where [`Operator::evaluate`] can't be used, since not all
    /// inputs are known. One entry an output.
    fn infer_values(&self, _inputs: &Inputs) -> Option<Vec<Option<Value>>> {
        None
    }

    /// Where the elements of the output come from in data (input 0) of `shape`, for ops that only move them and whose
    /// moves are so regular. `parameters` are all inputs, as far as they are known. `None` says nothing.
    fn places(&self, _shape: &[usize], _parameters: &[Option<Tensor>]) -> Option<Places> {
        None
    }

    /// The inputs whose elements the op moves about without computing: what is known of an element goes with it.
    fn moves(&self, _input: usize) -> bool {
        false
    }

    /// True when the op does more than to compute its outputs from its inputs: it reads or leaves something that outlives
    /// an inference. Such a node is never folded and never dead.
    fn has_state(&self) -> bool {
        false
    }

    /// True when the op runs graphs of its own. What it computes is never found out while types are inferred.
    fn owns_graph(&self) -> bool {
        false
    }
}

/// The types of the outputs of `op` for these very inputs, after all checks of its inference.
pub(crate) fn output_types(op: &dyn Operator, inputs: &[Tensor]) -> Result<Vec<PortType>, OpError> {
    let known: Vec<(PortType, Value)> = inputs
        .iter()
        .map(|t| (PortType::new(t.element_type(), t.shape().into()), Value::Known(t.clone())))
        .collect();
    let views: Vec<Input> = known.iter().map(|(ty, value)| Input { ty, value: Some(value) }).collect();
    op.infer(&Inputs(&views))
}

/// The shapes of the outputs of `op` for these very inputs, after all checks of its inference.
pub(crate) fn output_shapes(op: &dyn Operator, inputs: &[Tensor]) -> Result<Vec<Vec<usize>>, OpError> {
    let sizes = |ty: PortType| {
        let fail = || OpError::shape(format!("the output {ty} does not follow from the inputs"));
        ty.shape.sizes().ok_or_else(fail)
    };
    output_types(op, inputs)?.into_iter().map(sizes).collect()
}

/// Declares [`Op`] and its table from rows `Variant { "Type" opset => prototype; ... }`.
macro_rules! ops {
    ($($(#[$doc:meta])* $variant:ident { $($name:literal $opset:literal => $prototype:expr;)+ })*) => {
        /// An op: what a node computes. Each variant is the op of that name.
        #[derive(Clone, PartialEq, Debug)]
        #[non_exhaustive]
        #[allow(missing_docs)]
        pub enum Op {
            $($(#[$doc])* $variant($variant),)*
            /// An op that this crate doesn't know.
            Custom(Custom),
        }

        $(impl From<$variant> for Op {
            fn from(op: $variant) -> Self {
                Self::$variant(op)
            }
        })*

        impl From<Custom> for Op {
            fn from(op: Custom) -> Self {
                Self::Custom(op)
            }
        }

        impl Op {
            fn rows() -> &'static [(&'static str, u32, fn() -> Op)] {
                &[$($(($name, $opset, || Op::$variant($prototype)),)+)*]
            }

            /// The op's own view of itself.
            pub fn operator(&self) -> &dyn Operator {
                match self {
                    $(Self::$variant(op) => op,)*
                    Self::Custom(op) => op,
                }
            }

            fn operator_mut(&mut self) -> &mut dyn Operator {
                match self {
                    $(Self::$variant(op) => op,)*
                    Self::Custom(op) => op,
                }
            }
        }
    };
}

ops! {
    // Where a network begins and ends
    Parameter { "Parameter" 1 => Parameter::default(); }
    Constant { "Const" 1 => Constant::default(); }
    OpResult { "Result" 1 => OpResult::default(); }
    Convert { "Convert" 1 => Convert::default(); }

    // What outlives an inference
    ReadValue { "ReadValue" 3 => ReadValue::default(); "ReadValue" 6 => ReadValue::default(); }
    Assign { "Assign" 3 => Assign::default(); "Assign" 6 => Assign::default(); }

    // What owns a graph
    If { "If" 8 => If::default(); }
    Loop {
        "TensorIterator" 1 => Loop::default();
        "Loop" 5 => Loop { counted: Some(Counted::default()), ..Loop::default() };
    }

    // Elementwise
    Unary {
        "Abs" 1 => Unary::Abs; "Acos" 1 => Unary::Acos; "Acosh" 4 => Unary::Acosh; "Asin" 1 => Unary::Asin;
        "Asinh" 4 => Unary::Asinh; "Atan" 1 => Unary::Atan; "Atanh" 4 => Unary::Atanh;
        "Ceiling" 1 => Unary::Ceiling; "Cos" 1 => Unary::Cos; "Cosh" 1 => Unary::Cosh; "Erf" 1 => Unary::Erf;
        "Exp" 1 => Unary::Exp; "Floor" 1 => Unary::Floor; "HSigmoid" 5 => Unary::HSigmoid;
        "HSwish" 4 => Unary::HSwish; "Log" 1 => Unary::Log; "LogicalNot" 1 => Unary::LogicalNot;
        "Mish" 4 => Unary::Mish; "Negative" 1 => Unary::Negative; "ReLU" 1 => Unary::Relu;
        "Sigmoid" 1 => Unary::Sigmoid; "Sign" 1 => Unary::Sign; "Sin" 1 => Unary::Sin; "Sinh" 1 => Unary::Sinh;
        "SoftPlus" 4 => Unary::SoftPlus; "SoftSign" 9 => Unary::SoftSign; "Sqrt" 1 => Unary::Sqrt;
        "Tan" 1 => Unary::Tan; "Tanh" 1 => Unary::Tanh;
    }
    Binary {
        "Add" 1 => Binary::new(BinaryKind::Add); "Subtract" 1 => Binary::new(BinaryKind::Subtract);
        "Multiply" 1 => Binary::new(BinaryKind::Multiply); "Divide" 1 => Binary::new(BinaryKind::Divide);
        "Maximum" 1 => Binary::new(BinaryKind::Maximum); "Minimum" 1 => Binary::new(BinaryKind::Minimum);
        "Power" 1 => Binary::new(BinaryKind::Power);
        "SquaredDifference" 1 => Binary::new(BinaryKind::SquaredDifference);
        "Mod" 1 => Binary::new(BinaryKind::Mod); "FloorMod" 1 => Binary::new(BinaryKind::FloorMod);
        "Equal" 1 => Binary::new(BinaryKind::Equal); "NotEqual" 1 => Binary::new(BinaryKind::NotEqual);
        "Greater" 1 => Binary::new(BinaryKind::Greater);
        "GreaterEqual" 1 => Binary::new(BinaryKind::GreaterEqual);
        "Less" 1 => Binary::new(BinaryKind::Less); "LessEqual" 1 => Binary::new(BinaryKind::LessEqual);
        "LogicalAnd" 1 => Binary::new(BinaryKind::LogicalAnd);
        "LogicalOr" 1 => Binary::new(BinaryKind::LogicalOr);
        "LogicalXor" 1 => Binary::new(BinaryKind::LogicalXor);
    }
    Select { "Select" 1 => Select::default(); }
    IsNan { "IsNaN" 10 => IsNan; }
    IsFinite { "IsFinite" 10 => IsFinite; }
    IsInf { "IsInf" 10 => IsInf::default(); }
    Round { "Round" 5 => Round::default(); }
    Elu { "Elu" 1 => Elu::default(); }
    Selu { "Selu" 1 => Selu; }
    Clamp { "Clamp" 1 => Clamp::default(); }
    PRelu { "PReLU" 1 => PRelu; }
    HardSigmoid { "HardSigmoid" 1 => HardSigmoid; }
    Swish { "Swish" 4 => Swish; }
    Gelu { "Gelu" 2 => Gelu::default(); "Gelu" 7 => Gelu::default(); }

    // Along axes
    Softmax { "SoftMax" 1 => Softmax { axis: 1 }; "SoftMax" 8 => Softmax { axis: 1 }; }
    LogSoftmax { "LogSoftmax" 5 => LogSoftmax { axis: 1 }; }
    Reduce {
        "ReduceMean" 1 => Reduce::new(ReduceKind::Mean); "ReduceMax" 1 => Reduce::new(ReduceKind::Max);
        "ReduceMin" 1 => Reduce::new(ReduceKind::Min); "ReduceSum" 1 => Reduce::new(ReduceKind::Sum);
        "ReduceProd" 1 => Reduce::new(ReduceKind::Prod); "ReduceL1" 4 => Reduce::new(ReduceKind::L1);
        "ReduceL2" 4 => Reduce::new(ReduceKind::L2);
        "ReduceLogicalAnd" 1 => Reduce::new(ReduceKind::LogicalAnd);
        "ReduceLogicalOr" 1 => Reduce::new(ReduceKind::LogicalOr);
    }
    CumSum { "CumSum" 3 => CumSum::default(); }
    TopK {
        "TopK" 1 => TopK::default(); "TopK" 3 => TopK::default(); "TopK" 11 => TopK::default();
    }

    // Convolutions, products, pools
    Convolution { "Convolution" 1 => Convolution::default(); }
    GroupConvolution { "GroupConvolution" 1 => GroupConvolution::default(); }
    ConvolutionBackpropData { "ConvolutionBackpropData" 1 => ConvolutionBackpropData::default(); }
    GroupConvolutionBackpropData {
        "GroupConvolutionBackpropData" 1 => GroupConvolutionBackpropData::default();
    }
    MatMul { "MatMul" 1 => MatMul::default(); }
    /// Maximum pooling with one output.
    MaxPool { "MaxPool" 1 => MaxPool::default(); }
    /// Maximum pooling with dilations, and the positions of the maxima as a second output.
    MaxPool8 { "MaxPool" 8 => MaxPool8::default(); "MaxPool" 14 => MaxPool8::default(); }
    AvgPool { "AvgPool" 1 => AvgPool::default(); "AvgPool" 14 => AvgPool::default(); }

    // Normalisation
    Lrn { "LRN" 1 => Lrn::default(); }
    /// Mean-variance normalisation over given axes.
    Mvn { "MVN" 6 => Mvn::default(); }
    /// Mean-variance normalisation over the spatial axes, or those and the channels.
    MvnSpatial { "MVN" 2 => MvnSpatial::default(); }
    Grn { "GRN" 1 => Grn::default(); }
    NormalizeL2 { "NormalizeL2" 1 => NormalizeL2::default(); }
    BatchNormInference {
        "BatchNormInference" 1 => BatchNormInference { epsilon: 0.0, data_input: 2 };
        "BatchNormInference" 5 => BatchNormInference { epsilon: 0.0, data_input: 0 };
    }

    // Shapes and moving data
    ShapeOf {
        "ShapeOf" 1 => ShapeOf::default(); "ShapeOf" 3 => ShapeOf::default();
    }
    Reshape { "Reshape" 1 => Reshape::default(); }
    Squeeze { "Squeeze" 1 => Squeeze; }
    Unsqueeze { "Unsqueeze" 1 => Unsqueeze; }
    Transpose { "Transpose" 1 => Transpose; }
    Concat { "Concat" 1 => Concat::default(); }
    Split { "Split" 1 => Split::default(); }
    VariadicSplit { "VariadicSplit" 1 => VariadicSplit; }
    StridedSlice { "StridedSlice" 1 => StridedSlice::default(); }
    Slice { "Slice" 8 => Slice; }
    Gather {
        "Gather" 1 => Gather::default(); "Gather" 7 => Gather::default(); "Gather" 8 => Gather::default();
    }
    GatherElements { "GatherElements" 6 => GatherElements::default(); }
    GatherNd {
        "GatherND" 5 => GatherNd { batch_dims: 0, merges_batch: true };
        "GatherND" 8 => GatherNd { batch_dims: 0, merges_batch: false };
    }
    ScatterNdUpdate { "ScatterNDUpdate" 3 => ScatterNdUpdate; }
    ScatterUpdate { "ScatterUpdate" 3 => ScatterUpdate; }
    ScatterElementsUpdate {
        "ScatterElementsUpdate" 3 => ScatterElementsUpdate { reduction: None };
        "ScatterElementsUpdate" 12 => ScatterElementsUpdate { reduction: Some((ScatterReduction::None, true)) };
    }
    ReverseSequence { "ReverseSequence" 1 => ReverseSequence::default(); }
    ShuffleChannels { "ShuffleChannels" 1 => ShuffleChannels::default(); }
    NonZero { "NonZero" 3 => NonZero::default(); }
    Pad { "Pad" 1 => Pad::default(); "Pad" 12 => Pad::default(); }
    Broadcast { "Broadcast" 1 => Broadcast::default(); "Broadcast" 3 => Broadcast::default(); }
    Tile { "Tile" 1 => Tile; }
    Roll { "Roll" 7 => Roll; }
    SpaceToDepth { "SpaceToDepth" 1 => SpaceToDepth::default(); }
    DepthToSpace { "DepthToSpace" 1 => DepthToSpace::default(); }
    SpaceToBatch { "SpaceToBatch" 2 => SpaceToBatch; }
    BatchToSpace { "BatchToSpace" 2 => BatchToSpace; }

    // Frames of video
    FrameToColors {
        "NV12toBGR" 8 => FrameToColors { frame: Frame::Nv12, blue_first: true };
        "NV12toRGB" 8 => FrameToColors { frame: Frame::Nv12, blue_first: false };
        "I420toBGR" 8 => FrameToColors { frame: Frame::I420, blue_first: true };
        "I420toRGB" 8 => FrameToColors { frame: Frame::I420, blue_first: false };
    }
    Range { "Range" 4 => Range::default(); }
    OneHot { "OneHot" 1 => OneHot::default(); }

    // Images and quantisation
    Interpolate {
        "Interpolate" 4 => Interpolate::new(InterpolateForm::SizesAndScales);
        "Interpolate" 11 => Interpolate::new(InterpolateForm::SizesOrScales);
    }
    FakeQuantize { "FakeQuantize" 1 => FakeQuantize::default(); "FakeQuantize" 13 => FakeQuantize::default(); }

    // Detectors
    PriorBox {
        "PriorBox" 1 => PriorBox { min_max_aspect_ratios_order: None, ..PriorBox::default() };
        "PriorBox" 8 => PriorBox::default();
    }
    PriorBoxClustered { "PriorBoxClustered" 1 => PriorBoxClustered::default(); }
    DetectionOutput {
        "DetectionOutput" 1 => DetectionOutput { num_classes: Some(1), ..DetectionOutput::default() };
        "DetectionOutput" 8 => DetectionOutput::default();
    }
    Proposal {
        "Proposal" 1 => Proposal { gives_scores: false, ..Proposal::default() };
        "Proposal" 4 => Proposal::default();
    }
    RoiPooling { "ROIPooling" 2 => RoiPooling::default(); }
    PsRoiPooling { "PSROIPooling" 1 => PsRoiPooling::default(); }
    RoiAlign {
        "ROIAlign" 3 => RoiAlign::new(None);
        "ROIAlign" 9 => RoiAlign::new(Some(AlignedMode::Asymmetric));
    }
    GridSample { "GridSample" 9 => GridSample::default(); }
    RegionYolo { "RegionYolo" 1 => RegionYolo::default(); }
    ReorgYolo { "ReorgYolo" 2 => ReorgYolo::default(); }
    NonMaxSuppression {
        "NonMaxSuppression" 1 => NonMaxSuppression::new(None, SelectionForm::Filled);
        "NonMaxSuppression" 3 => NonMaxSuppression::new(Some(ElementType::I64), SelectionForm::Filled);
        "NonMaxSuppression" 4 => NonMaxSuppression::new(Some(ElementType::I64), SelectionForm::Filled);
        "NonMaxSuppression" 5 => NonMaxSuppression::new(Some(ElementType::I64), SelectionForm::Counted);
        "NonMaxSuppression" 9 => NonMaxSuppression::new(Some(ElementType::I64), SelectionForm::Counted);
    }

    // Sequences
    RecurrentCell {
        "LSTMCell" 4 => RecurrentCell::new(CellKind::Lstm);
        "GRUCell" 3 => RecurrentCell::new(CellKind::Gru { linear_before_reset: false });
        "RNNCell" 1 => RecurrentCell::new(CellKind::Rnn);
    }
    RecurrentSequence {
        "LSTMSequence" 5 => RecurrentSequence::new(CellKind::Lstm);
        "GRUSequence" 5 => RecurrentSequence::new(CellKind::Gru { linear_before_reset: false });
        "RNNSequence" 5 => RecurrentSequence::new(CellKind::Rnn);
    }
    CtcGreedyDecoder { "CTCGreedyDecoder" 1 => CtcGreedyDecoder::default(); }
    CtcGreedyDecoderSeqLen { "CTCGreedyDecoderSeqLen" 6 => CtcGreedyDecoderSeqLen::default(); }
}

/// The newest op set that IR files name.
pub const NEWEST_OPSET: u32 = 17;

impl Op {
    /// A blank op of type `name` as op set `opset` has it: the newest version that is not newer than that.
    /// `None` when nobody here knows it.
    pub fn prototype(name: &str, opset: u32) -> Option<Self> {
        if opset == 0 || opset > NEWEST_OPSET {
            return None;
        }
        let rows = Self::rows().iter().filter(|row| row.0 == name);
        rows.filter(|row| row.1 <= opset).max_by_key(|row| row.1).map(|row| row.2())
    }

    /// Every type name and op set of the table.
    pub fn known() -> impl Iterator<Item = (&'static str, u32)> {
        Self::rows().iter().map(|row| (row.0, row.1))
    }

    /// The type's name in OpenVINO's op sets.
    pub fn type_name(&self) -> &str {
        self.operator().type_name()
    }

    /// The op set that a node of this op is written with, unless it was read with another.
    pub fn opset(&self) -> u32 {
        let kind = std::mem::discriminant(self);
        let own = |row: &&(&str, u32, fn() -> Self)| {
            row.0 == self.type_name() && std::mem::discriminant(&row.2()) == kind
        };
        Self::rows().iter().filter(own).map(|row| row.1).max().unwrap_or(1)
    }

    /// Shows the attributes to `visitor`.
    pub fn visit(&mut self, visitor: &mut dyn Visitor) {
        self.operator_mut().visit(visitor);
    }

    /// The attributes as they are written to files.
    pub fn attributes(&self) -> Vec<(&'static str, String)> {
        let mut op = self.clone();
        crate::attribute::write(&mut |v| op.visit(v))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_table_agrees_with_the_ops() {
        let mut seen = HashSet::new();
        for (name, opset, make) in Op::rows() {
            assert!(seen.insert((name, opset)), "{name} of opset{opset} stands twice");
            assert_eq!(make().type_name(), *name);
            let found = Op::prototype(name, *opset).expect("the row itself");
            assert_eq!(std::mem::discriminant(&found), std::mem::discriminant(&make()), "{name} {opset}");
        }
        assert_eq!(Op::prototype("MaxPool", 3), Some(Op::MaxPool(MaxPool::default())));
        assert_eq!(Op::prototype("MaxPool", 9), Some(Op::MaxPool8(MaxPool8::default())));
        assert_eq!(Op::prototype("ReLU", 99), None);
        assert_eq!(Op::MaxPool(MaxPool::default()).opset(), 1);
        assert_eq!(Op::Unary(Unary::Erf).opset(), 1);
    }

    #[test]
    fn types_of_ports_read_back() {
        for text in ["f32[1,3,?,8..16]", "i64[]", "boolean[...]"] {
            assert_eq!(text.parse::<PortType>().unwrap().to_string(), text);
        }
        for bad in ["", "f32", "[1]", "float[1]", "f32[a]"] {
            assert!(bad.parse::<PortType>().is_err(), "{bad}");
        }
    }

    #[test]
    fn attributes_read_back_what_was_written() {
        for (name, opset, make) in Op::rows() {
            let written: Vec<_> = make().attributes().into_iter().map(|(k, v)| (k.to_string(), v)).collect();
            let mut read = make();
            let left = crate::attribute::read(&mut |v| read.visit(v), &written)
                .unwrap_or_else(|e| panic!("{name} {opset}: {e}"));
            assert!(left.is_empty(), "{name}: {left:?}");
            assert_eq!(read, make(), "{name} {opset}");
        }
    }
}
