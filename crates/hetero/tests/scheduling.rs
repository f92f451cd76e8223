//! When parts run: at the same time where they can, one image behind the other; errors, cancelling and dropping.

mod bench;

use bench::{config, slow::SlowDevice};
use ir::{
    ElementType, Model,
    device::{Device, DeviceError, HostTensor},
    op::Unary,
};
use runtime::{CompiledModel, Error, InferRequest};
use std::{
    sync::{Arc, mpsc::channel},
    time::{Duration, Instant},
};

const TAKES: Duration = Duration::from_millis(10);

/// A chain of nodes of these names on `[2]`.
fn chain(names: &[&str]) -> Model {
    let mut model = Model::new("chain");
    let mut last = model.add_parameter("x", ElementType::F32, "[2]".parse().unwrap()).into();
    for name in names {
        last = model.add(*name, Unary::Relu, &[last]).unwrap().into();
    }
    model.add_result("y", last).unwrap();
    model
}

/// The model on two devices, which each run one job after another.
fn compile(model: &Model, is_inline: bool) -> (CompiledModel, [Arc<SlowDevice>; 2]) {
    let devices = ["A", "B"].map(|name| SlowDevice::new(name, TAKES, is_inline));
    let core = bench::core(devices.iter().map(|device| device.clone() as Arc<dyn Device>));
    (core.compile_model(model, "HETERO:A,B", &config(&[])).unwrap(), devices)
}

fn tensor(value: f32) -> HostTensor {
    HostTensor::from_vec(&[2], vec![value; 2]).unwrap()
}

fn answer(request: &InferRequest) -> f64 {
    request.output(0).unwrap().to_tensor().unwrap().to_f64s()[0]
}

#[test]
fn two_devices_work_on_two_images_at_a_time() {
    let (compiled, devices) = compile(&chain(&["a", "b"]), false);
    assert_eq!(compiled.property("OPTIMAL_NUMBER_OF_INFER_REQUESTS").unwrap(), "2");
    let count = 40;
    let run = |in_flight: usize| {
        let mut requests: Vec<_> = (0..in_flight).map(|_| compiled.create_infer_request().unwrap()).collect();
        let start = Instant::now();
        for i in 0..count {
            let request = &mut requests[i % in_flight];
            if i >= in_flight {
                request.wait().unwrap();
            }
            request.set_input(0, tensor(i as f32)).unwrap();
            request.start_async().unwrap();
        }
        requests.iter().for_each(|request| request.wait().unwrap());
        start.elapsed()
    };
    // A machine that is busy with other work may spoil a try.
    let tries = (0..5).map(|_| {
        let alone = run(1);
        devices.iter().for_each(|device| device.behaviour.ran.lock().unwrap().clear());
        let together = run(2);
        println!("{count} images: one request {alone:?}, two requests {together:?}");
        alone.as_secs_f64() / together.as_secs_f64()
    });
    let gains: Vec<f64> =
        tries.scan(false, |done, gain| (!std::mem::replace(done, gain >= 1.8)).then_some(gain)).collect();
    assert!(gains.iter().any(|gain| *gain >= 1.8), "{gains:?} times as fast");
    // A has the next image while B has the last.
    let ran = devices.map(|device| device.behaviour.ran.lock().unwrap().clone());
    let overlaps = ran[1].iter().filter(|(_, image, begin, end)| {
        ran[0].iter().any(|(_, other, from, to)| other == image && from < end && begin < to)
    });
    assert!(overlaps.count() > count / 2, "{ran:?}");
}

#[test]
fn branches_on_different_devices_run_at_the_same_time() {
    let mut model = Model::new("branches");
    let x = model.add_parameter("x", ElementType::F32, "[2]".parse().unwrap()).into();
    for name in ["a", "b"] {
        let node = model.add(name, Unary::Relu, &[x]).unwrap();
        model.add_result(format!("{name} result"), node.into()).unwrap();
    }
    let (compiled, devices) = compile(&model, false);
    let mut request = compiled.create_infer_request().unwrap();
    request.infer().unwrap();
    let ran = devices.map(|device| device.behaviour.ran.lock().unwrap()[0]);
    assert!(ran[0].2 < ran[1].3 && ran[1].2 < ran[0].3, "{ran:?}");
}

