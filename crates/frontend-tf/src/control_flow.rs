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
    /// The tensors that decide the other switches.
    pub(crate) undecided: Vec<String>,
}

pub(crate) fn is_switch(op: &str) -> bool {
    matches!(op, "Switch" | "RefSwitch")
}

pub(crate) fn is_merge(op: &str) -> bool {
    matches!(op, "Merge" | "RefMerge")
}

pub(crate) fn is_next_iteration(op: &str) -> bool {
    matches!(op, "NextIteration" | "RefNextIteration")
}

impl Liveness {
    /// Decides, for `converter`, every switch that `roots` depend on, in data or in control.
    pub(crate) fn decide(converter: &mut Converter, roots: &[usize]) -> Result<(), Error> {
        let graph = converter.graph;
        let needs = |node: usize| {
            let mut needs = Vec::new();
            for (i, port) in graph.inputs(node)?.into_iter().enumerate() {
                // A loop's way back is no way in.
                let is_way_back = is_merge(&graph.node(node).op) && is_next_iteration(&graph.node(port.0).op);
                if !is_way_back && !converter.is_replaced(node, i, port) {
                    needs.push(port.0);
                }
            }
            needs.extend(graph.control_inputs(node)?);
            Ok(needs)
        };
        let reached = graph.reachable(roots.iter().copied(), needs)?;
        if !reached.into_iter().any(|node| is_switch(&graph.node(node).op)) {
            return Ok(());
        }
        // A circle through control edges alone does not concern the data; one in the data is found by the conversion.
        let Ok(order) = graph.order(roots.iter().copied(), needs) else { return Ok(()) };
        for node in order {
            let op = graph.node(node).op.as_str();
            let inputs = graph.inputs(node)?;
            let liveness = &converter.liveness;
            let arrives = |port: &Port| !liveness.is_dead(*port);
            let data_alive = match is_merge(op) {
                true => inputs.iter().any(arrives),
                false => inputs.iter().all(arrives),
            };
            let control_alive = graph.control_inputs(node)?.iter().all(|node| !liveness.dead.contains(node));
            if !data_alive || !control_alive {
                converter.liveness.dead.insert(node);
            } else if is_switch(op)
                && let Some(predicate) = inputs.get(1)
            {
                match converter.constant(*predicate)? {
                    Some(value) => {
                        let taken = value.to_i64s().first().is_some_and(|v| *v != 0);
                        converter.liveness.taken.insert(node, usize::from(taken));
                    }
                    None => {
                        let name = source_name(graph, *predicate)?;
                        let undecided = &mut converter.liveness.undecided;
                        if !undecided.contains(&name) {
                            undecided.push(name);
                        }
                    }
                }
            }
        }
        Ok(())
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

/// The name of the node that computes a tensor, behind those that only hand it on.
fn source_name(graph: &Graph, (mut node, _): Port) -> Result<String, Error> {
    // A chain of identities longer than this is not worth a better name.
    for _ in 0..16 {
        match graph.inputs(node)?.first() {
            Some((input, _)) if graph.node(node).op == "Identity" => node = *input,
            _ => break,
        }
    }
    Ok(graph.node(node).name.clone())
}
