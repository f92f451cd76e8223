//! Where nodes go, what is said about it, and what is refused.

mod bench;

use bench::{config, core_without, input, residual};
use ir::{Model, device::Placement};
use runtime::{Config, Core, LayerStatus};
use std::{env, fs};

fn placement<'a>(placements: &'a [Placement], node: &str) -> &'a Placement {
    placements.iter().find(|placement| placement.node == node).unwrap()
}

fn node_named(model: &Model, name: &str) -> ir::NodeId {
    model.nodes().find(|(_, node)| node.name == name).unwrap().0
}

fn refusal(core: &Core, model: &Model, device: &str, settings: &Config) -> String {
    core.compile_model(model, device, settings).err().unwrap().to_string()
}

#[test]
fn query_says_where_each_node_goes_and_why() {
    let core = core_without(&["ReLU"]);
    let model = residual("[?,3,?,?]");
    let support = core.query_model(&model, "HETERO:CPU2,CPU", &config(&[])).unwrap();
    assert!(support.refused.is_empty());
    assert_eq!(support.placements.len(), model.len());
    let relu = placement(&support.placements, "relu");
    assert_eq!(
        (&*relu.device, &*relu.reason),
        ("CPU", "the first that takes it; CPU2 refuses: ReLU is not for it")
    );
    let sum = placement(&support.placements, "sum");
    assert_eq!((&*sum.device, &*sum.reason), ("CPU2", "the preferred device takes it"));
    // Inputs, constants and shape arithmetic are with those that take them.
    let pattern = placement(&support.placements, "pattern");
    assert_eq!((&*pattern.device, &*pattern.reason), ("CPU2", "with `flat`"));
    assert_eq!(placement(&support.placements, "result").device, "CPU2");

    let support = core.query_model(&model, "HETERO:CPU2", &config(&[])).unwrap();
    assert_eq!(support.refused, [("relu".to_owned(), "CPU2 refuses: ReLU is not for it".to_owned())]);
}

#[test]
fn a_node_that_no_device_takes_is_named_with_what_each_says() {
    let core = core_without(&["Softmax", "SoftMax"]);
    let mut model = residual("[1,3,5,5]");
    let custom = ir::op::Custom {
        type_name: "Wish".to_owned(),
        version: "extension".to_owned(),
        outputs: vec![model.ty(node_named(&model, "sum").into()).clone()],
        ..Default::default()
    };
    let from = node_named(&model, "sum").into();
    let wish = model.add("wish", custom, &[from]).unwrap();
    model.add_result("wished", wish.into()).unwrap();
    let core_error = refusal(&core, &model, "HETERO:CPU2,CPU.0", &config(&[]));
    let said = "`Wish` of extension is not an op that this device knows; load the library of custom layers that has it \
                (-l, `Core::add_extensions`)";
    let expected =
        format!("HETERO:CPU2,CPU.0 cannot run `wish`: CPU2 refuses: {said}; CPU.0 refuses: {said}");
    assert_eq!(core_error, expected);
}

