//! Where plugins are listed: `plugins.json`.

use crate::{Error, error::Result};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The name of the list: `{ "FPGA": "libterroir_fpga_plugin.so" }`, a device's name and its library, from the list's
/// folder on.
pub const PLUGINS_FILE: &str = "plugins.json";

/// Where the environment says that plugins are: a folder with a [`PLUGINS_FILE`], or such a file.
pub const PLUGINS_VARIABLE: &str = "TERROIR_PLUGINS";

/// The list that counts: the caller's `folder` if one is given, else that of [`PLUGINS_VARIABLE`], else the one
/// beside the running program, if there is one. The first two must be there.
pub fn find_plugins(folder: Option<&Path>) -> Option<PathBuf> {
    let told = folder
        .map(Path::to_owned)
        .or_else(|| std::env::var_os(PLUGINS_VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from));
    told.or_else(|| {
        let program = std::env::current_exe().ok()?;
        Some(program.parent()?.join(PLUGINS_FILE)).filter(|list| list.is_file())
    })
}

/// The devices of a list and their libraries; of a folder, those of the list in it. No library is looked at.
pub(crate) fn read_plugins(path: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let list = if path.is_dir() { path.join(PLUGINS_FILE) } else { path.to_owned() };
    let bad = |reason: String| Error::PluginList { path: list.clone(), reason };
    let text = fs::read(&list).map_err(|error| bad(error.to_string()))?;
    let devices: BTreeMap<String, PathBuf> = serde_json::from_slice(&text)
        .map_err(|error| bad(format!("{error}; expected {{\"NAME\": \"LIBRARY\"}}")))?;
    let folder = list.parent().unwrap_or(Path::new(""));
    let placed = |(name, library): (String, PathBuf)| {
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.is_empty();
        match plain {
            true => Ok((name, folder.join(library))),
            false => Err(bad(format!("`{name}` is no name of a device: letters, digits and `_` are"))),
        }
    };
    devices.into_iter().map(placed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_libraries_from_its_folder_on() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join(PLUGINS_FILE);
        fs::write(&list, r#"{ "FPGA": "libfpga.so", "CPU": "/opt/libcpu.so" }"#).unwrap();
        let found = read_plugins(folder.path()).unwrap();
        assert_eq!(found["FPGA"], folder.path().join("libfpga.so"));
        assert_eq!(found["CPU"], Path::new("/opt/libcpu.so"));
        assert_eq!(read_plugins(&list).unwrap(), found);
        assert_eq!(find_plugins(Some(folder.path())).unwrap(), folder.path());
    }

    #[test]
    fn a_wrong_list_is_told_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let missing = read_plugins(folder.path()).unwrap_err().to_string();
        assert!(missing.contains("plugins.json") && missing.contains("No such file"), "{missing}");
        let list = folder.path().join(PLUGINS_FILE);
        for (text, why) in [
            ("{", "EOF"),
            ("{ \"CPU\": 3 }", "line 1 column 10"),
            ("[]", "expected {\"NAME\": \"LIBRARY\"}"),
            ("{ \"C:P\": \"x\" }", "`C:P` is no name"),
        ] {
            fs::write(&list, text).unwrap();
            let error = read_plugins(&list).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
