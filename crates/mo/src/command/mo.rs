//! `mo`, with the Model Optimizer's flags.

use super::console::{self, Progress};
use crate::{
    Framework, Request, Source, convert,
    grammar::{self, ChannelValues, LayoutSpec},
};
use clap::{
    Arg, ArgAction, Command, CommandFactory, FromArgMatches, Parser, ValueEnum, builder::PossibleValue,
    error::ErrorKind,
};
use frontend_tf::{Encoding, InputSpec};
use ir::PartialShape;
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

/// A list that one flag holds, not a flag that is given several times.
type List<T> = Vec<T>;

const TENSORFLOW: &str = "TensorFlow-specific parameters";
const CAFFE: &str = "Caffe-specific parameters";
const WITHOUT_EFFECT: &str = "Accepted from older command lines, without effect";

/// Converts a trained network to an OpenVINO IR: FILE.xml and FILE.bin.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "mo",
    version = concat!(env!("CARGO_PKG_VERSION"), " (Terroir)"),
    infer_long_args = true,
    next_help_heading = "Framework-agnostic parameters",
    after_help = "The samples take class names, one a line, from <model_name>.labels beside the IR.\n\
                  Exit code: 0 done, 1 the network could not be converted, 2 the command line could not be followed."
)]
pub struct Arguments {
    /// Network to convert: a frozen or inference graph (.pb, .pbtxt), a .meta file, or a .caffemodel
    #[arg(
        long = "input_model",
        short = 'm',
        short_alias = 'w',
        value_name = "FILE",
        required_unless_present = "input_meta_graph"
    )]
    input_model: Option<PathBuf>,
    /// Name of the network and of the files [default: the input model's]
    #[arg(long = "model_name", short = 'n', value_name = "NAME")]
    model_name: Option<String>,
    /// Folder for the files; made if the folder that holds it exists
    #[arg(
        long = "output_dir",
        short = 'o',
        value_name = "FOLDER",
        default_value = ".",
        hide_default_value = true
    )]
    output_dir: PathBuf,
    /// Framework of the network
    #[arg(long, value_enum, ignore_case = true)]
    framework: Option<FrameworkName>,
    /// Shapes of the inputs, in the order of --input or of the network, in the network's own layout:
    /// [1,224,224,3],[1,10]; `?` or -1 for an open dimension, 1..10 for a range [default: the network's]
    #[arg(long = "input_shape", value_name = "SHAPES", allow_hyphen_values = true,
          value_parser = grammar::shapes, conflicts_with = "batch")]
    input_shape: Option<List<PartialShape>>,
    /// Inputs: name, name:port or port:name (cuts the graph there), each with [shape], {type} or ->value (which
    /// freezes it) as needed: "node:0[1 3 224 224]{f32},flag->False" [default: the network's]
    #[arg(long, value_name = "INPUTS", value_parser = grammar::inputs)]
    input: Option<List<InputSpec>>,
    /// Outputs: names, name:port or port:name; what lies behind them is cut off [default: the network's]
    #[arg(long, value_name = "NAMES", value_parser = grammar::names)]
    output: Option<List<String>>,
    /// Batch size of all inputs
    #[arg(long, short = 'b', value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batch: Option<u32>,
    /// Subtracted from the channels of the inputs, before scaling: (123.68,116.78,103.94) or
    /// data[255,255,255],info[1]; in the order of the channels that the network sees
    #[arg(long = "mean_values", value_name = "VALUES", allow_hyphen_values = true,
          value_parser = grammar::channel_values)]
    mean_values: Option<List<ChannelValues>>,
    /// What the channels of the inputs are divided by; written as --mean_values
    #[arg(long = "scale_values", value_name = "VALUES", allow_hyphen_values = true,
          value_parser = grammar::channel_values, conflicts_with = "scale")]
    scale_values: Option<List<ChannelValues>>,
    /// One number that all inputs are divided by
    #[arg(long, short = 's', value_name = "NUMBER", allow_hyphen_values = true)]
    scale: Option<f32>,
    /// Turns RGB into BGR or back, before mean and scale
    #[arg(long = "reverse_input_channels")]
    reverse_input_channels: bool,
    /// Precision in which weights are stored [default: the network's]
    #[arg(long = "data_type", value_name = "TYPE", value_enum, ignore_case = true)]
    data_type: Option<DataType>,
    /// Whether weights are stored as FP16 [default: False]
    #[arg(long = "compress_to_fp16", value_name = "BOOL", num_args = 0..=1, default_missing_value = "True",
          value_parser = grammar::boolean, action = ArgAction::Set)]
    compress_to_fp16: Option<bool>,
    /// Layouts of inputs and outputs, and what they shall become: nhwc, nhwc->nchw or "in(nhwc->nchw),out(nc)"
    /// [default: the network's]
    #[arg(long, value_name = "LAYOUTS", value_parser = grammar::layouts,
          conflicts_with_all = ["source_layout", "target_layout"])]
    layout: Option<List<LayoutSpec>>,
    /// Layouts that the network has: nhwc or "in(nhwc),out(nc)"
    #[arg(long = "source_layout", value_name = "LAYOUTS", value_parser = grammar::plain_layouts)]
    source_layout: Option<List<LayoutSpec>>,
    /// Layouts that the IR shall have
    #[arg(long = "target_layout", value_name = "LAYOUTS", value_parser = grammar::plain_layouts,
          requires = "source_layout")]
    target_layout: Option<List<LayoutSpec>>,
    /// Inputs to replace by values, "node->True": an older form of --input
    #[arg(long = "freeze_placeholder_with_value", value_name = "VALUES", value_parser = grammar::frozen_inputs)]
    freeze_placeholder_with_value: Option<List<InputSpec>>,
    /// Keeps linear operations (batch normalisation, bias, scale) out of the weights of convolutions
    #[arg(long = "disable_fusing")]
    disable_fusing: bool,
    /// How much to tell
    #[arg(long = "log_level", value_enum, ignore_case = true, default_value = "ERROR")]
    log_level: LogLevel,
    /// Prints nothing but errors
    #[arg(long, num_args = 0..=1, value_name = "BOOL", default_value = "false", default_missing_value = "true",
          hide_default_value = true, value_parser = grammar::boolean, action = ArgAction::Set)]
    silent: bool,
    /// Shows a bar on a terminal
    #[arg(long)]
    progress: bool,
    /// The input model is in text format; found out by content in any case
    #[arg(long = "input_model_is_text", help_heading = TENSORFLOW)]
    input_model_is_text: bool,
    /// Checkpoint with the values of the graph's variables: its prefix, any of its files or its folder; versions 1
    /// and 2, TensorFlow 2's too
    #[arg(long = "input_checkpoint", value_name = "PREFIX", help_heading = TENSORFLOW)]
    input_checkpoint: Option<PathBuf>,
    /// MetaGraphDef file (.meta) to convert; the checkpoint beside it is found
    #[arg(long = "input_meta_graph", value_name = "FILE", conflicts_with = "input_model", help_heading = TENSORFLOW)]
    input_meta_graph: Option<PathBuf>,
    /// Definition of the network (.prototxt) [default: the one beside the caffemodel, else the caffemodel's own]
    #[arg(long = "input_proto", short = 'd', value_name = "FILE", help_heading = CAFFE)]
    input_proto: Option<PathBuf>,
}

