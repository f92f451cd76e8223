//! Constants in half precision.

use crate::shape_arithmetic;
use half::{f16, slice::HalfFloatSliceExt};
use ir::{
    ElementType, Model, ModelError, NodeId, Op, RtAttribute, Tensor, aligned_zeros,
    op::{Constant, Convert},
};
use std::fmt;
use thiserror::Error;

/// What is asked of [`to_fp16`].
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Names of constants to leave as they are.
    pub keep: Vec<String>,
}

/// Why a constant stays as it is.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum Reason {
    /// Most of its elements are too large, or so small that they would vanish.
    Range {
        /// How many.
        elements: usize,
        /// Of how many.
        of: usize,
    },
    /// A single number that would lose its meaning: an epsilon, a bound.
    Number(f64),
    /// It takes part in computing a shape, where values must be exact.
    ShapeArithmetic,
    /// The caller asked for it.
    Asked,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range { elements, of } => {
                write!(f, "{elements} of {of} elements lie outside of what half precision holds")
            }
            Self::Number(value) => write!(f, "half precision can't hold {value:e}"),
            Self::ShapeArithmetic => f.write_str("it takes part in computing a shape"),
            Self::Asked => f.write_str("it was asked for"),
        }
    }
}

/// A constant that stays as it is.
#[derive(Clone, PartialEq, Debug)]
pub struct Kept {
    /// The constant's name.
    pub node: String,
    /// Why.
    pub reason: Reason,
}

/// A constant of which some elements suffered more than rounding.
#[derive(Clone, PartialEq, Debug)]
pub struct Lossy {
    /// The constant's name.
    pub node: String,
    /// The number of its elements.
    pub of: usize,
    /// Elements beyond ±65504, which became that.
    pub saturated: usize,
    /// Elements other than 0 that became 0.
    pub vanished: usize,
    /// Elements so small (below 2^-14) that they kept fewer than 11 significant bits, the vanished not counted.
    pub subnormal: usize,
}

/// What [`to_fp16`] did.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Report {
    /// The number of constants that are stored in half precision now.
    pub compressed: usize,
    /// Their bytes before.
    pub bytes_before: usize,
    /// Their bytes now.
    pub bytes_after: usize,
    /// Those of them that lost more than rounding takes.
    pub lossy: Vec<Lossy>,
    /// The floating-point constants that stay as they are.
    pub kept: Vec<Kept>,
}

impl Report {
    /// The constants with elements beyond ±65504, which became that.
    pub fn saturated(&self) -> impl Iterator<Item = &Lossy> {
        self.lossy.iter().filter(|constant| constant.saturated > 0)
    }
}

