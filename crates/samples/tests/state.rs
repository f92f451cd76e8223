//! Networks that keep state from one inference to the next.

use ir::{
    ElementType, Model, PartialShape, Tensor,
    device::{Bundle, BundleWriter},
    op::{Assign, Binary, BinaryKind, Concat, ReadValue},
};
use runtime::{CompiledModel, Config, Error, InferRequest};
use std::{io::Write, path::Path};

/// The sum of all inputs so far, from 10 on; with a second variable that keeps all of them, one behind the other.
fn model() -> Model {
    let mut model = Model::new("sums");
    let x = model.add_parameter("x", ElementType::F32, "[1,2]".parse().unwrap());
    let ten = model.add_constant("ten", Tensor::from_slice(&[1, 2], &[10.0f32; 2]).unwrap());
    let id = || "sum".to_owned();
    let read = ReadValue { variable_id: id(), ..ReadValue::default() };
    let sum = model.add("sum", read, &[ten.into()]).unwrap();
    let add = model.add("add", Binary::new(BinaryKind::Add), &[sum.into(), x.into()]).unwrap();
    model.add("keep_sum", Assign { variable_id: id() }, &[add.into()]).unwrap();
    model.add_result("total", add.into()).unwrap();

    let shape: PartialShape = "[?,2]".parse().unwrap();
    let read =
        ReadValue { variable_id: "all".to_owned(), variable_type: ElementType::F32, variable_shape: shape };
    let all = model.add("all", read, &[]).unwrap();
    let longer = model.add("longer", Concat { axis: 0 }, &[all.into(), x.into()]).unwrap();
    model.add("keep_all", Assign { variable_id: "all".to_owned() }, &[longer.into()]).unwrap();
    model.add_result("history", longer.into()).unwrap();
    model
}

fn step(request: &mut InferRequest, x: [f32; 2]) -> (Vec<f64>, Vec<f64>) {
    request.input(0).unwrap().copy_from(bytemuck::bytes_of(&x)).unwrap();
    request.infer().unwrap();
    let output = |i| request.output(i).unwrap().to_tensor().unwrap().to_f64s();
    (output(0), output(1))
}

/// Reads a network that OpenVINO wrote, compares with its answers (`fixtures/stateful/make.py`), also after writing the
/// network anew.
#[test]
fn openvino_has_the_same_answers() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/stateful");
    let answers = std::fs::read_to_string(fixture.join("answers.json")).unwrap();
    let answers: serde_json::Value = serde_json::from_str(&answers).unwrap();
    let numbers = |value: &serde_json::Value| -> Vec<f64> {
        value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
    };
    let core = samples::engine::core();
    let folder = tempfile::tempdir().unwrap();
    let again = folder.path().join("again.xml");
    ir::write_ir(&core.read_model(fixture.join("sums.xml")).unwrap(), &again).unwrap();
    for xml in [fixture.join("sums.xml"), again] {
        let compiled = core.compile_file(&xml, "CPU", &Config::new()).unwrap();
        let mut request = compiled.create_infer_request().unwrap();
        let steps = answers.as_array().unwrap();
        assert_eq!(steps.len(), 4);
        for answer in steps {
            if answer["reset"] == true {
                request.reset_states().unwrap();
            }
            let x = numbers(&answer["x"]);
            let (total, history) = step(&mut request, [x[0] as f32, x[1] as f32]);
            assert_eq!([total, history], [numbers(&answer["outputs"][0]), numbers(&answer["outputs"][1])]);
        }
    }
}

#[test]
fn a_sum_goes_on_through_inferences_on_every_device() {
    let folder = tempfile::tempdir().unwrap();
    let xml = folder.path().join("sums.xml");
    ir::write_ir(&model(), &xml).unwrap();
    let core = samples::engine::core();
    let cache = folder.path().join("cache");
    let entries = || std::fs::read_dir(&cache).into_iter().flatten().count();
    let keeping = Config::from([("CACHE_DIR".to_owned(), cache.display().to_string())]);
    for (i, device) in ["CPU", "HETERO:CPU"].into_iter().enumerate() {
        let model = core.read_model(&xml).unwrap();
        let compiled = core.compile_model(&model, device, &Config::new()).unwrap();
        runs_on(&compiled);
        runs_on(&core.import_model(exported(&compiled).into(), device, &Config::new()).unwrap());
        for _ in 0..2 {
            runs_on(&core.compile_file(&xml, device, &keeping).unwrap());
            assert_eq!(entries(), i + 1);
        }
    }
}

fn exported(compiled: &CompiledModel) -> Vec<u8> {
    let mut bytes = Vec::new();
    compiled.export(&mut bytes).unwrap();
    bytes
}

