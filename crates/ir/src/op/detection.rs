//! The answer of single-shot detectors: boxes decoded from priors, the best of those that overlap.

use super::{
    Inputs, OpError, Operator, PortType,
    boxes::{Corners, singles, suppress},
    floats::zeros,
    output_shapes,
};
use crate::{
    Dim, Interval, PartialShape, Tensor,
    attribute::{Visit, Visitor, text_enum},
};

text_enum! {
    /// How four numbers change a prior box.
    BoxCode {
        /// They move its corners.
        Corner = "caffe.PriorBoxParameter.CORNER",
        /// They move its center by its sides, and multiply its sides exponentially.
        CenterSize = "caffe.PriorBoxParameter.CENTER_SIZE",
    }
}

/// The best boxes of each image as rows of image, class, confidence, left, top, right, bottom; a row with image -1
/// ends them. Inputs: changes of the priors, confidences, priors; perhaps confidences and changes of a first stage.
#[derive(Clone, PartialEq, Debug)]
pub struct DetectionOutput {
    /// The number of classes, which op set 8 finds from the shapes.
    pub num_classes: Option<usize>,
    /// The class that is none; -1 when every class is one.
    pub background_label_id: i64,
    /// The most boxes of a class that are compared; -1 for all.
    pub top_k: i64,
    /// The changes are not multiplied by variances.
    pub variance_encoded_in_target: bool,
    /// The first: the most boxes of an image; -1 for all.
    pub keep_top_k: Vec<i64>,
    /// How boxes are coded.
    pub code_type: BoxCode,
    /// All classes share boxes.
    pub share_location: bool,
    /// Of boxes that overlap by more, the better stays.
    pub nms_threshold: f32,
    /// Only confidences above it count.
    pub confidence_threshold: f32,
    /// Boxes in the answer are cut at the image.
    pub clip_after_nms: bool,
    /// Boxes are cut at the image before they are compared.
    pub clip_before_nms: bool,
    /// As in MXNet: a prior has its best class alone, and classes are counted without the background.
    pub decrease_label_id: bool,
    /// Priors are fractions of the image; otherwise pixels, with a number before each.
    pub normalized: bool,
    /// Height of the image in pixels.
    pub input_height: i64,
    /// Width of the image in pixels.
    pub input_width: i64,
    /// Priors of which the first stage thinks less are background.
    pub objectness_score: f32,
}

impl Default for DetectionOutput {
    fn default() -> Self {
        Self {
            num_classes: None,
            background_label_id: 0,
            top_k: -1,
            variance_encoded_in_target: false,
            keep_top_k: vec![-1],
            code_type: BoxCode::Corner,
            share_location: true,
            nms_threshold: 0.5,
            confidence_threshold: 0.0,
            clip_after_nms: false,
            clip_before_nms: false,
            decrease_label_id: false,
            normalized: false,
            input_height: 1,
            input_width: 1,
            objectness_score: 0.0,
        }
    }
}

impl Visit for DetectionOutput {
    fn visit(&mut self, v: &mut dyn Visitor) {
        if let Some(classes) = &mut self.num_classes {
            v.required("num_classes", classes);
        }
        v.optional("background_label_id", &mut self.background_label_id);
        v.optional("top_k", &mut self.top_k);
        v.optional("variance_encoded_in_target", &mut self.variance_encoded_in_target);
        v.required("keep_top_k", &mut self.keep_top_k);
        v.optional("code_type", &mut self.code_type);
        v.optional("share_location", &mut self.share_location);
        v.required("nms_threshold", &mut self.nms_threshold);
        v.optional("confidence_threshold", &mut self.confidence_threshold);
        v.optional("clip_after_nms", &mut self.clip_after_nms);
        v.optional("clip_before_nms", &mut self.clip_before_nms);
        v.optional("decrease_label_id", &mut self.decrease_label_id);
        v.optional("normalized", &mut self.normalized);
        v.optional("input_height", &mut self.input_height);
        v.optional("input_width", &mut self.input_width);
        v.optional("objectness_score", &mut self.objectness_score);
    }
}

