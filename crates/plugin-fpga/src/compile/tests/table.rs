//! The table of layers, row by row, with and without the bitstream's units.

use super::{super::query, *};
use crate::architecture::Primitive;
use ir::op::{
    AvgPool, BatchNormInference, Clamp, Concat, Convert, Elu, Lrn, PRelu, Reshape, RoundingType, Softmax,
    Split, Squeeze, Transpose,
};

/// What `query` says of the last node, which `compile` must agree with.
fn reason(net: &mut Net, last: Port, architecture: &Architecture) -> Option<String> {
    net.result(last);
    let support = query(&net.model, architecture).unwrap();
    let compiled = compile(&net.model, architecture);
    assert_eq!(compiled.is_ok(), support.refused.is_empty(), "{:?}\n{}", support.refused, net.model);
    if let (Err(error), Some((name, reason))) = (compiled, support.refused.first()) {
        let text = error.to_string();
        assert!(text.starts_with(&format!("Layer (Name: {name}, Type: ")), "{text}");
        assert!(text.contains(reason.split("; ").next().unwrap()), "{text}");
    }
    let name = &net.model.node(last.node).name;
    let refused = support.refused.into_iter().find(|(node, _)| node == name);
    assert_eq!(refused.is_none(), support.supported.contains(name));
    refused.map(|(_, reason)| reason)
}

/// One op of an image of 16 channels.
fn single(architecture: &Architecture, op: impl FnOnce(&mut Net, Port) -> Port) -> Option<String> {
    let mut net = Net::new(1);
    let x = net.input(&[1, 16, 6, 6]);
    let last = op(&mut net, x);
    reason(&mut net, last, architecture)
}

fn list(net: &mut Net, values: &[i64]) -> Port {
    let name = format!("list{}", net.model.len());
    net.model.add_constant(name, Tensor::from_i64s(values)).into()
}

#[test]
fn taken_by_every_bitstream() {
    let mut architecture = architecture("fp16", 4096);
    architecture.primitives.clear();
    let taken = |op: fn(&mut Net, Port) -> Port| assert_eq!(single(&architecture, op), None);
    taken(|net, x| net.convolution(x, 8, 3, 2));
    taken(|net, x| net.relu(x));
    taken(|net, x| net.bias(x));
    taken(|net, x| net.sum(x, x));
    taken(|net, x| net.add(Binary::new(BinaryKind::Subtract), &[x, x]));
    taken(|net, x| net.max_pool(x, 2, 2, 0));
    taken(|net, x| net.add(Concat { axis: 1 }, &[x, x]));
    taken(|net, x| {
        let axis = net.model.add_constant("axis", Tensor::scalar(1i64));
        net.add(Split { num_splits: 2 }, &[x, axis.into()])
    });
    taken(|net, x| {
        let slope = net.constant(&[1], 0.1);
        net.add(PRelu, &[x, slope])
    });
    taken(|net, x| {
        let one = net.model.add_constant("one", Tensor::scalar(1.0f32));
        net.add(Binary::new(BinaryKind::Power), &[x, one.into()])
    });
    taken(|net, x| {
        let [gamma, beta, mean] = [0; 3].map(|_| net.constant(&[16], 1.0));
        let variance = net.model.add_constant("v", Tensor::from_slice(&[16], &[0.5f32; 16]).unwrap());
        let op = BatchNormInference { epsilon: 1e-3, data_input: 0 };
        net.add(op, &[x, gamma, beta, mean, variance.into()])
    });
    // Rounding up, as Caffe pools.
    taken(|net, x| {
        let op = MaxPool {
            strides: vec![2; 2],
            kernel: vec![3; 2],
            pads_begin: vec![0; 2],
            pads_end: vec![0; 2],
            rounding_type: RoundingType::Ceil,
            ..MaxPool::default()
        };
        net.add(op, &[x])
    });
}

#[test]
fn taken_where_the_bitstream_has_the_unit() {
    type Case = (Primitive, fn(&mut Net, Port) -> Port);
    let cases: [Case; 4] = [
        (Primitive::Clamp, |net, x| net.add(Clamp { min: 0.0, max: 6.0 }, &[x])),
        (Primitive::Elu, |net, x| net.add(Elu { alpha: 1.0 }, &[x])),
        (Primitive::Prelu, |net, x| {
            let slopes = net.constant(&[16], 0.2);
            net.add(PRelu, &[x, slopes])
        }),
        (Primitive::Lrn, |net, x| {
            let axes = list(net, &[1]);
            net.add(Lrn::default(), &[x, axes])
        }),
    ];
    for (primitive, op) in cases {
        let mut architecture = architecture("fp11", 4096);
        assert_eq!(single(&architecture, op), None);
        architecture.primitives.remove(&primitive);
        let reason = single(&architecture, op).unwrap();
        assert!(reason.contains(&format!("no {} unit", primitive.name())), "{reason}");
    }
}

