//! Shapes, and the same elements under other shapes.

use super::{
    Inputs, OpError, Operator, PortType, Value,
    axes::{axis, check_rank, distinct_axes, integers},
    expect_inputs, output_shapes,
};
use crate::{
    Dim, ElementType, Interval, PartialShape, Tensor,
    attribute::{Visit, Visitor},
};

/// The shape of the input as a vector.
#[derive(Clone, PartialEq, Debug)]
pub struct ShapeOf {
    /// Type of the vector: i64 or i32.
    pub output_type: ElementType,
}

impl Default for ShapeOf {
    fn default() -> Self {
        Self { output_type: ElementType::I64 }
    }
}

impl Visit for ShapeOf {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.optional("output_type", &mut self.output_type);
    }
}

impl Operator for ShapeOf {
    fn type_name(&self) -> &str {
        "ShapeOf"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(1..=1)?;
        if !matches!(self.output_type, ElementType::I32 | ElementType::I64) {
            let message = format!("output_type is {}, expected i32 or i64", self.output_type);
            return Err(OpError::attribute(message));
        }
        let length = inputs.shape(0).rank().map_or(Dim::ANY_DIM, Dim::dim);
        Ok(vec![PortType::new(self.output_type, PartialShape::new([length]))])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 1..=1)?;
        let sizes: Option<Vec<i64>> = inputs[0].shape().iter().map(|d| i64::try_from(*d).ok()).collect();
        let sizes = sizes.ok_or_else(|| OpError::shape("a dimension is beyond i64"))?;
        Ok(vec![Tensor::from_i64_values(self.output_type, &[sizes.len()], &sizes)?])
    }

    fn infer_values(&self, inputs: &Inputs) -> Option<Vec<Option<Value>>> {
        let dims = inputs.0.first()?.ty.shape.dims()?;
        Some(vec![Value::from_intervals(self.output_type, vec![dims.len()], dims.to_vec())])
    }
}

/// The same elements under another shape. Inputs: data, pattern, where -1 stands for what is left.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Reshape {
    /// A 0 in the pattern keeps the input's dimension.
    pub special_zero: bool,
}

impl Visit for Reshape {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("special_zero", &mut self.special_zero);
    }
}

impl Operator for Reshape {
    fn type_name(&self) -> &str {
        "Reshape"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(2..=2)?;
        let pattern = inputs.shape(1);
        if pattern.rank().is_some_and(|rank| rank != 1) {
            return Err(OpError::shape(format!("the pattern has shape {pattern}, expected a vector")));
        }
        let shape = match (inputs.intervals(1), pattern.sizes()) {
            (Some(pattern), _) => self.resolve(inputs.shape(0), &pattern)?,
            (None, Some(length)) => PartialShape::of_rank(check_rank(length[0])?),
            (None, None) => PartialShape::UNKNOWN,
        };
        Ok(vec![PortType::new(inputs.element_type(0), shape)])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        reinterpret(self, inputs)
    }

    fn moves(&self, input: usize) -> bool {
        input == 0
    }
}