impl Operator for DetectionOutput {
    fn type_name(&self) -> &str {
        "DetectionOutput"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(3..=5)?;
        if inputs.len() == 4 {
            return Err(OpError::shape("takes 3 or 5 inputs, found 4"));
        }
        let ty = inputs.same_element_type(0..inputs.len())?;
        let Some(most) = self.keep_top_k.first().copied() else {
            return Err(OpError::attribute(
                "`keep_top_k` is empty, expected the most boxes of an image, or -1",
            ));
        };
        let ranks = [2, 2, 3, 2, 2];
        for (i, rank) in ranks.into_iter().enumerate().take(inputs.len()) {
            if inputs.shape(i).rank().is_some_and(|found| found != rank) {
                let message = format!("input {i} is {}, expected {rank} dimensions", inputs.shape(i));
                return Err(OpError::shape(message));
            }
        }
        let dim = |i: usize, axis: usize| inputs.shape(i).dims().map_or(Dim::ANY_DIM, |dims| dims[axis]);
        let agree = |a: Dim, b: Dim, what: &str| {
            a.intersect(b).ok_or_else(|| OpError::shape(format!("{what} would be both {a} and {b}")))
        };
        let mut images = agree(dim(0, 0), dim(1, 0), "the number of images")?;
        for i in 3..inputs.len() {
            images = agree(images, dim(i, 0), "the number of images")?;
        }
        let share = |dim: Dim, parts: i64, what: &str| {
            let fail = || OpError::shape(format!("{dim} numbers are no whole number of {what} of {parts}"));
            dim.exact_quotients(parts).ok_or_else(fail)
        };
        let priors = share(dim(2, 2), self.prior_size() as i64, "priors")?;
        agree(dim(2, 1), Dim::exactly(2 - i64::from(self.variance_encoded_in_target)), "rows of the priors")?;
        if !dim(2, 0).contains(1) {
            agree(dim(2, 0), images, "the number of images")?;
        }
        let classes = match (self.num_classes, dim(1, 1).size(), priors.size()) {
            (Some(classes), ..) => Dim::dim(classes),
            (None, Some(numbers), Some(priors)) if priors > 0 => {
                share(Dim::dim(numbers), priors as i64, "classes")?
            }
            _ => Dim::ANY_DIM,
        };
        agree(dim(1, 1), priors * classes, "the number of confidences")?;
        let boxes = if self.share_location { priors } else { priors * classes };
        agree(dim(0, 1), boxes * Dim::exactly(4), "the number of coordinates")?;
        if inputs.len() == 5 {
            agree(dim(3, 1), priors * Dim::exactly(2), "the number of confidences of the first stage")?;
            agree(dim(4, 1), dim(0, 1), "the number of coordinates of the first stage")?;
        }
        let rows = match most {
            1.. => Interval::exactly(most),
            _ if most == -1 && self.top_k > 0 => Interval::exactly(self.top_k) * classes,
            _ => priors * classes,
        };
        let one = Dim::exactly(1);
        Ok(vec![PortType::new(ty, PartialShape::new([one, one, images * rows, Dim::exactly(7)]))])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let shape = output_shapes(self, inputs)?.remove(0);
        let mut y = zeros(&shape)?;
        let mut rows = y.chunks_exact_mut(7);
        let elements: Vec<Batch> =
            inputs.iter().map(|input| Batch { elements: singles(input), images: input.shape()[0] }).collect();
        for image in 0..inputs[0].shape()[0] {
            let decoded = Image::new(self, &elements, inputs[2].shape()[2] / self.prior_size(), image);
            for Detection { score, class, corners, .. } in decoded.detections() {
                let clip = |v: f32| if self.clip_after_nms { v.clamp(0.0, 1.0) } else { v };
                let label = class as i64 - i64::from(self.decrease_label_id);
                let [left, top, right, bottom] = corners.map(|v| f64::from(clip(v)));
                let row = [image as f64, label as f64, f64::from(score), left, top, right, bottom];
                if let Some(slot) = rows.next() {
                    slot.copy_from_slice(&row);
                }
            }
        }
        if let Some(end) = rows.next() {
            end[0] = -1.0;
        }
        Ok(vec![Tensor::from_f64s(inputs[0].element_type(), &shape, &y)?])
    }
}

