//! Pads, blocks and groups become attributes of convolutions and pools, and nothing is left of what does nothing.

mod net;

use ir::op::*;
use net::{Expr, Net, convolution, optimized};

fn max_pool(kernel: usize, pad: i64) -> MaxPool {
    MaxPool {
        strides: vec![2, 2],
        pads_begin: vec![pad, pad],
        pads_end: vec![pad, pad],
        kernel: vec![kernel, kernel],
        ..Default::default()
    }
}

fn average(exclude_pad: bool, pad: i64) -> AvgPool {
    AvgPool {
        strides: vec![2, 2],
        pads_begin: vec![pad, pad],
        pads_end: vec![pad, pad],
        kernel: vec![3, 3],
        exclude_pad,
        ..Default::default()
    }
}

#[test]
fn pads_go_into_convolutions() {
    let net = Net::default();
    let x = net.input("[1,2,5,5]");
    let padded = x.pad(&[0, 0, 1, 2], &[0, 0, 2, 1], 0.0);
    let done = optimized(&[padded.conv(&[3, 2, 3, 3], 1)]).are("Convolution");
    let ir::Op::Convolution(op) = &done.node("Convolution").1.op else { panic!() };
    assert_eq!((&op.pads_begin[..], &op.pads_end[..]), (&[2, 3][..], &[3, 2][..]));
    let grouped = GroupConvolution {
        strides: vec![2, 2],
        pads_begin: vec![0, 0],
        pads_end: vec![0, 0],
        dilations: vec![1, 1],
        auto_pad: AutoPad::Valid,
    };
    optimized(&[net.op(grouped, &[padded, net.weights(&[2, 1, 1, 3, 3])])]).are("GroupConvolution");
}

#[test]
fn pads_that_a_convolution_cannot_say_stay() {
    let net = Net::default();
    let x = net.input("[1,2,5,5]");
    let rule = "pad into window";
    optimized(&[x.pad(&[0, 0, 1, 1], &[0, 0, 1, 1], 2.0).conv(&[3, 2, 3, 3], 0)])
        .are("Pad Convolution")
        .refused(rule, "it pads with 2");
    optimized(&[x.pad(&[0, 1, 1, 1], &[0, 0, 1, 1], 0.0).conv(&[3, 3, 3, 3], 0)])
        .are("Pad Convolution")
        .refused(rule, "batches or channels");
    optimized(&[x.pad(&[0, 0, -1, 1], &[0, 0, 1, 1], 0.0).conv(&[3, 2, 3, 3], 0)])
        .are("Pad Convolution")
        .refused(rule, "it crops");
    let edge = Pad { pad_mode: PadMode::Edge };
    let ones = net.ints(&[0, 0, 1, 1]);
    optimized(&[net.op(edge, &[x, ones, ones]).conv(&[3, 2, 3, 3], 0)])
        .are("Pad Convolution")
        .refused(rule, "the data's own elements");
    let same = Convolution { auto_pad: AutoPad::SameUpper, ..convolution(2, 0) };
    let padded = x.pad(&[0, 0, 1, 1], &[0, 0, 1, 1], 0.0);
    optimized(&[net.op(same, &[padded, net.weights(&[3, 2, 3, 3])])])
        .are("Pad Convolution")
        .refused(rule, "depends on the size");
}

#[test]
fn pads_go_into_pools_where_the_maximum_ignores_them() {
    let net = Net::default();
    let x = net.input("[1,2,5,5]");
    let pad = |x: Expr<'_>, value| x.pad(&[0, 0, 1, 1], &[0, 0, 1, 1], value).port;
    let expr = |port| Expr { port, ..x };
    let rule = "pad into window";
    optimized(&[net.op(max_pool(3, 0), &[expr(pad(x.relu(), 0.0))])]).are("ReLU MaxPool");
    optimized(&[net.op(max_pool(3, 0), &[expr(pad(x, f32::NEG_INFINITY))])]).are("MaxPool");
    optimized(&[net.op(max_pool(3, 0), &[expr(pad(x, 0.0))])])
        .are("Pad MaxPool")
        .refused(rule, "can be the maximum");
    optimized(&[net.op(max_pool(3, 0), &[expr(pad(x.relu(), 0.5))])]).are("ReLU Pad MaxPool");
    optimized(&[net.op(max_pool(1, 0), &[expr(pad(x.relu(), 0.0))])])
        .are("ReLU Pad MaxPool")
        .refused(rule, "wholly in the padding");
    optimized(&[net.op(average(false, 0), &[expr(pad(x, 0.0))])]).are("AvgPool");
    optimized(&[net.op(average(true, 0), &[expr(pad(x, 0.0))])]).are("AvgPool");
    optimized(&[net.op(average(true, 1), &[expr(pad(x, 0.0))])])
        .are("Pad AvgPool")
        .refused(rule, "leaves out the window's own padding");
    optimized(&[net.op(average(false, 0), &[expr(pad(x, 1.0))])]).are("Pad AvgPool");
}

