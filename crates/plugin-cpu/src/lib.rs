//! The CPU device.
//!
//! | file | part |
//! |---|---|
//! | `device.rs` | the device: queries, compiles |
//! | `config.rs` | its settings |
//! | `plan.rs` | a model lowered for one set of input shapes: what the run loop runs |
//! | `request.rs` | one inference at a time: tensors, start, cancel |
//! | `stream.rs` | threads that run requests |

mod config;
mod device;
mod plan;
mod request;
mod stream;

pub use device::CpuDevice;
