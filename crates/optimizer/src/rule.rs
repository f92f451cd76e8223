//! Pattern rules: each looks at one node and answers with a replacement, or with why there is none.

use crate::pass::Record;
use ir::{Model, ModelError, NodeId, Op, Port, RtAttribute};
use std::collections::BTreeSet;

/// Why a rule did not apply.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Refusal {
    /// The node isn't what the rule is about.
    NoMatch,
    /// The pattern is there, but replacing it would not be right or not be good.
    Because(String),
}

impl Refusal {
    pub(crate) fn because(reason: impl Into<String>) -> Self {
        Self::Because(reason.into())
    }
}

/// Whatever an op says against the replacement speaks against the rule.
impl From<ModelError> for Refusal {
    fn from(error: ModelError) -> Self {
        Self::Because(format!("the replacement is not well formed: {error}"))
    }
}

/// Refuses for a reason unless `holds`.
pub(crate) fn ensure(holds: bool, reason: impl FnOnce() -> String) -> Result<(), Refusal> {
    if holds { Ok(()) } else { Err(Refusal::Because(reason())) }
}

/// What takes the place of a node.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Replacement {
    /// What takes the place of the first output; further outputs go to the same node's.
    pub(crate) port: Port,
    /// A new node keeps the name that the rule gave it; otherwise it takes over the replaced node's, whose
    /// output it now produces.
    pub(crate) keeps_name: bool,
}

impl From<Port> for Replacement {
    fn from(port: Port) -> Self {
        Self { port, keeps_name: false }
    }
}

impl From<NodeId> for Replacement {
    fn from(node: NodeId) -> Self {
        Port::from(node).into()
    }
}

/// What a rule answers.
pub(crate) type Outcome = Result<Replacement, Refusal>;

/// A rule: adds nodes to the model, changes none, and says what replaces the node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// What it is called in reports.
    pub(crate) name: &'static str,
    /// Looks at a node.
    pub(crate) apply: fn(&mut Model, NodeId) -> Outcome,
}

/// What a set of rules does to nodes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Effect {
    /// Removes what computes nothing, moves what moves data.
    Tidies,
    /// Makes one node of several that compute; users can ask to leave nodes out of it.
    Fuses,
}

/// Sweeps are repeated while something changes, but no more often than this; rules that undo each other would
/// never end.
const MOST_SWEEPS: usize = 32;

/// Applies `rules` everywhere until nothing changes. Returns the number of replacements.
pub(crate) fn rewrite(model: &mut Model, rules: &[Rule], record: &mut Record) -> Result<usize, ModelError> {
    rewrite_with(model, rules, Effect::Tidies, record)
}

/// The same with rules that have such an effect.
pub(crate) fn rewrite_with(
    model: &mut Model,
    rules: &[Rule],
    effect: Effect,
    record: &mut Record,
) -> Result<usize, ModelError> {
    let mut changes = 0;
    for _ in 0..MOST_SWEEPS {
        let before = changes;
        for id in model.topological_order()? {
            for rule in rules {
                if model.get(id).is_none() {
                    break;
                }
                let capacity = model.capacity();
                let outcome = (rule.apply)(model, id).and_then(|new| {
                    if effect == Effect::Fuses {
                        spare_kept(model, id, new, record)?;
                    }
                    put(model, id, new, capacity)
                });
                match outcome {
                    Ok(()) => {
                        changes += 1;
                        record.applied(rule.name);
                    }
                    Err(refusal) => {
                        remove_unused_since(model, capacity);
                        if let Refusal::Because(reason) = refusal {
                            record.refused(rule.name, &model.node(id).name, reason);
                        }
                    }
                }
            }
        }
        if changes == before {
            break;
        }
    }
    Ok(changes)
}

/// Refuses when a node that is to be kept would go with `old`.
fn spare_kept(model: &Model, old: NodeId, new: Replacement, record: &Record) -> Result<(), Refusal> {
    let mut gone = vec![old];
    let mut at = 0;
    while let Some(&id) = gone.get(at) {
        at += 1;
        let node = model.node(id);
        ensure(!record.keeps(&node.name), || format!("`{}` was asked not to be fused", node.name))?;
        for port in node.inputs() {
            let source = port.node;
            let leaves = model.users_of(source).all(|(user, _)| gone.contains(&user));
            let stays = source == new.port.node
                || matches!(model.node(source).op, Op::Parameter(_) | Op::Constant(_));
            if leaves && !stays && !gone.contains(&source) {
                gone.push(source);
            }
        }
    }
    Ok(())
}

