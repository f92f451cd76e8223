//! Ops that move elements: what goes where is asked of the reference once, with the elements' numbers as data.

use super::build::{Builder, Draft, Layout, dims4};
use crate::kernels::movement::{Movement, NONE};
use ir::{
    ElementType, NodeId, Op, Tensor,
    op::{InterpolateMode, PadMode},
};

/// The element of the data that each element of the output comes from.
struct Source {
    base: isize,
    /// An offset for each index of each axis, or [`NONE`]. Axes may be of several dimensions together.
    tables: Vec<Vec<isize>>,
}

/// True for ops that only move the elements of their first input.
fn moves(op: &Op) -> bool {
    match op {
        Op::SpaceToDepth(_) | Op::DepthToSpace(_) | Op::ShuffleChannels(_) => true,
        Op::Interpolate(op) => op.mode == InterpolateMode::Nearest,
        Op::ScatterNdUpdate(_) | Op::Select(_) => false,
        op => op.operator().moves(0),
    }
}

/// A movement as one step.
pub(crate) fn lower(builder: &mut Builder, id: NodeId) -> Option<()> {
    let model = builder.model;
    let node = model.node(id);
    if !moves(&node.op) || node.outputs().len() != 1 {
        return None;
    }
    let data = node.inputs()[0];
    let ty = model.ty(data).element_type;
    let (from, to) = (builder.shape_of(data), builder.shape_of(id.into()));
    if !matches!(ty.bits(), 8 | 16 | 32 | 64) || from.contains(&0) || to.contains(&0) {
        return None;
    }
    // Padding puts its last input around the data.
    let fill = node.inputs().get(3).copied().filter(|_| is_constant_padding(&node.op));
    let source = source(builder, id, &from, &to)?;
    let value = builder.value(data);
    let filled = source.tables.iter().any(|table| table.contains(&NONE));
    let zero = || fill.is_none_or(|fill| builder.constants.float(fill) == Some(0.0));
    let blocked = (*builder.layout(value) == Layout::Blocked)
        .then(|| in_blocks(&source, &from, &to, builder.isa.block()))
        .flatten()
        .filter(|_| !filled || to[1].is_multiple_of(builder.isa.block()) || zero());
    let (movement, input, output) = match blocked {
        Some(source) => {
            let movement = Movement::new(builder.isa.block() * 4, source.base, &source.tables);
            (movement, value, builder.new_value(&to, Layout::Blocked))
        }
        None => {
            let movement = Movement::new(ty.bits() / 8, source.base, &source.tables);
            (movement, builder.plain_of(id, value), builder.plain_value(id.into()))
        }
    };
    builder.define(id.into(), output);
    let mut inputs = vec![input];
    let has_fill = filled && fill.is_some();
    if let Some(fill) = fill.filter(|_| filled) {
        inputs.push(builder.plain(id, fill));
    }
    builder.step(
        id,
        Draft {
            exec_type: format!("move_any_{}", ty.bits()),
            inputs,
            outputs: vec![output],
            in_place: None,
            routine: Box::new(move |io, pool| {
                let fill = if has_fill { io.input(1) } else { &[] };
                movement.run(pool, io.input(0), io.out(), fill);
                Ok(())
            }),
        },
    );
    Some(())
}

fn is_constant_padding(op: &Op) -> bool {
    matches!(op, Op::Pad(pad) if pad.pad_mode == PadMode::Constant)
}

