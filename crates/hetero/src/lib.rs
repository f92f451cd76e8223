//! The HETERO device: one model on several devices, `HETERO:FPGA,CPU`.
//!
//! | file | part |
//! |---|---|
//! | `settings.rs` | what users ask for: which devices, which nodes by hand |
//! | `placement.rs` | which device each node goes to, and why |
//! | `partition.rs` | which nodes run together |
//! | `subgraph.rs` | a model for each such group, and what flows between them |
//! | `device.rs`, `compiled.rs`, `request.rs` | the device contract |
//! | `export.rs` | a divided model as bytes, and back |
//! | `picture.rs` | all this as graphs to look at |
#![forbid(unsafe_code)]

mod affinity;
mod compiled;
mod device;
mod export;
mod partition;
mod picture;
mod placement;
mod request;
mod settings;
mod subgraph;

pub use affinity::{affinity, set_affinity};
pub use device::HeteroDevice;
