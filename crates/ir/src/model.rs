//! The graph: nodes, ports, and the rules by which they are changed.

use crate::{
    ElementType, Op, PartialShape, Tensor,
    infer::infer_node,
    op::{Constant, OpError, OpResult, Parameter, PortType, Value},
};
use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    fmt,
};
use thiserror::Error;

/// A node's place in its model. Stays valid until that node is removed; places are not reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct NodeId(u32);

impl NodeId {
    /// A number for tables that run along the nodes: below [`Model::capacity`].
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// Output `index` of this node.
    pub fn output(self, index: usize) -> Port {
        Port { node: self, index }
    }
}

/// One output of one node: where a tensor comes from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Port {
    /// The node.
    pub node: NodeId,
    /// Which of its outputs.
    pub index: usize,
}

/// The first output of a node.
impl From<NodeId> for Port {
    fn from(node: NodeId) -> Self {
        node.output(0)
    }
}

/// What a node gives out.
#[derive(Clone, PartialEq, Debug)]
pub struct Output {
    /// Type and shape.
    pub ty: PortType,
    /// The names under which frameworks and users know the tensor.
    pub names: Vec<String>,
    /// Run-time information of the port.
    pub rt_info: RtInfo,
    /// What is known of the elements.
    pub value: Option<Value>,
}

/// A piece of run-time information: text attributes under a name, as IR files hold them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RtAttribute {
    /// The version of the attribute's form.
    pub version: String,
    /// Its parts.
    pub parts: BTreeMap<String, String>,
}

/// Run-time information by name: `decompression`, `fused_names`, `affinity`.
pub type RtInfo = BTreeMap<String, RtAttribute>;

/// One op in the graph.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    /// The name of the framework's node that its output came from. Not necessarily unique.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// The op set that it is written with.
    pub opset: u32,
    /// Run-time information.
    pub rt_info: RtInfo,
    /// Attributes of its file that nobody read; written back as they came.
    pub residue: Vec<(String, String)>,
    inputs: Vec<Port>,
    outputs: Vec<Output>,
}

impl Node {
    /// Where its inputs come from.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// What it gives out.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// The tensor, when this is a constant.
    pub fn constant(&self) -> Option<&Tensor> {
        match &self.op {
            Op::Constant(constant) => Some(&constant.tensor),
            _ => None,
        }
    }
}

/// What is wrong with a graph, and where.
#[derive(Debug, Error, Clone, PartialEq)]
#[non_exhaustive]
pub enum ModelError {
    /// An op refuses its inputs or attributes.
    #[error("{op} `{node}`: {source}; its inputs are {inputs}")]
    Op {
        /// The node's name.
        node: String,
        /// Its type.
        op: String,
        /// Types and shapes of its inputs.
        inputs: String,
        /// What the op says.
        source: OpError,
    },
    /// A node refers to an output that is not there.
    #[error("input {input} of `{node}` refers to output {index} of a node that {reason}")]
    DanglingInput {
        /// The node's name.
        node: String,
        /// Which of its inputs.
        input: usize,
        /// The output that it refers to.
        index: usize,
        /// Why that is not there.
        reason: &'static str,
    },
    /// Nodes that wait for each other.
    #[error("the graph has a cycle through {}; break it by removing one of these edges", path.join(" -> "))]
    Cycle {
        /// The names of the nodes on it.
        path: Vec<String>,
    },
    /// The caller's inputs do not fit the model's.
    #[error("{0}")]
    Arguments(String),
}

/// A network: nodes in any order, the inputs and the outputs in theirs.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Model {
    /// The network's name.
    pub name: String,
    /// Run-time information of the whole, as text by path (`conversion_parameters/input_model`).
    pub rt_info: BTreeMap<String, String>,
    nodes: Vec<Option<Node>>,
    /// Along `nodes`: who uses each node, once for every use.
    users: Vec<Vec<(NodeId, usize)>>,
    parameters: Vec<NodeId>,
    results: Vec<NodeId>,
}

impl Model {
    /// A model without nodes.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Adds a node and infers the types of its outputs. Parameters and results are appended to the model's.
    pub fn add(
        &mut self,
        name: impl Into<String>,
        op: impl Into<Op>,
        inputs: &[Port],
    ) -> Result<NodeId, ModelError> {
        let op = op.into();
        let mut node = Node {
            name: name.into(),
            opset: op.opset(),
            op,
            rt_info: RtInfo::new(),
            residue: Vec::new(),
            inputs: inputs.to_vec(),
            outputs: Vec::new(),
        };
        self.check_inputs(&node)?;
        node.outputs = self.inferred(&node)?;
        let id = NodeId(u32::try_from(self.nodes.len()).expect("fewer than 2^32 nodes"));
        for (i, port) in inputs.iter().enumerate() {
            self.users[port.node.index()].push((id, i));
        }
        match node.op {
            Op::Parameter(_) => self.parameters.push(id),
            Op::OpResult(_) => self.results.push(id),
            _ => {}
        }
        self.nodes.push(Some(node));
        self.users.push(Vec::new());
        Ok(id)
    }

