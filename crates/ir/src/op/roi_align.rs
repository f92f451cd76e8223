//! Regions of feature maps, sampled between their elements.

use super::{
    Inputs, OpError, Operator, PortType,
    axes::integers,
    boxes::{Maps, singles},
    floats::zeros,
    output_shapes,
};
use crate::{
    Dim, PartialShape, Tensor,
    attribute::{Visit, Visitor, text_enum},
};

text_enum! {
    /// What samples of a bin become.
    RoiAlignMode {
        /// Their mean.
        Avg = "avg",
        /// The largest of them and 0.
        Max = "max",
    }
}

text_enum! {
    /// Where pixels lie.
    AlignedMode {
        /// At their corners; regions are at least 1 long.
        Asymmetric = "asymmetric",
        /// In their middles, in the map alone.
        HalfPixelForNn = "half_pixel_for_nn",
        /// In their middles.
        HalfPixel = "half_pixel",
    }
}

/// Regions, sampled in bins. Inputs: feature maps `[N,C,H,W]`; regions, rows of left, top, right, bottom; their images.
#[derive(Clone, PartialEq, Debug)]
pub struct RoiAlign {
    /// Rows of bins.
    pub pooled_h: usize,
    /// Columns of bins.
    pub pooled_w: usize,
    /// Samples along each axis of a bin; 0 for one an element.
    pub sampling_ratio: usize,
    /// From the regions' pixels to the maps'.
    pub spatial_scale: f32,
    /// What samples become.
    pub mode: RoiAlignMode,
    /// Where pixels lie, of which op set 3 leaves no choice.
    pub aligned_mode: Option<AlignedMode>,
}

impl RoiAlign {
    /// As an op set has it.
    pub fn new(aligned_mode: Option<AlignedMode>) -> Self {
        let mode = RoiAlignMode::Avg;
        Self { pooled_h: 1, pooled_w: 1, sampling_ratio: 0, spatial_scale: 1.0, mode, aligned_mode }
    }
}

impl Visit for RoiAlign {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("pooled_h", &mut self.pooled_h);
        v.required("pooled_w", &mut self.pooled_w);
        v.required("sampling_ratio", &mut self.sampling_ratio);
        v.required("spatial_scale", &mut self.spatial_scale);
        v.required("mode", &mut self.mode);
        if let Some(aligned) = &mut self.aligned_mode {
            v.optional("aligned_mode", aligned);
        }
    }
}

/// More samples along an axis of a bin than any map has elements.
const MOST_SAMPLES: usize = 1 << 14;

impl Operator for RoiAlign {
    fn type_name(&self) -> &str {
        "ROIAlign"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(3..=3)?;
        let ty = inputs.same_element_type(0..2)?;
        if self.sampling_ratio > MOST_SAMPLES {
            let message = format!("`sampling_ratio` is {}, at most {MOST_SAMPLES}", self.sampling_ratio);
            return Err(OpError::attribute(message));
        }
        let maps = inputs.fit(0, &[Dim::ANY_DIM; 4], "the feature maps")?;
        let regions = inputs.fit(1, &[Dim::ANY_DIM, Dim::exactly(4)], "the regions")?;
        let images = inputs.fit(2, &regions[..1], "the images of the regions")?;
        let dims = [images[0], maps[1], Dim::dim(self.pooled_h), Dim::dim(self.pooled_w)];
        Ok(vec![PortType::new(ty, PartialShape::new(dims))])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shape = output_shapes(self, inputs)?.remove(0);
        let maps = Maps::new(&inputs[0]);
        let images = integers(&inputs[2], "the images of the regions")?;
        let mut y = zeros(&shape)?;
        let mut slots = y.iter_mut();
        for (region, image) in singles(&inputs[1]).chunks_exact(4).zip(images) {
            let image = maps.image(image)?;
            let [rows, columns] = [0, 1].map(|k| self.samples(region[1 - k], region[3 - k], k));
            let (rows, columns) = (rows?, columns?);
            for channel in 0..maps.channels {
                let map = maps.map(image, channel);
                for (row, column) in
                    rows.iter().flat_map(|row| columns.iter().map(move |column| (row, column)))
                {
                    let places = row.iter().flat_map(|y| column.iter().map(move |x| [*y, *x]));
                    let samples = places.map(|place| maps.sampled(map, place));
                    let pooled = match self.mode {
                        RoiAlignMode::Max => samples.fold(0.0, f32::max),
                        RoiAlignMode::Avg => samples.sum::<f32>() / (row.len() * column.len()).max(1) as f32,
                    };
                    if let Some(slot) = slots.next() {
                        *slot = f64::from(pooled);
                    }
                }
            }
        }
        Ok(vec![Tensor::from_f64s(inputs[0].element_type(), &shape, &y)?])
    }
}

impl RoiAlign {
    /// Along axis `k` of a map, the places at which each bin of a region is sampled.
    fn samples(&self, start: f32, end: f32, k: usize) -> Result<Vec<Vec<f32>>, OpError> {
        let bins = if k == 0 { self.pooled_h } else { self.pooled_w };
        let aligned = self.aligned_mode.unwrap_or(AlignedMode::Asymmetric);
        let (before, after) = match aligned {
            AlignedMode::Asymmetric => (0.0, 0.0),
            AlignedMode::HalfPixelForNn => (0.0, -0.5),
            AlignedMode::HalfPixel => (0.5, -0.5),
        };
        let [start, end] = [start, end].map(|v| (v + before) * self.spatial_scale + after);
        let least = if aligned == AlignedMode::Asymmetric { 1.0 } else { f32::NEG_INFINITY };
        let bin = (end - start).max(least) / bins as f32;
        let count = if self.sampling_ratio > 0 { self.sampling_ratio } else { bin.ceil().max(0.0) as usize };
        if count > MOST_SAMPLES {
            return Err(OpError::value(format!(
                "a region from {start} to {end} of a map takes {count} samples"
            )));
        }
        let place =
            |i: usize, sample: usize| start + i as f32 * bin + bin / count as f32 * (sample as f32 + 0.5);
        Ok((0..bins).map(|i| (0..count).map(|sample| place(i, sample)).collect()).collect())
    }
}
