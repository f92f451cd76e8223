//! Lines that users type, old and new.

use super::*;
use std::path::PathBuf;

fn parse(line: &str) -> Result<(Request, Vec<String>), String> {
    let words = std::iter::once("mo").chain(line.split_whitespace()).map(OsString::from);
    let parsed = Arguments::parse_words(words).and_then(|(a, warnings)| Ok((a.request()?, warnings)));
    parsed.map_err(|error| error.to_string())
}

fn request(line: &str) -> Request {
    parse(line).unwrap_or_else(|error| panic!("{line}: {error}")).0
}

#[test]
fn the_users_lines_are_understood() {
    let found = request(
        "--input_model=resnet50_frozen.pb --output_dir=./ --input_shape=[1,224,224,3] --data_type=FP16",
    );
    assert_eq!(found.source.graph, PathBuf::from("resnet50_frozen.pb"));
    assert_eq!((found.model_name.as_str(), found.output_dir), ("resnet50_frozen", PathBuf::from("./")));
    assert_eq!(found.input_shapes, ["[1,224,224,3]".parse().unwrap()]);
    assert!(found.compress_to_fp16 && found.skip_passes.is_empty());
    let found = request(
        "--input_model resnet50_graph.pb --input_checkpoint resnet50.ckpt --output predictions/Softmax \
         --input_shape (1,224,224,3) --mean_values (103.9,116.7,123.6) --reverse_input_channels",
    );
    assert_eq!(found.source.checkpoint, Some("resnet50.ckpt".into()));
    assert_eq!(found.outputs, ["predictions/Softmax"]);
    assert!(found.reverse_input_channels && !found.compress_to_fp16);
}

#[test]
fn spellings_old_and_new_mean_the_same() {
    for (a, b) in [
        (
            "-m x.pb -o out -n net -b 2 -s 255",
            "--input_model x.pb --output_dir out --model_name net --batch 2 --scale 255",
        ),
        ("-w x.pb -ms (1,2,3)", "-m x.pb --mean_values (1,2,3)"),
        ("-m=x.pb -ms=(1,2,3)", "-m x.pb --mean_values=(1,2,3)"),
        ("-m x.pb -mf m.binaryproto -mo (3,4)", "-m x.pb --mean_file=m.binaryproto --mean_file_offsets 3,4"),
        ("-m x.pb --keep_custom_ops", "-m x.pb --keep_custom_ops="),
        ("-w x.caffemodel -d y.prototxt", "--input_model x.caffemodel --input_proto y.prototxt"),
        ("-m x.pb --data_type half", "-m x.pb --compress_to_fp16"),
        ("-m x.pb --data_type FP16", "-m x.pb --compress_to_fp16=True"),
        ("-m x.pb --data_type float", "-m x.pb --data_type FP32"),
        ("-m x.pb --compress_to_fp16 False", "-m x.pb"),
        ("-m x.pb --framework tf", "-m x.pb --framework=TF --log_level DEBUG --silent --progress"),
        ("-m x.pb --source_layout nhwc --target_layout nchw", "-m x.pb --layout nhwc->nchw"),
        (
            "-m x.pb --source_layout a(nhwc),b(nc) --target_layout a(nchw)",
            "-m x.pb --layout a(nhwc->nchw),b(nc)",
        ),
        ("-m x.pb --input a,b->1 --input_shape [1,2]", "-m x.pb --input a[1,2],b->1"),
        ("-m x.pb --input a,b --freeze_placeholder_with_value b->1", "-m x.pb --input a,b->1"),
        ("-m x.pb --freeze_placeholder_with_value b->1", "-m x.pb --input b->1"),
        ("-m x.pb --input_sh [1]", "-m x.pb --input_shape [1]"),
        ("-m x.pb --mean_values ()", "-m x.pb"),
    ] {
        let plain = |line: &str| Request { parameters: Vec::new(), ..request(line) };
        assert_eq!(plain(a), plain(b), "{a}");
    }
    assert_eq!(request("--input_meta_graph d/x.ckpt.meta").model_name, "x.ckpt");
    assert_eq!(request("-m x.pb --input_shape -1,3").input_shapes, ["[?,3]".parse().unwrap()]);
}

#[test]
fn contradictions_are_told() {
    for (line, part) in [
        ("", "--input_model"),
        ("-m x.pb --batch 0", "--batch"),
        ("-m x.pb --batch 2 --input_shape [1]", "cannot be used with"),
        ("-m x.pb --batch 2 --input a[1]", "--batch"),
        ("-m x.pb --scale 2 --scale_values [2]", "cannot be used with"),
        ("-m x.pb --scale 0", "--scale"),
        ("-m x.pb --scale_values [1,0]", "--scale_values"),
        ("-m x.pb --data_type FP32 --compress_to_fp16", "contradict"),
        ("-m x.pb --data_type INT8", "INT8"),
        ("-m x.pb --input a[1] --input_shape [1]", "give them once"),
        ("-m x.pb --input a,b --input_shape [1]", "1 shape(s) for the 2 input(s)"),
        ("-m x.pb --input a->1 --freeze_placeholder_with_value a->2", "twice"),
        ("-m x.pb --layout nhwc --source_layout nhwc", "cannot be used with"),
        ("-m x.pb --target_layout nchw", "--source_layout"),
        ("-m x.pb --source_layout a(nhwc) --target_layout b(nchw)", "'b'"),
        ("-m x.pb --model_name a/b", "--model_name"),
        ("-m x.pb --input_meta_graph y.meta", "cannot be used with"),
        ("-m x.pb --framework mxnet", "mxnet"),
        ("-m x.pb --mean_file a --mean_values [1]", "cannot be used with"),
        ("-m x.pb --mean_file_offsets (1,2)", "--mean_file"),
        ("-m x.pb --mean_file a --mean_file_offsets (1)", "--mean_file_offsets"),
        ("-m x.pb --finegrain_fusing a(", "--finegrain_fusing"),
        ("-m x.pb --transform Faster", "LowLatency2"),
        ("-m x.pb --ir_version 12", "10 or 11"),
        ("-m x.pb --target_device TPU", "FPGA"),
        ("-m x.pb -k /nowhere/map.xml", "/nowhere/map.xml"),
        ("-m x.pb --mean_values 1,2,3", "--mean_values"),
    ] {
        let error = parse(line).expect_err(line);
        assert!(error.contains(part), "{line}: {error}");
    }
}

#[test]
fn flags_of_the_past_are_accepted_and_said_to_do_nothing() {
    let (found, warnings) =
        parse("-m x.pb --disable_fusing --disable_gfusing --stream_output --tensorboard_logdir log").unwrap();
    assert_eq!(found.skip_passes, ["fuse linear chains", "group convolutions"]);
    assert_eq!(warnings.len(), 2);
    assert!(warnings[0].starts_with("--stream_output has no effect: "));
    command().debug_assert();
}

#[test]
fn parameters_are_told_without_folders() {
    let found =
        request("-m a/b/x.pb --input_checkpoint c/d.ckpt --input n[1,2]{f32},k->[1,2] --layout n(nc)");
    let parameters: std::collections::HashMap<_, _> = found.parameters.into_iter().collect();
    assert_eq!(parameters["input_model"], "x.pb");
    assert_eq!(parameters["input_checkpoint"], "d.ckpt");
    assert_eq!(parameters["input"], "n[1,2]{f32},k->[1,2]");
    assert_eq!(parameters["layout"], "n([N,C])");
    assert!(!parameters.contains_key("output"));
}
