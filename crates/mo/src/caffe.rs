//! Caffe networks: the files that belong together, and the model that they make.

use crate::{Error, Request, Source, Stage};
use ir::{Model, cut::InputSpec};
use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

/// Reads and converts the network of a request. The second answer is what the user should know.
pub(crate) fn load(request: &Request, stage: &mut dyn FnMut(Stage)) -> Result<(Model, Vec<String>), Error> {
    let (definition, weights) = files(&request.source);
    let net = frontend_caffe::read(definition.as_deref(), weights.as_deref())?;
    stage(Stage::Convert);
    let mut options = frontend_caffe::Options {
        name: request.model_name.clone(),
        inputs: request.inputs.clone(),
        outputs: request.outputs.clone(),
        custom_ops: request.custom_ops.clone(),
    };
    if !request.input_shapes.is_empty() {
        let inputs = frontend_caffe::inputs(&net, &options)?;
        let given = request.input_shapes.len();
        if given != inputs.len() {
            return Err(Error::InputCount { flag: "--input_shape", given, inputs });
        }
        let shaped = inputs.into_iter().zip(&request.input_shapes);
        let specs =
            shaped.map(|(name, shape)| InputSpec { shape: Some(shape.clone()), ..InputSpec::at(name) });
        options.inputs.extend(specs);
    }
    let converted = frontend_caffe::convert(&net, &options)?;
    Ok((converted.model, converted.notes))
}

/// The definition and the weights: what was named, else what lies beside it.
fn files(source: &Source) -> (Option<PathBuf>, Option<PathBuf>) {
    let graph = source.graph.clone();
    if let Some(definition) = &source.definition {
        return (Some(definition.clone()), Some(graph));
    }
    if graph.extension().is_some_and(|e| e.eq_ignore_ascii_case("prototxt")) {
        let weights = Some(graph.with_extension("caffemodel")).filter(|path| path.is_file());
        return (Some(graph), weights);
    }
    (definition_beside(&graph), Some(graph))
}

/// The prototxt of a caffemodel's own name, or of that without what training added (`_iter_1000`), else the folder's
/// only deployment.
fn definition_beside(weights: &Path) -> Option<PathBuf> {
    let stem = weights.file_stem()?.to_str()?;
    let folder = weights.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let trained = stem.rsplit_once("_iter_").map(|(name, _)| name);
    let names = [Some(stem), trained].into_iter().flatten();
    let named = names.flat_map(|name| {
        [format!("{name}.prototxt"), format!("{name}_deploy.prototxt"), format!("{name}-deploy.prototxt")]
    });
    if let Some(found) = named.map(|name| folder.join(name)).find(|path| path.is_file()) {
        return Some(found);
    }
    let deployment = folder.join("deploy.prototxt");
    if deployment.is_file() {
        return Some(deployment);
    }
    let entries = fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let is_deployment = |path: &PathBuf| {
        let name = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
        name.contains("deploy") && path.extension() == Some(OsStr::new("prototxt"))
    };
    let found: Vec<PathBuf> = entries.filter(is_deployment).collect();
    match &found[..] {
        [one] => Some(one.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_beside_a_caffemodel_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let weights = folder.path().join("net_iter_10.caffemodel");
        let mut expected = None;
        for name in ["my_deploy.prototxt", "deploy.prototxt", "net.prototxt", "net_iter_10.prototxt"] {
            assert_eq!(definition_beside(&weights), expected, "before {name}");
            fs::write(folder.path().join(name), "").unwrap();
            expected = Some(folder.path().join(name));
        }
        assert_eq!(definition_beside(&weights), expected);
        let text = Source { graph: folder.path().join("net.prototxt"), ..Source::default() };
        assert_eq!(files(&text), (Some(text.graph.clone()), None));
        fs::write(folder.path().join("net.caffemodel"), "").unwrap();
        assert_eq!(files(&text).1, Some(folder.path().join("net.caffemodel")));
    }
}
