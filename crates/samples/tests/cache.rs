//! Compiled models as files: exported and imported, and kept in `CACHE_DIR`.

#[path = "../../runtime/tests/libraries/mod.rs"]
mod libraries;

use ir::{Bytes, ElementType, Model, Tensor, op};
use runtime::{Config, Core, HostTensor};
use std::{fs, path::PathBuf};

/// Convolutions of several kinds and a dense layer: weights in several forms.
fn network() -> Model {
    let mut model = Model::new("net");
    let numbers = |n: usize, seed: usize| -> Vec<f32> {
        (0..n).map(|i| ((i * 7919 + seed * 104_729) % 1000) as f32 / 1000.0 - 0.5).collect()
    };
    let x = model.add_parameter("x", ElementType::F32, "[1,16,20,20]".parse().unwrap());
    let mut at = ir::Port::from(x);
    for (i, (inputs, outputs, side)) in [(16, 64, 3), (64, 64, 3), (64, 32, 1)].into_iter().enumerate() {
        let shape = [outputs, inputs, side, side];
        let weights = Tensor::from_slice(&shape, &numbers(shape.iter().product(), i)).unwrap();
        let weights = model.add_constant(format!("w{i}"), weights);
        let pads = vec![side as i64 / 2; 2];
        let op = op::Convolution {
            strides: vec![1; 2],
            dilations: vec![1; 2],
            pads_begin: pads.clone(),
            pads_end: pads,
            ..op::Convolution::default()
        };
        at = model.add(format!("conv{i}"), op, &[at, weights.into()]).unwrap().into();
    }
    let axes = model.add_constant("axes", Tensor::from_i64s(&[2, 3]));
    at = model.add("mean", op::Reduce::new(op::ReduceKind::Mean), &[at, axes.into()]).unwrap().into();
    let weights = Tensor::from_slice(&[32, 10], &numbers(320, 9)).unwrap();
    let weights = model.add_constant("dense_w", weights);
    at = model.add("dense", op::MatMul::default(), &[at, weights.into()]).unwrap().into();
    model.add_result("y", at).unwrap();
    model
}

fn answer(compiled: &runtime::CompiledModel) -> Vec<f64> {
    let mut request = compiled.create_infer_request().unwrap();
    let x: Vec<f32> = (0..16 * 400).map(|i| ((i * 31) % 97) as f32 / 97.0).collect();
    request.set_input(0, HostTensor::from_vec(&[1, 16, 20, 20], x).unwrap()).unwrap();
    request.infer().unwrap();
    request.output(0).unwrap().to_tensor().unwrap().to_f64s()
}

fn exported(core: &Core) -> Vec<u8> {
    let mut bytes = Vec::new();
    core.compile_model(&network(), "CPU", &Config::new()).unwrap().export(&mut bytes).unwrap();
    bytes
}

#[test]
fn an_exported_model_gives_the_same_bits() {
    let core = samples::engine::core();
    let want = answer(&core.compile_model(&network(), "CPU", &Config::new()).unwrap());
    let bytes = exported(&core);
    // As a mapped file, and as bytes that are not aligned.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.blob");
    fs::write(&path, &bytes).unwrap();
    let odd = Bytes::from([&[0], &bytes[..]].concat()).slice(1..);
    for from in [ir::map_file(&path).unwrap(), odd] {
        let imported = core.import_model(from, "CPU", &Config::new()).unwrap();
        assert_eq!(imported.inputs()[0].name(), "x");
        assert_eq!(answer(&imported), want);
    }
}

