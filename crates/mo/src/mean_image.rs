//! Mean images: Caffe's `.binaryproto`, a BlobProto.

use crate::Error;
use ir::{Dim, ElementType, Layout, PartialShape, Tensor};
use prost::Message;
use std::path::PathBuf;

/// A file that holds a mean image, and where in it the network's input lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeanFile {
    /// The file.
    pub path: PathBuf,
    /// Column and row of the input's corner in the image; `None` for the middle.
    pub offsets: Option<(usize, usize)>,
}

/// What Caffe writes tensors with (caffe.proto, BlobProto).
#[derive(Clone, PartialEq, Message)]
struct Blob {
    #[prost(int32, optional, tag = "1")]
    num: Option<i32>,
    #[prost(int32, optional, tag = "2")]
    channels: Option<i32>,
    #[prost(int32, optional, tag = "3")]
    height: Option<i32>,
    #[prost(int32, optional, tag = "4")]
    width: Option<i32>,
    #[prost(float, repeated, tag = "5")]
    data: Vec<f32>,
    #[prost(message, optional, tag = "7")]
    shape: Option<BlobShape>,
    #[prost(double, repeated, packed = "true", tag = "8")]
    double_data: Vec<f64>,
}

#[derive(Clone, PartialEq, Message)]
struct BlobShape {
    #[prost(int64, repeated, packed = "true", tag = "1")]
    dim: Vec<i64>,
}

/// An image: channels of rows.
struct Image {
    channels: usize,
    height: usize,
    width: usize,
    values: Vec<f64>,
}

impl MeanFile {
    fn fail(&self, problem: String) -> Error {
        Error::MeanFile { path: self.path.clone(), problem }
    }

    /// The part of the image that an input of this shape and layout sees, of its rank and with a batch of 1.
    pub(crate) fn tensor(&self, shape: &PartialShape, layout: &Layout) -> Result<Tensor, Error> {
        let image = self.read()?;
        let dims = shape.dims().unwrap_or_default();
        let axes = ["C", "H", "W"].map(|name| match layout.is_empty() {
            // The image says how many channels to look for.
            true => own_axis(dims, image.channels, name),
            false => layout.index_of(name, dims.len()),
        });
        let [Some(c), Some(h), Some(w)] = axes else {
            return Err(self
                .fail(format!("the input {shape} is no image; say what its dimensions mean with --layout")));
        };
        let size = |axis: usize| dims[axis].size();
        let (Some(channels), Some(height), Some(width)) = (size(c), size(h), size(w)) else {
            return Err(self.fail(format!("the input {shape} has open sizes; fix them with --input_shape")));
        };
        let (x, y) = self
            .offsets
            .unwrap_or((image.width.saturating_sub(width) / 2, image.height.saturating_sub(height) / 2));
        let reaches = |at: usize, size: usize, all: usize| at.checked_add(size).is_some_and(|end| end <= all);
        if channels != image.channels || !reaches(x, width, image.width) || !reaches(y, height, image.height)
        {
            return Err(self.fail(format!(
                "its image has {} channels of {}x{}; an input of {channels} channels of {width}x{height} does not \
                 lie in it at ({x},{y})",
                image.channels, image.width, image.height
            )));
        }
        let mut sizes = vec![1; dims.len()];
        (sizes[c], sizes[h], sizes[w]) = (channels, height, width);
        let mut step = vec![1; dims.len()];
        for axis in (0..dims.len().saturating_sub(1)).rev() {
            step[axis] = step[axis + 1] * sizes[axis + 1];
        }
        let mut values = vec![0.0; channels * height * width];
        for channel in 0..channels {
            for row in 0..height {
                let from = (channel * image.height + y + row) * image.width + x;
                for column in 0..width {
                    values[channel * step[c] + row * step[h] + column * step[w]] =
                        image.values[from + column];
                }
            }
        }
        Tensor::from_f64s(ElementType::F32, &sizes, &values).map_err(|e| self.fail(e.to_string()))
    }