#[test]
fn affinities_go_before_the_list() {
    let core = core_without(&["ReLU"]);
    let mut model = residual("[1,3,5,5]");
    let plain = core.compile_model(&model, "HETERO:CPU,CPU2", &config(&[])).unwrap();
    assert_eq!(plain.property("HETERO_NUMBER_OF_SUBMODELS").unwrap(), "1");
    assert_eq!(plain.property("EXECUTION_DEVICES").unwrap(), "CPU");

    let sum = node_named(&model, "sum");
    hetero::set_affinity(model.node_mut(sum), "CPU2");
    assert_eq!(hetero::affinity(model.node(sum)), Some("CPU2"));
    // The device need not be in the list.
    let by_hand = core.compile_model(&model, "HETERO:CPU", &config(&[])).unwrap();
    assert_eq!(by_hand.property("HETERO_NUMBER_OF_SUBMODELS").unwrap(), "3");
    assert_eq!(by_hand.property("EXECUTION_DEVICES").unwrap(), "CPU,CPU2");

    // A file counts more; without a list every node needs a wish.
    let folder = env::temp_dir().join(format!("terroir_hetero_{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let with_file = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        config(&[("HETERO_AFFINITY_FILE", path.to_str().unwrap())])
    };
    let back = with_file("back.json", r#"{"sum": "CPU"}"#);
    let back = core.compile_model(&model, "HETERO:CPU", &back).unwrap();
    assert_eq!(back.property("EXECUTION_DEVICES").unwrap(), "CPU");
    for (file, text, device, said) in [
        ("typo.json", r#"{"summ": "CPU"}"#, "HETERO:CPU", "typo.json: the model has no node `summ`"),
        ("list.json", "[1]", "HETERO:CPU", "expected devices by node name"),
        ("far.json", r#"{"relu": "NPU"}"#, "HETERO:CPU", "there is no device `NPU`"),
        (
            "no.json",
            r#"{"relu": "CPU2"}"#,
            "HETERO:CPU",
            "cannot run `relu`: CPU2 refuses: ReLU is not for it; the user wants it there",
        ),
        (
            "part.json",
            r#"{"relu": "CPU"}"#,
            "HETERO",
            "no affinity is set for it, and no list of devices is given",
        ),
    ] {
        let error = refusal(&core, &model, device, &with_file(file, text));
        assert!(error.contains(said), "{file}: {error}");
    }
    let missing = config(&[("HETERO_AFFINITY_FILE", "/nowhere/a.json")]);
    assert!(refusal(&core, &model, "HETERO:CPU", &missing).starts_with("HETERO: /nowhere/a.json: "));
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn settings_go_to_the_devices_that_know_them() {
    let core = core_without(&["ReLU"]);
    let slow = bench::slow::SlowDevice::new("A", std::time::Duration::ZERO, false);
    core.register(slow);
    let model = residual("[1,3,5,5]");
    // `A` has no settings at all.
    let streams = config(&[("NUM_STREAMS", "2"), ("INFERENCE_NUM_THREADS", "2")]);
    let compiled = core.compile_model(&model, "HETERO:A,CPU", &streams).unwrap();
    assert_eq!(compiled.property("NUM_STREAMS").unwrap(), "2");
    assert_eq!(compiled.property("NETWORK_NAME").unwrap(), "residual");
    assert!(compiled.property("NO_SUCH").is_err());
    for (device, settings, said) in [
        ("HETERO:A,CPU", config(&[("NUM_STREAM", "2")]), "`NUM_STREAM=2`"),
        ("HETERO:CPU", config(&[("NUM_STREAMS", "two")]), "`NUM_STREAMS=two`"),
        ("HETERO:CPU.7", config(&[]), "`DEVICE_ID=7`"),
        ("HETERO", config(&[]), "which devices?"),
        ("HETERO:CPU,,A", config(&[]), "with commas between"),
        ("HETERO:CPU,HETERO", config(&[]), "one of its own devices"),
        ("HETERO:A", config(&[("TUNING_MODE", "x")]), "A: `TUNING_MODE=x`: it has no settings"),
        ("HETERO:CPU", config(&[("HETERO_DUMP_GRAPH_DOT", "perhaps")]), "expected YES or NO"),
    ] {
        let error = refusal(&core, &model, device, &settings);
        assert!(error.contains(said), "{device} {settings:?}: {error}");
    }
    let old = config(&[("TARGET_FALLBACK", "CPU2,CPU,CPU")]);
    let compiled = core.compile_model(&model, "HETERO", &old).unwrap();
    assert_eq!(compiled.property("DEVICE_PRIORITIES").unwrap(), "CPU2,CPU");
}

#[test]
fn profiles_name_subgraph_and_device() {
    let core = core_without(&["ReLU"]);
    let settings = config(&[("PERF_COUNT", "YES")]);
    let compiled = core.compile_model(&residual("[1,3,5,5]"), "HETERO:CPU2,CPU", &settings).unwrap();
    let mut request = compiled.create_infer_request().unwrap();
    request.set_tensor("image", input(&[1, 3, 5, 5], 0)).unwrap();
    request.infer().unwrap();
    let rows = request.profile();
    let row = |name: &str| rows.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("{rows:?}"));
    assert_eq!(row("subgraph1: relu").status, LayerStatus::Executed);
    assert!(row("subgraph1: relu").exec_type.starts_with("CPU:"));
    assert!(row("subgraph2: sum").exec_type.starts_with("CPU2:"));
}

#[test]
fn pictures_show_devices_and_subgraphs() {
    let folder = env::temp_dir().join(format!("terroir_pictures_{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    env::set_current_dir(&folder).unwrap();
    let core = core_without(&["ReLU"]);
    let mut model = residual("[1,3,5,5]");
    model.name = "a/\"b\"".to_owned();
    let settings = config(&[("HETERO_DUMP_GRAPH_DOT", "YES")]);
    core.compile_model(&model, "HETERO:CPU2,CPU", &settings).unwrap();
    let affinity = fs::read_to_string("hetero_affinity_a__b_.dot").unwrap();
    assert!(affinity.contains("[label=\"relu\\nReLU\\ndevice=CPU\", fillcolor=lightsalmon];"), "{affinity}");
    assert!(affinity.contains("[label=\"sum\\nAdd\\ndevice=CPU2\", fillcolor=lightblue];"), "{affinity}");
    let subgraphs = fs::read_to_string("hetero_subgraphs_a__b_.dot").unwrap();
    for (i, device) in ["CPU2", "CPU", "CPU2"].iter().enumerate() {
        assert!(subgraphs.contains(&format!("label=\"subgraph{i}: {device}\";")), "{subgraphs}");
    }
    assert_eq!(subgraphs.matches('{').count(), subgraphs.matches('}').count());
    env::set_current_dir(env::temp_dir()).unwrap();
    fs::remove_dir_all(&folder).unwrap();
}
