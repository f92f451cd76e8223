//! Convolutions and their transposes.

use super::Operator;
use crate::attribute::{Visit, Visitor, text_enum};

text_enum! {
    /// Who chooses the padding of a window.
    AutoPad {
        /// The attributes say it.
        Explicit = "explicit" | "notset",
        /// So much that every position counts; the odd element goes behind.
        SameUpper = "same_upper",
        /// So much that every position counts; the odd element goes in front.
        SameLower = "same_lower",
        /// None.
        Valid = "valid",
    }
}

/// Cross-correlation. Inputs: data [N,C,spatial..], weights [O,C,kernel..].
#[derive(Clone, PartialEq, Debug)]
pub struct Convolution {
    /// Steps of the window, one a spatial dimension.
    pub strides: Vec<usize>,
    /// Padding before the data; what `auto_pad` says goes first.
    pub pads_begin: Vec<i64>,
    /// Padding behind the data.
    pub pads_end: Vec<i64>,
    /// Distance of the kernel's taps.
    pub dilations: Vec<usize>,
    /// Who chooses the padding.
    pub auto_pad: AutoPad,
}

impl Default for Convolution {
    fn default() -> Self {
        Self {
            strides: vec![],
            pads_begin: vec![],
            pads_end: vec![],
            dilations: vec![],
            auto_pad: AutoPad::Explicit,
        }
    }
}

impl Visit for Convolution {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("strides", &mut self.strides);
        v.required("pads_begin", &mut self.pads_begin);
        v.required("pads_end", &mut self.pads_end);
        v.required("dilations", &mut self.dilations);
        v.optional("auto_pad", &mut self.auto_pad);
    }
}

impl Operator for Convolution {
    fn type_name(&self) -> &str {
        "Convolution"
    }
}

/// Cross-correlation in groups. Inputs: data [N,G*C,spatial..], weights [G,O,C,kernel..].
#[derive(Clone, PartialEq, Debug)]
pub struct GroupConvolution {
    /// Steps of the window, one a spatial dimension.
    pub strides: Vec<usize>,
    /// Padding before the data; what `auto_pad` says goes first.
    pub pads_begin: Vec<i64>,
    /// Padding behind the data.
    pub pads_end: Vec<i64>,
    /// Distance of the kernel's taps.
    pub dilations: Vec<usize>,
    /// Who chooses the padding.
    pub auto_pad: AutoPad,
}

impl Default for GroupConvolution {
    fn default() -> Self {
        Self {
            strides: vec![],
            pads_begin: vec![],
            pads_end: vec![],
            dilations: vec![],
            auto_pad: AutoPad::Explicit,
        }
    }
}

impl Visit for GroupConvolution {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("strides", &mut self.strides);
        v.required("pads_begin", &mut self.pads_begin);
        v.required("pads_end", &mut self.pads_end);
        v.required("dilations", &mut self.dilations);
        v.optional("auto_pad", &mut self.auto_pad);
    }
}

impl Operator for GroupConvolution {
    fn type_name(&self) -> &str {
        "GroupConvolution"
    }
}

/// Transposed convolution. Inputs: data [N,C,spatial..], weights [C,O,kernel..], optionally the output's spatial shape.
#[derive(Clone, PartialEq, Debug)]
pub struct ConvolutionBackpropData {
    /// Steps of the window, one a spatial dimension.
    pub strides: Vec<usize>,
    /// Padding before the data; what `auto_pad` says goes first.
    pub pads_begin: Vec<i64>,
    /// Padding behind the data.
    pub pads_end: Vec<i64>,
    /// Distance of the kernel's taps.
    pub dilations: Vec<usize>,
    /// Who chooses the padding.
    pub auto_pad: AutoPad,
    /// Elements added behind the output; empty means none.
    pub output_padding: Vec<i64>,
}

impl Default for ConvolutionBackpropData {
    fn default() -> Self {
        Self {
            strides: vec![],
            pads_begin: vec![],
            pads_end: vec![],
            dilations: vec![],
            auto_pad: AutoPad::Explicit,
            output_padding: vec![],
        }
    }
}

impl Visit for ConvolutionBackpropData {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("strides", &mut self.strides);
        v.required("pads_begin", &mut self.pads_begin);
        v.required("pads_end", &mut self.pads_end);
        v.required("dilations", &mut self.dilations);
        v.optional("auto_pad", &mut self.auto_pad);
        v.optional("output_padding", &mut self.output_padding);
    }
}

impl Operator for ConvolutionBackpropData {
    fn type_name(&self) -> &str {
        "ConvolutionBackpropData"
    }
}

/// Transposed convolution in groups. Inputs: data [N,G*C,spatial..], weights [G,C,O,kernel..], optionally the output's spatial shape.
#[derive(Clone, PartialEq, Debug)]
pub struct GroupConvolutionBackpropData {
    /// Steps of the window, one a spatial dimension.
    pub strides: Vec<usize>,
    /// Padding before the data; what `auto_pad` says goes first.
    pub pads_begin: Vec<i64>,
    /// Padding behind the data.
    pub pads_end: Vec<i64>,
    /// Distance of the kernel's taps.
    pub dilations: Vec<usize>,
    /// Who chooses the padding.
    pub auto_pad: AutoPad,
    /// Elements added behind the output; empty means none.
    pub output_padding: Vec<i64>,
}

impl Default for GroupConvolutionBackpropData {
    fn default() -> Self {
        Self {
            strides: vec![],
            pads_begin: vec![],
            pads_end: vec![],
            dilations: vec![],
            auto_pad: AutoPad::Explicit,
            output_padding: vec![],
        }
    }
}

impl Visit for GroupConvolutionBackpropData {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("strides", &mut self.strides);
        v.required("pads_begin", &mut self.pads_begin);
        v.required("pads_end", &mut self.pads_end);
        v.required("dilations", &mut self.dilations);
        v.optional("auto_pad", &mut self.auto_pad);
        v.optional("output_padding", &mut self.output_padding);
    }
}

impl Operator for GroupConvolutionBackpropData {
    fn type_name(&self) -> &str {
        "GroupConvolutionBackpropData"
    }
}
