//! Functions of one tensor, element by element.

use crate::scope::{Converted, Scope, malformed};
use ir::{
    Port, Tensor,
    op::{Binary, BinaryKind, Clamp, Convert, Elu, HardSigmoid, PRelu, Swish, Unary},
};

/// An op without parameters. What a layer chooses its implementation by says nothing.
pub(super) fn unary(s: &mut Scope, op: Unary) -> Converted {
    let [data] = s.exactly()?;
    s.ignore(&["sigmoid_param", "tanh_param"]);
    s.one(op, &[data])
}

pub(super) fn relu(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    match s.params("relu_param").float("negative_slope", 0.0)? {
        0.0 => s.one(Unary::Relu, &[data]),
        slope => {
            let slope = s.floats("negative_slope", &[1], &[slope])?;
            s.one(PRelu, &[data, slope])
        }
    }
}

pub(super) fn prelu(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let shared = s.params("prelu_param").flag("channel_shared", false)?;
    let channels = match s.dims(data)?.get(1).copied().flatten() {
        _ if shared => 1,
        Some(channels) => channels,
        None => s.raw_blob(0, "slopes", "one a channel")?.len(),
    };
    let slope = s.weights(0, "slopes", &[channels])?;
    s.one(PRelu, &[data, slope])
}

pub(super) fn relu6(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    s.ignore(&["relu6_param", "relu_param"]);
    s.one(Clamp { min: 0.0, max: 6.0 }, &[data])
}

pub(super) fn clip(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let params = s.params("clip_param");
    match (params.maybe_float("min")?, params.maybe_float("max")?) {
        (Some(min), Some(max)) if min <= max => s.one(Clamp { min, max }, &[data]),
        (min, max) => {
            malformed(format!("`clip_param` is from {min:?} to {max:?}, expected two numbers in order"))
        }
    }
}

pub(super) fn elu(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let alpha = s.params("elu_param").float("alpha", 1.0)?;
    s.one(Elu { alpha }, &[data])
}

pub(super) fn hard_sigmoid(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let params = s.params("hard_sigmoid_param");
    let (alpha, beta) = (params.float("alpha", 0.2)?, params.float("beta", 0.5)?);
    let (alpha, beta) = (s.scalar("alpha", alpha), s.scalar("beta", beta));
    s.one(HardSigmoid, &[data, alpha, beta])
}

/// `x * sigmoid(beta * x)`.
pub(super) fn swish(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let beta = s.params("swish_param").float("beta", 1.0)?;
    let beta = s.scalar("beta", beta);
    s.one(Swish, &[data, beta])
}

/// 1 above the threshold, 0 elsewhere.
pub(super) fn threshold(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let threshold = s.params("threshold_param").float("threshold", 0.0)?;
    let threshold = s.scalar("threshold", threshold);
    let above = s.binary("above", BinaryKind::Greater, data, threshold)?;
    let ty = s.element_type(data);
    s.one(Convert::to(ty), &[above])
}

/// `shift + scale * x`, without the operations that change nothing.
fn linear(s: &mut Scope, data: Port, scale: f64, shift: f64) -> Result<Port, crate::scope::Problem> {
    let mut result = data;
    if scale != 1.0 {
        let scale = s.scalar("scale", scale);
        result = s.binary("scaled", BinaryKind::Multiply, result, scale)?;
    }
    if shift != 0.0 {
        let shift = s.scalar("shift", shift);
        result = s.binary("shifted", BinaryKind::Add, result, shift)?;
    }
    Ok(result)
}

/// `(shift + scale * x) ^ power`.
pub(super) fn power(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let params = s.params("power_param");
    let (power, scale, shift) =
        (params.float("power", 1.0)?, params.float("scale", 1.0)?, params.float("shift", 0.0)?);
    let inner = linear(s, data, scale, shift)?;
    if power == 1.0 {
        return Ok(vec![inner]);
    }
    let power = s.scalar("power", power);
    s.one(Binary::new(BinaryKind::Power), &[inner, power])
}

/// `base ^ (shift + scale * x)`; base -1 stands for e.
pub(super) fn exp(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let (factor, scale, shift) = logarithmic(s, "exp_param")?;
    let inner = linear(s, data, scale * factor, shift * factor)?;
    s.one(Unary::Exp, &[inner])
}

/// The logarithm of `shift + scale * x` to a base; base -1 stands for e.
pub(super) fn log(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let (factor, scale, shift) = logarithmic(s, "log_param")?;
    let inner = linear(s, data, scale, shift)?;
    let natural = s.add("natural", Unary::Log, &[inner])?;
    if factor == 1.0 {
        return Ok(vec![natural]);
    }
    let by = s.constant("by", Tensor::scalar((1.0 / factor) as f32));
    Ok(vec![s.binary("to_base", BinaryKind::Multiply, natural, by)?])
}

/// The natural logarithm of the base, scale, shift.
fn logarithmic(s: &Scope, name: &'static str) -> Result<(f64, f64, f64), crate::scope::Problem> {
    let params = s.params(name);
    let (base, scale, shift) =
        (params.float("base", -1.0)?, params.float("scale", 1.0)?, params.float("shift", 0.0)?);
    let factor = if base == -1.0 { 1.0 } else { base.ln() };
    if base != -1.0 && (base <= 0.0 || factor == 0.0) {
        return malformed(format!("`base` is {base}, expected a positive number other than 1, or -1 for e"));
    }
    Ok((factor, scale, shift))
}
