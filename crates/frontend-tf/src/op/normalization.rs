//! Normalisation and biases.

use super::{layout::Channels, reshape::unsqueezed};
use crate::scope::{Converted, Problem, Scope, malformed};
use ir::{
    ElementType, Port,
    op::{BatchNormInference, Binary, BinaryKind, Convert, Gather, Lrn, Reduce, ReduceKind, ShapeOf, Tile},
};

/// Data and a vector over the channels.
pub(super) fn bias_add(s: &mut Scope) -> Converted {
    let [data, bias] = s.exactly()?;
    let bias = match Channels::of(s)? {
        Channels::Last => bias,
        Channels::Second => {
            let spatial: Vec<i64> = (1..s.rank(data)?.max(2) as i64 - 1).collect();
            unsqueezed(s, "bias", bias, &spatial)?
        }
    };
    s.one(Binary::new(BinaryKind::Add), &[data, bias])
}

/// Data, scale, offset, mean, variance. The statistics are the given ones, or in training those of the batch.
pub(super) fn fused_batch_norm(s: &mut Scope) -> Converted {
    s.ignore(&["U"]);
    let [data, scale, offset, mean, variance] = s.exactly()?;
    let epsilon = f64::from(s.float("epsilon", 1e-4)?);
    let channels = Channels::of(s)?;
    let rank = match s.ty(data).shape.rank() {
        Some(rank) => rank,
        None => Channels::named_rank(s)?,
    };
    if !(4..=5).contains(&rank) {
        return malformed(format!("its data is {}, expected four or five dimensions", s.ty(data)));
    }
    if s.bool("is_training", true)? {
        return batch_statistics(s, epsilon, channels, rank);
    }
    s.ignore(&["exponential_avg_factor"]);
    // Half-precision data comes with single-precision statistics.
    let (ty, statistics) = (s.element_type(data), s.element_type(scale));
    let wide = s.converted("wide", data, statistics)?;
    let wide = channels.second(s, wide, rank)?;
    let op = BatchNormInference { epsilon, data_input: 0 };
    let mut result = s.emit(op, &[wide, scale, offset, mean, variance])?;
    result = channels.restored(s, result, rank)?;
    if ty != statistics {
        result = s.emit(Convert::to(ty), &[result])?;
    }
    Ok(vec![result, mean, variance, mean, variance])
}

/// Normalises by the mean and variance of the batch. The variance that is given out is the unbiased one.
fn batch_statistics(s: &mut Scope, epsilon: f64, channels: Channels, rank: usize) -> Converted {
    let [data, scale, offset, old_mean, old_variance] = s.exactly()?;
    let factor = f64::from(s.float("exponential_avg_factor", 1.0)?);
    let (ty, wide_ty) = (s.element_type(data), s.element_type(scale));
    let wide = s.converted("wide", data, wide_ty)?;
    let channel = if channels == Channels::Last { rank - 1 } else { 1 };
    let axes: Vec<i64> = (0..rank).filter(|axis| *axis != channel).map(|axis| axis as i64).collect();
    let reduce = |s: &mut Scope, suffix: &str, kind, port, keep_dims| {
        let axes = s.i64s(&format!("{suffix}/axes"), &axes);
        s.add(suffix, Reduce { kind, keep_dims }, &[port, axes])
    };
    let binary = |s: &mut Scope, suffix: &str, kind, a, b| s.add(suffix, Binary::new(kind), &[a, b]);
    let mean = reduce(s, "mean", ReduceKind::Mean, wide, true)?;
    let centred = binary(s, "centred", BinaryKind::Subtract, wide, mean)?;
    let squares = binary(s, "squares", BinaryKind::Multiply, centred, centred)?;
    let variance = reduce(s, "variance", ReduceKind::Mean, squares, true)?;
    let epsilon = s.scalar("epsilon", wide_ty, epsilon)?;
    let guarded = binary(s, "guarded", BinaryKind::Add, variance, epsilon)?;
    let power = s.scalar("power", wide_ty, -0.5)?;
    let inverse = binary(s, "inverse_deviation", BinaryKind::Power, guarded, power)?;
    let spatial: Vec<i64> = if channels == Channels::Last { vec![] } else { (1..rank as i64 - 1).collect() };
    let scale = unsqueezed(s, "scale", scale, &spatial)?;
    let offset = unsqueezed(s, "offset", offset, &spatial)?;
    let normal = binary(s, "normal", BinaryKind::Multiply, centred, inverse)?;
    let scaled = binary(s, "scaled", BinaryKind::Multiply, normal, scale)?;
    let mut result = s.emit(Binary::new(BinaryKind::Add), &[scaled, offset])?;
    if ty != wide_ty {
        result = s.emit(Convert::to(ty), &[result])?;
    }
    let batch_mean = reduce(s, "batch_mean", ReduceKind::Mean, wide, false)?;
    let biased = reduce(s, "biased_variance", ReduceKind::Mean, squares, false)?;
    let unbiased = unbiased(s, wide, biased, &axes, wide_ty)?;
    let new_mean = averaged(s, "new_mean", old_mean, batch_mean, factor)?;
    let new_variance = averaged(s, "new_variance", old_variance, unbiased, factor)?;
    Ok(vec![result, new_mean, new_variance, batch_mean, biased])
}

