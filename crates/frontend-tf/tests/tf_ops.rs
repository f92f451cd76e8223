//! Every op against TensorFlow: the graphs of `fixtures/tf_ops`, converted and run by the reference interpreter.

use bytes::Bytes;
use frontend_tf::{Encoding, Options, convert, parse_graph};
use ir::{ElementType, Tensor, evaluate};
use proptest::prelude::*;
use std::{collections::HashMap, path::PathBuf, sync::OnceLock};

struct Case {
    name: String,
    outputs: Vec<String>,
    model: Bytes,
    inputs: HashMap<String, Tensor>,
    answers: Vec<Tensor>,
}

fn tensor(ty: &str, shape: &str, blob: &mut Bytes) -> Tensor {
    let ty = ElementType::parse(ty).unwrap();
    let shape: Vec<usize> = shape.split(',').filter(|d| !d.is_empty()).map(|d| d.parse().unwrap()).collect();
    let len = ty.byte_len(shape.iter().product()).unwrap();
    Tensor::new(ty, shape, blob.split_to(len)).unwrap()
}

/// The cases in `cases.txt` and `cases.bin`, whose form `make_tf_ops.py` describes.
fn cases() -> Vec<Case> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tf_ops");
    let text = std::fs::read_to_string(folder.join("cases.txt")).unwrap();
    let mut blob = Bytes::from(std::fs::read(folder.join("cases.bin")).unwrap());
    let case = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let model = blob.split_to(fields[2].parse().unwrap());
        let list = |field: usize| fields[field].split(';').filter(|part| !part.is_empty());
        let input = |part: &str| {
            let parts: Vec<&str> = part.split(':').collect();
            (parts[0].to_owned(), tensor(parts[1], parts[2], &mut blob))
        };
        let inputs = list(3).map(input).collect();
        let answer =
            |part: &str| part.split_once(':').map(|(ty, shape)| tensor(ty, shape, &mut blob)).unwrap();
        let answers = list(4).map(answer).collect();
        let outputs = fields[1].split(',').map(str::to_owned).collect();
        Case { name: fields[0].to_owned(), outputs, model, inputs, answers }
    };
    let cases = text.lines().map(case).collect();
    assert!(blob.is_empty());
    cases
}

fn run(case: &Case) -> Result<(), String> {
    let graph = parse_graph(case.model.clone(), Encoding::Detect).map_err(|e| e.to_string())?.graph;
    let options = Options { outputs: case.outputs.clone(), ..Options::default() };
    let model = convert(&graph, &options).map_err(|e| e.to_string())?;
    let inputs: Vec<Tensor> =
        model.parameters().iter().map(|id| case.inputs[&model.node(*id).name].clone()).collect();
    let found = evaluate(&model, &inputs).map_err(|e| e.to_string())?;
    for (i, (found, answer)) in found.iter().zip(&case.answers).enumerate() {
        if (found.element_type(), found.shape()) != (answer.element_type(), answer.shape()) {
            return Err(format!("output {i} is {found:?}, TensorFlow's {answer:?}"));
        }
        let relative = if answer.element_type() == ElementType::F16 { 2e-3 } else { 1e-4 };
        let answer = answer.to_f64s();
        let largest = answer.iter().filter(|v| v.is_finite()).fold(0.0, |a: f64, b| a.max(b.abs()));
        for (found, answer) in found.to_f64s().into_iter().zip(answer) {
            // Infinities equal themselves; their difference is no number.
            let same = found == answer || found.is_nan() && answer.is_nan();
            let close = (found - answer).abs() <= relative * (answer.abs() + 0.1 * largest);
            if !same && !close {
                return Err(format!("output {i} holds {found}, TensorFlow's {answer}"));
            }
        }
    }
    Ok(())
}

#[test]
fn every_op_answers_as_tensorflow() {
    let cases = cases();
    assert!(cases.len() > 400);
    let failed: Vec<String> =
        cases.iter().filter_map(|case| Some(format!("{}: {}", case.name, run(case).err()?))).collect();
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), cases.len(), failed.join("\n"));
}

/// The model's types and shapes are those that TensorFlow's answers have, as far as they are known.
#[test]
fn inference_agrees_with_the_answers() {
    for case in cases() {
        let graph = parse_graph(case.model.clone(), Encoding::Detect).unwrap().graph;
        let options = Options { outputs: case.outputs.clone(), ..Options::default() };
        let model = convert(&graph, &options).unwrap();
        for (result, answer) in model.results().iter().zip(&case.answers) {
            let ty = model.ty(model.node(*result).inputs()[0]);
            assert_eq!(ty.element_type, answer.element_type(), "{}", case.name);
            assert!(ty.shape.admits(answer.shape()), "{}: {} {:?}", case.name, ty, answer.shape());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, ..ProptestConfig::default() })]

    /// Damaged ops end in an error or in a model.
    #[test]
    fn damage_never_panics(
        case in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        static CASES: OnceLock<Vec<Case>> = OnceLock::new();
        let cases = CASES.get_or_init(cases);
        let case = &cases[case.index(cases.len())];
        let mut bytes = case.model.to_vec();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= value;
        }
        if let Ok(file) = parse_graph(bytes.into(), Encoding::Detect) {
            let options = Options { outputs: case.outputs.clone(), ..Options::default() };
            let _ = convert(&file.graph, &options);
        }
    }
}
