//! Whole graphs to models: names, inputs, cuts, outputs, control flow, and what cannot be converted.

mod build;

use build::Build;
use frontend_tf::{
    CustomOps, Encoding, Error, FreezeOptions, FrozenValue, GraphDef, InputSpec, Options, convert, freeze,
    parse_graph,
    proto::{
        DataType, TensorShapeProto,
        attr_value::{ListValue, Value},
        tensor_shape_proto::Dim,
    },
    read_graph, tensor,
};
use ir::{ElementType, Model, Op, Tensor, evaluate};
use proptest::prelude::*;
use std::{collections::HashMap, path::PathBuf};

fn options(outputs: &[&str]) -> Options {
    Options { outputs: outputs.iter().map(|o| (*o).into()).collect(), ..Options::default() }
}

fn with_inputs(outputs: &[&str], inputs: Vec<InputSpec>) -> Options {
    Options { inputs, ..options(outputs) }
}

fn floats(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::from_slice(shape, values).unwrap()
}

fn run(model: &Model, inputs: &[Tensor]) -> Vec<f64> {
    evaluate(model, inputs).unwrap()[0].to_f64s()
}

fn parameters(model: &Model) -> Vec<String> {
    let text = |id: &ir::NodeId| format!("{} {}", model.node(*id).name, model.ty((*id).into()));
    model.parameters().iter().map(text).collect()
}

/// `(x * 2 + y)`, then a relu.
fn chain() -> GraphDef {
    Build::new()
        .placeholder("y", &[-1, 2])
        .placeholder("x", &[-1, 2])
        .placeholder("leftover", &[7])
        .floats("two", &[], &[2.0])
        .node("twice", "Mul", &["x", "two"])
        .node("sum", "AddV2", &["twice", "y"])
        .node("out", "Relu", &["sum"])
        .0
}

#[test]
fn names_and_inputs_are_the_graphs() {
    let model = convert(&chain(), &options(&[])).unwrap();
    assert_eq!(parameters(&model), ["y f32[?,2]", "x f32[?,2]"]);
    for name in ["twice", "sum", "out"] {
        let port = model.find_port(&format!("{name}:0")).unwrap();
        assert_eq!(model.node(port.node).name, name);
        assert_eq!(model.output(port).names, [name.to_owned(), format!("{name}:0")]);
    }
    assert_eq!(model.node(model.results()[0]).name, "out/sink_port_0");
    let y = run(&model, &[floats(&[1, 2], &[1.0, -9.0]), floats(&[1, 2], &[3.0, 4.0])]);
    assert_eq!(y, [7.0, 0.0]);
}

#[test]
fn outputs_stand_in_the_order_asked_for() {
    let model = convert(&chain(), &options(&["out:0", "twice", "0:out"])).unwrap();
    let names: Vec<_> = model.results().iter().map(|id| model.node(*id).name.as_str()).collect();
    assert_eq!(names, ["out/sink_port_0", "twice/sink_port_0", "sum/sink_port_0"]);
    let err = convert(&chain(), &options(&["nowhere"])).unwrap_err();
    assert!(matches!(err, Error::NoSuchNode { .. }), "{err}");
    let err = convert(&chain(), &options(&["out:3"])).unwrap_err();
    assert_eq!(err.to_string(), "node 'out' (Relu) has no output 3");
    let two = Build(chain()).node("other", "Exp", &["twice"]).0;
    let err = convert(&two, &options(&[])).unwrap_err();
    assert_eq!(err.to_string(), "the graph has 2 possible outputs; choose with --output: 'out', 'other'");
}

#[test]
fn inputs_are_reshaped_retyped_ordered() {
    let x = InputSpec { shape: Some("[3,2]".parse().unwrap()), ..InputSpec::at("x:0") };
    let y = InputSpec { shape: Some("[3..5,2]".parse().unwrap()), ..InputSpec::at("y") };
    let model = convert(&chain(), &with_inputs(&[], vec![x.clone(), y])).unwrap();
    assert_eq!(parameters(&model), ["x f32[3,2]", "y f32[3..5,2]"]);
    let model = convert(&chain(), &with_inputs(&[], vec![x])).unwrap();
    assert_eq!(parameters(&model), ["x f32[3,2]", "y f32[?,2]"]);
    let half = InputSpec { element_type: Some(ElementType::F16), ..InputSpec::at("x") };
    let err = convert(&chain(), &with_inputs(&[], vec![half])).unwrap_err();
    assert!(err.to_string().starts_with("node 'twice' (Mul): Multiply `twice`: input 1 is f32"), "{err}");
    let wrong = InputSpec { shape: Some("[3,7]".parse().unwrap()), ..InputSpec::at("x") };
    let err = convert(&chain(), &with_inputs(&[], vec![wrong])).unwrap_err();
    assert!(err.to_string().starts_with("node 'sum' (AddV2)"), "{err}");
    let unused = convert(&chain(), &with_inputs(&[], vec![InputSpec::at("leftover")])).unwrap_err();
    assert_eq!(unused.to_string(), "input 'leftover': the outputs do not depend on it");
}

