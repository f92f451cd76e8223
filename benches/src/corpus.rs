//! Corpora: folders of small networks, each with inputs, expected outputs, and a `meta.json` that says what is what.

use anyhow::{Context, Result, bail, ensure};
use ir::Tensor;
use samples::numpy;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// One network of a corpus.
pub struct Case {
    folder: PathBuf,
    meta: Value,
}

/// The programs that convert and run a case.
pub struct Tools {
    /// The Model Optimizer.
    pub mo: PathBuf,
    /// The sample that runs raw tensors.
    pub infer: PathBuf,
}

/// Every case below `root`, by path.
pub fn find(root: &Path) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.file_name().is_some_and(|name| name == "meta.json") {
                let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
                let meta = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
                cases.push(Case { folder: folder.clone(), meta });
            }
        }
    }
    cases.sort_by(|a, b| a.folder.cmp(&b.folder));
    Ok(cases)
}

impl Case {
    /// The case's name.
    pub fn name(&self) -> &str {
        self.meta["name"].as_str().unwrap_or("?")
    }

    /// The framework it comes from: `tf`, `caffe`.
    pub fn framework(&self) -> &str {
        self.meta["framework"].as_str().unwrap_or("?")
    }

    /// Converts, runs and compares; an error says where it stopped.
    pub fn run(&self, tools: &Tools) -> Result<()> {
        let work = tempfile::tempdir()?;
        let outputs: Vec<&str> = self.outputs()?.iter().filter_map(|o| o["name"].as_str()).collect();
        let short: Vec<&str> = outputs.iter().map(|n| n.strip_suffix(":0").unwrap_or(n)).collect();
        let mut convert = Command::new(&tools.mo);
        convert.args(self.model_arguments()?).arg("--output").arg(short.join(","));
        convert.arg("--output_dir").arg(work.path()).args(["--model_name", "model"]);
        check(convert).context("convert")?;
        let answers = work.path().join("outputs.npz");
        let mut infer = Command::new(&tools.infer);
        infer.arg("-m").arg(work.path().join("model.xml")).args(["-d", "CPU", "-i"]);
        infer.arg(self.folder.join("inputs.npz")).arg("-o").arg(&answers);
        check(infer).context("infer")?;
        let found = numpy::read_npz(&answers)?;
        let expected = numpy::read_npz(&self.folder.join("expected.npz"))?;
        for (i, output) in self.outputs()?.iter().enumerate() {
            let name = output["name"].as_str().context("an output without a name")?;
            let want = expected
                .iter()
                .find(|(n, _)| n == name)
                .with_context(|| format!("nothing expected for {name}"))?;
            let plain = name.strip_suffix(":0").unwrap_or(name);
            let got = found.iter().find(|(n, _)| n == name || n == plain).or_else(|| found.get(i));
            let got = got.with_context(|| format!("there is no output {name}"))?;
            self.compare(&want.1, &got.1, output).with_context(|| name.to_owned())?;
        }
        Ok(())
    }

    fn outputs(&self) -> Result<&Vec<Value>> {
        self.meta["outputs"].as_array().context("meta.json lists no outputs")
    }

    /// The flags of `mo` that name the model's files.
    fn model_arguments(&self) -> Result<Vec<PathBuf>> {
        let file = |key: &str| -> Result<PathBuf> {
            let name = self.meta[key].as_str().with_context(|| format!("meta.json has no `{key}`"))?;
            Ok(self.folder.join(name))
        };
        let flag = |name: &str| PathBuf::from(name);
        Ok(match (self.framework(), self.meta["form"].as_str().unwrap_or("frozen")) {
            ("caffe", _) => {
                vec![flag("--input_model"), file("model")?, flag("--input_proto"), file("proto")?]
            }
            (_, "ckpt") => {
                vec![flag("--input_model"), file("model")?, flag("--input_checkpoint"), file("checkpoint")?]
            }
            (_, "meta") => vec![flag("--input_meta_graph"), file("model")?],
            (_, "savedmodel") => vec![flag("--saved_model_dir"), file("model")?],
            _ => vec![flag("--input_model"), file("model")?],
        })
    }

    fn compare(&self, want: &Tensor, got: &Tensor, output: &Value) -> Result<()> {
        let mode = output["compare"].as_str().or_else(|| self.meta["compare"].as_str());
        if mode == Some("detections") {
            return self.compare_values(&detections(want)?, &detections(got)?, output);
        }
        self.compare_values(want, got, output)
    }

    fn compare_values(&self, want: &Tensor, got: &Tensor, output: &Value) -> Result<()> {
        ensure!(want.shape() == got.shape(), "shape {:?}, want {:?}", got.shape(), want.shape());
        if !want.element_type().is_float() {
            let wrong = want.to_i64s().iter().zip(got.to_i64s()).filter(|(w, g)| **w != *g).count();
            ensure!(wrong == 0, "{wrong} of {} integers differ", want.len());
            return Ok(());
        }
        let limit =
            |key: &str, default| output[key].as_f64().or_else(|| self.meta[key].as_f64()).unwrap_or(default);
        let (relative, absolute) = (limit("rtol", 1e-4), limit("atol", 1e-5));
        // One value and another are the same when they are equal (infinities), both no number, or near.
        let near = |w: f64, g: f64| {
            w == g || w.is_nan() && g.is_nan() || (w - g).abs() <= absolute + relative * w.abs()
        };
        let pairs = want.to_f64s().into_iter().zip(got.to_f64s());
        let far: Vec<(f64, f64)> = pairs.filter(|(w, g)| !near(*w, *g)).collect();
        if let Some((w, g)) = far.first() {
            bail!("{} of {} values differ, the first is {g}, want {w}", far.len(), want.len());
        }
        Ok(())
    }
}

/// The detections of a detector, which gives them in any order and ends them with a row of -1: rows of image, class,
/// score and box, by image, class and score.
fn detections(rows: &Tensor) -> Result<Tensor> {
    let values = rows.to_f64s();
    ensure!(values.len().is_multiple_of(7), "{rows:?} holds no detections");
    let rows = values.chunks_exact(7).take_while(|row| row[0] >= 0.0).filter(|row| row[2] > 0.0);
    let mut rows: Vec<&[f64]> = rows.collect();
    let key = |row: &[f64]| [row[0], row[1], -row[2]];
    rows.sort_by(|a, b| key(a).partial_cmp(&key(b)).unwrap_or(std::cmp::Ordering::Equal));
    Ok(Tensor::from_f64s(ir::ElementType::F64, &[rows.len(), 7], &rows.concat())?)
}

/// Runs a program; what it printed on failure is the error.
fn check(mut command: Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot start {:?}", command.get_program()))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let text =
        if text.trim().is_empty() { String::from_utf8_lossy(&output.stdout).into_owned() } else { text };
    let last: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    bail!("{}: {}", output.status, last[last.len().saturating_sub(4)..].join(" | "))
}
