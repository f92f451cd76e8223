//! Activations and normalisations that frameworks wrote as formulas.

use crate::{
    graph::{self, binary, close, either, scalar, scaled, sole_consumer, unary, uniform, with_scalar},
    rule::{Outcome, Refusal, Rule, ensure},
};
use ir::{
    Model, NodeId, Op, Port, Tensor,
    op::{
        BinaryKind, Clamp, Gelu, GeluApproximation, NormEpsMode, NormalizeL2, PRelu, ReduceKind, Swish, Unary,
    },
};

pub(crate) const RULES: &[Rule] = &[
    Rule { name: "clamp", apply: clamp },
    Rule { name: "h-sigmoid", apply: h_sigmoid },
    Rule { name: "h-swish", apply: h_swish },
    Rule { name: "swish", apply: swish },
    Rule { name: "softplus", apply: softplus },
    Rule { name: "mish", apply: mish },
    Rule { name: "gelu", apply: gelu },
    Rule { name: "prelu", apply: prelu },
    Rule { name: "normalize l2", apply: normalize_l2 },
];

/// Adds the one op that a formula comes to.
fn one(model: &mut Model, id: NodeId, op: impl Into<Op>, inputs: &[Port]) -> Outcome {
    let name = model.node(id).name.clone();
    Ok(model.add(name, op, inputs)?.into())
}

/// Refuses when something else uses a part of the formula, which would then be computed twice.
fn private(model: &Model, parts: &[Port]) -> Result<(), Refusal> {
    match parts.iter().find(|port| sole_consumer(model, **port).is_none()) {
        Some(port) => Err(Refusal::Because(format!("`{}` has other uses", model.node(port.node).name))),
        None => Ok(()),
    }
}

/// The bounds and the argument of a clamp, a ReLU, or a maximum or minimum with a number.
fn bounds(model: &Model, port: Port) -> Option<(Port, f64, f64)> {
    let node = model.node(port.node);
    match &node.op {
        Op::Clamp(clamp) => Some((node.inputs()[0], clamp.min, clamp.max)),
        Op::Unary(Unary::Relu) => Some((node.inputs()[0], 0.0, f64::INFINITY)),
        Op::Binary(_) => {
            let max = with_scalar(model, port, BinaryKind::Maximum).map(|(x, v)| (x, v, f64::INFINITY));
            max.or_else(|| {
                with_scalar(model, port, BinaryKind::Minimum).map(|(x, v)| (x, f64::NEG_INFINITY, v))
            })
        }
        _ => None,
    }
}

/// `min(max(x, a), b)` in either order and spelling.
fn clamp(model: &mut Model, id: NodeId) -> Outcome {
    let (inner, min, max) = bounds(model, id.into()).ok_or(Refusal::NoMatch)?;
    let (x, low, high) = bounds(model, inner).ok_or(Refusal::NoMatch)?;
    let ty = model.ty(x).element_type;
    ensure(ty.is_float(), || format!("its elements are {ty}"))?;
    // The outer bounds go last.
    let (min, max) = (low.max(min).min(max), high.max(min).min(max));
    ensure(min.is_finite() && max.is_finite(), || "it has one bound only".to_owned())?;
    private(model, &[inner])?;
    one(model, id, Clamp { min, max }, &[x])
}

/// `clamp(x + 3, 0, 6)`: its argument and parts.
fn six(model: &Model, port: Port) -> Option<(Port, [Port; 2])> {
    let (sum, min, max) = bounds(model, port)?;
    let (x, three) = with_scalar(model, sum, BinaryKind::Add)?;
    (min == 0.0 && max == 6.0 && three == 3.0).then_some((x, [port, sum]))
}

/// `clamp(x + 3, 0, 6) / 6`.
fn h_sigmoid(model: &mut Model, id: NodeId) -> Outcome {
    let (inner, factor) = scaled(model, id.into()).ok_or(Refusal::NoMatch)?;
    let (x, parts) = six(model, inner).filter(|_| close(factor, 1.0 / 6.0)).ok_or(Refusal::NoMatch)?;
    private(model, &parts)?;
    one(model, id, Unary::HSigmoid, &[x])
}

