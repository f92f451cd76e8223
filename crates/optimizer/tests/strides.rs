//! Strides of 1x1 convolutions move to where they save the most, and the answers stay.

mod net;

use ir::{Model, Op, Tensor, op::*};
use net::{Expr, Net, noise};
use optimizer::{Options, STRIDE_HOISTING, optimize};
use std::collections::HashSet;

fn conv<'n>(x: Expr<'n>, weights: &[usize], stride: usize, pad: i64) -> Expr<'n> {
    let op = Convolution {
        strides: vec![stride; 2],
        pads_begin: vec![pad; 2],
        pads_end: vec![pad; 2],
        dilations: vec![1; 2],
        ..Convolution::default()
    };
    x.net.op(op, &[x, x.net.weights(weights)])
}

/// Optimises with and without the pass; both must compute the same.
fn hoisted(model: &Model, options: &Options) -> Model {
    let inputs: Vec<Tensor> = model
        .parameters()
        .iter()
        .enumerate()
        .map(|(i, id)| noise(&model.ty((*id).into()).shape.sizes().unwrap(), i as u64))
        .collect();
    let want = ir::evaluate(model, &inputs).unwrap();
    let mut model = model.clone();
    optimize(&mut model, options).unwrap();
    for (found, want) in ir::evaluate(&model, &inputs).unwrap().iter().zip(&want) {
        assert_eq!(found.shape(), want.shape());
        for (f, w) in found.to_f64s().iter().zip(want.to_f64s()) {
            assert!((f - w).abs() <= 1e-5 * w.abs().max(1.0), "{f} {w}");
        }
    }
    model
}

fn strides(model: &Model) -> Vec<usize> {
    let order = model.topological_order().unwrap();
    let stride = |id: &ir::NodeId| match &model.node(*id).op {
        Op::Convolution(c) => Some(c.strides[0]),
        _ => None,
    };
    order.iter().filter_map(stride).collect()
}

fn pools(model: &Model) -> usize {
    model.nodes().filter(|(_, node)| matches!(node.op, Op::MaxPool(_))).count()
}

/// The end of one stage of ResNet and the begin of the next.
fn resnet(net: &Net) -> Model {
    let x = net.input("[1,4,7,7]").relu();
    let branch =
        conv(conv(conv(x, &[4, 4, 1, 1], 1, 0).relu(), &[4, 4, 3, 3], 1, 1).relu(), &[4, 4, 1, 1], 1, 0);
    let joined = (branch + x).relu();
    let left = conv(conv(joined, &[4, 4, 1, 1], 2, 0).relu(), &[6, 4, 1, 1], 1, 0);
    let right = conv(joined, &[6, 4, 1, 1], 2, 0);
    net.model(&[(left + right).relu()])
}

#[test]
fn a_resnets_stride_reaches_the_convolution_of_the_stage_before() {
    let net = Net::default();
    let model = resnet(&net);
    let found = hoisted(&model, &Options::default());
    // The 3x3 convolution computes a quarter; the shortcut is thinned out by a pool.
    assert_eq!(strides(&found), [1, 2, 1, 1, 1, 1]);
    assert_eq!(pools(&found), 1);
    let skip = Options { skip: vec![STRIDE_HOISTING.to_owned()], ..Options::default() };
    let left = hoisted(&model, &skip);
    assert_eq!((strides(&left), pools(&left)), (vec![1, 1, 1, 2, 1, 2], 0));
}

#[test]
fn where_somebody_needs_every_element_strides_stay() {
    let net = Net::default();
    let x = conv(net.input("[1,2,6,6]"), &[3, 2, 3, 3], 1, 0);
    let model = net.model(&[conv(x, &[2, 3, 1, 1], 2, 0), x.relu()]);
    assert_eq!(strides(&hoisted(&model, &Options::default())), [1, 2]);
    // Nothing before it is a convolution.
    let net = Net::default();
    let x = net.input("[1,2,6,6]").relu();
    let model = net.model(&[conv(x, &[2, 2, 1, 1], 2, 0)]);
    let found = hoisted(&model, &Options::default());
    assert_eq!((strides(&found), pools(&found)), (vec![2], 0));
}

#[test]
fn strides_multiply_and_odd_sizes_fit() {
    for (size, stride) in [(9, 2), (10, 3), (11, 2)] {
        let net = Net::default();
        let x = conv(net.input(&format!("[1,2,{size},{size}]")), &[3, 2, 3, 3], 2, 1).relu();
        let scaled = x * net.weights(&[1, 3, 1, 1]);
        let model = net.model(&[conv(scaled.relu(), &[2, 3, 1, 1], stride, 0)]);
        assert_eq!(strides(&hoisted(&model, &Options::default())), [2 * stride, 1]);
    }
}

#[test]
fn padding_that_follows_from_the_stride_is_spelled_out() {
    for (auto_pad, kernel, size) in
        [(AutoPad::SameUpper, 3, 7), (AutoPad::SameUpper, 2, 6), (AutoPad::SameLower, 4, 7)]
    {
        let net = Net::default();
        let x = net.input(&format!("[1,2,{size},{size}]"));
        let op =
            Convolution { strides: vec![1; 2], dilations: vec![1; 2], auto_pad, ..Convolution::default() };
        let first = net.op(op, &[x, net.weights(&[3, 2, kernel, kernel])]);
        let model = net.model(&[conv(first.relu(), &[2, 3, 1, 1], 2, 0)]);
        assert_eq!(strides(&hoisted(&model, &Options::default())), [2, 1], "{auto_pad:?}");
    }
}

#[test]
fn nodes_that_are_to_be_kept_take_no_stride() {
    let net = Net::default();
    let x = conv(net.input("[1,2,6,6]"), &[3, 2, 3, 3], 1, 0).named("first");
    let model = net.model(&[conv(x.relu(), &[2, 3, 1, 1], 2, 0)]);
    let keep = Options { keep: HashSet::from(["first".to_owned()]), ..Options::default() };
    assert_eq!(strides(&hoisted(&model, &keep)), [1, 2]);
    assert_eq!(strides(&hoisted(&model, &Options::default())), [2, 1]);
}
