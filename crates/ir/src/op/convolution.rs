//! Convolutions and their transposes.

use super::{
    Inputs, OpError, Operator, PortType, RoundingType, Window, axes, expect_inputs,
    floats::zeros,
    window::{Sliding, for_rows, plane},
};
use crate::{
    Dim, PartialShape, Tensor,
    attribute::{Visit, Visitor, text_enum},
};

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

impl Convolution {
    fn geometry(&self) -> Geometry<'_> {
        let sliding = Sliding {
            strides: &self.strides,
            dilations: &self.dilations,
            pads_begin: &self.pads_begin,
            pads_end: &self.pads_end,
            auto_pad: self.auto_pad,
            rounding: RoundingType::Floor,
        };
        Geometry { sliding, grouped: false }
    }

    /// The window along each spatial dimension, for data and weights of these shapes.
    pub fn windows(&self, data: &[usize], weights: &[usize]) -> Result<Vec<Window>, OpError> {
        let geometry = self.geometry();
        geometry.sizes(data, weights)?;
        geometry.sliding.windows(&data[2..], &weights[weights.len() - (data.len() - 2)..])
    }
}

impl Operator for Convolution {
    fn type_name(&self) -> &str {
        "Convolution"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(2..=2)?;
        let geometry = self.geometry();
        let Layers { batch, outputs, data, kernel, .. } = geometry.layers(inputs, false)?;
        let spatial = geometry.sliding.outputs(&data, &kernel)?;
        geometry.answer(inputs, batch, outputs, spatial)
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 2..=2)?;
        let windows = self.windows(inputs[0].shape(), inputs[1].shape())?;
        correlate(inputs, self.geometry().sizes(inputs[0].shape(), inputs[1].shape())?, &windows)
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

impl GroupConvolution {
    fn geometry(&self) -> Geometry<'_> {
        let sliding = Sliding {
            strides: &self.strides,
            dilations: &self.dilations,
            pads_begin: &self.pads_begin,
            pads_end: &self.pads_end,
            auto_pad: self.auto_pad,
            rounding: RoundingType::Floor,
        };
        Geometry { sliding, grouped: true }
    }

    /// The window along each spatial dimension, for data and weights of these shapes.
    pub fn windows(&self, data: &[usize], weights: &[usize]) -> Result<Vec<Window>, OpError> {
        let geometry = self.geometry();
        geometry.sizes(data, weights)?;
        geometry.sliding.windows(&data[2..], &weights[weights.len() - (data.len() - 2)..])
    }
}

impl Operator for GroupConvolution {
    fn type_name(&self) -> &str {
        "GroupConvolution"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(2..=2)?;
        let geometry = self.geometry();
        let Layers { batch, outputs, data, kernel, .. } = geometry.layers(inputs, false)?;
        let spatial = geometry.sliding.outputs(&data, &kernel)?;
        geometry.answer(inputs, batch, outputs, spatial)
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 2..=2)?;
        let windows = self.windows(inputs[0].shape(), inputs[1].shape())?;
        correlate(inputs, self.geometry().sizes(inputs[0].shape(), inputs[1].shape())?, &windows)
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

impl ConvolutionBackpropData {
    fn geometry(&self) -> Geometry<'_> {
        let sliding = Sliding {
            strides: &self.strides,
            dilations: &self.dilations,
            pads_begin: &self.pads_begin,
            pads_end: &self.pads_end,
            auto_pad: self.auto_pad,
            rounding: RoundingType::Floor,
        };
        Geometry { sliding, grouped: false }
    }

    /// The window along each spatial dimension, for data and weights of these shapes. It slides over the op's
    /// output (so that is [`Window::input`]) and has one position for each element of the data.
    pub fn windows(
        &self,
        data: &[usize],
        weights: &[usize],
        output_shape: Option<&[i64]>,
    ) -> Result<Vec<Window>, OpError> {
        let geometry = self.geometry();
        geometry.transposed_sizes(data, weights)?;
        let kernel = &weights[weights.len() - (data.len() - 2)..];
        geometry.transposed_windows(&data[2..], kernel, output_shape, &self.output_padding)
    }
}

