//! A graph becomes a model: node by node, each after what it needs, from the outputs back to the inputs.

use crate::{
    CustomOps, Error, GraphDef, Unsupported, UnsupportedNode, UnsupportedOp,
    control_flow::{Liveness, is_merge, is_next_iteration},
    custom, dropout,
    fold::Folder,
    graph::{Graph, Port, is_learning_phase, is_variable},
    input::{InputSpec, Options},
    op,
    scope::{Problem, Scope},
    tensor,
};
use ir::{ElementType, Model, NodeId, PartialShape, Tensor, cut::Place, op::PortType};
use std::collections::{HashMap, HashSet};

/// Converts a frozen graph to a model that computes what the graph computes, in the graph's own layout.
///
/// Nodes keep the names of the graph's nodes, tensors go by `node` and `node:port`. Everything that has no
/// conversion is reported at once, in [`Error::Unsupported`].
pub fn convert(graph: &GraphDef, options: &Options) -> Result<Model, Error> {
    let index = Graph::new(graph)?;
    let Begun { mut converter, inputs, outputs, roots } = begin(&index, graph, options)?;
    converter.check_variables(&roots)?;
    let order = converter.order(&roots)?;
    converter.run(&order)?;
    converter.report(&order)?;
    converter.finish(&outputs, &inputs)
}

/// The inputs that a model of `graph` would have besides those that `options` places, in its order: the placeholders of
/// data that the outputs depend on. Nothing else needs to be convertible.
pub fn inputs(graph: &GraphDef, options: &Options) -> Result<Vec<String>, Error> {
    let index = Graph::new(graph)?;
    let Begun { mut converter, roots, .. } = begin(&index, graph, options)?;
    let mut placeholders = converter.order(&roots)?;
    placeholders.retain(|node| index.node(*node).op.starts_with("Placeholder"));
    placeholders.sort_unstable();
    let needed = converter.order(&placeholders)?;
    converter.run(&needed)?;
    placeholders.retain(|node| match converter.ports.get(node).map(|ports| ports[0].node) {
        Some(id) => matches!(converter.model.node(id).op, ir::Op::Parameter(_)),
        None => true,
    });
    Ok(placeholders.into_iter().map(|node| index.node(node).name.clone()).collect())
}

/// A conversion whose inputs are placed and whose branches are decided.
struct Begun<'a> {
    converter: Converter<'a>,
    inputs: Vec<(NodeId, String)>,
    outputs: Vec<(usize, Option<usize>)>,
    /// The nodes of the outputs that must be computed.
    roots: Vec<usize>,
}

fn begin<'a>(index: &'a Graph<'a>, graph: &GraphDef, options: &Options) -> Result<Begun<'a>, Error> {
    let producer = graph.versions.as_ref().map_or(0, |versions| versions.producer);
    let mut converter = Converter::new(index, producer, options)?;
    let inputs = converter.place_inputs(&options.inputs)?;
    let outputs = wanted_outputs(index, &options.outputs)?;
    let uncut = outputs.iter().filter(|(node, port)| !converter.is_cut(*node, port.unwrap_or(0)));
    let roots: Vec<usize> = uncut.map(|(node, _)| *node).collect();
    Liveness::decide(&mut converter, &roots)?;
    converter.keep_defaults(&roots)?;
    Ok(Begun { converter, inputs, outputs, roots })
}

/// The outputs as `(node, port)`; all ports of the one candidate when none were asked for.
fn wanted_outputs(graph: &Graph, asked: &[String]) -> Result<Vec<(usize, Option<usize>)>, Error> {
    let find = |text: &String| {
        let place = Place::parse(text);
        let node = graph.named(place.node())?;
        Ok(match place {
            Place::Node(_) => (node, Some(0)),
            Place::Output(_, port) => (node, Some(port)),
            Place::Input(_, i) => {
                let (node, port) =
                    graph.inputs(node)?.get(i).copied().ok_or_else(|| no_port(graph, node, "input", i))?;
                (node, Some(port))
            }
        })
    };
    if !asked.is_empty() {
        return asked.iter().map(find).collect();
    }
    match graph.output_candidates()?[..] {
        [one] => {
            Ok(vec![(one, if graph.node(one).op.starts_with("FusedBatchNorm") { Some(0) } else { None })])
        }
        ref candidates => {
            let candidates = candidates.iter().map(|node| graph.node(*node).name.clone()).collect();
            Err(Error::Outputs { candidates })
        }
    }
}

fn no_port(graph: &Graph, node: usize, kind: &str, port: usize) -> Error {
    let def = graph.node(node);
    Error::NoSuchPort { node: def.name.clone(), op: def.op.clone(), port: format!("{kind} {port}") }
}

