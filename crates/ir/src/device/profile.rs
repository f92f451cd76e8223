//! What layers did in an inference.

use std::time::Duration;

/// What became of a layer in the last inference.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LayerStatus {
    /// It ran.
    Executed,
    /// It had nothing to do.
    NotRun,
    /// It is part of another layer, or was computed at compile time.
    OptimizedOut,
}

/// One row of a profile.
#[derive(Clone, PartialEq, Debug)]
pub struct ProfileRow {
    /// The node's name: the framework's.
    pub name: String,
    /// What became of it.
    pub status: LayerStatus,
    /// The op's type name.
    pub layer_type: String,
    /// How it was computed, in the device's words.
    pub exec_type: String,
    /// From begin to end on the clock.
    pub real_time: Duration,
    /// Time that processors spent on it.
    pub cpu_time: Duration,
}