impl Operator for ConvolutionBackpropData {
    fn type_name(&self) -> &str {
        "ConvolutionBackpropData"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(2..=3)?;
        self.geometry().infer_transposed(inputs, &self.output_padding)
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 2..=3)?;
        let output_shape = inputs.get(2).map(|shape| axes::integers(shape, OUTPUT_SHAPE)).transpose()?;
        let windows = self.windows(inputs[0].shape(), inputs[1].shape(), output_shape.as_deref())?;
        let sizes = self.geometry().transposed_sizes(inputs[0].shape(), inputs[1].shape())?;
        spread(inputs, sizes, &windows)
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

impl GroupConvolutionBackpropData {
    fn geometry(&self) -> Geometry<'_> {
        let sliding = Sliding {
            strides: &self.strides,
            dilations: &self.dilations,
            pads_begin: &self.pads_begin,
            pads_end: &self.pads_end,
            auto_pad: self.auto_pad,
            rounding: RoundingType::Floor,
        };
        Geometry { sliding, grouped: true }
    }

    /// The window along each spatial dimension, for data and weights of these shapes. It slides over the op's
    /// output (so that is [`Window::input`]) and has one position for each element of the data.
    pub fn windows(
        &self,
        data: &[usize],
        weights: &[usize],
        output_shape: Option<&[i64]>,
    ) -> Result<Vec<Window>, OpError> {
        let geometry = self.geometry();
        geometry.transposed_sizes(data, weights)?;
        let kernel = &weights[weights.len() - (data.len() - 2)..];
        geometry.transposed_windows(&data[2..], kernel, output_shape, &self.output_padding)
    }
}

impl Operator for GroupConvolutionBackpropData {
    fn type_name(&self) -> &str {
        "GroupConvolutionBackpropData"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(2..=3)?;
        self.geometry().infer_transposed(inputs, &self.output_padding)
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 2..=3)?;
        let output_shape = inputs.get(2).map(|shape| axes::integers(shape, OUTPUT_SHAPE)).transpose()?;
        let windows = self.windows(inputs[0].shape(), inputs[1].shape(), output_shape.as_deref())?;
        let sizes = self.geometry().transposed_sizes(inputs[0].shape(), inputs[1].shape())?;
        spread(inputs, sizes, &windows)
    }
}

const OUTPUT_SHAPE: &str = "the output's shape";

/// Attributes that all four ops share.
#[derive(Clone, Copy)]
struct Geometry<'a> {
    sliding: Sliding<'a>,
    /// The weights' first dimension counts groups.
    grouped: bool,
}

/// What data and weights say about the layers that lie between them.
struct Layers {
    batch: Dim,
    /// Channels of the answer, of all groups.
    outputs: Dim,
    data: Vec<Dim>,
    kernel: Vec<Dim>,
}

/// The same in known sizes.
#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    groups: usize,
    /// Channels of the data, of one group.
    inputs: usize,
    /// Channels of the answer, of one group.
    outputs: usize,
}

