//! Normalisations.

use super::build::{Builder, Draft, Layout, ValueId, dims4};
use crate::{
    kernels::{
        lrn::{self, Neighbours, Response},
        normalize::{self, Norm},
    },
    plan::Io,
    pool::Pool,
};
use ir::{
    ElementType, NodeId, Op,
    op::{MvnEpsMode, NormEpsMode},
};

/// The axes that input 1 holds, in order.
fn axes(builder: &Builder, id: NodeId, rank: usize) -> Option<Vec<usize>> {
    let axes = builder.constants.integers(builder.model.node(id).inputs()[1])?;
    let place = |axis: i64| usize::try_from(if axis < 0 { axis + rank as i64 } else { axis }).ok();
    let mut axes: Vec<usize> = axes.into_iter().map(place).collect::<Option<_>>()?;
    axes.sort_unstable();
    axes.iter().all(|axis| *axis < rank).then_some(axes)
}

/// What the op computes along which axes, and its name.
fn norm(builder: &Builder, id: NodeId, rank: usize) -> Option<(Norm, Vec<usize>, &'static str)> {
    let node = builder.model.node(id);
    Some(match &node.op {
        Op::Mvn(op) => {
            let norm = match op.eps_mode {
                _ if !op.normalize_variance => Norm::Mean,
                MvnEpsMode::InsideSqrt => Norm::Inside(op.eps as f32),
                MvnEpsMode::OutsideSqrt => Norm::Outside(op.eps as f32),
            };
            (norm, axes(builder, id, rank)?, "mvn")
        }
        Op::MvnSpatial(op) => {
            let norm = if op.normalize_variance { Norm::Inside(op.eps as f32) } else { Norm::Mean };
            (norm, (if op.across_channels { 1 } else { 2 }..rank).collect(), "mvn")
        }
        Op::NormalizeL2(op) => {
            let norm = match op.eps_mode {
                NormEpsMode::Add => Norm::L2Add(op.eps as f32),
                NormEpsMode::Max => Norm::L2Max(op.eps as f32),
            };
            // Without axes every element is divided by itself: nobody's formula.
            (norm, Some(axes(builder, id, rank)?).filter(|axes| !axes.is_empty())?, "normalize_l2")
        }
        Op::LogSoftmax(op) => {
            let axis = if op.axis < 0 { op.axis + rank as i64 } else { op.axis };
            let axis = usize::try_from(axis).ok().filter(|axis| *axis < rank)?;
            (Norm::LogSoftmax, vec![axis], "log_softmax")
        }
        _ => return None,
    })
}

/// A normalisation as one step, in the layout that its data comes in where that is possible.
pub(crate) fn lower(builder: &mut Builder, id: NodeId) -> Option<()> {
    let data = builder.model.node(id).inputs()[0];
    let shape = builder.shape_of(data);
    if builder.model.ty(data).element_type != ElementType::F32 || shape.contains(&0) {
        return None;
    }
    let (norm, axes, name) = norm(builder, id, shape.len())?;
    let value = builder.value(data);
    let b = builder.isa.block();
    let spatial = axes.iter().copied().eq(2..shape.len());
    let (input, sizes, output, defined) = match dims4(&shape) {
        Some([n, c, h, w]) if spatial && *builder.layout(value) == Layout::Blocked => {
            let output = builder.new_value(&shape, Layout::Blocked);
            (value, [n * c.div_ceil(b), h * w, b], output, output)
        }
        _ => along(builder, id, value, &shape, &axes),
    };
    builder.define(id.into(), defined);
    let isa = builder.isa;
    builder.step(
        id,
        Draft {
            exec_type: format!("{name}_{}_f32", isa.name()),
            inputs: vec![input],
            outputs: vec![output],
            in_place: None,
            routine: Box::new(move |io, pool| {
                normalize::lines(isa, pool, norm, sizes, io.input(0), io.out());
                Ok(())
            }),
        },
    );
    Some(())
}

/// Row-major data with the axes as one: the input, its sizes before, along and behind them, the output, and what it
/// is to others. Axes that lie apart are brought together, last.
fn along(
    builder: &mut Builder,
    id: NodeId,
    value: ValueId,
    shape: &[usize],
    axes: &[usize],
) -> (ValueId, [usize; 3], ValueId, ValueId) {
    let plain = builder.plain_of(id, value);
    let long: Vec<usize> = axes.iter().copied().filter(|axis| shape[*axis] != 1).collect();
    let product = |sizes: &[usize]| sizes.iter().product::<usize>();
    let (first, last) = (long.first().copied().unwrap_or(0), long.last().map_or(0, |last| last + 1));
    if (first..last).all(|axis| shape[axis] == 1 || long.contains(&axis)) {
        let output = builder.new_value(shape, Layout::Plain);
        let sizes = [product(&shape[..first]), product(&shape[first..last]), product(&shape[last..])];
        return (plain, sizes, output, output);
    }
    let mut order: Vec<usize> = (0..shape.len()).filter(|axis| !axes.contains(axis)).collect();
    let outer = order.iter().map(|axis| shape[*axis]).product();
    order.extend(axes);
    let turned: Vec<usize> = order.iter().map(|axis| shape[*axis]).collect();
    let view = builder.view(plain, &turned, Layout::Permuted(order.clone()));
    let input = builder.plain_of(id, view);
    let output = builder.new_value(&turned, Layout::Plain);
    let mut back = vec![0; order.len()];
    order.iter().enumerate().for_each(|(i, axis)| back[*axis] = i);
    let defined = builder.view(output, shape, Layout::Permuted(back));
    (input, [outer, product(shape) / outer, 1], output, defined)
}

