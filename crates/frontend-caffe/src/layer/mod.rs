//! The layers that can be converted: one table, [`find`]; one module a family.
//!
//! To add a layer: a function in its family's module, and a row. A function reads every parameter that bears on the
//! result through its [`Scope`]; parameters that nobody reads become notes.

mod activation;
mod convolution;
mod custom;
mod detection;
mod eltwise;
mod inner_product;
mod input;
mod movement;
mod normalization;
mod pooling;
mod proposal;
mod recurrent;
mod reduction;
mod resize;
mod scale;
mod spatial;
mod window;
mod yolo;

pub(crate) use custom::custom;

use crate::scope::{Converted, Scope};
use ir::op::Unary;
use std::{collections::HashMap, sync::OnceLock};

/// Converts one layer.
pub(crate) type Converter = fn(&mut Scope) -> Converted;

/// The converter of a type of layer.
pub(crate) fn find(kind: &str) -> Option<Converter> {
    static INDEX: OnceLock<HashMap<&str, Converter>> = OnceLock::new();
    INDEX.get_or_init(|| INPUTS.iter().chain(TABLE).copied().collect()).get(kind).copied()
}

/// True for layers where data enters.
pub(crate) fn is_input(kind: &str) -> bool {
    INPUTS.iter().any(|row| row.0 == kind)
}

/// Where data enters: inputs of the model, whatever Caffe reads it from.
const INPUTS: &[(&str, Converter)] = &[
    ("Input", input::input),
    ("GlobalInput", input::input),
    ("AnnotatedData", input::data),
    ("Data", input::data),
    ("DummyData", input::dummy_data),
    ("HDF5Data", input::hdf5_data),
    ("ImageData", input::image_data),
    ("MemoryData", input::memory_data),
    ("VideoData", input::data),
    ("WindowData", input::window_data),
];

const TABLE: &[(&str, Converter)] = &[
    // What only hands data on, or holds it
    ("Dropout", eltwise::dropout),
    ("Parameter", input::parameter),
    ("Silence", |_| Ok(Vec::new())),
    ("Split", movement::split),
    // Functions of one tensor
    ("AbsVal", |s| activation::unary(s, Unary::Abs)),
    ("BNLL", |s| activation::unary(s, Unary::SoftPlus)),
    ("Mish", |s| activation::unary(s, Unary::Mish)),
    ("Sigmoid", |s| activation::unary(s, Unary::Sigmoid)),
    ("TanH", |s| activation::unary(s, Unary::Tanh)),
    ("Clip", activation::clip),
    ("ELU", activation::elu),
    ("Exp", activation::exp),
    ("HardSigmoid", activation::hard_sigmoid),
    ("HSigmoid", |s| activation::unary(s, Unary::HSigmoid)),
    ("HSwish", |s| activation::unary(s, Unary::HSwish)),
    ("Log", activation::log),
    ("Power", activation::power),
    ("PReLU", activation::prelu),
    ("ReLU", activation::relu),
    ("ReLU6", activation::relu6),
    ("Swish", activation::swish),
    ("Threshold", activation::threshold),
    // Functions of several tensors
    ("Axpy", scale::axpy),
    ("Bias", scale::bias),
    ("Eltwise", eltwise::eltwise),
    ("Scale", scale::scale),
    // Convolutions, products, pools
    ("Convolution", |s| convolution::convolution(s, false)),
    ("ConvolutionDepthwise", |s| convolution::convolution(s, true)),
    ("DepthwiseConvolution", |s| convolution::convolution(s, true)),
    ("DepthwiseConv", |s| convolution::convolution(s, true)),
    ("Deconvolution", convolution::deconvolution),
    ("Embed", inner_product::embed),
    ("InnerProduct", inner_product::inner_product),
    ("Pooling", pooling::pooling),
    ("SPP", pooling::pyramid),
    // Normalisation
    ("BatchNorm", normalization::batch_norm),
    ("BN", normalization::bn),
    ("GRN", yolo::grn),
    ("LRN", normalization::lrn),
    ("MVN", normalization::mvn),
    ("Normalize", normalization::normalize),
    // Along axes
    ("ArgMax", reduction::arg_max),
    ("Reduction", reduction::reduction),
    ("Softmax", reduction::softmax),
    // Elements in another order, put together, or taken apart
    ("BatchReindex", movement::batch_reindex),
    ("Concat", movement::concat),
    ("Crop", movement::crop),
    ("Flatten", movement::flatten),
    ("Permute", movement::permute),
    ("Reshape", movement::reshape),
    ("ShuffleChannel", movement::shuffle_channel),
    ("Slice", movement::slice),
    ("Tile", movement::tile),
    // Other sizes
    ("Interp", resize::interp),
    ("Resample", resize::resample),
    ("Upsample", resize::upsample),
    // Detectors
    ("DetectionOutput", detection::detection_output),
    ("PriorBox", detection::prior_box),
    ("PriorBoxClustered", detection::prior_box_clustered),
    ("Proposal", proposal::proposal),
    ("PSROIPooling", proposal::psroi_pooling),
    ("Python", proposal::python),
    ("RegionYolo", yolo::region_yolo),
    ("ReorgYolo", yolo::reorg_yolo),
    ("ROIPooling", proposal::roi_pooling),
    ("SimplerNMS", proposal::simpler_nms),
    // Sequences and places
    ("Correlation", spatial::correlation),
    ("CTCGreedyDecoder", yolo::ctc_greedy_decoder),
    ("LSTM", recurrent::lstm),
    ("RNN", recurrent::rnn),
    ("SpatialTransformer", spatial::spatial_transformer),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_layer_stands_twice() {
        let rows = || INPUTS.iter().chain(TABLE);
        assert_eq!(rows().map(|row| row.0).collect::<std::collections::HashSet<_>>().len(), rows().count());
    }
}
