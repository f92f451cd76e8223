//! Dropout that is always on: a graph built for training and never switched. For inference it is the identity.

use crate::{
    Error,
    graph::{Graph, Port},
};
use std::collections::HashMap;

/// The random mask lies this many nodes deep at most.
const DEPTH: usize = 12;

/// Nodes that drop out, each with the tensor that enters it.
pub(crate) fn bypasses(graph: &Graph) -> Result<HashMap<usize, Port>, Error> {
    let mut found = HashMap::new();
    if !graph.nodes().iter().any(|node| node.op == "RandomUniform") {
        return Ok(found);
    }
    for (node, def) in graph.nodes().iter().enumerate() {
        // The mask multiplies, or chooses between the data and zero.
        let (mask, data) = match def.op.as_str() {
            "Mul" => (1, 0),
            "SelectV2" | "Select" => (0, 1),
            _ => continue,
        };
        let inputs = graph.inputs(node)?;
        let (Some(mask), Some(data)) = (inputs.get(mask), inputs.get(data)) else { continue };
        if !is_mask(graph, mask.0)? {
            continue;
        }
        // What stays is scaled up beforehand: the data is the first factor, or what is divided.
        let scaled = matches!(graph.node(data.0).op.as_str(), "Mul" | "RealDiv");
        let entering = if scaled { graph.inputs(data.0)?.first().copied() } else { None };
        found.insert(node, entering.unwrap_or(*data));
    }
    Ok(found)
}

/// True for a random number rounded or compared to yes and no.
fn is_mask(graph: &Graph, node: usize) -> Result<bool, Error> {
    let mut open = vec![(node, 0)];
    let mut decided = false;
    while let Some((node, depth)) = open.pop() {
        match graph.node(node).op.as_str() {
            "RandomUniform" => return Ok(decided),
            "Floor" | "GreaterEqual" => decided = true,
            "Cast" | "Identity" => {}
            "Add" | "AddV2" | "Mul" | "Sub" if decided => {}
            _ => continue,
        }
        if depth < DEPTH {
            open.extend(graph.inputs(node)?.into_iter().map(|(input, _)| (input, depth + 1)));
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::tests::graph_of;

    fn found(nodes: &[(&str, &str, &[&str])]) -> Vec<(String, String)> {
        let def = graph_of(nodes);
        let graph = Graph::new(&def).unwrap();
        let name = |node: usize| graph.node(node).name.clone();
        bypasses(&graph).unwrap().into_iter().map(|(node, (data, _))| (name(node), name(data))).collect()
    }

    #[test]
    fn the_forms_of_all_versions_are_known() {
        let uniform: &[(&str, &str, &[&str])] = &[
            ("x", "Relu", &[]),
            ("keep", "Const", &[]),
            ("r", "RandomUniform", &["keep"]),
            ("r/mul", "Mul", &["r", "keep"]),
            ("r/add", "AddV2", &["r/mul", "keep"]),
        ];
        let floor: &[(&str, &str, &[&str])] = &[
            ("add", "Add", &["keep", "r/add"]),
            ("floor", "Floor", &["add"]),
            ("div", "RealDiv", &["x", "keep"]),
            ("out", "Mul", &["div", "floor"]),
        ];
        let compare: &[(&str, &str, &[&str])] = &[
            ("ge", "GreaterEqual", &["r/add", "keep"]),
            ("cast", "Cast", &["ge"]),
            ("scaled", "Mul", &["x", "keep"]),
            ("out", "Mul", &["scaled", "cast"]),
        ];
        let choose: &[(&str, &str, &[&str])] = &[
            ("ge", "GreaterEqual", &["r/add", "keep"]),
            ("scaled", "Mul", &["x", "keep"]),
            ("out", "SelectV2", &["ge", "scaled", "keep"]),
        ];
        for form in [floor, compare, choose] {
            assert_eq!(found(&[uniform, form].concat()), [("out".to_owned(), "x".to_owned())]);
        }
        assert_eq!(found(&[uniform, &[("noise", "Mul", &["x", "r/add"])]].concat()), []);
    }
}
