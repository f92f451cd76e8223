//! Products of matrices that are both computed, or that [`super::product`] does not take.

use super::build::{Builder, Draft, Layout};
use crate::kernels::matmul::{Product, Strides};
use ir::{ElementType, NodeId, Op};

/// The product as one step on row-major matrices.
pub(crate) fn lower(builder: &mut Builder, id: NodeId) -> Option<()> {
    let node = builder.model.node(id);
    let Op::MatMul(op) = &node.op else { return None };
    let [a, b] = [node.inputs()[0], node.inputs()[1]];
    if builder.model.ty(id.into()).element_type != ElementType::F32 {
        return None;
    }
    let (a_shape, b_shape) = (builder.shape_of(a), builder.shape_of(b));
    // A vector is a row of the first and a column of the second, whatever is transposed.
    let matrix = |shape: &[usize], transposed: bool, is_row: bool| match *shape {
        [len] if is_row => Some(([1, len], Strides { row: len, column: 1 })),
        [len] => Some(([len, 1], Strides { row: 1, column: len })),
        [.., rows, columns] if transposed => Some(([columns, rows], Strides { row: 1, column: columns })),
        [.., rows, columns] => Some(([rows, columns], Strides { row: columns, column: 1 })),
        [] => None,
    };
    let ([rows, terms], mut a_strides) = matrix(&a_shape, op.transpose_a, true)?;
    let ([_, columns], b_strides) = matrix(&b_shape, op.transpose_b, false)?;
    let outer = |shape: &[usize]| shape[..shape.len().saturating_sub(2)].to_vec();
    let shape = builder.shape_of(id.into());
    let dims = usize::from(a_shape.len() > 1) + usize::from(b_shape.len() > 1);
    let common = shape[..shape.len() - dims].to_vec();
    let starts = |own: Vec<usize>, size: usize| -> Vec<usize> {
        let start = |at: usize| {
            let (mut rest, mut start, mut stride) = (at, 0, size);
            for (i, dim) in common.iter().rev().enumerate() {
                let index = rest % dim;
                rest /= dim;
                if let Some(size) = own.len().checked_sub(i + 1).map(|i| own[i]) {
                    start += if size == 1 { 0 } else { index * stride };
                    stride *= size;
                }
            }
            start
        };
        (0..common.iter().product()).map(start).collect()
    };
    let (a_starts, b_starts) =
        (starts(outer(&a_shape), rows * terms), starts(outer(&b_shape), terms * columns));
    let mut batch: Vec<(usize, usize)> = a_starts.into_iter().zip(b_starts).collect();
    // Matrices of rows that follow each other, with the same second operand, are one.
    let mut sizes = [rows, columns, terms];
    let follow = |(i, pair): (usize, &(usize, usize))| *pair == (i * rows * terms, batch[0].1);
    let row_major = a_strides.column == 1 && (rows == 1 || a_strides.row == terms);
    if row_major && batch.len() > 1 && batch.iter().enumerate().all(follow) {
        a_strides.row = terms;
        sizes[0] *= batch.len();
        batch.truncate(1);
    }
    let isa = builder.isa;
    let work = Product::new(isa, sizes, (a_strides, b_strides), batch, builder.settings.threads_of(0));
    let inputs = vec![builder.plain(id, a), builder.plain(id, b)];
    let output = builder.new_value(&shape, Layout::Plain);
    let scratch = builder.scratch(work.scratch());
    builder.define(id.into(), output);
    builder.step(
        id,
        Draft {
            exec_type: format!("matmul_{}_f32", isa.name()),
            inputs,
            outputs: vec![output, scratch],
            in_place: None,
            routine: Box::new(move |io, pool| {
                work.run(isa, pool, io.input(0), io.input(1), io.output(0), io.output(1));
                Ok(())
            }),
        },
    );
    Some(())
}
