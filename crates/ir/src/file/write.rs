//! From a model to IR text and weights.

use super::{LAYOUT, Weights, WriteError, bodies, join_names, split_path};
use crate::{
    Layout, Model, Node, NodeId, Op, Port, RtAttribute,
    attribute::{self, Attribute},
    op::{NEWEST_OPSET, PortType},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::{self, Write as _},
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};
use tempfile::NamedTempFile;

/// The two files of an IR that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The graph.
    pub xml: PathBuf,
    /// The constants.
    pub bin: PathBuf,
}

/// A version of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IrVersion {
    /// For runtimes up to OpenVINO 2021.4: no op of an op set beyond 8, no run-time information.
    V10,
    /// For OpenVINO 2022.1 and later.
    #[default]
    V11,
}

impl IrVersion {
    fn number(self) -> u32 {
        match self {
            Self::V10 => 10,
            Self::V11 => 11,
        }
    }

    /// The newest op set that its readers know.
    fn newest_opset(self) -> u32 {
        match self {
            Self::V10 => 8,
            Self::V11 => NEWEST_OPSET,
        }
    }
}

/// Writes `model` as an IR of version 11: `xml` and, beside it, the `.bin`. Both appear whole or not at all.
pub fn write_ir(model: &Model, xml: impl AsRef<Path>) -> Result<Written, WriteError> {
    write_ir_as(model, xml, IrVersion::V11, &mut |_, _| {})
}

/// Writes an IR of a version; `progress` hears how many bytes of how many lie in the `.bin`.
pub fn write_ir_as(
    model: &Model,
    xml: impl AsRef<Path>,
    version: IrVersion,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Written, WriteError> {
    let xml = xml.as_ref().to_owned();
    let bin = xml.with_extension("bin");
    if xml.file_name().is_none() || xml == bin || xml.is_dir() {
        return Err(WriteError::Path { path: xml });
    }
    let (text, weights) = to_ir_as(model, version)?;
    let bin_file = temporary(&bin, |file| weights.write_watched(file, progress))?;
    let xml_file = temporary(&xml, |file| file.write_all(text.as_bytes()))?;
    let persist = |file: NamedTempFile, path: &Path| {
        file.persist(path).map_err(|e| WriteError::Io { path: path.to_owned(), source: e.error })
    };
    // A reader that finds the .xml finds its .bin.
    persist(bin_file, &bin)?;
    persist(xml_file, &xml).inspect_err(|_| {
        // Without its .xml the .bin says nothing; the error to tell is the first one.
        let _ = std::fs::remove_file(&bin);
    })?;
    Ok(Written { xml, bin })
}

/// A file in the folder of `path`, gone unless it is persisted.
fn temporary(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&std::fs::File>) -> io::Result<()>,
) -> Result<NamedTempFile, WriteError> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let create = || {
        let mut builder = tempfile::Builder::new();
        // Temporary files are private by default; an IR is as readable as any file that the user makes.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let file = builder.tempfile_in(folder)?;
        let mut buffered = BufWriter::new(file.as_file());
        write(&mut buffered)?;
        buffered.flush()?;
        drop(buffered);
        Ok(file)
    };
    create().map_err(|source| WriteError::Io { path: path.to_owned(), source })
}

/// The text of an IR of version 11, and the constants that it refers to.
pub fn to_ir(model: &Model) -> Result<(String, Weights), WriteError> {
    to_ir_as(model, IrVersion::V11)
}

/// The text of an IR of a version, and the constants that it refers to.
pub fn to_ir_as(model: &Model, version: IrVersion) -> Result<(String, Weights), WriteError> {
    let mut writer = Writer {
        model,
        version,
        depth: 0,
        layouts: layouts(model),
        text: String::new(),
        weights: Weights::default(),
        names: HashMap::new(),
    };
    writer.check(&model.name, "name", &model.name)?;
    writer.line(0, format_args!("<?xml version=\"1.0\"?>"));
    writer.line(0, format_args!("<net name=\"{}\" version=\"{}\">", Escaped(&model.name), version.number()));
    writer.graph()?;
    writer.model_info()?;
    writer.line(0, format_args!("</net>"));
    Ok((writer.text, writer.weights))
}

