//! Lists of plugins that the tests write.

use std::path::Path;

/// A folder's `plugins.json`.
pub(crate) fn write(folder: &Path, devices: &[(&str, &Path)]) {
    let entry = |(name, path): &(&str, &Path)| format!("\"{name}\": \"{}\"", path.display());
    let entries: Vec<String> = devices.iter().map(entry).collect();
    std::fs::write(folder.join("plugins.json"), format!("{{ {} }}", entries.join(", "))).unwrap();
}
