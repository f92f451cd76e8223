//! `mo inspect` and `mo compare` on networks with known answers.

mod digits;
mod line;

use digits::fixture;
use ir::{Model, Op, Tensor};
use line::{Bench, named, noise, small};
use serde_json::Value;
use std::fs;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn a_network_is_described() {
    let bench = Bench::new();
    bench.write("net.xml", &small(0));
    let found = json(&bench.mo("inspect net.xml --json").out);
    assert_eq!(found["inputs"][0]["name"], "image");
    assert_eq!(found["inputs"][0]["shape"], "[1,3,8,8]");
    assert_eq!(found["outputs"][0]["name"], "prob");
    // 4*6*6 outputs of 27 taps, 5*4*4 of 36, two operations each.
    assert_eq!(found["flops"], 2 * (4 * 36 * 27 + 5 * 16 * 36));
    assert_eq!(found["parameters"], 4 * 27 + 4 + 5 * 36);
    assert_eq!(found["weight_bytes"], 4 * (4 * 27 + 4 + 5 * 36));
    // The image and what conv1 makes of it.
    assert_eq!(found["peak_activation_bytes"], 4 * (3 * 64 + 4 * 36));
    assert_eq!(found["nodes"], 5);
    let convolutions = &found["ops"][0];
    assert_eq!((&convolutions["op"], &convolutions["count"]), (&"Convolution".into(), &2.into()));
    assert_eq!(found["unsupported"], Value::Array(vec![]));

    let text = bench.mo("inspect net.xml").out;
    for part in ["image  f32[1,3,8,8]", "prob  f32[1,5,4,4]", "SoftMax", "Everything in it is supported."] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let text = bench.mo("inspect net.xml --target_device FPGA").out;
    assert!(text.contains("FPGA takes 4 of 5 nodes") && text.contains("SoftMax 'prob'"), "{text}");
    // Sources are described as they are, cut where asked.
    let digits = fixture("digits/digits_frozen.pb");
    let line =
        format!("inspect {} --input_shape [1,8,8,1] --output predictions/Softmax --json", digits.display());
    let found = json(&bench.mo(&line).out);
    assert_eq!((&found["framework"], &found["outputs"][0]["shape"]), (&"tf".into(), &"[1,10]".into()));
    let open = bench.mo(&format!("inspect {}", digits.display()));
    assert!(open.out.contains("shapes are open"), "{}{}", open.out, open.err);
}

#[test]
fn what_is_not_supported_is_shown_with_cuts() {
    let bench = Bench::new();
    let mut model = small(0);
    let relu = model.find_port("relu1").unwrap();
    let custom = ir::op::Custom {
        type_name: "Mystery".to_owned(),
        version: "extension".to_owned(),
        attributes: vec![],
        outputs: vec![model.ty(relu).clone()],
        extension: None,
    };
    let users = model.consumers(relu);
    let mystery = named(&mut model, "mystery", custom, &[relu]);
    for (node, input) in users {
        model.set_input(node, input, mystery.into());
    }
    bench.write("net.xml", &model);
    let found = json(&bench.mo("inspect net.xml --json").out);
    assert_eq!(
        (&found["unsupported"][0]["node"], &found["unsupported"][0]["op"]),
        (&"mystery".into(), &"Mystery".into())
    );
    assert_eq!(found["suggested_outputs"], json("[\"relu1\"]"));
    // The suggestion holds.
    let cut = bench.converted(&bench.path("net.xml"), "--output relu1");
    assert!(!cut.nodes().any(|(_, node)| matches!(node.op, Op::Custom(_))));
}

