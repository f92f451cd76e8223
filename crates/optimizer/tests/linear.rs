//! Chains of scales and shifts go into weights where that is exact.

mod net;

use ir::{Tensor, op::*};
use net::{Expr, Net, convolution, noise, optimized};

/// One number for each of three channels.
fn channels(net: &Net, seed: u64) -> Expr<'_> {
    net.tensor(noise(&[1, 3, 1, 1], seed))
}

fn batch_norm<'n>(x: Expr<'n>, count: usize) -> Expr<'n> {
    let net = x.net;
    let positive = noise(&[count], 5).to_f64s().iter().map(|v| (v.abs() + 0.5) as f32).collect::<Vec<_>>();
    let variance = net.tensor(Tensor::from_slice(&[count], &positive).unwrap());
    let [gamma, beta, mean] = [1, 2, 3].map(|seed| net.tensor(noise(&[count], seed)));
    let gamma = gamma.named("gamma");
    net.op(BatchNormInference { epsilon: 1e-3, data_input: 0 }, &[x, gamma, beta, mean, variance])
}

#[test]
fn batch_norm_goes_into_the_convolution_before_it() {
    let net = Net::default();
    let bias = net.tensor(noise(&[4, 1, 1], 9));
    let x = net.input("[1,3,5,5]");
    let conv = x.conv(&[4, 3, 3, 3], 1).named("conv");
    let norm = batch_norm((conv + bias).named("bias"), 4).named("norm");
    let done = optimized(&[norm.relu().named("relu")]).are("Convolution Add ReLU");
    assert_eq!(done.names(), ["conv", "norm", "relu"]);
    assert_eq!(done.model.find_port("norm:0").unwrap().node, done.node("Add").0);
    assert_eq!(done.node("Add").1.rt_info["fused_names"].parts["value"], "bias,gamma,norm");
    // The convolution's output is no longer what the framework called so.
    assert!(done.node("Convolution").1.outputs()[0].names.is_empty());
}

#[test]
fn a_batch_norm_that_stays_is_two_nodes_with_two_names() {
    let net = Net::default();
    let norm = batch_norm(net.input("[1,3,5,5]").relu(), 3).named("norm");
    let done = optimized(&[norm]).are("ReLU Multiply Add");
    assert_eq!(done.names()[1..], ["gamma", "norm"]);
}

#[test]
fn a_scale_alone_gives_the_convolution_its_name() {
    let net = Net::default();
    let conv = net.input("[1,3,5,5]").conv(&[3, 3, 1, 1], 0).named("conv");
    let done = optimized(&[(conv * channels(&net, 1)).named("scale")]).are("Convolution");
    assert_eq!(done.names(), ["scale"]);
    assert_eq!(done.node("Convolution").1.rt_info["fused_names"].parts["value"], "conv,scale");
    assert!(done.model.find_port("scale:0").is_some() && done.model.find_port("conv:0").is_none());
}

