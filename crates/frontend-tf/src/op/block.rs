//! Blocks of space to channels or batches, and back.

use super::{layout::Channels, movement::column};
use crate::scope::{Converted, Scope, malformed};
use ir::{
    ElementType, Port,
    op::{BatchToSpace, Concat, DepthMode, DepthToSpace, SpaceToBatch, SpaceToDepth},
};

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
    let (block, table) = if older { (vec![s.int("block_size", 0)?; 2], 1) } else { (s.integers(1)?, 2) };
    let rows = s.sizes(s.input(table)?);
    if block.len() >= rank || rows.as_ref().is_some_and(|rows| *rows != [block.len(), 2]) {
        return malformed(format!("{} blocks and margins {rows:?} for {rank} dimensions", block.len()));
    }
    let (begin, end) = (column(s, "begin", table, 0)?, column(s, "end", table, 1)?);
    // The batch comes first, what is not blocked last.
    let mut all = vec![1; rank];
    all[1..=block.len()].copy_from_slice(&block);
    let block_shape = s.i64s("block_shape", &all);
    let behind = rank - 1 - block.len();
    let mut around = |suffix: &str, margins: Port| {
        let margins = s.converted(&format!("{suffix}/i64"), margins, ElementType::I64)?;
        let before = s.i64s(&format!("{suffix}/batch"), &[0]);
        let after = s.i64s(&format!("{suffix}/rest"), &vec![0; behind]);
        s.add(suffix, Concat { axis: 0 }, &[before, margins, after])
    };
    let inputs = [data, block_shape, around("begin", begin)?, around("end", end)?];
    if to_batches { s.one(SpaceToBatch, &inputs) } else { s.one(BatchToSpace, &inputs) }
}
