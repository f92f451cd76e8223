//! The FPGA's instructions on an OpenCL device beside the simulator.

use crate::process::{Process, cargo};
use anyhow::Result;
use std::path::Path;

/// Random layers of each precision.
const LAYERS: &str = "500";

/// Compares on the device that is there, or on the processor by PoCL, which it installs.
pub(crate) fn opencl() -> Result<()> {
    let drivers = Path::new("/etc/OpenCL/vendors").read_dir();
    let some = drivers.is_ok_and(|mut drivers| drivers.next().is_some());
    if !some {
        println!("no OpenCL driver is installed: installing PoCL (Debian)");
        Process::new("apt-get").args(["update"]).run()?;
        let packages = ["pocl-opencl-icd", "ocl-icd-libopencl1"];
        Process::new("apt-get").args(["install", "-y", "--no-install-recommends"]).args(packages).run()?;
    }
    cargo(["test", "--package", "plugin-fpga", "--test", "oracle", "opencl", "--", "--nocapture"])
        .env("TERROIR_OPENCL_LAYERS", LAYERS)
        .run()
}
