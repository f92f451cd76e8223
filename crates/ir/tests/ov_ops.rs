//! Ops against OpenVINO: the networks of `fixtures/ov_ops`, run by the reference interpreter.

use bytes::Bytes;
use ir::{ElementType, Model, Tensor, evaluate, read_ir_from, to_ir};
use std::path::PathBuf;

struct Case {
    name: String,
    xml: String,
    bin: Bytes,
    inputs: Vec<Tensor>,
    answers: Vec<Tensor>,
}

impl Case {
    fn model(&self) -> Model {
        read_ir_from(&self.xml, self.bin.clone()).unwrap_or_else(|e| panic!("{}: {e}", self.name))
    }
}

/// The cases in `cases.txt` and `cases.bin`, whose form `make_ov_ops.py` describes.
fn cases() -> Vec<Case> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/ov_ops");
    let text = std::fs::read_to_string(folder.join("cases.txt")).unwrap();
    let mut blob = Bytes::from(std::fs::read(folder.join("cases.bin")).unwrap());
    let case = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let mut file = |field: usize| blob.split_to(fields[field].parse().unwrap());
        let (xml, bin) = (file(1), file(2));
        let mut tensor = |part: &str| {
            let (ty, shape) = part.split_once(':').unwrap();
            let ty = ElementType::parse(ty).unwrap();
            let sizes = shape.split(',').filter(|d| !d.is_empty()).map(|d| d.parse().unwrap());
            let shape: Vec<usize> = sizes.collect();
            let len = ty.byte_len(shape.iter().product()).unwrap();
            Tensor::new(ty, shape, blob.split_to(len)).unwrap()
        };
        let [inputs, answers] =
            [3, 4].map(|field| fields[field].split(';').filter(|s| !s.is_empty()).map(&mut tensor).collect());
        let xml = String::from_utf8(xml.to_vec()).unwrap();
        Case { name: fields[0].to_owned(), xml, bin, inputs, answers }
    };
    let cases = text.lines().map(case).collect();
    assert!(blob.is_empty());
    cases
}

fn compare(model: &Model, case: &Case) -> Result<(), String> {
    let found = evaluate(model, &case.inputs).map_err(|e| e.to_string())?;
    for (i, (found, answer)) in found.iter().zip(&case.answers).enumerate() {
        if (found.element_type(), found.shape()) != (answer.element_type(), answer.shape()) {
            return Err(format!("output {i} is {found:?}, OpenVINO's {answer:?}"));
        }
        let (found, answer) = (found.to_f64s(), answer.to_f64s());
        let largest = answer.iter().filter(|v| v.is_finite()).fold(0.0, |a: f64, b| a.max(b.abs()));
        for (place, (found, answer)) in found.into_iter().zip(answer).enumerate() {
            let same = found == answer || found.is_nan() && answer.is_nan();
            if !same && (found - answer).abs() > 1e-5 * (answer.abs() + largest.max(1e-3)) {
                return Err(format!("output {i} holds {found} at {place}, OpenVINO's {answer}"));
            }
        }
    }
    Ok(())
}

fn demand(cases: &[Case], check: impl Fn(&Case) -> Result<(), String>) {
    let failed: Vec<String> =
        cases.iter().filter_map(|case| Some(format!("{}: {}", case.name, check(case).err()?))).collect();
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), cases.len(), failed.join("\n"));
}

#[test]
fn every_op_answers_as_openvino() {
    let cases = cases();
    assert!(cases.len() >= 159);
    demand(&cases, |case| compare(&case.model(), case));
}

/// The types that inference finds are those of the answers.
#[test]
fn inference_admits_the_answers() {
    demand(&cases(), |case| {
        let model = case.model();
        for (result, answer) in model.results().iter().zip(&case.answers) {
            let ty = model.ty(model.node(*result).inputs()[0]);
            if ty.element_type != answer.element_type() || !ty.shape.admits(answer.shape()) {
                return Err(format!("inferred {ty}, OpenVINO's answer is {answer:?}"));
            }
        }
        Ok(())
    });
}

/// What is written reads back as the same network; every attribute that OpenVINO wrote is one of ours.
#[test]
fn ops_survive_their_files() {
    demand(&cases(), |case| {
        let model = case.model();
        let (xml, weights) = to_ir(&model).map_err(|e| e.to_string())?;
        let again = read_ir_from(&xml, weights.to_bytes()).map_err(|e| e.to_string())?;
        compare(&again, case)?;
        for (_, node) in model.nodes() {
            if let ir::Op::Custom(op) = &node.op {
                return Err(format!("{} is not known", op.type_name));
            }
            // Both of these repeat what pooled_h and pooled_w say.
            let left = node
                .residue
                .iter()
                .filter(|(name, _)| !matches!(name.as_str(), "output_size" | "output_roi"));
            if let Some((name, value)) = left.into_iter().next() {
                return Err(format!("nobody read {name}=`{value}`"));
            }
        }
        Ok(())
    });
}