#[test]
fn tensors_between_devices_and_to_the_caller_are_not_copied() {
    let (compiled, devices) = compile(&chain(&["a1", "b", "a2"]), false);
    let mut request = compiled.create_infer_request().unwrap();
    let [mine, answered] = [tensor(3.0), tensor(0.0)];
    request.set_input(0, mine.clone()).unwrap();
    request.set_output(0, answered.clone()).unwrap();
    request.infer().unwrap();
    assert_eq!(answered.to_tensor().unwrap().to_f64s(), [6.0, 6.0]);
    let touched = devices.map(|device| device.behaviour.touched.lock().unwrap().clone());
    let [first, made, taken, last] = [0, 1, 2, 3].map(|i| &touched[0][i]);
    assert!(first.shares_memory_with(&mine) && last.shares_memory_with(&answered));
    assert!(made.shares_memory_with(&touched[1][0]) && taken.shares_memory_with(&touched[1][1]));
    // An output over an input is copied, for a part may still read what another would write.
    request.set_output(0, mine.clone()).unwrap();
    request.infer().unwrap();
    assert_eq!(mine.to_tensor().unwrap().to_f64s(), [6.0, 6.0]);
    assert!(request.output(0).unwrap().shares_memory_with(&mine));
}

#[test]
fn a_device_may_end_within_start() {
    let (compiled, _) = compile(&chain(&["a1", "b1", "a2", "b2"]), true);
    let mut request = compiled.create_infer_request().unwrap();
    for i in 0..3 {
        request.set_input(0, tensor(i as f32)).unwrap();
        request.start_async().unwrap();
        request.wait().unwrap();
        assert_eq!(answer(&request), f64::from(i) + 4.0);
    }
}

#[test]
fn an_error_ends_its_own_inference_alone() {
    let (compiled, devices) = compile(&chain(&["a1", "b", "a2"]), false);
    let mut requests: Vec<_> = (0..3).map(|_| compiled.create_infer_request().unwrap()).collect();
    devices[1].behaviour.failures.store(1, std::sync::atomic::Ordering::SeqCst);
    requests.iter_mut().for_each(|request| request.start_async().unwrap());
    let ends: Vec<_> = requests.iter().map(InferRequest::wait).collect();
    assert_eq!(ends.iter().filter(|end| end.is_err()).count(), 1, "{ends:?}");
    let error = ends.into_iter().find_map(Result::err).unwrap();
    assert_eq!(error.to_string(), "B: on fire");
    for request in &mut requests {
        request.infer().unwrap();
        assert_eq!(answer(request), 3.0);
    }
}

#[test]
fn cancelling_reaches_the_part_that_runs_and_completions_come_once() {
    let (compiled, devices) = compile(&chain(&["a1", "b1", "a2", "b2", "a3", "b3"]), false);
    // At each moment of an inference: in a part, or between two.
    for moment in 0..16 {
        let (sender, ends) = channel();
        let mut request = compiled.create_infer_request().unwrap();
        request
            .set_callback(move |result| {
                sender.send(result.map_err(Clone::clone)).unwrap();
            })
            .unwrap();
        request.start_async().unwrap();
        assert!(matches!(request.infer(), Err(Error::Device(DeviceError::Busy(_)))));
        std::thread::sleep(TAKES * moment / 4);
        if moment % 2 == 0 {
            request.cancel();
            let end = ends.recv_timeout(Duration::from_secs(10)).unwrap();
            assert!(matches!(end, Err(DeviceError::Cancelled)), "{moment}: {end:?}");
            _ = request.wait();
            request.infer().unwrap();
            assert_eq!(answer(&request), 6.0);
        } else {
            drop(request);
            let end = ends.recv_timeout(Duration::from_secs(10)).unwrap();
            assert!(matches!(end, Err(DeviceError::Cancelled)), "{moment}: {end:?}");
        }
        assert!(ends.recv_timeout(TAKES / 10).is_err(), "a second completion");
    }
    drop(devices);
}
