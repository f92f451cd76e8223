//! What is damaged or cannot be converted: a clear error, no file left behind, no panic.

mod digits;

use digits::{OUTPUT, fixture, request};
use frontend_tf::{
    GraphDef, encode_graph,
    proto::{AttrValue, NodeDef, TensorProto, TensorShapeProto, attr_value::Value, tensor_shape_proto::Dim},
};
use mo::Request;
use proptest::prelude::*;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The user's flow in a folder of its own, to be spoilt.
struct Flow {
    folder: tempfile::TempDir,
}

impl Flow {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "digits_frozen.pb",
            "digits_graph.pb",
            "digits.ckpt.index",
            "digits.ckpt.meta",
            "digits.ckpt.data-00000-of-00002",
            "digits.ckpt.data-00001-of-00002",
            "v1/digits_v1.ckpt",
        ] {
            let path = Path::new(name);
            fs::copy(fixture("digits").join(path), folder.path().join(path.file_name().unwrap())).unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn edit(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.path(name)).unwrap();
        change(&mut bytes);
        fs::write(self.path(name), bytes).unwrap();
    }

    fn request(&self, graph: &str, checkpoint: Option<&str>) -> Request {
        let mut request = request(graph, None, &self.path("out"));
        request.source.graph = self.path(graph);
        request.source.checkpoint = checkpoint.map(|name| self.path(name));
        request
    }

    /// Converts; answers the error. Either both files are there, or nothing is, the folder included.
    fn convert(&self, request: &Request) -> Option<String> {
        let found = mo::convert(request, &mut |_| {});
        let files = fs::read_dir(self.path("out")).map(|files| files.count());
        match found {
            Ok(_) => {
                assert_eq!(files.unwrap(), 2);
                fs::remove_dir_all(self.path("out")).unwrap();
                None
            }
            Err(error) => {
                assert!(files.is_err(), "something was left behind: {error}");
                Some(error.to_string())
            }
        }
    }

    fn refused(&self, graph: &str, checkpoint: Option<&str>, parts: &[&str]) {
        let error = self.convert(&self.request(graph, checkpoint)).unwrap_or_else(|| panic!("{parts:?}"));
        for part in parts {
            assert!(error.contains(part), "{part:?} is not in: {error}");
        }
    }
}

fn node(name: &str, op: &str, inputs: &[&str], attrs: &[(&str, Value)]) -> NodeDef {
    NodeDef {
        name: name.to_owned(),
        op: op.to_owned(),
        input: inputs.iter().map(|input| (*input).to_owned()).collect(),
        attr: attrs.iter().map(|(k, v)| ((*k).to_owned(), AttrValue { value: Some(v.clone()) })).collect(),
        ..Default::default()
    }
}

fn sizes(sizes: &[i64]) -> TensorShapeProto {
    let dim = |size: &i64| Dim { size: *size, ..Default::default() };
    TensorShapeProto { dim: sizes.iter().map(dim).collect(), unknown_rank: false }
}

const FLOAT: Value = Value::Type(1);

fn placeholder(name: &str, shape: &[i64]) -> NodeDef {
    node(name, "Placeholder", &[], &[("dtype", FLOAT), ("shape", Value::Shape(sizes(shape)))])
}

/// Converts a graph of these nodes, of which the last is the output; answers the error.
fn graph_error(nodes: Vec<NodeDef>) -> String {
    let flow = Flow::new();
    let output = nodes.last().unwrap().name.clone();
    let graph = GraphDef { node: nodes, ..Default::default() };
    fs::write(flow.path("graph.pb"), encode_graph(&graph).unwrap()).unwrap();
    let request = Request { outputs: vec![output], ..flow.request("graph.pb", None) };
    flow.convert(&request).expect("the graph is no good")
}

