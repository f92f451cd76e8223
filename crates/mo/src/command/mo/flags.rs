//! The flags of `mo`.

use crate::{
    command::network::{List, NetworkFlags},
    grammar::{self, ChannelValues, LayoutSpec, Transform},
};
use clap::{ArgAction, Parser, ValueEnum, builder::PossibleValue};
use ir::cut::InputSpec;
use std::path::PathBuf;

const FILES: &str = "Files";
const NETWORK: &str = "The network";
const INPUTS: &str = "Layout and preprocessing";
const OPTIMIZER: &str = "Optimisation";
const IR: &str = "The IR";
const CONSOLE: &str = "Console";
const TENSORFLOW: &str = "TensorFlow-specific parameters";

/// Converts a trained network to an OpenVINO IR: FILE.xml and FILE.bin.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "mo",
    version = concat!(env!("CARGO_PKG_VERSION"), " (Terroir)"),
    infer_long_args = true,
    override_usage = "mo --input_model FILE [FLAGS]\n       mo inspect MODEL [FLAGS]    what a network is\n       \
                      mo compare A B [FLAGS]      where two networks part",
    after_help = "Examples:\n  \
                  mo --input_model frozen.pb --input_shape [1,224,224,3] --data_type FP16\n  \
                  mo --input_model graph.pb --input_checkpoint net.ckpt --output predictions/Softmax\n  \
                  mo -m frozen.pb --input \"image[1,224,224,3],is_training->False\" --output features:0\n  \
                  mo -m frozen.pb --layout \"nhwc->nchw\" --mean_values [123.68,116.78,103.94] --reverse_input_channels\n  \
                  mo -m net.caffemodel -d deploy.prototxt -mf mean.binaryproto\n  \
                  mo -m net.xml --ir_version 10 --batch 8 -o old/\n\n\
                  The samples take class names, one a line, from <model_name>.labels beside the IR.\n\
                  Exit code: 0 done, 1 the network could not be converted, 2 the command line could not be followed."
)]
pub(super) struct Arguments {
    /// Network to convert: a frozen or inference graph (.pb, .pbtxt), a .meta file, a .caffemodel or an IR (.xml)
    #[arg(
        long = "input_model",
        short = 'm',
        short_alias = 'w',
        value_name = "FILE",
        required_unless_present = "input_meta_graph",
        help_heading = FILES
    )]
    pub(super) input_model: Option<PathBuf>,
    /// Name of the network and of the files [default: the input model's]
    #[arg(long = "model_name", short = 'n', value_name = "NAME", help_heading = FILES)]
    pub(super) model_name: Option<String>,
    /// Folder for the files; made if the folder that holds it exists
    #[arg(
        long = "output_dir",
        short = 'o',
        value_name = "FOLDER",
        default_value = ".",
        hide_default_value = true,
        help_heading = FILES
    )]
    pub(super) output_dir: PathBuf,
    #[command(flatten)]
    pub(super) network: NetworkFlags,
    /// Inputs: name, name:port or port:name (cuts the graph there), each with [shape], {type} or ->value (which
    /// freezes it) as needed: "node:0[1 3 224 224]{f32},flag->False" [default: the network's]
    #[arg(long, value_name = "INPUTS", value_parser = grammar::inputs, help_heading = NETWORK)]
    pub(super) input: Option<List<InputSpec>>,
    /// Inputs to replace by values, "node->True": an older form of --input
    #[arg(long = "freeze_placeholder_with_value", value_name = "VALUES", value_parser = grammar::frozen_inputs,
          help_heading = NETWORK)]
    pub(super) freeze_placeholder_with_value: Option<List<InputSpec>>,
    /// Batch size of all inputs
    #[arg(long, short = 'b', value_name = "N", value_parser = clap::value_parser!(u32).range(1..),
          conflicts_with = "input_shape", help_heading = NETWORK)]
    pub(super) batch: Option<u32>,
    /// Wants every shape fixed: shape arithmetic is folded, and an input that stays open is an error
    #[arg(long = "static_shape", help_heading = NETWORK)]
    pub(super) static_shape: bool,
    /// Layouts of inputs and outputs, and what they shall become: nhwc, nhwc->nchw or "in(nhwc->nchw),out(nc)"
    /// [default: the network's]
    #[arg(long, value_name = "LAYOUTS", value_parser = grammar::layouts,
          conflicts_with_all = ["source_layout", "target_layout"], help_heading = INPUTS)]
    pub(super) layout: Option<List<LayoutSpec>>,
    /// Layouts that the network has: nhwc or "in(nhwc),out(nc)"
    #[arg(long = "source_layout", value_name = "LAYOUTS", value_parser = grammar::plain_layouts,
          help_heading = INPUTS)]
    pub(super) source_layout: Option<List<LayoutSpec>>,
    /// Layouts that the IR shall have
    #[arg(long = "target_layout", value_name = "LAYOUTS", value_parser = grammar::plain_layouts,
          requires = "source_layout", help_heading = INPUTS)]
    pub(super) target_layout: Option<List<LayoutSpec>>,
    /// Subtracted from the channels of the inputs, before scaling: (123.68,116.78,103.94) or
    /// data[255,255,255],info[1]; in the order of the channels that the network sees
    #[arg(long = "mean_values", value_name = "VALUES", allow_hyphen_values = true,
          value_parser = grammar::channel_values, help_heading = INPUTS)]
    pub(super) mean_values: Option<List<ChannelValues>>,
    /// Mean image that is subtracted from the one input: Caffe's .binaryproto [short: -mf]
    #[arg(long = "mean_file", value_name = "FILE", conflicts_with = "mean_values", help_heading = INPUTS)]
    pub(super) mean_file: Option<PathBuf>,
    /// Where in the mean image the input lies, "(x,y)" [default: in the middle] [short: -mo]
    #[arg(long = "mean_file_offsets", value_name = "(X,Y)", value_parser = grammar::offsets,
          requires = "mean_file", help_heading = INPUTS)]
    pub(super) mean_file_offsets: Option<(usize, usize)>,
    /// What the channels of the inputs are divided by; written as --mean_values
    #[arg(long = "scale_values", value_name = "VALUES", allow_hyphen_values = true,
          value_parser = grammar::channel_values, conflicts_with = "scale", help_heading = INPUTS)]
    pub(super) scale_values: Option<List<ChannelValues>>,
    /// One number that all inputs are divided by
    #[arg(long, short = 's', value_name = "NUMBER", allow_hyphen_values = true, help_heading = INPUTS)]
    pub(super) scale: Option<f32>,
    /// Turns RGB into BGR or back, before mean and scale
    #[arg(long = "reverse_input_channels", help_heading = INPUTS)]
    pub(super) reverse_input_channels: bool,
    /// Keeps linear operations (batch normalisation, bias, scale) out of the weights of convolutions
    #[arg(long = "disable_fusing", help_heading = OPTIMIZER)]
    pub(super) disable_fusing: bool,
    /// Keeps convolutions of single groups as they are instead of making one grouped convolution
    #[arg(long = "disable_gfusing", help_heading = OPTIMIZER)]
    pub(super) disable_gfusing: bool,
    /// Nodes that are not fused with others: regular expressions for their whole names, parted by commas
    #[arg(long = "finegrain_fusing", value_name = "REGEXES", value_parser = grammar::regexes,
          help_heading = OPTIMIZER)]
    pub(super) finegrain_fusing: Option<List<String>>,
    /// Leaves the strides of 1x1 convolutions where they are
    #[arg(long = "disable_resnet_optimization", help_heading = OPTIMIZER)]
    pub(super) disable_resnet_optimization: bool,
    /// Further transformations: LowLatency2, MakeStateful[..], Pruning; what cannot be done is told
    #[arg(long, value_name = "NAMES", value_parser = grammar::transforms, help_heading = OPTIMIZER)]
    pub(super) transform: Option<List<Transform>>,
    /// Device to convert for: what would not run there is told (CPU, FPGA)
    #[arg(long = "target_device", value_name = "DEVICE", value_parser = grammar::device, help_heading = OPTIMIZER)]
    pub(super) target_device: Option<String>,
    /// Precision in which weights are stored [default: the network's]
    #[arg(long = "data_type", value_name = "TYPE", value_enum, ignore_case = true, help_heading = IR)]
    pub(super) data_type: Option<DataType>,
    /// Whether weights are stored as FP16 [default: False]
    #[arg(long = "compress_to_fp16", value_name = "BOOL", num_args = 0..=1, default_missing_value = "True",
          value_parser = grammar::boolean, action = ArgAction::Set, help_heading = IR)]
    pub(super) compress_to_fp16: Option<bool>,
    /// Version of the IR; 10 for runtimes up to 2021.4, which know op sets up to 8
    #[arg(long = "ir_version", value_name = "N", value_parser = grammar::ir_version, default_value = "11",
          help_heading = IR)]
    pub(super) ir_version: ir::IrVersion,
    /// How much to tell
    #[arg(long = "log_level", value_enum, ignore_case = true, default_value = "ERROR", help_heading = CONSOLE)]
    pub(super) log_level: LogLevel,
    /// Shows every pass with its time and effect
    #[arg(long, help_heading = CONSOLE)]
    pub(super) verbose: bool,
    /// Prints nothing but errors
    #[arg(long, num_args = 0..=1, value_name = "BOOL", default_value = "false", default_missing_value = "true",
          hide_default_value = true, value_parser = grammar::boolean, action = ArgAction::Set, help_heading = CONSOLE)]
    pub(super) silent: bool,
    /// Shows a bar on a terminal from the start, not only when it takes long
    #[arg(long, help_heading = CONSOLE)]
    pub(super) progress: bool,
    /// MetaGraphDef file (.meta) to convert; the checkpoint beside it is found
    #[arg(long = "input_meta_graph", value_name = "FILE", conflicts_with = "input_model", help_heading = TENSORFLOW)]
    pub(super) input_meta_graph: Option<PathBuf>,
}

/// Precisions of `--data_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DataType {
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
pub(super) enum LogLevel {
    Critical,
    Error,
    #[value(alias = "WARNING")]
    Warn,
    Info,
    Debug,
    NotSet,
}

/// Flags of the original that change nothing here: name, whether a value follows, why.
pub(super) const INERT: &[(&str, bool, &str)] = &[
    ("enable_concat_optimization", false, "devices place concatenations themselves"),
    ("disable_weights_compression", false, "weights keep their precision unless --data_type says otherwise"),
    ("move_to_preprocess", false, "mean values become part of the network"),
    (
        "keep_shape_ops",
        false,
        "shape arithmetic stays where shapes are open and is folded where they are not",
    ),
    ("stream_output", false, "nothing is drawn over"),
    ("use_new_frontend", false, "there is one frontend"),
    ("use_legacy_frontend", false, "there is one frontend"),
    ("legacy_ir_generation", false, "the IR is of version 11; see --ir_version"),
    ("disable_nhwc_to_nchw", false, "the network's inputs and outputs keep their layout; see --layout"),
    ("force_nhwc_to_nchw", false, "the network's inputs and outputs keep their layout; see --layout"),
    ("tensorboard_logdir", true, "no log is written"),
];