/// The state of a conversion.
pub(crate) struct Converter<'a> {
    pub(crate) graph: &'a Graph<'a>,
    producer: i32,
    custom_ops: CustomOps,
    model: Model,
    folder: Folder,
    pub(crate) liveness: Liveness,
    /// Nodes that stand for another tensor.
    bypasses: HashMap<usize, Port>,
    /// Tensors that the caller replaces, by the output that they come from.
    cut_outputs: HashMap<Port, ir::Port>,
    /// Tensors that the caller replaces, by the (node, input) that they go to.
    cut_inputs: HashMap<(usize, usize), ir::Port>,
    /// The outputs of every node that is converted.
    ports: HashMap<usize, Vec<ir::Port>>,
    /// Why a node was refused; `None` when its op type is unknown.
    refused: HashMap<usize, Option<String>>,
}

impl<'a> Converter<'a> {
    fn new(graph: &'a Graph<'a>, producer: i32, options: &Options) -> Result<Self, Error> {
        Ok(Self {
            graph,
            producer,
            custom_ops: options.custom_ops.clone(),
            model: Model::new(options.name.clone()),
            folder: Folder::default(),
            liveness: Liveness::default(),
            bypasses: dropout::bypasses(graph)?,
            cut_outputs: HashMap::new(),
            cut_inputs: HashMap::new(),
            ports: HashMap::new(),
            refused: HashMap::new(),
        })
    }

    /// In a network that has an input of its own, placeholders with a default keep it; in any other they are the
    /// inputs.
    fn keep_defaults(&mut self, roots: &[usize]) -> Result<(), Error> {
        let order = self.order(roots)?;
        let is_input = |node: &usize| {
            let def = self.graph.node(*node);
            matches!(def.op.as_str(), "Placeholder" | "PlaceholderV2") && !is_learning_phase(&def.name)
        };
        if self.cut_outputs.is_empty() && self.cut_inputs.is_empty() && !order.iter().any(is_input) {
            return Ok(());
        }
        for node in order {
            if self.graph.node(node).op == "PlaceholderWithDefault" && !self.is_cut(node, 0) {
                let Some(default) = self.graph.inputs(node)?.first().copied() else { continue };
                if self.constant(default)?.is_some() {
                    self.bypasses.insert(node, default);
                }
            }
        }
        Ok(())
    }

    fn is_cut(&self, node: usize, port: usize) -> bool {
        self.cut_outputs.contains_key(&(node, port))
    }

    /// What a node takes once bypasses and dead branches are out of the way, with the position of each input.
    fn taken(&self, node: usize) -> Result<Vec<(usize, Port)>, Error> {
        if let Some(port) = self.bypasses.get(&node) {
            return Ok(vec![(0, *port)]);
        }
        let inputs = self.graph.inputs(node)?;
        if is_merge(&self.graph.node(node).op) {
            // Where it is not decided which input arrives, neither is worth a conversion; but a loop is followed, to
            // be found.
            let is_loop = inputs.iter().any(|(input, _)| is_next_iteration(&self.graph.node(*input).op));
            match self.liveness.arriving(self.graph, node)?[..] {
                [arrives] => return Ok(vec![(arrives, inputs[arrives])]),
                _ if !is_loop => return Ok(Vec::new()),
                _ => {}
            }
        }
        Ok(inputs.into_iter().enumerate().collect())
    }

    /// True when the caller replaces what input `i` of a node takes from `port`.
    pub(crate) fn is_replaced(&self, node: usize, i: usize, port: Port) -> bool {
        self.cut_inputs.contains_key(&(node, i)) || self.cut_outputs.contains_key(&port)
    }

    /// The nodes that must be converted before a node.
    fn needs(&self, node: usize) -> Result<Vec<usize>, Error> {
        let mut taken = self.taken(node)?;
        taken.retain(|(i, port)| !self.is_replaced(node, *i, *port));
        Ok(taken.into_iter().map(|(_, (node, _))| node).collect())
    }

    fn order(&self, roots: &[usize]) -> Result<Vec<usize>, Error> {
        self.graph.order(roots.iter().copied(), |node| self.needs(node))
    }

