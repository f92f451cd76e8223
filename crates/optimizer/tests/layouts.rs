//! Networks that think in NHWC lose their transposes.

mod net;

use ir::{Layout, Op, Tensor, op::*};
use net::{Expr, Net, assert_same_answers, convolution, noise, optimized};
use optimizer::{Options, optimize, preprocessing};

#[test]
fn transposes_between_convolutions_cancel() {
    let net = Net::default();
    let x = net.input("[1,6,6,3]");
    let y = (x.tf_conv(&[3, 3, 3, 4], 1) + net.tensor(noise(&[4], 1))).relu();
    let z = (y.tf_conv(&[1, 1, 4, 4], 0) + y).relu();
    optimized(&[z.reduce(ReduceKind::Mean, &[1, 2], false)])
        .are("Transpose Convolution Add ReLU Convolution Add ReLU ReduceMean");
}

/// Everything a transpose can go through, each between two convolutions: none of them keeps one.
#[test]
fn transposes_sink_through_each_op() {
    type Step = for<'n> fn(Expr<'n>) -> Expr<'n>;
    let cases: &[(&str, Step)] = &[
        ("unary", |x| x.relu()),
        ("clamp", |x| x.clamp(-0.5, 0.5)),
        ("scalar", |x| x.max(x.net.scalar(0.1))),
        ("vector", |x| x.max(x.net.tensor(noise(&[4], 3)))),
        ("full constant", |x| x.max(x.net.tensor(noise(&[1, 6, 6, 4], 3)))),
        ("lower rank", |x| x.max(x.reduce(ReduceKind::Mean, &[0, 1, 2], false))),
        ("both", |x| x.relu().min(x.sigmoid())),
        ("kept mean", |x| x.max(x.reduce(ReduceKind::Mean, &[1, 2], true))),
        ("last axis", |x| x.net.op(Softmax { axis: -1 }, &[x])),
        ("log softmax", |x| x.net.op(LogSoftmax { axis: 1 }, &[x])),
        ("concat", |x| x.concat(&[x.relu(), x.net.tensor(noise(&[1, 6, 6, 2], 1))], 3)),
        ("split", |x| {
            let parts = x.split(3, 2);
            parts[1].concat(&[parts[0]], -1)
        }),
        ("pad", |x| x.pad(&[0, 1, 2, 0], &[0, 0, 1, 2], 0.5)),
        ("slice", |x| {
            let n = x.net;
            let op = StridedSlice { begin_mask: vec![1, 0], end_mask: vec![1, 0], ..Default::default() };
            n.op(op, &[x, n.ints(&[0, 1]), n.ints(&[0, 5]), n.ints(&[1, 2])])
        }),
        ("slice 8", |x| {
            let n = x.net;
            n.op(Slice, &[x, n.ints(&[1, 0]), n.ints(&[5, 3]), n.ints(&[2, 1]), n.ints(&[1, -1])])
        }),
        ("gather", |x| {
            let n = x.net;
            n.op(Gather { batch_dims: 0 }, &[x, n.ints(&[2, 0, 0]), n.ints(&[3])])
        }),
        ("slope", |x| {
            let n = x.net;
            n.op(PRelu, &[x, n.tensor(noise(&[1, 1, 1, 4], 6))])
        }),
        ("slope of dimension 1", |x| {
            let n = x.net;
            n.op(PRelu, &[x, n.tensor(noise(&[6], 6))])
        }),
        ("select", |x| {
            let n = x.net;
            let test = x.binary(BinaryKind::Greater, n.tensor(noise(&[4], 2)));
            n.op(Select::default(), &[test, x, n.tensor(noise(&[6, 1], 2))])
        }),
        ("quantize", |x| {
            let n = x.net;
            let (low, high) =
                (n.tensor(Tensor::from_slice(&[4], &[-1f32, -2., -3., -4.]).unwrap()), n.scalar(1.0));
            n.op(FakeQuantize { levels: 16 }, &[x, low, high, low, high])
        }),
        ("normalize", |x| {
            let n = x.net;
            n.op(NormalizeL2 { eps: 1e-3, eps_mode: NormEpsMode::Add }, &[x, n.ints(&[3])])
        }),
        ("mvn", |x| {
            let n = x.net;
            n.op(Mvn { eps: 1e-3, ..Default::default() }, &[x, n.ints(&[1, 2])])
        }),
        ("lrn", |x| {
            let n = x.net;
            n.op(Lrn { size: 3, alpha: 0.5, ..Default::default() }, &[x, n.ints(&[3])])
        }),
        ("squeeze and back", |x| {
            let n = x.net;
            let y = n.op(Squeeze, &[x.max(x.relu()), n.ints(&[0])]).sigmoid();
            n.op(Unsqueeze, &[y, n.ints(&[0])])
        }),
        ("roll", |x| {
            let n = x.net;
            n.op(Roll, &[x, n.ints(&[1, -1]), n.ints(&[1, 3])])
        }),
        ("tile", |x| x.net.op(Tile, &[x, x.net.ints(&[1, 2, 1, 1])])),
        ("space to batch and back", |x| {
            let n = x.net;
            let (block, zero) = (n.ints(&[1, 2, 3, 1]), n.ints(&[0, 0, 0, 0]));
            let y = n.op(SpaceToBatch, &[x, block, zero, zero]).relu();
            n.op(BatchToSpace, &[y, block, zero, zero])
        }),
        ("resize", |x| {
            let n = x.net;
            let op = Interpolate {
                shape_calculation_mode: ShapeCalculation::Sizes,
                ..Interpolate::new(InterpolateForm::SizesOrScales)
            };
            n.op(op, &[x, n.ints(&[9, 3]), n.ints(&[1, 2])])
        }),
    ];
    for (what, step) in cases {
        let net = Net::default();
        let y = step(net.input("[1,3,6,6]").conv(&[4, 3, 1, 1], 0).to_nhwc());
        let channels = net.model.borrow().ty(y.port).shape.sizes().unwrap()[3];
        let z = net.op(convolution(2, 0), &[y.to_nchw(), net.weights(&[2, channels, 1, 1])]);
        let done = optimized(&[z]);
        assert!(!done.ops().contains(&"Transpose".to_owned()), "{what}:\n{}{:#?}", done.model, done.report);
    }
}

