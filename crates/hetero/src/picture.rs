//! Pictures of where nodes run, as text for Graphviz: one of the devices, one of the subgraphs.

use crate::{
    placement::{Places, Role},
    settings::NAME,
    subgraph::Division,
};
use ir::{
    Model, NodeId,
    device::{DeviceError, DeviceResult},
};
use std::{fmt::Write as _, io::Write as _, path::Path};

const COLOURS: [&str; 8] =
    ["lightblue", "lightsalmon", "palegreen", "khaki", "plum", "lightgrey", "pink", "wheat"];

/// Writes `hetero_affinity_<model>.dot`: each node with its device.
pub(crate) fn affinity(model: &Model, places: &Places, folder: &Path) -> DeviceResult<()> {
    let mut text = begin();
    for id in shown(places) {
        node_line(&mut text, model, places, id);
    }
    end(text, model, places, folder, "affinity")
}

/// Writes `hetero_subgraphs_<model>.dot`: the nodes of a subgraph in a frame.
pub(crate) fn subgraphs(
    model: &Model,
    places: &Places,
    division: &Division,
    folder: &Path,
) -> DeviceResult<()> {
    let mut text = begin();
    for (i, subgraph) in division.subgraphs.iter().enumerate() {
        let device = escaped(&places.members[subgraph.device].name);
        let frame = format!("subgraph cluster_{i} {{\n  label=\"subgraph{i}: {device}\";");
        writeln!(text, "{frame}").expect("a string takes all");
        for id in shown(places).filter(|id| division.owner[id.index()] == Some(i)) {
            node_line(&mut text, model, places, id);
        }
        text.push_str("}\n");
    }
    for id in shown(places).filter(|id| division.owner[id.index()].is_none()) {
        node_line(&mut text, model, places, id);
    }
    end(text, model, places, folder, "subgraphs")
}

fn begin() -> String {
    "digraph {\nnode [shape=box, style=filled, fillcolor=white];\n".to_owned()
}

/// Constants would hide the rest.
fn shown(places: &Places) -> impl Iterator<Item = NodeId> {
    places.order.iter().copied().filter(|id| places.roles[id.index()] != Role::Fixed)
}

fn node_line(text: &mut String, model: &Model, places: &Places, id: NodeId) {
    let node = model.node(id);
    let (name, kind) = (escaped(&node.name), escaped(node.op.type_name()));
    let look = match places.device[id.index()] {
        Some(device) => {
            let colour = COLOURS[device % COLOURS.len()];
            format!("\\ndevice={}\", fillcolor={colour}", escaped(&places.members[device].name))
        }
        None => "\"".to_owned(),
    };
    writeln!(text, "  n{} [label=\"{name}\\n{kind}{look}];", id.index()).expect("a string takes all");
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace(['\n', '\r'], " ")
}

/// Adds the edges and writes the file, whole or not at all.
fn end(mut text: String, model: &Model, places: &Places, folder: &Path, kind: &str) -> DeviceResult<()> {
    for id in shown(places) {
        for port in model.node(id).inputs() {
            if places.roles[port.node.index()] != Role::Fixed {
                let label = escaped(&model.ty(*port).to_string());
                let edge = format!("n{} -> n{} [label=\"{label}\"];", port.node.index(), id.index());
                writeln!(text, "{edge}").expect("a string takes all");
            }
        }
    }
    text.push_str("}\n");
    let name: String =
        model.name.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
    let path = folder.join(format!("hetero_{kind}_{name}.dot"));
    let write = || {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.persist(&path).map_err(|error| error.error)
    };
    let written = write().map_err(|error| DeviceError::Failed {
        device: NAME.to_owned(),
        message: format!("{}: {error}", path.display()),
    });
    written.map(drop)
}
