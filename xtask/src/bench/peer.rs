//! An engine in a process of its own, which infers when it is told to.

use crate::process::{Process, cache, program, root};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout},
    time::Instant,
};

/// Who runs networks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Engine {
    Terroir,
    OpenVino,
    OnnxRuntime,
    /// OpenVINO without Python; only starts.
    OpenVinoCpp,
}

impl Engine {
    pub(super) const ALL: [Self; 3] = [Self::Terroir, Self::OpenVino, Self::OnnxRuntime];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Terroir => "Terroir",
            Self::OpenVino => "OpenVINO",
            Self::OnnxRuntime => "ONNX Runtime",
            Self::OpenVinoCpp => "OpenVINO (C++)",
        }
    }
}

/// How a network is run.
#[derive(Clone, Copy)]
pub(super) struct Setting {
    pub(super) threads: usize,
    pub(super) streams: usize,
    pub(super) profile: bool,
    /// Another batch, of random data.
    pub(super) batch: Option<usize>,
    /// Another side of the image, of random data.
    pub(super) side: Option<usize>,
}

impl Default for Setting {
    fn default() -> Self {
        Self { threads: 1, streams: 1, profile: false, batch: None, side: None }
    }
}

/// A running engine with a loaded network.
pub(super) struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// What it said when it had answered first.
    pub(super) ready: Value,
    /// From the start of the process until then.
    pub(super) whole_ms: f64,
}

/// The program of `xtask/cpp/start.cpp`, built with the machine's C++ compiler when it is not there yet.
fn openvino_start() -> Result<PathBuf> {
    let (source, program) = (root().join("xtask/cpp/start.cpp"), cache().join("openvino_start"));
    let modified = |path: &Path| std::fs::metadata(path).and_then(|m| m.modified()).ok();
    if modified(&program) < modified(&source) {
        let packages = cache().join("ov/lib");
        let python = std::fs::read_dir(&packages)?.next().context("no Python packages")??.path();
        let openvino = python.join("site-packages/openvino");
        let libraries = openvino.join("libs");
        let is_core = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("libopenvino.so")
        };
        let mut files = std::fs::read_dir(&libraries)?.filter_map(|entry| Some(entry.ok()?.path()));
        let core = files.find(is_core).context("no libopenvino.so")?;
        Process::new("g++")
            .args(["-std=c++17", "-O1", "-o"])
            .arg(&program)
            .arg(source)
            .arg("-I")
            .arg(openvino.join("include"))
            .arg(core)
            .arg(format!("-Wl,-rpath,{0},-rpath-link,{0}", libraries.display()))
            .output()?;
    }
    Ok(program)
}

impl Peer {
    pub(super) fn start(engine: Engine, model: &Path, data: &Path, setting: &Setting) -> Result<Self> {
        let python = |name: &str| {
            Process::new(cache().join("ov/bin/python")).arg(root().join("xtask/python/turns.py")).arg(name)
        };
        let command = match engine {
            Engine::Terroir => program("turns")?,
            Engine::OpenVino => python("openvino"),
            Engine::OnnxRuntime => python("onnxruntime"),
            Engine::OpenVinoCpp => Process::new(openvino_start()?),
        };
        let threads = setting.threads.to_string();
        let mut command = command.arg(model);
        command = match engine {
            Engine::OpenVinoCpp => command.arg(threads),
            _ => command.arg("--inputs").arg(data).args(["--threads", &threads]),
        };
        if setting.streams > 1 {
            command = command.args(["--streams", &setting.streams.to_string()]);
        }
        if setting.profile {
            command = command.arg("--profile");
        }
        for (flag, size) in [("--batch", setting.batch), ("--side", setting.side)] {
            if let Some(size) = size {
                command = command.args([flag, &size.to_string()]);
            }
        }
        let begin = Instant::now();
        let mut child = command.start()?;
        let input = child.stdin.take().context("no standard input")?;
        let output = BufReader::new(child.stdout.take().context("no standard output")?);
        let mut peer = Self { child, input, output, ready: Value::Null, whole_ms: 0.0 };
        peer.ready = peer.line().with_context(|| format!("{} on {}", engine.name(), model.display()))?;
        peer.whole_ms = begin.elapsed().as_secs_f64() * 1e3;
        Ok(peer)
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        ensure!(self.output.read_line(&mut line)? > 0, "the engine ended: {}", self.child.wait()?);
        serde_json::from_str(&line).with_context(|| format!("the engine printed `{}`", line.trim()))
    }

    pub(super) fn version(&self) -> String {
        self.ready["engine"].as_str().unwrap_or_default().to_owned()
    }

    /// Milliseconds of the inferences of one turn.
    pub(super) fn turn(&mut self, seconds: f64) -> Result<Vec<f64>> {
        writeln!(self.input, "{seconds}")?;
        let answer = self.line()?;
        let times = answer["ms"].as_array().context("no times")?;
        Ok(times.iter().filter_map(Value::as_f64).collect())
    }

    /// What it says at its end: memory, layers.
    pub(super) fn finish(self) -> Result<Value> {
        let Self { mut child, input, mut output, .. } = self;
        drop(input);
        let mut line = String::new();
        output.read_line(&mut line)?;
        let status = child.wait()?;
        ensure!(status.success(), "the engine ended with {status}");
        Ok(serde_json::from_str(&line)?)
    }
}