/// Frameworks that `--framework` knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FrameworkName(Framework);

impl ValueEnum for FrameworkName {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self(Framework::TensorFlow), Self(Framework::Caffe)]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let value = PossibleValue::new(self.0.name());
        Some(if self.0 == Framework::TensorFlow { value.alias("tensorflow") } else { value })
    }
}

/// Precisions of `--data_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DataType {
    Fp16,
    Fp32,
}

impl ValueEnum for DataType {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Fp16, Self::Fp32]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Fp16 => PossibleValue::new("FP16").alias("half"),
            Self::Fp32 => PossibleValue::new("FP32").alias("float"),
        })
    }
}

/// Python's log levels, which the original had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
#[value(rename_all = "UPPER")]
enum LogLevel {
    Critical,
    Error,
    #[value(alias = "WARNING")]
    Warn,
    Info,
    Debug,
    NotSet,
}

/// Flags of the original that change nothing here: name, whether a value follows, why.
const INERT: &[(&str, bool, &str)] = &[
    (
        "disable_gfusing",
        false,
        "grouped convolutions are always made where a graph splits and joins channels",
    ),
    ("disable_resnet_optimization", false, "strides are not moved between convolutions"),
    ("enable_concat_optimization", false, "devices place concatenations themselves"),
    ("disable_weights_compression", false, "weights keep their precision unless --data_type says otherwise"),
    ("move_to_preprocess", false, "mean values become part of the network"),
    (
        "keep_shape_ops",
        false,
        "shape arithmetic stays where shapes are open and is folded where they are not",
    ),
    ("static_shape", false, "shape arithmetic stays where shapes are open and is folded where they are not"),
    ("stream_output", false, "nothing is drawn over"),
    ("use_new_frontend", false, "there is one frontend"),
    ("use_legacy_frontend", false, "there is one frontend"),
    ("legacy_ir_generation", false, "the IR is of version 11"),
    ("disable_nhwc_to_nchw", false, "the network's inputs and outputs keep their layout; see --layout"),
    ("force_nhwc_to_nchw", false, "the network's inputs and outputs keep their layout; see --layout"),
    ("finegrain_fusing", true, "operations are fused or not by what they compute"),
    ("tensorboard_logdir", true, "no log is written"),
];