impl DetectionOutput {
    /// Numbers that a prior takes.
    pub fn prior_size(&self) -> usize {
        if self.normalized { 4 } else { 5 }
    }
}

/// The elements of an input, image by image, or once for all.
struct Batch {
    elements: Vec<f32>,
    images: usize,
}

impl Batch {
    fn of(&self, image: usize) -> &[f32] {
        let each = self.elements.len() / self.images;
        &self.elements[if self.images == 1 { 0 } else { image * each }..][..each]
    }
}

/// A box that may stay.
#[derive(Clone, Copy)]
struct Detection {
    score: f32,
    class: usize,
    prior: usize,
    corners: Corners,
}

/// One image: decoded boxes and confidences.
struct Image<'a> {
    op: &'a DetectionOutput,
    classes: usize,
    priors: usize,
    /// Of each class, or the one that all share.
    boxes: Vec<Vec<Corners>>,
    scores: Vec<f32>,
}

impl<'a> Image<'a> {
    fn new(op: &'a DetectionOutput, inputs: &[Batch], count: usize, image: usize) -> Self {
        let size = op.prior_size();
        let (changes, priors) = (inputs[0].of(image), inputs[2].of(image));
        let mut scores = inputs[1].of(image).to_vec();
        let classes = scores.len().checked_div(count).unwrap_or(0);
        let (coordinates, variances) = priors.split_at(count * size);
        let variance = |prior: usize| match op.variance_encoded_in_target {
            true => [1.0; 4],
            false => std::array::from_fn(|i| variances[prior * 4 + i]),
        };
        let sets = if op.share_location { 1 } else { classes };
        let change = |changes: &[f32], prior: usize, set: usize| -> [f32; 4] {
            std::array::from_fn(|i| changes[(prior * sets + set) * 4 + i])
        };
        let decoded = |changes: &[f32], set: usize| -> Vec<Corners> {
            let each = coordinates.chunks_exact(size).enumerate();
            each.map(|(i, prior)| op.decode(prior, variance(i), change(changes, i, set))).collect()
        };
        let mut boxes: Vec<Vec<Corners>> = Vec::new();
        if inputs.len() == 5 {
            let (objectness, first) = (inputs[3].of(image), inputs[4].of(image));
            for set in 0..sets {
                // What the first stage found takes the place of the priors.
                let found = decoded(first, set).into_iter().enumerate();
                boxes.push(
                    found.map(|(i, found)| op.change(found, variance(i), change(changes, i, set))).collect(),
                );
            }
            for prior in (0..count).filter(|prior| objectness[prior * 2 + 1] < op.objectness_score) {
                for class in 0..classes {
                    let background = class as i64 == op.background_label_id;
                    scores[prior * classes + class] = f32::from(u8::from(background));
                }
            }
        } else {
            boxes.extend((0..sets).map(|set| decoded(changes, set)));
        }
        Self { op, classes, priors: count, boxes, scores }
    }

    fn score(&self, prior: usize, class: usize) -> f32 {
        self.scores[prior * self.classes + class]
    }

    fn boxes(&self, class: usize) -> &[Corners] {
        &self.boxes[if self.op.share_location { 0 } else { class }]
    }

