//! Elementwise functions of two tensors, broadcast against each other.

use super::{Inputs, OpError, OpErrorKind, Operator, PortType, Value, expect_inputs};
use crate::{
    ElementType, Interval, PartialShape, Tensor,
    attribute::{Visit, Visitor, text_enum},
};

text_enum! {
    /// How two shapes come together.
    AutoBroadcast {
        /// From the last dimension on, sizes of 1 stretch.
        Numpy = "numpy",
        /// The shapes must be equal.
        None = "none" | "explicit",
        /// The second is placed inside the first.
        Pdpd = "pdpd",
    }
}

/// What a [`Binary`] computes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)] // Each is the function of that name; the formulas stand in `apply`.
pub enum BinaryKind {
    Add,
    Subtract,
    Multiply,
    Divide,
    Maximum,
    Minimum,
    Power,
    SquaredDifference,
    /// The remainder with the dividend's sign.
    Mod,
    /// The remainder with the divisor's sign.
    FloorMod,
    Equal,
    NotEqual,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
    LogicalAnd,
    LogicalOr,
    LogicalXor,
}

impl BinaryKind {
    /// True when the result is boolean.
    pub fn is_boolean(self) -> bool {
        self.is_comparison() || self.is_logical()
    }

    /// True for equality and order.
    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Equal | Self::NotEqual | Self::Greater | Self::GreaterEqual | Self::Less | Self::LessEqual
        )
    }

    /// True for and, or, xor.
    pub fn is_logical(self) -> bool {
        matches!(self, Self::LogicalAnd | Self::LogicalOr | Self::LogicalXor)
    }

    /// The function on two floats; booleans are 0 and 1.
    pub fn apply(self, a: f64, b: f64) -> f64 {
        let truth = |t: bool| f64::from(u8::from(t));
        match self {
            Self::Add => a + b,
            Self::Subtract => a - b,
            Self::Multiply => a * b,
            Self::Divide => a / b,
            Self::Maximum => {
                if a > b || a.is_nan() {
                    a
                } else {
                    b
                }
            }
            Self::Minimum => {
                if a < b || a.is_nan() {
                    a
                } else {
                    b
                }
            }
            Self::Power => a.powf(b),
            Self::SquaredDifference => (a - b) * (a - b),
            Self::Mod => a % b,
            Self::FloorMod => {
                let rest = a % b;
                if rest != 0.0 && (rest < 0.0) != (b < 0.0) { rest + b } else { rest }
            }
            Self::Equal => truth(a == b),
            Self::NotEqual => truth(a != b),
            Self::Greater => truth(a > b),
            Self::GreaterEqual => truth(a >= b),
            Self::Less => truth(a < b),
            Self::LessEqual => truth(a <= b),
            Self::LogicalAnd => truth(a != 0.0 && b != 0.0),
            Self::LogicalOr => truth(a != 0.0 || b != 0.0),
            Self::LogicalXor => truth((a != 0.0) != (b != 0.0)),
        }
    }

    /// The function on two integers; `None` for a division by zero. Overflow wraps.
    pub fn apply_integer(self, a: i64, b: i64) -> Option<i64> {
        Some(match self {
            Self::Add => a.wrapping_add(b),
            Self::Subtract => a.wrapping_sub(b),
            Self::Multiply => a.wrapping_mul(b),
            Self::Divide if b == 0 => return None,
            Self::Divide => a.wrapping_div(b),
            Self::Maximum => a.max(b),
            Self::Minimum => a.min(b),
            Self::Power => integer_power(a, b)?,
            Self::SquaredDifference => a.wrapping_sub(b).wrapping_mul(a.wrapping_sub(b)),
            Self::Mod | Self::FloorMod if b == 0 => return None,
            Self::Mod => a.wrapping_rem(b),
            Self::FloorMod => {
                let rest = a.wrapping_rem(b);
                if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }
            }
            Self::Equal => i64::from(a == b),
            Self::NotEqual => i64::from(a != b),
            Self::Greater => i64::from(a > b),
            Self::GreaterEqual => i64::from(a >= b),
            Self::Less => i64::from(a < b),
            Self::LessEqual => i64::from(a <= b),
            Self::LogicalAnd => i64::from(a != 0 && b != 0),
            Self::LogicalOr => i64::from(a != 0 || b != 0),
            Self::LogicalXor => i64::from((a != 0) != (b != 0)),
        })
    }

    /// The function on intervals of integers, where it is simple.
    fn apply_interval(self, a: Interval, b: Interval) -> Interval {
        if let (Some(a), Some(b)) = (a.value(), b.value()) {
            return self.apply_integer(a, b).map_or(Interval::UNKNOWN, Interval::exactly);
        }
        match (self, b.value()) {
            (Self::Add, _) => a + b,
            (Self::Subtract, _) => a - b,
            (Self::Multiply, _) => a * b,
            (Self::Divide, Some(d)) if d > 0 => a.map_monotone(|v| v / d),
            (Self::Maximum, _) => {
                Interval::new(a.min().max(b.min()), a.max().max(b.max())).unwrap_or(Interval::UNKNOWN)
            }
            (Self::Minimum, _) => {
                Interval::new(a.min().min(b.min()), a.max().min(b.max())).unwrap_or(Interval::UNKNOWN)
            }
            _ => Interval::UNKNOWN,
        }
    }
}

