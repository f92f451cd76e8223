//! From IR text and weights to a model.

use super::{LAYOUT, ReadError, ReadErrorKind as Kind, Weights, bodies, escape_step, split_names};
use crate::{
    Dim, ElementType, Layout, Model, NodeId, Op, PartialShape, Port, RtAttribute, RtInfo, Tensor,
    attribute::{self, Attribute},
    element_count, map_file,
    op::{Constant, Custom, NEWEST_OPSET, PortType},
    shape::MAX_RANK,
};
use bytes::Bytes;
pub(super) use roxmltree::Node as Element;
use roxmltree::{Document, ParsingOptions};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
};

/// The most elements and texts of one document: tens of times the largest IRs.
const MOST_XML_NODES: u32 = 1 << 24;
/// The deepest that elements of the model's `rt_info` may lie in each other.
const MOST_DEPTH: usize = 64;
/// The deepest that graphs may lie in each other: loops in branches of loops.
const MOST_DEPTH_OF_GRAPHS: usize = 16;

/// Reads an IR of version 10 or 11; its weights are those of the `.bin` beside it, mapped, and needed only when
/// there are constants. The files must not be changed in place while the model lives (see [`map_file`]).
pub fn read_ir(xml: impl AsRef<Path>) -> Result<Model, ReadError> {
    let xml = xml.as_ref();
    let in_file = |error: ReadError| ReadError { file: Some(xml.to_owned()), ..error };
    let io_error = |path: &Path, source| ReadError::new(Kind::Io { path: path.to_owned(), source });
    let text = fs::read(xml).map_err(|e| io_error(xml, e))?;
    let text = String::from_utf8(text).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        in_file(ReadError::new(Kind::Encoding { at }))
    })?;
    let bin = xml.with_extension("bin");
    let weights = match map_file(&bin) {
        Ok(bytes) => Store::Weights(bytes.into()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Store::Missing(bin),
        Err(e) => return Err(in_file(io_error(&bin, e))),
    };
    read(&text, &weights).map_err(in_file)
}

/// Reads an IR of version 10 or 11 from memory; the weights are a whole `.bin`, or chunks of one. The constants
/// share their memory.
pub fn read_ir_from(xml: &str, weights: impl Into<Weights>) -> Result<Model, ReadError> {
    read(xml, &Store::Weights(weights.into()))
}

/// Where constants are taken from.
pub(super) enum Store {
    Weights(Weights),
    Missing(PathBuf),
}

/// One layer as the file has it.
pub(super) struct Layer<'a> {
    pub(super) element: Element<'a, 'a>,
    id: u64,
    name: &'a str,
    kind: &'a str,
    version: &'a str,
    pub(super) inputs: Vec<FilePort<'a>>,
    pub(super) outputs: Vec<FilePort<'a>>,
    /// Along `inputs`: the index of the layer and of its output.
    sources: Vec<(usize, usize)>,
}

/// One port as the file has it.
pub(super) struct FilePort<'a> {
    pub(super) id: u64,
    element: Element<'a, 'a>,
}

impl Layer<'_> {
    fn label(&self) -> String {
        format!("{} \"{}\" ({})", self.id, self.name, self.kind)
    }

    /// The error `kind` somewhere in this layer.
    fn fail(&self, kind: impl Into<Kind>) -> ReadError {
        self.locate(fail(self.element, kind))
    }

    fn locate(&self, error: ReadError) -> ReadError {
        ReadError { layer: Some(self.label()), ..error }
    }
}

pub(super) fn fail(at: Element, kind: impl Into<Kind>) -> ReadError {
    let position = at.document().text_pos_at(at.range().start);
    ReadError { position: Some((position.row, position.col)), ..ReadError::new(kind.into()) }
}

