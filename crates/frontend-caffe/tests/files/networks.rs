//! Networks as a whole: forms of files, names, sharing, cuts.

use crate::caffemodel::{blob, field, integer, layer, old_blob, tensor};
use frontend_caffe::{Converted, Error, Net, Options, convert, inputs, parse};
use ir::{
    Model, Tensor,
    cut::{FrozenValue, InputSpec},
    evaluate,
    unsupported::CustomOps,
};

fn net(text: &str, weights: Option<Vec<u8>>) -> Net {
    parse(Some(text.to_owned().into()), weights.map(Into::into)).unwrap()
}

fn converted(net: &Net, outputs: &[&str]) -> Model {
    let outputs = outputs.iter().map(|name| (*name).to_owned()).collect();
    convert(net, &Options { outputs, ..Options::default() }).unwrap().model
}

fn names(model: &Model, ids: &[ir::NodeId]) -> Vec<String> {
    ids.iter().map(|id| model.node(*id).name.clone()).collect()
}

const INPUT: &str = "input: 'data' input_shape { dim: 1 dim: 2 dim: 4 dim: 4 }";
const CONVOLUTION: &str = "layer { name: 'conv' type: 'Convolution' bottom: 'data' top: 'conv'
    convolution_param { num_output: 3 kernel_size: 3 } }";

fn weights() -> Vec<u8> {
    layer("conv", "Convolution", &[blob(&[3, 2, 3, 3]), blob(&[3])])
}

fn answer(net: &Net, outputs: &[&str]) -> Tensor {
    evaluate(&converted(net, outputs), &[tensor(&[1, 2, 4, 4])]).unwrap().swap_remove(0)
}

#[test]
fn every_form_of_a_network_computes_the_same() {
    let today = answer(&net(&format!("{INPUT}{CONVOLUTION}"), Some(weights())), &[]);
    let first_text = "input: 'data' input_dim: [1, 2, 4, 4] layers { bottom: 'data' top: 'conv'
        layer { name: 'conv' type: 'conv' num_output: 3 kernelsize: 3 } }";
    let second_text = "input: 'data' input_dim: 1 input_dim: 2 input_dim: 4 input_dim: 4
        layers { name: 'conv' type: CONVOLUTION bottom: 'data' top: 'conv' blobs_lr: 1
                 convolution_param { num_output: 3 kernel_size: 3 } }";
    let old = [old_blob([3, 2, 3, 3]), old_blob([1, 1, 1, 3])];
    let first_blobs: Vec<u8> = old.iter().flat_map(|blob| field(50, blob)).collect();
    let first = field(2, &field(1, &[field(1, b"conv"), field(2, b"conv"), first_blobs].concat()));
    let second_blobs: Vec<u8> = old.iter().flat_map(|blob| field(6, blob)).collect();
    let second = field(2, &[field(4, b"conv"), integer(5, 4), second_blobs].concat());
    let today_text = format!("{INPUT}{CONVOLUTION}");
    for text in [first_text, second_text, &today_text] {
        for weights in [first.clone(), second.clone(), weights()] {
            assert_eq!(answer(&net(text, Some(weights)), &[]), today, "{text}");
        }
    }
}

/// `data: [1, 2, 4, 4]`, then `conv` with its weights, all of it binary, today's form and version 1's.
fn whole_caffemodels() -> [Vec<u8>; 2] {
    let params = [integer(1, 3), integer(4, 3)].concat();
    let blobs = [blob(&[3, 2, 3, 3]), blob(&[3])];
    let head = [field(3, b"data"), integer(4, 1), integer(4, 2), integer(4, 4), integer(4, 4)].concat();
    let today: Vec<u8> =
        [field(1, b"conv"), field(2, b"Convolution"), field(3, b"data"), field(4, b"conv")].concat();
    let today = [today, field(7, &blobs[0]), field(7, &blobs[1]), field(106, &params)].concat();
    let second = [field(4, b"conv"), integer(5, 4), field(2, b"data"), field(3, b"conv")].concat();
    let second = [second, field(6, &blobs[0]), field(6, &blobs[1]), field(10, &params)].concat();
    [[head.clone(), field(100, &today)].concat(), [head, field(2, &second)].concat()]
}