/// Why a model can't be stored in half precision.
#[derive(Debug, Error)]
#[error("half precision: {0}")]
pub struct Error(#[from] ModelError);

/// Stores f32 and f64 constants as f16, rounded to nearest even. A constant `name` becomes `name_compressed` followed
/// by a Convert `name` to the type that it had, marked as `decompression`. Each original goes as soon as its copy
/// stands, so that the model is never held twice.
pub fn to_fp16(model: &mut Model, options: &Options) -> Result<Report, Error> {
    let shapes = shape_arithmetic::nodes(model);
    let constants: Vec<NodeId> =
        model.nodes().filter(|(_, node)| matches!(node.op, Op::Constant(_))).map(|(id, _)| id).collect();
    let mut report = Report::default();
    for id in constants {
        let node = model.node(id);
        let tensor = node.constant().expect("a constant").clone();
        let ty = tensor.element_type();
        if !matches!(ty, ElementType::F32 | ElementType::F64) || tensor.is_empty() {
            continue;
        }
        let name = node.name.clone();
        let mut keep = |reason| {
            tracing::debug!(node = name, %reason, "stays in full precision");
            report.kept.push(Kept { node: name.clone(), reason });
        };
        if options.keep.contains(&name) {
            keep(Reason::Asked);
            continue;
        }
        if shapes[id.index()] {
            keep(Reason::ShapeArithmetic);
            continue;
        }
        let (half, losses) = converted(&tensor);
        // The file's pages have been read; together with the copies they would count as one and a half times the file.
        ir::release(tensor.bytes());
        if let Some(reason) = damage(&tensor, &losses) {
            keep(reason);
            continue;
        }
        report.compressed += 1;
        report.bytes_before += tensor.bytes().len();
        report.bytes_after += half.bytes().len();
        if losses != Losses::default() {
            let Losses { saturated, vanished, subnormal } = losses;
            if saturated > 0 {
                tracing::warn!(node = name, saturated, of = tensor.len(), "values beyond 65504 became that");
            }
            report.lossy.push(Lossy { node: name.clone(), of: tensor.len(), saturated, vanished, subnormal });
        }
        let compressed = model.add(format!("{name}_compressed"), Constant::new(half), &[])?;
        let convert = model.add(&name, Convert::to(ty), &[compressed.into()])?;
        let mark = RtAttribute { version: "0".to_owned(), ..RtAttribute::default() };
        model.node_mut(convert).rt_info.insert("decompression".to_owned(), mark);
        model.replace(id.into(), convert.into());
        model.remove(id);
    }
    Ok(report)
}

#[derive(Clone, Copy, PartialEq, Debug, Default)]
struct Losses {
    saturated: usize,
    vanished: usize,
    subnormal: usize,
}

/// Whether a constant should stay, by OpenVINO's measure: when three quarters of it leave the range.
fn damage(tensor: &Tensor, losses: &Losses) -> Option<Reason> {
    let out = losses.saturated + losses.vanished;
    match tensor.len() {
        1 if out + losses.subnormal > 0 => Some(Reason::Number(tensor.to_f64s()[0])),
        of => (4 * out >= 3 * of).then_some(Reason::Range { elements: out, of }),
    }
}

/// Elements that are handled at a time: few enough for the first cache.
const CHUNK: usize = 2048;

/// The tensor in half precision, and what its elements lost.
fn converted(tensor: &Tensor) -> (Tensor, Losses) {
    let mut bytes = aligned_zeros(tensor.len() * 2);
    let mut losses = Losses::default();
    let mut wide = [0f32; CHUNK];
    let mut narrow = [f16::ZERO; CHUNK];
    let width = tensor.element_type().bits() / 8;
    for (from, to) in tensor.bytes().chunks(CHUNK * width).zip(bytes.chunks_mut(CHUNK * 2)) {
        let count = from.len() / width;
        let (wide, narrow) = (&mut wide[..count], &mut narrow[..count]);
        match tensor.element_type() {
            ElementType::F64 => {
                for (to, from) in wide.iter_mut().zip(from.as_chunks::<8>().0) {
                    *to = nearest_even_in_one_step(f64::from_le_bytes(*from));
                }
            }
            _ => {
                for (to, from) in wide.iter_mut().zip(from.as_chunks::<4>().0) {
                    *to = f32::from_le_bytes(*from);
                }
            }
        }
        losses.saturated += saturate(wide);
        let tiny = wide.iter().filter(|v| v.abs() < SMALLEST_NORMAL && **v != 0.0).count();
        narrow.convert_from_f32_slice(wide);
        if tiny > 0 {
            let vanished = wide.iter().zip(&*narrow).filter(|(w, n)| **w != 0.0 && **n == f16::ZERO).count();
            losses.vanished += vanished;
            losses.subnormal += tiny - vanished;
        }
        for (to, value) in to.as_chunks_mut::<2>().0.iter_mut().zip(&*narrow) {
            *to = value.to_le_bytes();
        }
    }
    let half = Tensor::from_aligned(ElementType::F16, tensor.shape().to_vec(), bytes);
    (half.expect("two bytes an element"), losses)
}

/// The smallest number that half precision holds with all 11 bits: 2^-14.
const SMALLEST_NORMAL: f32 = 6.103_515_6e-5;

/// The largest number of half precision.
const LARGEST: f32 = 65504.0;

/// From here on numbers round to infinity instead of [`LARGEST`].
const ROUNDS_TO_INFINITY: f32 = 65520.0;

/// Cuts finite numbers off at the range of half precision; returns how many would have become infinite.
fn saturate(values: &mut [f32]) -> usize {
    let beyond = values.iter().filter(|v| v.abs() >= ROUNDS_TO_INFINITY && v.is_finite()).count();
    if beyond > 0 {
        for value in values.iter_mut().filter(|v| v.is_finite()) {
            *value = value.clamp(-LARGEST, LARGEST);
        }
    }
    beyond
}

/// An f32 that rounds to the same f16 as `value`: rounded to odd, so that a tie of the second rounding is one of
/// the number itself. Finite numbers stay finite.
fn nearest_even_in_one_step(value: f64) -> f32 {
    let nearest = value as f32;
    if !value.is_finite() || f64::from(nearest) == value {
        return nearest;
    }
    let bits = nearest.to_bits();
    let toward_zero = if f64::from(nearest).abs() > value.abs() { bits - 1 } else { bits };
    f32::from_bits(toward_zero | 1).clamp(f32::MIN, f32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ir::op::{Binary, BinaryKind, Interpolate, InterpolateForm, ShapeCalculation};

    fn one_constant(tensor: Tensor) -> (Model, NodeId) {
        let mut model = Model::new("m");
        let x = model.add_parameter("x", tensor.element_type(), tensor.shape().into());
        let c = model.add_constant("c", tensor);
        model.names_mut(c.into()).push("c:0".to_owned());
        let sum = model.add("sum", Binary::new(BinaryKind::Add), &[x.into(), c.into()]).unwrap();
        let result = model.add_result("y", sum.into()).unwrap();
        (model, result)
    }

    fn f32s(values: &[f32]) -> Tensor {
        Tensor::from_slice(&[values.len()], values).unwrap()
    }

    #[test]
    fn a_constant_becomes_a_compressed_one_and_a_convert() {
        let (mut model, _) = one_constant(f32s(&[1.0, 0.1, -2.5]));
        let report = to_fp16(&mut model, &Options::default()).unwrap();
        assert_eq!((report.compressed, report.bytes_before, report.bytes_after), (1, 12, 6));
        assert_eq!((report.lossy.len(), report.kept.len()), (0, 0));
        let convert = model.find_port("c:0").unwrap();
        let node = model.node(convert.node);
        assert_eq!((node.name.as_str(), node.op.type_name()), ("c", "Convert"));
        assert!(node.rt_info.contains_key("decompression"));
        let stored = model.node(node.inputs()[0].node);
        assert_eq!(stored.name, "c_compressed");
        assert_eq!(stored.constant().unwrap().to_f64s(), [1.0, 0.0999755859375, -2.5]);
        model.infer().unwrap();
        let y = ir::evaluate(&model, &[f32s(&[0.0; 3])]).unwrap();
        assert_eq!(y[0].to_f64s()[1], 0.0999755859375);
    }

    #[test]
    fn rounding_is_to_nearest_even_and_agrees_with_the_reference() {
        // Halfway cases, their neighbours, and the ends of the range.
        let mut values =
            vec![2049.0, 2051.0, 65519.99, -65519.99, 6.1e-5, 5.9e-8, 2.9802322e-8, 2.9802326e-8];
        values.extend((0..5000).map(|i| ((i as f32) * 0.731).sin() * 10f32.powi(i % 13 - 8)));
        let (half, _) = converted(&f32s(&values));
        let found = half.view::<f16>().unwrap();
        for (value, found) in values.iter().zip(found.iter()) {
            assert_eq!(found.to_bits(), f16::from_f32_const(*value).to_bits(), "{value}");
        }
    }

    #[test]
    fn doubles_round_once() {
        // Just above a tie of f16, on a tie after rounding to f32.
        let value = 1.0 + 2f64.powi(-11) + 2f64.powi(-40);
        let tensor = Tensor::from_slice(&[2], &[value, -value]).unwrap();
        let (half, _) = converted(&tensor);
        let up = 1.0 + 2f64.powi(-10);
        assert_eq!(half.to_f64s(), [up, -up]);
        let (half, losses) = converted(&Tensor::from_slice(&[2], &[1e300, 1e-300]).unwrap());
        assert_eq!(half.to_f64s(), [65504.0, 0.0]);
        assert_eq!((losses.saturated, losses.vanished), (1, 1));
    }

    #[test]
    fn overflow_saturates_and_is_reported() {
        let values = [1e6, -1e6, 1.0, 2.0, 3.0, 1e-5, 1e-9, f32::INFINITY, f32::NAN];
        let (mut model, _) = one_constant(f32s(&values));
        let report = to_fp16(&mut model, &Options::default()).unwrap();
        let lossy = Lossy { node: "c".to_owned(), of: 9, saturated: 2, vanished: 1, subnormal: 1 };
        assert_eq!(report.lossy, [lossy]);
        assert_eq!(report.saturated().count(), 1);
        let stored = model.find_port("c_compressed").unwrap();
        let stored = model.constant(stored).unwrap().to_f64s();
        assert_eq!(stored[..3], [65504.0, -65504.0, 1.0]);
        assert!(stored[7].is_infinite() && stored[8].is_nan());
    }

    #[test]
    fn what_half_precision_would_damage_stays() {
        for (tensor, reason) in [
            (Tensor::from_slice(&[1], &[1e-9f32]).unwrap(), Reason::Number(f64::from(1e-9f32))),
            (Tensor::scalar(1e-5f32), Reason::Number(f64::from(1e-5f32))),
            (Tensor::scalar(1e9f32), Reason::Number(1e9)),
            (f32s(&[1e9, 1e9, 1e-12, 1.0]), Reason::Range { elements: 3, of: 4 }),
        ] {
            let (mut model, _) = one_constant(tensor);
            let before = model.to_string();
            let report = to_fp16(&mut model, &Options::default()).unwrap();
            assert_eq!(report.kept, [Kept { node: "c".to_owned(), reason }]);
            assert_eq!((report.compressed, model.to_string()), (0, before));
        }
        let (mut model, _) = one_constant(f32s(&[1e9, 1e9, 1.0, 1.0]));
        assert_eq!(to_fp16(&mut model, &Options::default()).unwrap().compressed, 1);
        let (mut model, _) = one_constant(Tensor::from_i64s(&[1, 2]));
        assert_eq!(to_fp16(&mut model, &Options::default()).unwrap(), Report::default());
        let (mut model, _) = one_constant(f32s(&[1.0]));
        let report = to_fp16(&mut model, &Options { keep: vec!["c".to_owned()] }).unwrap();
        assert_eq!(report.kept[0].reason, Reason::Asked);
    }

    #[test]
    fn numbers_that_shapes_are_computed_from_stay() {
        let mut model = Model::new("m");
        let x = model.add_parameter("x", ElementType::F32, "[1,3,8,8]".parse().unwrap());
        let scales = model.add_constant("scales", f32s(&[1.1, 1.1]));
        let axes = model.add_constant("axes", Tensor::from_i64s(&[2, 3]));
        let op = Interpolate {
            shape_calculation_mode: ShapeCalculation::Scales,
            ..Interpolate::new(InterpolateForm::SizesOrScales)
        };
        let y = model.add("y", op, &[x.into(), scales.into(), axes.into()]).unwrap();
        model.add_result("r", y.into()).unwrap();
        let report = to_fp16(&mut model, &Options::default()).unwrap();
        assert_eq!(report.kept, [Kept { node: "scales".to_owned(), reason: Reason::ShapeArithmetic }]);
    }
}