#[test]
fn networks_are_drawn() {
    let bench = Bench::new();
    bench.write("net.xml", &small(0));
    assert_eq!(bench.mo("inspect net.xml --dot net.dot --svg net.svg").code, 0);
    let dot = fs::read_to_string(bench.path("net.dot")).unwrap();
    assert!(dot.contains("label=\"conv1\\nConvolution\\n[4,3,3,3]\""), "{dot}");
    let svg = fs::read_to_string(bench.path("net.svg")).unwrap();
    let parsed = roxmltree::Document::parse(&svg).unwrap();
    assert_eq!(parsed.descendants().filter(|n| n.has_tag_name("g")).count(), 7);
    assert_ne!(bench.mo("inspect gone.xml --svg gone.svg").code, 0);
    assert!(!bench.path("gone.svg").exists());
}

/// The network with one weight of a node changed.
fn changed(node: &str) -> Model {
    let mut model = small(0);
    let port = model.node(model.find_port(node).unwrap().node).inputs()[1];
    let tensor = model.constant(port).unwrap();
    let mut values = tensor.to_f64s();
    values[3] += 0.5;
    let tensor = Tensor::from_f64s(tensor.element_type(), tensor.shape(), &values).unwrap();
    let other = model.add_constant("changed", tensor);
    model.replace(port, other.into());
    model.remove_dead();
    model
}

#[test]
fn the_layer_whose_weight_changed_is_named() {
    let bench = Bench::new();
    bench.write("a.xml", &small(0));
    bench.write("same.xml", &small(0));
    let same = bench.mo("compare a.xml same.xml");
    assert_eq!(same.code, 0, "{}{}", same.out, same.err);
    assert!(same.out.contains("5 tensors compared"), "{}", same.out);
    for node in ["conv1", "scale1", "conv2"] {
        bench.write("b.xml", &changed(node));
        let answer = bench.mo("compare a.xml b.xml");
        assert_eq!(answer.code, 3, "{}{}", answer.out, answer.err);
        assert!(answer.out.contains(&format!("The networks part at '{node}' (")), "{}", answer.out);
        let found = json(&bench.mo("compare a.xml b.xml --json").out);
        assert_eq!(found["first_difference"], node);
        // Before that node nothing differs.
        let rows = found["tensors"].as_array().unwrap();
        let at = rows.iter().position(|row| row["node"] == node).unwrap();
        assert!(rows[..at].iter().all(|row| row["absolute"] == 0.0));
        assert!(rows[at]["relative"].as_f64().unwrap() > 1e-3);
    }
    // Through the optimizer too, where the scale is part of the convolution: what lies behind it parts.
    bench.write("b.xml", &changed("scale1"));
    assert_eq!(bench.mo("-m a.xml -n oa --silent").code, 0);
    assert_eq!(bench.mo("-m b.xml -n ob --silent").code, 0);
    let found = json(&bench.mo("compare oa.xml ob.xml --json").out);
    assert!(["conv1", "scale1"].contains(&found["first_difference"].as_str().unwrap()), "{found}");
}

#[test]
fn an_ir_agrees_with_its_source() {
    let bench = Bench::new();
    let digits = fixture("digits/digits_frozen.pb");
    let flags = "--input_shape [1,8,8,1] --output predictions/Softmax";
    for (more, tolerance) in [("", "1e-4"), ("--layout nhwc->nchw", "1e-4"), ("--data_type FP16", "1e-2")] {
        bench.converted(&digits, &format!("{flags} {more}"));
        let image = fixture("digits/images");
        let image = fs::read_dir(image)
            .unwrap()
            .map(|e| e.unwrap().path())
            .find(|p| p.extension().is_some_and(|e| e == "png"));
        let input = format!("--input {}", image.unwrap().display());
        for input in ["", &input] {
            let line =
                format!("compare out.xml {} {flags} {input} --tolerance {tolerance}", digits.display());
            let answer = bench.mo(&line);
            assert_eq!(answer.code, 0, "{more} {input}: {}{}", answer.out, answer.err);
        }
        assert!(
            bench
                .mo(&format!("compare out.xml {} {flags} --json", digits.display()))
                .out
                .contains("predictions/Softmax")
        );
    }
}

