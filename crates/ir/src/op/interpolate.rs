//! Resizing.

use super::{
    Inputs, OpError, Operator, Places, PortType, axes,
    elements::take,
    expect_inputs,
    floats::{Lines, zeros},
};
use crate::{
    Dim, ElementType, Interval, PartialShape, Tensor,
    attribute::{Visit, Visitor, text_enum},
};

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

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        let least = self.axes_input();
        inputs.expect(least..=least + 1)?;
        let (ty, shape) = (inputs.element_type(0), inputs.shape(0));
        let Some(dims) = shape.dims() else { return Ok(vec![PortType::new(ty, PartialShape::UNKNOWN)]) };
        let mut dims = self.padded(dims)?;
        let axes = match inputs.len() > least {
            true => axes::known_axes(inputs, least, dims.len())?,
            false => Some((0..dims.len()).collect()),
        };
        let Some(axes) = axes else { return Ok(vec![PortType::new(ty, PartialShape::of_rank(dims.len()))]) };
        let target = self.target_input();
        self.check_target_type(inputs.element_type(target))?;
        match self.shape_calculation_mode {
            ShapeCalculation::Sizes => {
                let sizes = inputs.intervals(target).unwrap_or_else(|| vec![Dim::ANY_DIM; axes.len()]);
                check_count(sizes.len(), axes.len())?;
                for (axis, size) in axes.into_iter().zip(sizes) {
                    let within = size.intersect(Dim::ANY_DIM);
                    dims[axis] =
                        within.ok_or_else(|| OpError::value(format!("the size of axis {axis} is {size}")))?;
                }
            }
            ShapeCalculation::Scales => match inputs.tensor(target) {
                Some(scales) => {
                    for (axis, scale) in axes.iter().zip(scales_of(scales, axes.len())?) {
                        dims[*axis] = dims[*axis].map_monotone(|size| scaled(size, scale));
                    }
                }
                None => axes.into_iter().for_each(|axis| dims[axis] = Dim::ANY_DIM),
            },
        }
        Ok(vec![PortType::new(ty, PartialShape::new(dims))])
    }

    fn places(&self, shape: &[usize], parameters: &[Option<Tensor>]) -> Option<Places> {
        if self.mode != InterpolateMode::Nearest {
            return None;
        }
        let parameters: Option<Vec<Tensor>> = parameters.iter().skip(1).cloned().collect();
        let mut places = Places::along(shape, |_, at| at);
        for (axis, taps) in self.taps(shape, &parameters?).ok()? {
            let stride = shape[axis + 1..].iter().product::<usize>();
            places.axes[axis] = taps.iter().map(|taps| Some(taps.first()?.0 * stride)).collect();
        }
        Some(places)
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let least = self.axes_input();
        expect_inputs(inputs.len(), least..=least + 1)?;
        let mut data = self.pad(&inputs[0])?;
        let mut steps = self.steps(data.shape(), &inputs[1..])?;
        if self.mode == InterpolateMode::Nearest {
            for step in steps {
                let mut from = positions(step.output)?;
                from.extend((0..step.output).map(|at| Some(self.nearest(step, at))));
                data = take(&data, step.axis, &from, None)?;
            }
            return Ok(vec![data]);
        }
        let ty = data.element_type();
        // Rows before columns, as Pillow does, whose integers are rounded in between. Elsewhere the order means
        // nothing, and shrinking first keeps what lies between small.
        let pillow = matches!(self.mode, InterpolateMode::BilinearPillow | InterpolateMode::BicubicPillow);
        steps.reverse();
        if !(pillow && ty.is_integer()) {
            steps.sort_by_key(|step| step.output > step.input);
        }
        let mut shape = data.shape().to_vec();
        let mut values = data.to_f64s();
        for step in steps {
            let mut resized = shape.clone();
            resized[step.axis] = step.output;
            let mut y = zeros(&resized)?;
            let (from, to) = (Lines::new(&shape, step.axis), Lines::new(&resized, step.axis));
            if !y.is_empty() {
                for at in 0..step.output {
                    let weights = self.weights(step, at);
                    for (x, out) in from.starts().zip(to.starts()) {
                        let sum: f64 =
                            weights.iter().map(|(tap, weight)| values[x + tap * from.step] * weight).sum();
                        y[out + at * to.step] = sum;
                    }
                }
            }
            if pillow && ty.is_integer() {
                y.iter_mut().for_each(|value| *value = value.round());
                y = Tensor::from_f64s(ty, &resized, &y)?.to_f64s();
            }
            (shape, values) = (resized, y);
        }
        if self.mode == InterpolateMode::Linear && ty.is_integer() {
            values.iter_mut().for_each(|value| *value = value.round());
        }
        Ok(vec![Tensor::from_f64s(ty, &shape, &values)?])
    }
}