/// `x * hsigmoid(x)`, or `x * clamp(x + 3, 0, 6) / 6`.
fn h_swish(model: &mut Model, id: NodeId) -> Outcome {
    let direct = either(model, id.into(), BinaryKind::Multiply)
        .find_map(|(x, gate)| (unary(model, gate, Unary::HSigmoid)? == x).then_some((x, vec![gate])));
    let late = || {
        let (product, _) = scaled(model, id.into()).filter(|(_, f)| close(*f, 1.0 / 6.0))?;
        either(model, product, BinaryKind::Multiply).find_map(|(x, gate)| {
            let (argument, parts) = six(model, gate)?;
            (argument == x).then(|| (x, vec![product, parts[0], parts[1]]))
        })
    };
    let early = || {
        either(model, id.into(), BinaryKind::Multiply).find_map(|(part, gate)| {
            let (x, _) = scaled(model, part).filter(|(_, f)| close(*f, 1.0 / 6.0))?;
            let (argument, parts) = six(model, gate)?;
            (argument == x).then(|| (x, vec![part, parts[0], parts[1]]))
        })
    };
    let (x, parts) = direct.or_else(late).or_else(early).ok_or(Refusal::NoMatch)?;
    private(model, &parts)?;
    one(model, id, Unary::HSwish, &[x])
}

/// `x * sigmoid(x)`, `x * sigmoid(x * beta)`.
fn swish(model: &mut Model, id: NodeId) -> Outcome {
    let found = either(model, id.into(), BinaryKind::Multiply).find_map(|(x, gate)| {
        let argument = unary(model, gate, Unary::Sigmoid)?;
        if argument == x {
            return Some((x, None, vec![gate]));
        }
        let (inner, beta) = with_scalar(model, argument, BinaryKind::Multiply)?;
        (inner == x).then(|| (x, Some(beta), vec![gate, argument]))
    });
    let (x, beta, parts) = found.ok_or(Refusal::NoMatch)?;
    private(model, &parts)?;
    let mut inputs = vec![x];
    if let Some(beta) = beta {
        let tensor = Tensor::from_f64s(model.ty(x).element_type, &[], &[beta]);
        let tensor = tensor.map_err(|e| Refusal::because(e.to_string()))?;
        let name = format!("{}/beta", model.node(id).name);
        inputs.push(model.add_constant(name, tensor).into());
    }
    one(model, id, Swish, &inputs)
}

/// `log(exp(x) + 1)`.
fn softplus(model: &mut Model, id: NodeId) -> Outcome {
    let sum = unary(model, id.into(), Unary::Log).ok_or(Refusal::NoMatch)?;
    let (exp, _) =
        with_scalar(model, sum, BinaryKind::Add).filter(|(_, v)| *v == 1.0).ok_or(Refusal::NoMatch)?;
    let x = unary(model, exp, Unary::Exp).ok_or(Refusal::NoMatch)?;
    private(model, &[sum, exp])?;
    one(model, id, Unary::SoftPlus, &[x])
}

/// `x * tanh(softplus(x))`.
fn mish(model: &mut Model, id: NodeId) -> Outcome {
    let found = either(model, id.into(), BinaryKind::Multiply).find_map(|(x, tanh)| {
        let soft = unary(model, tanh, Unary::Tanh)?;
        (unary(model, soft, Unary::SoftPlus)? == x).then_some((x, [tanh, soft]))
    });
    let (x, parts) = found.ok_or(Refusal::NoMatch)?;
    private(model, &parts)?;
    one(model, id, Unary::Mish, &[x])
}