#[test]
fn a_graph_is_cut_before_behind_and_within() {
    // A node stays and its inputs that are not constant become the model's.
    let model = convert(&chain(), &with_inputs(&[], vec![InputSpec::at("sum")])).unwrap();
    assert_eq!(parameters(&model), ["sum/placeholder_port_0 f32[?,2]", "sum/placeholder_port_1 f32[?,2]"]);
    let model = convert(&chain(), &with_inputs(&[], vec![InputSpec::at("twice")])).unwrap();
    assert_eq!(parameters(&model), ["twice/placeholder_port_0 f32[?,2]", "y f32[?,2]"]);
    // One input of it.
    let spec = InputSpec { shape: Some("[1,2]".parse().unwrap()), ..InputSpec::at("1:sum") };
    let model = convert(&chain(), &with_inputs(&[], vec![spec])).unwrap();
    assert_eq!(parameters(&model), ["sum/placeholder_port_1 f32[1,2]", "x f32[?,2]"]);
    // The tensor behind it.
    let model = convert(&chain(), &with_inputs(&[], vec![InputSpec::at("sum:0")])).unwrap();
    assert_eq!(parameters(&model), ["sum/placeholder_out_port_0 f32[?,2]"]);
    assert_eq!(run(&model, &[floats(&[1, 2], &[1.0, -9.0])]), [1.0, 0.0]);
    let both = InputSpec { shape: Some("[1,2]".parse().unwrap()), ..InputSpec::at("sum") };
    let err = convert(&chain(), &with_inputs(&[], vec![both])).unwrap_err();
    assert_eq!(err.to_string(), "input 'sum': sum (AddV2) has 2 inputs; name one of them as '0:sum'");
    let fixed = Build(chain()).node("four", "Add", &["two", "two"]).node("y4", "Mul", &["y", "four"]).0;
    let err = convert(&fixed, &with_inputs(&["y4"], vec![InputSpec::at("four")])).unwrap_err();
    assert_eq!(
        err.to_string(),
        "input 'four': all inputs of four (Add) are constant; 'four:0' is what it computes"
    );
    let err = convert(&chain(), &with_inputs(&[], vec![InputSpec::at("5:sum")])).unwrap_err();
    assert_eq!(err.to_string(), "node 'sum' (AddV2) has no input 5");
}

#[test]
fn values_replace_inputs() {
    let list = FrozenValue::List(vec!["10".into(), "20".into()]);
    let value = InputSpec { value: Some(list), shape: Some("[1,2]".parse().unwrap()), ..InputSpec::at("y") };
    let model = convert(&chain(), &with_inputs(&[], vec![value])).unwrap();
    assert_eq!(parameters(&model), ["x f32[?,2]"]);
    assert_eq!(run(&model, &[floats(&[1, 2], &[1.0, 1.0])]), [12.0, 22.0]);
    let inner = InputSpec { value: Some(FrozenValue::Scalar("5".into())), ..InputSpec::at("twice") };
    let model = convert(&chain(), &with_inputs(&[], vec![inner])).unwrap();
    assert_eq!(parameters(&model), ["y f32[?,2]"]);
    let dynamic = InputSpec {
        value: Some(FrozenValue::Scalar("5".into())),
        shape: Some("[?,2]".parse().unwrap()),
        ..InputSpec::at("x")
    };
    let err = convert(&chain(), &with_inputs(&[], vec![dynamic])).unwrap_err();
    assert_eq!(err.to_string(), "input 'x': a value needs a fixed shape, not [?,2]");
}