fn read(text: &str, weights: &Store) -> Result<Model, ReadError> {
    let options = ParsingOptions { nodes_limit: MOST_XML_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).map_err(|error| {
        let position = match (&error, text.lines().last()) {
            // The parser points to the start, but it is the end that is missing.
            (roxmltree::Error::UnclosedRootNode, Some(last)) => {
                (text.lines().count() as u32, last.chars().count() as u32 + 1)
            }
            _ => (error.pos().row, error.pos().col),
        };
        ReadError { position: Some(position), ..ReadError::new(Kind::Xml(error)) }
    })?;
    let net = document.root_element();
    if net.tag_name().name() != "net" {
        return Err(fail(net, Kind::Root { found: net.tag_name().name().to_owned() }));
    }
    let legacy_names = match required(net, "version")? {
        "10" => true,
        "11" => false,
        found => return Err(fail(net, Kind::Version { found: found.to_owned() })),
    };
    let (mut model, _) = read_graph(net, weights, 0)?;
    if legacy_names {
        name_ends(&mut model);
    }
    if let Some(info) = child(net, "rt_info")? {
        model.rt_info = read_model_info(info)?;
    }
    Ok(model)
}

/// The graph in an element, and the node of each layer by its id.
pub(super) fn read_graph(
    around: Element,
    weights: &Store,
    depth: usize,
) -> Result<(Model, HashMap<u64, NodeId>), ReadError> {
    if depth > MOST_DEPTH_OF_GRAPHS {
        return Err(fail(around, Kind::DepthOfGraphs { most: MOST_DEPTH_OF_GRAPHS }));
    }
    let layers = read_layers(around)?;
    let mut model = Model::new(around.attribute("name").unwrap_or_default());
    let nodes = add_nodes(&mut model, &layers, weights, depth)?;
    name_tensors(&mut model, &layers, &nodes)?;
    Ok((model, layers.iter().map(|layer| layer.id).zip(nodes).collect()))
}

/// The layers, in the order of the file, and who takes from whom.
fn read_layers<'a>(net: Element<'a, 'a>) -> Result<Vec<Layer<'a>>, ReadError> {
    let list = child(net, "layers")?.ok_or_else(|| missing(net, "layers"))?;
    let mut layers: Vec<Layer> = elements(list, "layer").map(read_layer).collect::<Result<_, _>>()?;
    let mut by_id = HashMap::with_capacity(layers.len());
    for (i, layer) in layers.iter().enumerate() {
        if by_id.insert(layer.id, i).is_some() {
            return Err(layer.fail(Kind::DuplicateLayer { id: layer.id }));
        }
    }
    let inputs: Vec<HashMap<u64, usize>> =
        layers.iter().map(|layer| layer.positions("input", &layer.inputs)).collect::<Result<_, _>>()?;
    let outputs: Vec<HashMap<u64, usize>> =
        layers.iter().map(|layer| layer.positions("output", &layer.outputs)).collect::<Result<_, _>>()?;
    let mut sources: Vec<Vec<Option<(usize, usize)>>> =
        layers.iter().map(|layer| vec![None; layer.inputs.len()]).collect();
    let edges = child(net, "edges")?;
    for edge in edges.into_iter().flat_map(|edges| elements(edges, "edge")) {
        let end = |layer: &'static str, port: &'static str, side, ports: &[HashMap<u64, usize>]| {
            let (id, port) = (number(edge, layer)?, number(edge, port)?);
            let at = *by_id.get(&id).ok_or_else(|| fail(edge, Kind::UnknownLayer { id }))?;
            let index =
                ports[at].get(&port).ok_or_else(|| fail(edge, Kind::UnknownPort { id, side, port }))?;
            Ok::<_, ReadError>((at, *index))
        };
        let from = end("from-layer", "from-port", "output", &outputs)?;
        let (to, input) = end("to-layer", "to-port", "input", &inputs)?;
        if sources[to][input].replace(from).is_some() {
            let (id, port) = (layers[to].id, layers[to].inputs[input].id);
            return Err(fail(edge, Kind::SecondEdge { id, port }));
        }
    }
    for (layer, sources) in layers.iter_mut().zip(sources) {
        let unconnected = sources.iter().position(Option::is_none);
        if let Some(input) = unconnected {
            return Err(layer.fail(Kind::NoEdge { port: layer.inputs[input].id }));
        }
        layer.sources = sources.into_iter().flatten().collect();
    }
    Ok(layers)
}

