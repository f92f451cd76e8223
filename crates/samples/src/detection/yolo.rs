//! The answers of YOLO networks.

use super::Detection;
use anyhow::{Context, Result, ensure};
use ir::{Model, Op, op::RegionYolo};
use runtime::PortInfo;

/// Detections below are left out, as Darknet leaves them out when it validates.
const LEAST: f32 = 0.005;
/// Of two boxes of a class that overlap by more than this share, the surer one stays.
const OVERLAP: f32 = 0.45;
/// Boxes of a cell in version 1.
const BOXES: usize = 2;

/// Version 1: the classes of every cell, then the confidences of its boxes, then their places.
#[derive(PartialEq, Debug)]
pub struct Grid {
    side: usize,
    classes: usize,
}

impl Grid {
    /// The grid that an output of known size holds.
    pub(super) fn new(port: &PortInfo, classes: usize) -> Result<Self> {
        let dims = port.ty.shape.dims().and_then(|dims| dims.get(1..)).unwrap_or_default();
        let sizes: Option<Vec<usize>> = dims.iter().map(|dim| dim.size()).collect();
        let each = sizes.and_then(|sizes| ir::element_count(&sizes));
        let each = each.with_context(|| format!("output `{}` has no fixed size", port.name()))?;
        let side = (1..=64).find(|side| side * side * (classes + BOXES * 5) == each).with_context(|| {
            format!(
                "output `{}` is {}: no square grid of cells with {classes} classes and {BOXES} boxes has that \
                 size, and it comes from no RegionYolo; are these the classes (-ODc) of this network?",
                port.name(),
                port.ty
            )
        })?;
        Ok(Self { side, classes })
    }

    pub(super) fn decode(&self, values: &[f32]) -> Vec<Detection> {
        let Self { side, classes } = *self;
        let cells = side * side;
        let mut found = Vec::new();
        for (image, values) in values.chunks_exact(cells * (classes + BOXES * 5)).enumerate() {
            let (probabilities, rest) = values.split_at(cells * classes);
            let (confidences, places) = rest.split_at(cells * BOXES);
            for (at, place) in places.chunks_exact(4).enumerate() {
                let cell = at / BOXES;
                let centre = [(cell % side) as f32 + place[0], (cell / side) as f32 + place[1]];
                // Networks learn the square roots of width and height.
                let size = [place[2] * place[2], place[3] * place[3]];
                let corners = corners(centre.map(|c| c / side as f32), size);
                let classes = &probabilities[cell * classes..][..classes];
                found.extend(of_classes(image, confidences[at], classes.iter().copied(), corners));
            }
        }
        suppressed(found)
    }
}

/// An output of RegionYolo: a grid of cells with boxes relative to anchors.
#[derive(PartialEq, Debug)]
pub struct Region {
    classes: usize,
    height: usize,
    width: usize,
    /// The anchors' widths and heights, as shares of the image.
    anchors: Vec<[f32; 2]>,
}

impl Region {
    /// The outputs of a model that come from RegionYolo.
    pub(super) fn find(model: &Model, input: (usize, usize)) -> Result<Vec<(usize, Self)>> {
        let mut found = Vec::new();
        for (i, id) in model.results().iter().enumerate() {
            let node = model.node(model.node(*id).inputs()[0].node);
            let Op::RegionYolo(op) = &node.op else { continue };
            let shape = &model.ty(node.inputs()[0]).shape;
            let sizes = shape.sizes().filter(|sizes| sizes.len() == 4);
            let sizes =
                sizes.with_context(|| format!("`{}` takes {shape}: its grid must be known", node.name))?;
            let region = Self::new(op, sizes[2], sizes[3], input);
            found.push((i, region.with_context(|| format!("`{}`", node.name))?));
        }
        Ok(found)
    }

    fn new(op: &RegionYolo, height: usize, width: usize, input: (usize, usize)) -> Result<Self> {
        ensure!(op.coords == 4, "boxes of {} numbers; 4 are known", op.coords);
        let pair = |i: usize| -> Result<[f32; 2]> {
            let pair = op.anchors.get(2 * i..2 * i + 2);
            let pair =
                pair.with_context(|| format!("{} anchors, and box {i} needs two", op.anchors.len()))?;
            Ok([pair[0], pair[1]])
        };
        // Version 2 counts anchors in cells, version 3 in pixels of the input.
        let (numbers, unit) = if op.do_softmax {
            ((0..op.num).collect::<Vec<_>>(), (width, height))
        } else {
            let of = |i: &i64| usize::try_from(*i).with_context(|| format!("the mask holds {i}"));
            (op.mask.iter().map(of).collect::<Result<Vec<_>>>()?, input)
        };
        let share = |[w, h]: [f32; 2]| [w / unit.0 as f32, h / unit.1 as f32];
        let anchors = numbers.into_iter().map(|i| Ok(share(pair(i)?))).collect::<Result<_>>()?;
        Ok(Self { classes: op.classes, height, width, anchors })
    }