#[test]
fn everything_unsupported_is_one_report() {
    let graph = Build(chain())
        .node("a", "Mystery", &["sum", "two"])
        .node("b", "Relu", &["a"])
        .node("c", "Riddle", &["b"])
        .node("d", "Mystery", &["out", "c"])
        .node("e", "LeakyRelu", &["d"])
        .0;
    let err = convert(&graph, &options(&["e"])).unwrap_err();
    let Error::Unsupported(report) = &err else { panic!("{err}") };
    assert_eq!(report.ops.len(), 2);
    assert_eq!(report.ops[0].nodes[0].input_shapes, ["[?,2]", "[]"]);
    assert_eq!(report.cut_points, ["sum", "out"]);
    assert_eq!(
        err.to_string(),
        "3 node(s) cannot be converted:\n  Mystery (2)\n    a ([?,2], [])\n    d ([?,2], ?)\n  Riddle (1)\n    c (?)\n\
         the network up to here converts: --output sum,out"
    );
    // The suggestion holds.
    convert(&graph, &options(&["sum", "out"])).unwrap();
    // As custom ops everything goes through, and only those that were named.
    let one = Options { custom_ops: CustomOps::of(vec!["Riddle".to_owned()]), ..options(&["d"]) };
    assert!(matches!(convert(&graph, &one), Err(Error::Unsupported(_))));
    let custom = Options {
        custom_ops: CustomOps::of(vec!["Mystery".to_owned(), "Riddle".to_owned()]),
        ..options(&["d"])
    };
    let model = convert(&Build(graph).int("depth", 3).text("mode", "fast").0, &custom).unwrap();
    let port = model.find_port("a").unwrap();
    let Op::Custom(op) = &model.node(port.node).op else { panic!() };
    assert_eq!((op.type_name.as_str(), model.node(port.node).inputs().len()), ("Mystery", 2));
}

#[test]
fn attributes_that_nobody_understands_are_refused() {
    let graph = Build(chain()).node("e", "LeakyRelu", &["out"]).float("alpha", 0.5).int("surprise", 1).0;
    let err = convert(&graph, &options(&["e"])).unwrap_err();
    assert!(err.to_string().contains("e ([?,2]): its attribute `surprise` is not understood"), "{err}");
    let graph = Build(chain()).node("e", "LeakyRelu", &["out"]).int("alpha", 1).0;
    let err = convert(&graph, &options(&["e"])).unwrap_err();
    assert_eq!(err.to_string(), "node 'e' (LeakyRelu): attribute `alpha` is an integer, expected a float");
}

#[test]
fn loops_and_variables_are_named() {
    // Twenty bytes that end OpenVINO's converter with a segmentation fault.
    let graph = Build::new().node("n", "NextIteration", &[]).0;
    assert!(matches!(convert(&graph, &options(&[])), Err(Error::Unsupported(_))));
    let graph = Build::new().node("n", "NextIteration", &["n"]).0;
    assert!(matches!(convert(&graph, &options(&["n"])), Err(Error::Cycle { .. })));
    assert!(matches!(convert(&graph, &options(&[])), Err(Error::Outputs { .. })));
    let graph = Build::new()
        .placeholder("x", &[2])
        .node("enter", "Enter", &["x"])
        .node("merge", "Merge", &["enter", "next"])
        .node("next", "NextIteration", &["merge"])
        .node("out", "Relu", &["merge"])
        .0;
    let err = convert(&graph, &options(&["out"])).unwrap_err();
    assert!(matches!(&err, Error::Cycle { nodes } if nodes.len() == 2), "{err}");
    let graph =
        Build::new().placeholder("x", &[2]).node("w", "VariableV2", &[]).node("y", "Mul", &["x", "w"]).0;
    let err = convert(&graph, &options(&["y"])).unwrap_err();
    assert!(matches!(err, Error::MissingVariables { total: 1, .. }), "{err}");
}

/// `if flag { mystery } else { x * 2 }` as Keras writes it, the flag fed as `op` says.
fn branches(flag: &str) -> Build {
    let build = Build::new().placeholder("x", &[2]);
    let build = match flag {
        "phase" => build.bool("default", false).node("flag", "PlaceholderWithDefault", &["default"]),
        "keras_learning_phase" => build
            .typed_placeholder("bn/keras_learning_phase", DataType::DtBool, &[])
            .node("flag", "Identity", &["bn/keras_learning_phase"]),
        _ => build.typed_placeholder("flag", DataType::DtBool, &[]),
    };
    build
        .node("cond/pred", "Identity", &["flag"])
        .node("cond/Switch", "Switch", &["cond/pred", "cond/pred"])
        .node("cond/switch_t", "Identity", &["cond/Switch:1"])
        .node("cond/switch_f", "Identity", &["cond/Switch"])
        .node("cond/x", "Switch", &["x", "cond/pred"])
        .floats("two", &[], &[2.0])
        .node("then", "Mystery", &["cond/x:1", "^cond/switch_t"])
        .node("else", "Mul", &["cond/x", "two"])
        .node("out", "Merge", &["else", "then"])
}

