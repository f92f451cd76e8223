//! The flags that say which network is meant; every command that reads one has them.

use crate::{Error, Framework, Request, Source, custom_layers, grammar};
use clap::{Args, ValueEnum, builder::PossibleValue};
use frontend_tf::Encoding;
use ir::{PartialShape, unsupported::CustomOps};
use std::path::{Path, PathBuf};

/// A list that one flag holds, not a flag that is given several times.
pub(super) type List<T> = Vec<T>;

const NETWORK: &str = "The network";
const CAFFE: &str = "Caffe-specific parameters";
const TENSORFLOW: &str = "TensorFlow-specific parameters";

/// Which network, and which part of it.
#[derive(Debug, Clone, Args)]
pub(super) struct NetworkFlags {
    /// Framework of the network [default: by the file's name]
    #[arg(long, value_enum, ignore_case = true, help_heading = NETWORK)]
    pub(super) framework: Option<Framework>,
    /// Shapes of the inputs, in the order of --input or of the network, in the network's own layout:
    /// [1,224,224,3],[1,10]; `?` or -1 for an open dimension, 1..10 for a range [default: the network's]
    #[arg(long = "input_shape", value_name = "SHAPES", allow_hyphen_values = true,
          value_parser = grammar::shapes, help_heading = NETWORK)]
    pub(super) input_shape: Option<List<PartialShape>>,
    /// Outputs: names, name:port or port:name; what lies behind them is cut off [default: the network's]
    #[arg(long, value_name = "NAMES", value_parser = grammar::names, help_heading = NETWORK)]
    pub(super) output: Option<List<String>>,
    /// Keeps ops that have no conversion, all or those of these types, as custom ops with all their attributes: for
    /// devices and extensions that know them
    #[arg(long = "keep_custom_ops", value_name = "TYPES", num_args = 0..=1, default_missing_value = "",
          require_equals = true, value_parser = grammar::names, help_heading = NETWORK)]
    pub(super) keep_custom_ops: Option<List<String>>,
    /// Shared libraries with custom layers, parted by commas: ops that these know are kept, with their shapes
    #[arg(long, short = 'l', value_name = "LIBRARIES", value_delimiter = ',', help_heading = NETWORK)]
    pub(super) extensions: Vec<PathBuf>,
    /// Definition of the network (.prototxt) [default: the one beside the caffemodel, else the caffemodel's own]
    #[arg(long = "input_proto", short = 'd', value_name = "FILE", help_heading = CAFFE)]
    pub(super) input_proto: Option<PathBuf>,
    /// File that maps custom layers: their types are kept as custom ops
    /// (<CustomLayer NativeType="T" hasParam="true" protoParamName="t_param"/>)
    #[arg(long = "custom_layers", short = 'k', value_name = "CustomLayersMapping.xml", help_heading = CAFFE)]
    pub(super) custom_layers: Option<PathBuf>,
    /// The input model is in text format; found out by content in any case
    #[arg(long = "input_model_is_text", help_heading = TENSORFLOW)]
    pub(super) input_model_is_text: bool,
    /// Checkpoint with the values of the graph's variables: its prefix, any of its files or its folder; versions 1
    /// and 2, TensorFlow 2's too
    #[arg(long = "input_checkpoint", value_name = "PREFIX", help_heading = TENSORFLOW)]
    pub(super) input_checkpoint: Option<PathBuf>,
}

impl ValueEnum for Framework {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::TensorFlow, Self::Caffe, Self::Ir]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::TensorFlow => PossibleValue::new(self.name()).alias("tensorflow"),
            Self::Caffe => PossibleValue::new(self.name()),
            Self::Ir => PossibleValue::new(self.name()).alias("openvino"),
        })
    }
}

impl NetworkFlags {
    /// The part of a request that these flags are about; the rest is the default.
    pub(super) fn request(&self, graph: &Path) -> Result<Request, Error> {
        let custom_layers =
            self.custom_layers.as_deref().map(custom_layers::read).transpose()?.unwrap_or_default();
        let mapped = custom_layers.iter().map(|layer| layer.native_type.clone());
        let mut custom_ops = match self.keep_custom_ops.as_deref() {
            Some([]) => CustomOps::all(),
            asked => CustomOps::of(asked.unwrap_or_default().iter().cloned().chain(mapped).collect()),
        };
        for library in &self.extensions {
            let layers = runtime::load_extensions(library)?;
            layers.into_iter().for_each(|layer| custom_ops.extensions.add(layer));
        }
        Ok(Request {
            source: Source {
                graph: graph.to_owned(),
                framework: self.framework,
                definition: self.input_proto.clone(),
                encoding: if self.input_model_is_text { Encoding::Text } else { Encoding::Detect },
                checkpoint: self.input_checkpoint.clone(),
            },
            model_name: graph.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default(),
            input_shapes: self.input_shape.clone().unwrap_or_default(),
            outputs: self.output.clone().unwrap_or_default(),
            custom_ops,
            custom_layers,
            ..Request::default()
        })
    }
}
