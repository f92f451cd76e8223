//! Quantisation.

use super::{
    AutoBroadcast, Inputs, OpError, Operator, PortType,
    binary::{broadcast_strides, walk},
    expect_inputs,
};
use crate::{
    PartialShape, Tensor,
    attribute::{Visit, Visitor},
};

/// Rounds to one of `levels` values between ranges. Inputs: data, input low, input high, output low, output high.
#[derive(Clone, PartialEq, Debug)]
pub struct FakeQuantize {
    /// The number of values.
    pub levels: usize,
}

impl Default for FakeQuantize {
    fn default() -> Self {
        Self { levels: 256 }
    }
}

impl FakeQuantize {
    /// What becomes of `x` between limits.
    pub fn apply(&self, x: f64, [input_low, input_high, output_low, output_high]: [f64; 4]) -> f64 {
        if x <= input_low.min(input_high) {
            output_low
        } else if x > input_low.max(input_high) {
            output_high
        } else {
            let steps = self.levels as f64 - 1.0;
            let step = ((x - input_low) / (input_high - input_low) * steps).round_ties_even();
            step / steps * (output_high - output_low) + output_low
        }
    }

    fn check(&self) -> Result<(), OpError> {
        if self.levels >= 2 {
            return Ok(());
        }
        Err(OpError::attribute(format!("`levels` is {}; the least is 2", self.levels)))
    }
}

impl Visit for FakeQuantize {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("levels", &mut self.levels);
    }
}

impl Operator for FakeQuantize {
    fn type_name(&self) -> &str {
        "FakeQuantize"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(5..=5)?;
        self.check()?;
        let ty = inputs.same_element_type(0..5)?;
        let data = inputs.shape(0);
        for i in 1..5 {
            let common = data.broadcast(inputs.shape(i)).and_then(|common| common.intersect(data));
            common.ok_or_else(|| limits_do_not_fit(i, inputs.shape(i), data))?;
        }
        Ok(vec![PortType::new(ty, data.clone())])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 5..=5)?;
        self.check()?;
        let x = &inputs[0];
        let mut strides = Vec::new();
        for (i, limits) in inputs.iter().enumerate().skip(1) {
            let (common, [_, own]) = broadcast_strides(AutoBroadcast::Numpy, [x.shape(), limits.shape()])?;
            if common != x.shape() {
                let [limits, data] = [limits, x].map(|tensor| PartialShape::fixed(tensor.shape()));
                return Err(limits_do_not_fit(i, &limits, &data));
            }
            strides.push(own);
        }
        let [a, b, c, d] = [1, 2, 3, 4].map(|i| inputs[i].to_f64s());
        let mut y = x.to_f64s();
        let mut next = y.iter_mut();
        walk(x.shape(), [&strides[0], &strides[1], &strides[2], &strides[3]], |[i, j, k, l]| {
            if let Some(x) = next.next() {
                *x = self.apply(*x, [a[i], b[j], c[k], d[l]]);
            }
        });
        Ok(vec![Tensor::from_f64s(x.element_type(), x.shape(), &y)?])
    }
}

fn limits_do_not_fit(i: usize, limits: &PartialShape, data: &PartialShape) -> OpError {
    OpError::shape(format!("the limits of input {i}, {limits}, do not broadcast to the data, {data}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::testing::{assert_close, floats, infer_types, ramp, run};

    #[test]
    fn values_snap_to_levels() {
        // OpenVINO 2026.4.1's CPU device.
        let x = [-3., -1., -0.5, -0.3, 0., 0.11, 0.25, 0.51, 0.75, 1., 2.];
        let cases: &[([f32; 4], usize, [f64; 11])] = &[
            ([-1., 1., -1., 1.], 5, [-1., -1., -0.5, -0.5, 0., 0., 0., 0.5, 1., 1., 1.]),
            ([-1., 1., 10., 0.], 5, [10., 10., 7.5, 7.5, 5., 5., 5., 2.5, 0., 0., 0.]),
            (
                [-0.5, 0.7, -0.5, 0.7],
                256,
                [
                    -0.5,
                    -0.5,
                    -0.5,
                    -0.302_352_94,
                    -0.001_176_441,
                    0.111_764_71,
                    0.248_235_34,
                    0.511_764_76,
                    0.7,
                    0.7,
                    0.7,
                ],
            ),
            ([0.25, 0.25, 0., 1.], 2, [0., 0., 0., 0., 0., 0., 0., 1., 1., 1., 1.]),
            ([1., -1., 0., 4.], 5, [0., 0., 3., 3., 2., 2., 2., 1., 0., 0., 4.]),
            ([0., 2., 0., 4.], 5, [0., 0., 0., 0., 0., 0., 0., 1., 2., 2., 4.]),
        ];
        for (limits, levels, want) in cases {
            let mut inputs = vec![floats(&[11], &x)];
            inputs.extend(limits.map(Tensor::scalar));
            let y = run(&FakeQuantize { levels: *levels }, &inputs).unwrap();
            assert_close(&y[0], &[11], want, (limits, levels));
        }
    }

    #[test]
    fn limits_broadcast_to_the_data() {
        let op = FakeQuantize { levels: 3 };
        let high = floats(&[2, 1], &[2.0, 4.0]);
        let inputs =
            [floats(&[2, 2], &[1.0, 9.0, 1.0, 9.0]), Tensor::scalar(0.0f32), high.clone(), ramp(&[1]), high];
        assert_close(&run(&op, &inputs).unwrap()[0], &[2, 2], &[1.5, 2., 1., 4.], "rows");
        let wide = [ramp(&[2]), ramp(&[2, 2]), ramp(&[1]), ramp(&[1]), ramp(&[1])];
        assert!(run(&op, &wide).is_err());
        let five = [(); 5].map(|()| ramp(&[1]));
        assert!(run(&FakeQuantize { levels: 1 }, &five).is_err());
        let types = ["f32[?,3,8]", "f32[1,3,1]", "f32[]", "f32[...]", "f32[?,1]"];
        assert_eq!(infer_types(&op, &types).unwrap(), ["f32[?,3,8]"]);
        assert!(infer_types(&op, &["f32[?,3]", "f32[2]", "f32[]", "f32[]", "f32[]"]).is_err());
    }
}
