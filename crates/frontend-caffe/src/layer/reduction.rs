//! What goes along axes: sums, the greatest, softmax.

use crate::scope::{Converted, Scope, axis_of, malformed};
use ir::{
    ElementType,
    op::{BinaryKind, Concat, Convert, Reduce, ReduceKind, Softmax, TopK, TopKMode, TopKSort},
};

pub(super) fn softmax(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let axis = s.params("softmax_param").int("axis", 1)?;
    let axis = axis_of(axis, s.rank(data)?, "axis", false)? as i64;
    s.one(Softmax { axis }, &[data])
}

/// One number for everything from `axis` on.
pub(super) fn reduction(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let params = s.params("reduction_param");
    let operations = [
        ("SUM", 1, (ReduceKind::Sum, false)),
        ("ASUM", 2, (ReduceKind::L1, false)),
        ("SUMSQ", 3, (ReduceKind::Sum, true)),
        ("MEAN", 4, (ReduceKind::Mean, false)),
    ];
    let (kind, squared) = params.choice("operation", &operations, (ReduceKind::Sum, false))?;
    let coefficient = params.float("coeff", 1.0)?;
    let rank = s.rank(data)?;
    let axis = axis_of(params.int("axis", 0)?, rank, "axis", false)?;
    let terms = if squared { s.binary("squares", BinaryKind::Multiply, data, data)? } else { data };
    let axes: Vec<i64> = (axis..rank).map(|axis| axis as i64).collect();
    let axes = s.i64s("axes", &axes);
    let result = s.add("reduced", Reduce { kind, keep_dims: false }, &[terms, axes])?;
    if coefficient == 1.0 {
        return Ok(vec![result]);
    }
    let coefficient = s.scalar("coeff", coefficient);
    Ok(vec![s.binary("scaled", BinaryKind::Multiply, result, coefficient)?])
}

/// The places of the greatest, or their values, or both. Without an axis, over all of a datum: [N,1,k,1] or
/// [N,2,k,1].
pub(super) fn arg_max(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let params = s.params("argmax_param");
    let values_too = params.flag("out_max_val", false)?;
    let k = params.size("top_k", 1)?;
    if k == 0 {
        return malformed("`top_k` is 0, expected a positive number");
    }
    let axis = params.maybe_int("axis")?;
    let rank = s.rank(data)?;
    let (vectors, axis, is_flat) = match axis {
        Some(axis) => (data, axis_of(axis, rank, "axis", false)?, false),
        None => (s.reshaped("vectors", data, &[0, 1, -1])?, 2, true),
    };
    let number = s.i64("k", i64::try_from(k).unwrap_or(i64::MAX));
    let op = TopK {
        axis: axis as i64,
        mode: TopKMode::Max,
        sort: TopKSort::Value,
        index_element_type: ElementType::I32,
        ..TopK::default()
    };
    let values = s.add("greatest", op, &[vectors, number])?;
    let places = || ElementType::F32;
    let result = match (values_too, is_flat) {
        (true, false) => values,
        (true, true) => {
            let places = s.add("places", Convert::to(places()), &[values.node.output(1)])?;
            s.add("pairs", Concat { axis: 1 }, &[places, values])?
        }
        (false, _) => s.add("places", Convert::to(places()), &[values.node.output(1)])?,
    };
    if !is_flat || rank <= 3 {
        return Ok(vec![result]);
    }
    let mut pattern = vec![0, 0, 0];
    pattern.resize(rank, 1);
    Ok(vec![s.reshaped("in_place", result, &pattern)?])
}
