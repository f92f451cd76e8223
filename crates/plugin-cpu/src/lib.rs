//! The CPU device.
//!
//! | file | part |
//! |---|---|
//! | `device.rs` | the device: queries, compiles |
//! | `config.rs` | its settings |
//! | `compile/` | lowers a model to a plan |
//! | `arena.rs` | the memory of activations |
//! | `memory.rs` | memory on huge pages |
//! | `plan.rs` | a model lowered for one set of input shapes: what the run loop runs |
//! | `request.rs` | one inference at a time: tensors, start, cancel |
//! | `stream.rs` | threads that run requests |
//! | `pool.rs` | threads that run one kernel together |
//! | `share.rs` | how much of it each of them does |
//! | `weights.rs` | weights from the file to packed form, shared by plans |
//! | `export.rs` | compiled models as bytes |
//! | `isa.rs` | instruction sets and their vectors |
//! | `kernels/` | what the steps of a plan run |

mod arena;
mod compile;
mod config;
mod device;
mod export;
mod isa;
mod kernels;
mod memory;
mod plan;
mod pool;
mod request;
mod share;
mod stream;
mod weights;

pub use device::CpuDevice;
