//! A compiled network: descriptors, and what they read.

use crate::instruction::Instruction;
use ir::{Bytes, ElementType};

/// A feature map that the host writes or reads, in the features' memory.
#[derive(Clone, PartialEq, Debug)]
pub struct Feature {
    /// The model's node that gives it: by its name the port goes.
    pub name: String,
    /// The element type that the model gives the port.
    pub element_type: ElementType,
    /// The shape that the model gives the port: NCHW, or what has less axes.
    pub shape: Vec<usize>,
    /// Its first word.
    pub address: u32,
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
    /// Where the channels lie in the words of a place: pieces, each starting at a word. Only a concatenation has more than
    /// one piece.
    pub channels: Vec<Channels>,
}

/// A run of channels in the words of a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Channels {
    /// The word, from the first of the place.
    pub word: u32,
    /// How many channels follow from there.
    pub count: u32,
}

impl Feature {
    /// Words of a place.
    pub fn pitch(&self, input_vector: u32) -> u32 {
        let end = |piece: &Channels| piece.word + piece.count.div_ceil(input_vector);
        self.channels.iter().map(end).max().unwrap_or(0)
    }
}

/// What the compiler did with a layer of the model, for reports.
#[derive(Clone, PartialEq, Debug)]
pub struct Layer {
    /// The node's name.
    pub name: String,
    /// The op: `Convolution`.
    pub kind: String,
    /// The nodes that are computed along with it.
    pub fused: Vec<String>,
    /// Multiplications and additions that the model asks for.
    pub flops: u64,
}

/// A program for one architecture. It has no stream buffer state: each run begins by loading what it reads.
#[derive(Clone, PartialEq, Debug)]
pub struct Program {
    /// The name of the architecture that it is for.
    pub architecture: String,
    /// The descriptors; the last is [`Instruction::End`].
    pub instructions: Vec<Instruction>,
    /// Filters, parameters and tables. Blocks of it begin at multiples of 64 bytes.
    pub constants: Bytes,
    /// Words of the features' memory: inputs, outputs and what is spilled.
    pub feature_words: u32,
    /// What the host writes.
    pub inputs: Vec<Feature>,
    /// What the host reads.
    pub outputs: Vec<Feature>,
    /// By the numbers that instructions name them by.
    pub layers: Vec<Layer>,
}