#[test]
fn damaged_graphs_are_refused() {
    for (keep, parts) in
        [(0, &["graph.pb", "not a GraphDef"][..]), (1, &["not a GraphDef"]), (5000, &["not a GraphDef"])]
    {
        let flow = Flow::new();
        flow.edit("digits_graph.pb", |bytes| bytes.truncate(keep));
        flow.refused("digits_graph.pb", Some("digits.ckpt"), parts);
    }
    let flow = Flow::new();
    flow.edit("digits_frozen.pb", |bytes| bytes.truncate(bytes.len() / 2));
    flow.refused("digits_frozen.pb", None, &["digits_frozen.pb"]);
    flow.edit("digits.ckpt.meta", |bytes| bytes.truncate(bytes.len() - 7));
    flow.refused("digits.ckpt.meta", None, &["digits.ckpt.meta", "not a GraphDef"]);
    flow.edit("digits_graph.pb", |bytes| *bytes = b"node { name: 'x' op: }".to_vec());
    flow.refused("digits_graph.pb", None, &["digits_graph.pb"]);
    flow.refused("missing.pb", None, &["missing.pb"]);
}

#[test]
fn damaged_checkpoints_are_refused() {
    let data = "digits.ckpt.data-00000-of-00002";
    let flow = Flow::new();
    flow.edit("digits.ckpt.index", |bytes| bytes[30] ^= 4);
    flow.refused("digits_graph.pb", Some("digits.ckpt"), &["digits.ckpt.index", "crc32c"]);
    flow.edit("digits.ckpt.index", |bytes| bytes.truncate(bytes.len() - 20));
    flow.refused("digits_graph.pb", Some("digits.ckpt"), &["digits.ckpt.index"]);

    let flow = Flow::new();
    flow.edit(data, |bytes| bytes.iter_mut().for_each(|byte| *byte ^= 1));
    flow.refused("digits_graph.pb", Some("digits.ckpt"), &["variable", "crc32c"]);
    flow.refused("digits.ckpt.meta", None, &["variable", "crc32c"]);
    flow.edit(data, |bytes| bytes.truncate(50));
    flow.refused("digits_graph.pb", Some("digits.ckpt"), &["variable", "more than the files hold"]);
    fs::remove_file(flow.path(data)).unwrap();
    flow.refused("digits_graph.pb", Some("digits.ckpt"), &[data, "is missing"]);

    let flow = Flow::new();
    flow.edit("digits_v1.ckpt", |bytes| bytes[1000] ^= 1);
    flow.refused("digits_graph.pb", Some("digits_v1.ckpt"), &["digits_v1.ckpt", "crc32c"]);
    flow.refused("digits_graph.pb", Some("nowhere.ckpt"), &["no checkpoint at", "nowhere.ckpt"]);
    flow.refused("digits_graph.pb", Some("digits_graph.pb"), &["neither a checkpoint"]);
}

