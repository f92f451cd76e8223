//! The suite of devices over HETERO, whose only device is the CPU that is linked in: HETERO's library reaches it
//! through the host.

#[path = "../../cpu/tests/suite/mod.rs"]
mod suite;

use runtime::Core;
use std::{path::Path, sync::Arc};

/// The device, as users write it.
const DEVICE: &str = "HETERO:CPU";
/// Its library.
const LIBRARY: &str = "terroir_hetero_plugin";

/// An engine with the device, linked in or listed in a folder.
fn core(list: Option<&Path>) -> Core {
    let core = Core::new();
    core.register(Arc::new(plugin_cpu::CpuDevice::new()));
    match list {
        Some(list) => core.add_plugins(list).unwrap(),
        None => core.register(Arc::new(hetero::HeteroDevice::new())),
    }
    core
}
