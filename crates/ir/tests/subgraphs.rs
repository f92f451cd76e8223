//! Loops and branches that OpenVINO wrote, against its answers: `fixtures/subgraphs/make.py`.

use ir::{ElementType, Model, PartialShape, Tensor, evaluate, read_ir, read_ir_from, to_ir};
use std::path::PathBuf;

fn fixtures() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/subgraphs"))
}

fn tensor(json: &serde_json::Value, ty: ElementType) -> Tensor {
    let numbers = |name: &str| json[name].as_array().unwrap().iter().map(|n| n.as_f64().unwrap());
    let shape: Vec<usize> = numbers("shape").map(|n| n as usize).collect();
    Tensor::from_f64s(ty, &shape, &numbers("values").collect::<Vec<_>>()).unwrap()
}

fn answers_are(model: &Model, name: &str) {
    let answers = std::fs::read_to_string(fixtures().join("answers.json")).unwrap();
    let answers: serde_json::Value = serde_json::from_str(&answers).unwrap();
    let runs = answers[name].as_array().unwrap();
    assert!(!runs.is_empty());
    for run in runs {
        let inputs: Vec<Tensor> = model
            .parameters()
            .iter()
            .zip(run["inputs"].as_array().unwrap())
            .map(|(id, json)| tensor(json, model.ty((*id).into()).element_type))
            .collect();
        let found = evaluate(model, &inputs).unwrap();
        for (i, json) in run["outputs"].as_array().unwrap().iter().enumerate() {
            let expected = tensor(json, ElementType::F32);
            assert_eq!(found[i].shape(), expected.shape(), "{name}, output {i}");
            assert_eq!(found[i].to_f64s(), expected.to_f64s(), "{name}, output {i}");
            let ty = model.ty(model.results()[i].into());
            assert!(ty.shape.admits(found[i].shape()), "{name}: {ty} for {:?}", found[i].shape());
        }
    }
}

#[test]
fn openvinos_loops_and_branches_give_its_answers_also_when_written_anew() {
    for name in ["forwards", "backwards", "until", "branch"] {
        let model = read_ir(fixtures().join(name).with_extension("xml")).unwrap();
        answers_are(&model, name);
        let (text, weights) = to_ir(&model).unwrap();
        let again = read_ir_from(&text, weights).unwrap();
        answers_are(&again, name);
        assert_eq!(to_ir(&again).unwrap().0, text);
    }
}

#[test]
fn shapes_follow_through_bodies() {
    let mut model = read_ir(fixtures().join("forwards.xml")).unwrap();
    let types = |model: &Model| -> Vec<String> {
        model.results().iter().map(|id| model.ty((*id).into()).to_string()).collect()
    };
    assert_eq!(types(&model), ["f32[1,1,2]", "f32[1,3,2]"]);
    let longer: PartialShape = "[1,7,2]".parse().unwrap();
    model.set_parameter_shape(model.parameters()[0], longer);
    model.infer().unwrap();
    assert_eq!(types(&model), ["f32[1,1,2]", "f32[1,7,2]"]);

    let until = read_ir(fixtures().join("until.xml")).unwrap();
    assert_eq!(types(&until), ["f32[2]", "f32[1..]"], "the second grows");
    let branch = read_ir(fixtures().join("branch.xml")).unwrap();
    assert_eq!(types(&branch), ["f32[?]"], "3 or 6 elements");
}

#[test]
fn what_is_wrong_in_a_body_is_told() {
    let text = std::fs::read_to_string(fixtures().join("until.xml")).unwrap();
    let weights = std::fs::read(fixtures().join("until.bin")).unwrap();
    let read = |text: &str| read_ir_from(text, ir::Bytes::from(weights.clone()));
    read(&text).unwrap();
    for (from, to, expected) in [
        ("internal_layer_id=\"17\"", "internal_layer_id=\"3\"", "expected the id of a Result of the body"),
        ("external_port_id=\"2\"", "external_port_id=\"77\"", "expected the id of an input of the layer"),
        ("<input external_port_id=\"3\" internal_layer_id=\"2\" />", "", "parameter 2 of 4 is not mapped"),
        ("purpose=\"current_iteration\"", "purpose=\"other\"", "current_iteration"),
        (
            "<edge from-layer=\"17\" to-layer=\"1\" />",
            "<edge from-layer=\"17\" />",
            "no attribute `to-layer`",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        let error = read(&text.replace(from, to)).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("(Loop)"), "{from}: {error}");
    }
    // Bodies in bodies, without end.
    let deep = format!(
        "<net name=\"n\" version=\"11\">{}{}</net>",
        "<layers><layer id=\"0\" name=\"l\" type=\"TensorIterator\" version=\"opset1\"><body>".repeat(40),
        "</body></layer></layers>".repeat(40)
    );
    let error = read(&deep).unwrap_err().to_string();
    assert!(error.contains("graphs lie more than 16 deep"), "{error}");
}
