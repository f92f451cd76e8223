//! The device: a model is placed, divided, and its parts compiled.

use crate::{
    compiled::Compiled,
    export, picture,
    placement::Places,
    settings::{AFFINITY_FILE, NAME, PICTURES, PRIORITIES, Settings},
    subgraph,
};
use ir::{
    Bytes, Model,
    device::{CompiledModel, Config, Device, DeviceError, DeviceResult, Host, Property, Support},
};
use std::{path::Path, sync::Arc};

/// Several devices as one. Each node goes to the first device of the list that takes it, or where its affinity says.
#[derive(Default)]
pub struct HeteroDevice(());

impl HeteroDevice {
    /// The device; it reaches the others through its host.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Device for HeteroDevice {
    fn name(&self) -> &str {
        NAME
    }

    fn description(&self) -> String {
        "Terroir HETERO".to_owned()
    }

    fn query(&self, _: &Model, _: &Config) -> DeviceResult<Support> {
        let what = "a query without a host: it asks other devices".to_owned();
        Err(DeviceError::NotOffered { device: NAME.to_owned(), what })
    }

    fn query_with(&self, model: &Model, config: &Config, host: &Arc<dyn Host>) -> DeviceResult<Support> {
        Ok(Places::new(model, &Settings::parse(config)?, host)?.support(model))
    }

    fn compile(
        &self,
        model: &Model,
        config: &Config,
        host: &Arc<dyn Host>,
    ) -> DeviceResult<Arc<dyn CompiledModel>> {
        let settings = Settings::parse(config)?;
        let places = Places::new(model, &settings, host)?;
        if settings.pictures {
            picture::affinity(model, &places, Path::new("."))?;
        }
        places.complete(model)?;
        let division = subgraph::divide(model, &places)?;
        if settings.pictures {
            picture::subgraphs(model, &places, &division, Path::new("."))?;
        }
        Ok(Arc::new(Compiled::new(model, &places, division, host)?))
    }

    /// The devices are those that it was compiled for.
    fn import(
        &self,
        from: Bytes,
        config: &Config,
        host: &Arc<dyn Host>,
    ) -> DeviceResult<Arc<dyn CompiledModel>> {
        Ok(Arc::new(export::read(&from, config, host)?))
    }

    fn properties(&self) -> Vec<Property> {
        vec![
            Property::answer("FULL_DEVICE_NAME", self.description()),
            Property::setting(PRIORITIES, ""),
            Property::setting(AFFINITY_FILE, ""),
            Property::setting(PICTURES, "NO"),
        ]
    }
}
