//! The FPGA linked in, and as a shared library behind the C ABI: the same support, the same bits.

use ir::{ElementType, Model, Tensor, op::*};
use plugin_fpga::{
    FpgaDevice,
    bitstreams::named,
    board::{BoardId, Boards},
};
use runtime::{Config, Core, HostTensor};
use std::{env, env::consts, process::Command, sync::Arc};

/// Two convolutions with an addition and a pooling between.
fn network() -> Model {
    let mut model = Model::new("network");
    let x = model.add_parameter("x", ElementType::F32, "[1,5,9,9]".parse().unwrap());
    let filters = |model: &mut Model, name: &str, shape: [usize; 4]| {
        let values: Vec<f32> =
            (0..shape.iter().product()).map(|i| ((i * 13) % 31) as f32 / 31.0 - 0.5).collect();
        model.add_constant(name, Tensor::from_slice(&shape, &values).unwrap())
    };
    let convolution = || Convolution {
        strides: vec![1, 1],
        pads_begin: vec![1, 1],
        pads_end: vec![1, 1],
        dilations: vec![1, 1],
        ..Convolution::default()
    };
    let w = filters(&mut model, "w1", [24, 5, 3, 3]);
    let a = model.add("a", convolution(), &[x.into(), w.into()]).unwrap();
    let a = model.add("relu", Unary::Relu, &[a.into()]).unwrap();
    let w = filters(&mut model, "w2", [24, 24, 3, 3]);
    let b = model.add("b", convolution(), &[a.into(), w.into()]).unwrap();
    let sum = model.add("sum", Binary::new(BinaryKind::Add), &[a.into(), b.into()]).unwrap();
    model.add_result("y", sum.into()).unwrap();
    model
}

fn answer(core: &Core) -> (usize, Tensor) {
    let model = network();
    let taken = core.query_model(&model, "FPGA", &Config::new()).unwrap().supported.len();
    let compiled = core.compile_model(&model, "FPGA", &Config::new()).unwrap();
    let mut request = compiled.create_infer_request().unwrap();
    let x: Vec<f32> = (0..5 * 81).map(|i| (i % 29) as f32 / 7.0 - 2.0).collect();
    request.set_input(0, HostTensor::from_vec(&[1, 5, 9, 9], x).unwrap()).unwrap();
    request.infer().unwrap();
    (taken, request.output(0).unwrap().to_tensor().unwrap())
}

const STATE: &str = "TERROIR_FPGA_STATE";

/// A library knows its boards by the environment alone, so this test starts itself with one.
#[test]
fn linked_in_and_loaded_it_gives_the_same_bits() {
    if env::var_os(STATE).is_none() {
        let state = tempfile::tempdir().unwrap();
        let mut again = Command::new(env::current_exe().unwrap());
        let again = again.args(["--exact", "linked_in_and_loaded_it_gives_the_same_bits", "--nocapture"]);
        let output = again.env(STATE, state.path()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains("the bits are the same"), "{text}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let name = "2-0-1_RC_FP16_Generic";
    let file = folder.path().join("bitstream.aocx");
    std::fs::write(&file, named(name).unwrap().to_bytes()).unwrap();
    let acl0: BoardId = "acl0".parse().unwrap();
    Boards::here().unwrap().board(acl0).unwrap().program(&file).unwrap();

    let linked = Core::new();
    linked.register(Arc::new(FpgaDevice::new()));
    let library = format!("{}terroir_fpga_plugin{}", consts::DLL_PREFIX, consts::DLL_SUFFIX);
    let library = env::current_exe().unwrap().with_file_name(library);
    let list = format!("{{ \"FPGA\": \"{}\" }}", library.display());
    std::fs::write(folder.path().join("plugins.json"), list).unwrap();
    let loaded = Core::new();
    loaded.add_plugins(folder.path()).unwrap();

    assert_eq!(loaded.property("FPGA", "FPGA_BITSTREAM").unwrap(), name);
    let (expected, found) = (answer(&linked), answer(&loaded));
    assert!(expected.1.to_f64s().iter().any(|value| *value != 0.0));
    assert_eq!(expected, found);
    println!("the bits are the same");
}
