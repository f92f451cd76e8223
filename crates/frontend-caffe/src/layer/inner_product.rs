//! Products with matrices of weights, and tables of them.

use crate::scope::{Converted, Scope, axis_of};
use ir::{
    ElementType,
    op::{BinaryKind, Convert, Gather, MatMul},
};

/// Everything from `axis` on is one vector, which a matrix of `num_output` rows takes.
pub(super) fn inner_product(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let params = s.params("inner_product_param");
    let outputs = params.required_size("num_output")?;
    let bias = params.flag("bias_term", true)?;
    let transpose = params.flag("transpose", false)?;
    let dims = s.dims(data)?;
    let axis = axis_of(params.int("axis", 1)?, dims.len(), "axis", false)?;
    let length = dims[axis..].iter().try_fold(1usize, |product, dim| product.checked_mul((*dim)?));
    let length = match length {
        Some(length) => length,
        None => s.raw_blob(0, "weights", &format!("[{outputs}, ...]"))?.len() / outputs,
    };
    let shape = if transpose { [length, outputs] } else { [outputs, length] };
    let weights = s.weights(0, "weights", &shape)?;
    let vectors = if axis + 1 == dims.len() {
        data
    } else {
        let mut pattern = vec![0; axis];
        pattern.push(length as i64);
        s.reshaped("flattened", data, &pattern)?
    };
    let product =
        s.add("product", MatMul { transpose_a: false, transpose_b: !transpose }, &[vectors, weights])?;
    if !bias {
        return Ok(vec![product]);
    }
    let bias = s.weights(1, "bias", &Scope::along(axis, axis + 1, outputs))?;
    Ok(vec![s.binary("biased", BinaryKind::Add, product, bias)?])
}

/// Rows of a table by their numbers.
pub(super) fn embed(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let params = s.params("embed_param");
    let (outputs, rows) = (params.required_size("num_output")?, params.required_size("input_dim")?);
    let bias = params.flag("bias_term", true)?;
    let rank = s.rank(data)?;
    let table = s.weights(0, "weights", &[rows, outputs])?;
    let numbers = s.add("numbers", Convert::to(ElementType::I32), &[data])?;
    let axis = s.i64("axis", 0);
    let found = s.add("rows", Gather { batch_dims: 0 }, &[table, numbers, axis])?;
    if !bias {
        return Ok(vec![found]);
    }
    let bias = s.weights(1, "bias", &Scope::along(rank, rank + 1, outputs))?;
    Ok(vec![s.binary("biased", BinaryKind::Add, found, bias)?])
}