    /// Converts the nodes in `order` that are not yet converted. What is refused is remembered.
    fn run(&mut self, order: &[usize]) -> Result<(), Error> {
        for &node in order {
            if self.ports.contains_key(&node) || self.refused.contains_key(&node) {
                continue;
            }
            let def = self.graph.node(node);
            let known = self.bypasses.contains_key(&node) || is_merge(&def.op) || op::find(&def.op).is_some();
            if !known && !self.custom_ops.keeps(&def.op) {
                self.refused.insert(node, None);
                continue;
            }
            // A node behind a refused one waits for the report.
            let Some(inputs) = self.model_inputs(node)? else { continue };
            let first_new = self.model.capacity();
            match self.convert_node(node, inputs) {
                Ok(ports) => self.name_outputs(node, ports, first_new),
                Err(Problem::Refused(reason)) => drop(self.refused.insert(node, Some(reason))),
                Err(Problem::Malformed(problem)) => {
                    return Err(Error::Node { node: def.name.clone(), op: def.op.clone(), problem });
                }
                Err(Problem::Invalid(source)) => {
                    return Err(Error::Model {
                        node: def.name.clone(),
                        op: def.op.clone(),
                        source: source.into(),
                    });
                }
            }
        }
        Ok(())
    }

    fn convert_node(&mut self, node: usize, inputs: Vec<ir::Port>) -> Result<Vec<ir::Port>, Problem> {
        let def = self.graph.node(node);
        if self.bypasses.contains_key(&node) {
            return Ok(inputs);
        }
        if is_merge(&def.op) {
            let arriving = self.liveness.arriving(self.graph, node).unwrap_or_default();
            let mut scope = Scope::new(def, inputs, &mut self.model, &mut self.folder, self.producer);
            return op::merge(&mut scope, &arriving, &self.liveness.undecided);
        }
        let outputs = if op::find(&def.op).is_none() { self.outputs_in_use(node) } else { 0 };
        let mut scope = Scope::new(def, inputs, &mut self.model, &mut self.folder, self.producer);
        let Some(converter) = op::find(&def.op) else {
            return custom::convert(&mut scope, outputs, self.custom_ops.extension(&def.op));
        };
        let ports = converter(&mut scope)?;
        scope.check_attributes()?;
        Ok(ports)
    }

    /// How many outputs of a node anybody reads: at least one.
    fn outputs_in_use(&self, node: usize) -> usize {
        let name = &self.graph.node(node).name;
        let inputs = self.graph.nodes().iter().flat_map(|n| &n.input);
        let ports = inputs.map(|input| crate::split_port(input)).filter(|(from, _)| from == name);
        // No op has more outputs than this; a number in a file proves nothing.
        ports.map(|(_, port)| port + 1).max().unwrap_or(1).min(1024)
    }

    /// The model's tensors for a node's inputs; `None` when one of them was not converted.
    fn model_inputs(&self, node: usize) -> Result<Option<Vec<ir::Port>>, Error> {
        let mut inputs = Vec::new();
        for (i, port) in self.taken(node)? {
            if let Some(cut) = self.cut_inputs.get(&(node, i)) {
                inputs.push(*cut);
                continue;
            }
            match self.tensor(port)? {
                Some(found) => inputs.push(found),
                None => return Ok(None),
            }
        }
        Ok(Some(inputs))
    }

    /// The model's tensor for an output of the graph; `None` when that was not converted.
    fn tensor(&self, port: Port) -> Result<Option<ir::Port>, Error> {
        if let Some(cut) = self.cut_outputs.get(&port) {
            return Ok(Some(*cut));
        }
        let Some(ports) = self.ports.get(&port.0) else { return Ok(None) };
        ports.get(port.1).copied().map(Some).ok_or_else(|| no_port(self.graph, port.0, "output", port.1))
    }

    /// Names the tensors of a converted node, and the nodes that were made for them.
    fn name_outputs(&mut self, node: usize, ports: Vec<ir::Port>, first_new: usize) {
        let name = &self.graph.node(node).name;
        let mut named: HashSet<NodeId> = HashSet::new();
        for (i, port) in ports.iter().enumerate() {
            if port.node.index() >= first_new && named.insert(port.node) {
                let full = if i == 0 { name.clone() } else { format!("{name}:{i}") };
                self.model.node_mut(port.node).name = full;
            }
            self.name_tensor(*port, name, i);
        }
        self.ports.insert(node, ports);
    }

    /// `node` and `node:0`, or `node:1`.
    fn name_tensor(&mut self, port: ir::Port, node: &str, index: usize) {
        let names = self.model.names_mut(port);
        let plain = (index == 0).then(|| node.to_owned());
        for name in plain.into_iter().chain([format!("{node}:{index}")]) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }

    /// The value of a tensor of the graph, when it does not depend on an input.
    pub(crate) fn constant(&mut self, port: Port) -> Result<Option<Tensor>, Error> {
        if !self.cut_outputs.contains_key(&port) {
            let Ok(order) = self.order(&[port.0]) else { return Ok(None) };
            self.run(&order)?;
        }
        let Some(port) = self.tensor(port)? else { return Ok(None) };
        Ok(self.folder.value(&self.model, port))
    }