/// The parser of the command line.
fn command() -> Command {
    let inert = INERT.iter().map(|(name, takes_value, why)| {
        let action = if *takes_value { ArgAction::Set } else { ArgAction::SetTrue };
        Arg::new(*name)
            .long(*name)
            .action(action)
            .help(*why)
            .help_heading(WITHOUT_EFFECT)
            .hide_short_help(false)
    });
    Arguments::command().args(inert)
}

/// `-ms` is two letters behind one dash, which a modern parser takes for two flags.
fn modern(word: OsString) -> OsString {
    let Some(text) = word.to_str() else { return word };
    match text.strip_prefix("-ms") {
        Some(rest) if rest.is_empty() || rest.starts_with('=') => format!("--mean_values{rest}").into(),
        _ => word,
    }
}

impl Arguments {
    /// Reads a command line, the program's name first. The second answer are warnings about flags without effect.
    fn parse_words(words: impl IntoIterator<Item = OsString>) -> Result<(Self, Vec<String>), clap::Error> {
        let matches = command().try_get_matches_from(words.into_iter().map(modern))?;
        let given = |name: &str| matches.value_source(name) == Some(clap::parser::ValueSource::CommandLine);
        let warnings = INERT
            .iter()
            .filter(|(name, ..)| given(name))
            .map(|(name, _, why)| format!("--{name} has no effect: {why}"))
            .collect();
        Ok((Self::from_arg_matches(&matches)?, warnings))
    }

    /// The file that holds the graph.
    fn graph(&self) -> &Path {
        self.input_model.as_deref().or(self.input_meta_graph.as_deref()).unwrap_or(Path::new(""))
    }

    fn name(&self) -> String {
        let stem = || self.graph().file_stem().map(|stem| stem.to_string_lossy().into_owned());
        self.model_name.clone().or_else(stem).unwrap_or_default()
    }

    fn is_fp16(&self) -> bool {
        self.compress_to_fp16.unwrap_or(self.data_type == Some(DataType::Fp16))
    }

    /// Where the network is.
    fn source(&self) -> Source {
        Source {
            graph: self.graph().to_owned(),
            framework: self.framework.map(|name| name.0),
            definition: self.input_proto.clone(),
            encoding: if self.input_model_is_text { Encoding::Text } else { Encoding::Detect },
            checkpoint: self.input_checkpoint.clone(),
        }
    }