#[test]
fn constant_predicates_choose_the_branch() {
    for flag in ["phase", "keras_learning_phase"] {
        let model = convert(&branches(flag).0, &options(&["out", "out:1"])).unwrap();
        assert_eq!(parameters(&model), ["x f32[2]"], "{flag}");
        assert_eq!(run(&model, &[floats(&[2], &[1.0, 3.0])]), [2.0, 6.0], "{flag}");
    }
    let frozen = |value: &str| {
        let value = Some(FrozenValue::Scalar(value.into()));
        with_inputs(&["out"], vec![InputSpec { value, ..InputSpec::at("flag") }])
    };
    let model = convert(&branches("free").0, &frozen("False")).unwrap();
    assert_eq!(run(&model, &[floats(&[2], &[1.0, 3.0])]), [2.0, 6.0]);
    let err = convert(&branches("free").0, &frozen("True")).unwrap_err();
    assert!(matches!(err, Error::Unsupported(_)), "{err}");
    let err = convert(&branches("free").0, &options(&["out"])).unwrap_err().to_string();
    assert!(err.contains("out (): which of its inputs arrives depends"), "{err}");
    assert!(err.contains("('flag')"), "{err}");
}

#[test]
fn placeholders_with_a_default_are_inputs_only_where_there_is_no_other() {
    let shape = Value::Shape(TensorShapeProto { unknown_rank: true, ..Default::default() });
    let build = Build::new()
        .placeholder("x", &[2])
        .floats("default", &[2], &[5.0, 6.0])
        .node("bias", "PlaceholderWithDefault", &["default"])
        .attr("shape", shape)
        .node("alone", "Neg", &["bias"])
        .node("out", "AddV2", &["x", "alone"]);
    let model = convert(&build.0, &options(&["out"])).unwrap();
    assert_eq!(parameters(&model), ["x f32[2]"]);
    assert_eq!(run(&model, &[floats(&[2], &[1.0, 2.0])]), [-4.0, -4.0]);
    let asked = with_inputs(&["out"], vec![InputSpec::at("x"), InputSpec::at("bias")]);
    let model = convert(&build.0, &asked).unwrap();
    assert_eq!(model.parameters().len(), 2);
    assert_eq!(run(&model, &[floats(&[2], &[1.0, 2.0]), floats(&[2], &[1.0, 1.0])]), [0.0, 1.0]);
    let model = convert(&build.0, &options(&["alone"])).unwrap();
    assert_eq!(parameters(&model), ["bias f32[...]"]);
}

#[test]
fn a_placeholder_without_dimensions_may_say_them_elsewhere() {
    let dim = [2, 3].map(|size| Dim { size, ..Default::default() }).to_vec();
    let shape = vec![TensorShapeProto { dim, unknown_rank: false }];
    let graph = Build::new()
        .placeholder("x", &[])
        .attr("_output_shapes", Value::List(ListValue { shape, ..Default::default() }))
        .node("out", "Neg", &["x"])
        .0;
    assert_eq!(parameters(&convert(&graph, &options(&["out"])).unwrap()), ["x f32[2,3]"]);
}

#[test]
fn a_cut_behind_a_branch_knows_its_type() {
    let graph = branches("phase").node("next", "Neg", &["out"]).0;
    let model = convert(&graph, &with_inputs(&["next"], vec![InputSpec::at("next")])).unwrap();
    assert_eq!(parameters(&model), ["next/placeholder_port_0 f32[2]"]);
}

#[test]
fn a_branch_of_constants_dies_by_its_control_edge() {
    let graph =
        branches("phase").floats("seven", &[2], &[7.0, 7.0]).node("out2", "Merge", &["seven", "else"]).0;
    let mut graph = graph;
    graph.node.iter_mut().find(|n| n.name == "seven").unwrap().input.push("^cond/switch_t".into());
    let model = convert(&graph, &options(&["out2"])).unwrap();
    assert_eq!(run(&model, &[floats(&[2], &[1.0, 3.0])]), [2.0, 6.0]);
}

