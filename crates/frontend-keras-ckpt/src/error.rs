//! What can go wrong with a checkpoint: which file, which variable, what was found.

use crate::{checksum::ChecksumError, sstable::TableError};
use ir::TensorError;
use std::{io, path::PathBuf};
use thiserror::Error;

/// Why a checkpoint could not be opened or a variable not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Nothing stands where a checkpoint would.
    #[error(
        "no checkpoint at {}: looked for {}. Give its prefix, its .index, .meta or .data file, the `checkpoint` \
         state file or their folder",
        path.display(), list(looked_for)
    )]
    NotFound {
        /// What was asked for.
        path: PathBuf,
        /// Files that were looked for; `?` stands for a digit, `*` for any name.
        looked_for: Vec<PathBuf>,
    },
    /// The file exists and is no part of a checkpoint.
    #[error(
        "{} is neither a checkpoint (it does not end in a table's magic number: truncated?) nor a `checkpoint` \
         state file with a model_checkpoint_path",
        path.display()
    )]
    NotCheckpoint {
        /// The file.
        path: PathBuf,
    },
    /// Several checkpoints fit.
    #[error("{} holds several checkpoints, name one of them: {}", path.display(), list(candidates))]
    Ambiguous {
        /// What was asked for.
        path: PathBuf,
        /// The checkpoints that fit.
        candidates: Vec<PathBuf>,
    },
    /// A file of a sharded checkpoint is missing.
    #[error("{} is missing: {} needs it. Put it beside the other files", shard.display(), path.display())]
    MissingShard {
        /// The file that names the shard.
        path: PathBuf,
        /// The missing file.
        shard: PathBuf,
    },
    /// The table that lists the variables is damaged.
    #[error("{}: {source}", path.display())]
    Table {
        /// The `.index`, or the file of a version 1 checkpoint.
        path: PathBuf,
        /// What is wrong.
        source: TableError,
    },
    /// The table is sound and does not begin as a checkpoint does.
    #[error("{}: {source}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: HeaderError,
    },
    /// No variable has this name.
    #[error("{} holds no variable `{name}`{}", path.display(), similar_to(similar))]
    UnknownVariable {
        /// The checkpoint.
        path: PathBuf,
        /// What was asked for.
        name: String,
        /// A few names that come near.
        similar: Vec<String>,
    },
    /// Several variables of an object-based checkpoint have this full name.
    #[error("{}: several variables are called `{name}`, ask by checkpoint key: {}", path.display(), keys.join(", "))]
    AmbiguousVariable {
        /// The checkpoint.
        path: PathBuf,
        /// The full name.
        name: String,
        /// The checkpoint keys that it stands for.
        keys: Vec<String>,
    },
    /// One variable is damaged, or has no tensor form.
    #[error("{}: variable `{name}`: {source}", path.display())]
    Variable {
        /// The `.index`, or the file of a version 1 checkpoint.
        path: PathBuf,
        /// The variable.
        name: String,
        /// What is wrong.
        source: VariableError,
    },
}

/// What is wrong with the first entry of a checkpoint.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The first key is not the empty one.
    #[error(
        "the table has no entry under the empty key, where a checkpoint describes itself: another kind of table"
    )]
    Missing,
    /// The entry is no header message.
    #[error("the entry under the empty key does not parse: {0}")]
    Decode(#[from] prost::DecodeError),
    /// Written on a big-endian machine.
    #[error("the checkpoint is big-endian: save it again on a little-endian machine")]
    BigEndian,
    /// A shard count that cannot be.
    #[error("the checkpoint claims {0} data files")]
    Shards(i32),
    /// For readers of a later version.
    #[error("the checkpoint asks for a reader of version {0}, this one knows version 1")]
    Version(i32),
}

/// What is wrong with a variable.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VariableError {
    /// The entry is no message of the kind expected.
    #[error("its entry does not parse: {0}")]
    Decode(#[from] prost::DecodeError),
    /// The key is not UTF-8.
    #[error("its name is not UTF-8")]
    Name,
    /// Negative dimensions, unknown rank, or more elements than can be addressed.
    #[error("its shape {dims:?} cannot be")]
    Shape {
        /// Dimensions as stored; empty when the rank is unknown.
        dims: Vec<i64>,
    },
    /// The element type has no tensor form (strings, resources, variants, complex numbers).
    #[error("its elements are {type_name}, which no tensor holds: leave the variable out")]
    Unsupported {
        /// TensorFlow's name of the type.
        type_name: String,
    },
    /// A tensor was asked for as strings.
    #[error("its elements are {type_name}, not DT_STRING")]
    NotStrings {
        /// TensorFlow's name of the type.
        type_name: String,
    },
    /// The entry names a data file beyond the header's count.
    #[error("its data file is number {shard} of {shards}")]
    Shard {
        /// The number, from 0.
        shard: i32,
        /// Data files of the checkpoint.
        shards: i32,
    },
    /// The bytes lie beyond the data file.
    #[error("its {size} bytes at {offset} reach beyond the {len} bytes of {}: truncated", file.display())]
    Range {
        /// The data file.
        file: PathBuf,
        /// Where the bytes begin.
        offset: i64,
        /// How many there are.
        size: i64,
        /// The data file's length.
        len: usize,
    },
    /// The bytes do not fit type and shape.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// The bytes changed after they were written.
    #[error("its bytes at {offset} of {}: {source}", file.display())]
    Checksum {
        /// The data file.
        file: PathBuf,
        /// Where the bytes begin.
        offset: u64,
        /// Both checksums.
        source: ChecksumError,
    },
    /// The stored bytes are not the strings that the shape asks for.
    #[error("its {size} stored bytes do not hold {count} strings")]
    Strings {
        /// Strings by the shape.
        count: usize,
        /// Stored bytes.
        size: usize,
    },
    /// A slice that does not lie within the tensor.
    #[error("its slice [{slice}] does not lie within {shape:?}")]
    Slice {
        /// `start,length` of each dimension, `-` for a whole one.
        slice: String,
        /// The whole tensor's shape.
        shape: Vec<usize>,
    },
    /// A slice that is listed and not stored.
    #[error("its slice [{slice}] is listed and not stored")]
    MissingSlice {
        /// `start,length` of each dimension, `-` for a whole one.
        slice: String,
    },
    /// The slices do not make the whole tensor.
    #[error("its slices hold {found} elements, the whole of {shape:?} {expected}")]
    Coverage {
        /// The whole tensor's shape.
        shape: Vec<usize>,
        /// Elements of the whole tensor.
        expected: usize,
        /// Elements of all slices.
        found: usize,
    },
    /// Two slices hold the same element.
    #[error("slices of its {shape:?} overlap")]
    Overlap {
        /// The whole tensor's shape.
        shape: Vec<usize>,
    },
    /// Shards of a version 1 checkpoint list the variable differently.
    #[error("the shards disagree on its type or shape: they belong to different checkpoints")]
    Disagreement,
    /// The table that holds the values is damaged.
    #[error("{}: {source}", file.display())]
    Table {
        /// The file of a version 1 checkpoint.
        file: PathBuf,
        /// What is wrong.
        source: TableError,
    },
    /// More than the files can hold.
    #[error("it claims {claimed} bytes, more than the files hold ({stored})")]
    TooLarge {
        /// Bytes by type and shape.
        claimed: usize,
        /// What the files can hold.
        stored: usize,
    },
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn similar_to(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!("; similar: {}", names.join(", ")) }
}
