//! Ops that this crate doesn't know, kept as they came; an extension gives them a meaning.

use super::{Inputs, OpError, OpErrorKind, Operator, PortType, output_types};
use crate::{
    Tensor,
    attribute::{Visit, Visitor},
    extension::{Attached, Attributes},
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
    /// The outputs as the file states them, for want of an extension that infers them.
    pub outputs: Vec<PortType>,
    /// What gives the op its meaning.
    pub extension: Option<Attached>,
}

/// The reader and the writer handle `attributes` as a whole.
impl Visit for Custom {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}

impl Operator for Custom {
    fn type_name(&self) -> &str {
        &self.type_name
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        match &self.extension {
            Some(extension) => extension.0.infer(Attributes(&self.attributes), inputs),
            None => Ok(self.outputs.clone()),
        }
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        if let Some(extension) = &self.extension {
            let outputs = extension.0.evaluate(Attributes(&self.attributes), inputs)?;
            check(&output_types(self, inputs)?, &outputs)?;
            return Ok(outputs);
        }
        let message = format!(
            "`{}` of {} is not an op that Terroir knows; give an extension that computes it, or run it on a device that does",
            self.type_name, self.version
        );
        Err(OpError::new(OpErrorKind::Unsupported, message))
    }
}

/// Demands that outputs are as inference said: whoever computes on relies on it.
fn check(promised: &[PortType], outputs: &[Tensor]) -> Result<(), OpError> {
    if promised.len() != outputs.len() {
        let (found, expected) = (outputs.len(), promised.len());
        return Err(OpError::value(format!("{found} outputs came out, but its inference says {expected}")));
    }
    for (i, (ty, tensor)) in promised.iter().zip(outputs).enumerate() {
        if ty.element_type != tensor.element_type() || !ty.shape.admits(tensor.shape()) {
            let found = PortType::new(tensor.element_type(), tensor.shape().into());
            let message = format!("output {i} came out as {found}, but its inference says {ty}");
            return Err(OpError::value(message));
        }
    }
    Ok(())
}