fn read_layer<'a>(element: Element<'a, 'a>) -> Result<Layer<'a>, ReadError> {
    let mut layer = Layer {
        element,
        id: number(element, "id")?,
        name: required(element, "name")?,
        kind: required(element, "type")?,
        version: "",
        inputs: Vec::new(),
        outputs: Vec::new(),
        sources: Vec::new(),
    };
    let locate = |error| layer.locate(error);
    let version = required(element, "version").map_err(locate)?;
    let ports = |side| -> Result<Vec<FilePort>, ReadError> {
        let list = child(element, side)?;
        let ports = list.into_iter().flat_map(|list| elements(list, "port"));
        ports.map(|element| Ok(FilePort { id: number(element, "id")?, element })).collect()
    };
    let (inputs, outputs) = (ports("input").map_err(locate)?, ports("output").map_err(locate)?);
    (layer.version, layer.inputs, layer.outputs) = (version, inputs, outputs);
    Ok(layer)
}

impl Layer<'_> {
    /// The indices of ports by their ids.
    fn positions(&self, side: &'static str, ports: &[FilePort]) -> Result<HashMap<u64, usize>, ReadError> {
        let mut positions = HashMap::with_capacity(ports.len());
        for (i, port) in ports.iter().enumerate() {
            if positions.insert(port.id, i).is_some() {
                return Err(self.locate(fail(port.element, Kind::DuplicatePort { side, port: port.id })));
            }
        }
        Ok(positions)
    }
}

/// Adds every layer to the model. Inputs and outputs stand in the order of the file, as OpenVINO has them.
fn add_nodes(
    model: &mut Model,
    layers: &[Layer],
    weights: &Store,
    depth: usize,
) -> Result<Vec<NodeId>, ReadError> {
    let mut nodes: Vec<Option<NodeId>> = vec![None; layers.len()];
    let names: HashSet<&str> = layers.iter().map(|layer| layer.name).collect();
    for i in topological_order(layers)? {
        let layer = &layers[i];
        let (op, residue) = read_op(layer, layers, weights, depth).map_err(|e| layer.locate(e))?;
        let opset = opset(layer.version).filter(|_| !matches!(op, Op::Custom(_)));
        let inputs: Vec<Port> = layer
            .sources
            .iter()
            .map(|(at, index)| nodes[*at].expect("sources come first").output(*index))
            .collect();
        let id = model.add(own_name(layer.name, &names), op, &inputs).map_err(|e| layer.fail(e))?;
        let node = model.node_mut(id);
        node.opset = opset.unwrap_or(node.opset);
        node.residue = residue;
        node.rt_info = read_info(layer.element).map_err(|e| layer.locate(e))?;
        nodes[i] = Some(id);
    }
    let nodes: Vec<NodeId> = nodes.into_iter().flatten().collect();
    let ordered =
        |keep: fn(&Op) -> bool| nodes.iter().copied().filter(|id| keep(&model.node(*id).op)).collect();
    let (parameters, results) =
        (ordered(|op| matches!(op, Op::Parameter(_))), ordered(|op| matches!(op, Op::OpResult(_))));
    model.set_parameter_order(parameters);
    model.set_result_order(results);
    Ok(nodes)
}

/// The name without the `#2` by which the writer tells layers of one name apart.
fn own_name<'a>(name: &'a str, names: &HashSet<&str>) -> &'a str {
    match name.rsplit_once('#') {
        Some((own, number)) if number.parse::<u32>().is_ok() && names.contains(own) => own,
        _ => name,
    }
}

