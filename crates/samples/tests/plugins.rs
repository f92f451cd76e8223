//! Devices from shared libraries on the command line: `-pp FOLDER` and `TERROIR_PLUGINS`.

#[path = "../../runtime/tests/libraries/mod.rs"]
mod libraries;
#[path = "../../runtime/tests/plugin_list/mod.rs"]
mod plugin_list;

use ir::{ElementType, Model, Tensor, op::*};
use samples::numpy;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

const VARIABLE: &str = "TERROIR_PLUGINS";

/// A folder with a device in C and its list.
fn plugins() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let library = libraries::c_library(folder.path(), "plugins/elementwise", &[]);
    plugin_list::write(folder.path(), &[("ELEMENTWISE", &library)]);
    folder
}

/// What a sample prints, or the error that it ends with. `told` is what the environment says of plugins.
fn sample(program: &str, told: Option<&Path>, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(program);
    command.env_remove(VARIABLE).envs(told.map(|folder| (VARIABLE, folder))).args(arguments);
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    match output.status.success() {
        true => Ok(text(output.stdout)),
        false => Err(text(output.stderr)),
    }
}

#[test]
fn a_device_is_found_by_the_flag_and_by_the_environment() {
    let (plugins, elsewhere) = (plugins(), tempfile::tempdir().unwrap());
    let path = |name: &str| elsewhere.path().join(name).to_str().unwrap().to_owned();
    let mut model = Model::new("shifted");
    let x = model.add_parameter("x", ElementType::F32, "[3]".parse().unwrap());
    let one = model.add_constant("one", Tensor::from_slice(&[], &[1.0f32]).unwrap());
    let sum = model.add("sum", Binary::new(BinaryKind::Add), &[x.into(), one.into()]).unwrap();
    model.add_result("y", sum.into()).unwrap();
    ir::write_ir(&model, path("shifted.xml")).unwrap();
    let tensor = Tensor::from_slice(&[3], &[1.0f32, -2.0, 0.5]).unwrap();
    numpy::write_npz(Path::new(&path("in.npz")), &[("x".to_owned(), tensor)]).unwrap();
    let (xml, input, output) = (path("shifted.xml"), path("in.npz"), path("out.npz"));
    let line = ["-m", &xml, "-i", &input, "-o", &output, "-d", "ELEMENTWISE"];
    let infer = |told: Option<&Path>, more: &[&str]| {
        _ = std::fs::remove_file(&output);
        sample(env!("CARGO_BIN_EXE_infer"), told, &[&line[..], more].concat())?;
        Ok::<_, String>(numpy::read_npz(Path::new(&output)).unwrap()[0].1.to_f64s())
    };
    let (folder, empty) = (plugins.path(), elsewhere.path());
    let flag = ["-pp", folder.to_str().unwrap()];
    assert_eq!(infer(None, &flag).unwrap(), [2.0, -1.0, 1.5]);
    assert_eq!(infer(Some(folder), &[]).unwrap(), [2.0, -1.0, 1.5]);
    assert_eq!(infer(Some(&folder.join("plugins.json")), &[]).unwrap(), [2.0, -1.0, 1.5]);
    // The flag counts before the environment; what was told must be there.
    assert_eq!(infer(Some(empty), &flag).unwrap(), [2.0, -1.0, 1.5]);
    for error in [infer(Some(empty), &[]), infer(Some(folder), &["-pp", empty.to_str().unwrap()])] {
        let error = error.unwrap_err();
        assert!(error.contains("plugins.json") && error.contains("No such file"), "{error}");
    }
    let error = infer(None, &[]).unwrap_err();
    assert!(error.contains("there is no device `ELEMENTWISE`; available: CPU"), "{error}");

    let listed = sample(env!("CARGO_BIN_EXE_hello_query_device"), Some(folder), &[]).unwrap();
    assert!(listed.contains("[ INFO ] ELEMENTWISE: elementwise ops, in C"), "{listed}");
    assert!(listed.contains("[ INFO ] CPU: Terroir CPU"), "{listed}");
}

#[test]
fn a_loaded_device_takes_its_part_of_a_network() {
    let plugins = plugins();
    let digits = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/digits");
    let file = |name: &str| -> PathBuf { digits.join(name) };
    let (xml, image) = (file("openvino/digits_fp32.xml"), file("images/030_3.png"));
    let classify = |device: &str| {
        let line =
            ["-m", xml.to_str().unwrap(), "-i", image.to_str().unwrap(), "-nt", "3", "-pc", "-d", device];
        let flag = ["-pp", plugins.path().to_str().unwrap()];
        sample(env!("CARGO_BIN_EXE_classification_sample"), None, &[&line[..], &flag].concat()).unwrap()
    };
    let (alone, divided) = (classify("CPU"), classify("HETERO:ELEMENTWISE,CPU"));
    let best = |text: &str| -> Vec<String> {
        let rows = text.lines().skip_while(|line| !line.starts_with("-------")).skip(1).take(3);
        // Where nodes are fused, and where not, the last digits may differ.
        rows.map(|row| row.split_at(row.find('.').unwrap() + 4).0.to_owned()).collect()
    };
    assert!(best(&alone)[0].starts_with('3'), "{alone}");
    assert_eq!(best(&alone), best(&divided), "{divided}");
    assert!(divided.contains("Description ............ elementwise ops, in C"), "{divided}");
    // Between two parts on the CPU lies one that is not.
    assert!(divided.contains("subgraph0: ") && divided.contains("subgraph2: "), "{divided}");
}
