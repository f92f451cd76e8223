//! The suite of devices over the CPU.

mod suite;

use runtime::Core;
use std::{path::Path, sync::Arc};

/// The device, as users write it.
const DEVICE: &str = "CPU";
/// Its library.
const LIBRARY: &str = "terroir_cpu_plugin";

/// An engine with the device, linked in or listed in a folder.
fn core(list: Option<&Path>) -> Core {
    let core = Core::new();
    match list {
        Some(list) => core.add_plugins(list).unwrap(),
        None => core.register(Arc::new(plugin_cpu::CpuDevice::new())),
    }
    core
}