#[test]
fn dropout_that_is_always_on_is_the_identity() {
    let graph = Build::new()
        .placeholder("x", &[2])
        .floats("rate", &[], &[0.5])
        .i32s("shape", &[2])
        .node("random", "RandomUniform", &["shape"])
        .node("keep", "GreaterEqual", &["random", "rate"])
        .node("mask", "Cast", &["keep"])
        .node("scaled", "Mul", &["x", "rate"])
        .node("dropout", "Mul", &["scaled", "mask"])
        .node("out", "Neg", &["dropout"])
        .0;
    let model = convert(&graph, &options(&[])).unwrap();
    assert_eq!(run(&model, &[floats(&[2], &[1.0, 3.0])]), [-1.0, -3.0]);
    assert_eq!(model.output(model.parameters()[0].into()).names, ["x", "x:0", "dropout", "dropout:0"]);
}

/// TensorFlow's CPU has no channels-first kernels; so a channels-first op answers what its channels-last twin answers.
#[test]
fn channels_first_is_channels_last_turned() {
    type Op = fn(Build, &'static str) -> Build;
    fn list(format: &str, spatial: [i64; 2]) -> [i64; 4] {
        let [h, w] = spatial;
        if format == "NHWC" { [1, h, w, 1] } else { [1, 1, h, w] }
    }
    let conv: Op = |b, f| {
        b.node("y", "Conv2D", &["x", "w"])
            .text("data_format", f)
            .text("padding", "SAME")
            .ints("strides", &list(f, [2, 1]))
            .ints("dilations", &list(f, [1, 2]))
    };
    let explicit: Op = |b, f| {
        let pads: &[i64] = if f == "NHWC" { &[0, 0, 1, 2, 0, 3, 0, 0] } else { &[0, 0, 0, 0, 1, 2, 0, 3] };
        b.node("y", "Conv2D", &["x", "w"])
            .text("data_format", f)
            .text("padding", "EXPLICIT")
            .ints("explicit_paddings", pads)
            .ints("strides", &[1, 1, 1, 1])
    };
    let depthwise: Op = |b, f| {
        b.node("y", "DepthwiseConv2dNative", &["x", "w"])
            .text("data_format", f)
            .text("padding", "VALID")
            .ints("strides", &list(f, [1, 1]))
    };
    let max: Op = |b, f| {
        b.node("y", "MaxPool", &["x"])
            .text("data_format", f)
            .text("padding", "SAME")
            .ints("ksize", &list(f, [3, 2]))
            .ints("strides", &list(f, [2, 2]))
    };
    let mean: Op = |b, f| {
        b.node("y", "AvgPool", &["x"])
            .text("data_format", f)
            .text("padding", "SAME")
            .ints("ksize", &list(f, [3, 2]))
            .ints("strides", &list(f, [2, 2]))
    };
    let norm: Op = |b, f| {
        b.node("y", "FusedBatchNormV3", &["x", "v", "v", "v", "v"])
            .text("data_format", f)
            .flag("is_training", false)
    };
    let batch: Op = |b, f| b.node("y", "FusedBatchNormV3", &["x", "v", "v", "v", "v"]).text("data_format", f);
    let bias: Op = |b, f| b.node("y", "BiasAdd", &["x", "v"]).text("data_format", f);
    let depth: Op = |b, f| b.node("y", "SpaceToDepth", &["x"]).text("data_format", f).int("block_size", 2);
    let numbers = |n: usize| (0..n).map(|i| (i * 31 % 17) as f32 / 8.0 - 1.0).collect::<Vec<f32>>();
    for (i, op) in [conv, explicit, depthwise, max, mean, norm, batch, bias, depth].into_iter().enumerate() {
        let graph = |format: &'static str, shape: &[i64]| {
            let weights = if i == 2 { [3, 2, 4, 3] } else { [3, 2, 4, 5] };
            let build = Build::new()
                .placeholder("x", shape)
                .floats("w", &weights, &numbers(weights.iter().product()))
                .floats("v", &[4], &[0.5, 1.0, 2.0, 0.25])
                .i32s("to_last", &[0, 2, 3, 1]);
            let build = op(build, format);
            if format == "NHWC" { build.0 } else { build.node("z", "Transpose", &["y", "to_last"]).0 }
        };
        let last = convert(&graph("NHWC", &[2, 6, 4, 4]), &options(&["y"])).unwrap();
        let first = convert(&graph("NCHW", &[2, 4, 6, 4]), &options(&["z"])).unwrap();
        let x = numbers(2 * 6 * 4 * 4);
        let turned: Vec<f32> = (0..x.len())
            .map(|at| {
                let (w, h, c, n) = (at % 4, at / 4 % 6, at / 24 % 4, at / 96);
                x[((n * 6 + h) * 4 + w) * 4 + c]
            })
            .collect();
        let expected = evaluate(&last, &[floats(&[2, 6, 4, 4], &x)]).unwrap().remove(0);
        let found = evaluate(&first, &[floats(&[2, 4, 6, 4], &turned)]).unwrap().remove(0);
        assert_eq!(found.shape(), expected.shape(), "op {i}");
        assert_eq!(found.to_f64s(), expected.to_f64s(), "op {i}");
    }
    let vector = Build(chain()).node("v", "BiasAdd", &["out", "two"]).text("data_format", "NCHW_VECT_C").0;
    let err = convert(&vector, &options(&["v"])).unwrap_err();
    assert!(err.to_string().contains("the data format NCHW_VECT_C"), "{err}");
}

