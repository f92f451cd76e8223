//! HETERO on the command line, as the samples show it.

use std::{path::Path, process::Command};

/// What the sample prints for one image of the digits, on a device.
fn classify(device: &str) -> String {
    let digits = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/digits");
    let output = Command::new(env!("CARGO_BIN_EXE_classification_sample_async"))
        .arg("-m")
        .arg(digits.join("openvino/digits_fp32.xml"))
        .arg("-i")
        .arg(digits.join("images/000_0.png"))
        .args(["-d", device, "-nt", "3", "-nireq", "2", "-ni", "6", "-pc"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// The table of classes.
fn classes(text: &str) -> &str {
    let table = text.split_once("classid probability").unwrap().1;
    table.split_once("total inference time").unwrap().0
}

#[test]
fn the_sample_classifies_on_hetero_as_on_the_cpu() {
    let (cpu, hetero) = (classify("CPU"), classify("HETERO:CPU,CPU"));
    assert_eq!(classes(&cpu), classes(&hetero));
    let rows: Vec<&str> = hetero.lines().filter(|line| line.contains("layerType: ")).collect();
    assert!(rows.iter().all(|row| row.starts_with("subgraph0: ")), "{rows:?}");
    let convolution = rows.iter().find(|row| row.contains("layerType: Convolution")).unwrap();
    assert!(convolution.contains("execType: CPU:"), "{convolution}");
}
