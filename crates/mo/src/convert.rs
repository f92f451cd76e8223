//! From a framework's files to an IR: the way of the data.

use crate::{
    Error, Framework, Source, caffe,
    grammar::{ChannelValues, LayoutSpec},
    output::OutputFolder,
};
use frontend_tf::{FreezeOptions, Graph, GraphDef, InputSpec, Options};
use ir::{Dim, Layout, Model, NodeId, Op, PartialShape};
use optimizer::preprocessing::{self, Preprocessing};
use std::{ffi::OsStr, fmt, path::PathBuf};

/// A conversion: what to convert, how, and where to put it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// The network.
    pub source: Source,
    /// The name of the model and of its files.
    pub model_name: String,
    /// Where the files go. Made if the folder that holds it exists.
    pub output_dir: PathBuf,
    /// Inputs other than the network's own: cuts, shapes, types, values.
    pub inputs: Vec<InputSpec>,
    /// Shapes of the network's own inputs, in their order; none or one for each.
    pub input_shapes: Vec<PartialShape>,
    /// The outputs; empty for the network's own.
    pub outputs: Vec<String>,
    /// The batch size of all inputs.
    pub batch: Option<u32>,
    /// Subtracted from the inputs.
    pub mean_values: Vec<ChannelValues>,
    /// The inputs are divided by it.
    pub scale_values: Vec<ChannelValues>,
    /// All inputs are divided by it.
    pub scale: Option<f32>,
    /// Reverse the channels of inputs that have three.
    pub reverse_input_channels: bool,
    /// Layouts of inputs and outputs, and what they shall become.
    pub layouts: Vec<LayoutSpec>,
    /// Store weights as FP16.
    pub compress_to_fp16: bool,
    /// Take linear operations into the weights of convolutions.
    pub fuse: bool,
    /// What the user asked for, for the IR's `conversion_parameters`.
    pub parameters: Vec<(String, String)>,
}

/// What [`convert`] made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// The graph.
    pub xml: PathBuf,
    /// The weights.
    pub bin: PathBuf,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// How far a conversion is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// The files are read.
    Read,
    /// The graph becomes a model.
    Convert,
    /// The model is optimised.
    Optimize,
    /// Weights become FP16.
    Compress,
    /// The IR is written.
    Write,
}

impl Stage {
    /// All of them, in order.
    pub const ALL: &[Self] = &[Self::Read, Self::Convert, Self::Optimize, Self::Compress, Self::Write];
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "reading the network",
            Self::Convert => "converting the graph",
            Self::Optimize => "optimising",
            Self::Compress => "compressing weights",
            Self::Write => "writing the IR",
        })
    }
}

