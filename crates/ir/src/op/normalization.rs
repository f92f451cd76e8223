//! Normalisation.

use super::{Inputs, OpError, Operator, PortType, axes, binary::walk, expect_inputs, floats::Lines};
use crate::{
    Dim, PartialShape, Tensor,
    attribute::{Visit, Visitor, text_enum},
};

text_enum! {
    /// Where epsilon is added to a variance.
    MvnEpsMode {
        /// `sqrt(variance + eps)`.
        InsideSqrt = "inside_sqrt" | "INSIDE_SQRT",
        /// `sqrt(variance) + eps`.
        OutsideSqrt = "outside_sqrt" | "OUTSIDE_SQRT",
    }
}

text_enum! {
    /// How epsilon guards a sum of squares.
    NormEpsMode {
        /// `sqrt(sum + eps)`.
        Add = "add",
        /// `sqrt(max(sum, eps))`.
        Max = "max",
    }
}

/// Local response normalisation: `x / (bias + alpha / size^axes * sum of squares)^beta`. Inputs: data, axes.
#[derive(Clone, PartialEq, Debug)]
pub struct Lrn {
    /// Weight of the sum of squares.
    pub alpha: f64,
    /// The exponent.
    pub beta: f64,
    /// Added to the sum.
    pub bias: f64,
    /// Width of the window.
    pub size: usize,
}

impl Default for Lrn {
    fn default() -> Self {
        Self { alpha: 1e-4, beta: 0.75, bias: 1.0, size: 5 }
    }
}

impl Lrn {
    fn check(&self) -> Result<(), OpError> {
        if self.size > 0 {
            return Ok(());
        }
        Err(OpError::attribute("`size` is 0; the least is 1"))
    }
}

impl Visit for Lrn {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("alpha", &mut self.alpha);
        v.required("beta", &mut self.beta);
        v.required("bias", &mut self.bias);
        v.required("size", &mut self.size);
    }
}

impl Operator for Lrn {
    fn type_name(&self) -> &str {
        "LRN"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        self.check()?;
        infer_with_axes(inputs)
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 2..=2)?;
        self.check()?;
        let x = &inputs[0];
        let axes = axes::axes_of(&inputs[1], x.shape().len())?;
        let mut y = x.to_f64s();
        let mut squares: Vec<f64> = y.iter().map(|x| x * x).collect();
        // The region is a box: summing along one axis after the other sums over all of it.
        let reach = (self.size - 1) / 2;
        let mut line = Vec::new();
        for axis in &axes {
            let lines = Lines::new(x.shape(), *axis);
            for start in lines.starts() {
                line.clear();
                line.extend((0..lines.len).map(|i| squares[start + i * lines.step]));
                for i in 0..lines.len {
                    let region =
                        i.saturating_sub(reach)..i.saturating_add(reach).saturating_add(1).min(lines.len);
                    squares[start + i * lines.step] = line[region].iter().sum();
                }
            }
        }
        let alpha = self.alpha / (self.size as f64).powi(axes.len() as i32);
        y.iter_mut().zip(squares).for_each(|(x, sum)| *x /= (self.bias + alpha * sum).powf(self.beta));
        Ok(vec![Tensor::from_f64s(x.element_type(), x.shape(), &y)?])
    }
}

/// Subtracts the mean over the axes and divides by the deviation. Inputs: data, axes.
#[derive(Clone, PartialEq, Debug)]
pub struct Mvn {
    /// Guards the division.
    pub eps: f64,
    /// Divide by the deviation.
    pub normalize_variance: bool,
    /// Where `eps` goes.
    pub eps_mode: MvnEpsMode,
}

impl Default for Mvn {
    fn default() -> Self {
        Self { eps: 1e-6, normalize_variance: true, eps_mode: MvnEpsMode::InsideSqrt }
    }
}

impl Visit for Mvn {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("eps", &mut self.eps);
        v.required("normalize_variance", &mut self.normalize_variance);
        v.required("eps_mode", &mut self.eps_mode);
    }
}

