//! Elements put around a tensor.

use super::{
    Inputs, OpError, Operator, Places, PortType,
    axes::integers,
    elements::{allocate, check_fits, row_major, take},
    output_shapes,
};
use crate::{
    ElementType, Interval, PartialShape, Tensor,
    attribute::{Visit, Visitor, text_enum},
};

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

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(3..=4)?;
        let ty = match inputs.len() {
            4 => inputs.same_element_type([0, 3])?,
            _ => inputs.element_type(0),
        };
        let Some(dims) = inputs.shape(0).dims() else {
            return Ok(vec![PortType::new(ty, PartialShape::UNKNOWN)]);
        };
        let pads = |i| inputs.intervals(i).unwrap_or_else(|| vec![Interval::UNKNOWN; dims.len()]);
        let (begin, end) = (pads(1), pads(2));
        if begin.len() != dims.len() || end.len() != dims.len() {
            let message = format!("{} and {} pads for {} dimensions", begin.len(), end.len(), dims.len());
            return Err(OpError::shape(message));
        }
        let mut shape = Vec::new();
        for (i, dim) in dims.iter().enumerate() {
            let most = begin[i].min().max(end[i].min());
            let room = match self.pad_mode {
                PadMode::Constant => i64::MAX,
                PadMode::Edge if dim.max() == 0 => 0,
                PadMode::Edge => i64::MAX,
                PadMode::Reflect => (dim.max() - 1).max(0),
                PadMode::Symmetric => dim.max(),
            };
            if most > room {
                let mode = self.pad_mode;
                let message = format!(
                    "{mode:?} mode can't put {most} elements around dimension {i} of {dim}: at most {room}"
                );
                return Err(OpError::value(message));
            }
            let size = *dim + begin[i] + end[i];
            if size.max() < 0 {
                let message =
                    format!("dimension {i} of {dim} with pads {} and {} is negative", begin[i], end[i]);
                return Err(OpError::value(message));
            }
            shape.push(size.as_dim());
        }
        Ok(vec![PortType::new(ty, PartialShape::new(shape))])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shape = output_shapes(self, inputs)?.remove(0);
        let ty = inputs[0].element_type();
        if shape.contains(&0) {
            return Ok(vec![Tensor::from_aligned(ty, shape.clone(), allocate(ty, &shape)?)?]);
        }
        if !ty.bits().is_multiple_of(8) {
            let widen = |t: &Tensor| match t.element_type() == ty {
                true => Tensor::from_i64_values(ElementType::I8, t.shape(), &t.to_i64s()),
                false => Ok(t.clone()),
            };
            let wide: Vec<Tensor> = inputs.iter().map(widen).collect::<Result<_, _>>()?;
            let padded = self.evaluate(&wide)?.remove(0);
            return Ok(vec![Tensor::from_i64_values(ty, &shape, &padded.to_i64s())?]);
        }
        let fill = match inputs.get(3) {
            Some(value) if value.len() != 1 || value.element_type() != ty => {
                return Err(OpError::shape(format!("the pad value is {value:?}, expected one {ty}")));
            }
            Some(value) => Some(&value.bytes()[..]),
            None => None,
        };
        check_fits(ty, &shape)?;
        let begin = integers(&inputs[1], "pads_begin")?;
        let mut data = inputs[0].clone();
        // First what shrinks, so that nothing between is larger than the output.
        let mut axes: Vec<usize> = (0..shape.len()).collect();
        axes.sort_by_key(|axis| shape[*axis] > inputs[0].shape()[*axis]);
        for axis in axes {
            let size = inputs[0].shape()[axis];
            let from: Vec<_> = (0..shape[axis])
                .map(|i| self.source((i as i64).saturating_sub(begin[axis]), size as i64))
                .collect();
            if from.len() != size || begin[axis] != 0 {
                data = take(&data, axis, &from, fill)?;
            }
        }
        Ok(vec![data])
    }

    fn places(&self, shape: &[usize], parameters: &[Option<Tensor>]) -> Option<Places> {
        let pads = |i: usize| integers(parameters[i].as_ref()?, "the pads").ok();
        let (begin, end) = (pads(1)?, pads(2)?);
        let strides = row_major(shape);
        let axis = |axis: usize| {
            let (size, begin) = (i64::try_from(shape[axis]).ok()?, *begin.get(axis)?);
            let count = size.checked_add(begin)?.checked_add(*end.get(axis)?)?;
            let place = |i: i64| Some(self.source(i - begin, size)? * strides[axis] as usize);
            Some((0..count).map(place).collect())
        };
        Some(Places { base: 0, axes: (0..shape.len()).map(axis).collect::<Option<_>>()? })
    }

    fn moves(&self, input: usize) -> bool {
        matches!(input, 0 | 3)
    }
}