#[test]
fn a_caffemodel_that_carries_its_definition_is_enough() {
    let today = answer(&net(&format!("{INPUT}{CONVOLUTION}"), Some(weights())), &[]);
    for file in whole_caffemodels() {
        let net = parse(None, Some(file.clone().into())).unwrap();
        assert_eq!(answer(&net, &[]), today);
        // A definition may be binary too.
        let net = parse(Some(file.into()), Some(weights().into())).unwrap();
        assert_eq!(answer(&net, &["conv"]), today);
    }
}

/// A binary layer may have parameters under numbers that only its fork knows.
#[test]
fn numbers_of_forks_are_told() {
    let relu = [field(1, b"r"), field(2, b"ReLU"), field(3, b"data"), field(4, b"r")].concat();
    let relu = [relu, field(123, &[]), field(164, &integer(1, 3))].concat();
    let file = [field(3, b"data"), field(100, &relu)].concat();
    let net = parse(None, Some(file.into())).unwrap();
    let Converted { notes, .. } = convert(&net, &Options::default()).unwrap();
    assert_eq!(notes, ["layer 'r' (ReLU): `field 164` is not understood and was ignored"]);
}

#[test]
fn names_survive_and_blobs_go_by_their_last_writer() {
    let text = format!(
        "{INPUT}{CONVOLUTION}
         layer {{ name: 'relu' type: 'ReLU' bottom: 'conv' top: 'conv' }}
         layer {{ name: 'split' type: 'Split' bottom: 'conv' top: 'a' top: 'b' }}
         layer {{ name: 'halves' type: 'Slice' bottom: 'a' top: 'low' top: 'mid' top: 'high' }}
         layer {{ name: 'drop' type: 'Dropout' bottom: 'b' top: 'dropped' }}"
    );
    let net = net(&text, Some(weights()));
    let model = converted(&net, &[]);
    assert_eq!(names(&model, model.parameters()), ["data"]);
    let node =
        |name: &str| model.nodes().find(|(_, node)| node.name == name).unwrap_or_else(|| panic!("{name}")).0;
    let tensors = |name: &str, port: usize| model.output(node(name).output(port)).names.join(" ");
    assert_eq!(tensors("relu", 0), "conv a b dropped relu split drop");
    assert_eq!(tensors("halves", 0), "low halves");
    assert_eq!(tensors("halves", 2), "high");
    // No two nodes of the model have one name; a layer's last one has the layer's.
    let mut all: Vec<&str> = model.nodes().map(|(_, node)| node.name.as_str()).collect();
    all.sort_unstable();
    let count = all.len();
    all.dedup();
    assert_eq!(all.len(), count, "{all:?}");
    // The blob of the name is what the ReLU leaves; the layer's own output has a port.
    let (blob, own) = (answer(&net, &["conv"]), answer(&net, &["conv:0"]));
    assert!(own.to_f64s().iter().any(|v| *v < 0.0));
    assert_eq!(blob.to_f64s(), own.to_f64s().iter().map(|v| v.max(0.0)).collect::<Vec<_>>());
    assert_eq!(answer(&net, &["0:relu"]), own);
    assert_eq!(answer(&net, &["high"]), answer(&net, &["halves:2"]));
    // Asked for in an order of their own, they come in it.
    let both = converted(&net, &["high", "low"]);
    assert_eq!(names(&both, both.results()), ["halves/sink_port_2", "halves/sink_port_0"]);
    // By themselves: what no layer takes.
    assert_eq!(model.results().len(), 4);
}