    /// Adds a constant.
    pub fn add_constant(&mut self, name: impl Into<String>, tensor: Tensor) -> NodeId {
        self.add(name, Constant::new(tensor), &[]).expect("a constant has no inputs to refuse")
    }

    /// Adds an input.
    pub fn add_parameter(
        &mut self,
        name: impl Into<String>,
        element_type: ElementType,
        shape: PartialShape,
    ) -> NodeId {
        self.add(name, Parameter::new(element_type, shape), &[]).expect("a parameter has no inputs to refuse")
    }

    /// Adds an output.
    pub fn add_result(&mut self, name: impl Into<String>, from: Port) -> Result<NodeId, ModelError> {
        self.add(name, OpResult::default(), &[from])
    }

    /// The node at `id`.
    ///
    /// # Panics
    /// When it was removed: ids do not outlive their nodes.
    pub fn node(&self, id: NodeId) -> &Node {
        self.nodes[id.index()].as_ref().expect("the node was removed")
    }

    /// The node at `id`, to rename it or change its op or information. After a change of the op call
    /// [`Model::infer_node`] or [`Model::infer`].
    ///
    /// # Panics
    /// When it was removed.
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes[id.index()].as_mut().expect("the node was removed")
    }

    /// The node at `id`, unless it was removed.
    pub fn get(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.index())?.as_ref()
    }

    /// What comes out of `port`.
    pub fn output(&self, port: Port) -> &Output {
        &self.node(port.node).outputs[port.index]
    }

    /// Type and shape of what comes out of `port`.
    pub fn ty(&self, port: Port) -> &PortType {
        &self.output(port).ty
    }

    /// The names of the tensor that comes out of `port`.
    pub fn names_mut(&mut self, port: Port) -> &mut Vec<String> {
        &mut self.node_mut(port.node).outputs[port.index].names
    }

    /// The run-time information of `port`.
    pub fn rt_info_mut(&mut self, port: Port) -> &mut RtInfo {
        &mut self.node_mut(port.node).outputs[port.index].rt_info
    }

    /// The tensor that comes out of `port`, when it is a constant.
    pub fn constant(&self, port: Port) -> Option<&Tensor> {
        self.node(port.node).constant()
    }

    /// Every node with its id, in the order in which they were added.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        (0..).map(NodeId).zip(&self.nodes).filter_map(|(id, node)| Some((id, node.as_ref()?)))
    }

    /// The number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.iter().flatten().count()
    }

    /// True when there are no nodes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One more than the largest [`NodeId::index`].
    pub fn capacity(&self) -> usize {
        self.nodes.len()
    }

    /// The inputs, in order.
    pub fn parameters(&self) -> &[NodeId] {
        &self.parameters
    }

    /// The outputs, in order.
    pub fn results(&self) -> &[NodeId] {
        &self.results
    }

    /// Puts the inputs into another order; `order` must hold each of them once.
    pub fn set_parameter_order(&mut self, order: Vec<NodeId>) {
        debug_assert_eq!(sorted(&order), sorted(&self.parameters));
        self.parameters = order;
    }

    /// Puts the outputs into another order; `order` must hold each of them once.
    pub fn set_result_order(&mut self, order: Vec<NodeId>) {
        debug_assert_eq!(sorted(&order), sorted(&self.results));
        self.results = order;
    }

    /// Who takes `port`: the node, and which of its inputs.
    pub fn consumers(&self, port: Port) -> Vec<(NodeId, usize)> {
        self.users_of(port.node).filter(|(node, i)| self.node(*node).inputs[*i] == port).collect()
    }

    /// Who takes any output of `node`: the user, and which of its inputs.
    pub fn users_of(&self, node: NodeId) -> impl Iterator<Item = (NodeId, usize)> {
        self.users[node.index()].iter().copied()
    }

    /// Lets input `input` of `node` come from `from`. Types behind it are not inferred anew.
    pub fn set_input(&mut self, node: NodeId, input: usize, from: Port) {
        let old = std::mem::replace(&mut self.node_mut(node).inputs[input], from);
        self.users[old.node.index()].retain(|user| *user != (node, input));
        self.users[from.node.index()].push((node, input));
    }

    /// Gives `node` other inputs. Types behind it are not inferred anew.
    pub fn set_inputs(&mut self, node: NodeId, inputs: &[Port]) {
        for old in std::mem::take(&mut self.node_mut(node).inputs) {
            self.users[old.node.index()].retain(|user| user.0 != node);
        }
        for (i, port) in inputs.iter().enumerate() {
            self.users[port.node.index()].push((node, i));
        }
        self.node_mut(node).inputs = inputs.to_vec();
    }

    /// Lets everyone who takes `old` take `new` instead, and moves the tensor's names along.
    pub fn replace(&mut self, old: Port, new: Port) {
        for (node, input) in self.consumers(old) {
            self.set_input(node, input, new);
        }
        let names = std::mem::take(self.names_mut(old));
        let target = self.names_mut(new);
        for name in names {
            if !target.contains(&name) {
                target.push(name);
            }
        }
    }

    /// Removes a node that nobody takes.
    ///
    /// # Panics
    /// When somebody does.
    pub fn remove(&mut self, id: NodeId) {
        assert!(self.users[id.index()].is_empty(), "`{}` is still in use", self.node(id).name);
        let node = self.nodes[id.index()].take().expect("the node was removed");
        for port in node.inputs {
            self.users[port.node.index()].retain(|user| user.0 != id);
        }
        self.parameters.retain(|p| *p != id);
        self.results.retain(|r| *r != id);
    }

    /// Removes every node from which no result and no state can be reached; parameters stay. Returns how many went.
    pub fn remove_dead(&mut self) -> usize {
        let mut alive = vec![false; self.nodes.len()];
        let mut open: Vec<NodeId> = self.results.clone();
        open.extend(self.nodes().filter(|(_, node)| node.op.operator().has_state()).map(|(id, _)| id));
        while let Some(id) = open.pop() {
            if !std::mem::replace(&mut alive[id.index()], true) {
                open.extend(self.node(id).inputs.iter().map(|port| port.node));
            }
        }
        for id in &self.parameters {
            alive[id.index()] = true;
        }
        let before = self.len();
        for (i, node) in self.nodes.iter_mut().enumerate().filter(|(i, _)| !alive[*i]) {
            *node = None;
            self.users[i].clear();
        }
        for users in &mut self.users {
            users.retain(|(user, _)| alive[user.index()]);
        }
        before - self.len()
    }

    /// The nodes, each after those that it takes from; otherwise in the order in which they were added.
    pub fn topological_order(&self) -> Result<Vec<NodeId>, ModelError> {
        let mut waiting: Vec<usize> =
            self.nodes.iter().map(|n| n.as_ref().map_or(0, |n| n.inputs.len())).collect();
        let mut ready: std::collections::BinaryHeap<_> = self
            .nodes()
            .filter(|(id, _)| waiting[id.index()] == 0)
            .map(|(id, _)| std::cmp::Reverse(id))
            .collect();
        let mut order = Vec::with_capacity(self.nodes.len());
        while let Some(std::cmp::Reverse(id)) = ready.pop() {
            order.push(id);
            for (user, _) in self.users_of(id) {
                waiting[user.index()] -= 1;
                if waiting[user.index()] == 0 {
                    ready.push(std::cmp::Reverse(user));
                }
            }
        }
        if order.len() == self.len() { Ok(order) } else { Err(self.cycle(&waiting)) }
    }

    /// The error for a cycle among the nodes that still wait for inputs.
    fn cycle(&self, waiting: &[usize]) -> ModelError {
        let blocked = |id: NodeId| waiting[id.index()] > 0;
        let mut at = self.nodes().map(|(id, _)| id).find(|id| blocked(*id)).expect("someone waits");
        let (mut path, mut seen) = (Vec::new(), HashMap::new());
        // Every waiting node takes from a waiting node: going back must come round.
        let start = loop {
            match seen.entry(at) {
                Entry::Occupied(first) => break *first.get(),
                Entry::Vacant(new) => new.insert(path.len()),
            };
            path.push(at);
            at =
                self.node(at).inputs.iter().map(|p| p.node).find(|id| blocked(*id)).expect("one input waits");
        };
        let names = path[start..].iter().rev().map(|id| format!("`{}`", self.node(*id).name));
        ModelError::Cycle { path: names.collect() }
    }

    /// Infers all types and values anew, from the parameters on.
    pub fn infer(&mut self) -> Result<(), ModelError> {
        for id in self.topological_order()? {
            self.infer_node(id)?;
        }
        Ok(())
    }

    /// Infers the outputs of one node anew.
    pub fn infer_node(&mut self, id: NodeId) -> Result<(), ModelError> {
        let node = self.node(id);
        self.check_inputs(node)?;
        let mut outputs = self.inferred(node)?;
        for (new, old) in outputs.iter_mut().zip(&mut self.node_mut(id).outputs) {
            new.names = std::mem::take(&mut old.names);
            new.rt_info = std::mem::take(&mut old.rt_info);
        }
        self.node_mut(id).outputs = outputs;
        Ok(())
    }

    fn inferred(&self, node: &Node) -> Result<Vec<Output>, ModelError> {
        let inputs: Vec<&Output> = node.inputs.iter().map(|port| self.output(*port)).collect();
        infer_node(&node.op, &inputs).map_err(|source| self.op_error(node, source))
    }

    /// Adds to what an op says which node it is and what it takes.
    pub fn op_error(&self, node: &Node, source: OpError) -> ModelError {
        let inputs: Vec<_> = node.inputs.iter().map(|port| self.ty(*port).to_string()).collect();
        ModelError::Op {
            node: node.name.clone(),
            op: node.op.type_name().to_owned(),
            inputs: if inputs.is_empty() { "none".to_owned() } else { inputs.join(", ") },
            source,
        }
    }

    fn check_inputs(&self, node: &Node) -> Result<(), ModelError> {
        for (input, port) in node.inputs.iter().enumerate() {
            let reason = match self.get(port.node) {
                None => "does not exist",
                Some(source) if port.index >= source.outputs.len() => "has fewer outputs",
                Some(_) => continue,
            };
            let (node, index) = (node.name.clone(), port.index);
            return Err(ModelError::DanglingInput { node, input, index, reason });
        }
        Ok(())
    }

    /// The port whose tensor goes by `name`: one of its names, or the name of its node.
    pub fn find_port(&self, name: &str) -> Option<Port> {
        let named = self.nodes().find_map(|(id, node)| {
            let index = node.outputs.iter().position(|o| o.names.iter().any(|n| n == name))?;
            Some(id.output(index))
        });
        named.or_else(|| self.nodes().find(|(_, node)| node.name == name).map(|(id, _)| id.output(0)))
    }

    /// Gives a parameter another shape; call [`Model::infer`] when all are set.
    ///
    /// # Panics
    /// When `id` is no parameter.
    pub fn set_parameter_shape(&mut self, id: NodeId, shape: PartialShape) {
        match &mut self.node_mut(id).op {
            Op::Parameter(parameter) => parameter.shape = shape,
            other => panic!("{} is no Parameter", other.type_name()),
        }
    }
}

