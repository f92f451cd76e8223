//! A network becomes a model: layer by layer, those that the outputs need.

use crate::{
    error::Error,
    graph::{Graph, Top},
    layer::{self, is_input},
    net::Net,
    options::Options,
    scope::{Problem, Scope},
};
use ir::{
    ElementType, Model, NodeId, PartialShape,
    cut::{InputSpec, Place},
    op::PortType,
    unsupported::{CustomOps, Unsupported, UnsupportedNode, UnsupportedOp},
};
use std::collections::{HashMap, HashSet};

/// A model, and what the user should know about how it came to be.
#[derive(Debug, Clone)]
pub struct Converted {
    /// The model.
    pub model: Model,
    /// What was left out or taken otherwise than it stands: one line each.
    pub notes: Vec<String>,
}

/// Converts a network to a model that computes what the network computes, in Caffe's layout (NCHW).
///
/// Nodes keep the names of the layers; tensors go by the names of layers and blobs. The outputs of
/// [`Options::outputs`] are blobs or layers; where a layer works in place, the blob of that name is what the last one
/// leaves, and `layer:0` is what the layer itself makes. Everything that has no conversion is reported at once, in
/// [`Error::Unsupported`].
pub fn convert(net: &Net, options: &Options) -> Result<Converted, Error> {
    let graph = Graph::new(&net.layers)?;
    let mut converter = Converter::new(net, &graph, options);
    let placed = converter.place_inputs(&options.inputs)?;
    let outputs = converter.wanted(&options.outputs)?;
    let order = converter.order(&outputs);
    converter.run(&order)?;
    converter.report(&order)?;
    converter.finish(&outputs, &placed)
}

/// The inputs that a model of `net` would have besides those that `options` places, in its order.
pub fn inputs(net: &Net, options: &Options) -> Result<Vec<String>, Error> {
    let graph = Graph::new(&net.layers)?;
    let mut converter = Converter::new(net, &graph, options);
    converter.place_inputs(&options.inputs)?;
    let outputs = converter.wanted(&options.outputs)?;
    let order = converter.order(&outputs);
    let mut taken: HashSet<Top> = outputs.into_iter().collect();
    for &layer in &order {
        for (i, top) in graph.sources[layer].iter().enumerate() {
            if !converter.is_replaced(layer, i, *top) {
                taken.insert(*top);
            }
        }
    }
    let mut names = Vec::new();
    for &layer in order.iter().filter(|layer| is_input(&graph.layers[**layer].kind)) {
        for (port, name) in graph.layers[layer].tops.iter().enumerate() {
            if taken.contains(&(layer, port)) && !converter.cut_tops.contains_key(&(layer, port)) {
                names.push(name.clone());
            }
        }
    }
    Ok(names)
}

/// Where an input cuts: the layer and its bottom, if it is one that is replaced, the top that is, and the new name.
type Cut = (Option<(usize, usize)>, Top, String);

/// The state of a conversion.
struct Converter<'a> {
    net: &'a Net,
    graph: &'a Graph<'a>,
    custom_ops: CustomOps,
    model: Model,
    /// Tensors that the caller replaces, by the top that they come from.
    cut_tops: HashMap<Top, ir::Port>,
    /// Tensors that the caller replaces, by the layer and its bottom that they go to.
    cut_bottoms: HashMap<(usize, usize), ir::Port>,
    /// The tops of every layer that is converted.
    ports: HashMap<usize, Vec<ir::Port>>,
    /// Why a layer was refused; `None` when its type is unknown.
    refused: HashMap<usize, Option<String>>,
    notes: Vec<String>,
}

impl<'a> Converter<'a> {
    fn new(net: &'a Net, graph: &'a Graph<'a>, options: &Options) -> Self {
        Self {
            net,
            graph,
            custom_ops: options.custom_ops.clone(),
            model: Model::new(options.name.clone()),
            cut_tops: HashMap::new(),
            cut_bottoms: HashMap::new(),
            ports: HashMap::new(),
            refused: HashMap::new(),
            notes: Vec::new(),
        }
    }

    fn is_replaced(&self, layer: usize, bottom: usize, top: Top) -> bool {
        self.cut_bottoms.contains_key(&(layer, bottom)) || self.cut_tops.contains_key(&top)
    }

    /// The layers that must be converted for these tops.
    fn order(&self, tops: &[Top]) -> Vec<usize> {
        let roots = tops.iter().filter(|top| !self.cut_tops.contains_key(top)).map(|top| top.0);
        self.graph.needed(roots, |layer, i, top| !self.is_replaced(layer, i, top))
    }

