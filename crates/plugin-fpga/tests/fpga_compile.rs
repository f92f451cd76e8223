//! `fpga_compile` on networks that the FPGA takes, takes a part of, and does not take.

use ir::{Model, Op, Port, Tensor, op::*};
use serde_json::Value;
use std::{
    path::Path,
    process::{Command, Output},
};

const NAME: &str = "4x2x16x32_fp16_sb9408_fcd1024_actk4_poolk4_normk1_owk2_image300x300x8192_mbfr";

fn convolution(model: &mut Model, name: &str, from: Port, channels: [usize; 2]) -> Port {
    let [inputs, outputs] = channels;
    let values = vec![0.01f32; outputs * inputs * 9];
    let filters = Tensor::from_slice(&[outputs, inputs, 3, 3], &values).unwrap();
    let filters = model.add_constant(format!("{name}/filters"), filters).output(0);
    let op = Convolution {
        strides: vec![1, 1],
        pads_begin: vec![1, 1],
        pads_end: vec![1, 1],
        dilations: vec![1, 1],
        auto_pad: AutoPad::Explicit,
    };
    model.add(name, op, &[from, filters]).unwrap().output(0)
}

/// A convolution, or two, and a SoftMax if asked for.
fn write(folder: &Path, softmax: bool) -> std::path::PathBuf {
    let mut model = Model::new("small");
    let image = model.add_parameter("image", ir::ElementType::F32, (&[1usize, 3, 20, 20][..]).into());
    let first = convolution(&mut model, "first", image.output(0), [3, 40]);
    let relu = model.add("first/relu", Op::Unary(Unary::Relu), &[first]).unwrap().output(0);
    let mut last = convolution(&mut model, "second", relu, [40, 24]);
    if softmax {
        last = model.add("answer", Softmax { axis: 1 }, &[last]).unwrap().output(0);
    }
    model.add_result("result", last).unwrap();
    let path = folder.join("small.xml");
    ir::write_ir(&model, &path).unwrap();
    path
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fpga_compile")).args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_whole_network() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), false);
    let picture = folder.path().join("schedule.svg");
    let (model, picture) = (path.to_str().unwrap(), picture.to_str().unwrap());
    let short = text(&run(&["-m", model, "-DLA_ARCH_NAME", NAME]));
    assert!(short.starts_with("Compiled for 4x2x16x32"), "{short}");
    let long = text(&run(&["-m", model, "-DLA_ARCH_NAME", NAME, "--estimate", "--picture", picture]));
    assert!(long.contains("no board was measured") && long.contains("first"), "{long}");
    assert!(std::fs::read_to_string(picture).unwrap().contains("by a cycle model"));
    let json = text(&run(&["-m", model, "-DLA_ARCH_NAME", NAME, "--json"]));
    let json: Value = serde_json::from_str(&json).unwrap();
    // 5 x 10 tiles of 9 taps: a word of channels and two portions of filters, then three words and one.
    let layers = json["layers"].as_array().unwrap();
    let compute: u64 = layers.iter().map(|layer| layer["compute_cycles"].as_u64().unwrap()).sum();
    assert_eq!(compute, 50 * 9 * (2 + 3));
    let bitstream = plugin_fpga::bitstreams::all().remove(0);
    let file = folder.path().join(bitstream.name());
    std::fs::write(&file, bitstream.to_bytes()).unwrap();
    let held = text(&run(&["-m", model, "--bitstream", file.to_str().unwrap()]));
    assert!(held.starts_with(&format!("Compiled for {}", bitstream.architecture)), "{held}");
    let program = folder.path().join("small.program");
    text(&run(&["-m", model, "-DLA_ARCH_NAME", NAME, "-o", program.to_str().unwrap()]));
    let bytes = ir::Bytes::from(std::fs::read(&program).unwrap());
    let architecture = NAME.parse().unwrap();
    let read = plugin_fpga::compile::export::read(&bytes, &architecture).unwrap();
    assert_eq!(read, plugin_fpga::compile::compile(&ir::read_ir(&path).unwrap(), &architecture).unwrap());
    let again = text(&run(&["-m", model, "-DLA_ARCH_NAME", NAME, "--json"]));
    assert_eq!(serde_json::from_str::<Value>(&again).unwrap(), json);
}

#[test]
fn a_smaller_stream_buffer_costs_time_and_traffic() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), false);
    let costs = [64, 100, 200, 400, 9408].map(|depth| {
        let name = NAME.replace("sb9408", &format!("sb{depth}"));
        let json = text(&run(&["-m", path.to_str().unwrap(), "-DLA_ARCH_NAME", &name, "--json"]));
        let json: Value = serde_json::from_str(&json).unwrap();
        [&json["cycles"], &json["ddr_bytes"]["features"]].map(|value| value.as_u64().unwrap())
    });
    assert!(costs.windows(2).all(|pair| pair[0][0] >= pair[1][0] && pair[0][1] >= pair[1][1]), "{costs:?}");
    // The first is so small that maps are spilled.
    assert!(costs[0][1] > costs[4][1] && costs[0][0] > costs[4][0], "{costs:?}");
}

#[test]
fn a_network_of_two_devices() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), true);
    let told = text(&run(&["-m", path.to_str().unwrap(), "-DLA_ARCH_NAME", NAME, "--estimate"]));
    assert!(told.contains("Layer (Name: answer, Type: SoftMax) is not supported:"), "{told}");
    assert!(told.contains("HETERO:FPGA,CPU is needed"), "{told}");
    assert!(told.contains("second"), "{told}");
}

#[test]
fn a_network_that_tensorflow_laid_out() {
    let mut model = Model::new("nhwc");
    let shape = "?,20,20,3".parse().unwrap();
    let image = model.add_parameter("image", ir::ElementType::F32, shape).output(0);
    let order = model.add_constant("order", Tensor::from_i64s(&[0, 3, 1, 2])).output(0);
    // Under the name of the image, as such transposes come.
    let image = model.add("image", Transpose, &[image, order]).unwrap().output(0);
    let first = convolution(&mut model, "first", image, [3, 40]);
    let answer = model.add("answer", Softmax { axis: 1 }, &[first]).unwrap().output(0);
    let last = convolution(&mut model, "second", answer, [40, 24]);
    let relu = model.add("second/relu", Op::Unary(Unary::Relu), &[last]).unwrap().output(0);
    model.add_result("result", relu).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nhwc.xml");
    ir::write_ir(&model, &path).unwrap();
    let output = run(&["-m", path.to_str().unwrap(), "-DLA_ARCH_NAME", NAME, "--json"]);
    let json: Value = serde_json::from_str(&text(&output)).unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("compiled for one image") && told.contains("Name: image#2, Type: Transpose"),
        "{told}"
    );
    // Of the two parts between what is refused, the larger one.
    let names: Vec<&Value> = json["layers"].as_array().unwrap().iter().map(|layer| &layer["name"]).collect();
    assert_eq!(names, ["second"]);
}

#[test]
fn what_is_wrong_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), false);
    let output = run(&["-m", path.to_str().unwrap(), "-DLA_ARCH_NAME", "4x2x16"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("there should be P x Q"), "{error}");
    let output = run(&["-m", "nowhere.xml", "-DLA_ARCH_NAME", NAME]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("nowhere.xml"), "{error}");
}
