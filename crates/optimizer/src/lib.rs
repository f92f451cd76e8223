//! Passes over an IR model.
