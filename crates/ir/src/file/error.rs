//! What can go wrong with IR files, and where.

use crate::{ModelError, TensorError, attribute::AttributeError, op::OpError};
use std::{fmt, io, path::PathBuf};
use thiserror::Error;

/// Why an IR could not be read: the place in the file, the layer, what was found and expected.
#[derive(Debug, Error)]
pub struct ReadError {
    /// The file, unless the IR came from memory.
    pub file: Option<PathBuf>,
    /// Line and column in the XML, from 1.
    pub position: Option<(u32, u32)>,
    /// The layer, as `3 "conv1" (Convolution)`.
    pub layer: Option<String>,
    /// What is wrong.
    pub kind: Box<ReadErrorKind>,
}

impl ReadError {
    pub(super) fn new(kind: ReadErrorKind) -> Self {
        Self { file: None, position: None, layer: None, kind: Box::new(kind) }
    }
}

/// `model.xml:12:3: layer 3 "conv1" (Convolution): ...`
impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.position) {
            (Some(file), Some((line, column))) => write!(f, "{}:{line}:{column}: ", file.display())?,
            (Some(file), None) => write!(f, "{}: ", file.display())?,
            (None, Some((line, column))) => write!(f, "line {line}, column {column}: ")?,
            (None, None) => {}
        }
        if let Some(layer) = &self.layer {
            write!(f, "layer {layer}: ")?;
        }
        fmt::Display::fmt(&self.kind, f)
    }
}

/// What is wrong with an IR.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadErrorKind {
    /// A file can't be read.
    #[error("can't read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The text is not UTF-8.
    #[error("byte {at} is not UTF-8; an IR is UTF-8 text")]
    Encoding {
        /// The first byte that is wrong.
        at: usize,
    },
    /// The text is not well-formed XML, or uses what an IR has no need of (a DTD, millions of elements).
    #[error("not an acceptable XML document: {0}")]
    Xml(roxmltree::Error),
    /// The document is something else.
    #[error("the root element is <{found}>, expected <net>: this is no IR")]
    Root {
        /// The root element.
        found: String,
    },
    /// A version of the IR that is not read.
    #[error(
        "IR version `{found}` is not supported; Terroir reads versions 10 and 11 (OpenVINO 2020.1 and later)"
    )]
    Version {
        /// What the file says.
        found: String,
    },
    /// A structural layer of an op set that nobody knows.
    #[error("version `{found}` of a structural layer, expected opset1 to opset{newest}", newest = crate::op::NEWEST_OPSET)]
    Opset {
        /// What the file says.
        found: String,
    },
    /// An element is not there.
    #[error("<{parent}> has no <{name}>")]
    MissingElement {
        /// The element around it.
        parent: String,
        /// The element.
        name: &'static str,
    },
    /// An element that may stand once stands twice.
    #[error("<{parent}> has more than one <{name}>")]
    RepeatedElement {
        /// The element around it.
        parent: String,
        /// The element.
        name: &'static str,
    },
    /// An element that would be lost.
    #[error(
        "<{name}> in a layer that Terroir doesn't know; only <data>, <rt_info>, <input> and <output> can be kept"
    )]
    UnknownElement {
        /// The element.
        name: String,
    },
    /// Elements lie too deep in each other.
    #[error("elements of <rt_info> lie more than {most} deep")]
    Depth {
        /// The most that is read.
        most: usize,
    },
    /// An attribute of the file's frame is not there.
    #[error("<{element}> has no attribute `{name}`")]
    MissingAttribute {
        /// The element.
        element: String,
        /// The attribute.
        name: &'static str,
    },
    /// A text of the file's frame does not parse.
    #[error("{what} is `{found}`, expected {expected}")]
    BadValue {
        /// Which text.
        what: String,
        /// What the file says.
        found: String,
        /// What could stand there.
        expected: &'static str,
    },
    /// An attribute that could not be kept under its own name.
    #[error("attribute `{name}` has a namespace, which IRs don't have; take the prefix away")]
    Namespace {
        /// The attribute without its prefix.
        name: String,
    },
    /// An attribute of an op is missing or does not parse.
    #[error(transparent)]
    Attribute(#[from] AttributeError),
    /// Two layers with one id.
    #[error("id {id} belongs to another layer already")]
    DuplicateLayer {
        /// The id.
        id: u64,
    },
    /// Two ports of one side with one id.
    #[error("{side} port {port} stands twice")]
    DuplicatePort {
        /// `input` or `output`.
        side: &'static str,
        /// The port's id.
        port: u64,
    },
    /// An edge refers to a layer that is not there.
    #[error("the edge refers to layer {id}, which does not exist")]
    UnknownLayer {
        /// The id.
        id: u64,
    },
    /// An edge refers to a port that is not there.
    #[error("the edge refers to {side} port {port} of layer {id}, which does not exist")]
    UnknownPort {
        /// The layer.
        id: u64,
        /// `input` or `output`.
        side: &'static str,
        /// The port.
        port: u64,
    },
    /// Two edges lead to one port.
    #[error("a second edge leads to input port {port} of layer {id}")]
    SecondEdge {
        /// The layer.
        id: u64,
        /// The port.
        port: u64,
    },
    /// No edge leads to a port.
    #[error("no edge leads to input port {port}")]
    NoEdge {
        /// The port.
        port: u64,
    },
    /// Layers that wait for each other.
    #[error("the layers form a cycle: {}", path.join(" -> "))]
    Cycle {
        /// The layers on it.
        path: Vec<String>,
    },
    /// Graphs lie too deep in each other.
    #[error("graphs lie more than {most} deep in each other")]
    DepthOfGraphs {
        /// The most that is read.
        most: usize,
    },
    /// A constant needs the weights, and there is no such file.
    #[error("the constant needs {size} bytes of {}, which does not exist", path.display())]
    NoWeights {
        /// Where the weights were looked for.
        path: PathBuf,
        /// Bytes of the constant.
        size: usize,
    },
    /// A constant lies beyond the weights.
    #[error("the constant takes {size} bytes from byte {offset} on, but the weights end at {available}")]
    WeightsRange {
        /// The first byte.
        offset: u64,
        /// Bytes of the constant.
        size: u64,
        /// Bytes that there are.
        available: u64,
    },
    /// A constant's size does not fit its type and shape.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// The op refuses its inputs or attributes.
    #[error("{source}; its inputs are {inputs}")]
    Op {
        /// Types and shapes of its inputs.
        inputs: String,
        /// What the op says.
        source: OpError,
    },
    /// The layer takes an output that its source does not have.
    #[error(transparent)]
    Model(ModelError),
}

