//! Tensors in the card's memory: what crosses the bus, what fits where, and who waits for whom.

mod counting;
mod divided;

use counting::Counting;
use ir::{ElementType, Model, Tensor, device::DeviceResult, op::*};
use plugin_fpga::{
    FpgaDevice,
    bitstreams::named,
    board::{Boards, Environment},
    opencl::{OpenCl, OpenClError},
};
use runtime::{
    CompiledModel, Config, Core, DeviceError, Error, HostTensor, InferRequest, ProfileRow, RemoteTensor,
};
use std::{sync::Arc, time::Duration};

/// Two boards with a bitstream.
struct Machine {
    _folder: tempfile::TempDir,
    boards: Boards,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let environment = Environment { state, boards: 2, bitstream: None, keep: false, package_root: None };
        let boards = Boards::new(environment);
        let file = folder.path().join("bitstream.aocx");
        std::fs::write(&file, named("2-0-1_RC_FP16_Generic").unwrap().to_bytes()).unwrap();
        boards.all().for_each(|board| drop(board.program(&file).unwrap()));
        Self { _folder: folder, boards }
    }

    fn core(&self, device: FpgaDevice) -> Core {
        let core = Core::new();
        core.register(Arc::new(device.with_boards(self.boards.clone())));
        core
    }
}

fn add_convolution(model: &mut Model, name: &str, from: ir::Port, channels: [usize; 2]) -> ir::Port {
    let shape = [channels[1], channels[0], 3, 3];
    let value = |i: usize| ((i * 13 + channels[1]) % 31) as f64 / 31.0 - 0.5;
    let values: Vec<f64> = (0..shape.iter().product()).map(value).collect();
    let filters = Tensor::from_f64s(model.ty(from).element_type, &shape, &values).unwrap();
    let filters = model.add_constant(format!("{name}/filters"), filters);
    let op = Convolution {
        strides: vec![1, 1],
        pads_begin: vec![1, 1],
        pads_end: vec![1, 1],
        dilations: vec![1, 1],
        ..Convolution::default()
    };
    model.add(name, op, &[from, filters.into()]).unwrap().into()
}

/// One convolution of an image of 9 x 7.
fn network(ty: ElementType, channels: [usize; 2]) -> Model {
    let mut model = Model::new("network");
    let x = model.add_parameter("x", ty, format!("[1,{},9,7]", channels[0]).parse().unwrap());
    let y = add_convolution(&mut model, "y", x.into(), channels);
    model.add_result("result", y).unwrap();
    model
}

/// 16 channels of which 10 and 6 have words of their own.
fn concatenation() -> Model {
    let mut model = Model::new("concatenation");
    let x = model.add_parameter("x", ElementType::F32, "[1,5,9,7]".parse().unwrap());
    let parts = [10, 6].map(|count| add_convolution(&mut model, &format!("y{count}"), x.into(), [5, count]));
    let y = model.add("y", Concat { axis: 1 }, &parts).unwrap();
    model.add_result("result", y.into()).unwrap();
    model
}

fn on(core: &Core, model: &Model, device: &str) -> CompiledModel {
    let config = Config::from([("PERF_COUNT".to_owned(), "YES".to_owned())]);
    core.compile_model(model, device, &config).unwrap()
}

/// Values that need every bit of fp16 and of its range.
fn image(channels: usize) -> HostTensor {
    let value = |i: usize| ((i * 7919 % 4001) as f32 - 2000.0) * [1e-3, 0.37, 11.0][i % 3];
    HostTensor::from_vec(&[1, channels, 9, 7], (0..channels * 63).map(value).collect()).unwrap()
}

fn bytes(tensor: &HostTensor) -> Vec<u8> {
    tensor.read().unwrap().to_vec()
}

/// What a tensor on the card holds.
fn held(remote: &Arc<dyn RemoteTensor>) -> Vec<u8> {
    let host = HostTensor::zeros(remote.element_type(), remote.shape()).unwrap();
    remote.copy_to(&host).unwrap();
    bytes(&host)
}

