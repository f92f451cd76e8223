//! Numbers that a precision cannot hold, and sums that half precision cannot take.

use super::Finding;
use ir::{
    ElementType, Model, NodeId, Op, Port, Tensor,
    op::{BinaryKind, ReduceKind, Unary},
};

/// Constants that no device computes with as they are: what is no number, and integers that devices narrow.
pub fn numbers(model: &Model) -> Vec<Finding> {
    let mut found = Vec::new();
    for (_, node) in model.nodes() {
        let Some(tensor) = node.constant() else { continue };
        let text = match tensor.element_type() {
            ElementType::F32 => match count_not_finite(tensor) {
                0 => continue,
                bad => format!(
                    "holds {bad} weight(s) that are infinite or no number; was the training stopped in time?"
                ),
            },
            ElementType::I64 | ElementType::U64 => {
                let wide = tensor.to_i64s().iter().filter(|v| !is_i32(**v)).count();
                // The far ends of 64 bits stand for "all that there is" in slices.
                match wide {
                    0 => continue,
                    wide => format!("holds {wide} integer(s) beyond 32 bits, to which devices narrow them"),
                }
            }
            _ => continue,
        };
        found.push(Finding { node: node.name.clone(), text });
    }
    found
}

fn is_i32(value: i64) -> bool {
    i32::try_from(value).is_ok() || value == i64::MAX || value == i64::MIN
}

/// Exponent bits that are all ones: one pass over the bytes, which the compiler does many at a time.
fn count_not_finite(tensor: &Tensor) -> usize {
    const EXPONENT: u32 = 0x7f80_0000;
    let words = tensor.bytes().as_chunks::<4>().0;
    let count = words.iter().map(|word| usize::from(u32::from_le_bytes(*word) & EXPONENT == EXPONENT)).sum();
    // Looking at weights is no reason to hold them.
    ir::release(tensor.bytes());
    count
}

/// Sums of more elements lose the last of them in half precision.
const LONG_SUM: usize = 2048;
/// Half precision's smallest normal number: 2^-14.
const SMALLEST: f64 = 6.103_515_625e-5;
/// Half precision's largest number.
const LARGEST: f64 = 65504.0;

/// Nodes that suffer where a device computes in half precision; storing weights so is no trouble for them.
pub fn half_arithmetic(model: &Model) -> Vec<Finding> {
    let mut found = Vec::new();
    for (id, node) in model.nodes() {
        if let Some(text) = hazard(model, id) {
            found.push(Finding { node: node.name.clone(), text });
        }
    }
    found
}

fn hazard(model: &Model, id: NodeId) -> Option<String> {
    let node = model.node(id);
    let is_data =
        |port: &Port| model.output(*port).value.is_none() && model.ty(*port).element_type.is_float();
    if !node.inputs().first().is_some_and(is_data) {
        return None;
    }
    match &node.op {
        Op::Unary(Unary::Exp) => Some("is an exponential: beyond 11.09 half precision overflows".to_owned()),
        Op::Binary(op) if op.kind == BinaryKind::Power => {
            let exponent = model.constant(node.inputs()[1])?.to_f64s();
            let high = exponent.iter().any(|e| *e > 1.0);
            high.then(|| "is a power: squares of numbers beyond 256 overflow half precision".to_owned())
        }
        Op::Binary(op) if matches!(op.kind, BinaryKind::Multiply | BinaryKind::Divide | BinaryKind::Add) => {
            let values = model.constant(node.inputs()[1]).filter(|t| t.len() <= crate::graph::FEW)?.to_f64s();
            let beyond = |v: &f64| v.abs() > LARGEST || (*v != 0.0 && v.abs() < SMALLEST);
            values.iter().any(beyond).then(|| {
                "computes with constants that half precision cannot hold with all their digits".to_owned()
            })
        }
        Op::Reduce(op)
            if matches!(op.kind, ReduceKind::Sum | ReduceKind::Mean | ReduceKind::L2 | ReduceKind::L1) =>
        {
            let count = |port: Port| model.ty(port).shape.sizes().and_then(|sizes| ir::element_count(&sizes));
            let (from, to) = (count(node.inputs()[0])?, count(id.into())?);
            let terms = from.checked_div(to)?;
            (terms > LONG_SUM).then(|| {
                format!("sums up {terms} elements; half precision loses the last of more than {LONG_SUM}")
            })
        }
        Op::Mvn(op) if op.eps < SMALLEST => {
            Some(format!("adds {:e} to a variance, which half precision flushes", op.eps))
        }
        Op::NormalizeL2(op) if op.eps < SMALLEST => {
            Some(format!("adds {:e} to a norm, which half precision flushes", op.eps))
        }
        Op::BatchNormInference(op) if op.epsilon < SMALLEST => {
            Some(format!("adds {:e} to a variance, which half precision flushes", op.epsilon))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ir::op::{Binary, Reduce};

    #[test]
    fn weights_that_are_no_numbers_and_wide_integers_are_found() {
        let mut model = Model::new("m");
        let weights = [1.0f32, f32::NAN, f32::INFINITY, f32::MAX, -0.0];
        model.add_constant("w", Tensor::from_slice(&[5], &weights).unwrap());
        model.add_constant("fine", Tensor::from_slice(&[2], &[1.0f32, f32::MIN_POSITIVE]).unwrap());
        model.add_constant("wide", Tensor::from_i64s(&[1 << 40, 3, i64::MAX]));
        let found = numbers(&model);
        assert_eq!(found.iter().map(|f| &f.node[..]).collect::<Vec<_>>(), ["w", "wide"]);
        assert!(found[0].text.contains("2 weight(s)") && found[1].text.contains("1 integer(s)"));
    }

    #[test]
    fn half_precisions_limits_are_known() {
        let mut model = Model::new("m");
        let x = model.add_parameter("x", ElementType::F32, "[1,4096]".parse().unwrap());
        let exp = model.add("exp", Unary::Exp, &[x.into()]).unwrap();
        let axes = model.add_constant("axes", Tensor::from_i64s(&[1]));
        let sum = model.add("sum", Reduce::new(ReduceKind::Sum), &[exp.into(), axes.into()]).unwrap();
        for (name, value) in [("tiny", 1e-6f32), ("large", 1e5), ("fine", 0.5)] {
            let c = model.add_constant("c", Tensor::scalar(value));
            let id = model.add(name, Binary::new(BinaryKind::Add), &[sum.into(), c.into()]).unwrap();
            model.add_result(name, id.into()).unwrap();
        }
        let found: Vec<String> = half_arithmetic(&model).into_iter().map(|f| f.node).collect();
        assert_eq!(found, ["exp", "sum", "tiny", "large"]);
    }
}