#[test]
fn every_kind_of_weights_takes_scales_from_both_sides() {
    let grouped = GroupConvolution {
        strides: vec![1, 1],
        pads_begin: vec![1, 1],
        pads_end: vec![1, 1],
        dilations: vec![1, 1],
        ..Default::default()
    };
    let back = ConvolutionBackpropData {
        strides: vec![2, 2],
        pads_begin: vec![0, 0],
        pads_end: vec![0, 0],
        dilations: vec![1, 1],
        ..Default::default()
    };
    let group_back = GroupConvolutionBackpropData {
        strides: vec![2, 2],
        pads_begin: vec![0, 0],
        pads_end: vec![0, 0],
        dilations: vec![1, 1],
        ..Default::default()
    };
    let net = Net::default();
    let x = net.input("[2,6,4,4]");
    let scaled = x * net.tensor(noise(&[6, 1, 1], 4));
    let both = |op: ir::Op, weights: &[usize], outputs: usize| {
        let y = net.op(op, &[scaled, net.weights(weights)]);
        optimized(&[y * net.tensor(noise(&[1, outputs, 1, 1], 8))]).ops().join(" ")
    };
    assert_eq!(both(convolution(2, 1).into(), &[4, 6, 3, 3], 4), "Convolution");
    assert_eq!(both(grouped.into(), &[3, 2, 2, 3, 3], 6), "GroupConvolution");
    assert_eq!(both(back.into(), &[6, 4, 2, 2], 4), "ConvolutionBackpropData");
    assert_eq!(both(group_back.into(), &[3, 2, 2, 2, 2], 6), "GroupConvolutionBackpropData");

    let net = Net::default();
    let x = net.input("[2,5]") / net.tensor(Tensor::from_slice(&[5], &[1f32, 2., 4., 8., 0.5]).unwrap());
    optimized(&[x.matmul(&[5, 3]) * net.tensor(noise(&[3], 3))]).are("MatMul");
    let flipped = MatMul { transpose_a: false, transpose_b: true };
    let y = net.op(flipped, &[x, net.weights(&[3, 5])]) * net.tensor(noise(&[1, 3], 3));
    optimized(&[y]).are("MatMul");
}

#[test]
fn shifts_before_weights_become_a_bias_where_nothing_is_padded() {
    let net = Net::default();
    let x = net.input("[1,3,5,5]");
    let shifted = x - channels(&net, 2);
    optimized(&[shifted.conv(&[4, 3, 3, 3], 0)]).are("Convolution Add");
    optimized(&[(shifted * 2.0).conv(&[4, 3, 3, 3], 0)]).are("Convolution Add");
    optimized(&[shifted.conv(&[4, 3, 3, 3], 1)])
        .are("Subtract Convolution")
        .refused("shift into bias behind it", "zeros are padded");
    // The scale still goes, and moves the constant of the shift.
    optimized(&[(shifted * channels(&net, 7)).conv(&[4, 3, 3, 3], 1)]).are("Add Convolution");
    let y = net.input("[2,5]") + net.tensor(noise(&[5], 2));
    optimized(&[y.matmul(&[5, 3]) + net.tensor(noise(&[3], 3))]).are("MatMul Add");
}

#[test]
fn chains_come_to_one_scale_and_one_shift() {
    let net = Net::default();
    let x = net.input("[1,3,5,5]");
    let y = ((x + channels(&net, 1)) * channels(&net, 2) - 0.5) / 3.0 + channels(&net, 4);
    optimized(&[y]).are("Multiply Add");
    optimized(&[x * 2.0 * 3.0]).are("Multiply");
    optimized(&[x - 1.0 + 1.0]).are("");
}

#[test]
fn what_is_not_per_channel_stays() {
    let net = Net::default();
    let x = net.input("[1,3,4,4]");
    let conv = x.conv(&[3, 3, 1, 1], 0);
    optimized(&[conv * net.tensor(noise(&[4], 1))])
        .are("Convolution Multiply")
        .refused("scale into weights before it", "not one number a channel");
    optimized(&[conv * channels(&net, 1), conv])
        .are("Convolution Multiply")
        .refused("scale into weights before it", "has other uses");
    let stretched = net.input("[1,1,4,4]").conv(&[1, 1, 1, 1], 0) * channels(&net, 1);
    optimized(&[stretched]).are("Convolution Multiply");
    let weights = net.weights(&[3, 3, 1, 1]);
    let twice = net.op(convolution(2, 0), &[x, weights]) * channels(&net, 5);
    let other = net.op(convolution(2, 0), &[x, weights]);
    optimized(&[twice, other])
        .refused("scale into weights before it", "weights are shared")
        .are("Convolution Multiply Convolution");
}

#[test]
fn constants_never_grow() {
    let net = Net::default();
    let x = net.input("[1,8,8]");
    let (row, column) = (net.tensor(noise(&[8, 1], 1)), net.tensor(noise(&[1, 8], 2)));
    optimized(&[x * row * column]).are("Multiply Multiply").refused("merge scales", "would grow");
}
