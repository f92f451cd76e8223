//! The structure of a GraphDef: nodes by name, edges, order, outputs.

use crate::{
    Error,
    proto::{AttrValue, DataType, GraphDef, NodeDef, attr_value::Value},
};
use std::collections::{HashMap, HashSet};

/// One output of one node: (index of the node, output port).
pub type Port = (usize, usize);

/// A GraphDef with its names resolved.
pub struct Graph<'a> {
    nodes: &'a [NodeDef],
    index: HashMap<&'a str, usize>,
}

/// Splits `node:1` into the node and its port; without a port it is 0.
pub fn split_port(text: &str) -> (&str, usize) {
    match text.rsplit_once(':').map(|(name, port)| (name, port.parse())) {
        Some((name, Ok(port))) => (name, port),
        _ => (text, 0),
    }
}

impl<'a> Graph<'a> {
    /// Indexes the graph's nodes. Inputs are resolved when they are followed.
    pub fn new(def: &'a GraphDef) -> Result<Self, Error> {
        let mut index = HashMap::with_capacity(def.node.len());
        for (i, node) in def.node.iter().enumerate() {
            if index.insert(node.name.as_str(), i).is_some() {
                return Err(Error::DuplicateNode { node: node.name.clone() });
            }
        }
        Ok(Self { nodes: &def.node, index })
    }

    /// All nodes, in the order of the file.
    pub fn nodes(&self) -> &'a [NodeDef] {
        self.nodes
    }

    /// The node at an index.
    pub fn node(&self, index: usize) -> &'a NodeDef {
        &self.nodes[index]
    }

    /// The index of a node.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// The index of a node that the user named; names like it when there is none.
    pub fn named(&self, name: &str) -> Result<usize, Error> {
        self.find(name).ok_or_else(|| {
            let wanted = name.to_ascii_lowercase();
            let last = wanted.rsplit('/').next().unwrap_or(&wanted);
            let like = |node: &&NodeDef| {
                let found = node.name.to_ascii_lowercase();
                found.contains(&wanted) || found.rsplit('/').next() == Some(last)
            };
            let similar = self.nodes.iter().filter(like).take(5).map(|node| node.name.clone()).collect();
            Error::NoSuchNode { node: name.to_owned(), similar }
        })
    }

    /// The data inputs of a node, in order.
    pub fn inputs(&self, node: usize) -> Result<Vec<Port>, Error> {
        let data = self.nodes[node].input.iter().filter(|input| !input.starts_with('^'));
        data.map(|input| {
            let (name, port) = split_port(input);
            self.follow(node, input, name).map(|found| (found, port))
        })
        .collect()
    }

    /// The nodes that must run before a node without giving it data.
    pub fn control_inputs(&self, node: usize) -> Result<Vec<usize>, Error> {
        let inputs = &self.nodes[node].input;
        inputs
            .iter()
            .filter_map(|i| Some((i, i.strip_prefix('^')?)))
            .map(|(i, n)| self.follow(node, i, n))
            .collect()
    }

    fn follow(&self, node: usize, input: &str, name: &str) -> Result<usize, Error> {
        self.find(name).ok_or_else(|| {
            let NodeDef { name, op, .. } = &self.nodes[node];
            Error::DanglingInput { node: name.clone(), op: op.clone(), input: input.to_owned() }
        })
    }

    /// The nodes that `roots` need, each after everything that it needs itself. `needs` lists what one node needs.
    pub fn order(
        &self,
        roots: impl IntoIterator<Item = usize>,
        needs: impl Fn(usize) -> Result<Vec<usize>, Error>,
    ) -> Result<Vec<usize>, Error> {
        #[derive(Clone, Copy, PartialEq)]
        enum State {
            New,
            Open,
            Done,
        }
        let mut states = vec![State::New; self.nodes.len()];
        let mut order = Vec::new();
        for root in roots {
            if states[root] != State::New {
                continue;
            }
            states[root] = State::Open;
            let mut stack = vec![(root, needs(root)?.into_iter())];
            while let Some((node, rest)) = stack.last_mut() {
                let Some(next) = rest.next() else {
                    states[*node] = State::Done;
                    order.push(*node);
                    stack.pop();
                    continue;
                };
                match states[next] {
                    State::Done => {}
                    State::New => {
                        states[next] = State::Open;
                        stack.push((next, needs(next)?.into_iter()));
                    }
                    State::Open => {
                        let path = stack.iter().map(|(node, _)| *node).skip_while(|node| *node != next);
                        let mut nodes: Vec<_> = path.map(|node| self.nodes[node].name.clone()).collect();
                        nodes.reverse();
                        return Err(Error::Cycle { nodes });
                    }
                }
            }
        }
        Ok(order)
    }

    /// The nodes that `roots` need, circles allowed, in no particular order.
    pub fn reachable(
        &self,
        roots: impl IntoIterator<Item = usize>,
        needs: impl Fn(usize) -> Result<Vec<usize>, Error>,
    ) -> Result<HashSet<usize>, Error> {
        let mut stack: Vec<usize> = roots.into_iter().collect();
        let mut seen: HashSet<usize> = stack.iter().copied().collect();
        while let Some(node) = stack.pop() {
            for next in needs(node)? {
                if seen.insert(next) {
                    stack.push(next);
                }
            }
        }
        Ok(seen)
    }

    /// Nodes that look like the graph's outputs: they compute from an input and nobody computes from them.
    /// Where nothing depends on an input, every end of a computation counts.
    pub fn output_candidates(&self) -> Result<Vec<usize>, Error> {
        let mut consumers = vec![Vec::new(); self.nodes.len()];
        let mut trained = vec![false; self.nodes.len()];
        for node in 0..self.nodes.len() {
            let op = &self.nodes[node].op;
            for (input, _) in self.inputs(node)? {
                if is_variable_writer(op) {
                    trained[input] = true;
                } else if !is_side_effect(op) {
                    consumers[input].push(node);
                }
            }
        }
        // A flag chooses the way of the data; it is none.
        let is_flag = |node: &NodeDef| {
            attr(node, "dtype") == Some(&Value::Type(DataType::DtBool.into()))
                || is_learning_phase(&node.name)
        };
        let is_input = |node: &usize| is_source(&self.nodes[*node].op) && !is_flag(&self.nodes[*node]);
        let fed =
            self.reachable((0..self.nodes.len()).filter(is_input), |node| Ok(consumers[node].clone()))?;
        let is_end = |node: &usize| {
            let NodeDef { name, op, .. } = &self.nodes[*node];
            let is_training = trained[*node] || name.split('/').any(|scope| scope == "gradients");
            consumers[*node].is_empty()
                && !is_training
                && !is_side_effect(op)
                && !is_source(op)
                && !is_shape(op)
        };
        let ends: Vec<usize> = (0..self.nodes.len()).filter(is_end).collect();
        let (fed, still): (Vec<usize>, Vec<usize>) = ends.into_iter().partition(|node| fed.contains(node));
        Ok(if fed.is_empty() {
            let computes =
                |node: &usize| !is_variable(&self.nodes[*node].op) && self.nodes[*node].op != "Const";
            still.into_iter().filter(computes).collect()
        } else {
            fed
        })
    }
}

