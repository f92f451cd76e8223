//! Why a board cannot be used or programmed.

use super::{BOARD, BoardId, RELEASE};
use crate::container::ContainerError;
use std::{io, path::PathBuf};
use thiserror::Error;

/// Why a board cannot be used or programmed.
#[derive(Debug, Error)]
pub enum BoardError {
    /// This names no board.
    #[error("`{0}` names no board: write `acl0`, `0` or `FPGA.0`")]
    Id(String),
    /// There is no such board.
    #[error(
        "there is no board {board}: this machine has {count} (`aocl list-devices`; TERROIR_FPGA_BOARDS says how many)"
    )]
    NoBoard {
        /// The one asked for.
        board: BoardId,
        /// How many there are.
        count: u32,
    },
    /// It holds nothing.
    #[error(
        "board {board} is not programmed: `aocl program {board} <file>.aocx` (`cargo xtask bitstreams` writes bitstreams), or \
         name one in DLA_AOCX"
    )]
    Unprogrammed {
        /// The board.
        board: BoardId,
    },
    /// What it holds is no bitstream any more.
    #[error(
        "what board {board} holds cannot be used, program it anew (`aocl program {board} <file>.aocx`): {source}"
    )]
    Spoilt {
        /// The board.
        board: BoardId,
        /// Why.
        source: ContainerError,
    },
    /// The bitstream is for another kind of board.
    #[error(
        "{name} is for boards of the kind {found}, {board} is {BOARD}: `aocl program {board}` with a {RELEASE}_{BOARD}_ bitstream"
    )]
    WrongBoard {
        /// The board.
        board: BoardId,
        /// The bitstream.
        name: String,
        /// The kind that it is for.
        found: String,
    },
    /// The bitstream is of another release.
    #[error(
        "{name} is of release {found}, this version takes {RELEASE}: `cargo xtask bitstreams` writes them anew, then `aocl program \
         {board} {RELEASE}_{BOARD}_<precision>_<networks>.aocx`"
    )]
    WrongRelease {
        /// The board.
        board: BoardId,
        /// The bitstream.
        name: String,
        /// Its release.
        found: String,
    },
    /// Somebody computes on it.
    #[error(
        "board {board} is in use and cannot be programmed now: end what runs on it, or take another board"
    )]
    InUse {
        /// The board.
        board: BoardId,
    },
    /// It may not be programmed, and holds another bitstream than is asked for.
    #[error(
        "DLA_AOCX asks for {wanted}, board {board} holds {held}, and CL_CONTEXT_COMPILER_MODE_INTELFPGA=3 keeps it: unset one of the \
         two, or `aocl program {board} {}`", path.display()
    )]
    Kept {
        /// The board.
        board: BoardId,
        /// What it holds.
        held: String,
        /// What is asked for.
        wanted: String,
        /// The file that holds it.
        path: PathBuf,
    },
    /// The file is no bitstream.
    #[error("{}: {source}", path.display())]
    Bitstream {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ContainerError,
    },
    /// What a board holds cannot be kept.
    #[error("{}: {source}; boards keep what they hold in the folder TERROIR_FPGA_STATE", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no place for what boards hold.
    #[error(
        "none of TERROIR_FPGA_STATE, XDG_STATE_HOME and HOME is set: boards need a folder to keep what they hold"
    )]
    NoState,
    /// A variable has no value that means something.
    #[error("{name} is `{found}`; it should be {expected}")]
    Variable {
        /// Its name.
        name: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: &'static str,
    },
}
