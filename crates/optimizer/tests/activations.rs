//! Formulas become the ops that they mean, and near misses do not.

mod net;

use ir::{Tensor, op::*};
use net::{Expr, Net, noise, optimized};

fn x(net: &Net) -> Expr<'_> {
    net.input("[2,3,2,2]")
}

#[test]
fn formulas_become_ops() {
    type Formula = for<'n> fn(Expr<'n>) -> Expr<'n>;
    let cases: &[(&str, Formula)] = &[
        ("Swish", |x| x * x.sigmoid()),
        ("Swish", |x| x.sigmoid() * x),
        ("Swish", |x| x * (x * 1.5).sigmoid()),
        ("HSigmoid", |x| (x + 3.0).clamp(0.0, 6.0) / 6.0),
        ("HSigmoid", |x| (x + 3.0).relu().min(x.net.scalar(6.0)) * (1.0 / 6.0)),
        ("HSwish", |x| x * (x + 3.0).clamp(0.0, 6.0) / 6.0),
        ("HSwish", |x| x * ((x + 3.0).clamp(0.0, 6.0) * (1.0 / 6.0))),
        ("HSwish", |x| (x * (1.0 / 6.0)) * (x + 3.0).clamp(0.0, 6.0)),
        ("SoftPlus", |x| (x.unary(Unary::Exp) + 1.0).unary(Unary::Log)),
        ("Mish", |x| x * x.unary(Unary::SoftPlus).unary(Unary::Tanh)),
        ("Mish", |x| x * (x.unary(Unary::Exp) + 1.0).unary(Unary::Log).unary(Unary::Tanh)),
        ("Gelu", |x| ((x / 2f32.sqrt()).unary(Unary::Erf) + 1.0) * (x * 0.5)),
        ("Gelu", |x| ((x * 0.5f32.sqrt()).unary(Unary::Erf) + 1.0) * x * 0.5),
        ("Gelu", |x| {
            let inner = (x + x.pow(3.0) * 0.044715) * (2.0 / std::f32::consts::PI).sqrt();
            (x * 0.5) * (inner.unary(Unary::Tanh) + 1.0)
        }),
        ("Gelu", |x| {
            let inner = (x + (x * x * x) * 0.044715) * (2.0 / std::f32::consts::PI).sqrt();
            x * ((inner.unary(Unary::Tanh) + 1.0) * 0.5)
        }),
        ("PReLU", |x| x.max(x * 0.2)),
        ("PReLU", |x| {
            (x * x.net.tensor(Tensor::from_slice(&[3, 1, 1], &[0.1f32, 0.2, 0.3]).unwrap())).max(x)
        }),
        ("PReLU", |x| {
            let slope = x.net.tensor(Tensor::from_slice(&[2], &[-0.1f32, 3.0]).unwrap());
            x.relu() + slope * x.unary(Unary::Negative).relu()
        }),
        ("Clamp", |x| x.max(x.net.scalar(-0.5)).min(x.net.scalar(0.25))),
        ("Clamp", |x| x.min(x.net.scalar(0.25)).max(x.net.scalar(-0.5))),
        ("Clamp", |x| x.relu().min(x.net.scalar(0.6))),
        ("Clamp", |x| x.clamp(-0.5, 0.5).clamp(-0.25, 2.0)),
        ("NormalizeL2", |x| {
            let sum = (x * x).reduce(ReduceKind::Sum, &[1], true);
            x * sum.max(x.net.scalar(1e-3)).pow(-0.5)
        }),
        ("NormalizeL2", |x| {
            let sum = x.pow(2.0).reduce(ReduceKind::Sum, &[1, 2], true);
            x / (sum + 0.5).unary(Unary::Sqrt)
        }),
    ];
    for (op, formula) in cases {
        let net = Net::default();
        optimized(&[formula(x(&net))]).are(op);
    }
}

#[test]
fn near_misses_stay() {
    let net = Net::default();
    let (a, b) = (x(&net), x(&net));
    optimized(&[a * b.sigmoid()]).are("Sigmoid Multiply");
    optimized(&[a * (a + 2.0).clamp(0.0, 6.0) / 6.0]).are("Add Clamp Multiply Divide");
    optimized(&[(a.unary(Unary::Exp) + 2.0).unary(Unary::Log)]).are("Exp Add Log");
    optimized(&[((b / 2f32.sqrt()).unary(Unary::Erf) + 1.0) * (a * 0.5)])
        .are("Divide Erf Add Multiply Multiply");
    optimized(&[a.max(a * 1.5)]).are("Multiply Maximum").refused("prelu", "not between 0 and 1");
    optimized(&[a.max(b * 0.5)]).are("Multiply Maximum");
    optimized(&[a.relu().max(net.scalar(0.5))]).are("ReLU Maximum").refused("clamp", "one bound only");
    optimized(&[a / ((a * b).reduce(ReduceKind::Sum, &[1], true) + 9.0).unary(Unary::Sqrt)])
        .are("Multiply ReduceSum Add Sqrt Divide");
}

#[test]
fn what_others_use_is_not_computed_twice() {
    let net = Net::default();
    let gate = x(&net).sigmoid();
    let x = Expr { port: net.model.borrow().parameters()[0].into(), ..gate };
    optimized(&[x * gate, gate]).are("Sigmoid Multiply").refused("swish", "`sigmoid_1` has other uses");
}

#[test]
fn noise_covers_both_signs() {
    let values = noise(&[64], 5).to_f64s();
    assert!(values.iter().any(|v| *v > 0.5) && values.iter().any(|v| *v < -0.5));
}