/// The layers, each after those that it takes from; otherwise in the order of the file.
fn topological_order(layers: &[Layer]) -> Result<Vec<usize>, ReadError> {
    let mut waiting: Vec<usize> = layers.iter().map(|layer| layer.sources.len()).collect();
    let mut users = vec![Vec::new(); layers.len()];
    for (i, layer) in layers.iter().enumerate() {
        for (source, _) in &layer.sources {
            users[*source].push(i);
        }
    }
    let mut ready: BinaryHeap<_> = (0..layers.len()).filter(|i| waiting[*i] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(layers.len());
    while let Some(Reverse(i)) = ready.pop() {
        order.push(i);
        for &user in &users[i] {
            waiting[user] -= 1;
            if waiting[user] == 0 {
                ready.push(Reverse(user));
            }
        }
    }
    let Some(mut at) = (0..layers.len()).find(|i| waiting[*i] > 0) else { return Ok(order) };
    // Every waiting layer takes from a waiting layer: going back must come round.
    let (mut path, mut seen) = (Vec::new(), HashMap::new());
    while !seen.contains_key(&at) {
        seen.insert(at, path.len());
        path.push(at);
        let source = layers[at].sources.iter().find(|(source, _)| waiting[*source] > 0);
        at = source.expect("one input waits").0;
    }
    let path: Vec<_> = path[seen[&at]..].iter().rev().map(|i| layers[*i].label()).collect();
    Err(layers[at].fail(Kind::Cycle { path }))
}

/// The op of a layer and the attributes that nobody read.
fn read_op(
    layer: &Layer,
    layers: &[Layer],
    weights: &Store,
    depth: usize,
) -> Result<(Op, Vec<(String, String)>), ReadError> {
    let data = child(layer.element, "data")?;
    let mut pairs: Vec<(String, String)> = match data {
        Some(data) => attributes(data)?,
        None => Vec::new(),
    };
    let at = data.unwrap_or(layer.element);
    let prototype = opset(layer.version).and_then(|opset| Op::prototype(layer.kind, opset));
    let mut op = match prototype {
        Some(op) => op,
        None if matches!(layer.kind, "Parameter" | "Const" | "Result") => {
            return Err(fail(layer.element, Kind::Opset { found: layer.version.to_owned() }));
        }
        None => return Ok((read_custom(layer, pairs)?.into(), Vec::new())),
    };
    // IRs of 2020 leave type and shape of constants and parameters to the port.
    if matches!(op, Op::Parameter(_) | Op::Constant(_))
        && let Some(port) = layer.outputs.first()
    {
        let declared = |name: &str| pairs.iter().any(|(key, _)| key == name);
        let (shape, element_type) = (!declared("shape"), !declared("element_type"));
        if shape {
            pairs.push(("shape".to_owned(), read_dims(port.element)?.to_text()));
        }
        if element_type {
            pairs.push(("element_type".to_owned(), read_precision(port.element)?.to_text()));
        }
    }
    if let Op::Constant(constant) = &mut op {
        let residue = read_constant(constant, &pairs, at, weights)?;
        return Ok((op, residue));
    }
    let residue = attribute::read(&mut |v| op.visit(v), &pairs).map_err(|e| fail(at, e))?;
    match &mut op {
        Op::Parameter(parameter) => parameter.layout = layout_of(layer.outputs.first())?.unwrap_or_default(),
        // The layout of a result stands at the port that it takes.
        Op::OpResult(result) => {
            let source = layer.sources.first().map(|(at, index)| &layers[*at].outputs[*index]);
            result.layout = layout_of(source)?.unwrap_or_default();
        }
        Op::If(op) => bodies::read_if(op, layer, weights, depth)?,
        Op::Loop(op) => bodies::read_loop(op, layer, weights, depth)?,
        _ => {}
    }
    Ok((op, residue))
}

/// An op that nobody here knows, with its attributes and the outputs that it declares.
fn read_custom(layer: &Layer, attributes: Vec<(String, String)>) -> Result<Custom, ReadError> {
    let kept = ["data", "rt_info", "input", "output"];
    let unknown = layer.element.children().find(|c| c.is_element() && !kept.contains(&c.tag_name().name()));
    if let Some(unknown) = unknown {
        return Err(fail(unknown, Kind::UnknownElement { name: unknown.tag_name().name().to_owned() }));
    }
    // No dimensions mean a scalar or an unknown rank; the latter claims less.
    let output = |port: &FilePort| {
        let shape = read_dims(port.element)?;
        let shape = if shape.rank() == Some(0) { PartialShape::UNKNOWN } else { shape };
        Ok(PortType::new(read_precision(port.element)?, shape))
    };
    Ok(Custom {
        type_name: layer.kind.to_owned(),
        version: layer.version.to_owned(),
        attributes,
        outputs: layer.outputs.iter().map(output).collect::<Result<_, ReadError>>()?,
        extension: None,
    })
}

fn read_constant(
    constant: &mut Constant,
    pairs: &[(String, String)],
    at: Element,
    weights: &Store,
) -> Result<Vec<(String, String)>, ReadError> {
    let (mut element_type, mut shape) = (ElementType::Dynamic, Vec::<usize>::new());
    let (mut offset, mut size) = (0usize, 0usize);
    let mut visit = |v: &mut dyn attribute::Visitor| {
        v.required("element_type", &mut element_type);
        v.required("shape", &mut shape);
        v.required("offset", &mut offset);
        v.required("size", &mut size);
    };
    let residue = attribute::read(&mut visit, pairs).map_err(|e| fail(at, e))?;
    let bad = |name: &str, expected| {
        let found = pairs.iter().find(|(key, _)| key == name).map_or("", |(_, text)| text);
        bad_value(at, format!("attribute `{name}`"), found, expected)
    };
    if element_type == ElementType::Dynamic {
        return Err(bad("element_type", "the type of a constant's elements"));
    }
    if shape.len() > MAX_RANK {
        return Err(bad("shape", "at most 64 dimensions"));
    }
    // Tools may give a constant more bytes than it needs; too few are an error that the tensor tells.
    let needed = element_count(&shape).and_then(|count| element_type.byte_len(count));
    let taken = needed.map_or(size, |needed| needed.min(size));
    let bytes = match weights {
        _ if size == 0 => Bytes::new(),
        Store::Missing(path) => return Err(fail(at, Kind::NoWeights { path: path.clone(), size })),
        Store::Weights(weights) => match weights.get(offset as u64, size as u64) {
            Some(bytes) => bytes.slice(..taken),
            None => {
                let (offset, size, available) = (offset as u64, size as u64, weights.len());
                return Err(fail(at, Kind::WeightsRange { offset, size, available }));
            }
        },
    };
    constant.tensor = Tensor::new(element_type, shape, bytes).map_err(|e| fail(at, e))?;
    Ok(residue)
}

/// Gives the tensors their names and the ports' information.
fn name_tensors(model: &mut Model, layers: &[Layer], nodes: &[NodeId]) -> Result<(), ReadError> {
    let taken: HashSet<Port> = model.results().iter().map(|id| model.node(*id).inputs()[0]).collect();
    for (layer, &id) in layers.iter().zip(nodes) {
        // Any other layer may carry the attribute too, even one without outputs; it means something on results only.
        if let Some(names) = layer.element.attribute("output_names").filter(|_| model.results().contains(&id))
        {
            *model.names_mut(id.into()) = split_names(names);
        }
        let outputs = model.node(id).outputs().len();
        for (index, port) in layer.outputs.iter().enumerate().take(outputs) {
            let names = port.element.attribute("names").map(split_names).unwrap_or_default();
            let mut info = read_info(port.element).map_err(|e| layer.locate(e))?;
            let port = id.output(index);
            // The op structs hold these layouts.
            if matches!(model.node(id).op, Op::Parameter(_)) || taken.contains(&port) {
                info.remove(LAYOUT);
            }
            if !names.is_empty() {
                *model.names_mut(port) = names;
            }
            *model.rt_info_mut(port) = info;
        }
    }
    Ok(())
}

/// In version 10 the names of layers are the names of the network's inputs and outputs.
fn name_ends(model: &mut Model) {
    let results = model.results().iter().map(|id| model.node(*id).inputs()[0]);
    let ends: Vec<Port> = model.parameters().iter().map(|id| Port::from(*id)).chain(results).collect();
    for port in ends {
        let node = model.node(port.node);
        let name = match node.outputs().len() {
            1 => node.name.clone(),
            _ => format!("{}.{}", node.name, port.index),
        };
        let names = model.names_mut(port);
        if !names.contains(&name) {
            names.push(name);
        }
    }
}

/// The run-time information of a layer or a port.
fn read_info(around: Element) -> Result<RtInfo, ReadError> {
    let Some(list) = child(around, "rt_info")? else { return Ok(RtInfo::new()) };
    let mut info = RtInfo::new();
    for element in elements(list, "attribute") {
        let mut parts: BTreeMap<String, String> = attributes(element)?;
        parts.remove("name");
        let version = parts.remove("version").unwrap_or_default();
        info.insert(required(element, "name")?.to_owned(), RtAttribute { version, parts });
    }
    Ok(info)
}

/// The layout that a port's information states.
fn layout_of(port: Option<&FilePort>) -> Result<Option<Layout>, ReadError> {
    let Some(port) = port else { return Ok(None) };
    let Some(list) = child(port.element, "rt_info")? else { return Ok(None) };
    let Some(element) = elements(list, "attribute").find(|e| e.attribute("name") == Some(LAYOUT)) else {
        return Ok(None);
    };
    let mut layout = Layout::default();
    parse(element, LAYOUT, &mut layout)?;
    Ok(Some(layout))
}

/// The information of the whole model: texts by path.
fn read_model_info(root: Element) -> Result<BTreeMap<String, String>, ReadError> {
    let mut info = BTreeMap::new();
    let mut open = vec![(root, String::new(), 0)];
    while let Some((around, path, depth)) = open.pop() {
        if depth == MOST_DEPTH {
            return Err(fail(around, Kind::Depth { most: MOST_DEPTH }));
        }
        for element in around.children().filter(Element::is_element) {
            // A name that can't be an element's stands in an attribute: <info name="OpenVINO Runtime" value=".."/>.
            let step = match (element.tag_name().name(), element.attribute("name")) {
                ("info", Some(name)) => name,
                (name, _) => name,
            };
            let path = match path.as_str() {
                "" => escape_step(step),
                path => format!("{path}/{}", escape_step(step)),
            };
            if let Some(value) = element.attribute("value") {
                info.insert(path.clone(), value.to_owned());
            }
            open.push((element, path, depth + 1));
        }
    }
    Ok(info)
}

/// The shape that a port declares.
fn read_dims(port: Element) -> Result<PartialShape, ReadError> {
    let mut dims = Vec::new();
    for element in elements(port, "dim") {
        let text = element.text().unwrap_or_default().trim();
        let bad = |expected| bad_value(element, "<dim>".to_owned(), text, expected);
        if dims.len() == MAX_RANK {
            return Err(bad("at most 64 dimensions"));
        }
        dims.push(match text.parse::<i64>() {
            Ok(-1) => Dim::ANY_DIM,
            Ok(size) if size >= 0 => Dim::exactly(size),
            _ => return Err(bad("a size, or -1 for any")),
        });
    }
    Ok(PartialShape::new(dims))
}

/// The element type that a port declares.
fn read_precision(port: Element) -> Result<ElementType, ReadError> {
    let mut precision = ElementType::Dynamic;
    if port.attribute("precision").is_some() {
        parse(port, "precision", &mut precision)?;
    }
    Ok(precision)
}

pub(super) fn missing(parent: Element, name: &'static str) -> ReadError {
    fail(parent, Kind::MissingElement { parent: parent.tag_name().name().to_owned(), name })
}

/// The one child of that name.
pub(super) fn child<'a>(
    parent: Element<'a, 'a>,
    name: &'static str,
) -> Result<Option<Element<'a, 'a>>, ReadError> {
    let mut found = elements(parent, name);
    let first = found.next();
    match found.next() {
        None => Ok(first),
        Some(second) => {
            let parent = parent.tag_name().name().to_owned();
            Err(fail(second, Kind::RepeatedElement { parent, name }))
        }
    }
}

