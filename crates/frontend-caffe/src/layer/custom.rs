//! Layers without a conversion, kept as custom ops.

use crate::{
    message::{Field, Value},
    scope::{Converted, Scope},
};
use ir::{
    ElementType, PartialShape,
    extension::{Attached, EXTENSION_OPSET},
    op::{Custom, PortType},
};

/// Keeps the layer: its type, its parameters as text, its tops with unknown shapes, its weights as further inputs.
pub(crate) fn custom(s: &mut Scope, extension: Option<&Attached>) -> Converted {
    let names: Vec<String> = s.layer.params.fields.iter().map(|field| field.name.to_string()).collect();
    s.ignore(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut attributes: Vec<(String, String)> = Vec::new();
    for field in &s.layer.params.fields {
        match &field.value {
            // What stands in the layer's own message stands for itself: `roi_pooling_param { pooled_h: 7 }`.
            Value::Message(own) if field.name.ends_with("_param") => {
                own.fields.iter().for_each(|field| push(&mut attributes, &field.name, field));
            }
            _ => push(&mut attributes, &field.name, field),
        }
    }
    let mut inputs = s.inputs.clone();
    for i in 0..s.blob_count() {
        let blob = s.raw_blob(i, "weights", "")?;
        let shape = blob.shape.clone();
        let tensor = blob.tensor(&shape).or_else(|_| blob.tensor(&[blob.len()]));
        let tensor = tensor.map_err(|error| crate::scope::Problem::Malformed(error.to_string()))?;
        inputs.push(s.constant(&format!("weights_{i}"), tensor));
    }
    let output = PortType::new(ElementType::Dynamic, PartialShape::UNKNOWN);
    let op = Custom {
        type_name: s.layer.kind.clone(),
        version: EXTENSION_OPSET.to_owned(),
        attributes,
        outputs: vec![output; s.layer.tops.len().max(1)],
        extension: extension.cloned(),
    };
    s.several(op, &inputs)
}

/// One attribute for a field; repeated fields are one list; fields inside of messages have both names, with a dot.
fn push(attributes: &mut Vec<(String, String)>, name: &str, field: &Field) {
    // An explicit stack: messages nest as deep as a text may have them.
    let mut open = vec![(name.to_owned(), field)];
    while let Some((name, field)) = open.pop() {
        let text = match &field.value {
            Value::Message(message) => {
                let inner = message.fields.iter().rev();
                open.extend(inner.map(|field| (format!("{name}.{}", field.name), field)));
                continue;
            }
            Value::Word(text) | Value::Text(text) => text.clone(),
            Value::Integer(value) => value.to_string(),
            Value::Real(value) => value.to_string(),
            Value::Blob(_) => continue,
        };
        match attributes.iter_mut().find(|(own, _)| *own == name) {
            Some((_, list)) => {
                list.push(',');
                list.push_str(&text);
            }
            None => attributes.push((name, text)),
        }
    }
}
