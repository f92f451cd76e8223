//! Every flag shows in the IR or in what is printed.

mod line;

use frontend_tf::{
    GraphDef, encode_graph,
    proto::{AttrValue, NodeDef, TensorShapeProto, attr_value::Value, tensor_shape_proto::Dim},
};
use ir::{ElementType, Model, Op, Tensor, op::*};
use line::{Bench, assert_close, conv, count, named, noise, run, small};
use std::fs;

#[test]
fn fusing_is_turned_off_as_a_whole_and_by_name() {
    let bench = Bench::new();
    bench.write("net.xml", &small(0));
    let net = bench.path("net.xml");
    let image = noise(&[1, 3, 8, 8], 1);
    let want = run(&small(0), std::slice::from_ref(&image));
    for (flags, multiplies) in [
        ("", 0),
        ("--disable_fusing", 1),
        ("--finegrain_fusing scale1", 1),
        ("--finegrain_fusing=nothing,^conv1$", 1),
        ("--finegrain_fusing conv2", 0),
    ] {
        let model = bench.converted(&net, flags);
        assert_eq!(count(&model, "Multiply"), multiplies, "{flags}\n{model}");
        assert_close(&run(&model, std::slice::from_ref(&image)), &want, 1e-5);
    }
    bench.refused("net.xml", "--finegrain_fusing nobody", &["no node's name holds any of 'nobody'"]);
}

#[test]
fn groups_become_one_convolution_unless_told_not_to() {
    let mut model = Model::new("groups");
    let x = model.add_parameter("x", ElementType::F32, "[1,4,5,5]".parse().unwrap());
    let axis = model.add_constant("axis", Tensor::scalar(1i64));
    let split = model.add("split", Split { num_splits: 2 }, &[x.into(), axis.into()]).unwrap();
    let left = conv(&mut model, "left", split.output(0), &[3, 2, 3, 3], 1, 1);
    let right = conv(&mut model, "right", split.output(1), &[3, 2, 3, 3], 1, 1);
    let joined = named(&mut model, "joined", Concat { axis: 1 }, &[left.into(), right.into()]);
    model.add_result("y", joined.into()).unwrap();
    let bench = Bench::new();
    bench.write("net.xml", &model);
    let x = noise(&[1, 4, 5, 5], 2);
    for (flags, single, grouped) in [("", 0, 1), ("--disable_gfusing", 2, 0)] {
        let found = bench.converted(&bench.path("net.xml"), flags);
        assert_eq!((count(&found, "Convolution"), count(&found, "GroupConvolution")), (single, grouped));
        assert_close(&run(&found, std::slice::from_ref(&x)), &run(&model, std::slice::from_ref(&x)), 1e-5);
    }
}

#[test]
fn strides_move_unless_told_not_to() {
    let mut model = Model::new("strides");
    let x = model.add_parameter("x", ElementType::F32, "[1,3,7,7]".parse().unwrap());
    let first = conv(&mut model, "first", x.into(), &[4, 3, 3, 3], 1, 1);
    let relu = named(&mut model, "relu", Unary::Relu, &[first.into()]);
    let point = conv(&mut model, "point", relu.into(), &[2, 4, 1, 1], 2, 0);
    model.add_result("y", point.into()).unwrap();
    let bench = Bench::new();
    bench.write("net.xml", &model);
    let x = noise(&[1, 3, 7, 7], 3);
    for (flags, strides) in [("", [2, 1]), ("--disable_resnet_optimization", [1, 2])] {
        let found = bench.converted(&bench.path("net.xml"), flags);
        let stride = |name: &str| match &found.node(found.find_port(name).unwrap().node).op {
            Op::Convolution(c) => c.strides[0],
            other => panic!("{other:?}"),
        };
        assert_eq!([stride("first"), stride("point")], strides, "{flags}");
        assert_close(&run(&found, std::slice::from_ref(&x)), &run(&model, std::slice::from_ref(&x)), 1e-5);
    }
}

