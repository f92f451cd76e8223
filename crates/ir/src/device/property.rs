//! The properties of devices and compiled models by their keys: one table, for settings and for questions.
//!
//! Keys are OpenVINO's of today. Those of 2018 mean the same and are turned into today's before a device sees them,
//! their values too: a device knows one spelling.

use super::{Config, DeviceError, DeviceResult};

/// What a property's value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ValueKind {
    /// `YES` or `NO`; also `TRUE`, `ON`, `1` and the like.
    Switch,
    /// A whole number, not negative.
    Number,
    /// A number, or one of these words.
    NumberOr(&'static [&'static str]),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Anything.
    Text,
}

/// A row of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PropertyInfo {
    /// Today's key.
    pub name: &'static str,
    /// Older keys of the same meaning.
    pub aliases: &'static [&'static str],
    /// What values it takes.
    pub kind: ValueKind,
    /// Older values, and what they are called today.
    pub old_values: &'static [(&'static str, &'static str)],
    /// False for what can only be asked.
    pub mutable: bool,
    /// What it is.
    pub doc: &'static str,
}

const fn setting(name: &'static str, kind: ValueKind, doc: &'static str) -> PropertyInfo {
    PropertyInfo { name, aliases: &[], kind, old_values: &[], mutable: true, doc }
}

const fn answer(name: &'static str, doc: &'static str) -> PropertyInfo {
    PropertyInfo { mutable: false, ..setting(name, ValueKind::Text, doc) }
}

