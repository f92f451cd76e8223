//! The user's flows on the fixtures: every form of the network becomes an IR that computes what TensorFlow computes.

mod digits;

use digits::{OUTPUT, array, classes, convert, error, fixture, request, run};
use frontend_tf::{Encoding, FrozenValue, InputSpec, read_graph};
use ir::{Model, Op, PartialShape, Tensor};
use mo::{
    Error, FreezeRequest, Request, freeze,
    grammar::{self, ChannelValues},
};
use std::collections::HashSet;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn shape(text: &str) -> PartialShape {
    text.parse().unwrap()
}

fn count(model: &Model, ty: &str) -> usize {
    model.nodes().filter(|(_, node)| node.op.type_name() == ty).count()
}

#[test]
fn every_form_computes_what_tensorflow_computes() {
    let (input, want) = (array("digits/expected.npz", "input"), array("digits/expected.npz", OUTPUT));
    const GRAPH: &str = "digits/digits_graph.pb";
    const CHECKPOINT: &str = "digits/digits.ckpt";
    for (graph, checkpoint) in [
        ("digits/digits_frozen.pb", None),
        (GRAPH, Some(CHECKPOINT)),
        (GRAPH, Some("digits/digits.ckpt.index")),
        (GRAPH, Some("digits/digits.ckpt.meta")),
        (GRAPH, Some("digits/digits.ckpt.data-00001-of-00002")),
        (GRAPH, Some("digits/checkpoint")),
        (GRAPH, Some("digits")),
        (GRAPH, Some("digits/v1/digits_v1.ckpt")),
        (GRAPH, Some("digits/v1/digits_v1_sharded.ckpt-00000-of-00002")),
        (GRAPH, Some("digits/v1/digits_v1_sharded.ckpt")),
        (GRAPH, Some("digits/v1/checkpoint")),
        (GRAPH, Some("digits/tf2/digits_tf2-1")),
        (GRAPH, Some("digits/tf2/digits_weights")),
        ("digits/digits_graph.pbtxt", Some(CHECKPOINT)),
        ("digits/digits.ckpt.meta", None),
        ("digits/digits.ckpt.meta", Some("digits/v1/digits_v1.ckpt")),
        ("digits/digits_resource_graph.pb", Some(CHECKPOINT)),
        ("digits/digits_phase_graph.pb", Some(CHECKPOINT)),
        ("digits/digits_phase_resource_graph.pb", Some(CHECKPOINT)),
        ("digits/digits_keras1_graph.pb", Some(CHECKPOINT)),
    ] {
        let folder = folder();
        let model = convert(&request(graph, checkpoint, folder.path()))
            .unwrap_or_else(|e| panic!("{graph}, {checkpoint:?}: {e}"));
        let found = run(&model, &input);
        let error = error(&found, &want);
        assert!(error <= 1e-4, "{graph}, {checkpoint:?}: {error}");
        assert_eq!(classes(&found), classes(&want));
    }
}

#[test]
fn partitioned_variables_are_put_together() {
    let (file, graph) = ("partitioned/expected.npz", "partitioned/partitioned_graph.pb");
    for checkpoint in ["partitioned/partitioned.ckpt", "partitioned/partitioned_v1.ckpt"] {
        let folder = folder();
        let model = convert(&request(graph, Some(checkpoint), folder.path())).unwrap();
        assert!(error(&run(&model, &array(file, "input")), &array(file, OUTPUT)) <= 1e-4);
    }
}

#[test]
fn fp16_halves_the_weights_and_keeps_the_answers() {
    let folder = folder();
    let (input, want) = (array("digits/expected.npz", "input"), array("digits/expected.npz", OUTPUT));
    let mut request = request("digits/digits_frozen.pb", None, folder.path());
    convert(&request).unwrap();
    let bytes = || std::fs::metadata(folder.path().join("net.bin")).unwrap().len();
    let full = bytes();
    request.compress_to_fp16 = true;
    let model = convert(&request).unwrap();
    assert!(bytes() * 10 < full * 6, "{} of {full} bytes", bytes());
    let found = run(&model, &input);
    assert!(error(&found, &want) <= 1e-2);
    assert_eq!(classes(&found), classes(&want));
}

#[test]
fn frozen_graphs_convert_as_their_sources_do() {
    let folder = folder();
    let want = array("digits/expected.npz", OUTPUT);
    for (graph, checkpoint) in [
        ("digits/digits_graph.pb", "digits/digits.ckpt"),
        ("digits/digits_graph.pbtxt", "digits/v1/digits_v1.ckpt"),
        ("digits/digits_resource_graph.pb", "digits/tf2/digits_weights"),
    ] {
        let frozen = folder.path().join("made/frozen.pb");
        let from = request(graph, Some(checkpoint), folder.path());
        let mut freezing =
            FreezeRequest { source: from.source.clone(), output: frozen.clone(), ..Default::default() };
        freezing.options.outputs = vec![OUTPUT.to_owned()];
        let report = freeze(&freezing).unwrap();
        assert!(report.variables >= 10 && report.nodes > report.variables, "{report:?}");
        let nodes = read_graph(&frozen, Encoding::Detect).unwrap().graph.node;
        assert!(nodes.iter().all(|node| !node.op.contains("Variable") && node.op != "VarHandleOp"));
        let mut request = request(graph, None, folder.path());
        request.source.graph = frozen;
        let found = run(&convert(&request).unwrap(), &array("digits/expected.npz", "input"));
        assert!(error(&found, &want) <= 1e-4);
    }
}