#[test]
fn fewer_weight_channels_make_groups() {
    let graph = Build::new()
        .placeholder("x", &[1, 1, 2, 4])
        .floats("w", &[1, 1, 2, 2], &[1.0, 10.0, 2.0, 20.0])
        .node("y", "Conv2D", &["x", "w"])
        .text("padding", "VALID")
        .ints("strides", &[1, 1, 1, 1])
        .0;
    let model = convert(&graph, &options(&["y"])).unwrap();
    // The first two channels make the first output, the others the second.
    let y = run(&model, &[floats(&[1, 1, 2, 4], &[1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0])]);
    assert_eq!(y, [3.0, 10.0, 2.0, 20.0]);
    assert!(model.nodes().any(|(_, node)| matches!(node.op, Op::GroupConvolution(_))));
    let wrong = Build::new()
        .placeholder("x", &[1, 1, 2, 3])
        .floats("w", &[1, 1, 2, 2], &[1.0; 4])
        .node("y", "Conv2D", &["x", "w"])
        .text("padding", "VALID")
        .ints("strides", &[1, 1, 1, 1])
        .0;
    let err = convert(&wrong, &options(&["y"])).unwrap_err();
    assert!(err.to_string().contains("its data has 3 channels, its weights take 2"), "{err}");
}

fn digits(name: &str) -> GraphDef {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/digits").join(name);
    read_graph(path, Encoding::Detect).unwrap().graph
}

/// All forms of the digits network, converted, agree with the one that TensorFlow froze; what TensorFlow itself
/// answers is compared where checkpoints can be read (in `mo`).
#[test]
fn every_form_of_digits_converts_to_the_same_network() {
    let theirs = digits("digits_frozen.pb");
    let value = |node: &frontend_tf::proto::NodeDef| match node.attr.get("value")?.value.as_ref()? {
        Value::Tensor(proto) => tensor::decode(proto).ok(),
        _ => None,
    };
    let values: HashMap<_, _> =
        theirs.node.iter().filter_map(|n| Some((n.name.clone(), value(n)?))).collect();
    let image: Vec<f32> = (0..128).map(|i| (i * 37 % 251) as f32).collect();
    let image = floats(&[2, 8, 8, 1], &image);
    let expected = run(&convert(&theirs, &options(&[])).unwrap(), std::slice::from_ref(&image));
    assert!((expected.iter().sum::<f64>() - 2.0).abs() < 1e-5, "two distributions");
    for name in [
        "digits_graph.pb",
        "digits_resource_graph.pb",
        "digits_phase_graph.pb",
        "digits_phase_resource_graph.pb",
    ] {
        let keep = FreezeOptions { outputs: vec!["predictions/Softmax".into()], ..Default::default() };
        let frozen = freeze(&digits(name), &keep, |name| Ok(values.get(name).cloned())).unwrap();
        let model = convert(&frozen, &options(&[])).unwrap();
        assert_eq!(parameters(&model), ["input f32[?,8,8,1]"], "{name}");
        let found = run(&model, std::slice::from_ref(&image));
        let close = found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(close, "{name}: {found:?} {expected:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Damaged graphs end in an error or in a model.
    #[test]
    fn damage_never_panics(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        name in prop::sample::select(vec!["digits_frozen.pb", "digits_phase_graph.pb"]),
    ) {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/digits").join(name);
        let mut bytes = std::fs::read(path).unwrap();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= value;
        }
        if let Ok(file) = parse_graph(bytes.into(), Encoding::Detect) {
            let _ = convert(&file.graph, &options(&["predictions/Softmax"]));
        }
    }
}