fn sorted(ids: &[NodeId]) -> Vec<NodeId> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids
}

/// One line a node: name, type, inputs, output types. For people and tests.
impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for id in self.topological_order().unwrap_or_default() {
            let node = self.node(id);
            let inputs: Vec<_> = node
                .inputs
                .iter()
                .map(|p| match p.index {
                    0 => self.node(p.node).name.clone(),
                    i => format!("{}:{i}", self.node(p.node).name),
                })
                .collect();
            let outputs: Vec<_> = node.outputs.iter().map(|o| o.ty.to_string()).collect();
            let kind = node.op.type_name();
            writeln!(f, "{} = {kind}({}) -> {}", node.name, inputs.join(", "), outputs.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{Binary, BinaryKind, Unary};

    fn chain() -> (Model, NodeId, NodeId, NodeId) {
        let mut model = Model::new("m");
        let x = model.add_parameter("x", ElementType::F32, "[?,3]".parse().unwrap());
        let relu = model.add("relu", Unary::Relu, &[x.into()]).unwrap();
        let exp = model.add("exp", Unary::Exp, &[relu.into()]).unwrap();
        model.add_result("out", exp.into()).unwrap();
        (model, x, relu, exp)
    }

    #[test]
    fn replacing_and_removing_keeps_users_and_names() {
        let (mut model, x, relu, exp) = chain();
        model.names_mut(relu.into()).push("relu:0".into());
        model.replace(relu.into(), x.into());
        assert_eq!(model.node(exp).inputs(), [x.into()]);
        assert_eq!(model.output(x.into()).names, ["relu:0"]);
        assert_eq!(model.remove_dead(), 1);
        assert!(model.get(relu).is_none());
        assert_eq!(model.to_string().lines().count(), 3);
    }

    #[test]
    fn errors_name_the_node_and_its_inputs() {
        let (mut model, x, ..) = chain();
        let c = model.add_constant("c", Tensor::from_i64s(&[1, 2]));
        let err = model.add("sum", Binary::new(BinaryKind::Add), &[x.into(), c.into()]).unwrap_err();
        assert_eq!(
            err.to_string(),
            "Add `sum`: input 1 is i64 where the inputs before it are f32; they must agree; \
             its inputs are f32[?,3], i64[2]"
        );
        let err = model.add("far", Unary::Exp, &[x.output(3)]).unwrap_err();
        assert!(matches!(err, ModelError::DanglingInput { .. }), "{err}");
    }

    #[test]
    fn a_cycle_is_named() {
        let (mut model, _, relu, exp) = chain();
        model.set_input(relu, 0, exp.into());
        let err = model.infer().unwrap_err();
        assert_eq!(
            err.to_string(),
            "the graph has a cycle through `exp` -> `relu`; break it by removing one of these edges"
        );
    }
}