impl Operator for Mvn {
    fn type_name(&self) -> &str {
        "MVN"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        infer_with_axes(inputs)
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 2..=2)?;
        let axes = axes::axes_of(&inputs[1], inputs[0].shape().len())?;
        let deviation = |variance: f64| match self.eps_mode {
            MvnEpsMode::InsideSqrt => (variance + self.eps).sqrt(),
            MvnEpsMode::OutsideSqrt => variance.sqrt() + self.eps,
        };
        centre(&inputs[0], &axes, self.normalize_variance.then_some(&deviation))
    }
}

/// Mean-variance normalisation of opset2. Input [N,C,spatial..].
#[derive(Clone, PartialEq, Debug)]
pub struct MvnSpatial {
    /// Take the channels into the mean.
    pub across_channels: bool,
    /// Divide by the deviation.
    pub normalize_variance: bool,
    /// Guards the division.
    pub eps: f64,
}

impl Default for MvnSpatial {
    fn default() -> Self {
        Self { across_channels: false, normalize_variance: true, eps: 1e-9 }
    }
}

impl Visit for MvnSpatial {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.optional("across_channels", &mut self.across_channels);
        v.optional("normalize_variance", &mut self.normalize_variance);
        v.required("eps", &mut self.eps);
    }
}

impl Operator for MvnSpatial {
    fn type_name(&self) -> &str {
        "MVN"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(1..=1)?;
        if inputs.shape(0).rank().is_some_and(|rank| rank < 3) {
            return Err(OpError::shape("the data has no spatial dimensions; expected [N,C,spatial..]"));
        }
        Ok(vec![inputs.0[0].ty.clone()])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 1..=1)?;
        let rank = inputs[0].shape().len();
        if rank < 3 {
            return Err(OpError::shape("the data has no spatial dimensions; expected [N,C,spatial..]"));
        }
        let axes: Vec<usize> = (if self.across_channels { 1 } else { 2 }..rank).collect();
        let deviation = |variance: f64| (variance + self.eps).sqrt();
        centre(&inputs[0], &axes, self.normalize_variance.then_some(&deviation))
    }
}

/// Divides by the Euclidean norm over the axes. Inputs: data, axes.
#[derive(Clone, PartialEq, Debug)]
pub struct NormalizeL2 {
    /// Guards the division.
    pub eps: f64,
    /// How it does.
    pub eps_mode: NormEpsMode,
}

impl Default for NormalizeL2 {
    fn default() -> Self {
        Self { eps: 1e-12, eps_mode: NormEpsMode::Add }
    }
}

impl Visit for NormalizeL2 {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("eps", &mut self.eps);
        v.required("eps_mode", &mut self.eps_mode);
    }
}

impl Operator for NormalizeL2 {
    fn type_name(&self) -> &str {
        "NormalizeL2"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        infer_with_axes(inputs)
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 2..=2)?;
        let x = &inputs[0];
        let axes = axes::axes_of(&inputs[1], x.shape().len())?;
        let mut y = x.to_f64s();
        if axes.is_empty() {
            // Without axes every element is divided by itself.
            y.iter_mut().filter(|x| **x != 0.0).for_each(|x| *x /= *x);
        } else {
            let (groups, at) = grouped(x.shape(), &axes);
            let mut sums = vec![0.0; groups];
            at.iter().zip(&y).for_each(|(at, x)| sums[*at] += x * x);
            sums.iter_mut().for_each(|sum| {
                *sum = match self.eps_mode {
                    NormEpsMode::Add => (*sum + self.eps).sqrt(),
                    NormEpsMode::Max => sum.max(self.eps).sqrt(),
                }
            });
            y.iter_mut().zip(at).for_each(|(x, at)| *x /= sums[at]);
        }
        Ok(vec![Tensor::from_f64s(x.element_type(), x.shape(), &y)?])
    }
}

/// `gamma * (x - mean) / sqrt(variance + epsilon) + beta` per channel (dimension 1).
#[derive(Clone, PartialEq, Debug)]
pub struct BatchNormInference {
    /// Guards the division.
    pub epsilon: f64,
    /// The input that holds the data: 0 since opset5 (data, gamma, beta, mean, variance), 2 before (gamma, beta, data, mean, variance).
    pub data_input: usize,
}

impl Default for BatchNormInference {
    fn default() -> Self {
        Self { epsilon: 0.0, data_input: 0 }
    }
}

impl BatchNormInference {
    /// The inputs that hold data, gamma, beta, mean and variance.
    fn order(&self) -> [usize; 5] {
        if self.data_input == 2 { [2, 0, 1, 3, 4] } else { [0, 1, 2, 3, 4] }
    }
}

