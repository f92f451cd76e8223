//! Random networks answer the same before and after.

mod net;

use ir::{Model, Tensor, op::*};
use net::{Expr, Net, assert_same_answers, convolution, noise};
use optimizer::{Options, PASSES, optimize, run};
use proptest::prelude::*;

/// One step of a random network: a number for what, and numbers for how.
type Step = (u8, u8, u8, u8);

/// Grows a network of NHWC data [2,H,W,C]; every step keeps the rank.
fn grow<'n>(net: &'n Net, steps: &[Step]) -> Vec<Expr<'n>> {
    let mut known = vec![net.input("[2,6,5,3]")];
    for &(what, a, b, c) in steps {
        let x = known[a as usize % known.len()];
        let shape = net.model.borrow().ty(x.port).shape.sizes().unwrap();
        let channels = shape[3];
        let pick = |list: &[i64]| list[c as usize % list.len()];
        let per_channel = || net.tensor(noise(&[channels], u64::from(b)));
        // A partner of the same shape, or x again.
        let same = |e: &&Expr| net.model.borrow().ty(e.port).shape.sizes().unwrap() == shape;
        let partner = known.iter().filter(same).nth(b as usize % 3).copied().unwrap_or(x);
        let y = match what % 24 {
            0 | 1 => x.tf_conv(&[1, 1, channels, 1 + b as usize % 4], 0),
            2 => x.tf_conv(&[3, 3, channels, 1 + b as usize % 4], i64::from(c % 2 + 1)),
            3 => x.relu(),
            4 => x + per_channel(),
            5 => x * per_channel(),
            6 => x - 0.25,
            7 => x / 2.0,
            8 => x * x.sigmoid(),
            9 => x.max(x * 0.3),
            10 => x.min(net.scalar(0.7)).max(net.scalar(-0.6)),
            11 => x + partner,
            12 => x * partner,
            13 => x.concat(&[partner, x], 3),
            14 => x.pad(&[0, 1, 0, 0], &[0, 0, i64::from(c % 2), 0], 0.0),
            15 => {
                let mean = [2.5f32, 0.5, 1.5].repeat(channels)[..channels].to_vec();
                let variance = net.tensor(Tensor::from_slice(&[channels], &mean).unwrap());
                let op = BatchNormInference { epsilon: 1e-3, data_input: 0 };
                net.op(op, &[x.to_nchw(), per_channel(), per_channel(), per_channel(), variance]).to_nhwc()
            }
            16 => x.reduce(ReduceKind::Mean, &[1, 2], true),
            17 => x.transpose(&[0, 2, 1, 3]),
            18 => net.op(Softmax { axis: pick(&[-1, 1, 3]) }, &[x]),
            19 => {
                let parts = x.split(1, 1);
                parts[0].reshape(&[shape[0] as i64, -1, 1, channels as i64])
            }
            20 if shape[1] > 2 && shape[2] > 2 => {
                let op = MaxPool {
                    strides: vec![1 + c as usize % 2; 2],
                    pads_begin: vec![0, 0],
                    pads_end: vec![0, 0],
                    kernel: vec![2, 2],
                    ..Default::default()
                };
                net.op(op, &[x.relu().pad(&[0, 1, 1, 0], &[0, 0, 1, 0], 0.0).to_nchw()]).to_nhwc()
            }
            21 => {
                let picks: Vec<i64> = (0..channels as i64).rev().collect();
                net.op(Gather { batch_dims: 0 }, &[x, net.ints(&picks), net.ints(&[3])])
            }
            22 => {
                let depthwise = GroupConvolution {
                    strides: vec![1, 1],
                    pads_begin: vec![1, 1],
                    pads_end: vec![1, 1],
                    dilations: vec![1, 1],
                    ..Default::default()
                };
                let weights = net.weights(&[3, 3, channels, 1]).transpose(&[2, 3, 0, 1]);
                net.op(depthwise, &[x.to_nchw(), weights.reshape(&[channels as i64, 1, 1, 3, 3])]).to_nhwc()
            }
            _ => {
                let flat = shape[1..].iter().product::<usize>();
                let dense = x.reshape(&[-1, flat as i64]).matmul(&[flat, 4]);
                (dense + 0.1).reshape(&[shape[0] as i64, 1, 1, 4])
            }
        };
        let size: usize = net.model.borrow().ty(y.port).shape.sizes().unwrap().iter().product();
        if (1..20_000).contains(&size) {
            known.push(y);
        }
    }
    known
}

fn transposes(model: &Model) -> usize {
    model.nodes().filter(|(_, n)| matches!(n.op, ir::Op::Transpose(_))).count()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn answers_stay(steps in prop::collection::vec(any::<Step>(), 1..24), second in any::<u8>()) {
        let net = Net::default();
        let known = grow(&net, &steps);
        // The last thing made, and something on the way that others may use.
        let outputs = [known[known.len() - 1], known[second as usize % known.len()]];
        let before = net.model(&outputs);
        let mut model = before.clone();
        optimize(&mut model, &Options::default()).unwrap();
        prop_assert!(transposes(&model) <= transposes(&before));
        assert_same_answers(&before, &model, 2e-4);
        // And once more, on what a first run left.
        optimize(&mut model, &Options::default()).unwrap();
        assert_same_answers(&before, &model, 2e-4);
    }

    #[test]
    fn answers_stay_for_a_batch_of_any_size(steps in prop::collection::vec(any::<Step>(), 1..16)) {
        let net = Net::default();
        let known = grow(&net, &steps);
        let mut before = net.model(&known[known.len() - 1..]);
        let parameter = before.parameters()[0];
        before.set_parameter_shape(parameter, "[?,6,5,3]".parse().unwrap());
        before.infer().unwrap();
        let mut model = before.clone();
        optimize(&mut model, &Options::default()).unwrap();
        prop_assert!(transposes(&model) <= transposes(&before));
        assert_same_answers(&before, &model, 2e-4);
    }

    #[test]
    fn each_pass_alone_keeps_the_answers(steps in prop::collection::vec(any::<Step>(), 1..12)) {
        let net = Net::default();
        let known = grow(&net, &steps);
        let before = net.model(&known[known.len() - 1..]);
        for pass in PASSES {
            let mut model = before.clone();
            run(&mut model, &[*pass], &mut |_, _| {}).unwrap();
            assert_same_answers(&before, &model, 2e-4);
        }
    }
}

#[test]
fn geometry_of_the_generator_is_right() {
    let net = Net::default();
    let known = grow(&net, &[(2, 0, 3, 1), (20, 1, 0, 1), (23, 2, 0, 0)]);
    assert_eq!(known.len(), 4);
    assert_eq!(convolution(2, 1).pads_end, [1, 1]);
}
