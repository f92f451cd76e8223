//! What can go wrong, and where.

use crate::{message::Position, text::TextError, wire::BinaryError};
use ir::unsupported::Unsupported;
use std::{fmt, io, path::PathBuf};
use thiserror::Error;

/// A layer, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Its name.
    pub layer: String,
    /// Its type.
    pub kind: String,
    /// Where the text has it; nothing for binary files.
    pub at: Option<Position>,
}

/// `layer 'conv1' (Convolution, line 12)`.
impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "layer '{}' ({}", self.layer, self.kind)?;
        match self.at {
            Some(at) => write!(f, ", line {})", at.line),
            None => f.write_str(")"),
        }
    }
}

/// Why a network could not be read or converted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be opened or mapped.
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
    /// A text is no prototxt.
    #[error(transparent)]
    Text(#[from] TextError),
    /// Bytes are no caffemodel.
    #[error(transparent)]
    Binary(#[from] BinaryError),
    /// A file holds no layers.
    #[error("it holds no layers; expected the definition of a network ({expected})")]
    NoLayers {
        /// What was expected.
        expected: &'static str,
    },
    /// Something about the network as a whole.
    #[error("{0}")]
    Net(String),
    /// A layer takes a blob that no layer makes.
    #[error("{site} takes '{bottom}', which no layer before it makes{}", DidYouMean(similar))]
    UnknownBottom {
        /// The layer.
        site: Box<Site>,
        /// The blob.
        bottom: String,
        /// Blobs with names like it.
        similar: Vec<String>,
    },
    /// A layer takes a blob of a layer behind it.
    #[error(
        "{site} takes '{bottom}' from {maker}, which stands behind it: layers run in the order of the file, and these \
         would wait for each other in a cycle"
    )]
    Cycle {
        /// The layer.
        site: Box<Site>,
        /// The blob.
        bottom: String,
        /// Who makes it.
        maker: Box<Site>,
    },
    /// A layer's weights are not there.
    #[error("{site} has no {what}, expected {expected}; {reason}")]
    MissingBlob {
        /// The layer.
        site: Box<Site>,
        /// `weights`, `bias`.
        what: String,
        /// The shape that was expected.
        expected: String,
        /// What there is instead.
        reason: String,
    },
    /// A layer's weights have another shape.
    #[error(
        "{site}: its {what} have the shape {found}, expected {expected}; is the caffemodel of this network?"
    )]
    BlobShape {
        /// The layer.
        site: Box<Site>,
        /// `weights`, `bias`.
        what: String,
        /// The shape in the file.
        found: String,
        /// The shape that was expected.
        expected: String,
    },
    /// Something else about one layer.
    #[error("{site}: {problem}")]
    Layer {
        /// The layer.
        site: Box<Site>,
        /// What was found and what was expected.
        problem: String,
    },
    /// A layer does not fit its inputs.
    #[error("{site}: {source}")]
    Model {
        /// The layer.
        site: Box<Site>,
        /// What the model's op says.
        source: Box<ir::ModelError>,
    },
    /// A name that was asked for, as input or output, is not in the network.
    #[error("there is no layer or blob '{name}' in the network{}", DidYouMean(similar))]
    NoSuchName {
        /// The name.
        name: String,
        /// Names that look like it.
        similar: Vec<String>,
    },
    /// A layer has no such top or bottom.
    #[error("{site} has no {port}")]
    NoSuchPort {
        /// The layer.
        site: Box<Site>,
        /// `top 3`, `bottom 2`.
        port: String,
    },
    /// An input specification that cannot be followed.
    #[error("input '{input}': {problem}")]
    Input {
        /// The input as written.
        input: String,
        /// What was found and what was expected.
        problem: String,
    },
    /// Everything in the network that has no conversion.
    #[error(transparent)]
    Unsupported(#[from] Box<Unsupported>),
}

struct DidYouMean<'a>(&'a [String]);

impl fmt::Display for DidYouMean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in self.0.iter().enumerate() {
            write!(f, "{}'{name}'", if i == 0 { "; did you mean " } else { " or " })?;
        }
        f.write_str(if self.0.is_empty() { "" } else { "?" })
    }
}

/// Names that look like one that was not found: at most three.
pub(crate) fn similar<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let folded = |text: &str| -> String {
        text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    let wanted = folded(name);
    let mut found: Vec<String> = Vec::new();
    for other in known {
        let own = folded(other);
        let alike = own == wanted
            || wanted.len() >= 3 && own.len() >= 3 && (own.starts_with(&wanted) || wanted.starts_with(&own));
        if alike && !found.iter().any(|name| name == other) {
            found.push(other.to_owned());
        }
        if found.len() == 3 {
            break;
        }
    }
    found
}
