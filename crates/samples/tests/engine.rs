//! The engine as applications use it, on the digits network that OpenVINO converted, against TensorFlow's answers.

use ir::{ElementType, Model, Tensor};
use runtime::{
    CompiledModel, Config, Core, DeviceError, Error, HostTensor, InputSettings, LayerStatus, Span, Status,
};
use samples::{engine, images, numpy};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

fn digits() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/digits")
}

/// The network with the batch set, and TensorFlow's inputs and answers for the 100 committed images.
fn network(batch: usize) -> (Core, Model, Tensor, Tensor) {
    let core = engine::core();
    let mut model = core.read_model(digits().join("openvino/digits_fp32.xml")).unwrap();
    let input = model.parameters()[0];
    model.set_parameter_shape(input, ir::PartialShape::fixed(&[batch, 8, 8, 1]));
    model.infer().unwrap();
    let arrays = numpy::read_npz(&digits().join("expected.npz")).unwrap();
    let array = |name: &str| arrays.iter().find(|(n, _)| n == name).unwrap().1.clone();
    (core, model, array("input"), array("predictions/Softmax"))
}

fn compile(core: &Core, model: &Model, config: &[(&str, &str)]) -> CompiledModel {
    let config: Config = config.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    core.compile_model(model, "CPU", &config).unwrap()
}

/// Row `i` of a tensor whose first dimension is the batch.
fn row(tensor: &Tensor, i: usize) -> Vec<f32> {
    let width = tensor.len() / tensor.shape()[0];
    tensor.view::<f32>().unwrap()[i * width..][..width].to_vec()
}

#[track_caller]
fn assert_near(found: &[f32], want: &[f32]) {
    assert_eq!(found.len(), want.len());
    let far = found.iter().zip(want).map(|(f, w)| (f - w).abs()).fold(0.0, f32::max);
    assert!(far <= 1e-5, "differs by {far}");
}

#[test]
fn a_batch_is_classified_as_tensorflow_does() {
    let (core, model, input, want) = network(100);
    let mut request = compile(&core, &model, &[]).create_infer_request().unwrap();
    request.set_input(0, HostTensor::from(&input)).unwrap();
    request.infer().unwrap();
    assert_near(&request.output(0).unwrap().to_tensor().unwrap().view().unwrap(), &want.view().unwrap());
}

#[test]
fn ten_thousand_inferences_call_back_once_each() {
    let (core, model, input, want) = network(1);
    let compiled = compile(&core, &model, &[]);
    let calls = Arc::new(AtomicUsize::new(0));
    let mut requests: Vec<_> = (0..2).map(|_| compiled.create_infer_request().unwrap()).collect();
    for request in &mut requests {
        let calls = calls.clone();
        request
            .set_callback(move |result| {
                result.unwrap();
                calls.fetch_add(1, Ordering::Relaxed);
            })
            .unwrap();
    }
    let mut image_of = [0, 0];
    for i in 0..10_000 {
        let request = &mut requests[i % 2];
        if i >= 2 {
            request.wait().unwrap();
            if i % 97 == 0 {
                assert_near(
                    &row(&request.output(0).unwrap().to_tensor().unwrap(), 0),
                    &row(&want, image_of[i % 2]),
                );
            }
        }
        image_of[i % 2] = i % 100;
        let bytes: Vec<u8> = row(&input, i % 100).iter().flat_map(|v| v.to_le_bytes()).collect();
        request.input(0).unwrap().write().unwrap().copy_from_slice(&bytes);
        request.start_async().unwrap();
    }
    for request in &requests {
        request.wait().unwrap();
    }
    assert_eq!(calls.load(Ordering::Relaxed), 10_000);
}

