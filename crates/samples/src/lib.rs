//! What the sample programs share: the engine with its devices, images, labels, NumPy files, the known printouts,
//! detections.

pub mod argv;
pub mod arrays;
pub mod benchmark;
pub mod classification;
pub mod detection;
pub mod engine;
pub mod image_input;
pub mod image_sample;
pub mod images;
pub mod labels;
pub mod numpy;
pub mod object_detection;
pub mod printout;
pub mod trace;
pub mod validation;
