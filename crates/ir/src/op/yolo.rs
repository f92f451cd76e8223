//! What Darknet's detectors end with.

use super::{Inputs, OpError, Operator, PortType, axes, elements::strided, expect_inputs, output_shapes};
use crate::{
    Dim, PartialShape, Tensor,
    attribute::{Visit, Visitor},
};

/// Box predictions of a grid, squashed: centers and objectness by the sigmoid, classes by softmax or the sigmoid.
/// Input [N, boxes (coords + 1 + classes), H, W].
#[derive(Clone, PartialEq, Debug)]
pub struct RegionYolo {
    /// Sizes of the boxes, for who decodes the answer.
    pub anchors: Vec<f32>,
    /// First axis that becomes one with those up to `end_axis`, where there is softmax.
    pub axis: i64,
    /// Numbers of a box before its objectness.
    pub coords: usize,
    /// The number of classes.
    pub classes: usize,
    /// Last of these axes.
    pub end_axis: i64,
    /// Boxes of a cell where there is softmax.
    pub num: usize,
    /// Classes exclude each other.
    pub do_softmax: bool,
    /// The boxes of a cell where there is no softmax.
    pub mask: Vec<i64>,
}

impl Default for RegionYolo {
    fn default() -> Self {
        Self {
            anchors: Vec::new(),
            axis: 1,
            coords: 4,
            classes: 1,
            end_axis: 3,
            num: 1,
            do_softmax: true,
            mask: Vec::new(),
        }
    }
}

impl Visit for RegionYolo {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.optional("anchors", &mut self.anchors);
        v.required("axis", &mut self.axis);
        v.required("coords", &mut self.coords);
        v.required("classes", &mut self.classes);
        v.required("end_axis", &mut self.end_axis);
        v.required("num", &mut self.num);
        v.optional("do_softmax", &mut self.do_softmax);
        v.optional("mask", &mut self.mask);
    }
}

impl Operator for RegionYolo {
    fn type_name(&self) -> &str {
        "RegionYolo"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(1..=1)?;
        let boxes = Dim::dim(self.boxes());
        let each = Dim::dim(self.coords) + Dim::exactly(1) + Dim::dim(self.classes);
        let any = Dim::ANY_DIM;
        let dims = inputs.fit(0, &[any, boxes * each, any, any], "the predictions")?;
        let shape = if self.do_softmax {
            let (first, last) = (axes::axis(self.axis, 4)?, axes::axis(self.end_axis, 4)?);
            if first > last {
                let message = format!("`axis` is {}, beyond `end_axis`, {}", self.axis, self.end_axis);
                return Err(OpError::attribute(message));
            }
            let flat = dims[first..=last].iter().fold(Dim::exactly(1), |product, dim| product * *dim);
            let (before, after) = (&dims[..first], &dims[last + 1..]);
            PartialShape::new(before.iter().copied().chain([flat]).chain(after.iter().copied()))
        } else {
            PartialShape::new(dims)
        };
        Ok(vec![PortType::new(inputs.element_type(0), shape)])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shape = output_shapes(self, inputs)?.remove(0);
        let x = &inputs[0];
        let &[images, _, height, width] = x.shape() else { return Err(OpError::shape("checked before")) };
        let area = height * width;
        let each = (self.coords + 1 + self.classes) * area;
        let mut y = x.to_f64s();
        for cell_box in y.chunks_exact_mut(each.max(1)).take(images * self.boxes()) {
            let (coordinates, rest) = cell_box.split_at_mut(self.coords * area);
            let (objectness, classes) = rest.split_at_mut(area);
            let centers = coordinates.iter_mut().take(2 * area).chain(objectness);
            if self.do_softmax {
                centers.for_each(sigmoid);
                for place in 0..area {
                    let of_class = || (place..classes.len()).step_by(area);
                    let most = of_class().map(|i| classes[i]).fold(f64::NEG_INFINITY, f64::max);
                    let sum: f64 = of_class().map(|i| (classes[i] - most).exp()).sum();
                    for i in (place..classes.len()).step_by(area) {
                        classes[i] = (classes[i] - most).exp() / sum;
                    }
                }
            } else {
                centers.chain(classes).for_each(sigmoid);
            }
        }
        Ok(vec![Tensor::from_f64s(x.element_type(), &shape, &y)?])
    }
}

fn sigmoid(value: &mut f64) {
    *value = 1.0 / (1.0 + (-*value).exp());
}

impl RegionYolo {
    /// Boxes of a cell.
    pub fn boxes(&self) -> usize {
        if self.do_softmax { self.num } else { self.mask.len() }
    }
}

/// Space moved to channels in Darknet's own order. Input `[N,C,H,W]`.
#[derive(Clone, PartialEq, Debug)]
pub struct ReorgYolo {
    /// Side of a block.
    pub stride: Vec<i64>,
}

