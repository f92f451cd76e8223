//! `validation_app`, as a user runs it: the digits against TensorFlow's answers, a detector against the average
//! precision that NumPy found from OpenCV's detections.

mod networks;

use networks::{detector, fixtures};
use samples::numpy;
use std::{fs, path::Path};

/// Runs the program in a folder; the flags are words between blanks.
fn run(folder: &Path, flags: &str) -> Result<String, String> {
    networks::run(env!("CARGO_BIN_EXE_validation_app"), folder, flags)
}

const DIGITS: &str = "-m openvino/digits_fp32.xml -lbl digits.labels";

fn digits(flags: &str) -> Result<String, String> {
    run(&fixtures("digits"), &format!("{DIGITS} {flags}"))
}

/// How many images TensorFlow has right: first class, and among the first five.
fn tensorflow() -> (usize, usize) {
    let arrays = numpy::read_npz(&fixtures("digits/expected.npz")).unwrap();
    let array = |name: &str| arrays.iter().find(|(n, _)| n == name).unwrap().1.to_f64s();
    let (answers, classes) = (array("predictions/Softmax"), array("classes"));
    let place = |(row, class): (&[f64], &f64)| row.iter().filter(|p| **p > row[*class as usize]).count();
    let places: Vec<usize> = answers.chunks_exact(10).zip(&classes).map(place).collect();
    assert_eq!(places.len(), 100);
    (places.iter().filter(|p| **p == 0).count(), places.iter().filter(|p| **p < 5).count())
}

#[test]
fn digits_have_the_accuracy_of_tensorflow() {
    let (first, five) = tensorflow();
    assert_eq!((first, five), (99, 100), "the figures that the fixture's README names");
    for batch in ["", "-b 7", "-b 1", "-b 100"] {
        let text = digits(&format!("-i images/labels.txt {batch}")).unwrap();
        let top1 = format!(
            "Top1 accuracy: {first}.00% ({first} of 100 images were detected correctly, top class is correct)"
        );
        let top5 = format!(
            "Top5 accuracy: {five}.00% ({five} of 100 images were detected correctly, top five classes contain \
             required class)"
        );
        assert!(text.contains(&top1) && text.contains(&top5), "{text}");
    }
}

#[test]
fn the_report_has_the_known_lines() {
    let text = digits("-i images/labels.txt -b 10").unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "Progress: [....................] 100.00% done");
    assert_eq!(lines[1], "[ INFO ] Processing output blobs");
    assert!(lines[2].starts_with("Network load time: ") && lines[2].ends_with("ms"));
    assert_eq!(
        lines[3..9],
        [
            "Model: openvino/digits_fp32.xml",
            "Model Precision: FP32",
            "Batch size: 10",
            "Validation dataset: images/labels.txt",
            "Validation approach: Classification network",
            "Device: CPU",
        ]
    );
    let times = lines[10].strip_prefix("Average infer time (ms): ").unwrap();
    let (ms, rest) = times.split_once(" (").unwrap();
    let (rate, rest) = rest.split_once(' ').unwrap();
    assert_eq!(rest, "images per second with batch size = 10)");
    let (ms, rate): (f64, f64) = (ms.parse().unwrap(), rate.parse().unwrap());
    // The time is rounded to a microsecond.
    assert!((ms * rate / 1e4 - 1.0).abs() < 0.01 + 0.001 / ms, "{times}");
    let half = run(&fixtures("digits"), "-m openvino/digits_fp16.xml -i images/labels.txt").unwrap();
    assert!(half.contains("Model Precision: FP16\nBatch size: 1\n"), "{half}");
}

#[test]
fn folders_are_classes() {
    let folder = tempfile::tempdir().unwrap();
    let labels = fs::read_to_string(fixtures("digits/digits.labels")).unwrap();
    // Two images of each class, the second in the folder of the next: half is right.
    for (class, label) in labels.lines().enumerate() {
        let own = folder.path().join(label);
        fs::create_dir(&own).unwrap();
        for (name, of) in [("right", class), ("wrong", (class + 1) % 10)] {
            let image = format!("digits/images/{:03}_{of}.png", 10 * of);
            fs::copy(fixtures(&image), own.join(name).with_extension("png")).unwrap();
        }
    }
    fs::create_dir(folder.path().join("no class")).unwrap();
    let text = digits(&format!("-i {} -b 4", folder.path().display())).unwrap();
    assert!(text.contains("Top1 accuracy: 50.00% (10 of 20 images"), "{text}");
}

#[test]
fn the_background_shifts_classes() {
    let folder = tempfile::tempdir().unwrap();
    let list: String = (1..10)
        .map(|digit| {
            let image = fixtures(&format!("digits/images/{:03}_{digit}.png", 10 * digit));
            format!("{}\t{}\n", image.display(), digit - 1)
        })
        .collect();
    let path = folder.path().join("list.txt");
    fs::write(&path, list).unwrap();
    for (flag, right) in [("-Czb true", 9), ("-Czb", 9), ("-Czb false", 0), ("", 0)] {
        let text = digits(&format!("-i {} {flag}", path.display())).unwrap();
        assert!(text.contains(&format!("({right} of 9 images")), "{flag}: {text}");
    }
}

