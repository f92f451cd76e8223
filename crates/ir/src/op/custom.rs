//! Ops that this crate doesn't know, kept as they came.

use super::{Inputs, OpError, OpErrorKind, Operator, PortType};
use crate::{
    Tensor,
    attribute::{Visit, Visitor},
};

/// An op nobody here recognises: a custom layer, or an op of a newer op set. It survives reading and writing.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Custom {
    /// The type as the file names it.
    pub type_name: String,
    /// The op set as the file names it, `extension` for instance.
    pub version: String,
    /// The attributes as text, in the file's order.
    pub attributes: Vec<(String, String)>,
    /// The outputs as the file or an extension states them; nothing can infer them.
    pub outputs: Vec<PortType>,
}

/// The reader and the writer handle `attributes` as a whole.
impl Visit for Custom {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}

impl Operator for Custom {
    fn type_name(&self) -> &str {
        &self.type_name
    }

    fn infer(&self, _: &Inputs) -> Result<Vec<PortType>, OpError> {
        Ok(self.outputs.clone())
    }

    fn evaluate(&self, _: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let message = format!(
            "`{}` of {} is not an op that Terroir knows; give an extension that computes it, or run it on a device that does",
            self.type_name, self.version
        );
        Err(OpError::new(OpErrorKind::Unsupported, message))
    }
}
