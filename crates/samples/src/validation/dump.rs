//! What was found in every image, as a file for spreadsheets.

use super::average_precision::Found;
use anyhow::{Context, Result, bail};
use std::{
    fs::File,
    io::{BufWriter, ErrorKind, Write},
    path::Path,
};

/// A `dumpfileXXXX.csv` in the current folder, of a number that was free.
pub(super) struct Dump {
    name: String,
    file: BufWriter<File>,
}

impl Dump {
    pub(super) fn create() -> Result<Self> {
        for number in 0..10_000 {
            let name = format!("dumpfile{number:04}.csv");
            match File::create_new(&name) {
                Ok(file) => return Ok(Self { name, file: BufWriter::new(file) }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).with_context(|| format!("cannot write {name}")),
            }
        }
        bail!("all names from dumpfile0000.csv to dumpfile9999.csv are taken")
    }

    /// `path;flag;class;probability;...`: the flag is 1 where the first class is the right one.
    pub(super) fn classes(&mut self, image: &Path, right: bool, classes: &[(usize, f32)]) -> Result<()> {
        write!(self.file, "{};{}", image.display(), u8::from(right))?;
        for (class, probability) in classes {
            write!(self.file, ";{class};{probability}")?;
        }
        Ok(writeln!(self.file)?)
    }

    /// `path;class;probability;left;top;right;bottom`, in pixels.
    pub(super) fn detection(&mut self, image: &Path, class: usize, found: &Found) -> Result<()> {
        let [left, top, right, bottom] = found.corners;
        let (image, confidence) = (image.display(), found.confidence);
        Ok(writeln!(self.file, "{image};{class};{confidence};{left:.2};{top:.2};{right:.2};{bottom:.2}")?)
    }

    pub(super) fn finish(mut self) -> Result<()> {
        self.file.flush().with_context(|| format!("cannot write {}", self.name))?;
        println!("[ INFO ] Dumped to {}", self.name);
        Ok(())
    }
}