#[test]
fn dumps_hold_what_was_found() {
    let folder = tempfile::tempdir().unwrap();
    let digits = fixtures("digits");
    let flags = format!(
        "-m {0}/openvino/digits_fp32.xml -i {0}/images/labels.txt -b 8 --dump",
        digits.canonicalize().unwrap().display()
    );
    for _ in 0..2 {
        run(folder.path(), &flags).unwrap();
    }
    let text = fs::read_to_string(folder.path().join("dumpfile0001.csv")).unwrap();
    assert_eq!(text, fs::read_to_string(folder.path().join("dumpfile0000.csv")).unwrap());
    let mut right = 0;
    for (line, listed) in
        text.lines().zip(fs::read_to_string(digits.join("images/labels.txt")).unwrap().lines())
    {
        let fields: Vec<&str> = line.split(';').collect();
        assert_eq!(fields.len(), 12, "{line}");
        let (name, class) = listed.split_once(' ').unwrap();
        assert!(fields[0].ends_with(name), "{line}");
        assert_eq!(fields[1] == "1", fields[2] == class, "{line}");
        right += usize::from(fields[1] == "1");
        let probability = |i: usize| fields[3 + 2 * i].parse::<f32>().unwrap();
        assert!((0..4).all(|i| probability(i) >= probability(i + 1)), "{line}");
    }
    assert_eq!((text.lines().count(), right), (100, 99));
}

#[test]
fn images_are_fitted_as_asked() {
    let text = digits("-i images/labels.txt -ppType None").unwrap();
    assert!(text.contains("Top1 accuracy: 99.00%"), "{text}");
    // 8x8 pixels out of the middle of 8x8.
    let text = digits("-i images/labels.txt -ppType resizecrop -ppSize 8").unwrap();
    assert!(text.contains("Top1 accuracy: 99.00%"), "{text}");
    // Width and height each have their flag: 8 of 9 columns, all 8 rows, is another picture.
    let text = digits("-i images/labels.txt -ppType ResizeCrop -ppSize 8 -ppWidth 16").unwrap();
    assert!(!text.contains("Top1 accuracy: 99.00%"), "{text}");
}

fn voc(model: &Path, flags: &str) -> Result<String, String> {
    let flags = format!(
        "-t OD -m {} -i . -ODa VOC2007/Annotations -ODc classes.txt -ODsubdir JPEGImages {flags}",
        model.display()
    );
    run(&fixtures("voc"), &flags)
}

#[test]
fn detectors_have_the_precision_that_numpy_finds() {
    let folder = tempfile::tempdir().unwrap();
    let model = detector(folder.path(), 127.5);
    let expected = fs::read_to_string(fixtures("voc/expected.txt")).unwrap();
    let (classes, mean) = expected.split_once("mAP\t").unwrap();
    for batch in ["", "-b 1"] {
        let text = voc(&model, batch).unwrap();
        let table = format!(
            "Average precision per class table:\n\nClass\tAP\n{classes}\nMean Average Precision (mAP): {mean}"
        );
        assert!(text.ends_with(&table), "{text}\nexpected\n{table}");
        assert!(text.contains("Validation approach: Object detection network\n"), "{text}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    let fails = |result: Result<String, String>, with: &str| {
        let error = result.unwrap_err();
        assert!(error.contains(with), "{error}");
    };
    fails(digits(""), "-i <PATH>");
    fails(digits("-i images/labels.txt -t X"), "C, OD");
    fails(digits("-i images"), "no folder in it is named as one of the 10 classes");
    fails(digits("-i nothing.txt"), "-i nothing.txt: there is no such folder or list");
    fails(digits("-i images/000_0.png"), "expected a folder, or a list as text");
    fails(digits("-i images/labels.txt -d GPU"), "there is no device `GPU`");
    fails(digits("-i images/labels.txt -ppType ResizeCrop -ppSize 7"), "hold no 8x8 to cut out");
    fails(digits("-i images -t od"), "-t OD needs -ODa");
    fails(digits("-i images/labels.txt -b 0"), "0 is not in");
    let unnamed = run(&fixtures("digits"), "-m openvino/digits_fp32.xml -i images");
    fails(unnamed, "there are no class names");
    let none = run(&fixtures("digits"), "-m nothing.xml -i images/labels.txt");
    fails(none, "nothing.xml");
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list.txt");
    fs::write(&list, format!("{} 10", fixtures("digits/images/000_0.png").display())).unwrap();
    fails(digits(&format!("-i {}", list.display())), "is of class 10, and the network knows 10 classes");
    let model = fixtures("digits/openvino/digits_fp32.xml");
    fails(voc(&model, ""), "no output has rows of 7 numbers");
    fails(voc(&model, "-ODkind YOLO"), "are these the classes (-ODc) of this network?");
    let bare = format!("-t OD -m {} -i . -ODa . -ODc classes.txt", model.display());
    fails(run(&fixtures("voc"), &bare), "-ODa .: there are no annotations");
}
