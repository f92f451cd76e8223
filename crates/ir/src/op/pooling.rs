//! Pooling.

use super::{
    AutoPad, Inputs, OpError, Operator, PortType, Window, axes, expect_inputs,
    floats::zeros,
    window::{Sliding, for_rows, plane},
};
use crate::{
    Dim, ElementType, PartialShape, Tensor,
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

impl MaxPool {
    fn sliding(&self) -> Sliding<'_> {
        Sliding {
            strides: &self.strides,
            dilations: &[],
            pads_begin: &self.pads_begin,
            pads_end: &self.pads_end,
            auto_pad: self.auto_pad,
            rounding: self.rounding_type,
        }
    }

    /// The window along each spatial dimension, for data of this shape.
    pub fn windows(&self, data: &[usize]) -> Result<Vec<Window>, OpError> {
        windows(self.sliding(), &self.kernel, data)
    }
}

impl Operator for MaxPool {
    fn type_name(&self) -> &str {
        "MaxPool"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        Ok(vec![infer(self.sliding(), &self.kernel, inputs)?])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 1..=1)?;
        let (maxima, _) = maxima(&inputs[0], &self.windows(inputs[0].shape())?)?;
        Ok(vec![maxima])
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

impl MaxPool8 {
    fn sliding(&self) -> Sliding<'_> {
        Sliding {
            strides: &self.strides,
            dilations: &self.dilations,
            pads_begin: &self.pads_begin,
            pads_end: &self.pads_end,
            auto_pad: self.auto_pad,
            rounding: self.rounding_type,
        }
    }

    /// The window along each spatial dimension, for data of this shape.
    pub fn windows(&self, data: &[usize]) -> Result<Vec<Window>, OpError> {
        windows(self.sliding(), &self.kernel, data)
    }
}

impl Operator for MaxPool8 {
    fn type_name(&self) -> &str {
        "MaxPool"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        let maxima = infer(self.sliding(), &self.kernel, inputs)?;
        axes::axis(self.axis, self.kernel.len() + 2)?;
        if !matches!(self.index_element_type, ElementType::I32 | ElementType::I64) {
            let found = self.index_element_type;
            return Err(OpError::attribute(format!("`index_element_type` is {found}, expected i32 or i64")));
        }
        let positions = PortType::new(self.index_element_type, maxima.shape.clone());
        Ok(vec![maxima, positions])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 1..=1)?;
        let shape = inputs[0].shape();
        let (maxima, mut positions) = maxima(&inputs[0], &self.windows(shape)?)?;
        let axis = axes::axis(self.axis, shape.len())?;
        if !maxima.is_empty() && !inputs[0].is_empty() {
            let period: usize = shape[axis..].iter().product();
            positions.iter_mut().for_each(|position| *position %= period as i64);
        }
        let positions = Tensor::from_i64_values(self.index_element_type, maxima.shape(), &positions)?;
        Ok(vec![maxima, positions])
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

impl AvgPool {
    fn sliding(&self) -> Sliding<'_> {
        Sliding {
            strides: &self.strides,
            dilations: &[],
            pads_begin: &self.pads_begin,
            pads_end: &self.pads_end,
            auto_pad: self.auto_pad,
            rounding: self.rounding_type,
        }
    }

    /// The window along each spatial dimension, for data of this shape.
    pub fn windows(&self, data: &[usize]) -> Result<Vec<Window>, OpError> {
        windows(self.sliding(), &self.kernel, data)
    }
}

impl Operator for AvgPool {
    fn type_name(&self) -> &str {
        "AvgPool"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        Ok(vec![infer(self.sliding(), &self.kernel, inputs)?])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 1..=1)?;
        let data = &inputs[0];
        let windows = self.windows(data.shape())?;
        // As OpenVINO counts: with padding on any side its elements and those past it count, without they don't.
        let padded = windows.iter().any(|window| window.pad_begin != 0 || window.pad_end != 0);
        let whole =
            (!self.exclude_pad && padded).then(|| self.kernel.iter().map(|size| *size as f64).product());
        let shape = pooled_shape(data, &windows);
        let mut y = zeros(&shape)?;
        for_windows(data, &windows, |at, values| {
            let (sum, count) = values.fold((0.0, 0u64), |(sum, count), (_, value)| (sum + value, count + 1));
            y[at] = sum / whole.unwrap_or(count.max(1) as f64);
        });
        // OpenVINO rounds means of integers.
        if !data.element_type().is_float() {
            y.iter_mut().for_each(|value| *value = value.round_ties_even());
        }
        Ok(vec![Tensor::from_f64s(data.element_type(), &shape, &y)?])
    }
}

