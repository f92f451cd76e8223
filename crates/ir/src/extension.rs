//! Custom layers: what the user's own code says of ops that Terroir doesn't know.
//!
//! An [`Extension`] gives an op of a custom type its meaning. Once it is attached to the model's ops, inference,
//! conversion and every device that falls back on [`Operator::evaluate`](crate::op::Operator::evaluate) use it.

use crate::{
    Model, ModelError, Op, Tensor,
    attribute::Attribute,
    op::{Inputs, OpError, PortType},
};
use std::{fmt, sync::Arc};

/// The op set that files name for custom ops where nothing else is said.
pub const EXTENSION_OPSET: &str = "extension";

/// The meaning of a custom op. It is asked from any thread.
pub trait Extension: Send + Sync {
    /// The type of the ops that it stands for: the framework's, which is the IR's too.
    fn type_name(&self) -> &str;

    /// The op set that files name for it.
    fn version(&self) -> &str {
        EXTENSION_OPSET
    }

    /// Types and shapes of the outputs. Shapes of inputs may be open, in part or altogether.
    fn infer(&self, attributes: Attributes, inputs: &Inputs) -> Result<Vec<PortType>, OpError>;

    /// Computes the outputs, of the types and shapes that [`Extension::infer`] gives for these inputs.
    fn evaluate(&self, attributes: Attributes, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError>;
}

/// The attributes of a custom op: names and texts, as the framework or the file has them.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a>(pub &'a [(String, String)]);

impl<'a> Attributes<'a> {
    /// The text of an attribute.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, text)| text.as_str())
    }

    /// An attribute that must be there, as a number, a list of numbers, a flag and so on.
    pub fn required<T: Attribute + Default>(&self, name: &str) -> Result<T, OpError> {
        let text =
            self.text(name).ok_or_else(|| OpError::attribute(format!("attribute `{name}` is missing")))?;
        parse(name, text, T::default())
    }

    /// An attribute, or `default` where it isn't there.
    pub fn optional<T: Attribute>(&self, name: &str, default: T) -> Result<T, OpError> {
        match self.text(name) {
            Some(text) => parse(name, text, default),
            None => Ok(default),
        }
    }
}

fn parse<T: Attribute>(name: &str, text: &str, mut value: T) -> Result<T, OpError> {
    let fail = |expected| OpError::attribute(format!("attribute `{name}` is `{text}`, expected {expected}"));
    value.parse(text).map_err(fail)?;
    Ok(value)
}

/// An extension that is attached to an op.
#[derive(Clone)]
pub struct Attached(pub Arc<dyn Extension>);

impl PartialEq for Attached {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.0.type_name(), self.0.version())
    }
}

/// Extensions, one a type and op set: a later one takes the place of an earlier one.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Extensions(Vec<Attached>);

