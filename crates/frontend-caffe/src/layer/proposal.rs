//! What two-stage detectors are made of: proposals and pooled regions.

use crate::scope::{Converted, Params, Problem, Scope, malformed, refuse};
use ir::op::{Proposal, PsRoiMode, PsRoiPooling, RoiMethod, RoiPooling};

/// Emits the op on scores, changes and the image; its scores where a top asks for them.
fn proposal_of(s: &mut Scope, op: Proposal) -> Converted {
    let [scores, changes, image] = s.exactly()?;
    let count = |list: &[f32]| list.len();
    let anchors = count(&op.ratio) * count(&op.scale);
    if let Some(channels) = s.dims(changes)?.get(1).copied().flatten()
        && channels != 4 * anchors
    {
        return malformed(format!(
            "it has {anchors} anchors and {channels} changes in each place, expected 4 of each"
        ));
    }
    let image = s.reshaped("image", image, &[-1])?;
    let outputs = s.several(op, &[scores, changes, image])?;
    match s.layer.tops.len() {
        tops if tops <= outputs.len() => Ok(outputs[..tops].to_vec()),
        tops => malformed(format!("it has {tops} tops, expected regions and perhaps their scores")),
    }
}

/// Numbers under `name`; where there are none, `default`.
fn floats_or(params: &Params, name: &str, default: &[f32]) -> Result<Vec<f32>, Problem> {
    let given: Vec<f32> = params.floats(name)?.into_iter().map(|value| value as f32).collect();
    Ok(if given.is_empty() { default.to_vec() } else { given })
}

const RATIOS: [f32; 3] = [0.5, 1.0, 2.0];
const SCALES: [f32; 3] = [8.0, 16.0, 32.0];

pub(super) fn proposal(s: &mut Scope) -> Converted {
    let params = s.params("proposal_param");
    let op = Proposal {
        base_size: params.size("base_size", 16)?,
        pre_nms_topn: params.size("pre_nms_topn", 6000)?,
        post_nms_topn: params.size("post_nms_topn", 300)?,
        nms_thresh: params.float("nms_thresh", 0.7)? as f32,
        feat_stride: params.size("feat_stride", 16)?,
        min_size: params.size("min_size", 16)?,
        ratio: floats_or(&params, "ratio", &RATIOS)?,
        scale: floats_or(&params, "scale", &SCALES)?,
        ..Proposal::default()
    };
    proposal_of(s, op)
}

pub(super) fn simpler_nms(s: &mut Scope) -> Converted {
    let params = s.params("simpler_nms_param");
    // Every proposal whose score is above it is taken there; the best of all are taken here.
    params.ignore(&["cls_threshold", "max_num_proposals"]);
    let op = Proposal {
        base_size: 16,
        pre_nms_topn: params.size("pre_nms_topn", 6000)?,
        post_nms_topn: params.size("post_nms_topn", 150)?,
        nms_thresh: params.float("iou_threshold", 0.7)? as f32,
        feat_stride: params.size("feat_stride", 16)?,
        min_size: params.size("min_bbox_size", 16)?,
        ratio: RATIOS.to_vec(),
        scale: floats_or(&params, "scale", &SCALES)?,
        ..Proposal::default()
    };
    proposal_of(s, op)
}

/// Layers in Python: the proposals of Faster R-CNN alone are known.
pub(super) fn python(s: &mut Scope) -> Converted {
    let params = s.params("python_param");
    params.ignore(&["module", "share_in_parallel"]);
    let layer = params.text("layer")?.unwrap_or_default();
    let text = params.text("param_str")?.unwrap_or_default();
    if layer != "ProposalLayer" {
        return refuse(format!("its code is the Python class '{layer}'; ProposalLayer alone is known"));
    }
    let mut op = Proposal {
        ratio: RATIOS.to_vec(),
        scale: SCALES.to_vec(),
        // What Faster R-CNN's own configuration says for tests.
        ..Proposal::default()
    };
    for (name, numbers) in python_numbers(text)? {
        let single = || match numbers[..] {
            [number] if number >= 0.0 && number.fract() == 0.0 => Ok(number as usize),
            _ => malformed(format!("`{name}` in `param_str` is {numbers:?}, expected a whole number")),
        };
        let list = || numbers.iter().map(|number| *number as f32).collect();
        match name.as_str() {
            "feat_stride" => op.feat_stride = single()?,
            "base_size" => op.base_size = single()?,
            "min_size" => op.min_size = single()?,
            "pre_nms_topn" => op.pre_nms_topn = single()?,
            "post_nms_topn" => op.post_nms_topn = single()?,
            "scales" => op.scale = list(),
            "ratios" => op.ratio = list(),
            _ => return refuse(format!("`{name}` in its `param_str` is not known")),
        }
    }
    proposal_of(s, op)
}

