//! Real networks under HETERO: the digits, and the IRs of the folder that `TERROIR_NETWORKS` names, such as the zoo's.

mod bench;

use bench::{config, core_without, input};
use ir::Model;
use std::{env, fs, path::PathBuf};

/// What CPU2 refuses. Cuts lie where the CPU fuses nothing that rounds.
const REFUSED: [&[&str]; 2] = [
    &["MaxPool", "AvgPool", "ReduceMean", "TensorIterator"],
    &["SoftMax", "Softmax", "Reshape", "Concat", "Squeeze"],
];

fn networks() -> Vec<PathBuf> {
    let fixture = |name| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures")).join(name);
    let (digits, loops) = (fixture("digits/openvino"), fixture("subgraphs"));
    let mut networks = Vec::new();
    for folder in
        [Some(digits), Some(loops), env::var_os("TERROIR_NETWORKS").map(PathBuf::from)].into_iter().flatten()
    {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        networks.extend(entries.map(|entry| entry.unwrap().path()));
    }
    networks.retain(|path| path.extension().is_some_and(|extension| extension == "xml"));
    // Its condition is no float, as `input` gives.
    networks.retain(|path| !path.ends_with("branch.xml"));
    networks.sort();
    networks
}

/// The bits of all outputs, and the number of subgraphs.
fn run(core: &runtime::Core, model: &Model, device: &str) -> (Vec<ir::Bytes>, usize) {
    let compiled = core.compile_model(model, device, &config(&[])).unwrap();
    let mut request = compiled.create_infer_request().unwrap();
    for (i, port) in compiled.inputs().iter().enumerate() {
        let shape: Vec<usize> =
            port.ty.shape.dims().unwrap().iter().map(|dim| dim.size().unwrap_or(2)).collect();
        request.set_input(i, input(&shape, i + 1)).unwrap();
    }
    request.infer().unwrap();
    let tensors = (0..compiled.outputs().len()).map(|i| request.output(i).unwrap().to_tensor().unwrap());
    let bits = tensors.map(|tensor| tensor.bytes().clone()).collect();
    let count = compiled.property("HETERO_NUMBER_OF_SUBMODELS");
    (bits, count.map_or(1, |count| count.parse().unwrap()))
}

#[test]
fn networks_answer_the_same_bits_on_two_devices() {
    let networks = networks();
    assert!(networks.len() >= 3, "the digits' IRs are there");
    let mut differ = Vec::new();
    for path in &networks {
        let model = ir::read_ir(path).unwrap();
        let expected = run(&core_without(&[]), &model, "CPU").0;
        for refused in REFUSED {
            let (found, subgraphs) = run(&core_without(refused), &model, "HETERO:CPU2,CPU");
            let name = path.file_stem().unwrap().to_string_lossy();
            println!(
                "{name}: CPU2 without {refused:?}: {subgraphs} subgraphs, same bits: {}",
                found == expected
            );
            if found != expected {
                differ.push(format!("{name} without {refused:?}"));
            }
        }
    }
    assert!(differ.is_empty(), "{differ:?}");
}
