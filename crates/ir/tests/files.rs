//! IR files: what is written reads back, what OpenVINO wrote is understood, what is broken is refused.

use ir::{
    Bytes, ElementType, Model, Op, PartialShape, ReadErrorKind, RtAttribute, Tensor, WriteError, op, read_ir,
    read_ir_from, to_ir, write_ir,
};
use std::collections::BTreeMap;

/// A model with everything that a file holds.
fn rich() -> Model {
    let mut m = Model::new("a <b> & \"c\"");
    m.rt_info.insert("conversion_parameters/input_model".into(), "x.pb".into());
    m.rt_info.insert("conversion_parameters".into(), "both".into());
    m.rt_info.insert("OpenVINO Runtime".into(), "tab\tand <tag>".into());
    m.rt_info.insert("a\\/b/c".into(), "1".into());
    let shape: PartialShape = "?,2..4,3,8..".parse().unwrap();
    let mut parameter = op::Parameter::new(ElementType::F32, shape);
    parameter.layout = "N?HC".parse().unwrap();
    let x = m.add("x", parameter, &[]).unwrap();
    *m.names_mut(x.into()) = vec!["x:0".into(), "with,comma".into()];
    let half = Tensor::from_f64s(ElementType::F16, &[3, 1], &[0.5, 1.0, -2.0]).unwrap();
    let c = m.add_constant("w_compressed", half.clone());
    let again = m.add_constant("again", half);
    let empty = m.add_constant("empty", Tensor::from_slice::<f32>(&[0, 3], &[]).unwrap());
    let w = m.add("w", op::Convert::to(ElementType::F32), &[c.into()]).unwrap();
    let plain = RtAttribute { version: "0".into(), parts: BTreeMap::new() };
    m.node_mut(w).rt_info.insert("decompression".into(), plain);
    m.node_mut(w).residue.push(("unknown".into(), "é\n".into()));
    let same = m.add("same", op::Binary::new(op::BinaryKind::Add), &[x.into(), w.into()]).unwrap();
    let fused = BTreeMap::from([("value".to_owned(), "a,b".to_owned())]);
    m.node_mut(same).rt_info.insert("fused_names".into(), RtAttribute { version: "0".into(), parts: fused });
    let custom = op::Custom {
        type_name: "My<Op>".into(),
        version: "extension".into(),
        attributes: vec![("k".into(), "\"v\"".into()), ("é-1".into(), "1".into())],
        outputs: vec![
            op::PortType::new(ElementType::F32, "1,?".parse().unwrap()),
            op::PortType::new(ElementType::I64, "...".parse().unwrap()),
        ],
        extension: None,
    };
    let custom = m.add("same", custom, &[same.into(), again.into(), empty.into()]).unwrap();
    *m.names_mut(custom.output(1)) = vec!["second".into()];
    let old = BTreeMap::from([("order".to_owned(), "0,1".to_owned())]);
    m.rt_info_mut(custom.output(1)).insert("old".into(), RtAttribute { version: "3".into(), parts: old });
    let late = m.add_parameter("late", ElementType::I64, PartialShape::fixed(&[]));
    let out = m.add("out2", op::OpResult { layout: "NC".parse().unwrap() }, &[custom.into()]).unwrap();
    *m.names_mut(out.into()) = vec!["prob".into()];
    let first = m.add_result("out1", custom.output(1)).unwrap();
    m.add_result("out3", late.into()).unwrap();
    let mut results = m.results().to_vec();
    results.sort_by_key(|r| *r != first);
    m.set_result_order(results);
    m.set_parameter_order(vec![late, x]);
    m
}

