//! A model for each group of nodes that run together, and what flows between them.

use crate::{
    partition::{Graph, Group, partition},
    placement::Places,
};
use ir::{
    Model, NodeId, Op, Port, Tensor,
    device::DeviceResult,
    op::{OpResult, Parameter, Value},
};
use std::collections::{HashMap, HashSet};

/// Output `output` of subgraph `subgraph`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Outlet {
    pub(crate) subgraph: usize,
    pub(crate) output: usize,
}

/// Where an input of a subgraph comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// An input of the whole model.
    Input(usize),
    /// Another subgraph.
    Outlet(Outlet),
}

/// A part of the model that runs on one device.
pub(crate) struct Subgraph {
    /// The device, by its place in the list.
    pub(crate) device: usize,
    pub(crate) model: Model,
    /// Where its inputs come from.
    pub(crate) inputs: Vec<Source>,
}

/// A model in parts.
pub(crate) struct Division {
    /// Each after those that it takes from.
    pub(crate) subgraphs: Vec<Subgraph>,
    /// Where each output of the model comes from.
    pub(crate) answers: Vec<Outlet>,
    /// The subgraph of each node that computes, by [`NodeId::index`].
    pub(crate) owner: Vec<Option<usize>>,
}

/// Divides a model whose nodes all have their places.
pub(crate) fn divide(model: &Model, places: &Places) -> DeviceResult<Division> {
    let nodes: Vec<NodeId> =
        places.order.iter().copied().filter(|id| places.device[id.index()].is_some()).collect();
    let mut groups = partition(&graph(model, places, &nodes));
    let loose = |id: &NodeId| places.device[model.node(*id).inputs()[0].node.index()].is_none();
    if groups.is_empty() && model.results().iter().any(loose) {
        groups.push(Group { device: 0, nodes: Vec::new() });
    }
    let mut owner = vec![None; model.capacity()];
    for (i, group) in groups.iter().enumerate() {
        group.nodes.iter().for_each(|node| owner[nodes[*node].index()] = Some(i));
    }
    // What each group gives: the model's outputs, one each, then what others take of it.
    let mut outlets: Vec<Vec<Port>> = vec![Vec::new(); groups.len()];
    let mut answers = Vec::new();
    for id in model.results() {
        let port = model.node(*id).inputs()[0];
        // What no node computes goes from an input or a constant to an output; any device can do that.
        let subgraph = owner[port.node.index()].unwrap_or(0);
        answers.push(Outlet { subgraph, output: outlets[subgraph].len() });
        outlets[subgraph].push(port);
    }
    for id in &nodes {
        for port in places.taken(model, *id) {
            if let Some(from) = owner[port.node.index()].filter(|from| Some(*from) != owner[id.index()])
                && !outlets[from].contains(&port)
            {
                outlets[from].push(port);
            }
        }
    }
    let mut positions = vec![0; model.capacity()];
    places.order.iter().enumerate().for_each(|(i, id)| positions[id.index()] = i);
    let mut subgraphs = Vec::new();
    for (i, group) in groups.iter().enumerate() {
        let name = format!("{}_{i}", model.name);
        let mut part = Part::new(model, places, &positions, name, Some(group.device));
        let find = |port: Port| {
            let subgraph = owner[port.node.index()]?;
            let output = outlets[subgraph].iter().position(|outlet| *outlet == port)?;
            Some(Outlet { subgraph, output })
        };
        for node in &group.nodes {
            let id = nodes[*node];
            for port in model.node(id).inputs() {
                part.provide(*port, &find)?;
            }
            part.copy(id)?;
        }
        for (output, port) in outlets[i].iter().enumerate() {
            part.provide(*port, &find)?;
            let of_model = answers.iter().position(|answer| *answer == Outlet { subgraph: i, output });
            part.result(*port, of_model.map(|result| model.results()[result]))?;
        }
        subgraphs.push(Subgraph { device: group.device, model: part.part, inputs: part.inputs });
    }
    Ok(Division { subgraphs, answers, owner })
}

/// The nodes that compute, by their number in `nodes`.
fn graph(model: &Model, places: &Places, nodes: &[NodeId]) -> Graph {
    let mut numbers = vec![None; model.capacity()];
    nodes.iter().enumerate().for_each(|(number, id)| numbers[id.index()] = Some(number));
    let mut users = vec![Vec::new(); nodes.len()];
    for (number, id) in nodes.iter().enumerate() {
        let from = places.taken(model, *id).into_iter().filter_map(|port| numbers[port.node.index()]);
        from.for_each(|from: usize| users[from].push(number));
    }
    Graph { devices: nodes.iter().filter_map(|id| places.device[id.index()]).collect(), users }
}

/// Tells which outlet gives a port of the whole.
type Find<'f> = &'f dyn Fn(Port) -> Option<Outlet>;

/// A part of a model while it is built.
struct Part<'a> {
    whole: &'a Model,
    places: &'a Places,
    /// The places of the nodes in the order, by [`NodeId::index`].
    positions: &'a [usize],
    /// The device; none for what is computed here.
    device: Option<usize>,
    part: Model,
    inputs: Vec<Source>,
    /// What comes out of the whole's ports here.
    ports: HashMap<Port, Port>,
}

