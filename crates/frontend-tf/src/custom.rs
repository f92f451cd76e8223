//! Ops without a conversion, kept as custom ops.

use crate::{
    proto::attr_value::{ListValue, Value},
    scope::{Converted, Scope},
    tensor,
};
use ir::{
    ElementType, PartialShape,
    extension::{Attached, EXTENSION_OPSET},
    op::{Custom, PortType},
};

/// Keeps the node: its type, its attributes as text, `outputs` outputs of unknown shape.
pub(crate) fn convert(s: &mut Scope, outputs: usize, extension: Option<&Attached>) -> Converted {
    let text = |(name, value): (&String, &crate::proto::AttrValue)| {
        Some((name.clone(), attribute_text(value.value.as_ref()?)?))
    };
    let attributes = s.node.attr.iter().filter(|(name, _)| !name.starts_with('_')).filter_map(text).collect();
    let output = PortType::new(ElementType::Dynamic, PartialShape::UNKNOWN);
    let op = Custom {
        type_name: s.node.op.clone(),
        version: EXTENSION_OPSET.to_owned(),
        attributes,
        outputs: vec![output; outputs],
        extension: extension.cloned(),
    };
    let inputs = s.inputs.clone();
    let first = s.emit(op, &inputs)?;
    Ok((0..outputs).map(|i| first.node.output(i)).collect())
}

/// `None` for what has no text: tensors and functions.
fn attribute_text(value: &Value) -> Option<String> {
    fn join<T>(items: &[T], text: impl Fn(&T) -> String) -> String {
        items.iter().map(text).collect::<Vec<_>>().join(",")
    }
    let type_text = |ty: &i32| match tensor::element_type(*ty) {
        Ok(ty) => ty.name().to_owned(),
        Err(_) => ty.to_string(),
    };
    let bytes_text = |bytes: &bytes::Bytes| String::from_utf8_lossy(bytes).into_owned();
    Some(match value {
        Value::S(bytes) => bytes_text(bytes),
        Value::I(value) => value.to_string(),
        Value::F(value) => value.to_string(),
        Value::B(value) => value.to_string(),
        Value::Type(ty) => type_text(ty),
        Value::Shape(shape) => join(&shape.dim, |dim| dim.size.to_string()),
        Value::List(ListValue { s, i, f, b, r#type, .. }) => {
            let parts = [
                join(s, bytes_text),
                join(i, i64::to_string),
                join(f, f32::to_string),
                join(b, bool::to_string),
                join(r#type, type_text),
            ];
            parts.into_iter().find(|part| !part.is_empty()).unwrap_or_default()
        }
        Value::Placeholder(text) => text.clone(),
        Value::Tensor(_) | Value::Func(_) => return None,
    })
}