fn by_host(compiled: &CompiledModel, input: HostTensor) -> HostTensor {
    let mut request = compiled.create_infer_request().unwrap();
    request.set_input(0, input).unwrap();
    request.infer().unwrap();
    request.output(0).unwrap()
}

/// The times of Intel's six rows.
fn times(request: &InferRequest) -> [Duration; 6] {
    let rows: Vec<ProfileRow> = request.profile();
    std::array::from_fn(|row| {
        assert!(rows[row].name.starts_with(&format!("{}. ", row + 1)));
        rows[row].real_time
    })
}

#[test]
fn a_kept_input_crosses_the_bus_once() {
    let machine = Machine::new();
    let executor = Counting::new();
    let core = machine.core(FpgaDevice::new().with_executor(executor.clone()));
    let compiled = on(&core, &network(ElementType::F32, [5, 10]), "FPGA");
    let expected = bytes(&by_host(&compiled, image(5)));
    let mut request = compiled.create_infer_request().unwrap();
    request.set_input(0, image(5)).unwrap();
    request.infer().unwrap();
    let host = times(&request);
    assert!(host.iter().all(|time| *time > Duration::ZERO), "{host:?}");

    let remote = compiled.create_remote_tensor("x").unwrap();
    assert_eq!((remote.device(), remote.shape()), ("FPGA.0", &[1, 5, 9, 7][..]));
    let property = |key| remote.properties().into_iter().find(|p| p.name == key).unwrap().value;
    assert_eq!(property("BYTES"), (9 * 7 * 16 * 2).to_string());
    remote.copy_from(&image(5)).unwrap();
    request.set_remote_tensor("x", remote.clone()).unwrap();
    executor.reset();
    for _ in 0..5 {
        request.infer().unwrap();
        assert_eq!(bytes(&request.output(0).unwrap()), expected);
        let kept = times(&request);
        assert_eq!(kept[..2], [Duration::ZERO; 2]);
        // The card's own copy of 2016 bytes, read and written, at 17 GB/s.
        assert!(kept[2] > host[2] && kept[2] < host[2] + Duration::from_micros(1));
        assert_eq!(kept[3], host[3]);
    }
    assert_eq!(executor.crossed(), [0, 5]);

    // An output that stays, too.
    let output = compiled.create_remote_tensor("y").unwrap();
    assert!(held(&output).iter().all(|byte| *byte == 0));
    request.set_remote_tensor("y", output.clone()).unwrap();
    request.start_async().unwrap();
    request.wait().unwrap();
    assert_eq!(executor.crossed(), [0, 5]);
    let kept = times(&request);
    assert_eq!([kept[0], kept[1], kept[3], kept[4], kept[5]], [Duration::ZERO; 5]);
    assert_eq!(held(&output), expected);

    // The host's memory again.
    request.set_input(0, image(5)).unwrap();
    let answer = HostTensor::zeros(ElementType::F32, &[1, 10, 9, 7]).unwrap();
    request.set_output(0, answer.clone()).unwrap();
    request.infer().unwrap();
    assert_eq!((bytes(&answer), executor.crossed()), (expected, [1, 6]));
    assert_eq!(times(&request)[1..4], host[1..4]);
}

/// The output of one network is the input of the next.
fn chain(core: &Core) {
    let (first, second) = (network(ElementType::F32, [5, 10]), network(ElementType::F32, [10, 21]));
    let (first, second) = (on(core, &first, "FPGA"), on(core, &second, "FPGA"));
    let middle = by_host(&first, image(5));
    let expected = bytes(&by_host(&second, middle.clone()));
    assert!(expected.chunks(4).filter(|value| **value != [0; 4]).count() > 1000);

    let between = first.create_remote_tensor("y").unwrap();
    let mut requests = [&first, &second].map(|compiled| compiled.create_infer_request().unwrap());
    requests[0].set_input(0, image(5)).unwrap();
    requests[0].set_remote_tensor("y", between.clone()).unwrap();
    requests[1].set_remote_tensor("x", between.clone()).unwrap();
    requests.iter_mut().for_each(|request| request.infer().unwrap());
    assert_eq!(held(&between), bytes(&middle));
    assert_eq!(bytes(&requests[1].output(0).unwrap()), expected);
    // The memory outlives the network that it was made by.
    drop((first, between));
    requests[1].infer().unwrap();
    assert_eq!(bytes(&requests[1].output(0).unwrap()), expected);
}

