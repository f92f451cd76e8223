//! From a framework's files to an IR: the way of the data.

use crate::{
    Error, Source,
    custom_layers::CustomLayer,
    grammar::{ChannelValues, LayoutSpec, Transform},
    load::load,
    mean_image::MeanFile,
    output::OutputFolder,
    preprocess, report,
    stateful::make_stateful,
};
use ir::{IrVersion, Model, PartialShape, cut::InputSpec, unsupported::CustomOps};
use optimizer::Step;
use std::{collections::HashSet, fmt, path::PathBuf};

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
    /// Which ops that have no conversion are kept as they are.
    pub custom_ops: CustomOps,
    /// What the user says about layers that no frontend knows; `custom_ops` holds their types too.
    pub custom_layers: Vec<CustomLayer>,
    /// The batch size of all inputs.
    pub batch: Option<u32>,
    /// Whether every shape must be fixed.
    pub static_shape: bool,
    /// Subtracted from the inputs.
    pub mean_values: Vec<ChannelValues>,
    /// An image that is subtracted from the input.
    pub mean_file: Option<MeanFile>,
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
    /// Passes of the optimizer to leave out.
    pub skip_passes: Vec<String>,
    /// Regular expressions that are found in the names of nodes which are not to be fused.
    pub keep_unfused: Vec<String>,
    /// Further transformations.
    pub transforms: Vec<Transform>,
    /// The device that the IR is for.
    pub target_device: Option<String>,
    /// The version of the IR.
    pub ir_version: IrVersion,
    /// What the user asked for, for the IR's `conversion_parameters`.
    pub parameters: Vec<(String, String)>,
}

/// What [`convert()`] made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// The graph.
    pub xml: PathBuf,
    /// The weights.
    pub bin: PathBuf,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// What is good to know.
    pub notes: Vec<String>,
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

/// What happens during a conversion.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A stage begins.
    Stage(Stage),
    /// A pass of the optimizer has run.
    Pass {
        /// What it did.
        step: &'a Step,
        /// The number of passes that have run.
        done: usize,
        /// Of how many.
        of: usize,
        /// The nodes that are left.
        nodes: usize,
    },
    /// Weights were written.
    Written {
        /// Bytes so far.
        bytes: u64,
        /// Of how many.
        of: u64,
    },
}

/// Converts a network and writes the IR. Nothing is left behind when it fails. `watch` hears how far it is.
pub fn convert(request: &Request, watch: &mut dyn FnMut(Event)) -> Result<Converted, Error> {
    let folder = OutputFolder::open(&request.output_dir)?;
    let (mut model, mut warnings) = load(request, &mut |stage| watch(Event::Stage(stage)))?;
    preprocess::set_batch(&mut model, request)?;
    if request.static_shape {
        require_fixed(&model)?;
    }
    preprocess::preprocess(&mut model, request)?;
    transform(&mut model, &request.transforms)?;
    watch(Event::Stage(Stage::Optimize));
    optimize(&mut model, request, watch)?;
    warnings.extend(report::warnings(&model, request));
    let notes = report::placement(&model, request).into_iter().collect();
    if request.compress_to_fp16 {
        watch(Event::Stage(Stage::Compress));
        let report = quantize::to_fp16(&mut model, &quantize::Options::default())?;
        warnings.extend(report::losses(&report));
    }
    watch(Event::Stage(Stage::Write));
    describe(&mut model, request);
    let xml = folder.file(&format!("{}.xml", request.model_name));
    let written = ir::write_ir_as(&model, xml, request.ir_version, &mut |bytes, of| {
        watch(Event::Written { bytes, of })
    })?;
    folder.keep();
    Ok(Converted { xml: written.xml, bin: written.bin, warnings, notes })
}

fn optimize(model: &mut Model, request: &Request, watch: &mut dyn FnMut(Event)) -> Result<(), Error> {
    let keep = kept(model, &request.keep_unfused)?;
    let options = optimizer::Options { skip: request.skip_passes.clone(), keep };
    let of =
        optimizer::PASSES.iter().filter(|pass| !options.skip.iter().any(|skip| skip == pass.name)).count();
    let mut done = 0;
    let report = optimizer::optimize_watched(model, &options, &mut |step, model| {
        done += 1;
        watch(Event::Pass { step, done, of, nodes: model.len() });
    })?;
    for refused in &report.refusals {
        tracing::info!(rule = refused.rule, node = refused.node, reason = refused.reason, "not applied");
    }
    Ok(())
}

/// The nodes whose names the expressions are found in.
fn kept(model: &Model, expressions: &[String]) -> Result<HashSet<String>, Error> {
    let compiled: Vec<regex_lite::Regex> = expressions
        .iter()
        .map(|text| {
            regex_lite::Regex::new(text)
                .map_err(|e| Error::Expression { text: text.clone(), problem: e.to_string() })
        })
        .collect::<Result<_, _>>()?;
    let names = model.nodes().map(|(_, node)| &node.name);
    let found: HashSet<String> =
        names.filter(|name| compiled.iter().any(|regex| regex.is_match(name))).cloned().collect();
    if found.is_empty() && !expressions.is_empty() {
        return Err(Error::NothingKept { expressions: expressions.to_vec() });
    }
    Ok(found)
}

/// `--static_shape`: whatever the shapes of the inputs do not say, no pass can find out.
fn require_fixed(model: &Model) -> Result<(), Error> {
    match &optimizer::analysis::open_inputs(model)[..] {
        [] => Ok(()),
        open => Err(Error::OpenShapes { inputs: open.iter().map(ToString::to_string).collect() }),
    }
}

/// What `--transform` asks for. A network without loops has nothing that LowLatency2 could change; what cannot be done
/// would be missed.
fn transform(model: &mut Model, transforms: &[Transform]) -> Result<(), Error> {
    let is_loop = |(_, node): (_, &ir::Node)| matches!(node.op.type_name(), "TensorIterator" | "Loop");
    for transform in transforms {
        match transform {
            Transform::LowLatency2 if !model.nodes().any(is_loop) => {
                tracing::warn!(
                    "LowLatency2 has nothing to do: the network holds no TensorIterator and no Loop"
                );
            }
            Transform::MakeStateful(pairs) => make_stateful(model, pairs)?,
            Transform::LowLatency2 => {
                return Err(Error::Transform {
                    transform: "LowLatency2",
                    advice: "the network holds a loop, which cannot become steps with state yet; unroll it",
                });
            }
            Transform::Pruning => {
                return Err(Error::Transform {
                    transform: "Pruning",
                    advice: "channels of zeros are not taken out yet; leave the flag out, the network computes the same without it",
                });
            }
        }
    }
    Ok(())
}

/// What the IR says about where it comes from.
fn describe(model: &mut Model, request: &Request) {
    let version = concat!("Terroir ", env!("CARGO_PKG_VERSION")).to_owned();
    model.name.clone_from(&request.model_name);
    model.rt_info.insert("MO_version".to_owned(), version.clone());
    model.rt_info.insert("Runtime_version".to_owned(), version);
    for (name, value) in &request.parameters {
        model.rt_info.insert(format!("conversion_parameters/{name}"), value.clone());
    }
}
