//! The files that `benchmark_app` writes: reports, settings, traces.

use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn digits() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/digits/openvino/digits_fp32.xml")
}

/// Runs a program on ten batches of two digits, in a folder; the flags are words between blanks.
fn run(folder: &Path, flags: &str) -> Result<String, String> {
    let program = Command::new(env!("CARGO_BIN_EXE_benchmark_app"))
        .current_dir(folder)
        .arg("-m")
        .arg(digits().canonicalize().unwrap())
        .args(["-b", "2"])
        .args(if flags.contains("-niter") { &[][..] } else { &["-niter", "10"] })
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

/// The number behind a word of a line that begins so.
#[track_caller]
fn number<'a>(text: &'a str, line: &str) -> &'a str {
    let found = text.lines().find_map(|l| l.strip_prefix("[ INFO ]")?.trim_start().strip_prefix(line));
    found.unwrap_or_else(|| panic!("no line `{line}` in\n{text}")).split_whitespace().next().unwrap()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_report_holds_what_was_printed() {
    let folder = tempfile::tempdir().unwrap();
    let text = run(folder.path(), "-nireq 2 -report_type no_counters").unwrap();
    let report = fs::read_to_string(folder.path().join("benchmark_report.csv")).unwrap();
    let parts: Vec<&str> = report.split("\n\n").collect();
    assert!(
        parts[0].starts_with("Command line parameters\nm;/") && parts[0].contains("\nnireq;2\n"),
        "{report}"
    );
    assert!(parts[1].starts_with("Configuration setup\ntopology;"), "{report}");
    for row in ["target device;CPU", "API;async", "batch size;2", "number of parallel infer requests;2"] {
        assert!(parts[1].contains(row), "{row} in {report}");
    }
    assert!(parts[2].starts_with("Execution results\nread model time (ms);"), "{report}");
    for (row, line) in [
        ("throughput;", "Throughput:"),
        ("latency (ms);", "Median:"),
        ("max latency;", "Max:"),
        ("total execution time (ms);", "Duration:"),
        ("total number of iterations;", "Count:"),
        ("compile model time (ms);", "Compile model took"),
        ("first inference time (ms);", "First inference took"),
    ] {
        let row = format!("\n{row}{}", number(&text, line));
        assert!(parts[2].contains(&row), "{row} in {report}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let other = folder.path().join("json");
    fs::create_dir(&other).unwrap();
    let text = run(folder.path(), "-report_type no_counters -json_stats -report_folder json").unwrap();
    let report = json(&other.join("benchmark_report.json"));
    assert_eq!(report["execution_results"]["throughput"], number(&text, "Throughput:"));
    assert_eq!(report["cmd_options"]["report_folder"], "json");
    assert_eq!(report["configuration_setup"]["target device"], "CPU");
}

#[test]
fn layers_are_reported_in_files() {
    let folder = tempfile::tempdir().unwrap();
    let header = "layerName;execStatus;layerType;execType;realTime (ms);cpuTime (ms)";
    run(folder.path(), "-report_type average_counters").unwrap();
    let average = fs::read_to_string(folder.path().join("benchmark_average_counters_report.csv")).unwrap();
    let rows: Vec<Vec<&str>> = average.lines().map(|line| line.split(';').collect()).collect();
    assert_eq!(average.lines().next(), Some(header));
    let layers = &rows[1..rows.len() - 2];
    assert!(layers.iter().any(|row| row[1] == "EXECUTED" && row[2] == "Convolution"), "{average}");
    let sum: f64 = layers.iter().map(|row| row[4].parse::<f64>().unwrap()).sum();
    let total: f64 = rows[rows.len() - 2][4].parse().unwrap();
    assert!(rows[rows.len() - 2][0] == "Total" && (sum - total).abs() < 0.02, "{average}");

    run(folder.path(), "-nireq 3 -report_type detailed_counters").unwrap();
    let detailed = fs::read_to_string(folder.path().join("benchmark_detailed_counters_report.csv")).unwrap();
    assert_eq!(detailed.matches(header).count(), 3);
    run(folder.path(), "-nireq 3 -report_type detailed_counters -json_stats true -pcsort sort").unwrap();
    let detailed = json(&folder.path().join("benchmark_detailed_counters_report.json"));
    let requests = detailed["detailed_performance"].as_array().unwrap();
    assert_eq!((requests.len(), &detailed["report_type"]), (3, &"detailed".into()));
    assert_eq!(requests[0]["nodes"].as_array().unwrap().len(), layers.len());
    let sorted = json(&folder.path().join("benchmark_sorted_report.json"));
    let times: Vec<f64> = sorted["avg_performance"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["real_time"].as_str().unwrap().parse().unwrap())
        .collect();
    assert!(times.is_sorted_by(|a, b| a >= b) && times.len() == layers.len(), "{times:?}");
}

#[test]
fn counts_are_sorted_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let rows = |order: &str| -> Vec<(f64, bool)> {
        let text = run(folder.path(), &format!("-pcsort {order}")).unwrap();
        assert!(text.contains("Total proportion: 100.00 %"), "{text}");
        let row = |line: &str| {
            let (left, time) = line.split_once("realTime (ms): ")?;
            Some((time.split_whitespace().next()?.parse().unwrap(), left.contains(" EXECUTED ")))
        };
        text.lines().filter_map(row).collect()
    };
    let (plain, sorted, simple) = (rows("no_sort"), rows("sort"), rows("simple_sort"));
    assert_eq!(plain.len(), sorted.len());
    assert!(plain.iter().any(|(_, ran)| !ran) && simple.iter().all(|(_, ran)| *ran));
    assert!(!plain.is_sorted_by(|a, b| a.0 >= b.0));
    assert!(sorted.is_sorted_by(|a, b| a.0 >= b.0) && simple.is_sorted_by(|a, b| a.0 >= b.0));
}

#[test]
fn the_executed_graph_is_a_file() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), "-exec_graph_path graph.xml").unwrap();
    let text = fs::read_to_string(folder.path().join("graph.xml")).unwrap();
    let document = roxmltree::Document::parse(&text).unwrap();
    let layers: Vec<_> = document.descendants().filter(|node| node.has_tag_name("layer")).collect();
    let of = |layer: &roxmltree::Node<'_, '_>, name: &str| {
        let data = layer.children().find(|child| child.has_tag_name("data"))?;
        data.attribute(name).map(str::to_owned)
    };
    let convolution = layers.iter().find(|layer| layer.attribute("type") == Some("Convolution")).unwrap();
    assert_eq!(of(convolution, "layerType").as_deref(), Some("Convolution"), "{text}");
    assert!(of(convolution, "execTimeMcs").unwrap().parse::<u64>().is_ok(), "{text}");
    assert!(of(convolution, "primitiveType").unwrap().contains("f32"), "{text}");
    assert!(layers.iter().any(|layer| of(layer, "execTimeMcs").as_deref() == Some("not_executed")));
}

