//! Ops that own a graph: branches and loops.

use super::{Inputs, OpError, OpErrorKind, Operator, PortType};
use crate::{
    Dim, ElementType, Model, ModelError, Op, PartialShape, Tensor,
    attribute::{Visit, Visitor},
    evaluate::evaluate,
};
use std::sync::Arc;

/// No loop that ends runs longer; one that doesn't would never answer.
const MOST_ITERATIONS: u64 = 1 << 24;
/// Shapes that change from one iteration to the next: each try knows less of them, the last nothing.
const MOST_TRIES: usize = 8;

/// A branch of [`If`].
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Branch {
    /// The graph.
    pub model: Arc<Model>,
    /// Which input of the op goes to which of the graph's parameters; every parameter has one.
    pub inputs: Vec<(usize, usize)>,
    /// Which of the graph's results is which output of the op.
    pub outputs: Vec<(usize, usize)>,
}

/// One of two graphs, as the first input says.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct If {
    /// Runs when the condition is true.
    pub then_body: Branch,
    /// Runs when it is not.
    pub else_body: Branch,
}

/// Which part of a tensor an iteration takes or gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slices {
    /// The axis.
    pub axis: i64,
    /// Where the first begins; negative numbers count from the end.
    pub start: i64,
    /// Where the last ends.
    pub end: i64,
    /// From one to the next; negative from the end on.
    pub stride: i64,
    /// Elements of one.
    pub part_size: i64,
}

impl Default for Slices {
    fn default() -> Self {
        Self { axis: 0, start: 0, end: -1, stride: 1, part_size: 1 }
    }
}

/// An input of a loop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoopInput {
    /// The input of the op.
    pub input: usize,
    /// The body's parameter.
    pub parameter: usize,
    /// Where iterations take a slice each.
    pub slices: Option<Slices>,
}

/// An output of a loop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoopOutput {
    /// The body's result.
    pub result: usize,
    /// The output of the op.
    pub output: usize,
    /// Where the iterations' slices are joined; else the last iteration's value.
    pub slices: Option<Slices>,
}

/// A body that runs again and again.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Loop {
    /// What runs.
    pub body: Arc<Model>,
    /// What goes in.
    pub inputs: Vec<LoopInput>,
    /// What comes out.
    pub outputs: Vec<LoopOutput>,
    /// Results that become parameters in the next iteration.
    pub back_edges: Vec<(usize, usize)>,
    /// For `Loop`: its first two inputs are the number of iterations (below 0: no limit) and whether to begin.
    pub counted: Option<Counted>,
}

/// What only `Loop` has, not `TensorIterator`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counted {
    /// The body's parameter that gets the number of the iteration.
    pub iteration: Option<usize>,
    /// The body's result that says whether to go on.
    pub condition: Option<usize>,
}

/// IR files hold bodies and port maps as elements, which the reader and the writer know.
impl Visit for If {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}

/// See [`If`].
impl Visit for Loop {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}

fn in_body(error: ModelError) -> OpError {
    OpError::new(OpErrorKind::Unsupported, format!("in its body: {error}"))
}

/// The types of the results of `body` on parameters of these types.
fn body_types(body: &Model, parameters: &[PortType]) -> Result<Vec<PortType>, OpError> {
    let mut body = body.clone();
    for (id, ty) in body.parameters().to_vec().into_iter().zip(parameters) {
        if let Op::Parameter(parameter) = &mut body.node_mut(id).op {
            parameter.shape = ty.shape.clone();
            if ty.element_type != ElementType::Dynamic {
                parameter.element_type = ty.element_type;
            }
        }
    }
    body.infer().map_err(in_body)?;
    Ok(body.results().iter().map(|id| body.ty((*id).into()).clone()).collect())
}

/// A body that takes tensors of whatever shape.
fn open(body: &Model) -> Model {
    let mut body = body.clone();
    for id in body.parameters().to_vec() {
        body.set_parameter_shape(id, PartialShape::UNKNOWN);
    }
    body
}

/// What both may be; nothing is known of a dimension, or a rank, in which they differ.
fn either(a: &PortType, b: &PortType) -> Result<PortType, OpError> {
    if a.element_type != b.element_type {
        return Err(OpError::element_type(format!("a body gives {a} here and {b} there; types must agree")));
    }
    let shape = match (a.shape.dims(), b.shape.dims()) {
        (Some(a), Some(b)) if a.len() == b.len() => {
            PartialShape::new(a.iter().zip(b).map(|(a, b)| if a == b { *a } else { Dim::ANY_DIM }))
        }
        _ => PartialShape::UNKNOWN,
    };
    Ok(PortType::new(a.element_type, shape))
}