#[test]
fn shapes_are_the_networks_or_the_users() {
    let folder = folder();
    let base = request("digits/digits_frozen.pb", None, folder.path());
    let converted = |request: &Request| {
        let model = convert(request).unwrap();
        let shape = |id: &ir::NodeId| model.ty((*id).into()).shape.to_string();
        (shape(&model.parameters()[0]), shape(&model.results()[0]))
    };
    let expect = |request: Request, input: &str, output: &str| {
        assert_eq!(converted(&request), (input.to_owned(), output.to_owned()), "{request:?}");
    };
    expect(base.clone(), "[?,8,8,1]", "[?,10]");
    expect(Request { input_shapes: vec![shape("[1,8,8,1]")], ..base.clone() }, "[1,8,8,1]", "[1,10]");
    expect(
        Request { input_shapes: vec![shape("[1..4,8,8,1]")], ..base.clone() },
        "[1..4,8,8,1]",
        "[1..4,10]",
    );
    expect(Request { batch: Some(5), ..base.clone() }, "[5,8,8,1]", "[5,10]");
    expect(
        Request { batch: Some(5), layouts: grammar::layouts("nhwc->nchw").unwrap(), ..base.clone() },
        "[5,1,8,8]",
        "[5,10]",
    );
    let inputs = grammar::inputs("input[2,8,8,1]").unwrap();
    expect(Request { inputs, ..base.clone() }, "[2,8,8,1]", "[2,10]");
    // Learning phases are no inputs, given a value or not.
    let inputs = grammar::inputs("keras_learning_phase->False").unwrap();
    let keras1 = request("digits/digits_keras1_graph.pb", Some("digits/digits.ckpt"), folder.path());
    let input_shapes = vec![shape("[3,8,8,1]")];
    expect(Request { inputs, input_shapes: input_shapes.clone(), ..keras1.clone() }, "[3,8,8,1]", "[3,10]");
    expect(Request { input_shapes, ..keras1 }, "[3,8,8,1]", "[3,10]");

    let two = Request { input_shapes: vec![shape("[1,8,8,1]"), shape("[]")], ..base };
    let text = convert(&two).unwrap_err().to_string();
    assert_eq!(text, "--input_shape gives 2 of them, but the network has 1 input(s): 'input'");
}

#[test]
fn the_network_can_be_cut_and_fed_values() {
    let folder = folder();
    let mut cut = request("digits/digits_frozen.pb", None, folder.path());
    let whole = convert(&cut).unwrap();
    cut.outputs = vec!["0:predictions/Softmax".to_owned()];
    let logits = convert(&cut).unwrap();
    assert_eq!((count(&whole, "SoftMax"), count(&logits, "SoftMax")), (1, 0));
    // From the middle on: the last layer alone.
    let input = format!("0:{OUTPUT}");
    let request = Request {
        inputs: vec![InputSpec { shape: Some(shape("[1,10]")), ..InputSpec::at(input) }],
        ..request("digits/digits_frozen.pb", None, folder.path())
    };
    let tail = convert(&request).unwrap();
    assert_eq!(tail.len(), 3, "{tail}");
    let ones = Tensor::from_slice(&[1, 10], &[1.0f32; 10]).unwrap();
    assert!(run(&tail, &ones).to_f64s().iter().all(|p| (p - 0.1).abs() < 1e-6));
    // A value instead of an input leaves a constant network.
    let words = vec!["3".to_owned(); 64];
    let frozen = InputSpec {
        shape: Some(shape("[1,8,8,1]")),
        value: Some(FrozenValue::List(words)),
        ..InputSpec::at("input")
    };
    let constant = convert(&Request { inputs: vec![frozen], ..request.clone() }).unwrap();
    assert!(constant.parameters().is_empty());
    let found = ir::evaluate(&constant, &[]).unwrap().remove(0);
    let threes = Tensor::from_slice(&[1, 8, 8, 1], &[3.0f32; 64]).unwrap();
    assert!(error(&found, &run(&whole, &threes)) < 1e-5);
}

