//! Reductions.

use crate::scope::{Converted, Scope};
use ir::op::{Binary, BinaryKind, Reduce, ReduceKind, Unary};

/// Data and axes.
pub(super) fn reduce(s: &mut Scope, kind: ReduceKind) -> Converted {
    let inputs: [_; 2] = s.exactly()?;
    let keep_dims = s.bool("keep_dims", false)?;
    // A reduction over nothing hands its data on; OpenVINO cannot read a constant without elements.
    if s.try_folded(1).is_some_and(|axes| axes.is_empty()) {
        return match kind {
            ReduceKind::L2 => s.one(Unary::Abs, &inputs[..1]),
            _ => Ok(vec![inputs[0]]),
        };
    }
    s.one(Reduce { kind, keep_dims }, &inputs)
}

/// Half the sum of squares.
pub(super) fn l2_loss(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let ty = s.element_type(data);
    let axes: Vec<i64> = (0..s.rank(data)? as i64).collect();
    let squares = s.add("squares", Binary::new(BinaryKind::Multiply), &[data, data])?;
    let axes = s.i64s("axes", &axes);
    let sum = s.add("sum", Reduce::new(ReduceKind::Sum), &[squares, axes])?;
    let half = s.scalar("half", ty, 0.5)?;
    s.one(Binary::new(BinaryKind::Multiply), &[sum, half])
}
