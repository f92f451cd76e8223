//! Boxes: their overlaps, the best of those that overlap, and what lies under them.

use super::OpError;
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
        if !kept.iter().any(|k| overlap(&boxes[candidate], &boxes[*k], border) > threshold) {
            kept.push(candidate);
        }
    }
    kept
}

/// Elements in the precision in which boxes are compared.
pub(crate) fn singles(tensor: &Tensor) -> Vec<f32> {
    tensor.to_f64s().into_iter().map(|v| v as f32).collect()
}

/// Feature maps.
pub(crate) struct Maps {
    elements: Vec<f32>,
    images: usize,
    pub(crate) channels: usize,
    /// Height and width.
    pub(crate) sizes: [usize; 2],
}

impl Maps {
    pub(crate) fn new(tensor: &Tensor) -> Self {
        let shape = tensor.shape();
        Self { elements: singles(tensor), images: shape[0], channels: shape[1], sizes: [shape[2], shape[3]] }
    }

    /// An image that a region names.
    pub(crate) fn image(&self, number: i64) -> Result<usize, OpError> {
        let image = usize::try_from(number).ok().filter(|image| *image < self.images);
        image.ok_or_else(|| {
            OpError::value(format!("a region is of image {number}, of {} images", self.images))
        })
    }

    /// An image that a region names by a number among its own.
    pub(crate) fn image_of(&self, number: f32) -> Result<usize, OpError> {
        self.image(if number.is_nan() { -1 } else { number as i64 })
    }

    pub(crate) fn map(&self, image: usize, channel: usize) -> &[f32] {
        let area = self.sizes[0] * self.sizes[1];
        &self.elements[(image * self.channels + channel) * area..][..area]
    }

    /// The element between those of a map; `None` outside.
    pub(crate) fn interpolated(&self, map: &[f32], [y, x]: [f32; 2]) -> Option<f32> {
        let (last_row, last_column) = (self.sizes[0].checked_sub(1)?, self.sizes[1].checked_sub(1)?);
        if !((0.0..=last_row as f32).contains(&y) && (0.0..=last_column as f32).contains(&x)) {
            return None;
        }
        let (top, left) = (y.floor() as usize, x.floor() as usize);
        let (bottom, right) = ((y.ceil() as usize).min(last_row), (x.ceil() as usize).min(last_column));
        let (down, across) = (y - top as f32, x - left as f32);
        let row = |row: usize| {
            let (a, b) = (map[row * self.sizes[1] + left], map[row * self.sizes[1] + right]);
            a + (b - a) * across
        };
        Some(row(top) + (row(bottom) - row(top)) * down)
    }

    /// The same, where elements reach one further; 0 beyond.
    pub(crate) fn sampled(&self, map: &[f32], place: [f32; 2]) -> f32 {
        let reach = |k: usize| (-1.0..=self.sizes[k] as f32).contains(&place[k]);
        if !reach(0) || !reach(1) {
            return 0.0;
        }
        let inner = [0, 1].map(|k| place[k].max(0.0).min(self.sizes[k] as f32 - 1.0));
        self.interpolated(map, inner).unwrap_or(0.0)
    }
}