/// Inputs, then everything between in topological order, then outputs: files keep the order of either by it.
fn file_order(model: &Model) -> Result<Vec<NodeId>, WriteError> {
    let between = model
        .topological_order()?
        .into_iter()
        .filter(|id| !matches!(model.node(*id).op, Op::Parameter(_) | Op::OpResult(_)));
    Ok(model.parameters().iter().copied().chain(between).chain(model.results().iter().copied()).collect())
}

/// A parameter's layout lies at its own port; that of a result at the port that it takes, where the first counts.
fn layouts(model: &Model) -> HashMap<Port, &Layout> {
    let mut layouts = HashMap::new();
    for id in model.parameters().iter().chain(model.results()) {
        let (port, layout) = match &model.node(*id).op {
            Op::Parameter(parameter) => (Port::from(*id), &parameter.layout),
            Op::OpResult(result) => (source(model, Port::from(*id)), &result.layout),
            _ => continue,
        };
        if !layout.is_empty() {
            layouts.entry(port).or_insert(layout);
        }
    }
    layouts
}

/// In a file nobody can take from a Result; what it passes on comes from its source.
fn source(model: &Model, mut port: Port) -> Port {
    while let Op::OpResult(_) = model.node(port.node).op {
        port = model.node(port.node).inputs()[0];
    }
    port
}

struct Writer<'a> {
    model: &'a Model,
    version: IrVersion,
    /// How deep in the document the graph lies, more than a network's.
    depth: usize,
    text: String,
    weights: Weights,
    /// The layouts of inputs and outputs, by the ports that files write them at.
    layouts: HashMap<Port, &'a Layout>,
    /// The names of layers that are given, and the highest number that was tried behind each.
    names: HashMap<String, usize>,
}