#[test]
fn blocks_in_the_batch_are_a_dilation() {
    let net = Net::default();
    let x = net.input("[1,2,6,6]");
    let dilated = |pad_end: i64, crop: i64, stride: usize| {
        let block = net.ints(&[1, 1, 2, 2]);
        let (zero, begin) = (net.ints(&[0; 4]), net.ints(&[0, 0, 2, 2]));
        let op = Convolution { strides: vec![stride; 2], ..convolution(2, 0) };
        let y = net.op(SpaceToBatch, &[x, block, begin, net.ints(&[0, 0, pad_end, pad_end])]);
        let y = net.op(op, &[y, net.weights(&[3, 2, 3, 3])]);
        net.op(BatchToSpace, &[y, block, zero, net.ints(&[0, 0, crop, crop])])
    };
    let done = optimized(&[dilated(4, 2, 1)]).are("Convolution");
    let ir::Op::Convolution(op) = &done.node("Convolution").1.op else { panic!() };
    assert_eq!(
        (&op.dilations[..], &op.pads_begin[..], &op.pads_end[..]),
        (&[2, 2][..], &[2, 2][..], &[2, 2][..])
    );
    optimized(&[dilated(2, 3, 1)])
        .are("SpaceToBatch Convolution BatchToSpace")
        .refused("blocks into dilation", "more is cropped");
    optimized(&[dilated(4, 0, 2)])
        .are("SpaceToBatch Convolution BatchToSpace")
        .refused("blocks into dilation", "strides");
}

#[test]
fn a_convolution_for_each_part_is_a_grouped_one() {
    let net = Net::default();
    let x = net.input("[1,4,5,5]");
    let parts = x.split(1, 2);
    let convs: Vec<Expr> = parts.iter().map(|p| p.conv(&[3, 2, 3, 3], 1)).collect();
    optimized(&[convs[0].concat(&convs[1..], 1)]).are("GroupConvolution");
    let lengths = [x, net.tensor(ir::Tensor::scalar(1i64)), net.ints(&[2, 2])];
    let first = net.op(VariadicSplit, &lengths);
    let second = Expr { port: first.port.node.output(1), ..first };
    let conv = |part: Expr<'_>| part.conv(&[3, 2, 3, 3], 1).port;
    let ports = [conv(first), conv(second)].map(|port| Expr { port, ..first });
    optimized(&[ports[0].concat(&ports[1..], 1)]).are("GroupConvolution");
    // In another order the groups would change places.
    optimized(&[convs[1].concat(&convs[..1], 1)])
        .are("Split Convolution Convolution Concat")
        .refused("group convolution", "not all there, in order");
    optimized(&[convs[0].concat(&[parts[1].conv(&[2, 2, 3, 3], 1)], 1)])
        .are("Split Convolution Convolution Concat")
        .refused("group convolution", "differ in shape");
    optimized(&[convs[0].concat(&[parts[1].conv(&[3, 2, 1, 1], 0)], 1)])
        .refused("group convolution", "the convolutions differ");
}

