//! What can go wrong between a caller and a device.

use ir::device::DeviceError;
use thiserror::Error;

/// An error of the engine.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The model's files can't be read.
    #[error(transparent)]
    Read(#[from] ir::ReadError),
    /// The model itself is at fault.
    #[error(transparent)]
    Model(#[from] ir::ModelError),
    /// The device refused or failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// There is no input or output of that name.
    #[error("the model has no {side} `{name}`; it has {}", available.join(", "))]
    NoSuchPort {
        /// "input", "output", or both.
        side: &'static str,
        /// The name asked for.
        name: String,
        /// The names that there are.
        available: Vec<String>,
    },
    /// There is no input or output of that number.
    #[error("there is no {side} {index}: the model has {count}")]
    NoSuchIndex {
        /// "input" or "output".
        side: &'static str,
        /// The number asked for.
        index: usize,
        /// How many there are.
        count: usize,
    },
    /// The list of plugins can't be used.
    #[error("{}: {reason}", path.display())]
    PluginList {
        /// The list.
        path: std::path::PathBuf,
        /// Why.
        reason: String,
    },
    /// A library of custom layers can't be used.
    #[error("the custom layers cannot be loaded: {0}")]
    Extensions(#[from] plugin_abi::LoadError),
    /// A device's library can't be used.
    #[error("the device `{device}` cannot be loaded: {source}")]
    Plugin {
        /// The device.
        device: String,
        /// Why.
        source: plugin_abi::LoadError,
    },
    /// The request was asked for the result of an inference that was never started.
    #[error("no inference was started: call `start_async` first")]
    NotStarted,
    /// An input or output can't be given the form asked for.
    #[error("`{port}`: {reason}")]
    Settings {
        /// The input or output.
        port: String,
        /// Why.
        reason: String,
    },
    /// A variable of a stateful model is at fault.
    #[error("the variable `{variable}`: {reason}")]
    State {
        /// Its `variable_id`.
        variable: String,
        /// What is wrong.
        reason: String,
    },
    /// A compiled model can't be kept.
    #[error("the model can't be cached: {0}")]
    Cache(String),
    /// All requests of the queue are in use.
    #[error("all requests of the queue are in use: take answers, or wait with `submit`")]
    QueueFull,
    /// The queue takes no more jobs.
    #[error("the queue was closed")]
    QueueClosed,
    /// The caller's completion callback panicked.
    #[error("the completion callback panicked: {0}")]
    Callback(String),
}

/// A result of the engine.
pub(crate) type Result<T> = std::result::Result<T, Error>;
