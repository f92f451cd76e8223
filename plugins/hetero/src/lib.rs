//! The HETERO device as a shared library. It reaches the devices that it divides a model over through its host.

plugin_abi::export_device!(std::sync::Arc::new(hetero::HeteroDevice::new()));
