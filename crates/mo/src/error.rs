//! What can go wrong between a framework's files and an IR.

use ir::unsupported::Unsupported;
use std::{io, path::PathBuf};
use thiserror::Error;

/// Why a network could not be converted or frozen.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The graph could not be read, frozen or converted.
    #[error(transparent)]
    Graph(#[from] frontend_tf::Error),
    /// The Caffe network could not be read or converted.
    #[error(transparent)]
    Caffe(#[from] frontend_caffe::Error),
    /// The IR could not be read.
    #[error(transparent)]
    Read(#[from] ir::ReadError),
    /// Inputs or outputs are not there, or not as asked.
    #[error(transparent)]
    Cut(#[from] ir::cut::CutError),
    /// The checkpoint could not be read.
    #[error(transparent)]
    Checkpoint(#[from] frontend_keras_ckpt::Error),
    /// The input model is of another framework.
    #[error("{}: this is {reason}", path.display())]
    ForeignModel {
        /// The file.
        path: PathBuf,
        /// What it is and what to do.
        reason: &'static str,
    },
    /// The graph holds variables and no checkpoint was named.
    #[error(
        "{}: {} of its {total} variables have no value: {}. Name the checkpoint that holds them: --input_checkpoint {}",
        graph.display(), names.len(), few(names),
        found.as_ref().map_or("PREFIX".to_owned(), |path| format!("{} (found beside the graph)", path.display()))
    )]
    NoCheckpoint {
        /// The graph.
        graph: PathBuf,
        /// Variables without a value.
        names: Vec<String>,
        /// How many variables the network has.
        total: usize,
        /// A checkpoint that lies beside the graph.
        found: Option<PathBuf>,
    },
    /// The checkpoint is of another network.
    #[error(
        "{}: {} of the graph's {total} variables are not in it: {}. Is it a checkpoint of this network?",
        checkpoint.display(), names.len(), few(names)
    )]
    NotInCheckpoint {
        /// The checkpoint.
        checkpoint: PathBuf,
        /// Variables that it lacks.
        names: Vec<String>,
        /// How many variables the network has.
        total: usize,
    },
    /// As many values as inputs were expected, and found were others.
    #[error("{flag} gives {given} of them, but the network has {} input(s): {}", inputs.len(), few(inputs))]
    InputCount {
        /// The flag.
        flag: &'static str,
        /// How many it gives.
        given: usize,
        /// The network's inputs.
        inputs: Vec<String>,
    },
    /// A flag that names an input or output that the network does not have.
    #[error("{flag} names '{name}', which is no {kind} of the network: {}", few(known))]
    UnknownPort {
        /// The flag.
        flag: &'static str,
        /// The name.
        name: String,
        /// `input`, or `input or output`.
        kind: &'static str,
        /// What there is.
        known: Vec<String>,
    },
    /// A flag that does not fit the input or output that it is about.
    #[error("{flag}, '{port}' {shape}: {problem}")]
    Port {
        /// The flag.
        flag: &'static str,
        /// The input or output.
        port: String,
        /// Its shape.
        shape: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A library of custom layers cannot be used.
    #[error("--extensions: {0}")]
    Extensions(#[from] runtime::LoadError),
    /// The mapping of custom layers cannot be followed.
    #[error("{}:{line}: {problem}", path.display())]
    CustomLayers {
        /// The file.
        path: PathBuf,
        /// The line; 0 for the whole file.
        line: u32,
        /// What is wrong, and what was expected.
        problem: String,
    },
    /// The mean image cannot be used.
    #[error("--mean_file {}: {problem}", path.display())]
    MeanFile {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A regular expression cannot be read.
    #[error("--finegrain_fusing: `{text}` is no regular expression: {problem}")]
    Expression {
        /// The expression.
        text: String,
        /// What is wrong.
        problem: String,
    },
    /// No node was meant.
    #[error(
        "--finegrain_fusing: no node's name holds any of {}; `mo inspect --dot` shows the names",
        few(expressions)
    )]
    NothingKept {
        /// The expressions.
        expressions: Vec<String>,
    },
    /// Shapes that are to be fixed are not.
    #[error("--static_shape: {}; give sizes with --input_shape, --input or --batch", inputs.join(", "))]
    OpenShapes {
        /// The inputs.
        inputs: Vec<String>,
    },
    /// A pair of an input and an output cannot become state.
    #[error("--transform MakeStateful: {pair}: {problem}")]
    State {
        /// The pair.
        pair: String,
        /// What is wrong.
        problem: String,
    },
    /// A transformation that is not offered.
    #[error("--transform {transform}: {advice}")]
    Transform {
        /// The transformation.
        transform: &'static str,
        /// Why, and what to do.
        advice: &'static str,
    },
    /// No input has three channels.
    #[error(
        "--reverse_input_channels: no input has three channels: {}; give --layout or --input_shape if they are not known",
        few(inputs)
    )]
    NothingToReverse {
        /// The inputs with their shapes.
        inputs: Vec<String>,
    },
    /// Mean, scale, channel order or a layout do not fit an input or output.
    #[error(transparent)]
    Preprocessing(#[from] optimizer::preprocessing::PreprocessingError),
    /// The model does not accept what was asked for.
    #[error(transparent)]
    Model(#[from] ir::ModelError),
    /// A pass of the optimizer failed.
    #[error(transparent)]
    Optimizer(#[from] optimizer::Error),
    /// Weights could not be stored as FP16.
    #[error(transparent)]
    Quantize(#[from] quantize::Error),
    /// The IR could not be written.
    #[error(transparent)]
    Write(#[from] ir::WriteError),
    /// A file or folder could not be made.
    #[error("can't write {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The folder for the results is a file, or cannot be made.
    #[error("{} can't be the output folder: {problem}", path.display())]
    OutputFolder {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

impl Error {
    /// The report of what cannot be converted, when that is what went wrong.
    pub fn unsupported(&self) -> Option<&Unsupported> {
        match self {
            Self::Graph(frontend_tf::Error::Unsupported(report)) => Some(report),
            Self::Caffe(frontend_caffe::Error::Unsupported(report)) => Some(report),
            _ => None,
        }
    }
}

/// Up to ten names, then a count.
fn few(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let mut text: Vec<String> = names.iter().take(SHOWN).map(|name| format!("'{name}'")).collect();
    if names.len() > SHOWN {
        text.push(format!("and {} more", names.len() - SHOWN));
    }
    text.join(", ")
}
