//! Normalisation.

use crate::scope::{Converted, Problem, Scope, malformed};
use ir::{
    Port, Tensor,
    op::{BinaryKind, Lrn, Mvn, MvnEpsMode, NormEpsMode, NormalizeL2},
};

pub(super) fn lrn(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let params = s.params("lrn_param");
    let size = params.size("local_size", 5)?;
    let (alpha, beta) = (params.float("alpha", 1.0)?, params.float("beta", 0.75)?);
    let within =
        params.choice("norm_region", &[("ACROSS_CHANNELS", 0, false), ("WITHIN_CHANNEL", 1, true)], false)?;
    let k = params.float("k", 1.0)?;
    if size % 2 == 0 {
        return malformed(format!("`local_size` is {size}, expected an odd number"));
    }
    // Within a channel Caffe does not ask for k.
    let (axes, bias) = if within { (s.i64s("axes", &[2, 3]), 1.0) } else { (s.i64s("axes", &[1]), k) };
    s.one(Lrn { alpha, beta, bias, size }, &[data, axes])
}

/// The number of channels; of `blob` where the data does not tell.
fn channels(s: &Scope, data: Port, blob: &str) -> Result<usize, Problem> {
    match s.dims(data)?.get(1).copied().flatten() {
        Some(channels) => Ok(channels),
        None => Ok(s.raw_blob(0, blob, "one a channel")?.len()),
    }
}

/// `x * factor + summand`, one of each a channel.
fn affine(s: &mut Scope, data: Port, factors: &[f64], summands: &[f64]) -> Result<Port, Problem> {
    let shape = Scope::along(1, s.rank(data)?, factors.len());
    let factors = s.floats("factor", &shape, factors)?;
    let summands = s.floats("summand", &shape, summands)?;
    let scaled = s.binary("scaled", BinaryKind::Multiply, data, factors)?;
    s.binary("shifted", BinaryKind::Add, scaled, summands)
}

/// `(x - mean) / sqrt(variance + eps)` as a factor and a summand, then scaled and shifted.
fn folded(mean: &[f64], variance: &[f64], eps: f64, scale: &[f64], shift: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let factor = |(variance, scale): (&f64, &f64)| scale / (variance + eps).sqrt();
    let factors: Vec<f64> = variance.iter().zip(scale).map(factor).collect();
    let summand = |((mean, factor), shift): ((&f64, &f64), &f64)| shift - mean * factor;
    let summands = mean.iter().zip(&factors).zip(shift).map(summand).collect();
    (factors, summands)
}

/// Mean and variance are sums over the batches that the third blob counts. NVIDIA's fork has scale and bias behind.
pub(super) fn batch_norm(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let params = s.params("batch_norm_param");
    params.ignore(&["scale_bias", "scale_filler", "bias_filler", "fused_relu"]);
    let eps = params.float("eps", 1e-5)?;
    let fused_relu = params.flag("fused_relu", false)?;
    let of_batch = !params.flag("use_global_stats", true)?;
    if fused_relu {
        return malformed(
            "`fused_relu` is of a fork whose meaning is not known here; write a ReLU layer instead",
        );
    }
    if of_batch {
        return batch_statistics(s, data, eps).map(|port| vec![port]);
    }
    let channels = channels(s, data, "mean")?;
    let values = |tensor: Tensor| tensor.to_f64s();
    let mut mean = values(s.blob(0, "mean", &[channels])?);
    let mut variance = values(s.blob(1, "variance", &[channels])?);
    // Two blobs: some tools write them scaled already.
    if s.blob_count() != 2 {
        let count = values(s.blob(2, "scale factor", &[1])?)[0];
        let factor = if count == 0.0 { 0.0 } else { 1.0 / count };
        mean.iter_mut().chain(&mut variance).for_each(|value| *value *= factor);
    }
    let (mut scale, mut shift) = (vec![1.0; channels], vec![0.0; channels]);
    if s.blob_count() >= 5 {
        scale = values(s.blob(3, "scale", &[channels])?);
        shift = values(s.blob(4, "bias", &[channels])?);
    }
    let (factors, summands) = folded(&mean, &variance, eps, &scale, &shift);
    Ok(vec![affine(s, data, &factors, &summands)?])
}

/// Normalises by the mean and variance of the batch itself.
fn batch_statistics(s: &mut Scope, data: Port, eps: f64) -> Result<Port, Problem> {
    let rank = s.rank(data)?;
    let axes: Vec<i64> = (0..rank).filter(|axis| *axis != 1).map(|axis| axis as i64).collect();
    let axes = s.i64s("axes", &axes);
    s.add("normal", Mvn { eps, normalize_variance: true, eps_mode: MvnEpsMode::InsideSqrt }, &[data, axes])
}

/// The layer of SegNet and PSPNet: scale, shift, and mean and variance where they are not folded in.
pub(super) fn bn(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let params = s.params("bn_param");
    params.ignore(&["slope_filler", "bias_filler", "momentum", "frozen", "engine", "icnet"]);
    let eps = params.float("eps", 1e-5)?;
    let of_batch = params.choice("bn_mode", &[("LEARN", 0, true), ("INFERENCE", 1, false)], false)?;
    let channels = channels(s, data, "scale")?;
    let scale = s.blob(0, "scale", &[channels])?.to_f64s();
    let shift = s.blob(1, "shift", &[channels])?.to_f64s();
    if of_batch {
        let normal = batch_statistics(s, data, eps)?;
        return Ok(vec![affine(s, normal, &scale, &shift)?]);
    }
    if s.blob_count() == 2 {
        return Ok(vec![affine(s, data, &scale, &shift)?]);
    }
    let mean = s.blob(2, "mean", &[channels])?.to_f64s();
    let variance = s.blob(3, "variance", &[channels])?.to_f64s();
    let (factors, summands) = folded(&mean, &variance, eps, &scale, &shift);
    Ok(vec![affine(s, data, &factors, &summands)?])
}

pub(super) fn mvn(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let params = s.params("mvn_param");
    let normalize_variance = params.flag("normalize_variance", true)?;
    let across = params.flag("across_channels", false)?;
    let eps = params.float("eps", 1e-9)?;
    let rank = s.rank(data)?;
    let axes: Vec<i64> = (if across { 1 } else { 2 }..rank).map(|axis| axis as i64).collect();
    if axes.is_empty() {
        return malformed(format!("its input has {rank} dimensions, none of which it normalises over"));
    }
    let axes = s.i64s("axes", &axes);
    s.one(Mvn { eps, normalize_variance, eps_mode: MvnEpsMode::OutsideSqrt }, &[data, axes])
}

/// Divides by the Euclidean norm over the channels, or over all of an image, then scales.
pub(super) fn normalize(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let params = s.params("norm_param");
    let across_spatial = params.flag("across_spatial", true)?;
    let shared = params.flag("channel_shared", true)?;
    let eps = params.float("eps", 1e-10)?;
    let rank = s.rank(data)?;
    let channels = if shared { 1 } else { channels(s, data, "scale")? };
    let axes: Vec<i64> = if across_spatial { (1..rank).map(|axis| axis as i64).collect() } else { vec![1] };
    let axes = s.i64s("axes", &axes);
    let normal = s.add("normal", NormalizeL2 { eps, eps_mode: NormEpsMode::Add }, &[data, axes])?;
    let scale = s.weights(0, "scale", &Scope::along(1, rank, channels))?;
    Ok(vec![s.binary("scaled", BinaryKind::Multiply, normal, scale)?])
}
