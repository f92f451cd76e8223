//! Why a device could not do what it was asked.

use thiserror::Error;

/// Why a device could not do what it was asked.
#[derive(Debug, Error, Clone)]
#[non_exhaustive]
pub enum DeviceError {
    /// There is no device of that name.
    #[error("there is no device `{name}`; available: {}", available.join(", "))]
    NoSuchDevice {
        /// The name asked for.
        name: String,
        /// Those that are there.
        available: Vec<String>,
    },
    /// A configuration key that the device doesn't have, or a value that the key doesn't take.
    #[error("{device}: `{key}={value}`: {reason}")]
    Config {
        /// The device.
        device: String,
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What the key takes.
        reason: String,
    },
    /// The device can't run the model.
    #[error("{device} cannot run `{node}`: {reason}")]
    Unsupported {
        /// The device.
        device: String,
        /// The node.
        node: String,
        /// Why.
        reason: String,
    },
    /// A tensor that doesn't fit the port it was given to.
    #[error("{port} takes {expected}, found {found}")]
    Tensor {
        /// The port.
        port: String,
        /// What it takes.
        expected: String,
        /// What it was given.
        found: String,
    },
    /// The request, or memory it needs, is in use.
    #[error("{0} is busy: wait for the running inference first")]
    Busy(String),
    /// The request was cancelled.
    #[error("the inference was cancelled")]
    Cancelled,
    /// Not offered by this device.
    #[error("{device} does not offer {what}")]
    NotOffered {
        /// The device.
        device: String,
        /// What was asked for.
        what: String,
    },
    /// The model itself is at fault.
    #[error(transparent)]
    Model(#[from] crate::ModelError),
    /// Anything else, with its cause in words.
    #[error("{device}: {message}")]
    Failed {
        /// The device.
        device: String,
        /// What happened.
        message: String,
    },
}

/// A result of the device contract.
pub type DeviceResult<T> = Result<T, DeviceError>;
