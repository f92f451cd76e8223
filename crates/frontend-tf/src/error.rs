//! What can go wrong, and where.

use crate::{TextError, Unsupported};
use std::{fmt, io, path::PathBuf};
use thiserror::Error;

/// Whatever a source of variables reports; the frontend passes it on with the variable's name.
pub type VariableError = Box<dyn std::error::Error + Send + Sync>;

/// Why a graph could not be read, frozen or converted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be opened or mapped.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// An error in the content of a file.
    #[error("{}: {source}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        source: Box<Error>,
    },
    /// The bytes are no binary GraphDef or MetaGraphDef.
    #[error("not a GraphDef: {reason}; expected a frozen or inference graph (.pb, .pbtxt) or a .meta file")]
    Format {
        /// What the decoder stumbled over.
        reason: String,
    },
    /// The text is no GraphDef or MetaGraphDef.
    #[error(transparent)]
    Text(#[from] TextError),
    /// Two nodes have one name.
    #[error("two nodes are named '{node}'")]
    DuplicateNode {
        /// The name.
        node: String,
    },
    /// A name that was asked for, as input or output, is not in the graph.
    #[error("there is no node '{node}' in the graph{}", Hint("did you mean", similar))]
    NoSuchNode {
        /// The name.
        node: String,
        /// Names that look like it.
        similar: Vec<String>,
    },
    /// A node has no such output or input port.
    #[error("node '{node}' ({op}) has no {port}")]
    NoSuchPort {
        /// The node.
        node: String,
        /// Its op type.
        op: String,
        /// `output 3`, `input 2`.
        port: String,
    },
    /// A node's input names a node that is not in the graph.
    #[error("node '{node}' ({op}) reads '{input}', which is not in the graph")]
    DanglingInput {
        /// The node.
        node: String,
        /// Its op type.
        op: String,
        /// The input as written.
        input: String,
    },
    /// Nodes feed themselves: a loop (`NextIteration`) or a malformed graph.
    #[error(
        "the graph runs in a circle through {}; loops cannot be converted: cut before or after it with --input or --output",
        Names(nodes)
    )]
    Cycle {
        /// Nodes on the circle, in order.
        nodes: Vec<String>,
    },
    /// No outputs were named and the graph does not have exactly one candidate.
    #[error("{}", Candidates(candidates))]
    Outputs {
        /// Nodes nobody reads that depend on an input.
        candidates: Vec<String>,
    },
    /// Something about one node.
    #[error("node '{node}' ({op}): {problem}")]
    Node {
        /// The node.
        node: String,
        /// Its op type.
        op: String,
        /// What was found and what was expected.
        problem: String,
    },
    /// Variables for which there is no value.
    #[error(
        "{} of {total} variables have no value: {}; name the checkpoint that holds them (--input_checkpoint)",
        names.len(),
        Names(names)
    )]
    MissingVariables {
        /// The variables' nodes.
        names: Vec<String>,
        /// How many variables the graph needs.
        total: usize,
    },
    /// The source of variables failed.
    #[error("variable '{name}': {source}")]
    Variable {
        /// The name that was asked for.
        name: String,
        /// The source's own error.
        source: VariableError,
    },
    /// An input specification that cannot be followed.
    #[error("input '{input}': {problem}")]
    Input {
        /// The input as written.
        input: String,
        /// What was found and what was expected.
        problem: String,
    },
    /// Everything in the graph that has no conversion.
    #[error(transparent)]
    Unsupported(#[from] Box<Unsupported>),
    /// A node does not fit its inputs: a shape or a type that its op does not take.
    #[error("node '{node}' ({op}): {source}")]
    Model {
        /// The node.
        node: String,
        /// Its op type.
        op: String,
        /// What the model's op says.
        source: Box<ir::ModelError>,
    },
    /// The result is larger than protobuf allows.
    #[error("the graph takes {size} bytes; a protobuf file ends at 2 GiB")]
    TooLarge {
        /// The encoded size.
        size: usize,
    },
}

/// Up to ten names, then a count.
pub(crate) struct Names<'a>(pub(crate) &'a [String]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 10;
        for (i, name) in self.0.iter().take(SHOWN).enumerate() {
            write!(f, "{}'{name}'", if i > 0 { ", " } else { "" })?;
        }
        if self.0.len() > SHOWN {
            write!(f, " and {} more", self.0.len() - SHOWN)?;
        }
        Ok(())
    }
}

struct Hint<'a>(&'a str, &'a [String]);

impl fmt::Display for Hint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.1.is_empty() { Ok(()) } else { write!(f, "; {} {}?", self.0, Names(self.1)) }
    }
}

struct Candidates<'a>(&'a [String]);

impl fmt::Display for Candidates<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(
                "the graph has no output: nothing in it depends on an input; name one with --output",
            );
        }
        write!(f, "the graph has {} possible outputs; choose with --output: {}", self.0.len(), Names(self.0))
    }
}
