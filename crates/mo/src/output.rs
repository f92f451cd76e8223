//! Results appear whole or not at all, in a folder that is made when it is missing.

use crate::Error;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The folder that results go to. When it had to be made, it goes again unless the results are kept.
#[derive(Debug)]
pub(crate) struct OutputFolder {
    path: PathBuf,
    made: bool,
}

impl OutputFolder {
    /// Makes the folder if its parent exists.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let fail = |problem: String| Error::OutputFolder { path: path.to_owned(), problem };
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => Ok(Self { path: path.to_owned(), made: false }),
            Ok(_) => Err(fail("it is a file".to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::create_dir(path) {
                Ok(()) => Ok(Self { path: path.to_owned(), made: true }),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    Err(fail("neither it nor the folder that would hold it exists".to_owned()))
                }
                Err(e) => Err(fail(e.to_string())),
            },
            Err(error) => Err(fail(error.to_string())),
        }
    }

    /// A file in the folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Keeps the folder, made or not.
    pub(crate) fn keep(mut self) {
        self.made = false;
    }
}

impl Drop for OutputFolder {
    fn drop(&mut self) {
        if self.made {
            // What somebody else put into it meanwhile stays, and the folder with it.
            let _ = fs::remove_dir(&self.path);
        }
    }
}

/// Writes a file whole, or not at all.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || {
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let file = builder.tempfile_in(folder)?;
        io::Write::write_all(&mut file.as_file(), bytes)?;
        file.persist(path).map(drop).map_err(|e| e.error)
    };
    write().map_err(|source| Error::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_folder_goes_unless_it_is_kept() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("out");
        drop(OutputFolder::open(&path).unwrap());
        assert!(!path.exists());
        OutputFolder::open(&path).unwrap().keep();
        assert!(path.is_dir());
        drop(OutputFolder::open(&path).unwrap());
        assert!(path.is_dir());
        let deep = root.path().join("a/b");
        assert!(OutputFolder::open(&deep).unwrap_err().to_string().contains("neither it nor"));
        let file = root.path().join("file");
        write_whole(&file, b"x").unwrap();
        assert!(OutputFolder::open(&file).unwrap_err().to_string().contains("it is a file"));
    }
}
