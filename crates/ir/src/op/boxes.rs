//! Boxes: their overlaps, and the best of those that overlap.

use crate::Tensor;

/// Left, top, right, bottom.
pub(crate) type Corners = [f32; 4];

/// The area that two boxes share, divided by the area that they cover; 0 where they share none. Sides are by
/// `border` longer than the corners are apart: 1 when corners are pixels that belong to the box.
pub(crate) fn overlap(a: &Corners, b: &Corners, border: f32) -> f32 {
    let (left, top) = (a[0].max(b[0]), a[1].max(b[1]));
    let (right, bottom) = (a[2].min(b[2]), a[3].min(b[3]));
    if right < left || bottom < top {
        return 0.0;
    }
    let shared = (right - left + border) * (bottom - top + border);
    if shared > 0.0 { shared / (area(a, border) + area(b, border) - shared) } else { 0.0 }
}

fn area(a: &Corners, border: f32) -> f32 {
    if a[2] < a[0] || a[3] < a[1] {
        return 0.0;
    }
    (a[2] - a[0] + border) * (a[3] - a[1] + border)
}

/// Of `candidates`, the best first, those that overlap none kept before them by more than `threshold`; at most
/// `most`.
pub(crate) fn suppress(
    boxes: &[Corners],
    candidates: impl IntoIterator<Item = usize>,
    threshold: f32,
    border: f32,
    most: usize,
) -> Vec<usize> {
    let mut kept: Vec<usize> = Vec::new();
    for candidate in candidates {
        if kept.len() >= most {
            break;
        }
        if kept.iter().all(|k| overlap(&boxes[candidate], &boxes[*k], border) <= threshold) {
            kept.push(candidate);
        }
    }
    kept
}

/// Elements in the precision in which boxes are compared.
pub(crate) fn singles(tensor: &Tensor) -> Vec<f32> {
    tensor.to_f64s().into_iter().map(|v| v as f32).collect()
}
