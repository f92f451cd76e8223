//! Settings of the devices: from flags, from a file, to a file.

use super::args::{Args, Hint, Pin};
use anyhow::{Context, Result, ensure};
use runtime::{Config, Core};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, fs, path::Path};

/// Settings by device.
#[derive(PartialEq, Debug)]
pub(super) struct Settings {
    /// The device that takes the model: of `HETERO:FPGA,CPU` the first name.
    target: String,
    by_device: BTreeMap<String, Config>,
}

/// The device of `-d` that takes the model, and those that compute: of `HETERO:FPGA,CPU` the two in the list.
fn devices(spec: &str) -> (&str, Vec<&str>) {
    match spec.split_once(':') {
        Some((target, list)) => (target, list.split(',').map(str::trim).collect()),
        None => (spec, vec![spec]),
    }
}

impl Settings {
    /// What the file of `-load_config` says, and over it what the flags say.
    pub(super) fn new(args: &Args, hint: Hint) -> Result<Self> {
        let (target, computing) = devices(&args.engine.d);
        let by_device = args.load_config.as_deref().map_or_else(|| Ok(BTreeMap::new()), load)?;
        let mut settings = Self { target: target.to_owned(), by_device };
        let hint = match hint {
            Hint::Throughput => Some("THROUGHPUT"),
            Hint::CumulativeThroughput => Some("CUMULATIVE_THROUGHPUT"),
            Hint::Latency => Some("LATENCY"),
            Hint::None => None,
        };
        if let Some(hint) = hint {
            settings.set(target, "PERFORMANCE_HINT", hint);
            if let Some(requests) = args.nireq {
                settings.set(target, "PERFORMANCE_HINT_NUM_REQUESTS", requests);
            }
        }
        if args.counts() {
            settings.set(target, "PERF_COUNT", "YES");
        }
        if let Some(folder) = &args.cache_dir {
            settings.set(target, "CACHE_DIR", folder.display());
        }
        // Threads are the CPU's, wherever it stands in the list.
        let cpu = computing.iter().find(|name| **name == "CPU").copied().unwrap_or(target);
        if let Some(threads) = args.nthreads {
            settings.set(cpu, "INFERENCE_NUM_THREADS", threads);
        }
        if let Some(pin) = args.pin {
            settings.set(cpu, "ENABLE_CPU_PINNING", if pin == Pin::Yes { "YES" } else { "NO" });
        }
        for (flag, text, key) in [
            ("nstreams", &args.nstreams, "NUM_STREAMS"),
            ("infer_precision", &args.infer_precision, "INFERENCE_PRECISION_HINT"),
        ] {
            let Some(text) = text else { continue };
            for (device, value) in values_by_device(flag, text, &computing)? {
                settings.set(&device, key, value);
            }
        }
        Ok(settings)
    }

    fn set(&mut self, device: &str, key: &str, value: impl ToString) {
        self.by_device.entry(device.to_owned()).or_default().insert(key.to_owned(), value.to_string());
    }

    /// Gives the engine the settings of the devices behind the target; the target's own go with the model.
    pub(super) fn apply(&self, core: &Core) -> Result<Config> {
        for (device, config) in self.by_device.iter().filter(|(device, _)| **device != self.target) {
            for (key, value) in config {
                core.set_property(device, key, value)?;
            }
        }
        Ok(self.by_device.get(&self.target).cloned().unwrap_or_default())
    }

    /// Writes what `-load_config` reads.
    pub(super) fn dump(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(&self.by_device)?;
        fs::write(path, text + "\n").with_context(|| format!("-dump_config {}", path.display()))
    }
}

/// `2` for all computing devices, or `CPU:2,FPGA:1`.
fn values_by_device(flag: &str, text: &str, computing: &[&str]) -> Result<Vec<(String, String)>> {
    if !text.contains(':') {
        return Ok(computing.iter().map(|device| ((*device).to_owned(), text.to_owned())).collect());
    }
    let one = |part: &str| {
        let (device, value) = part
            .trim()
            .split_once(':')
            .with_context(|| format!("-{flag} {text}: expected VALUE, or DEVICE:VALUE,DEVICE:VALUE"))?;
        ensure!(
            computing.contains(&device),
            "-{flag} {text}: {device} does not compute; of -d that is {}",
            computing.join(", ")
        );
        Ok((device.to_owned(), value.to_owned()))
    };
    text.split(',').map(one).collect()
}

fn load(path: &Path) -> Result<BTreeMap<String, Config>> {
    let name = || format!("-load_config {}", path.display());
    let text = fs::read_to_string(path).with_context(name)?;
    parse(&text).with_context(name)
}

/// Reads settings by device; values may be texts, numbers, or truth values.
fn parse(text: &str) -> Result<BTreeMap<String, Config>> {
    let devices: Map<String, Value> = serde_json::from_str(text)?;
    let mut all = BTreeMap::new();
    for (device, settings) in devices {
        let settings = settings.as_object().with_context(|| {
            format!("expected settings by device, {{\"CPU\": {{\"NUM_STREAMS\": \"2\"}}}}, found {settings} for {device}")
        })?;
        let mut config = Config::new();
        for (key, value) in settings {
            let value = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Bool(true) => "YES".to_owned(),
                Value::Bool(false) => "NO".to_owned(),
                _ => {
                    anyhow::bail!("{device}, {key}: expected a text, a number, true or false, found {value}")
                }
            };
            config.insert(key.clone(), value);
        }
        all.insert(device, config);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn settings(flags: &str) -> Result<Settings> {
        let flags = format!("benchmark_app -m a.xml {flags}");
        let args = crate::argv::with_long_flags(flags.split(' ').map(Into::into));
        Settings::new(&Args::try_parse_from(args)?, Hint::Latency)
    }

    #[test]
    fn devices_behind_another_have_settings_of_their_own() {
        let found = settings("-d HETERO:FPGA.1,CPU -nthreads 3 -nstreams CPU:2 -nireq 4").unwrap();
        let expected = parse(
            r#"{"HETERO": {"PERFORMANCE_HINT": "LATENCY", "PERFORMANCE_HINT_NUM_REQUESTS": 4},
                "CPU": {"INFERENCE_NUM_THREADS": 3, "NUM_STREAMS": "2"}}"#,
        );
        assert_eq!(found.by_device, expected.unwrap());
        let all = settings("-d HETERO:FPGA.1,CPU -infer_precision f32").unwrap().by_device;
        assert!(all["FPGA.1"].contains_key("INFERENCE_PRECISION_HINT"), "{all:?}");
        assert!(all["CPU"].contains_key("INFERENCE_PRECISION_HINT"), "{all:?}");
        assert!(settings("-d HETERO:FPGA,CPU -nstreams GPU:1").is_err());
        assert!(settings("-d CPU -nstreams CPU:1,2").is_err());
    }

    #[test]
    fn flags_come_before_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        fs::write(&path, r#"{"CPU": {"NUM_STREAMS": 2, "PERF_COUNT": true}}"#).unwrap();
        let found = settings(&format!("-load_config {} -nstreams 1", path.display())).unwrap();
        assert_eq!(found.by_device["CPU"]["NUM_STREAMS"], "1");
        assert_eq!(found.by_device["CPU"]["PERF_COUNT"], "YES");
        found.dump(&path).unwrap();
        assert_eq!(parse(&fs::read_to_string(&path).unwrap()).unwrap(), found.by_device);
        for wrong in ["", "[]", r#"{"CPU": 1}"#, r#"{"CPU": {"A": []}}"#] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
