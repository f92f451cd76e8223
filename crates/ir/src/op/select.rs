//! Choice by a condition.

use super::{AutoBroadcast, Operator};
use crate::attribute::{Visit, Visitor};

/// `condition ? then : else`, elementwise, broadcast.
#[derive(Clone, PartialEq, Debug)]
pub struct Select {
    /// By which rules.
    pub auto_broadcast: AutoBroadcast,
}

impl Default for Select {
    fn default() -> Self {
        Self { auto_broadcast: AutoBroadcast::Numpy }
    }
}

impl Visit for Select {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.optional("auto_broadcast", &mut self.auto_broadcast);
    }
}

impl Operator for Select {
    fn type_name(&self) -> &str {
        "Select"
    }
}
