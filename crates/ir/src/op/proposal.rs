//! The first stage of two-stage detectors: regions that may hold something.

use super::{
    Inputs, OpError, Operator, PortType,
    boxes::{Corners, singles, suppress},
    floats::zeros,
    output_shapes,
};
use crate::{
    Dim, PartialShape, Tensor,
    attribute::{Visit, Visitor},
};

/// The best regions of each image as rows of image, left, top, right, bottom; a row with image -1 ends those of an
/// image that has fewer. Inputs: scores [N, 2 anchors, H, W], changes of anchors [N, 4 anchors, H, W], and the
/// image's height, width and scale, or two scales. Op set 4 gives the scores too.
#[derive(Clone, PartialEq, Debug)]
pub struct Proposal {
    /// Side of the square from which anchors are made.
    pub base_size: usize,
    /// The most regions that are compared.
    pub pre_nms_topn: usize,
    /// The rows of an image.
    pub post_nms_topn: usize,
    /// Of regions that overlap by more, the better stays.
    pub nms_thresh: f32,
    /// Pixels from one cell to the next.
    pub feat_stride: usize,
    /// Smaller regions, in pixels of the unscaled image, have a score of 0.
    pub min_size: usize,
    /// Heights of anchors divided by their widths.
    pub ratio: Vec<f32>,
    /// What the square's sides are multiplied by.
    pub scale: Vec<f32>,
    /// Regions are cut at the image before they are compared.
    pub clip_before_nms: bool,
    /// Regions in the answer are cut at the image.
    pub clip_after_nms: bool,
    /// Regions in the answer are fractions of the image.
    pub normalize: bool,
    /// The changes of sizes are divided by it.
    pub box_size_scale: f32,
    /// The changes of centers are divided by it.
    pub box_coordinate_scale: f32,
    /// `tensorflow`: anchors lie around 0 and are not rounded, and rows come before columns.
    pub framework: String,
    /// The scores are a second output: op set 4.
    pub gives_scores: bool,
}

impl Default for Proposal {
    fn default() -> Self {
        Self {
            base_size: 16,
            pre_nms_topn: 6000,
            post_nms_topn: 300,
            nms_thresh: 0.7,
            feat_stride: 16,
            min_size: 16,
            ratio: Vec::new(),
            scale: Vec::new(),
            clip_before_nms: true,
            clip_after_nms: false,
            normalize: false,
            box_size_scale: 1.0,
            box_coordinate_scale: 1.0,
            framework: String::new(),
            gives_scores: true,
        }
    }
}

impl Visit for Proposal {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("base_size", &mut self.base_size);
        v.required("pre_nms_topn", &mut self.pre_nms_topn);
        v.required("post_nms_topn", &mut self.post_nms_topn);
        v.required("nms_thresh", &mut self.nms_thresh);
        v.required("feat_stride", &mut self.feat_stride);
        v.required("min_size", &mut self.min_size);
        v.required("ratio", &mut self.ratio);
        v.required("scale", &mut self.scale);
        v.optional("clip_before_nms", &mut self.clip_before_nms);
        v.optional("clip_after_nms", &mut self.clip_after_nms);
        v.optional("normalize", &mut self.normalize);
        v.optional("box_size_scale", &mut self.box_size_scale);
        v.optional("box_coordinate_scale", &mut self.box_coordinate_scale);
        v.optional("framework", &mut self.framework);
    }
}

