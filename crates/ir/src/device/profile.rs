//! What layers did in an inference.

use std::time::{Duration, SystemTime};

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
    /// When and where it ran, from devices that tell; layers that did not run have none.
    pub span: Option<Span>,
}

/// When and where a layer ran, for pictures of the course of inferences.
#[derive(Clone, PartialEq, Debug)]
pub struct Span {
    /// The name of the device.
    pub device: String,
    /// Which of the device's workers: what has the same number ran one after the other.
    pub lane: usize,
    /// The begin, on the system's clock: devices behind a library's boundary have the same.
    pub begin: SystemTime,
}
