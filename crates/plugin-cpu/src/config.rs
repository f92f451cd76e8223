//! Settings of the device.

use ir::device::{Config, DeviceError, DeviceResult, Property, todays_settings};

/// What a model is compiled for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Settings {
    /// Inferences that run at the same time, each on threads of its own.
    pub(crate) streams: usize,
    /// Threads of all streams together.
    pub(crate) threads: usize,
    /// Measure every layer.
    pub(crate) profile: bool,
    /// Leave out what trades accuracy for speed.
    pub(crate) accuracy: bool,
}

/// The processors that this process may use: by affinity and by cgroup quota.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl Settings {
    /// Reads the settings (see [`ir::device::todays_settings`]); an unknown key or value is an error.
    pub(crate) fn parse(config: &Config) -> DeviceResult<Self> {
        let mut streams = None;
        let mut threads = None;
        let mut throughput = false;
        let (mut profile, mut accuracy) = (false, false);
        for (key, value) in &todays_settings(config, "CPU", &[])? {
            let fail = |reason: &str| DeviceError::Config {
                device: "CPU".into(),
                key: key.clone(),
                value: value.clone(),
                reason: reason.into(),
            };
            match key.as_str() {
                // What is no number is AUTO or NUMA.
                "NUM_STREAMS" => match value.parse() {
                    Ok(number) => streams = Some(number).filter(|n| *n > 0),
                    Err(_) => throughput = true,
                },
                "INFERENCE_NUM_THREADS" => threads = value.parse().ok().filter(|n| *n > 0),
                "PERFORMANCE_HINT" => throughput |= value.ends_with("THROUGHPUT"),
                "PERF_COUNT" => profile = value == "YES",
                "EXECUTION_MODE_HINT" => accuracy = value == "ACCURACY",
                "INFERENCE_PRECISION_HINT" => match value.as_str() {
                    "f32" | "dynamic" | "undefined" => {}
                    _ => return Err(fail("this device computes in f32")),
                },
                // Where threads run is the operating system's choice here.
                "ENABLE_CPU_PINNING" | "ENABLE_HYPER_THREADING" => {}
                "DEVICE_ID" if value == "0" || value.is_empty() => {}
                "PERFORMANCE_HINT_NUM_REQUESTS" | "LOG_LEVEL" | "EXCLUSIVE_ASYNC_REQUESTS" => {}
                _ => return Err(fail("the CPU has no such setting, or not this value")),
            }
        }
        let threads = threads.unwrap_or_else(processors).clamp(1, 1024);
        let streams = streams.unwrap_or(if throughput { threads } else { 1 });
        Ok(Self { streams: streams.clamp(1, threads.max(1)), threads, profile, accuracy })
    }

    /// The settings as properties.
    pub(crate) fn properties(&self) -> Vec<Property> {
        vec![
            Property::setting("NUM_STREAMS", self.streams.to_string()),
            Property::setting("INFERENCE_NUM_THREADS", self.threads.to_string()),
            Property::setting("PERF_COUNT", if self.profile { "YES" } else { "NO" }),
            Property::setting("EXECUTION_MODE_HINT", if self.accuracy { "ACCURACY" } else { "PERFORMANCE" }),
            Property::setting("INFERENCE_PRECISION_HINT", "f32"),
        ]
    }

    /// Threads of stream `index`, the remainder spread over the first ones.
    pub(crate) fn threads_of(&self, index: usize) -> usize {
        self.threads / self.streams + usize::from(index < self.threads % self.streams)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> DeviceResult<Settings> {
        Settings::parse(&pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect())
    }

    #[test]
    fn old_and_new_keys_mean_the_same() {
        let new =
            parse(&[("NUM_STREAMS", "2"), ("INFERENCE_NUM_THREADS", "3"), ("PERF_COUNT", "YES")]).unwrap();
        let old = parse(&[("CPU_THROUGHPUT_STREAMS", "2"), ("CPU_THREADS_NUM", "3"), ("PERF_COUNT", "YES")]);
        assert_eq!(new, old.unwrap());
        assert_eq!((new.threads_of(0), new.threads_of(1)), (2, 1));
        let hint = parse(&[("PERFORMANCE_HINT", "THROUGHPUT"), ("INFERENCE_NUM_THREADS", "4")]).unwrap();
        assert_eq!((hint.streams, hint.threads), (4, 4));
    }

    #[test]
    fn wrong_settings_are_named() {
        let err = parse(&[("NUM_STREAM", "2")]).unwrap_err().to_string();
        assert_eq!(err, "CPU: `NUM_STREAM=2`: there is no such setting; did you mean `NUM_STREAMS`?");
        assert!(
            parse(&[("DUMP_KERNELS", "YES")])
                .unwrap_err()
                .to_string()
                .contains("the CPU has no such setting")
        );
        assert!(parse(&[("INFERENCE_PRECISION_HINT", "bf16")]).is_err());
        assert!(parse(&[("NUM_STREAMS", "two")]).is_err());
    }
}