#[test]
fn refused_with_the_reason() {
    let architecture = architecture("fp16", 4096);
    let refused = |expected: &str, op: fn(&mut Net, Port) -> Port| {
        let reason = single(&architecture, op).unwrap();
        assert!(reason.contains(expected), "{reason}");
    };
    refused("no unit for it", |net, x| net.add(Softmax { axis: 1 }, &[x]));
    refused("no unit for it", |net, x| net.add(Unary::Sigmoid, &[x]));
    refused("no unit for it", |net, x| net.add(Unary::Tanh, &[x]));
    refused("product of two feature maps", |net, x| net.add(Binary::new(BinaryKind::Multiply), &[x, x]));
    refused("no such element-wise unit", |net, x| net.add(Binary::new(BinaryKind::Maximum), &[x, x]));
    refused("no unit for it", |net, x| {
        let order = list(net, &[0, 2, 3, 1]);
        net.add(Transpose, &[x, order])
    });
    refused("before a fully connected layer", |net, x| {
        let shape = list(net, &[1, 4, 12, 12]);
        net.add(Reshape { special_zero: false }, &[x, shape])
    });
    refused("`result0` (Result) follows", |net, x| {
        let shape = list(net, &[1, -1]);
        net.add(Reshape { special_zero: false }, &[x, shape])
    });
    refused("`result0` (Result) follows", |net, x| {
        let pool = net.max_pool(x, 6, 1, 0);
        let axes = list(net, &[2, 3]);
        net.add(Squeeze, &[pool, axes])
    });
    refused("the exponent 1 is taken, found 2", |net, x| {
        let two = net.model.add_constant("two", Tensor::scalar(2.0f32));
        net.add(Binary::new(BinaryKind::Power), &[x, two.into()])
    });
    refused("axis 2 is not theirs", |net, x| net.add(Concat { axis: 2 }, &[x, x]));
    refused("the weights must be constants", |net, x| {
        let weights = net.input(&[4, 16, 1, 1]);
        let op = Convolution {
            strides: vec![1; 2],
            dilations: vec![1; 2],
            pads_begin: vec![0; 2],
            pads_end: vec![0; 2],
            ..Convolution::default()
        };
        net.add(op, &[x, weights])
    });
    refused("one for each of the 16 channels", |net, x| {
        let plane = net.constant(&[1, 1, 6, 6], 1.0);
        net.sum(x, plane)
    });
    refused("the same padding on both sides", |net, x| {
        let op = AvgPool {
            strides: vec![1; 2],
            kernel: vec![2; 2],
            pads_begin: vec![0; 2],
            pads_end: vec![1; 2],
            exclude_pad: false,
            ..AvgPool::default()
        };
        net.add(op, &[x])
    });
    refused("taken as f32 or f16, found i32", |net, _| {
        let ids = net.model.add_parameter("ids", ElementType::I32, "[1,4]".parse().unwrap());
        net.add(Convert { destination_type: ElementType::F32 }, &[ids.into()])
    });
}

#[test]
fn images_must_be_known_single_and_not_too_large() {
    let architecture = architecture("fp16", 4096);
    for (shape, expected) in [
        ("[?,16,6,6]", "must be known"),
        ("[2,16,6,6]", "batch must be 1"),
        ("[1,16,65,6]", "1 to 64 rows"),
        ("[1,2049,6,6]", "1 to 2048 channels"),
        ("[1,16,6]", "four dimensions"),
    ] {
        let mut net = Net::new(1);
        let x = net.model.add_parameter("x", ElementType::F32, shape.parse().unwrap());
        let last = net.relu(x.into());
        let reason = reason(&mut net, last, &architecture).unwrap();
        assert!(reason.contains(expected), "{reason}");
    }
    let mut net = Net::new(1);
    let x = net.model.add_parameter("x", ElementType::U8, "[1,3,65,6]".parse().unwrap());
    net.add(Convert { destination_type: ElementType::F32 }, &[x.into()]);
    let refused = query(&net.model, &architecture).unwrap().refused;
    assert!(refused[0].0 == "x" && refused[0].1.contains("1 to 64 rows"), "{refused:?}");
}

#[test]
fn integers_enter_by_the_host_and_half_weights_are_read() {
    let architecture = architecture("fp16", 4096);
    let mut net = Net::new(1);
    let x = net.model.add_parameter("x", ElementType::U8, "[1,3,6,6]".parse().unwrap());
    let x = net.add(Convert { destination_type: ElementType::F32 }, &[x.into()]);
    let half: Vec<half::f16> = (0..12).map(|i| half::f16::from_f32(i as f32 / 8.0)).collect();
    let half = net.model.add_constant("half", Tensor::from_slice(&[4, 3, 1, 1], &half).unwrap());
    let weights = net.add(Convert { destination_type: ElementType::F32 }, &[half.into()]);
    let op = Convolution {
        strides: vec![1; 2],
        dilations: vec![1; 2],
        pads_begin: vec![0; 2],
        pads_end: vec![0; 2],
        ..Convolution::default()
    };
    let y = net.add(op, &[x, weights]);
    net.result(y);
    let program = Arc::new(compile(&net.model, &architecture).unwrap());
    assert_eq!(program.inputs[0].element_type, ElementType::U8);
    let image: Vec<u8> = (0..108).map(|i| (i * 7 % 256) as u8).collect();
    let image = Tensor::from_slice(&[1, 3, 6, 6], &image).unwrap();
    let expected = ir::evaluate(&net.model, std::slice::from_ref(&image)).unwrap();
    let found = run(&program, &architecture, &[image]);
    for (found, expected) in found[0].iter().zip(expected[0].to_f64s()) {
        assert!(
            (f64::from(*found) - expected).abs() < 2e-3 * expected.abs().max(256.0),
            "{found} {expected}"
        );
    }
}