/// Ops through which data enters a graph.
pub(crate) fn is_source(op: &str) -> bool {
    op.starts_with("Placeholder") || matches!(op, "IteratorGetNext" | "QueueDequeueV2" | "QueueDequeueManyV2")
}

/// Ops that look at a tensor's shape alone: what training leaves behind.
fn is_shape(op: &str) -> bool {
    matches!(op, "Shape" | "ShapeN" | "Size" | "Rank" | "ZerosLike" | "OnesLike")
}

/// Keras' flag "is this training?".
pub(crate) fn is_learning_phase(name: &str) -> bool {
    name.rsplit('/').next().is_some_and(|last| last.starts_with("keras_learning_phase"))
}

/// Ops that hold a variable.
pub(crate) fn is_variable(op: &str) -> bool {
    matches!(op, "Variable" | "VariableV2" | "VarHandleOp")
}

/// Ops that write a variable.
pub(crate) fn is_variable_writer(op: &str) -> bool {
    let op = op.strip_prefix("Resource").unwrap_or(op);
    op.starts_with("Assign")
        || op.starts_with("Apply")
        || op.starts_with("Scatter") && op != "ScatterNd"
        || op.starts_with("SparseApply")
        || op == "CountUpTo"
}

/// Ops that run for their effect; their outputs, if any, are not the network's.
pub(crate) fn is_side_effect(op: &str) -> bool {
    is_variable_writer(op)
        || op.ends_with("Summary")
        || op.ends_with("SummaryV2")
        || op.starts_with("Save")
        || op.starts_with("Restore")
        || op.starts_with("QueueEnqueue")
        || matches!(
            op,
            "NoOp"
                | "Assert"
                | "PrintV2"
                | "ShardedFilename"
                | "MergeV2Checkpoints"
                | "IsVariableInitialized"
                | "VarIsInitializedOp"
                | "DestroyResourceOp"
                | "QueueCloseV2"
                | "WriteFile"
        )
}

