//! The one report of everything that a graph holds and the frontend cannot convert.

use crate::extension::{Attached, Extensions};
use std::fmt;

/// A choice among the ops that have no conversion: those that are kept as custom ops, by default those that an
/// extension knows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CustomOps {
    /// All of them.
    pub all: bool,
    /// Those of these types.
    pub types: Vec<String>,
    /// Those that these give a meaning, which goes with them.
    pub extensions: Extensions,
}

impl CustomOps {
    /// All ops without a conversion.
    pub fn all() -> Self {
        Self { all: true, ..Self::default() }
    }

    /// Those of these types.
    pub fn of(types: Vec<String>) -> Self {
        Self { types, ..Self::default() }
    }

    /// True when ops of type `op` are kept.
    pub fn keeps(&self, op: &str) -> bool {
        self.all || self.types.iter().any(|ty| ty == op) || self.extension(op).is_some()
    }

    /// What gives ops of type `op` a meaning.
    pub fn extension(&self, op: &str) -> Option<&Attached> {
        self.extensions.of_type(op)
    }
}

/// One node that cannot be converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsupportedNode {
    /// The node's name.
    pub name: String,
    /// The shapes of its inputs, as far as they are known: `[1,?,3]`.
    pub input_shapes: Vec<String>,
    /// What about it is not supported; `None` when the op type is unknown altogether.
    pub reason: Option<String>,
}

/// The unsupported nodes of one op type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsupportedOp {
    /// The op type.
    pub op: String,
    /// Its nodes, in the order of the computation.
    pub nodes: Vec<UnsupportedNode>,
}

/// Everything in the graph that has no conversion, and where the graph can be cut to leave it out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unsupported {
    /// By op type, in the order of the computation.
    pub ops: Vec<UnsupportedOp>,
    /// The last nodes before the trouble: naming them as outputs leaves everything unsupported out.
    pub cut_points: Vec<String>,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 10;
        let nodes: usize = self.ops.iter().map(|op| op.nodes.len()).sum();
        write!(f, "{nodes} node(s) cannot be converted:")?;
        for op in &self.ops {
            write!(f, "\n  {} ({})", op.op, op.nodes.len())?;
            for node in op.nodes.iter().take(SHOWN) {
                write!(f, "\n    {} ({})", node.name, node.input_shapes.join(", "))?;
                if let Some(reason) = &node.reason {
                    write!(f, ": {reason}")?;
                }
            }
            if op.nodes.len() > SHOWN {
                write!(f, "\n    and {} more", op.nodes.len() - SHOWN)?;
            }
        }
        if !self.cut_points.is_empty() {
            write!(f, "\nthe network up to here converts: --output {}", self.cut_points.join(","))?;
        }
        Ok(())
    }
}

impl std::error::Error for Unsupported {}