#[test]
fn damage_is_named() {
    let core = samples::engine::core();
    let bytes = exported(&core);
    let refused = |bytes: Vec<u8>| {
        core.import_model(bytes.into(), "CPU", &Config::new()).err().map(|error| error.to_string())
    };
    // Wherever a byte is damaged, that is found, or it is padding, or nobody needs it: no answer is ever wrong.
    let want = answer(&core.compile_model(&network(), "CPU", &Config::new()).unwrap());
    let places: Vec<usize> = (0..bytes.len()).step_by(bytes.len() / 200).collect();
    let mut found = 0;
    for at in &places {
        let mut damaged = bytes.clone();
        damaged[*at] ^= 0x40;
        match core.import_model(damaged.into(), "CPU", &Config::new()) {
            Err(_) => found += 1,
            Ok(imported) => assert_eq!(answer(&imported), want, "byte {at}"),
        }
    }
    assert!(found * 3 >= places.len(), "{found} of {}", places.len());
    let mut damaged = bytes.clone();
    let last = bytes.len() - 300;
    damaged[last] ^= 1;
    let message = refused(damaged).unwrap();
    assert!(message.contains("is damaged: its checksum differs"), "{message}");
    for len in [0, 7, 8, 20, 100, bytes.len() / 2, bytes.len() - 64] {
        assert!(refused(bytes[..len].to_vec()).is_some(), "{len}");
    }
    let message = refused(bytes[..bytes.len() / 2].to_vec()).unwrap();
    assert!(message.contains("cut off"), "{message}");
    assert!(
        refused(b"PK nothing of ours".to_vec()).unwrap().contains("not a model that this device exported")
    );
}

