//! Class names from the `.labels` file beside a model.

use std::{fs, io, path::Path};

/// The lines of a file.
pub fn read(path: &Path) -> io::Result<Vec<String>> {
    Ok(fs::read_to_string(path)?.lines().map(|line| line.trim().to_owned()).collect())
}

/// The lines of `<model>.labels`; none when there is no such file.
pub fn beside(model: &Path) -> io::Result<Option<Vec<String>>> {
    match read(&model.with_extension("labels")) {
        Ok(labels) => Ok(Some(labels)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