impl<'a> Part<'a> {
    fn new(
        whole: &'a Model,
        places: &'a Places,
        positions: &'a [usize],
        name: String,
        device: Option<usize>,
    ) -> Self {
        let mut part = Model::new(name);
        part.rt_info = whole.rt_info.clone();
        let (inputs, ports) = (Vec::new(), HashMap::new());
        Self { whole, places, positions, device, part, inputs, ports }
    }

    /// Makes what comes out of a port of the whole come out here; `find` knows the outlets of the others.
    fn provide(&mut self, port: Port, find: Find) -> DeviceResult<()> {
        if self.ports.contains_key(&port) {
            return Ok(());
        }
        let node = self.whole.node(port.node);
        if self.places.is_carried(port.node) {
            return self.carry(port.node, find);
        }
        if let Some(input) = self.whole.parameters().iter().position(|id| *id == port.node) {
            self.inputs.push(Source::Input(input));
            return self.copy(port.node);
        }
        let outlet = find(port).expect("what crosses between groups is an outlet");
        let output = self.whole.output(port);
        let name = match port.index {
            0 => node.name.clone(),
            index => format!("{}:{index}", node.name),
        };
        let (element_type, shape) = (output.ty.element_type, output.ty.shape.clone());
        let id = self.part.add(name, Parameter::new(element_type, shape), &[])?;
        self.name(port, id.into());
        self.inputs.push(Source::Outlet(outlet));
        Ok(())
    }

    /// Gives a port here the names and information of the whole's.
    fn name(&mut self, of: Port, here: Port) {
        let output = self.whole.output(of);
        *self.part.names_mut(here) = output.names.clone();
        *self.part.rt_info_mut(here) = output.rt_info.clone();
        self.ports.insert(of, here);
    }

    /// Adds the same node; what it takes must be there.
    fn copy(&mut self, id: NodeId) -> DeviceResult<()> {
        let node = self.whole.node(id);
        let inputs: Vec<Port> = node.inputs().iter().map(|port| self.ports[port]).collect();
        let new = self.part.add(node.name.clone(), node.op.clone(), &inputs)?;
        let copy = self.part.node_mut(new);
        copy.opset = node.opset;
        copy.rt_info = node.rt_info.clone();
        copy.residue = node.residue.clone();
        for index in 0..node.outputs().len() {
            self.name(id.output(index), new.output(index));
        }
        Ok(())
    }

    /// Adds a node that each has for itself, and those that it needs. What is known is a constant here; what follows
    /// from constants and the device does not take becomes one.
    fn carry(&mut self, id: NodeId, find: Find) -> DeviceResult<()> {
        let (mut needed, mut open) = (HashSet::new(), vec![id]);
        while let Some(id) = open.pop() {
            if self.ports.contains_key(&id.output(0)) || !needed.insert(id) || self.is_known(id) {
                continue;
            }
            for port in self.whole.node(id).inputs() {
                if self.places.is_carried(port.node) {
                    open.push(port.node);
                } else {
                    self.provide(*port, find)?;
                }
            }
        }
        let mut needed: Vec<NodeId> = needed.into_iter().collect();
        needed.sort_unstable_by_key(|id| self.positions[id.index()]);
        for id in needed {
            let node = self.whole.node(id);
            let takes = self.device.is_none_or(|device| self.places.takes(device, node));
            let values = if self.is_known(id) {
                node.outputs().iter().filter_map(|output| known(&output.value)).collect()
            } else if takes {
                self.copy(id)?;
                continue;
            } else {
                self.evaluate(id)?
            };
            for (index, value) in values.into_iter().enumerate() {
                let constant = self.part.add_constant(node.name.clone(), value);
                self.part.node_mut(constant).rt_info = node.rt_info.clone();
                self.name(id.output(index), constant.into());
            }
        }
        Ok(())
    }

    fn is_known(&self, id: NodeId) -> bool {
        self.whole.node(id).outputs().iter().all(|output| known(&output.value).is_some())
    }

    /// The values of a node that follows from constants.
    fn evaluate(&self, id: NodeId) -> DeviceResult<Vec<Tensor>> {
        let mut alone = Part::new(self.whole, self.places, self.positions, String::new(), None);
        alone.carry(id, &|_| None)?;
        for index in 0..self.whole.node(id).outputs().len() {
            alone.result(id.output(index), None)?;
        }
        Ok(ir::evaluate(&alone.part, &[])?)
    }

    /// Adds an output; `result` is the whole's, if it is one of its outputs.
    fn result(&mut self, port: Port, result: Option<NodeId>) -> DeviceResult<()> {
        let from = self.ports[&port];
        match result {
            Some(result) => {
                let node = self.whole.node(result);
                let new = self.part.add(node.name.clone(), node.op.clone(), &[from])?;
                self.part.node_mut(new).rt_info = node.rt_info.clone();
                self.name(result.into(), new.into());
            }
            None => {
                let name = format!("{}/outlet", self.whole.node(port.node).name);
                self.part.add(name, Op::from(OpResult::default()), &[from])?;
            }
        }
        Ok(())
    }
}

fn known(value: &Option<Value>) -> Option<Tensor> {
    match value {
        Some(Value::Known(tensor)) => Some(tensor.clone()),
        _ => None,
    }
}