/// The numbers that `pairs` should have one each of, below `count`.
fn one_each(what: &str, count: usize, found: impl Iterator<Item = usize>) -> Result<(), OpError> {
    let mut seen = vec![false; count];
    for i in found {
        let free = seen.get_mut(i).filter(|seen| !**seen);
        *free.ok_or_else(|| {
            OpError::attribute(format!("{what} {i} is mapped twice or does not exist; there are {count}"))
        })? = true;
    }
    match seen.iter().position(|seen| !seen) {
        Some(i) => Err(OpError::attribute(format!("{what} {i} of {count} is not mapped"))),
        None => Ok(()),
    }
}

impl Branch {
    fn check(&self, inputs: usize) -> Result<(), OpError> {
        let model = &self.model;
        one_each("parameter", model.parameters().len(), self.inputs.iter().map(|(_, to)| *to))?;
        one_each("output", self.outputs.len(), self.outputs.iter().map(|(_, to)| *to))?;
        let from_ends = self.inputs.iter().all(|(from, _)| *from < inputs)
            && self.outputs.iter().all(|(from, _)| *from < model.results().len());
        from_ends.then_some(()).ok_or_else(|| {
            OpError::attribute("the port map of a branch names an input or result that does not exist")
        })
    }

    /// What the parameters get, of what the op gets.
    fn arguments<T: Clone>(&self, inputs: &[T]) -> Vec<T> {
        let mut order = self.inputs.clone();
        order.sort_by_key(|(_, parameter)| *parameter);
        order.iter().map(|(input, _)| inputs[*input].clone()).collect()
    }

    /// What the op gives, of what the results give.
    fn answers<T: Clone>(&self, results: &[T]) -> Vec<T> {
        let mut order = self.outputs.clone();
        order.sort_by_key(|(_, output)| *output);
        order.iter().map(|(result, _)| results[*result].clone()).collect()
    }
}

impl If {
    fn check(&self, inputs: usize) -> Result<(), OpError> {
        if inputs == 0 {
            return Err(OpError::new(OpErrorKind::InputCount, "takes a condition, found no input"));
        }
        self.then_body.check(inputs)?;
        self.else_body.check(inputs)?;
        let (a, b) = (self.then_body.outputs.len(), self.else_body.outputs.len());
        (a == b)
            .then_some(())
            .ok_or_else(|| OpError::attribute(format!("its branches give {a} and {b} outputs")))
    }

    fn branch(&self, condition: &Tensor) -> Result<&Branch, OpError> {
        match condition.to_i64s()[..] {
            [0] => Ok(&self.else_body),
            [_] => Ok(&self.then_body),
            _ => {
                Err(OpError::shape(format!("the condition is {:?}, expected one element", condition.shape())))
            }
        }
    }
}

impl Operator for If {
    fn type_name(&self) -> &str {
        "If"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        self.check(inputs.len())?;
        let types: Vec<PortType> = inputs.0.iter().map(|input| input.ty.clone()).collect();
        let of = |branch: &Branch| -> Result<Vec<PortType>, OpError> {
            Ok(branch.answers(&body_types(&branch.model, &branch.arguments(&types))?))
        };
        if let Some(condition) = inputs.tensor(0) {
            return of(self.branch(condition)?);
        }
        let (a, b) = (of(&self.then_body)?, of(&self.else_body)?);
        a.iter().zip(&b).map(|(a, b)| either(a, b)).collect()
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        self.check(inputs.len())?;
        let branch = self.branch(&inputs[0])?;
        Ok(branch.answers(&evaluate(&open(&branch.model), &branch.arguments(inputs)).map_err(in_body)?))
    }

    fn owns_graph(&self) -> bool {
        true
    }
}

