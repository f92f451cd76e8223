//! What configures a board: a GBS file, zipped. `XeonFPGA\xb7GBSv001`, the length of a text, the text (JSON about the
//! image), the image.

use super::ContainerError;
use crate::architecture::Architecture;
use flate2::{Compression, GzBuilder, read::GzDecoder};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::io::{Read, Write};

const GUID: &[u8; 16] = b"XeonFPGA\xb7GBSv001";
/// A number that every GBS file has in its text.
const MAGIC: u32 = 0x1d1f_8680;
/// What an overlay's GBS file may take unzipped. One that is larger is for a card, or unzips without end.
const LARGEST: usize = 1 << 20;
/// Every image of ours says this.
pub(super) const STATEMENT: &str = "simulated overlay, not an Arria 10 image";
/// The interface of the simulated board, as GBS files name it.
const INTERFACE: &str = "00000000-7465-7272-6f69-72667067612d";

/// What an image holds.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Image {
    pub(super) architecture: Architecture,
    pub(super) topologies: Vec<String>,
}

/// The first 16 bytes of a hash as GBS files write identifiers.
fn identifier(hash: &[u8]) -> String {
    let digits: String = hash[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

impl Image {
    /// The zipped file.
    pub(super) fn to_gbs_gz(&self) -> Vec<u8> {
        let image = json!({
            "statement": STATEMENT,
            "topologies": self.topologies,
            "architecture": self.architecture.to_json(),
        })
        .to_string();
        let about = json!({
            "version": 1,
            "platform-name": "terroir-simulated",
            "afu-image": {
                "magic-no": MAGIC,
                "interface-uuid": INTERFACE,
                "power": 0,
                "accelerator-clusters": [{
                    "name": "overlay",
                    "total-contexts": 1,
                    "accelerator-type-uuid": identifier(&Sha256::digest(&image)),
                }],
            },
        })
        .to_string();
        // No time and no system in the header: the same image is the same bytes.
        let mut zip = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
        let parts =
            [GUID.as_slice(), &(about.len() as u32).to_le_bytes(), about.as_bytes(), image.as_bytes()];
        for part in parts {
            zip.write_all(part).expect("a vector grows");
        }
        zip.finish().expect("a vector grows")
    }

    /// Reads the file back, or says what it is instead.
    pub(super) fn from_gbs_gz(zipped: &[u8], board: &str) -> Result<Self, ContainerError> {
        let malformed =
            |found: String, expected| ContainerError::Malformed { section: super::GBS_GZ, found, expected };
        let mut bytes = Vec::new();
        let taken = GzDecoder::new(zipped).take(LARGEST as u64 + 1).read_to_end(&mut bytes);
        if let Err(error) = taken {
            return Err(malformed(error.to_string(), "a file that gzip has written"));
        }
        let Some((GUID, rest)) = bytes.split_first_chunk() else {
            return Err(malformed(shown(&bytes), "a GBS file, which begins with `XeonFPGA\\xb7GBSv001`"));
        };
        let length = rest.split_first_chunk().map(|(length, rest)| (u32::from_le_bytes(*length), rest));
        let Some((about, image)) = length.and_then(|(length, rest)| rest.split_at_checked(length as usize))
        else {
            let found = format!("{} bytes behind its first 16", rest.len());
            return Err(malformed(found, "a GBS file with its whole text"));
        };
        // An image for silicon is no text: it starts with anything but the brace of ours.
        if image.first().is_some_and(|first| *first != b'{') {
            let about: Value = serde_json::from_slice(about).unwrap_or_default();
            let interface = about["afu-image"]["interface-uuid"].as_str().unwrap_or("unknown");
            return Err(ContainerError::Silicon {
                board: board.to_owned(),
                interface: interface.chars().take(64).filter(|c| !c.is_control()).collect(),
            });
        }
        let json: Value =
            serde_json::from_slice(image).map_err(|error| malformed(error.to_string(), "JSON"))?;
        if json["statement"] != STATEMENT {
            return Err(malformed(shown(image), "an image that calls itself a simulated overlay"));
        }
        let field = |name: &'static str| ContainerError::Field { section: super::GBS_GZ, name };
        let topologies = json["topologies"].as_array().ok_or(field("topologies"))?.iter();
        let topologies: Option<Vec<String>> = topologies.map(|t| Some(t.as_str()?.to_owned())).collect();
        let architecture: &Map<String, Value> =
            json["architecture"].as_object().ok_or(field("architecture"))?;
        Ok(Self {
            architecture: Architecture::from_json(architecture)?,
            topologies: topologies.ok_or(field("topologies"))?,
        })
    }
}

/// The beginning of what was found, for messages.
fn shown(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(16)];
    format!("{} bytes, `{}`", bytes.len(), start.escape_ascii())
}