/// `0.5 * x * (1 + g(x))` in any grouping, where `g` is the error function of `x / sqrt(2)` or its approximation.
fn gelu(model: &mut Model, id: NodeId) -> Outcome {
    // Three factors in any tree of two products.
    let mut factors = Vec::new();
    let mut parts = Vec::new();
    let (a, b) = binary(model, id.into(), BinaryKind::Multiply).ok_or(Refusal::NoMatch)?;
    for port in [a, b] {
        match binary(model, port, BinaryKind::Multiply) {
            Some((c, d)) if factors.len() < 3 => {
                parts.push(port);
                factors.extend([c, d]);
            }
            _ => factors.push(port),
        }
    }
    let half = factors.iter().position(|port| scalar(model, *port) == Some(0.5)).ok_or(Refusal::NoMatch)?;
    factors.remove(half);
    let [a, b] = factors[..] else { return Err(Refusal::NoMatch) };
    let gate = |gate: Port, x: Port| -> Option<(GeluApproximation, Vec<Port>)> {
        let (inner, _) = with_scalar(model, gate, BinaryKind::Add).filter(|(_, v)| *v == 1.0)?;
        if let Some(argument) = unary(model, inner, Unary::Erf) {
            let (y, factor) = scaled(model, argument)?;
            let exact = y == x && close(factor, std::f64::consts::FRAC_1_SQRT_2);
            return exact.then(|| (GeluApproximation::Erf, vec![gate, inner, argument]));
        }
        let argument = unary(model, inner, Unary::Tanh)?;
        let (sum, factor) = scaled(model, argument)?;
        let cubic = either(model, sum, BinaryKind::Add).find_map(|(y, term)| {
            let (cube, weight) = scaled(model, term)?;
            (y == x && close(weight, 0.044715) && is_cube(model, cube, x)).then_some([term, cube])
        })?;
        let parts = vec![gate, inner, argument, sum, cubic[0], cubic[1]];
        close(factor, (2.0 / std::f64::consts::PI).sqrt()).then_some((GeluApproximation::Tanh, parts))
    };
    let found = gate(a, b).map(|g| (g, b)).or_else(|| gate(b, a).map(|g| (g, a)));
    let ((approximation_mode, inner), x) = found.ok_or(Refusal::NoMatch)?;
    parts.extend(inner);
    private(model, &parts)?;
    one(model, id, Gelu { approximation_mode }, &[x])
}

/// `x ^ 3`, `x * x * x`.
fn is_cube(model: &Model, port: Port, x: Port) -> bool {
    let power = binary(model, port, BinaryKind::Power);
    power.is_some_and(|(base, exponent)| base == x && scalar(model, exponent) == Some(3.0))
        || either(model, port, BinaryKind::Multiply).any(|(a, square)| a == x && is_square(model, square, x))
}

/// `x ^ 2`, `x * x`.
fn is_square(model: &Model, port: Port, x: Port) -> bool {
    let power = binary(model, port, BinaryKind::Power);
    power.is_some_and(|(base, exponent)| base == x && uniform(model, exponent) == Some(2.0))
        || binary(model, port, BinaryKind::Multiply) == Some((x, x))
}

