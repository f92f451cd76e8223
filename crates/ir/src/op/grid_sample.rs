//! Images looked up at places that another tensor names.

use super::{Inputs, OpError, Operator, PortType, boxes::singles, floats::zeros, output_shapes};
use crate::{
    Dim, PartialShape, Tensor,
    attribute::{Visit, Visitor, text_enum},
};

text_enum! {
    /// What is taken at a place between elements.
    GridMode {
        /// The weighted mean of the four around it.
        Bilinear = "bilinear",
        /// The curve through the sixteen around it.
        Bicubic = "bicubic",
        /// The nearest.
        Nearest = "nearest",
    }
}

text_enum! {
    /// What lies beyond the image.
    GridPadding {
        /// Zeros.
        Zeros = "zeros",
        /// The elements at its border.
        Border = "border",
        /// Its mirror image.
        Reflection = "reflection",
    }
}

/// An image's elements at the places of a grid. Inputs: data `[N,C,H,W]`; a grid `[N,h,w,2]` of columns and rows, where
/// the image reaches from -1 to 1.
#[derive(Clone, PartialEq, Debug)]
pub struct GridSample {
    /// -1 and 1 are the middles of the outermost elements, not their edges.
    pub align_corners: bool,
    /// What is taken between elements.
    pub mode: GridMode,
    /// What lies beyond the image.
    pub padding_mode: GridPadding,
}

impl Default for GridSample {
    fn default() -> Self {
        Self { align_corners: false, mode: GridMode::Bilinear, padding_mode: GridPadding::Zeros }
    }
}

impl Visit for GridSample {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.optional("align_corners", &mut self.align_corners);
        v.optional("mode", &mut self.mode);
        v.optional("padding_mode", &mut self.padding_mode);
    }
}

impl Operator for GridSample {
    fn type_name(&self) -> &str {
        "GridSample"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(2..=2)?;
        let data = inputs.fit(0, &[Dim::ANY_DIM; 4], "the data")?;
        let any = Dim::ANY_DIM;
        let grid = inputs.fit(1, &[data[0], any, any, Dim::exactly(2)], "the grid")?;
        let shape = PartialShape::new([grid[0], data[1], grid[1], grid[2]]);
        Ok(vec![PortType::new(inputs.element_type(0), shape)])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shape = output_shapes(self, inputs)?.remove(0);
        let sizes = [inputs[0].shape()[2], inputs[0].shape()[3]];
        let (data, grid) = (inputs[0].to_f64s(), singles(&inputs[1]));
        let mut y = zeros(&shape)?;
        if y.is_empty() || data.is_empty() {
            return Ok(vec![Tensor::from_f64s(inputs[0].element_type(), &shape, &y)?]);
        }
        let (channels, area, places) = (shape[1], sizes[0] * sizes[1], shape[2] * shape[3]);
        for (i, slot) in y.iter_mut().enumerate() {
            let (image, place) = (i / places / channels, i % places);
            let at = &grid[(image * places + place) * 2..][..2];
            *slot = self.sample(&data[i / places * area..][..area], sizes, [at[1], at[0]]);
        }
        Ok(vec![Tensor::from_f64s(inputs[0].element_type(), &shape, &y)?])
    }
}

impl GridSample {
    /// The element of an image at a row and column of -1..=1.
    fn sample(&self, image: &[f64], sizes: [usize; 2], at: [f32; 2]) -> f64 {
        let at = [0, 1].map(|k| match self.align_corners {
            true => (at[k] + 1.0) * (sizes[k] as f32 - 1.0) / 2.0,
            false => ((at[k] + 1.0) * sizes[k] as f32 - 1.0) / 2.0,
        });
        let element = |place: [f32; 2]| {
            let row = self.inside(place[0], sizes[0]);
            row.zip(self.inside(place[1], sizes[1]))
                .map_or(0.0, |(row, column)| image[row * sizes[1] + column])
        };
        let start = at.map(f32::floor);
        let part = [0, 1].map(|k| f64::from(at[k] - start[k]));
        // Weights of neighbours, the first of which is `before` that many places before the start.
        let weighted = |before: f32, weights: [&[f64]; 2]| {
            let mut sum = 0.0;
            for (i, down) in weights[0].iter().enumerate() {
                for (j, across) in weights[1].iter().enumerate() {
                    let place = [start[0] - before + i as f32, start[1] - before + j as f32];
                    sum += down * across * element(place);
                }
            }
            sum
        };
        match self.mode {
            GridMode::Nearest => element(at.map(f32::round_ties_even)),
            GridMode::Bilinear => {
                let [down, across] = part.map(|part| [1.0 - part, part]);
                weighted(0.0, [&down, &across])
            }
            GridMode::Bicubic => {
                let [down, across] = part.map(cubic);
                weighted(1.0, [&down, &across])
            }
        }
    }

