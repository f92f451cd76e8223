//! The input of a network that takes images: found, opened to 8-bit pictures of any layout, filled.

use crate::images::{self, Image};
use anyhow::{Context, Result, bail, ensure};
use ir::{ElementType, Layout, Model, Op, PartialShape};
use runtime::{CompiledModel, HostTensor, InputSettings, OutputSettings};
use std::path::PathBuf;

/// An input that takes interleaved 8-bit images, batch first (NHWC).
#[derive(Clone, Debug)]
pub struct ImageInput {
    /// Which of the network's inputs it is.
    pub index: usize,
    /// Bytes of a pixel: 1 or 3.
    pub channels: usize,
    /// Rows; unknown ones are those of the first image.
    pub height: Option<usize>,
    /// Pixels in a row; unknown ones are those of the first image.
    pub width: Option<usize>,
}

impl ImageInput {
    /// Finds the input with four dimensions, and lets the network take images there, whatever its own type and
    /// layout, and give f32.
    pub fn open(model: &mut Model) -> Result<Self> {
        let rank = |id: &ir::NodeId| model.ty((*id).into()).shape.rank();
        let images: Vec<usize> =
            (0..model.parameters().len()).filter(|i| rank(&model.parameters()[*i]) == Some(4)).collect();
        let index = match images.as_slice() {
            [one] => *one,
            [] => bail!(
                "no input of the network takes images, which need 4 dimensions; it has {}",
                ports(model)
            ),
            _ => bail!("several inputs of the network could take images; it has {}", ports(model)),
        };
        let Op::Parameter(parameter) = &model.node(model.parameters()[index]).op else {
            unreachable!("parameters are Parameters")
        };
        let shape = parameter.shape.clone();
        let dims = shape.dims().context("the rank is known")?;
        let own = Some(parameter.layout.clone()).filter(|layout| !layout.is_empty());
        let layout: Layout = match own {
            Some(layout) => layout,
            None => images::guess_layout(dims).with_context(|| {
                format!("where are the channels in {shape}? convert the network with --layout nchw or nhwc")
            })?,
        };
        let at =
            |name| layout.index_of(name, 4).with_context(|| format!("the layout {layout} has no {name}"));
        let (channels, height, width) = (dims[at("C")?], dims[at("H")?].size(), dims[at("W")?].size());
        let channels = channels.size().filter(|c| matches!(c, 1 | 3));
        let channels =
            channels.with_context(|| format!("the input takes {shape}; images have 1 or 3 channels"))?;
        let settings = InputSettings {
            element_type: Some(ElementType::U8),
            layout: Some("NHWC".parse().expect("a layout")),
            model_layout: Some(layout),
            ..InputSettings::default()
        };
        let mut inputs = vec![InputSettings::default(); index];
        inputs.push(settings);
        let output = OutputSettings { element_type: Some(ElementType::F32), ..OutputSettings::default() };
        runtime::apply_settings(model, &inputs, &vec![output; model.results().len()])?;
        Ok(Self { index, channels, height, width })
    }

    /// Reads images and gives them the input's size; says so where that changes them.
    pub fn load(&self, files: &[PathBuf]) -> Result<Vec<Image>> {
        let mut images: Vec<Image> = Vec::new();
        for file in files {
            for image in images::read(file, self.channels)? {
                let (width, height) = self.size_for(images.first().unwrap_or(&image));
                if (width, height) != (image.width, image.height) {
                    println!(
                        "[ WARNING ] Image is resized from ({}, {}) to ({width}, {height})",
                        image.width, image.height
                    );
                }
                images.push(image.resized(width, height));
            }
        }
        Ok(images)
    }

    /// Width and height of the input; where they are open, those of an image.
    pub fn size_for(&self, image: &Image) -> (usize, usize) {
        (self.width.unwrap_or(image.width), self.height.unwrap_or(image.height))
    }

    /// Sets the input's size to that of the images, `(width, height)`, and its batch to `batch`.
    pub fn reshape(&self, model: &mut Model, batch: usize, (width, height): (usize, usize)) -> Result<()> {
        let id = model.parameters()[self.index];
        model.set_parameter_shape(id, PartialShape::fixed(&[batch, height, width, self.channels]));
        Ok(model.infer()?)
    }

    /// Sets the input's size to that of the images and its batch to their number. A network that can't change its
    /// batch, or of which `fits` is then not true, keeps its own.
    pub fn set_batch(
        &self,
        model: &mut Model,
        images: &[Image],
        fits: impl Fn(&Model) -> bool,
    ) -> Result<usize> {
        let (own, count) = (self.batch(model), images.len());
        let first = images.first().context("no images")?;
        let mut wider = model.clone();
        let reshaped = self.reshape(&mut wider, count, (first.width, first.height));
        match (reshaped, own) {
            (Ok(()), _) if fits(&wider) => {
                *model = wider;
                Ok(count)
            }
            (_, Some(own)) => {
                println!("[ WARNING ] The network works only with its own batch of {own}");
                Ok(own)
            }
            (Err(error), None) => Err(error.context(format!("the network takes no batch of {count} images"))),
            (Ok(()), None) => bail!("the network does not answer for each of {count} images"),
        }
    }

    /// The batch that the input has; none where it is open.
    pub fn batch(&self, model: &Model) -> Option<usize> {
        let shape = &model.ty(model.parameters()[self.index].into()).shape;
        shape.dims().and_then(|dims| dims[0].size())
    }

    /// A tensor of the images; places of the batch without an image stay black.
    pub fn tensor(&self, compiled: &CompiledModel, images: &[Image]) -> Result<HostTensor> {
        let first = images.first().context("no images")?;
        let shape = &compiled.inputs()[self.index].ty.shape;
        let open = || vec![images.len(), first.height, first.width, self.channels];
        let sizes = shape.sizes().unwrap_or_else(open);
        ensure!(
            sizes[0] >= images.len() && sizes[1..] == [first.height, first.width, first.channels],
            "the input takes {sizes:?}; there are {} images of {}x{}",
            images.len(),
            first.width,
            first.height
        );
        let tensor = HostTensor::zeros(ElementType::U8, &sizes)?;
        let size = first.pixels.len();
        for (place, image) in tensor.write()?.chunks_exact_mut(size).zip(images) {
            ensure!(image.pixels.len() == size, "{} has another size than the first", image.path.display());
            place.copy_from_slice(&image.pixels);
        }
        Ok(tensor)
    }
}

fn ports(model: &Model) -> String {
    let ports = runtime::PortInfo::inputs(model);
    let all: Vec<String> = ports.iter().map(|port| format!("{} {}", port.name(), port.ty)).collect();
    all.join(", ")
}