impl Slices {
    /// The axis in a tensor of a rank, and in it the first element of every slice, of a dimension of a size.
    fn starts(&self, rank: usize, size: usize) -> Result<Vec<usize>, OpError> {
        let bad = || OpError::attribute(format!("the slices {self:?} do not divide a dimension of {size}"));
        let size = i64::try_from(size).map_err(|_| bad())?;
        self.axis(rank)?;
        // As OpenVINO has it: -1 is behind the last element where slices end, or begin from the end.
        let place = |at: i64| if at < 0 { at + size + 1 } else { at };
        let (start, end) = (place(self.start), place(self.end));
        let (low, high) = (start.min(end), start.max(end));
        let forward = self.stride > 0;
        let length = high - low;
        if self.stride == 0
            || self.stride.checked_abs() != Some(self.part_size)
            || low < 0
            || high > size
            || (start > end) == forward && start != end
            || length % self.part_size != 0
        {
            return Err(bad());
        }
        let first: Vec<usize> =
            (0..length / self.part_size).map(|i| (low + i * self.part_size) as usize).collect();
        Ok(if forward { first } else { first.into_iter().rev().collect() })
    }

    fn axis(&self, rank: usize) -> Result<usize, OpError> {
        let axis = if self.axis < 0 { self.axis.checked_add_unsigned(rank as u64) } else { Some(self.axis) };
        let axis = axis.and_then(|axis| usize::try_from(axis).ok()).filter(|axis| *axis < rank);
        axis.ok_or_else(|| {
            OpError::attribute(format!("axis {} of slices of a tensor of rank {rank}", self.axis))
        })
    }

    /// The shape with another size along the axis.
    fn resized(&self, shape: &PartialShape, size: Dim) -> Result<PartialShape, OpError> {
        let Some(dims) = shape.dims() else { return Ok(PartialShape::UNKNOWN) };
        let mut dims = dims.to_vec();
        let axis = self.axis(dims.len())?;
        dims[axis] = size;
        Ok(PartialShape::new(dims))
    }

    fn part(&self) -> Result<usize, OpError> {
        usize::try_from(self.part_size)
            .ok()
            .filter(|size| *size > 0)
            .ok_or_else(|| OpError::attribute(format!("slices of {} elements", self.part_size)))
    }
}

/// Rows of `inner` bytes, `along` of them for each of the outer indices.
struct Blocks {
    outer: usize,
    along: usize,
    inner: usize,
}

fn blocks(tensor: &Tensor, axis: usize) -> Result<Blocks, OpError> {
    let shape = tensor.shape();
    let count = |dims: &[usize]| dims.iter().product::<usize>();
    let inner = tensor.element_type().byte_len(count(&shape[axis + 1..]));
    let whole = inner
        .filter(|_| tensor.element_type().byte_len(8) == tensor.element_type().byte_len(1).map(|n| 8 * n));
    let inner = whole.ok_or_else(|| {
        OpError::element_type(format!(
            "elements of {} lie within bytes; they are not sliced",
            tensor.element_type()
        ))
    })?;
    Ok(Blocks { outer: count(&shape[..axis]), along: shape[axis], inner })
}

/// Elements `start..start + size` along an axis.
fn slice(tensor: &Tensor, axis: usize, start: usize, size: usize) -> Result<Tensor, OpError> {
    let Blocks { outer, along, inner } = blocks(tensor, axis)?;
    let mut bytes = Vec::with_capacity(outer * size * inner);
    for i in 0..outer {
        bytes.extend_from_slice(&tensor.bytes()[(i * along + start) * inner..][..size * inner]);
    }
    let mut shape = tensor.shape().to_vec();
    shape[axis] = size;
    Ok(Tensor::new(tensor.element_type(), shape, bytes.into())?)
}

/// One behind the other along an axis.
fn join(tensors: &[Tensor], axis: usize) -> Result<Tensor, OpError> {
    let first = &tensors[0];
    let mut shape = first.shape().to_vec();
    shape[axis] = 0;
    let parts: Vec<Blocks> = tensors.iter().map(|tensor| blocks(tensor, axis)).collect::<Result<_, _>>()?;
    for (tensor, part) in tensors.iter().zip(&parts) {
        let mut other = tensor.shape().to_vec();
        if other.len() != shape.len() || tensor.element_type() != first.element_type() {
            return Err(OpError::shape(
                "the iterations give tensors of several ranks or types to one output",
            ));
        }
        shape[axis] += part.along;
        other[axis] = shape[axis];
        if other != shape {
            return Err(OpError::shape(format!("the iterations give {shape:?} and {other:?} to one output")));
        }
    }
    let mut bytes = Vec::new();
    for i in 0..parts[0].outer {
        for (tensor, part) in tensors.iter().zip(&parts) {
            let row = part.along * part.inner;
            bytes.extend_from_slice(&tensor.bytes()[i * row..][..row]);
        }
    }
    Ok(Tensor::new(first.element_type(), shape, bytes.into())?)
}

