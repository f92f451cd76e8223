//! A whole detector against OpenCV: `fixtures/caffe_nets/mobilenet_ssd`, from its files to boxes.

use frontend_caffe::{Options, convert, read};
use ir::{Op, Tensor, evaluate};
use std::path::PathBuf;

/// Rows of class, confidence and corners, in an order of their own.
fn rows(numbers: &[f64]) -> Vec<Vec<f64>> {
    let mut rows: Vec<Vec<f64>> =
        numbers.chunks_exact(7).take_while(|row| row[0] >= 0.0).map(<[f64]>::to_vec).collect();
    rows.sort_by(|a, b| a[1].total_cmp(&b[1]).then(b[2].total_cmp(&a[2])));
    rows
}

#[test]
fn a_detector_finds_what_opencv_finds() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/caffe_nets");
    let file = |name: &str| folder.join(format!("mobilenet_ssd.{name}"));
    let net = read(Some(&file("prototxt")), Some(&file("caffemodel"))).unwrap();
    let converted = convert(&net, &Options::default()).unwrap();
    assert!(converted.notes.is_empty(), "{:?}", converted.notes);
    let model = converted.model;
    let bytes = std::fs::read(file("bin")).unwrap();
    let numbers: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let (image, answer) = numbers.split_at(3 * 64 * 64);
    let image = Tensor::from_slice(&[1, 3, 64, 64], image).unwrap();
    let found = evaluate(&model, &[image]).unwrap().remove(0);
    assert_eq!(found.shape(), [1, 1, 50, 7]);
    let answer: Vec<f64> = answer.iter().map(|v| f64::from(*v)).collect();
    let (found, answer) = (rows(&found.to_f64s()), rows(&answer));
    assert_eq!(found.len(), answer.len());
    for (found, answer) in found.iter().zip(&answer) {
        let apart = found.iter().zip(answer).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(apart < 1e-4, "{found:?}, OpenCV's {answer:?}");
    }
    // Names that users ask for by `--output` and see in profiles.
    let kind =
        |name: &str| model.nodes().find(|(_, n)| n.name == name).map(|(_, n)| n.op.type_name().to_owned());
    for (name, op) in [("detection_out", "DetectionOutput"), ("conv3_mbox_priorbox", "PriorBox")] {
        assert_eq!(kind(name).as_deref(), Some(op));
    }
    assert!(model.nodes().all(|(_, node)| !matches!(node.op, Op::Custom(_))));
}
