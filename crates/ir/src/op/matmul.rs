//! Matrix products.

use super::{
    AutoBroadcast, Inputs, OpError, Operator, PortType,
    binary::{broadcast_strides, walk},
    expect_inputs,
    floats::zeros,
};
use crate::{
    Dim, PartialShape, Tensor,
    attribute::{Visit, Visitor},
};
use std::borrow::Cow;

/// Matrix product of the two innermost dimensions, the outer ones broadcast.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct MatMul {
    /// Transpose the first operand.
    pub transpose_a: bool,
    /// Transpose the second operand.
    pub transpose_b: bool,
}

impl Visit for MatMul {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.optional("transpose_a", &mut self.transpose_a);
        v.optional("transpose_b", &mut self.transpose_b);
    }
}

impl Operator for MatMul {
    fn type_name(&self) -> &str {
        "MatMul"
    }

    fn infer(&self, inputs: &Inputs) -> Result<Vec<PortType>, OpError> {
        inputs.expect(2..=2)?;
        let ty = inputs.same_element_type(0..2)?;
        let (Some(a), Some(b)) = (inputs.shape(0).dims(), inputs.shape(1).dims()) else {
            return Ok(vec![PortType::new(ty, PartialShape::UNKNOWN)]);
        };
        let (a_matrix, b_matrix) = (self.matrix(a, 0)?, self.matrix(b, 1)?);
        if a_matrix[1].intersect(b_matrix[0]).is_none() {
            return Err(OpError::shape(format!(
                "the inner dimensions {} and {} differ",
                a_matrix[1], b_matrix[0]
            )));
        }
        let outer = |dims: &[Dim]| PartialShape::new(dims[..dims.len().saturating_sub(2)].iter().copied());
        let batch = outer(a).broadcast(&outer(b)).ok_or_else(|| {
            OpError::shape(format!(
                "the outer dimensions of {} and {} do not broadcast",
                inputs.shape(0),
                inputs.shape(1)
            ))
        })?;
        let mut dims = batch.dims().unwrap_or_default().to_vec();
        dims.extend((a.len() > 1).then_some(a_matrix[0]));
        dims.extend((b.len() > 1).then_some(b_matrix[1]));
        Ok(vec![PortType::new(ty, PartialShape::new(dims))])
    }

    fn evaluate(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        expect_inputs(inputs.len(), 2..=2)?;
        let (a, b) = (&inputs[0], &inputs[1]);
        if a.element_type() != b.element_type() {
            let message = format!("operands are {} and {}", a.element_type(), b.element_type());
            return Err(OpError::element_type(message));
        }
        let ([rows, inner], [b_inner, columns]) = (self.matrix(a.shape(), 0)?, self.matrix(b.shape(), 1)?);
        if inner != b_inner {
            return Err(OpError::shape(format!("the inner dimensions {inner} and {b_inner} differ")));
        }
        let outer = |shape: &'_ [usize]| shape[..shape.len().saturating_sub(2)].to_vec();
        let (batch, [at_a, at_b]) =
            broadcast_strides(AutoBroadcast::Numpy, [&outer(a.shape()), &outer(b.shape())])?;
        let mut shape = batch.clone();
        shape.extend((a.shape().len() > 1).then_some(rows));
        shape.extend((b.shape().len() > 1).then_some(columns));
        let mut y = zeros(&shape)?;
        // With an empty operand, and then not always an empty answer, there is nothing to add up.
        if !y.is_empty() && inner > 0 {
            let (x, w) = (a.to_f64s(), b.to_f64s());
            let mut next = y.chunks_exact_mut(rows * columns);
            walk(&batch, [&at_a, &at_b], |[i, j]| {
                let x =
                    transposed(&x[i * rows * inner..][..rows * inner], rows, inner, self.transposes(0, a));
                let w = transposed(
                    &w[j * inner * columns..][..inner * columns],
                    inner,
                    columns,
                    self.transposes(1, b),
                );
                let y = next.next().expect("one matrix for each index");
                for (y, x) in y.chunks_exact_mut(columns).zip(x.chunks_exact(inner)) {
                    for (x, w) in x.iter().zip(w.chunks_exact(columns)) {
                        y.iter_mut().zip(w).for_each(|(y, w)| *y += x * w);
                    }
                }
            });
        }
        Ok(vec![Tensor::from_f64s(a.element_type(), &shape, &y)?])
    }
}

