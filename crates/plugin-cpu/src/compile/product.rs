//! Matrix products with constant weights, with what joins them.

use super::build::Builder;
use crate::{
    kernels::{
        dense::Dense,
        post::{PostOps, Sum},
    },
    plan::Routine,
};
use ir::{ElementType, NodeId, Op};

/// Rows of the data, elements of a row, elements of a row of the product.
pub(crate) fn shape(builder: &Builder, id: NodeId) -> Option<[usize; 3]> {
    let node = builder.model.node(id);
    let Op::MatMul(op) = &node.op else { return None };
    let [data, weights] = [node.inputs()[0], node.inputs()[1]];
    let ty = builder.model.ty(data).element_type;
    if ty != ElementType::F32 || !builder.constants.has(weights) || builder.constants.has(data) {
        return None;
    }
    let (data, weights) = (builder.shape_of(data), builder.shape_of(weights));
    let ([outer @ .., k], [_, _]) = (&*data, &*weights) else { return None };
    if op.transpose_a || outer.is_empty() || data.contains(&0) || weights.contains(&0) {
        return None;
    }
    let n = if op.transpose_b { weights[0] } else { weights[1] };
    Some([outer.iter().product(), *k, n])
}

/// The product as one step on row-major matrices. Weights that are stored in half precision stay so.
pub(crate) fn lower(builder: &mut Builder, id: NodeId) -> Option<()> {
    let [batch, k, n] = shape(builder, id)?;
    let node = builder.model.node(id);
    let Op::MatMul(op) = &node.op else { return None };
    let fused = builder.fusions.of(id);
    let [output_stride, input_stride] = if op.transpose_b { [k, 1] } else { [1, n] };
    let isa = builder.isa;
    let post = PostOps { bias: fused.shift, sum: fused.sum, activation: fused.activation };
    let (weights, scale) = (node.inputs()[1], fused.scale);
    let weights = builder.weights(weights)?.scaled(scale, output_stride);
    let mut inputs = vec![builder.plain(id, node.inputs()[0])];
    inputs.extend(fused.addend.map(|addend| builder.plain(id, addend)));
    let output = builder.plain_value(id.into());
    builder.define(fused.output, output);
    let scratch = builder.scratch(Dense::scratch(isa, batch, k));
    let added = fused.sum != Sum::None;
    debug_assert_eq!(builder.shape(output).iter().product::<usize>(), batch * n);
    let packing = move || {
        let dense = Dense::new(isa, [k, n], &weights, [output_stride, input_stride], post);
        let name = format!("{}_{}", dense.name(), isa.name());
        let routine: Box<Routine> = Box::new(move |io, pool| {
            dense.run(pool, io.input(0), io.output(0), added.then(|| io.input(1)), io.output(1));
            Ok(())
        });
        (name, routine)
    };
    builder.packed_step(id, inputs, vec![output, scratch], None, Box::new(packing));
    Some(())
}