#[test]
fn mean_scale_and_channel_order_come_before_the_network() {
    let folder = folder();
    let plain =
        request("partitioned/partitioned_graph.pb", Some("partitioned/partitioned.ckpt"), folder.path());
    let input = array("partitioned/expected.npz", "input");
    let (mean, scale) = ([0.1f32, -0.2, 0.3], [2.0f32, 0.5, 4.0]);
    let pixels = input.to_f64s();
    let seen: Vec<f32> = (0..pixels.len())
        .map(|i| (pixels[i - i % 3 + 2 - i % 3] as f32 - mean[i % 3]) / scale[i % 3])
        .collect();
    let want = run(&convert(&plain).unwrap(), &Tensor::from_slice(input.shape(), &seen).unwrap());
    let values = |values: &[f32]| vec![ChannelValues { input: None, values: values.to_vec() }];
    let request = Request {
        mean_values: values(&mean),
        scale_values: values(&scale),
        reverse_input_channels: true,
        ..plain.clone()
    };
    let model = convert(&request).unwrap();
    assert!(error(&run(&model, &input), &want) < 1e-4);
    let named = ChannelValues { input: Some("input".to_owned()), values: mean.to_vec() };
    let model = convert(&Request { mean_values: vec![named], ..request.clone() }).unwrap();
    assert!(error(&run(&model, &input), &want) < 1e-4);

    for (request, message) in [
        (Request { mean_values: values(&[1.0, 2.0]), ..plain.clone() }, "expected 1 or 3"),
        (
            Request { mean_values: [values(&mean), values(&mean)].concat(), ..plain.clone() },
            "gives 2 of them",
        ),
        (
            Request {
                scale_values: vec![ChannelValues { input: Some("nope".into()), values: vec![1.0] }],
                ..plain
            },
            "names 'nope', which is no input of the network: 'input'",
        ),
    ] {
        let text = convert(&request).unwrap_err().to_string();
        assert!(text.contains(message), "{text}");
    }
    let gray = request_gray(folder.path());
    assert!(matches!(convert(&gray), Err(Error::NothingToReverse { .. })));
}

fn request_gray(folder: &std::path::Path) -> Request {
    Request { reverse_input_channels: true, ..request("digits/digits_frozen.pb", None, folder) }
}

#[test]
fn a_layout_is_turned_without_a_transpose() {
    let folder = folder();
    let plain =
        request("partitioned/partitioned_graph.pb", Some("partitioned/partitioned.ckpt"), folder.path());
    let input = array("partitioned/expected.npz", "input");
    let &[n, h, w, c] = input.shape() else { panic!() };
    let pixels = input.to_f64s();
    let mut turned = Vec::new();
    for (image, channel) in (0..n).flat_map(|image| (0..c).map(move |channel| (image, channel))) {
        turned.extend((0..h * w).map(|at| pixels[(image * h * w + at) * c + channel] as f32));
    }
    let turned = Tensor::from_slice(&[n, c, h, w], &turned).unwrap();
    let want = array("partitioned/expected.npz", OUTPUT);
    let own = convert(&plain).unwrap();
    assert!(count(&own, "Transpose") <= 1, "{own}");
    let layouts = grammar::layouts("input(nhwc->nchw)").unwrap();
    let model = convert(&Request { layouts, ..plain.clone() }).unwrap();
    assert_eq!(count(&model, "Transpose"), 0, "{model}");
    assert!(error(&run(&model, &turned), &want) <= 1e-4);
    let Op::Parameter(parameter) = &model.node(model.parameters()[0]).op else { panic!() };
    assert_eq!(parameter.layout.to_string(), "[N,C,H,W]");
    // Said, not changed.
    let layouts = grammar::layouts("nhwc").unwrap();
    let model = convert(&Request { layouts, ..plain.clone() }).unwrap();
    assert!(error(&run(&model, &input), &want) <= 1e-4);
    for (layout, message) in [
        ("nc", "dimensions"),
        ("other(nhwc)", "'other'"),
        ("nhwc,nc", "gives 2"),
        ("nhwc->ncdw", "[n,c,d,w]"),
    ] {
        let request = Request { layouts: grammar::layouts(layout).unwrap(), ..plain.clone() };
        let text = convert(&request).unwrap_err().to_string();
        assert!(text.to_lowercase().contains(message), "{layout}: {text}");
    }
}

#[test]
fn nodes_keep_the_graphs_names() {
    let folder = folder();
    let model = convert(&request("digits/digits_frozen.pb", None, folder.path())).unwrap();
    let graph = read_graph(fixture("digits/digits_frozen.pb"), Encoding::Detect).unwrap().graph;
    let known: HashSet<&str> = graph.node.iter().map(|node| node.name.as_str()).collect();
    for (_, node) in model.nodes() {
        let computes =
            !matches!(node.op, Op::Constant(_) | Op::OpResult(_) | Op::Transpose(_) | Op::Reshape(_));
        assert!(!computes || known.contains(node.name.as_str()), "{} {}", node.op.type_name(), node.name);
    }
    assert!(model.find_port("input").is_some() && model.find_port("predictions/Softmax:0").is_some());
}

#[test]
fn the_ir_says_where_it_comes_from() {
    let folder = folder();
    let mut request = request("digits/digits_frozen.pb", None, folder.path());
    request.parameters = vec![("input_model".to_owned(), "digits_frozen.pb".to_owned())];
    let model = convert(&request).unwrap();
    assert_eq!(model.name, "net");
    assert_eq!(model.rt_info["conversion_parameters/input_model"], "digits_frozen.pb");
    assert!(model.rt_info["Runtime_version"].starts_with("Terroir"));
}
