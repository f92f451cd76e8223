//! Which inputs and outputs a network is to have: placed by name, whatever framework the network comes from.

use crate::{ElementType, PartialShape, Tensor, element_count};

/// An input that the caller asks for: another type or shape of an input, a cut through the graph, or a value that
/// replaces a tensor.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct InputSpec {
    /// Where: `node`, `node:1` (an output port) or `0:node` (an input port).
    ///
    /// An input of the network keeps its name. Any other `node` stays in the model and each of its inputs that is
    /// not constant becomes a model input.
    pub place: String,
    /// The shape, in the network's own layout; `None` for what the network says.
    pub shape: Option<PartialShape>,
    /// The element type; `None` for what the network says.
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

/// A place in a graph as the user writes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Place<'a> {
    /// A node: `a/b`.
    Node(&'a str),
    /// An output of a node: `a/b:1`.
    Output(&'a str, usize),
    /// An input of a node: `0:a/b`.
    Input(&'a str, usize),
}

impl<'a> Place<'a> {
    /// Reads a place. Text that holds no port number is the name of a node.
    pub fn parse(text: &'a str) -> Self {
        if let Some((port, node)) = text.split_once(':')
            && let Ok(port) = port.parse()
        {
            return Self::Input(node, port);
        }
        match text.rsplit_once(':').map(|(node, port)| (node, port.parse())) {
            Some((node, Ok(port))) => Self::Output(node, port),
            _ => Self::Node(text),
        }
    }

    /// The node's name.
    pub fn node(self) -> &'a str {
        match self {
            Self::Node(node) | Self::Output(node, _) | Self::Input(node, _) => node,
        }
    }
}

impl FrozenValue {
    /// The numbers as elements of type `ty`; the error says which is none.
    pub fn tensor(&self, ty: ElementType, shape: Option<Vec<usize>>) -> Result<Tensor, String> {
        let (words, own_shape) = match self {
            Self::Scalar(word) => (std::slice::from_ref(word), vec![]),
            Self::List(words) => (&words[..], vec![words.len()]),
        };
        let shape = shape.unwrap_or(own_shape);
        if element_count(&shape) != Some(words.len()) {
            return Err(format!("{} values cannot fill the shape {shape:?}", words.len()));
        }
        let fail = |word: &str| format!("`{word}` is no value of type {ty}");
        let tensor = if ty.is_float() {
            let values: Result<Vec<f64>, _> =
                words.iter().map(|w| w.trim().parse().map_err(|_| fail(w))).collect();
            Tensor::from_f64s(ty, &shape, &values?)
        } else {
            let parse = |word: &String| match word.trim().to_ascii_lowercase().as_str() {
                "true" if ty == ElementType::Boolean => Ok(1),
                "false" if ty == ElementType::Boolean => Ok(0),
                number => number.parse().map_err(|_| fail(word)),
            };
            let values: Result<Vec<i64>, _> = words.iter().map(parse).collect();
            Tensor::from_i64_values(ty, &shape, &values?)
        };
        tensor.map_err(|e| e.to_string())
    }
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
        let flag = scalar("False").tensor(ElementType::Boolean, None).unwrap();
        assert_eq!((flag.to_i64s(), flag.shape().len()), (vec![0], 0));
        assert_eq!(scalar("0.5").tensor(ElementType::F32, None).unwrap().to_f64s(), [0.5]);
        let vector = list.tensor(ElementType::I32, None).unwrap();
        assert_eq!((vector.to_i64s(), vector.shape()), (vec![1, -2], &[2][..]));
        assert_eq!(list.tensor(ElementType::F32, Some(vec![2, 1])).unwrap().shape(), [2, 1]);
        assert!(list.tensor(ElementType::F32, Some(vec![3])).is_err());
        assert!(scalar("1.5").tensor(ElementType::I32, None).is_err());
    }
}
