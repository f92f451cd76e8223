//! Networks by kind of layer.

use super::*;
use ir::op::{
    AvgPool, Clamp, Concat, ConvolutionBackpropData, Elu, GroupConvolution, Interpolate, InterpolateForm,
    Lrn, MatMul, PRelu, Reduce, ReduceKind, Reshape, Slice, Split, VariadicSplit,
};

#[test]
fn a_small_classifier() {
    let mut net = Net::new(1);
    let x = net.input(&[1, 3, 12, 10]);
    let x = net.convolution(x, 20, 3, 1);
    let x = net.bias(x);
    let x = net.relu(x);
    let x = net.max_pool(x, 2, 2, 0);
    let y = net.convolution(x, 20, 3, 1);
    let y = net.bias(y);
    let y = net.sum(x, y);
    let y = net.relu(y);
    let shape = Tensor::from_i64s(&[1, 20 * 6 * 5]);
    let shape = net.model.add_constant("shape", shape);
    let flat = net.add(Reshape { special_zero: false }, &[y, shape.into()]);
    let weights = net.constant(&[11, 600], 0.05);
    let y = net.add(MatMul { transpose_a: false, transpose_b: true }, &[flat, weights]);
    let y = net.bias(y);
    let weights = net.constant(&[11, 7], 0.3);
    let y = net.add(MatMul::default(), &[y, weights]);
    net.result(y);
    net.check();
    let program = compile(&net.model, &architecture("fp16", 4096)).unwrap();
    // Two convolutions and two products; all else joins them.
    assert_eq!(program.layers.len(), 4);
    assert_eq!(program.layers[0].fused.len(), 3);
    assert_eq!(program.layers[1].fused.len(), 3);
    let errors = [net.errors(&architecture("fp16", 4096)), net.errors(&architecture("fp11", 4096))];
    assert!(4.0 * errors[0][0] < errors[1][0], "{errors:?}");
}

#[test]
fn convolutions_of_every_geometry() {
    for (seed, (kernel, strides, dilation, pads)) in [
        ([3, 5], [2, 1], 1, [1, 2, 0, 1]),
        ([3, 3], [1, 1], 2, [2, 2, 2, 2]),
        ([1, 4], [3, 2], 1, [0, 0, 0, 3]),
    ]
    .into_iter()
    .enumerate()
    {
        let mut net = Net::new(seed as u64);
        let x = net.input(&[1, 11, 13, 9]);
        let weights = net.constant(&[18, 11, kernel[0], kernel[1]], 0.2);
        let op = Convolution {
            strides: strides.to_vec(),
            pads_begin: vec![pads[0], pads[1]],
            pads_end: vec![pads[2], pads[3]],
            dilations: vec![dilation; 2],
            ..Convolution::default()
        };
        let x = net.add(op, &[x, weights]);
        net.result(x);
        net.check();
    }
}

#[test]
fn groups_that_fill_words_and_groups_that_do_not() {
    // Depthwise with and without a rest, halves as in AlexNet, groups of 4 as in ResNeXt, groups of odd sizes, multipliers.
    for (groups, inputs, outputs) in
        [(24, 1, 1), (13, 1, 1), (2, 16, 24), (8, 4, 4), (3, 5, 7), (6, 1, 2), (5, 4, 8)]
    {
        let mut net = Net::new(groups as u64);
        let x = net.input(&[1, groups * inputs, 6, 5]);
        let weights = net.constant(&[groups, outputs, inputs, 3, 3], 0.3);
        let op = GroupConvolution {
            strides: vec![1; 2],
            pads_begin: vec![1; 2],
            pads_end: vec![1; 2],
            dilations: vec![1; 2],
            ..GroupConvolution::default()
        };
        let x = net.add(op, &[x, weights]);
        let x = net.bias(x);
        let x = net.max_pool(x, 3, 2, 1);
        net.result(x);
        net.check();
    }
}

#[test]
fn deconvolutions() {
    for (kernel, stride, pad) in [(4, 2, 1), (2, 2, 0), (3, 1, 1), (2, 3, 0)] {
        let mut net = Net::new(kernel as u64);
        let x = net.input(&[1, 10, 5, 4]);
        let weights = net.constant(&[10, 9, kernel, kernel], 0.2);
        let op = ConvolutionBackpropData {
            strides: vec![stride; 2],
            pads_begin: vec![pad; 2],
            pads_end: vec![pad; 2],
            dilations: vec![1; 2],
            ..ConvolutionBackpropData::default()
        };
        let x = net.add(op, &[x, weights]);
        let x = net.relu(x);
        net.result(x);
        net.check();
    }
}

#[test]
fn means_and_resampling() {
    for exclude_pad in [false, true] {
        let mut net = Net::new(9);
        let x = net.input(&[1, 10, 7, 7]);
        let op = AvgPool {
            strides: vec![2; 2],
            kernel: vec![3; 2],
            pads_begin: vec![1; 2],
            pads_end: vec![1; 2],
            exclude_pad,
            ..AvgPool::default()
        };
        let small = net.add(op, &[x]);
        let sizes = net.model.add_constant("sizes", Tensor::from_i64s(&[8, 12]));
        let scales = net.model.add_constant("scales", Tensor::from_slice(&[2], &[2.0f32, 3.0]).unwrap());
        let axes = net.model.add_constant("axes", Tensor::from_i64s(&[2, 3]));
        let op = Interpolate {
            coordinate_transformation_mode: ir::op::CoordinateTransformation::Asymmetric,
            nearest_mode: ir::op::NearestMode::Floor,
            ..Interpolate::new(InterpolateForm::SizesAndScales)
        };
        let large = net.add(op, &[small, sizes.into(), scales.into(), axes.into()]);
        let large = net.relu(large);
        net.result(large);
        let axes = net.model.add_constant("both", Tensor::from_i64s(&[2, 3]));
        let mean = net.add(Reduce::new(ReduceKind::Mean), &[large, axes.into()]);
        net.result(mean);
        net.check();
    }
}

