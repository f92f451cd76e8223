//! Settings of the device.

use crate::board::BoardId;
use ir::device::{Config, DeviceError, DeviceResult, Property, todays_settings};
use std::path::Path;

pub(crate) const NAME: &str = "FPGA";

/// What a model is compiled for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Settings {
    /// Which board.
    pub(crate) board: BoardId,
    /// Measure.
    pub(crate) profile: bool,
    /// One more row: the time by the model of the whole inference.
    pub(crate) estimation: bool,
    /// A row for each layer, by the model. Ours, not Intel's.
    pub(crate) layers: bool,
    /// Run on an OpenCL device rather than in the simulator.
    pub(crate) opencl: bool,
    /// Tell which layers are taken, and why not others.
    pub(crate) dump_layers: bool,
}

/// Rows for layers, which Intel's plugin never had.
pub(crate) const LAYER_COUNTERS: &str = "FPGA_LAYER_COUNTERS";

/// What runs programs: `SIMULATOR`, or `OPENCL` for the first OpenCL device of the machine.
pub(crate) const EXECUTOR: &str = "FPGA_EXECUTOR";

impl Settings {
    pub(crate) fn parse(config: &Config) -> DeviceResult<Self> {
        let mut settings = Self::default();
        for (key, value) in &todays_settings(config, NAME, &settings.properties())? {
            let fail = |reason: String| DeviceError::Config {
                device: NAME.to_owned(),
                key: key.clone(),
                value: value.clone(),
                reason,
            };
            let is_on = value == "YES";
            match key.as_str() {
                "DEVICE_ID" if value.is_empty() => {}
                "DEVICE_ID" => settings.board = value.parse().map_err(|e| fail(format!("{e}")))?,
                "PERF_COUNT" => settings.profile = is_on,
                "DLIA_PERF_ESTIMATION" => settings.estimation = is_on,
                LAYER_COUNTERS => settings.layers = is_on,
                EXECUTOR => settings.opencl = value == "OPENCL",
                "DLIA_DUMP_SUPPORTED_LAYERS_INFORMATION" => settings.dump_layers = is_on,
                // Bitstreams bring their architecture: nothing is read there, but a wrong path is told.
                "DLIA_ARCH_ROOT_DIR" if value.is_empty() || Path::new(value).is_dir() => {}
                "DLIA_ARCH_ROOT_DIR" => return Err(fail("there is no such folder".to_owned())),
                // The board's own transformations are what it does anyway; there is nothing to switch.
                "DLIA_IO_TRANSFORMATIONS_NATIVE" => {}
                "DLIA_ENABLE_STREAMING" if !is_on => {}
                "DLIA_ENABLE_STREAMING" => {
                    return Err(fail("this overlay takes whole images; leave streaming off".to_owned()));
                }
                "PERFORMANCE_HINT" | "PERFORMANCE_HINT_NUM_REQUESTS" | "LOG_LEVEL" => {}
                _ => return Err(fail("the FPGA has no such setting, or not this value".to_owned())),
            }
        }
        Ok(settings)
    }

    pub(crate) fn properties(&self) -> Vec<Property> {
        let switch = |on: bool| if on { "YES" } else { "NO" };
        vec![
            Property::setting("DEVICE_ID", self.board.to_string()),
            Property::setting("PERF_COUNT", switch(self.profile)),
            Property::setting("DLIA_PERF_ESTIMATION", switch(self.estimation)),
            Property::setting("DLIA_DUMP_SUPPORTED_LAYERS_INFORMATION", switch(self.dump_layers)),
            Property::setting(EXECUTOR, if self.opencl { "OPENCL" } else { "SIMULATOR" }),
            Property::setting(LAYER_COUNTERS, switch(self.layers)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> DeviceResult<Settings> {
        Settings::parse(&pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect())
    }

    #[test]
    fn keys_of_intels_plugin_mean_something() {
        let settings =
            parse(&[("DLIA_PERF_ESTIMATION", "YES"), ("DEVICE_ID", "acl1"), ("KEY_PERF_COUNT", "YES")]);
        let expected =
            Settings { board: "1".parse().unwrap(), profile: true, estimation: true, ..Settings::default() };
        assert_eq!(settings.unwrap(), expected);
        parse(&[("DLIA_IO_TRANSFORMATIONS_NATIVE", "YES"), ("DLIA_ENABLE_STREAMING", "NO")]).unwrap();
    }

    #[test]
    fn what_it_has_not_is_told() {
        let error = |pair| parse(&[pair]).unwrap_err().to_string();
        assert!(error(("DLIA_ENABLE_STREAMING", "YES")).contains("takes whole images"));
        assert!(error(("DLIA_ARCH_ROOT_DIR", "/no/such/folder")).contains("no such folder"));
        parse(&[("DLIA_ARCH_ROOT_DIR", "/")]).unwrap();
        assert!(error(("DEVICE_ID", "card")).contains("names no board"));
        assert!(error(("NUM_STREAMS", "4")).contains("the FPGA has no such setting"));
        assert!(error(("FPGA_LAYER_COUNTER", "YES")).contains("did you mean `FPGA_LAYER_COUNTERS`?"));
        assert!(error((EXECUTOR, "CARD")).contains("expected SIMULATOR, OPENCL"));
        assert!(error((LAYER_COUNTERS, "2")).contains("expected YES or NO"));
    }
}