/// In place, a blob has the name of the layer that first made it.
#[test]
fn a_network_of_caffe_agrees_with_itself_and_its_ir() {
    let bench = Bench::new();
    let weights = fixture("lenet/lenet_iter_1000.caffemodel");
    let flags = format!("--input_proto {}", fixture("lenet/lenet.prototxt").display());
    bench.converted(&weights, &flags);
    let weights = weights.display();
    for first in [weights.to_string(), "out.xml".to_owned()] {
        let answer = bench.mo(&format!("compare {first} {weights} {flags} --tolerance 1e-4"));
        assert_eq!(answer.code, 0, "{first}: {}{}", answer.out, answer.err);
        assert!(answer.out.contains("prob"), "{first}: {}", answer.out);
    }
}

#[test]
fn a_changed_ir_is_found_out_by_its_source() {
    let bench = Bench::new();
    let digits = fixture("digits/digits_frozen.pb");
    let flags = "--input_shape [1,8,8,1] --output predictions/Softmax";
    bench.converted(&digits, flags);
    let line = format!("compare changed.xml {} {flags} --json", digits.display());
    let mut model = ir::read_ir(bench.path("out.xml")).unwrap();
    bench.write("changed.xml", &model);
    let same = json(&bench.mo(&line).out);
    assert_eq!(same["first_difference"], Value::Null);
    // All nodes but transposes and reshapes have a counterpart.
    assert!(same["tensors"].as_array().unwrap().len() >= 9, "{same}");
    // The last layer's weights, and those of the second convolution, into which its normalisation went.
    for (node, expected) in [("fc1/MatMul", vec!["fc1/MatMul"]), ("conv2/Conv2D", vec!["conv2/Conv2D"])] {
        let at = model.find_port(node).unwrap().node;
        let port = model.node(at).inputs()[1];
        let tensor = model.constant(port).unwrap();
        let values: Vec<f64> = tensor.to_f64s().iter().map(|v| v * 1.5).collect();
        let tensor = Tensor::from_f64s(tensor.element_type(), tensor.shape(), &values).unwrap();
        let other = model.add_constant("changed", tensor);
        model.set_input(at, 1, other.into());
        model.remove_dead();
        bench.write("changed.xml", &model);
        let found = json(&bench.mo(&line).out);
        let mut named = vec![found["first_difference"].as_str().unwrap()];
        named.extend(found["suspects"].as_array().unwrap().iter().filter_map(Value::as_str));
        assert!(expected.iter().all(|node| named.contains(node)), "{node}: {named:?}");
    }
}

#[test]
fn what_cannot_be_compared_is_told() {
    let bench = Bench::new();
    bench.write("a.xml", &small(0));
    let mut other = Model::new("other");
    let x = other.add_parameter("x", ir::ElementType::F32, "[1,3,8,8]".parse().unwrap());
    let y = named(&mut other, "y", ir::op::Unary::Relu, &[x.into()]);
    other.add_result("y", y.into()).unwrap();
    bench.write("b.xml", &other);
    for (line, part) in [
        ("compare a.xml b.xml", "no tensor in common"),
        ("compare a.xml gone.xml", "gone.xml"),
        ("compare a.xml a.xml --input gone.png", "gone.png"),
        ("compare a.xml", "<B>"),
        ("compare a.xml a.xml --tolerance no", "--tolerance"),
    ] {
        let answer = bench.mo(line);
        assert!((1..=2).contains(&answer.code) && answer.err.contains(part), "{line}: {}", answer.err);
    }
    // Data in a file go by the inputs' names.
    let folder = bench.path("data.npz");
    samples::numpy::write_npz(&folder, &[("image".to_owned(), noise(&[1, 3, 8, 8], 1))]).unwrap();
    assert_eq!(bench.mo("compare a.xml a.xml --input data.npz").code, 0);
}