/// Attributes of a node by name.
pub(crate) fn attr<'a>(node: &'a NodeDef, name: &str) -> Option<&'a Value> {
    node.attr.get(name).and_then(|AttrValue { value }| value.as_ref())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A graph from `(name, op, inputs)`.
    pub(crate) fn graph_of(nodes: &[(&str, &str, &[&str])]) -> GraphDef {
        let node = |(name, op, inputs): &(&str, &str, &[&str])| NodeDef {
            name: (*name).into(),
            op: (*op).into(),
            input: inputs.iter().map(|i| (*i).to_owned()).collect(),
            ..Default::default()
        };
        GraphDef { node: nodes.iter().map(node).collect(), ..Default::default() }
    }

    fn data_order(def: &GraphDef, root: &str) -> Result<Vec<String>, Error> {
        let graph = Graph::new(def)?;
        let needs = |node| Ok(graph.inputs(node)?.into_iter().map(|(node, _)| node).collect());
        let order = graph.order([graph.named(root)?], needs)?;
        Ok(order.into_iter().map(|i| def.node[i].name.clone()).collect())
    }

    #[test]
    fn order_is_by_need() {
        let def = graph_of(&[
            ("out", "Add", &["b:1", "a", "^later"]),
            ("later", "NoOp", &[]),
            ("b", "Split", &["a"]),
            ("a", "Placeholder", &[]),
        ]);
        assert_eq!(data_order(&def, "out").unwrap(), ["a", "b", "out"]);
        let graph = Graph::new(&def).unwrap();
        assert_eq!(graph.inputs(0).unwrap(), [(2, 1), (3, 0)]);
        assert_eq!(graph.control_inputs(0).unwrap(), [1]);
    }

    #[test]
    fn circles_and_gaps_are_errors() {
        let def = graph_of(&[("n", "NextIteration", &["n"])]);
        assert!(matches!(data_order(&def, "n"), Err(Error::Cycle { nodes }) if nodes == ["n"]));
        let def = graph_of(&[("a", "Merge", &["c"]), ("b", "Add", &["a"]), ("c", "NextIteration", &["b"])]);
        assert!(matches!(data_order(&def, "c"), Err(Error::Cycle { nodes }) if nodes == ["a", "b", "c"]));
        let def = graph_of(&[("a", "Relu", &["gone:1"])]);
        let text = data_order(&def, "a").unwrap_err().to_string();
        assert_eq!(text, "node 'a' (Relu) reads 'gone:1', which is not in the graph");
        let def = graph_of(&[("a", "Relu", &[]), ("a", "Relu", &[])]);
        assert!(matches!(Graph::new(&def), Err(Error::DuplicateNode { .. })));
    }

    #[test]
    fn depth_costs_no_stack() {
        let names: Vec<String> = (0..200_000).map(|i| format!("n{i}")).collect();
        let mut def = graph_of(&[("n0", "Placeholder", &[])]);
        for pair in names.windows(2) {
            def.node.push(graph_of(&[(&pair[1], "Relu", &[&pair[0]])]).node.remove(0));
        }
        assert_eq!(data_order(&def, "n199999").unwrap().len(), 200_000);
    }

    #[test]
    fn unknown_names_find_their_like() {
        let def = graph_of(&[("model/predictions/Softmax", "Softmax", &[])]);
        let text = data_order(&def, "Predictions/Softmax").unwrap_err().to_string();
        assert_eq!(
            text,
            "there is no node 'Predictions/Softmax' in the graph; did you mean 'model/predictions/Softmax'?"
        );
    }

    #[test]
    fn outputs_are_told_from_leftovers() {
        let def = graph_of(&[
            ("x", "Placeholder", &[]),
            ("w", "VariableV2", &[]),
            ("w/read", "Identity", &["w"]),
            ("feed", "Placeholder", &[]),
            ("assign", "Assign", &["w", "feed"]),
            ("y", "MatMul", &["x", "w/read"]),
            ("probs", "Softmax", &["y"]),
            ("hist", "HistogramSummary", &["probs"]),
            ("init/value", "TruncatedNormal", &[]),
            ("save", "SaveV2", &["w"]),
            ("loop", "NextIteration", &["loop"]),
        ]);
        let graph = Graph::new(&def).unwrap();
        let names =
            |found: Vec<usize>| found.into_iter().map(|i| def.node[i].name.as_str()).collect::<Vec<_>>();
        assert_eq!(names(graph.output_candidates().unwrap()), ["probs"]);
        let def = graph_of(&[("a", "Const", &[]), ("b", "BiasAdd", &["a", "a"]), ("c", "Const", &[])]);
        let graph = Graph::new(&def).unwrap();
        assert_eq!(graph.output_candidates().unwrap(), [1]);
    }
}
