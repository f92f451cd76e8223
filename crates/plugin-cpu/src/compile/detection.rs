//! Detectors' tails: the best boxes of those that overlap.

use super::build::{Builder, Draft, ValueId};
use crate::{
    kernels::{
        detection::{Detection, Scratch},
        suppress::{self, best, index, key, suppress},
    },
    plan::{Io, Routine},
};
use ir::{
    ElementType, NodeId, Op,
    op::{DetectionOutput, NonMaxSuppression, SelectionForm},
};

/// The op as one step.
pub(crate) fn lower(builder: &mut Builder, id: NodeId) -> Option<()> {
    let node = builder.model.node(id);
    let floats = |port| builder.model.ty(port).element_type == ElementType::F32;
    if !node.inputs()[..2].iter().copied().all(floats) {
        return None;
    }
    match node.op.clone() {
        Op::DetectionOutput(op) => detection(builder, id, op),
        Op::NonMaxSuppression(op) => selection(builder, id, op),
        _ => None,
    }
}

/// A step that reads inputs of the node and writes its output, with memory to work in.
fn step(
    builder: &mut Builder,
    id: NodeId,
    name: &str,
    inputs: usize,
    memory: impl IntoIterator<Item = usize>,
    routine: Box<Routine>,
) {
    let ports = builder.model.node(id).inputs()[..inputs].to_vec();
    let inputs = ports.into_iter().map(|port| builder.plain(id, port)).collect();
    let mut outputs: Vec<ValueId> = vec![builder.plain_value(id.into())];
    builder.define(id.into(), outputs[0]);
    outputs.extend(memory.into_iter().map(|floats| builder.scratch(floats)));
    builder.step(id, Draft { exec_type: name.to_owned(), inputs, outputs, in_place: None, routine });
}

fn detection(builder: &mut Builder, id: NodeId, op: DetectionOutput) -> Option<()> {
    let node = builder.model.node(id);
    let shapes: Vec<Vec<usize>> = node.inputs().iter().map(|port| builder.shape_of(*port)).collect();
    let size = op.prior_size();
    // The first stage of two, and MXNet's way, are rare.
    if shapes.len() > 3
        || op.decrease_label_id
        || op.nms_threshold < 0.0
        || shapes.iter().any(|s| s.contains(&0))
    {
        return None;
    }
    let (images, priors) = (shapes[0][0], shapes[2][2] / size);
    let isa = builder.isa;
    let work = Detection {
        isa,
        images,
        priors,
        classes: shapes[1][1] / priors,
        own_priors: shapes[2][0] > 1,
        threads: builder.settings.threads_of(0),
        op,
    };
    u32::try_from(priors).ok()?;
    let [boxes, candidates, kept, winners, counts] = work.scratch();
    // Keys are as long as two floats.
    let memory = [boxes, candidates * 2, kept, winners * 2, counts];
    let routine = move |io: &Io, pool: &mut _| {
        let inputs = [0, 1, 2].map(|i| io.input::<f32>(i));
        let memory = Scratch {
            boxes: io.output(1),
            candidates: io.output(2),
            kept: io.output(3),
            winners: io.output(4),
            counts: io.output(5),
        };
        work.run(pool, inputs, io.output(0), memory);
        Ok(())
    };
    step(builder, id, &format!("detection_{}_f32", isa.name()), 3, memory, Box::new(routine));
    Some(())
}

/// Selections with as many rows as there could be; those with fewer have no plan.
fn selection(builder: &mut Builder, id: NodeId, op: NonMaxSuppression) -> Option<()> {
    let node = builder.model.node(id);
    let number = |i: usize| node.inputs().get(i).map_or(Some(0.0), |port| builder.constants.float(*port));
    let (threshold, least) = (number(3)?, number(4)?);
    let most = usize::try_from(*builder.constants.integers(*node.inputs().get(2)?)?.first()?).ok()?;
    let &[images, classes, count] = &*builder.shape_of(node.inputs()[1]) else { return None };
    let most = most.min(count);
    u32::try_from(count).ok()?;
    // Boxes are suppressed from the threshold on.
    if op.form != SelectionForm::Filled || threshold <= 0.0 || most == 0 {
        return None;
    }
    let (lines, isa, ty) = (images * classes, builder.isa, op.output_type.unwrap_or(ElementType::I64));
    let memory = [count * 2, suppress::scratch(most), lines * most * 2, lines * 2];
    let routine = move |io: &Io, _: &mut _| {
        let (boxes, scores) = (io.input::<f32>(0), io.input::<f32>(1));
        let (candidates, kept) = (io.output::<u64>(1), io.output::<f32>(2));
        let (winners, counts) = (io.output::<u64>(3), io.output::<u32>(4));
        let (counts, taken) = counts.split_at_mut(lines);
        for line in 0..lines {
            let mut found = 0;
            for (i, score) in scores[line * count..][..count].iter().enumerate() {
                if *score > least {
                    candidates[found] = key(*score, i);
                    found += 1;
                }
            }
            let found = best(&mut candidates[..found], usize::MAX);
            let of_image = &boxes[line / classes * count * 4..][..count * 4];
            let corners = |i: usize| op.corners(&of_image[i * 4..][..4]);
            let to = &mut winners[line * most..][..most];
            counts[line] =
                suppress(isa, &candidates[..found], corners, threshold.next_down(), to, kept) as u32;
        }
        taken.fill(0);
        let mut rows = (0..lines * most).map(|_| {
            let next = |line: usize| {
                let left = taken[line] < counts[line];
                left.then(|| (winners[line * most + taken[line] as usize], line))
            };
            // The score alone says which comes first; of equal ones the first line's.
            let mut waiting = (0..lines).filter_map(next);
            let first = match op.sort_result_descending {
                true => waiting.min_by_key(|(key, line)| (key >> 32, *line)),
                false => waiting.next(),
            };
            first.map_or([-1; 3], |(key, line)| {
                taken[line] += 1;
                [(line / classes) as i64, (line % classes) as i64, index(key) as i64]
            })
        });
        match ty {
            ElementType::I32 => {
                let slots = io.output::<i32>(0).chunks_exact_mut(3);
                slots.zip(&mut rows).for_each(|(slot, row)| slot.copy_from_slice(&row.map(|v| v as i32)));
            }
            _ => {
                let slots = io.output::<i64>(0).chunks_exact_mut(3);
                slots.zip(&mut rows).for_each(|(slot, row)| slot.copy_from_slice(&row));
            }
        }
        Ok(())
    };
    step(builder, id, &format!("suppress_{}_f32", isa.name()), 2, memory, Box::new(routine));
    Some(())
}
