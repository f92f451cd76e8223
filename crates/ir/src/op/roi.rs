//! Regions of feature maps, pooled to one size.

use super::{
    Inputs, OpError, Operator, PortType,
    boxes::{Maps, singles},
    floats::zeros,
    output_shapes,
};
use crate::{
    Dim, PartialShape, Tensor,
    attribute::{Visit, Visitor, text_enum},
};
use std::ops::Range;

text_enum! {
    /// How a region's bin becomes a number.
    RoiMethod {
        /// The largest element.
        Max = "max",
        /// The element in the middle, interpolated; regions are fractions of the map.
        Bilinear = "bilinear",
    }
}

/// Regions, pooled to bins. Inputs: feature maps `[N,C,H,W]`; regions, rows of image, left, top, right, bottom.
#[derive(Clone, PartialEq, Debug)]
pub struct RoiPooling {
    /// Rows of bins.
    pub pooled_h: usize,
    /// Columns of bins.
    pub pooled_w: usize,
    /// From the regions' pixels to the maps'.
    pub spatial_scale: f32,
    /// What is pooled.
    pub method: RoiMethod,
}

impl Default for RoiPooling {
    fn default() -> Self {
        Self { pooled_h: 1, pooled_w: 1, spatial_scale: 1.0, method: RoiMethod::Max }
    }
}

impl Visit for RoiPooling {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("pooled_h", &mut self.pooled_h);
        v.required("pooled_w", &mut self.pooled_w);
        v.required("spatial_scale", &mut self.spatial_scale);
        v.optional("method", &mut self.method);
    }
}

impl Operator for RoiPooling {
    fn type_name(&self) -> &str {
        "ROIPooling"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(2..=2)?;
        let ty = inputs.same_element_type(0..2)?;
        let (channels, regions) = inferred(inputs)?;
        let dims = [regions, channels, Dim::dim(self.pooled_h), Dim::dim(self.pooled_w)];
        Ok(vec![PortType::new(ty, PartialShape::new(dims))])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shape = output_shapes(self, inputs)?.remove(0);
        let maps = Maps::new(&inputs[0]);
        let mut y = zeros(&shape)?;
        let mut slots = y.chunks_exact_mut((self.pooled_h * self.pooled_w).max(1));
        for region in singles(&inputs[1]).chunks_exact(5) {
            let image = maps.image_of(region[0])?;
            for channel in 0..maps.channels {
                let map = maps.map(image, channel);
                let bins = slots.next().into_iter().flatten().enumerate();
                for (i, slot) in bins {
                    let bin = [i / self.pooled_w, i % self.pooled_w];
                    *slot = f64::from(match self.method {
                        RoiMethod::Max => self.largest(region, bin, &maps, map),
                        RoiMethod::Bilinear => self.middle(region, bin, &maps, map),
                    });
                }
            }
        }
        Ok(vec![Tensor::from_f64s(inputs[0].element_type(), &shape, &y)?])
    }
}

impl RoiPooling {
    /// The rows (axis 0) or columns (axis 1) of a map of `size` that lie in a bin of a region, where maxima are taken.
    pub fn bounds(&self, region: &[f32], axis: usize, bin: usize, size: usize) -> Range<usize> {
        // Ends belong to the region; in whole numbers no bin grows by rounding.
        let place = |i: usize| (region[i] * self.spatial_scale).round() as i64;
        let (start, end) = (place(2 - axis), place(4 - axis));
        let length = end.saturating_sub(start).saturating_add(1).max(1) as i128;
        let (bin, bins, most) = (bin as i128, [self.pooled_h, self.pooled_w][axis] as i128, size as i128);
        let at = |v: i128| (v + i128::from(start)).clamp(0, most) as usize;
        at(bin * length / bins)..at(((bin + 1) * length + bins - 1) / bins)
    }

    fn largest(&self, region: &[f32], bin: [usize; 2], maps: &Maps, map: &[f32]) -> f32 {
        let [rows, columns] = [0, 1].map(|k| self.bounds(region, k, bin[k], maps.sizes[k]));
        let elements =
            rows.flat_map(|row| columns.clone().map(move |column| map[row * maps.sizes[1] + column]));
        elements.reduce(f32::max).unwrap_or(0.0)
    }

    fn middle(&self, region: &[f32], bin: [usize; 2], maps: &Maps, map: &[f32]) -> f32 {
        let bins = [self.pooled_h, self.pooled_w];
        let places = [0, 1].map(|k| {
            let (start, end, last) = (region[2 - k], region[4 - k], maps.sizes[k] as f32 - 1.0);
            match (bin[k], bins[k]) {
                (_, 1) => 0.5 * (start + end) * last,
                // By itself, so that rounding doesn't lead beyond the map.
                (bin, bins) if bin == bins - 1 => end * last,
                (bin, bins) => bin as f32 * ((end - start) * last / (bins - 1) as f32) + start * last,
            }
        });
        maps.interpolated(map, places).unwrap_or(0.0)
    }
}

