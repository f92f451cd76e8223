//! The engine: devices by name, and models loaded on them.

use crate::{
    CompiledModel, Error,
    cache::{self, CACHE_DIR, Entry},
    error::Result,
    export,
    plugins::read_plugins,
    state::stateless,
};
use ir::{
    Bytes, Model,
    device::{
        Config, Device, DeviceError, DeviceResult, Host, Property, PropertyInfo, Support, todays_settings,
    },
    extension::{Extension, Extensions},
};
use std::{
    any::Any,
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The devices that share a model: what `HETERO:FPGA,CPU` sets.
const DEVICE_PRIORITIES: &str = "DEVICE_PRIORITIES";

/// The engine. Clones are handles on the same one; it may be used from any thread.
#[derive(Clone, Default)]
pub struct Core {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    devices: Mutex<BTreeMap<String, Arc<Registered>>>,
    /// Settings for every model that is compiled for a device, by the device's name.
    config: Mutex<HashMap<String, Config>>,
    shared: Mutex<HashMap<String, Arc<dyn Any + Send + Sync>>>,
    layers: Mutex<Layers>,
}

/// Custom layers, and by type and op set what tells the file of each from what it was before.
#[derive(Default)]
struct Layers {
    extensions: Extensions,
    origins: BTreeMap<(String, String), String>,
}

/// A device, or the library that it will be loaded from.
enum Registered {
    Ready(Arc<dyn Device>),
    /// Locked while it is loaded, so that this happens once.
    Library(PathBuf, Mutex<Option<Loaded>>),
}

/// A device of a library.
struct Loaded {
    device: Arc<dyn Device>,
    /// What tells the library from what it was before.
    origin: String,
}

impl Registered {
    /// The device, loaded if it is not yet.
    fn device(&self, name: &str) -> Result<Arc<dyn Device>> {
        match self {
            Self::Ready(device) => Ok(device.clone()),
            Self::Library(path, loaded) => {
                let mut loaded = lock(loaded);
                if let Some(loaded) = &*loaded {
                    return Ok(loaded.device.clone());
                }
                let origin = cache::identity_of_file(path).unwrap_or_default();
                let device = plugin_abi::load_device(path, name)
                    .map_err(|source| Error::Plugin { device: name.to_owned(), source })?;
                *loaded = Some(Loaded { device: device.clone(), origin });
                Ok(device)
            }
        }
    }

    /// The library that the device was loaded from.
    fn origin(&self) -> String {
        match self {
            Self::Ready(_) => String::new(),
            Self::Library(_, loaded) => {
                lock(loaded).as_ref().map(|own| own.origin.clone()).unwrap_or_default()
            }
        }
    }
}

/// A lock that a panicking thread left behind still guards whole values: every use below is one map operation.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A device as users write it: `CPU`, `FPGA.1`, `HETERO:FPGA,CPU`.
struct DeviceSpec<'a> {
    name: &'a str,
    config: Config,
}

impl<'a> DeviceSpec<'a> {
    fn parse(text: &'a str) -> Self {
        let (name, priorities) = match text.split_once(':') {
            Some((name, list)) => (name, Some(list)),
            None => (text, None),
        };
        let (name, id) = match name.split_once('.') {
            Some((name, id)) => (name, Some(id)),
            None => (name, None),
        };
        let mut config = Config::new();
        config.extend(priorities.map(|list| (DEVICE_PRIORITIES.to_owned(), list.to_owned())));
        config.extend(id.map(|id| ("DEVICE_ID".to_owned(), id.to_owned())));
        Self { name, config }
    }
}

impl Core {
    /// An engine without devices; see [`Core::register`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a device under its own name; one of the same name is replaced.
    pub fn register(&self, device: Arc<dyn Device>) {
        lock(&self.inner.devices).insert(device.name().to_owned(), Arc::new(Registered::Ready(device)));
    }