fn runs_on(compiled: &CompiledModel) {
    assert_eq!((compiled.inputs().len(), compiled.outputs().len()), (1, 2), "variables are no ports");
    let mut request = compiled.create_infer_request().unwrap();
    let mut other = compiled.create_infer_request().unwrap();
    assert_eq!(request.states(), ["sum", "all"]);

    assert_eq!(step(&mut request, [1.0, 2.0]), (vec![11.0, 12.0], vec![1.0, 2.0]));
    assert_eq!(step(&mut request, [3.0, 4.0]), (vec![14.0, 16.0], vec![1.0, 2.0, 3.0, 4.0]));
    assert_eq!(step(&mut other, [5.0, 5.0]), (vec![15.0; 2], vec![5.0; 2]), "each request has its own");

    request.start_async().unwrap();
    request.wait().unwrap();
    assert_eq!(request.state("sum").unwrap().to_f64s(), [17.0, 20.0]);
    assert_eq!(request.state("all").unwrap().shape(), [3, 2]);

    request.set_state("sum", &Tensor::from_slice(&[1, 2], &[100.0f32, 0.0]).unwrap()).unwrap();
    assert_eq!(step(&mut request, [1.0, 1.0]).0, [101.0, 1.0]);
    request.reset_states().unwrap();
    assert_eq!(step(&mut request, [0.0, 0.0]), (vec![10.0; 2], vec![0.0; 2]));
}

#[test]
fn an_export_with_wrong_variables_is_refused() {
    let core = samples::engine::core();
    let good = exported(&core.compile_model(&model(), "CPU", &Config::new()).unwrap());
    let import = |bytes: Vec<u8>| core.import_model(bytes.into(), "CPU", &Config::new());
    let format = *b"TERRSTA\x01";
    let bundle = Bundle::read(&format, &good.clone().into()).unwrap();
    let with_head = |head: &str| {
        let mut bytes = Vec::new();
        let mut new = BundleWriter::new(format, &mut bytes).unwrap();
        for part in &bundle.parts {
            new.begin().unwrap();
            new.write_all(&part.bytes).unwrap();
        }
        new.finish(head).unwrap();
        import(bytes)
    };
    runs_on(&with_head(&bundle.head).unwrap());
    let head: serde_json::Value = serde_json::from_str(&bundle.head).unwrap();
    for (place, value, wanted) in [
        ("", serde_json::json!([]), "0 of them have 2 first values"),
        ("", serde_json::json!({}), "there is no list"),
        ("/0/shape", serde_json::json!([1, 1u64 << 62]), "number 0 is not what it should be"),
        ("/0/type", "f32[1,3]".into(), "its first value f32[1, 2]"),
        ("/0/type", "i32[1,2]".into(), "`sum` is i32[1,2], its port on the device f32[1,2]"),
        ("/1/name", "sum".into(), "two of them are called `sum`"),
    ] {
        let mut head = head.clone();
        *head.pointer_mut(place).unwrap() = value;
        let error = with_head(&head.to_string()).err().expect(wanted).to_string();
        assert!(error.contains(wanted), "{place}: {error}");
    }
    for at in 0..good.len() {
        let (mut damaged, cut) = (good.clone(), good[..at].to_vec());
        assert!(import(cut).is_err(), "{at} bytes");
        damaged[at] ^= 2;
        // What is let through are bytes that nobody needs.
        import(damaged).iter().for_each(runs_on);
    }
}

#[test]
fn what_is_wrong_with_state_is_told() {
    let core = samples::engine::core();
    let compile = |model: &Model| core.compile_model(model, "CPU", &Config::new());
    let compiled = compile(&model()).unwrap();
    let mut request = compiled.create_infer_request().unwrap();
    let message = request.state("other").unwrap_err().to_string();
    assert_eq!(message, "the variable `other`: the model has no such variable; it has sum, all");
    let wrong = Tensor::from_slice(&[1], &[1.0f32]).unwrap();
    assert!(matches!(request.set_state("sum", &wrong), Err(Error::State { .. })));

    let assigned_twice = {
        let mut model = model();
        let x = model.parameters()[0];
        model.add("again", Assign { variable_id: "sum".to_owned() }, &[x.into()]).unwrap();
        model
    };
    let never_read = {
        let mut model = model();
        let x = model.parameters()[0];
        model.add("again", Assign { variable_id: "new".to_owned() }, &[x.into()]).unwrap();
        model
    };
    let from_input = {
        let mut model = Model::new("m");
        let x = model.add_parameter("x", ElementType::F32, "[2]".parse().unwrap());
        let read = ReadValue { variable_id: "v".to_owned(), ..ReadValue::default() };
        let value = model.add("v", read, &[x.into()]).unwrap();
        model.add("keep", Assign { variable_id: "v".to_owned() }, &[value.into()]).unwrap();
        model.add_result("y", value.into()).unwrap();
        model
    };
    for (model, message) in [
        (assigned_twice, "the variable `sum`: two Assign nodes leave it; only one can be the last"),
        (never_read, "the variable `new`: an Assign leaves it, no ReadValue reads it"),
        (from_input, "the variable `v`: its first value depends on the input `x`; only constants may"),
    ] {
        let error = compile(&model).err().expect(message).to_string();
        assert_eq!(error, message);
    }
}
