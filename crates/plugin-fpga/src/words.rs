//! From tensors of the host to the card's words, and back.

use crate::{
    device::failed,
    number::{from_fp16_slice, to_fp16_slice},
    program::{Channels, Feature},
};
use ir::{
    ElementType, Tensor,
    device::{DeviceResult, HostTensor},
};

/// The fp16 values of a feature map in the card's memory.
pub(crate) fn values_of(feature: &Feature, vector: usize) -> usize {
    feature.height as usize * feature.width as usize * feature.pitch(vector as u32) as usize * vector
}

/// For each channel, in the order of the tensor: where it lies in the values of a place.
fn channel_places(feature: &Feature, vector: usize) -> impl Iterator<Item = usize> + '_ {
    let piece = move |piece: &Channels| {
        let start = piece.word as usize * vector;
        start..start + piece.count as usize
    };
    feature.channels.iter().flat_map(piece)
}

/// From channels first, as the model has them, to places with their channels.
pub(crate) fn to_words(feature: &Feature, values: &[f32], vector: usize) -> Vec<u16> {
    let mut halves = vec![0; values.len()];
    to_fp16_slice(values, &mut halves);
    let pitch = feature.pitch(vector as u32) as usize * vector;
    let places = feature.height as usize * feature.width as usize;
    let mut words = vec![0; places * pitch];
    for (channel, at) in channel_places(feature, vector).enumerate() {
        for (place, value) in halves[channel * places..][..places].iter().enumerate() {
            words[place * pitch + at] = *value;
        }
    }
    words
}

/// The way back.
pub(crate) fn from_words(feature: &Feature, words: &[u16], vector: usize) -> Vec<f32> {
    let pitch = feature.pitch(vector as u32) as usize * vector;
    let places = feature.height as usize * feature.width as usize;
    let mut halves = Vec::with_capacity(feature.shape.iter().product());
    for at in channel_places(feature, vector) {
        halves.extend((0..places).map(|place| words[place * pitch + at]));
    }
    let mut values = vec![0.0; halves.len()];
    from_fp16_slice(&halves, &mut values);
    values
}

/// The elements of a tensor.
pub(crate) fn floats(tensor: &HostTensor) -> DeviceResult<Vec<f32>> {
    let tensor = tensor.to_tensor()?;
    Ok(match tensor.view::<f32>() {
        Ok(values) => values.into_owned(),
        Err(_) => tensor.to_f64s().into_iter().map(|value| value as f32).collect(),
    })
}

/// Puts values into a tensor of any type.
pub(crate) fn store(tensor: &HostTensor, values: &[f32]) -> DeviceResult<()> {
    if tensor.element_type() == ElementType::F32 {
        return tensor.copy_from(bytemuck::cast_slice(values));
    }
    let values: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
    let made = Tensor::from_f64s(tensor.element_type(), tensor.shape(), &values).map_err(failed)?;
    tensor.copy_from(made.bytes())
}