/// The channels of the feature maps and the number of regions.
fn inferred(inputs: &Inputs) -> Result<(Dim, Dim), OpError> {
    let maps = inputs.fit(0, &[Dim::ANY_DIM; 4], "the feature maps")?;
    let regions = inputs.fit(1, &[Dim::ANY_DIM, Dim::exactly(5)], "the regions")?;
    Ok((maps[1], regions[0]))
}

text_enum! {
    /// What is pooled of a position-sensitive map.
    PsRoiMode {
        /// The mean of a bin.
        Average = "average",
        /// Elements in the middle of bins, interpolated; regions are fractions of the map.
        Bilinear = "bilinear",
    }
}

/// Regions, pooled to bins of which each has channels of its own. Inputs as [`RoiPooling`]'s.
#[derive(Clone, PartialEq, Debug)]
pub struct PsRoiPooling {
    /// Channels of the output.
    pub output_dim: usize,
    /// Rows and columns of bins.
    pub group_size: usize,
    /// From the regions' pixels to the maps'.
    pub spatial_scale: f32,
    /// What is pooled.
    pub mode: PsRoiMode,
    /// Columns into which a region is divided when it is interpolated.
    pub spatial_bins_x: usize,
    /// Rows into which a region is divided when it is interpolated.
    pub spatial_bins_y: usize,
}

impl Default for PsRoiPooling {
    fn default() -> Self {
        Self {
            output_dim: 1,
            group_size: 1,
            spatial_scale: 1.0,
            mode: PsRoiMode::Average,
            spatial_bins_x: 1,
            spatial_bins_y: 1,
        }
    }
}

impl Visit for PsRoiPooling {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("output_dim", &mut self.output_dim);
        v.optional("group_size", &mut self.group_size);
        v.required("spatial_scale", &mut self.spatial_scale);
        v.optional("mode", &mut self.mode);
        v.optional("spatial_bins_x", &mut self.spatial_bins_x);
        v.optional("spatial_bins_y", &mut self.spatial_bins_y);
    }
}

impl Operator for PsRoiPooling {
    fn type_name(&self) -> &str {
        "PSROIPooling"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(2..=2)?;
        let ty = inputs.same_element_type(0..2)?;
        let (channels, regions) = inferred(inputs)?;
        let (sides, what) = match self.mode {
            PsRoiMode::Average => ([self.group_size; 2], "group_size squared"),
            PsRoiMode::Bilinear => ([self.spatial_bins_x, self.spatial_bins_y], "the spatial bins"),
        };
        let expected = Dim::dim(self.output_dim) * Dim::dim(sides[0]) * Dim::dim(sides[1]);
        if sides.contains(&0) || channels.intersect(expected).is_none() {
            let message = format!(
                "the feature maps have {channels} channels, expected output_dim times {what}: {expected}"
            );
            return Err(OpError::shape(message));
        }
        let group = Dim::dim(self.group_size);
        let dims = [regions, Dim::dim(self.output_dim), group, group];
        Ok(vec![PortType::new(ty, PartialShape::new(dims))])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shape = output_shapes(self, inputs)?.remove(0);
        let maps = Maps::new(&inputs[0]);
        let mut y = zeros(&shape)?;
        let mut slots = y.iter_mut();
        for region in singles(&inputs[1]).chunks_exact(5) {
            let image = maps.image_of(region[0])?;
            for channel in 0..self.output_dim {
                for i in 0..self.group_size * self.group_size {
                    let bin = [i / self.group_size, i % self.group_size];
                    let value = match self.mode {
                        PsRoiMode::Average => {
                            let own = channel * self.group_size * self.group_size + i;
                            self.mean(region, bin, &maps, maps.map(image, own))
                        }
                        PsRoiMode::Bilinear => self.middles(region, bin, &maps, image, channel),
                    };
                    if let Some(slot) = slots.next() {
                        *slot = f64::from(value);
                    }
                }
            }
        }
        Ok(vec![Tensor::from_f64s(inputs[0].element_type(), &shape, &y)?])
    }
}

impl PsRoiPooling {
    /// The rows (axis 0) or columns (axis 1) of a map of `size` that lie in a bin of a region, where means are taken.
    pub fn bounds(&self, region: &[f32], axis: usize, bin: usize, size: usize) -> Range<usize> {
        let start = region[2 - axis].round() * self.spatial_scale;
        let end = (region[4 - axis].round() + 1.0) * self.spatial_scale;
        // A region without extent still has a bin.
        let side = (end - start).max(0.1) / self.group_size as f32;
        let at = |v: f32| (v.max(0.0) as usize).min(size);
        at((bin as f32 * side + start).floor())..at(((bin + 1) as f32 * side + start).ceil())
    }