impl Writer<'_> {
    fn line(&mut self, depth: usize, content: fmt::Arguments) {
        for _ in 0..self.depth + depth {
            self.text.push('\t');
        }
        writeln!(self.text, "{content}").expect("a string takes all text");
    }

    fn graph(&mut self) -> Result<(), WriteError> {
        let model = self.model;
        let order = file_order(model)?;
        let ids: HashMap<NodeId, usize> = order.iter().enumerate().map(|(i, id)| (*id, i)).collect();
        self.line(1, format_args!("<layers>"));
        for (i, id) in order.iter().enumerate() {
            self.layer(i, *id)?;
        }
        self.line(1, format_args!("</layers>"));
        self.line(1, format_args!("<edges>"));
        for (to, id) in order.iter().enumerate() {
            for (input, port) in model.node(*id).inputs().iter().enumerate() {
                let port = source(model, *port);
                let from_port = model.node(port.node).inputs().len() + port.index;
                self.line(2, format_args!(
                    "<edge from-layer=\"{}\" from-port=\"{from_port}\" to-layer=\"{to}\" to-port=\"{input}\" />",
                    ids[&port.node]
                ));
            }
        }
        self.line(1, format_args!("</edges>"));
        Ok(())
    }

    /// The graphs that a node owns, in its layer.
    fn bodies(&mut self, node: &Node) -> Result<(), WriteError> {
        let place = |model: &Model, id| file_order(model).ok()?.iter().position(|other| *other == id);
        let ids = |model: &Model, id| place(model, id).expect("a body was in order when it was inferred");
        let Some((text, graphs)) = bodies::write(&node.op, node.inputs().len(), ids) else { return Ok(()) };
        text.lines().for_each(|line| self.line(3, format_args!("{line}")));
        for (name, model) in graphs {
            self.line(3, format_args!("<{name}>"));
            let mut inner = Writer {
                model,
                version: self.version,
                depth: self.depth + 3,
                text: std::mem::take(&mut self.text),
                weights: std::mem::take(&mut self.weights),
                layouts: layouts(model),
                names: HashMap::new(),
            };
            inner.graph()?;
            (self.text, self.weights) = (inner.text, inner.weights);
            self.line(3, format_args!("</{name}>"));
        }
        Ok(())
    }

    fn layer(&mut self, i: usize, id: NodeId) -> Result<(), WriteError> {
        let model = self.model;
        let node = model.node(id);
        let (version, mut data) = match &node.op {
            Op::Custom(custom) => (custom.version.clone(), custom.attributes.clone()),
            op => (format!("opset{}", opset(node, self.version)?), owned(op.attributes())),
        };
        if let Op::Constant(constant) = &node.op {
            let tensor = &constant.tensor;
            let offset = self.weights.place(tensor.bytes());
            data.extend(owned(vec![
                ("element_type", tensor.element_type().to_text()),
                ("shape", tensor.shape().to_vec().to_text()),
                ("offset", offset.to_string()),
                ("size", tensor.bytes().len().to_string()),
            ]));
        }
        for (name, value) in &node.residue {
            if !data.iter().any(|(known, _)| known == name) {
                data.push((name.clone(), value.clone()));
            }
        }
        let name = self.unique(&node.name);
        for (what, text) in
            [("name", &name), ("type", &node.op.type_name().to_owned()), ("version", &version)]
        {
            self.check(&node.name, what, text)?;
        }
        let is_result = matches!(node.op, Op::OpResult(_));
        let output_names = match node.outputs() {
            [output] if is_result && !output.names.is_empty() && self.version != IrVersion::V10 => {
                self.names_attribute(node, "output_names", &output.names)?
            }
            _ => String::new(),
        };
        self.line(
            2,
            format_args!(
                "<layer id=\"{i}\" name=\"{}\" type=\"{}\" version=\"{}\"{output_names}>",
                Escaped(&name),
                Escaped(node.op.type_name()),
                Escaped(&version)
            ),
        );
        if !data.is_empty() {
            let data = self.attributes(node, data.iter())?;
            self.line(3, format_args!("<data{data} />"));
        }
        self.info(3, node, node.rt_info.iter())?;
        if !node.inputs().is_empty() {
            self.line(3, format_args!("<input>"));
            for (port, from) in node.inputs().iter().enumerate() {
                let ty = model.ty(*from);
                self.line(
                    4,
                    format_args!("<port id=\"{port}\" precision=\"{}\">", ty.element_type.precision()),
                );
                self.dims(ty);
                self.line(4, format_args!("</port>"));
            }
            self.line(3, format_args!("</input>"));
        }
        if !is_result && !node.outputs().is_empty() {
            self.line(3, format_args!("<output>"));
            for index in 0..node.outputs().len() {
                self.output(node, id.output(index))?;
            }
            self.line(3, format_args!("</output>"));
        }
        self.bodies(node)?;
        self.line(2, format_args!("</layer>"));
        Ok(())
    }

    fn output(&mut self, node: &Node, port: Port) -> Result<(), WriteError> {
        let output = &node.outputs()[port.index];
        let id = node.inputs().len() + port.index;
        let names = match output.names.as_slice() {
            [] => String::new(),
            names => self.names_attribute(node, "names", names)?,
        };
        let precision = output.ty.element_type.precision();
        self.line(4, format_args!("<port id=\"{id}\" precision=\"{precision}\"{names}>"));
        self.dims(&output.ty);
        let mut info = output.rt_info.clone();
        if let Some(layout) = self.layouts.get(&port) {
            let parts = BTreeMap::from([(LAYOUT.to_owned(), layout.to_text())]);
            info.insert(LAYOUT.to_owned(), RtAttribute { version: "0".to_owned(), parts });
        }
        self.info(5, node, info.iter())?;
        self.line(4, format_args!("</port>"));
        Ok(())
    }

    fn dims(&mut self, ty: &PortType) {
        for dim in ty.shape.dims().unwrap_or_default() {
            let size = dim.value().unwrap_or(-1);
            self.line(5, format_args!("<dim>{size}</dim>"));
        }
    }

    fn info<'b>(
        &mut self,
        depth: usize,
        node: &Node,
        info: impl ExactSizeIterator<Item = (&'b String, &'b RtAttribute)>,
    ) -> Result<(), WriteError> {
        // Readers of version 10 know other forms of it.
        if info.len() == 0 || self.version == IrVersion::V10 {
            return Ok(());
        }
        self.line(depth, format_args!("<rt_info>"));
        for (name, attribute) in info {
            let mut pairs =
                vec![("name".to_owned(), name.clone()), ("version".to_owned(), attribute.version.clone())];
            pairs.extend(attribute.parts.iter().map(|(name, value)| (name.clone(), value.clone())));
            let pairs = self.attributes(node, pairs.iter())?;
            self.line(depth + 1, format_args!("<attribute{pairs} />"));
        }
        self.line(depth, format_args!("</rt_info>"));
        Ok(())
    }

    /// The information of the whole model: one element a step of each path.
    fn model_info(&mut self) -> Result<(), WriteError> {
        // Sorted by steps, a path comes right before those that go on from it.
        let mut entries: Vec<(Vec<String>, &String)> =
            self.model.rt_info.iter().map(|(path, value)| (split_path(path), value)).collect();
        entries.sort();
        let mut open: Vec<String> = Vec::new();
        self.line(1, format_args!("<rt_info>"));
        for (i, (path, value)) in entries.iter().enumerate() {
            self.close(&mut open, path);
            let (last, around) = path.split_last().expect("a path has a step");
            for step in &around[open.len()..] {
                let (tag, name) = info_tag(step);
                self.line(open.len() + 2, format_args!("<{tag}{name}>"));
                open.push(step.clone());
            }
            let (tag, name) = info_tag(last);
            let goes_on = entries.get(i + 1).is_some_and(|(next, _)| next.starts_with(path));
            let end = if goes_on { ">" } else { " />" };
            self.line(open.len() + 2, format_args!("<{tag}{name} value=\"{}\"{end}", Escaped(value)));
            if goes_on {
                open.push(last.clone());
            }
        }
        self.close(&mut open, &[]);
        self.line(1, format_args!("</rt_info>"));
        Ok(())
    }

    /// Closes the elements of the model's information that `path` does not lie in.
    fn close(&mut self, open: &mut Vec<String>, path: &[String]) {
        while !path.starts_with(open) {
            let step = open.pop().expect("the empty path begins every path");
            self.line(open.len() + 2, format_args!("</{}>", info_tag(&step).0));
        }
    }

    /// `name`, or when another layer has it already, `name#2`: devices and tools look layers up by name.
    fn unique(&mut self, name: &str) -> String {
        let mut candidate = name.to_owned();
        while self.names.contains_key(&candidate) {
            let tried = self.names.get_mut(name).expect("the first candidate is the name itself");
            *tried += 1;
            candidate = format!("{name}#{tried}");
        }
        self.names.insert(candidate.clone(), 1);
        candidate
    }

    fn names_attribute(
        &self,
        node: &Node,
        what: &'static str,
        names: &[String],
    ) -> Result<String, WriteError> {
        let names = join_names(names);
        self.check(&node.name, what, &names)?;
        Ok(format!(" {what}=\"{}\"", Escaped(&names)))
    }

    /// ` name="value"` for every pair.
    fn attributes<'b>(
        &self,
        node: &Node,
        pairs: impl Iterator<Item = &'b (String, String)>,
    ) -> Result<String, WriteError> {
        let mut text = String::new();
        let mut written = HashSet::new();
        for (name, value) in pairs {
            let fail = |reason| {
                let (node, name) = (node.name.clone(), name.clone());
                Err(WriteError::AttributeName { node, name, reason })
            };
            if !is_xml_name(name) {
                return fail("can't be written: XML has no such names");
            }
            if !written.insert(name) {
                return fail("stands twice");
            }
            self.check(&node.name, "an attribute", value)?;
            write!(text, " {name}=\"{}\"", Escaped(value)).expect("a string takes all text");
        }
        Ok(text)
    }

    /// Refuses what no XML document can hold, escaped or not.
    fn check(&self, node: &str, what: &'static str, text: &str) -> Result<(), WriteError> {
        let forbidden = |c: &char| matches!(c, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}');
        match text.chars().find(forbidden) {
            None => Ok(()),
            Some(character) => Err(WriteError::Character { node: node.to_owned(), what, character }),
        }
    }
}

