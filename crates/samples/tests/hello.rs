//! The samples that show the beginning.

use std::{path::PathBuf, process::Command};

fn digits() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/digits")
}

#[test]
fn hello_classification_names_the_digit() {
    let run = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_hello_classification"))
            .current_dir(digits())
            .args(arguments)
            .output()
            .unwrap()
    };
    for digit in ["0", "3", "9"] {
        let image = format!("images/0{digit}0_{digit}.png");
        let output = run(&["openvino/digits_fp32.xml", &image, "CPU"]);
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let table = format!("Image {image}\n\nclassid probability\n------- -----------\n{digit}       0.");
        assert!(text.contains("Top 10 results:") && text.contains(&table), "{text}");
    }
    for (arguments, message) in [
        (["openvino/digits_fp32.xml", "images/000_0.png", "GPU"], "there is no device `GPU`"),
        (["nothing.xml", "images/000_0.png", "CPU"], "nothing.xml"),
        (["openvino/digits_fp32.xml", "nothing.png", "CPU"], "cannot read nothing.png"),
        (["openvino/digits_fp32.xml", "digits.labels", "CPU"], "no PNG, JPEG, or BMP image"),
    ] {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(message), "{text}");
    }
}

#[test]
fn hello_query_device_lists_devices_and_properties() {
    let output = Command::new(env!("CARGO_BIN_EXE_hello_query_device")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "[ INFO ] Available devices:\n[ INFO ] CPU: Terroir CPU\n[ INFO ] \tSUPPORTED_PROPERTIES:\n",
        "[ INFO ] \t\tImmutable: FULL_DEVICE_NAME : Terroir CPU\n",
        "[ INFO ] \t\tImmutable: RANGE_FOR_STREAMS : 1,",
        "[ INFO ] \t\tMutable: PERF_COUNT : NO\n",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
}