/// An axis, and for every element along it those that make it up, with their weights.
pub type AxisTaps = (usize, Vec<Vec<(usize, f64)>>);

/// What is done along one axis.
#[derive(Clone, Copy, Debug)]
struct Resize {
    axis: usize,
    input: usize,
    output: usize,
    scale: f32,
}

impl Interpolate {
    /// What is done along the axes of (padded) data of `shape`; `parameters` are the inputs behind the data.
    fn steps(&self, shape: &[usize], parameters: &[Tensor]) -> Result<Vec<Resize>, OpError> {
        let axes = match parameters.get(self.axes_input() - 1) {
            Some(axes) => axes::axes_of(axes, shape.len())?,
            None => (0..shape.len()).collect(),
        };
        let target = &parameters[self.target_input() - 1];
        self.check_target_type(target.element_type())?;
        let mut steps = Vec::new();
        match self.shape_calculation_mode {
            ShapeCalculation::Sizes => {
                let sizes = axes::integers(target, "the sizes")?;
                check_count(sizes.len(), axes.len())?;
                for (axis, size) in axes.into_iter().zip(sizes) {
                    let wrong = || OpError::value(format!("the size of axis {axis} is {size}"));
                    let output = usize::try_from(size).map_err(|_| wrong())?;
                    let input = shape[axis];
                    steps.push(Resize { axis, input, output, scale: output as f32 / input as f32 });
                }
            }
            ShapeCalculation::Scales => {
                for (axis, scale) in axes.iter().zip(scales_of(target, axes.len())?) {
                    let input = shape[*axis];
                    let output = scaled(i64::try_from(input).unwrap_or(i64::MAX), scale);
                    steps.push(Resize { axis: *axis, input, output: output as usize, scale });
                }
            }
        }
        if let Some(step) = steps.iter().find(|step| step.input == 0 && step.output > 0) {
            return Err(OpError::shape(format!(
                "axis {} has no elements to make {} of",
                step.axis, step.output
            )));
        }
        Ok(steps)
    }

    /// The axes that data of `shape` is resized along, and for every element along such an axis of the output the
    /// elements of the data that make it up, with their weights. Padding, which is zero, is left out. `parameters`
    /// are the inputs behind the data.
    pub fn taps(&self, shape: &[usize], parameters: &[Tensor]) -> Result<Vec<AxisTaps>, OpError> {
        let least = self.axes_input();
        expect_inputs(parameters.len() + 1, least..=least + 1)?;
        let pads = self.pads(shape.len())?;
        let padded = |(size, [begin, end]): (&usize, &[i64; 2])| size.saturating_add((begin + end) as usize);
        let padded: Vec<usize> = shape.iter().zip(&pads).map(padded).collect();
        let mut steps = self.steps(&padded, parameters)?;
        for axis in (0..shape.len()).filter(|axis| padded[*axis] != shape[*axis]) {
            if !steps.iter().any(|step| step.axis == axis) {
                steps.push(Resize { axis, input: padded[axis], output: padded[axis], scale: 1.0 });
            }
        }
        let of_axis = |step: Resize| {
            let begin = pads[step.axis][0] as usize;
            let place = |(tap, weight): (usize, f64)| {
                let tap = tap.checked_sub(begin).filter(|tap| *tap < shape[step.axis])?;
                Some((tap, weight))
            };
            let element = |at: usize| self.weights(step, at).into_iter().filter_map(place).collect();
            (step.axis, (0..step.output).map(element).collect())
        };
        Ok(steps.into_iter().map(of_axis).collect())
    }

