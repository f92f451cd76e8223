//! Resizing.

use super::layout::Channels;
use crate::scope::{Converted, Problem, Scope, refuse};
use ir::{
    ElementType, Port,
    op::{CoordinateTransformation, Interpolate, InterpolateForm, InterpolateMode, NearestMode},
};

/// Images, size. The result is single precision, whatever the images are.
pub(super) fn bilinear(s: &mut Scope) -> Converted {
    let [images, _] = s.exactly()?;
    let (corners, half) = flags(s)?;
    let images = s.converted("images", images, ElementType::F32)?;
    let mut op = Interpolate::new(InterpolateForm::SizesOrScales);
    op.mode = InterpolateMode::LinearOnnx;
    op.coordinate_transformation_mode = match (corners, half) {
        (true, _) => CoordinateTransformation::AlignCorners,
        (_, true) => CoordinateTransformation::HalfPixel,
        _ => CoordinateTransformation::Asymmetric,
    };
    resized(s, op, images)
}

/// Images, size.
pub(super) fn nearest(s: &mut Scope) -> Converted {
    let [images, _] = s.exactly()?;
    let (corners, half) = flags(s)?;
    let mut op = Interpolate::new(InterpolateForm::SizesOrScales);
    op.mode = InterpolateMode::Nearest;
    (op.coordinate_transformation_mode, op.nearest_mode) = match (corners, half) {
        (true, _) => (CoordinateTransformation::AlignCorners, NearestMode::RoundPreferCeil),
        (_, true) => (CoordinateTransformation::TfHalfPixelForNn, NearestMode::Floor),
        _ => (CoordinateTransformation::Asymmetric, NearestMode::Floor),
    };
    resized(s, op, images)
}

fn flags(s: &mut Scope) -> Result<(bool, bool), Problem> {
    let flags = (s.bool("align_corners", false)?, s.bool("half_pixel_centers", false)?);
    if flags == (true, true) { refuse("aligned corners with half-pixel centres") } else { Ok(flags) }
}

fn resized(s: &mut Scope, op: Interpolate, images: Port) -> Converted {
    let size = s.input(1)?;
    let images = Channels::Last.second(s, images, 4)?;
    let axes = s.i64s("axes", &[2, 3]);
    let result = s.emit(op, &[images, size, axes])?;
    Ok(vec![Channels::Last.restored(s, result, 4)?])
}
