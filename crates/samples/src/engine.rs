//! The engine with the devices that this workspace has, as the programs' flags ask for it.

use anyhow::{Context, Result, bail};
use clap::Args;
use runtime::{Core, find_plugins};
use std::{path::PathBuf, sync::Arc};

/// The version of the engine's interface, as the samples print it.
pub const API_VERSION: &str = env!("CARGO_PKG_VERSION");

/// An engine that knows every device of the workspace.
pub fn core() -> Core {
    let core = Core::new();
    core.register(Arc::new(plugin_cpu::CpuDevice::new()));
    core.register(Arc::new(plugin_fpga::FpgaDevice::new()));
    core.register(Arc::new(hetero::HeteroDevice::new()));
    core
}

/// The flags that name shared libraries.
#[derive(Args, Debug)]
pub struct LibraryArgs {
    /// A shared library with custom layers; several with commas between them.
    #[arg(short, long = "extensions", value_name = "PATH", value_delimiter = ',')]
    l: Vec<PathBuf>,
    /// A folder with device plugins: its plugins.json names them.
    #[arg(long, value_name = "PATH")]
    pp: Option<PathBuf>,
}

impl LibraryArgs {
    /// The engine that these flags ask for.
    pub fn core(&self) -> Result<Core> {
        let core = core();
        if let Some(list) = find_plugins(self.pp.as_deref()) {
            core.add_plugins(list)?;
        }
        for library in &self.l {
            core.add_extensions(library).context("-l")?;
        }
        Ok(core)
    }
}

/// The flags that choose the device and what is loaded beside it.
#[derive(Args, Debug)]
pub struct EngineArgs {
    /// The device: CPU, or several as in HETERO:FPGA,CPU.
    #[arg(short, value_name = "DEVICE", default_value = "CPU")]
    pub d: String,
    #[command(flatten)]
    libraries: LibraryArgs,
}

impl EngineArgs {
    /// The engine that these flags ask for.
    pub fn core(&self) -> Result<Core> {
        self.libraries.core()
    }

    /// The devices that take part, each with what it says it is: for `HETERO:FPGA,CPU` three.
    pub fn devices(&self, core: &Core) -> Result<Vec<(String, String)>> {
        let (first, list) = self.d.split_once(':').unwrap_or((&self.d, ""));
        let names = std::iter::once(first).chain(list.split(',').filter(|name| !name.is_empty()));
        let describe = |name: &str| {
            // A number behind the name is one of several cards: `FPGA.1`.
            let device = core.device(name.split(['.', '(']).next().unwrap_or_default())?;
            Ok((name.to_owned(), device.description()))
        };
        names.map(str::trim).map(describe).collect()
    }
}

/// OpenVINO's flag for its GPU device, which some programs have.
#[derive(Args, Debug)]
pub struct GpuArgs {
    /// A description of custom GPU kernels.
    #[arg(short, value_name = "PATH")]
    c: Option<PathBuf>,
}

impl GpuArgs {
    /// Fails when the flag was given.
    pub fn check(&self) -> Result<()> {
        match &self.c {
            Some(path) => {
                bail!("-c {}: custom GPU kernels need a GPU device, and there is none", path.display())
            }
            None => Ok(()),
        }
    }
}
