//! Requests as programs use them: same bits, many at a time, cancelled, of changing shapes, on fewer processors.

mod net;

use ir::{
    AlignedBytes,
    device::{DeviceError, InferRequest, PortIndex},
};
use net::{compile, residual, set_input};
use std::{
    process::Command,
    sync::{Arc, mpsc},
};

/// A copy of output 0.
fn output(request: &dyn InferRequest) -> AlignedBytes {
    let tensor = request.tensor(PortIndex::Output(0)).unwrap();
    let mut bytes = ir::aligned_zeros(0);
    bytes.extend_from_slice(&tensor.read().unwrap());
    bytes
}

#[test]
fn the_same_bits_over_a_thousand_runs_and_for_any_number_of_threads() {
    let model = residual("[1,3,23,17]");
    let mut expected = None;
    for threads in ["1", "2", "3"] {
        let compiled = compile(&model, &[("INFERENCE_NUM_THREADS", threads)]);
        let mut request = compiled.create_request().unwrap();
        set_input(&mut *request, &[1, 3, 23, 17], 3);
        for run in 0..1000 {
            request.infer().unwrap();
            let bits = output(&*request);
            assert!(*expected.get_or_insert_with(|| bits.clone()) == bits, "{threads} threads, run {run}");
        }
    }
}

#[test]
fn many_requests_on_streams_answer_as_one_does() {
    let model = residual("[1,3,19,19]");
    let answer = |seed: usize| {
        let mut request = compile(&model, &[]).create_request().unwrap();
        set_input(&mut *request, &[1, 3, 19, 19], seed);
        request.infer().unwrap();
        output(&*request)
    };
    let expected: Vec<_> = (0..6).map(answer).collect();
    for streams in ["1", "2", "3"] {
        let settings = [("NUM_STREAMS", streams), ("INFERENCE_NUM_THREADS", "3")];
        let compiled = compile(&model, &settings);
        assert_eq!(compiled.property("OPTIMAL_NUMBER_OF_INFER_REQUESTS").unwrap(), streams);
        std::thread::scope(|scope| {
            for (seed, expected) in expected.iter().enumerate() {
                let compiled = compiled.clone();
                scope.spawn(move || {
                    let mut request = compiled.create_request().unwrap();
                    set_input(&mut *request, &[1, 3, 19, 19], seed);
                    for run in 0..100 {
                        if run % 2 == 0 {
                            request.infer().unwrap();
                        } else {
                            let (sender, receiver) = mpsc::channel();
                            request.start(Box::new(move |result| sender.send(result).unwrap())).unwrap();
                            receiver.recv().unwrap().unwrap();
                        }
                        assert!(output(&*request) == *expected, "{streams} streams, seed {seed}, run {run}");
                    }
                });
            }
        });
    }
}

#[test]
fn a_cancelled_request_says_so_and_runs_again() {
    let compiled = compile(&residual("[1,3,96,96]"), &[("INFERENCE_NUM_THREADS", "2")]);
    let mut request = compiled.create_request().unwrap();
    set_input(&mut *request, &[1, 3, 96, 96], 1);
    request.infer().unwrap();
    let expected = output(&*request);
    let (mut cancelled, mut ended) = (0, 0);
    for run in 0..60 {
        let (sender, receiver) = mpsc::channel();
        request.start(Box::new(move |result| sender.send(result).unwrap())).unwrap();
        std::thread::sleep(std::time::Duration::from_micros(run * 10));
        request.cancel();
        match receiver.recv().unwrap() {
            Ok(()) => ended += 1,
            Err(error) => {
                assert!(matches!(error, DeviceError::Cancelled), "{error}");
                cancelled += 1;
            }
        }
    }
    assert!(cancelled > 0, "{cancelled} cancelled, {ended} ended");
    request.infer().unwrap();
    assert!(output(&*request) == expected);
}

#[test]
fn a_request_that_is_dropped_still_completes_once() {
    let compiled = compile(&residual("[1,3,96,96]"), &[]);
    let (sender, receiver) = mpsc::channel();
    for _ in 0..20 {
        let mut request = compiled.clone().create_request().unwrap();
        let sender = sender.clone();
        request.start(Box::new(move |result| sender.send(result.is_ok()).unwrap())).unwrap();
    }
    drop(sender);
    assert_eq!(receiver.iter().count(), 20);
}

#[test]
fn what_is_wrong_is_an_error_and_the_request_lives() {
    let compiled = compile(&residual("[?,3,?,?]"), &[]);
    let mut request = compiled.create_request().unwrap();
    let error = request.infer().unwrap_err().to_string();
    assert!(error.contains("no tensor"), "{error}");
    let wrong = ir::device::HostTensor::from_vec(&[1, 4, 9, 9], vec![0.0f32; 324]).unwrap();
    assert!(request.set_tensor(PortIndex::Input(0), wrong).is_err());
    set_input(&mut *request, &[2, 3, 9, 9], 1);
    request.infer().unwrap();
}

#[test]
fn shapes_come_and_go() {
    let compiled = compile(&residual("[?,3,?,?]"), &[]);
    let mut request = compiled.create_request().unwrap();
    let shape = |i: usize| [1 + i % 3, 3, 8 + i % 40, 8 + i % 7];
    let answer = |request: &mut dyn InferRequest, i: usize| {
        set_input(request, &shape(i), i);
        request.infer().unwrap();
        output(request)
    };
    for i in (0..80).chain(0..80) {
        let [n, c, h, w] = shape(i);
        let fixed = compile(&residual(&format!("[{n},{c},{h},{w}]")), &[]);
        let mut fixed = fixed.create_request().unwrap();
        assert!(answer(&mut *request, i) == answer(&mut *fixed, i), "{:?}", shape(i));
    }
}

/// The processors that a process may use are those of its affinity: this test runs itself on one.
#[test]
#[cfg(target_os = "linux")]
fn a_process_bound_to_one_processor_runs_one_thread() {
    if std::env::var_os("BOUND").is_some() {
        let compiled = compile(&residual("[1,3,9,9]"), &[("PERFORMANCE_HINT", "THROUGHPUT")]);
        assert_eq!(compiled.property("INFERENCE_NUM_THREADS").unwrap(), "1");
        assert_eq!(compiled.property("NUM_STREAMS").unwrap(), "1");
        return;
    }
    let myself = std::env::current_exe().unwrap();
    let name = "a_process_bound_to_one_processor_runs_one_thread";
    let status = Command::new("taskset")
        .args(["-c", "0"])
        .arg(myself)
        .args(["--exact", name])
        .env("BOUND", "1")
        .status();
    match status {
        Ok(status) => assert!(status.success()),
        Err(error) => println!("no taskset here: {error}"),
    }
}

#[test]
fn compiled_models_end_their_threads() {
    let threads = || std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    let before = threads();
    for _ in 0..20 {
        let compiled =
            compile(&residual("[1,3,9,9]"), &[("NUM_STREAMS", "2"), ("INFERENCE_NUM_THREADS", "4")]);
        let mut request = Arc::clone(&compiled).create_request().unwrap();
        request.infer().unwrap();
    }
    // Other tests run beside this one; a leak would be eighty threads.
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(threads() < before + 40, "{} threads, {before} before", threads());
}