    /// The position along an axis of `size` that stands for `place`.
    fn inside(&self, place: f32, size: usize) -> Option<usize> {
        let (place, size) = (place as i64, size as i64);
        let found = match self.padding_mode {
            GridPadding::Zeros => Some(place).filter(|place| (0..size).contains(place)),
            GridPadding::Border => Some(place.clamp(0, size - 1)),
            GridPadding::Reflection if self.align_corners => {
                let period = (2 * (size - 1)).max(1);
                let place = place.saturating_abs() % period;
                Some(if place >= size { period - place } else { place })
            }
            GridPadding::Reflection => {
                let place = place.rem_euclid(2 * size);
                Some(if place >= size { 2 * size - 1 - place } else { place })
            }
        };
        found.and_then(|place| usize::try_from(place).ok())
    }
}

/// Weights of the four elements around a place `part` of the way from the second to the third.
fn cubic(part: f64) -> [f64; 4] {
    const A: f64 = -0.75;
    let near = |d: f64| ((A + 2.0) * d - (A + 3.0)) * d * d + 1.0;
    let far = |d: f64| ((A * d - 5.0 * A) * d + 8.0 * A) * d - 4.0 * A;
    [far(1.0 + part), near(part), near(1.0 - part), far(2.0 - part)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::testing::{assert_close, floats, infer_types, iota, run};

    #[test]
    fn between_and_beyond_elements() {
        let op = GridSample { align_corners: true, ..GridSample::default() };
        let grid = floats(&[1, 1, 4, 2], &[-1., -1., 1., 1., 0., 0., 2., 0.]);
        let y = run(&op, &[iota(&[1, 1, 3, 3]), grid.clone()]).unwrap();
        assert_close(&y[0], &[1, 1, 1, 4], &[0., 8., 4., 0.], "zeros");
        let op = GridSample { padding_mode: GridPadding::Border, mode: GridMode::Nearest, ..op };
        assert_close(
            &run(&op, &[iota(&[1, 1, 3, 3]), grid]).unwrap()[0],
            &[1, 1, 1, 4],
            &[0., 8., 4., 5.],
            "border",
        );
    }

    #[test]
    fn wild_places_end() {
        let grid = floats(&[1, 1, 3, 2], &[f32::NAN, 0., f32::INFINITY, f32::MIN, f32::MAX, 1.]);
        for padding_mode in [GridPadding::Zeros, GridPadding::Border, GridPadding::Reflection] {
            for mode in [GridMode::Nearest, GridMode::Bilinear, GridMode::Bicubic] {
                for align_corners in [false, true] {
                    let op = GridSample { align_corners, mode, padding_mode };
                    assert!(run(&op, &[iota(&[1, 1, 1, 2]), grid.clone()]).is_ok());
                }
            }
        }
    }

    #[test]
    fn types_follow_from_what_is_known() {
        let op = GridSample::default();
        assert_eq!(infer_types(&op, &["f32[?,3,8,8]", "f32[2,?,5,2]"]).unwrap(), ["f32[2,3,?,5]"]);
        for bad in
            [["f32[1,3,8,8]", "f32[2,4,5,2]"], ["f32[1,3,8,8]", "f32[1,4,5,3]"], ["f32[1,3,8]", "f32[...]"]]
        {
            assert!(infer_types(&op, &bad).is_err(), "{bad:?}");
        }
    }
}