    /// A frozen graph holds no variables.
    fn check_variables(&self, roots: &[usize]) -> Result<(), Error> {
        let reached = self.graph.reachable(roots.iter().copied(), |node| self.needs(node))?;
        let mut variables: Vec<usize> =
            reached.into_iter().filter(|node| is_variable(&self.graph.node(*node).op)).collect();
        variables.sort_unstable();
        let names: Vec<String> = variables.iter().map(|node| self.graph.node(*node).name.clone()).collect();
        match names.len() {
            0 => Ok(()),
            total => Err(Error::MissingVariables { names, total }),
        }
    }
}

/// Inputs.
impl Converter<'_> {
    /// Puts parameters and values where the caller wants them. Answers the parameters.
    fn place_inputs(&mut self, specs: &[InputSpec]) -> Result<Vec<(NodeId, String)>, Error> {
        let graph = self.graph;
        // The graph as it is says which types and shapes the tensors have.
        let mut whole = Converter::new(graph, self.producer, &Options::default())?;
        let nodes: Result<Vec<usize>, Error> =
            specs.iter().map(|spec| graph.named(Place::parse(&spec.place).node())).collect();
        Liveness::decide(&mut whole, &nodes?)?;
        let mut placed = Vec::new();
        for spec in specs {
            let fail = |problem: String| Error::Input { input: spec.place.clone(), problem };
            let place = Place::parse(&spec.place);
            let node = graph.named(place.node())?;
            let def = graph.node(node);
            let sources = graph.inputs(node)?;
            let is_placeholder = def.op.starts_with("Placeholder");
            // (input of the node that is cut, if any; tensor; name)
            let mut cuts: Vec<(Option<usize>, Port, String)> = Vec::new();
            match place {
                Place::Node(_) | Place::Output(_, 0) | Place::Input(_, 0) if is_placeholder => {
                    cuts.push((None, (node, 0), def.name.clone()));
                }
                Place::Node(_) if spec.value.is_some() || sources.is_empty() => {
                    cuts.push((None, (node, 0), def.name.clone()));
                }
                Place::Node(_) => {
                    for (i, source) in sources.iter().enumerate() {
                        if whole.constant(*source).ok().flatten().is_none() {
                            cuts.push((Some(i), *source, format!("{}/placeholder_port_{i}", def.name)));
                        }
                    }
                    if cuts.is_empty() {
                        return Err(fail(format!(
                            "all inputs of {} ({}) are constant; '{}:0' is what it computes",
                            def.name, def.op, def.name
                        )));
                    }
                    if cuts.len() > 1 && (spec.shape.is_some() || spec.element_type.is_some()) {
                        return Err(fail(format!(
                            "{} ({}) has {} inputs; name one of them as '0:{}'",
                            def.name,
                            def.op,
                            cuts.len(),
                            def.name
                        )));
                    }
                }
                Place::Output(_, port) => {
                    cuts.push((None, (node, port), format!("{}/placeholder_out_port_{port}", def.name)));
                }
                Place::Input(_, i) => {
                    let source = sources.get(i).ok_or_else(|| no_port(graph, node, "input", i))?;
                    cuts.push((Some(i), *source, format!("{}/placeholder_port_{i}", def.name)));
                }
            }
            for (input, source, name) in cuts {
                let ty = spec_type(spec, whole.type_of(source), def);
                let port = match &spec.value {
                    Some(value) => {
                        let sizes = spec.shape.as_ref().map(|shape| {
                            shape
                                .sizes()
                                .ok_or_else(|| fail(format!("a value needs a fixed shape, not {shape}")))
                        });
                        let own = ty.shape.sizes().filter(|_| spec.shape.is_none());
                        let sizes = sizes.transpose()?.or(own);
                        let value = value.tensor(ty.element_type, sizes).map_err(fail)?;
                        self.model.add_constant(name, value).into()
                    }
                    None => {
                        let id = self.model.add_parameter(name.clone(), ty.element_type, ty.shape);
                        placed.push((id, spec.place.clone()));
                        let names = self.model.names_mut(id.into());
                        names.push(name);
                        id.into()
                    }
                };
                match input {
                    Some(i) => drop(self.cut_inputs.insert((node, i), port)),
                    None => {
                        self.name_tensor(port, &graph.node(source.0).name, source.1);
                        self.cut_outputs.insert(source, port);
                    }
                }
            }
        }
        Ok(placed)
    }

    /// Type and shape of a tensor of the graph, where it can be converted.
    fn type_of(&mut self, port: Port) -> Option<PortType> {
        let order = self.order(&[port.0]).ok()?;
        self.run(&order).ok()?;
        let port = self.tensor(port).ok()??;
        Some(self.model.ty(port).clone())
    }
}