impl Geometry<'_> {
    /// Reads the shapes of inputs 0 and 1; an unknown rank follows from the strides.
    fn layers(&self, inputs: &Inputs, transposed: bool) -> Result<Layers, OpError> {
        let spatial = self.sliding.strides.len();
        self.sliding.check(spatial)?;
        let extra = usize::from(self.grouped);
        let data = dims_of_rank(inputs.shape(0), spatial + 2, "data")?;
        let weights = dims_of_rank(inputs.shape(1), spatial + 2 + extra, "weights")?;
        let groups = if self.grouped { weights[0] } else { Dim::exactly(1) };
        let (own, other) = if transposed { (0, 1) } else { (1, 0) };
        let channels = groups * weights[extra + own];
        if channels.intersect(data[1]).is_none() {
            return Err(OpError::shape(format!(
                "the data has {} channels where the weights take {channels}",
                data[1]
            )));
        }
        let outputs = groups * weights[extra + other];
        Ok(Layers {
            batch: data[0],
            outputs,
            data: data[2..].to_vec(),
            kernel: weights[extra + 2..].to_vec(),
        })
    }

    fn answer(
        &self,
        inputs: &Inputs,
        batch: Dim,
        outputs: Dim,
        spatial: Vec<Dim>,
    ) -> Result<Vec<PortType>, OpError> {
        let ty = inputs.same_element_type(0..2)?;
        Ok(vec![PortType::new(ty, PartialShape::new([batch, outputs].into_iter().chain(spatial)))])
    }

    fn infer_transposed(&self, inputs: &Inputs, output_padding: &[i64]) -> Result<Vec<PortType>, OpError> {
        let Layers { batch, outputs, data, kernel } = self.layers(inputs, true)?;
        check_output_padding(output_padding, data.len())?;
        let spatial: Vec<Dim> = if inputs.len() > 2 {
            if inputs.element_type(2).is_float() {
                let found = inputs.element_type(2);
                return Err(OpError::element_type(format!("{OUTPUT_SHAPE} is {found}, expected integers")));
            }
            let sizes = inputs.intervals(2).unwrap_or_else(|| vec![Dim::ANY_DIM; data.len()]);
            if sizes.len() != data.len() || sizes.iter().any(|size| size.max() < 0) {
                return Err(OpError::value(format!(
                    "{OUTPUT_SHAPE} is {sizes:?} for data {}",
                    inputs.shape(0)
                )));
            }
            sizes.into_iter().map(Dim::as_dim).collect()
        } else {
            let size = |i: usize| {
                if let (Some(data), Some(kernel)) = (data[i].size(), kernel[i].size()) {
                    return Ok(Dim::dim(self.transposed_size(i, data, kernel, output_padding)?));
                }
                let one = Dim::exactly(1);
                let (begin, end) = self.sliding.explicit_pads(i);
                let span = (kernel[i] - one) * Dim::dim(self.sliding.dilation(i)) + one;
                let more =
                    Dim::exactly(output_padding.get(i).copied().unwrap_or(0).saturating_sub(begin + end));
                Ok(((data[i] - one) * Dim::exactly(self.sliding.stride(i)) + span + more).as_dim())
            };
            (0..data.len()).map(size).collect::<Result<_, OpError>>()?
        };
        self.answer(inputs, batch, outputs, spatial)
    }

    /// Channels of known shapes, checked.
    fn sizes(&self, data: &[usize], weights: &[usize]) -> Result<Sizes, OpError> {
        let extra = usize::from(self.grouped);
        if data.len() < 3 || weights.len() != data.len() + extra {
            return Err(OpError::shape(format!("the data is {data:?} and the weights are {weights:?}")));
        }
        let groups = if self.grouped { weights[0] } else { 1 };
        let (outputs, inputs) = (weights[extra], weights[extra + 1]);
        if groups.checked_mul(inputs) != Some(data[1]) {
            return Err(OpError::shape(format!(
                "the data has {} channels where the weights take {groups} x {inputs}",
                data[1]
            )));
        }
        Ok(Sizes { batch: data[0], groups, inputs, outputs })
    }

    /// The same for weights whose first channels are the data's.
    fn transposed_sizes(&self, data: &[usize], weights: &[usize]) -> Result<Sizes, OpError> {
        let mut swapped = weights.to_vec();
        let extra = usize::from(self.grouped);
        if weights.len() >= extra + 2 {
            swapped.swap(extra, extra + 1);
        }
        self.sizes(data, &swapped)
    }

    /// The output's size along spatial dimension `i` where nobody prescribes it.
    fn transposed_size(
        &self,
        i: usize,
        data: usize,
        kernel: usize,
        output_padding: &[i64],
    ) -> Result<usize, OpError> {
        let (begin, end) = self.sliding.explicit_pads(i);
        let reach = self.reach(i, data, kernel)?;
        let size = reach.checked_add(output_padding.get(i).copied().unwrap_or(0));
        let size = size.and_then(|size| usize::try_from(size.checked_sub(begin + end)?).ok());
        size.ok_or_else(|| {
            OpError::shape(format!(
                "along spatial dimension {i} the pads {begin} and {end} cut more than the {reach} elements there are"
            ))
        })
    }

    /// How far the windows reach along spatial dimension `i` when there is one for each of `data` elements.
    fn reach(&self, i: usize, data: usize, kernel: usize) -> Result<i64, OpError> {
        let steps = i64::try_from(data).ok().and_then(|data| (data - 1).checked_mul(self.sliding.stride(i)));
        let reach = steps.and_then(|steps| steps.checked_add(self.sliding.span(i, kernel).ok()?));
        reach.filter(|reach| *reach <= i64::MAX / 4).ok_or_else(|| {
            OpError::shape(format!("{kernel} taps over {data} elements along spatial dimension {i}"))
        })
    }

    fn transposed_windows(
        &self,
        data: &[usize],
        kernel: &[usize],
        output_shape: Option<&[i64]>,
        output_padding: &[i64],
    ) -> Result<Vec<Window>, OpError> {
        self.sliding.check(data.len())?;
        check_output_padding(output_padding, data.len())?;
        if let Some(shape) = output_shape.filter(|shape| shape.len() != data.len()) {
            return Err(OpError::value(format!("{OUTPUT_SHAPE} is {shape:?} for {} dimensions", data.len())));
        }
        let window = |i: usize| {
            let more = output_padding.get(i).copied().unwrap_or(0);
            let reach = self.reach(i, data[i], kernel[i])?;
            let (mut pad_begin, mut pad_end) = self.sliding.explicit_pads(i);
            let input = match output_shape {
                None => self.transposed_size(i, data[i], kernel[i], output_padding)?,
                Some(shape) => {
                    let size = usize::try_from(shape[i]).ok().filter(|_| shape[i] <= i64::MAX / 4);
                    let size = size.ok_or_else(|| OpError::value(format!("{OUTPUT_SHAPE} is {shape:?}")))?;
                    // What doesn't fit is cut off on both sides; here the odd element goes in front for `SameUpper`.
                    let total = (reach - size as i64).saturating_add(more).max(0);
                    match self.sliding.auto_pad {
                        AutoPad::SameUpper => (pad_begin, pad_end) = (total - total / 2, total / 2),
                        AutoPad::SameLower => (pad_begin, pad_end) = (total / 2, total - total / 2),
                        AutoPad::Explicit | AutoPad::Valid => {}
                    }
                    size
                }
            };
            Ok(Window {
                input,
                kernel: kernel[i],
                stride: self.sliding.strides[i],
                dilation: self.sliding.dilation(i),
                pad_begin,
                pad_end,
                output: data[i],
            })
        };
        (0..data.len()).map(window).collect()
    }
}

