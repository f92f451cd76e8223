//! Ops that detect.

use super::*;

/// Priors all over an image, with variances if they are asked for.
fn priors(case: &mut Case, images: usize, count: usize, normalized: bool, encoded: bool) -> Port {
    let mut numbers = Vec::new();
    for _ in 0..images {
        for _ in 0..count {
            let mut number = |low: f32, range: f32| low + range * case.below(1000) as f32 / 1000.0;
            let (x, y, w, h) = (number(0.1, 0.8), number(0.1, 0.8), number(0.1, 0.4), number(0.1, 0.4));
            let corners = [x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0];
            match normalized {
                true => numbers.extend(corners),
                false => numbers.extend([0.0].into_iter().chain(corners.map(|v| v * 300.0))),
            }
        }
        if !encoded {
            let each = if normalized { 4 } else { 5 };
            let variances = [0.1, 0.1, 0.2, 0.2].into_iter().cycle().take(count * 4);
            numbers.extend(variances.chain(std::iter::repeat_n(0.0, count * (each - 4))));
        }
    }
    let rows = if encoded { 1 } else { 2 };
    let shape = [images, rows, numbers.len() / images / rows];
    case.0.model.add_constant("priors", Tensor::from_slice(&shape, &numbers).unwrap()).into()
}

#[test]
fn detections() {
    for seed in 0..60 {
        let mut case = Case::new(seed);
        let (images, count) = (case.size(3), case.one_of(&[1, 7, 40, 150, 300]));
        let (classes, share_location) = (case.one_of(&[2, 3, 5, 21, 40]), case.below(3) > 0);
        let (normalized, encoded) = (case.below(3) > 0, case.below(3) == 0);
        let own = case.below(3) == 0;
        let op = DetectionOutput {
            background_label_id: case.one_of(&[0, -1, 1]),
            top_k: case.one_of(&[-1, 1, 10, 100, 400]),
            keep_top_k: vec![case.one_of(&[-1, 1, 15, 200])],
            nms_threshold: case.one_of(&[0.0, 0.1, 0.3, 0.45, 0.9]),
            confidence_threshold: case.one_of(&[-2.0, 0.0, 0.5, 0.95]),
            code_type: case.one_of(&[BoxCode::Corner, BoxCode::CenterSize]),
            clip_after_nms: case.below(2) == 0,
            clip_before_nms: case.below(2) == 0,
            variance_encoded_in_target: encoded,
            share_location,
            normalized,
            input_height: 300,
            input_width: 300,
            ..DetectionOutput::default()
        };
        let priors = priors(&mut case, if own { images } else { 1 }, count, normalized, encoded);
        let changes = case.f32(&[images, count * 4 * if share_location { 1 } else { classes }]);
        let scores = case.f32(&[images, count * classes]);
        case.op(op, &[changes, scores, priors]);
        case.check(&format!("seed {seed}"));
    }
}

#[test]
fn selections() {
    for seed in 0..40 {
        let mut case = Case::new(seed);
        let (images, classes, count) = (case.size(2), case.size(4), case.one_of(&[1, 9, 80, 200]));
        let op = NonMaxSuppression {
            box_encoding: case.one_of(&[BoxEncoding::Corner, BoxEncoding::Center]),
            sort_result_descending: case.below(2) == 0,
            ..NonMaxSuppression::new(case.one_of(&[None, Some(ElementType::I32)]), SelectionForm::Filled)
        };
        let (boxes, scores) = (case.f32(&[images, count, 4]), case.f32(&[images, classes, count]));
        let most = case.one_of(&[1, 5, 70, 1000]);
        let most = case.0.integers(&[most]);
        let threshold = case.one_of(&[0.1f32, 0.3, 0.7]);
        let threshold = case.0.model.add_constant("t", Tensor::scalar(threshold)).into();
        let least = case.0.model.add_constant("l", Tensor::scalar(0.1f32)).into();
        case.op(op, &[boxes, scores, most, threshold, least]);
        case.check(&format!("seed {seed}"));
    }
}

#[test]
fn predictions() {
    for seed in 0..30 {
        let mut case = Case::new(seed);
        let (boxes, classes, coords) = (case.size(3), case.size(20), case.one_of(&[0, 1, 2, 4, 5]));
        let do_softmax = case.below(2) == 0;
        let mask = (0..boxes as i64).collect();
        let (axis, end_axis) = case.one_of(&[(1, 3), (0, 1), (-1, -1)]);
        let op =
            RegionYolo { axis, end_axis, coords, classes, num: boxes, do_softmax, mask, anchors: vec![] };
        let (n, h, w) = (case.size(2), case.size(7), case.size(9));
        let channels = boxes * (coords + 1 + classes);
        let x = match case.below(2) {
            0 => blocked(&mut case, [n, channels, h, w]),
            _ => case.f32(&[n, channels, h, w]),
        };
        case.op(op, &[x]);
        case.check(&format!("seed {seed}"));
    }
}

#[test]
fn pooled_regions() {
    for seed in 0..40 {
        let mut case = Case::new(seed);
        let (images, h, w) = (case.size(2), case.size(20), case.size(20));
        let spatial_scale = case.one_of(&[1.0, 0.5, 0.0625]);
        let mut numbers = Vec::new();
        let count = case.size(6);
        for _ in 0..count {
            numbers.push(case.below(images) as f32);
            let corners = [w, h, w, h].map(|size| case.below(12 * size) as f32 / 10.0 / spatial_scale);
            numbers.extend(corners);
            // Most have their corners in order.
            let end = numbers.len();
            if case.below(4) > 0 {
                (0..2)
                    .filter(|i| corners[*i] > corners[i + 2])
                    .for_each(|i| numbers.swap(end - 4 + i, end - 2 + i));
            }
        }
        let regions = Tensor::from_slice(&[count, 5], &numbers).unwrap();
        let regions = case.0.model.add_constant("regions", regions).into();
        let (pooled_h, pooled_w) = (case.size(7), case.size(7));
        let channels = case.size(20);
        let x = match case.below(2) {
            0 => blocked(&mut case, [images, channels, h, w]),
            _ => case.f32(&[images, channels, h, w]),
        };
        case.op(RoiPooling { pooled_h, pooled_w, spatial_scale, method: RoiMethod::Max }, &[x, regions]);
        let (output_dim, group_size) = (case.size(4), case.size(5));
        let x = case.f32(&[images, output_dim * group_size * group_size, h, w]);
        case.op(
            PsRoiPooling { output_dim, group_size, spatial_scale, ..PsRoiPooling::default() },
            &[x, regions],
        );
        case.check(&format!("seed {seed}"));
    }
}
