//! Elementwise functions, and softmax.

use super::reshape::unsqueezed;
use crate::scope::{Converted, Problem, Scope, malformed};
use ir::{
    Op, Port, Tensor,
    op::{
        Binary, BinaryKind, Clamp, Convert, Elu, LogSoftmax, PRelu, Round, RoundMode, Select, Selu, Softmax,
        Swish, Unary,
    },
};

pub(super) fn unary(s: &mut Scope, kind: Unary) -> Converted {
    let inputs: [_; 1] = s.exactly()?;
    s.one(kind, &inputs)
}

pub(super) fn binary(s: &mut Scope, kind: BinaryKind) -> Converted {
    s.ignore(&["incompatible_shape_error"]);
    let inputs: [_; 2] = s.exactly()?;
    s.one(Binary::new(kind), &inputs)
}

/// A function of the input and a number.
fn with_scalar(s: &mut Scope, kind: BinaryKind, value: f64) -> Converted {
    let [data] = s.exactly()?;
    let value = s.scalar("value", s.element_type(data), value)?;
    s.one(Binary::new(kind), &[data, value])
}

pub(super) fn rsqrt(s: &mut Scope) -> Converted {
    with_scalar(s, BinaryKind::Power, -0.5)
}

pub(super) fn reciprocal(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let one = s.scalar("one", s.element_type(data), 1.0)?;
    s.one(Binary::new(BinaryKind::Divide), &[one, data])
}

pub(super) fn square(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    s.one(Binary::new(BinaryKind::Multiply), &[data, data])
}

pub(super) fn expm1(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let exp = s.add("exp", Unary::Exp, &[data])?;
    let one = s.scalar("one", s.element_type(data), 1.0)?;
    s.one(Binary::new(BinaryKind::Subtract), &[exp, one])
}

pub(super) fn log1p(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let one = s.scalar("one", s.element_type(data), 1.0)?;
    let sum = s.add("sum", Binary::new(BinaryKind::Add), &[data, one])?;
    s.one(Unary::Log, &[sum])
}

pub(super) fn erfc(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let erf = s.add("erf", Unary::Erf, &[data])?;
    let one = s.scalar("one", s.element_type(data), 1.0)?;
    s.one(Binary::new(BinaryKind::Subtract), &[one, erf])
}

/// A question about one number.
pub(super) fn question(s: &mut Scope, op: impl Into<Op>) -> Converted {
    let inputs: [_; 1] = s.exactly()?;
    s.one(op, &inputs)
}

pub(super) fn cast(s: &mut Scope) -> Converted {
    s.ignore(&["SrcT", "Truncate"]);
    let [data] = s.exactly()?;
    let from = s.element_type(data);
    let to = s.dtype("DstT", from)?;
    if from == to { Ok(vec![data]) } else { s.one(Convert::to(to), &[data]) }
}

pub(super) fn relu6(s: &mut Scope) -> Converted {
    let inputs: [_; 1] = s.exactly()?;
    s.one(Clamp { min: 0.0, max: 6.0 }, &inputs)
}

pub(super) fn elu(s: &mut Scope) -> Converted {
    let inputs: [_; 1] = s.exactly()?;
    s.one(Elu { alpha: 1.0 }, &inputs)
}

pub(super) fn selu(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let ty = s.element_type(data);
    let alpha = s.scalar("alpha", ty, 1.673_263_242_354_377_2)?;
    let lambda = s.scalar("lambda", ty, 1.050_700_987_355_480_5)?;
    s.one(Selu, &[data, alpha, lambda])
}

pub(super) fn leaky_relu(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let alpha = f64::from(s.float("alpha", 0.2)?);
    let shape: &[usize] = if s.ty(data).shape.rank() == Some(0) { &[] } else { &[1] };
    let slope = Tensor::from_f64s(s.element_type(data), shape, &[alpha]);
    let slope = slope.map_err(|e| Problem::Malformed(e.to_string()))?;
    let slope = s.constant("alpha", slope);
    s.one(PRelu, &[data, slope])
}