#[test]
fn transformations_are_known_by_name() {
    let bench = Bench::new();
    bench.write("net.xml", &small(0));
    let line = "-m net.xml -n out --log_level WARN --transform LowLatency2[use_const_initializer=False]";
    let answer = bench.mo(line);
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert!(answer.err.contains("LowLatency2 has nothing to do"), "{}", answer.err);
    bench.refused(
        "net.xml",
        "--transform MakeStateful[a:b]",
        &["MakeStateful", "param_res_names={'input':'output'"],
    );
    let unknown = "--transform MakeStateful[param_res_names={'image':'z'}]";
    bench.refused("net.xml", unknown, &["MakeStateful: image:z", "there is no output `z`; there are"]);
    bench.refused("net.xml", "--transform Pruning", &["Pruning", "channels of zeros"]);
}

#[test]
fn an_input_and_an_output_become_a_variable() {
    let mut model = Model::new("sums");
    let x = model.add_parameter("x", ElementType::F32, "[1,2]".parse().unwrap());
    let sum = model.add_parameter("sum_in", ElementType::F32, "[1,2]".parse().unwrap());
    let add = model.add("sum_out", Binary::new(BinaryKind::Add), &[x.into(), sum.into()]).unwrap();
    let relu = model.add("y", Unary::Relu, &[add.into()]).unwrap();
    model.add_result("sum_result", add.into()).unwrap();
    model.add_result("y_result", relu.into()).unwrap();
    let bench = Bench::new();
    bench.write("net.xml", &model);
    let flags = "--transform MakeStateful[param_res_names={'sum_in':'sum_out'}]";
    let found = bench.converted(&bench.path("net.xml"), flags);
    assert_eq!((found.parameters().len(), found.results().len()), (1, 1));
    let kinds: Vec<&str> = found.nodes().map(|(_, node)| node.op.type_name()).collect();
    assert!(kinds.contains(&"ReadValue") && kinds.contains(&"Assign"), "{kinds:?}");
}

/// Preprocessing by hand: reversed channels, minus mean, over scale.
fn by_hand(image: &Tensor, mean: [f64; 3], scale: [f64; 3]) -> Tensor {
    let pixels = image.to_f64s();
    let plane = pixels.len() / 3;
    let seen: Vec<f64> = (0..pixels.len())
        .map(|i| (pixels[(2 - i / plane) * plane + i % plane] - mean[i / plane]) / scale[i / plane])
        .collect();
    Tensor::from_f64s(ElementType::F32, image.shape(), &seen).unwrap()
}

#[test]
fn preprocessing_goes_into_the_first_convolution() {
    let image = noise(&[1, 3, 8, 8], 4);
    let seen = by_hand(&image, [0.5, -0.25, 1.0], [2.0, 4.0, 0.5]);
    let flags = "--mean_values [0.5,-0.25,1] --scale_values [2,4,0.5] --reverse_input_channels --layout nchw";
    // Zeros that are padded around the image are none of its pixels: there the mean stays a node of its own.
    for (pad, extra) in [(0, 0), (1, 1)] {
        let bench = Bench::new();
        bench.write("net.xml", &small(pad));
        let plain = bench.converted(&bench.path("net.xml"), "");
        let model = bench.converted(&bench.path("net.xml"), flags);
        let computing = |model: &Model| {
            let nodes = model.nodes().filter(|(_, node)| !matches!(node.op, Op::Constant(_)));
            // A bias of the first convolution is no preprocessing.
            nodes.count() - count(model, "Add")
        };
        assert_eq!(computing(&model), computing(&plain), "{model}");
        assert_eq!(count(&model, "Add"), count(&plain, "Add") + 1, "{model}");
        let first = model.consumers(model.parameters()[0].into())[0].0;
        let wanted = if extra == 0 { "Convolution" } else { "Add" };
        assert_eq!(model.node(first).op.type_name(), wanted);
        let want = run(&plain, std::slice::from_ref(&seen));
        assert_close(&run(&model, std::slice::from_ref(&image)), &want, 1e-5);
        // One number for all.
        let half = bench.converted(&bench.path("net.xml"), "--scale 2");
        let halves: Vec<f64> = image.to_f64s().iter().map(|v| v / 2.0).collect();
        let want = run(&plain, &[Tensor::from_f64s(ElementType::F32, image.shape(), &halves).unwrap()]);
        assert_close(&run(&half, std::slice::from_ref(&image)), &want, 1e-5);
        assert_eq!(half.len(), plain.len());
    }
}