/// Every node by its name, with what a file must keep.
fn described(m: &Model) -> Vec<String> {
    let mut lines: Vec<String> = m
        .nodes()
        .map(|(id, node)| {
            let inputs: Vec<_> = node
                .inputs()
                .iter()
                .map(|p| format!("{}:{}", m.node(p.node).op.type_name(), p.index))
                .collect();
            let place = m.parameters().iter().chain(m.results()).position(|p| *p == id);
            format!(
                "{:?} {} {place:?} {inputs:?} {:?} {:?} {:?}",
                node.op,
                node.opset,
                node.rt_info,
                node.residue,
                node.outputs()
            )
        })
        .collect();
    lines.sort();
    lines.extend(m.rt_info.iter().map(|pair| format!("{pair:?}")));
    lines.push(m.name.clone());
    lines
}

#[test]
fn what_is_written_reads_back() {
    let model = rich();
    let (text, weights) = to_ir(&model).unwrap();
    let read = read_ir_from(&text, weights.to_bytes()).unwrap();
    similar(&described(&read), &described(&model));
    // Equal constants share their bytes; a second writing says the same.
    assert_eq!(weights.len(), 6);
    assert_eq!(to_ir(&read).unwrap().0, text);
    let names: Vec<_> =
        read.nodes().map(|(_, n)| n.name.as_str()).filter(|n| n.starts_with("same")).collect();
    assert_eq!(names, ["same", "same"]);
    assert!(text.contains("name=\"same#2\""), "files name every layer apart");
}

fn similar(found: &[String], expected: &[String]) {
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}

#[test]
fn both_files_appear_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let xml = folder.path().join("model.v1.xml");
    let written = write_ir(&rich(), &xml).unwrap();
    assert_eq!(written.bin, folder.path().join("model.v1.bin"));
    let read = read_ir(&xml).unwrap();
    similar(&described(&read), &described(&rich()));
    // Over itself: the mapped weights stay as they were.
    write_ir(&read, &xml).unwrap();
    similar(&described(&read_ir(&xml).unwrap()), &described(&read));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    // Others may read them as they may read any new file.
    let plain = std::fs::File::create(folder.path().join("plain")).unwrap().metadata().unwrap();
    assert_eq!(std::fs::metadata(&xml).unwrap().permissions(), plain.permissions());

    let mut broken = rich();
    let id = broken.results()[0];
    broken.node_mut(id).name = "bell\u{7}".into();
    let other = tempfile::tempdir().unwrap();
    let error = write_ir(&broken, other.path().join("m.xml")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "name of `bell\u{7}` holds the character '\\u{7}', which XML can't hold; rename it"
    );
    std::fs::create_dir(other.path().join("taken.bin")).unwrap();
    write_ir(&rich(), other.path().join("taken.xml")).unwrap_err();
    assert_eq!(std::fs::read_dir(other.path()).unwrap().count(), 1);
}

/// A small IR; each test breaks one thing of it. The weights are 12 bytes.
const SMALL: &str = r#"<?xml version="1.0"?>
<net name="small" version="11">
<layers>
<layer id="7" name="sum" type="Add" version="opset1">
<data auto_broadcast="numpy" new="kept"/>
<input><port id="3" precision="FP32"/><port id="9"/></input>
<output><port id="3" precision="FP32" names="s"><dim>99</dim></port></output>
</layer>
<layer id="2" name="out" type="Result" version="opset8"><input><port id="0"/></input></layer>
<layer id="0" name="w" type="Const" version="opset1">
<data element_type="f32" shape="1, 2" offset="3" size="8"/>
<output><port id="1" precision="FP32"><dim>1</dim><dim>2</dim></port></output>
</layer>
<layer id="1" name="x" type="Parameter" version="opset1">
<data element_type="f32" shape="?,2"/>
<output><port id="0" precision="FP32"/></output>
</layer>
</layers>
<edges>
<edge from-layer="7" from-port="3" to-layer="2" to-port="0"/>
<edge from-layer="0" from-port="1" to-layer="7" to-port="9"/>
<edge from-layer="1" from-port="0" to-layer="7" to-port="3"/>
</edges>
<rt_info><a value="1"/></rt_info>
</net>
"#;

fn weights() -> Bytes {
    (1..=12).collect::<Vec<u8>>().into()
}

