//! A model over a device in C and the CPU, by HETERO from its library: every tensor between them crosses two boundaries.

#[path = "../../../crates/runtime/tests/libraries/mod.rs"]
mod libraries;
#[path = "../../../crates/runtime/tests/plugin_list/mod.rs"]
mod plugin_list;

use ir::{ElementType, Model, PartialShape, Tensor, op::*};
use runtime::{Config, Core, HostTensor, LayerStatus};
use std::{env::consts, sync::Arc};

/// `tanh((x + 1) * y) + 1`, whose Tanh the device in C does not know.
fn model() -> Model {
    let mut model = Model::new("divided");
    let mut input =
        |name| model.add(name, Parameter::new(ElementType::F32, PartialShape::fixed(&[4])), &[]).unwrap();
    let (x, y) = (input("x"), input("y"));
    let one = model.add_constant("one", Tensor::from_slice(&[], &[1.0f32]).unwrap());
    let add = || Binary::new(BinaryKind::Add);
    let sum = model.add("sum", add(), &[x.into(), one.into()]).unwrap();
    let product = model.add("product", Binary::new(BinaryKind::Multiply), &[sum.into(), y.into()]).unwrap();
    let tanh = model.add("tanh", Unary::Tanh, &[product.into()]).unwrap();
    let last = model.add("last", add(), &[tanh.into(), one.into()]).unwrap();
    model.add("result", OpResult::default(), &[last.into()]).unwrap();
    model
}

#[test]
fn a_device_in_c_and_the_cpu_share_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let elementwise = libraries::c_library(folder.path(), "plugins/elementwise", &[]);
    let name = format!("{}terroir_hetero_plugin{}", consts::DLL_PREFIX, consts::DLL_SUFFIX);
    let hetero = std::env::current_exe().unwrap().with_file_name(name);
    let from_library = Core::new();
    plugin_list::write(folder.path(), &[("ELEMENTWISE", &elementwise), ("HETERO", &hetero)]);
    from_library.add_plugins(folder.path()).unwrap();
    let linked = Core::new();
    plugin_list::write(folder.path(), &[("ELEMENTWISE", &elementwise)]);
    linked.add_plugins(folder.path()).unwrap();
    linked.register(Arc::new(hetero::HeteroDevice::new()));

    for core in [linked, from_library] {
        core.register(Arc::new(plugin_cpu::CpuDevice::new()));
        let support = core.query_model(&model(), "HETERO:ELEMENTWISE,CPU", &Config::new()).unwrap();
        let place = |node: &str| {
            let placed = support.placements.iter().find(|placed| placed.node == node).unwrap();
            (placed.device.as_str(), placed.reason.as_str())
        };
        assert_eq!(["sum", "product", "last"].map(|node| place(node).0), ["ELEMENTWISE"; 3]);
        assert_eq!(place("tanh").0, "CPU");
        assert!(place("tanh").1.contains("Tanh is not an op of this device"), "{:?}", place("tanh"));

        let config = Config::from([("PERF_COUNT".to_owned(), "YES".to_owned())]);
        let compiled = core.compile_model(&model(), "HETERO:ELEMENTWISE,CPU", &config).unwrap();
        assert_eq!(compiled.property("HETERO_NUMBER_OF_SUBMODELS").unwrap(), "3");
        assert_eq!(compiled.property("EXECUTION_DEVICES").unwrap(), "ELEMENTWISE,CPU");
        let mut requests: Vec<_> = (0..3).map(|_| compiled.create_infer_request().unwrap()).collect();
        for round in 0..20 {
            for (i, request) in requests.iter_mut().enumerate() {
                let x = [0.5, -1.0, 0.25 * i as f32, 2.0];
                let y = [0.1 * round as f32, 1.0, -0.5, 0.125];
                request.set_input(0, HostTensor::from_vec(&[4], x.to_vec()).unwrap()).unwrap();
                request.set_input(1, HostTensor::from_vec(&[4], y.to_vec()).unwrap()).unwrap();
                request.start_async().unwrap();
            }
            for (i, request) in requests.iter_mut().enumerate() {
                request.wait().unwrap();
                let found = request.output(0).unwrap().to_tensor().unwrap().to_f64s();
                let x = [0.5, -1.0, 0.25 * i as f64, 2.0];
                let y = [0.1 * f64::from(round), 1.0, -0.5, 0.125];
                for (found, (x, y)) in found.iter().zip(x.iter().zip(y)) {
                    assert!((found - (((x + 1.0) * y).tanh() + 1.0)).abs() < 1e-5, "{found} {x} {y}");
                }
            }
        }
        // The device in C tells no times; the CPU's layer is there with its subgraph.
        let profile = requests[0].profile();
        let row = profile.iter().find(|row| row.name.ends_with("tanh")).unwrap();
        assert_eq!((row.name.as_str(), row.status), ("subgraph1: tanh", LayerStatus::Executed));
    }
}