/// The layer is named by [`ReadError`] already.
impl From<ModelError> for ReadErrorKind {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::Op { inputs, source, .. } => Self::Op { inputs, source },
            other => Self::Model(other),
        }
    }
}

/// Why an IR could not be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// A file can't be written.
    #[error("can't write {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The path is no name of an IR.
    #[error("{} can't be the name of an IR; give a file name such as `model.xml`", path.display())]
    Path {
        /// What was asked for.
        path: PathBuf,
    },
    /// A text that XML can't hold.
    #[error("{what} of `{node}` holds the character {character:?}, which XML can't hold; rename it")]
    Character {
        /// The node or the model.
        node: String,
        /// Which of its texts.
        what: &'static str,
        /// The character.
        character: char,
    },
    /// A name that can't be the name of an attribute.
    #[error("attribute `{name}` of `{node}` {reason}; rename it")]
    AttributeName {
        /// The node.
        node: String,
        /// The attribute.
        name: String,
        /// Why it can't be.
        reason: &'static str,
    },
    /// An op whose file form would read back as something else.
    #[error("{op} `{node}` can't be told by its attributes: {attributes}; no op set has it in this form")]
    NotExpressible {
        /// The node.
        node: String,
        /// Its type.
        op: String,
        /// Its attributes.
        attributes: String,
    },
    /// An op that readers of the version do not know.
    #[error(
        "{op} `{node}` is of a later op set than opset{newest}, the newest that runtimes of IR version {version} know; \
         write version 11, or cut the network before it"
    )]
    TooNew {
        /// The node.
        node: String,
        /// Its type.
        op: String,
        /// The version.
        version: u32,
        /// The newest op set.
        newest: u32,
    },
    /// The graph has a cycle.
    #[error(transparent)]
    Model(#[from] ModelError),
}
