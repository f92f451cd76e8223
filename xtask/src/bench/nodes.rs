//! What the nodes of a model have to do, and which layer does it when one layer computes several.

use serde_json::Value;
use std::collections::HashMap;

/// The work of a layer: of its own node, and of those that it computes with it.
#[derive(Clone, Default)]
pub(super) struct Work {
    pub(super) kind: String,
    /// Operations as people count them, padding included.
    pub(super) flops: u64,
    /// Operations on data.
    pub(super) useful: u64,
    /// Bytes read and written between layers.
    pub(super) activations: u64,
    /// Bytes of constants.
    pub(super) weights: u64,
}

/// The nodes of a model, and the layers that Terroir ran of them.
pub(super) struct Nodes<'a> {
    facts: &'a serde_json::Map<String, Value>,
    /// Layers that ran, with the kernel's name.
    ran: HashMap<&'a str, &'a str>,
    /// Who alone feeds a node.
    before: HashMap<&'a str, &'a str>,
}

impl<'a> Nodes<'a> {
    /// Takes what Terroir said at its end.
    pub(super) fn new(end: &'a Value) -> Option<Self> {
        let facts = end["nodes"].as_object()?;
        let ran = end["layers"].as_array()?.iter();
        let ran = ran.filter_map(|row| Some((row["name"].as_str()?, row["exec"].as_str()?))).collect();
        let before = facts.iter().filter_map(|(name, fact)| Some((fact["next"].as_str()?, name.as_str())));
        Some(Self { facts, ran, before: before.collect() })
    }

    fn number(&self, name: &str, key: &str) -> u64 {
        self.facts.get(name).and_then(|fact| fact[key].as_u64()).unwrap_or_default()
    }

    /// The layer that computes a node: itself, or the one before it that swallowed it. Convolutions are swallowed by the
    /// depthwise one behind them, whose kernel then says `expand` or `image`.
    pub(super) fn owner(&self, name: &str) -> Option<&'a str> {
        let (start, _) = self.facts.get_key_value(name)?;
        let walk = |step: &dyn Fn(&&'a str) -> Option<&'a str>| {
            std::iter::successors(Some(start.as_str()), |at| step(at)).find(|at| self.ran.contains_key(at))
        };
        let before = walk(&|at| self.before.get(at).copied());
        let after = walk(&|at| self.facts[*at]["next"].as_str());
        let expands =
            |owner: &&str| ["expand_", "image_"].iter().any(|first| self.ran[owner].starts_with(first));
        let heavy = self.number(name, "flops") > 0;
        after.filter(|owner| heavy && expands(owner)).or(before)
    }

    /// The work of every layer that ran.
    pub(super) fn work(&self) -> HashMap<&'a str, Work> {
        let own = |name: &str| Work {
            kind: self.facts[name]["kind"].as_str().unwrap_or_default().to_owned(),
            flops: self.number(name, "flops"),
            useful: self.number(name, "useful"),
            activations: self.number(name, "activations"),
            weights: self.number(name, "weights"),
        };
        let known = self.ran.keys().copied().filter(|name| self.facts.contains_key(*name));
        let mut works: HashMap<&str, Work> = known.map(|name| (name, own(name))).collect();
        for name in self.facts.keys().filter(|name| !self.ran.contains_key(name.as_str())) {
            let swallowed = own(name);
            let owner = self.owner(name).filter(|_| swallowed.flops > 0);
            let Some(work) = owner.and_then(|owner| works.get_mut(owner)) else { continue };
            work.kind = format!("{} + {}", work.kind, swallowed.kind);
            work.flops += swallowed.flops;
            work.useful += swallowed.useful;
            work.weights += swallowed.weights;
            // What flows between the two stays inside; how much of the rest, the smaller of both bounds from below.
            work.activations = work.activations.min(swallowed.activations);
        }
        works
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn swallowed_work_finds_its_layer() {
        let fact = |next: Option<&str>, flops: u64| json!({ "next": next, "kind": "k", "flops": flops, "useful": flops, "activations": 8, "weights": 1 });
        let end = json!({
            "nodes": {
                "stem": fact(Some("a"), 5), "a": fact(Some("relu"), 10), "relu": fact(Some("b"), 0),
                "b": fact(Some("c"), 20), "c": fact(Some("d"), 40), "d": fact(Some("e"), 80), "e": fact(None, 160),
            },
            "layers": [
                { "name": "a", "exec": "image_x" }, { "name": "c", "exec": "expand_x" },
                { "name": "e", "exec": "expand_x" },
            ],
        });
        let nodes = Nodes::new(&end).unwrap();
        assert_eq!(
            (nodes.owner("relu"), nodes.owner("a"), nodes.owner("stem")),
            (Some("a"), Some("a"), Some("a"))
        );
        assert_eq!(
            (nodes.owner("b"), nodes.owner("d"), nodes.owner("nothing")),
            (Some("c"), Some("e"), None)
        );
        let work = nodes.work();
        assert_eq!(["a", "c", "e"].map(|name| work[name].flops), [15, 60, 240]);
        assert_eq!(work["c"].weights, 2);
    }
}
