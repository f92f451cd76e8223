//! Pooling.

use super::{AutoPad, Operator};
use crate::{
    ElementType,
    attribute::{Visit, Visitor, text_enum},
};

text_enum! {
    /// How the number of window positions is rounded.
    RoundingType {
        /// Down.
        Floor = "floor",
        /// Up: the last window may hang over the end.
        Ceil = "ceil",
        /// Up, unless the last window would begin in the padding behind the data.
        CeilTorch = "ceil_torch",
    }
}

/// Maximum of each window. Input [N,C,spatial..].
#[derive(Clone, PartialEq, Debug)]
pub struct MaxPool {
    /// Steps of the window, one a spatial dimension.
    pub strides: Vec<usize>,
    /// Padding before the data; what `auto_pad` says goes first.
    pub pads_begin: Vec<i64>,
    /// Padding behind the data.
    pub pads_end: Vec<i64>,
    /// The window's size, one a spatial dimension.
    pub kernel: Vec<usize>,
    /// How the output's size is rounded.
    pub rounding_type: RoundingType,
    /// Who chooses the padding.
    pub auto_pad: AutoPad,
}

impl Default for MaxPool {
    fn default() -> Self {
        Self {
            strides: vec![],
            pads_begin: vec![],
            pads_end: vec![],
            kernel: vec![],
            rounding_type: RoundingType::Floor,
            auto_pad: AutoPad::Explicit,
        }
    }
}

impl Visit for MaxPool {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("strides", &mut self.strides);
        v.required("pads_begin", &mut self.pads_begin);
        v.required("pads_end", &mut self.pads_end);
        v.required("kernel", &mut self.kernel);
        v.optional("rounding_type", &mut self.rounding_type);
        v.optional("auto_pad", &mut self.auto_pad);
    }
}

impl Operator for MaxPool {
    fn type_name(&self) -> &str {
        "MaxPool"
    }
}

/// Maximum of each window, and its position.
#[derive(Clone, PartialEq, Debug)]
pub struct MaxPool8 {
    /// Steps of the window, one a spatial dimension.
    pub strides: Vec<usize>,
    /// Distance of the window's taps; empty means 1.
    pub dilations: Vec<usize>,
    /// Padding before the data; what `auto_pad` says goes first.
    pub pads_begin: Vec<i64>,
    /// Padding behind the data.
    pub pads_end: Vec<i64>,
    /// The window's size, one a spatial dimension.
    pub kernel: Vec<usize>,
    /// How the output's size is rounded.
    pub rounding_type: RoundingType,
    /// Who chooses the padding.
    pub auto_pad: AutoPad,
    /// Type of the positions.
    pub index_element_type: ElementType,
    /// Positions are counted from the start of this dimension on.
    pub axis: i64,
}

impl Default for MaxPool8 {
    fn default() -> Self {
        Self {
            strides: vec![],
            pads_begin: vec![],
            pads_end: vec![],
            dilations: vec![],
            kernel: vec![],
            rounding_type: RoundingType::Floor,
            auto_pad: AutoPad::Explicit,
            index_element_type: ElementType::I64,
            axis: 0,
        }
    }
}

impl Visit for MaxPool8 {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("strides", &mut self.strides);
        v.optional("dilations", &mut self.dilations);
        v.required("pads_begin", &mut self.pads_begin);
        v.required("pads_end", &mut self.pads_end);
        v.required("kernel", &mut self.kernel);
        v.optional("rounding_type", &mut self.rounding_type);
        v.optional("auto_pad", &mut self.auto_pad);
        v.optional("index_element_type", &mut self.index_element_type);
        v.optional("axis", &mut self.axis);
    }
}

impl Operator for MaxPool8 {
    fn type_name(&self) -> &str {
        "MaxPool"
    }
}

/// Mean of each window. Input [N,C,spatial..].
#[derive(Clone, PartialEq, Debug)]
pub struct AvgPool {
    /// Steps of the window, one a spatial dimension.
    pub strides: Vec<usize>,
    /// Padding before the data; what `auto_pad` says goes first.
    pub pads_begin: Vec<i64>,
    /// Padding behind the data.
    pub pads_end: Vec<i64>,
    /// The window's size, one a spatial dimension.
    pub kernel: Vec<usize>,
    /// Divide by the number of elements that are not padding.
    pub exclude_pad: bool,
    /// How the output's size is rounded.
    pub rounding_type: RoundingType,
    /// Who chooses the padding.
    pub auto_pad: AutoPad,
}

impl Default for AvgPool {
    fn default() -> Self {
        Self {
            strides: vec![],
            pads_begin: vec![],
            pads_end: vec![],
            kernel: vec![],
            rounding_type: RoundingType::Floor,
            auto_pad: AutoPad::Explicit,
            exclude_pad: true,
        }
    }
}

impl Visit for AvgPool {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("strides", &mut self.strides);
        v.required("pads_begin", &mut self.pads_begin);
        v.required("pads_end", &mut self.pads_end);
        v.required("kernel", &mut self.kernel);
        v.required("exclude-pad", &mut self.exclude_pad);
        v.optional("rounding_type", &mut self.rounding_type);
        v.optional("auto_pad", &mut self.auto_pad);
    }
}

impl Operator for AvgPool {
    fn type_name(&self) -> &str {
        "AvgPool"
    }
}
