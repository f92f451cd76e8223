//! Names to edges: which layer's output a bottom is. Layers that work in place give a blob a new value, so a name means
//! what the last layer before its user made of it.

use crate::{
    error::{Error, similar},
    layer::is_input,
    upgrade::Layer,
};
use std::collections::{HashMap, HashSet};

/// A top of a layer: the layer's place in the net, and which of its tops.
pub(crate) type Top = (usize, usize);

/// A network with resolved edges.
pub(crate) struct Graph<'a> {
    pub(crate) layers: &'a [Layer],
    /// For every layer, where its bottoms come from.
    pub(crate) sources: Vec<Vec<Top>>,
    /// What every blob is at the end.
    pub(crate) blobs: HashMap<&'a str, Top>,
    by_name: HashMap<&'a str, usize>,
}

impl<'a> Graph<'a> {
    pub(crate) fn new(layers: &'a [Layer]) -> Result<Self, Error> {
        let mut blobs: HashMap<&str, Top> = HashMap::new();
        let mut sources = Vec::with_capacity(layers.len());
        let mut by_name = HashMap::new();
        for (i, layer) in layers.iter().enumerate() {
            let mut own = Vec::with_capacity(layer.bottoms.len());
            for bottom in &layer.bottoms {
                match blobs.get(bottom.as_str()) {
                    Some(top) => own.push(*top),
                    None => return Err(unknown(layers, layer, bottom, &blobs)),
                }
            }
            sources.push(own);
            blobs.extend(layer.tops.iter().enumerate().map(|(port, top)| (top.as_str(), (i, port))));
            by_name.insert(layer.name.as_str(), i);
        }
        Ok(Self { layers, sources, blobs, by_name })
    }

    /// The layer of a name.
    pub(crate) fn layer(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The blob of a name as it is at the end; failing that, what the layer of that name makes.
    pub(crate) fn top(&self, name: &str) -> Result<Top, Error> {
        let of_layer = || self.layer(name).map(|layer| (layer, 0));
        self.blobs.get(name).copied().or_else(of_layer).ok_or_else(|| self.no_such(name))
    }

    pub(crate) fn no_such(&self, name: &str) -> Error {
        let known = self.layers.iter().map(|layer| layer.name.as_str()).chain(self.blobs.keys().copied());
        Error::NoSuchName { name: name.to_owned(), similar: similar(name, known) }
    }

    /// The outputs of the network: what nobody takes, in the order of the layers. Inputs that nobody takes are none,
    /// neither is what a network silences.
    pub(crate) fn outputs(&self) -> Vec<Top> {
        let taken: HashSet<Top> = self.sources.iter().flatten().copied().collect();
        let mut found = Vec::new();
        for (i, layer) in self.layers.iter().enumerate().filter(|(_, layer)| !is_input(&layer.kind)) {
            found.extend((0..layer.tops.len()).map(|port| (i, port)).filter(|top| !taken.contains(top)));
        }
        found
    }

    /// Every layer that `roots` need, in the order of the net. `follows` says which bottoms of a layer are needed.
    pub(crate) fn needed(
        &self,
        roots: impl IntoIterator<Item = usize>,
        follows: impl Fn(usize, usize, Top) -> bool,
    ) -> Vec<usize> {
        let mut seen = vec![false; self.layers.len()];
        let mut open: Vec<usize> = roots.into_iter().collect();
        while let Some(layer) = open.pop() {
            if !std::mem::replace(&mut seen[layer], true) {
                let sources = self.sources[layer].iter().enumerate();
                open.extend(sources.filter(|(i, top)| follows(layer, *i, **top)).map(|(_, top)| top.0));
            }
        }
        (0..seen.len()).filter(|layer| seen[*layer]).collect()
    }
}

fn unknown(layers: &[Layer], layer: &Layer, bottom: &str, blobs: &HashMap<&str, Top>) -> Error {
    match layers.iter().find(|other| other.tops.iter().any(|top| top == bottom)) {
        Some(maker) => Error::Cycle { site: layer.site(), bottom: bottom.to_owned(), maker: maker.site() },
        None => Error::UnknownBottom {
            site: layer.site(),
            bottom: bottom.to_owned(),
            similar: similar(bottom, blobs.keys().copied()),
        },
    }
}
