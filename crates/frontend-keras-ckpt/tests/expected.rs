//! Every committed checkpoint against what TensorFlow reads from it (`tests/data/make.py`).

use frontend_keras_ckpt::{Checkpoint, Error, VariableError};
use ir::ElementType;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn open(path: &str) -> Checkpoint {
    Checkpoint::open(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn element_type(tensorflow: &str) -> Option<ElementType> {
    Some(match tensorflow {
        "float32" => ElementType::F32,
        "float64" => ElementType::F64,
        "float16" => ElementType::F16,
        "bfloat16" => ElementType::Bf16,
        "bool" => ElementType::Boolean,
        "int8" => ElementType::I8,
        "int16" => ElementType::I16,
        "int32" => ElementType::I32,
        "int64" => ElementType::I64,
        "uint8" => ElementType::U8,
        "uint16" => ElementType::U16,
        "uint32" => ElementType::U32,
        "uint64" => ElementType::U64,
        "string" | "complex64" => return None,
        other => panic!("{other} is not in the table"),
    })
}

fn fnv1a(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

#[test]
fn every_variable_is_what_tensorflow_reads() {
    let text =
        fs::read_to_string(root().join("crates/frontend-keras-ckpt/tests/data/expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    let checkpoints = expected.as_object().unwrap();
    assert_eq!(checkpoints.len(), 11);
    for (path, entries) in checkpoints {
        let checkpoint = open(path);
        let entries = entries.as_object().unwrap();
        let mut keys: Vec<&str> = checkpoint.variables().map(|variable| variable.key()).collect();
        keys.sort_unstable();
        assert_eq!(keys, entries.keys().collect::<Vec<_>>(), "{path}");
        for (key, entry) in entries {
            let at = format!("{path}: {key}");
            let variable = checkpoint.variable(key).unwrap();
            let full_name = entry["full_name"].as_str();
            assert_eq!(variable.name(), full_name.unwrap_or(key), "{at}");
            let shape: Vec<usize> = serde_json::from_value(entry["shape"].clone()).unwrap();
            assert_eq!(variable.shape(), shape, "{at}");
            let ty = element_type(entry["type"].as_str().unwrap());
            assert_eq!(variable.element_type(), ty, "{at}");
            if let Some(ty) = ty {
                for name in [Some(key.as_str()), full_name].into_iter().flatten() {
                    let tensor = checkpoint.get(name).unwrap();
                    assert_eq!((tensor.element_type(), tensor.shape()), (ty, shape.as_slice()), "{at}");
                    assert_eq!(fnv1a(tensor.bytes()), entry["data"].as_str().unwrap(), "{at}");
                    assert_eq!(checkpoint.get(&format!("{name}:0")).unwrap(), tensor, "{at}");
                }
                continue;
            }
            let error = checkpoint.get(key).unwrap_err();
            assert!(
                matches!(error, Error::Variable { source: VariableError::Unsupported { .. }, .. }),
                "{at}: {error}"
            );
            if variable.type_name() == "DT_STRING" {
                let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
                let strings: Vec<_> = checkpoint.strings(key).unwrap().iter().map(|s| hex(s)).collect();
                assert_eq!(serde_json::to_value(strings).unwrap(), entry["data"], "{at}");
            }
        }
    }
}

#[test]
fn the_digits_weights_are_the_same_in_every_format() {
    let reference = open("fixtures/digits/digits.ckpt");
    for (path, slots) in [
        ("fixtures/digits/v1/digits_v1.ckpt", true),
        ("fixtures/digits/v1/digits_v1_sharded.ckpt", true),
        ("fixtures/digits/tf2/digits_tf2-1", false),
        ("fixtures/digits/tf2/digits_weights", false),
    ] {
        let checkpoint = open(path);
        let weights = reference.variables().filter(|variable| {
            slots || !(variable.name().ends_with("/Momentum") || variable.name() == "global_step")
        });
        for variable in weights {
            let name = variable.name();
            assert_eq!(checkpoint.get(name).unwrap(), reference.get(name).unwrap(), "{path}: {name}");
        }
    }
}

#[test]
fn any_file_of_a_checkpoint_leads_to_all_of_it() {
    let digits = open("fixtures/digits/digits.ckpt");
    for path in [
        "fixtures/digits",
        "fixtures/digits/checkpoint",
        "fixtures/digits/digits.ckpt.index",
        "fixtures/digits/digits.ckpt.meta",
        "fixtures/digits/digits.ckpt.data-00000-of-00002",
        "fixtures/digits/digits.ckpt.data-00001-of-00002",
    ] {
        assert_eq!(open(path).path(), digits.path(), "{path}");
    }
    let sharded = open("fixtures/digits/v1/digits_v1_sharded.ckpt");
    for path in [
        "fixtures/digits/v1/digits_v1_sharded.ckpt.meta",
        "fixtures/digits/v1/digits_v1_sharded.ckpt-?????-of-?????",
        "fixtures/digits/v1/digits_v1_sharded.ckpt-00001-of-00002",
        "fixtures/digits/v1/checkpoint",
        "fixtures/partitioned/checkpoint_v1",
    ] {
        let shard = open(path).path().to_owned();
        assert!(shard.to_str().unwrap().ends_with("-00000-of-00002"), "{path}: {}", shard.display());
        if !path.contains("partitioned") {
            assert_eq!(shard, sharded.path(), "{path}");
        }
    }
    // A folder without a state file, and with one index.
    assert_eq!(open("crates/frontend-keras-ckpt/tests/data/grid").variables().len(), 1);
}

#[test]
fn what_is_stored_whole_is_a_view_of_the_mapped_file() {
    for (path, name) in [
        ("fixtures/digits/digits.ckpt", "fc1/kernel"),
        ("fixtures/digits/tf2/digits_tf2-1", "fc1/kernel"),
        ("fixtures/digits/v1/digits_v1.ckpt", "fc1/kernel"),
    ] {
        let checkpoint = open(path);
        let (first, second) = (checkpoint.get(name).unwrap(), checkpoint.get(name).unwrap());
        assert_eq!(first.bytes().as_ptr(), second.bytes().as_ptr(), "{path}");
    }
    let partitioned = open("fixtures/partitioned/partitioned.ckpt");
    let name = partitioned.variables().find(|variable| variable.parts() > 1).unwrap().name();
    let (first, second) = (partitioned.get(name).unwrap(), partitioned.get(name).unwrap());
    assert_ne!(first.bytes().as_ptr(), second.bytes().as_ptr());
}

#[test]
fn parts_go_by_the_names_that_graphs_give_them() {
    for path in ["fixtures/partitioned/partitioned.ckpt", "fixtures/partitioned/partitioned_v1.ckpt"] {
        let checkpoint = open(path);
        let mut partitioned = 0;
        for variable in checkpoint.variables().filter(|variable| variable.parts() > 1) {
            let whole = checkpoint.get(variable.name()).unwrap();
            let part = |i: usize| checkpoint.get(&format!("{}/part_{i}", variable.name()));
            let parts: Vec<_> = (0..variable.parts()).map(|i| part(i).unwrap()).collect();
            let sizes: Vec<_> = parts.iter().map(|part| part.shape().to_vec()).collect();
            assert_eq!(parts.iter().map(|part| part.len()).sum::<usize>(), whole.len(), "{sizes:?}");
            assert!(part(parts.len()).is_err());
            // Cut along the first dimension, parts follow each other in memory.
            if sizes.iter().all(|size| size[1..] == whole.shape()[1..]) {
                let joined: Vec<f64> = parts.iter().flat_map(|part| part.to_f64s()).collect();
                assert_eq!(joined, whole.to_f64s());
                partitioned += 1;
            }
        }
        assert!(partitioned > 0, "{path}");
    }
    let grid = open("crates/frontend-keras-ckpt/tests/data/grid/m.ckpt");
    assert_eq!(grid.get("grid/part_1:0").unwrap().shape(), [2, 3, 2]);
    assert_eq!(grid.get("grid/part_1").unwrap().to_i64s(), [6, 7, 12, 13, 18, 19, 30, 31, 36, 37, 42, 43]);
}

#[test]
fn an_unknown_name_says_what_comes_near() {
    let error = open("fixtures/digits/digits.ckpt").get("model/fc1/kernel:0").unwrap_err();
    let text = error.to_string();
    assert!(text.contains("holds no variable `model/fc1/kernel:0`; similar: "), "{text}");
    assert!(text.contains("fc1/kernel"), "{text}");
}

#[test]
fn threads_may_share_a_checkpoint() {
    let checkpoint = open("fixtures/digits/digits.ckpt");
    let alone = checkpoint.get("fc1/kernel").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(checkpoint.get("fc1/kernel").unwrap(), alone));
        }
    });
}