    pub(super) fn decode(&self, values: &[f32]) -> Result<Vec<Detection>> {
        let Self { classes, height, width, ref anchors } = *self;
        let (cells, planes) = (height * width, 5 + classes);
        let each = cells * planes * anchors.len();
        ensure!(
            each > 0 && values.len().is_multiple_of(each),
            "RegionYolo gave {} numbers; {} boxes on {height}x{width} cells with {classes} classes have {each}",
            values.len(),
            anchors.len()
        );
        let mut found = Vec::new();
        for (image, values) in values.chunks_exact(each).enumerate() {
            for (values, anchor) in values.chunks_exact(planes * cells).zip(anchors) {
                for cell in 0..cells {
                    let at = |plane: usize| values[plane * cells + cell];
                    if at(4) < LEAST {
                        continue;
                    }
                    let centre = [
                        ((cell % width) as f32 + at(0)) / width as f32,
                        ((cell / width) as f32 + at(1)) / height as f32,
                    ];
                    let corners = corners(centre, [at(2).exp() * anchor[0], at(3).exp() * anchor[1]]);
                    found.extend(of_classes(image, at(4), (0..classes).map(|c| at(5 + c)), corners));
                }
            }
        }
        Ok(found)
    }
}

fn corners([x, y]: [f32; 2], [width, height]: [f32; 2]) -> [f32; 4] {
    [x - width / 2.0, y - height / 2.0, x + width / 2.0, y + height / 2.0]
}

/// A box once for every class that it may hold.
fn of_classes(
    image: usize,
    objectness: f32,
    classes: impl Iterator<Item = f32>,
    corners: [f32; 4],
) -> impl Iterator<Item = Detection> {
    classes.enumerate().filter_map(move |(class, probability)| {
        let confidence = objectness * probability;
        (confidence >= LEAST).then_some(Detection { image, class, confidence, corners })
    })
}

/// Leaves out what overlaps with a surer box of the same class, in the same image. The surest come first.
pub(super) fn suppressed(mut found: Vec<Detection>) -> Vec<Detection> {
    found.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    let mut kept: Vec<Detection> = Vec::new();
    for one in found {
        let same = |other: &&Detection| (other.image, other.class) == (one.image, one.class);
        if kept.iter().filter(same).all(|other| overlap(&one.corners, &other.corners) <= OVERLAP) {
            kept.push(one);
        }
    }
    kept
}

fn overlap(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    let side = |axis: usize| (a[axis + 2].min(b[axis + 2]) - a[axis].max(b[axis])).max(0.0);
    let area = |c: &[f32; 4]| (c[2] - c[0]) * (c[3] - c[1]);
    let both = side(0) * side(1);
    let either = area(a) + area(b) - both;
    if either > 0.0 { both / either } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: &Detection, class: usize, confidence: f32, corners: [f32; 4]) -> bool {
        let far = found.corners.iter().zip(corners).any(|(a, b)| (a - b).abs() > 1e-6);
        found.class == class && (found.confidence - confidence).abs() < 1e-6 && !far
    }

    #[test]
    fn version_1_has_grids_of_cells() {
        let grid = Grid { side: 2, classes: 3 };
        let mut values = vec![0.0; 4 * (3 + 2 * 5)];
        // Cell (x 1, y 0), its second box: half of the image wide, a quarter high.
        values[3..6].copy_from_slice(&[0.1, 0.8, 0.0]);
        values[12 + 3] = 0.5;
        values[20 + 3 * 4..][..4].copy_from_slice(&[0.5, 0.25, 0.5f32.sqrt(), 0.5]);
        let found = grid.decode(&values);
        assert_eq!(found.len(), 2);
        let corners = [0.5, 0.0, 1.0, 0.25];
        assert!(near(&found[0], 1, 0.4, corners) && near(&found[1], 0, 0.05, corners), "{found:?}");
    }

    #[test]
    fn regions_take_anchors_in_cells_or_pixels() {
        let softmax = RegionYolo {
            anchors: vec![1.0, 2.0, 4.0, 1.0],
            classes: 2,
            num: 2,
            do_softmax: true,
            ..RegionYolo::default()
        };
        let region = Region::new(&softmax, 2, 4, (64, 32)).unwrap();
        assert_eq!(region.anchors, [[0.25, 1.0], [1.0, 0.5]]);
        let mut values = vec![0.0; 2 * 7 * 8];
        // The second box of cell (x 3, y 1): x, y, w, h, objectness, two classes.
        for (plane, value) in [0.5, 0.5, 0.0, 0.5f32.ln(), 0.9, 0.2, 0.8].into_iter().enumerate() {
            values[(7 + plane) * 8 + 7] = value;
        }
        let found = suppressed(region.decode(&values).unwrap());
        let corners = [0.375, 0.625, 1.375, 0.875];
        assert!(near(&found[0], 1, 0.72, corners) && near(&found[1], 0, 0.18, corners), "{found:?}");
        assert!(region.decode(&values[1..]).is_err());

        let sigmoid = RegionYolo { do_softmax: false, mask: vec![1], ..softmax.clone() };
        assert_eq!(Region::new(&sigmoid, 2, 4, (64, 32)).unwrap().anchors, [[0.0625, 0.03125]]);
        let missing = RegionYolo { mask: vec![2], ..sigmoid };
        assert!(Region::new(&missing, 2, 4, (64, 32)).is_err());
    }

    #[test]
    fn the_surest_of_overlapping_boxes_stays() {
        let one = Detection { image: 0, class: 1, confidence: 0.5, corners: [0.0, 0.0, 0.5, 0.5] };
        let found = suppressed(vec![
            one,
            Detection { confidence: 0.9, corners: [0.0, 0.0, 0.5, 0.45], ..one },
            Detection { class: 2, ..one },
            Detection { image: 1, ..one },
            Detection { confidence: 0.4, corners: [0.5, 0.5, 1.0, 1.0], ..one },
        ]);
        let kept: Vec<f32> = found.iter().map(|d| d.confidence).collect();
        assert_eq!(kept, [0.9, 0.5, 0.5, 0.4]);
    }
}