#[test]
fn networks_are_chained_without_the_host_and_keep_their_bits() {
    let machine = Machine::new();
    let executor = Counting::new();
    chain(&machine.core(FpgaDevice::new().with_executor(executor.clone())));
    // By the host twice, and then one image and two answers.
    assert_eq!(executor.crossed(), [3, 4]);
}

#[test]
fn networks_are_chained_on_an_opencl_device() {
    match OpenCl::from_source(0) {
        Ok(_) => {
            let core = Machine::new();
            let device = core.core(FpgaDevice::new());
            // Each network makes an executor of its own.
            device.set_property("FPGA", "FPGA_EXECUTOR", "OPENCL").unwrap();
            chain(&device);
        }
        Err(error @ (OpenClError::Library | OpenClError::Device { .. })) => println!("SKIPPED: {error}"),
        Err(error) => panic!("{error}"),
    }
}

/// No card's.
struct Elsewhere;

impl RemoteTensor for Elsewhere {
    fn device(&self) -> &str {
        "GPU.3"
    }

    fn element_type(&self) -> ElementType {
        ElementType::F32
    }

    fn shape(&self) -> &[usize] {
        &[1, 5, 9, 7]
    }

    fn copy_to(&self, _: &HostTensor) -> DeviceResult<()> {
        Err(DeviceError::Cancelled)
    }

    fn copy_from(&self, _: &HostTensor) -> DeviceResult<()> {
        Err(DeviceError::Cancelled)
    }
}

#[track_caller]
fn assert_refused(result: Result<(), Error>, words: &[&str]) {
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Device(DeviceError::Tensor { .. })), "{error:?}");
    let text = error.to_string();
    words.iter().for_each(|word| assert!(text.contains(word), "{text}"));
}

#[test]
fn what_does_not_fit_is_refused() {
    let machine = Machine::new();
    let core = machine.core(FpgaDevice::new());
    let five = network(ElementType::F32, [5, 10]);
    let compiled = on(&core, &five, "FPGA");
    let mut request = compiled.create_infer_request().unwrap();
    let mut set = |port, remote: &Arc<dyn RemoteTensor>| request.set_remote_tensor(port, remote.clone());
    assert_refused(set("x", &(Arc::new(Elsewhere) as _)), &["`x`", "FPGA.0", "GPU.3"]);
    let make = |model: &Model, device, port| on(&core, model, device).create_remote_tensor(port).unwrap();
    assert_refused(set("x", &make(&five, "FPGA.1", "x")), &["FPGA.0", "FPGA.1"]);
    let another = machine.core(FpgaDevice::new());
    let another = on(&another, &five, "FPGA").create_remote_tensor("x").unwrap();
    assert_refused(set("x", &another), &["as this device has it"]);
    assert_refused(
        set("x", &make(&network(ElementType::F32, [6, 10]), "FPGA", "x")),
        &["1,5,9,7", "1, 6, 9, 7"],
    );
    assert_refused(set("x", &make(&network(ElementType::F16, [5, 10]), "FPGA", "x")), &["f32", "f16"]);
    assert_refused(set("y", &make(&five, "FPGA", "x")), &["`y`", "1,10,9,7"]);
    set("x", &make(&five, "FPGA", "x")).unwrap();
    assert!(matches!(set("z", &another), Err(Error::NoSuchPort { .. })));
    assert!(matches!(compiled.create_remote_tensor("z"), Err(Error::NoSuchPort { .. })));

    // The same elements in other words.
    let pieces = make(&concatenation(), "FPGA", "y");
    let whole = on(&core, &network(ElementType::F32, [16, 4]), "FPGA");
    let mut request = whole.create_infer_request().unwrap();
    let refused = request.set_remote_tensor("x", pieces.clone());
    assert_refused(refused, &["16 from word 0", "10 from word 0, 6 from word 1"]);
    // By the host they go.
    pieces.copy_from(&image(16)).unwrap();
    let own = whole.create_remote_tensor("x").unwrap();
    let host = HostTensor::zeros(ElementType::F32, &[1, 16, 9, 7]).unwrap();
    pieces.copy_to(&host).unwrap();
    own.copy_from(&host).unwrap();
    assert_eq!(held(&own), held(&pieces));
    assert!(matches!(own.copy_from(&image(5)), Err(DeviceError::Tensor { .. })));

    // A port has one memory, and an output shares none.
    let same = on(&core, &network(ElementType::F32, [7, 7]), "FPGA");
    let mut request = same.create_infer_request().unwrap();
    let remote = same.create_remote_tensor("x").unwrap();
    request.set_remote_tensor("x", remote.clone()).unwrap();
    assert_refused(request.set_remote_tensor("y", remote), &["swap"]);
    let error = request.input(0).unwrap_err();
    assert!(matches!(error, Error::Device(DeviceError::NotOffered { .. })), "{error:?}");
    assert!(error.to_string().contains("a remote tensor is set"), "{error}");
    request.set_input(0, image(7)).unwrap();
    assert_eq!(bytes(&request.input(0).unwrap()), bytes(&image(7)));
}

