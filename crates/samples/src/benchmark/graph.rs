//! The executed graph as a file: the network's layers, each with how it ran, as attributes that OpenVINO writes too.

use anyhow::{Context, Result};
use ir::Model;
use runtime::{LayerStatus, ProfileRow};
use std::{fs, path::Path};

/// Writes the text of an IR; there is no `.bin`, for nobody runs it.
pub(super) fn write(path: &Path, model: &Model, rows: &[ProfileRow]) -> Result<()> {
    let mut model = model.clone();
    let ids: Vec<ir::NodeId> = model.nodes().map(|(id, _)| id).collect();
    for id in ids {
        let name = model.node(id).name.clone();
        let own = || rows.iter().enumerate().filter(|(_, row)| row.name == name);
        // What brings data into a layer's layout goes by its name; the layer itself took longest.
        let Some((order, row)) = own().max_by_key(|(_, row)| row.real_time) else { continue };
        let time = match row.status {
            LayerStatus::Executed => row.real_time.as_micros().to_string(),
            LayerStatus::NotRun | LayerStatus::OptimizedOut => "not_executed".to_owned(),
        };
        model.node_mut(id).residue.extend([
            ("execOrder".to_owned(), order.to_string()),
            ("execTimeMcs".to_owned(), time),
            ("layerType".to_owned(), row.layer_type.clone()),
            ("primitiveType".to_owned(), row.exec_type.clone()),
        ]);
    }
    let (text, _) = ir::to_ir(&model)?;
    fs::write(path, text).with_context(|| format!("-exec_graph_path {}", path.display()))
}
