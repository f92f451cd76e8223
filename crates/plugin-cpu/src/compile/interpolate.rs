//! Resizing between points.

use super::build::{Builder, Draft, Layout, dims4};
use crate::kernels::resample::{Resample, Taps};
use ir::{
    ElementType, NodeId, Op, Tensor,
    op::{AxisTaps, InterpolateMode},
};

/// True for taps that change nothing.
fn is_identity(size: usize, taps: &Taps) -> bool {
    let own = |(i, taps): (usize, &Vec<(usize, f32)>)| {
        taps.iter().all(|(at, weight)| *weight == if *at == i { 1.0 } else { 0.0 }) && !taps.is_empty()
    };
    taps.len() == size && taps.iter().enumerate().all(own)
}

/// A resizing as one step, in the layout that its data comes in.
pub(crate) fn lower(builder: &mut Builder, id: NodeId) -> Option<()> {
    let model = builder.model;
    let node = model.node(id);
    let Op::Interpolate(op) = &node.op else { return None };
    let data = node.inputs()[0];
    let (from, to) = (builder.shape_of(data), builder.shape_of(id.into()));
    if op.mode == InterpolateMode::Nearest
        || model.ty(data).element_type != ElementType::F32
        || from.contains(&0)
        || to.contains(&0)
    {
        return None;
    }
    let parameters: Option<Vec<Tensor>> =
        node.inputs()[1..].iter().map(|port| builder.constants.get(*port)).collect();
    let mut taps: Vec<Option<Taps>> = vec![None; from.len()];
    let narrow = |taps: Vec<(usize, f64)>| taps.into_iter().map(|(at, weight)| (at, weight as f32)).collect();
    for (axis, wide) in op.taps(&from, &parameters?).ok()? as Vec<AxisTaps> {
        let narrow: Taps = wide.into_iter().map(narrow).collect();
        taps[axis] = Some(narrow).filter(|taps| !is_identity(from[axis], taps));
    }
    let value = builder.value(data);
    if taps.iter().all(Option::is_none) {
        builder.define(id.into(), value);
        return Some(());
    }
    let b = builder.isa.block();
    let blocks = dims4(&from).filter(|_| {
        *builder.layout(value) == Layout::Blocked && taps[..2].iter().all(Option::is_none) && from.len() > 2
    });
    let (input, layout, shape, taps) = match blocks {
        Some([n, c, h, w]) => {
            taps.resize(4, None);
            if from.len() == 3 {
                taps.swap(2, 3);
            }
            taps.push(None);
            (value, Layout::Blocked, vec![n, c.div_ceil(b), h, w, b], taps)
        }
        None => (builder.plain_of(id, value), Layout::Plain, from, taps),
    };
    let work = Resample::new(&shape, &taps, builder.settings.threads_of(0));
    let output = builder.new_value(&to, layout);
    let scratch = builder.scratch(work.scratch());
    builder.define(id.into(), output);
    let isa = builder.isa;
    let mode = match op.mode {
        InterpolateMode::Linear | InterpolateMode::LinearOnnx | InterpolateMode::BilinearPillow => "linear",
        _ => "cubic",
    };
    builder.step(
        id,
        Draft {
            exec_type: format!("interpolate_{mode}_{}_f32", isa.name()),
            inputs: vec![input],
            outputs: vec![output, scratch],
            in_place: None,
            routine: Box::new(move |io, pool| {
                work.run(isa, pool, io.input(0), io.output(0), io.output(1));
                Ok(())
            }),
        },
    );
    Some(())
}