/// `base` to the power `exponent`, truncated; `None` for zero to a negative power.
fn integer_power(base: i64, exponent: i64) -> Option<i64> {
    match u32::try_from(exponent) {
        Ok(exponent) => Some(base.wrapping_pow(exponent)),
        Err(_) if exponent >= 0 => Some(base.wrapping_pow(u32::MAX - u32::from(exponent % 2 == 0))),
        Err(_) => match base {
            0 => None,
            1 => Some(1),
            -1 => Some(if exponent % 2 == 0 { 1 } else { -1 }),
            _ => Some(0),
        },
    }
}

/// An elementwise function of two tensors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Binary {
    /// What is computed.
    pub kind: BinaryKind,
    /// How the shapes come together.
    pub auto_broadcast: AutoBroadcast,
}

impl Binary {
    /// The function with numpy's broadcasting.
    pub fn new(kind: BinaryKind) -> Self {
        Self { kind, auto_broadcast: AutoBroadcast::Numpy }
    }
}

impl Visit for Binary {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.optional("auto_broadcast", &mut self.auto_broadcast);
    }
}

impl Operator for Binary {
    fn type_name(&self) -> &str {
        match self.kind {
            BinaryKind::Add => "Add",
            BinaryKind::Subtract => "Subtract",
            BinaryKind::Multiply => "Multiply",
            BinaryKind::Divide => "Divide",
            BinaryKind::Maximum => "Maximum",
            BinaryKind::Minimum => "Minimum",
            BinaryKind::Power => "Power",
            BinaryKind::SquaredDifference => "SquaredDifference",
            BinaryKind::Mod => "Mod",
            BinaryKind::FloorMod => "FloorMod",
            BinaryKind::Equal => "Equal",
            BinaryKind::NotEqual => "NotEqual",
            BinaryKind::Greater => "Greater",
            BinaryKind::GreaterEqual => "GreaterEqual",
            BinaryKind::Less => "Less",
            BinaryKind::LessEqual => "LessEqual",
            BinaryKind::LogicalAnd => "LogicalAnd",
            BinaryKind::LogicalOr => "LogicalOr",
            BinaryKind::LogicalXor => "LogicalXor",
        }
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(2..=2)?;
        let ty = inputs.same_element_type(0..2)?;
        let shape = broadcast_shapes(self.auto_broadcast, inputs.shape(0), inputs.shape(1))?;
        Ok(vec![PortType::new(if self.kind.is_boolean() { ElementType::Boolean } else { ty }, shape)])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 2..=2)?;
        let (a, b) = (&inputs[0], &inputs[1]);
        let ty = a.element_type();
        if b.element_type() != ty {
            return Err(OpError::element_type(format!("operands are {ty} and {}", b.element_type())));
        }
        let (shape, [at_a, at_b]) = broadcast_strides(self.auto_broadcast, [a.shape(), b.shape()])?;
        let out = if self.kind.is_boolean() { ElementType::Boolean } else { ty };
        let y = if ty.is_float() {
            let (a, b) = (a.to_f64s(), b.to_f64s());
            let mut y = Vec::new();
            walk(&shape, [&at_a, &at_b], |[i, j]| y.push(self.kind.apply(a[i], b[j])));
            Tensor::from_f64s(out, &shape, &y)?
        } else {
            let (a, b) = (a.to_i64s(), b.to_i64s());
            let mut y = Vec::new();
            walk(&shape, [&at_a, &at_b], |[i, j]| y.push(self.kind.apply_integer(a[i], b[j])));
            let y: Option<Vec<i64>> = y.into_iter().collect();
            let y = y.ok_or_else(|| OpError::value("integer division by zero"))?;
            Tensor::from_i64_values(out, &shape, &y)?
        };
        Ok(vec![y])
    }

    fn infer_values(&self, inputs: &Inputs) -> Option<Vec<Option<Value>>> {
        if self.kind.is_boolean() || !inputs.element_type(0).is_integer() {
            return None;
        }
        let shapes = [inputs.0[0].value?.shape(), inputs.0[1].value?.shape()];
        let (shape, [at_a, at_b]) = broadcast_strides(self.auto_broadcast, shapes).ok()?;
        let (a, b) = (inputs.intervals(0)?, inputs.intervals(1)?);
        let mut y = Vec::new();
        walk(&shape, [&at_a, &at_b], |[i, j]| y.push(self.kind.apply_interval(a[i], b[j])));
        Some(vec![Value::from_intervals(inputs.element_type(0), shape, y)])
    }
}