fn windows(sliding: Sliding, kernel: &[usize], data: &[usize]) -> Result<Vec<Window>, OpError> {
    if data.len() != kernel.len() + 2 {
        return Err(wrong_rank(data.len(), kernel));
    }
    sliding.windows(&data[2..], kernel)
}

fn wrong_rank(rank: usize, kernel: &[usize]) -> OpError {
    OpError::shape(format!(
        "the data has {rank} dimensions, expected {} for a kernel {kernel:?}",
        kernel.len() + 2
    ))
}

fn infer(sliding: Sliding, kernel: &[usize], inputs: &Inputs) -> Result<PortType, OpError> {
    inputs.expect(1..=1)?;
    let dims = match inputs.shape(0).dims() {
        None => vec![Dim::ANY_DIM; kernel.len() + 2],
        Some(dims) if dims.len() == kernel.len() + 2 => dims.to_vec(),
        Some(dims) => return Err(wrong_rank(dims.len(), kernel)),
    };
    let kernel: Vec<Dim> = kernel.iter().map(|size| Dim::dim(*size)).collect();
    let spatial = sliding.outputs(&dims[2..], &kernel)?;
    let shape = PartialShape::new(dims[..2].iter().copied().chain(spatial));
    Ok(PortType::new(inputs.element_type(0), shape))
}

fn pooled_shape(data: &Tensor, windows: &[Window]) -> Vec<usize> {
    data.shape()[..2].iter().copied().chain(windows.iter().map(|window| window.output)).collect()
}

/// Calls `f` for every element of the output with its index and the elements of `data` under the window, each
/// with its index.
fn for_windows(
    data: &Tensor,
    windows: &[Window],
    mut f: impl FnMut(usize, &mut dyn Iterator<Item = (usize, f64)>),
) {
    if data.is_empty() && data.shape()[..2].contains(&0) {
        return;
    }
    let x = data.to_f64s();
    let last = windows[windows.len() - 1];
    let x_plane = plane(windows, |window| window.input);
    let y_plane = plane(windows, |window| window.output);
    for_rows(windows, |row, rows| {
        for map in 0..data.shape()[0] * data.shape()[1] {
            for at in 0..last.output {
                let taps = last.taps(at);
                let first = if taps.is_empty() { 0 } else { last.index(at, taps.start) };
                let indices = rows.iter().flat_map(|(x_row, _)| {
                    let start = map * x_plane + x_row.wrapping_mul(last.input) + first;
                    (0..taps.len()).map(move |tap| start + tap * last.dilation)
                });
                let y = map * y_plane + row * last.output + at;
                f(y, &mut indices.map(|index| (index, x[index])));
            }
        }
    });
}

