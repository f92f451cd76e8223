//! Programs as bytes, for [`ir::device::CompiledModel::export`] and back. What is read back was compiled for the very
//! architecture that the board holds, and no byte of it has changed.
//!
//! | bytes | what |
//! |---|---|
//! | 0 to 8 | `TRFPGAPR` |
//! | 8 to 16 | the instruction set; the length of the header: u32 each, little endian as all |
//! | 16 to 32 | how many descriptors there are; how many bytes of constants: u64 each |
//! | 32 to 64 | SHA-256 of the architecture, as bitstreams describe it |
//! | 64 to 96 | SHA-256 of all that follows |
//! | 96 on | the header, JSON: inputs, outputs, layers; zeros up to a multiple of 64 |
//! | then | descriptors, 64 bytes each; constants |

use crate::{
    architecture::{Architecture, INSTRUCTION_SET},
    instruction::{DESCRIPTOR_BYTES, DescriptorError, Instruction},
    program::{Channels, Feature, Layer, Program},
};
use ir::{Bytes, ElementType};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::{self, Write};
use thiserror::Error;

const MAGIC: &[u8; 8] = b"TRFPGAPR";
/// Where the second checksum's bytes begin.
const BODY: usize = 96;

/// Why bytes are no program for a board.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ExportError {
    /// They are something else.
    #[error("this is no exported FPGA program: it does not begin with TRFPGAPR")]
    Magic,
    /// It is another instruction set's.
    #[error(
        "the program has instruction set {0}, this version knows {INSTRUCTION_SET}: compile and export it anew"
    )]
    InstructionSet(u32),
    /// The file has another length than it says.
    #[error("the program has {found} bytes where {expected} are announced: the file is cut off or spoilt")]
    Length {
        /// The bytes that there are.
        found: u64,
        /// Those that there should be.
        expected: String,
    },
    /// Some byte changed.
    #[error("the program's checksum is wrong: the file is spoilt, export it anew")]
    Checksum,
    /// It is compiled for another overlay.
    #[error(
        "the program is compiled for {program}, the board holds {board}, and their clocks, memories or units count \
         too: compile it anew, or program the board"
    )]
    Architecture {
        /// The program's.
        program: String,
        /// The board's.
        board: String,
    },
    /// The header does not say what it should.
    #[error("the program's header: `{0}` is missing or is not what it should be")]
    Header(&'static str),
    /// A descriptor means nothing.
    #[error("descriptor {index}: {source}")]
    Descriptor {
        /// Which one.
        index: usize,
        /// Why.
        source: DescriptorError,
    },
}

fn architecture_hash(architecture: &Architecture) -> [u8; 32] {
    Sha256::digest(architecture.to_json().to_string()).into()
}

fn feature_json(feature: &Feature) -> Value {
    let pieces = feature.channels.iter().map(|piece| json!([piece.word, piece.count]));
    json!({
        "name": feature.name,
        "type": feature.element_type.to_string(),
        "shape": feature.shape,
        "address": feature.address,
        "height": feature.height,
        "width": feature.width,
        "channels": pieces.collect::<Vec<_>>(),
    })
}

fn layer_json(layer: &Layer) -> Value {
    json!({ "name": layer.name, "kind": layer.kind, "fused": layer.fused, "flops": layer.flops })
}

/// Writes a program that is compiled for `architecture`.
pub fn write(program: &Program, architecture: &Architecture, to: &mut dyn Write) -> io::Result<()> {
    let header = json!({
        "architecture": program.architecture,
        "feature_words": program.feature_words,
        "inputs": program.inputs.iter().map(feature_json).collect::<Vec<_>>(),
        "outputs": program.outputs.iter().map(feature_json).collect::<Vec<_>>(),
        "layers": program.layers.iter().map(layer_json).collect::<Vec<_>>(),
    });
    let mut body = header.to_string().into_bytes();
    let header_length = u32::try_from(body.len()).map_err(io::Error::other)?;
    body.resize((BODY + body.len()).next_multiple_of(DESCRIPTOR_BYTES) - BODY, 0);
    body.extend(program.instructions.iter().flat_map(Instruction::encode));
    let checksum = Sha256::new().chain_update(&body).chain_update(&program.constants).finalize();
    to.write_all(MAGIC)?;
    to.write_all(&INSTRUCTION_SET.to_le_bytes())?;
    to.write_all(&header_length.to_le_bytes())?;
    to.write_all(&(program.instructions.len() as u64).to_le_bytes())?;
    to.write_all(&(program.constants.len() as u64).to_le_bytes())?;
    to.write_all(&architecture_hash(architecture))?;
    to.write_all(&checksum)?;
    to.write_all(&body)?;
    to.write_all(&program.constants)
}