impl Reshape {
    /// The shape that `pattern` makes of `data`.
    fn resolve(&self, data: &PartialShape, pattern: &[Interval]) -> Result<PartialShape, OpError> {
        check_rank(pattern.len())?;
        let fail = |why: &str| OpError::value(format!("{data} does not take the shape {pattern:?}: {why}"));
        let mut shape = Vec::new();
        // Dimensions of the data that are copied as they are; they cancel out of the rest.
        let mut copied = Vec::new();
        let mut open = None;
        for (i, wanted) in pattern.iter().enumerate() {
            shape.push(match wanted.value() {
                Some(-1) => {
                    if open.replace(i).is_some() {
                        return Err(fail("only one -1 can stand for what is left"));
                    }
                    Dim::ANY_DIM
                }
                Some(0) if self.special_zero => {
                    copied.push(i);
                    match data.dims() {
                        None => Dim::ANY_DIM,
                        Some(dims) => {
                            *dims.get(i).ok_or_else(|| fail("a 0 stands where the data has no dimension"))?
                        }
                    }
                }
                Some(size) if size < 0 => return Err(fail("sizes below -1 mean nothing")),
                Some(size) => Dim::exactly(size),
                // What is not known can still be -1, and where 0 is special be any dimension.
                None if wanted.min() < 0 || self.special_zero && wanted.min() == 0 => Dim::ANY_DIM,
                None => *wanted,
            });
        }
        let Some(dims) = data.dims() else { return Ok(PartialShape::new(shape)) };
        let rest = |dims: &[Dim]| -> Vec<Dim> {
            dims.iter().enumerate().filter(|(i, _)| !copied.contains(i)).map(|(_, dim)| *dim).collect()
        };
        let total = rest(dims).into_iter().fold(Dim::exactly(1), |product, dim| product * dim);
        // Without a -1, a single dimension that isn't exactly known follows in the same way.
        let open = open.or_else(|| {
            let mut unknown = (0..shape.len()).filter(|i| !copied.contains(i) && shape[*i].value().is_none());
            unknown.next().filter(|_| unknown.next().is_none())
        });
        let Some(open) = open else {
            let wanted = rest(&shape).into_iter().fold(Dim::exactly(1), |product, dim| product * dim);
            if wanted.intersect(total).is_none() {
                return Err(fail("the numbers of elements differ"));
            }
            return Ok(PartialShape::new(shape));
        };
        let others = (0..shape.len()).filter(|i| *i != open && !copied.contains(i));
        let others = others.fold(Dim::exactly(1), |product, i| product * shape[i]);
        let inferred = match others.value() {
            Some(0) if total.min() > 0 => return Err(fail("the numbers of elements differ")),
            // As OpenVINO does; frameworks refuse it.
            Some(0) => Dim::exactly(0),
            Some(divisor) => total
                .exact_quotients(divisor)
                .ok_or_else(|| fail("the number of elements does not divide"))?,
            None => Dim::ANY_DIM,
        };
        shape[open] =
            shape[open].intersect(inferred).ok_or_else(|| fail("the numbers of elements differ"))?;
        Ok(PartialShape::new(shape))
    }
}

/// Evaluates an op that gives its first input another shape.
fn reinterpret(op: &dyn Operator, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
    let shape = output_shapes(op, inputs)?.remove(0);
    Ok(vec![inputs[0].reshaped(shape)?])
}

/// Drops dimensions of size 1. Inputs: data, optionally axes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Squeeze;

impl Visit for Squeeze {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}

impl Operator for Squeeze {
    fn type_name(&self) -> &str {
        "Squeeze"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(1..=2)?;
        let axes = match inputs.len() {
            1 => Some(Vec::new()),
            _ => inputs.tensor(1).map(|t| integers(t, "axes")).transpose()?,
        };
        let shape = match (inputs.shape(0).dims(), axes) {
            (None, _) => PartialShape::UNKNOWN,
            (Some(dims), Some(axes)) if axes.is_empty() => match dims.iter().any(may_be_one) {
                true => PartialShape::UNKNOWN,
                false => PartialShape::new(dims.iter().copied().filter(|dim| dim.value() != Some(1))),
            },
            (Some(dims), Some(axes)) => {
                let mut gone = vec![false; dims.len()];
                for value in axes {
                    let axis = axis(value, dims.len())?;
                    if !dims[axis].contains(1) {
                        let message = format!("dimension {axis} is {}, only 1 can be dropped", dims[axis]);
                        return Err(OpError::shape(message));
                    }
                    gone[axis] = true;
                }
                PartialShape::new(dims.iter().zip(gone).filter(|(_, gone)| !gone).map(|(dim, _)| *dim))
            }
            // One axis that is not known still leaves one dimension fewer.
            (Some(dims), None) if !dims.is_empty() && inputs.count(1) == Some(1) => {
                PartialShape::of_rank(dims.len() - 1)
            }
            (Some(_), None) => PartialShape::UNKNOWN,
        };
        Ok(vec![PortType::new(inputs.element_type(0), shape)])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        reinterpret(self, inputs)
    }

