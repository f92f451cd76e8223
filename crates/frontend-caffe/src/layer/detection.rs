//! What single-shot detectors end with: prior boxes and detections.

use crate::scope::{Converted, Params, Problem, Scope, malformed, refuse};
use ir::{
    Op, Port,
    op::{
        BinaryKind, BoxCode, Concat, DetectionOutput, Gather, PriorBox, PriorBoxClustered, ShapeOf, Slice,
        Unsqueeze,
    },
};

/// Two numbers for height and width: one for both, or one each under names with `_h` and `_w`; `None` where the
/// layer says nothing.
fn pair<T: Copy>(
    both: Option<T>,
    [height, width]: [Option<T>; 2],
    name: &str,
) -> Result<Option<[T; 2]>, Problem> {
    match (both, height, width) {
        (both, None, None) => Ok(both.map(|value| [value; 2])),
        (None, Some(height), Some(width)) => Ok(Some([height, width])),
        (Some(_), ..) => malformed(format!("both `{name}` and `{name}_h` or `{name}_w` are given")),
        _ => malformed(format!("of `{name}_h` and `{name}_w` one is missing")),
    }
}

/// Pixels between centers, where the layer says so.
fn steps(params: &Params) -> Result<Option<[f64; 2]>, Problem> {
    let given = |name: &str| Ok::<_, Problem>(params.maybe_float(name)?.filter(|step| *step != 0.0));
    pair(given("step")?, [given("step_h")?, given("step_w")?], "step")
}

/// The size of the image, where the layer names one.
fn image_size(params: &Params) -> Result<Option<[i64; 2]>, Problem> {
    let given = |name: &str| Ok::<_, Problem>(params.maybe_int(name)?.filter(|size| *size != 0));
    pair(given("img_size")?, [given("img_h")?, given("img_w")?], "img")
}

/// The sizes of the grid and of the image.
fn grids(s: &mut Scope, size: Option<[i64; 2]>) -> Result<[Port; 2], Problem> {
    let [features, image] = s.exactly()?;
    let grid = spatial(s, "grid", features)?;
    let image = match size {
        Some(size) => s.i64s("image", &size),
        None => spatial(s, "image", image)?,
    };
    Ok([grid, image])
}

/// Height and width of an image's tensor.
fn spatial(s: &mut Scope, suffix: &str, port: Port) -> Result<Port, Problem> {
    if s.rank(port)? != 4 {
        return malformed(format!("its input has {} dimensions, expected [N,C,H,W]", s.rank(port)?));
    }
    let shape = s.add(&format!("{suffix}/shape"), ShapeOf::default(), &[port])?;
    let picked = s.i64s(&format!("{suffix}/picked"), &[2, 3]);
    let axis = s.i64(&format!("{suffix}/axis"), 0);
    s.add(suffix, Gather::default(), &[shape, picked, axis])
}

fn variance(params: &Params) -> Result<Vec<f32>, Problem> {
    let variance = floats(params, "variance")?;
    match variance.len() {
        0 | 1 | 4 => Ok(variance),
        found => malformed(format!("`variance` has {found} numbers, expected one or four")),
    }
}

fn floats(params: &Params, name: &str) -> Result<Vec<f32>, Problem> {
    Ok(params.floats(name)?.into_iter().map(|value| value as f32).collect())
}

/// Boxes `[2,P]` as Caffe has them, `[1,2,P]`.
fn priors(s: &mut Scope, op: impl Into<Op>, inputs: &[Port]) -> Converted {
    let boxes = s.emit(op, inputs)?;
    let axis = s.i64s("batch", &[0]);
    Ok(vec![s.add("boxes", Unsqueeze, &[boxes, axis])?])
}

