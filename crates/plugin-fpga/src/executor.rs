//! What runs programs: the simulator, or a board behind OpenCL.

use crate::{architecture::Architecture, program::Program};
use std::{sync::Arc, time::Duration};
use thiserror::Error;

/// What an executor says when it fails.
#[derive(Debug, Error)]
pub enum ExecutorError {
    /// The program asks for what it may not: an address beyond a memory, a block beyond the constants.
    #[error("instruction {index}: {what}")]
    Instruction {
        /// Which one.
        index: usize,
        /// What is wrong.
        what: String,
    },
    /// The program is for another architecture.
    #[error(
        "the program is compiled for {program}, the board holds {board}: compile it anew, or program the board"
    )]
    Architecture {
        /// The program's.
        program: String,
        /// The board's.
        board: String,
    },
    /// The library, driver or device failed.
    #[error("{0}")]
    Device(String),
}

/// Where programs run, for one board and what it is programmed with.
pub trait Executor: Send + Sync {
    /// What it is, as profiles say it: `simulated`.
    fn name(&self) -> &str;

    /// Puts the program's constants into memory and makes it ready.
    fn load(
        &self,
        architecture: &Architecture,
        program: &Arc<Program>,
    ) -> Result<Box<dyn Loaded>, ExecutorError>;
}

/// A program with feature memory of its own; one run at a time.
pub trait Loaded: Send {
    /// Writes fp16 bits into the features' memory, from word `address` on.
    fn write(&mut self, address: u32, values: &[u16]) -> Result<(), ExecutorError>;

    /// Runs the program to its end.
    fn launch(&mut self) -> Result<Counters, ExecutorError>;

    /// Reads fp16 bits from the features' memory.
    fn read(&mut self, address: u32, values: &mut [u16]) -> Result<(), ExecutorError>;
}

/// What a run took on the host; the device's time is the cycle model's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Time that the executor took: for a simulator this tells nothing about a board.
    pub host: Duration,
    /// Time by the device's own events, where it has them.
    pub device: Option<Duration>,
}
