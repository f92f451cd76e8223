//! Divided models as bytes: the same bits from what was exported, and an error for whatever is wrong with it.

mod bench;

use bench::{config, core, core_without, input, slow::SlowDevice};
use ir::{
    Bytes, ElementType, Model,
    device::{Bundle, BundleWriter, Config, Device, DeviceError},
    op::Unary,
};
use proptest::prelude::*;
use runtime::{CompiledModel, Core, Error};
use serde_json::Value;
use std::{
    fs,
    io::Write,
    path::PathBuf,
    sync::{Arc, LazyLock},
    time::Duration,
};

const FORMAT: [u8; 8] = *b"TERRHET\x01";

/// Its `CPU2` leaves the additions and what follows them to the CPU.
fn divided() -> Core {
    core_without(&["ReLU", "Add", "Softmax"])
}

fn export(compiled: &CompiledModel) -> Vec<u8> {
    let mut bytes = Vec::new();
    compiled.export(&mut bytes).unwrap();
    bytes
}

fn answer(compiled: &CompiledModel) -> Bytes {
    let mut request = compiled.create_infer_request().unwrap();
    request.set_input(0, input(&[2, 3, 9, 7], 5)).unwrap();
    let answer =
        |request: &mut runtime::InferRequest| request.output(0).unwrap().to_tensor().unwrap().bytes().clone();
    request.infer().unwrap();
    let first = answer(&mut request);
    request.start_async().unwrap();
    request.wait().unwrap();
    assert_eq!(answer(&mut request), first);
    first
}

#[test]
fn an_exported_model_gives_the_same_bits_where_it_is_imported() {
    for shape in ["[2,3,9,7]", "[?,3,?,?]"] {
        let core = divided();
        let settings = config(&[("INFERENCE_NUM_THREADS", "1")]);
        let compiled = core.compile_model(&bench::residual(shape), "HETERO:CPU2,CPU", &settings).unwrap();
        let want = answer(&compiled);
        let bytes = export(&compiled);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.blob");
        fs::write(&path, &bytes).unwrap();
        let odd = Bytes::from([&[0], &bytes[..]].concat()).slice(1..);
        for from in [ir::map_file(&path).unwrap(), odd] {
            for device in ["HETERO", "HETERO:CPU2,CPU"] {
                let imported = core.import_model(from.clone(), device, &settings).unwrap();
                assert_eq!((imported.inputs(), imported.outputs()), (compiled.inputs(), compiled.outputs()));
                assert_eq!(imported.properties(), compiled.properties());
                let parts: usize = imported.property("HETERO_NUMBER_OF_SUBMODELS").unwrap().parse().unwrap();
                assert!(parts >= 3, "{parts}");
                assert_eq!(answer(&imported), want);
            }
        }
        let other = core.import_model(bytes.clone().into(), "HETERO:CPU,FPGA", &settings).err().unwrap();
        assert!(other.to_string().contains("exported for CPU2,CPU, not for CPU,FPGA"), "{other}");
        let gone = bench::core([]).import_model(bytes.into(), "HETERO", &settings).err().unwrap();
        assert!(gone.to_string().contains("there is no device `CPU2`"), "{gone}");
    }
}

#[test]
fn a_device_that_does_not_export_is_named() {
    let core = core([SlowDevice::new("A", Duration::ZERO, true) as Arc<dyn Device>]);
    let mut model = Model::new("two");
    let x = model.add_parameter("x", ElementType::F32, "[2]".parse().unwrap());
    let tanh = model.add("tanh", Unary::Tanh, &[x.into()]).unwrap();
    let last = model.add("a relu", Unary::Relu, &[tanh.into()]).unwrap();
    model.add_result("y", last.into()).unwrap();
    let compiled = core.compile_model(&model, "HETERO:A,CPU", &Config::new()).unwrap();
    match compiled.export(&mut Vec::new()) {
        Err(Error::Device(DeviceError::NotOffered { device, what })) => {
            assert_eq!((device.as_str(), what.as_str()), ("A", "export"));
        }
        other => panic!("{other:?}"),
    }
}