    /// What the flags ask for.
    fn request(&self) -> Result<Request, clap::Error> {
        let conflict = |text: String| command().error(ErrorKind::ArgumentConflict, format!("{text}\n"));
        let usage = |text: String| Err(conflict(text));
        let name = self.name();
        if name.is_empty() || name.contains(['/', '\\']) {
            return usage(format!(
                "--model_name '{name}' is no name of a file; folders belong to --output_dir"
            ));
        }
        match (self.data_type, self.compress_to_fp16) {
            (Some(DataType::Fp16), Some(false)) | (Some(DataType::Fp32), Some(true)) => {
                return usage("--data_type and --compress_to_fp16 contradict each other".to_owned());
            }
            _ => {}
        }
        let mut inputs = self.input.clone().unwrap_or_default();
        let mut shapes = self.input_shape.clone().unwrap_or_default();
        if !shapes.is_empty() && inputs.iter().any(|input| input.shape.is_some() && input.value.is_none()) {
            return usage("shapes are given by --input and by --input_shape; give them once".to_owned());
        }
        if self.batch.is_some() && inputs.iter().any(|input| input.shape.is_some() && input.value.is_none()) {
            return usage(
                "--input gives shapes, which --batch contradicts; put the batch into the shapes".to_owned(),
            );
        }
        let mut open: Vec<&mut InputSpec> = inputs.iter_mut().filter(|input| input.value.is_none()).collect();
        if !open.is_empty() && !shapes.is_empty() {
            if open.len() != shapes.len() {
                return usage(format!(
                    "--input_shape gives {} shape(s) for the {} input(s) that --input names",
                    shapes.len(),
                    open.len()
                ));
            }
            for (input, shape) in open.iter_mut().zip(shapes.drain(..)) {
                input.shape = Some(shape);
            }
        }
        for frozen in self.freeze_placeholder_with_value.iter().flatten() {
            match inputs.iter_mut().find(|input| input.place == frozen.place) {
                Some(input) if input.value.is_some() => {
                    return usage(format!("'{}' is given a value twice", frozen.place));
                }
                Some(input) => input.value = frozen.value.clone(),
                None => inputs.push(frozen.clone()),
            }
        }
        if self.scale == Some(0.0) || self.scale.is_some_and(|scale| !scale.is_finite()) {
            return usage("--scale must be a number other than 0".to_owned());
        }
        if self.scale_values.iter().flatten().any(|scale| scale.values.contains(&0.0)) {
            return usage("--scale_values holds a 0, by which nothing can be divided".to_owned());
        }
        Ok(Request {
            source: self.source(),
            model_name: name,
            output_dir: self.output_dir.clone(),
            inputs,
            input_shapes: shapes,
            outputs: self.output.clone().unwrap_or_default(),
            batch: self.batch,
            mean_values: self.mean_values.clone().unwrap_or_default(),
            scale_values: self.scale_values.clone().unwrap_or_default(),
            scale: self.scale,
            reverse_input_channels: self.reverse_input_channels,
            layouts: self.layouts().map_err(conflict)?,
            compress_to_fp16: self.is_fp16(),
            fuse: !self.disable_fusing,
            parameters: self.parameters(),
        })
    }

    /// `--layout`, or what `--source_layout` and `--target_layout` say together.
    fn layouts(&self) -> Result<Vec<LayoutSpec>, String> {
        if let Some(layouts) = &self.layout {
            return Ok(layouts.clone());
        }
        let mut layouts = self.source_layout.clone().unwrap_or_default();
        for (i, target) in self.target_layout.iter().flatten().enumerate() {
            let source = match &target.port {
                Some(port) => layouts.iter_mut().find(|layout| layout.port.as_ref() == Some(port)),
                None => layouts.get_mut(i).filter(|layout| layout.port.is_none()),
            };
            let Some(source) = source else {
                let port = target.port.clone().unwrap_or_else(|| i.to_string());
                return Err(format!("--target_layout names '{port}', which --source_layout does not"));
            };
            source.target = Some(target.source.clone());
        }
        Ok(layouts)
    }

