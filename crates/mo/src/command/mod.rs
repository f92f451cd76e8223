//! The command lines: flags to requests, answers to the console.

pub mod compare;
pub mod console;
pub mod freeze_graph;
pub mod inspect;
pub mod mo;
mod network;