#[test]
fn layers_share_weights_by_name() {
    let text = format!(
        "{INPUT}
         layer {{ name: 'a' type: 'InnerProduct' bottom: 'data' top: 'a' param {{ name: 'w' }} param {{ name: 'b' }}
                  inner_product_param {{ num_output: 3 }} }}
         layer {{ name: 'b' type: 'InnerProduct' bottom: 'data' top: 'b' param {{ name: 'w' }} param {{ name: 'b' }}
                  inner_product_param {{ num_output: 3 }} }}
         layer {{ name: 'c' type: 'Eltwise' bottom: 'a' bottom: 'b' top: 'c' eltwise_param {{ coeff: 1 coeff: -1 }} }}"
    );
    let net = net(&text, Some(layer("a", "InnerProduct", &[blob(&[3, 32]), blob(&[3])])));
    assert_eq!(answer(&net, &[]).to_f64s(), [0.0; 3]);
}

#[test]
fn networks_of_training_become_those_of_inference() {
    let text = "
        layer { name: 'train' type: 'Data' top: 'data' top: 'label' include { phase: TRAIN }
                data_param { source: 'lmdb' batch_size: 64 backend: LMDB } transform_param { crop_size: 4 } }
        layer { name: 'test' type: 'ImageData' top: 'data' top: 'label' include { phase: TEST }
                image_data_param { source: 'list' batch_size: 5 new_height: 8 new_width: 9 } transform_param { mirror: true } }
        layer { name: 'score' type: 'Pooling' bottom: 'data' top: 'score' pooling_param { global_pooling: true } }
        layer { name: 'acc' type: 'Accuracy' bottom: 'score' bottom: 'label' top: 'acc' include { phase: TEST } }
        layer { name: 'extra' type: 'ReLU' bottom: 'data' top: 'extra' }
        layer { name: 'hush' type: 'Silence' bottom: 'extra' }
        layer { name: 'loss' type: 'SoftmaxWithLoss' bottom: 'score' bottom: 'label' top: 'loss' loss_weight: 1 }";
    let Converted { model, notes } = convert(&net(text, None), &Options::default()).unwrap();
    assert_eq!(names(&model, model.parameters()), ["data"]);
    assert_eq!(model.ty(model.parameters()[0].into()).to_string(), "f32[5,3,8,9]");
    assert_eq!(names(&model, model.results()), ["loss/sink_port_0"]);
    assert_eq!(
        model.find_port("loss").map(|port| model.node(port.node).op.type_name().to_owned()).unwrap(),
        "SoftMax"
    );
    assert_eq!(notes.len(), 2, "{notes:?}");
}

#[test]
fn data_layers_are_inputs_of_what_they_would_read() {
    for (layer, shapes) in [
        (
            "type: 'Input' top: 'a' top: 'b' input_param { shape { dim: 2 dim: -1 } shape { dim: 3 } }",
            ["[2,?]", "[3]"],
        ),
        ("type: 'Input' top: 'a' top: 'b' input_param { shape { dim: 2 } }", ["[2]", "[2]"]),
        (
            "type: 'MemoryData' top: 'a' top: 'b' memory_data_param { batch_size: 2 channels: 3 height: 4 width: 5 }",
            ["[2,3,4,5]", "[2]"],
        ),
        (
            "type: 'Data' top: 'a' top: 'b' data_param { batch_size: 7 } transform_param { crop_size: 9 }",
            ["[7,?,9,9]", "[7]"],
        ),
        (
            "type: 'HDF5Data' top: 'a' top: 'b' hdf5_data_param { source: 's' batch_size: 7 }",
            ["[...]", "[...]"],
        ),
        (
            "type: 'DummyData' top: 'a' top: 'b' dummy_data_param { num: 1 num: 2 channels: 3 height: 4 width: 5 }",
            ["[1,3,4,5]", "[2,3,4,5]"],
        ),
        (
            "type: 'DummyData' top: 'a' top: 'b' dummy_data_param { shape { dim: 4 } data_filler { value: 1 } }",
            ["[4]", "[4]"],
        ),
        (
            "type: 'WindowData' top: 'a' top: 'b' window_data_param { batch_size: 2 crop_size: 6 }",
            ["[2,3,6,6]", "[2]"],
        ),
    ] {
        let text = format!(
            "layer {{ name: 'd' {layer} }} layer {{ name: 'x' type: 'ReLU' bottom: 'a' top: 'x' }}
             layer {{ name: 'y' type: 'ReLU' bottom: 'b' top: 'y' }}"
        );
        let net = net(&text, None);
        let model = converted(&net, &[]);
        let found = model.parameters().iter().map(|id| model.ty((*id).into()).shape.to_string());
        assert_eq!(found.collect::<Vec<_>>(), shapes, "{layer}");
        assert_eq!(inputs(&net, &Options::default()).unwrap(), ["a", "b"]);
    }
}

