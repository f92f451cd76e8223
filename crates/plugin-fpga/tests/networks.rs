//! Networks of the zoo, when they are there (`cargo xtask interop` converts them): which layers the overlay refuses.

use ir::{Model, PartialShape, device::Support};
use plugin_fpga::{
    architecture::Architecture,
    compile::{compile, query},
};
use std::path::PathBuf;

const NAME: &str = "4x2x16x32_fp16_sb9408_fcd1024_actk4_poolk4_normk1_owk2_image300x300x8192_mbfr";

/// The network with a batch of 1, unless it is not on this machine.
fn network(name: &str) -> Option<Model> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = root.join(".cache/interop").join(format!("{name}_FP32.xml"));
    if !path.exists() {
        println!("SKIPPED: {} is not there: `cargo xtask interop` makes it", path.display());
        return None;
    }
    let mut model = ir::read_ir(&path).unwrap();
    for id in model.parameters().to_vec() {
        let dims =
            model.ty(id.into()).shape.dims().unwrap().iter().map(|dim| dim.value().unwrap_or(1) as usize);
        let sizes: Vec<usize> = dims.collect();
        model.set_parameter_shape(id, PartialShape::fixed(&sizes));
    }
    model.infer().unwrap();
    Some(model)
}

fn refused(support: &Support) -> Vec<&str> {
    support.refused.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn of_known_networks_only_the_ends_are_refused() {
    let architecture: Architecture = NAME.parse().unwrap();
    for (name, expected) in [
        ("caffe_googlenet", vec!["prob"]),
        ("caffe_alexnet", vec!["prob"]),
        ("caffe_resnet50", vec!["prob"]),
        ("caffe_squeezenet", vec!["prob"]),
        ("caffe_vgg16", vec!["prob"]),
        ("digits", vec!["input", "predictions/Softmax"]),
        ("resnet50", vec!["input_1", "predictions/Softmax"]),
        ("inception_v3", vec!["input_1", "predictions/Softmax"]),
        ("mobilenet", vec!["input_1", "reshape_2/Reshape", "predictions/Softmax"]),
        ("mobilenet_v2", vec!["input_1", "predictions/Softmax"]),
        ("densenet121", vec!["input_1", "predictions/Softmax"]),
    ] {
        let Some(model) = network(name) else { continue };
        let support = query(&model, &architecture).unwrap();
        assert_eq!(refused(&support), expected, "{name}: {:#?}", support.refused);
    }
}

/// The network from its first layer to what its last layer that the overlay refuses takes.
fn part(mut model: Model) -> Model {
    let results = model.results().to_vec();
    for result in results {
        let mut last = model.node(result).inputs()[0];
        while matches!(model.node(last.node).op, ir::Op::Softmax(_) | ir::Op::Reshape(_)) {
            last = model.node(last.node).inputs()[0];
        }
        model.set_input(result, 0, last);
    }
    let parameter = model.parameters()[0];
    let users: Vec<_> = model.users_of(parameter).map(|(user, _)| user).collect();
    for transpose in users {
        if !matches!(model.node(transpose).op, ir::Op::Transpose(_)) {
            continue;
        }
        let shape = model.ty(transpose.into()).shape.clone();
        model.set_parameter_shape(parameter, shape);
        model.replace(transpose.into(), parameter.into());
    }
    model.remove_dead();
    model.infer().unwrap();
    model
}

/// Takes minutes without optimisation: `cargo test --release -p plugin-fpga --test networks -- --ignored --nocapture`.
#[test]
#[ignore = "measures how long whole networks take, in release builds"]
fn known_networks_compile_whole() {
    let architecture: Architecture = NAME.parse().unwrap();
    let names = [
        "caffe_googlenet",
        "caffe_alexnet",
        "caffe_resnet50",
        "caffe_squeezenet",
        "caffe_vgg16",
        "digits",
        "resnet50",
        "inception_v3",
        "mobilenet",
        "mobilenet_v2",
        "densenet121",
    ];
    for name in names {
        let Some(model) = network(name) else { continue };
        let start = std::time::Instant::now();
        let program = compile(&part(model), &architecture).unwrap();
        println!(
            "{name}: {} layers, {} instructions, {} MB of constants, {} words of features, {:?}",
            program.layers.len(),
            program.instructions.len(),
            program.constants.len() >> 20,
            program.feature_words,
            start.elapsed()
        );
        assert!(program.layers.len() > 3);
    }
}