pub(super) fn elements<'a>(
    parent: Element<'a, 'a>,
    name: &'static str,
) -> impl Iterator<Item = Element<'a, 'a>> {
    parent.children().filter(move |child| child.is_element() && child.tag_name().name() == name)
}

pub(super) fn required<'a>(element: Element<'a, 'a>, name: &'static str) -> Result<&'a str, ReadError> {
    element.attribute(name).ok_or_else(|| {
        fail(element, Kind::MissingAttribute { element: element.tag_name().name().to_owned(), name })
    })
}

/// All attributes with their texts.
pub(super) fn attributes<C: FromIterator<(String, String)>>(element: Element) -> Result<C, ReadError> {
    let pair = |a: roxmltree::Attribute| match a.namespace() {
        None => Ok((a.name().to_owned(), a.value().to_owned())),
        Some(_) => Err(fail(element, Kind::Namespace { name: a.name().to_owned() })),
    };
    element.attributes().map(pair).collect()
}

/// Reads an attribute of the file's frame into `value`.
pub(super) fn parse(
    element: Element,
    name: &'static str,
    value: &mut dyn Attribute,
) -> Result<(), ReadError> {
    let text = required(element, name)?;
    let what = || format!("attribute `{name}` of <{}>", element.tag_name().name());
    value.parse(text).map_err(|expected| bad_value(element, what(), text, expected))
}