#[test]
fn what_an_inference_uses_is_busy() {
    let machine = Machine::new();
    let executor = Counting::new();
    let core = machine.core(FpgaDevice::new().with_executor(executor.clone()));
    let compiled = on(&core, &network(ElementType::F32, [7, 7]), "FPGA");
    let [x, y, z] = ["x", "y", "y"].map(|port| compiled.create_remote_tensor(port).unwrap());
    let request = |input: &Arc<dyn RemoteTensor>, output: &Arc<dyn RemoteTensor>| {
        let mut request = compiled.create_infer_request().unwrap();
        request.set_remote_tensor("x", input.clone()).unwrap();
        request.set_remote_tensor("y", output.clone()).unwrap();
        request
    };
    let (mut first, mut beside, mut behind) = (request(&x, &y), request(&x, &z), request(&y, &z));
    let busy = |result: Result<(), Error>| matches!(result, Err(Error::Device(DeviceError::Busy(_))));
    let host = image(7);

    let gate = executor.hold();
    first.start_async().unwrap();
    assert!(busy(x.copy_from(&host).map_err(Error::from)), "it is read");
    x.copy_to(&host).unwrap();
    assert!(busy(y.copy_to(&host).map_err(Error::from)), "it is written");
    assert!(busy(behind.infer()), "what it reads is not there yet");
    // Both read the same.
    beside.start_async().unwrap();
    assert!(busy(first.set_remote_tensor("y", z.clone())));
    drop(gate);
    first.wait().unwrap();
    beside.wait().unwrap();
    behind.infer().unwrap();
    x.copy_from(&host).unwrap();

    // A dropped request lets go.
    let gate = executor.hold();
    first.start_async().unwrap();
    beside.start_async().unwrap();
    beside.cancel();
    drop(first);
    drop(gate);
    assert!(matches!(beside.wait(), Err(Error::Device(DeviceError::Cancelled))));
    x.copy_from(&host).unwrap();
    y.copy_from(&host).unwrap();
}

#[test]
fn the_boards_memory_has_an_end() {
    let machine = Machine::new();
    let core = machine.core(FpgaDevice::new().with_memory(100_000));
    let compiled = on(&core, &network(ElementType::F32, [5, 10]), "FPGA");
    let mut tensors = Vec::new();
    let error = loop {
        match compiled.create_remote_tensor("x") {
            Ok(tensor) => tensors.push(tensor),
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.contains("has 100000") && error.contains("takes 2016 bytes"), "{error}");
    assert!((30..=49).contains(&tensors.len()), "{}", tensors.len());
    // A network takes its part, too; another board has room.
    let refused = core.compile_model(&network(ElementType::F32, [5, 10]), "FPGA", &Config::new());
    assert!(refused.err().unwrap().to_string().contains("the network takes"));
    on(&core, &network(ElementType::F32, [5, 10]), "FPGA.1").create_remote_tensor("x").unwrap();
    tensors.pop();
    compiled.create_remote_tensor("y").unwrap();
}
