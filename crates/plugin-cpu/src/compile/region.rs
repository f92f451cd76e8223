//! Darknet's predictions, and regions of feature maps.

use super::build::{Builder, Draft};
use crate::{
    kernels::region::{Predictions, Regions, largest, mean},
    plan::{Io, Routine},
};
use ir::{
    ElementType, NodeId, Op,
    device::{DeviceError, DeviceResult},
    op::{PsRoiMode, RoiMethod},
};

/// The op as one step.
pub(crate) fn lower(builder: &mut Builder, id: NodeId) -> Option<()> {
    let node = builder.model.node(id);
    let ports = node.inputs().to_vec();
    if ports.iter().any(|port| builder.model.ty(*port).element_type != ElementType::F32) {
        return None;
    }
    let shape = builder.shape_of(ports[0]);
    let isa = builder.isa;
    let (name, scratch, routine): (_, usize, Box<Routine>) = match node.op.clone() {
        Op::RegionYolo(op) => {
            let work = Predictions {
                boxes: shape[0] * op.boxes(),
                coords: op.coords,
                classes: op.classes,
                area: shape[2] * shape[3],
                softmax: op.do_softmax,
            };
            let routine = move |io: &Io, pool: &mut _| {
                work.run(isa, pool, io.input(0), io.output(0));
                Ok(())
            };
            (format!("region_{}_f32", isa.name()), 0, Box::new(routine))
        }
        Op::RoiPooling(op) if op.method == RoiMethod::Max => {
            let work = regions(builder, id, [op.pooled_h, op.pooled_w])?;
            let images = images(builder, id, shape[0]);
            let routine = move |io: &Io, pool: &mut _| {
                let regions = io.input::<f32>(1);
                images(regions)?;
                let bounds =
                    |r: usize, k: usize, bin| op.bounds(&regions[r * 5..][..5], k, bin, work.sizes[k]);
                let image = |r: usize| regions[r * 5] as usize;
                let (src, dst, notes) = (io.input(0), io.output(0), io.output(1));
                work.run(pool, src, dst, notes, image, bounds, |channel, _| channel, largest);
                Ok(())
            };
            ("roi_max_any".to_owned(), work.scratch() * 2, Box::new(routine))
        }
        Op::PsRoiPooling(op) if op.mode == PsRoiMode::Average => {
            let bins = op.group_size * op.group_size;
            let work = regions(builder, id, [op.group_size; 2])?;
            let images = images(builder, id, shape[0]);
            let routine = move |io: &Io, pool: &mut _| {
                let regions = io.input::<f32>(1);
                images(regions)?;
                let bounds =
                    |r: usize, k: usize, bin| op.bounds(&regions[r * 5..][..5], k, bin, work.sizes[k]);
                let image = |r: usize| regions[r * 5] as usize;
                let (src, dst, notes) = (io.input(0), io.output(0), io.output(1));
                work.run(pool, src, dst, notes, image, bounds, |channel, bin| channel * bins + bin, mean);
                Ok(())
            };
            ("roi_mean_any".to_owned(), work.scratch() * 2, Box::new(routine))
        }
        _ => return None,
    };
    let inputs = ports.into_iter().map(|port| builder.plain(id, port)).collect();
    let output = builder.plain_value(id.into());
    builder.define(id.into(), output);
    let scratch = builder.scratch(scratch);
    builder
        .step(id, Draft { exec_type: name, inputs, outputs: vec![output, scratch], in_place: None, routine });
    Some(())
}

/// The regions that are pooled to bins; nothing where maps are empty.
fn regions(builder: &Builder, id: NodeId, bins: [usize; 2]) -> Option<Regions> {
    let maps = builder.shape_of(builder.model.node(id).inputs()[0]);
    let answer = builder.shape_of(id.into());
    u32::try_from(maps[2].max(maps[3])).ok()?;
    (!maps.contains(&0)).then(|| Regions {
        channels: [maps[1], answer[1]],
        sizes: [maps[2], maps[3]],
        bins,
        threads: builder.settings.threads_of(0),
    })
}

/// Refuses regions of images that are not there.
fn images(
    builder: &Builder,
    id: NodeId,
    count: usize,
) -> impl Fn(&[f32]) -> DeviceResult<()> + Send + Sync + use<> {
    let node = builder.model.node(id);
    let (type_name, name) = (node.op.type_name().to_owned(), node.name.clone());
    move |regions| {
        let there = |region: &[f32]| region[0] > -1.0 && region[0] < count as f32;
        match regions.chunks_exact(5).find(|region| !there(region)) {
            None => Ok(()),
            Some(region) => Err(DeviceError::Failed {
                device: "CPU".to_owned(),
                message: format!(
                    "{type_name} `{name}`: a region is of image {}, of {count} images",
                    region[0]
                ),
            }),
        }
    }
}