    fn read(&self) -> Result<Image, Error> {
        let bytes = std::fs::read(&self.path).map_err(|e| self.fail(e.to_string()))?;
        let blob =
            Blob::decode(&bytes[..]).map_err(|e| self.fail(format!("no BlobProto of Caffe's: {e}")))?;
        let legacy = [blob.num, blob.channels, blob.height, blob.width];
        let dims: Vec<i64> = match &blob.shape {
            Some(shape) => shape.dim.clone(),
            None => legacy.iter().map(|dim| i64::from(dim.unwrap_or(1))).collect(),
        };
        let values: Vec<f64> = match blob.double_data.is_empty() {
            true => blob.data.into_iter().map(f64::from).collect(),
            false => blob.double_data,
        };
        let sizes: Option<Vec<usize>> = dims.iter().map(|dim| usize::try_from(*dim).ok()).collect();
        let whole = sizes.as_deref().and_then(ir::element_count) == Some(values.len());
        match sizes.as_deref() {
            Some([1, channels, height, width] | [channels, height, width]) if whole => {
                Ok(Image { channels: *channels, height: *height, width: *width, values })
            }
            _ => {
                Err(self
                    .fail(format!("its {} values of shape {dims:?} are no image [1,C,H,W]", values.len())))
            }
        }
    }
}

/// Channels stand second or last; height and width are what is left.
fn own_axis(dims: &[Dim], channels: usize, name: &str) -> Option<usize> {
    let is_channels = |axis: usize| dims[axis].size() == Some(channels);
    if dims.len() != 4 {
        return None;
    }
    let first = is_channels(1);
    if !first && !is_channels(3) {
        return None;
    }
    Some(match (name, first) {
        ("C", true) => 1,
        ("C", false) => 3,
        ("H", true) => 2,
        ("H", false) => 1,
        (_, true) => 3,
        (_, false) => 2,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(blob: &Blob, offsets: Option<(usize, usize)>) -> (tempfile::TempDir, MeanFile) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mean.binaryproto");
        std::fs::write(&path, blob.encode_to_vec()).unwrap();
        (folder, MeanFile { path, offsets })
    }

    /// Two channels of 3x4: `channel * 100 + row * 10 + column`.
    fn blob() -> Blob {
        let at = |i: usize| (i / 12 * 100 + i % 12 / 4 * 10 + i % 4) as f32;
        let (num, channels, height, width) = (Some(1), Some(2), Some(3), Some(4));
        Blob { num, channels, height, width, data: (0..24).map(at).collect(), ..Blob::default() }
    }

    #[test]
    fn the_part_that_the_input_sees_is_cut_out() {
        let shape = |text: &str| text.parse::<PartialShape>().unwrap();
        let (_folder, middle) = file(&blob(), None);
        let found = middle.tensor(&shape("[?,2,1,2]"), &Layout::default()).unwrap();
        assert_eq!((found.shape(), found.to_f64s()), (&[1, 2, 1, 2][..], vec![11., 12., 111., 112.]));
        let (_folder, corner) = file(&blob(), Some((2, 1)));
        let found = corner.tensor(&shape("[1,2,2,2]"), &"nhwc".parse().unwrap()).unwrap();
        assert_eq!(found.to_f64s(), [12., 112., 13., 113., 22., 122., 23., 123.]);
        let doubles = Blob {
            double_data: blob().data.iter().map(|v| f64::from(*v)).collect(),
            shape: Some(BlobShape { dim: vec![2, 3, 4] }),
            ..Blob::default()
        };
        let (_folder, doubles) = file(&doubles, None);
        assert_eq!(doubles.tensor(&shape("[1,2,1,2]"), &Layout::default()).unwrap().to_f64s()[3], 112.0);
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let error = |blob: &Blob, offsets, shape: &str| {
            let (_folder, mean) = file(blob, offsets);
            mean.tensor(&shape.parse().unwrap(), &Layout::default()).unwrap_err().to_string()
        };
        assert!(error(&blob(), Some((3, 0)), "[1,2,3,2]").contains("does not lie in it at (3,0)"));
        assert!(error(&blob(), Some((usize::MAX, 0)), "[1,2,3,2]").contains("does not lie"));
        assert!(error(&blob(), None, "[1,2,9,9]").contains("4x3"));
        assert!(error(&blob(), None, "[1,3,5,7]").contains("--layout"));
        assert!(error(&blob(), None, "[1,2,?,2]").contains("open"));
        let claims = Blob { width: Some(i32::MAX), ..blob() };
        assert!(error(&claims, None, "[1,2,2,2]").contains("are no image"));
    }
}