impl PropertyInfo {
    const fn aliases(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    const fn old_values(self, old_values: &'static [(&'static str, &'static str)]) -> Self {
        Self { old_values, ..self }
    }

    /// A value as devices see it, or what the key takes.
    fn value(&self, given: &str) -> Result<String, String> {
        if let Some((_, today)) = self.old_values.iter().find(|(old, _)| *old == given) {
            return Ok((*today).to_owned());
        }
        let is_number = || given.parse::<usize>().is_ok();
        match self.kind {
            ValueKind::Switch => match given.to_ascii_uppercase().as_str() {
                "YES" | "TRUE" | "ON" | "1" => Ok("YES".to_owned()),
                "NO" | "FALSE" | "OFF" | "0" => Ok("NO".to_owned()),
                _ => Err("expected YES or NO".to_owned()),
            },
            ValueKind::Number if is_number() => Ok(given.to_owned()),
            ValueKind::Number => Err("expected a number".to_owned()),
            ValueKind::NumberOr(words) if is_number() || words.contains(&given) => Ok(given.to_owned()),
            ValueKind::NumberOr(words) => Err(format!("expected a number or {}", words.join(", "))),
            ValueKind::OneOf(words) if words.contains(&given) => Ok(given.to_owned()),
            ValueKind::OneOf(words) => Err(format!("expected {}", words.join(", "))),
            ValueKind::Text => Ok(given.to_owned()),
        }
    }
}

/// The properties that the engine and its devices know. A device may have more of its own.
pub const PROPERTIES: &[PropertyInfo] = {
    use ValueKind::{Number, NumberOr, OneOf, Switch, Text};
    &[
        setting(
            "PERFORMANCE_HINT",
            OneOf(&["LATENCY", "THROUGHPUT", "CUMULATIVE_THROUGHPUT", "UNDEFINED"]),
            "what to be fast at; sets streams and threads",
        )
        .old_values(&[("", "UNDEFINED")]),
        setting("PERFORMANCE_HINT_NUM_REQUESTS", Number, "how many requests the application will have"),
        setting(
            "EXECUTION_MODE_HINT",
            OneOf(&["PERFORMANCE", "ACCURACY"]),
            "whether speed may cost accuracy",
        ),
        setting("INFERENCE_PRECISION_HINT", Text, "the element type of arithmetic"),
        setting("NUM_STREAMS", NumberOr(&["AUTO", "NUMA"]), "inferences that run at a time")
            .aliases(&["CPU_THROUGHPUT_STREAMS", "GPU_THROUGHPUT_STREAMS"])
            .old_values(&[
                ("CPU_THROUGHPUT_AUTO", "AUTO"),
                ("GPU_THROUGHPUT_AUTO", "AUTO"),
                ("-1", "AUTO"),
                ("CPU_THROUGHPUT_NUMA", "NUMA"),
                ("-2", "NUMA"),
            ]),
        setting("INFERENCE_NUM_THREADS", Number, "threads of all streams together; 0 means all there are")
            .aliases(&["CPU_THREADS_NUM"]),
        setting("ENABLE_CPU_PINNING", Switch, "bind threads to processors")
            .aliases(&["CPU_BIND_THREAD", "AFFINITY"])
            .old_values(&[("NUMA", "YES"), ("HYBRID_AWARE", "YES"), ("CORE", "YES"), ("NONE", "NO")]),
        setting("ENABLE_HYPER_THREADING", Switch, "use both threads of a core"),
        setting(
            "SCHEDULING_CORE_TYPE",
            OneOf(&["ANY_CORE", "PCORE_ONLY", "ECORE_ONLY"]),
            "which cores of a processor that has two kinds",
        ),
        setting("PERF_COUNT", Switch, "measure every layer"),
        setting(
            "LOG_LEVEL",
            OneOf(&["LOG_NONE", "LOG_ERROR", "LOG_WARNING", "LOG_INFO", "LOG_DEBUG", "LOG_TRACE"]),
            "how much is told",
        )
        .old_values(&[
            ("NO", "LOG_NONE"),
            ("ERR", "LOG_ERROR"),
            ("WARNING", "LOG_WARNING"),
            ("INFO", "LOG_INFO"),
            ("DEBUG", "LOG_DEBUG"),
            ("TRACE", "LOG_TRACE"),
        ]),
        setting("CACHE_DIR", Text, "folder where compiled models are kept"),
        setting("CACHE_MODE", OneOf(&["OPTIMIZE_SIZE", "OPTIMIZE_SPEED"]), "what the cache saves"),
        setting("ENABLE_MMAP", Switch, "map weights rather than read them"),
        setting("WEIGHTS_PATH", Text, "file of the weights"),
        setting("MODEL_PRIORITY", OneOf(&["LOW", "MEDIUM", "HIGH"]), "of models on the same device"),
        setting("MODEL_DISTRIBUTION_POLICY", Text, "how a model is spread over devices"),
        setting("DEVICE_ID", Text, "which of several devices of a kind"),
        setting("DEVICE_PRIORITIES", Text, "devices that share a model, best first")
            .aliases(&["TARGET_FALLBACK", "MULTI_DEVICE_PRIORITIES"]),
        setting("HETERO_DUMP_GRAPH_DOT", Switch, "write pictures of which device takes what"),
        setting("EXCLUSIVE_ASYNC_REQUESTS", Switch, "requests of all models one after the other"),
        setting("DYN_BATCH_ENABLED", Switch, "inferences on less than the batch"),
        setting("DYN_BATCH_LIMIT", Number, "the largest batch"),
        setting("CONFIG_FILE", Text, "description of custom kernels"),
        setting("DUMP_KERNELS", Switch, "write compiled kernels"),
        setting("TUNING_MODE", Text, "whether kernels are tuned"),
        setting("TUNING_FILE", Text, "what tuning found"),
        setting("DLIA_ARCH_ROOT_DIR", Text, "folder of the FPGA's architectures"),
        setting("DLIA_PERF_ESTIMATION", Switch, "tell the FPGA's theoretical execution time"),
        setting("DLIA_IO_TRANSFORMATIONS_NATIVE", Switch, "the FPGA's own input and output transformations"),
        setting("FPGA_EXECUTOR", OneOf(&["SIMULATOR", "OPENCL"]), "what runs the FPGA's programs"),
        setting("FPGA_LAYER_COUNTERS", Switch, "tell the FPGA's modelled time for each layer"),
        setting("DLIA_ENABLE_STREAMING", Switch, "stream inputs to the FPGA"),
        setting(
            "DLIA_DUMP_SUPPORTED_LAYERS_INFORMATION",
            Switch,
            "tell which layers the FPGA takes, and why not others",
        ),
        answer("SUPPORTED_PROPERTIES", "the keys that there are"),
        answer("AVAILABLE_DEVICES", "devices of this kind by id"),
        answer("FULL_DEVICE_NAME", "what the device is"),
        answer("DEVICE_TYPE", "integrated or discrete"),
        answer("DEVICE_ARCHITECTURE", "the machine's architecture"),
        answer("OPTIMIZATION_CAPABILITIES", "what the device is good at"),
        answer("RANGE_FOR_STREAMS", "least and most streams"),
        answer("RANGE_FOR_ASYNC_INFER_REQUESTS", "least and most useful requests, and the step"),
        answer("OPTIMAL_NUMBER_OF_INFER_REQUESTS", "requests that keep the device busy"),
        answer("EXECUTION_DEVICES", "devices that run the model"),
        answer("NETWORK_NAME", "the model's name").aliases(&["MODEL_NAME"]),
    ]
};

/// A property of a device or of a compiled model, as it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Property {
    /// Its key.
    pub name: String,
    /// Whether it can be set.
    pub mutable: bool,
    /// Its value.
    pub value: String,
}