    /// The tops that the caller asks for, or the network's own.
    fn wanted(&self, asked: &[String]) -> Result<Vec<Top>, Error> {
        let find = |text: &String| match Place::parse(text) {
            _ if self.graph.blobs.contains_key(text.as_str()) => self.graph.top(text),
            Place::Node(name) => self.graph.top(name),
            Place::Output(name, port) => {
                let layer = self.graph.layer(name).ok_or_else(|| self.graph.no_such(text))?;
                self.check_port(layer, port, "top", self.graph.layers[layer].tops.len())?;
                Ok((layer, port))
            }
            Place::Input(name, i) => {
                let layer = self.graph.layer(name).ok_or_else(|| self.graph.no_such(text))?;
                self.check_port(layer, i, "bottom", self.graph.sources[layer].len())?;
                Ok(self.graph.sources[layer][i])
            }
        };
        let found: Vec<Top> = match asked {
            [] => self.graph.outputs(),
            asked => asked.iter().map(find).collect::<Result<_, _>>()?,
        };
        if found.is_empty() {
            return Err(Error::Net(
                "the network has no outputs: every layer's top is taken by another".to_owned(),
            ));
        }
        Ok(found)
    }

    fn check_port(&self, layer: usize, port: usize, kind: &str, count: usize) -> Result<(), Error> {
        if port < count {
            return Ok(());
        }
        Err(Error::NoSuchPort { site: self.graph.layers[layer].site(), port: format!("{kind} {port}") })
    }

    /// Converts the layers in `order` that are not yet converted. What is refused is remembered.
    fn run(&mut self, order: &[usize]) -> Result<(), Error> {
        for &index in order {
            let layer = &self.graph.layers[index];
            if self.ports.contains_key(&index) || self.refused.contains_key(&index) {
                continue;
            }
            let converter = layer::find(&layer.kind);
            if converter.is_none() && !self.custom_ops.keeps(&layer.kind) {
                self.refused.insert(index, None);
                continue;
            }
            // A layer behind a refused one waits for the report.
            let Some(inputs) = self.layer_inputs(index) else { continue };
            let first_new = self.model.capacity();
            let mut scope = Scope::new(layer, inputs, &mut self.model);
            let converted = match converter {
                Some(converter) => converter(&mut scope),
                None => layer::custom(&mut scope, self.custom_ops.extension(&layer.kind)),
            };
            let unread = scope.unread();
            let notes = std::mem::take(&mut scope.notes);
            let site = || layer.site();
            match converted {
                Ok(ports) if ports.len() < layer.tops.len() => {
                    let problem = format!(
                        "it names {} tops, but it makes {} of these inputs",
                        layer.tops.len(),
                        ports.len()
                    );
                    return Err(Error::Layer { site: site(), problem });
                }
                Ok(ports) => {
                    self.notes.extend(notes.into_iter().map(|note| format!("{}: {note}", site())));
                    if !unread.is_empty() {
                        let fields =
                            unread.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                        self.notes.push(format!("{}: {fields} is not understood and was ignored", site()));
                    }
                    if let Some(first) = ports.first().filter(|port| port.node.index() >= first_new)
                        && !matches!(self.model.node(first.node).op, ir::Op::Parameter(_))
                    {
                        self.model.node_mut(first.node).name.clone_from(&layer.name);
                    }
                    self.ports.insert(index, ports);
                }
                Err(Problem::Refused(reason)) => drop(self.refused.insert(index, Some(reason))),
                Err(Problem::Malformed(problem)) => return Err(Error::Layer { site: site(), problem }),
                Err(Problem::Invalid(source)) => {
                    return Err(Error::Model { site: site(), source: source.into() });
                }
                Err(Problem::NoBlob(what, expected)) => {
                    let reason = self.net.why_missing(layer);
                    return Err(Error::MissingBlob { site: site(), what, expected, reason });
                }
                Err(Problem::BlobShape(what, found, expected)) => {
                    return Err(Error::BlobShape { site: site(), what, found, expected });
                }
            }
        }
        Ok(())
    }

    /// The model's tensors for a layer's bottoms; `None` when one of them was not converted.
    fn layer_inputs(&self, layer: usize) -> Option<Vec<ir::Port>> {
        let sources = self.graph.sources[layer].iter().enumerate();
        sources
            .map(|(i, top)| self.cut_bottoms.get(&(layer, i)).copied().or_else(|| self.tensor(*top)))
            .collect()
    }