/// The maximum under each window and its index in `data`. A window that lies in the padding alone gives the least
/// number of the type, and 0.
fn maxima(data: &Tensor, windows: &[Window]) -> Result<(Tensor, Vec<i64>), OpError> {
    let ty = data.element_type();
    let least = match ty {
        ElementType::F32 => f64::from(f32::MIN),
        ElementType::Bf16 => half::bf16::MIN.to_f64(),
        ElementType::F16 => half::f16::MIN.to_f64(),
        _ => f64::MIN,
    };
    let shape = pooled_shape(data, windows);
    let mut y = zeros(&shape)?;
    let mut positions = vec![0; y.len()];
    for_windows(data, windows, |at, values| {
        let (index, value) =
            values.reduce(|best, next| if next.1 > best.1 { next } else { best }).unwrap_or((0, least));
        (y[at], positions[at]) = (value, index as i64);
    });
    Ok((Tensor::from_f64s(ty, &shape, &y)?, positions))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::testing::{assert_close, floats, infer_types, ramp, run};
    use RoundingType::{Ceil, CeilTorch, Floor};

    fn line() -> Tensor {
        floats(&[1, 1, 8], &[3.0, -1.0, 4.0, 1.0, -5.0, 9.0, 2.0, 8.0])
    }

    // The numbers of these tests are what OpenVINO 2026.4.1's CPU device gives.

    #[test]
    fn means_count_what_openvino_counts() {
        let third = 1.0 / 3.0;
        // Elements, kernel, stride, pads, exclude_pad, rounding.
        type Case<'a> = (usize, usize, usize, [i64; 2], bool, RoundingType, &'a [f64]);
        let cases: &[Case] = &[
            (7, 3, 2, [1, 1], true, Floor, &[1.0, 4.0 * third, 5.0 * third, 5.5]),
            (7, 3, 2, [1, 1], false, Floor, &[2.0 * third, 4.0 * third, 5.0 * third, 11.0 * third]),
            (7, 3, 2, [0, 1], true, Ceil, &[2.0, 0.0, 2.0, 2.0]),
            (7, 3, 2, [0, 1], false, Ceil, &[2.0, 0.0, 2.0, 2.0 * third]),
            (7, 2, 2, [1, 1], false, Ceil, &[1.5, 1.5, -2.0, 5.5, 0.0]),
            (7, 2, 2, [1, 1], false, CeilTorch, &[1.5, 1.5, -2.0, 5.5]),
            (8, 3, 2, [0, 0], false, Ceil, &[2.0, 0.0, 2.0, 5.0]),
            (8, 3, 2, [0, 1], false, Ceil, &[2.0, 0.0, 2.0, 10.0 * third]),
            (8, 4, 3, [0, 1], false, CeilTorch, &[1.75, 1.75, 2.5]),
            (8, 4, 3, [2, 0], true, Ceil, &[1.0, -0.25, 3.5]),
        ];
        for case in cases {
            let (len, kernel, stride, [begin, end], exclude_pad, rounding_type, want) = *case;
            let op = AvgPool {
                strides: vec![stride],
                pads_begin: vec![begin],
                pads_end: vec![end],
                kernel: vec![kernel],
                exclude_pad,
                rounding_type,
                auto_pad: AutoPad::Explicit,
            };
            let x = floats(&[1, 1, len], &line().view::<f32>().unwrap()[..len]);
            assert_close(&run(&op, &[x]).unwrap()[0], &[1, 1, want.len()], want, case);
        }
    }

    #[test]
    fn means_of_windows_that_hang_over_one_side() {
        let x = [
            3., -1., 4., 1., -5., 9., 2., 6., -5., 3., 5., -8., 9., 7., 9., 3., 2., 3., 8., 4., 6., 2., 6.,
            4.,
        ];
        let op = |pads_begin: &[i64]| AvgPool {
            strides: vec![2, 3],
            pads_begin: pads_begin.to_vec(),
            kernel: vec![2, 3],
            exclude_pad: false,
            rounding_type: Ceil,
            ..AvgPool::default()
        };
        let y = run(&op(&[1, 0]), &[floats(&[1, 2, 3, 4], &x)]).unwrap();
        let want = [1., 1. / 6., 1.5, -1. / 3., 25. / 6., 0.5, 4.5, 4. / 3.];
        assert_close(&y[0], &[1, 2, 2, 2], &want, "padded");
        let y = run(&op(&[]), &[floats(&[1, 2, 3, 4], &x)]).unwrap();
        let want = [2., 3.5, 1., -8., 19. / 3., 3.5, 14. / 3., 4.];
        assert_close(&y[0], &[1, 2, 2, 2], &want, "not padded");
    }

    #[test]
    fn maxima_and_their_positions() {
        let least = f64::from(f32::MIN);
        type Case<'a> = (usize, usize, usize, RoundingType, &'a [f64], &'a [i64]);
        let cases: &[Case] = &[
            (3, 2, 1, Floor, &[3., 4., 9., 9.], &[0, 2, 5, 5]),
            (2, 2, 1, Ceil, &[3., 4., 1., 9., least], &[0, 2, 3, 5, 0]),
            (2, 2, 1, CeilTorch, &[3., 4., 1., 9.], &[0, 2, 3, 5]),
            (2, 1, 2, Floor, &[-1., 4., 1., 4., 9., 2., 9.], &[1, 2, 3, 2, 5, 6, 5]),
        ];
        for case in cases {
            let (kernel, stride, dilation, rounding_type, want, positions) = *case;
            let op = MaxPool8 {
                strides: vec![stride],
                dilations: vec![dilation],
                pads_begin: vec![1],
                pads_end: vec![1],
                kernel: vec![kernel],
                rounding_type,
                index_element_type: ElementType::I32,
                ..MaxPool8::default()
            };
            let x = floats(&[1, 1, 7], &line().view::<f32>().unwrap()[..7]);
            let y = run(&op, std::slice::from_ref(&x)).unwrap();
            assert_close(&y[0], &[1, 1, want.len()], want, case);
            assert_eq!(y[1].to_i64s(), positions, "{case:?}");
            if dilation == 1 {
                let op = MaxPool {
                    strides: vec![stride],
                    pads_begin: vec![1],
                    pads_end: vec![1],
                    kernel: vec![kernel],
                    rounding_type,
                    auto_pad: AutoPad::Explicit,
                };
                assert_eq!(run(&op, &[x]).unwrap()[0], y[0]);
            }
        }
    }

    #[test]
    fn positions_are_counted_from_an_axis_on() {
        let x = [
            3., -1., 4., 1., -5., 9., 2., 6., -5., 3., 5., -8., 9., 7., 9., 3., 2., 3., 8., 4., 6., 2., 6.,
            4.,
        ];
        for (axis, want) in [
            (0, [2, 3, 2, 10, 5, 10, 12, 13, 14, 18, 19, 18]),
            (2, [2, 3, 2, 10, 5, 10, 0, 1, 2, 6, 7, 6]),
            (-1, [2, 3, 2, 2, 1, 2, 0, 1, 2, 2, 3, 2]),
        ] {
            let op = MaxPool8 {
                strides: vec![2, 1],
                dilations: vec![1, 2],
                pads_begin: vec![1, 0],
                pads_end: vec![0, 1],
                kernel: vec![2, 2],
                axis,
                ..MaxPool8::default()
            };
            let y = run(&op, &[floats(&[1, 2, 3, 4], &x)]).unwrap();
            assert_close(&y[0], &[1, 2, 2, 3], &[4., 1., 4., 5., 9., 5., 9., 7., 9., 8., 4., 8.], axis);
            assert_eq!(y[1].to_i64s(), want, "{axis}");
        }
    }

    #[test]
    fn unknown_dimensions_pass_through() {
        let op = MaxPool { strides: vec![2, 2], kernel: vec![3, 3], ..MaxPool::default() };
        for (data, want) in [
            ("f32[?,64,112,?]", Some("f32[?,64,55,1..]")),
            ("f16[...]", Some("f16[?,?,1..,1..]")),
            ("f32[1,2,3]", None),
            ("f32[1,2,3,2]", None),
        ] {
            let found = infer_types(&op, &[data]).ok();
            assert_eq!(found.as_ref().map(|types| types[0].as_str()), want, "{data}");
        }
        let index = MaxPool8 { strides: vec![1], kernel: vec![2], axis: -1, ..MaxPool8::default() };
        assert_eq!(infer_types(&index, &["u8[2,3,?]"]).unwrap(), ["u8[2,3,1..]", "i64[2,3,1..]"]);
        let index = MaxPool8 { index_element_type: ElementType::F32, ..index };
        assert!(infer_types(&index, &["u8[2,3,?]"]).is_err());
    }

    #[test]
    fn edges() {
        let op = AvgPool { strides: vec![1], kernel: vec![1], pads_begin: vec![1], ..AvgPool::default() };
        assert_close(&run(&op, &[ramp(&[1, 1, 1])]).unwrap()[0], &[1, 1, 2], &[0.0, 1.0], "one");
        assert_eq!(run(&op, &[ramp(&[0, 1, 1])]).unwrap()[0].shape(), [0, 1, 2]);
        assert_close(&run(&op, &[ramp(&[1, 1, 0])]).unwrap()[0], &[1, 1, 1], &[0.0], "padding alone");
        let empty =
            Tensor::new(ElementType::F32, vec![1, 1, 1 << 40, 1 << 40, 0], Default::default()).unwrap();
        let wide = AvgPool {
            strides: vec![1 << 31, 1 << 31, 1],
            kernel: vec![1, 1, 1],
            pads_begin: vec![0, 0, 1],
            ..AvgPool::default()
        };
        assert_eq!(run(&wide, &[empty]).unwrap()[0].shape(), [1, 1, 512, 512, 1]);
        assert!(run(&op, &[ramp(&[1, 1])]).is_err());
        assert!(run(&op, &[]).is_err());
        // A window as large as its padding claims costs nothing but the output.
        let op = MaxPool {
            strides: vec![1],
            kernel: vec![1 << 30],
            pads_begin: vec![1 << 30],
            ..MaxPool::default()
        };
        assert_close(
            &run(&op, &[ramp(&[1, 1, 2])]).unwrap()[0],
            &[1, 1, 3],
            &[f64::from(f32::MIN), 1., 2.],
            "wide",
        );
        let wide = 1 << 30;
        let op = MaxPool {
            strides: vec![1; 3],
            kernel: vec![wide; 3],
            pads_begin: vec![wide as i64; 3],
            ..MaxPool::default()
        };
        assert_eq!(run(&op, &[ramp(&[1, 1, 1, 1, 1])]).unwrap()[0].shape(), [1, 1, 2, 2, 2]);
        let op = MaxPool { strides: vec![0], kernel: vec![2], ..MaxPool::default() };
        assert!(run(&op, &[ramp(&[1, 1, 4])]).is_err());
    }
}
