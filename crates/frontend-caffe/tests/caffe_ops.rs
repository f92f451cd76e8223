//! Every layer against OpenCV and the definitions: the networks of `fixtures/caffe_ops`, converted and run by the
//! reference interpreter.

use bytes::Bytes;
use frontend_caffe::{Options, convert, parse};
use ir::{ElementType, Tensor, evaluate};
use proptest::prelude::*;
use std::{collections::HashMap, path::PathBuf, sync::OnceLock};

struct Case {
    name: String,
    definition: Bytes,
    weights: Bytes,
    inputs: HashMap<String, Tensor>,
    answers: Vec<(String, Tensor)>,
}

/// The cases in `cases.txt` and `cases.bin`, whose form `make_caffe_ops.py` describes.
fn cases() -> Vec<Case> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/caffe_ops");
    let text = std::fs::read_to_string(folder.join("cases.txt")).unwrap();
    let mut blob = Bytes::from(std::fs::read(folder.join("cases.bin")).unwrap());
    let case = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let definition = blob.split_to(fields[1].parse().unwrap());
        let weights = blob.split_to(fields[2].parse().unwrap());
        let mut tensors = |field: usize| -> Vec<(String, Tensor)> {
            let tensor = |part: &str| {
                let (name, shape) = part.split_once(':').unwrap();
                let dims = shape.split(',').filter(|d| !d.is_empty());
                let shape: Vec<usize> = dims.map(|d| d.parse().unwrap()).collect();
                let bytes = blob.split_to(4 * shape.iter().product::<usize>());
                (name.to_owned(), Tensor::new(ElementType::F32, shape, bytes).unwrap())
            };
            fields[field].split(';').map(tensor).collect()
        };
        let inputs = tensors(3).into_iter().collect();
        let answers = tensors(4);
        Case { name: fields[0].to_owned(), definition, weights, inputs, answers }
    };
    let cases = text.lines().map(case).collect();
    assert!(blob.is_empty());
    cases
}

fn run(case: &Case) -> Result<(), String> {
    let net = parse(Some(case.definition.clone()), Some(case.weights.clone())).map_err(|e| e.to_string())?;
    let converted = convert(&net, &Options::default()).map_err(|e| e.to_string())?;
    if !converted.notes.is_empty() {
        return Err(converted.notes.join("; "));
    }
    let model = converted.model;
    let inputs: Vec<Tensor> =
        model.parameters().iter().map(|id| case.inputs[&model.node(*id).name].clone()).collect();
    let found = evaluate(&model, &inputs).map_err(|e| e.to_string())?;
    if found.len() != case.answers.len() {
        return Err(format!("{} outputs, expected {}", found.len(), case.answers.len()));
    }
    for ((found, (name, answer)), result) in found.iter().zip(&case.answers).zip(model.results()) {
        let output = model.output(model.node(*result).inputs()[0]);
        if !output.names.contains(name) {
            return Err(format!("{name} is called {:?}", output.names));
        }
        if !output.ty.shape.admits(answer.shape()) || output.ty.element_type != ElementType::F32 {
            return Err(format!("{name} is said to be {}, the answer is {answer:?}", output.ty));
        }
        if found.shape() != answer.shape() {
            return Err(format!("{name} is {found:?}, the answer {answer:?}"));
        }
        let answer = answer.to_f64s();
        let largest = answer.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
        for (found, answer) in found.to_f64s().into_iter().zip(answer) {
            let close = (found - answer).abs() <= 1e-4 * (answer.abs() + 0.1 * largest);
            if !close {
                return Err(format!("{name} holds {found}, the answer {answer}"));
            }
        }
    }
    Ok(())
}

#[test]
fn every_layer_answers_as_caffe() {
    let cases = cases();
    assert!(cases.len() > 280);
    let failed: Vec<String> =
        cases.iter().filter_map(|case| Some(format!("{}: {}", case.name, run(case).err()?))).collect();
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), cases.len(), failed.join("\n"));
}

/// The batch may stay open: types are inferred and agree with the answers.
#[test]
fn open_batches_convert() {
    let mut converted = 0;
    for case in cases() {
        let net = parse(Some(case.definition.clone()), Some(case.weights.clone())).unwrap();
        let open = |(name, tensor): (&String, &Tensor)| {
            let mut dims: Vec<ir::Dim> = tensor.shape().iter().map(|d| ir::Dim::dim(*d)).collect();
            dims[0] = ir::Dim::ANY_DIM;
            let shape = Some(ir::PartialShape::new(dims));
            ir::cut::InputSpec { shape, ..ir::cut::InputSpec::at(name.clone()) }
        };
        let options = Options { inputs: case.inputs.iter().map(open).collect(), ..Options::default() };
        // Some layers ask for fixed shapes: they say so.
        let model = match convert(&net, &options) {
            Ok(converted) => converted.model,
            Err(error) => {
                assert!(error.to_string().contains("--input_shape"), "{}: {error}", case.name);
                continue;
            }
        };
        converted += 1;
        for (result, (_, answer)) in model.results().iter().zip(&case.answers) {
            let ty = model.ty(model.node(*result).inputs()[0]);
            assert!(ty.shape.admits(answer.shape()), "{}: {ty} {answer:?}", case.name);
        }
    }
    assert!(converted > 180, "{converted}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, ..ProptestConfig::default() })]

    /// Damaged networks end in an error or in a model.
    #[test]
    fn damage_never_panics(
        case in any::<prop::sample::Index>(),
        in_weights in any::<bool>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        static CASES: OnceLock<Vec<Case>> = OnceLock::new();
        let cases = CASES.get_or_init(cases);
        let case = &cases[case.index(cases.len())];
        let (mut definition, mut weights) = (case.definition.to_vec(), case.weights.to_vec());
        let damaged = if in_weights { &mut weights } else { &mut definition };
        for (at, value) in flips {
            let at = at.index(damaged.len());
            damaged[at] ^= value;
        }
        if let Ok(net) = parse(Some(definition.into()), Some(weights.into())) {
            let _ = convert(&net, &Options { custom_ops: ir::unsupported::CustomOps::all(), ..Options::default() });
        }
    }
}
