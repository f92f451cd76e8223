//! What is damaged or cannot be: a typed error that says where, and no panic.

use crate::caffemodel::{blob, field, layer};
use frontend_caffe::{Error, Options, convert, parse};
use proptest::prelude::*;

const NETWORK: &str = "name: 'n'
input: 'data'
input_shape { dim: 1 dim: 2 dim: 4 dim: 4 }
layer {
  name: 'conv' type: 'Convolution' bottom: 'data' top: 'conv'
  convolution_param { num_output: 3 kernel_size: 3 }
}
layer { name: 'relu' type: 'ReLU' bottom: 'conv' top: 'relu' }
";

fn weights() -> Vec<u8> {
    layer("conv", "Convolution", &[blob(&[3, 2, 3, 3]), blob(&[3])])
}

fn failure(text: &[u8], weights: Option<Vec<u8>>) -> Option<Error> {
    let net = match parse(Some(text.to_vec().into()), weights.map(Into::into)) {
        Ok(net) => net,
        Err(error) => return Some(error),
    };
    convert(&net, &Options::default()).err()
}

fn refused(text: &str, weights: Option<Vec<u8>>, part: &str) -> Error {
    let error = failure(text.as_bytes(), weights).unwrap_or_else(|| panic!("{part}: {text}"));
    assert!(error.to_string().contains(part), "{part:?} is not in: {error}");
    error
}

#[test]
fn the_network_itself_is_good() {
    assert!(failure(NETWORK.as_bytes(), Some(weights())).is_none());
}

#[test]
fn errors_name_the_layer_and_its_line() {
    for (from, to, part) in [
        (
            "bottom: 'conv'",
            "bottom: 'Conv'",
            "layer 'relu' (ReLU, line 8) takes 'Conv', which no layer before it makes; did you mean 'conv'?",
        ),
        (
            "bottom: 'data'",
            "bottom: 'relu'",
            "layer 'conv' (Convolution, line 4) takes 'relu' from layer 'relu' (ReLU, line 8), which stands behind it",
        ),
        (
            "bottom: 'data'",
            "bottom: 'conv'",
            "layer 'conv' (Convolution, line 4) takes 'conv' from layer 'conv'",
        ),
        ("'ReLU'", "'Rectifier'", "Rectifier (1)\n    relu ([1,3,2,2])"),
        (
            "num_output: 3",
            "num_output: 0",
            "layer 'conv' (Convolution, line 4): `convolution_param.num_output` is 0",
        ),
        ("num_output: 3", "", "`convolution_param.num_output` is missing"),
        ("num_output: 3", "num_output: x", "line 6, column 35: `num_output` is x, expected an integer"),
        ("num_output: 3", "num_output: 3 group: 2", "3 outputs do not divide into 2 groups"),
        ("num_output: 3", "num_output: 3 group: 0", "`group` is 0"),
        ("kernel_size: 3", "kernel_size: 0", "`kernel_size` is [0, 0]"),
        (
            "kernel_size: 3",
            "kernel_size: [1, 2, 3]",
            "`kernel_size` has 3 values; its input has 2 spatial dimensions",
        ),
        ("kernel_size: 3", "kernel_size: 3 stride: 0", "`stride` is [0, 0]"),
        ("kernel_size: 3", "kernel_size: 3 axis: 9", "`axis` is 9, but its input has 4 dimensions"),
        ("kernel_size: 3", "kernel_size: 3 axis: 2", "only axis 1"),
        ("dim: 1 dim: 2 dim: 4 dim: 4", "dim: 1 dim: 2", "its input has 2 dimensions"),
        ("dim: 4 dim: 4", "dim: 1 dim: 1", "layer 'conv' (Convolution, line 4): "),
        ("top: 'relu'", "top: 'a' top: 'b'", "layer 'relu' (ReLU, line 8): it names 2 tops, but it makes 1"),
        ("bottom: 'conv'", "", "it has 0 bottoms where 1 are expected"),
        ("layer { name: 'relu'", "layer { name: 'relu", "line 8, column "),
        ("}\nlayer {", "layer {", "line 3, column 13: this message is never closed"),
    ] {
        assert!(NETWORK.contains(from), "{from}");
        refused(&NETWORK.replacen(from, to, 1), Some(weights()), part);
    }
}

#[test]
fn weights_that_are_missing_or_of_another_shape_are_told() {
    let site = "layer 'conv' (Convolution, line 4)";
    let conv = |blobs: &[Vec<u8>]| layer("conv", "Convolution", blobs);
    for (weights, part) in [
        (None, "has no weights, expected [3, 2, 3, 3]; no caffemodel was given (--input_model)"),
        (
            Some(layer("Conv", "X", &[blob(&[1])])),
            "the caffemodel has weights for 1 layers, none of this name; it has some for 'Conv'",
        ),
        (Some(conv(&[])), "has no weights"),
        (
            Some(conv(&[blob(&[3, 2, 3, 3])])),
            "has no bias, expected [1, 3, 1, 1]; the caffemodel has 1 blob(s) for it",
        ),
        (
            Some(conv(&[blob(&[3, 2, 5, 5]), blob(&[3])])),
            "its weights have the shape [3, 2, 5, 5], expected [3, 2, 3, 3]",
        ),
        (
            Some(conv(&[blob(&[2, 3, 3, 3]), blob(&[3])])),
            "its weights have the shape [2, 3, 3, 3], expected [3, 2, 3, 3]",
        ),
        (
            Some(conv(&[blob(&[3, 2, 3, 3]), blob(&[4])])),
            "its bias have the shape [4], expected [1, 3, 1, 1]",
        ),
        (
            Some(conv(&[[field(7, &field(1, &[3, 2, 3, 3])), field(5, &[0; 8])].concat(), blob(&[3])])),
            "[3, 2, 3, 3] with 2 values",
        ),
        (Some(conv(&[b"\xff".to_vec(), blob(&[3])])), "its weights cannot be read: byte 0"),
    ] {
        let error = refused(NETWORK, weights, part);
        assert!(error.to_string().starts_with(site), "{error}");
    }
}