impl Default for ReorgYolo {
    fn default() -> Self {
        Self { stride: vec![1] }
    }
}

impl Visit for ReorgYolo {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("stride", &mut self.stride);
    }
}

impl Operator for ReorgYolo {
    fn type_name(&self) -> &str {
        "ReorgYolo"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(1..=1)?;
        let side = self.side()?;
        let dims = inputs.fit(0, &[Dim::ANY_DIM; 4], "the data")?;
        let part = |dim: Dim, parts: i64| {
            let fail = || OpError::shape(format!("{dim} is no multiple of {parts}, of `stride` {side}"));
            dim.exact_quotients(parts).ok_or_else(fail)
        };
        let block = side.checked_mul(side).ok_or_else(|| OpError::attribute("`stride` is too large"))?;
        part(dims[1], block)?;
        let shape = [dims[0], dims[1] * Dim::exactly(block), part(dims[2], side)?, part(dims[3], side)?];
        Ok(vec![PortType::new(inputs.element_type(0), PartialShape::new(shape))])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 1..=1)?;
        let shape = output_shapes(self, inputs)?.remove(0);
        let &[images, channels, height, width] = inputs[0].shape() else {
            return Err(OpError::shape("checked before"));
        };
        // Darknet reads the elements as if they were fewer channels of a larger image.
        let side = self.side()? as usize;
        let view = [images, side, side, channels / (side * side), height, width];
        let row = width * side;
        let strides = [channels * height * width, row, 1, height * side * row, side * row, side];
        let moved = strided(&inputs[0], 0, &view, &strides.map(|stride| stride as isize))?;
        Ok(vec![moved.reshaped(shape)?])
    }

    fn moves(&self, _input: usize) -> bool {
        true
    }
}

impl ReorgYolo {
    fn side(&self) -> Result<i64, OpError> {
        match self.stride[..] {
            [side] if side > 0 => Ok(side),
            _ => {
                let found = &self.stride;
                Err(OpError::attribute(format!("`stride` is {found:?}, expected one number of at least 1")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::testing::{assert_close, evaluated, floats, infer_types, iota, run};

    #[test]
    fn what_is_squashed() {
        let x = floats(&[1, 7, 1, 1], &[0.0, 0.0, 3.0, -2.0, 0.0, 1.0, 1.0]);
        let op = RegionYolo { classes: 2, ..RegionYolo::default() };
        let y = run(&op, std::slice::from_ref(&x)).unwrap();
        assert_close(&y[0], &[1, 7], &[0.5, 0.5, 3.0, -2.0, 0.5, 0.5, 0.5], "softmax");
        let op = RegionYolo { classes: 2, do_softmax: false, mask: vec![3], ..RegionYolo::default() };
        let s = 1.0 / (1.0 + (-1.0f64).exp());
        assert_close(
            &run(&op, &[x]).unwrap()[0],
            &[1, 7, 1, 1],
            &[0.5, 0.5, 3.0, -2.0, 0.5, s, s],
            "sigmoid",
        );
    }

    #[test]
    fn darknets_order() {
        // From its forward loop: the first output channel takes every second element of every second row of 4.
        let op = ReorgYolo { stride: vec![2] };
        let (shape, y) = evaluated(&op, &[iota(&[1, 4, 2, 2])]).unwrap();
        assert_eq!(shape, [1, 16, 1, 1]);
        assert_eq!(y, [0, 2, 8, 10, 1, 3, 9, 11, 4, 6, 12, 14, 5, 7, 13, 15]);
    }

    #[test]
    fn types_follow_from_what_is_known() {
        let op = RegionYolo { classes: 2, num: 3, ..RegionYolo::default() };
        assert_eq!(infer_types(&op, &["f32[?,21,4,5]"]).unwrap(), ["f32[?,420]"]);
        assert_eq!(infer_types(&op, &["f32[...]"]).unwrap(), ["f32[?,?]"]);
        assert!(infer_types(&op, &["f32[1,20,4,5]"]).is_err());
        assert!(infer_types(&RegionYolo { axis: 3, end_axis: 1, ..op }, &["f32[1,21,4,5]"]).is_err());
        let op = ReorgYolo { stride: vec![2] };
        assert_eq!(infer_types(&op, &["f32[?,8,4,?]"]).unwrap(), ["f32[?,32,2,?]"]);
        for bad in ["f32[1,6,4,4]", "f32[1,8,3,4]", "f32[1,8,4]"] {
            assert!(infer_types(&op, &[bad]).is_err(), "{bad}");
        }
        assert!(infer_types(&ReorgYolo { stride: vec![] }, &["f32[1,8,4,4]"]).is_err());
    }
}