    fn moves(&self, input: usize) -> bool {
        input == 0
    }
}

fn may_be_one(dim: &Dim) -> bool {
    dim.value().is_none() && dim.contains(1)
}

/// Inserts dimensions of size 1. Inputs: data, axes of the output.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Unsqueeze;

impl Visit for Unsqueeze {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}

impl Operator for Unsqueeze {
    fn type_name(&self) -> &str {
        "Unsqueeze"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(2..=2)?;
        let axes = inputs.tensor(1).map(|t| integers(t, "axes")).transpose()?;
        let count = match &axes {
            Some(axes) => Some(axes.len()),
            None => inputs.count(1),
        };
        let shape = match (inputs.shape(0).dims(), count) {
            (Some(dims), Some(count)) => {
                let rank = check_rank(dims.len().saturating_add(count))?;
                match axes {
                    Some(axes) => {
                        let axes = distinct_axes(&axes, rank)?;
                        let mut kept = dims.iter().copied();
                        let dim = |i| if axes.contains(&i) { Some(Dim::exactly(1)) } else { kept.next() };
                        PartialShape::new((0..rank).filter_map(dim))
                    }
                    None => PartialShape::of_rank(rank),
                }
            }
            _ => PartialShape::UNKNOWN,
        };
        Ok(vec![PortType::new(inputs.element_type(0), shape)])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        reinterpret(self, inputs)
    }

