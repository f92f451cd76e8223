//! The Inference Engine: reads models, loads them on devices, runs them.
//!
//! ```no_run
//! # fn cpu() -> std::sync::Arc<dyn ir::device::Device> { unimplemented!() }
//! use runtime::Core;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let core = Core::new();
//! core.register(cpu());
//! let model = core.read_model("model.xml")?;
//! let compiled = core.compile_model(&model, "CPU", &Default::default())?;
//! let mut request = compiled.create_infer_request()?;
//! request.input(0)?.write()?.fill(0);
//! request.infer()?;
//! let answer = request.output(0)?.to_tensor()?;
//! # Ok(()) }
//! ```
//!
//! A request runs one inference at a time. [`InferRequest::infer`] waits for it; [`InferRequest::start_async`]
//! returns at once, and then the request can be asked ([`InferRequest::wait_for`]), waited for, awaited
//! ([`InferRequest::finished`]), or it calls back. An [`InferQueue`] keeps several requests busy.
#![forbid(unsafe_code)]

mod cache;
mod compiled;
mod core;
mod error;
mod export;
mod plugins;
mod preprocess;
mod queue;
mod request;
mod reshape;
mod state;

pub use crate::core::Core;
pub use compiled::CompiledModel;
pub use error::Error;
pub use ir::device::{
    Config, DeviceError, HostTensor, LayerStatus, PortInfo, ProfileRow, Property, RemoteTensor, Span,
};
pub use plugin_abi::{LoadError, load_extensions};
pub use plugins::{PLUGINS_FILE, PLUGINS_VARIABLE, find_plugins};
pub use preprocess::{
    ColorFormat, Crop, CustomOps, InputSettings, OutputSettings, ResizeAlgorithm, apply_settings,
};
pub use queue::{Done, InferQueue, Order, Refused};
pub use request::{Finished, InferRequest, Status};
pub use reshape::{batch, reshape, set_batch};
