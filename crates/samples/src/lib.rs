//! What the sample programs share: the engine with its devices, images, labels, NumPy files, the known printouts.

pub mod argv;
pub mod arrays;
pub mod benchmark;
pub mod classification;
pub mod engine;
pub mod images;
pub mod labels;
pub mod numpy;
pub mod printout;
