//! The digits network in every form TensorFlow wrote it: read, find its output, freeze, compare with TensorFlow's
//! own frozen graph.

use frontend_tf::{
    Encoding, FreezeOptions, Graph, GraphDef, GraphFile, encode_graph, freeze, parse_graph, proto,
    read_graph, tensor,
};
use ir::Tensor;
use proptest::prelude::*;
use std::{collections::HashMap, path::PathBuf};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/digits").join(name)
}

fn read(name: &str) -> GraphFile {
    read_graph(fixture(name), Encoding::Detect).unwrap()
}

fn constants(graph: &GraphDef) -> HashMap<&str, Tensor> {
    let value = |node: &proto::NodeDef| match node.attr.get("value")?.value.as_ref()? {
        proto::attr_value::Value::Tensor(proto) => tensor::decode(proto).ok(),
        _ => None,
    };
    graph.node.iter().filter_map(|node| Some((node.name.as_str(), value(node)?))).collect()
}

#[test]
fn text_and_binary_hold_the_same_graph() {
    let binary = read("digits_graph.pb");
    for encoding in [Encoding::Detect, Encoding::Text] {
        let text = read_graph(fixture("digits_graph.pbtxt"), encoding).unwrap();
        // By their text: one constant holds a NaN, which equals nothing.
        assert_eq!(format!("{binary:?}"), format!("{text:?}"));
    }
    let err = read_graph(fixture("digits_graph.pb"), Encoding::Text).unwrap_err();
    assert!(err.to_string().contains("digits_graph.pb: line "), "{err}");
}

#[test]
fn the_one_output_is_found_among_leftovers() {
    let candidates = |name: &str| -> Vec<String> {
        let graph = read(name).graph;
        let index = Graph::new(&graph).unwrap();
        index.output_candidates().unwrap().into_iter().map(|i| index.node(i).name.clone()).collect()
    };
    for name in [
        "digits_frozen.pb",
        "digits_phase_graph.pb",
        "digits_resource_graph.pb",
        "digits_phase_resource_graph.pb",
    ] {
        assert_eq!(candidates(name), ["predictions/Softmax"], "{name}");
    }
    // A graph that was trained has its loss besides.
    assert_eq!(
        candidates("digits_graph.pb"),
        ["predictions/Softmax", "sparse_softmax_cross_entropy_loss/value"]
    );
}

#[test]
fn freezing_gives_what_tensorflow_gives() {
    let theirs = read("digits_frozen.pb").graph;
    let values = constants(&theirs);
    let options = FreezeOptions { outputs: vec!["predictions/Softmax".into()], ..Default::default() };
    let source = |name: &str| Ok(values.get(name).cloned());
    for name in ["digits_graph.pb", "digits_graph.pbtxt", "digits.ckpt.meta"] {
        let frozen = freeze(&read(name).graph, &options, source).unwrap();
        let names = |graph: &GraphDef| {
            graph.node.iter().map(|n| (n.name.clone(), n.op.clone(), n.input.clone())).collect::<Vec<_>>()
        };
        assert_eq!(names(&frozen), names(&theirs), "{name}");
        let ours = constants(&frozen);
        assert!(values.iter().all(|(name, value)| ours[name] == *value), "{name}");
        let again = parse_graph(encode_graph(&frozen).unwrap().into(), Encoding::Detect).unwrap();
        assert_eq!(again.graph, frozen);
    }
    for name in ["digits_resource_graph.pb", "digits_phase_graph.pb", "digits_phase_resource_graph.pb"] {
        let frozen = freeze(&read(name).graph, &options, source).unwrap();
        assert!(!frozen.node.iter().any(|n| n.op.starts_with("Var") || n.op == "ReadVariableOp"), "{name}");
    }
}

#[test]
fn a_meta_file_says_how_it_is_saved() {
    let saver = read("digits.ckpt.meta").saver.unwrap();
    assert_eq!((saver.restore_op_name.as_str(), saver.sharded), ("save/restore_all", true));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Damaged files end in an error or in a graph, through reading, looking for outputs and freezing.
    #[test]
    fn damage_never_panics(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        keep_all in any::<bool>(),
        name in prop::sample::select(vec!["digits_phase_graph.pb", "digits_resource_graph.pb", "digits_graph.pbtxt"]),
    ) {
        let mut bytes = std::fs::read(fixture(name)).unwrap();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= value;
        }
        if !keep_all {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(GraphFile { graph, .. }) = parse_graph(bytes.into(), Encoding::Detect)
            && let Ok(index) = Graph::new(&graph)
        {
            let _ = index.output_candidates();
            let options = FreezeOptions { outputs: vec!["predictions/Softmax".into()], ..Default::default() };
            let _ = freeze(&graph, &options, |_| Ok(None));
        }
    }
}