#[test]
fn compiled_models_are_kept_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let entries = || fs::read_dir(folder.path().join("cache")).unwrap().count();
    run(folder.path(), "-cache_dir cache").unwrap();
    assert_eq!(entries(), 1);
    run(folder.path(), "-cdir cache").unwrap();
    assert_eq!(entries(), 1, "the second run takes the first one's");
    run(folder.path(), "-cdir cache -nstreams 1").unwrap();
    assert_eq!(entries(), 2, "other settings compile anew");
}

#[test]
fn settings_are_read_and_written() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("in.json"), r#"{"CPU": {"NUM_STREAMS": 2, "INFERENCE_NUM_THREADS": "2"}}"#)
        .unwrap();
    let text = run(folder.path(), "-hint none -load_config in.json -dump_config out.json").unwrap();
    assert!(text.contains("NUM_STREAMS: 2"), "{text}");
    let settings = json(&folder.path().join("out.json"));
    assert_eq!(settings["CPU"]["NUM_STREAMS"], "2");
    let text = run(folder.path(), "-hint none -load_config out.json -nstreams 1").unwrap();
    assert!(text.contains("NUM_STREAMS: 1") && text.contains("INFERENCE_NUM_THREADS: 2"), "{text}");
    for (name, config, message) in [
        ("a.json", r#"{"CPU": {"NO_SUCH": 1}}"#, "NO_SUCH"),
        ("b.json", r#"{"CPU": 3}"#, "expected settings by device"),
        ("c.json", "{", "-load_config c.json"),
    ] {
        fs::write(folder.path().join(name), config).unwrap();
        let error = run(folder.path(), &format!("-load_config {name}")).unwrap_err();
        assert!(error.contains(message), "{error}");
    }
    let error = run(folder.path(), "-load_config nothing.json").unwrap_err();
    assert!(error.contains("-load_config nothing.json"), "{error}");
}

/// A complete event of a trace: its lane, begin, duration and name.
type Span = (u64, f64, f64, String);

/// The names of a trace's lanes, and its complete events.
fn lanes(trace: &Value) -> (BTreeSet<String>, Vec<Span>) {
    let events = trace["traceEvents"].as_array().unwrap();
    let threads = events.iter().filter(|e| e["name"] == "thread_name");
    let names = threads.map(|e| e["args"]["name"].as_str().unwrap().to_owned()).collect();
    let spans = events.iter().filter(|e| e["ph"] == "X").map(|e| {
        let name = e["name"].as_str().unwrap().to_owned();
        (e["tid"].as_u64().unwrap(), e["ts"].as_f64().unwrap(), e["dur"].as_f64().unwrap(), name)
    });
    (names, spans.collect())
}

#[test]
fn traces_show_streams_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let text = run(folder.path(), "-nstreams 2 -nthreads 2 -nireq 4 -niter 200 -trace trace.json").unwrap();
    assert!(text.contains("[ INFO ] Trace of 200 inferences is stored to trace.json"), "{text}");
    let trace = json(&folder.path().join("trace.json"));
    let (names, spans) = lanes(&trace);
    assert_eq!(names, ["CPU 0", "CPU 1"].map(String::from).into());
    for lane in 0..2 {
        let own: Vec<_> = spans.iter().filter(|span| span.0 == lane).collect();
        assert!(!own.is_empty());
        // One after the other within a lane; times are rounded to nanoseconds.
        assert!(own.is_sorted_by(|a, b| a.1 + a.2 <= b.1 + 0.002), "{own:?}");
    }
    let convolution = trace["traceEvents"].as_array().unwrap().iter().find(|e| e["cat"] == "Convolution");
    let convolution = convolution.unwrap()["name"].as_str().unwrap();
    assert_eq!(spans.iter().filter(|span| span.3 == convolution).count(), 200);
}