impl Visit for BatchNormInference {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("epsilon", &mut self.epsilon);
    }
}

impl Operator for BatchNormInference {
    fn type_name(&self) -> &str {
        "BatchNormInference"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(5..=5)?;
        let ty = inputs.same_element_type(0..5)?;
        let [data, parameters @ ..] = self.order();
        let shape = inputs.shape(data);
        let mut channels = match shape.dims() {
            None => Dim::ANY_DIM,
            Some([_, channels, ..]) => *channels,
            Some(_) => return Err(OpError::shape(format!("the data is {shape}, expected [N,C,..]"))),
        };
        for i in parameters {
            let found = inputs.shape(i);
            let common = found.intersect(&PartialShape::new([channels]));
            let message = || OpError::shape(format!("input {i} is {found} for {channels} channels"));
            channels = common.and_then(|shape| shape.dims().map(|dims| dims[0])).ok_or_else(message)?;
        }
        let dims = shape.dims().map(|dims| {
            PartialShape::new(dims.iter().enumerate().map(|(i, dim)| if i == 1 { channels } else { *dim }))
        });
        Ok(vec![PortType::new(ty, dims.unwrap_or(PartialShape::UNKNOWN))])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 5..=5)?;
        let [data, parameters @ ..] = self.order();
        let x = &inputs[data];
        let Some(channels) = x.shape().get(1) else {
            return Err(OpError::shape(format!("the data is {:?}, expected [N,C,..]", x.shape())));
        };
        if let Some(i) = parameters.iter().find(|i| inputs[**i].shape() != [*channels]) {
            let found = inputs[*i].shape();
            return Err(OpError::shape(format!("input {i} is {found:?} for {channels} channels")));
        }
        let [gamma, beta, mean, variance] = parameters.map(|i| inputs[i].to_f64s());
        let mut y = x.to_f64s();
        if !y.is_empty() {
            let plane = x.shape()[2..].iter().product();
            for (plane, values) in y.chunks_exact_mut(plane).enumerate() {
                let c = plane % channels;
                let scale = gamma[c] / (variance[c] + self.epsilon).sqrt();
                values.iter_mut().for_each(|x| *x = (*x - mean[c]) * scale + beta[c]);
            }
        }
        Ok(vec![Tensor::from_f64s(x.element_type(), x.shape(), &y)?])
    }
}

/// The type of the data, for ops whose second input holds axes.
fn infer_with_axes(inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
    inputs.expect(2..=2)?;
    axes::known_axes(inputs, 1, inputs.shape(0).rank().unwrap_or(crate::shape::MAX_RANK))?;
    Ok(vec![inputs.0[0].ty.clone()])
}

/// The number of groups that remain when `axes` are taken together, and for every element the one it is in.
fn grouped(shape: &[usize], axes: &[usize]) -> (usize, Vec<usize>) {
    let mut strides = vec![0; shape.len()];
    let mut groups = 1;
    if !shape.contains(&0) {
        for axis in (0..shape.len()).rev().filter(|axis| !axes.contains(axis)) {
            strides[axis] = groups;
            groups *= shape[axis];
        }
    }
    let mut at = Vec::new();
    walk(shape, [&strides], |[group]| at.push(group));
    (groups, at)
}