#[test]
fn what_does_nothing_goes() {
    type Nothing = for<'n> fn(Expr<'n>) -> Expr<'n>;
    let cases: &[(&str, Nothing)] = &[
        ("convert", |x| x.net.op(Convert::to(ir::ElementType::F32), &[x])),
        ("reshape", |x| x.reshape(&[2, 3, -1])),
        ("reshape and back", |x| x.reshape(&[6, 4]).reshape(&[2, 3, 4])),
        ("transpose", |x| x.transpose(&[0, 1, 2])),
        ("transpose and back", |x| x.transpose(&[1, 2, 0]).transpose(&[2, 0, 1])),
        ("unsqueeze and squeeze", |x| {
            let n = x.net;
            n.op(Squeeze, &[n.op(Unsqueeze, &[x, n.ints(&[1])]), n.ints(&[1])])
        }),
        ("concat of one", |x| x.concat(&[], 1)),
        ("split in one", |x| x.split(1, 1)[0]),
        ("pad by nothing", |x| x.pad(&[0; 3], &[0; 3], 1.0)),
        ("add 0", |x| x + 0.0),
        ("0 plus", |x| x.net.scalar(0.0) + x),
        ("multiply by ones", |x| x * x.net.tensor(ir::Tensor::from_slice(&[4], &[1f32; 4]).unwrap())),
        ("divide by 1", |x| x / 1.0),
        ("power of 1", |x| x.pow(1.0)),
        ("negate twice", |x| x.unary(Unary::Negative).unary(Unary::Negative)),
        ("slice of all", |x| {
            let n = x.net;
            let op = StridedSlice { begin_mask: vec![0; 3], end_mask: vec![0; 3], ..Default::default() };
            n.op(op, &[x, n.ints(&[0, 0, 0]), n.ints(&[2, 3, 9]), n.ints(&[1, 1, 1])])
        }),
        ("broadcast to itself", |x| x.net.op(Broadcast::default(), &[x, x.net.ints(&[2, 3, 4])])),
        ("tile once", |x| x.net.op(Tile, &[x, x.net.ints(&[1, 1, 1])])),
        ("mean over nothing", |x| x.reduce(ReduceKind::Mean, &[], true)),
        ("relu of relu", |x| x.relu().relu()),
    ];
    for (what, step) in cases {
        let net = Net::default();
        let y = step(net.input("[2,3,4]").relu());
        let done = optimized(&[y]);
        assert_eq!(done.ops(), ["ReLU"], "{what}:\n{}", done.model);
    }
    let net = Net::default();
    let x = net.input("[2,3,4]");
    let turned = StridedSlice { begin_mask: vec![1; 3], end_mask: vec![1; 3], ..Default::default() };
    let turned = net.op(turned, &[x, net.ints(&[0; 3]), net.ints(&[0; 3]), net.ints(&[1, 1, -1])]);
    optimized(&[turned]).are("StridedSlice");
    optimized(&[x.reshape(&[3, 2, 4])]).are("Reshape");
    optimized(&[net.input("[1]") + net.tensor(ir::Tensor::from_slice(&[2], &[0f32; 2]).unwrap())])
        .are("Add")
        .refused("remove neutral operand", "stretches");
}

#[test]
fn shape_arithmetic_falls_away_for_one_unknown_dimension() {
    let net = Net::default();
    let x = net.input("[?,3,4,5]");
    let shape = net.op(ShapeOf::default(), &[x]);
    let batch = net.op(Gather { batch_dims: 0 }, &[shape, net.ints(&[0]), net.ints(&[0])]);
    let pattern = batch.concat(&[net.ints(&[60])], 0);
    optimized(&[net.op(Reshape { special_zero: false }, &[x, pattern])]).are("Reshape");
}

#[test]
fn constants_fold_unless_that_makes_the_model_larger() {
    let net = Net::default();
    let x = net.input("[2,3]");
    let weights = net.weights(&[4, 3]).transpose(&[1, 0]) * 2.0 + 1.0;
    optimized(&[net.op(MatMul::default(), &[x, weights])]).are("MatMul");
    let large = net.op(Broadcast::default(), &[net.scalar(0.5).max(net.scalar(0.25)), net.ints(&[100, 100])]);
    optimized(&[large]).are("Broadcast").refused("fold", "would add 40000 bytes");
    let small = net.op(Broadcast::default(), &[net.scalar(0.5), net.ints(&[10])]);
    optimized(&[small]).are("");
}