impl Pad {
    /// Which of `size` elements stands at `at`, which may lie before or behind them.
    fn source(&self, at: i64, size: i64) -> Option<usize> {
        let at = match self.pad_mode {
            PadMode::Constant => at,
            PadMode::Edge => at.clamp(0, (size - 1).max(0)),
            PadMode::Reflect if at < 0 => -at,
            PadMode::Reflect if at >= size => 2 * (size - 1) - at,
            PadMode::Symmetric if at < 0 => -1 - at,
            PadMode::Symmetric if at >= size => 2 * size - 1 - at,
            PadMode::Reflect | PadMode::Symmetric => at,
        };
        usize::try_from(at).ok().filter(|at| (*at as i64) < size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::testing::{Given, evaluated, inferred, iota};

    fn run(
        pad_mode: PadMode,
        x: Tensor,
        begin: &[i64],
        end: &[i64],
    ) -> Result<(Vec<usize>, Vec<i64>), OpError> {
        let pads = [begin, end].map(Tensor::from_i64s);
        evaluated(&Pad { pad_mode }, &[&[x][..], &pads, &[Tensor::scalar(9f32)]].concat())
    }

    /// Of 1, 2, 3 with pads that also cut; the numbers are OpenVINO 2026.4's.
    #[test]
    fn every_mode_puts_and_cuts() {
        use PadMode::{Constant, Edge, Reflect, Symmetric};
        for (mode, begin, end, want) in [
            (Constant, 2, 1, &[9, 9, 1, 2, 3, 9][..]),
            (Constant, -1, 2, &[2, 3, 9, 9]),
            (Constant, 1, -2, &[9, 1]),
            (Edge, 2, 1, &[1, 1, 1, 2, 3, 3]),
            (Edge, -2, 2, &[3, 3, 3]),
            (Edge, 1, -2, &[1, 1]),
            (Reflect, 2, 1, &[3, 2, 1, 2, 3, 2]),
            (Reflect, -1, 2, &[2, 3, 2, 1]),
            (Reflect, 1, -2, &[2, 1]),
            (Symmetric, 2, 1, &[2, 1, 1, 2, 3, 3]),
            (Symmetric, -1, 2, &[2, 3, 3, 2]),
            (Symmetric, -2, 2, &[3, 3, 2]),
            (Constant, -3, 0, &[]),
        ] {
            let x = Tensor::from_slice(&[3], &[1f32, 2.0, 3.0]).unwrap();
            assert_eq!(run(mode, x, &[begin], &[end]).unwrap().1, want, "{mode:?} {begin} {end}");
        }
        let plane = run(Reflect, iota(&[2, 3]), &[1, 2], &[0, -1]).unwrap();
        assert_eq!(plane, (vec![3, 4], vec![5, 4, 3, 4, 2, 1, 0, 1, 5, 4, 3, 4]));
        assert_eq!(run(Constant, iota(&[0, 1]), &[1, 0], &[0, 1]).unwrap(), (vec![1, 2], vec![9, 9]));
    }

    #[test]
    fn pads_beyond_the_data_are_refused() {
        use PadMode::{Constant, Edge, Reflect, Symmetric};
        for (mode, data, begin, end) in [
            (Reflect, 3, 3, 0),
            (Symmetric, 3, 0, 4),
            (Edge, 0, 1, 0),
            (Reflect, 0, 1, 0),
            (Constant, 3, -2, -2),
            (Constant, 3, i64::MIN, 0),
            (Constant, 3, 1 << 61, 0),
            (Constant, 3, i64::MAX, i64::MAX),
            (Edge, 3, i64::MIN + 1, i64::MAX),
        ] {
            assert!(run(mode, iota(&[data]), &[begin], &[end]).is_err(), "{mode:?} {data} {begin} {end}");
        }
        assert!(run(Constant, iota(&[3]), &[1, 1], &[1, 1]).is_err());
        let wrong = [iota(&[3]), Tensor::from_i64s(&[1]), Tensor::from_i64s(&[1]), Tensor::scalar(1i64)];
        assert!(Pad::default().evaluate(&wrong).is_err());
    }

    #[test]
    fn packed_types_and_zeros() {
        let nibbles = Tensor::from_i64_values(ElementType::I4, &[3], &[-8, 7, 1]).unwrap();
        let one = Tensor::from_i64s(&[1]);
        let found = evaluated(&Pad::default(), &[nibbles, one.clone(), one]).unwrap();
        assert_eq!(found, (vec![5], vec![0, -8, 7, 1, 0]));
    }

    #[test]
    fn shapes_as_far_as_they_are_known() {
        let infer =
            |data: &str, begin: Given| inferred(&Pad::default(), &[data.into(), begin, [0i64, 2].into()]);
        assert_eq!(infer("f32[?,3]", [1i64, 1].into()).unwrap(), "f32[1..,6]");
        assert_eq!(infer("f32[2..4,3]", [-3i64, 0].into()).unwrap(), "f32[0..1,5]");
        assert_eq!(infer("f32[2,3]", "i64[2]".into()).unwrap(), "f32[?,?]");
        assert_eq!(infer("f32[...]", [1i64, 1].into()).unwrap(), "f32[...]");
    }
}