fn entries(folder: &std::path::Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_cache_is_filled_used_and_mended() {
    let folder = tempfile::tempdir().unwrap();
    let (xml, cache) = (folder.path().join("net.xml"), folder.path().join("cache"));
    ir::write_ir(&bench::residual("[2,3,9,7]"), &xml).unwrap();
    let settings = config(&[("CACHE_DIR", cache.to_str().unwrap())]);
    let load = |core: &Core, settings: &Config| core.compile_file(&xml, "HETERO:CPU2,CPU", settings).unwrap();
    let core = divided();
    let want = answer(&load(&core, &Config::new()));
    assert_eq!(answer(&load(&core, &settings)), want);
    let [entry] = &entries(&cache)[..] else { panic!("{:?}", entries(&cache)) };
    let good = fs::read(entry).unwrap();

    // A hit: no device is asked which nodes it takes, and so other devices of these names are not noticed.
    assert_eq!(load(&core_without(&[]), &settings).property("HETERO_NUMBER_OF_SUBMODELS").unwrap(), {
        load(&core, &Config::new()).property("HETERO_NUMBER_OF_SUBMODELS").unwrap()
    });
    assert!(fs::read(entry).unwrap() == good);

    let mut damaged = good.clone();
    damaged[good.len() - 30] ^= 1;
    for bytes in [&good[..good.len() / 2], &damaged] {
        fs::remove_file(entry).unwrap();
        fs::write(entry, bytes).unwrap();
        assert_eq!(answer(&load(&core, &settings)), want);
        assert!(fs::read(entry).unwrap() == good);
    }

    // What is set for a device that is asked counts, and what a file of settings holds.
    let affinities = folder.path().join("affinities.json");
    fs::write(&affinities, r#"{ "relu": "CPU" }"#).unwrap();
    let by_hand = config(&[
        ("CACHE_DIR", cache.to_str().unwrap()),
        ("HETERO_AFFINITY_FILE", affinities.to_str().unwrap()),
    ]);
    load(&core, &by_hand);
    assert_eq!(entries(&cache).len(), 2);
    load(&core, &by_hand);
    assert_eq!(entries(&cache).len(), 2);
    fs::write(&affinities, r#"{ "relu": "CPU", "sum": "CPU" }"#).unwrap();
    load(&core, &by_hand);
    assert_eq!(entries(&cache).len(), 3);
    core.set_property("CPU", "EXECUTION_MODE_HINT", "ACCURACY").unwrap();
    load(&core, &settings);
    assert_eq!(entries(&cache).len(), 4);
}

/// A good export, whose devices find damage in their own bytes.
static GOOD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    export(
        &divided().compile_model(&bench::residual("[2,3,9,7]"), "HETERO:CPU2,CPU", &Config::new()).unwrap(),
    )
});

/// The good export with another head, whose checksum is right.
fn with_head(head: &str) -> Bytes {
    let good = Bundle::read(&FORMAT, &Bytes::from_static(&GOOD)).unwrap();
    let mut bytes = Vec::new();
    let mut bundle = BundleWriter::new(FORMAT, &mut bytes).unwrap();
    for part in good.parts {
        bundle.begin().unwrap();
        bundle.write_all(&part.bytes).unwrap();
    }
    bundle.finish(head).unwrap();
    bytes.into()
}

fn import(bytes: Bytes) -> Result<CompiledModel, Error> {
    static CORE: LazyLock<Core> = LazyLock::new(divided);
    CORE.import_model(bytes, "HETERO", &config(&[("INFERENCE_NUM_THREADS", "1")]))
}

#[test]
fn heads_that_lie_are_refused() {
    let good = Bundle::read(&FORMAT, &Bytes::from_static(&GOOD)).unwrap().head;
    let good: Value = serde_json::from_str(&good).unwrap();
    assert!(import(with_head(&good.to_string())).is_ok());
    let parts = good["parts"].as_array().unwrap().len();
    assert!(parts >= 3, "{good}");
    for (place, value, wanted) in [
        ("/parts/0/inputs/0", serde_json::json!([1, 0]), "parts[0].inputs"),
        ("/parts/1/inputs/0", serde_json::json!([1, 0]), "parts[1].inputs"),
        ("/parts/1/inputs/0", serde_json::json!([0, 99]), "nothing where output 99 of part 0"),
        ("/parts/0/inputs/0", serde_json::json!(7), "parts[0].inputs"),
        ("/parts/0/inputs", serde_json::json!([0, 0]), "1 inputs where 2 inputs"),
        ("/parts/0/inputs", serde_json::json!([]), "1 inputs where 0 inputs"),
        ("/parts/0/device", "HETERO".into(), "parts[0].device"),
        ("/parts/0/device", 1.into(), "`device`"),
        ("/devices", serde_json::json!(["HETERO", "CPU", "CPU2"]), "HETERO cannot be one of its own devices"),
        ("/devices", serde_json::json!(["CPU,HETERO"]), "HETERO cannot be one of its own devices"),
        ("/devices", serde_json::json!([]), "expected names of devices"),
        ("/parts", serde_json::json!([]), "`answers`"),
        ("/answers", serde_json::json!([]), "`answers`"),
        ("/answers/0", serde_json::json!([0, 99]), "`answers`"),
        ("/answers/0", serde_json::json!([0, 0]), "part 0 of the exported model: `"),
        ("/inputs/0/type", "f32[1,3,9,7]".into(), "part 0 of the exported model: `image` is f32[2,3,9,7]"),
        ("/inputs/0/type", "f32".into(), "`type`"),
        ("/inputs/0/names", "x".into(), "`names`"),
        ("/name", Value::Null, "`name`"),
    ] {
        let mut head = good.clone();
        *head.pointer_mut(place).unwrap() = value;
        let error = import(with_head(&head.to_string())).err().expect(place).to_string();
        assert!(error.contains(wanted), "{place}: {error}");
    }
    for head in ["", "[]", "{", &"[".repeat(1 << 20)] {
        assert!(import(with_head(head)).is_err());
    }
    let error = import(Bytes::from_static(b"PK nothing of ours")).err().unwrap().to_string();
    assert_eq!(error, "HETERO: these bytes are not what it exports");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// Damage is found, or what is damaged is not needed: no answer is ever wrong.
    #[test]
    fn damage_is_found(at in any::<prop::sample::Index>(), bit in 0..8u8, cut in prop::option::of(any::<prop::sample::Index>())) {
        static WANT: LazyLock<Bytes> = LazyLock::new(|| answer(&import(Bytes::from_static(&GOOD)).unwrap()));
        let mut bytes = GOOD.clone();
        match cut {
            Some(len) => bytes.truncate(len.index(GOOD.len())),
            None => bytes[at.index(GOOD.len())] ^= 1 << bit,
        }
        if let Ok(imported) = import(bytes.into()) {
            prop_assert!(cut.is_none());
            prop_assert_eq!(&answer(&imported), &*WANT);
        }
    }

    /// A head that says anything else is an error or a model that can be asked and run.
    #[test]
    fn heads_with_anything_in_them_do_no_harm(at in any::<prop::sample::Index>(), text in "[\\[\\]{},:\"0-9a-z]{0,3}", over in 0..4usize) {
        let good = Bundle::read(&FORMAT, &Bytes::from_static(&GOOD)).unwrap().head;
        let at = at.index(good.len());
        let mut head = good[..at].to_owned() + &text;
        head += good.get(at + over..).unwrap_or_default();
        if let Ok(imported) = import(with_head(&head)) {
            let mut request = imported.create_infer_request().unwrap();
            _ = request.infer();
        }
    }
}
