//! A network: its definition and its weights, from the files that hold them, as it is at inference.

use crate::{
    error::{Error, similar},
    message::{Message, Value},
    phase, schema, text,
    upgrade::{self, Layer},
    wire,
};
use bytes::Bytes;
use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

/// A network with its weights.
#[derive(Debug, Clone)]
pub struct Net {
    /// The network's own name; empty when it has none.
    pub name: String,
    pub(crate) layers: Vec<Layer>,
    /// The names of the layers that the caffemodel has weights for; `None` without a caffemodel.
    weighted: Option<Vec<String>>,
    /// What the user should know about how the files were read.
    pub notes: Vec<String>,
}

/// Reads a network. Without `definition`, the weights' own is taken; without `weights`, only networks that need none
/// convert. The files are mapped, not read: see [`ir::map_file`] for what must not happen to them meanwhile.
pub fn read(definition: Option<&Path>, weights: Option<&Path>) -> Result<Net, Error> {
    let file = |path: Option<&Path>| -> Result<Option<File>, Error> {
        let Some(path) = path else { return Ok(None) };
        let bytes = ir::map_file(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
        Ok(Some(File { path: Some(path.to_owned()), bytes }))
    };
    assemble(file(definition)?, file(weights)?)
}

/// The same from memory.
pub fn parse(definition: Option<Bytes>, weights: Option<Bytes>) -> Result<Net, Error> {
    let file = |bytes: Bytes| File { path: None, bytes };
    assemble(definition.map(file), weights.map(file))
}

struct File {
    path: Option<PathBuf>,
    bytes: Bytes,
}

impl File {
    /// The tree, by a table where the file is binary.
    fn tree(&self, rows: &'static [schema::Row]) -> Result<Message, Error> {
        self.within(if looks_like_text(&self.bytes) {
            text::parse(&self.bytes).map_err(Error::from)
        } else {
            wire::decode(self.bytes.clone(), rows).map_err(Error::from)
        })
    }

    /// Adds to an error which file it is about.
    fn within<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        result.map_err(|source| match &self.path {
            Some(path) => Error::InFile { path: path.clone(), source: Box::new(source) },
            None => source,
        })
    }

    fn layers(&self, tree: Message, expected: &'static str) -> Result<Vec<Layer>, Error> {
        let layers = upgrade::layers(tree);
        self.within(match layers {
            Ok(layers) if layers.is_empty() => Err(Error::NoLayers { expected }),
            other => other,
        })
    }
}

fn assemble(definition: Option<File>, weights: Option<File>) -> Result<Net, Error> {
    const TEXT: &str = "a prototxt, `layer { name: ... type: ... }`";
    const BINARY: &str = "a caffemodel that carries it, or a prototxt beside it";
    let mut notes = Vec::new();
    let (tree, mut layers, state) = match (&definition, &weights) {
        (None, None) => return Err(Error::Net("neither a definition nor weights were given".to_owned())),
        (Some(file), _) => {
            let tree = file.tree(schema::NET)?;
            let state = phase::State::of(&tree);
            (tree.text("name").unwrap_or_default().to_owned(), file.layers(tree, TEXT)?, state)
        }
        (None, Some(file)) => {
            let tree = file.tree(schema::NET)?;
            let state = phase::State::of(&tree);
            (tree.text("name").unwrap_or_default().to_owned(), file.layers(tree, BINARY)?, state)
        }
    };
    phase::keep(&mut layers, &state, &mut notes);
    phase::drop_training(&mut layers, &mut notes);
    let mut weighted = definition.is_none().then(Vec::new);
    if let (Some(_), Some(file)) = (&definition, &weights) {
        let tree = file.tree(schema::WEIGHTS)?;
        let named = file.layers(tree, BINARY)?;
        weighted = Some(attach(&mut layers, named, &mut notes));
    }
    share(&mut layers);
    Ok(Net { name: tree, layers, weighted, notes })
}

/// Gives layers the weights of the layers of the same name; the names of those that have some.
fn attach(layers: &mut [Layer], weighted: Vec<Layer>, notes: &mut Vec<String>) -> Vec<String> {
    let mut by_name: HashMap<String, Vec<Option<Value>>> = HashMap::new();
    let mut names = Vec::new();
    for layer in weighted.into_iter().filter(|layer| !layer.blobs.is_empty()) {
        names.push(layer.name.clone());
        by_name.entry(layer.name).or_insert(layer.blobs);
    }
    for layer in &mut *layers {
        if let Some(blobs) = by_name.get(&layer.name) {
            layer.blobs.clone_from(blobs);
        }
    }
    let present: HashSet<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
    let unused: Vec<&str> = names.iter().map(String::as_str).filter(|name| !present.contains(name)).collect();
    if !unused.is_empty() {
        let few = unused.iter().take(5).map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
        let more = if unused.len() > 5 { format!(" and {} more", unused.len() - 5) } else { String::new() };
        notes.push(format!(
            "the caffemodel has weights for layers that the network does not have: {few}{more}"
        ));
    }
    names
}

/// Layers that name their weights alike have the same.
fn share(layers: &mut [Layer]) {
    let mut owners: HashMap<String, Value> = HashMap::new();
    for layer in layers {
        for (i, name) in layer.shared.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            match layer.blobs.get(i).cloned().flatten() {
                Some(own) => drop(owners.entry(name.clone()).or_insert(own)),
                None => {
                    if let Some(value) = owners.get(name) {
                        layer.blobs.resize(layer.blobs.len().max(i + 1), None);
                        layer.blobs[i] = Some(value.clone());
                    }
                }
            }
        }
    }
}

impl Net {
    /// Why a layer has no weights.
    pub(crate) fn why_missing(&self, layer: &Layer) -> String {
        match &self.weighted {
            None => "no caffemodel was given (--input_model)".to_owned(),
            Some(names) if names.is_empty() => "the caffemodel carries the definition alone".to_owned(),
            Some(names) if names.contains(&layer.name) => {
                format!("the caffemodel has {} blob(s) for it", layer.blobs.len())
            }
            Some(names) => {
                let alike = similar(&layer.name, names.iter().map(String::as_str));
                let hint =
                    alike.first().map(|name| format!("; it has some for '{name}'")).unwrap_or_default();
                format!("the caffemodel has weights for {} layers, none of this name{hint}", names.len())
            }
        }
    }
}

/// Text has no control bytes and begins with the name of a field or a comment. A caffemodel has the tag of its first
/// field's length near the start.
fn looks_like_text(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let head = &bytes[..bytes.len().min(4096)];
    let control = |c: &u8| c.is_ascii_control() && !matches!(c, b'\t' | b'\n' | b'\r' | 11 | 12);
    let first = head.trim_ascii_start().first();
    first.is_none_or(|c| c.is_ascii_graphic()) && !head.iter().any(control)
}