impl Property {
    /// One that can be set.
    pub fn setting(name: &str, value: impl Into<String>) -> Self {
        Self { name: name.to_owned(), mutable: true, value: value.into() }
    }

    /// One that can only be asked.
    pub fn answer(name: &str, value: impl Into<String>) -> Self {
        Self { name: name.to_owned(), mutable: false, value: value.into() }
    }

    /// The value of `key` among `properties`, which belong to `device`. `SUPPORTED_PROPERTIES` is the list itself.
    pub fn value_of(properties: &[Self], device: &str, key: &str) -> DeviceResult<String> {
        let key = PropertyInfo::find(key).map_or(key, |info| info.name);
        if let Some(found) = properties.iter().find(|property| property.name == key) {
            return Ok(found.value.clone());
        }
        if key == "SUPPORTED_PROPERTIES" {
            let names: Vec<&str> = properties.iter().map(|property| property.name.as_str()).collect();
            return Ok(names.join(" "));
        }
        let names = properties.iter().map(|property| property.name.as_str());
        let what = format!("the property `{key}`{}", suggestion(key, names));
        Err(DeviceError::NotOffered { device: device.to_owned(), what })
    }
}

impl PropertyInfo {
    /// The row of a key, today's or an older one, with or without `KEY_` before it.
    pub fn find(key: &str) -> Option<&'static Self> {
        let key = key.strip_prefix("KEY_").unwrap_or(key);
        PROPERTIES.iter().find(|info| info.name == key || info.aliases.contains(&key))
    }
}

/// Settings as devices see them: today's keys and values. `own` is what `device` says of itself: keys that are not in
/// the table are its matter. An unknown key is an error that names the nearest one.
pub fn todays_settings(config: &Config, device: &str, own: &[Property]) -> DeviceResult<Config> {
    let mut todays: Config = Config::new();
    for (key, value) in config {
        let fail = |reason: String| DeviceError::Config {
            device: device.to_owned(),
            key: key.clone(),
            value: value.clone(),
            reason,
        };
        let of_device = own.iter().find(|property| property.name == *key);
        let known = PropertyInfo::find(key);
        if of_device.map(|p| p.mutable).or(known.map(|info| info.mutable)) == Some(false) {
            return Err(fail("this can be asked, not set".to_owned()));
        }
        let (name, value) = match (known, of_device) {
            (Some(info), _) => (info.name.to_owned(), info.value(value).map_err(fail)?),
            (None, Some(_)) => (key.clone(), value.clone()),
            (None, None) => {
                let settable = PROPERTIES.iter().filter(|info| info.mutable);
                let names = settable.flat_map(|info| info.aliases.iter().copied().chain([info.name]));
                let names = names.chain(own.iter().filter(|p| p.mutable).map(|p| p.name.as_str()));
                return Err(fail(format!("there is no such setting{}", suggestion(key, names))));
            }
        };
        if let Some(other) = todays.get(&name).filter(|other| **other != value) {
            return Err(fail(format!("`{name}` is set to `{other}` by another of its names")));
        }
        todays.insert(name, value);
    }
    Ok(todays)
}

