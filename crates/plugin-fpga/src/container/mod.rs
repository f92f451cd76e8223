//! Bitstreams as files: `.aocx`.
//!
//! An ELF file whose section `.acl.fpga.bin` holds an ELF file, whose section `.acl.gbs.gz` holds a zipped GBS file, whose
//! image would configure an Arria 10. Terroir's files have this form with one exception: the image is the description of
//! an overlay, and says so.

mod elf;
mod image;

use crate::architecture::{Architecture, ArchitectureError};
use image::Image;
use object::{Object, ObjectSection};
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};
use thiserror::Error;

const BOARD: &str = ".acl.board";
const VERSION: &str = ".acl.version";
const AUTODISCOVERY: &str = ".acl.autodiscovery";
const HASH: &str = ".acl.hash";
const FPGA_BIN: &str = ".acl.fpga.bin";
const GBS_GZ: &str = ".acl.gbs.gz";
/// What stands beside or instead of it in the files of other cards.
const RAW_IMAGES: [&str; 3] = [".acl.core.rbf", ".acl.rbf", ".acl.sof"];
const OPENCL: &str = ".acl.opencl.bin";

/// What a file may take. Genuine ones take some 20 to 130 MB.
const LARGEST_FILE: u64 = 512 << 20;
/// Digits of a SHA-256, as the file holds it.
const HASH_DIGITS: usize = 64;

/// What a board can be programmed with.
#[derive(Clone, PartialEq, Debug)]
pub struct Bitstream {
    /// The release that it belongs to, as names write it: `2-0-1`. Boards take their own release's alone.
    pub release: String,
    /// The kind of board, as names write it: `RC`, the acceleration card with an Arria 10 GX.
    pub board: String,
    /// The networks that it is made for, as names write them: `ResNet50-101`.
    pub topologies: Vec<String>,
    /// The overlay.
    pub architecture: Architecture,
    /// A program binary for an OpenCL device, of a kernel that interprets the instruction set.
    pub opencl: Option<Vec<u8>>,
}

/// Why a file is no bitstream, or none that a simulated board can take.
#[derive(Debug, Error)]
pub enum ContainerError {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Larger than any.
    #[error("it is larger than {} MB, which no bitstream is", LARGEST_FILE >> 20)]
    Size,
    /// No ELF file.
    #[error("it is no ELF file, as every .aocx is")]
    Elf,
    /// A section is missing.
    #[error("there is no section `{0}`: it is damaged, or no .aocx")]
    Section(&'static str),
    /// Some byte is another than was written.
    #[error(
        "it is damaged: its SHA-256 is {found}, `.acl.hash` says {expected}; write it anew, `cargo xtask bitstreams`"
    )]
    Damaged {
        /// What the section says.
        expected: String,
        /// What the bytes give.
        found: String,
    },
    /// A genuine one.
    #[error(
        "it configures a real card (board `{board}`, interface {interface}): its image is for an Arria 10's logic, and says \
         nothing of an overlay's architecture. Terroir's boards are simulated and take its own bitstreams: `cargo xtask \
         bitstreams` writes them under the same names"
    )]
    Silicon {
        /// What `.acl.board` says.
        board: String,
        /// The interface that the image is for.
        interface: String,
    },
    /// A section has another form.
    #[error("section `{section}`: found {found}; there should be {expected}")]
    Malformed {
        /// The section.
        section: &'static str,
        /// What is there.
        found: String,
        /// What should be.
        expected: &'static str,
    },
    /// The description lacks a field.
    #[error("section `{section}`: the field `{name}` is missing or has another type")]
    Field {
        /// The section.
        section: &'static str,
        /// The field.
        name: &'static str,
    },
    /// The description is of no overlay.
    #[error("the overlay it describes: {0}")]
    Architecture(#[from] ArchitectureError),
}

