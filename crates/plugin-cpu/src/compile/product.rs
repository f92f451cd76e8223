//! Matrix products with constant weights, with what joins them.

use super::{
    build::{Builder, Draft, Layout},
    convolution::scale_rows,
};
use crate::kernels::{
    conv::{Addend, Blocked, BlockedMut, Conv, ConvShape},
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

/// The weights with a row for each element of a row of the product.
fn rows(weights: Vec<f32>, k: usize, n: usize, transposed: bool) -> Vec<f32> {
    if transposed {
        return weights;
    }
    let mut rows = vec![0.0; weights.len()];
    // In tiles, so that neither side runs out of cache lines.
    for from in (0..k).step_by(16) {
        for (to, row) in rows.chunks_exact_mut(k).enumerate() {
            for i in from..(from + 16).min(k) {
                row[i] = weights[i * n + to];
            }
        }
    }
    rows
}

/// The product as one step: a convolution over single pixels, a row of the data being the channels of an image.
pub(crate) fn lower(builder: &mut Builder, id: NodeId) -> Option<()> {
    let [batch, k, n] = shape(builder, id)?;
    let node = builder.model.node(id);
    let Op::MatMul(op) = &node.op else { return None };
    let fused = builder.fusions.of(id);
    let mut weights = rows(builder.constants.floats(node.inputs()[1])?, k, n, op.transpose_b);
    scale_rows(&mut weights, fused.scale.as_ref());
    let matrix = |builder: &mut Builder, port, width| {
        let plain = builder.plain(id, port);
        let flat = builder.view(plain, &[batch, width], Layout::Plain);
        builder.to_blocked(id, flat)
    };
    let mut inputs = vec![matrix(builder, node.inputs()[0], k)];
    inputs.extend(fused.addend.map(|addend| matrix(builder, addend, n)));
    let product = builder.new_value(&[batch, n], Layout::Blocked);
    let added = fused.sum != Sum::None;
    let shape = ConvShape {
        batch,
        groups: 1,
        in_channels: k,
        out_channels: n,
        input: [1, 1],
        output: [1, 1],
        kernel: [1, 1],
        stride: [1, 1],
        dilation: [1, 1],
        pad_begin: [0, 0],
    };
    let post = PostOps { bias: fused.shift, sum: fused.sum, activation: fused.activation };
    let conv = Conv::new(builder.isa, shape, &weights, post);
    let b = builder.isa.block();
    let (from, to) = (k.next_multiple_of(b), n.next_multiple_of(b));
    builder.step(
        id,
        Draft {
            exec_type: format!("{}_{}_f32", conv.name(), builder.isa.name()),
            inputs,
            outputs: vec![product],
            in_place: added.then_some(1),
            routine: Box::new(move |io, pool| {
                let addend = match added {
                    false => Addend::None,
                    true if io.in_place(1) => Addend::Output,
                    true => Addend::Of(Blocked { data: io.input(1), batch_stride: to }),
                };
                let src = Blocked { data: io.input(0), batch_stride: from };
                conv.run(pool, src, BlockedMut { data: io.out(), batch_stride: to }, addend);
                Ok(())
            }),
        },
    );
    let shape = builder.shape_of(id.into());
    let plain = builder.to_plain(id, product);
    let output = builder.view(plain, &shape, Layout::Plain);
    builder.define(fused.output, output);
    Some(())
}
