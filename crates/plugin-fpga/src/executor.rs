//! What runs programs: the simulator, or a board behind OpenCL.

use crate::{architecture::Architecture, program::Program};
use std::{any::Any, sync::Arc, time::Duration};
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
    /// Memory that another executor has made.
    #[error(
        "the memory lies where programs of this executor cannot reach: make it by the executor that uses it"
    )]
    Foreign,
    /// A memory of the card is read or written in part.
    #[error(
        "{asked} fp16 values were asked for of a memory of the card that has {own}: it is read and written whole"
    )]
    Length {
        /// How many it has.
        own: usize,
        /// How many were asked for.
        asked: usize,
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

    /// Memory of the card beside that of programs, zeroed, for so many fp16 values.
    fn allocate(&self, values: usize) -> Result<Box<dyn CardMemory>, ExecutorError>;

    /// True for memory that the programs loaded here can copy from and to.
    fn reaches(&self, memory: &dyn CardMemory) -> bool;
}

/// Memory of the card that outlives runs and programs.
pub trait CardMemory: Any + Send + Sync {
    /// Writes fp16 bits from the host, as many as there are.
    fn write(&mut self, values: &[u16]) -> Result<(), ExecutorError>;

    /// Reads all fp16 bits to the host.
    fn read(&self, values: &mut [u16]) -> Result<(), ExecutorError>;
}

/// A program with feature memory of its own; one run at a time.
pub trait Loaded: Send {
    /// Writes fp16 bits into the features' memory, from word `address` on.
    fn write(&mut self, address: u32, values: &[u16]) -> Result<(), ExecutorError>;

    /// Copies all of a memory of the card into the features' memory, from word `address` on. Nothing crosses the bus.
    fn fill(&mut self, address: u32, from: &dyn CardMemory) -> Result<(), ExecutorError>;

    /// Copies from the features' memory, from word `address` on, to all of a memory of the card.
    fn drain(&mut self, address: u32, to: &mut dyn CardMemory) -> Result<(), ExecutorError>;

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
