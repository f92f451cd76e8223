//! Which inputs and outputs a converted model is to have.

use crate::graph::split_port;
use ir::{ElementType, PartialShape};

/// An input of the model that the caller asks for: another type or shape of a placeholder, a cut through the graph,
/// or a value that replaces a tensor.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct InputSpec {
    /// Where: `node`, `node:1` (an output port) or `0:node` (an input port).
    ///
    /// A placeholder keeps its name. Any other `node` stays in the model and each of its inputs that is not
    /// constant becomes a model input.
    pub place: String,
    /// The shape, in the graph's own layout; `None` for what the graph says.
    pub shape: Option<PartialShape>,
    /// The element type; `None` for what the graph says.
    pub element_type: Option<ElementType>,
    /// The value that the tensor shall have; then there is no such model input.
    pub value: Option<FrozenValue>,
}

impl InputSpec {
    /// The place alone.
    pub fn at(place: impl Into<String>) -> Self {
        Self { place: place.into(), ..Self::default() }
    }
}

/// A value as the user wrote it; its element type is the tensor's. Booleans are `True` and `False`, or numbers.
#[derive(Debug, Clone, PartialEq)]
pub enum FrozenValue {
    /// One number.
    Scalar(String),
    /// A list, of the shape that the input is given, else a vector.
    List(Vec<String>),
}

/// How a graph is converted.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options {
    /// The name of the model.
    pub name: String,
    /// Inputs other than the graph's placeholders as they are. They come first in the model, in this order.
    pub inputs: Vec<InputSpec>,
    /// The outputs, in this order: `node`, `node:1` or `0:node` (what the input port takes). Empty: what looks like
    /// the graph's one output.
    pub outputs: Vec<String>,
    /// Keep ops that have no conversion as opaque custom ops instead of refusing them.
    pub custom_ops: bool,
}

/// A place in the graph as the user writes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Place<'a> {
    Node(&'a str),
    Output(&'a str, usize),
    Input(&'a str, usize),
}

impl<'a> Place<'a> {
    pub(crate) fn parse(text: &'a str) -> Self {
        if let Some((port, node)) = text.split_once(':')
            && let Ok(port) = port.parse()
        {
            return Self::Input(node, port);
        }
        match split_port(text) {
            (node, _) if node.len() == text.len() => Self::Node(text),
            (node, port) => Self::Output(node, port),
        }
    }

    pub(crate) fn node(self) -> &'a str {
        match self {
            Self::Node(node) | Self::Output(node, _) | Self::Input(node, _) => node,
        }
    }
}

/// Reads the numbers of a frozen value as elements of type `ty`.
pub(crate) fn frozen_tensor(
    value: &FrozenValue,
    ty: ElementType,
    shape: Option<Vec<usize>>,
) -> Result<ir::Tensor, String> {
    let (words, own_shape) = match value {
        FrozenValue::Scalar(word) => (std::slice::from_ref(word), vec![]),
        FrozenValue::List(words) => (&words[..], vec![words.len()]),
    };
    let shape = shape.unwrap_or(own_shape);
    let count = ir::element_count(&shape);
    if count != Some(words.len()) {
        return Err(format!("{} values cannot fill the shape {shape:?}", words.len()));
    }
    let fail = |word: &str| format!("`{word}` is no value of type {ty}");
    let tensor = if ty.is_float() {
        let values: Result<Vec<f64>, _> =
            words.iter().map(|w| w.trim().parse().map_err(|_| fail(w))).collect();
        ir::Tensor::from_f64s(ty, &shape, &values?)
    } else {
        let parse = |word: &String| match word.trim().to_ascii_lowercase().as_str() {
            "true" if ty == ElementType::Boolean => Ok(1),
            "false" if ty == ElementType::Boolean => Ok(0),
            number => number.parse().map_err(|_| fail(word)),
        };
        let values: Result<Vec<i64>, _> = words.iter().map(parse).collect();
        ir::Tensor::from_i64_values(ty, &shape, &values?)
    };
    tensor.map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_apart() {
        assert_eq!(Place::parse("a/b"), Place::Node("a/b"));
        assert_eq!(Place::parse("a/b:1"), Place::Output("a/b", 1));
        assert_eq!(Place::parse("2:a/b"), Place::Input("a/b", 2));
        assert_eq!(Place::parse("a:b"), Place::Node("a:b"));
    }

    #[test]
    fn values_are_read_in_the_tensors_type() {
        let scalar = |text: &str| FrozenValue::Scalar(text.into());
        let list = FrozenValue::List(vec!["1".into(), "-2".into()]);
        let flag = frozen_tensor(&scalar("False"), ElementType::Boolean, None).unwrap();
        assert_eq!((flag.to_i64s(), flag.shape().len()), (vec![0], 0));
        assert_eq!(frozen_tensor(&scalar("0.5"), ElementType::F32, None).unwrap().to_f64s(), [0.5]);
        let vector = frozen_tensor(&list, ElementType::I32, None).unwrap();
        assert_eq!((vector.to_i64s(), vector.shape()), (vec![1, -2], &[2][..]));
        assert_eq!(frozen_tensor(&list, ElementType::F32, Some(vec![2, 1])).unwrap().shape(), [2, 1]);
        assert!(frozen_tensor(&list, ElementType::F32, Some(vec![3])).is_err());
        assert!(frozen_tensor(&scalar("1.5"), ElementType::I32, None).is_err());
    }
}
