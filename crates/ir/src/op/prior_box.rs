//! The boxes that detectors refine: their places follow from a grid and attributes alone.

use super::{
    Inputs, OpError, Operator, PortType, axes::integers, expect_inputs, floats::zeros, output_shapes,
};
use crate::{
    Dim, ElementType, PartialShape, Tensor,
    attribute::{Visit, Visitor},
};

/// Boxes around the centers of a grid's cells, given by sizes and aspect ratios, as fractions of the image; and
/// their variances. Inputs: the grid's height and width, the image's. Output [2, 4 numbers of each box].
#[derive(Clone, PartialEq, Debug)]
pub struct PriorBox {
    /// Sides of square boxes, in pixels; aspect ratios apply to them.
    pub min_size: Vec<f32>,
    /// One for each of `min_size`: a square box as large as the geometric mean of both is added.
    pub max_size: Vec<f32>,
    /// Width divided by height of further boxes; 1 stands for itself and repetitions are ignored.
    pub aspect_ratio: Vec<f32>,
    /// The number of shifted boxes along each axis, for each of `fixed_size`.
    pub density: Vec<f32>,
    /// Aspect ratios of the boxes of `fixed_size`, instead of `aspect_ratio`.
    pub fixed_ratio: Vec<f32>,
    /// Sides of boxes that come `density` squared times in each cell.
    pub fixed_size: Vec<f32>,
    /// Every number is brought to 0..=1.
    pub clip: bool,
    /// Each of `aspect_ratio` means its inverse too.
    pub flip: bool,
    /// Pixels between centers; 0 divides the image evenly.
    pub step: f32,
    /// Where in a cell the center lies, when there is a `step`.
    pub offset: f32,
    /// None, one or four variances.
    pub variance: Vec<f32>,
    /// Aspect ratios apply to every of `min_size`; otherwise to the first alone, sizes are fractions of the image's
    /// height, and `max_size` means nothing.
    pub scale_all_sizes: bool,
    /// The box of `max_size` comes before those of the aspect ratios, as in Caffe. Op set 1 has no choice.
    pub min_max_aspect_ratios_order: Option<bool>,
}

impl Default for PriorBox {
    fn default() -> Self {
        Self {
            min_size: Vec::new(),
            max_size: Vec::new(),
            aspect_ratio: Vec::new(),
            density: Vec::new(),
            fixed_ratio: Vec::new(),
            fixed_size: Vec::new(),
            clip: false,
            flip: false,
            step: 0.0,
            offset: 0.0,
            variance: Vec::new(),
            scale_all_sizes: true,
            min_max_aspect_ratios_order: Some(true),
        }
    }
}

impl Visit for PriorBox {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.optional("min_size", &mut self.min_size);
        v.optional("max_size", &mut self.max_size);
        v.optional("aspect_ratio", &mut self.aspect_ratio);
        v.optional("density", &mut self.density);
        v.optional("fixed_ratio", &mut self.fixed_ratio);
        v.optional("fixed_size", &mut self.fixed_size);
        v.optional("clip", &mut self.clip);
        v.optional("flip", &mut self.flip);
        v.optional("step", &mut self.step);
        v.required("offset", &mut self.offset);
        v.optional("variance", &mut self.variance);
        v.optional("scale_all_sizes", &mut self.scale_all_sizes);
        if let Some(order) = &mut self.min_max_aspect_ratios_order {
            v.optional("min_max_aspect_ratios_order", order);
        }
    }
}

/// A box of a cell: its center as pixels from the cell's, and half its sides.
struct Cell {
    shift: [f32; 2],
    half: [f32; 2],
    clip: bool,
}

impl Operator for PriorBox {
    fn type_name(&self) -> &str {
        "PriorBox"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        infer(inputs, self.boxes_in_a_cell()?, &self.variance)
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 2..=2)?;
        let shape = output_shapes(self, inputs)?.remove(0);
        let ([height, width], image) = (pair(&inputs[0], "the grid")?, pair(&inputs[1], "the image")?);
        let [image_height, image_width] = image.map(|v| v as f32);
        if height == 0 || width == 0 {
            return Output::new(&shape)?.finish(&self.variance);
        }
        let mut step = self.step;
        if !self.scale_all_sizes {
            step = if step == -1.0 { image_height / height as f32 } else { step * image_height };
        }
        let (step_y, step_x, offset) = match step {
            0.0 => (image_height / height as f32, image_width / width as f32, 0.5),
            step => (step, step, self.offset),
        };
        let mut y = Output::new(&shape)?;
        // Made once there is room for their boxes.
        let cells = self.cells(image_height);
        for (row, column) in grid(height, width) {
            let (center_y, center_x) = ((row as f32 + offset) * step_y, (column as f32 + offset) * step_x);
            for cell in &cells {
                let (x, z) = (center_x + cell.shift[0], center_y + cell.shift[1]);
                let mut corners = [
                    (x - cell.half[0]) / image_width,
                    (z - cell.half[1]) / image_height,
                    (x + cell.half[0]) / image_width,
                    (z + cell.half[1]) / image_height,
                ];
                if cell.clip {
                    corners =
                        [corners[0].max(0.0), corners[1].max(0.0), corners[2].min(1.0), corners[3].min(1.0)];
                }
                y.push(corners, self.clip);
            }
        }
        y.finish(&self.variance)
    }
}