#[test]
fn inputs_are_reshaped_cut_and_frozen() {
    let text = format!(
        "{INPUT}{CONVOLUTION}
         layer {{ name: 'relu' type: 'ReLU' bottom: 'conv' top: 'conv' }}
         layer {{ name: 'sum' type: 'Eltwise' bottom: 'conv' bottom: 'conv' top: 'total' }}"
    );
    let net = net(&text, Some(weights()));
    let model = |input: InputSpec, output: &str| {
        let options = Options { inputs: vec![input], outputs: vec![output.to_owned()], ..Options::default() };
        convert(&net, &options).map(|converted| converted.model)
    };
    let shape = |text: &str| Some(text.parse().unwrap());
    let wide = model(InputSpec { shape: shape("[?,2,6,8]"), ..InputSpec::at("data") }, "total").unwrap();
    assert_eq!(wide.ty(wide.results()[0].into()).to_string(), "f32[?,3,4,6]");
    for (place, name, ty) in [
        ("relu", "relu/placeholder_port_0", "f32[1,3,2,2]"),
        ("0:relu", "relu/placeholder_port_0", "f32[1,3,2,2]"),
        ("conv:0", "conv/placeholder_out_port_0", "f32[1,3,2,2]"),
        ("1:sum", "sum/placeholder_port_1", "f32[1,3,2,2]"),
        ("conv", "conv/placeholder_port_0", "f32[1,2,4,4]"),
    ] {
        let cut = model(InputSpec::at(place), "total").unwrap();
        let first = cut.parameters()[0];
        assert_eq!((&cut.node(first).name[..], &cut.ty(first.into()).to_string()[..]), (name, ty), "{place}");
        assert_eq!(cut.parameters().len(), if place == "1:sum" { 2 } else { 1 }, "{place}");
    }
    let value = Some(FrozenValue::List(vec!["2".into(); 12]));
    let frozen = model(InputSpec { value, ..InputSpec::at("relu") }, "total").unwrap();
    assert!(frozen.parameters().is_empty());
    assert_eq!(evaluate(&frozen, &[]).unwrap()[0].to_f64s(), [4.0; 12]);
    let options = Options { inputs: vec![InputSpec::at("relu")], ..Options::default() };
    assert!(inputs(&net, &options).unwrap().is_empty());
    for (input, output, part) in [
        (InputSpec::at("Relu"), "total", "did you mean 'relu'?"),
        (InputSpec::at("2:sum"), "total", "layer 'sum' (Eltwise, line 4) has no bottom 2"),
        (InputSpec::at("relu:3"), "total", "has no top 3"),
        (InputSpec { shape: shape("[1]"), ..InputSpec::at("sum") }, "total", "name one of them as '0:sum'"),
        (InputSpec::at("sum"), "conv", "the outputs do not depend on it"),
        (
            InputSpec { value: Some(FrozenValue::Scalar("1".into())), ..InputSpec::at("data") },
            "total",
            "cannot fill",
        ),
        (InputSpec::at("data"), "Total", "did you mean 'total'?"),
        (InputSpec::at("data"), "sum:1", "has no top 1"),
    ] {
        let error = model(input.clone(), output).unwrap_err().to_string();
        assert!(error.contains(part), "{input:?} {output}: {error}");
    }
}