/// The numbers under each name of a Python or YAML mapping: `'feat_stride': 16, 'scales': [8, 16]`.
fn python_numbers(text: &str) -> Result<Vec<(String, Vec<f64>)>, Problem> {
    let wrong = || Problem::Malformed(format!("`param_str` is `{text}`, expected names and numbers"));
    let mut entries = Vec::new();
    let mut rest = text.trim().trim_matches(['{', '}']).trim();
    while !rest.is_empty() {
        let (name, behind) = rest.split_once(':').ok_or_else(wrong)?;
        let behind = behind.trim_start();
        let opened = behind.starts_with(['[', '(']);
        let end = behind.find(if opened { &[']', ')'][..] } else { &[',', '\n'][..] });
        let (value, after) = behind.split_at(end.unwrap_or(behind.len()));
        let numbers =
            value.trim_matches(['[', '(']).split(',').map(str::trim).filter(|part| !part.is_empty());
        let numbers: Option<Vec<f64>> = numbers.map(|part| part.parse().ok()).collect();
        entries.push((name.trim().trim_matches(['\'', '"']).to_owned(), numbers.ok_or_else(wrong)?));
        rest = after.trim_start_matches([']', ')', ',', '\n', ' ', '\r', '\t']);
    }
    Ok(entries)
}

pub(super) fn roi_pooling(s: &mut Scope) -> Converted {
    let [maps, regions] = s.exactly()?;
    let params = s.params("roi_pooling_param");
    let op = RoiPooling {
        pooled_h: params.required_size("pooled_h")?,
        pooled_w: params.required_size("pooled_w")?,
        spatial_scale: params.float("spatial_scale", 1.0)? as f32,
        method: RoiMethod::Max,
    };
    let regions = rows_of_five(s, regions)?;
    s.one(op, &[maps, regions])
}

pub(super) fn psroi_pooling(s: &mut Scope) -> Converted {
    let [maps, regions] = s.exactly()?;
    let params = s.params("psroi_pooling_param");
    let Some(spatial_scale) = params.maybe_float("spatial_scale")? else {
        return malformed("`psroi_pooling_param.spatial_scale` is missing");
    };
    let op = PsRoiPooling {
        output_dim: params.required_size("output_dim")?,
        group_size: params.required_size("group_size")?,
        spatial_scale: spatial_scale as f32,
        mode: PsRoiMode::Average,
        ..PsRoiPooling::default()
    };
    let regions = rows_of_five(s, regions)?;
    s.one(op, &[maps, regions])
}

/// Regions as a matrix: old networks have them as `[R,5,1,1]`.
fn rows_of_five(s: &mut Scope, regions: ir::Port) -> Result<ir::Port, Problem> {
    if s.rank(regions)? == 2 {
        return Ok(regions);
    }
    s.reshaped("regions", regions, &[-1, 5])
}

#[cfg(test)]
mod tests {
    use super::python_numbers;

    #[test]
    fn mappings_of_python_and_yaml() {
        let stride = ("feat_stride".to_owned(), vec![16.0]);
        for text in ["'feat_stride': 16", "{\"feat_stride\": 16}", "feat_stride: 16\n"] {
            assert_eq!(python_numbers(text).unwrap(), std::slice::from_ref(&stride), "{text}");
        }
        let both = python_numbers("'scales': [8, 16.5], 'feat_stride': 16").unwrap();
        assert_eq!(both, [("scales".to_owned(), vec![8.0, 16.5]), stride.clone()]);
        assert_eq!(python_numbers("feat_stride: 16\nratios: (1,)\n").unwrap()[1].1, [1.0]);
        assert!(python_numbers("").unwrap().is_empty());
        for bad in ["16", "'a': b", "a: [1, x]"] {
            assert!(python_numbers(bad).is_err(), "{bad}");
        }
    }
}