impl PriorBox {
    /// The aspect ratios without repetitions; 1 comes first.
    fn ratios(&self) -> Vec<f32> {
        let mut ratios = vec![1.0f32];
        for ratio in &self.aspect_ratio {
            if ratios.iter().all(|known| (ratio - known).abs() >= 1e-6) {
                ratios.push(*ratio);
                if self.flip {
                    ratios.push(1.0 / ratio);
                }
            }
        }
        ratios
    }

    fn boxes_in_a_cell(&self) -> Result<usize, OpError> {
        let wrong = |what: String| Err(OpError::attribute(what));
        if self.aspect_ratio.len() > 1000 {
            return wrong(format!("`aspect_ratio` has {} numbers, more than 1000", self.aspect_ratio.len()));
        }
        let (sizes, ratios) = (self.min_size.len(), self.ratios().len());
        if self.max_size.len() > sizes {
            return wrong(format!("`max_size` has {} numbers, `min_size` only {sizes}", self.max_size.len()));
        }
        if self.fixed_size.len() != self.density.len() {
            let (fixed, density) = (self.fixed_size.len(), self.density.len());
            return wrong(format!("`fixed_size` has {fixed} numbers, `density` {density}; they must agree"));
        }
        let mut count = match (self.scale_all_sizes, sizes) {
            (_, 0) => 0,
            (true, _) => ratios * sizes + self.max_size.len(),
            (false, _) => sizes + ratios - 1,
        };
        let each = if self.fixed_ratio.is_empty() { ratios } else { self.fixed_ratio.len() };
        for density in &self.density {
            if !(1.0..=1000.0).contains(density) {
                return wrong(format!("`density` is {density}, expected 1 to 1000"));
            }
            count += each * (*density as usize).pow(2);
        }
        Ok(count)
    }

    fn cells(&self, image_height: f32) -> Vec<Cell> {
        let ratios = self.ratios();
        let mut cells = Vec::new();
        for (fixed, density) in self.fixed_size.iter().zip(&self.density) {
            let shapes = if self.fixed_ratio.is_empty() { &ratios } else { &self.fixed_ratio };
            for ratio in shapes {
                let root = ratio.sqrt();
                // Sizes and distances of shifted boxes are whole pixels.
                let (whole, density) = (fixed.trunc(), *density as usize);
                let shift = (fixed / density as f32).trunc();
                let half = if (ratio - 1.0).abs() < 1e-6 && self.fixed_ratio.is_empty() {
                    [whole * 0.5; 2]
                } else {
                    [fixed * 0.5 * root, fixed * 0.5 / root]
                };
                let at = |i: usize| shift / 2.0 - (whole / 2.0).trunc() + i as f32 * shift;
                cells.extend(grid(density, density).map(|(row, column)| Cell {
                    shift: [at(column), at(row)],
                    half,
                    clip: true,
                }));
            }
        }
        let scale = if self.scale_all_sizes { 1.0 } else { image_height };
        let sizes: Vec<f32> = self.min_size.iter().map(|size| size * scale).collect();
        let plain = |width: f32, height: f32| Cell {
            shift: [0.0; 2],
            half: [width * 0.5, height * 0.5],
            clip: false,
        };
        for (i, size) in sizes.iter().enumerate() {
            cells.push(plain(*size, *size));
            let max = self.max_size.get(i).filter(|_| self.scale_all_sizes);
            let larger = max.map(|max| (size * max).sqrt()).map(|side| plain(side, side));
            let mut stretched = Vec::new();
            if self.scale_all_sizes || i + 1 == sizes.len() {
                let size = if self.scale_all_sizes { *size } else { sizes[0] };
                let roots = ratios[1..].iter().map(|ratio| ratio.sqrt());
                stretched.extend(roots.map(|root| plain(size * root, size / root)));
            }
            if self.min_max_aspect_ratios_order.unwrap_or(true) {
                cells.extend(larger);
                cells.extend(stretched);
            } else {
                cells.extend(stretched);
                cells.extend(larger);
            }
        }
        cells
    }
}

