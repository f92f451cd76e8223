//! The main job on the committed fixtures: a Keras checkpoint becomes an FP16 IR and classifies images.

use crate::process::{program, root};
use anyhow::{Context, Result, ensure};
use std::{collections::HashMap, fs, path::Path};

pub(crate) fn run() -> Result<()> {
    let digits = root().join("fixtures/digits");
    let out = root().join("target/demo");
    let images = digits.join("images");
    fs::create_dir_all(&out)?;

    println!("1. The checkpoint becomes an IR with FP16 weights\n");
    convert(&digits, &out, "FP16", "digits_fp16")?;
    fs::copy(digits.join("digits.labels"), out.join("digits_fp16.labels"))?;

    println!("\n2. The CPU classifies images: two requests in flight, 20 inferences\n");
    program("classification_sample_async")?
        .args(["-d", "CPU", "-nt", "3", "-nireq", "2", "-ni", "20", "-pc", "-m"])
        .arg(out.join("digits_fp16.xml"))
        .arg("-i")
        .args([images.join("030_3.png"), images.join("070_7.png")].iter().filter(|p| p.is_file()))
        .run()?;

    println!("\n3. Accuracy over all images, with FP16 and with FP32 weights\n");
    convert(&digits, &out, "FP32", "digits_fp32")?;
    for model in ["digits_fp16", "digits_fp32"] {
        let (right, all) = accuracy(&out.join(model).with_extension("xml"), &images)?;
        println!("{model}: {right} of {all} images are classified as labelled");
    }
    Ok(())
}

fn convert(digits: &Path, out: &Path, data_type: &str, name: &str) -> Result<()> {
    program("mo")?
        .arg("--input_model")
        .arg(digits.join("digits_graph.pb"))
        .arg("--input_checkpoint")
        .arg(digits.join("digits.ckpt"))
        .args([
            "--output",
            "predictions/Softmax",
            "--data_type",
            data_type,
            "--model_name",
            name,
            "--output_dir",
        ])
        .arg(out)
        .run()
}

/// How many images the classification sample ranks first as they are labelled.
fn accuracy(model: &Path, images: &Path) -> Result<(usize, usize)> {
    let text = fs::read_to_string(images.join("labels.txt"))?;
    let labels: HashMap<&str, &str> =
        text.lines().filter_map(|line| line.split_once(char::is_whitespace)).collect();
    let printed = program("classification_sample")?
        .args(["-d", "CPU", "-nt", "1", "-m"])
        .arg(model)
        .arg("-i")
        .arg(images)
        .output()?;
    let (mut right, mut all) = (0, 0);
    let mut lines = printed.lines();
    while let Some(line) = lines.next() {
        let Some(path) = line.strip_prefix("Image ") else { continue };
        let file = Path::new(path).file_name().and_then(|n| n.to_str()).context("an image without a name")?;
        let label = labels.get(file).with_context(|| format!("{file} has no label"))?;
        // An empty line, the head, its rule, and then the best class.
        let row = lines.nth(3).with_context(|| format!("{file} has no answer"))?;
        all += 1;
        right += usize::from(row.split_whitespace().next() == Some(label.trim()));
    }
    ensure!(all == labels.len(), "{} images are labelled, {all} were classified", labels.len());
    Ok((right, all))
}