    /// Adds the devices that a `plugins.json`, or the one of a folder, names; those of the same names are replaced.
    /// Their libraries are loaded when they are first used. See [`crate::find_plugins`].
    pub fn add_plugins(&self, list: impl AsRef<Path>) -> Result<()> {
        let found = read_plugins(list.as_ref())?;
        let entry = |path| Arc::new(Registered::Library(path, Mutex::new(None)));
        lock(&self.inner.devices).extend(found.into_iter().map(|(name, path)| (name, entry(path))));
        Ok(())
    }

    /// The names of the devices.
    pub fn available_devices(&self) -> Vec<String> {
        lock(&self.inner.devices).keys().cloned().collect()
    }

    /// A device by name.
    pub fn device(&self, name: &str) -> Result<Arc<dyn Device>> {
        self.inner.find(name)
    }

    /// Gives custom layers of a type their meaning, for all models that are read or loaded from now on.
    pub fn add_extension(&self, extension: Arc<dyn Extension>) {
        // What is linked in changes with the program.
        let program = std::env::current_exe().and_then(|program| cache::identity_of_file(&program));
        self.inner.add_layer(extension, program.unwrap_or_default());
    }

    /// Gives custom layers the meaning that a shared library has for them; see [`crate::load_extensions`].
    pub fn add_extensions(&self, library: impl AsRef<Path>) -> Result<()> {
        let loaded = plugin_abi::load_extensions(library.as_ref())?;
        let origin = cache::identity_of_file(library.as_ref()).unwrap_or_default();
        loaded.into_iter().for_each(|extension| self.inner.add_layer(extension, origin.clone()));
        Ok(())
    }

    /// Reads an IR; the `.bin` is looked for beside the `.xml`.
    pub fn read_model(&self, xml: impl AsRef<Path>) -> Result<Model> {
        self.with_extensions(ir::read_ir(xml.as_ref())?)
    }

    /// Reads an IR from memory: the text of the `.xml`, and the bytes of the `.bin`, which are not copied.
    pub fn read_model_from(&self, xml: &str, weights: Bytes) -> Result<Model> {
        self.with_extensions(ir::read_ir_from(xml, weights)?)
    }

    fn with_extensions(&self, mut model: Model) -> Result<Model> {
        self.inner.extensions().attach(&mut model)?;
        Ok(model)
    }

    /// Sets what every later [`Core::compile_model`] for `device` starts from. The keys are those of
    /// [`ir::device::PROPERTIES`], and the device's own.
    pub fn set_property(&self, device: &str, key: &str, value: &str) -> Result<()> {
        let name = DeviceSpec::parse(device).name;
        let given = Config::from([(key.to_owned(), value.to_owned())]);
        let todays = todays_settings(&given, name, &self.device(name)?.properties())?;
        lock(&self.inner.config).entry(name.to_owned()).or_default().extend(todays);
        Ok(())
    }

    /// A property of a device, such as `FULL_DEVICE_NAME`, as [`Core::set_property`] left it.
    pub fn property(&self, device: &str, key: &str) -> Result<String> {
        let name = DeviceSpec::parse(device).name;
        let found = self.device(name)?;
        let today = PropertyInfo::find(key).map_or(key, |info| info.name);
        let set = lock(&self.inner.config).get(name).and_then(|config| config.get(today)).cloned();
        Ok(set.map_or_else(|| found.property(key), Ok)?)
    }

    /// All properties of a device, as [`Core::set_property`] left them.
    pub fn properties(&self, device: &str) -> Result<Vec<Property>> {
        let name = DeviceSpec::parse(device).name;
        let mut properties = self.device(name)?.properties();
        let config = lock(&self.inner.config);
        for property in &mut properties {
            let set = config.get(name).and_then(|config| config.get(&property.name));
            property.value = set.unwrap_or(&property.value).clone();
        }
        Ok(properties)
    }

    /// Loads a model on a device: `CPU`, `FPGA.1`, `HETERO:FPGA,CPU`. With `CACHE_DIR` among the settings, its compiled
    /// form is kept in that folder, or taken from it.
    pub fn compile_model(&self, model: &Model, device: &str, config: &Config) -> Result<CompiledModel> {
        let (found, config) = self.resolve(device, config)?;
        let (folder, config) = cache_dir(config);
        // An entry could be another's, and who imports it would lack the layers that came with the model.
        if let Some(folder) = folder.filter(|_| self.inner.knows_layers_of(model)) {
            let identity = cache::identity_of_model(model)?;
            return self.cached(&folder, identity, &found, &config, || Ok(model.clone()));
        }
        self.compile(model, &found, &config)
    }