    /// What was asked for, for the IR: flags as they were given, paths without their folders.
    fn parameters(&self) -> Vec<(String, String)> {
        let file = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
        let shapes = |shapes: &List<PartialShape>| joined(shapes.iter());
        let yes = |flag: bool| flag.then(|| "True".to_owned());
        [
            ("framework", Some(self.source().framework().name().to_owned())),
            ("input_model", self.input_model.as_ref().and_then(file)),
            ("input_meta_graph", self.input_meta_graph.as_ref().and_then(file)),
            ("input_checkpoint", self.input_checkpoint.as_ref().and_then(file)),
            ("input_proto", self.input_proto.as_ref().and_then(file)),
            ("model_name", self.model_name.clone()),
            ("input_shape", self.input_shape.as_ref().map(shapes)),
            ("input", self.input.as_ref().map(|list| joined(list.iter().map(input_text)))),
            ("output", self.output.as_ref().map(|names| names.join(","))),
            ("batch", self.batch.map(|batch| batch.to_string())),
            ("mean_values", self.mean_values.as_ref().map(values_text)),
            ("scale_values", self.scale_values.as_ref().map(values_text)),
            ("scale", self.scale.map(|scale| scale.to_string())),
            ("reverse_input_channels", yes(self.reverse_input_channels)),
            (
                "layout",
                self.layouts()
                    .ok()
                    .filter(|l| !l.is_empty())
                    .map(|list| joined(list.iter().map(layout_text))),
            ),
            ("compress_to_fp16", Some(if self.is_fp16() { "True" } else { "False" }.to_owned())),
            ("disable_fusing", yes(self.disable_fusing)),
            (
                "freeze_placeholder_with_value",
                self.freeze_placeholder_with_value.as_ref().map(|list| joined(list.iter().map(input_text))),
            ),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
    }

    /// The block of parameters that the original opens with.
    fn print(&self) {
        const INHERITED: &str = "Not specified, inherited from the model";
        let parameters: std::collections::HashMap<_, _> = self.parameters().into_iter().collect();
        let value = |name: &str, default: &str| parameters.get(name).cloned().unwrap_or(default.to_owned());
        let yes = |flag: bool| if flag { "True" } else { "False" }.to_owned();
        let path = |path: Option<&Path>| path.map_or("None".to_owned(), absolute);
        let precision = match (self.is_fp16(), self.data_type) {
            (true, _) => "FP16",
            (false, Some(DataType::Fp32)) => "FP32",
            _ => INHERITED,
        };
        let level = self.log_level.to_possible_value().map_or(String::new(), |v| v.get_name().to_owned());
        let common = [
            ("Path to the Input Model", path(Some(self.graph()))),
            ("Path for generated IR", absolute(&self.output_dir)),
            ("IR output name", self.name()),
            ("Log level", level),
            ("Batch", value("batch", INHERITED)),
            ("Input layers", value("input", INHERITED)),
            ("Output layers", value("output", INHERITED)),
            ("Input shapes", value("input_shape", INHERITED)),
            ("Layout", value("layout", INHERITED)),
            ("Mean values", value("mean_values", "Not specified")),
            ("Scale values", value("scale_values", "Not specified")),
            ("Scale factor", value("scale", "Not specified")),
            ("Precision of IR", precision.to_owned()),
            ("Enable fusing", yes(!self.disable_fusing)),
            ("Reverse input channels", yes(self.reverse_input_channels)),
        ];
        let tensorflow = [
            ("Input model in text protobuf format", yes(self.input_model_is_text)),
            ("Path to the Input Checkpoint", path(self.input_checkpoint.as_deref())),
            ("Path to the Input MetaGraph", path(self.input_meta_graph.as_deref())),
        ];
        println!("Model Optimizer arguments:");
        for (title, block) in
            [("Common parameters:", &common[..]), ("TensorFlow specific parameters:", &tensorflow)]
        {
            println!("{title}");
            for (name, value) in block {
                println!("\t- {name}: \t{value}");
            }
        }
        println!("Model Optimizer version: \t{} (Terroir)", env!("CARGO_PKG_VERSION"));
        println!();
    }
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

fn joined<T: ToString>(parts: impl Iterator<Item = T>) -> String {
    parts.map(|part| part.to_string()).collect::<Vec<_>>().join(",")
}

fn input_text(input: &InputSpec) -> String {
    use frontend_tf::FrozenValue::{List, Scalar};
    let mut text = input.place.clone();
    if let Some(shape) = &input.shape {
        text += &shape.to_string();
    }
    if let Some(ty) = input.element_type {
        text += &format!("{{{ty}}}");
    }
    match &input.value {
        Some(Scalar(word)) => text + "->" + word,
        Some(List(words)) => format!("{text}->[{}]", words.join(",")),
        None => text,
    }
}

fn values_text(values: &List<ChannelValues>) -> String {
    joined(
        values.iter().map(|v| format!("{}[{}]", v.input.as_deref().unwrap_or(""), joined(v.values.iter()))),
    )
}

fn layout_text(layout: &LayoutSpec) -> String {
    let target = layout.target.as_ref().map(|target| format!("->{target}")).unwrap_or_default();
    match &layout.port {
        Some(port) => format!("{port}({}{target})", layout.source),
        None => format!("{}{target}", layout.source),
    }
}

/// Runs the command with these words, the program's name first.
pub fn run(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let start = Instant::now();
    let parsed = Arguments::parse_words(words)
        .and_then(|(arguments, warnings)| Ok((arguments.request()?, arguments, warnings)));
    let (request, arguments, warnings) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return console::usage(&error),
    };
    let tell = !arguments.silent;
    if tell {
        arguments.print();
        warnings.iter().for_each(|text| console::warning(text));
        console::log(arguments.log_level >= LogLevel::Info, arguments.log_level >= LogLevel::Debug);
    }
    let progress = Progress::new(arguments.progress && tell);
    let converted = convert(&request, &mut |stage| progress.reached(stage));
    drop(progress);
    match converted {
        Ok(converted) => {
            if tell {
                converted.warnings.iter().for_each(|text| console::warning(text));
                println!("[ SUCCESS ] Generated IR model.");
                println!("[ SUCCESS ] XML file: {}", absolute(&converted.xml));
                println!("[ SUCCESS ] BIN file: {}", absolute(&converted.bin));
                println!("[ SUCCESS ] Total execution time: {:.2} seconds.", start.elapsed().as_secs_f64());
            }
            ExitCode::SUCCESS
        }
        Err(error) => console::failed(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<(Request, Vec<String>), String> {
        let words = std::iter::once("mo").chain(line.split_whitespace()).map(OsString::from);
        let parsed = Arguments::parse_words(words).and_then(|(a, warnings)| Ok((a.request()?, warnings)));
        parsed.map_err(|error| error.to_string())
    }

    fn request(line: &str) -> Request {
        parse(line).unwrap_or_else(|error| panic!("{line}: {error}")).0
    }

    #[test]
    fn the_users_lines_are_understood() {
        let found = request(
            "--input_model=resnet50_frozen.pb --output_dir=./ --input_shape=[1,224,224,3] --data_type=FP16",
        );
        assert_eq!(found.source.graph, PathBuf::from("resnet50_frozen.pb"));
        assert_eq!((found.model_name.as_str(), found.output_dir), ("resnet50_frozen", PathBuf::from("./")));
        assert_eq!(found.input_shapes, ["[1,224,224,3]".parse().unwrap()]);
        assert!(found.compress_to_fp16 && found.fuse);
        let found = request(
            "--input_model resnet50_graph.pb --input_checkpoint resnet50.ckpt --output predictions/Softmax \
             --input_shape (1,224,224,3) --mean_values (103.9,116.7,123.6) --reverse_input_channels",
        );
        assert_eq!(found.source.checkpoint, Some("resnet50.ckpt".into()));
        assert_eq!(found.outputs, ["predictions/Softmax"]);
        assert!(found.reverse_input_channels && !found.compress_to_fp16);
    }

    #[test]
    fn spellings_old_and_new_mean_the_same() {
        for (a, b) in [
            (
                "-m x.pb -o out -n net -b 2 -s 255",
                "--input_model x.pb --output_dir out --model_name net --batch 2 --scale 255",
            ),
            ("-w x.pb -ms (1,2,3)", "-m x.pb --mean_values (1,2,3)"),
            ("-m=x.pb -ms=(1,2,3)", "-m x.pb --mean_values=(1,2,3)"),
            ("-m x.pb --data_type half", "-m x.pb --compress_to_fp16"),
            ("-m x.pb --data_type FP16", "-m x.pb --compress_to_fp16=True"),
            ("-m x.pb --data_type float", "-m x.pb --data_type FP32"),
            ("-m x.pb --compress_to_fp16 False", "-m x.pb"),
            ("-m x.pb --framework tf", "-m x.pb --framework=TF --log_level DEBUG --silent --progress"),
            ("-w x.caffemodel -d y.prototxt", "--input_model x.caffemodel --input_proto y.prototxt"),
            ("-m x.pb --source_layout nhwc --target_layout nchw", "-m x.pb --layout nhwc->nchw"),
            (
                "-m x.pb --source_layout a(nhwc),b(nc) --target_layout a(nchw)",
                "-m x.pb --layout a(nhwc->nchw),b(nc)",
            ),
            ("-m x.pb --input a,b->1 --input_shape [1,2]", "-m x.pb --input a[1,2],b->1"),
            ("-m x.pb --input a,b --freeze_placeholder_with_value b->1", "-m x.pb --input a,b->1"),
            ("-m x.pb --freeze_placeholder_with_value b->1", "-m x.pb --input b->1"),
            ("-m x.pb --input_sh [1]", "-m x.pb --input_shape [1]"),
            ("-m x.pb --mean_values ()", "-m x.pb"),
        ] {
            let plain = |line: &str| Request { parameters: Vec::new(), ..request(line) };
            assert_eq!(plain(a), plain(b), "{a}");
        }
        assert_eq!(request("--input_meta_graph d/x.ckpt.meta").model_name, "x.ckpt");
        assert_eq!(request("-m x.pb --input_shape -1,3").input_shapes, ["[?,3]".parse().unwrap()]);
    }

    #[test]
    fn contradictions_are_told() {
        for (line, part) in [
            ("", "--input_model"),
            ("-m x.pb --batch 0", "--batch"),
            ("-m x.pb --batch 2 --input_shape [1]", "cannot be used with"),
            ("-m x.pb --batch 2 --input a[1]", "--batch"),
            ("-m x.pb --scale 2 --scale_values [2]", "cannot be used with"),
            ("-m x.pb --scale 0", "--scale"),
            ("-m x.pb --scale_values [1,0]", "--scale_values"),
            ("-m x.pb --data_type FP32 --compress_to_fp16", "contradict"),
            ("-m x.pb --data_type INT8", "INT8"),
            ("-m x.pb --input a[1] --input_shape [1]", "give them once"),
            ("-m x.pb --input a,b --input_shape [1]", "1 shape(s) for the 2 input(s)"),
            ("-m x.pb --input a->1 --freeze_placeholder_with_value a->2", "twice"),
            ("-m x.pb --layout nhwc --source_layout nhwc", "cannot be used with"),
            ("-m x.pb --target_layout nchw", "--source_layout"),
            ("-m x.pb --source_layout a(nhwc) --target_layout b(nchw)", "'b'"),
            ("-m x.pb --model_name a/b", "--model_name"),
            ("-m x.pb --input_meta_graph y.meta", "cannot be used with"),
            ("-m x.pb --framework torch", "torch"),
            ("-m x.pb --mean_values 1,2,3", "--mean_values"),
        ] {
            let error = parse(line).expect_err(line);
            assert!(error.contains(part), "{line}: {error}");
        }
    }

    #[test]
    fn flags_of_the_past_are_accepted_and_said_to_do_nothing() {
        let (found, warnings) =
            parse("-m x.pb --disable_fusing --disable_gfusing --tensorboard_logdir log").unwrap();
        assert!(!found.fuse);
        assert_eq!(warnings.len(), 2);
        assert!(warnings[0].starts_with("--disable_gfusing has no effect: "));
        command().debug_assert();
    }

    #[test]
    fn parameters_are_told_without_folders() {
        let found =
            request("-m a/b/x.pb --input_checkpoint c/d.ckpt --input n[1,2]{f32},k->[1,2] --layout n(nc)");
        let parameters: std::collections::HashMap<_, _> = found.parameters.into_iter().collect();
        assert_eq!(parameters["input_model"], "x.pb");
        assert_eq!(parameters["input_checkpoint"], "d.ckpt");
        assert_eq!(parameters["input"], "n[1,2]{f32},k->[1,2]");
        assert_eq!(parameters["layout"], "n([N,C])");
        assert!(!parameters.contains_key("output"));
    }
}
