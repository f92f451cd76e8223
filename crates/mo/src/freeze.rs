//! A graph and a checkpoint become one GraphDef of constants that TensorFlow loads.

use crate::{Error, Source, output};
use frontend_tf::{FreezeOptions, encode_graph};
use std::path::{Path, PathBuf};

/// What to freeze and where to put it.
#[derive(Debug, Clone, Default)]
pub struct FreezeRequest {
    /// The graph and its variables.
    pub source: Source,
    /// What of the graph to keep and to turn into constants.
    pub options: FreezeOptions,
    /// The file to write.
    pub output: PathBuf,
}

/// What [`freeze`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frozen {
    /// How many variables became constants.
    pub variables: usize,
    /// How many nodes the frozen graph has.
    pub nodes: usize,
}

/// Freezes a graph and writes it, as TensorFlow's own `freeze_graph` does.
pub fn freeze(request: &FreezeRequest) -> Result<Frozen, Error> {
    let folder = output::OutputFolder::open(request.output.parent().unwrap_or(Path::new(".")))?;
    let graph = request.source.read()?;
    let before: std::collections::HashMap<&str, &str> =
        graph.node.iter().map(|node| (node.name.as_str(), node.op.as_str())).collect();
    let frozen = request.source.freeze(&graph, &request.options)?;
    let became_constant = |node: &&frontend_tf::proto::NodeDef| {
        node.op == "Const" && before.get(node.name.as_str()).is_some_and(|op| *op != "Const")
    };
    let variables = frozen.node.iter().filter(became_constant).count();
    output::write_whole(&request.output, &encode_graph(&frozen)?)?;
    folder.keep();
    Ok(Frozen { variables, nodes: frozen.node.len() })
}