#[test]
fn reductions_and_squeezes_shrink_the_transpose() {
    let net = Net::default();
    let y = net.input("[2,3,6,5]").conv(&[4, 3, 1, 1], 0).to_nhwc();
    // [N,W,C]: C and W still change places.
    optimized(&[y.reduce(ReduceKind::Max, &[1], false)]).are("Convolution ReduceMax Transpose");
    optimized(&[y.reduce(ReduceKind::Max, &[1, 2], false)]).are("Convolution ReduceMax");
    optimized(&[y.reduce(ReduceKind::Max, &[3], false)]).are("Convolution ReduceMax");
    let shrink = StridedSlice {
        begin_mask: vec![1, 0, 0],
        end_mask: vec![1, 0, 0],
        shrink_axis_mask: vec![0, 1, 1],
        ..Default::default()
    };
    let picked = net.op(shrink, &[y, net.ints(&[0, 2, 1]), net.ints(&[0, 3, 2]), net.ints(&[1, 1, 1])]);
    optimized(&[picked]).are("Convolution StridedSlice");
}

#[test]
fn a_dense_layer_takes_the_transpose_into_its_weights() {
    for transpose_b in [false, true] {
        let net = Net::default();
        let y = net.input("[?,3,4,5]").conv(&[2, 3, 1, 1], 0).relu().to_nhwc();
        let weights = net.weights(if transpose_b { &[7, 40] } else { &[40, 7] });
        let dense = net.op(MatMul { transpose_a: false, transpose_b }, &[y.reshape(&[-1, 40]), weights]);
        optimized(&[dense]).are("Convolution ReLU Reshape MatMul");
    }
    let net = Net::default();
    let y = net.input("[2,3,4,5]").conv(&[2, 3, 1, 1], 0).to_nhwc();
    let across = y.reshape(&[8, 10]).matmul(&[10, 3]);
    optimized(&[across])
        .are("Convolution Transpose Reshape MatMul")
        .refused("transpose into dense weights", "not all dimensions but the batch");
}

#[test]
fn a_flattened_transpose_of_ones_is_a_change_of_shape() {
    let net = Net::default();
    let pooled = net.input("[?,3,4,4]").conv(&[6, 3, 4, 4], 0).to_nhwc().relu();
    optimized(&[pooled.reshape(&[-1, 6])]).are("Convolution ReLU Reshape");
    let squeezed = net.op(Squeeze, &[pooled, net.ints(&[1, 2])]);
    optimized(&[squeezed]).are("Convolution ReLU Squeeze");
}

#[test]
fn squeeze_and_excite_keeps_no_transpose() {
    let net = Net::default();
    let x = net.input("[?,3,4,4]").conv(&[6, 3, 1, 1], 0).to_nhwc();
    let mean = x.reduce(ReduceKind::Mean, &[1, 2], false).reshape(&[-1, 1, 1, 6]);
    let gate = mean.tf_conv(&[1, 1, 6, 2], 0).relu().tf_conv(&[1, 1, 2, 6], 0).sigmoid();
    optimized(&[(x * gate).to_nchw()])
        .are("Convolution ReduceMean Reshape Convolution ReLU Convolution Sigmoid Multiply");
}

