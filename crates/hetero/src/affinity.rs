//! Where a node shall run, as the user wants it: in the node's run-time information, or in a file.

use ir::{
    Node, RtAttribute,
    device::{DeviceError, DeviceResult},
};
use std::{collections::BTreeMap, fs, path::Path};

const ATTRIBUTE: &str = "affinity";
const VALUE: &str = "value";

/// The device on which the node shall run, if somebody has said so.
pub fn affinity(node: &Node) -> Option<&str> {
    let parts = &node.rt_info.get(ATTRIBUTE)?.parts;
    parts.get(VALUE).map(String::as_str)
}

/// Says on which device the node shall run, under HETERO.
pub fn set_affinity(node: &mut Node, device: &str) {
    let parts = BTreeMap::from([(VALUE.to_owned(), device.to_owned())]);
    node.rt_info.insert(ATTRIBUTE.to_owned(), RtAttribute { version: "0".to_owned(), parts });
}

/// The devices by node name of a file `{"conv1": "CPU"}`.
pub(crate) fn read(path: &Path) -> DeviceResult<BTreeMap<String, String>> {
    let fail = |message: String| DeviceError::Failed {
        device: "HETERO".to_owned(),
        message: format!("{}: {message}", path.display()),
    };
    let text = fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
    serde_json::from_str(&text)
        .map_err(|error| fail(format!("expected devices by node name, {{\"conv1\": \"CPU\"}}: {error}")))
}
