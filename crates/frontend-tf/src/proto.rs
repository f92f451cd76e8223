//! TensorFlow's messages, generated from the schemas in `proto/`.
#![allow(missing_docs, clippy::all, unreachable_pub)]

include!(concat!(env!("OUT_DIR"), "/tensorflow.rs"));
