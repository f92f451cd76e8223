//! Which inputs and outputs a network is to have: placed by name, whatever framework the network comes from.

use crate::{
    ElementType, Model, ModelError, NodeId, Op, PartialShape, Port, Tensor, element_count, op::PortType,
};
use thiserror::Error;

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

/// Why a model cannot be cut as asked.
#[derive(Debug, Error, Clone, PartialEq)]
#[non_exhaustive]
pub enum CutError {
    /// There is no such node.
    #[error("there is no node '{name}' in the network{}", similar.as_ref().map_or(String::new(), |s| format!("; did you mean '{s}'?")))]
    NoSuchNode {
        /// The name.
        name: String,
        /// The node that is called most like it.
        similar: Option<String>,
    },
    /// The node has no such input or output.
    #[error("'{node}' ({op}) has no {kind} {port}; it has {count}")]
    NoSuchPort {
        /// The node.
        node: String,
        /// Its type.
        op: String,
        /// `input` or `output`.
        kind: &'static str,
        /// The number that was asked for.
        port: usize,
        /// How many there are.
        count: usize,
    },
    /// An input that cannot be placed there, or not with that shape, type or value.
    #[error("input '{place}': {problem}")]
    Input {
        /// What the user wrote.
        place: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The model does not accept the change.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// Gives `model` the inputs that `inputs` ask for, first and in this order, and `outputs` in place of its own (none:
/// its own). What then feeds no output goes, inputs included.
pub fn cut(model: &mut Model, inputs: &[InputSpec], outputs: &[String]) -> Result<(), CutError> {
    // An uncut network keeps all its inputs, in use or not.
    let is_cut = !(inputs.is_empty() && outputs.is_empty());
    let outputs: Vec<(Port, &str)> = outputs
        .iter()
        .map(|text| Ok((output_place(model, text)?, &text[..])))
        .collect::<Result<_, CutError>>()?;
    let mut placed: Vec<(NodeId, &str)> = Vec::new();
    let mut moved: Vec<(Port, Port)> = Vec::new();
    for spec in inputs {
        for at in places(model, spec)? {
            let new = replacement(model, spec, &at)?;
            if let Op::Parameter(_) = model.node(new.node).op {
                placed.push((new.node, &spec.place));
            }
            match at.input {
                Some((node, input)) => model.set_input(node, input, new),
                None if new != at.source => {
                    for (node, input) in model.consumers(at.source) {
                        model.set_input(node, input, new);
                    }
                    moved.push((at.source, new));
                }
                None => {}
            }
        }
    }
    if !outputs.is_empty() {
        for id in model.results().to_vec() {
            model.remove(id);
        }
        for (port, text) in outputs {
            let from = moved.iter().find(|(old, _)| *old == port).map_or(port, |(_, new)| *new);
            let node = Place::parse(text).node();
            model.add_result(format!("{node}/sink_port_{}", port.index), from)?;
        }
    }
    model.remove_dead();
    let unused = |model: &Model, id: NodeId| model.users_of(id).next().is_none();
    if let Some((_, place)) = placed.iter().find(|(id, _)| unused(model, *id)) {
        let problem = "the outputs do not depend on it".to_owned();
        return Err(CutError::Input { place: (*place).to_owned(), problem });
    }
    if is_cut {
        for id in model.parameters().to_vec() {
            if unused(model, id) {
                model.remove(id);
            }
        }
    }
    let mut order = model.parameters().to_vec();
    order.sort_by_key(|id| placed.iter().position(|(p, _)| p == id).unwrap_or(usize::MAX));
    model.set_parameter_order(order);
    Ok(model.infer()?)
}

/// Where a tensor is replaced: for one input of one node, or for all who take it.
struct Cut {
    source: Port,
    input: Option<(NodeId, usize)>,
    name: String,
}

/// The tensors that an input spec replaces.
fn places(model: &Model, spec: &InputSpec) -> Result<Vec<Cut>, CutError> {
    let fail = |problem: String| CutError::Input { place: spec.place.clone(), problem };
    let (node, place) = find(model, &spec.place)?;
    let found = model.node(node);
    let whole = |port: usize, name: String| Cut { source: node.output(port), input: None, name };
    let one = |i: usize| Cut {
        source: found.inputs()[i],
        input: Some((node, i)),
        name: format!("{}/placeholder_port_{i}", found.name),
    };
    let is_source = found.inputs().is_empty();
    match place {
        Place::Node(_) | Place::Output(_, 0) | Place::Input(_, 0) if is_source => {
            Ok(vec![whole(0, found.name.clone())])
        }
        Place::Node(_) if spec.value.is_some() => Ok(vec![whole(0, found.name.clone())]),
        Place::Node(_) => {
            let data = |i: &usize| model.output(found.inputs()[*i]).value.is_none();
            let cuts: Vec<Cut> = (0..found.inputs().len()).filter(data).map(one).collect();
            let op = found.op.type_name();
            if cuts.is_empty() {
                return Err(fail(format!(
                    "all inputs of {op} are constant; '{}:0' is what it computes",
                    found.name
                )));
            }
            if cuts.len() > 1 && (spec.shape.is_some() || spec.element_type.is_some()) {
                let (count, name) = (cuts.len(), &found.name);
                return Err(fail(format!("{op} has {count} inputs; name one of them as '0:{name}'")));
            }
            Ok(cuts)
        }
        Place::Output(_, port) => {
            check_port(model, node, "output", port, found.outputs().len())?;
            Ok(vec![whole(port, format!("{}/placeholder_out_port_{port}", found.name))])
        }
        Place::Input(_, i) => {
            check_port(model, node, "input", i, found.inputs().len())?;
            Ok(vec![one(i)])
        }
    }
}

/// The constant or the input that stands where `at` was.
fn replacement(model: &mut Model, spec: &InputSpec, at: &Cut) -> Result<Port, CutError> {
    let fail = |problem: String| CutError::Input { place: spec.place.clone(), problem };
    let found = model.ty(at.source).clone();
    let ty = PortType::new(
        spec.element_type.unwrap_or(found.element_type),
        spec.shape.clone().unwrap_or_else(|| found.shape.clone()),
    );
    let names = model.output(at.source).names.clone();
    let new: Port = match &spec.value {
        Some(value) => {
            let given = spec.shape.as_ref().map(|shape| {
                shape.sizes().ok_or_else(|| fail(format!("a value needs a fixed shape, not {shape}")))
            });
            let sizes = given.transpose()?.or_else(|| found.shape.sizes());
            let tensor = value.tensor(ty.element_type, sizes).map_err(fail)?;
            model.add_constant(at.name.clone(), tensor).into()
        }
        None => {
            if ty.element_type == ElementType::Dynamic {
                return Err(fail("its type is not known; give it one, as in `{f32}`".to_owned()));
            }
            if at.input.is_none()
                && let Op::Parameter(parameter) = &mut model.node_mut(at.source.node).op
            {
                (parameter.element_type, parameter.shape) = (ty.element_type, ty.shape);
                model.infer_node(at.source.node)?;
                return Ok(at.source);
            }
            model.add_parameter(at.name.clone(), ty.element_type, ty.shape).into()
        }
    };
    *model.names_mut(new) = if at.input.is_none() { names } else { vec![at.name.clone()] };
    if at.input.is_none() {
        model.names_mut(at.source).clear();
    }
    Ok(new)
}

/// The tensor that an output's text names.
fn output_place(model: &Model, text: &str) -> Result<Port, CutError> {
    // Tensors that go by that very name need no port.
    if let Some(port) = model.find_port(text) {
        return Ok(result_source(model, port));
    }
    let (node, place) = find(model, text)?;
    match place {
        Place::Node(_) => Ok(node.into()),
        Place::Output(_, port) => {
            check_port(model, node, "output", port, model.node(node).outputs().len())?;
            Ok(node.output(port))
        }
        Place::Input(_, i) => {
            check_port(model, node, "input", i, model.node(node).inputs().len())?;
            Ok(model.node(node).inputs()[i])
        }
    }
    .map(|port| result_source(model, port))
}

/// A result is no tensor of its own.
fn result_source(model: &Model, port: Port) -> Port {
    match model.node(port.node).op {
        Op::OpResult(_) => model.node(port.node).inputs()[0],
        _ => port,
    }
}

fn check_port(
    model: &Model,
    node: NodeId,
    kind: &'static str,
    port: usize,
    count: usize,
) -> Result<(), CutError> {
    if port < count {
        return Ok(());
    }
    let found = model.node(node);
    Err(CutError::NoSuchPort {
        node: found.name.clone(),
        op: found.op.type_name().to_owned(),
        kind,
        port,
        count,
    })
}

/// The node that a text is about, by the node's name or its tensor's, and which of its ports.
fn find<'a>(model: &Model, text: &'a str) -> Result<(NodeId, Place<'a>), CutError> {
    if let Some(port) = model.find_port(text) {
        let place = if port.index == 0 { Place::Node(text) } else { Place::Output(text, port.index) };
        return Ok((port.node, place));
    }
    let place = Place::parse(text);
    match model.find_port(place.node()) {
        Some(port) => Ok((port.node, place)),
        None => Err(CutError::NoSuchNode { name: text.to_owned(), similar: similar(model, place.node()) }),
    }
}

/// The node whose name is the same but for case or scope.
fn similar(model: &Model, name: &str) -> Option<String> {
    let last = |name: &str| name.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let wanted = last(name);
    model.nodes().map(|(_, node)| &node.name).find(|known| last(known) == wanted).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        evaluate,
        op::{Binary, BinaryKind, Split, Unary},
    };

