//! The FPGA device: an overlay accelerator that is programmed by a bitstream and runs networks by descriptors.
//!
//! No card is needed, and none is claimed: what a board holds, how a network is compiled for it and every bit of its
//! arithmetic are real and specified in `SPEC.md`; the time that it takes is a model's, and is called that wherever it
//! is shown.
//!
//! | module | what |
//! |---|---|
//! | [`FpgaDevice`] | the device that the engine loads networks on |
//! | [`architecture`] | the sizes of an overlay: what a bitstream holds |
//! | [`instruction`] | the instruction set: 64-byte descriptors |
//! | [`program`] | a compiled network |
//! | [`container`] | bitstreams as files, `.aocx` |
//! | [`bitstreams`] | those that users know by name |
//! | [`board`] | boards, and what they hold |
//! | [`compile`] | from a model to a program |
//! | [`executor`] | what runs programs |
//! | [`number`] | fp16 and blocks |
//! | [`opencl`] | programs on OpenCL devices |
//! | [`sim`] | the simulator |
//! | [`timing`] | the cycle model |
//! | [`published`] | the model beside figures that others published |
//! | [`report`] | what a compiled network takes: text, JSON, a picture |

pub mod architecture;
pub mod bitstreams;
pub mod board;
pub mod compile;
pub mod container;
mod device;
pub mod executor;
pub mod instruction;
pub mod number;
pub mod opencl;
pub mod program;
pub mod published;
mod ranges;
mod remote;
pub mod report;
mod request;
mod room;
mod settings;
pub mod sim;
pub mod timing;
mod words;

pub use device::FpgaDevice;
