//! The FPGA linked in, and as a shared library behind the C ABI: the same support, the same bits.

use ir::{ElementType, Model, Tensor, op::*};
use plugin_fpga::{
    FpgaDevice,
    bitstreams::named,
    board::{BoardId, Boards},
};
use runtime::{Config, Core, DeviceError, Error, HostTensor, RemoteTensor};
use std::{env, env::consts, process::Command, sync::Arc, time::Duration};

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

/// The answer by remote tensors, what they say of themselves and of misuse, and the times of rows 1, 2, 4, 5 and 6.
fn remote_answer(core: &Core) -> (Tensor, Vec<String>, Vec<Duration>, Arc<dyn RemoteTensor>) {
    let config = Config::from([("PERF_COUNT".to_owned(), "YES".to_owned())]);
    let compiled = core.compile_model(&network(), "FPGA", &config).unwrap();
    let x: Vec<f32> = (0..5 * 81).map(|i| (i % 29) as f32 / 7.0 - 2.0).collect();
    // A region of a wider image: elements with gaps cross, too.
    let wide = HostTensor::zeros(ElementType::F32, &[1, 5, 9, 12]).unwrap();
    let input = wide.region(&[0..1, 0..5, 0..9, 2..11]).unwrap();
    input.copy_from(&x.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>()).unwrap();
    let (image, sum) =
        (compiled.create_remote_tensor("x").unwrap(), compiled.create_remote_tensor("sum").unwrap());
    image.copy_from(&input).unwrap();
    let mut request = compiled.create_infer_request().unwrap();
    request.set_remote_tensor("x", image.clone()).unwrap();
    request.set_remote_tensor("sum", sum.clone()).unwrap();
    request.infer().unwrap();
    let rows = request.profile();
    let times = [0, 1, 3, 4, 5].map(|row| rows[row].real_time).to_vec();
    let wide = HostTensor::zeros(ElementType::F32, &[1, 24, 9, 10]).unwrap();
    let answer = wide.region(&[0..1, 0..24, 0..9, 1..10]).unwrap();
    sum.copy_to(&answer).unwrap();
    let mut said = vec![format!("{} {}{:?}", sum.device(), sum.element_type(), sum.shape())];
    said.extend(sum.properties().into_iter().map(|property| format!("{property:?}")));
    said.push(format!("{:?}", request.output(0).unwrap_err()));
    said.push(format!("{:?}", request.set_remote_tensor("x", sum.clone()).unwrap_err()));
    said.push(format!("{:?}", image.copy_from(&answer).unwrap_err()));
    // The host's memory again, and the request keeps what it was given.
    request.set_input(0, HostTensor::from_vec(&[1, 5, 9, 9], x).unwrap()).unwrap();
    let second = compiled.create_remote_tensor("sum").unwrap();
    request.set_remote_tensor("sum", second).unwrap();
    request.start_async().unwrap();
    request.wait().unwrap();
    request.set_output(0, HostTensor::zeros(ElementType::F32, &[1, 24, 9, 9]).unwrap()).unwrap();
    request.infer().unwrap();
    let by_host = request.output(0).unwrap().to_tensor().unwrap();
    drop((request, compiled));
    assert_eq!(answer.to_tensor().unwrap(), by_host);
    (by_host, said, times, image)
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

    let (by_linked, by_loaded) = (remote_answer(&linked), remote_answer(&loaded));
    assert_eq!(by_linked.0, expected.1);
    assert_eq!((&by_linked.0, &by_linked.1), (&by_loaded.0, &by_loaded.1));
    assert_eq!((&by_linked.2, &by_loaded.2), (&vec![Duration::ZERO; 5], &vec![Duration::ZERO; 5]));
    // Neither takes the other's.
    for (core, tensor) in [(&linked, by_loaded.3), (&loaded, by_linked.3)] {
        let compiled = core.compile_model(&network(), "FPGA", &Config::new()).unwrap();
        let mut request = compiled.create_infer_request().unwrap();
        let refused = request.set_remote_tensor("x", tensor).unwrap_err();
        assert!(matches!(refused, Error::Device(DeviceError::Tensor { .. })), "{refused:?}");
    }
    println!("the bits are the same");
}
