//! What the conversion of one node sees: its inputs, its attributes, and the model that it adds to.

use crate::{
    fold::Folder,
    graph::attr,
    proto::{NodeDef, attr_value::Value},
    tensor,
};
use ir::{ElementType, Model, ModelError, Op, Port, Tensor, op::Convert, op::PortType, op::Transpose};
use std::collections::HashSet;

/// Why a node was not converted.
#[derive(Debug)]
pub(crate) enum Problem {
    /// The node asks for something that has no conversion.
    Refused(String),
    /// The node does not fit its inputs.
    Invalid(ModelError),
    /// The node itself is malformed.
    Malformed(String),
}

impl From<ModelError> for Problem {
    fn from(error: ModelError) -> Self {
        Self::Invalid(error)
    }
}

/// The outputs of a converted node, by port.
pub(crate) type Converted = Result<Vec<Port>, Problem>;

pub(crate) fn refuse<T>(reason: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::Refused(reason.into()))
}

pub(crate) fn malformed<T>(reason: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::Malformed(reason.into()))
}

/// One node under conversion.
pub(crate) struct Scope<'a> {
    pub(crate) node: &'a NodeDef,
    pub(crate) inputs: Vec<Port>,
    pub(crate) model: &'a mut Model,
    pub(crate) folder: &'a mut Folder,
    /// The version of TensorFlow's op set that wrote the graph; 0 when it does not say.
    pub(crate) producer: i32,
    read: HashSet<&'static str>,
}

impl<'a> Scope<'a> {
    pub(crate) fn new(
        node: &'a NodeDef,
        inputs: Vec<Port>,
        model: &'a mut Model,
        folder: &'a mut Folder,
        producer: i32,
    ) -> Self {
        Self { node, inputs, model, folder, producer, read: HashSet::new() }
    }

    /// Input `i`.
    pub(crate) fn input(&self, i: usize) -> Result<Port, Problem> {
        let found = self.inputs.len();
        self.inputs
            .get(i)
            .copied()
            .map_or_else(|| malformed(format!("it has {found} inputs; input {i} is missing")), Ok)
    }

    /// Exactly `N` inputs.
    pub(crate) fn exactly<const N: usize>(&self) -> Result<[Port; N], Problem> {
        let found = self.inputs.len();
        <[Port; N]>::try_from(&self.inputs[..])
            .or_else(|_| malformed(format!("it has {found} inputs where {N} are expected")))
    }

    /// Adds a node that stands for the converted node itself; its first output.
    pub(crate) fn emit(&mut self, op: impl Into<Op>, inputs: &[Port]) -> Result<Port, Problem> {
        Ok(self.model.add(self.node.name.clone(), op, inputs)?.into())
    }

    /// Adds a node beside the one that stands for the converted node, `<name>/<suffix>`; its first output.
    pub(crate) fn add(&mut self, suffix: &str, op: impl Into<Op>, inputs: &[Port]) -> Result<Port, Problem> {
        Ok(self.model.add(format!("{}/{suffix}", self.node.name), op, inputs)?.into())
    }

    /// Emits an op of one output.
    pub(crate) fn one(&mut self, op: impl Into<Op>, inputs: &[Port]) -> Converted {
        Ok(vec![self.emit(op, inputs)?])
    }

    pub(crate) fn constant(&mut self, suffix: &str, tensor: Tensor) -> Port {
        self.model.add_constant(format!("{}/{suffix}", self.node.name), tensor).into()
    }

    pub(crate) fn i64s(&mut self, suffix: &str, values: &[i64]) -> Port {
        self.constant(suffix, Tensor::from_i64s(values))
    }

    /// A scalar of type `ty`.
    pub(crate) fn scalar(&mut self, suffix: &str, ty: ElementType, value: f64) -> Result<Port, Problem> {
        match Tensor::from_f64s(ty, &[], &[value]) {
            Ok(tensor) => Ok(self.constant(suffix, tensor)),
            Err(error) => malformed(error.to_string()),
        }
    }

    pub(crate) fn ty(&self, port: Port) -> &PortType {
        self.model.ty(port)
    }

    pub(crate) fn element_type(&self, port: Port) -> ElementType {
        self.ty(port).element_type
    }

    pub(crate) fn sizes(&self, port: Port) -> Option<Vec<usize>> {
        self.ty(port).shape.sizes()
    }

    /// The rank, which the conversion cannot do without.
    pub(crate) fn rank(&self, port: Port) -> Result<usize, Problem> {
        match self.ty(port).shape.rank() {
            Some(rank) => Ok(rank),
            None => {
                refuse("the rank of its input is not known; give the network's input a shape (--input_shape)")
            }
        }
    }

    /// The value of input `i`, which must not depend on an input of the network.
    pub(crate) fn folded(&mut self, i: usize) -> Result<Tensor, Problem> {
        let port = self.input(i)?;
        match self.folder.value(self.model, port) {
            Some(tensor) => Ok(tensor),
            None => refuse(format!(
                "its input {i} is not constant; a fixed shape for the network's inputs (--input_shape) may make it so"
            )),
        }
    }

    /// The value of input `i`, when it does not depend on an input of the network.
    pub(crate) fn try_folded(&mut self, i: usize) -> Option<Tensor> {
        let port = self.inputs.get(i).copied()?;
        self.folder.value(self.model, port)
    }

