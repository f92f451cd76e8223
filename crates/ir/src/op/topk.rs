//! The largest or smallest along an axis.

use super::Operator;
use crate::{
    ElementType,
    attribute::{Visit, Visitor, text_enum},
};

text_enum! {
    /// Which elements are kept.
    TopKMode {
        /// The largest.
        Max = "max",
        /// The smallest.
        Min = "min",
    }
}

text_enum! {
    /// In which order they are given.
    TopKSort {
        /// Any.
        None = "none",
        /// By position.
        Index = "index",
        /// The best first.
        Value = "value",
    }
}

/// The `k` best along an axis and their positions. Inputs: data, k.
#[derive(Clone, PartialEq, Debug)]
pub struct TopK {
    /// The axis; negative counts from the end.
    pub axis: i64,
    /// Which are best.
    pub mode: TopKMode,
    /// The order of the answer.
    pub sort: TopKSort,
    /// Type of the positions.
    pub index_element_type: ElementType,
    /// Equal elements keep their order.
    pub stable: bool,
}

impl Default for TopK {
    fn default() -> Self {
        Self {
            axis: -1,
            mode: TopKMode::Max,
            sort: TopKSort::Value,
            index_element_type: ElementType::I32,
            stable: false,
        }
    }
}

impl Visit for TopK {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("axis", &mut self.axis);
        v.required("mode", &mut self.mode);
        v.required("sort", &mut self.sort);
        v.optional("index_element_type", &mut self.index_element_type);
        v.optional("stable", &mut self.stable);
    }
}

impl Operator for TopK {
    fn type_name(&self) -> &str {
        "TopK"
    }
}
