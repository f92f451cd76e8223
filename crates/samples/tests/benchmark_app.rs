//! `benchmark_app` on the digits network, as a user runs it: what every flag changes.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

fn digits() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/digits")
}

/// Runs the program on the digits; the flags are words between blanks.
fn run(flags: &str) -> Result<String, String> {
    let network = digits().join("openvino/digits_fp32.xml");
    run_on(&network, flags)
}

fn run_on(network: &Path, flags: &str) -> Result<String, String> {
    let program = Command::new(env!("CARGO_BIN_EXE_benchmark_app"))
        .current_dir(digits())
        .arg("-m")
        .arg(network)
        .args(flags.split_whitespace())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    match program.status.code() {
        Some(0) => Ok(text(program.stdout)),
        Some(1) => Err(text(program.stderr)),
        other => panic!("ended with {other:?}: {}", text(program.stderr)),
    }
}

/// A batch of two, ten inferences.
const SHORT: &str = "-b 2 -niter 10";

fn short(flags: &str) -> String {
    run(&format!("{SHORT} {flags}")).unwrap()
}

#[track_caller]
fn fails(flags: &str, with: &str) {
    let error = run(flags).unwrap_err();
    assert!(error.contains(with), "{error}");
}

/// The number behind a word of a line that begins so.
#[track_caller]
fn number(text: &str, line: &str) -> f64 {
    let found = text.lines().find_map(|l| l.strip_prefix("[ INFO ]")?.trim_start().strip_prefix(line));
    let found = found.unwrap_or_else(|| panic!("no line `{line}` in\n{text}"));
    found.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn the_report_has_the_known_lines() {
    let text = short("-hint none");
    for i in 1..=11 {
        assert!(text.contains(&format!("[Step {i}/11] ")), "{text}");
    }
    for line in ["Read model took", "Compile model took", "First inference took"] {
        assert!(number(&text, line) > 0.0);
    }
    let lines: Vec<&str> = text.lines().collect();
    let end = lines[lines.len() - 8..].join("\n");
    for (label, unit) in [
        ("[ INFO ] Count:            10", "iterations"),
        ("[ INFO ] Duration:         ", "ms"),
        ("[ INFO ] Latency:", ""),
        ("[ INFO ]    Median:        ", "ms"),
        ("[ INFO ]    Average:       ", "ms"),
        ("[ INFO ]    Min:           ", "ms"),
        ("[ INFO ]    Max:           ", "ms"),
        ("[ INFO ] Throughput:   ", "FPS"),
    ] {
        let line = end.lines().find(|line| line.starts_with(label));
        assert!(line.is_some_and(|line| line.ends_with(unit)), "`{label}` in\n{end}");
    }
    let (min, median, max) = (number(&text, "Min:"), number(&text, "Median:"), number(&text, "Max:"));
    assert!(min <= median && median <= max, "{text}");
    // Ten batches of two in that time.
    let (duration, fps) = (number(&text, "Duration:"), number(&text, "Throughput:"));
    assert!((fps * duration / 1e3 - 20.0).abs() < 0.5, "{text}");
}

#[test]
fn hints_choose_the_api_and_the_streams() {
    let latency = short("-hint latency");
    assert!(
        latency.contains("(Start inference synchronously using 1 streams, limits: 10 iterations)"),
        "{latency}"
    );
    let throughput = short("");
    assert!(
        throughput
            .contains("[ WARNING ] -hint was not given; the performance hint of CPU will be Throughput")
    );
    assert!(throughput.contains("Start inference asynchronously"), "{throughput}");
    assert!(short("-api sync").contains("will be Latency"));
    assert!(short("-hint tput -api sync").contains("Start inference synchronously"));
    let asked = short("-nstreams 1 -nthreads 1");
    assert!(asked.contains("asynchronously, 1 inference requests using 1 streams"), "{asked}");
    assert!(!asked.contains("WARNING"), "{asked}");
}

#[test]
fn threads_streams_and_requests_are_counted() {
    let text = short("-nthreads 2 -nstreams CPU:2 -nireq 5");
    assert!(text.contains("INFERENCE_NUM_THREADS: 2") && text.contains("NUM_STREAMS: 2"), "{text}");
    assert!(text.contains("5 inference requests using 2 streams, limits: 10 iterations"), "{text}");
    assert!(!text.contains("aligned"));
    let text = short("-nireq 4");
    assert!(text.contains("aligned by request number from 10 to 12 using number of requests 4"), "{text}");
    assert_eq!(number(&text, "Count:"), 12.0);
}

#[test]
fn time_and_iterations_limit_a_run() {
    let text = run("-b 1 -t 1").unwrap();
    assert!(number(&text, "Duration:") >= 1000.0 && number(&text, "Count:") > 10.0, "{text}");
    assert!(text.contains("limits: 1000 ms duration)"));
    let compiled = run("-niter 0").unwrap();
    assert!(compiled.contains("Compile model took") && !compiled.contains("Latency"), "{compiled}");
}

#[test]
fn shapes_come_from_flags() {
    assert!(short("").contains("Model batch size: 2"));
    let text = run("-shape [7,8,8,1] -niter 400").unwrap();
    assert!(text.contains("Model batch size: 7") && text.contains("inference only mode"), "{text}");
    let (duration, fps) = (number(&text, "Duration:"), number(&text, "Throughput:"));
    // The duration is rounded to 10 us.
    assert!((fps * duration / 1e3 / 2800.0 - 1.0).abs() < 0.02, "{text}");
    let named = run("-shape input[?,8,8,1] -data_shape [3,8,8,1][5,8,8,1] -nireq 1 -niter 400").unwrap();
    assert!(named.contains("full mode"), "{named}");
    let (duration, fps) = (number(&named, "Duration:"), number(&named, "Throughput:"));
    assert!((fps * duration / 1e3 / 1600.0 - 1.0).abs() < 0.02, "{named}");
    let layout = run("-shape [?,8,8,1] -layout [HWNC] -niter 1 -data_shape [2,8,8,1]").unwrap();
    assert!(layout.contains("Model batch size: 8"), "{layout}");
}

#[test]
fn precision_is_the_devices() {
    assert!(short("-infer_precision f32").contains("INFERENCE_PRECISION_HINT: f32"));
    assert!(short("-infer_precision CPU:f32").contains("INFERENCE_PRECISION_HINT: f32"));
    assert!(short("-ip u8").contains(": u8 / "));
    fails(&format!("{SHORT} -infer_precision f17"), "INFERENCE_PRECISION_HINT=f17");
}

#[test]
fn files_fill_the_inputs() {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("one.bin");
    std::fs::write(&raw, [0u8; 8 * 8 * 4]).unwrap();
    assert!(short("").contains("Fill input 'input:0' with random values"));
    assert!(short("-i images").contains("with 2 image(s)"));
    assert!(run("-niter 2 -b 100 -i input:0:images").unwrap().contains("with 100 image(s)"));
    let text = run(&format!("-b 2 -niter 1 -i {}", raw.display())).unwrap();
    assert!(text.contains("from 1 file(s)"), "{text}");
    // Arrays bring their shape; the file holds the expected answers too.
    let text = run("-shape [?,8,8,1] -niter 1 -nireq 1 -i expected.npz").unwrap();
    assert!(number(&text, "Throughput:") * number(&text, "Duration:") / 1e3 > 80.0, "{text}");
    std::fs::write(&raw, [0u8; 77]).unwrap();
    fails(
        &format!("-b 2 -niter 1 -i {}", raw.display()),
        "77 bytes; input `input:0` takes 512, or 256 an image",
    );
}

#[test]
fn counts_are_printed_on_request() {
    let text = short("-pc");
    assert!(text.contains("Performance counts, averages of 10 inferences"), "{text}");
    assert!(text.contains("EXECUTED        layerType: Convolution"), "{text}");
    assert!(text.contains("realTime (ms): ") && text.contains("Total CPU time: "), "{text}");
    assert!(!short("").contains("layerType"));
}

#[test]
fn ports_take_other_types_and_values() {
    let text = short("-ip u8 -op f16");
    assert!(text.contains(" : u8 / [...] / [2,8,8,1]") && text.contains(": f16 / [...] / [2,10]"), "{text}");
    let text = short("-iop input:0:u8 -ip f16");
    assert!(text.contains(" : u8 / [...] / [2,8,8,1]"), "{text}");
    let text = short("-mean_values [10] -scale_values input[2] -pc");
    assert!(text.contains("layerType: Subtract") || text.contains("layerType: Divide"), "{text}");
    fails("-b 1 -niter 1 -iop other:u8", "has no input or output `other`");
    fails("-b 1 -niter 1 -iop input", "expected NAME:TYPE");
    fails("-b 1 -niter 1 -mean_values [a]", "-mean_values: [a] are no numbers");
    fails("-b 1 -niter 1 -mean_values [1,2]", "2 mean values for 1 channels");
}

#[test]
fn measuring_is_told_how() {
    // Ten batches of two at 200 a second: the last begins after 90 ms.
    let text = short("-hint latency -max_irate 200");
    assert!(number(&text, "Duration:") >= 90.0 && number(&text, "Throughput:") <= 222.3, "{text}");
    let text = short("-latency_percentile 100");
    assert_eq!(number(&text, "100 percentile:"), number(&text, "Max:"));
    assert!(!text.contains("Median"), "{text}");
    let text = short("-no_warmup");
    assert!(text.contains("Skipping warmup") && !text.contains("First inference"), "{text}");
    assert!(short("-inference_only").contains("inference only mode"));
    assert!(short("-inference_only false").contains("in full mode"));
    fails("-b 1 -niter 1 -latency_percentile 0", "0 is not in 1..=100");
    fails("-b 1 -niter 1 -max_irate=-1", "not negative");
    let taking_turns = "-shape [?,8,8,1] -data_shape [3,8,8,1][5,8,8,1] -niter 4 -inference_only";
    fails(taking_turns, "inputs whose tensors take turns");
}

#[test]
fn wrong_flags_are_refused() {
    fails("-niter 1", "say with -data_shape what its tensors shall be");
    fails("-nosuch 1", "--nosuch");
    fails("-b 0", "0 is not in");
    fails("-hint fast", "latency");
    fails("-api both", "async");
    fails("-api sync -nireq 2", "-api async only");
    fails("-shape [1,8,8", "-shape [1,8,8: expected [..], or INPUT[..],INPUT[..]");
    fails("-shape other[1]", "the network has no input `other`; it has input:0");
    fails("-shape [1,8,8,2]", "does not take these shapes");
    fails("-data_shape [?,8,8,1]", "tensors have sizes");
    fails("-data_shape [1,8,8,2] -niter 1", "found f32[1, 8, 8, 2]");
    fails("-b 1 -layout [NC]", "-layout: input `input:0` is");
    fails("-b 1 -niter 1 -nstreams GPU:2", "GPU does not compute; of -d that is CPU");
    fails("-b 1 -niter 1 -nstreams two", "NUM_STREAMS=two");
    fails("-b 1 -niter 1 -d GPU", "there is no device `GPU`");
    fails("-b 1 -niter 1 -d CPU:GPU", "there is no device `GPU`");
    fails("-b 1 -niter 1 -c kernels.xml", "need a GPU device");
    fails("-b 1 -niter 1 -i nothing.png", "no such image: nothing.png");
    let error = run_on(Path::new("nothing.xml"), "-niter 1").unwrap_err();
    assert!(error.contains("nothing.xml"), "{error}");
    let error = Command::new(env!("CARGO_BIN_EXE_benchmark_app")).output().unwrap();
    assert_eq!(error.status.code(), Some(1));
    assert!(String::from_utf8(error.stderr).unwrap().contains("-m <XML>"));
}