#[test]
fn the_classification_sample_traces_too() {
    let folder = tempfile::tempdir().unwrap();
    let images = digits().canonicalize().unwrap().with_file_name("../images/000_0.png");
    let sample = |program: &str| {
        let output = Command::new(program)
            .current_dir(folder.path())
            .args(["-ni", "5", "-trace", "t.json", "-m"])
            .arg(digits().canonicalize().unwrap())
            .arg("-i")
            .arg(&images)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let (names, spans) = lanes(&json(&folder.path().join("t.json")));
        assert!(names.contains("CPU 0") && spans.len() >= 5, "{spans:?}");
    };
    sample(env!("CARGO_BIN_EXE_classification_sample"));
    sample(env!("CARGO_BIN_EXE_classification_sample_async"));
}

#[test]
fn what_cannot_be_written_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for flags in [
        "-report_type no_counters -report_folder nothing",
        "-report_type average_counters -report_folder nothing",
        "-trace nothing/trace.json",
        "-dump_config nothing/config.json",
        "-exec_graph_path nothing/graph.xml",
    ] {
        let error = run(folder.path(), flags).unwrap_err();
        assert!(error.contains("nothing") && error.contains("No such file"), "{flags}: {error}");
    }
    for (flags, message) in [
        ("-report_type all", "average_counters"),
        ("-pcsort up", "simple_sort"),
        ("-json_stats maybe", "expected true or false"),
    ] {
        let error = run(folder.path(), flags).unwrap_err();
        assert!(error.contains(message), "{error}");
    }
}
