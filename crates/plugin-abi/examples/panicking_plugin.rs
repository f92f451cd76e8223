//! A plugin that panics when its device is made, for the engine's tests.

use ir::device::Device;
use std::sync::Arc;

fn device() -> Arc<dyn Device> {
    panic!("there is no card in this machine")
}

plugin_abi::export_device!(device());