#[test]
fn the_callers_memory_is_read_and_written_in_place() {
    let (core, model, input, want) = network(1);
    let mut request = compile(&core, &model, &[]).create_infer_request().unwrap();
    let mine = HostTensor::from_vec(&[1, 8, 8, 1], row(&input, 3)).unwrap();
    let answer = HostTensor::zeros(ElementType::F32, &[1, 10]).unwrap();
    request.set_tensor("input", mine.clone()).unwrap();
    request.set_output(0, answer.clone()).unwrap();
    request.infer().unwrap();
    assert_near(&row(&answer.to_tensor().unwrap(), 0), &row(&want, 3));
    assert!(request.input(0).unwrap().shares_memory_with(&mine));
    assert!(request.output(0).unwrap().shares_memory_with(&answer));
    // A new image in the same memory is seen by the next inference.
    let bytes: Vec<u8> = row(&input, 4).iter().flat_map(|v| v.to_le_bytes()).collect();
    mine.write().unwrap().copy_from_slice(&bytes);
    request.infer().unwrap();
    assert_near(&row(&answer.to_tensor().unwrap(), 0), &row(&want, 4));
}

#[test]
fn misuse_is_a_typed_error() {
    let (core, model, ..) = network(100);
    let compiled = compile(&core, &model, &[]);
    let mut request = compiled.create_infer_request().unwrap();
    assert!(matches!(request.wait(), Err(Error::NotStarted)));
    assert_eq!(request.status(), Status::NotStarted);
    assert!(matches!(request.tensor("no such"), Err(Error::NoSuchPort { .. })));
    assert!(matches!(request.input(1), Err(Error::NoSuchIndex { index: 1, count: 1, .. })));
    let wrong = HostTensor::zeros(ElementType::F32, &[1, 8, 8, 3]).unwrap();
    let error = request.set_input(0, wrong).unwrap_err().to_string();
    assert!(error.contains("takes f32[100,8,8,1]") && error.contains("found f32[1, 8, 8, 3]"), "{error}");
    let held = request.output(0).unwrap();
    let guard = held.read().unwrap();
    assert!(matches!(request.infer(), Err(Error::Device(DeviceError::Busy(_)))));
    drop(guard);
    request.infer().unwrap();

    // While one inference holds the request back in its callback, everything else is refused.
    let (entered, wait_entered) = std::sync::mpsc::channel();
    let (release, wait_release) = std::sync::mpsc::channel::<()>();
    request
        .set_callback(move |_| {
            entered.send(()).unwrap();
            wait_release.recv().unwrap();
        })
        .unwrap();
    request.start_async().unwrap();
    wait_entered.recv().unwrap();
    assert_eq!(request.wait_for(Duration::ZERO).unwrap(), Status::Running);
    assert!(matches!(request.start_async(), Err(Error::Device(DeviceError::Busy(_)))));
    assert!(matches!(request.infer(), Err(Error::Device(DeviceError::Busy(_)))));
    assert!(matches!(request.set_callback(|_| ()), Err(Error::Device(DeviceError::Busy(_)))));
    release.send(()).unwrap();
    request.wait().unwrap();
    assert_eq!(request.status(), Status::Ready);
}

#[test]
fn a_panicking_callback_harms_only_its_request() {
    let (core, model, ..) = network(1);
    let compiled = compile(&core, &model, &[]);
    let mut request = compiled.create_infer_request().unwrap();
    request.set_callback(|_| panic!("on purpose")).unwrap();
    request.start_async().unwrap();
    assert!(matches!(request.wait(), Err(Error::Callback(text)) if text == "on purpose"));
    request.start_async().unwrap();
    request.wait().unwrap();
}