/// What the caller says of an input, then what the graph says.
fn spec_type(spec: &InputSpec, found: Option<PortType>, node: &crate::proto::NodeDef) -> PortType {
    let declared = || {
        let ty = ["dtype", "T"].into_iter().find_map(|name| match crate::graph::attr(node, name) {
            Some(crate::proto::attr_value::Value::Type(ty)) => tensor::element_type(*ty).ok(),
            _ => None,
        });
        PortType::new(ty.unwrap_or(ElementType::F32), PartialShape::UNKNOWN)
    };
    let mut ty = found.unwrap_or_else(declared);
    if let Some(given) = spec.element_type {
        ty.element_type = given;
    }
    if let Some(shape) = &spec.shape {
        ty.shape = shape.clone();
    }
    ty
}

/// Outputs.
impl Converter<'_> {
    /// The one report of everything that was refused.
    fn report(&self, order: &[usize]) -> Result<(), Error> {
        let mut report = Unsupported::default();
        let shape = |port: Port| match self.tensor(port) {
            Ok(Some(port)) => self.model.ty(port).shape.to_string(),
            _ => "?".to_owned(),
        };
        for &node in order {
            let def = self.graph.node(node);
            let taken = self.taken(node)?;
            if !self.ports.contains_key(&node) {
                for (_, port) in &taken {
                    self.add_cut_point(&mut report, *port)?;
                }
            }
            let Some(reason) = self.refused.get(&node) else { continue };
            let unsupported = UnsupportedNode {
                name: def.name.clone(),
                input_shapes: taken.into_iter().map(|(_, port)| shape(port)).collect(),
                reason: reason.clone(),
            };
            match report.ops.iter_mut().find(|op| op.op == def.op) {
                Some(op) => op.nodes.push(unsupported),
                None => report.ops.push(UnsupportedOp { op: def.op.clone(), nodes: vec![unsupported] }),
            }
        }
        if report.ops.is_empty() { Ok(()) } else { Err(Box::new(report).into()) }
    }

    /// A tensor that computes something from an input, just before what was refused.
    fn add_cut_point(&self, report: &mut Unsupported, (node, port): Port) -> Result<(), Error> {
        let Some(found) = self.tensor((node, port))? else { return Ok(()) };
        let source = self.model.node(found.node);
        if !source.inputs().is_empty() && source.outputs()[found.index].value.is_none() {
            let name = &self.graph.node(node).name;
            let name = if port == 0 { name.clone() } else { format!("{name}:{port}") };
            if !report.cut_points.contains(&name) {
                report.cut_points.push(name);
            }
        }
        Ok(())
    }

    /// Adds the results, puts the inputs in order, drops what nobody takes.
    fn finish(
        mut self,
        outputs: &[(usize, Option<usize>)],
        placed: &[(NodeId, String)],
    ) -> Result<Model, Error> {
        for &(node, port) in outputs {
            let ports = match port {
                Some(port) => vec![port],
                None => (0..self.ports.get(&node).map_or(0, Vec::len)).collect(),
            };
            for port in ports {
                let def = self.graph.node(node);
                let Some(from) = self.tensor((node, port))? else {
                    return Err(no_port(self.graph, node, "output", port));
                };
                let added = self.model.add_result(format!("{}/sink_port_{port}", def.name), from);
                added.map_err(|source| Error::Model {
                    node: def.name.clone(),
                    op: def.op.clone(),
                    source: source.into(),
                })?;
            }
        }
        self.model.remove_dead();
        for (id, place) in placed {
            if self.model.users_of(*id).next().is_none() {
                let problem = "the outputs do not depend on it".to_owned();
                return Err(Error::Input { input: place.clone(), problem });
            }
        }
        for id in self.model.parameters().to_vec() {
            if self.model.users_of(id).next().is_none() {
                self.model.remove(id);
            }
        }
        // Those that the caller placed, then the graph's own in its order.
        let mut order = self.model.parameters().to_vec();
        let rank = |id: &NodeId| match placed.iter().position(|(placed, _)| placed == id) {
            Some(i) => (0, i),
            None => (1, self.graph.find(&self.model.node(*id).name).unwrap_or(usize::MAX)),
        };
        order.sort_by_key(rank);
        self.model.set_parameter_order(order);
        Ok(self.model)
    }
}