    /// `y = exp(relu(x) + bias)`, and the halves of `y`.
    fn network() -> Model {
        let mut model = Model::new("m");
        let x = model.add_parameter("x", ElementType::F32, "[2]".parse().unwrap());
        let bias = model.add_parameter("bias", ElementType::F32, "[2]".parse().unwrap());
        let relu = model.add("relu", Unary::Relu, &[x.into()]).unwrap();
        let sum = model.add("sum", Binary::new(BinaryKind::Add), &[relu.into(), bias.into()]).unwrap();
        model.names_mut(sum.into()).push("scope/sum_blob".to_owned());
        let y = model.add("y", Unary::Exp, &[sum.into()]).unwrap();
        let axis = model.add_constant("axis", Tensor::scalar(0i64));
        let halves = model.add("halves", Split { num_splits: 2 }, &[y.into(), axis.into()]).unwrap();
        model.add_result("y", y.into()).unwrap();
        model.add_result("low", halves.into()).unwrap();
        model
    }

    fn names(model: &Model, ids: &[NodeId]) -> Vec<String> {
        ids.iter().map(|id| model.node(*id).name.clone()).collect()
    }

    #[test]
    fn outputs_are_chosen_by_node_tensor_and_port() {
        for (text, ty, nodes) in [
            ("sum", "f32[2]", 5),
            ("scope/sum_blob", "f32[2]", 5),
            ("0:y", "f32[2]", 5),
            ("halves:1", "f32[1]", 8),
            ("low", "f32[1]", 8),
        ] {
            let mut model = network();
            cut(&mut model, &[], &[text.to_owned()]).unwrap();
            assert_eq!(model.ty(model.results()[0].into()).to_string(), ty, "{text}");
            assert_eq!((model.results().len(), model.len()), (1, nodes), "{text}\n{model}");
        }
    }

