//! One suite over every device twice: linked in, and as a shared library behind the C ABI. Both give the same bits.
//! Who includes it says which `DEVICE`, which `LIBRARY`, and how an engine (`core`) comes to it.

mod layers;

use super::{DEVICE, LIBRARY, core};
use ir::{
    ElementType, Model, PartialShape, Tensor,
    op::{Binary, BinaryKind, Custom, OpResult, Parameter},
};
use runtime::{CompiledModel, Config, Core, DeviceError, Error, HostTensor, LayerStatus, Status};
use std::{
    env::consts,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

/// The device linked in, and from its library.
fn both() -> [Core; 2] {
    let folder = tempfile::tempdir().unwrap();
    // Cargo puts it beside this test.
    let name = format!("{}{LIBRARY}{}", consts::DLL_PREFIX, consts::DLL_SUFFIX);
    let library = std::env::current_exe().unwrap().with_file_name(name);
    let device = DEVICE.split(':').next().unwrap();
    let list = format!("{{ \"{device}\": \"{}\" }}", library.display());
    std::fs::write(folder.path().join("plugins.json"), list).unwrap();
    [core(None), core(Some(folder.path()))]
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

/// The digits network with the batch set, and 100 images.
fn digits(core: &Core, batch: i64) -> (Model, Tensor) {
    let mut model = core.read_model(fixtures().join("digits/openvino/digits_fp32.xml")).unwrap();
    let input = model.parameters()[0];
    let batch = ir::Dim::new(batch.max(0), if batch < 0 { i64::MAX } else { batch }).unwrap();
    let rest = [8, 8, 1].map(ir::Dim::exactly);
    model.set_parameter_shape(input, PartialShape::new([batch].into_iter().chain(rest)));
    model.infer().unwrap();
    let pixels: Vec<f32> = (0..100 * 64).map(|i| (i * i % 251) as f32).collect();
    (model, Tensor::from_slice(&[100, 8, 8, 1], &pixels).unwrap())
}

fn config(settings: &[(&str, &str)]) -> Config {
    settings.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

fn compile(core: &Core, batch: i64, settings: &[(&str, &str)]) -> (CompiledModel, Tensor) {
    let (model, images) = digits(core, batch);
    (core.compile_model(&model, DEVICE, &config(settings)).unwrap(), images)
}

/// The first `count` images as a tensor of the caller's.
fn some(images: &Tensor, count: usize) -> HostTensor {
    let values = images.view::<f32>().unwrap();
    HostTensor::from_vec(&[count, 8, 8, 1], values[..count * 64].to_vec()).unwrap()
}

fn bytes(tensor: &HostTensor) -> Vec<u8> {
    tensor.read().unwrap().to_vec()
}

/// Runs the same on both and returns what it gave, which must be equal.
#[track_caller]
fn same<T: PartialEq + std::fmt::Debug>(run: impl Fn(&Core) -> T) -> T {
    let [linked, loaded] = both();
    let (linked, loaded) = (run(&linked), run(&loaded));
    assert_eq!(linked, loaded);
    loaded
}

#[test]
fn ports_properties_and_queries_are_the_same() {
    same(|core| {
        let (compiled, _) = compile(core, 3, &[("INFERENCE_NUM_THREADS", "1")]);
        let (model, _) = digits(core, -1);
        let dynamic = core.compile_model(&model, DEVICE, &Config::new()).unwrap();
        let mut support = core.query_model(&model, DEVICE, &Config::new()).unwrap();
        support.supported.sort();
        assert!(support.supported.len() > 5 && support.refused.is_empty());
        let of_model = ["NETWORK_NAME", "INFERENCE_NUM_THREADS", "EXECUTION_DEVICES"];
        (
            (compiled.inputs().to_vec(), compiled.outputs().to_vec(), dynamic.inputs().to_vec()),
            of_model.map(|key| compiled.property(key).unwrap()),
            (core.properties(DEVICE).unwrap(), compiled.properties()),
            (
                core.property(DEVICE, "FULL_DEVICE_NAME").unwrap(),
                core.device(DEVICE.split(':').next().unwrap()).unwrap().description(),
            ),
            support.supported,
        )
    });
}

#[test]
fn answers_are_the_same_bits() {
    let answer = same(|core| {
        let (compiled, images) = compile(core, 100, &[]);
        let mut request = compiled.create_infer_request().unwrap();
        request.set_input(0, HostTensor::from(&images)).unwrap();
        request.infer().unwrap();
        bytes(&request.output(0).unwrap())
    });
    assert_eq!(answer.len(), 100 * 10 * 4);
    assert!(answer.iter().any(|byte| *byte != 0));
}

#[test]
fn networks_of_many_ops_answer_with_the_same_bits() {
    let mut count = 0;
    let mut nets: Vec<PathBuf> = std::fs::read_dir(fixtures().join("digits/openvino"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "xml"))
        .collect();
    nets.sort();
    for net in nets {
        same(|core| {
            let mut model = core.read_model(&net).unwrap();
            let input = model.parameters()[0];
            model.set_parameter_shape(input, PartialShape::fixed(&[2, 8, 8, 1]));
            model.infer().unwrap();
            let compiled = core.compile_model(&model, DEVICE, &Config::new()).unwrap();
            let mut request = compiled.create_infer_request().unwrap();
            let (_, images) = digits(core, 1);
            request.set_input(0, some(&images, 2)).unwrap();
            request.infer().unwrap();
            bytes(&request.output(0).unwrap())
        });
        count += 1;
    }
    assert!(count >= 3);
}

#[test]
fn the_callers_memory_is_read_and_written_in_place() {
    same(|core| {
        let (compiled, images) = compile(core, 2, &[]);
        let mut request = compiled.create_infer_request().unwrap();
        let (mine, answer) = (some(&images, 2), HostTensor::zeros(ElementType::F32, &[2, 10]).unwrap());
        request.set_input(0, mine.clone()).unwrap();
        request.set_output(0, answer.clone()).unwrap();
        request.infer().unwrap();
        let first = bytes(&answer);
        assert!(request.input(0).unwrap().shares_memory_with(&mine));
        assert!(request.output(0).unwrap().shares_memory_with(&answer));
        mine.write().unwrap().fill(0);
        request.infer().unwrap();
        let second = bytes(&answer);
        assert_ne!(first, second);
        // The tensors outlive their request and model.
        drop((request, compiled));
        assert_eq!(bytes(&answer), second);
        (first, second)
    });
}

#[test]
fn tensors_with_gaps_are_read_and_written_in_place() {
    same(|core| {
        let (compiled, images) = compile(core, 2, &[]);
        let mut request = compiled.create_infer_request().unwrap();
        let wide: Vec<f32> = images.view::<f32>().unwrap()[..2 * 8 * 11].to_vec();
        let wide = HostTensor::from_vec(&[2, 8, 11, 1], wide).unwrap();
        let answer = HostTensor::zeros(ElementType::F32, &[2, 12]).unwrap();
        request.set_input(0, wide.region(&[0..2, 0..8, 2..10, 0..1]).unwrap()).unwrap();
        request.set_output(0, answer.region(&[0..2, 1..11]).unwrap()).unwrap();
        request.infer().unwrap();
        let answers = answer.to_tensor().unwrap().to_f64s();
        assert!(answers[0] == 0.0 && answers[11] == 0.0 && answers[1..11].iter().sum::<f64>() > 0.99);
        bytes(&answer)
    });
}

#[test]
fn a_requests_own_tensors_stay_and_outlive_it() {
    same(|core| {
        let (compiled, images) = compile(core, 1, &[]);
        let mut request = compiled.create_infer_request().unwrap();
        let (input, output) = (request.input(0).unwrap(), request.output(0).unwrap());
        input.write().unwrap().copy_from_slice(&bytes(&some(&images, 1)));
        request.infer().unwrap();
        assert!(request.output(0).unwrap().shares_memory_with(&output));
        let answer = bytes(&output);
        drop((request, compiled));
        assert_eq!((bytes(&output), bytes(&input)), (answer.clone(), bytes(&some(&images, 1))));
        answer
    });
}

#[test]
fn one_memory_at_input_and_output_is_not_torn() {
    same(|core| {
        let mut model = Model::new("sum");
        let two = PartialShape::fixed(&[2]);
        let x = model.add("x", Parameter::new(ElementType::F32, two.clone()), &[]).unwrap();
        let y = model.add("y", Parameter::new(ElementType::F32, two), &[]).unwrap();
        let sum = model.add("sum", Binary::new(BinaryKind::Add), &[x.into(), y.into()]).unwrap();
        model.add("result", OpResult::default(), &[sum.into()]).unwrap();
        let compiled = core.compile_model(&model, DEVICE, &Config::new()).unwrap();
        let mut request = compiled.create_infer_request().unwrap();
        let memory = HostTensor::from_vec(&[2], vec![1.0f32, 10.0]).unwrap();
        request.set_input(0, memory.clone()).unwrap();
        request.set_input(1, memory.clone()).unwrap();
        request.set_output(0, memory.clone()).unwrap();
        request.infer().unwrap();
        request.infer().unwrap();
        request.start_async().unwrap();
        request.wait().unwrap();
        let answer = memory.to_tensor().unwrap().to_f64s();
        assert_eq!(answer, [8.0, 80.0]);
        bytes(&memory)
    });
}

#[test]
fn shapes_may_change_between_inferences() {
    same(|core| {
        let (compiled, images) = compile(core, -1, &[]);
        let mut request = compiled.create_infer_request().unwrap();
        let missing = request.infer().unwrap_err();
        assert!(matches!(missing, Error::Device(DeviceError::Tensor { .. })), "{missing}");
        let mut answers = Vec::new();
        for count in [3, 1, 1, 100, 3] {
            request.set_input(0, some(&images, count)).unwrap();
            request.infer().unwrap();
            let output = request.output(0).unwrap();
            assert_eq!(output.shape(), [count, 10]);
            answers.push((bytes(&output), output));
        }
        // Earlier answers are not overwritten while somebody holds them with another shape.
        assert_eq!(bytes(&answers[3].1), answers[3].0);
        answers.into_iter().map(|(bytes, _)| bytes).collect::<Vec<_>>()
    });
}

#[test]
fn callbacks_come_once_each_from_several_threads() {
    same(|core| {
        let (compiled, images) = compile(core, 1, &[("NUM_STREAMS", "2")]);
        let calls = Arc::new(AtomicUsize::new(0));
        let mut answers: Vec<(usize, Vec<u8>)> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|thread| {
                    let (compiled, images, calls) = (compiled.clone(), &images, calls.clone());
                    scope.spawn(move || {
                        let mut request = compiled.create_infer_request().unwrap();
                        request
                            .set_callback(move |result| {
                                result.unwrap();
                                calls.fetch_add(1, Ordering::SeqCst);
                            })
                            .unwrap();
                        let image = images.view::<f32>().unwrap()[thread * 64..][..64].to_vec();
                        request.set_input(0, HostTensor::from_vec(&[1, 8, 8, 1], image).unwrap()).unwrap();
                        for _ in 0..250 {
                            request.start_async().unwrap();
                            request.wait().unwrap();
                        }
                        (thread, bytes(&request.output(0).unwrap()))
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(calls.load(Ordering::SeqCst), 1000);
        answers.sort();
        answers
    });
}

#[test]
fn misuse_is_the_same_error() {
    let errors = same(|core| {
        let (compiled, _) = compile(core, 100, &[]);
        let mut request = compiled.create_infer_request().unwrap();
        let mut errors = Vec::new();
        let mut note = |error: Error| errors.push(format!("{error:?}"));
        note(request.set_input(0, HostTensor::zeros(ElementType::F32, &[1, 8, 8, 3]).unwrap()).unwrap_err());
        note(
            request.set_input(0, HostTensor::zeros(ElementType::F64, &[100, 8, 8, 1]).unwrap()).unwrap_err(),
        );
        note(compiled.property("NO_SUCH").unwrap_err());
        note(core.property(DEVICE, "NO_SUCH").unwrap_err());
        let (model, _) = digits(core, 1);
        note(core.compile_model(&model, DEVICE, &config(&[("NUM_STREAMS", "many")])).err().unwrap());
        let mut custom = Model::new("custom");
        let x = Parameter::new(ElementType::F32, PartialShape::fixed(&[1]));
        let x = custom.add("x", x, &[]).unwrap();
        let op = Custom { type_name: "Mine".to_owned(), version: "mine".to_owned(), ..Custom::default() };
        let op = Custom { outputs: vec![custom.ty(x.into()).clone()], ..op };
        let id = custom.add("strange", op, &[x.into()]).unwrap();
        custom.add("result", OpResult::default(), &[id.into()]).unwrap();
        note(core.compile_model(&custom, DEVICE, &Config::new()).err().unwrap());
        errors.push(format!("{:?}", core.query_model(&custom, DEVICE, &Config::new()).unwrap().refused));

        // A tensor that somebody reads can't be written.
        let held = request.output(0).unwrap();
        let guard = held.read().unwrap();
        let error = request.infer().unwrap_err();
        errors.push(format!("{error:?}"));
        drop(guard);
        request.infer().unwrap();
        errors
    });
    for (error, kind) in
        errors.iter().zip(["Tensor {", "Tensor {", "", "", "Config {", "Unsupported {", "strange", "Busy("])
    {
        assert!(error.contains(kind), "{error}");
    }
}

#[test]
fn a_running_request_is_busy_and_its_tensors_are_held() {
    for core in both() {
        let (compiled, _) = compile(&core, 100, &[]);
        let mut request = compiled.create_infer_request().unwrap();
        let (entered, wait_entered) = mpsc::channel();
        let (release, wait_release) = mpsc::channel::<()>();
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
        release.send(()).unwrap();
        request.wait().unwrap();

        // A thread that looks at the answer all the time sees it whole, or is told that it is being written.
        let answer = request.output(0).unwrap();
        request.set_callback(|_| ()).unwrap();
        let seen = std::thread::scope(|scope| {
            let looking = scope.spawn(|| {
                // A busy machine may take its time.
                let (mut seen, end) = (0, Instant::now() + Duration::from_secs(60));
                while seen < 100 && Instant::now() < end {
                    if let Ok(bytes) = answer.read() {
                        seen += usize::from(bytes.len() == 4000);
                    }
                    std::thread::yield_now();
                }
                seen
            });
            let mut ran = 0;
            while ran == 0 || !looking.is_finished() {
                match request.start_async().and_then(|()| request.wait()) {
                    Ok(()) => {
                        ran += 1;
                        // Else the answer may be under way at every look.
                        std::thread::sleep(Duration::from_micros(300));
                    }
                    Err(Error::Device(DeviceError::Busy(_))) => std::thread::yield_now(),
                    Err(other) => panic!("{other}"),
                }
            }
            looking.join().unwrap()
        });
        assert_eq!(seen, 100);
    }
}

#[test]
fn cancelling_and_dropping_in_flight_are_safe() {
    same(|core| {
        let (compiled, images) = compile(core, 100, &[("NUM_STREAMS", "2")]);
        let done = Arc::new(AtomicUsize::new(0));
        for _ in 0..50 {
            let mut request = compiled.create_infer_request().unwrap();
            let done = done.clone();
            request.set_callback(move |_| _ = done.fetch_add(1, Ordering::SeqCst)).unwrap();
            request.start_async().unwrap();
        }
        let mut request = compiled.create_infer_request().unwrap();
        request.set_input(0, HostTensor::from(&images)).unwrap();
        request.start_async().unwrap();
        request.cancel();
        match request.wait() {
            Ok(()) | Err(Error::Device(DeviceError::Cancelled)) => {}
            Err(other) => panic!("{other}"),
        }
        request.start_async().unwrap();
        request.wait().unwrap();
        let answer = bytes(&request.output(0).unwrap());
        let end = Instant::now() + Duration::from_secs(60);
        while done.load(Ordering::SeqCst) < 50 {
            assert!(Instant::now() < end, "{} of 50 callbacks came", done.load(Ordering::SeqCst));
            std::thread::sleep(Duration::from_millis(5));
        }
        answer
    });
}

#[test]
fn profiles_name_the_same_layers() {
    let rows = same(|core| {
        let (compiled, _) = compile(core, 1, &[("PERF_COUNT", "YES")]);
        let mut request = compiled.create_infer_request().unwrap();
        request.infer().unwrap();
        let profile = request.profile();
        assert!(profile.iter().any(|row| row.status == LayerStatus::Executed && !row.real_time.is_zero()));
        let row = |row: runtime::ProfileRow| (row.name, row.layer_type, row.exec_type, row.status);
        profile.into_iter().map(row).collect::<Vec<_>>()
    });
    assert!(rows.len() > 3);
}

#[test]
fn exported_models_run_where_they_are_imported() {
    same(|core| {
        let (compiled, images) = compile(core, 1, &[]);
        let mut exported = Vec::new();
        match compiled.export(&mut exported) {
            Ok(()) => {
                let imported = core.import_model(exported.into(), DEVICE, &Config::new()).unwrap();
                let mut request = imported.create_infer_request().unwrap();
                request.set_input(0, some(&images, 1)).unwrap();
                request.infer().unwrap();
                bytes(&request.output(0).unwrap())
            }
            Err(error) => {
                assert!(matches!(error, Error::Device(DeviceError::NotOffered { .. })), "{error}");
                let imported = core.import_model(ir::Bytes::new(), DEVICE, &Config::new());
                let error = imported.err().unwrap();
                assert!(matches!(error, Error::Device(DeviceError::NotOffered { .. })), "{error}");
                format!("{error:?}").into_bytes()
            }
        }
    });
}

/// Run with `--release -- --ignored --nocapture`.
#[test]
#[ignore = "measures: the time that the ABI adds to an inference"]
fn the_time_of_the_boundary() {
    let time = |core: &Core, asynchronous: bool| {
        let (compiled, images) = compile(core, 1, &[("INFERENCE_NUM_THREADS", "1")]);
        let mut request = compiled.create_infer_request().unwrap();
        request.set_input(0, some(&images, 1)).unwrap();
        let mut run = |count: u32| {
            let start = Instant::now();
            for _ in 0..count {
                match asynchronous {
                    true => request.start_async().and_then(|()| request.wait()).unwrap(),
                    false => request.infer().unwrap(),
                }
            }
            start.elapsed().as_secs_f64() * 1e6 / f64::from(count)
        };
        run(1000);
        (0..20).map(|_| run(1000)).fold(f64::INFINITY, f64::min)
    };
    let [linked, loaded] = both();
    for asynchronous in [false, true] {
        let (a, b) = (time(&linked, asynchronous), time(&loaded, asynchronous));
        println!(
            "asynchronous: {asynchronous}: linked in {a:.2} us, through the ABI {b:.2} us: {:+.2} us",
            b - a
        );
        assert!(b - a <= 5.0, "the ABI takes {:.2} us", b - a);
    }
}
