//! FP16 storage of an IR model.
//!
//! [`to_fp16`] stores floating-point constants as half precision, each followed by a Convert that gives out what the
//! constant gave; the network computes as before. What half precision would damage stays as it is, and the report
//! says which and why.
#![forbid(unsafe_code)]

mod fp16;
mod shape_arithmetic;

pub use fp16::{Error, Kept, Lossy, Options, Reason, Report, to_fp16};
