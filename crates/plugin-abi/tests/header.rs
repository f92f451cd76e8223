//! `include/terroir_plugin.h` says what the source says. `cargo xtask header` writes it anew.

use cbindgen::{Builder, Config, EnumConfig, ExportConfig, Language, Style};
use std::{fs, path::Path};

const HEAD: &str = "\
/* Terroir's plugin interface, made from crates/plugin-abi/src/c by `cargo xtask header`: change it there.
 *
 * A plugin is a shared library that exports one function:
 *
 *   const TerroirPlugin *terroir_plugin_entry(uint32_t abi_version);
 *
 * It returns a struct with the function that makes the device. Everything else is reached from there: devices,
 * compiled models and requests are pairs of an object, which the plugin alone understands, and a table of functions.
 * A list named plugins.json, { \"NAME\": \"library.so\" }, tells the engine of the plugin.
 *
 * A library of custom layers exports another one, and the flag -l names the library:
 *
 *   const TerroirExtensionLibrary *terroir_extension_entry(uint32_t abi_version);
 *
 * Statuses: functions return TERROIR_STATUS_OK or another TERROIR_STATUS_*, and may fill the message they are given.
 * The statuses are those of the Inference Engine of 2018, and the details of a message keep its kind: whoever only
 * gives a text is understood too.
 *
 * Growth: structs that begin with `size` may get more fields at their end. Fill `size` with sizeof, and read no
 * field beyond the size of a struct that you are given. Nothing else changes without a new TERROIR_ABI_VERSION.
 *
 * No function may unwind: catch exceptions and panics inside.
 */";

fn generated() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = Config {
        language: Language::C,
        header: Some(HEAD.to_owned()),
        include_guard: Some("TERROIR_PLUGIN_H".to_owned()),
        cpp_compat: true,
        // The structs refer to each other in a circle.
        after_includes: Some("\nstruct TerroirDevice;".to_owned()),
        style: Style::Both,
        line_length: 110,
        documentation: true,
        usize_is_size_t: true,
        enumeration: EnumConfig::default(),
        export: ExportConfig {
            prefix: Some("Terroir".to_owned()),
            include: ["Plugin", "Device", "Compiled", "Request", "Host", "ExtensionLibrary"]
                .map(str::to_owned)
                .to_vec(),
            ..ExportConfig::default()
        },
        ..Config::default()
    };
    let mut builder = Builder::new().with_config(config);
    for file in ["mod", "message", "model", "remote", "request", "device", "extension"] {
        builder = builder.with_src(root.join(format!("src/c/{file}.rs")));
    }
    let mut text = Vec::new();
    builder.generate().unwrap().write(&mut text);
    // Constants are in capitals to their first letter, in the text too.
    let mut text = String::from_utf8(text).unwrap().replace("#define Terroir", "#define TERROIR_");
    for family in ["ABI_VERSION", "STATUS_", "TYPE_", "SIDE_", "LAYER_", "NODE_", "LOG_"] {
        text = text.replace(&format!("`{family}"), &format!("`TERROIR_{family}"));
    }
    text
}

#[test]
fn the_header_says_what_the_source_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/terroir_plugin.h");
    let text = generated();
    if std::env::var_os("TERROIR_WRITE_HEADER").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "{} is behind its source: run `cargo xtask header`", path.display());
}
