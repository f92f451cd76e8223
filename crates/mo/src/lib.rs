//! The Model Optimizer: a framework's files in, an OpenVINO IR out.
//!
//! | to | use |
//! |---|---|
//! | convert a network | [`convert`] with a [`Request`] |
//! | freeze a TensorFlow graph | [`freeze`] with a [`FreezeRequest`] |
//! | do either by command line | [`command::mo::run`], [`command::freeze_graph::run`] |
//!
//! This crate composes and adds no knowledge of its own: frontends read, the optimizer rewrites, `quantize` stores,
//! `ir` writes.
#![forbid(unsafe_code)]

mod caffe;
pub mod command;
mod convert;
mod error;
mod freeze;
pub mod grammar;
mod output;
mod source;

pub use convert::{Converted, Request, Stage, convert};
pub use error::Error;
pub use freeze::{FreezeRequest, Frozen, freeze};
pub use source::{Framework, Source};