fn check_output_padding(output_padding: &[i64], spatial: usize) -> Result<(), OpError> {
    let fits = output_padding.is_empty() || output_padding.len() == spatial;
    if fits && output_padding.iter().all(|padding| (0..=1 << 31).contains(padding)) {
        return Ok(());
    }
    Err(OpError::attribute(format!(
        "`output_padding` is {output_padding:?} for {spatial} spatial dimensions"
    )))
}

fn dims_of_rank(shape: &PartialShape, rank: usize, what: &str) -> Result<Vec<Dim>, OpError> {
    match shape.dims() {
        None => Ok(vec![Dim::ANY_DIM; rank]),
        Some(dims) if dims.len() == rank => Ok(dims.to_vec()),
        Some(dims) => Err(OpError::shape(format!(
            "the {what} has {} dimensions, expected {rank} by its strides",
            dims.len()
        ))),
    }
}

/// One window over all spatial dimensions where the windows move nothing: long rows are faster.
fn flattened(windows: &[Window]) -> Vec<Window> {
    if windows.iter().all(Window::is_identity) {
        let len = plane(windows, |window| window.input);
        return vec![Window { input: len, output: len, ..windows[0] }];
    }
    windows.to_vec()
}

/// `y[n,g,o,p] = sum of x[n,g,i,index(p,t)] * w[g,o,i,t]` over the channels and the taps that lie on the data.
fn correlate(inputs: &[Tensor], sizes: Sizes, windows: &[Window]) -> Result<Vec<Tensor>, OpError> {
    let mut shape = vec![sizes.batch, sizes.groups * sizes.outputs];
    shape.extend(windows.iter().map(|window| window.output));
    let mut y = zeros(&shape)?;
    if !y.is_empty() && !inputs[0].is_empty() && !inputs[1].is_empty() {
        let (x, w) = (inputs[0].to_f64s(), inputs[1].to_f64s());
        let windows = flattened(windows);
        let last = windows[windows.len() - 1];
        let taps: Vec<_> = (0..last.kernel).map(|tap| last.positions(tap)).collect();
        let (x_plane, w_plane, y_plane) =
            (plane(&windows, |w| w.input), plane(&windows, |w| w.kernel), plane(&windows, |w| w.output));
        for_rows(&windows, |row, rows| {
            for map in 0..sizes.batch * sizes.groups * sizes.outputs {
                let (group, output) = (map / sizes.outputs, map % sizes.outputs);
                let at = map * y_plane + row * last.output;
                let y = &mut y[at..at + last.output];
                for input in 0..sizes.inputs {
                    let x = &x[(group * sizes.inputs + input) * x_plane..][..x_plane];
                    let kernel = (group % sizes.groups * sizes.outputs + output) * sizes.inputs + input;
                    let w = &w[kernel * w_plane..][..w_plane];
                    for (x_row, w_row) in rows {
                        let x = &x[x_row * last.input..][..last.input];
                        let w = &w[w_row * last.kernel..][..last.kernel];
                        for (tap, (w, at)) in w.iter().zip(&taps).enumerate() {
                            let Some(y) = y.get_mut(at.clone()).filter(|y| !y.is_empty()) else { continue };
                            let x = &x[last.index(at.start, tap)..];
                            if last.stride == 1 {
                                y.iter_mut().zip(x).for_each(|(y, x)| *y += w * x);
                            } else {
                                y.iter_mut()
                                    .zip(x.iter().step_by(last.stride))
                                    .for_each(|(y, x)| *y += w * x);
                            }
                        }
                    }
                }
            }
        });
    }
    Ok(vec![Tensor::from_f64s(inputs[0].element_type(), &shape, &y)?])
}