    /// The model's tensor for a top; `None` when that was not converted.
    fn tensor(&self, top: Top) -> Option<ir::Port> {
        let own = || self.ports.get(&top.0)?.get(top.1);
        self.cut_tops.get(&top).or_else(own).copied()
    }
}

/// Inputs.
impl Converter<'_> {
    /// Puts parameters and values where the caller wants them. Answers the parameters.
    fn place_inputs(&mut self, specs: &[InputSpec]) -> Result<Vec<(NodeId, String)>, Error> {
        let graph = self.graph;
        // The network as it is says which types and shapes the tensors have.
        let mut whole = Converter::new(self.net, graph, &Options::default());
        let mut placed = Vec::new();
        for spec in specs {
            let fail = |problem: String| Error::Input { input: spec.place.clone(), problem };
            for (bottom, top, name) in self.cuts(spec)? {
                let mut ty = whole.type_of(top);
                ty.element_type = spec.element_type.unwrap_or(ty.element_type);
                if let Some(shape) = &spec.shape {
                    ty.shape = shape.clone();
                }
                let port = match &spec.value {
                    Some(value) => {
                        let sizes = match &spec.shape {
                            Some(shape) if shape.sizes().is_none() => {
                                return Err(fail(format!("a value needs a fixed shape, not {shape}")));
                            }
                            _ => ty.shape.sizes(),
                        };
                        let value = value.tensor(ty.element_type, sizes).map_err(fail)?;
                        self.model.add_constant(name, value).into()
                    }
                    None => {
                        let id = self.model.add_parameter(name.clone(), ty.element_type, ty.shape);
                        self.model.names_mut(id.into()).push(name);
                        placed.push((id, spec.place.clone()));
                        id.into()
                    }
                };
                match bottom {
                    Some(bottom) => drop(self.cut_bottoms.insert(bottom, port)),
                    None => drop(self.cut_tops.insert(top, port)),
                }
            }
        }
        Ok(placed)
    }

    /// Where an input cuts.
    fn cuts(&self, spec: &InputSpec) -> Result<Vec<Cut>, Error> {
        let graph = self.graph;
        let place = Place::parse(&spec.place);
        let name = if graph.blobs.contains_key(spec.place.as_str()) { &spec.place } else { place.node() };
        let blob = graph.blobs.get(name).copied();
        let is_data = |top: &Top| is_input(&graph.layers[top.0].kind);
        // An input of the network keeps its name, whether by its blob or by its layer.
        let data = blob.filter(is_data).or_else(|| graph.layer(name).map(|layer| (layer, 0)).filter(is_data));
        if let Some(mut top) = data {
            if let (Place::Output(_, port), true) = (place, name != spec.place) {
                top.1 = port;
            }
            self.check_port(top.0, top.1, "top", graph.layers[top.0].tops.len())?;
            return Ok(vec![(None, top, graph.layers[top.0].tops[top.1].clone())]);
        }
        let layer = match (graph.layer(name), blob) {
            (Some(layer), _) => layer,
            // A blob that has no layer of its name.
            (None, Some(top)) => return Ok(vec![(None, top, name.to_owned())]),
            (None, None) => return Err(graph.no_such(name)),
        };
        let sources = &graph.sources[layer];
        Ok(match place {
            Place::Output(_, port) if name != spec.place => {
                self.check_port(layer, port, "top", graph.layers[layer].tops.len())?;
                vec![(None, (layer, port), format!("{name}/placeholder_out_port_{port}"))]
            }
            Place::Input(_, i) if name != spec.place => {
                self.check_port(layer, i, "bottom", sources.len())?;
                vec![(Some((layer, i)), sources[i], format!("{name}/placeholder_port_{i}"))]
            }
            _ if spec.value.is_some() => vec![(None, (layer, 0), name.to_owned())],
            _ if sources.len() > 1 && (spec.shape.is_some() || spec.element_type.is_some()) => {
                let problem = format!(
                    "{} has {} bottoms; name one of them as '0:{name}'",
                    graph.layers[layer].site(),
                    sources.len()
                );
                return Err(Error::Input { input: spec.place.clone(), problem });
            }
            _ => {
                let cut = |(i, top): (usize, &Top)| {
                    (Some((layer, i)), *top, format!("{name}/placeholder_port_{i}"))
                };
                sources.iter().enumerate().map(cut).collect()
            }
        })
    }

    /// Type and shape of a tensor of the network, as far as it can be converted.
    fn type_of(&mut self, top: Top) -> PortType {
        let order = self.order(&[top]);
        let unknown = || PortType::new(ElementType::F32, PartialShape::UNKNOWN);
        match self.run(&order) {
            Ok(()) => self.tensor(top).map_or_else(unknown, |port| self.model.ty(port).clone()),
            Err(_) => unknown(),
        }
    }
}