    pub(crate) fn integers(&mut self, i: usize) -> Result<Vec<i64>, Problem> {
        Ok(self.folded(i)?.to_i64s())
    }

    /// The integers of input `i`, a vector, as far as they are known without a run.
    pub(crate) fn partly_known(&mut self, i: usize) -> Result<Vec<Option<i64>>, Problem> {
        if let Some(tensor) = self.try_folded(i) {
            return Ok(tensor.to_i64s().into_iter().map(Some).collect());
        }
        let output = self.model.output(self.input(i)?);
        if let Some(intervals) = output.value.as_ref().and_then(|value| value.intervals()) {
            return Ok(intervals.into_iter().map(|interval| interval.value()).collect());
        }
        match output.ty.shape.sizes().as_deref() {
            Some(&[length]) if length <= ir::shape::MAX_RANK => Ok(vec![None; length]),
            _ => malformed(format!("input {i} is {}, expected a short vector", output.ty)),
        }
    }

    /// The one integer of input `i`.
    pub(crate) fn integer(&mut self, i: usize) -> Result<i64, Problem> {
        match self.integers(i)?[..] {
            [value] => Ok(value),
            ref other => malformed(format!("input {i} holds {} values where one is expected", other.len())),
        }
    }

    /// `port` in another element type.
    pub(crate) fn converted(&mut self, suffix: &str, port: Port, ty: ElementType) -> Result<Port, Problem> {
        if self.element_type(port) == ty { Ok(port) } else { self.add(suffix, Convert::to(ty), &[port]) }
    }

    pub(crate) fn transposed(&mut self, suffix: &str, port: Port, order: &[i64]) -> Result<Port, Problem> {
        let order = self.i64s(&format!("{suffix}/order"), order);
        self.add(suffix, Transpose, &[port, order])
    }

    // Attributes. Every one that is read is recorded; what is left over is refused.

    fn attr(&mut self, name: &'static str) -> Option<&'a Value> {
        self.read.insert(name);
        attr(self.node, name)
    }

    pub(crate) fn bool(&mut self, name: &'static str, default: bool) -> Result<bool, Problem> {
        match self.attr(name) {
            None => Ok(default),
            Some(Value::B(value)) => Ok(*value),
            Some(other) => wrong(name, "a bool", other),
        }
    }

    pub(crate) fn int(&mut self, name: &'static str, default: i64) -> Result<i64, Problem> {
        match self.attr(name) {
            None => Ok(default),
            Some(Value::I(value)) => Ok(*value),
            Some(other) => wrong(name, "an integer", other),
        }
    }

    pub(crate) fn float(&mut self, name: &'static str, default: f32) -> Result<f32, Problem> {
        match self.attr(name) {
            None => Ok(default),
            Some(Value::F(value)) => Ok(*value),
            Some(other) => wrong(name, "a float", other),
        }
    }

    pub(crate) fn text(&mut self, name: &'static str, default: &'static str) -> Result<&'a str, Problem> {
        match self.attr(name) {
            None => Ok(default),
            Some(Value::S(value)) => match std::str::from_utf8(value) {
                Ok(text) => Ok(text),
                Err(_) => malformed(format!("attribute `{name}` is not UTF-8")),
            },
            Some(other) => wrong(name, "a string", other),
        }
    }

    pub(crate) fn ints(&mut self, name: &'static str) -> Result<&'a [i64], Problem> {
        match self.attr(name) {
            None => Ok(&[]),
            Some(Value::List(list)) => Ok(&list.i),
            Some(other) => wrong(name, "a list of integers", other),
        }
    }

    pub(crate) fn dtype(&mut self, name: &'static str, default: ElementType) -> Result<ElementType, Problem> {
        match self.attr(name) {
            None => Ok(default),
            Some(Value::Type(ty)) => tensor::element_type(*ty).map_err(Problem::Refused),
            Some(other) => wrong(name, "a type", other),
        }
    }

    /// The attribute as it is.
    pub(crate) fn value(&mut self, name: &'static str) -> Option<&'a Value> {
        self.attr(name)
    }

    /// Attributes that say nothing about the result.
    pub(crate) fn ignore(&mut self, names: &[&'static str]) {
        self.read.extend(names);
    }

    /// Refuses attributes that nobody read. The types of inputs (`T`, `Tidx`, `Index`) lie in the tensors; `_class`
    /// and its like concern TensorFlow's run time.
    pub(crate) fn check_attributes(&self) -> Result<(), Problem> {
        for (name, value) in &self.node.attr {
            let of_inputs = name.starts_with('T') || matches!(name.as_str(), "Index" | "index_type");
            let is_type = of_inputs && matches!(value.value, Some(Value::Type(_)));
            if !is_type && !name.starts_with('_') && !self.read.contains(name.as_str()) {
                return refuse(format!("its attribute `{name}` is not understood"));
            }
        }
        Ok(())
    }
}

fn wrong<T>(name: &str, expected: &str, found: &Value) -> Result<T, Problem> {
    let found = match found {
        Value::List(_) => "a list",
        Value::S(_) => "a string",
        Value::I(_) => "an integer",
        Value::F(_) => "a float",
        Value::B(_) => "a bool",
        Value::Type(_) => "a type",
        Value::Shape(_) => "a shape",
        Value::Tensor(_) => "a tensor",
        Value::Placeholder(_) => "a placeholder",
        Value::Func(_) => "a function",
    };
    malformed(format!("attribute `{name}` is {found}, expected {expected}"))
}
