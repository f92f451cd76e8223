//! What Darknet's detectors end with, in Caffe's forks; sequences of characters; normalisation over channels.

use crate::scope::{Converted, Scope, malformed};
use ir::op::{CtcGreedyDecoder, Grn, RegionYolo, ReorgYolo};

pub(super) fn region_yolo(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let params = s.params("region_yolo_param");
    let flat = s.params("flatten_param");
    let num = params.size("num", 1)?;
    let mut mask = params.ints("mask")?;
    if mask.is_empty() {
        mask = (0..i64::try_from(num).unwrap_or(i64::MAX).min(1 << 16)).collect();
    }
    let op = RegionYolo {
        anchors: params.floats("anchors")?.into_iter().map(|anchor| anchor as f32).collect(),
        axis: flat.int("axis", 1)?,
        coords: params.size("coords", 4)?,
        classes: params.size("classes", 20)?,
        end_axis: flat.int("end_axis", -1)?,
        num,
        do_softmax: params.flag("do_softmax", true)?,
        mask,
    };
    s.one(op, &[data])
}

pub(super) fn reorg_yolo(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let stride = s.params("reorg_yolo_param").int("stride", 1)?;
    s.one(ReorgYolo { stride: vec![stride] }, &[data])
}

pub(super) fn ctc_greedy_decoder(s: &mut Scope) -> Converted {
    let [logits, mask] = s.exactly()?;
    let params = s.params("ctc_decoder_param");
    let op = CtcGreedyDecoder { ctc_merge_repeated: params.flag("ctc_merge_repeated", true)? };
    if s.rank(logits)? != 3 {
        return malformed(format!("its first input has {} dimensions, expected [T,N,C]", s.rank(logits)?));
    }
    s.one(op, &[logits, mask])
}

pub(super) fn grn(s: &mut Scope) -> Converted {
    let [data] = s.exactly()?;
    let bias = s.params("grn_param").float("bias", 1.0)? as f32;
    s.one(Grn { bias }, &[data])
}