#[test]
fn what_is_not_understood_is_told() {
    let text = format!(
        "{INPUT}
         layer {{ name: 'r' type: 'ReLU' bottom: 'data' top: 'r' relu_param {{ engine: CAFFE leak: 3 }} of_a_fork {{ a: 1 }}
                  param {{ lr_mult: 0 }} propagate_down: true }}"
    );
    let Converted { notes, .. } = convert(&net(&text, None), &Options::default()).unwrap();
    assert_eq!(
        notes,
        ["layer 'r' (ReLU, line 2): `relu_param.leak`, `of_a_fork` is not understood and was ignored"]
    );
    let unused = [weights(), layer("other", "X", &[blob(&[1])])].concat();
    let notes = net(&format!("{INPUT}{CONVOLUTION}"), Some(unused)).notes;
    assert_eq!(notes, ["the caffemodel has weights for layers that the network does not have: 'other'"]);
}

#[test]
fn unknown_layers_are_reported_together_or_kept() {
    let text = format!(
        "{INPUT}{CONVOLUTION}
         layer {{ name: 'f' type: 'Fancy' bottom: 'conv' top: 'f1' top: 'f2' fancy_param {{ size: 3 mode: A size: 4
                  inner {{ x: 1 }} }} alpha: 2 }}
         layer {{ name: 'g' type: 'Fancy' bottom: 'f1' top: 'g' }}
         layer {{ name: 'h' type: 'Strange' bottom: 'f2' top: 'h' }}"
    );
    let all = [weights(), layer("f", "Fancy", &[blob(&[2, 2])])].concat();
    let net = net(&text, Some(all));
    let Err(Error::Unsupported(report)) = convert(&net, &Options::default()) else { panic!() };
    assert_eq!(report.ops.iter().map(|op| op.op.as_str()).collect::<Vec<_>>(), ["Fancy", "Strange"]);
    assert_eq!(report.ops[0].nodes.len(), 2);
    assert_eq!(report.cut_points, ["conv"]);
    let options = Options { custom_ops: CustomOps::all(), ..Options::default() };
    let model = convert(&net, &options).unwrap().model;
    let (_, fancy) = model.nodes().find(|(_, node)| node.name == "f").unwrap();
    let ir::Op::Custom(op) = &fancy.op else { panic!("{:?}", fancy.op) };
    assert_eq!(op.type_name, "Fancy");
    let expected = [("size", "3,4"), ("mode", "A"), ("inner.x", "1"), ("alpha", "2")];
    assert_eq!(op.attributes, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    assert_eq!((fancy.inputs().len(), op.outputs.len()), (2, 2));
}

/// Networks of segmentation state their enlargement instead of training it.
#[test]
fn enlargements_are_filled_in() {
    let network = |filler: &str| {
        format!(
            "{INPUT} layer {{ name: 'up' type: 'Deconvolution' bottom: 'data' top: 'up' convolution_param {{ num_output: 2
                group: 2 kernel_size: 4 stride: 2 pad: 1 bias_term: false weight_filler {{ type: '{filler}' }} }} }}"
        )
    };
    let net = net(&network("bilinear"), Some(weights()));
    let Converted { model, notes } = convert(&net, &Options::default()).unwrap();
    assert!(notes.iter().any(|note| note.contains("'up'") && note.contains("bilinear filler")), "{notes:?}");
    // What rises evenly still does, away from the border: in steps half as high.
    let ramp: Vec<f32> = (0..32).map(|i| (i % 4) as f32).collect();
    let found = evaluate(&model, &[Tensor::from_slice(&[1, 2, 4, 4], &ramp).unwrap()]).unwrap();
    assert_eq!(found[0].shape(), [1, 2, 8, 8]);
    assert_eq!(found[0].to_f64s()[8 * 3 + 1..8 * 3 + 7], [0.25, 0.75, 1.25, 1.75, 2.25, 2.75]);
    let other = parse(Some(network("gaussian").into()), Some(weights().into())).unwrap();
    assert!(matches!(convert(&other, &Options::default()), Err(Error::MissingBlob { .. })));
}