/// `y[n,g,o,index(p,t)] += x[n,g,i,p] * w[g,i,o,t]`: what [`correlate`] does, backwards.
fn spread(inputs: &[Tensor], sizes: Sizes, windows: &[Window]) -> Result<Vec<Tensor>, OpError> {
    let mut shape = vec![sizes.batch, sizes.groups * sizes.outputs];
    shape.extend(windows.iter().map(|window| window.input));
    let mut y = zeros(&shape)?;
    if !y.is_empty() && !inputs[0].is_empty() && !inputs[1].is_empty() {
        let (x, w) = (inputs[0].to_f64s(), inputs[1].to_f64s());
        let windows = flattened(windows);
        let last = windows[windows.len() - 1];
        let taps: Vec<_> = (0..last.kernel).map(|tap| last.positions(tap)).collect();
        let (x_plane, w_plane, y_plane) =
            (plane(&windows, |w| w.output), plane(&windows, |w| w.kernel), plane(&windows, |w| w.input));
        for_rows(&windows, |row, rows| {
            for map in 0..sizes.batch * sizes.groups * sizes.outputs {
                let (group, output) = (map / sizes.outputs, map % sizes.outputs);
                let y = &mut y[map * y_plane..][..y_plane];
                for input in 0..sizes.inputs {
                    let x = &x[(group * sizes.inputs + input) * x_plane + row * last.output..][..last.output];
                    let kernel = (group % sizes.groups * sizes.inputs + input) * sizes.outputs + output;
                    let w = &w[kernel * w_plane..][..w_plane];
                    for (y_row, w_row) in rows {
                        let y = &mut y[y_row * last.input..][..last.input];
                        let w = &w[w_row * last.kernel..][..last.kernel];
                        for (tap, (w, at)) in w.iter().zip(&taps).enumerate() {
                            let Some(x) = x.get(at.clone()).filter(|x| !x.is_empty()) else { continue };
                            let y = y[last.index(at.start, tap)..].iter_mut().step_by(last.stride);
                            x.iter().zip(y).for_each(|(x, y)| *y += w * x);
                        }
                    }
                }
            }
        });
    }
    Ok(vec![Tensor::from_f64s(inputs[0].element_type(), &shape, &y)?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::testing::{assert_close, infer, infer_types, ramp, run};

    fn plain(stride: usize, dilation: usize, begin: i64, end: i64, auto_pad: AutoPad) -> Convolution {
        Convolution {
            strides: vec![stride],
            pads_begin: vec![begin],
            pads_end: vec![end],
            dilations: vec![dilation],
            auto_pad,
        }
    }

    // The numbers of these tests are what OpenVINO 2026.4.1's CPU device gives for the same ramps in f32.

    #[test]
    fn one_dimension_under_every_padding() {
        use AutoPad::*;
        let cases: &[(Convolution, &[f64])] = &[
            (plain(2, 1, 1, 0, Explicit), &[91., 157., 199., 199., 373., 487.]),
            (plain(2, 1, 1, 0, SameUpper), &[136., 178., 121., 316., 430., 325.]),
            (plain(2, 1, 1, 0, SameLower), &[91., 157., 199., 199., 373., 487.]),
            (plain(2, 1, 1, 0, Valid), &[136., 178., 316., 430.]),
            (
                plain(1, 2, 2, 2, Explicit),
                &[100., 116., 161., 182., 104., 116., 220., 260., 377., 434., 272., 308.],
            ),
        ];
        for (op, want) in cases {
            let y = run(op, &[ramp(&[1, 2, 6]), ramp(&[2, 2, 3])]).unwrap();
            assert_close(&y[0], &[1, 2, want.len() / 2], want, op);
        }
    }

    #[test]
    fn more_dimensions_and_groups() {
        let op = Convolution {
            strides: vec![2, 1],
            pads_begin: vec![1, 0],
            pads_end: vec![0, 2],
            dilations: vec![1, 2],
            auto_pad: AutoPad::Explicit,
        };
        let want = [49., 28., 37., 251., 143., 155., 103., 64., 85., 629., 395., 431.];
        let y = run(&op, &[ramp(&[1, 1, 4, 5]), ramp(&[2, 1, 2, 3])]).unwrap();
        assert_close(&y[0], &[1, 2, 2, 3], &want, "2d");

        let op = Convolution {
            strides: vec![1, 2, 1],
            pads_begin: vec![0, 1, 0],
            pads_end: vec![1, 0, 0],
            dilations: vec![1, 1, 1],
            auto_pad: AutoPad::Explicit,
        };
        let y = run(&op, &[ramp(&[1, 1, 2, 3, 2]), ramp(&[1, 1, 2, 2, 2])]).unwrap();
        assert_close(&y[0], &[1, 1, 2, 2, 1], &[124., 328., 53., 110.], "3d");

        let op = GroupConvolution {
            strides: vec![1],
            pads_begin: vec![0],
            pads_end: vec![1],
            dilations: vec![1],
            auto_pad: AutoPad::Explicit,
        };
        let want = [37., 47., 21., 241., 267., 129., 157., 167., 69., 553., 579., 273.];
        let y = run(&op, &[ramp(&[2, 4, 3]), ramp(&[2, 1, 2, 2])]).unwrap();
        assert_close(&y[0], &[2, 2, 3], &want, "groups");
    }

    #[test]
    fn windows_that_move_nothing_are_a_product() {
        let op = Convolution { strides: vec![1, 1], ..Convolution::default() };
        let y = run(&op, &[ramp(&[1, 2, 2, 2]), ramp(&[1, 2, 1, 1])]).unwrap();
        assert_close(&y[0], &[1, 1, 2, 2], &[11., 14., 17., 20.], "1x1");
    }

    #[test]
    fn transposed() {
        let op = ConvolutionBackpropData {
            strides: vec![2, 1],
            pads_begin: vec![0, 1],
            pads_end: vec![1, 0],
            dilations: vec![1, 2],
            auto_pad: AutoPad::Explicit,
            output_padding: vec![1, 0],
        };
        let want = [42., 92., 52., 60., 62., 132., 72., 84., 60., 134., 76., 84., 92., 198., 108., 120.];
        let y = run(&op, &[ramp(&[1, 2, 2, 3]), ramp(&[2, 1, 2, 2])]).unwrap();
        assert_close(&y[0], &[1, 1, 4, 4], &want, "2d");

        let op = GroupConvolutionBackpropData {
            strides: vec![2],
            pads_begin: vec![1],
            pads_end: vec![1],
            dilations: vec![1],
            ..Default::default()
        };
        let want =
            [2., 5., 4., 9., 6., 5., 14., 10., 24., 15., 32., 71., 40., 87., 48., 44., 98., 55., 120., 66.];
        let y = run(&op, &[ramp(&[1, 2, 3]), ramp(&[2, 1, 2, 3])]).unwrap();
        assert_close(&y[0], &[1, 4, 5], &want, "groups");
    }

    #[test]
    fn transposed_to_a_given_size() {
        use AutoPad::*;
        // The whole answer, and which part of it, or how much more, each size takes.
        let whole = [1., 10., 102., 1020., 203., 2030., 300., 3000., 0., 0.];
        for (auto_pad, size, output_padding, start) in [
            (Explicit, 6, 0, 1),
            (Explicit, 9, 1, 1),
            (Valid, 6, 1, 0),
            (Valid, 9, 0, 0),
            (SameUpper, 5, 0, 2),
            (SameUpper, 6, 0, 1),
            (SameUpper, 6, 1, 2),
            (SameUpper, 7, 0, 1),
            (SameUpper, 8, 1, 1),
            (SameUpper, 10, 0, 0),
            (SameLower, 5, 0, 1),
            (SameLower, 5, 1, 2),
            (SameLower, 7, 0, 0),
            (SameLower, 7, 1, 1),
            (SameLower, 8, 1, 0),
        ] {
            let op = ConvolutionBackpropData {
                strides: vec![2],
                pads_begin: vec![1],
                pads_end: vec![0],
                dilations: vec![1],
                auto_pad,
                output_padding: vec![output_padding],
            };
            let w = Tensor::from_slice(&[1, 1, 4], &[1.0f32, 10.0, 100.0, 1000.0]).unwrap();
            let y = run(&op, &[ramp(&[1, 1, 3]), w, Tensor::from_i64s(&[size])]).unwrap();
            let mut want = whole[start..].to_vec();
            want.resize(size as usize, 0.0);
            assert_close(&y[0], &[1, 1, size as usize], &want, (auto_pad, size, output_padding));
        }
    }

    #[test]
    fn edges() {
        let op = plain(1, 1, 0, 0, AutoPad::Explicit);
        let y = run(&op, &[ramp(&[0, 2, 4]), ramp(&[3, 2, 2])]).unwrap();
        assert_eq!(y[0].shape(), [0, 3, 3]);
        let y = run(&op, &[ramp(&[1, 0, 4]), ramp(&[3, 0, 2])]).unwrap();
        assert_close(&y[0], &[1, 3, 3], &[0.0; 9], "no channels");
        for (data, weights) in [
            (&[1, 2, 4][..], &[3, 1, 2][..]),
            (&[1, 2, 4], &[3, 2, 5]),
            (&[1, 2, 4], &[3, 2, 0]),
            (&[1, 2, 4, 4], &[3, 2, 2]),
            (&[2, 4], &[2, 4]),
            (&[], &[]),
        ] {
            assert!(run(&op, &[ramp(data), ramp(weights)]).is_err(), "{data:?} {weights:?}");
        }
        // Far more output than memory.
        let wide =
            Convolution { strides: vec![1; 3], pads_begin: vec![1 << 30; 3], ..Convolution::default() };
        assert!(wide.evaluate(&[ramp(&[1, 1, 1, 1, 1]), ramp(&[1, 1, 1, 1, 1])]).is_err());
        let back = ConvolutionBackpropData { strides: vec![1], ..Default::default() };
        for size in [i64::MAX, -1, i64::MIN] {
            let inputs = [ramp(&[1, 1, 1]), ramp(&[1, 1, 1]), Tensor::from_i64s(&[size])];
            assert!(back.evaluate(&inputs).is_err(), "{size}");
        }
    }

    #[test]
    fn unknown_dimensions_pass_through() {
        let op = Convolution { strides: vec![2, 2], auto_pad: AutoPad::SameUpper, ..Convolution::default() };
        for (data, weights, want) in [
            ("f32[?,3,224,?]", "f32[64,3,7,7]", "f32[?,64,112,?]"),
            ("f32[...]", "f32[64,3,7,7]", "f32[?,64,?,?]"),
            ("f32[2,?,10..20,8]", "f32[...]", "f32[2,?,5..10,4]"),
        ] {
            assert_eq!(infer_types(&op, &[data, weights]).unwrap(), [want], "{data} {weights}");
        }
        let grouped = GroupConvolution { strides: vec![1], ..GroupConvolution::default() };
        for (data, weights, want) in [
            ("f32[1,6,?]", "f32[3,4,2,3]", Some("f32[1,12,1..]")),
            ("f32[1,6,9]", "f32[?,4,2,3]", Some("f32[1,?,7]")),
            ("f32[1,5,9]", "f32[3,4,2,3]", None),
            ("f32[1,6,9]", "f16[3,4,2,3]", None),
        ] {
            let found = infer_types(&grouped, &[data, weights]).ok();
            assert_eq!(found.as_ref().map(|types| types[0].as_str()), want, "{data} {weights}");
        }
        let back = ConvolutionBackpropData { strides: vec![2], pads_begin: vec![1], ..Default::default() };
        let weights = ("f32[3,8,4]", None);
        let found = infer(&back, &[("f32[?,3,2..5]", None), weights.clone()]).unwrap();
        assert_eq!(found, ["f32[?,8,5..11]"]);
        let found = infer(&back, &[("f32[?,3,7]", None), weights.clone(), ("i64[1]", None)]).unwrap();
        assert_eq!(found, ["f32[?,8,?]"]);
        let size = ("i64[1]", Some(Tensor::from_i64s(&[9])));
        assert_eq!(infer(&back, &[("f32[...]", None), weights, size]).unwrap(), ["f32[?,8,9]"]);
    }
}