#[test]
fn layers_ports_and_edges_stand_in_any_order() {
    let m = read_ir_from(SMALL, weights()).unwrap();
    assert_eq!(
        m.to_string(),
        "w = Const() -> f32[1,2]\nx = Parameter() -> f32[?,2]\nsum = Add(x, w) -> f32[?,2]\nout = Result(sum) -> f32[?,2]\n"
    );
    let sum = m.find_port("s").unwrap();
    assert_eq!(m.node(sum.node).residue, [("new".to_owned(), "kept".to_owned())]);
    assert_eq!(m.constant(m.node(sum.node).inputs()[1]).unwrap().bytes()[..], weights()[3..11]);
    assert!(to_ir(&m).unwrap().0.contains(r#"<data auto_broadcast="numpy" new="kept" />"#));
}

#[test]
fn output_names_on_a_layer_without_outputs_mean_nothing() {
    let text = r#"<net name="n" version="11"><layers>
        <layer id="0" name="x" type="Unheard" version="extension" output_names="a"/>
    </layers></net>"#;
    let model = read_ir_from(text, Bytes::new()).unwrap();
    assert_eq!(model.len(), 1);
}

#[test]
fn version_10_names_inputs_and_outputs_after_their_layers() {
    let text = SMALL.replace(r#"version="11""#, r#"version="10""#);
    let m = read_ir_from(&text, weights()).unwrap();
    assert_eq!(m.output(m.parameters()[0].into()).names, ["x"]);
    assert_eq!(m.output(m.node(m.results()[0]).inputs()[0]).names, ["s", "sum"]);
    // Type and shape left to the port, as in 2020.
    let text = text.replace(
        r#"<data element_type="f32" shape="1, 2" offset="3" size="8"/>"#,
        r#"<data offset="3" size="8"/>"#,
    );
    let old = read_ir_from(&text, weights()).unwrap();
    assert_eq!(old.to_string(), m.to_string());
}

#[test]
fn what_is_broken_is_named() {
    type Kind = ReadErrorKind;
    let deep = format!("<rt_info>{}{}</rt_info>", "<a>".repeat(100), "</a>".repeat(100));
    let dims = "<dim>1</dim>".repeat(65);
    /// What is replaced, by what, what the error says, its kind.
    type Case<'a> = (&'a str, &'a str, &'a str, fn(&Kind) -> bool);
    let cases: &[Case] = &[
        ("</net>", "", "line 25, column 1: not an acceptable XML document", |k| matches!(k, Kind::Xml(_))),
        (
            "<net",
            "<!DOCTYPE net [<!ENTITY a \"b\">]><net",
            "not an acceptable XML document: XML with DTD",
            |k| matches!(k, Kind::Xml(_)),
        ),
        (SMALL, "<html/>", "line 1, column 1: the root element is <html>, expected <net>", |k| {
            matches!(k, Kind::Root { .. })
        }),
        (
            "version=\"11\"",
            "version=\"7\"",
            "IR version `7` is not supported; Terroir reads versions 10 and 11",
            |k| matches!(k, Kind::Version { .. }),
        ),
        ("version=\"11\"", "", "<net> has no attribute `version`", |k| {
            matches!(k, Kind::MissingAttribute { .. })
        }),
        (
            "opset8",
            "opset99",
            "layer 2 \"out\" (Result): version `opset99` of a structural layer, expected opset1 to opset17",
            |k| matches!(k, Kind::Opset { .. }),
        ),
        ("layers>", "strata>", "<net> has no <layers>", |k| matches!(k, Kind::MissingElement { .. })),
        ("</edges>", "</edges><edges/>", "<net> has more than one <edges>", |k| {
            matches!(k, Kind::RepeatedElement { .. })
        }),
        ("\"Add\"", "\"New\"", "", |_| false),
        (
            "<data auto_broadcast=\"numpy\" new=\"kept\"/>",
            "<data auto_broadcast=\"other\"/>",
            "line 5, column 1: layer 7 \"sum\" (Add): attribute `auto_broadcast` is `other`, expected one of",
            |k| matches!(k, Kind::Attribute(_)),
        ),
        (
            "new=\"kept\"",
            "xmlns:p=\"u\" p:k=\"1\" k=\"2\"",
            "layer 7 \"sum\" (Add): attribute `k` has a namespace",
            |k| matches!(k, Kind::Namespace { .. }),
        ),
        ("id=\"2\"", "id=\"7\"", "layer 7 \"out\" (Result): id 7 belongs to another layer already", |k| {
            matches!(k, Kind::DuplicateLayer { id: 7 })
        }),
        ("id=\"9\"", "id=\"3\"", "layer 7 \"sum\" (Add): input port 3 stands twice", |k| {
            matches!(k, Kind::DuplicatePort { port: 3, .. })
        }),
        ("from-layer=\"0\"", "from-layer=\"5\"", "the edge refers to layer 5, which does not exist", |k| {
            matches!(k, Kind::UnknownLayer { id: 5 })
        }),
        (
            "to-port=\"9\"",
            "to-port=\"8\"",
            "the edge refers to input port 8 of layer 7, which does not exist",
            |k| matches!(k, Kind::UnknownPort { port: 8, .. }),
        ),
        ("to-port=\"9\"", "to-port=\"3\"", "a second edge leads to input port 3 of layer 7", |k| {
            matches!(k, Kind::SecondEdge { .. })
        }),
        (
            "to-port=\"9\"",
            "to-port=\"x\"",
            "attribute `to-port` of <edge> is `x`, expected an integer of at least 0",
            |k| matches!(k, Kind::BadValue { .. }),
        ),
        (
            "<edge from-layer=\"0\" from-port=\"1\" to-layer=\"7\" to-port=\"9\"/>",
            "",
            "layer 7 \"sum\" (Add): no edge leads to input port 9",
            |k| matches!(k, Kind::NoEdge { port: 9 }),
        ),
        (
            "from-layer=\"0\" from-port=\"1\"",
            "from-layer=\"7\" from-port=\"3\"",
            "the layers form a cycle: 7 \"sum\" (Add)",
            |k| matches!(k, Kind::Cycle { .. }),
        ),
        ("\"Add\"", "\"TensorIterator\"", "layer 7 \"sum\" (TensorIterator): <layer> has no <body>", |k| {
            matches!(k, Kind::MissingElement { name: "body", .. })
        }),
        (
            "size=\"8\"",
            "size=\"10\"",
            "layer 0 \"w\" (Const): the constant takes 10 bytes from byte 3 on, but the weights end at 12",
            |k| matches!(k, Kind::WeightsRange { .. }),
        ),
        ("offset=\"3\"", "offset=\"18446744073709551615\"", "but the weights end at 12", |k| {
            matches!(k, Kind::WeightsRange { .. })
        }),
        ("size=\"8\"", "size=\"4\"", "a tensor f32[1, 2] takes 8 bytes, found 4", |k| {
            matches!(k, Kind::Tensor(_))
        }),
        ("\"1, 2\"", "\"4294967296, 4294967296\"", "too large to address", |k| matches!(k, Kind::Tensor(_))),
        (
            "\"1, 2\"",
            "\"1, -2\"",
            "attribute `shape` is `1, -2`, expected a list: an integer of at least 0",
            |k| matches!(k, Kind::Attribute(_)),
        ),
        (
            "<data element_type=\"f32\" shape=\"1",
            "<data element_type=\"f31\" shape=\"1",
            "attribute `element_type` is `f31`",
            |k| matches!(k, Kind::Attribute(_)),
        ),
        (
            "<data element_type=\"f32\" shape=\"1",
            "<data element_type=\"dynamic\" shape=\"1",
            "attribute `element_type` is `dynamic`",
            |k| matches!(k, Kind::BadValue { .. }),
        ),
        (
            "\"?,2\"",
            "\"?,3\"",
            "layer 7 \"sum\" (Add): shapes [?,3] and [1,2] do not broadcast; its inputs are f32[?,3], f32[1,2]",
            |k| matches!(k, Kind::Op { .. }),
        ),
        (
            "<output><port id=\"1\"",
            "<output><port id=\"77\"/><port id=\"1\"",
            "layer 7 \"sum\" (Add): input 1 of `sum` refers to output 1 of a node that has fewer outputs",
            |k| matches!(k, Kind::Model(_)),
        ),
        ("<rt_info><a value=\"1\"/></rt_info>", &deep, "elements of <rt_info> lie more than 64 deep", |k| {
            matches!(k, Kind::Depth { .. })
        }),
        (
            "type=\"Add\" version=\"opset1\">",
            "type=\"New\" version=\"x\"><blobs/>",
            "layer 7 \"sum\" (New): <blobs> in a layer that Terroir doesn't know",
            |k| matches!(k, Kind::UnknownElement { .. }),
        ),
        (
            "shape=\"?,2\"/>\n<output><port id=\"0\" precision=\"FP32\"/>",
            "/><output><port id=\"0\"><dim>-3</dim></port>",
            "<dim> is `-3`, expected a size, or -1 for any",
            |k| matches!(k, Kind::BadValue { .. }),
        ),
        (
            "shape=\"?,2\"/>\n<output><port id=\"0\" precision=\"FP32\"/>",
            &format!("/><output><port id=\"0\">{dims}</port>"),
            "at most 64 dimensions",
            |k| matches!(k, Kind::BadValue { .. }),
        ),
        (
            "id=\"0\" precision=\"FP32\"/>",
            "id=\"0\"><rt_info><attribute name=\"layout\" layout=\"NN\"/></rt_info></port>",
            "attribute `layout` of <attribute> is `NN`, expected a layout",
            |k| matches!(k, Kind::BadValue { .. }),
        ),
    ];
    for (from, to, message, kind) in cases {
        assert!(SMALL.contains(from), "{from}");
        let text = SMALL.replacen(from, to, if *from == "layers>" { 2 } else { 1 });
        match read_ir_from(&text, weights()) {
            Ok(_) => assert_eq!(*message, "", "{to} was read"),
            Err(error) => {
                assert!(
                    !message.is_empty() && error.to_string().contains(message),
                    "{to}: {error}\nexpected {message}"
                );
                assert!(kind(&error.kind), "{to}: {:?}", error.kind);
            }
        }
    }
}

#[test]
fn files_that_are_missing_or_no_text_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let error = read_ir(path("none.xml")).unwrap_err();
    assert!(
        matches!(*error.kind, ReadErrorKind::Io { .. }) && error.to_string().contains("none.xml"),
        "{error}"
    );
    std::fs::write(path("bytes.xml"), b"<net\xff/>").unwrap();
    let error = read_ir(path("bytes.xml")).unwrap_err();
    assert!(matches!(*error.kind, ReadErrorKind::Encoding { at: 4 }), "{error}");
    std::fs::write(path("folder.xml"), SMALL).unwrap();
    std::fs::create_dir(path("folder.bin")).unwrap();
    let error = read_ir(path("folder.xml")).unwrap_err();
    assert!(
        matches!(*error.kind, ReadErrorKind::Io { .. }) && error.to_string().contains("folder.bin"),
        "{error}"
    );
    // A constant needs the .bin; without constants it may be missing.
    std::fs::write(path("m.xml"), SMALL).unwrap();
    let error = read_ir(path("m.xml")).unwrap_err();
    assert!(matches!(*error.kind, ReadErrorKind::NoWeights { size: 8, .. }), "{error}");
    let place =
        format!("{}:11:1: layer 0 \"w\" (Const): the constant needs 8 bytes of ", path("m.xml").display());
    assert!(error.to_string().starts_with(&place), "{error}");
    let text = SMALL
        .replace("Const", "Other")
        .replace("<data element_type=\"f32\" shape=\"1, 2\" offset=\"3\" size=\"8\"/>", "");
    std::fs::write(path("m.xml"), text).unwrap();
    read_ir(path("m.xml")).unwrap();
}

#[test]
fn what_no_file_can_hold_is_refused() {
    let one = |op: op::Custom| {
        let mut m = Model::new("m");
        let id = m.add("n", op, &[]).unwrap();
        (m, id)
    };
    let attributes =
        |name: &str| op::Custom { attributes: vec![(name.into(), "1".into())], ..Default::default() };
    for name in ["a b", "", "1a", "x:y", "xmlns", "a\"", "×"] {
        let error = to_ir(&one(attributes(name)).0).unwrap_err();
        assert!(matches!(error, WriteError::AttributeName { .. }), "{error}");
    }
    let mut twice = attributes("k");
    twice.attributes.push(("k".into(), "2".into()));
    assert_eq!(to_ir(&one(twice).0).unwrap_err().to_string(), "attribute `k` of `n` stands twice; rename it");
    let (mut m, id) = one(op::Custom::default());
    m.node_mut(id).op = op::BatchNormInference { epsilon: 0.1, data_input: 1 }.into();
    let error = to_ir(&m).unwrap_err();
    assert_eq!(
        error.to_string(),
        "BatchNormInference `n` can't be told by its attributes: epsilon=0.1; no op set has it in this form"
    );
    // The op set follows from the op where the node names one that has it otherwise.
    m.node_mut(id).op = op::BatchNormInference { epsilon: 0.1, data_input: 2 }.into();
    assert!(to_ir(&m).unwrap().0.contains("type=\"BatchNormInference\" version=\"opset1\""));

    let mut m = Model::new("m");
    let x = m.add_parameter("x", ElementType::F32, PartialShape::fixed(&[1]));
    let relu = m.add("relu", op::Unary::Relu, &[x.into()]).unwrap();
    m.set_input(relu, 0, relu.into());
    assert!(matches!(to_ir(&m).unwrap_err(), WriteError::Model(_)));
    for path in ["/", "m.bin", ".."] {
        let error = write_ir(&Model::default(), path).unwrap_err();
        assert!(matches!(error, WriteError::Path { .. }), "{path}: {error}");
    }
    let error = write_ir(&Model::default(), "/nowhere/m.xml").unwrap_err();
    assert!(matches!(error, WriteError::Io { .. }), "{error}");
}

#[test]
fn depth_and_numbers_of_layers_are_no_danger() {
    let deep =
        format!("<net version=\"11\"><layers/>{}{}</net>", "<a>".repeat(300_000), "</a>".repeat(300_000));
    read_ir_from(&deep, Bytes::new()).unwrap();
    // A chain, written last layer first.
    let n = 20_000;
    let layers: String = (1..n)
        .rev()
        .map(|i| format!("<layer id=\"{i}\" name=\"same\" type=\"Exp\" version=\"opset1\"><input><port id=\"0\"/></input><output><port id=\"1\"/></output></layer>"))
        .collect();
    let edges: String = (1..n)
        .map(|i| format!("<edge from-layer=\"{}\" from-port=\"1\" to-layer=\"{i}\" to-port=\"0\"/>", i - 1))
        .collect();
    let first = "<layer id=\"0\" name=\"x\" type=\"Parameter\" version=\"opset1\"><data shape=\"2\" element_type=\"f32\"/><output><port id=\"1\"/></output></layer>";
    let text = format!("<net version=\"11\"><layers>{layers}{first}</layers><edges>{edges}</edges></net>");
    let m = read_ir_from(&text, Bytes::new()).unwrap();
    assert_eq!(m.len(), n);
    assert!(to_ir(&m).unwrap().0.contains(&format!("name=\"same#{}\"", n - 1)));
    let cycle = text.replace(first, "").replace("from-layer=\"0\"", &format!("from-layer=\"{}\"", n - 1));
    assert!(matches!(
        read_ir_from(&cycle, Bytes::new()).unwrap_err().kind.as_ref(),
        ReadErrorKind::Cycle { .. }
    ));
}

mod mutated {
    use super::*;
    use proptest::prelude::*;

    fn fixture(name: &str) -> (Vec<u8>, Vec<u8>) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../fixtures/digits/openvino")
            .join(name);
        (
            std::fs::read(path.with_extension("xml")).unwrap(),
            std::fs::read(path.with_extension("bin")).unwrap(),
        )
    }

    /// Flips, cuts, doubles and swaps bytes.
    fn mutate(bytes: &mut Vec<u8>, changes: &[(u8, usize, u8)]) {
        for (what, at, value) in changes {
            if bytes.is_empty() {
                return;
            }
            let at = at % bytes.len();
            match what % 6 {
                0 => bytes[at] ^= 1 << (value % 8),
                1 => bytes[at] = *value,
                2 => bytes[at] = b"0123456789-,<>\"/= "[usize::from(*value) % 18],
                3 => bytes.truncate(at.max(bytes.len() / 2)),
                4 => {
                    // A number becomes absurd.
                    const NUMBERS: [&str; 6] =
                        ["0", "-1", "4294967295", "9223372036854775807", "18446744073709551615", "1e400"];
                    let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit).map(|i| at + i) else {
                        continue;
                    };
                    let end = bytes[start..]
                        .iter()
                        .position(|b| !b.is_ascii_digit())
                        .map_or(bytes.len(), |i| start + i);
                    bytes.splice(start..end, NUMBERS[usize::from(*value) % 6].bytes());
                }
                _ => {
                    let end = (at + usize::from(*value)).min(bytes.len());
                    let piece = bytes[at..end].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]
        #[test]
        fn fixtures_never_panic(
            which in 0..4usize,
            text_changes in prop::collection::vec((0..6u8, any::<usize>(), any::<u8>()), 0..4),
            bin_changes in prop::collection::vec((0..6u8, any::<usize>(), any::<u8>()), 0..3),
        ) {
            let (mut text, mut bin) = match which {
                0 => (SMALL.as_bytes().to_vec(), weights().to_vec()),
                1 => fixture("digits_fp32"),
                2 => fixture("digits_fp16"),
                _ => fixture("digits_v10"),
            };
            mutate(&mut text, &text_changes);
            mutate(&mut bin, &bin_changes);
            if let Ok(text) = String::from_utf8(text)
                && let Ok(model) = read_ir_from(&text, Bytes::from(bin))
            {
                // What can be read can be written, and says the same.
                let (text, weights) = to_ir(&model).unwrap();
                let again = read_ir_from(&text, weights.to_bytes()).unwrap();
                prop_assert_eq!(again.len(), model.len());
            }
        }
    }
}

#[test]
fn what_openvino_wrote_survives() {
    for (name, nodes) in [("digits_fp32", 30), ("digits_fp16", 38), ("digits_v10", 30)] {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/digits/openvino");
        let m = read_ir(folder.join(name).with_extension("xml")).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(m.len(), nodes, "{name}");
        assert!(m.nodes().all(|(_, n)| n.residue.is_empty() && !matches!(n.op, Op::Custom(_))), "{name}");
        assert_eq!(m.ty(m.parameters()[0].into()).to_string(), "f32[?,8,8,1]");
        assert_eq!(m.ty(m.results()[0].into()).to_string(), "f32[?,10]");
        assert!(m.find_port("predictions/Softmax:0").is_some());
        let halves = m.nodes().filter(|(_, n)| n.rt_info.contains_key("decompression")).count();
        assert_eq!(halves > 0, name == "digits_fp16");
        let (text, weights) = to_ir(&m).unwrap();
        let again = read_ir_from(&text, weights.to_bytes()).unwrap();
        similar(&described(&again), &described(&m));
        let image = Tensor::from_slice(&[1, 8, 8, 1], &[0.5f32; 64]).unwrap();
        let run = |m: &Model| ir::evaluate(m, std::slice::from_ref(&image)).unwrap();
        assert_eq!(run(&m)[0].bytes(), run(&again)[0].bytes());
    }
}