/// Boxes of given sides around the centers of a grid's cells. Inputs and output as [`PriorBox`]'s.
#[derive(Clone, PartialEq, Debug)]
pub struct PriorBoxClustered {
    /// Pixels between centers along both axes, where `step_w` or `step_h` is 0.
    pub step: f32,
    /// Pixels between centers along a row; when both are 0 the image is divided evenly.
    pub step_w: f32,
    /// Pixels between rows.
    pub step_h: f32,
    /// Widths of the boxes, in pixels.
    pub width: Vec<f32>,
    /// Their heights.
    pub height: Vec<f32>,
    /// Every number is brought to 0..=1.
    pub clip: bool,
    /// Where in a cell the center lies.
    pub offset: f32,
    /// None, one or four variances.
    pub variance: Vec<f32>,
}

impl Default for PriorBoxClustered {
    fn default() -> Self {
        Self {
            step: 0.0,
            step_w: 0.0,
            step_h: 0.0,
            width: Vec::new(),
            height: Vec::new(),
            clip: true,
            offset: 0.0,
            variance: Vec::new(),
        }
    }
}

impl Visit for PriorBoxClustered {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.optional("step", &mut self.step);
        v.optional("step_w", &mut self.step_w);
        v.optional("step_h", &mut self.step_h);
        v.optional("width", &mut self.width);
        v.optional("height", &mut self.height);
        v.optional("clip", &mut self.clip);
        v.required("offset", &mut self.offset);
        v.optional("variance", &mut self.variance);
    }
}

impl Operator for PriorBoxClustered {
    fn type_name(&self) -> &str {
        "PriorBoxClustered"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        let (widths, heights) = (self.width.len(), self.height.len());
        if widths != heights {
            let message = format!("`width` has {widths} numbers, `height` {heights}; they must agree");
            return Err(OpError::attribute(message));
        }
        infer(inputs, widths, &self.variance)
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 2..=2)?;
        let shape = output_shapes(self, inputs)?.remove(0);
        let ([height, width], image) = (pair(&inputs[0], "the grid")?, pair(&inputs[1], "the image")?);
        let [image_height, image_width] = image.map(|v| v as f32);
        let own = |step: f32| if step == 0.0 { self.step } else { step };
        let (mut step_y, mut step_x) = (own(self.step_h), own(self.step_w));
        if step_y == 0.0 && step_x == 0.0 {
            (step_y, step_x) = (image_height / height as f32, image_width / width as f32);
        }
        let mut y = Output::new(&shape)?;
        for (row, column) in grid(height, width) {
            let (center_y, center_x) =
                ((row as f32 + self.offset) * step_y, (column as f32 + self.offset) * step_x);
            for (w, h) in self.width.iter().zip(&self.height) {
                let corners = [
                    (center_x - w / 2.0) / image_width,
                    (center_y - h / 2.0) / image_height,
                    (center_x + w / 2.0) / image_width,
                    (center_y + h / 2.0) / image_height,
                ];
                y.push(corners, self.clip);
            }
        }
        y.finish(&self.variance)
    }
}

fn infer(inputs: &Inputs, boxes: usize, variance: &[f32]) -> Result<Vec<PortType>, OpError> {
    inputs.expect(2..=2)?;
    if !matches!(variance.len(), 0 | 1 | 4) {
        let message = format!("`variance` has {} numbers, expected none, one or four", variance.len());
        return Err(OpError::attribute(message));
    }
    for (i, what) in ["the grid", "the image"].into_iter().enumerate() {
        let (ty, shape) = (inputs.element_type(i), inputs.shape(i));
        if !ty.is_integer() && ty != ElementType::Dynamic {
            return Err(OpError::element_type(format!("the sizes of {what} are {ty}, expected integers")));
        }
        if !shape.admits(&[2]) {
            let message = format!("the sizes of {what} are {shape}, expected two: height and width");
            return Err(OpError::shape(message));
        }
    }
    if let Some(tensor) = inputs.tensor(1) {
        pair(tensor, "the image")?;
    }
    let places = match (inputs.tensor(0), inputs.intervals(0)) {
        (Some(tensor), _) => pair(tensor, "the grid")?.into_iter().map(Dim::dim).collect(),
        (None, Some(sizes)) => sizes.into_iter().map(Dim::as_dim).collect(),
        (None, None) => vec![Dim::ANY_DIM],
    };
    let count = places.into_iter().fold(Dim::dim(boxes) * Dim::exactly(4), |product, size| product * size);
    Ok(vec![PortType::new(ElementType::F32, PartialShape::new([Dim::exactly(2), count]))])
}

/// Height and width.
fn pair(tensor: &Tensor, what: &str) -> Result<[usize; 2], OpError> {
    let sizes = integers(tensor, &format!("the size of {what}"))?;
    let [height, width] = sizes[..] else {
        return Err(OpError::shape(format!("{what} has {} sizes, expected height and width", sizes.len())));
    };
    match (usize::try_from(height), usize::try_from(width)) {
        (Ok(height), Ok(width)) => Ok([height, width]),
        _ => Err(OpError::value(format!("{what} is {height} by {width}, expected sizes of at least 0"))),
    }
}