    fn mean(&self, region: &[f32], bin: [usize; 2], maps: &Maps, map: &[f32]) -> f32 {
        let [rows, columns] = [0, 1].map(|k| self.bounds(region, k, bin[k], maps.sizes[k]));
        let count = rows.len() * columns.len();
        let elements =
            rows.flat_map(|row| columns.clone().map(move |column| map[row * maps.sizes[1] + column]));
        if count == 0 { 0.0 } else { elements.sum::<f32>() / count as f32 }
    }

    fn middles(&self, region: &[f32], bin: [usize; 2], maps: &Maps, image: usize, channel: usize) -> f32 {
        let parts = [self.spatial_bins_y, self.spatial_bins_x];
        let mut sum = 0.0;
        for part in 0..parts[0] * parts[1] {
            let own = [part / parts[1], part % parts[1]];
            let places = [0, 1].map(|k| {
                let start = region[2 - k] * self.spatial_scale;
                let side = (region[4 - k] * self.spatial_scale - start) / parts[k] as f32;
                let (from, last) = (start + own[k] as f32 * side, maps.sizes[k] as f32 - 1.0);
                match self.group_size {
                    1 => (from + from + side) * last / 2.0,
                    group => bin[k] as f32 * (side * last / (group - 1) as f32) + from * last,
                }
            });
            let map = maps.map(image, part * self.output_dim + channel);
            sum += maps.interpolated(map, places).unwrap_or(0.0);
        }
        sum / (parts[0] * parts[1]) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::testing::{assert_close, floats, infer_types, iota, run};

    #[test]
    fn the_largest_of_each_bin() {
        let op = RoiPooling { pooled_h: 2, pooled_w: 2, ..RoiPooling::default() };
        // All of a 4x4 map, one element, and a region beyond the map.
        let regions = floats(&[3, 5], &[0., 0., 0., 3., 3., 1., 2., 1., 2., 1., 0., 9., 9., 12., 12.]);
        let y = run(&op, &[iota(&[2, 1, 4, 4]), regions]).unwrap();
        let want = [5., 7., 13., 15., 22., 22., 22., 22., 0., 0., 0., 0.];
        assert_close(&y[0], &[3, 1, 2, 2], &want, "max");
    }

    #[test]
    fn every_bin_has_its_own_channel() {
        let op = PsRoiPooling { group_size: 2, ..PsRoiPooling::default() };
        let maps: Vec<f32> = (0..4).flat_map(|channel| [channel as f32; 16]).collect();
        let regions = floats(&[1, 5], &[0., 0., 0., 3., 3.]);
        let y = run(&op, &[floats(&[1, 4, 4, 4], &maps), regions]).unwrap();
        assert_close(&y[0], &[1, 1, 2, 2], &[0., 1., 2., 3.], "average");
    }

    #[test]
    fn regions_name_images_that_exist() {
        let op = RoiPooling::default();
        for image in [-1.0, 2.0, f32::NAN, f32::INFINITY] {
            let regions = floats(&[1, 5], &[image, 0., 0., 1., 1.]);
            assert!(op.evaluate(&[iota(&[2, 1, 2, 2]), regions]).is_err(), "{image}");
        }
        let wild = floats(&[1, 5], &[0., f32::MIN, f32::NAN, f32::MAX, f32::INFINITY]);
        assert!(run(&op, &[iota(&[1, 1, 2, 2]), wild.clone()]).is_ok());
        assert!(run(&PsRoiPooling::default(), &[iota(&[1, 1, 2, 2]), wild]).is_ok());
    }

    #[test]
    fn types_follow_from_what_is_known() {
        let op = RoiPooling { pooled_h: 2, pooled_w: 3, ..RoiPooling::default() };
        assert_eq!(infer_types(&op, &["f32[1,8,?,?]", "f32[?,5]"]).unwrap(), ["f32[?,8,2,3]"]);
        assert_eq!(infer_types(&op, &["f32[...]", "f32[...]"]).unwrap(), ["f32[?,?,2,3]"]);
        let sensitive = PsRoiPooling { output_dim: 2, group_size: 3, ..PsRoiPooling::default() };
        assert_eq!(infer_types(&sensitive, &["f32[1,18,?,?]", "f32[4,5]"]).unwrap(), ["f32[4,2,3,3]"]);
        for bad in [["f32[1,8,2]", "f32[1,5]"], ["f32[1,8,2,2]", "f32[1,4]"], ["f32[1,8,2,2]", "f16[1,5]"]] {
            assert!(infer_types(&op, &bad).is_err(), "{bad:?}");
            assert!(infer_types(&sensitive, &bad).is_err(), "{bad:?}");
        }
        assert!(infer_types(&sensitive, &["f32[1,17,?,?]", "f32[4,5]"]).is_err());
    }
}