impl MatMul {
    /// Rows and columns of operand `which` as it is multiplied: a vector is a row of the first and a column of the
    /// second, whatever is transposed.
    fn matrix<T: Copy + From<usize>>(&self, dims: &[T], which: usize) -> Result<[T; 2], OpError> {
        match (dims, which) {
            ([], _) => {
                Err(OpError::shape(format!("input {which} is a scalar; expected at least one dimension")))
            }
            ([len], 0) => Ok([T::from(1), *len]),
            ([len], _) => Ok([*len, T::from(1)]),
            ([.., rows, columns], _) if [self.transpose_a, self.transpose_b][which] => Ok([*columns, *rows]),
            ([.., rows, columns], _) => Ok([*rows, *columns]),
        }
    }

    fn transposes(&self, which: usize, operand: &Tensor) -> bool {
        [self.transpose_a, self.transpose_b][which] && operand.shape().len() > 1
    }
}

/// A matrix of `rows` x `columns`, which may be stored transposed.
fn transposed(matrix: &[f64], rows: usize, columns: usize, stored_transposed: bool) -> Cow<'_, [f64]> {
    if !stored_transposed {
        return Cow::Borrowed(matrix);
    }
    Cow::Owned(
        (0..rows).flat_map(|row| (0..columns).map(move |column| matrix[column * rows + row])).collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ElementType,
        op::testing::{infer_types, ramp, run},
    };

    fn product(a: &[usize], b: &[usize], transpose_a: bool, transpose_b: bool) -> Result<Tensor, OpError> {
        run(&MatMul { transpose_a, transpose_b }, &[ramp(a), ramp(b)]).map(|mut y| y.remove(0))
    }

    #[test]
    fn operands_of_every_rank_multiply() {
        // numpy.matmul on the same ramps.
        type Case<'a> = (&'a [usize], &'a [usize], bool, bool, &'a [usize], &'a [f64]);
        let cases: &[Case] = &[
            (&[2, 3], &[3, 2], false, false, &[2, 2], &[22., 28., 49., 64.]),
            (&[3, 2], &[3, 2], true, false, &[2, 2], &[35., 44., 44., 56.]),
            (&[2, 3], &[2, 3], false, true, &[2, 2], &[14., 32., 32., 77.]),
            (&[3], &[3], true, true, &[], &[14.]),
            (&[3], &[3, 2], false, false, &[2], &[22., 28.]),
            (&[2, 3], &[3], false, false, &[2], &[14., 32.]),
            (&[2, 1, 2], &[2, 1], false, false, &[2, 1, 1], &[5., 11.]),
            (&[2, 1, 1, 2], &[2, 2, 1], false, false, &[2, 2, 1, 1], &[5., 11., 11., 25.]),
            (&[2, 0], &[0, 2], false, false, &[2, 2], &[0.; 4]),
            (&[0, 2], &[2, 3], false, false, &[0, 3], &[]),
            (&[0, 1, 2], &[2, 3], false, false, &[0, 1, 3], &[]),
        ];
        for (a, b, transpose_a, transpose_b, shape, want) in cases {
            let y = product(a, b, *transpose_a, *transpose_b).unwrap();
            assert_eq!(y.shape(), *shape, "{a:?} {b:?}");
            assert_eq!(y.to_f64s(), *want, "{a:?} {b:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let vast =
            Tensor::new(ElementType::F32, vec![0, 1 << 40, 1 << 40, 1, 1], Default::default()).unwrap();
        assert_eq!(run(&MatMul::default(), &[vast, ramp(&[1, 1])]).unwrap()[0].shape()[0], 0);
        for (a, b) in [(&[2, 3][..], &[2, 3][..]), (&[], &[3]), (&[2, 2, 3], &[3, 3, 2]), (&[2], &[3])] {
            assert!(product(a, b, false, false).is_err(), "{a:?} {b:?}");
        }
    }

    #[test]
    fn unknown_dimensions_pass_through() {
        for (a, b, want) in [
            ("[?,3]", "[3,?]", "[?,?]"),
            ("[2..4,1,?,8]", "[?,8,5]", "[2..4,?,?,5]"),
            ("[...]", "[3,4]", "[...]"),
            ("[?]", "[3,4]", "[4]"),
        ] {
            let [a, b] = [a, b].map(|shape| format!("f32{shape}"));
            let found = infer_types(&MatMul::default(), &[&a, &b]).unwrap();
            assert_eq!(found, [format!("f32{want}")], "{a} {b}");
        }
    }
}