    /// Reads an IR and loads it on a device. With `CACHE_DIR` among the settings, a model whose files have not changed
    /// since it was loaded last isn't even read.
    pub fn compile_file(
        &self,
        xml: impl AsRef<Path>,
        device: &str,
        config: &Config,
    ) -> Result<CompiledModel> {
        let xml = xml.as_ref();
        let (found, config) = self.resolve(device, config)?;
        let (folder, config) = cache_dir(config);
        // What is wrong with the files, reading them tells.
        let identity = folder.and_then(|folder| Some((folder, cache::identity_of_files(xml).ok()?)));
        match identity {
            Some((folder, identity)) => {
                self.cached(&folder, identity, &found, &config, || self.read_model(xml))
            }
            None => self.compile(&self.read_model(xml)?, &found, &config),
        }
    }

    fn cached(
        &self,
        folder: &Path,
        identity: String,
        device: &Arc<dyn Device>,
        config: &Config,
        read: impl FnOnce() -> Result<Model>,
    ) -> Result<CompiledModel> {
        let mut identities = self.inner.identities(&**device, config);
        identities.insert(0, identity);
        let entry = Entry::new(folder, &identities);
        if let Some(model) = entry.load(self, &**device, config) {
            return Ok(model);
        }
        let compiled = self.compile(&read()?, device, config)?;
        entry.store(&compiled);
        Ok(compiled)
    }

    fn compile(&self, model: &Model, found: &Arc<dyn Device>, config: &Config) -> Result<CompiledModel> {
        let model = self.extended(model)?;
        Ok(match stateless(&model)? {
            Some((plain, variables)) => {
                CompiledModel::stateful(found.compile(&plain, config, &self.host())?, variables)
            }
            None => CompiledModel::new(found.compile(&model, config, &self.host())?),
        })
    }

    /// Loads a model that [`CompiledModel::export`] wrote: the bytes of a file, best as [`ir::map_file`] gives them,
    /// since devices may use them where they lie.
    pub fn import_model(&self, from: Bytes, device: &str, config: &Config) -> Result<CompiledModel> {
        let (found, config) = self.resolve(device, config)?;
        let (_, config) = cache_dir(config);
        export::read(from, &*found, &config, &self.host())
    }

    /// Which nodes of a model a device would take.
    pub fn query_model(&self, model: &Model, device: &str, config: &Config) -> Result<Support> {
        let (found, config) = self.resolve(device, config)?;
        let (_, config) = cache_dir(config);
        let model = self.extended(model)?;
        let plain = stateless(&model)?.map(|(plain, _)| plain);
        Ok(found.query_with(plain.as_ref().unwrap_or(&model), &config, &self.host())?)
    }

    /// A model with the engine's extensions, wherever it came from.
    fn extended<'a>(&self, model: &'a Model) -> Result<Cow<'a, Model>> {
        if !self.inner.extensions().concern(model) {
            return Ok(Cow::Borrowed(model));
        }
        Ok(Cow::Owned(self.with_extensions(model.clone())?))
    }

    /// The device of a spec, and its settings: the engine's, overlaid with the spec's and the caller's.
    fn resolve(&self, device: &str, config: &Config) -> Result<(Arc<dyn Device>, Config)> {
        let spec = DeviceSpec::parse(device);
        let found = self.device(spec.name)?;
        let mut merged = self.inner.all_settings(spec.name);
        merged.extend(spec.config);
        merged.extend(todays_settings(config, spec.name, &found.properties())?);
        Ok((found, merged))
    }

    pub(crate) fn host(&self) -> Arc<dyn Host> {
        self.inner.clone()
    }
}

/// The folder of compiled models, which is the engine's business, and the settings for the device.
fn cache_dir(mut config: Config) -> (Option<PathBuf>, Config) {
    let folder = config.remove(CACHE_DIR).filter(|folder| !folder.is_empty());
    (folder.map(PathBuf::from), config)
}

