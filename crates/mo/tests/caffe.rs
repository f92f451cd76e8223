//! Caffe's files to an IR: LeNet as Caffe would have left it, and what is damaged.

mod digits;

use digits::{array, convert, error, fixture, run};
use ir::{Tensor, cut::InputSpec};
use mo::{Framework, Request, Source, grammar::ChannelValues};
use std::{
    fs,
    path::{Path, PathBuf},
};

fn request(graph: PathBuf, folder: &Path) -> Request {
    Request {
        source: Source { graph, ..Source::default() },
        model_name: "net".to_owned(),
        output_dir: folder.to_owned(),
        ..Request::default()
    }
}

fn lenet(folder: &Path) -> Request {
    request(fixture("lenet/lenet_iter_1000.caffemodel"), folder)
}

#[test]
fn lenet_answers_as_opencv_by_whatever_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (images, want) = (array("lenet/expected.npz", "data"), array("lenet/expected.npz", "prob"));
    let beside = lenet(folder.path());
    assert_eq!(beside.source.framework(), Framework::Caffe);
    let mut named = beside.clone();
    named.source.definition = Some(fixture("lenet/lenet.prototxt"));
    // The name of the file says nothing then.
    fs::copy(&beside.source.graph, folder.path().join("weights.bin")).unwrap();
    named.source.graph = folder.path().join("weights.bin");
    for request in [beside, named] {
        let model = convert(&request).unwrap();
        assert!(error(&run(&model, &images), &want) < 1e-5);
        let names =
            |ids: &[ir::NodeId]| ids.iter().map(|id| model.node(*id).name.clone()).collect::<Vec<_>>();
        assert_eq!(names(model.parameters()), ["data"]);
        assert!(model.find_port("prob").is_some() && model.find_port("conv2").is_some());
    }
}

#[test]
fn inputs_and_outputs_are_those_that_were_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let images = array("lenet/expected.npz", "data");
    let whole = convert(&Request { outputs: vec!["pool2".to_owned()], ..lenet(folder.path()) }).unwrap();
    let features = run(&whole, &images);
    assert_eq!(features.shape(), [100, 16, 1, 1]);
    let mut rest = lenet(folder.path());
    rest.inputs = vec![InputSpec::at("ip1")];
    let rest = convert(&rest).unwrap();
    assert!(error(&run(&rest, &features), &array("lenet/expected.npz", "prob")) < 1e-5);
    for request in [
        Request { batch: Some(3), ..lenet(folder.path()) },
        Request { input_shapes: vec!["[3,1,8,8]".parse().unwrap()], ..lenet(folder.path()) },
    ] {
        let model = convert(&request).unwrap();
        assert_eq!(model.ty(model.results()[0].into()).to_string(), "f32[3,10]");
    }
    let two = Request { input_shapes: vec!["[1]".parse().unwrap(); 2], ..lenet(folder.path()) };
    assert!(convert(&two).unwrap_err().to_string().contains("1 input(s): 'data'"));
}

/// Mean, scale and the order of channels lie along the axis of Caffe's channels, and inside of the convolution.
#[test]
fn preprocessing_is_folded_into_the_first_convolution() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("colours.prototxt");
    let numbers = |count: usize| (0..count).map(|i| format!("{} ", (i * 37 % 11) as f32 / 8.0 - 0.5));
    let blob = |shape: &str, count| {
        format!("blobs {{ shape {{ {shape} }} data: [{}] }}", numbers(count).collect::<String>())
    };
    let network = format!(
        "input: 'data' input_shape {{ dim: 1 dim: 3 dim: 5 dim: 3 }}
         layer {{ name: 'conv' type: 'Convolution' bottom: 'data' top: 'conv' {} {}
                  convolution_param {{ num_output: 2 kernel_size: 3 }} }}",
        blob("dim: 2 dim: 3 dim: 3 dim: 3", 54),
        blob("dim: 2", 2)
    );
    fs::write(&text, network).unwrap();
    let values: Vec<f32> = (0..45).map(|i| (i * 29 % 251) as f32).collect();
    let (mean, scale) = ([104.0f32, 117.0, 123.5], [58.0f32, 57.0, 57.5]);
    // By hand: BGR from RGB, then mean, then scale. The width of three could be the channels of another framework.
    let by_hand = |i: usize| (values[(2 - i / 15) * 15 + i % 15] - mean[i / 15]) / scale[i / 15];
    let prepared: Vec<f32> = (0..45).map(by_hand).collect();
    let tensor = |values: &[f32]| Tensor::from_slice(&[1, 3, 5, 3], values).unwrap();
    let plain = convert(&request(text.clone(), folder.path())).unwrap();
    let want = run(&plain, &tensor(&prepared));
    let mut folded = request(text, folder.path());
    folded.mean_values = vec![ChannelValues { input: None, values: mean.to_vec() }];
    folded.scale_values = vec![ChannelValues { input: None, values: scale.to_vec() }];
    folded.reverse_input_channels = true;
    let folded = convert(&folded).unwrap();
    assert!(error(&run(&folded, &tensor(&values)), &want) < 1e-5);
    assert_eq!(folded.len(), plain.len(), "{folded}");
}