#[test]
fn activations_alone_and_joined() {
    let slopes = |net: &mut Net| net.constant(&[12], 0.4);
    for joined in [false, true] {
        for kind in 0..5 {
            let mut net = Net::new(kind);
            let x = net.input(&[1, 12, 5, 5]);
            let x = if joined { net.convolution(x, 12, 1, 1) } else { x };
            let x = match kind {
                0 => net.add(Elu { alpha: 0.7 }, &[x]),
                1 => net.add(Clamp { min: -0.25, max: 0.5 }, &[x]),
                2 => {
                    let slopes = slopes(&mut net);
                    net.add(PRelu, &[x, slopes])
                }
                3 => {
                    let slope = net.constant(&[1], 0.3);
                    net.add(PRelu, &[x, slope])
                }
                _ => net.relu(x),
            };
            net.result(x);
            net.check();
        }
    }
}

#[test]
fn scales_shifts_and_normalisation() {
    let mut net = Net::new(3);
    let x = net.input(&[1, 18, 4, 4]);
    let scale = net.constant(&[1, 18, 1, 1], 1.0);
    let x = net.add(Binary::new(BinaryKind::Multiply), &[x, scale]);
    let x = net.bias(x);
    let axes = net.model.add_constant("axes", Tensor::from_i64s(&[1]));
    let op = Lrn { alpha: 0.5, beta: 0.75, bias: 1.0, size: 5 };
    let y = net.add(op, &[x, axes.into()]);
    let one = net.model.add_constant("one", Tensor::scalar(1.0f32));
    let y = net.add(Binary::new(BinaryKind::Subtract), &[one.into(), y]);
    net.result(y);
    let z = net.add(Binary::new(BinaryKind::Subtract), &[x, y]);
    net.result(z);
    net.check();
}

#[test]
fn concatenation_is_allocation() {
    let mut net = Net::new(4);
    let x = net.input(&[1, 16, 6, 6]);
    let a = net.convolution(x, 16, 1, 1);
    let b = net.convolution(x, 24, 3, 1);
    let inner = net.add(Concat { axis: 1 }, &[a, b]);
    let c = net.convolution(inner, 8, 1, 1);
    let outer = net.add(Concat { axis: 1 }, &[inner, c]);
    let y = net.convolution(outer, 9, 3, 1);
    net.result(y);
    net.check();
    let program = compile(&net.model, &architecture("fp16", 4096)).unwrap();
    assert_eq!(program.layers.len(), 4, "{:?}", program.layers);
    assert!(program.layers.iter().all(|layer| layer.kind == "Convolution"));
}

#[test]
fn concatenations_with_gaps_twice_and_of_inputs() {
    let mut net = Net::new(5);
    let x = net.input(&[1, 3, 6, 6]);
    let a = net.convolution(x, 5, 3, 1);
    let b = net.convolution(x, 12, 1, 1);
    let first = net.add(Concat { axis: 1 }, &[x, a, b, a]);
    let second = net.add(Concat { axis: -3 }, &[b, first]);
    let y = net.max_pool(second, 3, 2, 1);
    let y = net.bias(y);
    net.result(y);
    let z = net.convolution(first, 7, 3, 1);
    let weights = net.constant(&[25, 1, 1, 3, 3], 0.3);
    let op = GroupConvolution {
        strides: vec![1; 2],
        pads_begin: vec![1; 2],
        pads_end: vec![1; 2],
        dilations: vec![1; 2],
        ..GroupConvolution::default()
    };
    let w = net.add(op, &[first, weights]);
    net.result(z);
    net.result(w);
    net.result(a);
    net.check();
}

#[test]
fn parts_of_channels() {
    let mut net = Net::new(6);
    let x = net.input(&[1, 24, 5, 5]);
    let x = net.convolution(x, 24, 1, 1);
    let axis = net.model.add_constant("axis", Tensor::scalar(1i64));
    let parts = net.add(Split { num_splits: 3 }, &[x, axis.into()]).node;
    let y = net.sum(parts.output(0), parts.output(2));
    let y = net.convolution(y, 20, 3, 1);
    let lengths = net.model.add_constant("lengths", Tensor::from_i64s(&[16, -1]));
    let again = net.add(VariadicSplit, &[y, axis.into(), lengths.into()]).node;
    net.result(again.output(0));
    let z = net.relu(again.output(1));
    net.result(z);
    let one = |net: &mut Net, name: &str, value: i64| {
        net.model.add_constant(name, Tensor::from_i64s(&[value])).into()
    };
    let slice = [
        parts.output(1),
        one(&mut net, "start", 0),
        one(&mut net, "stop", 3),
        one(&mut net, "step", 1),
        one(&mut net, "axes", 1),
    ];
    assert!(super::super::query(&net.model, &architecture("fp16", 4096)).unwrap().refused.is_empty());
    let mut other = Net::new(7);
    std::mem::swap(&mut other.model, &mut net.model);
    // Channels 0 to 3 end within a word.
    let cut = other.add(Slice, &slice);
    other.result(cut);
    let refused = super::super::query(&other.model, &architecture("fp16", 4096)).unwrap().refused;
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].1.contains("multiples of 8"), "{refused:?}");
}

#[test]
fn ends_that_meet() {
    let mut net = Net::new(8);
    let x = net.input(&[1, 5, 3, 3]);
    let y = net.relu(x);
    net.result(x);
    net.result(y);
    net.result(y);
    let twice = net.sum(x, x);
    net.result(twice);
    net.check();
}