pub(super) fn prior_box(s: &mut Scope) -> Converted {
    let params = s.params("prior_box_param");
    let (min_size, max_size) = (floats(&params, "min_size")?, floats(&params, "max_size")?);
    if min_size.is_empty() {
        return malformed("`min_size` is missing");
    }
    if !max_size.is_empty() && max_size.len() != min_size.len() {
        let (max, min) = (max_size.len(), min_size.len());
        return malformed(format!("it has {max} of `max_size` and {min} of `min_size`; they go in pairs"));
    }
    let aspect_ratio = floats(&params, "aspect_ratio")?;
    if min_size.iter().chain(&max_size).chain(&aspect_ratio).any(|size| *size <= 0.0) {
        return malformed("a size or an aspect ratio is not above 0");
    }
    let (flip, clip) = (params.flag("flip", true)?, params.flag("clip", false)?);
    let (variance, steps) = (variance(&params)?, steps(&params)?);
    let offset = params.float("offset", 0.5)? as f32;
    let size = image_size(&params)?;
    let grids = grids(s, size)?;
    let step = match steps {
        None if offset == 0.5 => Some(0.0),
        Some([height, width]) if height == width => Some(height as f32),
        _ => None,
    };
    if let Some(step) = step {
        let op = PriorBox {
            min_size,
            max_size,
            aspect_ratio,
            flip,
            clip,
            step,
            offset,
            variance,
            ..PriorBox::default()
        };
        return priors(s, op, &grids);
    }
    // PriorBox has one step for both axes, and no offset without one.
    let mut ratios = vec![1.0f32];
    for ratio in aspect_ratio {
        if ratios.iter().all(|known| (ratio - known).abs() >= 1e-6) {
            ratios.push(ratio);
            ratios.extend(flip.then_some(1.0 / ratio));
        }
    }
    let (mut width, mut height) = (Vec::new(), Vec::new());
    for (i, min) in min_size.iter().enumerate() {
        let larger = max_size.get(i).map(|max| (min * max).sqrt());
        let stretched = ratios[1..].iter().map(|ratio| ratio.sqrt()).map(|root| [min * root, min / root]);
        for [w, h] in [[*min; 2]].into_iter().chain(larger.map(|side| [side; 2])).chain(stretched) {
            width.push(w);
            height.push(h);
        }
    }
    let [step_h, step_w] = steps.unwrap_or_default().map(|step| step as f32);
    priors(s, PriorBoxClustered { step: 0.0, step_w, step_h, width, height, clip, offset, variance }, &grids)
}

pub(super) fn prior_box_clustered(s: &mut Scope) -> Converted {
    let params = s.params("prior_box_param");
    let (width, height) = (floats(&params, "width")?, floats(&params, "height")?);
    if width.len() != height.len() || width.is_empty() {
        let (width, height) = (width.len(), height.len());
        return malformed(format!("it has {width} of `width` and {height} of `height`; they go in pairs"));
    }
    // Sizes are all there is to its boxes.
    params.ignore(&["flip"]);
    let (clip, variance) = (params.flag("clip", false)?, variance(&params)?);
    let [step_h, step_w] = steps(&params)?.unwrap_or_default().map(|step| step as f32);
    let offset = params.float("offset", 0.5)? as f32;
    let size = image_size(&params)?;
    let grids = grids(s, size)?;
    priors(s, PriorBoxClustered { step: 0.0, step_w, step_h, width, height, clip, offset, variance }, &grids)
}

/// Codes of boxes; the last moves corners by multiples of the prior's sides.
#[derive(Clone, Copy, PartialEq)]
enum Code {
    Corner,
    CenterSize,
    CornerSize,
}