/// The rows and columns of a grid, row by row.
fn grid(height: usize, width: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..height).flat_map(move |row| (0..width).map(move |column| (row, column)))
}

/// Corners of boxes, and behind them variances.
struct Output {
    values: Vec<f64>,
    shape: Vec<usize>,
    next: usize,
}

impl Output {
    fn new(shape: &[usize]) -> Result<Self, OpError> {
        Ok(Self { values: zeros(shape)?, shape: shape.to_vec(), next: 0 })
    }

    fn push(&mut self, corners: [f32; 4], clip: bool) {
        for corner in corners {
            self.values[self.next] = f64::from(if clip { corner.clamp(0.0, 1.0) } else { corner });
            self.next += 1;
        }
    }

    fn finish(mut self, variance: &[f32]) -> Result<Vec<Tensor>, OpError> {
        let variance = if variance.is_empty() { &[0.1] } else { variance };
        for (slot, value) in self.values[self.next..].iter_mut().zip(variance.iter().cycle()) {
            *slot = f64::from(*value);
        }
        Ok(vec![Tensor::from_f64s(ElementType::F32, &self.shape, &self.values)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::testing::{assert_close, i64s, inferred, run};

    fn sizes(height: i64, width: i64) -> Tensor {
        i64s(&[2], &[height, width])
    }

    #[test]
    fn a_cell_has_the_boxes_of_caffe() {
        let op = PriorBox {
            min_size: vec![4.0],
            max_size: vec![9.0],
            aspect_ratio: vec![4.0],
            flip: true,
            variance: vec![0.1, 0.1, 0.2, 0.2],
            ..PriorBox::default()
        };
        let y = run(&op, &[sizes(1, 1), sizes(10, 20)]).unwrap();
        // The center is (10, 5); sides 4 by 4, 6 by 6, 8 by 2, 2 by 8.
        let boxes = [[8., 3., 12., 7.], [7., 2., 13., 8.], [6., 4., 14., 6.], [9., 1., 11., 9.]];
        let mut want: Vec<f64> = Vec::new();
        for corners in boxes {
            want.extend([corners[0] / 20., corners[1] / 10., corners[2] / 20., corners[3] / 10.]);
        }
        want.extend([0.1f32, 0.1, 0.2, 0.2].map(f64::from).repeat(4));
        assert_close(&y[0], &[2, 16], &want, "caffe");
    }

    #[test]
    fn types_follow_from_what_is_known() {
        let op = PriorBox { min_size: vec![4.0], aspect_ratio: vec![2.0], ..PriorBox::default() };
        assert_eq!(inferred(&op, &[[3, 4].into(), "i64[2]".into()]).unwrap(), "f32[2,96]");
        assert_eq!(inferred(&op, &["i64[2]".into(), "i32[...]".into()]).unwrap(), "f32[2,?]");
        let clustered =
            PriorBoxClustered { width: vec![1.0], height: vec![1.0], ..PriorBoxClustered::default() };
        assert_eq!(inferred(&clustered, &[[3, 4].into(), "i64[2]".into()]).unwrap(), "f32[2,48]");
        for bad in ["i64[3]", "f32[2]", "i64[]", "i64[1,2]"] {
            assert!(inferred(&op, &[[3, 4].into(), bad.into()]).is_err(), "{bad}");
            assert!(inferred(&clustered, &[bad.into(), [3, 4].into()]).is_err(), "{bad}");
        }
        assert!(inferred(&op, &[[-3, 4].into(), [3, 4].into()]).is_err());
    }

    #[test]
    fn attributes_must_agree() {
        let grid = [sizes(1, 1), sizes(8, 8)];
        let wrong = [
            PriorBox { max_size: vec![4.0], ..PriorBox::default() },
            PriorBox { fixed_size: vec![4.0], ..PriorBox::default() },
            PriorBox { fixed_size: vec![4.0], density: vec![0.5], ..PriorBox::default() },
            PriorBox { fixed_size: vec![4.0], density: vec![1e9], ..PriorBox::default() },
            PriorBox { variance: vec![0.1, 0.2], ..PriorBox::default() },
        ];
        for op in wrong {
            assert!(run(&op, &grid).is_err(), "{op:?}");
        }
        let one = PriorBoxClustered { width: vec![1.0], ..PriorBoxClustered::default() };
        assert!(run(&one, &grid).is_err());
        let op = PriorBox { min_size: vec![4.0], ..PriorBox::default() };
        assert_eq!(run(&op, &[sizes(0, 3), sizes(8, 8)]).unwrap()[0].shape(), [2, 0]);
        assert!(op.evaluate(&[sizes(1 << 40, 1 << 40), sizes(8, 8)]).is_err());
    }
}
