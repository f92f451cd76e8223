//! Inputs and outputs in the caller's form, as part of the model: other element types and layouts, images of another
//! size, part, or colours, mean and scale.
//!
//! The steps are ops at the model's edge that devices fuse, in this order: frames of video become colours, the image is
//! cut out and resized, its channels are picked, turned round, shifted and scaled, its dimensions ordered as the
//! model's, and what [`InputSettings::custom`] adds comes last. Arithmetic happens in the model's type, or in f32 where
//! that is an integer; resizing is computed in f32 and never rounded to levels.

mod chain;
mod color;
mod input;
mod output;
mod resize;

use crate::{Error, error::Result};
use ir::{Dim, ElementType, Layout, Model, ModelError, Port};
use std::{fmt, sync::Arc};

pub use color::ColorFormat;
pub use resize::ResizeAlgorithm;

/// What a caller will give for one input. What isn't set stays as the model has it.
#[derive(Clone, Debug, Default)]
pub struct InputSettings {
    /// The element type of the caller's tensor: u8 for images.
    pub element_type: Option<ElementType>,
    /// The layout of the caller's tensor. Frames of video have their channels last.
    pub layout: Option<Layout>,
    /// The layout that the model's input has, where the model doesn't say.
    pub model_layout: Option<Layout>,
    /// Height and width of the caller's images, where the model's are not meant. Left out where images are resized,
    /// any size does.
    pub size: Option<[Dim; 2]>,
    /// The part of the image that is used.
    pub crop: Option<Crop>,
    /// Resize to the model's size.
    pub resize: Option<ResizeAlgorithm>,
    /// The colours that the caller gives, and those that the model wants.
    pub color: Option<(ColorFormat, ColorFormat)>,
    /// Reverse the channels: BGR to RGB.
    pub reverse_channels: bool,
    /// Subtracted, one a channel or one for all. In the order of the channels after any change of colours and
    /// reversal.
    pub mean: Vec<f32>,
    /// Divided by, after the mean.
    pub scale: Vec<f32>,
    /// Ops of the caller's own, between all this and the model.
    pub custom: Option<CustomOps>,
}

/// In which form a caller wants one output. What isn't set stays as the model has it.
#[derive(Clone, Debug, Default)]
pub struct OutputSettings {
    /// The element type of the caller's tensor.
    pub element_type: Option<ElementType>,
    /// The layout of the caller's tensor.
    pub layout: Option<Layout>,
    /// The layout that the model's output has, where the model doesn't say.
    pub model_layout: Option<Layout>,
    /// Ops of the caller's own, between the model and all this.
    pub custom: Option<CustomOps>,
}

/// A rectangle of an image, in pixels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Crop {
    /// Rows above it.
    pub top: usize,
    /// Columns before it.
    pub left: usize,
    /// Its rows.
    pub height: usize,
    /// Its columns.
    pub width: usize,
}

/// What adds ops to a model behind a port and says which port goes on.
type AddOps = dyn Fn(&mut Model, Port) -> std::result::Result<Port, ModelError> + Send + Sync;

/// Ops of the caller's own at a model's edge.
#[derive(Clone)]
pub struct CustomOps(Arc<AddOps>);

impl CustomOps {
    /// `add` adds ops behind a port and says which port goes on from there.
    pub fn new(
        add: impl Fn(&mut Model, Port) -> std::result::Result<Port, ModelError> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(add))
    }
}

impl fmt::Debug for CustomOps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomOps")
    }
}

/// Makes the model take and give what the settings say. Entries stand in the order of the model's inputs and outputs;
/// lists may be shorter. An input of planes becomes as many inputs, the first under its name.
pub fn apply_settings(model: &mut Model, inputs: &[InputSettings], outputs: &[OutputSettings]) -> Result<()> {
    for (side, given, have) in
        [("input", inputs.len(), model.parameters().len()), ("output", outputs.len(), model.results().len())]
    {
        if given > have {
            return Err(Error::NoSuchIndex { side, index: given - 1, count: have });
        }
    }
    for (settings, id) in inputs.iter().zip(model.parameters().to_vec()) {
        input::apply(model, id, settings)?;
    }
    model.infer()?;
    for (settings, id) in outputs.iter().zip(model.results().to_vec()) {
        output::apply(model, id, settings)?;
    }
    Ok(model.infer()?)
}