pub(super) fn bad_value(at: Element, what: String, found: &str, expected: &'static str) -> ReadError {
    fail(at, Kind::BadValue { what, found: found.to_owned(), expected })
}

pub(super) fn number(element: Element, name: &'static str) -> Result<u64, ReadError> {
    let mut value = 0usize;
    parse(element, name, &mut value)?;
    Ok(value as u64)
}

/// 8 from `opset8`, when there is such an op set.
fn opset(version: &str) -> Option<u32> {
    version.strip_prefix("opset")?.parse().ok().filter(|opset| (1..=NEWEST_OPSET).contains(opset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::Visitor;

    /// Gives each attribute one of the texts that it takes, by turns.
    struct Vary(usize);

    impl Vary {
        const TEXTS: [&str; 24] = [
            "0",
            "1",
            "3",
            "-2",
            "true",
            "false",
            "0.1",
            "1e-30",
            "-inf",
            "3.4028234663852886e38",
            "f16",
            "i64",
            "2,3",
            "0,-1,7",
            "",
            "0.25,4",
            "same_upper",
            "valid",
            "ceil",
            "max",
            "numpy",
            "edge",
            "linear_onnx",
            "half_pixel",
        ];
    }

    impl Visitor for Vary {
        fn required(&mut self, _: &'static str, value: &mut dyn Attribute) {
            self.0 += 1;
            (self.0..self.0 + Self::TEXTS.len())
                .any(|turn| value.parse(Self::TEXTS[turn % Self::TEXTS.len()]).is_ok());
        }
        fn optional(&mut self, name: &'static str, value: &mut dyn Attribute) {
            self.required(name, value);
        }
    }

    #[test]
    fn attributes_of_every_op_survive_a_file() {
        for (name, opset) in
            Op::known().filter(|(name, _)| !matches!(*name, "Const" | "Parameter" | "Result"))
        {
            for turn in 0..Vary::TEXTS.len() {
                let mut op = Op::prototype(name, opset).unwrap();
                op.visit(&mut Vary(turn));
                // Inference would ask for fitting inputs; the file does not.
                let mut model = Model::new("m");
                let stand_in = Custom { type_name: "Any".to_owned(), ..Custom::default() };
                let id = model.add("n", stand_in, &[]).unwrap();
                (model.node_mut(id).op, model.node_mut(id).opset) = (op.clone(), opset);
                let (text, _) = super::super::to_ir(&model).unwrap();
                let document = Document::parse(&text).unwrap();
                let layers = read_layers(document.root_element()).unwrap();
                let (read, residue) =
                    read_op(&layers[0], &layers, &Store::Weights(Weights::default()), 0).unwrap();
                assert_eq!((read, residue), (op, vec![]), "{name} of opset{opset}\n{text}");
                assert_eq!(layers[0].version, format!("opset{opset}"));
            }
        }
    }
}