    fn moves(&self, input: usize) -> bool {
        input == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::testing::{inferred, iota};

    #[test]
    fn reshape_follows_what_is_known() {
        for (special_zero, data, pattern, want) in [
            (false, "f32[2,3,4]", vec![-1, 4], Ok("f32[6,4]")),
            (true, "f32[2,3,4]", vec![0, -1], Ok("f32[2,12]")),
            (false, "f32[?,7,7,64]", vec![-1, 3136], Ok("f32[?,3136]")),
            (true, "f32[?,7,7,64]", vec![0, -1], Ok("f32[?,3136]")),
            (true, "f32[2..5,8]", vec![-1, 4], Ok("f32[4..10,4]")),
            (false, "f32[?,?]", vec![-1, 4], Ok("f32[?,4]")),
            (false, "f32[...]", vec![1, -1], Ok("f32[1,?]")),
            (true, "f32[...]", vec![0, 5], Ok("f32[?,5]")),
            (false, "f32[1]", vec![], Ok("f32[]")),
            // As OpenVINO 2026.4 has them.
            (true, "f32[0,3]", vec![0, -1], Ok("f32[0,3]")),
            (false, "f32[0,3]", vec![-1, 3], Ok("f32[0,3]")),
            (false, "f32[2,3]", vec![4, -1], Err("does not divide")),
            (false, "f32[2,3]", vec![7], Err("differ")),
            (false, "f32[2,3]", vec![-1, -1], Err("only one -1")),
            (false, "f32[2,3]", vec![-2, 3], Err("below -1")),
            (true, "f32[6]", vec![6, 0], Err("no dimension")),
            (false, "f32[2,3]", vec![0, -1], Err("differ")),
            (false, "f32[2,3]", vec![i64::MAX, i64::MAX], Err("differ")),
        ] {
            let inputs = [data.into(), Tensor::from_i64s(&pattern).into()];
            let found = inferred(&Reshape { special_zero }, &inputs);
            match (&found, want) {
                (Ok(found), Ok(want)) => assert_eq!(found, want, "{data} to {pattern:?}"),
                (Err(found), Err(want)) => assert!(found.to_string().contains(want), "{found}"),
                _ => panic!("{data} to {pattern:?}: {found:?}"),
            }
        }
        let op = Reshape { special_zero: false };
        assert_eq!(inferred(&op, &["f32[2,3]".into(), "i64[3]".into()]).unwrap(), "f32[?,?,?]");
        assert_eq!(inferred(&op, &["f32[2,3]".into(), "i64[?]".into()]).unwrap(), "f32[...]");
        assert!(inferred(&op, &["f32[2,3]".into(), "i64[1000]".into()]).is_err());
        assert!(inferred(&op, &["f32[2,3]".into(), "i64[1,2]".into()]).is_err());
        let y = op.evaluate(&[iota(&[2, 3]), Tensor::from_i64s(&[3, -1])]).unwrap();
        assert_eq!((y[0].shape(), y[0].to_i64s()), (&[3, 2][..], vec![0, 1, 2, 3, 4, 5]));
    }

    #[test]
    fn squeeze_drops_ones() {
        for (data, axes, want) in [
            ("f32[1,2,1,3]", Some(vec![0, -2]), Ok("f32[2,3]")),
            ("f32[1,2,1,3]", Some(vec![]), Ok("f32[2,3]")),
            ("f32[1,2,1,3]", None, Ok("f32[2,3]")),
            ("f32[1,2..4,1]", None, Ok("f32[2..4]")),
            ("f32[1,?,1]", None, Ok("f32[...]")),
            ("f32[1,?,1]", Some(vec![1, 1]), Ok("f32[1,1]")),
            ("f32[...]", Some(vec![1]), Ok("f32[...]")),
            ("f32[1]", Some(vec![0]), Ok("f32[]")),
            ("f32[1,2]", Some(vec![1]), Err(())),
            ("f32[1,2]", Some(vec![2]), Err(())),
        ] {
            let mut inputs = vec![data.into()];
            inputs.extend(axes.as_ref().map(|axes| Tensor::from_i64s(axes).into()));
            let found = inferred(&Squeeze, &inputs);
            assert_eq!(found.as_deref().map_err(|_| ()), want, "{data} {axes:?}");
        }
        assert_eq!(inferred(&Squeeze, &["f32[1,2,3]".into(), "i64[1]".into()]).unwrap(), "f32[?,?]");
    }

    #[test]
    fn unsqueeze_inserts_ones() {
        for (data, axes, want) in [
            ("f32[2,?]", vec![0, -1], Ok("f32[1,2,?,1]")),
            ("f32[2,?]", vec![-2], Ok("f32[2,1,?]")),
            ("f32[]", vec![0], Ok("f32[1]")),
            ("f32[...]", vec![0], Ok("f32[...]")),
            ("f32[2]", vec![0, -3], Err(())),
            ("f32[2]", vec![2], Err(())),
        ] {
            let found = inferred(&Unsqueeze, &[data.into(), Tensor::from_i64s(&axes).into()]);
            assert_eq!(found.as_deref().map_err(|_| ()), want, "{data} {axes:?}");
        }
        assert_eq!(inferred(&Unsqueeze, &["f32[2]".into(), "i64[2]".into()]).unwrap(), "f32[?,?,?]");
        let y = Unsqueeze.evaluate(&[iota(&[2]), Tensor::scalar(1i64)]).unwrap();
        assert_eq!(y[0].shape(), [2, 1]);
    }

    #[test]
    fn shapes_become_vectors() {
        let op = ShapeOf { output_type: ElementType::I32 };
        assert_eq!(inferred(&op, &["f32[2,?]".into()]).unwrap(), "i32[2]");
        assert_eq!(inferred(&op, &["f32[...]".into()]).unwrap(), "i32[?]");
        assert_eq!(inferred(&op, &["f32[]".into()]).unwrap(), "i32[0]");
        let y = op.evaluate(&[iota(&[2, 0, 3])]).unwrap();
        assert_eq!((y[0].element_type(), y[0].to_i64s()), (ElementType::I32, vec![2, 0, 3]));
        assert!(inferred(&ShapeOf { output_type: ElementType::F32 }, &["f32[2]".into()]).is_err());
    }
}