#[test]
fn files_that_are_none_are_told() {
    let error = refused("", Some(weights()), "it holds no layers");
    assert!(matches!(error, Error::NoLayers { .. }));
    refused("name: 'empty'", None, "it holds no layers");
    refused(NETWORK, Some(b"name: 'no weights'".to_vec()), "it holds no layers");
    refused(&"layer {".repeat(1000), None, "line 1, column 700: messages nest deeper than 100");
    refused(&"input: 'a' ".repeat(1 << 21), None, "the text holds more than 1048576 fields");
    let error = failure(b"name: 'a'\nlayer { name: '\xc3\x28' }", None).unwrap();
    assert!(error.to_string().starts_with("line 2, column 16: the byte \\xc3 is not UTF-8"), "{error}");
    assert!(matches!(error, Error::Text(_)));
    assert!(matches!(parse(None, None), Err(Error::Net(_))));
}

/// Claims of sizes cost nothing: each ends in an error or a model without memory of that size.
#[test]
fn great_numbers_are_only_numbers() {
    for layer in [
        "type: 'Convolution' convolution_param { num_output: 9223372036854775807 kernel_size: 3 }",
        "type: 'Convolution' convolution_param { num_output: 3 kernel_size: 4294967296 pad: 9223372036854775807 }",
        "type: 'InnerProduct' inner_product_param { num_output: 18446744073709551615 }",
        "type: 'InnerProduct' inner_product_param { num_output: 9223372036854775807 }",
        "type: 'Pooling' pooling_param { kernel_size: 9223372036854775807 stride: 9223372036854775807 }",
        "type: 'Pooling' pooling_param { kernel_size: 9223372036854775807 pad: 9223372036854775806 }",
        "type: 'Tile' tile_param { tiles: 9223372036854775807 }",
        "type: 'SPP' spp_param { pyramid_height: 60 }",
        "type: 'SPP' spp_param { pyramid_height: 18446744073709551615 }",
        "type: 'Reshape' reshape_param { shape { dim: 9223372036854775807 dim: -1 } }",
        "type: 'Reshape' reshape_param { shape { dim: -9223372036854775808 } axis: -9223372036854775808 }",
        "type: 'Flatten' flatten_param { axis: 9223372036854775807 end_axis: -9223372036854775808 }",
        "type: 'Slice' slice_param { slice_point: 9223372036854775807 }",
        "type: 'Crop' bottom: 'data' crop_param { offset: 9223372036854775807 }",
        "type: 'ArgMax' argmax_param { top_k: 9223372036854775807 }",
        "type: 'Interp' interp_param { height: 9223372036854775807 width: 9223372036854775807 }",
        "type: 'Interp' interp_param { zoom_factor: 9223372036854775807 }",
        "type: 'Interp' interp_param { height: 2 width: 2 pad_beg: -9223372036854775808 pad_end: -9223372036854775808 }",
        "type: 'Upsample' upsample_param { scale: 9223372036854775807 }",
        "type: 'Upsample' bottom: 'data' upsample_param { scale: 4294967296 }",
        "type: 'Resample' resample_param { factor: 1e30 }",
        "type: 'LRN' lrn_param { local_size: 9223372036854775807 }",
        "type: 'ShuffleChannel' shuffle_channel_param { group: 9223372036854775807 }",
        "type: 'Embed' embed_param { num_output: 9223372036854775807 input_dim: 9223372036854775807 }",
        "type: 'Scale' scale_param { axis: 3 num_axes: 9223372036854775807 }",
        "type: 'Permute' permute_param { order: 9223372036854775807 }",
        "type: 'Reduction' reduction_param { axis: -9223372036854775808 }",
        "type: 'Parameter' parameter_param { shape { dim: 9223372036854775807 dim: 9223372036854775807 } }",
    ] {
        let text = format!(
            "input: 'data' input_shape {{ dim: 1 dim: 2 dim: 4 dim: 4 }} layer {{ name: 'x' bottom: 'data' top: 'x' {layer} }}"
        );
        let _ = failure(text.as_bytes(), None);
    }
}

#[test]
fn every_truncation_is_an_answer_or_an_error() {
    let whole = weights();
    for len in 0..whole.len() {
        let error = failure(NETWORK.as_bytes(), Some(whole[..len].to_vec()));
        assert!(error.is_some(), "cut at {len}");
    }
    for len in 0..NETWORK.len() {
        let _ = failure(&NETWORK.as_bytes()[..len], Some(whole.clone()));
    }
}

proptest! {
    #[test]
    fn damaged_weights_never_panic(at in any::<prop::sample::Index>(), value: u8, more: Vec<u8>) {
        let mut bytes = weights();
        let at = at.index(bytes.len());
        bytes[at] = value;
        let _ = failure(NETWORK.as_bytes(), Some(bytes.clone()));
        bytes.splice(at..at, more);
        let _ = failure(NETWORK.as_bytes(), Some(bytes));
    }

    #[test]
    fn damaged_texts_never_panic(at in any::<prop::sample::Index>(), insert in "[a-z0-9:{}'\"<>,#\\\\ -]{0,6}") {
        let mut text = NETWORK.to_owned();
        let at = at.index(text.len());
        text.insert_str(at, &insert);
        let _ = failure(text.as_bytes(), Some(weights()));
    }
}
