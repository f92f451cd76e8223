//! Ops that pick elements by indices that are computed, the best along an axis, and running sums.

use super::build::{Builder, Draft, ValueId};
use crate::{
    kernels::picks::{self, Best, Indices},
    plan::{Io, Routine},
    pool::Pool,
};
use ir::{
    ElementType, NodeId, Op, Port,
    device::{DeviceError, DeviceResult},
    op::{TopKMode, TopKSort},
};

/// The axis that a number means among `rank`.
fn axis(value: i64, rank: usize) -> Option<usize> {
    usize::try_from(if value < 0 { value + rank as i64 } else { value }).ok().filter(|axis| *axis < rank)
}

/// Elements before, along and behind an axis.
fn around(shape: &[usize], axis: usize) -> [usize; 3] {
    [shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product()]
}

/// Reads the indices that are input `i` of a step.
fn indices<'a>(io: &Io<'a>, i: usize, ty: ElementType) -> Indices<'a> {
    match ty {
        ElementType::I32 => Indices::I32(io.input(i)),
        _ => Indices::I64(io.input(i)),
    }
}

/// The bytes of an element, if it has whole ones.
fn element_bytes(builder: &Builder, port: Port) -> Option<usize> {
    let bits = builder.model.ty(port).element_type.bits();
    (bits > 0 && bits.is_multiple_of(8)).then_some(bits / 8)
}

/// A step of several inputs to the plain output 0 and those in `more`.
fn step(
    builder: &mut Builder,
    id: NodeId,
    name: &str,
    ports: &[Port],
    more: &[ValueId],
    routine: Box<Routine>,
) {
    let inputs = ports.iter().map(|port| builder.plain(id, *port)).collect();
    let mut outputs = vec![builder.plain_value(id.into())];
    builder.define(id.into(), outputs[0]);
    outputs.extend(more);
    builder.step(id, Draft { exec_type: name.to_owned(), inputs, outputs, in_place: None, routine });
}

/// Where slot `i` of the output takes from.
type Place = Box<dyn Fn(&Indices, usize) -> Option<usize> + Send + Sync>;

/// What is picked: elements that lie together, and the place of each such run.
fn picks(builder: &Builder, id: NodeId) -> Option<(usize, Place)> {
    let node = builder.model.node(id);
    let shape = builder.shape_of(node.inputs()[0]);
    let index_shape = builder.shape_of(*node.inputs().get(1)?);
    Some(match &node.op {
        Op::Gather(op) => {
            let along = *builder.constants.integers(node.inputs()[2])?.first()?;
            let axis = axis(along, shape.len())?;
            let batch = op.batch_dims + if op.batch_dims < 0 { index_shape.len() as i64 } else { 0 };
            let batch = usize::try_from(batch).ok()?;
            let outer: usize = shape[batch..axis].iter().product();
            let picked: usize = index_shape[batch..].iter().product();
            let size = shape[axis];
            let place = move |indices: &Indices, i: usize| {
                let (row, pick) = (i / picked, i % picked);
                Some(row * size + indices.place(row / outer * picked + pick, size)?)
            };
            (shape[axis + 1..].iter().product(), Box::new(place))
        }
        Op::GatherElements(op) => {
            let axis = axis(op.axis, shape.len())?;
            let ([_, size, inner], picked) = (around(&shape, axis), index_shape[axis]);
            // Beyond the axis both have the same sizes.
            let place = move |indices: &Indices, i: usize| {
                Some((i / inner / picked * size + indices.place(i, size)?) * inner + i % inner)
            };
            (1, Box::new(place))
        }
        Op::GatherNd(op) => {
            let batch = op.batch_dims;
            let (picked, tuples) = index_shape.split_last()?;
            let each: usize = tuples[batch..].iter().product();
            let sizes = shape[batch..batch + picked].to_vec();
            let inner = shape[batch + picked..].iter().product();
            let place = move |indices: &Indices, i: usize| {
                let step = |at: usize, (j, size): (usize, &usize)| {
                    Some(at * size + indices.place(i * sizes.len() + j, *size)?)
                };
                sizes.iter().enumerate().try_fold(i / each, step)
            };
            (inner, Box::new(place))
        }
        Op::ReverseSequence(op) => {
            let (batch, along) = (axis(op.batch_axis, shape.len())?, axis(op.seq_axis, shape.len())?);
            let [_, steps, inner] = around(&shape, along);
            let [_, images, beside] = around(&shape, batch);
            let last = batch.max(along);
            let run: usize = shape[last + 1..].iter().product();
            let (inner, beside) = (inner / run, beside / run);
            let place = move |lengths: &Indices, i: usize| {
                let (image, step) = (i / beside % images, i / inner % steps);
                let length = usize::try_from(lengths.at(image)).ok().filter(|length| *length <= steps)?;
                Some(if step < length { i - step * inner + (length - 1 - step) * inner } else { i })
            };
            (run, Box::new(place))
        }
        _ => return None,
    })
}

