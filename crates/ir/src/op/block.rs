//! Blocks of space to channels or batches, and back.

use super::Operator;
use crate::attribute::{Visit, Visitor, text_enum};

text_enum! {
    /// Which half of the channel index is the place in the block.
    DepthMode {
        /// The outer half.
        BlocksFirst = "blocks_first",
        /// The inner half.
        DepthFirst = "depth_first",
    }
}

/// Moves blocks of space into channels. Input [N,C,spatial..].
#[derive(Clone, PartialEq, Debug)]
pub struct SpaceToDepth {
    /// How channels and blocks interleave.
    pub mode: DepthMode,
    /// Length of a block's side.
    pub block_size: usize,
}

impl Default for SpaceToDepth {
    fn default() -> Self {
        Self { mode: DepthMode::BlocksFirst, block_size: 1 }
    }
}

impl Visit for SpaceToDepth {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("mode", &mut self.mode);
        v.optional("block_size", &mut self.block_size);
    }
}

impl Operator for SpaceToDepth {
    fn type_name(&self) -> &str {
        "SpaceToDepth"
    }
}

/// Moves channels into blocks of space. Input [N,C,spatial..].
#[derive(Clone, PartialEq, Debug)]
pub struct DepthToSpace {
    /// How channels and blocks interleave.
    pub mode: DepthMode,
    /// Length of a block's side.
    pub block_size: usize,
}

impl Default for DepthToSpace {
    fn default() -> Self {
        Self { mode: DepthMode::BlocksFirst, block_size: 1 }
    }
}

impl Visit for DepthToSpace {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.required("mode", &mut self.mode);
        v.optional("block_size", &mut self.block_size);
    }
}

impl Operator for DepthToSpace {
    fn type_name(&self) -> &str {
        "DepthToSpace"
    }
}

/// Moves blocks of space into batches. Inputs: data, block_shape, pads_begin, pads_end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SpaceToBatch;

impl Visit for SpaceToBatch {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}

impl Operator for SpaceToBatch {
    fn type_name(&self) -> &str {
        "SpaceToBatch"
    }
}

/// Moves batches into blocks of space. Inputs: data, block_shape, crops_begin, crops_end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BatchToSpace;

impl Visit for BatchToSpace {
    fn visit(&mut self, _: &mut dyn Visitor) {}
}

impl Operator for BatchToSpace {
    fn type_name(&self) -> &str {
        "BatchToSpace"
    }
}