/// Local response normalisation.
pub(crate) fn local_response(builder: &mut Builder, id: NodeId) -> Option<()> {
    let node = builder.model.node(id);
    let Op::Lrn(op) = &node.op else { return None };
    let data = node.inputs()[0];
    let shape = builder.shape_of(data);
    if builder.model.ty(data).element_type != ElementType::F32 || shape.contains(&0) {
        return None;
    }
    let axes = axes(builder, id, shape.len())?;
    let longest = shape.iter().copied().max().unwrap_or(1);
    let response = Response {
        alpha: (op.alpha / (op.size as f64).powi(axes.len() as i32)) as f32,
        beta: op.beta as f32,
        bias: op.bias as f32,
        reach: (op.size.max(1) - 1).min(2 * longest) / 2,
    };
    let (isa, b, threads) = (builder.isa, builder.isa.block(), builder.settings.threads_of(0));
    let exec_type = format!("lrn_{}_f32", isa.name());
    let value = builder.value(data);
    let [axis] = axes[..] else {
        let input = builder.plain_of(id, value);
        let output = builder.new_value(&shape, Layout::Plain);
        let count = shape.iter().product();
        let scratch = builder.scratch(count);
        builder.define(id.into(), output);
        let sizes = |axis: &usize| {
            [shape[..*axis].iter().product(), shape[*axis], shape[axis + 1..].iter().product()]
        };
        // Without axes each element is its own window.
        let mut passes: Vec<(usize, [usize; 3])> =
            axes.iter().map(|axis| (response.reach, sizes(axis))).collect();
        if passes.is_empty() {
            passes.push((0, [1, 1, count]));
        }
        let routine = move |io: &Io, pool: &mut Pool| {
            let data: &[f32] = io.input(0);
            let (mut to, mut from): (&mut [f32], &mut [f32]) = (io.output(0), io.output(1));
            // The last one ends in the output.
            if passes.len().is_multiple_of(2) {
                std::mem::swap(&mut to, &mut from);
            }
            for (i, (reach, sizes)) in passes.iter().enumerate() {
                let src = if i == 0 { data } else { &*from };
                lrn::window(isa, pool, *reach, *sizes, i > 0, src, to);
                std::mem::swap(&mut to, &mut from);
            }
            lrn::apply(isa, pool, response, data, from);
            Ok(())
        };
        let routine = Box::new(routine);
        let (inputs, outputs) = (vec![input], vec![output, scratch]);
        builder.step(id, Draft { exec_type, inputs, outputs, in_place: None, routine });
        return Some(());
    };
    let inner: usize = shape[axis + 1..].iter().product();
    let (layout, neighbours) = match dims4(&shape) {
        Some([n, c, h, w]) if axis == 1 && *builder.layout(value) == Layout::Blocked => {
            let neighbours = Neighbours::Blocks {
                images: n,
                pixels: h * w,
                channels: c,
                pixel_stride: b,
                block_stride: h * w * b,
                image_stride: c.next_multiple_of(b) * h * w,
                whole: true,
            };
            (Layout::Blocked, neighbours)
        }
        _ if inner == 1 => {
            let pixels = shape[..axis].iter().product();
            let (channels, image_stride) = (shape[axis], shape.iter().product());
            let (images, pixel_stride, block_stride, whole) = (1, channels, b, false);
            let neighbours = Neighbours::Blocks {
                images,
                pixels,
                channels,
                pixel_stride,
                block_stride,
                image_stride,
                whole,
            };
            (Layout::Plain, neighbours)
        }
        _ => (Layout::Plain, Neighbours::Apart([shape[..axis].iter().product(), shape[axis], inner])),
    };
    let input = if layout == Layout::Blocked { value } else { builder.plain_of(id, value) };
    let output = builder.new_value(&shape, layout);
    let scratch = builder.scratch(neighbours.scratch(isa, response, threads));
    builder.define(id.into(), output);
    let routine = Box::new(move |io: &Io, pool: &mut Pool| {
        let work = (response, neighbours);
        lrn::run(isa, pool, work, threads, io.input(0), io.output(0), io.output(1));
        Ok(())
    });
    let (inputs, outputs) = (vec![input], vec![output, scratch]);
    builder.step(id, Draft { exec_type, inputs, outputs, in_place: None, routine });
    Some(())
}
