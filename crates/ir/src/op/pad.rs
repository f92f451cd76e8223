//! Elements put around a tensor.

use super::{
    Inputs, OpError, Operator, PortType,
    axes::integers,
    elements::{allocate, check_fits, take},
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
        if ty.bits() % 8 != 0 {
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