impl Operator for Proposal {
    fn type_name(&self) -> &str {
        "Proposal"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(3..=3)?;
        let ty = inputs.same_element_type(0..3)?;
        if self.post_nms_topn == 0 {
            return Err(OpError::attribute(
                "`post_nms_topn` is 0, expected the number of regions of an image",
            ));
        }
        let anchors = Dim::dim(self.ratio.len()) * Dim::dim(self.scale.len());
        let any = Dim::ANY_DIM;
        let scores = inputs.fit(0, &[any, anchors * Dim::exactly(2), any, any], "the scores")?;
        let grid = [scores[0], anchors * Dim::exactly(4), scores[2], scores[3]];
        let changes = inputs.fit(1, &grid, "the changes of anchors")?;
        let image = inputs.shape(2);
        let sizes = [&[3][..], &[4], &[1, 3], &[1, 4]];
        if !sizes.iter().any(|sizes| image.admits(sizes)) {
            let message = format!("the image is {image}, expected height, width and one or two scales");
            return Err(OpError::shape(message));
        }
        let rows = changes[0] * Dim::dim(self.post_nms_topn);
        let mut types = vec![PortType::new(ty, PartialShape::new([rows, Dim::exactly(5)]))];
        if self.gives_scores {
            types.push(PortType::new(ty, PartialShape::new([rows])));
        }
        Ok(types)
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shapes = output_shapes(self, inputs)?;
        let &[batch, _, height, width] = inputs[0].shape() else {
            return Err(OpError::shape("checked before"));
        };
        let [scores, changes, image] = [0, 1, 2].map(|i| singles(&inputs[i]));
        let anchors = self.anchors();
        let (area, count) = (height * width, anchors.len());
        let tensorflow = self.tensorflow();
        let border = if tensorflow { 0.0 } else { 1.0 };
        let (mut image_size, scale) = ([image[1], image[0]], [*image.last().unwrap_or(&1.0), image[2]]);
        if tensorflow {
            image_size.reverse();
        }
        let mut rows = zeros(&shapes[0])?;
        let mut probabilities = zeros(&[shapes[0][0]])?;
        for item in 0..batch {
            // The second half of the channels is what speaks for an object.
            let scores = &scores[(item * 2 + 1) * count * area..][..count * area];
            let changes = &changes[item * 4 * count * area..][..4 * count * area];
            let mut regions: Vec<(Corners, f32)> = Vec::new();
            for place in 0..area {
                let (row, column) = (place / width, place % width);
                let (x, y) = if tensorflow { (row, column) } else { (column, row) };
                let at = [x, y].map(|cell| cell as f32 * self.feat_stride as f32);
                for (i, anchor) in anchors.iter().enumerate() {
                    let change = std::array::from_fn(|k| changes[(i * 4 + k) * area + place]);
                    let corners = self.region(*anchor, at, change, image_size);
                    let large =
                        |k: usize| self.min_size as f32 * scale[k] <= corners[k + 2] - corners[k] + border;
                    let score = if large(0) && large(1) { scores[i * area + place] } else { 0.0 };
                    regions.push((corners, score));
                }
            }
            regions.sort_by(|a, b| b.1.total_cmp(&a.1));
            regions.truncate(self.pre_nms_topn);
            let boxes: Vec<Corners> = regions.iter().map(|region| region.0).collect();
            let kept = suppress(&boxes, 0..boxes.len(), self.nms_thresh, border, self.post_nms_topn);
            let slots = rows[item * self.post_nms_topn * 5..].chunks_exact_mut(5);
            let ended = kept.len() < self.post_nms_topn;
            for (slot, index) in slots.zip(kept.iter().map(Some).chain(ended.then_some(None))) {
                let Some(index) = index else {
                    slot[0] = -1.0;
                    continue;
                };
                slot[0] = item as f64;
                for (k, corner) in boxes[*index].into_iter().enumerate() {
                    let size = image_size[k % 2];
                    let cut = if self.clip_after_nms { corner.min(size).max(0.0) } else { corner };
                    slot[1 + k] = f64::from(if self.normalize { cut / size } else { cut });
                }
            }
            for (slot, index) in probabilities[item * self.post_nms_topn..].iter_mut().zip(kept) {
                *slot = f64::from(regions[index].1);
            }
        }
        let ty = inputs[0].element_type();
        let mut outputs = vec![Tensor::from_f64s(ty, &shapes[0], &rows)?];
        if self.gives_scores {
            outputs.push(Tensor::from_f64s(ty, &shapes[1], &probabilities)?);
        }
        Ok(outputs)
    }
}

impl Proposal {
    fn tensorflow(&self) -> bool {
        self.framework == "tensorflow"
    }

