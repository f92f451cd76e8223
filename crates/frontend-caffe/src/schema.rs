//! What the numbers of binary files mean: the messages of Caffe's schema as far as they bear on an inference, and the
//! numbers that forks gave to theirs.

/// One field of a message.
pub(crate) struct Row {
    pub(crate) number: u32,
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
}

/// The type of a field. Whether it repeats, a file shows.
pub(crate) enum Kind {
    /// Integers, flags and enums.
    Integer,
    /// A float; doubles are taken too.
    Float,
    Text,
    /// A BlobProto, left as it is.
    Blob,
    Message(&'static [Row]),
    /// A layer, whose type says what the numbers of forks mean.
    Layer(&'static [Row]),
}

use Kind::{Blob, Float, Integer, Layer, Message, Text};

const fn row(number: u32, name: &'static str, kind: Kind) -> Row {
    Row { number, name, kind }
}

/// A file that is asked for its weights alone.
pub(crate) const WEIGHTS: &[Row] = &[
    row(1, "name", Text),
    row(
        2,
        "layers",
        Message(&[
            row(4, "name", Text),
            row(5, "type", Integer),
            row(6, "blobs", Blob),
            row(1001, "param", Text),
            row(1, "layer", Message(&[row(1, "name", Text), row(2, "type", Text), row(50, "blobs", Blob)])),
        ]),
    ),
    row(100, "layer", Message(&[row(1, "name", Text), row(2, "type", Text), row(7, "blobs", Blob)])),
];

/// NetParameter.
pub(crate) const NET: &[Row] = &[
    row(1, "name", Text),
    row(2, "layers", Message(V1_LAYER)),
    row(3, "input", Text),
    row(4, "input_dim", Integer),
    row(6, "state", Message(&[row(1, "phase", Integer), row(2, "level", Integer), row(3, "stage", Text)])),
    row(8, "input_shape", Message(SHAPE)),
    row(100, "layer", Layer(LAYER)),
];

const SHAPE: &[Row] = &[row(1, "dim", Integer)];

const RULE: &[Row] = &[
    row(1, "phase", Integer),
    row(2, "min_level", Integer),
    row(3, "max_level", Integer),
    row(4, "stage", Text),
    row(5, "not_stage", Text),
];

/// The numbers of a layer's own parameters begin here.
pub(crate) const FIRST_PARAMETER: u32 = 100;

const LAYER: &[Row] = &[
    row(1, "name", Text),
    row(2, "type", Text),
    row(3, "bottom", Text),
    row(4, "top", Text),
    row(6, "param", Message(&[row(1, "name", Text)])),
    row(7, "blobs", Blob),
    row(8, "include", Message(RULE)),
    row(9, "exclude", Message(RULE)),
    row(10, "phase", Integer),
    row(100, "transform_param", Message(TRANSFORM)),
    row(101, "loss_param", Message(&[])),
    row(103, "argmax_param", Message(ARGMAX)),
    row(104, "concat_param", Message(CONCAT)),
    row(106, "convolution_param", Message(CONVOLUTION)),
    row(107, "data_param", Message(DATA)),
    row(108, "dropout_param", Message(DROPOUT)),
    row(109, "dummy_data_param", Message(DUMMY_DATA)),
    row(110, "eltwise_param", Message(ELTWISE)),
    row(111, "exp_param", Message(EXP)),
    row(112, "hdf5_data_param", Message(&[row(2, "batch_size", Integer)])),
    row(115, "image_data_param", Message(IMAGE_DATA)),
    row(117, "inner_product_param", Message(INNER_PRODUCT)),
    row(118, "lrn_param", Message(LRN)),
    row(119, "memory_data_param", Message(MEMORY_DATA)),
    row(120, "mvn_param", Message(MVN)),
    row(121, "pooling_param", Message(POOLING)),
    row(122, "power_param", Message(POWER)),
    row(123, "relu_param", Message(RELU)),
    row(124, "sigmoid_param", Message(&[])),
    row(125, "softmax_param", Message(SOFTMAX)),
    row(126, "slice_param", Message(SLICE)),
    row(127, "tanh_param", Message(&[])),
    row(128, "threshold_param", Message(THRESHOLD)),
    row(129, "window_data_param", Message(WINDOW_DATA)),
    row(
        130,
        "python_param",
        Message(&[row(1, "module", Text), row(2, "layer", Text), row(3, "param_str", Text)]),
    ),
    row(131, "prelu_param", Message(&[row(2, "channel_shared", Integer)])),
    row(132, "spp_param", Message(&[row(1, "pyramid_height", Integer), row(2, "pool", Integer)])),
    row(
        133,
        "reshape_param",
        Message(&[row(1, "shape", Message(SHAPE)), row(2, "axis", Integer), row(3, "num_axes", Integer)]),
    ),
    row(134, "log_param", Message(EXP)),
    row(135, "flatten_param", Message(&[row(1, "axis", Integer), row(2, "end_axis", Integer)])),
    row(
        136,
        "reduction_param",
        Message(&[row(1, "operation", Integer), row(2, "axis", Integer), row(3, "coeff", Float)]),
    ),
    row(
        137,
        "embed_param",
        Message(&[row(1, "num_output", Integer), row(2, "input_dim", Integer), row(3, "bias_term", Integer)]),
    ),
    row(138, "tile_param", Message(&[row(1, "axis", Integer), row(2, "tiles", Integer)])),
    row(139, "batch_norm_param", Message(BATCH_NORM)),
    row(140, "elu_param", Message(&[row(1, "alpha", Float)])),
    row(141, "bias_param", Message(&[row(1, "axis", Integer), row(2, "num_axes", Integer)])),
    row(
        142,
        "scale_param",
        Message(&[row(1, "axis", Integer), row(2, "num_axes", Integer), row(4, "bias_term", Integer)]),
    ),
    row(143, "input_param", Message(&[row(1, "shape", Message(SHAPE))])),
    row(144, "crop_param", Message(&[row(1, "axis", Integer), row(2, "offset", Integer)])),
    row(145, "parameter_param", Message(&[row(1, "shape", Message(SHAPE))])),
    row(146, "recurrent_param", Message(&[row(1, "num_output", Integer), row(5, "expose_hidden", Integer)])),
    row(147, "swish_param", Message(&[row(1, "beta", Float)])),
    row(148, "clip_param", Message(&[row(1, "min", Float), row(2, "max", Float)])),
];

/// What forks put under numbers of their own, by the type of the layer.
pub(crate) fn fork_rows(layer_type: &str) -> &'static [Row] {
    FORKS.iter().find(|fork| fork.0 == layer_type).map_or(&[], |fork| fork.1)
}

const FORKS: &[(&str, &[Row])] = &[
    ("Permute", &[row(202, "permute_param", Message(&[row(1, "order", Integer)]))]),
    ("PriorBox", &[row(203, "prior_box_param", Message(PRIOR_BOX))]),
    ("DetectionOutput", &[row(204, "detection_output_param", Message(DETECTION_OUTPUT))]),
    (
        "Normalize",
        &[row(
            206,
            "norm_param",
            Message(&[
                row(1, "across_spatial", Integer),
                row(3, "channel_shared", Integer),
                row(4, "eps", Float),
            ]),
        )],
    ),
    (
        "ROIPooling",
        &[row(
            8_266_711,
            "roi_pooling_param",
            Message(&[
                row(1, "pooled_h", Integer),
                row(2, "pooled_w", Integer),
                row(3, "spatial_scale", Float),
            ]),
        )],
    ),
    (
        "PSROIPooling",
        &[row(
            10_002,
            "psroi_pooling_param",
            Message(&[
                row(1, "spatial_scale", Float),
                row(2, "output_dim", Integer),
                row(3, "group_size", Integer),
            ]),
        )],
    ),
];

const TRANSFORM: &[Row] =
    &[row(3, "crop_size", Integer), row(6, "force_color", Integer), row(7, "force_gray", Integer)];
const ARGMAX: &[Row] = &[row(1, "out_max_val", Integer), row(2, "top_k", Integer), row(3, "axis", Integer)];
const CONCAT: &[Row] = &[row(1, "concat_dim", Integer), row(2, "axis", Integer)];
const CONVOLUTION: &[Row] = &[
    row(1, "num_output", Integer),
    row(2, "bias_term", Integer),
    row(3, "pad", Integer),
    row(4, "kernel_size", Integer),
    row(5, "group", Integer),
    row(6, "stride", Integer),
    row(7, "weight_filler", Message(&[row(1, "type", Text)])),
    row(9, "pad_h", Integer),
    row(10, "pad_w", Integer),
    row(11, "kernel_h", Integer),
    row(12, "kernel_w", Integer),
    row(13, "stride_h", Integer),
    row(14, "stride_w", Integer),
    row(16, "axis", Integer),
    row(18, "dilation", Integer),
];
const DATA: &[Row] = &[row(4, "batch_size", Integer), row(5, "crop_size", Integer)];
const DROPOUT: &[Row] = &[row(1, "dropout_ratio", Float), row(2, "scale_train", Integer)];
const DUMMY_DATA: &[Row] = &[
    row(2, "num", Integer),
    row(3, "channels", Integer),
    row(4, "height", Integer),
    row(5, "width", Integer),
    row(6, "shape", Message(SHAPE)),
];
const ELTWISE: &[Row] = &[row(1, "operation", Integer), row(2, "coeff", Float)];
const EXP: &[Row] = &[row(1, "base", Float), row(2, "scale", Float), row(3, "shift", Float)];
const IMAGE_DATA: &[Row] = &[
    row(4, "batch_size", Integer),
    row(5, "crop_size", Integer),
    row(9, "new_height", Integer),
    row(10, "new_width", Integer),
    row(11, "is_color", Integer),
];
const INNER_PRODUCT: &[Row] = &[
    row(1, "num_output", Integer),
    row(2, "bias_term", Integer),
    row(5, "axis", Integer),
    row(6, "transpose", Integer),
];
const LRN: &[Row] = &[
    row(1, "local_size", Integer),
    row(2, "alpha", Float),
    row(3, "beta", Float),
    row(4, "norm_region", Integer),
    row(5, "k", Float),
];
const MEMORY_DATA: &[Row] = &[
    row(1, "batch_size", Integer),
    row(2, "channels", Integer),
    row(3, "height", Integer),
    row(4, "width", Integer),
];
const MVN: &[Row] =
    &[row(1, "normalize_variance", Integer), row(2, "across_channels", Integer), row(3, "eps", Float)];
const POOLING: &[Row] = &[
    row(1, "pool", Integer),
    row(2, "kernel_size", Integer),
    row(3, "stride", Integer),
    row(4, "pad", Integer),
    row(5, "kernel_h", Integer),
    row(6, "kernel_w", Integer),
    row(7, "stride_h", Integer),
    row(8, "stride_w", Integer),
    row(9, "pad_h", Integer),
    row(10, "pad_w", Integer),
    row(12, "global_pooling", Integer),
    row(13, "round_mode", Integer),
];
const POWER: &[Row] = &[row(1, "power", Float), row(2, "scale", Float), row(3, "shift", Float)];
const RELU: &[Row] = &[row(1, "negative_slope", Float)];
const SOFTMAX: &[Row] = &[row(2, "axis", Integer)];
const SLICE: &[Row] =
    &[row(1, "slice_dim", Integer), row(2, "slice_point", Integer), row(3, "axis", Integer)];
const THRESHOLD: &[Row] = &[row(1, "threshold", Float)];
const WINDOW_DATA: &[Row] = &[row(4, "batch_size", Integer), row(5, "crop_size", Integer)];
const BATCH_NORM: &[Row] = &[row(1, "use_global_stats", Integer), row(3, "eps", Float)];
const PRIOR_BOX: &[Row] = &[
    row(1, "min_size", Float),
    row(2, "max_size", Float),
    row(3, "aspect_ratio", Float),
    row(4, "flip", Integer),
    row(5, "clip", Integer),
    row(6, "variance", Float),
    row(7, "img_size", Integer),
    row(8, "img_h", Integer),
    row(9, "img_w", Integer),
    row(10, "step", Float),
    row(11, "step_h", Float),
    row(12, "step_w", Float),
    row(13, "offset", Float),
];
const DETECTION_OUTPUT: &[Row] = &[
    row(1, "num_classes", Integer),
    row(2, "share_location", Integer),
    row(3, "background_label_id", Integer),
    row(
        4,
        "nms_param",
        Message(&[row(1, "nms_threshold", Float), row(2, "top_k", Integer), row(3, "eta", Float)]),
    ),
    row(6, "code_type", Integer),
    row(7, "keep_top_k", Integer),
    row(8, "variance_encoded_in_target", Integer),
    row(9, "confidence_threshold", Float),
];

const V1_LAYER: &[Row] = &[
    row(1, "layer", Message(V0_LAYER)),
    row(2, "bottom", Text),
    row(3, "top", Text),
    row(4, "name", Text),
    row(5, "type", Integer),
    row(6, "blobs", Blob),
    row(9, "concat_param", Message(CONCAT)),
    row(10, "convolution_param", Message(CONVOLUTION)),
    row(11, "data_param", Message(DATA)),
    row(15, "image_data_param", Message(IMAGE_DATA)),
    row(12, "dropout_param", Message(DROPOUT)),
    row(13, "hdf5_data_param", Message(&[row(2, "batch_size", Integer)])),
    row(17, "inner_product_param", Message(INNER_PRODUCT)),
    row(18, "lrn_param", Message(LRN)),
    row(19, "pooling_param", Message(POOLING)),
    row(20, "window_data_param", Message(WINDOW_DATA)),
    row(21, "power_param", Message(POWER)),
    row(22, "memory_data_param", Message(MEMORY_DATA)),
    row(23, "argmax_param", Message(ARGMAX)),
    row(24, "eltwise_param", Message(ELTWISE)),
    row(25, "threshold_param", Message(THRESHOLD)),
    row(26, "dummy_data_param", Message(DUMMY_DATA)),
    row(30, "relu_param", Message(RELU)),
    row(31, "slice_param", Message(SLICE)),
    row(32, "include", Message(RULE)),
    row(33, "exclude", Message(RULE)),
    row(34, "mvn_param", Message(MVN)),
    row(36, "transform_param", Message(TRANSFORM)),
    row(39, "softmax_param", Message(SOFTMAX)),
    row(41, "exp_param", Message(EXP)),
    row(1001, "param", Text),
];

const V0_LAYER: &[Row] = &[
    row(1, "name", Text),
    row(2, "type", Text),
    row(3, "num_output", Integer),
    row(4, "biasterm", Integer),
    row(7, "pad", Integer),
    row(8, "kernelsize", Integer),
    row(9, "group", Integer),
    row(10, "stride", Integer),
    row(11, "pool", Integer),
    row(12, "dropout_ratio", Float),
    row(13, "local_size", Integer),
    row(14, "alpha", Float),
    row(15, "beta", Float),
    row(19, "batchsize", Integer),
    row(20, "cropsize", Integer),
    row(22, "k", Float),
    row(50, "blobs", Blob),
    row(62, "new_height", Integer),
    row(63, "new_width", Integer),
    row(65, "concat_dim", Integer),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rows: &[Row]) {
        for (i, row) in rows.iter().enumerate() {
            let again = rows[..i].iter().find(|other| other.number == row.number || other.name == row.name);
            assert!(again.is_none(), "{} {} stands twice", row.number, row.name);
            if let Message(rows) | Layer(rows) = &row.kind {
                check(rows);
            }
        }
    }

    #[test]
    fn no_number_and_no_name_stands_twice() {
        check(NET);
        check(WEIGHTS);
    }
}