    /// The input that holds the axes, when there is one.
    fn axes_input(&self) -> usize {
        match self.form {
            InterpolateForm::SizesAndScales => 3,
            InterpolateForm::SizesOrScales => 2,
        }
    }

    /// The input that says how large the answer is.
    fn target_input(&self) -> usize {
        match (self.form, self.shape_calculation_mode) {
            (InterpolateForm::SizesAndScales, ShapeCalculation::Scales) => 2,
            _ => 1,
        }
    }

    fn check_target_type(&self, ty: ElementType) -> Result<(), OpError> {
        let scales = self.shape_calculation_mode == ShapeCalculation::Scales;
        if ty == ElementType::Dynamic || scales == ty.is_float() {
            return Ok(());
        }
        let what = if scales { "the scales are" } else { "the sizes are" };
        let expected = if scales { "a floating-point type" } else { "integers" };
        Err(OpError::element_type(format!("{what} {ty}, expected {expected}")))
    }

    /// The padding before and behind each dimension; the attributes may be shorter than the rank.
    fn pads(&self, rank: usize) -> Result<Vec<[i64; 2]>, OpError> {
        for (name, pads) in [("pads_begin", &self.pads_begin), ("pads_end", &self.pads_end)] {
            // A single 0 stands for none, whatever the rank.
            let fits = pads.len() <= rank.max(1) && pads.iter().all(|pad| (0..=1 << 31).contains(pad));
            if !fits {
                return Err(OpError::attribute(format!("`{name}` is {pads:?} for {rank} dimensions")));
            }
        }
        let at = |pads: &[i64], i: usize| pads.get(i).copied().unwrap_or(0);
        Ok((0..rank).map(|i| [at(&self.pads_begin, i), at(&self.pads_end, i)]).collect())
    }

    fn padded(&self, dims: &[Dim]) -> Result<Vec<Dim>, OpError> {
        let pads = self.pads(dims.len())?;
        Ok(dims.iter().zip(pads).map(|(dim, [begin, end])| *dim + Interval::exactly(begin + end)).collect())
    }

    /// The data with zeros around it.
    fn pad(&self, data: &Tensor) -> Result<Tensor, OpError> {
        let mut padded = data.clone();
        for (axis, [begin, end]) in self.pads(data.shape().len())?.into_iter().enumerate() {
            if begin + end > 0 {
                let count = data.shape()[axis].saturating_add((begin + end) as usize);
                let mut from = positions(count)?;
                from.resize(begin as usize, None);
                from.extend((0..data.shape()[axis]).map(Some));
                from.resize(count, None);
                padded = take(&padded, axis, &from, None)?;
            }
        }
        Ok(padded)
    }

    /// Where output element `at` lies in the input. In f32, as everybody computes it: halves must fall alike.
    fn coordinate(&self, step: Resize, at: usize) -> f32 {
        let (x, input, output) = (at as f32, step.input as f32, step.output as f32);
        if step.scale == 1.0 || step.input == step.output {
            return x;
        }
        match self.coordinate_transformation_mode {
            CoordinateTransformation::PytorchHalfPixel if step.output <= 1 => 0.0,
            CoordinateTransformation::HalfPixel | CoordinateTransformation::PytorchHalfPixel => {
                (x + 0.5) / step.scale - 0.5
            }
            CoordinateTransformation::Asymmetric => x / step.scale,
            CoordinateTransformation::TfHalfPixelForNn => (x + 0.5) / step.scale,
            CoordinateTransformation::AlignCorners if step.output <= 1 => 0.0,
            CoordinateTransformation::AlignCorners => x * (input - 1.0) / (output - 1.0),
        }
    }

    /// The input element nearest to output element `at`.
    fn nearest(&self, step: Resize, at: usize) -> usize {
        let x = self.coordinate(step, at);
        let nearest = match self.nearest_mode {
            NearestMode::RoundPreferFloor => (x - 0.5).ceil(),
            NearestMode::RoundPreferCeil => (x + 0.5).floor(),
            NearestMode::Floor => x.floor(),
            NearestMode::Ceil => x.ceil(),
            NearestMode::Simple if step.scale < 1.0 => x.ceil(),
            NearestMode::Simple => x.trunc(),
        };
        (nearest.max(0.0) as usize).min(step.input - 1)
    }