fn entries(folder: &std::path::Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_cache_is_filled_used_and_mended() {
    let core = samples::engine::core();
    let folder = tempfile::tempdir().unwrap();
    let xml = folder.path().join("net.xml");
    ir::write_ir(&network(), &xml).unwrap();
    let cache = folder.path().join("cache");
    let config = Config::from([("CACHE_DIR".to_owned(), cache.display().to_string())]);
    let want = answer(&core.compile_file(&xml, "CPU", &Config::new()).unwrap());

    assert_eq!(answer(&core.compile_file(&xml, "CPU", &config).unwrap()), want);
    let [entry] = &entries(&cache)[..] else { panic!("{:?}", entries(&cache)) };
    let good = fs::read(entry).unwrap();
    // It is used: the model's text may go, as long as its files seem the same.
    assert_eq!(answer(&core.compile_file(&xml, "CPU", &config).unwrap()), want);
    assert!(fs::read(entry).unwrap() == good);

    // Damage is found, and the entry written anew.
    for damaged in [good[..good.len() / 2].to_vec(), {
        let mut b = good.clone();
        b[good.len() - 200] ^= 8;
        b
    }] {
        fs::remove_file(entry).unwrap();
        fs::write(entry, &damaged).unwrap();
        assert_eq!(answer(&core.compile_file(&xml, "CPU", &config).unwrap()), want);
        assert!(fs::read(entry).unwrap() == good);
    }

    // Other settings, another model: other entries.
    let mut other = config.clone();
    other.insert("EXECUTION_MODE_HINT".into(), "ACCURACY".into());
    core.compile_file(&xml, "CPU", &other).unwrap();
    assert_eq!(entries(&cache).len(), 2);
    core.compile_model(&network(), "CPU", &config).unwrap();
    core.compile_model(&network(), "CPU", &config).unwrap();
    assert_eq!(entries(&cache).len(), 3);
    let mut changed = network();
    let w = changed.find_port("dense_w").unwrap();
    changed.node_mut(w.node).op =
        op::Constant::new(Tensor::from_slice(&[32, 10], &[0.5f32; 320]).unwrap()).into();
    core.compile_model(&changed, "CPU", &config).unwrap();
    assert_eq!(entries(&cache).len(), 4);
}

#[test]
fn models_with_custom_layers_are_kept_with_the_library_that_they_come_from() {
    let folder = tempfile::tempdir().unwrap();
    let library = libraries::c_library(folder.path(), "extensions/layers", &[]);
    let xml = folder.path().join("shrunk.xml");
    let mut model = Model::new("shrunk");
    let x = model.add_parameter("x", ElementType::F32, "[4]".parse().unwrap());
    let layer = op::Custom {
        type_name: "HardShrink".to_owned(),
        version: ir::extension::EXTENSION_OPSET.to_owned(),
        attributes: vec![("lambda".to_owned(), "1.5".to_owned())],
        outputs: vec![op::PortType::new(ElementType::F32, "[4]".parse().unwrap())],
        extension: None,
    };
    let layer = model.add("layer", layer, &[x.into()]).unwrap();
    model.add_result("y", layer.into()).unwrap();
    ir::write_ir(&model, &xml).unwrap();
    let cache = folder.path().join("cache");
    let config = Config::from([("CACHE_DIR".to_owned(), cache.display().to_string())]);
    let core = || {
        let core = samples::engine::core();
        core.add_extensions(&library).unwrap();
        core
    };
    let answer = |compiled: &runtime::CompiledModel| {
        let mut request = compiled.create_infer_request().unwrap();
        request.set_input(0, HostTensor::from_vec(&[4], vec![1.0f32, -2.0, 1.5, 3.0]).unwrap()).unwrap();
        request.infer().unwrap();
        assert_eq!(request.output(0).unwrap().to_tensor().unwrap().to_f64s(), [0.0, -2.0, 0.0, 3.0]);
    };
    for device in ["CPU", "HETERO:CPU"] {
        let before = entries(&cache).len();
        answer(&core().compile_file(&xml, device, &config).unwrap());
        assert_eq!(entries(&cache).len(), before + 1);
        // A hit, for an engine of another process too. A model in memory is an entry of its own.
        let written = || -> Vec<_> {
            entries(&cache).iter().map(|entry| fs::metadata(entry).unwrap().modified().unwrap()).collect()
        };
        let first = written();
        answer(&core().compile_file(&xml, device, &config).unwrap());
        assert_eq!(written(), first);
        answer(&core().compile_model(&model, device, &config).unwrap());
        answer(&core().compile_model(&model, device, &config).unwrap());
        assert_eq!(entries(&cache).len(), before + 2);

        // A model that brings the layer from another engine: nobody here knows whether it is the same.
        let brought = core().read_model(&xml).unwrap();
        answer(&core().compile_model(&brought, device, &config).unwrap());
        assert_eq!(entries(&cache).len(), before + 2);

        // Another library.
        let file = fs::File::options().write(true).open(&library).unwrap();
        let modified = file.metadata().unwrap().modified().unwrap();
        file.set_modified(modified - std::time::Duration::from_secs(1)).unwrap();
        answer(&core().compile_file(&xml, device, &config).unwrap());
        assert_eq!(entries(&cache).len(), before + 3);

        let mut exported = Vec::new();
        core().compile_model(&model, device, &Config::new()).unwrap().export(&mut exported).unwrap();
        answer(&core().import_model(exported.clone().into(), device, &Config::new()).unwrap());
        let unknown = samples::engine::core().import_model(exported.into(), device, &Config::new());
        let error = unknown.err().unwrap().to_string();
        assert!(
            error.contains("`layer`") && error.contains("HardShrink") && error.contains("(-l, "),
            "{error}"
        );
    }
}

#[test]
fn a_cache_that_cannot_be_written_does_not_fail_the_load() {
    let core = samples::engine::core();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a file");
    fs::write(&file, "").unwrap();
    let config = Config::from([("CACHE_DIR".to_owned(), file.display().to_string())]);
    assert!(core.compile_model(&network(), "CPU", &config).is_ok());
    assert_eq!(fs::read(&file).unwrap(), b"");
}

#[test]
fn processes_may_share_a_cache() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::from([("CACHE_DIR".to_owned(), folder.path().display().to_string())]);
    let want = answer(&samples::engine::core().compile_model(&network(), "CPU", &Config::new()).unwrap());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    // An engine of its own knows nothing of the others, as another process would.
                    let compiled = samples::engine::core().compile_model(&network(), "CPU", &config).unwrap();
                    assert_eq!(answer(&compiled), want);
                    entries(folder.path()).iter().take(1).for_each(|entry| _ = fs::remove_file(entry));
                }
            });
        }
    });
}
