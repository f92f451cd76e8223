//! Average precision by the rules of Pascal VOC 2007 (the development kit's `VOCevaldet`): eleven points of recall,
//! objects marked difficult count neither for nor against.

/// Detections count when they overlap with an object by this share.
const OVERLAP: f64 = 0.5;

/// An object of the class that is looked at, in pixels: left, top, right, bottom.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Truth {
    pub(super) corners: [f64; 4],
    pub(super) difficult: bool,
}

/// A detection of that class.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Found {
    pub(super) image: usize,
    pub(super) confidence: f32,
    /// In pixels: left, top, right, bottom.
    pub(super) corners: [f64; 4],
}

/// The average precision of one class; `truths` has the objects image by image. None where there are none to find.
pub(super) fn average_precision(truths: &[Vec<Truth>], mut found: Vec<Found>) -> Option<f64> {
    let all = truths.iter().flatten().filter(|truth| !truth.difficult).count();
    if all == 0 {
        return None;
    }
    // A stable sort: equals stay in the order of the images.
    found.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    let mut taken: Vec<Vec<bool>> = truths.iter().map(|truths| vec![false; truths.len()]).collect();
    let (mut right, mut wrong) = (0, 0);
    // After every detection: how many were right, and their share of those until then.
    let mut curve = Vec::new();
    for one in &found {
        let best = truths[one.image]
            .iter()
            .map(|truth| overlap(&truth.corners, &one.corners))
            .enumerate()
            .fold(None, |best: Option<(usize, f64)>, (i, overlap)| match best {
                Some((_, most)) if most >= overlap => best,
                _ => Some((i, overlap)),
            });
        match best.filter(|(_, overlap)| *overlap >= OVERLAP) {
            Some((i, _)) if truths[one.image][i].difficult => {}
            Some((i, _)) if !std::mem::replace(&mut taken[one.image][i], true) => right += 1,
            _ => wrong += 1,
        }
        if right + wrong > 0 {
            curve.push((right, right as f64 / (right + wrong) as f64));
        }
    }
    let at_recall = |tenths: usize| {
        let reached = curve.iter().filter(|(right, _)| 10 * right >= tenths * all);
        reached.map(|(_, precision)| *precision).fold(0.0, f64::max)
    };
    Some((0..=10).map(at_recall).sum::<f64>() / 11.0)
}

/// The share of both boxes that they have in common. Corners are pixels that belong to their box, so a box is one
/// wider than their difference.
fn overlap(a: &[f64; 4], b: &[f64; 4]) -> f64 {
    let side = |axis: usize| (a[axis + 2].min(b[axis + 2]) - a[axis].max(b[axis]) + 1.0).max(0.0);
    let area = |c: &[f64; 4]| (c[2] - c[0] + 1.0) * (c[3] - c[1] + 1.0);
    let both = side(0) * side(1);
    both / (area(a) + area(b) - both)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth(corners: [f64; 4]) -> Truth {
        Truth { corners, difficult: false }
    }

    fn found(image: usize, confidence: f32, corners: [f64; 4]) -> Found {
        Found { image, confidence, corners }
    }

    const A: [f64; 4] = [0.0, 0.0, 9.0, 9.0];
    const B: [f64; 4] = [20.0, 20.0, 29.0, 29.0];

    #[test]
    fn precision_is_read_at_eleven_recalls() {
        let truths = [vec![truth(A), truth(B)], vec![truth(A)]];
        // Right, wrong, right: precision 1 up to a recall of 1/3, 2/3 up to 2/3, and nothing beyond.
        let three = vec![found(0, 0.9, A), found(1, 0.8, B), found(1, 0.7, A)];
        let ap = average_precision(&truths, three.clone()).unwrap();
        assert!((ap - (4.0 + 3.0 * 2.0 / 3.0) / 11.0).abs() < 1e-12, "{ap}");
        // A second box on the same object is wrong.
        let again = vec![found(0, 0.9, A), found(0, 0.8, A)];
        assert!((average_precision(&truths[..1], again).unwrap() - 6.0 / 11.0).abs() < 1e-12);
        assert_eq!(average_precision(&[vec![]], vec![found(0, 0.9, A)]), None);
    }

    #[test]
    fn difficult_objects_count_for_nothing() {
        let difficult = Truth { difficult: true, ..truth(B) };
        let truths = [vec![truth(A), difficult.clone()]];
        let ap = average_precision(&truths, vec![found(0, 0.9, B), found(0, 0.8, B), found(0, 0.7, A)]);
        assert_eq!(ap, Some(1.0));
        assert_eq!(average_precision(&[vec![difficult]], vec![]), None);
    }

    #[test]
    fn corners_belong_to_their_boxes() {
        // 10x10 and 10x5 pixels: exactly half.
        assert_eq!(overlap(&A, &[0.0, 0.0, 9.0, 4.0]), 0.5);
        assert_eq!(overlap(&A, &B), 0.0);
    }
}
