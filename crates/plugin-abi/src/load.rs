//! Devices and custom layers from shared libraries. A library that was loaded is never unloaded: its code may run, and what it gave
//! away may live, as long as the process.

use crate::{
    c, import,
    owner::Object,
    raw::{Fault, take},
    status::ask,
};
use ir::{
    device::{Device, DeviceError},
    extension::Extension,
};
use libloading::Library;
use std::{
    path::{Path, PathBuf},
    ptr,
    sync::Arc,
};
use thiserror::Error;

/// Why a library is of no use.
#[derive(Debug, Error, Clone)]
#[non_exhaustive]
pub enum LoadError {
    /// There is no such file.
    #[error("{}: there is no such library", path.display())]
    Missing {
        /// The library.
        path: PathBuf,
    },
    /// The system does not load it.
    #[error("{}: the system does not load it: {reason}", path.display())]
    Open {
        /// The library.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// It is a library, but not of the kind that was asked for.
    #[error("{}: it is no library of {kind}: it has no function `{symbol}`", path.display())]
    Symbol {
        /// The library.
        path: PathBuf,
        /// What it should hold.
        kind: &'static str,
        /// The function that it lacks.
        symbol: &'static str,
    },
    /// It was made for another version of the interface.
    #[error("{}: it was made for version {found} of the interface; this engine has version {own}", path.display())]
    Version {
        /// The library.
        path: PathBuf,
        /// The engine's version.
        own: u32,
        /// The library's.
        found: u32,
    },
    /// It gave what the contract does not allow.
    #[error("{}: it breaks the contract: {fault}", path.display())]
    Contract {
        /// The library.
        path: PathBuf,
        /// What is wrong.
        fault: Fault,
    },
    /// Its device has another name than the one it is listed under.
    #[error("{}: its device is called `{found}`, not `{expected}`", path.display())]
    Name {
        /// The library.
        path: PathBuf,
        /// The name that was asked for.
        expected: String,
        /// The name that the device has.
        found: String,
    },
    /// It panicked while it made its device or its layers.
    #[error("{}: it panicked: {text}", path.display())]
    Panicked {
        /// The library.
        path: PathBuf,
        /// The words of the panic.
        text: String,
    },
    /// It could not make its device or its layers.
    #[error("{}: {error}", path.display())]
    Failed {
        /// The library.
        path: PathBuf,
        /// What it says.
        error: Box<DeviceError>,
    },
}

/// What a library of extensions holds.
const LAYERS: &str = "custom layers";

/// Loads the device of a plugin; `name` is what it must be called.
///
/// The library's code runs in this process: load what you trust.
pub fn load_device(path: &Path, name: &str) -> Result<Arc<dyn Device>, LoadError> {
    let library = open(path)?;
    // SAFETY: a library that exports this name promises the type that the header gives it.
    let entry = unsafe { symbol::<c::PluginEntry>(library, path, "devices", c::PLUGIN_ENTRY)? };
    let contract = |fault| LoadError::Contract { path: path.to_owned(), fault };
    // SAFETY: the entry takes any version, and returns a struct that lives as long as the library: forever.
    let plugin = unsafe { take(entry(c::ABI_VERSION)) }.map_err(contract)?;
    check_version(path, plugin.abi_version)?;
    let create =
        plugin.create.ok_or(contract(Fault::Function { table: "TerroirPlugin", function: "create" }))?;
    let mut device = c::Device { object: ptr::null_mut(), functions: ptr::null() };
    let mut status = c::STATUS_OK;
    // SAFETY: the places are this frame's.
    let created = unsafe {
        ask(name, |message| {
            status = create(&raw mut device, message);
            status
        })
    };
    created.map_err(|error| failed(path, status, error))?;
    // SAFETY: `create` has succeeded, so the object is ours.
    let object = unsafe { Object::adopt(device.object, device.functions) }.map_err(contract)?;
    let device = import::device(object).map_err(contract)?;
    if device.name() != name {
        let (expected, found) = (name.to_owned(), device.name().to_owned());
        return Err(LoadError::Name { path: path.to_owned(), expected, found });
    }
    Ok(device)
}

/// Loads the custom layers of a library.
///
/// The library's code runs in this process: load what you trust.
pub fn load_extensions(path: &Path) -> Result<Vec<Arc<dyn Extension>>, LoadError> {
    let library = open(path)?;
    // SAFETY: a library that exports this name promises the type that the header gives it.
    let entry = unsafe { symbol::<c::ExtensionEntry>(library, path, LAYERS, c::EXTENSION_ENTRY)? };
    let contract = |fault| LoadError::Contract { path: path.to_owned(), fault };
    // SAFETY: the entry takes any version, and returns a struct that lives as long as the library: forever.
    let found = unsafe { take(entry(c::ABI_VERSION)) }.map_err(contract)?;
    check_version(path, found.abi_version)?;
    let missing = Fault::Function { table: "TerroirExtensionLibrary", function: "extensions" };
    let tell = found.extensions.ok_or(contract(missing))?;
    let mut status = c::STATUS_OK;
    // SAFETY: the function tells extensions as the contract has them.
    let told = unsafe {
        import::extensions(LAYERS, |visit, user, message| {
            status = tell(visit, user, message);
            status
        })
    };
    told.map_err(|error| failed(path, status, error))
}

fn check_version(path: &Path, found: u32) -> Result<(), LoadError> {
    if found == c::ABI_VERSION {
        return Ok(());
    }
    Err(LoadError::Version { path: path.to_owned(), own: c::ABI_VERSION, found })
}

/// The error of a library that could not make what it is for.
fn failed(path: &Path, status: i32, error: DeviceError) -> LoadError {
    let path = path.to_owned();
    match error {
        DeviceError::Failed { message, .. } if status == c::STATUS_UNEXPECTED => {
            LoadError::Panicked { path, text: message }
        }
        error => LoadError::Failed { path, error: Box::new(error) },
    }
}

/// Loads a library for good.
fn open(path: &Path) -> Result<&'static Library, LoadError> {
    if !path.is_file() {
        return Err(LoadError::Missing { path: path.to_owned() });
    }
    let failed =
        |error: &dyn std::fmt::Display| LoadError::Open { path: path.to_owned(), reason: error.to_string() };
    // Without a folder in it, the system would look for the name elsewhere.
    let full = std::path::absolute(path).map_err(|error| failed(&error))?;
    // SAFETY: the library's start-up code runs; whoever names a plugin trusts it.
    let library = unsafe { load(&full) }.map_err(|error| failed(&error))?;
    Ok(Box::leak(Box::new(library)))
}

/// All symbols are bound at once, so that one that is missing is told now, not by the end of the process later.
#[cfg(unix)]
unsafe fn load(path: &Path) -> Result<Library, libloading::Error> {
    use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
    // SAFETY: passed on.
    unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map(Into::into)
}

#[cfg(not(unix))]
unsafe fn load(path: &Path) -> Result<Library, libloading::Error> {
    // SAFETY: passed on.
    unsafe { Library::new(path) }
}

/// A function of a library.
///
/// # Safety
/// The function has that type.
unsafe fn symbol<F: Copy>(
    library: &'static Library,
    path: &Path,
    kind: &'static str,
    name: &'static str,
) -> Result<F, LoadError> {
    // SAFETY: the caller's promise.
    let found = unsafe { library.get::<F>(name) };
    found.map(|f| *f).map_err(|_| LoadError::Symbol { path: path.to_owned(), kind, symbol: name })
}