/// Converts a network and writes the IR. Nothing is left behind when it fails. `stage` hears how far it is.
pub fn convert(request: &Request, stage: &mut dyn FnMut(Stage)) -> Result<Converted, Error> {
    let folder = OutputFolder::open(&request.output_dir)?;
    let (mut model, mut warnings) = match request.source.framework() {
        Framework::Caffe => caffe::load(request, stage)?,
        Framework::TensorFlow => {
            stage(Stage::Read);
            let graph = frozen_graph(request)?;
            stage(Stage::Convert);
            // Weights are views of the file from here on; the rest of the graph is not needed any more.
            (model_of(&graph, request)?, Vec::new())
        }
    };
    set_batch(&mut model, request)?;
    preprocess(&mut model, request)?;
    stage(Stage::Optimize);
    let skip = if request.fuse { Vec::new() } else { vec!["fuse linear chains".to_owned()] };
    optimizer::optimize(&mut model, &optimizer::Options { skip })?;
    if request.compress_to_fp16 {
        stage(Stage::Compress);
        let report = quantize::to_fp16(&mut model, &quantize::Options::default())?;
        warnings.extend(report.saturated().map(|constant| {
            let quantize::Lossy { node, of, saturated, .. } = constant;
            format!("'{node}': {saturated} of {of} weights lie beyond FP16's range and became 65504")
        }));
    }
    stage(Stage::Write);
    describe(&mut model, request);
    let written = ir::write_ir(&model, folder.file(&format!("{}.xml", request.model_name)))?;
    folder.keep();
    Ok(Converted { xml: written.xml, bin: written.bin, warnings })
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
        ..Options::default()
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

/// Gives every input the batch: dimension `N` of its layout, else the first.
fn set_batch(model: &mut Model, request: &Request) -> Result<(), Error> {
    let Some(batch) = request.batch else { return Ok(()) };
    for (id, layout) in input_layouts(model, request)? {
        let Op::Parameter(parameter) = &model.node(id).op else { continue };
        let fail = |problem: &str| Error::Port {
            flag: "--batch",
            port: model.node(id).name.clone(),
            shape: parameter.shape.to_string(),
            problem: problem.to_owned(),
        };
        let mut dims = match parameter.shape.dims() {
            Some(dims) => dims.to_vec(),
            None => return Err(fail("its rank is not known; give it a shape with --input_shape instead")),
        };
        let axis = match &layout {
            Some(layout) => layout.source.index_of("N", dims.len()),
            None => Some(0),
        };
        let Some(dim) = axis.and_then(|axis| dims.get_mut(axis)) else {
            return Err(fail("it has no batch dimension; give shapes with --input_shape instead"));
        };
        *dim = Dim::exactly(i64::from(batch));
        model.set_parameter_shape(id, PartialShape::new(dims));
    }
    Ok(model.infer()?)
}

/// Embeds mean, scale and channel order, then changes layouts: the inputs see them the other way round.
fn preprocess(model: &mut Model, request: &Request) -> Result<(), Error> {
    let inputs = input_layouts(model, request)?;
    let ids: Vec<NodeId> = inputs.iter().map(|(id, _)| *id).collect();
    let mean = by_input("--mean_values", &request.mean_values, model, &ids)?;
    let mut scale = by_input("--scale_values", &request.scale_values, model, &ids)?;
    if let Some(all) = request.scale {
        // Numbers that are no data (indices, flags) are left alone.
        let is_data = |id: &NodeId| model.ty((*id).into()).element_type.is_float();
        scale = ids.iter().map(|id| if is_data(id) { vec![f64::from(all)] } else { Vec::new() }).collect();
    }
    let mut reversed = 0;
    for (((id, spec), mean), scale) in inputs.iter().zip(mean).zip(scale) {
        let layout = spec.as_ref().map(|spec| spec.source.clone()).unwrap_or_default();
        let reverse_channels = request.reverse_input_channels && has_three_channels(model, *id, &layout);
        reversed += usize::from(reverse_channels);
        preprocessing::embed(model, *id, &layout, &Preprocessing { reverse_channels, mean, scale })?;
    }
    if request.reverse_input_channels && reversed == 0 {
        let inputs =
            ids.iter().map(|id| format!("{} {}", model.node(*id).name, model.ty((*id).into()).shape));
        return Err(Error::NothingToReverse { inputs: inputs.collect() });
    }
    for (id, spec) in inputs {
        if let Some(LayoutSpec { source, target, .. }) = spec {
            check_rank(model, id, &source)?;
            preprocessing::change_input_layout(model, id, &source, target.as_ref().unwrap_or(&source))?;
        }
    }
    for (id, LayoutSpec { source, target, .. }) in output_layouts(model, request) {
        preprocessing::change_output_layout(model, id, &source, target.as_ref().unwrap_or(&source))?;
    }
    Ok(model.infer()?)
}

/// The inputs, each with what the user says about its layout.
fn input_layouts(model: &Model, request: &Request) -> Result<Vec<(NodeId, Option<LayoutSpec>)>, Error> {
    let mut inputs: Vec<(NodeId, Option<LayoutSpec>)> =
        model.parameters().iter().map(|id| (*id, None)).collect();
    for (i, spec) in request.layouts.iter().enumerate() {
        let found = match &spec.port {
            Some(name) => inputs.iter_mut().find(|(id, _)| is_called(model, *id, name)),
            None if request.layouts.len() > model.parameters().len() => {
                let inputs = names(model, model.parameters());
                return Err(Error::InputCount { flag: "--layout", given: request.layouts.len(), inputs });
            }
            None => inputs.get_mut(i),
        };
        match (found, &spec.port) {
            (Some((_, layout)), _) => *layout = Some(spec.clone()),
            (None, Some(name)) if !model.results().iter().any(|id| is_called(model, *id, name)) => {
                let known = [names(model, model.parameters()), names(model, model.results())].concat();
                return Err(Error::UnknownPort {
                    flag: "--layout",
                    name: name.clone(),
                    kind: "input or output",
                    known,
                });
            }
            _ => {}
        }
    }
    Ok(inputs)
}

/// What the user says about layouts of outputs.
fn output_layouts(model: &Model, request: &Request) -> Vec<(NodeId, LayoutSpec)> {
    let named = request.layouts.iter().filter_map(|spec| Some((spec.port.as_ref()?, spec)));
    let found = |(name, spec): (&String, &LayoutSpec)| {
        let id = model.results().iter().find(|id| is_called(model, **id, name))?;
        Some((*id, spec.clone()))
    };
    named
        .filter(|(name, _)| !model.parameters().iter().any(|id| is_called(model, *id, name)))
        .filter_map(found)
        .collect()
}

/// True when an input or output goes by `name`: its own, its tensor's, or its tensor's node's.
fn is_called(model: &Model, id: NodeId, name: &str) -> bool {
    let node = model.node(id);
    let port = node.inputs().first().copied().unwrap_or(id.into());
    let tensor = model.output(port);
    node.name == name || tensor.names.iter().any(|n| n == name) || model.node(port.node).name == name
}

/// What users call inputs or outputs.
fn names(model: &Model, ids: &[NodeId]) -> Vec<String> {
    let name = |id: &NodeId| {
        let node = model.node(*id);
        node.inputs().first().map_or(&node.name, |port| &model.node(port.node).name).clone()
    };
    ids.iter().map(name).collect()
}

/// The values that a flag gives, along the inputs.
fn by_input(
    flag: &'static str,
    given: &[ChannelValues],
    model: &Model,
    inputs: &[NodeId],
) -> Result<Vec<Vec<f64>>, Error> {
    let mut found = vec![Vec::new(); inputs.len()];
    let is_by_order = given.iter().any(|values| values.input.is_none());
    if is_by_order && given.len() != inputs.len() {
        return Err(Error::InputCount { flag, given: given.len(), inputs: names(model, inputs) });
    }
    for (i, ChannelValues { input, values }) in given.iter().enumerate() {
        let at = match input {
            None => i,
            Some(name) => inputs.iter().position(|id| is_called(model, *id, name)).ok_or_else(|| {
                Error::UnknownPort { flag, name: name.clone(), kind: "input", known: names(model, inputs) }
            })?,
        };
        found[at] = values.iter().map(|value| f64::from(*value)).collect();
    }
    Ok(found)
}

/// An image in colours: by its layout, else by where images have their channels.
fn has_three_channels(model: &Model, id: NodeId, layout: &Layout) -> bool {
    let Some(dims) = model.ty(id.into()).shape.dims() else { return false };
    let is_three = |axis: usize| dims.get(axis).and_then(|dim| dim.size()) == Some(3);
    if layout.is_empty() {
        return dims.len() == 4 && (is_three(1) || is_three(3));
    }
    layout.index_of("C", dims.len()).is_some_and(is_three)
}

fn check_rank(model: &Model, id: NodeId, layout: &Layout) -> Result<(), Error> {
    let shape = &model.ty(id.into()).shape;
    match (shape.rank(), layout.rank()) {
        (Some(found), Some(said)) if found != said => Err(Error::Port {
            flag: "--layout",
            port: model.node(id).name.clone(),
            shape: shape.to_string(),
            problem: format!("the layout {layout} has {said} dimensions, the shape has {found}"),
        }),
        _ => Ok(()),
    }
}

/// What the IR says about where it comes from.
fn describe(model: &mut Model, request: &Request) {
    let version = concat!("Terroir ", env!("CARGO_PKG_VERSION")).to_owned();
    model.rt_info.insert("MO_version".to_owned(), version.clone());
    model.rt_info.insert("Runtime_version".to_owned(), version);
    for (name, value) in &request.parameters {
        model.rt_info.insert(format!("conversion_parameters/{name}"), value.clone());
    }
}
