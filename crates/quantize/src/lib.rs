//! FP16 storage of an IR model.