    #[test]
    fn inputs_are_retyped_cut_and_frozen() {
        let mut model = network();
        let wider = InputSpec { shape: Some("[4]".parse().unwrap()), ..InputSpec::at("bias") };
        let too = InputSpec { shape: Some("[?]".parse().unwrap()), ..InputSpec::at("x") };
        cut(&mut model, &[wider, too], &[]).unwrap();
        assert_eq!(names(&model, model.parameters()), ["bias", "x"]);
        assert_eq!(model.ty(model.results()[0].into()).to_string(), "f32[4]");

        let mut model = network();
        cut(&mut model, &[InputSpec::at("sum")], &["y".to_owned()]).unwrap();
        assert_eq!(names(&model, model.parameters()), ["sum/placeholder_port_0", "sum/placeholder_port_1"]);

        let mut model = network();
        cut(&mut model, &[InputSpec::at("sum:0")], &["y".to_owned()]).unwrap();
        assert_eq!(names(&model, model.parameters()), ["sum/placeholder_out_port_0"]);
        let ones = Tensor::from_slice(&[2], &[0.0f32, 1.0]).unwrap();
        assert_eq!(evaluate(&model, &[ones]).unwrap()[0].to_f64s()[0], 1.0);

        let mut model = network();
        let value = Some(FrozenValue::List(vec!["1".into(), "-1".into()]));
        cut(&mut model, &[InputSpec { value, ..InputSpec::at("bias") }], &["sum".to_owned()]).unwrap();
        let x = Tensor::from_slice(&[2], &[-3.0f32, 3.0]).unwrap();
        assert_eq!(evaluate(&model, &[x]).unwrap()[0].to_f64s(), [1.0, 2.0]);
    }

    #[test]
    fn what_is_not_there_is_told() {
        let value = |text: &str| Some(FrozenValue::Scalar(text.into()));
        for (input, output, part) in [
            (InputSpec::at("Sum"), "", "did you mean 'sum'"),
            (InputSpec::at("3:sum"), "", "has no input 3; it has 2"),
            (InputSpec::at("y"), "sum", "do not depend"),
            (InputSpec { value: value("1"), ..InputSpec::at("bias") }, "", "cannot fill"),
            (InputSpec { shape: Some("[1]".parse().unwrap()), ..InputSpec::at("sum") }, "", "0:sum"),
            (InputSpec::at("x"), "halves:2", "has no output 2"),
            (InputSpec { element_type: Some(ElementType::F16), ..InputSpec::at("x") }, "", "must agree"),
        ] {
            let outputs: Vec<String> =
                [output].iter().filter(|o| !o.is_empty()).map(|o| (*o).to_owned()).collect();
            let error = cut(&mut network(), std::slice::from_ref(&input), &outputs).unwrap_err().to_string();
            assert!(error.contains(part), "{input:?}: {error}");
        }
    }

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