/// `old * (1 - factor) + new * factor`.
fn averaged(s: &mut Scope, suffix: &str, old: Port, new: Port, factor: f64) -> Result<Port, Problem> {
    if factor == 1.0 {
        return Ok(new);
    }
    let factor = s.scalar(&format!("{suffix}/factor"), s.element_type(new), factor)?;
    let step = s.add(&format!("{suffix}/step"), Binary::new(BinaryKind::Subtract), &[new, old])?;
    let step = s.add(&format!("{suffix}/weighed"), Binary::new(BinaryKind::Multiply), &[step, factor])?;
    s.add(suffix, Binary::new(BinaryKind::Add), &[old, step])
}

/// `variance * n / (n - 1)`, where `n` elements of `data` share a channel.
fn unbiased(
    s: &mut Scope,
    data: Port,
    variance: Port,
    axes: &[i64],
    ty: ElementType,
) -> Result<Port, Problem> {
    let shape = s.add("shape", ShapeOf { output_type: ElementType::I64 }, &[data])?;
    let (axes, zero) = (s.i64s("reduced", axes), s.i64s("zero", &[0]));
    let first = s.constant("first", ir::Tensor::scalar(0i64));
    let sizes = s.add("sizes", Gather { batch_dims: 0 }, &[shape, axes, first])?;
    let count = s.add("count", Reduce::new(ReduceKind::Prod), &[sizes, zero])?;
    let count = s.converted("n", count, ty)?;
    let one = s.scalar("one", ty, 1.0)?;
    let less = s.add("n_minus_1", Binary::new(BinaryKind::Subtract), &[count, one])?;
    let divisor = s.add("divisor", Binary::new(BinaryKind::Maximum), &[less, one])?;
    let factor = s.add("bessel", Binary::new(BinaryKind::Divide), &[count, divisor])?;
    s.add("batch_variance", Binary::new(BinaryKind::Multiply), &[variance, factor])
}

/// The oldest batch norm: data, mean, variance, offset, scale; channels last.
pub(super) fn global_batch_norm(s: &mut Scope) -> Converted {
    let [data, mean, variance, offset, scale] = s.exactly()?;
    let epsilon = f64::from(s.float("variance_epsilon", 1e-3)?);
    let ones = if s.bool("scale_after_normalization", true)? {
        scale
    } else {
        let Some(&[size]) = s.sizes(scale).as_deref() else {
            return malformed(format!("its scale is {}, expected a vector", s.ty(scale)));
        };
        let one = s.scalar("one", s.element_type(scale), 1.0)?;
        let size = s.i64s("size", &[size as i64]);
        s.add("ones", Tile, &[one, size])?
    };
    let rank = s.rank(data)?;
    let data = Channels::Last.second(s, data, rank)?;
    let op = BatchNormInference { epsilon, data_input: 0 };
    let result = s.emit(op, &[data, ones, offset, mean, variance])?;
    Ok(vec![Channels::Last.restored(s, result, rank)?])
}

/// Images, factor: the distance of each value from the mean of its channel, scaled.
pub(super) fn adjust_contrast(s: &mut Scope) -> Converted {
    let [images, factor] = s.exactly()?;
    let axes = s.i64s("axes", &[-3, -2]);
    let mean = s.add("mean", Reduce { kind: ReduceKind::Mean, keep_dims: true }, &[images, axes])?;
    let centred = s.add("centred", Binary::new(BinaryKind::Subtract), &[images, mean])?;
    let factor = s.converted("factor", factor, s.element_type(images))?;
    let scaled = s.add("scaled", Binary::new(BinaryKind::Multiply), &[centred, factor])?;
    s.one(Binary::new(BinaryKind::Add), &[scaled, mean])
}

/// Over the last dimension. TensorFlow's `alpha` weighs each square, the model's their mean.
pub(super) fn lrn(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let radius = s.int("depth_radius", 5)?;
    let Some(size) = usize::try_from(radius).ok().and_then(|r| r.checked_mul(2)?.checked_add(1)) else {
        return malformed(format!("a depth radius of {radius}"));
    };
    let bias = f64::from(s.float("bias", 1.0)?);
    let alpha = f64::from(s.float("alpha", 1.0)?) * size as f64;
    let beta = f64::from(s.float("beta", 0.5)?);
    let data = Channels::Last.second(s, data, 4)?;
    let axes = s.i64s("axes", &[1]);
    let result = s.emit(Lrn { alpha, beta, bias, size }, &[data, axes])?;
    Ok(vec![Channels::Last.restored(s, result, 4)?])
}
