//! Class names from the `.labels` file beside a model.

use std::{fs, io, path::Path};

/// The lines of `<model>.labels`; none when there is no such file.
pub fn beside(model: &Path) -> io::Result<Option<Vec<String>>> {
    match fs::read_to_string(model.with_extension("labels")) {
        Ok(text) => Ok(Some(text.lines().map(|line| line.trim().to_owned()).collect())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
