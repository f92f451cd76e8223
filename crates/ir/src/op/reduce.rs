//! Reductions.

use super::Operator;
use crate::attribute::{Visit, Visitor};

/// What a reduction computes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ReduceKind {
    /// The mean.
    Mean,
    /// The largest.
    Max,
    /// The smallest.
    Min,
    /// The sum.
    Sum,
    /// The product.
    Prod,
    /// The sum of magnitudes.
    L1,
    /// The square root of the sum of squares.
    L2,
    /// True when all are.
    LogicalAnd,
    /// True when one is.
    LogicalOr,
}

/// Reduces over axes. Inputs: data, axes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reduce {
    /// What is computed.
    pub kind: ReduceKind,
    /// Reduced dimensions stay, with size 1.
    pub keep_dims: bool,
}

impl Reduce {
    /// A reduction that drops the reduced dimensions.
    pub fn new(kind: ReduceKind) -> Self {
        Self { kind, keep_dims: false }
    }
}

impl Visit for Reduce {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.optional("keep_dims", &mut self.keep_dims);
    }
}

impl Operator for Reduce {
    fn type_name(&self) -> &str {
        match self.kind {
            ReduceKind::Mean => "ReduceMean",
            ReduceKind::Max => "ReduceMax",
            ReduceKind::Min => "ReduceMin",
            ReduceKind::Sum => "ReduceSum",
            ReduceKind::Prod => "ReduceProd",
            ReduceKind::L1 => "ReduceL1",
            ReduceKind::L2 => "ReduceL2",
            ReduceKind::LogicalAnd => "ReduceLogicalAnd",
            ReduceKind::LogicalOr => "ReduceLogicalOr",
        }
    }
}