/// `; did you mean ...?`, if anything is near.
fn suggestion<'a>(key: &str, names: impl Iterator<Item = &'a str>) -> String {
    let upper = key.to_ascii_uppercase();
    let far = |name: &str| strsim::levenshtein(&upper, name);
    let nearest = names.map(|name| (far(name), name)).min();
    match nearest.filter(|(distance, _)| *distance <= key.len().div_ceil(3)) {
        Some((_, name)) => format!("; did you mean `{name}`?"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn todays(pairs: &[(&str, &str)]) -> DeviceResult<Vec<(String, String)>> {
        let config = pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let own = [Property::setting("MY_OWN", "1"), Property::answer("MY_SIZE", "2")];
        Ok(todays_settings(&config, "DEV", &own)?.into_iter().collect())
    }

    #[track_caller]
    fn becomes(given: (&str, &str), want: (&str, &str)) {
        assert_eq!(todays(&[given]).unwrap(), [(want.0.to_owned(), want.1.to_owned())]);
    }

    #[test]
    fn keys_and_values_of_2018_become_todays() {
        becomes(("KEY_PERF_COUNT", "true"), ("PERF_COUNT", "YES"));
        becomes(("CPU_THREADS_NUM", "3"), ("INFERENCE_NUM_THREADS", "3"));
        becomes(("KEY_CPU_THROUGHPUT_STREAMS", "CPU_THROUGHPUT_AUTO"), ("NUM_STREAMS", "AUTO"));
        becomes(("CPU_BIND_THREAD", "NUMA"), ("ENABLE_CPU_PINNING", "YES"));
        becomes(("TARGET_FALLBACK", "FPGA,CPU"), ("DEVICE_PRIORITIES", "FPGA,CPU"));
        becomes(("MY_OWN", "x"), ("MY_OWN", "x"));
        assert_eq!(todays(&[("CPU_THREADS_NUM", "3"), ("INFERENCE_NUM_THREADS", "3")]).unwrap().len(), 1);
    }

    #[test]
    fn what_no_device_has_is_an_error_that_names_the_nearest() {
        let error = |pair| todays(&[pair]).unwrap_err().to_string();
        assert_eq!(
            error(("NUM_STREAM", "2")),
            "DEV: `NUM_STREAM=2`: there is no such setting; did you mean `NUM_STREAMS`?"
        );
        assert_eq!(
            error(("perf_count", "YES")),
            "DEV: `perf_count=YES`: there is no such setting; did you mean `PERF_COUNT`?"
        );
        assert!(error(("MY_OWM", "2")).ends_with("did you mean `MY_OWN`?"));
        assert!(error(("XYZZY", "2")).ends_with("there is no such setting"));
        assert!(error(("NUM_STREAMS", "two")).ends_with("expected a number or AUTO, NUMA"));
        assert!(error(("PERF_COUNT", "maybe")).ends_with("expected YES or NO"));
        assert!(error(("FULL_DEVICE_NAME", "x")).ends_with("this can be asked, not set"));
        assert!(error(("MY_SIZE", "3")).ends_with("this can be asked, not set"));
        let twice = todays(&[("CPU_THREADS_NUM", "3"), ("INFERENCE_NUM_THREADS", "4")]);
        assert!(twice.unwrap_err().to_string().contains("by another of its names"));
    }

    #[test]
    fn no_key_stands_for_two_things() {
        let mut keys: Vec<&str> =
            PROPERTIES.iter().flat_map(|i| i.aliases.iter().copied().chain([i.name])).collect();
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count);
        for info in PROPERTIES {
            for (old, today) in info.old_values {
                assert_eq!(info.value(today).as_deref(), Ok(*today), "{}: {old}", info.name);
            }
        }
    }
}
