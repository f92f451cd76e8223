//! Matrix products with constant weights, with what joins them.

use super::build::{Builder, Draft};
use crate::kernels::{
    dense::{Dense, WeightData, Weights},
    post::{PostOps, Sum},
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
    let dense = match (builder.constants.half(node.inputs()[1]), &fused.scale) {
        (Some(half), None) => {
            let half = half.view::<half::f16>().ok()?;
            let data = WeightData::F16(&half);
            Dense::new(isa, [k, n], Weights { data, output_stride, input_stride }, post)
        }
        (_, scale) => {
            let mut weights = builder.constants.floats(node.inputs()[1])?;
            for (o, scale) in scale.iter().flatten().enumerate() {
                for i in 0..k {
                    weights[o * output_stride + i * input_stride] *= scale;
                }
            }
            let data = WeightData::F32(&weights);
            Dense::new(isa, [k, n], Weights { data, output_stride, input_stride }, post)
        }
    };
    let mut inputs = vec![builder.plain(id, node.inputs()[0])];
    inputs.extend(fused.addend.map(|addend| builder.plain(id, addend)));
    let output = builder.plain_value(id.into());
    builder.define(fused.output, output);
    let added = fused.sum != Sum::None;
    debug_assert_eq!(builder.shape(output).iter().product::<usize>(), batch * n);
    builder.step(
        id,
        Draft {
            exec_type: format!("{}_{}", dense.name(), isa.name()),
            inputs,
            outputs: vec![output],
            in_place: None,
            routine: Box::new(move |io, pool| {
                dense.run(pool, io.input(0), io.out(), added.then(|| io.input(1)));
                Ok(())
            }),
        },
    );
    Some(())
}
