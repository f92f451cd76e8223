//! The command lines: flags to requests, answers to the console.

pub mod console;
pub mod freeze_graph;
pub mod mo;