impl Inner {
    /// What users have set for a device, the engine's own keys among it.
    fn all_settings(&self, device: &str) -> Config {
        lock(&self.config).get(device).cloned().unwrap_or_default()
    }

    fn add_layer(&self, extension: Arc<dyn Extension>, origin: String) {
        let mut layers = lock(&self.layers);
        layers.origins.insert((extension.type_name().to_owned(), extension.version().to_owned()), origin);
        layers.extensions.add(extension);
    }

    /// True when all custom layers that have a meaning have it from this engine.
    fn knows_layers_of(&self, model: &Model) -> bool {
        let own = self.extensions();
        Extensions::of_model(model).iter().all(|layer| own.iter().any(|own| Arc::ptr_eq(own, layer)))
    }

    /// What a compiled form hangs on beside the model: the device, the devices that it gives work to, settings, layers.
    fn identities(&self, device: &dyn Device, config: &Config) -> Vec<String> {
        let mut identities = vec![cache::identity_of_settings(device.name(), config)];
        let others = config.get(DEVICE_PRIORITIES).map(String::as_str).unwrap_or_default().split(',');
        for name in
            [device.name()].into_iter().chain(others.map(|other| DeviceSpec::parse(other.trim()).name))
        {
            // What is wrong with a device, compiling tells.
            if let Ok(device) = self.find(name) {
                identities.push(cache::identity_of_device(&*device));
                identities.extend(lock(&self.devices).get(name).map(|entry| entry.origin()));
            }
        }
        // Which devices it asks may stand in the model.
        if device.properties().iter().any(|property| property.name == DEVICE_PRIORITIES) {
            let set: BTreeMap<String, Config> = lock(&self.config).clone().into_iter().collect();
            let settings =
                |(name, config): (String, Config)| cache::identity_of_settings(&name, &cache_dir(config).1);
            identities.extend(set.into_iter().map(settings));
        }
        let layers = lock(&self.layers);
        let layer =
            |((name, op_set), origin): (&(String, String), &String)| format!("{name} of {op_set}: {origin}");
        identities.extend(layers.origins.iter().map(layer));
        identities
    }

    fn find(&self, name: &str) -> Result<Arc<dyn Device>> {
        let entry = {
            let devices = lock(&self.devices);
            devices.get(name).cloned().ok_or_else(|| DeviceError::NoSuchDevice {
                name: name.to_owned(),
                available: devices.keys().cloned().collect(),
            })?
        };
        entry.device(name)
    }
}

impl Host for Inner {
    fn extensions(&self) -> Extensions {
        lock(&self.layers).extensions.clone()
    }

    fn device(&self, name: &str) -> DeviceResult<Arc<dyn Device>> {
        self.find(name).map_err(|error| match error {
            Error::Device(error) => error,
            other => DeviceError::Failed { device: name.to_owned(), message: other.to_string() },
        })
    }

    fn settings(&self, device: &str) -> Config {
        cache_dir(self.all_settings(device)).1
    }

    fn shared(
        &self,
        key: &str,
        make: &mut dyn FnMut() -> Arc<dyn Any + Send + Sync>,
    ) -> Arc<dyn Any + Send + Sync> {
        lock(&self.shared).entry(key.to_owned()).or_insert_with(make).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_specs_carry_ids_and_priorities() {
        let spec = DeviceSpec::parse("HETERO:FPGA.1,CPU");
        assert_eq!(spec.name, "HETERO");
        assert_eq!(spec.config["DEVICE_PRIORITIES"], "FPGA.1,CPU");
        let spec = DeviceSpec::parse("FPGA.1");
        assert_eq!((spec.name, spec.config["DEVICE_ID"].as_str()), ("FPGA", "1"));
    }

    #[test]
    fn an_unknown_device_is_named_with_those_that_exist() {
        let err = Core::new().compile_model(&Model::new("m"), "GPU", &Config::new()).err().unwrap();
        assert_eq!(err.to_string(), "there is no device `GPU`; available: ");
    }
}
