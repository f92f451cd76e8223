//! Mean, scale and reversed channels behind an input, and where they end up.

mod net;

use ir::{Layout, Model, Tensor, op::*};
use net::Net;
use optimizer::{Options, optimize, preprocessing::*};

fn embedded(model: &Model, layout: &str, steps: &Preprocessing) -> Model {
    let mut model = model.clone();
    let layout: Layout = layout.parse().unwrap();
    let parameter = model.parameters()[0];
    embed(&mut model, parameter, &layout, steps).unwrap();
    model.infer().unwrap();
    model
}

fn kinds(model: &Model) -> String {
    let order = model.topological_order().unwrap();
    let names = order.iter().map(|id| model.node(*id).op.type_name());
    names.filter(|n| !["Parameter", "Const", "Result"].contains(n)).collect::<Vec<_>>().join(" ")
}

fn all() -> Preprocessing {
    Preprocessing {
        reverse_channels: true,
        mean_image: None,
        mean: vec![0.1, 0.2, 0.3],
        scale: vec![2.0, 4.0, 0.5],
    }
}

#[test]
fn steps_come_in_order() {
    let net = Net::default();
    let model = net.model(&[net.input("[1,2,1,3]").relu()]);
    let model = embedded(&model, "nhwc", &all());
    assert_eq!(kinds(&model), "Gather Subtract Divide ReLU");
    let x = Tensor::from_slice(&[1, 2, 1, 3], &[1f32, 2., 3., 4., 5., 6.]).unwrap();
    let y = ir::evaluate(&model, &[x]).unwrap()[0].to_f64s();
    let want = [(3.0 - 0.1) / 2.0, (2.0 - 0.2) / 4.0, (1.0 - 0.3) / 0.5];
    for (y, want) in y.iter().zip(want) {
        assert!((y - want).abs() < 1e-6, "{y} {want}");
    }
}

#[test]
fn all_steps_go_into_a_convolution_that_does_not_pad() {
    for (pad, left) in [(0, "Convolution Add"), (1, "Add Convolution")] {
        let net = Net::default();
        let model = net.model(&[net.input("[1,3,5,5]").conv(&[4, 3, 3, 3], pad)]);
        let before = embedded(&model, "nchw", &all());
        let mut after = before.clone();
        optimize(&mut after, &Options::default()).unwrap();
        net::assert_same_answers(&before, &after, 1e-5);
        assert_eq!(kinds(&after), left);
    }
}

#[test]
fn an_nhwc_network_takes_them_too() {
    let net = Net::default();
    let x = net.input("[?,5,5,3]");
    let model = net.model(&[x.tf_conv(&[3, 3, 3, 4], 0).reduce(ReduceKind::Max, &[1, 2], false)]);
    let before = embedded(&model, "", &all());
    let mut after = before.clone();
    optimize(&mut after, &Options::default()).unwrap();
    net::assert_same_answers(&before, &after, 1e-5);
    assert_eq!(kinds(&after), "Transpose Convolution Add ReduceMax");
}

#[test]
fn an_nhwc_network_with_an_nchw_input_takes_them_without_a_transpose() {
    let net = Net::default();
    let x = net.input("[?,5,5,3]");
    let model = net.model(&[x.tf_conv(&[3, 3, 3, 4], 0).reduce(ReduceKind::Max, &[1, 2], false)]);
    let (nhwc, nchw): (Layout, Layout) = ("nhwc".parse().unwrap(), "nchw".parse().unwrap());
    // Either order of asking.
    let mut first = embedded(&model, "nhwc", &all());
    let parameter = first.parameters()[0];
    change_input_layout(&mut first, parameter, &nhwc, &nchw).unwrap();
    let mut second = model.clone();
    change_input_layout(&mut second, parameter, &nhwc, &nchw).unwrap();
    let mut second = embedded(&second, "nchw", &all());
    first.infer().unwrap();
    for model in [&mut first, &mut second] {
        let before = model.clone();
        optimize(model, &Options::default()).unwrap();
        net::assert_same_answers(&before, model, 1e-5);
        assert_eq!(kinds(model), "Convolution Add ReduceMax");
    }
    net::assert_same_answers(&first, &second, 1e-5);
}

#[test]
fn what_cannot_be_done_is_said() {
    let net = Net::default();
    let model = net.model(&[net.input("[1,3,8,3]").relu(), net.input("[1,8]").relu()]);
    let fail = |i: usize, layout: &str, steps: Preprocessing| {
        let mut model = model.clone();
        let parameter = model.parameters()[i];
        let layout: Layout = layout.parse().unwrap();
        embed(&mut model, parameter, &layout, &steps).unwrap_err().to_string()
    };
    let mean = |values: &[f64]| Preprocessing { mean: values.to_vec(), ..Default::default() };
    assert!(
        fail(0, "", mean(&[1.0, 2.0, 3.0])).contains("give the input a layout"),
        "both ends look like channels"
    );
    assert_eq!(
        fail(0, "nhwc", mean(&[1.0, 2.0])),
        "mean of input `x0` has 2 numbers, expected 1 or 3, one for each channel"
    );
    assert!(fail(1, "nc", mean(&[f64::NAN])).contains("holds NaN"));
    let zero = Preprocessing { scale: vec![0.0], ..Default::default() };
    assert!(fail(1, "nc", zero).contains("scale of input `x1` holds 0"));
    // One number for all needs no channels, two do.
    assert!(fail(1, "nw", mean(&[1.0, 2.0])).contains("name one dimension C"));
}

#[test]
fn nothing_asked_is_nothing_done() {
    let net = Net::default();
    let model = net.model(&[net.input("[1,3]").relu()]);
    let after = embedded(&model, "nc", &Preprocessing::default());
    assert_eq!(after.to_string(), model.to_string());
}