    /// The input elements that make up output element `at`, and their weights.
    fn weights(&self, step: Resize, at: usize) -> Vec<(usize, f64)> {
        let last = step.input - 1;
        let x = f64::from(self.coordinate(step, at));
        match self.mode {
            InterpolateMode::Nearest => vec![(self.nearest(step, at), 1.0)],
            InterpolateMode::LinearOnnx => {
                let x = x.clamp(0.0, last as f64);
                let left = x as usize;
                let share = x - left as f64;
                vec![(left, 1.0 - share), ((left + 1).min(last), share)]
            }
            InterpolateMode::Linear => {
                let reach =
                    if self.antialias && step.scale < 1.0 { 1.0 / f64::from(step.scale) } else { 1.0 };
                let triangle = |tap: f64| (1.0 - ((tap - x) / reach).abs()).max(0.0);
                normalized((x - reach).floor(), (x + reach).ceil() + 1.0, last, triangle)
            }
            InterpolateMode::Cubic => {
                let base = x.floor();
                let tap = |offset: f64| ((base + offset).max(0.0) as usize).min(last);
                let weight = |offset: f64| keys_cubic(base + offset - x, self.cube_coeff);
                [-1.0, 0.0, 1.0, 2.0].map(|offset| (tap(offset), weight(offset))).to_vec()
            }
            InterpolateMode::BilinearPillow | InterpolateMode::BicubicPillow => {
                let cubic = self.mode == InterpolateMode::BicubicPillow;
                let ratio = step.input as f64 / step.output as f64;
                let widening = ratio.max(1.0);
                let centre = (at as f64 + 0.5) * ratio;
                let reach = widening * if cubic { 2.0 } else { 1.0 };
                normalized((centre - reach + 0.5).trunc(), (centre + reach + 0.5).trunc(), last, |tap| {
                    let x = (tap - centre + 0.5) / widening;
                    if cubic { keys_cubic(x, self.cube_coeff) } else { (1.0 - x.abs()).max(0.0) }
                })
            }
        }
    }
}

/// Room for `count` positions along an axis.
fn positions(count: usize) -> Result<Vec<Option<usize>>, OpError> {
    let mut positions = Vec::new();
    match positions.try_reserve_exact(count) {
        Ok(()) => Ok(positions),
        Err(_) => Err(OpError::shape(format!("no memory for {count} elements along an axis"))),
    }
}

/// The taps from `from` to before `to` that exist, weighted by `weight` and scaled to the sum 1.
fn normalized(from: f64, to: f64, last: usize, weight: impl Fn(f64) -> f64) -> Vec<(usize, f64)> {
    let (from, to) = (from.max(0.0) as usize, (to.max(0.0) as usize).min(last + 1));
    let mut weights: Vec<_> = (from..to).map(|tap| (tap, weight(tap as f64))).collect();
    let sum: f64 = weights.iter().map(|(_, weight)| weight).sum();
    if sum != 0.0 {
        weights.iter_mut().for_each(|(_, weight)| *weight /= sum);
    }
    weights
}

/// Keys' cubic convolution kernel with parameter `a`.
fn keys_cubic(x: f64, a: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * a
    } else {
        0.0
    }
}

fn check_count(found: usize, axes: usize) -> Result<(), OpError> {
    if found == axes {
        return Ok(());
    }
    Err(OpError::shape(format!("{found} sizes or scales for {axes} axes")))
}

fn scales_of(scales: &Tensor, axes: usize) -> Result<Vec<f32>, OpError> {
    check_count(scales.len(), axes)?;
    let scales: Vec<f32> = scales.to_f64s().into_iter().map(|scale| scale as f32).collect();
    if scales.iter().all(|scale| scale.is_finite() && *scale > 0.0) {
        return Ok(scales);
    }
    Err(OpError::value(format!("the scales are {scales:?}; each must be above 0")))
}

