//! The Model Optimizer: a framework's files in, an OpenVINO IR out.
//!
//! | to | use |
//! |---|---|
//! | convert a network | [`convert()`] with a [`Request`] |
//! | read a network as it is | [`load()`] with a [`Request`] |
//! | freeze a TensorFlow graph | [`freeze`] with a [`FreezeRequest`] |
//! | know what a network is, or where two part | [`inspect`], [`compare`] |
//! | do it by command line | [`command::mo::run`], [`command::freeze_graph::run`] |
//!
//! This crate composes and adds no knowledge of its own: frontends read, the optimizer rewrites, `quantize` stores,
//! `ir` writes.
#![forbid(unsafe_code)]

mod caffe;
pub mod command;
pub mod compare;
mod convert;
pub mod custom_layers;
mod error;
mod freeze;
pub mod grammar;
pub mod inspect;
mod load;
mod mean_image;
mod output;
mod preprocess;
mod report;
mod source;
mod stateful;
mod tensorflow;

pub use convert::{Converted, Event, Request, Stage, convert};
pub use error::Error;
pub use freeze::{FreezeRequest, Frozen, freeze};
pub use load::load;
pub use mean_image::MeanFile;
pub use source::{Framework, Source};