#[test]
fn layouts_are_turned_at_inputs() {
    let bench = Bench::new();
    bench.write("net.xml", &small(0));
    let image = noise(&[1, 3, 8, 8], 5);
    let pixels = image.to_f64s();
    let turned: Vec<f64> = (0..pixels.len()).map(|i| pixels[i % 3 * 64 + i / 3]).collect();
    let turned = Tensor::from_f64s(ElementType::F32, &[1, 8, 8, 3], &turned).unwrap();
    let want = run(&small(0), std::slice::from_ref(&image));
    for flags in ["--layout nchw->nhwc", "--source_layout image(nchw) --target_layout image(nhwc)"] {
        let model = bench.converted(&bench.path("net.xml"), flags);
        assert_close(&run(&model, std::slice::from_ref(&turned)), &want, 1e-5);
    }
}

#[test]
fn a_mean_image_is_subtracted_where_it_lies() {
    // A BlobProto by hand: channels 3, height 9, width 10, and the values as one packed field.
    let value = |c: usize, y: usize, x: usize| (c as f32) - 0.1 * (y as f32) + 0.01 * (x as f32);
    let mut bytes = vec![0x08, 1, 0x10, 3, 0x18, 9, 0x20, 10, 0x2a];
    let length = 3 * 9 * 10 * 4;
    bytes.extend([(length & 0x7f | 0x80) as u8, (length >> 7) as u8]);
    for (c, y, x) in (0..3).flat_map(|c| (0..9).flat_map(move |y| (0..10).map(move |x| (c, y, x)))) {
        bytes.extend(value(c, y, x).to_le_bytes());
    }
    let bench = Bench::new();
    bench.write("net.xml", &small(0));
    fs::write(bench.path("mean.binaryproto"), bytes).unwrap();
    let image = noise(&[1, 3, 8, 8], 6);
    for (flags, left, top) in [("-mf mean.binaryproto", 1, 0), ("-mf mean.binaryproto -mo (2,1)", 2, 1)] {
        let model = bench.converted(&bench.path("net.xml"), flags);
        let pixels = image.to_f64s();
        let seen: Vec<f64> = (0..pixels.len())
            .map(|i| pixels[i] - f64::from(value(i / 64, i % 64 / 8 + top, i % 8 + left)))
            .collect();
        let seen = Tensor::from_f64s(ElementType::F32, image.shape(), &seen).unwrap();
        assert_close(&run(&model, std::slice::from_ref(&image)), &run(&small(0), &[seen]), 1e-5);
    }
    bench.refused("net.xml", "-mf mean.binaryproto -mo (9,9)", &["mean.binaryproto", "does not lie in it"]);
    bench.refused("net.xml", "-mf gone.binaryproto", &["gone.binaryproto"]);
}