/// The op as one step.
pub(crate) fn lower(builder: &mut Builder, id: NodeId) -> Option<()> {
    let node = builder.model.node(id);
    match &node.op {
        Op::TopK(_) => return best(builder, id),
        Op::CumSum(_) => return sums(builder, id),
        Op::ScatterNdUpdate(_) => return scatter(builder, id),
        Op::OneHot(_) => return one_hot(builder, id),
        _ => {}
    }
    let (run, place) = picks(builder, id)?;
    let (data, index) = (node.inputs()[0], node.inputs()[1]);
    let ty = builder.model.ty(index).element_type;
    let size = run * element_bytes(builder, data)?;
    if !matches!(ty, ElementType::I32 | ElementType::I64) || size == 0 || builder.shape_of(data).contains(&0)
    {
        return None;
    }
    let fail = outside(builder, id);
    let routine = move |io: &Io, pool: &mut Pool| {
        let indices = indices(io, 1, ty);
        picks::pick(pool, size, io.input(0), io.out(), |i| place(&indices, i)).map_err(|_| fail())
    };
    step(builder, id, "pick_any", &[data, index], &[], Box::new(routine));
    Some(())
}

/// The error of an index.
fn outside(builder: &Builder, id: NodeId) -> impl Fn() -> DeviceError + Send + Sync + use<> {
    let node = builder.model.node(id);
    let (type_name, name) = (node.op.type_name().to_owned(), node.name.clone());
    let shape = builder.shape_of(node.inputs()[0]);
    move || DeviceError::Failed {
        device: "CPU".to_owned(),
        message: format!("{type_name} `{name}`: an index is outside of data {shape:?}"),
    }
}

fn best(builder: &mut Builder, id: NodeId) -> Option<()> {
    let node = builder.model.node(id);
    let Op::TopK(op) = &node.op else { return None };
    let data = node.inputs()[0];
    let (shape, ty) = (builder.shape_of(data), builder.model.ty(data).element_type);
    let along = axis(op.axis, shape.len())?;
    let count = builder.shape_of(id.into())[along];
    if !matches!(ty, ElementType::F32 | ElementType::I32 | ElementType::U8)
        || u32::try_from(shape[along]).is_err()
    {
        return None;
    }
    let work = Best {
        sizes: around(&shape, along),
        count,
        largest: op.mode == TopKMode::Max,
        by_position: op.sort == TopKSort::Index,
        threads: builder.settings.threads_of(0),
    };
    let positions = builder.plain_value(id.output(1));
    builder.define(id.output(1), positions);
    let scratch = builder.scratch(work.scratch());
    let index = op.index_element_type;
    let routine = move |io: &Io, pool: &mut Pool| {
        match ty {
            ElementType::F32 => run_best::<f32>(&work, io, pool, index),
            ElementType::I32 => run_best::<i32>(&work, io, pool, index),
            _ => run_best::<u8>(&work, io, pool, index),
        }
        Ok(())
    };
    step(builder, id, "top_k_any", &[data], &[positions, scratch], Box::new(routine));
    Some(())
}

fn run_best<T: picks::Key>(work: &Best, io: &Io, pool: &mut Pool, index: ElementType) {
    let (src, dst, scratch) = (io.input::<T>(0), io.output::<T>(0), io.output::<u64>(2));
    match index {
        ElementType::I32 => work.run(pool, src, dst, io.output::<i32>(1), scratch, |at| at as i32),
        _ => work.run(pool, src, dst, io.output::<i64>(1), scratch, i64::from),
    }
}

