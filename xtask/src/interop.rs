//! Our IRs in OpenVINO and Netron, OpenVINO's IRs in Terroir; everything against the answers of TensorFlow, or, for
//! Caffe's networks, which OpenVINO no longer converts, of OpenCV.

use crate::{
    process::{Process, cache, program, root},
    zoo::CAFFE,
};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A network and its own framework's answer.
pub(crate) struct Network {
    pub(crate) name: String,
    /// A frozen graph, or a .caffemodel with its .prototxt beside it.
    pub(crate) model: PathBuf,
    /// The inputs and the expected outputs.
    pub(crate) data: PathBuf,
}

pub(crate) fn run(only: &[String]) -> Result<()> {
    crate::zoo::environments(&["tf", "ov", "netron"])?;
    let out = cache().join("interop");
    let mut failures = Vec::new();
    println!("{:<18} {:<6} {:<26} max abs error / max abs output", "network", "data", "path");
    for network in networks()?
        .iter()
        .chain(&of_zoo(".caffemodel")?)
        .filter(|n| only.is_empty() || only.contains(&n.name))
    {
        for (data_type, limit) in [("FP32", 1e-4), ("FP16", 1e-2)] {
            let mut report = |path: &str, outcome: Result<f64>| {
                let text = match &outcome {
                    Ok(error) => format!("{error:.2e}"),
                    Err(error) => format!("FAILED: {error:#}"),
                };
                println!("{:<18} {data_type:<6} {path:<26} {text}", network.name);
                if outcome.is_ok_and(|error| error <= limit) {
                    return;
                }
                failures.push(format!("{} {data_type} {path}", network.name));
            };
            let ours = convert_ours(network, data_type, &out)?;
            let theirs = out.join(format!("{}_{data_type}_ovc.xml", network.name));
            let answers = out.join("answers.npz");
            report("ours in Terroir", terroir(&ours, network, &answers));
            report("ours in OpenVINO", openvino(&ours, network, &answers));
            if !network.name.starts_with(CAFFE) {
                let mut convert = script("convert").arg(&network.model).arg(&theirs);
                if data_type == "FP16" {
                    convert = convert.arg("--fp16");
                }
                convert.output()?;
                report("OpenVINO's in Terroir", terroir(&theirs, network, &answers));
            }
            let netron = Process::new("node").arg(root().join("xtask/netron_check.mjs"));
            let opened = netron.arg(cache().join("netron/netron")).arg(&ours).output();
            report("ours in Netron", opened.map(|_| 0.0));
        }
    }
    ensure!(failures.is_empty(), "beyond the limits (1e-4 for FP32, 1e-2 for FP16): {}", failures.join(", "));
    Ok(())
}

/// Converts a network into `out`, which is made.
pub(crate) fn convert_ours(network: &Network, data_type: &str, out: &Path) -> Result<PathBuf> {
    fs::create_dir_all(out)?;
    let stem = format!("{}_{data_type}", network.name);
    program("mo")?
        .arg("--input_model")
        .arg(&network.model)
        .args(["--data_type", data_type, "--silent", "--model_name", &stem, "--output_dir"])
        .arg(out)
        .run()?;
    Ok(out.join(format!("{stem}.xml")))
}

/// The digits, and the Keras networks as far as they were built.
pub(crate) fn networks() -> Result<Vec<Network>> {
    let digits = root().join("fixtures/digits");
    let mut networks = vec![Network {
        name: "digits".into(),
        model: digits.join("digits_frozen.pb"),
        data: digits.join("expected.npz"),
    }];
    networks.extend(of_zoo("_frozen.pb")?);
    Ok(networks)
}

/// The networks of the zoo whose files end so.
fn of_zoo(end: &str) -> Result<Vec<Network>> {
    let zoo = cache().join("zoo");
    let mut files: Vec<String> = fs::read_dir(&zoo)
        .with_context(|| format!("{} is not there; run `cargo xtask zoo` first", zoo.display()))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    files.sort();
    let network = |file: &String| {
        let name = file.strip_suffix(end)?;
        let data = zoo.join(format!("{name}.npz"));
        Some(Network { name: name.to_owned(), model: zoo.join(file), data })
    };
    Ok(files.iter().filter_map(network).collect())
}

/// A command of the script that drives OpenVINO.
pub(crate) fn script(command: &str) -> Process {
    Process::new(cache().join("ov/bin/python")).arg(root().join("xtask/python/interop.py")).arg(command)
}

fn terroir(model: &Path, network: &Network, answers: &Path) -> Result<f64> {
    let infer = program("infer")?;
    infer.arg("-m").arg(model).arg("-i").arg(&network.data).arg("-o").arg(answers).output()?;
    compare(answers, &network.data)
}

fn openvino(model: &Path, network: &Network, answers: &Path) -> Result<f64> {
    script("infer").arg(model).arg(&network.data).arg(answers).output()?;
    compare(answers, &network.data)
}

/// max abs error / max abs output; an answer with another top class is an error of its own.
fn compare(answers: &Path, expected: &Path) -> Result<f64> {
    let text = script("compare").arg(answers).arg(expected).output()?;
    text.trim().parse().with_context(|| format!("the comparison printed `{}`", text.trim()))
}
