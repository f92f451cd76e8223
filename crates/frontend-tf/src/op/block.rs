//! Blocks of space to channels or batches, and back.

use super::layout::Channels;
use crate::scope::{Converted, Scope, malformed};
use ir::op::{BatchToSpace, DepthMode, DepthToSpace, SpaceToBatch, SpaceToDepth};

/// `SpaceToDepth`, or back.
pub(super) fn depth(s: &mut Scope, to_depth: bool) -> Converted {
    let [data] = s.exactly()?;
    let size = s.int("block_size", 0)?;
    let Ok(block_size @ 1..) = usize::try_from(size) else {
        return malformed(format!("a block size of {size}"));
    };
    let channels = Channels::of(s)?;
    let data = channels.second(s, data, 4)?;
    let mode = DepthMode::BlocksFirst;
    let result = if to_depth {
        s.emit(SpaceToDepth { mode, block_size }, &[data])?
    } else {
        s.emit(DepthToSpace { mode, block_size }, &[data])?
    };
    Ok(vec![channels.restored(s, result, 4)?])
}

/// `SpaceToBatchND`, or back: data, block shape, pads or crops. The older ops take the (one) block size as an
/// attribute.
pub(super) fn batches(s: &mut Scope, to_batches: bool, older: bool) -> Converted {
    let data = s.input(0)?;
    let rank = s.rank(data)?;
    let (block, table) = if older {
        (vec![s.int("block_size", 0)?; 2], s.integers(1)?)
    } else {
        (s.integers(1)?, s.integers(2)?)
    };
    if block.len() * 2 != table.len() || block.len() >= rank {
        return malformed(format!(
            "{} blocks and {} margins for {rank} dimensions",
            block.len(),
            table.len()
        ));
    }
    let begin: Vec<i64> = table.iter().copied().step_by(2).collect();
    let end: Vec<i64> = table.iter().copied().skip(1).step_by(2).collect();
    // The batch comes first, what is not blocked last.
    let mut around = |suffix: &str, fill: i64, values: &[i64]| {
        let mut all = vec![fill; rank];
        all[1..=values.len()].copy_from_slice(values);
        s.i64s(suffix, &all)
    };
    let inputs = [data, around("block_shape", 1, &block), around("begin", 0, &begin), around("end", 0, &end)];
    if to_batches { s.one(SpaceToBatch, &inputs) } else { s.one(BatchToSpace, &inputs) }
}
