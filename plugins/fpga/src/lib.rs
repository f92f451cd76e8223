//! The FPGA device as a shared library.

plugin_abi::export_device!(std::sync::Arc::new(plugin_fpga::FpgaDevice::new()));