#[test]
fn nothing_is_left_of_what_fails() {
    let network = fs::read_to_string(fixture("lenet/lenet.prototxt")).unwrap();
    let weights = fs::read(fixture("lenet/lenet_iter_1000.caffemodel")).unwrap();
    let edited = |from: &str, to: &str| {
        assert!(network.contains(from), "{from}");
        network.replacen(from, to, 1).into_bytes()
    };
    let good = || network.clone().into_bytes();
    let bomb = "layer {".repeat(100_000).into_bytes();
    for (text, weights, parts) in [
        (good(), weights[..weights.len() / 2].to_vec(), &["net.caffemodel", "byte", "truncated"][..]),
        (good(), Vec::new(), &["net.caffemodel", "no layers"]),
        (good(), weights[..200].to_vec(), &["net.caffemodel", "truncated"]),
        (bomb, weights.clone(), &["net.prototxt", "line 1, column 700", "deeper than 100"]),
        (
            b"layer { name: '\xff' }".to_vec(),
            weights.clone(),
            &["net.prototxt", "line 1, column 16", "UTF-8"],
        ),
        (
            edited("kernel_size: 3", "kernel_size: 5"),
            weights.clone(),
            &["'conv1'", "[8, 1, 3, 3]", "[8, 1, 5, 5]"],
        ),
        (
            edited("name: \"conv1\"", "name: \"conv0\""),
            weights.clone(),
            &["'conv0'", "has no weights", "line 8"],
        ),
        (edited("bottom: \"data\"", "bottom: \"dta\""), weights.clone(), &["'conv1'", "line 8", "'dta'"]),
        (edited("bottom: \"data\"", "bottom: \"ip2\""), weights.clone(), &["'conv1'", "'ip2'", "cycle"]),
        (edited("\"ReLU\"", "\"Relu9\""), weights.clone(), &["Relu9", "relu1"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("net.prototxt"), text).unwrap();
        fs::write(folder.path().join("net.caffemodel"), weights).unwrap();
        let request = request(folder.path().join("net.caffemodel"), &folder.path().join("out"));
        let error = convert(&request).expect_err(parts[0]).to_string();
        for part in parts {
            assert!(error.contains(part), "{part:?} is not in: {error}");
        }
        assert!(!folder.path().join("out").exists(), "{error}");
    }
}

/// Any byte of the files may be another one.
#[test]
fn damaged_files_end_in_an_error_or_a_model() {
    let network = fs::read(fixture("lenet/lenet.prototxt")).unwrap();
    let weights = fs::read(fixture("lenet/lenet_iter_1000.caffemodel")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (text, binary) = (folder.path().join("net.prototxt"), folder.path().join("net.caffemodel"));
    let out = folder.path().join("out");
    for i in 0..400usize {
        let mut files = [network.clone(), weights.clone()];
        let file = &mut files[i % 2];
        // The heads of messages lie all over the text, and at the start of the binary file.
        let at = (i * 7919) % if i % 2 == 0 { file.len() } else { 200 };
        file[at] = file[at].wrapping_add(1 + (i * 31 % 255) as u8);
        fs::write(&text, &files[0]).unwrap();
        fs::write(&binary, &files[1]).unwrap();
        if convert(&request(binary.clone(), &out)).is_err() {
            assert!(!out.exists(), "{i}");
        } else {
            fs::remove_dir_all(&out).unwrap();
        }
    }
}