#[test]
fn irs_are_cut_reshaped_retyped_and_frozen() {
    let bench = Bench::new();
    let mut model = small(0);
    let shape = "[?,3,8,8]".parse().unwrap();
    let image = model.parameters()[0];
    model.set_parameter_shape(image, shape);
    model.infer().unwrap();
    bench.write("net.xml", &model);
    let ends = |flags: &str| {
        let model = bench.converted(&bench.path("net.xml"), flags);
        let types = |ids: &[ir::NodeId]| {
            ids.iter().map(|id| model.ty((*id).into()).to_string()).collect::<Vec<_>>().join(" ")
        };
        (types(model.parameters()), types(model.results()))
    };
    for (flags, input, output) in [
        ("", "f32[?,3,8,8]", "f32[?,5,4,4]"),
        ("--batch 4", "f32[4,3,8,8]", "f32[4,5,4,4]"),
        ("--input_shape [2,3,9,9] --static_shape", "f32[2,3,9,9]", "f32[2,5,5,5]"),
        ("--input image[1..3,3,8,8]", "f32[1..3,3,8,8]", "f32[1..3,5,4,4]"),
        ("--output relu1", "f32[?,3,8,8]", "f32[?,4,6,6]"),
        ("--output 0:prob,conv1", "f32[?,3,8,8]", "f32[?,5,4,4] f32[?,4,6,6]"),
        ("--input relu1:0[1,4,6,6]", "f32[1,4,6,6]", "f32[1,5,4,4]"),
        ("--input 0:conv2[1,4,7,7] --output conv2", "f32[1,4,7,7]", "f32[1,5,5,5]"),
        ("--input prob[1,4]{f16}", "f16[1,4]", "f16[1,4]"),
    ] {
        assert_eq!(ends(flags), (input.to_owned(), output.to_owned()), "{flags}");
    }
    bench.refused("net.xml", "--static_shape", &["'image'", "[?,3,8,8]", "--input_shape"]);
    bench.refused("net.xml", "--output relu9", &["no node 'relu9'"]);
    bench.refused("net.xml", "--input conv2:3", &["has no output 3"]);

    let mut sum = Model::new("sum");
    let x = sum.add_parameter("x", ElementType::F32, "[2]".parse().unwrap());
    let flag = sum.add_parameter("offset", ElementType::F32, "[2]".parse().unwrap());
    let y = named(&mut sum, "y", Binary::new(BinaryKind::Add), &[x.into(), flag.into()]);
    sum.add_result("y", y.into()).unwrap();
    bench.write("sum.xml", &sum);
    for flags in ["--freeze_placeholder_with_value offset->[1,-2]", "--input x,offset->[1,-2]"] {
        let found = bench.converted(&bench.path("sum.xml"), flags);
        let x = Tensor::from_slice(&[2], &[10.0f32, 20.0]).unwrap();
        assert_eq!(run(&found, &[x]).to_f64s(), [11.0, 18.0], "{flags}");
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

/// `x -> Relu -> Mystery (depth 3, mode "fast") -> Relu`.
fn mystery(bench: &Bench) {
    let dims = [1, 4].map(|size| Dim { size, ..Default::default() }).to_vec();
    let shape = Value::Shape(TensorShapeProto { dim: dims, unknown_rank: false });
    let attrs = [("depth", Value::I(3)), ("mode", Value::S("fast".into()))];
    let graph = GraphDef {
        node: vec![
            node("x", "Placeholder", &[], &[("dtype", Value::Type(1)), ("shape", shape)]),
            node("a", "Relu", &["x"], &[]),
            node("m", "Mystery", &["a"], &attrs),
            node("y", "Relu", &["m"], &[]),
        ],
        ..Default::default()
    };
    fs::write(bench.path("graph.pb"), encode_graph(&graph).unwrap()).unwrap();
}

#[test]
fn unknown_layers_are_kept_on_request() {
    let bench = Bench::new();
    mystery(&bench);
    bench.refused("graph.pb", "", &["Mystery", "--output a"]);
    bench.refused("graph.pb", "--keep_custom_ops=Riddle", &["Mystery"]);
    let map = "<CustomLayers><CustomLayer NativeType=\"Mystery\" hasParam=\"false\"/></CustomLayers>";
    fs::write(bench.path("map.xml"), map).unwrap();
    for flags in ["--keep_custom_ops", "--keep_custom_ops=Mystery", "-k map.xml"] {
        let model = bench.converted(&bench.path("graph.pb"), &format!("{flags} --output y"));
        let port = model.find_port("m").unwrap();
        let Op::Custom(op) = &model.node(port.node).op else { panic!("{model}") };
        let attributes: Vec<(&str, &str)> = op.attributes.iter().map(|(k, v)| (&k[..], &v[..])).collect();
        assert!(
            attributes.contains(&("depth", "3")) && attributes.contains(&("mode", "fast")),
            "{attributes:?}"
        );
    }
}

#[test]
fn old_runtimes_get_version_10() {
    let bench = Bench::new();
    bench.write("net.xml", &small(1));
    let image = noise(&[1, 3, 8, 8], 8);
    let model = bench.converted(&bench.path("net.xml"), "--ir_version 10 --data_type FP16");
    assert_close(
        &run(&model, std::slice::from_ref(&image)),
        &run(&small(1), std::slice::from_ref(&image)),
        1e-2,
    );
    let text = fs::read_to_string(bench.path("out.xml")).unwrap();
    assert!(text.contains("<net name=\"out\" version=\"10\">"), "{text}");
    assert!(!text.contains("<attribute") && !text.contains("output_names"));
    let document = roxmltree::Document::parse(&text).unwrap();
    for layer in document.descendants().filter(|n| n.has_tag_name("layer")) {
        let opset = layer.attribute("version").unwrap().strip_prefix("opset").unwrap();
        assert!(opset.parse::<u32>().unwrap() <= 8, "{layer:?}");
    }
    bench.converted(&bench.path("net.xml"), "--ir_version=11");
    assert!(fs::read_to_string(bench.path("out.xml")).unwrap().contains("version=\"11\""));

    let mut newer = Model::new("newer");
    let x = newer.add_parameter("x", ElementType::F32, "[2]".parse().unwrap());
    let y = named(&mut newer, "nan", IsNan, &[x.into()]);
    newer.add_result("y", y.into()).unwrap();
    bench.write("newer.xml", &newer);
    bench.refused("newer.xml", "--ir_version 10", &["IsNaN `nan`", "opset8"]);
}

#[test]
fn what_will_not_work_is_told_beforehand() {
    let bench = Bench::new();
    let mut model = small(0);
    model.add_parameter("unused", ElementType::F32, "[1]".parse().unwrap());
    bench.write("net.xml", &model);
    let answer = bench.mo("-m net.xml -n out --target_device HETERO:FPGA,CPU");
    assert_eq!(answer.code, 0, "{}", answer.err);
    for part in ["'unused' is an input on which no output depends", "SoftMax 'prob'", "no FPGA plugin yet"] {
        assert!(answer.err.contains(part), "{part}: {}", answer.err);
    }
    let large =
        model.add_constant("large", Tensor::from_slice(&[5], &[1e6f32, 1.0, 1.0, 1.0, 1e-12]).unwrap());
    let nan = model.add_constant("nan", Tensor::from_slice(&[2], &[f32::NAN, 1.0]).unwrap());
    model.add_result("l", large.into()).unwrap();
    model.add_result("n", nan.into()).unwrap();
    bench.write("bad.xml", &model);
    let answer = bench.mo("-m bad.xml -n out --data_type FP16");
    for part in [
        "'large': 1 of 5 weights lie beyond FP16's range",
        "'large': 1 of 5 weights are too small",
        "'nan' holds 1 weight(s)",
    ] {
        assert!(answer.err.contains(part), "{part}: {}", answer.err);
    }
}

#[test]
fn the_console_tells_as_much_as_is_asked_for() {
    let bench = Bench::new();
    bench.write("net.xml", &small(0));
    let plain = bench.mo("-m net.xml -n out");
    assert!(!plain.out.contains("[ PASS ]") && plain.err.is_empty(), "{}", plain.err);
    let verbose = bench.mo("-m net.xml -n out --verbose");
    for pass in optimizer::PASSES {
        assert!(verbose.out.contains(&format!("[ PASS ] {}", pass.name)), "{}", verbose.out);
    }
    assert!(verbose.out.contains("scale into weights before it: 1"), "{}", verbose.out);
    let debug = bench.mo("-m net.xml -n out --log_level DEBUG");
    assert!(debug.err.contains("DEBUG"), "{}", debug.err);
    let silent = bench.mo("-m net.xml -n out --silent --progress");
    assert_eq!((&silent.out[..], &silent.err[..]), ("", ""));
    let help = bench.mo("--help").out;
    for part in [
        "Files:",
        "The network:",
        "Layout and preprocessing:",
        "Optimisation:",
        "The IR:",
        "Console:",
        "Examples:",
        "mo inspect",
        "mo compare",
    ] {
        assert!(help.contains(part), "{part}: {help}");
    }
}

/// `data [1,3,8,8] -> ReLU -> Riddle -> Pooling`, without weights.
const PROTOTXT: &str = "name: 'riddles'
layer { name: 'data' type: 'Input' top: 'data' input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: 'relu' type: 'ReLU' bottom: 'data' top: 'relu' }
layer { name: 'riddle' type: 'Riddle' bottom: 'relu' top: 'riddle' riddle_param { depth: 3 mode: 'fast' } }
layer { name: 'pool' type: 'Pooling' bottom: 'riddle' top: 'pool' pooling_param { kernel_size: 2 stride: 2 } }
";

#[test]
fn caffes_networks_obey_the_same_flags() {
    let bench = Bench::new();
    fs::write(bench.path("net.prototxt"), PROTOTXT).unwrap();
    let net = bench.path("net.prototxt");
    bench.refused("net.prototxt", "", &["Riddle"]);
    let map = "<CustomLayers><CustomLayer NativeType=\"Riddle\" hasParam=\"true\" protoParamName=\"riddle_param\"/>\
               </CustomLayers>";
    fs::write(bench.path("map.xml"), map).unwrap();
    for flags in ["-k map.xml", "--keep_custom_ops", "--keep_custom_ops=Riddle"] {
        let model = bench.converted(&net, &format!("{flags} --output riddle"));
        let found = model.nodes().find_map(|(_, node)| match &node.op {
            Op::Custom(op) => Some(op.clone()),
            _ => None,
        });
        let op = found.unwrap();
        assert_eq!(op.type_name, "Riddle");
        for (name, value) in [("depth", "3"), ("mode", "fast")] {
            assert!(op.attributes.contains(&(name.to_owned(), value.to_owned())), "{:?}", op.attributes);
        }
    }
    let types = |flags: &str| {
        let model = bench.converted(&net, flags);
        [model.parameters()[0], model.results()[0]].map(|id| model.ty(id.into()).to_string())
    };
    for (flags, want) in [
        ("--output relu", ["f32[1,3,8,8]", "f32[1,3,8,8]"]),
        ("--output relu --batch 4", ["f32[4,3,8,8]", "f32[4,3,8,8]"]),
        ("--output relu --input_shape [2,3,5,5]", ["f32[2,3,5,5]", "f32[2,3,5,5]"]),
        ("--output relu --input data[?,3,4,4]", ["f32[?,3,4,4]", "f32[?,3,4,4]"]),
        ("--input 0:pool[1,3,6,6]", ["f32[1,3,6,6]", "f32[1,3,3,3]"]),
        ("--output relu --layout nchw->nhwc", ["f32[1,8,8,3]", "f32[1,3,8,8]"]),
    ] {
        assert_eq!(types(flags), want, "{flags}");
    }
    let inspected = bench.mo("inspect net.prototxt --json").out;
    let found: serde_json::Value =
        serde_json::from_str(&inspected).unwrap_or_else(|e| panic!("{e}: {inspected}"));
    assert_eq!(found["unsupported"][0]["op"], "Riddle");
    assert_eq!(found["suggested_outputs"][0], "relu");
    assert_eq!(found["framework"], "caffe");
}
