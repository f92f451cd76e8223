//! What users ask of the device: which devices, which nodes by hand, pictures. Everything else is for the devices.

use ir::{
    Model,
    device::{Config, Device, DeviceError, DeviceResult, Host},
};
use std::{env, path::PathBuf, sync::Arc};

pub(crate) const NAME: &str = "HETERO";
/// The devices, the preferred one first.
pub(crate) const PRIORITIES: &str = "DEVICE_PRIORITIES";
/// A file with devices by node name.
pub(crate) const AFFINITY_FILE: &str = "HETERO_AFFINITY_FILE";
/// Whether to write pictures. Also an environment variable.
pub(crate) const PICTURES: &str = "HETERO_DUMP_GRAPH_DOT";

/// The settings of the device.
pub(crate) struct Settings {
    /// The devices, the preferred one first.
    pub(crate) priorities: Vec<String>,
    /// A file with devices by node name.
    pub(crate) affinity_file: Option<PathBuf>,
    /// Write pictures of the graph.
    pub(crate) pictures: bool,
    /// What is for the devices.
    rest: Config,
}

fn fault(key: &str, value: &str, reason: impl Into<String>) -> DeviceError {
    DeviceError::Config { device: NAME.into(), key: key.into(), value: value.into(), reason: reason.into() }
}

fn is_yes(key: &str, value: &str) -> DeviceResult<bool> {
    match value.to_ascii_uppercase().as_str() {
        "YES" | "TRUE" | "1" => Ok(true),
        "NO" | "FALSE" | "0" | "" => Ok(false),
        _ => Err(fault(key, value, "expected YES or NO")),
    }
}

/// `FPGA.1,CPU` as names; each counts once.
pub(crate) fn names(list: &str) -> DeviceResult<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for name in list.split(',').map(str::trim) {
        if name.is_empty() {
            let reason = "expected names of devices with commas between them: FPGA,CPU";
            return Err(fault(PRIORITIES, list, reason));
        }
        if device_and_id(name).0 == NAME {
            return Err(fault(PRIORITIES, list, "HETERO cannot be one of its own devices"));
        }
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// `FPGA.1` in its parts.
fn device_and_id(name: &str) -> (&str, Option<&str>) {
    name.split_once('.').map_or((name, None), |(device, id)| (device, Some(id)))
}

impl Settings {
    pub(crate) fn parse(config: &Config) -> DeviceResult<Self> {
        let mut rest = config.clone();
        let priorities = rest.remove(PRIORITIES).filter(|list| !list.is_empty());
        let priorities = priorities.map(|list| names(&list)).transpose()?;
        let pictures = match rest.remove(PICTURES).or_else(|| env::var(PICTURES).ok()) {
            Some(value) => is_yes(PICTURES, &value)?,
            None => false,
        };
        Ok(Self {
            priorities: priorities.unwrap_or_default(),
            affinity_file: rest.remove(AFFINITY_FILE).filter(|path| !path.is_empty()).map(PathBuf::from),
            pictures,
            rest,
        })
    }

    /// The devices `names` with the settings that each of them knows. A setting that none knows is an error.
    pub(crate) fn members(&self, names: &[String], host: &Arc<dyn Host>) -> DeviceResult<Vec<Member>> {
        let mut members = Vec::new();
        let mut refusals: Vec<(String, DeviceError, usize)> = Vec::new();
        for name in names {
            let (device_name, id) = device_and_id(name);
            let device = host.device(device_name)?;
            let mut config = host.settings(device_name);
            config.extend(self.rest.clone());
            config.extend(id.map(|id| ("DEVICE_ID".to_owned(), id.to_owned())));
            // A model without nodes: what is refused is the setting.
            while let Err(error) = device.query_with(&Model::new(""), &config, host) {
                let DeviceError::Config { key, .. } = &error else { return Err(error) };
                if !self.rest.contains_key(key) || config.remove(key).is_none() {
                    return Err(error);
                }
                match refusals.iter_mut().find(|(refused, ..)| refused == key) {
                    Some((_, _, count)) => *count += 1,
                    None => refusals.push((key.clone(), error, 1)),
                }
            }
            members.push(Member { name: name.clone(), device, config });
        }
        match refusals.into_iter().find(|(_, _, count)| *count == members.len()) {
            Some((_, error, _)) => Err(error),
            None => Ok(members),
        }
    }
}

/// A device that takes a part of the model.
pub(crate) struct Member {
    /// As the user names it, `FPGA.1`.
    pub(crate) name: String,
    pub(crate) device: Arc<dyn Device>,
    /// The settings that it knows.
    pub(crate) config: Config,
}
