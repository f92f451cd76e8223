//! What object detection networks answer: boxes with a class and a confidence, from the networks' several forms.

mod yolo;

use crate::image_input::ImageInput;
use anyhow::{Context, Result, ensure};
use ir::Model;
use runtime::{CompiledModel, HostTensor, InferRequest, PortInfo};
use yolo::{Grid, Region};

/// A box and what is in it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Detection {
    /// Which image of the batch.
    pub image: usize,
    /// The class, by the network's number.
    pub class: usize,
    /// How sure the network is.
    pub confidence: f32,
    /// Left, top, right, bottom, as shares of the image's width and height.
    pub corners: [f32; 4],
}

/// How a network gives its detections.
#[derive(Debug)]
pub enum Decoder {
    /// Rows of seven: image, class, confidence, corners. SSD, and Faster R-CNN behind DetectionOutput.
    Rows(usize),
    /// YOLO version 1: a grid of cells.
    Grid(usize, Grid),
    /// YOLO from version 2 on: outputs of RegionYolo.
    Regions(Vec<(usize, Region)>),
}

/// Numbers of a detection in the answer of SSD.
const ROW: usize = 7;

impl Decoder {
    /// The output with rows of seven.
    pub fn rows(model: &Model) -> Result<Self> {
        let outputs = PortInfo::outputs(model);
        let is_rows = |port: &PortInfo| {
            let last = port.ty.shape.dims().and_then(|dims| dims.last()?.size());
            last == Some(ROW)
        };
        let at = outputs.iter().position(is_rows).with_context(|| {
            let all: Vec<String> =
                outputs.iter().map(|port| format!("{} {}", port.name(), port.ty)).collect();
            format!(
                "no output has rows of {ROW} numbers (image, class, confidence, corners), as SSD's \
                 DetectionOutput gives them; the network gives {}",
                all.join(", ")
            )
        })?;
        Ok(Self::Rows(at))
    }

    /// The outputs of a YOLO network that knows `classes` classes. `input` is the width and height of its input.
    pub fn yolo(model: &Model, input: (usize, usize), classes: usize) -> Result<Self> {
        let regions = Region::find(model, input)?;
        if !regions.is_empty() {
            return Ok(Self::Regions(regions));
        }
        let ports = PortInfo::outputs(model);
        let [port] = ports.as_slice() else {
            anyhow::bail!("no output comes from RegionYolo, and there are {} outputs, not one", ports.len())
        };
        Ok(Self::Grid(0, Grid::new(port, classes)?))
    }

    /// The detections of the request's last inference.
    pub fn decode(&self, request: &InferRequest) -> Result<Vec<Detection>> {
        let values = |output: usize| -> Result<_> { Ok(request.output(output)?.to_tensor()?) };
        match self {
            Self::Rows(output) => Ok(from_rows(&values(*output)?.view::<f32>()?)),
            Self::Grid(output, grid) => Ok(grid.decode(&values(*output)?.view::<f32>()?)),
            Self::Regions(regions) => {
                let mut all = Vec::new();
                for (output, region) in regions {
                    all.extend(region.decode(&values(*output)?.view::<f32>()?)?);
                }
                Ok(yolo::suppressed(all))
            }
        }
    }
}

/// Reads rows of seven up to the first that is of no image, which ends them.
pub fn from_rows(values: &[f32]) -> Vec<Detection> {
    let detection = |row: &[f32]| Detection {
        image: row[0] as usize,
        class: row[1].max(0.0) as usize,
        confidence: row[2],
        corners: [row[3], row[4], row[5], row[6]],
    };
    values.chunks_exact(ROW).take_while(|row| row[0] >= 0.0).map(detection).collect()
}

/// Fills the inputs beside the image: Faster R-CNN's `im_info`, rows of height, width and scale.
pub fn fill_image_info(
    request: &mut InferRequest,
    compiled: &CompiledModel,
    input: &ImageInput,
    (width, height): (usize, usize),
) -> Result<()> {
    for (i, port) in compiled.inputs().iter().enumerate().filter(|(i, _)| *i != input.index) {
        let sizes = port.ty.shape.sizes().filter(|sizes| matches!(sizes.as_slice(), [_, 3 | 6]));
        let sizes = sizes.with_context(|| {
            format!("input `{}` takes {}: this is neither an image nor im_info", port.name(), port.ty)
        })?;
        // The scale of both axes: images are given in the network's own size.
        let row = [height as f32, width as f32, 1.0, 1.0, 1.0, 1.0];
        let rows: Vec<f32> = row[..sizes[1]].repeat(sizes[0]);
        ensure!(
            port.ty.element_type == ir::ElementType::F32,
            "input `{}` takes {}; im_info is given as f32",
            port.name(),
            port.ty
        );
        request.set_input(i, HostTensor::from_vec(&sizes, rows)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_end_with_the_first_of_no_image() {
        let values = [
            [0.0, 2.0, 0.9, 0.1, 0.2, 0.3, 0.4],
            [1.0, 1.0, 0.5, 0.0, 0.0, 1.0, 1.0],
            [-1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            [0.0, 3.0, 0.8, 0.0, 0.0, 1.0, 1.0],
        ];
        let found = from_rows(values.as_flattened());
        let first = Detection { image: 0, class: 2, confidence: 0.9, corners: [0.1, 0.2, 0.3, 0.4] };
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], first);
    }
}