/// The shape that two come to, or why they don't.
pub(crate) fn broadcast_shapes(
    rule: AutoBroadcast,
    a: &PartialShape,
    b: &PartialShape,
) -> Result<PartialShape, OpError> {
    let fail = || OpError::shape(format!("shapes {a} and {b} do not broadcast"));
    match rule {
        AutoBroadcast::Numpy => a.broadcast(b).ok_or_else(fail),
        AutoBroadcast::None => a.intersect(b).ok_or_else(fail),
        AutoBroadcast::Pdpd => {
            Err(OpError::new(OpErrorKind::Unsupported, "pdpd broadcasting is not supported"))
        }
    }
}

/// The common shape of `N` tensors, and for each its element strides in it: 0 where it repeats.
pub(crate) fn broadcast_strides<const N: usize>(
    rule: AutoBroadcast,
    shapes: [&[usize]; N],
) -> Result<(Vec<usize>, [Vec<usize>; N]), OpError> {
    let mut common = PartialShape::fixed(shapes[0]);
    for shape in &shapes[1..] {
        common = broadcast_shapes(rule, &common, &PartialShape::fixed(shape))?;
    }
    let common = common.sizes().expect("fixed shapes come to a fixed shape");
    let strides = shapes.map(|shape| strides_in(shape, &common));
    Ok((common, strides))
}

/// The element strides of a row-major tensor of `shape` seen as one of shape `common`.
pub(crate) fn strides_in(shape: &[usize], common: &[usize]) -> Vec<usize> {
    let mut strides = vec![0; common.len()];
    let (mut stride, lead) = (1, common.len() - shape.len());
    for i in (0..shape.len()).rev() {
        strides[lead + i] = if shape[i] == 1 { 0 } else { stride };
        // Wraps only for an empty tensor, which nobody walks.
        stride = usize::wrapping_mul(stride, shape[i]);
    }
    strides
}

/// Calls `f` for every index of `shape` in row-major order with the element offsets by `strides`.
pub(crate) fn walk<const N: usize>(shape: &[usize], strides: [&[usize]; N], mut f: impl FnMut([usize; N])) {
    if shape.contains(&0) {
        return;
    }
    let mut index = vec![0; shape.len()];
    let mut offsets = [0; N];
    loop {
        f(offsets);
        let mut axis = shape.len();
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            index[axis] += 1;
            for n in 0..N {
                offsets[n] += strides[n][axis];
            }
            if index[axis] < shape[axis] {
                break;
            }
            for n in 0..N {
                offsets[n] -= strides[n][axis] * shape[axis];
            }
            index[axis] = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(kind: BinaryKind, a: Tensor, b: Tensor) -> Result<Tensor, OpError> {
        Binary::new(kind).evaluate(&[a, b]).map(|mut y| y.remove(0))
    }

    #[test]
    fn operands_broadcast() {
        let a = Tensor::from_slice(&[2, 1], &[1.0f32, 2.0]).unwrap();
        let b = Tensor::from_slice(&[3], &[10.0f32, 20.0, 30.0]).unwrap();
        let y = run(BinaryKind::Subtract, a, b).unwrap();
        assert_eq!(y.shape(), [2, 3]);
        assert_eq!(y.to_f64s(), [-9.0, -19.0, -29.0, -8.0, -18.0, -28.0]);
        let empty = Tensor::from_slice::<f32>(&[0, 3], &[]).unwrap();
        let row = Tensor::from_slice(&[3], &[1.0f32; 3]).unwrap();
        assert_eq!(run(BinaryKind::Add, empty, row).unwrap().shape(), [0, 3]);
    }

    #[test]
    fn integers_divide_as_integers() {
        let cases = [
            (BinaryKind::Divide, -7i64, 2i64, -3),
            (BinaryKind::Mod, -7, 3, -1),
            (BinaryKind::FloorMod, -7, 3, 2),
            (BinaryKind::FloorMod, 7, -3, -2),
            (BinaryKind::Power, 2, -1, 0),
            (BinaryKind::Power, -1, -3, -1),
            (BinaryKind::Divide, i64::MIN, -1, i64::MIN),
        ];
        for (kind, a, b, want) in cases {
            let y = run(kind, Tensor::scalar(a), Tensor::scalar(b)).unwrap();
            assert_eq!(y.to_i64s(), [want], "{kind:?} of {a} and {b}");
        }
        let zero = run(BinaryKind::Mod, Tensor::scalar(1i32), Tensor::scalar(0i32)).unwrap_err();
        assert_eq!(zero.kind(), OpErrorKind::Value);
    }

    #[test]
    fn comparisons_give_booleans() {
        let a = Tensor::from_slice(&[3], &[1.0f32, f32::NAN, 3.0]).unwrap();
        let b = Tensor::scalar(2.0f32);
        let y = run(BinaryKind::Less, a, b).unwrap();
        assert_eq!(y.element_type(), ElementType::Boolean);
        assert_eq!(y.to_i64s(), [1, 0, 0]);
    }
}
