//! Networks on the simulated FPGA, alone and under HETERO.

use ir::{Model, PartialShape, Tensor};
use plugin_fpga::{
    FpgaDevice,
    bitstreams::named,
    board::{Boards, Environment},
};
use runtime::{Config, Core, HostTensor, LayerStatus, ProfileRow};
use samples::{engine, numpy};
use std::{path::PathBuf, sync::Arc};
use tempfile::TempDir;

fn digits() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/digits")
}

/// An engine whose board holds a bitstream; the folder is the board's memory.
fn programmed(bitstream: &str) -> (Core, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let environment = Environment {
        state: folder.path().join("state"),
        boards: 1,
        bitstream: None,
        keep: false,
        package_root: None,
    };
    let boards = Boards::new(environment);
    let file = folder.path().join(format!("{bitstream}.aocx"));
    std::fs::write(&file, named(bitstream).expect(bitstream).to_bytes()).unwrap();
    boards.board("acl0".parse().unwrap()).unwrap().program(&file).unwrap();
    let core = engine::core();
    core.register(Arc::new(FpgaDevice::new().with_boards(boards)));
    (core, folder)
}

fn network(core: &Core) -> Model {
    let mut model = core.read_model(digits().join("openvino/digits_fp32.xml")).unwrap();
    model.set_parameter_shape(model.parameters()[0], PartialShape::fixed(&[1, 8, 8, 1]));
    model.infer().unwrap();
    model
}

/// TensorFlow's inputs for the 100 committed images.
fn images() -> Vec<Vec<f32>> {
    let arrays = numpy::read_npz(&digits().join("expected.npz")).unwrap();
    let array: &Tensor = &arrays.iter().find(|(name, _)| name == "input").unwrap().1;
    array.view::<f32>().unwrap().chunks(64).map(<[f32]>::to_vec).collect()
}

/// The answers to all images, and the rows of the last inference.
fn answers(core: &Core, device: &str) -> (Vec<Vec<f32>>, Vec<ProfileRow>) {
    let config: Config = [("PERF_COUNT".to_owned(), "YES".to_owned())].into();
    let compiled = core.compile_model(&network(core), device, &config).unwrap();
    let mut request = compiled.create_infer_request().unwrap();
    let answers = images()
        .into_iter()
        .map(|image| {
            request.set_input(0, HostTensor::from_vec(&[1, 8, 8, 1], image).unwrap()).unwrap();
            request.infer().unwrap();
            request.output(0).unwrap().to_tensor().unwrap().view::<f32>().unwrap().into_owned()
        })
        .collect();
    (answers, request.profile())
}

fn best(answer: &[f32]) -> usize {
    (0..answer.len()).max_by(|a, b| answer[*a].total_cmp(&answer[*b])).unwrap()
}

