//! TensorFlow graphs, frozen or with a checkpoint, as models.

use crate::{Error, Request, Stage};
use frontend_tf::{FreezeOptions, Graph, GraphDef, Options};
use ir::{Model, cut::InputSpec};
use std::ffi::OsStr;

/// Reads the network that `request` asks for, cut as it asks.
pub(crate) fn load(request: &Request, stage: &mut dyn FnMut(Stage)) -> Result<Model, Error> {
    let graph = frozen_graph(request)?;
    stage(Stage::Convert);
    // Weights are views of the file from here on; the rest of the graph goes with this function.
    model_of(&graph, request)
}

/// Reads the graph; with a checkpoint, puts its values into it.
fn frozen_graph(request: &Request) -> Result<GraphDef, Error> {
    let source = &request.source;
    let graph = source.read()?;
    let is_meta = source.graph.extension() == Some(OsStr::new("meta"));
    if source.checkpoint.is_none() && !is_meta {
        return Ok(graph);
    }
    let mut options = FreezeOptions::default();
    for output in &request.outputs {
        // `0:node` is an input of the node.
        let is_port = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
        let node =
            output.split_once(':').filter(|(port, _)| is_port(port)).map_or(&output[..], |(_, node)| node);
        options.outputs.push(node.to_owned());
    }
    if options.outputs.is_empty() {
        let index = Graph::new(&graph)?;
        let names = index.output_candidates()?.into_iter().map(|node| index.node(node).name.clone());
        options.outputs = names.collect();
        if options.outputs.len() != 1 {
            return Err(frontend_tf::Error::Outputs { candidates: options.outputs }.into());
        }
    }
    source.freeze(&graph, &options)
}

/// Converts the graph, with the inputs' shapes where they were given without names.
fn model_of(graph: &GraphDef, request: &Request) -> Result<Model, Error> {
    let mut options = Options {
        name: request.model_name.clone(),
        inputs: request.inputs.clone(),
        outputs: request.outputs.clone(),
        custom_ops: request.custom_ops.clone(),
    };
    let failed = |error| match error {
        frontend_tf::Error::MissingVariables { names, total } if request.source.checkpoint.is_none() => {
            request.source.without_checkpoint(names, total)
        }
        other => other.into(),
    };
    if !request.input_shapes.is_empty() {
        let inputs = frontend_tf::inputs(graph, &options).map_err(failed)?;
        let given = request.input_shapes.len();
        if given != inputs.len() {
            return Err(Error::InputCount { flag: "--input_shape", given, inputs });
        }
        let shaped = inputs.into_iter().zip(&request.input_shapes);
        let specs =
            shaped.map(|(name, shape)| InputSpec { shape: Some(shape.clone()), ..InputSpec::at(name) });
        options.inputs.extend(specs);
    }
    frontend_tf::convert(graph, &options).map_err(failed)
}