impl Bitstream {
    /// The name that users know: `2-0-1_RC_FP16_ResNet50-101`.
    pub fn name(&self) -> String {
        let precision = self.architecture.precision.name().to_uppercase();
        format!("{}_{}_{precision}_{}", self.release, self.board, self.topologies.join("_"))
    }

    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let image = Image { architecture: self.architecture.clone(), topologies: self.topologies.clone() };
        let gbs_gz = image.to_gbs_gz();
        let mut inner = vec![(GBS_GZ, gbs_gz.as_slice())];
        inner.extend(self.opencl.as_ref().map(|program| (OPENCL, program.as_slice())));
        let fpga_bin = elf::write(&inner);
        let mut file = elf::write(&[
            (BOARD, self.board.as_bytes()),
            (VERSION, self.release.as_bytes()),
            (AUTODISCOVERY, self.architecture.to_string().as_bytes()),
            (HASH, &[b'0'; HASH_DIGITS]),
            (FPGA_BIN, &fpga_bin),
        ]);
        let at = elf::read(&file).and_then(|sections| place_of_hash(&file, &sections));
        let at = at.expect("it was just written");
        let digits = hash(&file, at);
        file[at..][..HASH_DIGITS].copy_from_slice(digits.as_bytes());
        file
    }

    /// Reads it back. Every byte counts: one that is another than was written is found.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ContainerError> {
        let sections = elf::read(bytes).ok_or(ContainerError::Elf)?;
        let text = |name| {
            let bytes = elf::section(&sections, name).ok_or(ContainerError::Section(name))?;
            let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= 256);
            let text = text.filter(|text| !text.chars().any(char::is_control));
            let found = || format!("`{}`", bytes[..bytes.len().min(64)].escape_ascii());
            text.ok_or_else(|| ContainerError::Malformed {
                section: name,
                found: found(),
                expected: "a short text",
            })
        };
        let read_image = || {
            let fpga_bin = elf::section(&sections, FPGA_BIN).ok_or(ContainerError::Section(FPGA_BIN))?;
            let inner = elf::read(fpga_bin).ok_or_else(|| ContainerError::Malformed {
                section: FPGA_BIN,
                found: format!("{} bytes", fpga_bin.len()),
                expected: "an ELF file",
            })?;
            let board = text(BOARD).unwrap_or("unknown");
            let gbs_gz = elf::section(&inner, GBS_GZ).ok_or_else(|| {
                // Other cards than the acceleration card take raw images.
                let raw = RAW_IMAGES.iter().any(|name| inner.section_by_name(name).is_some());
                let silicon =
                    || ContainerError::Silicon { board: board.to_owned(), interface: "none".to_owned() };
                if raw { silicon() } else { ContainerError::Section(GBS_GZ) }
            })?;
            let image = Image::from_gbs_gz(gbs_gz, board)?;
            Ok((image, elf::section(&inner, OPENCL).map(<[u8]>::to_vec)))
        };
        let at = place_of_hash(bytes, &sections);
        let expected = at.map(|at| bytes[at..][..HASH_DIGITS].escape_ascii().to_string());
        let found = at.map(|at| hash(bytes, at));
        if at.is_none() || expected != found {
            // A genuine file has a hash of another kind: say what it is rather than that it is damaged.
            return Err(match (read_image(), expected.zip(found)) {
                (Err(silicon @ ContainerError::Silicon { .. }), _) => silicon,
                (_, Some((expected, found))) => ContainerError::Damaged { expected, found },
                (Err(other), None) => other,
                (Ok(_), None) => ContainerError::Section(HASH),
            });
        }
        let (image, opencl) = read_image()?;
        let discovered = text(AUTODISCOVERY)?;
        if discovered != image.architecture.to_string() {
            return Err(ContainerError::Malformed {
                section: AUTODISCOVERY,
                found: discovered.to_owned(),
                expected: "the architecture that the image describes",
            });
        }
        Ok(Self {
            release: text(VERSION)?.to_owned(),
            board: text(BOARD)?.to_owned(),
            topologies: image.topologies,
            architecture: image.architecture,
            opencl,
        })
    }

    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, ContainerError> {
        Ok(Self::read_with_bytes(path)?.0)
    }

    /// Reads a file, and gives what it is made of, too.
    pub(crate) fn read_with_bytes(path: &Path) -> Result<(Self, Vec<u8>), ContainerError> {
        let mut bytes = Vec::new();
        File::open(path)?.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > LARGEST_FILE {
            return Err(ContainerError::Size);
        }
        Ok((Self::from_bytes(&bytes)?, bytes))
    }
}

/// Where the digits of the hash lie in the file.
fn place_of_hash(file: &[u8], sections: &object::File) -> Option<usize> {
    let (at, size) = sections.section_by_name(HASH)?.file_range()?;
    let at = usize::try_from(at).ok().filter(|_| size == HASH_DIGITS as u64)?;
    file.get(at..)?.get(..HASH_DIGITS)?;
    Some(at)
}

/// SHA-256 of the file, with zeros for the hash itself.
fn hash(file: &[u8], at: usize) -> String {
    let mut hash = Sha256::new();
    hash.update(&file[..at]);
    hash.update([b'0'; HASH_DIGITS]);
    hash.update(&file[at + HASH_DIGITS..]);
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