/// Subtracts the mean over `axes`, and divides by what `deviation` makes of the variance.
fn centre(
    x: &Tensor,
    axes: &[usize],
    deviation: Option<&dyn Fn(f64) -> f64>,
) -> Result<Vec<Tensor>, OpError> {
    let (groups, at) = grouped(x.shape(), axes);
    let mut y = x.to_f64s();
    let count = y.len() as f64 / groups as f64;
    let mut means = vec![0.0; groups];
    at.iter().zip(&y).for_each(|(at, x)| means[*at] += x / count);
    at.iter().zip(&mut y).for_each(|(at, x)| *x -= means[*at]);
    if let Some(deviation) = deviation {
        let mut variances = vec![0.0; groups];
        at.iter().zip(&y).for_each(|(at, x)| variances[*at] += x * x / count);
        variances.iter_mut().for_each(|variance| *variance = deviation(*variance));
        at.iter().zip(&mut y).for_each(|(at, x)| *x /= variances[*at]);
    }
    Ok(vec![Tensor::from_f64s(x.element_type(), x.shape(), &y)?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::testing::{assert_close, floats, infer_types, ramp, run};

    const X: [f32; 12] = [1., -2., 3., 4., -5., 6., 7., 8., -9., 10., 11., 12.];

    fn with_axes(op: &dyn Operator, shape: &[usize], axes: &[i64]) -> Result<Tensor, OpError> {
        run(op, &[floats(shape, &X), Tensor::from_i64s(axes)]).map(|mut y| y.remove(0))
    }

    // Where nothing else is said, the numbers of these tests are what OpenVINO 2026.4.1's CPU device gives.

    #[test]
    fn local_response() {
        let op = |size| Lrn { alpha: 0.5, beta: 0.75, bias: 2.0, size };
        for (axes, size, want) in [
            (
                &[1][..],
                3,
                [
                    0.250_481_546,
                    -0.395_950_526,
                    0.475_237_995,
                    0.516_217_291,
                    -0.532_014_191,
                    0.531_351_566,
                    0.522_319_794,
                    0.509_353_638,
                    -0.963_705_778,
                    0.903_477_132,
                    0.851_045_012,
                    0.805_337_012,
                ],
            ),
            // An even window reaches as far as the odd one below it.
            (
                &[1],
                4,
                [
                    0.288_323_82,
                    -0.464_736_164,
                    0.565_607_19,
                    0.620_403_23,
                    -0.643_959_641,
                    0.646_584_511,
                    0.638_101_22,
                    0.624_092_638,
                    -1.166_245_94,
                    1.098_840_83,
                    1.038_904_07,
                    0.985_854_328,
                ],
            ),
            (
                &[2, -1],
                3,
                [
                    0.377_395_272,
                    -0.754_790_545,
                    1.132_185_82,
                    1.509_581_09,
                    -0.792_063_355,
                    0.950_475_991,
                    1.108_888_63,
                    1.267_301_32,
                    -0.764_560_044,
                    0.849_511_147,
                    0.934_462_309,
                    1.019_413_47,
                ],
            ),
        ] {
            assert_close(
                &with_axes(&op(size), &[1, 3, 2, 2], axes).unwrap(),
                &[1, 3, 2, 2],
                &want,
                (axes, size),
            );
        }
        assert!(with_axes(&op(0), &[1, 3, 2, 2], &[1]).is_err());
        assert!(with_axes(&op(usize::MAX), &[1, 3, 2, 2], &[1]).is_ok());
    }

    #[test]
    fn euclidean_norm() {
        let op = NormalizeL2 { eps: 3.0, eps_mode: NormEpsMode::Add };
        let want = [
            0.095_346_257,
            -0.167_248_398,
            0.222_374_797,
            0.265_489_34,
            -0.476_731_3,
            0.501_745_224,
            0.518_874_526,
            0.530_978_68,
            -0.858_116_329,
            0.836_241_961,
            0.815_374_255,
            0.796_468_019,
        ];
        assert_close(&with_axes(&op, &[1, 3, 4], &[1]).unwrap(), &[1, 3, 4], &want, "add");
        assert_close(&with_axes(&op, &[1, 3, 4], &[]).unwrap(), &[1, 3, 4], &[1.0; 12], "no axes");
        // The formula: the first row's sum of squares is 30.
        for (eps, divisor) in [(3.0, 30f64.sqrt()), (64.0, 8.0)] {
            let op = NormalizeL2 { eps, eps_mode: NormEpsMode::Max };
            let y = with_axes(&op, &[3, 4], &[-1]).unwrap().to_f64s();
            assert!((y[3] - 4.0 / divisor).abs() < 1e-7, "{eps}: {y:?}");
        }
        let zero = run(&op, &[floats(&[2], &[0.0, -2.0]), Tensor::from_i64s(&[])]).unwrap();
        assert_close(&zero[0], &[2], &[0.0, 1.0], "no axes");
    }

    #[test]
    fn mean_and_variance() {
        use MvnEpsMode::{InsideSqrt, OutsideSqrt};
        let inside = [
            -0.208_514_407,
            -1.459_600_81,
            0.625_543_237,
            1.042_572_02,
            -1.700_840_23,
            0.377_964_497,
            0.566_946_745,
            0.755_928_993,
            -1.720_618,
            0.458_831_459,
            0.573_539_317,
            0.688_247_204,
        ];
        let outside = [
            -0.179_128_781,
            -1.253_901_48,
            0.537_386_358,
            0.895_643_89,
            -1.566_840_29,
            0.348_186_731,
            0.522_280_097,
            0.696_373_463,
            -1.632_373_57,
            0.435_299_605,
            0.544_124_484,
            0.652_949_393,
        ];
        let centred = [-0.5, -3.5, 1.5, 2.5, -9.0, 2.0, 3.0, 4.0, -15.0, 4.0, 5.0, 6.0];
        let op = |normalize_variance, eps_mode| Mvn { eps: 0.5, normalize_variance, eps_mode };
        for (op, axes, want) in [
            (op(true, InsideSqrt), &[2][..], inside),
            (op(true, OutsideSqrt), &[-1, 0], outside),
            (op(false, InsideSqrt), &[2], centred),
            (op(true, InsideSqrt), &[], [0.0; 12]),
        ] {
            assert_close(&with_axes(&op, &[1, 3, 4], axes).unwrap(), &[1, 3, 4], &want, axes);
        }
        let spatial = MvnSpatial { eps: 0.5, ..MvnSpatial::default() };
        assert_close(&run(&spatial, &[floats(&[1, 3, 4], &X)]).unwrap()[0], &[1, 3, 4], &inside, "spatial");
        let across = MvnSpatial { eps: 0.5, across_channels: true, ..MvnSpatial::default() };
        let y = run(&across, &[floats(&[1, 3, 4], &X)]).unwrap();
        assert!((y[0].to_f64s()[0] + 0.448_145_03).abs() < 1e-7);
        assert!(run(&spatial, &[ramp(&[2, 3])]).is_err());
    }

    #[test]
    fn batch_norm_in_both_orders() {
        let parameters =
            [[1., 2., 3.], [0.5, 0., -1.], [1., -1., 2.], [4., 0.25, 1.]].map(|values| floats(&[3], &values));
        let [gamma, beta, mean, variance] = parameters;
        let x = floats(&[1, 3, 4], &X);
        let want = [
            0.5,
            -0.981_594_443,
            1.487_729_55,
            1.981_594_44,
            -13.522_467_6,
            23.664_318_1,
            27.044_935_2,
            30.425_552_4,
            -32.464_263_9,
            21.883_102_4,
            24.743_490_2,
            27.603_878,
        ];
        let inputs = [x.clone(), gamma.clone(), beta.clone(), mean.clone(), variance.clone()];
        let new = BatchNormInference { epsilon: 0.1, data_input: 0 };
        assert_close(&run(&new, &inputs).unwrap()[0], &[1, 3, 4], &want, "opset5");
        let old = BatchNormInference { epsilon: 0.1, data_input: 2 };
        let inputs = [gamma, beta, x, mean, variance];
        assert_close(&run(&old, &inputs).unwrap()[0], &[1, 3, 4], &want, "opset1");
        assert!(run(&new, &inputs).is_err());
        let c = "f32[3]";
        assert_eq!(infer_types(&new, &["f32[?,?,8]", c, "f32[?]", "f32[...]", c]).unwrap(), ["f32[?,3,8]"]);
        assert!(infer_types(&new, &["f32[?,4,8]", c, c, c, c]).is_err());
    }

    #[test]
    fn edges() {
        let ops: [&dyn Operator; 3] = [&Lrn::default(), &Mvn::default(), &NormalizeL2::default()];
        for op in ops {
            let name = op.type_name();
            let y = run(op, &[ramp(&[2, 0, 3]), Tensor::from_i64s(&[1])]).unwrap();
            assert_eq!(y[0].shape(), [2, 0, 3], "{name}");
            for axes in [&[3][..], &[1, 1], &[-4]] {
                assert!(with_axes(op, &[1, 3, 4], axes).is_err(), "{name} {axes:?}");
            }
            assert!(run(op, &[ramp(&[2]), ramp(&[1])]).is_err(), "{name}");
            assert_eq!(infer_types(op, &["f16[...]", "i32[?]"]).unwrap(), ["f16[...]"], "{name}");
        }
    }
}
