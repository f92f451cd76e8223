//! A graph and its variables, wherever the user has them.

use crate::Error;
use frontend_keras_ckpt::Checkpoint;
use frontend_tf::{Encoding, FreezeOptions, GraphDef, freeze, read_graph};
use ir::Tensor;
use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

/// What a network is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Framework {
    /// TensorFlow and Keras: a GraphDef or a MetaGraphDef.
    TensorFlow,
    /// Caffe: a prototxt and a caffemodel.
    Caffe,
    /// OpenVINO: an IR, to be converted once more.
    Ir,
}

impl Framework {
    /// The name that `--framework` has for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::TensorFlow => "tf",
            Self::Caffe => "caffe",
            Self::Ir => "ir",
        }
    }
}

/// Where a network and the values of its variables are.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Source {
    /// A GraphDef (`.pb`, `.pbtxt`), a MetaGraphDef (`.meta`), a `.caffemodel`, a `.prototxt` or an IR (`.xml`).
    pub graph: PathBuf,
    /// What the network is written for; `None` to go by the file's name.
    pub framework: Option<Framework>,
    /// The prototxt of a caffemodel. Without one it is looked for beside the caffemodel, then in it.
    pub definition: Option<PathBuf>,
    /// How the graph is written down.
    pub encoding: Encoding,
    /// Any file of a checkpoint, its prefix or its folder. Without one a `.meta` finds the checkpoint beside it.
    pub checkpoint: Option<PathBuf>,
}

impl Source {
    /// What the network is written for.
    pub fn framework(&self) -> Framework {
        let is = |extension: &str| self.graph.extension().is_some_and(|e| e.eq_ignore_ascii_case(extension));
        let of_caffe = self.definition.is_some() || is("caffemodel") || is("prototxt");
        self.framework.unwrap_or(match is("xml") {
            true => Framework::Ir,
            false if of_caffe => Framework::Caffe,
            false => Framework::TensorFlow,
        })
    }

    /// Reads a TensorFlow graph.
    pub fn read(&self) -> Result<GraphDef, Error> {
        if let Some(reason) = foreign(&self.graph) {
            return Err(Error::ForeignModel { path: self.graph.clone(), reason });
        }
        Ok(read_graph(&self.graph, self.encoding)?.graph)
    }

    /// The part of `graph` that the outputs need, with constants in the place of variables.
    ///
    /// A checkpoint that was named is opened in any case: one that cannot be read is an error even where the graph
    /// holds no variables.
    pub fn freeze(&self, graph: &GraphDef, options: &FreezeOptions) -> Result<GraphDef, Error> {
        let checkpoint = match &self.checkpoint {
            Some(path) => Some(Checkpoint::open(path)?),
            None if self.graph.extension() == Some(OsStr::new("meta")) => {
                match Checkpoint::open(&self.graph) {
                    Ok(found) => Some(found),
                    // Whether one is needed at all shows below.
                    Err(frontend_keras_ckpt::Error::NotFound { .. }) => None,
                    Err(other) => return Err(other.into()),
                }
            }
            None => None,
        };
        let value = |name: &str| -> Result<Option<Tensor>, frontend_tf::VariableError> {
            match checkpoint.as_ref().map(|checkpoint| checkpoint.get(name)) {
                None | Some(Err(frontend_keras_ckpt::Error::UnknownVariable { .. })) => Ok(None),
                Some(Ok(tensor)) => Ok(Some(tensor)),
                Some(Err(other)) => Err(other.into()),
            }
        };
        freeze(graph, options, value).map_err(|error| match error {
            frontend_tf::Error::MissingVariables { names, total } => match &checkpoint {
                Some(checkpoint) => {
                    Error::NotInCheckpoint { checkpoint: checkpoint.path().to_owned(), names, total }
                }
                None => self.without_checkpoint(names, total),
            },
            other => other.into(),
        })
    }

    /// The error for variables without a value: it names the checkpoint that lies beside the graph, if one does.
    pub(crate) fn without_checkpoint(&self, names: Vec<String>, total: usize) -> Error {
        Error::NoCheckpoint { graph: self.graph.clone(), names, total, found: checkpoint_beside(&self.graph) }
    }
}

/// Models of other frameworks, told by their names: what to do about them.
fn foreign(path: &Path) -> Option<&'static str> {
    Some(match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "caffemodel" | "prototxt" => "a file of Caffe's; leave --framework out, or give it as caffe",
        "onnx" => "an ONNX model; Terroir converts networks of TensorFlow and Caffe so far",
        "h5" | "hdf5" | "keras" => {
            "a Keras file; save the network's graph with tf.train.write_graph and its variables with tf.train.Saver, \
             then give --input_model graph.pb --input_checkpoint prefix"
        }
        "index" => "the index of a checkpoint; give the graph here and this file as --input_checkpoint",
        "xml" => "an IR, no graph of TensorFlow's",
        "bin" => "the weights of an IR; give its .xml",
        _ => return None,
    })
}

/// The checkpoint that most likely belongs to a graph: the index whose name has the most in common with the graph's,
/// else the folder's state file.
fn checkpoint_beside(graph: &Path) -> Option<PathBuf> {
    let folder = graph.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let stem = graph.file_stem()?.to_str()?;
    let mut best: Option<(usize, PathBuf)> = None;
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).ok()?.filter_map(|e| Some(e.ok()?.path())).collect();
    entries.sort();
    for index in entries.iter().filter(|path| path.extension() == Some(OsStr::new("index"))) {
        let Some(name) = index.file_stem().and_then(OsStr::to_str) else { continue };
        let common = stem.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
        if common >= 3 && best.as_ref().is_none_or(|(most, _)| common > *most) {
            best = Some((common, index.with_extension("")));
        }
    }
    best.map(|(_, prefix)| prefix).or_else(|| {
        let state = folder.join("checkpoint");
        state.is_file().then_some(state)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checkpoint_beside_a_graph_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let graph = folder.path().join("resnet50_graph.pb");
        assert_eq!(checkpoint_beside(&graph), None);
        fs::write(folder.path().join("checkpoint"), "").unwrap();
        assert_eq!(checkpoint_beside(&graph), Some(folder.path().join("checkpoint")));
        for name in ["vgg16.ckpt.index", "resnet.ckpt.index", "resnet50.ckpt.index"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(checkpoint_beside(&graph), Some(folder.path().join("resnet50.ckpt")));
    }
}