impl Loop {
    fn check(&self, inputs: usize) -> Result<(), OpError> {
        let (parameters, results) = (self.body.parameters().len(), self.body.results().len());
        let iteration = self.counted.and_then(|counted| counted.iteration);
        let filled = self.inputs.iter().map(|input| input.parameter).chain(iteration);
        one_each("parameter", parameters, filled)?;
        one_each("output", self.outputs.len(), self.outputs.iter().map(|output| output.output))?;
        let condition = self.counted.and_then(|counted| counted.condition);
        let mut read = self.outputs.iter().map(|output| output.result).chain(condition);
        let edges_exist = self.back_edges.iter().all(|(from, to)| *from < results && *to < parameters);
        if inputs < 2 && self.counted.is_some() {
            return Err(OpError::new(OpErrorKind::InputCount, "takes a trip count and a condition first"));
        }
        if self.inputs.iter().any(|input| input.input >= inputs)
            || read.any(|result| result >= results)
            || !edges_exist
        {
            return Err(OpError::attribute(
                "its port map names an input, parameter or result that does not exist",
            ));
        }
        if self.counted.is_none() && self.inputs.iter().all(|input| input.slices.is_none()) {
            return Err(OpError::attribute("no input is sliced, so nothing says how often the body runs"));
        }
        Ok(())
    }

    /// How many iterations the slices of these shapes make, where that is known.
    fn slice_count(&self, shape: impl Fn(usize) -> PartialShape) -> Result<Option<usize>, OpError> {
        let mut count = None;
        for (input, slices) in self.inputs.iter().filter_map(|input| Some((input.input, input.slices?))) {
            let shape = shape(input);
            let Some(dims) = shape.dims() else { continue };
            let Some(size) = dims[slices.axis(dims.len())?].size() else { continue };
            let own = slices.starts(dims.len(), size)?.len();
            if *count.get_or_insert(own) != own {
                return Err(OpError::shape(format!(
                    "its inputs are slices for {own} and for other numbers of iterations"
                )));
            }
        }
        Ok(count)
    }

    /// How many iterations there are at most by the first two inputs of `Loop`; `None` says nothing.
    fn trip_count(&self, count: Option<&Tensor>, begin: Option<&Tensor>) -> Option<u64> {
        let one = |tensor: Option<&Tensor>| tensor.and_then(|tensor| tensor.to_i64s().first().copied());
        match (one(count), one(begin)) {
            (_, Some(0)) => Some(0),
            (Some(count), _) => u64::try_from(count).ok(),
            _ => None,
        }
    }
}