/// Where the elements come from. Where the op doesn't say it, the reference shows it: it moves their numbers, counted
/// from 1, so that 0 is what it fills in.
fn source(builder: &Builder, id: NodeId, from: &[usize], to: &[usize]) -> Option<Source> {
    let known: Vec<Option<Tensor>> = builder
        .model
        .node(id)
        .inputs()
        .iter()
        .enumerate()
        .map(|(i, port)| if i == 0 { None } else { builder.constants.get(*port) })
        .collect();
    if let Some(places) = builder.model.node(id).op.operator().places(from, &known) {
        let offset = |place: &Option<usize>| place.map_or(NONE, |place| place as isize);
        let tables: Vec<Vec<isize>> =
            places.axes.iter().map(|axis| axis.iter().map(offset).collect()).collect();
        debug_assert_eq!(tables.iter().map(Vec::len).product::<usize>(), to.iter().product());
        return Some(Source { base: places.base as isize, tables });
    }
    let node = builder.model.node(id);
    let count = i32::try_from(ir::element_count(from)?).ok()?;
    let numbers: Vec<i32> = (1..=count).collect();
    let mut arguments = vec![Tensor::from_slice(from, &numbers).ok()?];
    for (i, port) in node.inputs().iter().enumerate().skip(1) {
        arguments.push(match node.op {
            Op::Pad(_) if i == 3 => Tensor::from_slice(&builder.shape_of(*port), &[0i32]).ok()?,
            _ => builder.constants.get(*port)?,
        });
    }
    let moved = node.op.operator().evaluate(&arguments).ok()?.remove(0);
    debug_assert_eq!((moved.element_type(), moved.shape()), (ElementType::I32, to));
    let numbers = moved.view::<i32>().ok()?;
    // Where indices depend on each other, as of sequences that are reversed, the first axes are taken as one.
    (1..=to.len().max(1)).find_map(|merged| {
        let mut sizes = vec![to.iter().take(merged).product()];
        sizes.extend(to.iter().skip(merged));
        tables(&numbers, &sizes)
    })
}

/// The numbers as a sum over the axes, if they are one.
fn tables(numbers: &[i32], sizes: &[usize]) -> Option<Source> {
    let Some(origin) = numbers.iter().position(|number| *number != 0) else {
        // Nothing is taken from anywhere.
        let tables = sizes.iter().map(|size| vec![NONE; *size]).collect();
        return Some(Source { base: 0, tables });
    };
    let base = numbers[origin] as isize - 1;
    let mut stride = numbers.len();
    let mut all = Vec::new();
    for size in sizes {
        stride /= size;
        let start = origin - origin / stride % size * stride;
        let offset = |i: usize| match numbers[start + i * stride] {
            0 => NONE,
            number => number as isize - 1 - base,
        };
        all.push((0..*size).map(offset).collect::<Vec<_>>());
    }
    // All rows of the last axis must agree.
    let (last, outer) = all.split_last()?;
    let agrees = numbers.chunks_exact(last.len()).enumerate().all(|(row, numbers)| {
        let (mut rest, mut at) = (row, Some(base + 1));
        for table in outer.iter().rev() {
            let offset = table[rest % table.len()];
            at = at.filter(|_| offset != NONE).map(|at| at + offset);
            rest /= table.len();
        }
        match at {
            None => numbers.iter().all(|number| *number == 0),
            Some(at) => numbers.iter().zip(last).all(|(number, offset)| match *offset {
                NONE => *number == 0,
                offset => *number as isize == at + offset,
            }),
        }
    });
    agrees.then_some(Source { base, tables: all })
}

/// The same in blocks of channels, if channels stay where they are.
fn in_blocks(source: &Source, from: &[usize], to: &[usize], block: usize) -> Option<Source> {
    let ([n, c, h, w], [m, d, oh, ow]) = (dims4(from)?, dims4(to)?);
    let plane = (h * w) as isize;
    if from.len() != to.len() || source.tables.len() != to.len() || c != d || n * m == 0 {
        return None;
    }
    let straight = source.tables[1]
        .iter()
        .enumerate()
        .all(|(i, offset)| *offset == (i as isize - (source.base / plane) % c as isize) * plane);
    if !straight {
        return None;
    }
    // Of a place without its channel: the image and the pixel.
    let blocks = c.div_ceil(block) as isize;
    let place = |at: isize| {
        let (image, pixel) = (at.div_euclid(plane * c as isize), at.rem_euclid(plane));
        image * blocks * plane + pixel
    };
    let origin = source.base - (source.base / plane) % c as isize * plane;
    let base = place(origin);
    let table = |axis: usize| -> Option<Vec<isize>> {
        let entry = |offset: &isize| {
            if *offset == NONE {
                return Some(NONE);
            }
            let at = origin + offset;
            let same = at.div_euclid(plane).rem_euclid(c as isize) == 0;
            same.then(|| place(at) - base)
        };
        source.tables[axis].iter().map(entry).collect()
    };
    let mut tables = vec![table(0)?, (0..blocks).map(|i| i * plane).collect()];
    for axis in 2..to.len() {
        tables.push(table(axis)?);
    }
    debug_assert_eq!(tables.iter().map(Vec::len).product::<usize>(), m * blocks as usize * oh * ow);
    Some(Source { base, tables })
}