fn largest_difference(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    a.iter().flatten().zip(b.iter().flatten()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn all_digits_are_told_as_on_the_cpu() {
    let (fp16_core, _fp16) = programmed("2-0-1_RC_FP16_Generic");
    let (fp11_core, _fp11) = programmed("2-0-1_RC_FP11_Generic");
    let (cpu, _) = answers(&fp16_core, "CPU");
    let (fp16, rows) = answers(&fp16_core, "HETERO:FPGA,CPU");
    let (fp11, _) = answers(&fp11_core, "HETERO:FPGA,CPU");
    assert_eq!(cpu.len(), 100);
    let agree = |other: &[Vec<f32>]| cpu.iter().zip(other).filter(|(a, b)| best(a) == best(b)).count();
    println!("FP16: {} of 100 as the CPU; FP11: {}", agree(&fp16), agree(&fp11));
    assert_eq!(agree(&fp16), 100);
    assert!(agree(&fp11) >= 97, "{}", agree(&fp11));
    let (small, large) = (largest_difference(&cpu, &fp16), largest_difference(&cpu, &fp11));
    println!("largest difference: FP16 {small}, FP11 {large}");
    assert!(small > 0.0 && small < large);

    let fpga: Vec<&ProfileRow> = rows.iter().filter(|row| row.exec_type.starts_with("FPGA:")).collect();
    let expected = [
        "1. input preprocessing (mean data/FPGA)",
        "2. input transfer to DDR",
        "3. FPGA execute time",
        "4. output transfer from DDR",
        "5. FPGA output postprocessing",
        "6. copy to IE blob",
    ];
    let executed: Vec<&&ProfileRow> = fpga.iter().filter(|row| row.status == LayerStatus::Executed).collect();
    assert!(executed.len() >= 6, "{rows:?}");
    for (row, name) in executed.iter().zip(expected) {
        assert!(row.name.ends_with(name), "{row:?}");
    }
    assert!(executed[2].exec_type.ends_with("DLA_MODEL") && !executed[2].real_time.is_zero());
    let simulation = fpga.iter().find(|row| row.name.contains("simulated on the host")).unwrap();
    assert_eq!(
        (simulation.status, simulation.real_time.as_nanos()),
        (LayerStatus::NotRun, 0),
        "no part of the total"
    );
}

#[test]
fn an_exported_network_is_the_same_network_and_no_other_boards() {
    let (core, _folder) = programmed("2-0-1_RC_FP16_Generic");
    let model = network(&core);
    let support = core.query_model(&model, "FPGA", &Config::new()).unwrap();
    let refused =
        support.refused.iter().find(|(node, _)| node.contains("Softmax")).expect("SoftMax is refused");
    assert!(refused.1.contains("runs on another device"), "{refused:?}");
    let part = convolution();
    let compiled = core.compile_model(&part, "FPGA", &Config::new()).unwrap();
    let run = |compiled: &runtime::CompiledModel| {
        let mut request = compiled.create_infer_request().unwrap();
        let x: Vec<f32> = (0..4 * 36).map(|i| (i % 17) as f32 / 4.0 - 2.0).collect();
        request.set_input(0, HostTensor::from_vec(&[1, 4, 6, 6], x).unwrap()).unwrap();
        request.start_async().unwrap();
        request.wait().unwrap();
        request.output(0).unwrap().to_tensor().unwrap()
    };
    let expected = run(&compiled);
    let mut bytes = Vec::new();
    compiled.export(&mut bytes).unwrap();
    let bytes = ir::Bytes::from(bytes);
    let again = core.import_model(bytes.clone(), "FPGA", &Config::new()).unwrap();
    assert_eq!(run(&again), expected);

    let (other, _folder) = programmed("2-0-1_RC_FP11_Generic");
    let error = other.import_model(bytes, "FPGA", &Config::new()).err().unwrap().to_string();
    assert!(error.contains("architecture") || error.contains("compiled for"), "{error}");
}

/// One convolution with a bias and a ReLU.
fn convolution() -> Model {
    use ir::op::*;
    let mut model = Model::new("convolution");
    let x = model.add_parameter("x", ir::ElementType::F32, "[1,4,6,6]".parse().unwrap());
    let weights: Vec<f32> = (0..8 * 4 * 9).map(|i| ((i * 7) % 23) as f32 / 23.0 - 0.5).collect();
    let w = model.add_constant("w", Tensor::from_slice(&[8, 4, 3, 3], &weights).unwrap());
    let op = Convolution {
        strides: vec![1, 1],
        pads_begin: vec![1, 1],
        pads_end: vec![1, 1],
        dilations: vec![1, 1],
        ..Convolution::default()
    };
    let y = model.add("conv", op, &[x.into(), w.into()]).unwrap();
    let bias: Vec<f32> = (0..8).map(|i| i as f32 / 8.0).collect();
    let b = model.add_constant("b", Tensor::from_slice(&[1, 8, 1, 1], &bias).unwrap());
    let y = model.add("bias", Binary::new(BinaryKind::Add), &[y.into(), b.into()]).unwrap();
    let y = model.add("relu", Unary::Relu, &[y.into()]).unwrap();
    model.add_result("y", y.into()).unwrap();
    model
}

#[test]
fn what_a_board_lacks_is_told_before_a_network_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let environment = Environment {
        state: folder.path().to_owned(),
        boards: 1,
        bitstream: None,
        keep: false,
        package_root: None,
    };
    let core = engine::core();
    core.register(Arc::new(FpgaDevice::new().with_boards(Boards::new(environment))));
    for device in ["FPGA", "HETERO:FPGA,CPU"] {
        let error = core.compile_model(&network(&core), device, &Config::new()).err().unwrap().to_string();
        assert!(error.contains("acl0 is not programmed") && error.contains("aocl program"), "{error}");
        let error = core.query_model(&network(&core), device, &Config::new()).unwrap_err().to_string();
        assert!(error.contains("acl0 is not programmed"), "{error}");
    }
}
