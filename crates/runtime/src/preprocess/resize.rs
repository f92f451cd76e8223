//! Images of another size.

use super::{Crop, chain::Chain};
use crate::error::Result;
use ir::{
    ElementType, Tensor,
    op::{
        Binary, BinaryKind, Convert, CoordinateTransformation, CumSum, Gather, Interpolate, InterpolateForm,
        InterpolateMode, NearestMode, Pad, ShapeOf, Slice,
    },
};

/// How an image gets another size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResizeAlgorithm {
    /// The pixel whose corner is nearest, as OpenCV's `INTER_NEAREST`.
    Nearest,
    /// Linear between the centres of pixels along both axes, as OpenCV's `INTER_LINEAR`.
    Linear,
    /// The mean over the area of a pixel of the answer, as OpenCV's `INTER_AREA`. Only to a smaller size.
    Area,
}

/// Resizes `axes` to `sizes`.
pub(super) fn resize(
    chain: &mut Chain,
    algorithm: ResizeAlgorithm,
    axes: [usize; 2],
    sizes: [usize; 2],
) -> Result<()> {
    if chain.ty().shape.dims().is_some_and(|dims| (0..2).all(|i| dims[axes[i]].size() == Some(sizes[i]))) {
        return Ok(());
    }
    match algorithm {
        ResizeAlgorithm::Nearest => {
            let op = Interpolate {
                coordinate_transformation_mode: CoordinateTransformation::Asymmetric,
                nearest_mode: NearestMode::Floor,
                ..Interpolate::new(InterpolateForm::SizesOrScales)
            };
            interpolate(chain, op, &axes, &sizes)
        }
        ResizeAlgorithm::Linear => {
            let op = Interpolate {
                mode: InterpolateMode::LinearOnnx,
                coordinate_transformation_mode: CoordinateTransformation::HalfPixel,
                ..Interpolate::new(InterpolateForm::SizesOrScales)
            };
            interpolate(chain, op, &axes, &sizes)
        }
        ResizeAlgorithm::Area => {
            for (axis, size) in axes.into_iter().zip(sizes) {
                average(chain, axis, size)?;
            }
            Ok(())
        }
    }
}

fn interpolate(chain: &mut Chain, op: Interpolate, axes: &[usize], sizes: &[usize]) -> Result<()> {
    let integers = |values: &[usize]| values.iter().map(|v| *v as i64).collect::<Vec<_>>();
    let sizes = chain.integers("resize/sizes", &integers(sizes));
    let axes = chain.integers("resize/axes", &integers(axes));
    chain.then(op, &[sizes, axes])
}

/// Averages over `size` equal parts of an axis. The sum from the beginning to any place between two elements is linear
/// between the sums up to both; the sum over a part is the difference of those to its ends.
fn average(chain: &mut Chain, axis: usize, size: usize) -> Result<()> {
    let dim = chain.ty().shape.dims().expect("the caller found the axis")[axis];
    if dim.size() == Some(size) {
        return Ok(());
    }
    if dim.max() < size as i64 {
        return Err(
            chain.fail(format!("area averaging makes images smaller; {dim} pixels do not become {size}"))
        );
    }
    let rank = chain.ty().shape.rank().expect("the caller found the axis");
    // The length of a part.
    let shape = chain.beside(ShapeOf::default(), &[chain.at])?;
    let index = chain.integers("area/axis", &[axis as i64]);
    let zero = chain.constant("area/zero", Tensor::scalar(0i64));
    let length = chain.beside(Gather::default(), &[shape, index, zero])?;
    let length = chain.beside(Convert::to(ElementType::F32), &[length])?;
    let parts = chain.constant("area/parts", Tensor::scalar(size as f32));
    let length = chain.beside(Binary::new(BinaryKind::Divide), &[length, parts])?;

    let mut begin = vec![0; rank];
    begin[axis] = 1;
    let begin = chain.integers("area/begin", &begin);
    let end = chain.integers("area/end", &vec![0; rank]);
    chain.then(Pad::default(), &[begin, end])?;
    let along = chain.constant("area/along", Tensor::scalar(axis as i64));
    chain.then(CumSum::default(), &[along])?;
    let ends = Interpolate {
        mode: InterpolateMode::LinearOnnx,
        coordinate_transformation_mode: CoordinateTransformation::AlignCorners,
        ..Interpolate::new(InterpolateForm::SizesOrScales)
    };
    interpolate(chain, ends, &[axis], &[size + 1])?;
    let sums = chain.at;
    let mut bounds = |from: i64, to: i64| -> Result<_> {
        let bounds = [from, to, 1].map(|bound| chain.integers("area/bounds", &[bound]));
        chain.beside(Slice, &[sums, bounds[0], bounds[1], bounds[2], index])
    };
    let (from, to) = (bounds(0, size as i64)?, bounds(1, size as i64 + 1)?);
    chain.at = chain.beside(Binary::new(BinaryKind::Subtract), &[to, from])?;
    chain.then(Binary::new(BinaryKind::Divide), &[length])
}

/// Cuts a rectangle out of `axes`.
pub(super) fn crop(chain: &mut Chain, crop: Crop, axes: [usize; 2]) -> Result<()> {
    let starts = [crop.top, crop.left];
    let ends = [crop.top.saturating_add(crop.height), crop.left.saturating_add(crop.width)];
    let dims = chain.ty().shape.dims().expect("the caller found the axes").to_vec();
    for i in 0..2 {
        let dim = dims[axes[i]];
        if i64::try_from(ends[i]).is_ok_and(|end| end <= dim.max()) && starts[i] < ends[i] {
            continue;
        }
        return Err(chain.fail(format!("there is no part {}..{} of {dim} pixels", starts[i], ends[i])));
    }
    let mut integers = |what: &str, values: [usize; 2]| chain.integers(what, &values.map(|v| v as i64));
    let inputs = [
        integers("crop/from", starts),
        integers("crop/to", ends),
        integers("crop/steps", [1, 1]),
        integers("crop/axes", axes),
    ];
    chain.then(Slice, &inputs)
}
