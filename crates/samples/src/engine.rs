//! The engine with the devices that this workspace has.

use runtime::Core;
use std::sync::Arc;

/// An engine that knows every device of the workspace.
pub fn core() -> Core {
    let core = Core::new();
    core.register(Arc::new(plugin_cpu::CpuDevice::new()));
    core
}

/// The version of the engine's interface, as the samples print it.
pub const API_VERSION: &str = env!("CARGO_PKG_VERSION");