/// Reads a program for the overlay that a board holds. Constants stay views of the bytes.
pub fn read(from: &Bytes, architecture: &Architecture) -> Result<Program, ExportError> {
    if !from.starts_with(MAGIC) {
        return Err(ExportError::Magic);
    }
    let found = from.len() as u64;
    if from.len() < BODY {
        return Err(ExportError::Length { found, expected: format!("at least {BODY}") });
    }
    let half = |at: usize| u32::from_le_bytes(from[at..at + 4].try_into().expect("four bytes are four"));
    let long = |at: usize| u64::from_le_bytes(from[at..at + 8].try_into().expect("eight bytes are eight"));
    if half(8) != INSTRUCTION_SET {
        return Err(ExportError::InstructionSet(half(8)));
    }
    let (header_length, descriptors, constants) = (half(12) as usize, long(16), long(24));
    let descriptors_at = (BODY + header_length).next_multiple_of(DESCRIPTOR_BYTES);
    let constants_at = descriptors.checked_mul(DESCRIPTOR_BYTES as u64);
    let constants_at = constants_at.and_then(|bytes| bytes.checked_add(descriptors_at as u64));
    let expected = constants_at.and_then(|at| at.checked_add(constants));
    let (Some(constants_at), true) = (constants_at, expected == Some(found)) else {
        let expected = expected.map_or("more than any file has".to_owned(), |length| length.to_string());
        return Err(ExportError::Length { found, expected });
    };
    if Sha256::digest(&from[BODY..]).as_slice() != &from[64..BODY] {
        return Err(ExportError::Checksum);
    }
    let header: Value = serde_json::from_slice(&from[BODY..BODY + header_length])
        .map_err(|_| ExportError::Header("the header"))?;
    let program = header["architecture"].as_str().ok_or(ExportError::Header("architecture"))?.to_owned();
    let board = architecture.to_string();
    if program != board || from[32..64] != architecture_hash(architecture) {
        return Err(ExportError::Architecture { program, board });
    }
    let constants_at = constants_at as usize;
    let mut instructions = Vec::new();
    for (index, bytes) in from[descriptors_at..constants_at].chunks_exact(DESCRIPTOR_BYTES).enumerate() {
        let bytes = bytes.try_into().expect("chunks are as long as descriptors");
        let instruction = Instruction::decode(bytes);
        instructions.push(instruction.map_err(|source| ExportError::Descriptor { index, source })?);
    }
    let feature_words = number(&header["feature_words"], "feature_words")?;
    let features = |name: &'static str| {
        let all = list(&header[name], name)?.iter();
        all.map(|json| feature(json, architecture, feature_words)).collect::<Result<Vec<_>, _>>()
    };
    Ok(Program {
        architecture: program,
        instructions,
        constants: from.slice(constants_at..),
        feature_words,
        inputs: features("inputs")?,
        outputs: features("outputs")?,
        layers: list(&header["layers"], "layers")?.iter().map(layer).collect::<Result<_, _>>()?,
    })
}

fn list<'j>(json: &'j Value, name: &'static str) -> Result<&'j Vec<Value>, ExportError> {
    json.as_array().ok_or(ExportError::Header(name))
}

fn text(json: &Value, name: &'static str) -> Result<String, ExportError> {
    json.as_str().map(str::to_owned).ok_or(ExportError::Header(name))
}

fn number<T: TryFrom<u64>>(json: &Value, name: &'static str) -> Result<T, ExportError> {
    json.as_u64().and_then(|value| value.try_into().ok()).ok_or(ExportError::Header(name))
}