/// Puts a replacement in place of `old`, with names and run-time information, and removes what nobody uses now.
fn put(model: &mut Model, old: NodeId, new: Replacement, capacity: usize) -> Result<(), Refusal> {
    let fresh = new.port.node.index() >= capacity;
    let outputs = model.node(old).outputs().len();
    let mut moves = vec![(old.output(0), new.port)];
    for index in 1..outputs {
        let port = new.port.node.output(index);
        let has = model.node(port.node).outputs().len() > index;
        if has && new.port.index == 0 {
            moves.push((old.output(index), port));
        } else {
            ensure(model.consumers(old.output(index)).is_empty(), || {
                format!("output {index} is in use and the replacement has no such output")
            })?;
        }
    }
    for (from, to) in &moves {
        let (was, is) = (model.ty(*from), model.ty(*to));
        ensure(was.element_type == is.element_type && was.shape.intersect(&is.shape).is_some(), || {
            format!("the replacement gives {is} where {was} was")
        })?;
    }
    if fresh {
        let node = model.node(old);
        let (name, rt_info) = (node.name.clone(), node.rt_info.clone());
        let target = model.node_mut(new.port.node);
        if !new.keeps_name {
            target.name = name;
        }
        for (key, value) in rt_info {
            target.rt_info.entry(key).or_insert(value);
        }
    }
    for (from, to) in moves {
        model.replace(from, to);
    }
    let gone = remove_orphans(model, old);
    if fresh {
        note_fused(model, new.port.node, gone);
    }
    Ok(())
}

/// Removes `start` and whatever it alone kept in use; returns the names that the computing nodes among them had,
/// those that were fused into them included.
fn remove_orphans(model: &mut Model, start: NodeId) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut open = vec![start];
    while let Some(id) = open.pop() {
        let Some(node) = model.get(id) else { continue };
        if matches!(node.op, Op::Parameter(_) | Op::OpResult(_)) || model.users_of(id).next().is_some() {
            continue;
        }
        if !matches!(node.op, Op::Constant(_)) {
            names.insert(node.name.clone());
            names.extend(fused_names(model, id));
        }
        open.extend(node.inputs().iter().map(|port| port.node));
        model.remove(id);
    }
    names
}

/// Removes nodes added since the model had `capacity`, unless something uses them.
fn remove_unused_since(model: &mut Model, capacity: usize) {
    if model.capacity() == capacity {
        return;
    }
    let added: Vec<NodeId> = model.nodes().map(|(id, _)| id).filter(|id| id.index() >= capacity).collect();
    for id in added.into_iter().rev() {
        if model.users_of(id).next().is_none() {
            model.remove(id);
        }
    }
}

/// The names of the nodes that `id` has taken in.
pub(crate) fn fused_names(model: &Model, id: NodeId) -> Vec<String> {
    let attribute = model.node(id).rt_info.get(FUSED_NAMES);
    let value = attribute.and_then(|a| a.parts.get("value"));
    value.map(|v| v.split(',').filter(|n| !n.is_empty()).map(str::to_owned).collect()).unwrap_or_default()
}

const FUSED_NAMES: &str = "fused_names";

/// Records that `id` does the work of nodes called `names`, as OpenVINO does: its own name among them.
pub(crate) fn note_fused(model: &mut Model, id: NodeId, names: BTreeSet<String>) {
    let own = model.node(id).name.clone();
    let mut all: BTreeSet<String> = fused_names(model, id).into_iter().collect();
    all.extend(names);
    all.insert(own);
    if all.len() < 2 {
        return;
    }
    let value = all.into_iter().collect::<Vec<_>>().join(",");
    let attribute =
        RtAttribute { version: "0".to_owned(), parts: [("value".to_owned(), value)].into_iter().collect() };
    model.node_mut(id).rt_info.insert(FUSED_NAMES.to_owned(), attribute);
}