pub(super) fn detection_output(s: &mut Scope) -> Converted {
    if !matches!(s.inputs.len(), 3 | 5) {
        return malformed(format!("it has {} bottoms, expected 3, or 5 with a first stage", s.inputs.len()));
    }
    let params = s.params("detection_output_param");
    params.ignore(&["save_output_param", "visualize", "visualize_threshold", "save_file", "resize_param"]);
    let nms = params.inner("nms_param");
    if nms.float("eta", 1.0)? != 1.0 {
        return refuse("`eta` of its suppression is not 1: thresholds that change have no counterpart");
    }
    let codes = [
        ("CORNER", 1, Code::Corner),
        ("CENTER_SIZE", 2, Code::CenterSize),
        ("CORNER_SIZE", 3, Code::CornerSize),
    ];
    let code = params.choice("code_type", &codes, Code::Corner)?;
    let encoded = params.flag("variance_encoded_in_target", false)?;
    let classes = params.required_size("num_classes")?;
    let op = DetectionOutput {
        background_label_id: params.int("background_label_id", 0)?,
        top_k: nms.int("top_k", -1)?,
        variance_encoded_in_target: encoded && code != Code::CornerSize,
        keep_top_k: vec![params.int("keep_top_k", -1)?],
        code_type: if code == Code::CenterSize { BoxCode::CenterSize } else { BoxCode::Corner },
        share_location: params.flag("share_location", true)?,
        nms_threshold: nms.float("nms_threshold", 0.3)? as f32,
        confidence_threshold: params.float("confidence_threshold", f64::from(f32::MIN))? as f32,
        clip_after_nms: params.flag("clip_after_nms", false)?,
        clip_before_nms: params.flag("clip_before_nms", false)?,
        normalized: params.flag("normalized_bbox", true)?,
        input_height: params.int("input_height", 1)?,
        input_width: params.int("input_width", 1)?,
        objectness_score: params.float("objectness_score", 0.0)? as f32,
        ..DetectionOutput::default()
    };
    let mut inputs = s.inputs.clone();
    for i in (0..inputs.len()).filter(|i| *i != 2) {
        if s.rank(inputs[i])? != 2 {
            inputs[i] = s.reshaped(&format!("flat_{i}"), inputs[i], &[0, -1])?;
        }
    }
    let boxes = s.dims(inputs[2])?.get(2).copied().flatten().map(|numbers| numbers / op.prior_size());
    let confidences = s.dims(inputs[1])?[1];
    if let (Some(boxes), Some(confidences)) = (boxes, confidences)
        && boxes.checked_mul(classes) != Some(confidences)
    {
        return malformed(format!(
            "it has {confidences} confidences for {boxes} prior boxes, expected {classes} (`num_classes`) of each"
        ));
    }
    if code == Code::CornerSize {
        if !op.normalized {
            return refuse("its code is CORNER_SIZE, and prior boxes are in pixels");
        }
        inputs[2] = scaled_variances(s, inputs[2], encoded)?;
    } else if encoded {
        inputs[2] = rows(s, "corners", inputs[2], 0)?;
    }
    s.one(op, &inputs)
}

/// Row `row` of priors `[N,2,P]`: corners or variances.
fn rows(s: &mut Scope, suffix: &str, priors: Port, row: i64) -> Result<Port, Problem> {
    let bounds = [row, row + 1, 1, 1].map(|value| [value]);
    let bounds: Vec<Port> = bounds.iter().map(|value| s.i64s(&format!("{suffix}/bounds"), value)).collect();
    s.add(suffix, Slice, &[&[priors], &bounds[..]].concat())
}

/// Priors whose variances are multiplied by their sides: what moves corners by multiples of sides.
fn scaled_variances(s: &mut Scope, priors: Port, encoded: bool) -> Result<Port, Problem> {
    let corners = rows(s, "corners", priors, 0)?;
    let boxes = s.reshaped("each", corners, &[0, -1, 4])?;
    let half = |s: &mut Scope, suffix: &str, from: i64| {
        let bounds = [from, from + 2, 1, 2].map(|value| [value]);
        let bounds: Vec<Port> =
            bounds.iter().map(|value| s.i64s(&format!("{suffix}/bounds"), value)).collect();
        s.add(suffix, Slice, &[&[boxes], &bounds[..]].concat())
    };
    let (low, high) = (half(s, "low", 0)?, half(s, "high", 2)?);
    let sides = s.binary("sides", BinaryKind::Subtract, high, low)?;
    let both = s.add("sides_twice", Concat { axis: 2 }, &[sides, sides])?;
    let mut variances = s.reshaped("sides_flat", both, &[0, 1, -1])?;
    if !encoded {
        let own = rows(s, "variances", priors, 1)?;
        variances = s.binary("scaled", BinaryKind::Multiply, variances, own)?;
    }
    s.add("priors", Concat { axis: 1 }, &[corners, variances])
}