    /// What stays, class by class.
    fn detections(&self) -> Vec<Detection> {
        let background = |class: usize| class as i64 == self.op.background_label_id;
        let mut candidates: Vec<Vec<usize>> = vec![Vec::new(); self.classes];
        if self.op.decrease_label_id {
            let mut best = Vec::new();
            for prior in 0..self.priors {
                let mut found = (0, -1.0f32);
                for class in (1..self.classes).filter(|class| !background(*class)) {
                    if self.score(prior, class) > found.1 {
                        found = (class, self.score(prior, class));
                    }
                }
                if found.0 > 0 && found.1 >= self.op.confidence_threshold {
                    best.push((found.0, prior));
                }
            }
            best.sort_by(|a, b| self.score(b.1, b.0).total_cmp(&self.score(a.1, a.0)));
            best.truncate(limit(self.op.top_k));
            for (class, prior) in best {
                candidates[class].push(prior);
            }
        } else {
            for class in (0..self.classes).filter(|class| !background(*class)) {
                let above = |prior: &usize| self.score(*prior, class) > self.op.confidence_threshold;
                let mut best: Vec<usize> = (0..self.priors).filter(above).collect();
                best.sort_by(|a, b| self.score(*b, class).total_cmp(&self.score(*a, class)));
                best.truncate(limit(self.op.top_k));
                candidates[class] = best;
            }
        }
        let mut kept = Vec::new();
        for (class, best) in candidates.into_iter().enumerate() {
            let boxes = self.boxes(class);
            for prior in suppress(boxes, best, self.op.nms_threshold, 0.0, usize::MAX) {
                kept.push(Detection { score: self.score(prior, class), class, prior, corners: boxes[prior] });
            }
        }
        if kept.len() > limit(self.op.keep_top_k[0]) {
            kept.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.prior.cmp(&b.prior)));
            kept.truncate(limit(self.op.keep_top_k[0]));
            kept.sort_by_key(|detection| detection.class);
        }
        kept
    }
}

/// The most, where a negative number means all.
fn limit(most: i64) -> usize {
    usize::try_from(most).unwrap_or(usize::MAX)
}

impl DetectionOutput {
    /// The corners of the box that the numbers of a prior, its variances and four changes make.
    #[inline]
    pub fn decode(&self, prior: &[f32], variance: [f32; 4], change: [f32; 4]) -> [f32; 4] {
        let prior = &prior[prior.len() - 4..];
        let scale =
            if self.normalized { [1.0; 2] } else { [self.input_width as f32, self.input_height as f32] };
        self.change(std::array::from_fn(|i| prior[i] / scale[i % 2]), variance, change)
    }