/// `x * sigmoid(x)`, in newer graphs with a factor `beta` inside.
pub(super) fn swish(s: &mut Scope) -> Converted {
    let data = s.input(0)?;
    match s.inputs.get(1) {
        Some(beta) => {
            let beta = *beta;
            s.one(Swish, &[data, beta])
        }
        None => s.one(Swish, &[data]),
    }
}

/// To the nearest integer, halves to the even one.
pub(super) fn round(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    if !s.element_type(data).is_float() {
        return Ok(vec![data]);
    }
    s.one(Round { mode: RoundMode::HalfToEven }, &[data])
}

pub(super) fn softmax(s: &mut Scope) -> Converted {
    let inputs: [_; 1] = s.exactly()?;
    s.one(Softmax { axis: -1 }, &inputs)
}

pub(super) fn log_softmax(s: &mut Scope) -> Converted {
    let inputs: [_; 1] = s.exactly()?;
    s.one(LogSoftmax { axis: -1 }, &inputs)
}

pub(super) fn add_n(s: &mut Scope) -> Converted {
    s.ignore(&["N"]);
    let inputs = s.inputs.clone();
    let Some((last, rest)) = inputs.split_last() else { return malformed("it has no inputs") };
    let Some((first, rest)) = rest.split_first() else { return Ok(vec![*last]) };
    let mut sum = *first;
    for (i, term) in rest.iter().enumerate() {
        sum = s.add(&format!("sum_{i}"), Binary::new(BinaryKind::Add), &[sum, *term])?;
    }
    s.one(Binary::new(BinaryKind::Add), &[sum, *last])
}

/// Data, least value, greatest value.
pub(super) fn clip(s: &mut Scope) -> Converted {
    let [data, least, greatest] = s.exactly()?;
    let capped = s.add("min", Binary::new(BinaryKind::Minimum), &[data, greatest])?;
    s.one(Binary::new(BinaryKind::Maximum), &[capped, least])
}

/// A division that rounds as `remainder` says. Of integers: what is left after the remainder is taken off divides
/// evenly, whichever way a device rounds.
pub(super) fn divide(s: &mut Scope, remainder: BinaryKind) -> Converted {
    let [a, b] = s.exactly()?;
    if s.element_type(a).is_float() {
        let quotient = s.add("quotient", Binary::new(BinaryKind::Divide), &[a, b])?;
        if remainder == BinaryKind::Mod {
            let size = s.add("size", Unary::Abs, &[quotient])?;
            let whole = s.add("whole", Unary::Floor, &[size])?;
            let sign = s.add("sign", Unary::Sign, &[quotient])?;
            return s.one(Binary::new(BinaryKind::Multiply), &[whole, sign]);
        }
        return s.one(Unary::Floor, &[quotient]);
    }
    let rest = s.add("rest", Binary::new(remainder), &[a, b])?;
    let even = s.add("even", Binary::new(BinaryKind::Subtract), &[a, rest])?;
    s.one(Binary::new(BinaryKind::Divide), &[even, b])
}

/// A division whose quotient keeps its fraction where it is a float, and loses it where it is an integer.
pub(super) fn divide_by_type(s: &mut Scope) -> Converted {
    let [a, b] = s.exactly()?;
    if s.element_type(a).is_float() {
        return s.one(Binary::new(BinaryKind::Divide), &[a, b]);
    }
    divide(s, BinaryKind::Mod)
}

/// `a` and `b` together as `kind` says, 0 where the input `guard` is 0.
pub(super) fn guarded(s: &mut Scope, kind: BinaryKind, guard: usize) -> Converted {
    let [a, b] = s.exactly()?;
    let zero = s.scalar("zero", s.element_type(b), 0.0)?;
    let is_zero = s.add("is_zero", Binary::new(BinaryKind::Equal), &[[a, b][guard], zero])?;
    let value = s.add("value", Binary::new(kind), &[a, b])?;
    s.one(Select::default(), &[is_zero, zero, value])
}

