//! IR files: what is written reads back, what OpenVINO wrote is understood, what is broken is refused.

use ir::{ElementType, Model, PartialShape, RtAttribute, Tensor, op, read_ir, read_ir_from, to_ir, write_ir};
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
        attributes: vec![("k".into(), "\"v\"".into()), ("a".into(), "1".into())],
        outputs: vec![
            op::PortType::new(ElementType::F32, "1,?".parse().unwrap()),
            op::PortType::new(ElementType::I64, "".parse().unwrap()),
        ],
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
    assert_eq!(names, ["same", "same#2"]);
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
