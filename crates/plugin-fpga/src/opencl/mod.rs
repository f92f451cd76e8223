//! Programs on OpenCL devices: the same instructions, read by one program in OpenCL C. `libOpenCL` is loaded when the first
//! device is asked for, so nothing needs it to be there.

mod launch;
mod memory;

use crate::{
    architecture::Architecture,
    executor::{CardMemory, Executor, ExecutorError, Loaded},
    program::Program,
    ranges::check,
    sim::check_filters,
};
use launch::Launches;
use memory::DeviceMemory;
use opencl3::{
    context::Context,
    device::{CL_DEVICE_TYPE_ALL, Device, get_all_devices},
    error_codes::{CL_DEVICE_NOT_FOUND, ClError, DLOPEN_RUNTIME_LOAD_FAILED},
    program::Program as DeviceProgram,
};
use std::{
    any::Any,
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};
use thiserror::Error;

/// By number, the devices that are open: memory of a device serves all programs there. They are opened one at a time, since
/// loaders and drivers (PoCL 3.1) fall over when several threads start them at once.
static OPEN: Mutex<Contexts> = Mutex::new(Contexts::new());

type Contexts = BTreeMap<usize, Weak<Context>>;

/// A panic leaves them whole.
fn opening() -> MutexGuard<'static, Contexts> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The overlay, for boards whose compiler runs on the host.
pub const SOURCE: &str = include_str!("overlay.cl");
/// No platform is installed, says the loader.
const NO_PLATFORM: i32 = -1001;

/// Why OpenCL is of no use here.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum OpenClError {
    /// There is no library.
    #[error(
        "libOpenCL is not on this machine: install an OpenCL loader (Debian: ocl-icd-libopencl1) and a driver"
    )]
    Library,
    /// There is no such device.
    #[error(
        "OpenCL has {found} devices here, number {wanted} was asked for: install a driver (pocl-opencl-icd)"
    )]
    Device {
        /// The number that was asked for, from 0.
        wanted: usize,
        /// How many there are.
        found: usize,
    },
    /// The device does not take the program.
    #[error("the device refuses the overlay: {0}")]
    Build(String),
    /// A call failed.
    #[error("OpenCL, {what}: {code}")]
    Call {
        /// What was to be done.
        what: &'static str,
        /// The error's name.
        code: String,
    },
}

impl From<OpenClError> for ExecutorError {
    fn from(error: OpenClError) -> Self {
        Self::Device(error.to_string())
    }
}

fn failed(what: &'static str) -> impl Fn(ClError) -> OpenClError {
    move |error| match error.0 {
        DLOPEN_RUNTIME_LOAD_FAILED => OpenClError::Library,
        _ => OpenClError::Call { what, code: error.to_string() },
    }
}

/// An [`Executor`] on an OpenCL device.
pub struct OpenCl {
    name: String,
    context: Arc<Context>,
    program: Arc<DeviceProgram>,
}

impl OpenCl {
    /// On device `number` (0 for the first) of all platforms, with the overlay compiled from its source.
    pub fn from_source(number: usize) -> Result<Self, OpenClError> {
        let mut open = opening();
        let (name, context) = Self::device(&mut open, number)?;
        let program = DeviceProgram::create_and_build_from_source(&context, SOURCE, "");
        let program = program.map_err(OpenClError::Build)?;
        Ok(Self { name, context, program: Arc::new(program) })
    }

    /// On device `number` with a binary that [`OpenCl::binary`] gave, as bitstreams hold it.
    pub fn from_binary(number: usize, binary: &[u8]) -> Result<Self, OpenClError> {
        let mut open = opening();
        let (name, context) = Self::device(&mut open, number)?;
        let program = DeviceProgram::create_and_build_from_binary(&context, &[binary], "");
        let program = program.map_err(|error| OpenClError::Build(error.to_string()))?;
        Ok(Self { name, context, program: Arc::new(program) })
    }

    /// The overlay as the device runs it.
    pub fn binary(&self) -> Result<Vec<u8>, OpenClError> {
        let binaries = self.program.get_binaries().map_err(failed("reading the program's binary"))?;
        Ok(binaries.into_iter().next().unwrap_or_default())
    }

    fn device(open: &mut Contexts, number: usize) -> Result<(String, Arc<Context>), OpenClError> {
        let devices = match get_all_devices(CL_DEVICE_TYPE_ALL) {
            Err(ClError(NO_PLATFORM | CL_DEVICE_NOT_FOUND)) => Vec::new(),
            devices => devices.map_err(failed("listing devices"))?,
        };
        let found = devices.len();
        let id = *devices.get(number).ok_or(OpenClError::Device { wanted: number, found })?;
        let device = Device::new(id);
        let name = device.name().map_err(failed("the device's name"))?;
        let context = match open.get(&number).and_then(Weak::upgrade) {
            Some(context) => context,
            None => {
                let made = Context::from_device(&device).map_err(failed("making a context"))?;
                let made = Arc::new(made);
                open.insert(number, Arc::downgrade(&made));
                made
            }
        };
        Ok((format!("OpenCL {name}"), context))
    }
}

impl Executor for OpenCl {
    fn name(&self) -> &str {
        &self.name
    }

    fn load(
        &self,
        architecture: &Architecture,
        program: &Arc<Program>,
    ) -> Result<Box<dyn Loaded>, ExecutorError> {
        let extent = check(architecture, program)?;
        check_filters(architecture, program)?;
        Ok(Box::new(Launches::new(&self.context, &self.program, architecture, program.clone(), extent)?))
    }

    fn allocate(&self, values: usize) -> Result<Box<dyn CardMemory>, ExecutorError> {
        Ok(Box::new(DeviceMemory::new(&self.context, values)?))
    }

    fn reaches(&self, memory: &dyn CardMemory) -> bool {
        let memory: Option<&DeviceMemory> = (memory as &dyn Any).downcast_ref();
        memory.is_some_and(|memory| memory.is_of(&self.context))
    }
}
