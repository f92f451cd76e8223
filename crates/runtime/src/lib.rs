//! Core, compiled models and infer requests.