    /// The boxes that every cell starts from.
    fn anchors(&self) -> Vec<Corners> {
        let base = self.base_size as f32;
        let tensorflow = self.tensorflow();
        let border = if tensorflow { 0.0 } else { 1.0 };
        let round = |v: f32| if tensorflow { v } else { v.round() };
        let center = 0.5 * (base - border) - if tensorflow { 0.5 * base } else { 0.0 };
        let mut anchors = Vec::new();
        for ratio in &self.ratio {
            let width = round((base * base / ratio).sqrt());
            let height = round(width * ratio);
            for scale in &self.scale {
                let half = [width, height].map(|side| 0.5 * (side * scale - border));
                anchors.push([center - half[0], center - half[1], center + half[0], center + half[1]]);
            }
        }
        anchors
    }

    /// The region that `change` makes of an anchor in the cell at `at`.
    fn region(&self, anchor: Corners, at: [f32; 2], change: [f32; 4], image: [f32; 2]) -> Corners {
        let tensorflow = self.tensorflow();
        let border = if tensorflow { 0.0 } else { 1.0 };
        let cut = |v: f32, most: f32| v.min(most).max(0.0);
        let mut corners: Corners = std::array::from_fn(|i| anchor[i] + at[i % 2]);
        if tensorflow {
            corners = std::array::from_fn(|i| cut(corners[i], image[i % 2]));
        }
        let mut region = [0.0; 4];
        for k in 0..2 {
            let side = corners[k + 2] - corners[k] + border;
            let center = change[k] / self.box_coordinate_scale * side + (corners[k] + 0.5 * side);
            let half = 0.5 * ((change[k + 2] / self.box_size_scale).exp() * side);
            (region[k], region[k + 2]) = (center - half, center + half);
        }
        match self.clip_before_nms {
            true => std::array::from_fn(|i| cut(region[i], image[i % 2] - border)),
            false => region,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::testing::{floats, infer_types, run};

    fn one_anchor() -> Proposal {
        Proposal { ratio: vec![1.0], scale: vec![1.0], min_size: 1, post_nms_topn: 2, ..Proposal::default() }
    }

    #[test]
    fn anchors_are_those_of_faster_rcnn() {
        let op = Proposal { ratio: vec![0.5, 1.0, 2.0], scale: vec![8.0], ..Proposal::default() };
        // The first rows that its own generator prints.
        let want = [[-84., -40., 99., 55.], [-56., -56., 71., 71.], [-36., -80., 51., 95.]];
        assert_eq!(op.anchors(), want);
    }

    #[test]
    fn fewer_regions_than_asked_for_are_ended() {
        // As in Caffe, an unchanged anchor of 16 pixels from 0 ends at 16.
        let scores = floats(&[1, 2, 1, 1], &[0.9, 0.25]);
        let changes = floats(&[1, 4, 1, 1], &[0.0; 4]);
        let y = run(&one_anchor(), &[scores, changes, floats(&[3], &[32., 32., 1.])]).unwrap();
        assert_eq!(y[0].to_f64s(), [0., 0., 0., 16., 16., -1., 0., 0., 0., 0.]);
        assert_eq!(y[1].to_f64s(), [0.25, 0.0]);
    }

    #[test]
    fn types_follow_from_what_is_known() {
        let op = one_anchor();
        let ok = ["f32[?,2,?,?]", "f32[3,4,?,?]", "f32[3]"];
        assert_eq!(infer_types(&op, &ok).unwrap(), ["f32[6,5]", "f32[6]"]);
        let first = Proposal { gives_scores: false, ..one_anchor() };
        assert_eq!(infer_types(&first, &["f16[...]", "f16[...]", "f16[1,4]"]).unwrap(), ["f16[?,5]"]);
        for bad in [
            ["f32[1,4,2,2]", "f32[1,4,2,2]", "f32[3]"],
            ["f32[1,2,2,2]", "f32[1,4,2,3]", "f32[3]"],
            ["f32[1,2,2,2]", "f32[1,4,2,2]", "f32[5]"],
            ["f32[1,2,2,2]", "f16[1,4,2,2]", "f32[3]"],
        ] {
            assert!(infer_types(&op, &bad).is_err(), "{bad:?}");
        }
        assert!(infer_types(&Proposal { post_nms_topn: 0, ..one_anchor() }, &ok).is_err());
    }
}
