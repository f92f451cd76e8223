//! Elements in another order, put together, or taken apart.

use super::Operator;
use crate::attribute::{Visit, Visitor, text_enum};

text_enum! {
    /// What stands around the data.
    PadMode {
        /// One value.
        Constant = "constant",
        /// The outermost element.
        Edge = "edge",
        /// The mirror image without the outermost element.
        Reflect = "reflect",
        /// The mirror image with the outermost element.
        Symmetric = "symmetric",
    }
}

text_enum! {
    /// How a shape is broadcast to a target.
    BroadcastMode {
        /// From the last dimension on.
        Numpy = "numpy",
        /// By an input that maps the axes.
        Explicit = "explicit" | "none",
        /// From the last dimension on, both ways.
        Bidirectional = "bidirectional",
    }
}

/// Dimension `i` of the output is dimension `order[i]` of the data. Inputs: data, order (empty reverses).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Transpose;

impl Visit for Transpose {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}

impl Operator for Transpose {
    fn type_name(&self) -> &str {
        "Transpose"
    }
}

/// Inputs side by side along an axis.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Concat {
    /// The axis; negative counts from the end.
    pub axis: i64,
}

impl Visit for Concat {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("axis", &mut self.axis);
    }
}

impl Operator for Concat {
    fn type_name(&self) -> &str {
        "Concat"
    }
}

/// Equal parts along an axis. Inputs: data, axis.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Split {
    /// The number of parts.
    pub num_splits: usize,
}

impl Visit for Split {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("num_splits", &mut self.num_splits);
    }
}

impl Operator for Split {
    fn type_name(&self) -> &str {
        "Split"
    }
}

/// Parts of given lengths along an axis. Inputs: data, axis, lengths (one may be -1: what is left).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct VariadicSplit;

impl Visit for VariadicSplit {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}

impl Operator for VariadicSplit {
    fn type_name(&self) -> &str {
        "VariadicSplit"
    }
}

/// Slices with TensorFlow's masks. Inputs: data, begin, end, optionally strides. A mask element of 1 applies.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct StridedSlice {
    /// 1: begin is ignored.
    pub begin_mask: Vec<i64>,
    /// 1: end is ignored.
    pub end_mask: Vec<i64>,
    /// 1: a new dimension of size 1 here.
    pub new_axis_mask: Vec<i64>,
    /// 1: one element is taken, the dimension goes.
    pub shrink_axis_mask: Vec<i64>,
    /// 1: as many whole dimensions as are left.
    pub ellipsis_mask: Vec<i64>,
}

impl Visit for StridedSlice {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("begin_mask", &mut self.begin_mask);
        v.required("end_mask", &mut self.end_mask);
        v.optional("new_axis_mask", &mut self.new_axis_mask);
        v.optional("shrink_axis_mask", &mut self.shrink_axis_mask);
        v.optional("ellipsis_mask", &mut self.ellipsis_mask);
    }
}

impl Operator for StridedSlice {
    fn type_name(&self) -> &str {
        "StridedSlice"
    }
}

/// Slices along axes. Inputs: data, start, stop, step, optionally axes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Slice;

impl Visit for Slice {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}

impl Operator for Slice {
    fn type_name(&self) -> &str {
        "Slice"
    }
}

/// Slices picked along an axis. Inputs: data, indices, axis.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Gather {
    /// Leading dimensions that data and indices share.
    pub batch_dims: i64,
}

impl Visit for Gather {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.optional("batch_dims", &mut self.batch_dims);
    }
}

impl Operator for Gather {
    fn type_name(&self) -> &str {
        "Gather"
    }
}

/// Puts elements around the data. Inputs: data, pads_begin, pads_end, optionally the value.
#[derive(Clone, PartialEq, Debug)]
pub struct Pad {
    /// Which elements.
    pub pad_mode: PadMode,
}

impl Default for Pad {
    fn default() -> Self {
        Self { pad_mode: PadMode::Constant }
    }
}

impl Visit for Pad {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("pad_mode", &mut self.pad_mode);
    }
}

impl Operator for Pad {
    fn type_name(&self) -> &str {
        "Pad"
    }
}

/// Repeats along dimensions of size 1. Inputs: data, target shape, for explicit mode the axes.
#[derive(Clone, PartialEq, Debug)]
pub struct Broadcast {
    /// By which rules.
    pub mode: BroadcastMode,
}

impl Default for Broadcast {
    fn default() -> Self {
        Self { mode: BroadcastMode::Numpy }
    }
}

impl Visit for Broadcast {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.optional("mode", &mut self.mode);
    }
}

impl Operator for Broadcast {
    fn type_name(&self) -> &str {
        "Broadcast"
    }
}

/// Repeats whole tensors. Inputs: data, repeats.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tile;

impl Visit for Tile {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}

impl Operator for Tile {
    fn type_name(&self) -> &str {
        "Tile"
    }
}

/// Shifts along axes, what falls out comes in at the other end. Inputs: data, shift, axes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Roll;

impl Visit for Roll {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}

impl Operator for Roll {
    fn type_name(&self) -> &str {
        "Roll"
    }
}