/// Outputs.
impl Converter<'_> {
    /// The one report of everything that was refused.
    fn report(&self, order: &[usize]) -> Result<(), Error> {
        let mut report = Unsupported::default();
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut cut_points: HashSet<&str> = HashSet::new();
        let shape = |top: &Top| match self.tensor(*top) {
            Some(port) => self.model.ty(port).shape.to_string(),
            None => "?".to_owned(),
        };
        for &index in order {
            let layer = &self.graph.layers[index];
            let sources = &self.graph.sources[index];
            if !self.ports.contains_key(&index) {
                let computed =
                    |top: &&Top| !is_input(&self.graph.layers[top.0].kind) && self.tensor(**top).is_some();
                for top in sources.iter().filter(computed) {
                    let name = &self.graph.layers[top.0].tops[top.1];
                    if cut_points.insert(name) {
                        report.cut_points.push(name.clone());
                    }
                }
            }
            let Some(reason) = self.refused.get(&index) else { continue };
            let unsupported = UnsupportedNode {
                name: layer.name.clone(),
                input_shapes: sources.iter().map(shape).collect(),
                reason: reason.clone(),
            };
            let place = *places.entry(&layer.kind).or_insert_with(|| {
                report.ops.push(UnsupportedOp { op: layer.kind.clone(), nodes: Vec::new() });
                report.ops.len() - 1
            });
            report.ops[place].nodes.push(unsupported);
        }
        if report.ops.is_empty() { Ok(()) } else { Err(Box::new(report).into()) }
    }

    /// Adds the results, names the tensors, puts the inputs in order, drops what nobody takes.
    fn finish(mut self, outputs: &[Top], placed: &[(NodeId, String)]) -> Result<Converted, Error> {
        self.name_tensors();
        for &(index, port) in outputs {
            let layer = &self.graph.layers[index];
            let Some(from) = self.tensor((index, port)) else {
                return Err(Error::NoSuchPort { site: layer.site(), port: format!("top {port}") });
            };
            let added = self.model.add_result(format!("{}/sink_port_{port}", layer.name), from);
            added.map_err(|source| Error::Model { site: layer.site(), source: source.into() })?;
        }
        self.model.remove_dead();
        for (id, place) in placed {
            // An input that only lends its shape is not in the model.
            let lends =
                || self.graph.blobs.get(place.as_str()).is_some_and(|top| self.cut_tops.contains_key(top));
            if self.model.users_of(*id).next().is_none() && !lends() {
                let problem = "the outputs do not depend on it".to_owned();
                return Err(Error::Input { input: place.clone(), problem });
            }
        }
        for id in self.model.parameters().to_vec() {
            if self.model.users_of(id).next().is_none() {
                self.model.remove(id);
            }
        }
        // Those that the caller placed, then the network's own in its order.
        let mut order = self.model.parameters().to_vec();
        order.sort_by_key(|id| placed.iter().position(|(placed, _)| placed == id).unwrap_or(usize::MAX));
        self.model.set_parameter_order(order);
        let notes = self.net.notes.iter().chain(&self.notes).cloned().collect();
        Ok(Converted { model: self.model, notes })
    }

    /// Tensors go by the blobs that they are at the end, and by their layers. No name is given twice.
    fn name_tensors(&mut self) {
        let placed = self.model.parameters().iter().flat_map(|id| &self.model.output((*id).into()).names);
        let mut given: HashSet<String> = placed.cloned().collect();
        let blobs = self.graph.layers.iter().enumerate().flat_map(|(i, layer)| {
            let tops = layer.tops.iter().enumerate();
            tops.map(move |(port, top)| (top.as_str(), (i, port)))
        });
        let last = blobs.filter(|(name, top)| self.graph.blobs.get(name) == Some(top));
        let layers = self.graph.layers.iter().enumerate().map(|(i, layer)| (layer.name.as_str(), (i, 0)));
        let names: Vec<(String, Top)> =
            last.chain(layers).map(|(name, top)| (name.to_owned(), top)).collect();
        for (name, top) in names {
            if let Some(port) = self.tensor(top)
                && given.insert(name.clone())
            {
                self.model.names_mut(port).push(name);
            }
        }
    }
}