#[test]
fn a_graph_without_its_weights_names_them() {
    let flow = Flow::new();
    let prefix = flow.path("digits.ckpt").display().to_string();
    flow.refused("digits_graph.pb", None, &["variables have no value", "--input_checkpoint", &prefix]);
    for (other, part) in [
        ("partitioned/partitioned.ckpt", "the graph says [48, 10], the checkpoint holds [72, 5]"),
        ("../crates/frontend-keras-ckpt/tests/data/grid", "variables are not in it"),
    ] {
        let mut request = flow.request("digits_graph.pb", None);
        request.source.checkpoint = Some(fixture(other));
        let error = flow.convert(&request).unwrap();
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn what_does_not_fit_the_network_is_refused() {
    let flow = Flow::new();
    for (shape, parts) in [
        ("[1,12,12,1]", &["f32"][..]),
        ("[1,8,8,3]", &["conv"]),
        ("[64]", &["f32[64]"]),
        ("[1,8,8,9223372036854775807]", &[""]),
        ("[9223372036854775807,9223372036854775807,8,1]", &[""]),
    ] {
        let mut request = flow.request("digits_frozen.pb", None);
        request.input_shapes = mo::grammar::shapes(shape).unwrap();
        match flow.convert(&request) {
            Some(error) => parts.iter().for_each(|part| assert!(error.contains(part), "{shape}: {error}")),
            None => assert!(shape.len() > 20, "{shape}"),
        }
    }
    let request = Request { outputs: vec!["softmax".to_owned()], ..flow.request("digits_frozen.pb", None) };
    let error = flow.convert(&request).unwrap();
    assert!(error.contains("no node 'softmax'") && error.contains(OUTPUT), "{error}");
    let inputs = mo::grammar::inputs("inputt[1,8,8,1]").unwrap();
    let error = flow.convert(&Request { inputs, ..flow.request("digits_frozen.pb", None) }).unwrap();
    assert!(error.contains("inputt"), "{error}");
    let request = Request { outputs: vec![], ..flow.request("digits_graph.pb", None) };
    flow.convert(&request).unwrap();
}

#[test]
fn unsupported_ops_come_in_one_report() {
    let error = graph_error(vec![
        placeholder("x", &[1, 4]),
        node("y", "Relu", &["x"], &[("T", FLOAT)]),
        node("one", "Sorcery", &["y"], &[]),
        node("two", "Alchemy", &["one", "y"], &[]),
        node("three", "Sorcery", &["y"], &[]),
        node("end", "Add", &["two", "three"], &[("T", FLOAT)]),
    ]);
    for part in ["Sorcery (2)", "one", "three", "Alchemy (1)", "[1,4]", "--output y"] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn impossible_graphs_are_refused() {
    let circle = graph_error(vec![
        node("a", "Relu", &["b"], &[("T", FLOAT)]),
        node("b", "Relu", &["a"], &[("T", FLOAT)]),
    ]);
    assert!(circle.contains("circle through"), "{circle}");
    // 20 bytes that end OpenVINO's converter with a segmentation fault.
    assert!(graph_error(vec![node("n", "NextIteration", &[], &[])]).contains("NextIteration"));
    assert!(graph_error(vec![node("a", "Relu", &["gone"], &[("T", FLOAT)])]).contains("'gone'"));
    assert!(graph_error(vec![placeholder("a", &[1]), placeholder("a", &[1])]).contains("two nodes"));

    // A file of a few bytes claims terabytes.
    let huge = |content: &[u8], dims: &[i64]| TensorProto {
        dtype: 1,
        tensor_shape: Some(sizes(dims)),
        tensor_content: content.to_vec().into(),
        ..Default::default()
    };
    for (content, dims) in [
        (&[0u8; 8][..], &[1 << 40, 1 << 10][..]),
        (&[], &[1 << 62, 1 << 62]),
        (&[0; 4], &[-3]),
        (&[0; 4], &[i64::MAX, 2]),
        (&[0; 7], &[2]),
    ] {
        let constant =
            node("c", "Const", &[], &[("dtype", FLOAT), ("value", Value::Tensor(huge(content, dims)))]);
        let sum = node("sum", "Add", &["x", "c"], &[("T", FLOAT)]);
        let error = graph_error(vec![placeholder("x", &[1, 4]), constant, sum]);
        // The node and what it claims.
        assert!(error.contains("Const") && error.contains(&dims[0].to_string()), "{dims:?}: {error}");
    }
    let wide = graph_error(vec![
        placeholder("x", &[1 << 40, 1 << 40]),
        placeholder("z", &[1 << 40, 3]),
        node("sum", "Add", &["x", "z"], &[("T", FLOAT)]),
    ]);
    assert!(wide.contains("'x' (Placeholder)") && wide.contains("too large to address"), "{wide}");
}

/// Fill, Tile and Range make much of little: what they make must not be folded into the IR.
#[test]
fn little_files_make_no_big_irs() {
    let ints = |values: &[i32]| {
        Value::Tensor(TensorProto {
            dtype: 3,
            tensor_shape: Some(sizes(&[values.len() as i64])),
            int_val: values.to_vec(),
            ..Default::default()
        })
    };
    let one = Value::Tensor(TensorProto { dtype: 1, float_val: vec![1.0], ..Default::default() });
    let nodes = vec![
        placeholder("x", &[1 << 20, 1 << 20]),
        node("dims", "Const", &[], &[("dtype", Value::Type(3)), ("value", ints(&[1 << 20, 1 << 20]))]),
        node("one", "Const", &[], &[("dtype", FLOAT), ("value", one)]),
        node("fill", "Fill", &["dims", "one"], &[("T", FLOAT)]),
        node("sum", "Add", &["x", "fill"], &[("T", FLOAT)]),
    ];
    let flow = Flow::new();
    fs::write(flow.path("graph.pb"), encode_graph(&GraphDef { node: nodes, ..Default::default() }).unwrap())
        .unwrap();
    let request = Request { outputs: vec!["sum".to_owned()], ..flow.request("graph.pb", None) };
    mo::convert(&request, &mut |_| {}).unwrap();
    assert!(fs::metadata(flow.path("out/net.bin")).unwrap().len() < 1 << 20);
}

#[test]
fn the_command_ends_with_a_code_and_an_error() {
    let flow = Flow::new();
    flow.edit("digits.ckpt.data-00000-of-00002", |bytes| bytes.iter_mut().for_each(|byte| *byte ^= 1));
    let (frozen, graph) = (flow.path("digits_frozen.pb"), flow.path("digits_graph.pb"));
    let (frozen, graph) = (frozen.to_str().unwrap(), graph.to_str().unwrap());
    let (out, checkpoint) = (flow.path("out"), flow.path("digits.ckpt"));
    let (out, checkpoint) = (out.to_str().unwrap(), checkpoint.to_str().unwrap());
    let result = flow.path("out/frozen.pb");
    let mo = env!("CARGO_BIN_EXE_mo");
    let freeze_graph = env!("CARGO_BIN_EXE_freeze_graph");
    for (program, flags, code, part) in [
        (mo, vec!["-m", graph, "--input_checkpoint", checkpoint, "--output", OUTPUT], 1, "crc32c"),
        (mo, vec!["-m", graph, "--output", OUTPUT], 1, "--input_checkpoint"),
        (mo, vec!["-m", frozen, "--input_shape", "[1,12,12,1]"], 1, "f32"),
        (mo, vec!["-m", frozen, "--mean_values", "[1,2,3]"], 1, "numbers"),
        (mo, vec!["-m", frozen, "--input_shape", "[1,8"], 2, "--input_shape"),
        (mo, vec!["-m", frozen, "--batch", "2", "--input_shape", "[1,8,8,1]"], 2, "cannot be used with"),
        (mo, vec!["-m", frozen, "--scale", "2", "--scale_values", "[1]"], 2, "cannot be used with"),
        (mo, vec!["-m", frozen, "--no_such_flag"], 2, "--no_such_flag"),
        (mo, vec![], 2, "--input_model"),
        (
            freeze_graph,
            vec![
                "--input_graph",
                graph,
                "--input_checkpoint",
                checkpoint,
                "--output_node_names",
                OUTPUT,
                "--output_graph",
                result.to_str().unwrap(),
            ],
            1,
            "crc32c",
        ),
    ] {
        let mut command = Command::new(program);
        command.args(&flags);
        if program == mo && !flags.is_empty() {
            command.args(["--output_dir", out]);
        }
        let done = command.output().unwrap();
        let stderr = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(code), "{flags:?}: {stderr}");
        assert!(stderr.lines().all(|line| line.starts_with("[ ERROR ]")), "{stderr}");
        assert!(stderr.contains(part), "{part}: {stderr}");
        assert!(!flow.path("out").exists(), "{flags:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever happens to the files: an IR, or an error and nothing left behind.
    #[test]
    fn mutated_files_convert_or_are_refused(
        file in 0usize..6,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let flow = Flow::new();
        let (spoilt, graph, checkpoint) = [
            ("digits_frozen.pb", "digits_frozen.pb", None),
            ("digits_graph.pb", "digits_graph.pb", Some("digits.ckpt")),
            ("digits.ckpt.index", "digits_graph.pb", Some("digits.ckpt")),
            ("digits.ckpt.data-00000-of-00002", "digits_graph.pb", Some("digits.ckpt")),
            ("digits.ckpt.meta", "digits.ckpt.meta", None),
            ("digits_v1.ckpt", "digits_graph.pb", Some("digits_v1.ckpt")),
        ][file];
        flow.edit(spoilt, |bytes| {
            for (at, value) in flips {
                let at = at.index(bytes.len());
                bytes[at] ^= value;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
        });
        flow.convert(&flow.request(graph, checkpoint));
    }
}