/// `max(x, x * a)` with `a` from 0 to 1, and `relu(x) + -a * relu(-x)`.
fn prelu(model: &mut Model, id: NodeId) -> Outcome {
    let maximum = either(model, id.into(), BinaryKind::Maximum).find_map(|(x, scaled)| {
        let (_, slope) = either(model, scaled, BinaryKind::Multiply).find(|(y, _)| *y == x)?;
        Some((x, slope, 1.0, vec![scaled]))
    });
    let sum = || {
        either(model, id.into(), BinaryKind::Add).find_map(|(positive, term)| {
            let x = unary(model, positive, Unary::Relu)?;
            let (slope, negative, sign) =
                either(model, term, BinaryKind::Multiply).find_map(|(slope, relu)| {
                    model.constant(slope)?;
                    Some((slope, unary(model, relu, Unary::Relu)?, -1.0))
                })?;
            let mirrored = unary(model, negative, Unary::Negative)
                .or_else(|| scaled(model, negative).filter(|(_, f)| *f == -1.0).map(|(x, _)| x))?;
            (mirrored == x).then(|| (x, slope, sign, vec![positive, term]))
        })
    };
    let is_maximum = maximum.is_some();
    let (x, slope, sign, parts) = maximum.or_else(sum).ok_or(Refusal::NoMatch)?;
    let tensor = model.constant(slope).ok_or_else(|| Refusal::because("its slope is computed"))?;
    ensure(tensor.element_type().is_float(), || "its elements are no floats".to_owned())?;
    let values: Vec<f64> = tensor.to_f64s().into_iter().map(|v| v * sign).collect();
    ensure(!is_maximum || values.iter().all(|v| (0.0..=1.0).contains(v)), || {
        "a slope is not between 0 and 1, so the maximum is no PReLU".to_owned()
    })?;
    private(model, &parts)?;
    // A slope of one dimension would run along dimension 1 instead of the last.
    let rank = graph::rank(model, x).ok_or_else(|| Refusal::because("the rank is not known"))?;
    let shape = match tensor.len() {
        1 => vec![1],
        _ => {
            let missing = rank.checked_sub(tensor.shape().len()).ok_or(Refusal::NoMatch)?;
            [&vec![1; missing][..], tensor.shape()].concat()
        }
    };
    ensure(rank > 1 || shape == [1], || "the data has no channels".to_owned())?;
    let tensor = Tensor::from_f64s(tensor.element_type(), &shape, &values);
    let tensor = tensor.map_err(|e| Refusal::because(e.to_string()))?;
    let name = format!("{}/slope", model.node(id).name);
    let slope = model.add_constant(name, tensor);
    one(model, id, PRelu, &[x, slope.into()])
}

/// `x / sqrt(max(sum of squares, eps))`, and the same with a reciprocal square root.
fn normalize_l2(model: &mut Model, id: NodeId) -> Outcome {
    let root = |port: Port| -> Option<(Port, Vec<Port>)> {
        let by_power = |power: f64| {
            binary(model, port, BinaryKind::Power).filter(|(_, e)| uniform(model, *e) == Some(power))
        };
        unary(model, port, Unary::Sqrt)
            .or_else(|| by_power(0.5).map(|p| p.0))
            .map(|inner| (inner, vec![port]))
    };
    let reciprocal = |port: Port| -> Option<(Port, Vec<Port>)> {
        if let Some((inner, _)) =
            binary(model, port, BinaryKind::Power).filter(|(_, e)| uniform(model, *e) == Some(-0.5))
        {
            return Some((inner, vec![port]));
        }
        let (one, under) = binary(model, port, BinaryKind::Divide)?;
        let (inner, mut parts) = root(under).filter(|_| scalar(model, one) == Some(1.0))?;
        parts.push(port);
        Some((inner, parts))
    };
    let divided = binary(model, id.into(), BinaryKind::Divide).and_then(|(x, d)| Some((x, root(d)?)));
    let multiplied =
        || either(model, id.into(), BinaryKind::Multiply).find_map(|(x, r)| Some((x, reciprocal(r)?)));
    let (x, (norm, mut parts)) = divided.or_else(multiplied).ok_or(Refusal::NoMatch)?;
    let guarded = |kind, mode| with_scalar(model, norm, kind).map(|(sum, eps)| (sum, eps, mode));
    let (sum, eps, eps_mode) = guarded(BinaryKind::Maximum, NormEpsMode::Max)
        .or_else(|| guarded(BinaryKind::Add, NormEpsMode::Add))
        .ok_or(Refusal::NoMatch)?;
    let node = model.node(sum.node);
    let Op::Reduce(reduce) = &node.op else { return Err(Refusal::NoMatch) };
    let (square, axes) = (node.inputs()[0], node.inputs()[1]);
    if reduce.kind != ReduceKind::Sum || !is_square(model, square, x) {
        return Err(Refusal::NoMatch);
    }
    ensure(reduce.keep_dims, || "the sum drops its dimensions".to_owned())?;
    ensure(model.constant(axes).is_some(), || "the axes are computed".to_owned())?;
    parts.extend([norm, sum, square]);
    // x * x uses x twice, but the square itself once.
    private(model, &parts)?;
    one(model, id, NormalizeL2 { eps, eps_mode }, &[x, axes])
}
