//! Resizing.

use super::Operator;
use crate::attribute::{Visit, Visitor, text_enum};

text_enum! {
    /// Between which points.
    InterpolateMode {
        /// The nearest one.
        Nearest = "nearest",
        /// Those around, in a box.
        LinearOnnx = "linear_onnx",
        /// All within reach, triangle-weighted.
        Linear = "linear",
        /// Four along each axis.
        Cubic = "cubic",
        /// Pillow's bilinear.
        BilinearPillow = "bilinear_pillow",
        /// Pillow's bicubic.
        BicubicPillow = "bicubic_pillow",
    }
}

text_enum! {
    /// What the shape inputs hold.
    ShapeCalculation {
        /// Sizes.
        Sizes = "sizes",
        /// Factors.
        Scales = "scales",
    }
}

text_enum! {
    /// Where an output coordinate lies in the input.
    CoordinateTransformation {
        /// `(x + 0.5) / scale - 0.5`.
        HalfPixel = "half_pixel",
        /// The same, 0 for an output of size 1.
        PytorchHalfPixel = "pytorch_half_pixel",
        /// `x / scale`.
        Asymmetric = "asymmetric",
        /// `(x + 0.5) / scale`.
        TfHalfPixelForNn = "tf_half_pixel_for_nn",
        /// Corners lie on corners.
        AlignCorners = "align_corners",
    }
}

text_enum! {
    /// Which point is nearest.
    NearestMode {
        /// Round, halves down.
        RoundPreferFloor = "round_prefer_floor",
        /// Round, halves up.
        RoundPreferCeil = "round_prefer_ceil",
        /// Down.
        Floor = "floor",
        /// Up.
        Ceil = "ceil",
        /// Up when shrinking, down otherwise.
        Simple = "simple",
    }
}

/// The inputs of the op's versions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InterpolateForm {
    /// opset4: data, sizes, scales, optionally axes.
    SizesAndScales,
    /// opset11: data, sizes or scales, optionally axes.
    SizesOrScales,
}

impl Interpolate {
    /// A blank op of a version.
    pub fn new(form: InterpolateForm) -> Self {
        Self {
            form,
            mode: InterpolateMode::Nearest,
            shape_calculation_mode: ShapeCalculation::Sizes,
            coordinate_transformation_mode: CoordinateTransformation::HalfPixel,
            nearest_mode: NearestMode::RoundPreferFloor,
            antialias: false,
            pads_begin: vec![],
            pads_end: vec![],
            cube_coeff: -0.75,
        }
    }
}

/// Resizes along axes.
#[derive(Clone, PartialEq, Debug)]
pub struct Interpolate {
    /// Which inputs it takes.
    pub form: InterpolateForm,
    /// Between which points.
    pub mode: InterpolateMode,
    /// What the shape inputs hold.
    pub shape_calculation_mode: ShapeCalculation,
    /// Where outputs lie in the input.
    pub coordinate_transformation_mode: CoordinateTransformation,
    /// Which point is nearest.
    pub nearest_mode: NearestMode,
    /// Widen the reach when shrinking.
    pub antialias: bool,
    /// Zeros before the data; empty means none.
    pub pads_begin: Vec<i64>,
    /// Zeros behind the data; empty means none.
    pub pads_end: Vec<i64>,
    /// The cubic's parameter.
    pub cube_coeff: f64,
}

impl Visit for Interpolate {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("mode", &mut self.mode);
        v.required("shape_calculation_mode", &mut self.shape_calculation_mode);
        v.optional("coordinate_transformation_mode", &mut self.coordinate_transformation_mode);
        v.optional("nearest_mode", &mut self.nearest_mode);
        v.optional("antialias", &mut self.antialias);
        v.optional("pads_begin", &mut self.pads_begin);
        v.optional("pads_end", &mut self.pads_end);
        v.optional("cube_coeff", &mut self.cube_coeff);
    }
}

impl Operator for Interpolate {
    fn type_name(&self) -> &str {
        "Interpolate"
    }
}