fn feature(json: &Value, architecture: &Architecture, feature_words: u32) -> Result<Feature, ExportError> {
    let piece = |json: &Value| {
        Ok(Channels { word: number(&json[0], "channels")?, count: number(&json[1], "channels")? })
    };
    let feature = Feature {
        name: text(&json["name"], "name")?,
        element_type: element_type(&json["type"])?,
        shape: list(&json["shape"], "shape")?
            .iter()
            .map(|size| number(size, "shape"))
            .collect::<Result<_, _>>()?,
        address: number(&json["address"], "address")?,
        height: number(&json["height"], "height")?,
        width: number(&json["width"], "width")?,
        channels: list(&json["channels"], "channels")?.iter().map(piece).collect::<Result<_, _>>()?,
    };
    // The host computes with these.
    let ends = feature.channels.iter();
    let ends = ends.map(|piece| u64::from(piece.word) + u64::from(architecture.blocks(piece.count)));
    let pitch = ends.max().unwrap_or(0);
    let places = u64::from(feature.height) * u64::from(feature.width);
    let words = places.checked_mul(pitch).and_then(|words| words.checked_add(feature.address.into()));
    let channels: u64 = feature.channels.iter().map(|piece| u64::from(piece.count)).sum();
    let elements = ir::element_count(&feature.shape).map(|count| count as u64);
    if words.is_none_or(|words| words > feature_words.into()) || elements != places.checked_mul(channels) {
        return Err(ExportError::Header("shape"));
    }
    Ok(feature)
}

fn element_type(json: &Value) -> Result<ElementType, ExportError> {
    json.as_str().and_then(ElementType::parse).ok_or(ExportError::Header("type"))
}

fn layer(json: &Value) -> Result<Layer, ExportError> {
    Ok(Layer {
        name: text(&json["name"], "name")?,
        kind: text(&json["kind"], "kind")?,
        fused: list(&json["fused"], "fused")?
            .iter()
            .map(|name| text(name, "fused"))
            .collect::<Result<_, _>>()?,
        flops: number(&json["flops"], "flops")?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::compile;
    use super::*;
    use ir::{
        Model,
        op::{MatMul, Unary},
    };
    use proptest::prelude::*;

    const NAME: &str = "2x2x8x16_fp16_sb512_fcd64_actk4_poolk4_normk1_owk2_image64x64x64_test";

    fn exported() -> (Program, Architecture, Vec<u8>) {
        let mut model = Model::new("m");
        let x = model.add_parameter("x", ElementType::F32, ir::PartialShape::fixed(&[1, 12]));
        let values: Vec<f32> = (0..36).map(|i| i as f32).collect();
        let weights = model.add_constant("w", ir::Tensor::from_slice(&[12, 3], &values).unwrap());
        let y = model.add("y", MatMul::default(), &[x.into(), weights.into()]).unwrap();
        let y = model.add("relu", Unary::Relu, &[y.into()]).unwrap();
        model.add_result("out", y.into()).unwrap();
        let architecture: Architecture = NAME.parse().unwrap();
        let program = compile(&model, &architecture).unwrap();
        let mut bytes = Vec::new();
        write(&program, &architecture, &mut bytes).unwrap();
        (program, architecture, bytes)
    }

    #[test]
    fn a_program_comes_back_and_only_for_its_architecture() {
        let (program, mut architecture, bytes) = exported();
        let bytes = Bytes::from(bytes);
        assert_eq!(read(&bytes, &architecture), Ok(program));
        architecture.clock_mhz = 200.0;
        assert!(matches!(read(&bytes, &architecture), Err(ExportError::Architecture { .. })));
        let other = NAME.replace("sb512", "sb513").parse().unwrap();
        assert!(read(&bytes, &other).unwrap_err().to_string().contains("_sb513_"));
    }

    #[test]
    fn every_byte_counts() {
        let (_, architecture, bytes) = exported();
        for at in 0..bytes.len() {
            let mut spoilt = bytes.clone();
            spoilt[at] ^= 4;
            assert!(read(&Bytes::from(spoilt), &architecture).is_err(), "byte {at}");
        }
        for length in 0..bytes.len() {
            assert!(read(&Bytes::copy_from_slice(&bytes[..length]), &architecture).is_err());
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_with_a_right_checksum_are_an_error(at in 96..700usize, byte in any::<u8>()) {
            let (program, architecture, mut bytes) = exported();
            let at = at.min(bytes.len() - 1);
            bytes[at] = byte;
            let checksum = Sha256::digest(&bytes[BODY..]);
            bytes[64..BODY].copy_from_slice(&checksum);
            // Whatever it means, the host can compute with it.
            if let Ok(read) = read(&Bytes::from(bytes), &architecture) {
                for feature in read.inputs.iter().chain(&read.outputs) {
                    let words = feature.height * feature.width * feature.pitch(architecture.input_vector);
                    prop_assert!(words <= read.feature_words);
                }
                prop_assert_eq!(read.instructions.len(), program.instructions.len());
            }
        }
    }
}