/// `a * log(b + shift)`, 0 where `a` is 0.
pub(super) fn xlogy(s: &mut Scope, shift: f64) -> Converted {
    let [a, mut b] = s.exactly()?;
    if shift != 0.0 {
        let shift = s.scalar("shift", s.element_type(b), shift)?;
        b = s.add("shifted", Binary::new(BinaryKind::Add), &[b, shift])?;
    }
    let log = s.add("log", Unary::Log, &[b])?;
    let zero = s.scalar("zero", s.element_type(b), 0.0)?;
    let is_zero = s.add("is_zero", Binary::new(BinaryKind::Equal), &[a, zero])?;
    let value = s.add("value", Binary::new(BinaryKind::Multiply), &[a, log])?;
    s.one(Select::default(), &[is_zero, zero, value])
}

/// The angle of the point `(x, y)`: inputs y, x. The arctangent of their quotient, turned by half a circle where
/// `x` is negative.
pub(super) fn atan2(s: &mut Scope) -> Converted {
    let [y, x] = s.exactly()?;
    let ty = s.element_type(y);
    let quotient = s.add("quotient", Binary::new(BinaryKind::Divide), &[y, x])?;
    let angle = s.add("angle", Unary::Atan, &[quotient])?;
    let zero = s.scalar("zero", ty, 0.0)?;
    let behind = s.add("behind", Binary::new(BinaryKind::Less), &[x, zero])?;
    let below = s.add("below", Binary::new(BinaryKind::Less), &[y, zero])?;
    let (half, minus_half) = (std::f64::consts::PI, -std::f64::consts::PI);
    let (half, minus_half) = (s.scalar("half", ty, half)?, s.scalar("minus_half", ty, minus_half)?);
    let turn = s.add("turn", Select::default(), &[below, minus_half, half])?;
    let turned = s.add("turned", Binary::new(BinaryKind::Add), &[angle, turn])?;
    let whole = s.add("whole", Select::default(), &[behind, turned, angle])?;
    // At the origin the quotient is no number.
    let nothing = s.add("nothing", Binary::new(BinaryKind::Equal), &[y, zero])?;
    let upright = s.add("upright", Binary::new(BinaryKind::Equal), &[x, zero])?;
    let origin = s.add("origin", Binary::new(BinaryKind::LogicalAnd), &[nothing, upright])?;
    s.one(Select::default(), &[origin, zero, whole])
}

/// True where two tensors differ by less than a tolerance.
pub(super) fn approximate_equal(s: &mut Scope) -> Converted {
    let [a, b] = s.exactly()?;
    let tolerance = f64::from(s.float("tolerance", 1e-5)?);
    let difference = s.add("difference", Binary::new(BinaryKind::Subtract), &[a, b])?;
    let distance = s.add("distance", Unary::Abs, &[difference])?;
    let tolerance = s.scalar("tolerance", s.element_type(a), tolerance)?;
    s.one(Binary::new(BinaryKind::Less), &[distance, tolerance])
}

/// The first version: a vector as condition chooses whole rows.
pub(super) fn select(s: &mut Scope) -> Converted {
    let [condition, then, otherwise] = s.exactly()?;
    let condition = rows(s, condition, then)?;
    s.one(Select::default(), &[condition, then, otherwise])
}

fn rows(s: &mut Scope, condition: Port, data: Port) -> Result<Port, Problem> {
    if s.ty(condition).shape.rank() != Some(1) {
        return Ok(condition);
    }
    let inner: Vec<i64> = (1..s.rank(data)? as i64).collect();
    unsqueezed(s, "rows", condition, &inner)
}

pub(super) fn select_v2(s: &mut Scope) -> Converted {
    let inputs: [_; 3] = s.exactly()?;
    s.one(Select::default(), &inputs)
}
