//! Kernels: what a plan's steps run. Each takes plain slices and the pool of the stream it runs on.
//!
//! Blocked layout: `[N, ceil(C / b), H, W, b]` with `b` = [`Isa::block`](crate::isa::Isa::block); the channels
//! beyond `C` in the last block are zero.

pub(crate) mod conv;
pub(crate) mod conv_image;
#[cfg(test)]
mod conv_tests;
mod conv_tile;
pub(crate) mod dense;
mod depthwise;
pub(crate) mod detection;
pub(crate) mod eltwise;
pub(crate) mod expand;
pub(crate) mod layout;
pub(crate) mod lrn;
pub(crate) mod math;
pub(crate) mod matmul;
pub(crate) mod movement;
pub(crate) mod normalize;
pub(crate) mod phases;
pub(crate) mod picks;
pub(crate) mod pointwise;
pub(crate) mod pooling;
pub(crate) mod pooling_any;
pub(crate) mod post;
mod power;
pub(crate) mod recurrent;
pub(crate) mod reduce;
pub(crate) mod region;
pub(crate) mod regroup;
pub(crate) mod resample;
mod split;
pub(crate) mod suppress;
mod widen;
mod winograd;