#[test]
fn what_cannot_move_stays_where_it_costs_least() {
    let net = Net::default();
    let y = net.input("[1,3,4,4]").conv(&[2, 3, 1, 1], 0).to_nhwc();
    // An output in NHWC is what the caller asked for.
    optimized(&[y.relu()]).are("Convolution ReLU Transpose");
    optimized(&[y.relu().reshape(&[1, 16, 2])]).are("Convolution ReLU Transpose Reshape");
    // Two inputs from outside and one from a convolution.
    let (a, b) = (net.input("[1,4,4,2]"), net.input("[1,4,4,2]"));
    optimized(&[y.concat(&[a, b], 3)]).are("Convolution Transpose Concat");
}

#[test]
fn transposes_rise_to_the_input() {
    let net = Net::default();
    let x = net.input("[1,6,6,3]");
    let y = (x / 127.5 - 1.0).pad(&[0, 1, 1, 0], &[0, 1, 1, 0], 0.0);
    optimized(&[y.tf_conv(&[3, 3, 3, 4], 0).to_nchw()]).are("Transpose Add Convolution");
}

#[test]
fn an_nchw_input_has_no_transpose() {
    let net = Net::default();
    let x = net.input("[?,6,6,3]");
    let y = x.pad(&[0, 1, 1, 0], &[0, 1, 1, 0], 0.0).tf_conv(&[3, 3, 3, 4], 0);
    let before = net.model(&[y.reduce(ReduceKind::Max, &[1, 2], false)]);
    let mut model = before.clone();
    let (nhwc, nchw): (Layout, Layout) = ("nhwc".parse().unwrap(), "nchw".parse().unwrap());
    let parameter = model.parameters()[0];
    preprocessing::change_input_layout(&mut model, parameter, &nhwc, &nchw).unwrap();
    model.infer().unwrap();
    assert_eq!(model.ty(parameter.into()).to_string(), "f32[?,3,6,6]");
    optimize(&mut model, &Options::default()).unwrap();
    assert!(!model.nodes().any(|(_, n)| matches!(n.op, Op::Transpose(_))), "{model}");
    let image = noise(&[2, 6, 6, 3], 3);
    let moved = Transpose.evaluate(&[image.clone(), Tensor::from_i64s(&[0, 3, 1, 2])]).unwrap();
    let (want, found) = (ir::evaluate(&before, &[image]).unwrap(), ir::evaluate(&model, &moved).unwrap());
    for (w, f) in want[0].to_f64s().iter().zip(found[0].to_f64s()) {
        assert!((w - f).abs() < 1e-5);
    }
    let bad = preprocessing::change_input_layout(&mut model, parameter, &"nhw".parse().unwrap(), &nchw);
    assert_eq!(
        bad.unwrap_err().to_string(),
        "input `x0` of shape [?,3,6,6] can't go from layout [N,H,W] to [N,C,H,W]"
    );
}

#[test]
fn products_take_transposes_as_flags() {
    let net = Net::default();
    let (a, b) = (net.input("[2,3,4]"), net.input("[2,5,4]"));
    let y = net.op(MatMul::default(), &[a, b.transpose(&[0, 2, 1])]);
    let done = optimized(&[y]).are("MatMul");
    assert_eq!(done.node("MatMul").1.op, Op::MatMul(MatMul { transpose_a: false, transpose_b: true }));
}

#[test]
fn shapes_of_transposes_do_not_hold_them() {
    let net = Net::default();
    let y = net.input("[?,3,4,?]").conv(&[2, 3, 1, 1], 0).to_nhwc();
    let shape = net.op(ShapeOf::default(), &[y]);
    let done = optimized(&[shape]);
    assert!(!done.ops().contains(&"Transpose".to_owned()), "{}", done.model);
}

#[test]
fn names_of_tensors_stay_with_what_they_named() {
    let net = Net::default();
    let conv = net.input("[1,4,4,3]").tf_conv(&[1, 1, 3, 2], 0).named("conv");
    let relu = conv.relu().named("relu");
    let done = optimized(&[relu, relu.to_nchw()]);
    let port = done.model.find_port("relu:0").unwrap();
    // `relu:0` is NHWC and so behind the transpose.
    assert_eq!(done.model.ty(port).to_string(), "f32[1,4,4,2]");
    assert_eq!(done.node("ReLU").1.name, "relu");
    assert_same_answers(&net.model(&[relu, relu.to_nchw()]), &done.model, 1e-6);
}
