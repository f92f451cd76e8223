//! TensorFlow's first control flow: a `Switch` sends a tensor one way, a `Merge` takes the one that arrives.
//!
//! Where the predicates are constant (a learning phase, a frozen flag), the branch not taken is dead. Deadness goes
//! along data and control edges, so it is decided before the conversion, in the order of the computation.

use crate::{
    Error,
    convert::Converter,
    graph::{Graph, Port},
};
use std::collections::{HashMap, HashSet};

/// Which way constant predicates send the tensors.
#[derive(Default)]
pub(crate) struct Liveness {
    /// Nodes that never run.
    dead: HashSet<usize>,
    /// For a switch, the output that is alive.
    taken: HashMap<usize, usize>,
}

pub(crate) fn is_switch(op: &str) -> bool {
    matches!(op, "Switch" | "RefSwitch")
}

pub(crate) fn is_merge(op: &str) -> bool {
    matches!(op, "Merge" | "RefMerge")
}

impl Liveness {
    /// Decides every switch that `roots` depend on, in data or in control.
    pub(crate) fn decide(converter: &mut Converter, roots: &[usize]) -> Result<Self, Error> {
        let mut liveness = Self::default();
        let graph = converter.graph;
        let needs = |node: usize| {
            let mut needs: Vec<usize> =
                converter.uncut_inputs(node)?.into_iter().map(|(node, _)| node).collect();
            // A loop's way back is no way in.
            needs.retain(|input| {
                !(is_merge(&graph.node(node).op) && graph.node(*input).op.ends_with("NextIteration"))
            });
            needs.extend(graph.control_inputs(node)?);
            Ok(needs)
        };
        let switches = graph.reachable(roots.iter().copied(), needs)?;
        if !switches.into_iter().any(|node| is_switch(&graph.node(node).op)) {
            return Ok(liveness);
        }
        // A circle through control edges alone does not concern the data; one in the data is found by the conversion.
        let Ok(order) = graph.order(roots.iter().copied(), needs) else { return Ok(liveness) };
        for node in order {
            let op = graph.node(node).op.as_str();
            let inputs = graph.inputs(node)?;
            let arrives = |port: &Port| !liveness.is_dead(*port);
            let data_alive = match is_merge(op) {
                true => inputs.iter().any(arrives),
                false => inputs.iter().all(arrives),
            };
            let control_alive = graph.control_inputs(node)?.iter().all(|node| !liveness.dead.contains(node));
            if !data_alive || !control_alive {
                liveness.dead.insert(node);
            } else if is_switch(op)
                && let Some(predicate) = inputs.get(1)
                && let Some(value) = converter.constant(*predicate)?
            {
                liveness.taken.insert(node, usize::from(value.to_i64s().first().is_some_and(|v| *v != 0)));
            }
        }
        Ok(liveness)
    }

    fn is_dead(&self, (node, port): Port) -> bool {
        self.dead.contains(&node) || self.taken.get(&node).is_some_and(|taken| *taken != port)
    }

    /// The inputs of a merge that can arrive.
    pub(crate) fn arriving(&self, graph: &Graph, merge: usize) -> Result<Vec<usize>, Error> {
        let inputs = graph.inputs(merge)?;
        Ok((0..inputs.len()).filter(|i| !self.is_dead(inputs[*i])).collect())
    }
}