/// The element for a step of a path, and the attribute that holds the step where no element can have its name.
fn info_tag(step: &str) -> (&str, String) {
    match is_xml_name(step) {
        true => (step, String::new()),
        false => ("info", format!(" name=\"{}\"", Escaped(step))),
    }
}

fn owned(pairs: Vec<(&'static str, String)>) -> Vec<(String, String)> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The op set with which the node's file form reads back as its op: the node's own, else the newest that does. Readers
/// of the version know it.
fn opset(node: &Node, version: IrVersion) -> Result<u32, WriteError> {
    let op = &node.op;
    // What the op holds beside its attributes lies elsewhere in the file.
    if matches!(op, Op::Parameter(_) | Op::Constant(_) | Op::OpResult(_)) || op.operator().owns_graph() {
        return Ok(op.opset());
    }
    let pairs = owned(op.attributes());
    let reads_back = |opset: &u32| {
        Op::prototype(op.type_name(), *opset).is_some_and(|mut read| {
            attribute::read(&mut |v| read.visit(v), &pairs).is_ok_and(|left| left.is_empty()) && read == *op
        })
    };
    let mut known: Vec<u32> =
        Op::known().filter(|(name, _)| *name == op.type_name()).map(|(_, opset)| opset).collect();
    known.sort_unstable();
    // A node read from a later set than its op changed in belongs to the set of the change.
    let own = known
        .iter()
        .copied()
        .filter(|opset| *opset <= node.opset)
        .max()
        .filter(|_| node.opset > version.newest_opset());
    let mut candidates = std::iter::once(own.unwrap_or(node.opset))
        .chain(known.into_iter().rev())
        .filter(reads_back)
        .peekable();
    if candidates.peek().is_none() {
        let attributes: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let (node, op) = (node.name.clone(), op.type_name().to_owned());
        return Err(WriteError::NotExpressible { node, op, attributes: attributes.join(" ") });
    }
    let newest = version.newest_opset();
    candidates.find(|opset| *opset <= newest).ok_or_else(|| {
        let (node, op) = (node.name.clone(), op.type_name().to_owned());
        WriteError::TooNew { node, op, version: version.number(), newest }
    })
}

/// True for the names that elements and attributes can have where there are no namespaces.
fn is_xml_name(name: &str) -> bool {
    let start = |c: char| {
        matches!(c, 'A'..='Z' | '_' | 'a'..='z' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}'
            | '\u{370}'..='\u{37d}' | '\u{37f}'..='\u{1fff}' | '\u{200c}' | '\u{200d}' | '\u{2070}'..='\u{218f}'
            | '\u{2c00}'..='\u{2fef}' | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}'
            | '\u{10000}'..='\u{effff}')
    };
    let other = |c: char| matches!(c, '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}' | '\u{2040}');
    name.starts_with(start) && name.chars().all(|c| start(c) || other(c)) && name != "xmlns"
}

/// Text as it stands between the quotes of an attribute.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                // A parser would make spaces of these.
                '\t' | '\n' | '\r' => write!(f, "&#{};", c as u32)?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}