impl Operator for Loop {
    fn type_name(&self) -> &str {
        if self.counted.is_some() { "Loop" } else { "TensorIterator" }
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        self.check(inputs.len())?;
        let mut count = self.slice_count(|i| inputs.shape(i).clone())?;
        if let Some(counted) = self.counted {
            let goes_on = counted.condition.is_none_or(|result| {
                let from = self.body.node(self.body.results()[result]).inputs()[0];
                self.body.constant(from).is_some_and(|tensor| tensor.to_i64s() == [1])
            });
            let trips = self.trip_count(inputs.tensor(0), inputs.tensor(1));
            // A condition that the body computes may end it earlier.
            let known = trips.filter(|trips| *trips == 0 || goes_on && inputs.tensor(1).is_some());
            count = known.and_then(|trips| usize::try_from(trips).ok());
        }
        let mut parameters =
            vec![PortType::new(ElementType::I64, PartialShape::UNKNOWN); self.body.parameters().len()];
        for input in &self.inputs {
            let mut ty = inputs.0[input.input].ty.clone();
            if let Some(slices) = input.slices {
                ty.shape = slices.resized(&ty.shape, Dim::dim(slices.part()?))?;
            }
            parameters[input.parameter] = ty;
        }
        if let Some(iteration) = self.counted.and_then(|counted| counted.iteration) {
            let own = self.body.ty(self.body.parameters()[iteration].into());
            parameters[iteration] = own.clone();
        }
        // What comes back may have another shape than what went in: then less is known of it.
        let mut results = body_types(&self.body, &parameters)?;
        for tried in 0..=MOST_TRIES {
            let mut changed = false;
            for (from, to) in &self.back_edges {
                let mut both = either(&parameters[*to], &results[*from])?;
                if tried == MOST_TRIES && both != parameters[*to] {
                    both.shape = PartialShape::UNKNOWN;
                }
                changed |= both != parameters[*to];
                parameters[*to] = both;
            }
            if !changed {
                break;
            }
            results = body_types(&self.body, &parameters)?;
        }
        let mut outputs =
            vec![PortType::new(ElementType::Dynamic, PartialShape::UNKNOWN); self.outputs.len()];
        for output in &self.outputs {
            let mut ty = results[output.result].clone();
            if let Some(slices) = output.slices {
                let size = count.and_then(|count| count.checked_mul(slices.part().ok()?));
                ty.shape = slices.resized(&ty.shape, size.map_or(Dim::ANY_DIM, Dim::dim))?;
            }
            outputs[output.output] = ty;
        }
        Ok(outputs)
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        self.check(inputs.len())?;
        let slice_count = self.slice_count(|i| inputs[i].shape().into())?.map(|count| count as u64);
        let trips = match self.counted {
            Some(_) => self.trip_count(inputs.first(), inputs.get(1)),
            None => slice_count,
        };
        let mut carried: Vec<Option<Tensor>> = vec![None; self.body.parameters().len()];
        let mut starts = Vec::new();
        for input in &self.inputs {
            let tensor = &inputs[input.input];
            match input.slices {
                Some(slices) => {
                    let axis = slices.axis(tensor.shape().len())?;
                    let places = slices.starts(tensor.shape().len(), tensor.shape()[axis])?;
                    starts.push((input.parameter, tensor, axis, places, slices.part()?));
                }
                None => carried[input.parameter] = Some(tensor.clone()),
            }
        }
        let mut parts: Vec<Vec<Tensor>> = vec![Vec::new(); self.outputs.len()];
        let mut last: Vec<Option<Tensor>> = vec![None; self.outputs.len()];
        for output in self.outputs.iter().filter(|output| output.slices.is_none()) {
            // Without an iteration, what was to be carried is the answer.
            let edge = self.back_edges.iter().find(|(from, _)| *from == output.result);
            last[output.output] = edge.and_then(|(_, to)| carried[*to].clone());
        }
        let body = open(&self.body);
        let mut iteration: u64 = 0;
        while trips.is_none_or(|trips| iteration < trips) {
            if iteration == MOST_ITERATIONS {
                return Err(OpError::value(format!(
                    "its body ran {MOST_ITERATIONS} times and there is no end"
                )));
            }
            let mut arguments = carried.clone();
            for (parameter, tensor, axis, places, size) in &starts {
                let start = places.get(iteration as usize).ok_or_else(|| {
                    OpError::shape(format!(
                        "iteration {iteration} has no slice of an input of {:?}",
                        tensor.shape()
                    ))
                })?;
                arguments[*parameter] = Some(slice(tensor, *axis, *start, *size)?);
            }
            if let Some(parameter) = self.counted.and_then(|counted| counted.iteration) {
                let own = self.body.ty(self.body.parameters()[parameter].into());
                let shape: &[usize] = if own.shape.rank() == Some(0) { &[] } else { &[1] };
                arguments[parameter] =
                    Some(Tensor::from_i64_values(own.element_type, shape, &[iteration as i64])?);
            }
            let arguments: Vec<Tensor> = arguments.into_iter().flatten().collect();
            let results = evaluate(&body, &arguments).map_err(in_body)?;
            for output in &self.outputs {
                match output.slices {
                    Some(_) => parts[output.output].push(results[output.result].clone()),
                    None => last[output.output] = Some(results[output.result].clone()),
                }
            }
            for (from, to) in &self.back_edges {
                carried[*to] = Some(results[*from].clone());
            }
            iteration += 1;
            let condition = self.counted.and_then(|counted| counted.condition);
            if condition.is_some_and(|result| results[result].to_i64s().first() == Some(&0)) {
                break;
            }
        }
        let mut answers = vec![None; self.outputs.len()];
        for output in &self.outputs {
            let nothing = || OpError::value("its body never ran, so an output has no value");
            answers[output.output] = Some(match output.slices {
                None => last[output.output].take().ok_or_else(nothing)?,
                Some(slices) => {
                    let mut parts = std::mem::take(&mut parts[output.output]);
                    if slices.stride < 0 {
                        parts.reverse();
                    }
                    let first = parts.first().ok_or_else(nothing)?;
                    join(&parts, slices.axis(first.shape().len())?)?
                }
            });
        }
        Ok(answers.into_iter().flatten().collect())
    }

    fn owns_graph(&self) -> bool {
        true
    }
}