    fn change(&self, prior: Corners, variance: [f32; 4], change: [f32; 4]) -> Corners {
        let change: Corners = std::array::from_fn(|i| variance[i] * change[i]);
        let corners = match self.code_type {
            BoxCode::Corner => std::array::from_fn(|i| prior[i] + change[i]),
            BoxCode::CenterSize => {
                let side = |i: usize| prior[i + 2] - prior[i];
                let center = |i: usize| change[i] * side(i) + (prior[i] + prior[i + 2]) / 2.0;
                let half = |i: usize| change[i + 2].exp() * side(i) / 2.0;
                [center(0) - half(0), center(1) - half(1), center(0) + half(0), center(1) + half(1)]
            }
        };
        if self.clip_before_nms { corners.map(|v| v.clamp(0.0, 1.0)) } else { corners }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::testing::{assert_close, floats, infer_types, run};

    fn op() -> DetectionOutput {
        DetectionOutput { normalized: true, variance_encoded_in_target: true, ..DetectionOutput::default() }
    }

    /// Three priors, of which the first two overlap by a third of what they cover.
    fn priors() -> Tensor {
        floats(&[1, 1, 12], &[0.0, 0.0, 0.4, 0.4, 0.2, 0.0, 0.6, 0.4, 0.5, 0.5, 1.0, 1.0])
    }

    #[test]
    fn the_better_of_two_that_overlap_stays() {
        let scores = floats(&[1, 6], &[0., 0.7, 0., 0.9, 0., 0.8]);
        let inputs = [floats(&[1, 12], &[0.0; 12]), scores, priors()];
        let rows = |nms_threshold: f32, keep: i64| {
            let op = DetectionOutput { nms_threshold, keep_top_k: vec![keep], ..op() };
            let y = run(&op, &inputs).unwrap().remove(0).to_f64s();
            let ended = y.chunks(7).take_while(|row| row[0] >= 0.0);
            ended.map(|row| (row[2] * 10.0).round() as i64).collect::<Vec<_>>()
        };
        assert_eq!(rows(0.3, 5), [9, 8]);
        assert_eq!(rows(0.4, 5), [9, 8, 7]);
        assert_eq!(rows(0.4, 2), [9, 8]);
        let y = run(&DetectionOutput { keep_top_k: vec![1], ..op() }, &inputs).unwrap();
        let want = [0.0, 1.0, 0.9f32.into(), 0.2f32.into(), 0.0, 0.6f32.into(), 0.4f32.into()];
        assert_close(&y[0], &[1, 1, 1, 7], &want, "best");
    }

    #[test]
    fn types_follow_from_what_is_known() {
        let ok = ["f32[2,12]", "f32[?,6]", "f32[1,1,12]"];
        let rows = |op: &DetectionOutput| infer_types(op, &ok).unwrap().remove(0);
        assert_eq!(rows(&DetectionOutput { keep_top_k: vec![5], ..op() }), "f32[1,1,10,7]");
        assert_eq!(rows(&DetectionOutput { top_k: 4, ..op() }), "f32[1,1,16,7]");
        assert_eq!(rows(&op()), "f32[1,1,12,7]");
        assert_eq!(rows(&DetectionOutput { num_classes: Some(2), ..op() }), "f32[1,1,12,7]");
        let unknown = ["f32[...]", "f32[...]", "f32[...]"];
        assert_eq!(infer_types(&op(), &unknown).unwrap(), ["f32[1,1,?,7]"]);
        for bad in [
            ["f32[2,12]", "f32[3,6]", "f32[1,1,12]"],
            ["f32[2,13]", "f32[2,6]", "f32[1,1,12]"],
            ["f32[2,12]", "f32[2,7]", "f32[1,1,12]"],
            ["f32[2,12]", "f32[2,6]", "f32[1,2,12]"],
            ["f32[2,12]", "f32[2,6]", "f32[3,1,12]"],
            ["f32[2,12]", "f32[2,6]", "f32[1,1,13]"],
            ["f32[2,12,1]", "f32[2,6]", "f32[1,1,12]"],
            ["f32[2,12]", "f16[2,6]", "f32[1,1,12]"],
        ] {
            assert!(infer_types(&op(), &bad).is_err(), "{bad:?}");
        }
        assert!(infer_types(&DetectionOutput { num_classes: Some(3), ..op() }, &ok).is_err());
        assert!(infer_types(&DetectionOutput { keep_top_k: Vec::new(), ..op() }, &ok).is_err());
        assert!(infer_types(&DetectionOutput { normalized: false, ..op() }, &ok).is_err());
    }

    #[test]
    fn nothing_and_no_numbers() {
        let none = [floats(&[0, 12], &[]), floats(&[0, 6], &[]), priors()];
        assert_eq!(run(&op(), &none).unwrap()[0].shape(), [1, 1, 0, 7]);
        let wild = [floats(&[1, 12], &[f32::NAN; 12]), floats(&[1, 6], &[f32::NAN; 6]), priors()];
        assert_eq!(run(&op(), &wild).unwrap()[0].to_f64s()[0], -1.0);
        let wild = [floats(&[1, 12], &[f32::INFINITY; 12]), floats(&[1, 6], &[1.0; 6]), priors()];
        assert!(run(&DetectionOutput { code_type: BoxCode::CenterSize, ..op() }, &wild).is_ok());
        let huge = DetectionOutput { keep_top_k: vec![i64::MAX / 8], ..op() };
        let inputs = [floats(&[1, 12], &[0.0; 12]), floats(&[1, 6], &[0.0; 6]), priors()];
        assert!(huge.evaluate(&inputs).is_err());
    }
}
