//! What runs passes: order, leaving out, watching, and the check that outputs stay what they are.

mod net;

use ir::{ElementType, Op, RtAttribute, Tensor, op::*};
use net::{Net, convolution, noise, optimized};
use optimizer::{Error, Options, PASSES, Pass, optimize, optimize_watched, run};
use std::collections::HashSet;

#[test]
fn every_pass_has_its_own_name_and_can_be_left_out() {
    let names: HashSet<&str> = PASSES.iter().map(|pass| pass.name).collect();
    assert_eq!(names.len(), PASSES.len());
    let net = Net::default();
    let x = net.input("[1,3,4,4]");
    let before = net.model(&[x * x.sigmoid()]);
    let mut model = before.clone();
    let options = Options { skip: vec!["fuse activations".to_owned()], ..Options::default() };
    let report = optimize(&mut model, &options).unwrap();
    assert!(report.steps.iter().all(|step| step.pass != "fuse activations"));
    assert_eq!(model.to_string(), before.to_string());
    assert_eq!(optimize(&mut model, &Options::default()).unwrap().applied["swish"], 1);
}

#[test]
fn a_watcher_sees_the_model_after_each_pass() {
    let net = Net::default();
    let mut model = net.model(&[(net.input("[4]") + 0.0).relu()]);
    let mut seen = Vec::new();
    let report = optimize_watched(&mut model, &Options::default(), &mut |step, model| {
        seen.push((step.pass, model.len()));
    });
    assert_eq!(seen.len(), PASSES.len());
    assert_eq!(seen[0], ("fold constants", 5));
    assert_eq!(seen[1], ("remove identities", 3));
    assert_eq!(report.unwrap().steps[1].changes, 1, "the addition");
}

#[test]
fn a_pass_that_changes_an_output_is_an_error() {
    let widen = Pass {
        name: "widen",
        run: |model, _| {
            let result = model.results()[0];
            let from = model.node(result).inputs()[0];
            let wide = model.add("wide", Convert::to(ElementType::F64), &[from])?;
            model.set_input(result, 0, wide.into());
            Ok(1)
        },
    };
    let net = Net::default();
    let mut model = net.model(&[net.input("[4]").relu()]);
    let error = run(&mut model, &[widen], &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, Error::OutputChanged { .. }));
    assert_eq!(
        error.to_string(),
        "pass `widen` turned output `y0` from f32[4] into f64[4]; skip that pass and report the model"
    );
}

#[test]
fn a_pass_that_breaks_the_graph_is_an_error() {
    let knot = Pass {
        name: "knot",
        run: |model, _| {
            let result = model.node(model.results()[0]).inputs()[0];
            model.set_input(result.node, 0, result);
            Ok(1)
        },
    };
    let net = Net::default();
    let mut model = net.model(&[net.input("[4]").relu()]);
    let error = run(&mut model, &[knot], &mut |_, _| {}).unwrap_err().to_string();
    assert!(error.starts_with("pass `knot`: the graph has a cycle"), "{error}");
}

#[test]
fn compressed_weights_stay_compressed() {
    let net = Net::default();
    let values = noise(&[8, 3, 1, 1], 4).to_f64s();
    let half = net.tensor(Tensor::from_f64s(ElementType::F16, &[8, 3, 1, 1], &values).unwrap());
    let weights = net.op(Convert::to(ElementType::F32), &[half]);
    let mark = RtAttribute { version: "0".to_owned(), ..Default::default() };
    net.model.borrow_mut().node_mut(weights.port.node).rt_info.insert("decompression".to_owned(), mark);
    let x = net.input("[1,3,4,4]");
    let y = net.op(convolution(2, 0), &[x, weights]) * net.tensor(noise(&[8, 1, 1], 1));
    optimized(&[y]).are("Convert Convolution Multiply");
}

#[test]
fn inputs_and_outputs_stay_even_when_unused() {
    let net = Net::default();
    let (a, b) = (net.input("[4]"), net.input("[2]"));
    let done = optimized(&[a * 1.0, a, a.relu()]);
    assert_eq!(done.model.parameters().len(), 2);
    assert_eq!(done.model.results().len(), 3);
    assert_eq!(done.model.parameters()[1], b.port.node);
    let sources: Vec<_> = done.model.results().iter().map(|id| done.model.node(*id).inputs()[0]).collect();
    assert_eq!(sources[..2], [a.port, a.port]);
    assert!(matches!(done.model.node(sources[2].node).op, Op::Unary(Unary::Relu)));
}