impl Extensions {
    /// Adds an extension.
    pub fn add(&mut self, extension: Arc<dyn Extension>) {
        self.0.retain(|own| {
            (own.0.type_name(), own.0.version()) != (extension.type_name(), extension.version())
        });
        self.0.push(Attached(extension));
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Extension>> {
        self.0.iter().map(|own| &own.0)
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one for a framework's op, which says no op set: the latest of that type.
    pub fn of_type(&self, type_name: &str) -> Option<&Attached> {
        self.0.iter().rev().find(|own| own.0.type_name() == type_name)
    }

    /// Those that are attached to the ops of a model.
    pub fn of_model(model: &Model) -> Self {
        let mut found = Self::default();
        for (_, node) in model.nodes() {
            if let Op::Custom(op) = &node.op
                && let Some(extension) = &op.extension
            {
                found.add(extension.0.clone());
            }
        }
        found
    }

    /// True when [`Extensions::attach`] would change the model.
    pub fn concern(&self, model: &Model) -> bool {
        model.nodes().any(|(_, node)| self.for_node(&node.op).is_some())
    }

    /// Gives the model's custom ops their meaning, where they have none yet, and infers its types anew.
    pub fn attach(&self, model: &mut Model) -> Result<(), ModelError> {
        if !self.concern(model) {
            return Ok(());
        }
        let found: Vec<_> =
            model.nodes().filter_map(|(id, node)| Some((id, self.for_node(&node.op)?.clone()))).collect();
        for (id, extension) in found {
            let Op::Custom(op) = &mut model.node_mut(id).op else {
                unreachable!("only custom ops are found")
            };
            op.extension = Some(extension);
        }
        model.infer()
    }

    /// The extension that an op still lacks.
    fn for_node(&self, op: &Op) -> Option<&Attached> {
        let Op::Custom(op) = op else { return None };
        let same = |own: &&Attached| own.0.type_name() == op.type_name && own.0.version() == op.version;
        self.0.iter().find(same).filter(|_| op.extension.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ElementType, evaluate, op::Custom};

    /// `y = x * factor`, and a claim about the shape that may be wrong.
    struct Scaled {
        lies: bool,
    }

    impl Extension for Scaled {
        fn type_name(&self) -> &str {
            "Scaled"
        }

        fn infer(&self, attributes: Attributes, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
            attributes.required::<f32>("factor")?;
            inputs.expect(1..=1)?;
            Ok(vec![PortType::new(inputs.element_type(0), inputs.shape(0).clone())])
        }

        fn evaluate(&self, attributes: Attributes, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
            let factor = f64::from(attributes.required::<f32>("factor")?);
            let values: Vec<f64> = inputs[0].to_f64s().iter().map(|x| x * factor).collect();
            let shape = if self.lies { &[1, 2][..] } else { inputs[0].shape() };
            Ok(vec![Tensor::from_f64s(inputs[0].element_type(), shape, &values)?])
        }
    }

    fn model(factor: &str) -> Model {
        let mut model = Model::new("m");
        let x = model.add_parameter("x", ElementType::F32, "[2]".parse().unwrap());
        let op = Custom {
            type_name: "Scaled".into(),
            version: EXTENSION_OPSET.into(),
            attributes: vec![("factor".into(), factor.into())],
            outputs: vec![PortType::new(ElementType::Dynamic, crate::PartialShape::UNKNOWN)],
            extension: None,
        };
        let y = model.add("y", op, &[x.into()]).unwrap();
        model.add_result("r", y.into()).unwrap();
        model
    }

    fn extensions(lies: bool) -> Extensions {
        let mut all = Extensions::default();
        all.add(Arc::new(Scaled { lies: !lies }));
        all.add(Arc::new(Scaled { lies }));
        all
    }

    #[test]
    fn an_extension_infers_and_computes() {
        let mut model = model("3");
        let x = Tensor::from_slice(&[2], &[1.0f32, -2.0]).unwrap();
        let unknown = evaluate(&model, std::slice::from_ref(&x)).unwrap_err().to_string();
        assert!(unknown.contains("`y`") && unknown.contains("extension"), "{unknown}");
        let all = extensions(false);
        assert!(all.concern(&model));
        all.attach(&mut model).unwrap();
        assert!(!all.concern(&model));
        assert_eq!(Extensions::of_model(&model), all);
        let y = model.find_port("y").unwrap();
        assert_eq!(model.ty(y).to_string(), "f32[2]");
        assert_eq!(evaluate(&model, &[x]).unwrap()[0].to_f64s(), [3.0, -6.0]);
    }

    #[test]
    fn what_is_wrong_with_an_attribute_names_the_node() {
        let err = extensions(false).attach(&mut model("much")).unwrap_err().to_string();
        assert!(err.contains("`y`") && err.contains("attribute `factor` is `much`"), "{err}");
        let none: Result<f32, _> = Attributes(&[]).required("factor");
        assert_eq!(none.unwrap_err().to_string(), "attribute `factor` is missing");
        assert_eq!(Attributes(&[]).optional("factor", 2.0f32).unwrap(), 2.0);
    }

    #[test]
    fn outputs_that_are_not_as_promised_are_refused() {
        let mut model = model("3");
        extensions(true).attach(&mut model).unwrap();
        let x = Tensor::from_slice(&[2], &[1.0f32, -2.0]).unwrap();
        let err = evaluate(&model, &[x]).unwrap_err().to_string();
        assert!(err.contains("output 0 came out as f32[1,2], but its inference says f32[2]"), "{err}");
    }
}