fn sums(builder: &mut Builder, id: NodeId) -> Option<()> {
    let node = builder.model.node(id);
    let Op::CumSum(op) = &node.op else { return None };
    let data = node.inputs()[0];
    let (shape, ty) = (builder.shape_of(data), builder.model.ty(data).element_type);
    let along = match node.inputs().get(1) {
        Some(port) => *builder.constants.integers(*port)?.first()?,
        None => 0,
    };
    let sizes = around(&shape, axis(along, shape.len())?);
    let how = [op.exclusive, op.reverse];
    let routine: Box<Routine> = match ty {
        // In f64, so that long sums lose nothing.
        ElementType::F32 => Box::new(move |io, pool| {
            let operands = (io.input::<f32>(0), io.out::<f32>());
            picks::running_sums(
                pool,
                sizes,
                how,
                operands,
                |sum: f64, x| sum + f64::from(x),
                |sum| sum as f32,
            );
            Ok(())
        }),
        ElementType::I32 => Box::new(move |io, pool| {
            let operands = (io.input::<i32>(0), io.out::<i32>());
            picks::running_sums(pool, sizes, how, operands, i32::wrapping_add, |sum| sum);
            Ok(())
        }),
        ElementType::I64 => Box::new(move |io, pool| {
            let operands = (io.input::<i64>(0), io.out::<i64>());
            picks::running_sums(pool, sizes, how, operands, i64::wrapping_add, |sum| sum);
            Ok(())
        }),
        _ => return None,
    };
    step(builder, id, "running_sum_any", &[data], &[], routine);
    Some(())
}

fn scatter(builder: &mut Builder, id: NodeId) -> Option<()> {
    let node = builder.model.node(id);
    let ports = [node.inputs()[0], node.inputs()[1], node.inputs()[2]];
    let (shape, tuples) = (builder.shape_of(ports[0]), builder.shape_of(ports[1]));
    let ty = builder.model.ty(ports[1]).element_type;
    let (picked, places) = tuples.split_last()?;
    let sizes = shape[..*picked].to_vec();
    let size = shape[*picked..].iter().product::<usize>() * element_bytes(builder, ports[0])?;
    if !matches!(ty, ElementType::I32 | ElementType::I64) || size == 0 {
        return None;
    }
    let count: usize = places.iter().product();
    let fail = outside(builder, id);
    let routine = move |io: &Io, _: &mut Pool| -> DeviceResult<()> {
        let (indices, updates): (_, &[u8]) = (indices(io, 1, ty), io.input(2));
        let dst: &mut [u8] = io.out();
        dst.copy_from_slice(io.input(0));
        // One after the other: of several for one place the last stays.
        for i in 0..count {
            let step = |at: usize, (j, size): (usize, &usize)| {
                Some(at * size + indices.place(i * sizes.len() + j, *size)?)
            };
            let at = sizes.iter().enumerate().try_fold(0, step).ok_or_else(&fail)?;
            dst[at * size..][..size].copy_from_slice(&updates[i * size..][..size]);
        }
        Ok(())
    };
    step(builder, id, "scatter_any", &ports, &[], Box::new(routine));
    Some(())
}

fn one_hot(builder: &mut Builder, id: NodeId) -> Option<()> {
    let node = builder.model.node(id);
    let Op::OneHot(op) = &node.op else { return None };
    let ports = [node.inputs()[0], node.inputs()[2], node.inputs()[3]];
    let shape = builder.shape_of(id.into());
    let [outer, depth, inner] = around(&shape, axis(op.axis, shape.len())?);
    let ty = builder.model.ty(ports[0]).element_type;
    let size = element_bytes(builder, id.into())?;
    if !matches!(ty, ElementType::I32 | ElementType::I64) {
        return None;
    }
    let routine = move |io: &Io, _: &mut Pool| {
        let (indices, on, off): (_, &[u8], &[u8]) = (indices(io, 0, ty), io.input(1), io.input(2));
        let dst: &mut [u8] = io.out();
        dst.chunks_exact_mut(size).for_each(|slot| slot.copy_from_slice(off));
        for i in 0..outer * inner {
            // Whatever is outside is nowhere on.
            if let Some(place) = usize::try_from(indices.at(i)).ok().filter(|place| *place < depth) {
                let at = (i / inner * depth + place) * inner + i % inner;
                dst[at * size..][..size].copy_from_slice(on);
            }
        }
        Ok(())
    };
    step(builder, id, "one_hot_any", &ports, &[], Box::new(routine));
    Some(())
}