/// `size * scale`, rounded down as f32 has it.
fn scaled(size: i64, scale: f32) -> i64 {
    (size as f32 * scale).floor() as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::testing::{assert_close, floats, infer, infer_types, ramp, run};

    const X: [f32; 12] = [3., -1., 4., 1., -5., 9., 2., 6., -5., 3., 5., -8.];

    fn op(mode: InterpolateMode) -> Interpolate {
        Interpolate { mode, ..Interpolate::new(InterpolateForm::SizesOrScales) }
    }

    fn resized(op: &Interpolate, x: &Tensor, sizes: &[i64], axes: &[i64]) -> Tensor {
        run(op, &[x.clone(), Tensor::from_i64s(sizes), Tensor::from_i64s(axes)]).unwrap().remove(0)
    }

    // Where nothing else is said, the numbers of these tests are what OpenVINO 2026.4.1's CPU device gives.

    #[test]
    fn nearest_under_every_rule() {
        use {CoordinateTransformation::*, NearestMode::*};
        let line = floats(&[1, 5], &[0., 10., 20., 30., 40.]);
        let rules = [RoundPreferFloor, RoundPreferCeil, Floor, Ceil, Simple];
        type Case = (CoordinateTransformation, [[f64; 8]; 5], [[f64; 3]; 5], [f64; 5]);
        #[rustfmt::skip]
        let cases: &[Case] = &[
            (HalfPixel, [
                [0., 0., 10., 20., 20., 30., 40., 40.], [0., 0., 10., 20., 20., 30., 40., 40.],
                [0., 0., 10., 10., 20., 20., 30., 40.], [0., 10., 20., 20., 30., 30., 40., 40.],
                [0., 0., 10., 10., 20., 20., 30., 40.],
            ], [[0., 20., 40.], [0., 20., 40.], [0., 20., 30.], [10., 20., 40.], [10., 20., 40.]], [20.; 5]),
            (PytorchHalfPixel, [
                [0., 0., 10., 20., 20., 30., 40., 40.], [0., 0., 10., 20., 20., 30., 40., 40.],
                [0., 0., 10., 10., 20., 20., 30., 40.], [0., 10., 20., 20., 30., 30., 40., 40.],
                [0., 0., 10., 10., 20., 20., 30., 40.],
            ], [[0., 20., 40.], [0., 20., 40.], [0., 20., 30.], [10., 20., 40.], [10., 20., 40.]], [0.; 5]),
            (Asymmetric, [
                [0., 10., 10., 20., 20., 30., 40., 40.], [0., 10., 10., 20., 30., 30., 40., 40.],
                [0., 0., 10., 10., 20., 30., 30., 40.], [0., 10., 20., 20., 30., 40., 40., 40.],
                [0., 0., 10., 10., 20., 30., 30., 40.],
            ], [[0., 20., 30.], [0., 20., 30.], [0., 10., 30.], [0., 20., 40.], [0., 20., 40.]], [0.; 5]),
            (TfHalfPixelForNn, [
                [0., 10., 20., 20., 30., 30., 40., 40.], [0., 10., 20., 20., 30., 30., 40., 40.],
                [0., 0., 10., 20., 20., 30., 40., 40.], [10., 10., 20., 30., 30., 40., 40., 40.],
                [0., 0., 10., 20., 20., 30., 40., 40.],
            ], [[10., 20., 40.], [10., 30., 40.], [0., 20., 40.], [10., 30., 40.], [10., 30., 40.]],
            [20., 30., 20., 30., 30.]),
            (AlignCorners, [
                [0., 10., 10., 20., 20., 30., 30., 40.], [0., 10., 10., 20., 20., 30., 30., 40.],
                [0., 0., 10., 10., 20., 20., 30., 40.], [0., 10., 20., 20., 30., 30., 40., 40.],
                [0., 0., 10., 10., 20., 20., 30., 40.],
            ], [[0., 20., 40.]; 5], [0.; 5]),
        ];
        for (coordinates, eight, three, one) in cases {
            for (i, rule) in rules.into_iter().enumerate() {
                let op = Interpolate {
                    coordinate_transformation_mode: *coordinates,
                    nearest_mode: rule,
                    ..op(InterpolateMode::Nearest)
                };
                let case = (coordinates, rule);
                assert_close(&resized(&op, &line, &[8], &[1]), &[1, 8], &eight[i], case);
                assert_close(&resized(&op, &line, &[3], &[-1]), &[1, 3], &three[i], case);
                assert_close(&resized(&op, &line, &[1, 1], &[0, 1]), &[1, 1], &one[i..=i], case);
            }
        }
    }

    #[test]
    fn between_points() {
        use {CoordinateTransformation::*, InterpolateMode::*};
        let line = floats(&[5], &[0., 10., 20., 30., 40.]);
        type Case = (InterpolateMode, CoordinateTransformation, [f64; 8], [f64; 3], f64);
        #[rustfmt::skip]
        let cases: &[Case] = &[
            (LinearOnnx, HalfPixel, [0., 4.375, 10.625, 16.875, 23.125, 29.375, 35.625, 40.],
             [3.333_333, 20., 36.666_66], 20.),
            (Linear, HalfPixel, [0., 4.375, 10.625, 16.875, 23.125, 29.375, 35.625, 40.],
             [3.333_333, 20., 36.666_66], 20.),
            (Cubic, HalfPixel,
             [-0.928_344_7, 3.490_601, 10.881_35, 16.472_17, 23.527_83, 29.118_65, 36.509_4, 40.928_34],
             [2.592_593, 20., 37.407_41], 20.),
            (LinearOnnx, PytorchHalfPixel, [0., 4.375, 10.625, 16.875, 23.125, 29.375, 35.625, 40.],
             [3.333_333, 20., 36.666_66], 0.),
            (LinearOnnx, Asymmetric, [0., 6.25, 12.5, 18.75, 25., 31.25, 37.5, 40.], [0., 16.666_67, 33.333_33], 0.),
            (Linear, Asymmetric, [0., 6.25, 12.5, 18.75, 25., 31.25, 37.5, 40.], [0., 16.666_67, 33.333_33], 0.),
            (Cubic, Asymmetric, [0., 5.297_852, 12.968_75, 18.339_84, 25., 31.762_7, 38.085_94, 41.098_63],
             [0., 16.296_3, 34.259_26], 0.),
            (LinearOnnx, TfHalfPixelForNn, [3.125, 9.375, 15.625, 21.875, 28.125, 34.375, 40., 40.],
             [8.333_333, 25., 40.], 25.),
            (Cubic, TfHalfPixelForNn,
             [2.420_044, 9.091_187, 15.471_19, 22.351_07, 27.648_93, 35.336_3, 40.411_99, 40.503_54],
             [7.696_759, 25., 40.868_05], 25.),
            (Linear, AlignCorners,
             [0., 5.714_286, 11.428_57, 17.142_86, 22.857_14, 28.571_43, 34.285_72, 40.], [0., 20., 40.], 0.),
            (Cubic, AlignCorners,
             [0., 4.752_187, 11.865_89, 16.705_54, 23.294_46, 28.134_11, 35.247_82, 40.], [0., 20., 40.], 0.),
        ];
        for (mode, coordinates, eight, three, one) in cases {
            let op = Interpolate { coordinate_transformation_mode: *coordinates, ..op(*mode) };
            let case = (mode, coordinates);
            assert_close(&resized(&op, &line, &[8], &[0]), &[8], eight, case);
            assert_close(&resized(&op, &line, &[3], &[0]), &[3], three, case);
            assert_close(&resized(&op, &line, &[1], &[0]), &[1], &[*one], case);
        }
    }

    #[test]
    fn two_axes() {
        use InterpolateMode::*;
        let x = floats(&[1, 1, 3, 4], &X);
        #[rustfmt::skip]
        let cases: &[(InterpolateMode, [i64; 2], &[f64])] = &[
            (LinearOnnx, [5, 3], &[
                2.333_333, 1.5, 1.5, 0.333_333_3, 3.1, 3.033_334, -2.666_666, 5.5, 5.333_333, -3.266_667, 4.6,
                -1.366_668, -3.666_667, 4., -5.833_332,
            ]),
            (Cubic, [4, 3], &[
                2.712_961, 1.045_12, 1.245_538, -0.880_611, 4.675_98, 5.192_606, -3.808_025, 6.821_335, 1.611_028,
                -3.959_597, 5.935_104, -6.918_081,
            ]),
            (BilinearPillow, [2, 2], &[1.642_857, 3.017_857, 0.660_714_5, 1.232_143]),
            (BilinearPillow, [5, 7], &[
                3., 1.571_429, -0.714_285_9, 1.5, 3.785_714, 2.071_429, 1., -0.2, 0.942_857_1, 2.771_429, 3.1,
                3.185_714, 3.071_429, 3., -5., 0., 8., 5.5, 2.285_714, 4.571_428, 6., -5., -1.285_714, 4.657_143, 4.6,
                3.357_143, -0.185_714_3, -2.4, -5., -2.142_857, 2.428_571, 4., 4.071_429, -3.357_143, -8.,
            ]),
            (BicubicPillow, [2, 6], &[
                0.033_581_85, 1.369_748, 2.938_335, 3.148_61, 3.275_328, 3.320_056, -6.032_987, -0.132_471_1, 6.009_124,
                4.583_351, 0.189_689_4, -3.345_907,
            ]),
        ];
        for (mode, sizes, want) in cases {
            let op = Interpolate { cube_coeff: if *mode == Cubic { -0.75 } else { -0.5 }, ..op(*mode) };
            let shape = [1, 1, sizes[0] as usize, sizes[1] as usize];
            assert_close(&resized(&op, &x, sizes, &[2, 3]), &shape, want, mode);
        }
    }

    #[test]
    fn antialiasing_widens_the_reach() {
        // tf.image.resize of 0, 10, 40, 20, 30, 90 to 2 and to 3, bilinear, antialias=True.
        let line = floats(&[6], &[0., 10., 40., 20., 30., 90.]);
        let op = Interpolate { antialias: true, ..op(InterpolateMode::Linear) };
        assert_close(&resized(&op, &line, &[2], &[0]), &[2], &[16.25, 43.75], 2);
        assert_close(&resized(&op, &line, &[3], &[0]), &[3], &[10., 27.5, 54.285_72], 3);
    }

    #[test]
    fn scales_and_pads() {
        use {CoordinateTransformation::Asymmetric, InterpolateMode::*};
        let by = |op: &Interpolate, x: &Tensor, scales: &[f32]| {
            let axes = Tensor::from_i64s(&[2, 3]);
            run(op, &[x.clone(), floats(&[scales.len()], scales), axes]).unwrap().remove(0)
        };
        let x = floats(&[1, 1, 3, 4], &X);
        let line = floats(&[1, 1, 1, 5], &[0., 10., 20., 30., 40.]);
        let linear = Interpolate { shape_calculation_mode: ShapeCalculation::Scales, ..op(LinearOnnx) };
        // The given scale counts, not that of the sizes: 5 * 1.7 is 8.5.
        let want = [0., 3.823_529, 9.705_882, 15.588_24, 21.470_59, 27.352_94, 33.235_29, 39.117_65];
        assert_close(&by(&linear, &line, &[1.0, 1.7]), &[1, 1, 1, 8], &want, "scale");
        let nearest = Interpolate {
            mode: Nearest,
            nearest_mode: NearestMode::Floor,
            coordinate_transformation_mode: Asymmetric,
            pads_begin: vec![0, 0, 1, 0],
            pads_end: vec![0, 0, 0, 1],
            ..linear
        };
        #[rustfmt::skip]
        let want = [
            0., 0., 0., 0., 0., 0., 0., 0., 0., 0., 3., -1., 4., 1., 0., 3., -1., 4., 1., 0., -5., 9., 2., 6., 0., -5.,
            9., 2., 6., 0., -5., 3., 5., -8., 0., -5., 3., 5., -8., 0.,
        ];
        assert_close(&by(&nearest, &x, &[2.0, 1.0]), &[1, 1, 8, 5], &want, "pads");
        // opset4 has both, and looks at one.
        let old = Interpolate {
            shape_calculation_mode: ShapeCalculation::Scales,
            ..Interpolate::new(InterpolateForm::SizesAndScales)
        };
        let y = run(&old, &[ramp(&[2]), Tensor::from_i64s(&[77]), floats(&[1], &[2.0])]).unwrap();
        assert_close(&y[0], &[4], &[1., 1., 2., 2.], "opset4");
    }

    #[test]
    fn edges() {
        use InterpolateMode::*;
        for mode in [Nearest, LinearOnnx, Linear, Cubic, BilinearPillow, BicubicPillow] {
            let op = op(mode);
            assert_close(&resized(&op, &ramp(&[1]), &[3], &[0]), &[3], &[1.0; 3], mode);
            assert_close(&resized(&op, &ramp(&[2, 2]), &[2, 2], &[1, 0]), &[2, 2], &[1., 2., 3., 4.], mode);
            assert_eq!(resized(&op, &ramp(&[2, 2]), &[0], &[0]).shape(), [0, 2], "{mode:?}");
            assert_eq!(resized(&op, &ramp(&[0, 2]), &[3], &[1]).shape(), [0, 3], "{mode:?}");
            for (sizes, axes) in
                [(&[3][..], &[0][..]), (&[-1], &[1]), (&[1, 1], &[1]), (&[1], &[2]), (&[1, 1], &[1, 1])]
            {
                let inputs = [ramp(&[0, 2]), Tensor::from_i64s(sizes), Tensor::from_i64s(axes)];
                assert!(op.evaluate(&inputs).is_err(), "{mode:?} {sizes:?} {axes:?}");
            }
            let huge = [ramp(&[2, 2]), Tensor::from_i64s(&[i64::MAX, i64::MAX]), Tensor::from_i64s(&[0, 1])];
            assert!(op.evaluate(&huge).is_err(), "{mode:?}");
        }
        let bytes = Tensor::from_i64_values(ElementType::U8, &[2], &[0, 255]).unwrap();
        assert_eq!(resized(&op(Linear), &bytes, &[4], &[0]).to_i64s(), [0, 64, 191, 255]);
        assert_eq!(resized(&op(BicubicPillow), &bytes, &[4], &[0]).to_i64s()[3], 255);
        let scales = Interpolate { shape_calculation_mode: ShapeCalculation::Scales, ..op(Linear) };
        for scale in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert!(run(&scales, &[ramp(&[2]), floats(&[1], &[scale])]).is_err(), "{scale}");
        }
        for pads in [vec![-1], vec![i64::MAX], vec![0, 0]] {
            let padded = Interpolate { pads_begin: pads, ..op(Linear) };
            assert!(run(&padded, &[ramp(&[2]), Tensor::from_i64s(&[2])]).is_err());
        }
    }

    #[test]
    fn unknown_sizes_leave_the_rank() {
        let op = op(InterpolateMode::Linear);
        let data = ("f32[?,3,2..5,8]", None);
        let axes = ("i64[2]", Some(Tensor::from_i64s(&[2, 3])));
        let sizes = ("i64[2]", Some(Tensor::from_i64s(&[7, 9])));
        assert_eq!(infer(&op, &[data.clone(), sizes.clone(), axes.clone()]).unwrap(), ["f32[?,3,7,9]"]);
        assert_eq!(infer(&op, &[data.clone(), ("i64[2]", None), axes.clone()]).unwrap(), ["f32[?,3,?,?]"]);
        assert_eq!(infer_types(&op, &["f32[?,3,4,8]", "i64[2]", "i64[2]"]).unwrap(), ["f32[?,?,?,?]"]);
        assert_eq!(infer_types(&op, &["f32[...]", "i64[2]"]).unwrap(), ["f32[...]"]);
        assert!(infer(&op, &[data.clone(), sizes, ("i64[1]", Some(Tensor::from_i64s(&[2])))]).is_err());
        assert!(infer_types(&op, &["f32[2]", "f32[1]"]).is_err());
        let scales = Interpolate { shape_calculation_mode: ShapeCalculation::Scales, ..op };
        let by = ("f32[2]", Some(floats(&[2], &[1.5, 0.5])));
        assert_eq!(infer(&scales, &[data, by, axes]).unwrap(), ["f32[?,3,3..7,4]"]);
    }
}
