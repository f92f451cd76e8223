//! `CACHE_DIR`: compiled models as files, so that a model that was loaded before is ready at once.
//!
//! An entry's name is a hash of everything that the compiled form depends on, and the entry begins with that text: the
//! model, the device and its architecture, the versions, the settings. It appears whole or not at all, so processes may
//! share a folder. An entry that a device refuses, damaged for instance, is written anew. Nothing here fails a load:
//! a cache that cannot be used is told of by a warning.

use crate::{CompiledModel, Core, Error, error::Result, export};
use ir::{
    ALIGNMENT, Bytes, Model,
    device::{Config, Device, DeviceError},
};
use std::{
    fmt::Write as _,
    fs,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// The key of the folder: [`Core`] takes it out before devices see the rest.
pub(crate) const CACHE_DIR: &str = "CACHE_DIR";

const MAGIC: &[u8] = b"Terroir compiled model\n";

/// One entry of a cache.
pub(crate) struct Entry {
    path: PathBuf,
    /// What the entry was made from, in words.
    origin: String,
}

/// What tells a file from another, and from what it was before, without reading it.
pub(crate) fn identity_of_file(path: &Path) -> io::Result<String> {
    let metadata = fs::metadata(path)?;
    let modified = metadata.modified()?.duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
    Ok(format!("{:?}, {} bytes, of {modified:?}\n", fs::canonicalize(path)?, metadata.len()))
}

/// What tells models apart without reading their weights: where the files lie, their sizes and times.
pub(crate) fn identity_of_files(xml: &Path) -> io::Result<String> {
    let bin = match identity_of_file(&xml.with_extension("bin")) {
        // A network without weights has no second file.
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        other => other?,
    };
    Ok(identity_of_file(xml)? + &bin)
}

/// What a device is.
pub(crate) fn identity_of_device(device: &dyn Device) -> String {
    let mut identity = format!("{}\n", device.name());
    for key in ["FULL_DEVICE_NAME", "DEVICE_ARCHITECTURE"] {
        let value = device.property(key).unwrap_or_default();
        writeln!(identity, "{key}={value}").expect("a String takes all");
    }
    identity
}

/// The settings for a device. Of those that name a file, what is in it counts.
pub(crate) fn identity_of_settings(device: &str, config: &Config) -> String {
    let mut identity = String::new();
    for (key, value) in config {
        writeln!(identity, "{device}: {key}={value}").expect("a String takes all");
        if Path::new(value).is_file() {
            identity += &identity_of_file(Path::new(value)).unwrap_or_default();
        }
    }
    identity
}

/// What tells models apart by all that is in them.
pub(crate) fn identity_of_model(model: &Model) -> Result<String> {
    let failed = |error: ir::WriteError| Error::Cache(error.to_string());
    let (xml, weights) = ir::to_ir(model).map_err(failed)?;
    let mut hash = Xxh3::new();
    hash.update(xml.as_bytes());
    for (offset, bytes) in weights.chunks() {
        hash.update(&offset.to_le_bytes());
        hash.update(bytes);
        ir::release(bytes);
    }
    Ok(format!("content {:032x}\n", hash.digest128()))
}

impl Entry {
    /// The entry for what is made from all that these texts tell: model, devices, settings, custom layers.
    pub(crate) fn new(folder: &Path, identities: &[String]) -> Self {
        let origin = format!("Terroir {}\n{}", env!("CARGO_PKG_VERSION"), identities.concat());
        let path = folder.join(format!("{:032x}.blob", xxh3_128(origin.as_bytes())));
        Self { path, origin }
    }

    /// The compiled model that the entry holds; `None` where there is none that can be used.
    pub(crate) fn load(&self, core: &Core, device: &dyn Device, config: &Config) -> Option<CompiledModel> {
        let bytes = match ir::map_file(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!("{}: {error}; the model is compiled anew", self.path.display());
                return None;
            }
        };
        let imported = match self.content(&bytes) {
            Some(content) => export::read(content, device, config, &core.host()),
            None => {
                let message = "it is no entry for this model and device".to_owned();
                Err(DeviceError::Failed { device: device.name().to_owned(), message }.into())
            }
        };
        match imported {
            Ok(model) => Some(model),
            Err(error) => {
                tracing::warn!("{}: {error}; the model is compiled anew", self.path.display());
                None
            }
        }
    }

    /// Stores a compiled model, if its device can export it.
    pub(crate) fn store(&self, model: &CompiledModel) {
        match self.write(model) {
            Ok(()) => {}
            Err(Error::Device(error @ DeviceError::NotOffered { .. })) => {
                tracing::debug!("{}: {error}", self.path.display());
            }
            Err(error) => tracing::warn!("{}: {error}; the model is not cached", self.path.display()),
        }
    }

    fn write(&self, model: &CompiledModel) -> Result<()> {
        let io = |error: io::Error| Error::Cache(error.to_string());
        let folder = self.path.parent().expect("entries lie in a folder");
        fs::create_dir_all(folder).map_err(io)?;
        let file = tempfile::NamedTempFile::new_in(folder).map_err(io)?;
        let mut to = BufWriter::new(file);
        to.write_all(&self.head()).map_err(io)?;
        model.export(&mut to)?;
        let file = to.into_inner().map_err(|error| io(error.into_error()))?;
        file.persist(&self.path).map_err(|error| io(error.error))?;
        Ok(())
    }

    /// What stands before the device's bytes, which then start at a multiple of [`ALIGNMENT`].
    fn head(&self) -> Vec<u8> {
        let mut head = [MAGIC, self.origin.as_bytes(), b"\0"].concat();
        head.resize(head.len().next_multiple_of(ALIGNMENT), 0);
        head
    }

    fn content(&self, bytes: &Bytes) -> Option<Bytes> {
        let head = self.head();
        bytes.starts_with(&head).then(|| bytes.slice(head.len()..))
    }
}