#[test]
fn dropping_in_flight_and_cancelling_are_safe() {
    let (core, model, input, want) = network(100);
    let compiled = compile(&core, &model, &[("NUM_STREAMS", "2")]);
    let done = Arc::new(AtomicUsize::new(0));
    for _ in 0..50 {
        let mut request = compiled.create_infer_request().unwrap();
        let done = done.clone();
        request.set_callback(move |_| _ = done.fetch_add(1, Ordering::SeqCst)).unwrap();
        request.start_async().unwrap();
        drop(request);
    }
    let mut request = compiled.create_infer_request().unwrap();
    request.set_input(0, HostTensor::from(&input)).unwrap();
    request.start_async().unwrap();
    request.cancel();
    match request.wait() {
        Ok(()) | Err(Error::Device(DeviceError::Cancelled)) => {}
        Err(other) => panic!("{other}"),
    }
    // A cancelled request works again, and the abandoned ones have all come to an end before it in the queue.
    request.start_async().unwrap();
    request.wait().unwrap();
    assert_near(&request.output(0).unwrap().to_tensor().unwrap().view().unwrap(), &want.view().unwrap());
    drop((request, compiled));
    for _ in 0..1000 {
        if done.load(Ordering::SeqCst) == 50 {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{} of 50 callbacks came", done.load(Ordering::SeqCst));
}

#[test]
fn an_inference_can_be_awaited() {
    let (core, model, input, want) = network(1);
    let compiled = compile(&core, &model, &[]);
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let tasks: Vec<_> = (0..20)
        .map(|i| {
            let mut request = compiled.create_infer_request().unwrap();
            request.set_input(0, HostTensor::from_vec(&[1, 8, 8, 1], row(&input, i)).unwrap()).unwrap();
            tokio.spawn(async move {
                request.infer_async().await.unwrap();
                row(&request.output(0).unwrap().to_tensor().unwrap(), 0)
            })
        })
        .collect();
    for (i, task) in tasks.into_iter().enumerate() {
        assert_near(&tokio.block_on(task).unwrap(), &row(&want, i));
    }
}

#[test]
fn images_go_in_as_bytes_of_another_layout() {
    let (core, mut model, input, want) = network(1);
    let settings = InputSettings {
        element_type: Some(ElementType::U8),
        layout: Some("NCHW".parse().unwrap()),
        model_layout: Some("NHWC".parse().unwrap()),
        mean: vec![10.0],
        scale: vec![2.0],
        ..InputSettings::default()
    };
    runtime::apply_settings(&mut model, &[settings], &[]).unwrap();
    let mut request = compile(&core, &model, &[]).create_infer_request().unwrap();
    // Gray values up to 122 survive `2 x + 10` in a byte; the digits reach 255, so this takes half of them.
    let half: Vec<f32> = row(&input, 0).iter().map(|v| (v / 2.0).floor()).collect();
    let bytes: Vec<u8> = half.iter().map(|v| (2.0 * v).min(245.0) as u8 + 10).collect();
    let exact: Vec<f32> = bytes.iter().map(|b| (f32::from(*b) - 10.0) / 2.0).collect();
    request.set_input(0, HostTensor::from_vec(&[1, 1, 8, 8], bytes).unwrap()).unwrap();
    request.infer().unwrap();
    let found = row(&request.output(0).unwrap().to_tensor().unwrap(), 0);

    let (core, model, ..) = network(1);
    let mut plain = compile(&core, &model, &[]).create_infer_request().unwrap();
    plain.set_input(0, HostTensor::from_vec(&[1, 8, 8, 1], exact).unwrap()).unwrap();
    plain.infer().unwrap();
    assert_near(&found, &row(&plain.output(0).unwrap().to_tensor().unwrap(), 0));
    assert_eq!(found.len(), want.shape()[1]);
}

#[test]
fn committed_images_hold_what_tensorflow_was_fed() {
    let files = images::find(&[digits().join("images")]).unwrap();
    let (.., input, _) = network(100);
    assert_eq!(files.len(), 100);
    for (i, file) in files.iter().enumerate() {
        let image = &images::read(file, 1).unwrap()[0];
        assert_near(&image.pixels.iter().map(|p| f32::from(*p)).collect::<Vec<_>>(), &row(&input, i));
    }
}

#[test]
fn batches_of_any_size_run_on_a_network_read_from_memory() {
    let core = engine::core();
    let file = |name: &str| std::fs::read(digits().join("openvino").join(name)).unwrap();
    let xml = String::from_utf8(file("digits_fp32.xml")).unwrap();
    let mut model = core.read_model_from(&xml, file("digits_fp32.bin").into()).unwrap();
    runtime::reshape(&mut model, &[("input", "[?,8,8,1]".parse().unwrap())]).unwrap();
    assert_eq!(runtime::batch(&model), Some(ir::Dim::ANY_DIM));
    let (_, _, input, want) = network(1);
    let mut request = compile(&core, &model, &[]).create_infer_request().unwrap();
    for (first, count) in [(0, 1), (1, 7), (8, 1), (9, 30), (40, 3)] {
        let rows =
            |tensor: &Tensor| (first..first + count).flat_map(|i| row(tensor, i)).collect::<Vec<f32>>();
        request.set_input(0, HostTensor::from_vec(&[count, 8, 8, 1], rows(&input)).unwrap()).unwrap();
        request.infer().unwrap();
        let found = request.output(0).unwrap().to_tensor().unwrap();
        assert_eq!(found.shape(), [count, 10]);
        assert_near(&found.view().unwrap(), &rows(&want));
    }
    runtime::set_batch(&mut model, ir::Dim::exactly(3)).unwrap();
    assert_eq!(compile(&core, &model, &[]).outputs()[0].ty.to_string(), "f32[3,10]");
}

#[test]
fn settings_go_by_todays_names_and_by_those_of_2018() {
    let (core, model, ..) = network(1);
    core.set_property("CPU", "KEY_CPU_THREADS_NUM", "3").unwrap();
    assert_eq!(core.property("CPU", "INFERENCE_NUM_THREADS").unwrap(), "3");
    let compiled = compile(&core, &model, &[("CPU_THROUGHPUT_STREAMS", "CPU_THROUGHPUT_AUTO")]);
    assert_eq!(compiled.property("NUM_STREAMS").unwrap(), "3");
    let supported = core.property("CPU", "SUPPORTED_PROPERTIES").unwrap();
    for property in core.properties("CPU").unwrap() {
        assert!(supported.split(' ').any(|name| name == property.name), "{property:?}");
        assert_eq!(core.property("CPU", &property.name).unwrap(), property.value);
        if property.mutable {
            core.set_property("CPU", &property.name, &property.value).unwrap();
        }
    }
    let error = core.set_property("CPU", "KEY_PERF_COUNTS", "YES").unwrap_err().to_string();
    assert!(error.contains("did you mean `PERF_COUNT`?"), "{error}");
    let wrong = Config::from([("PERF_COUNT".to_owned(), "maybe".to_owned())]);
    assert!(core.compile_model(&model, "CPU", &wrong).is_err());
}

#[test]
fn a_profile_names_the_layers() {
    let (core, model, ..) = network(1);
    let mut request = compile(&core, &model, &[("PERF_COUNT", "YES")]).create_infer_request().unwrap();
    let start = SystemTime::now();
    request.infer().unwrap();
    let profile = request.profile();
    let names: Vec<&str> = model.nodes().map(|(_, node)| node.name.as_str()).collect();
    assert!(!profile.is_empty());
    let spans: Vec<_> = profile.iter().filter_map(|row| Some((row.span.clone()?, row.real_time))).collect();
    assert_eq!(spans.len(), profile.iter().filter(|row| row.status == LayerStatus::Executed).count());
    let begins_after = |(a, b): (&(Span, Duration), &(Span, Duration))| b.0.begin >= a.0.begin;
    assert!(spans.iter().zip(&spans[1..]).all(begins_after), "{spans:?}");
    let (last, time) = spans.last().unwrap();
    assert!(last.device == "CPU" && last.begin + *time <= SystemTime::now() && last.begin >= start);
    for row in profile {
        assert!(names.contains(&row.name.as_str()), "`{}` is no node of the model", row.name);
    }
}
