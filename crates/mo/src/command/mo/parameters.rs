//! What was asked for, in words: for the console, and for the IR's `conversion_parameters`.

use super::{Arguments, DataType, absolute};
use crate::{
    command::network::List,
    grammar::{ChannelValues, LayoutSpec},
};
use clap::ValueEnum;
use ir::{PartialShape, cut::InputSpec};
use std::path::{Path, PathBuf};

impl Arguments {
    /// What was asked for, for the IR: flags as they were given, paths without their folders.
    pub(super) fn parameters(&self) -> Vec<(String, String)> {
        let file = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
        let shapes = |shapes: &List<PartialShape>| joined(shapes.iter());
        let yes = |flag: bool| flag.then(|| "True".to_owned());
        let network = &self.network;
        let layouts = self.layouts().ok().filter(|layouts| !layouts.is_empty());
        let inputs = |list: &List<InputSpec>| joined(list.iter().map(input_text));
        let source = crate::Source {
            graph: self.graph().to_owned(),
            framework: network.framework,
            definition: network.input_proto.clone(),
            ..Default::default()
        };
        [
            ("framework", Some(source.framework().name().to_owned())),
            ("input_model", self.input_model.as_ref().and_then(file)),
            ("input_meta_graph", self.input_meta_graph.as_ref().and_then(file)),
            ("input_checkpoint", network.input_checkpoint.as_ref().and_then(file)),
            ("input_proto", network.input_proto.as_ref().and_then(file)),
            ("model_name", self.model_name.clone()),
            ("input_shape", network.input_shape.as_ref().map(shapes)),
            ("input", self.input.as_ref().map(inputs)),
            ("output", network.output.as_ref().map(|names| names.join(","))),
            ("batch", self.batch.map(|batch| batch.to_string())),
            ("static_shape", yes(self.static_shape)),
            ("mean_values", self.mean_values.as_ref().map(values_text)),
            ("mean_file", self.mean_file.as_ref().and_then(file)),
            ("mean_file_offsets", self.mean_file_offsets.map(|(x, y)| format!("({x},{y})"))),
            ("scale_values", self.scale_values.as_ref().map(values_text)),
            ("scale", self.scale.map(|scale| scale.to_string())),
            ("reverse_input_channels", yes(self.reverse_input_channels)),
            ("layout", layouts.map(|list| joined(list.iter().map(layout_text)))),
            ("compress_to_fp16", Some(if self.is_fp16() { "True" } else { "False" }.to_owned())),
            ("disable_fusing", yes(self.disable_fusing)),
            ("disable_gfusing", yes(self.disable_gfusing)),
            ("disable_resnet_optimization", yes(self.disable_resnet_optimization)),
            ("finegrain_fusing", self.finegrain_fusing.as_ref().map(|list| list.join(","))),
            ("freeze_placeholder_with_value", self.freeze_placeholder_with_value.as_ref().map(inputs)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
    }

    /// The block of parameters that the original opens with.
    pub(super) fn print(&self) {
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
            ("Enable grouped convolutions fusing", yes(!self.disable_gfusing)),
            ("Move mean values to preprocess section", "False".to_owned()),
            ("Reverse input channels", yes(self.reverse_input_channels)),
        ];
        let tensorflow = [
            ("Input model in text protobuf format", yes(self.network.input_model_is_text)),
            ("Path to the Input Checkpoint", path(self.network.input_checkpoint.as_deref())),
            ("Path to the Input MetaGraph", path(self.input_meta_graph.as_deref())),
        ];
        println!("Model Optimizer arguments:");
        let caffe = [
            ("Path to Model Definition", path(self.network.input_proto.as_deref())),
            ("Path to Mean File", path(self.mean_file.as_deref())),
        ];
        let specific = match &value("framework", "")[..] {
            "tf" => Some(("TensorFlow specific parameters:", &tensorflow[..])),
            "caffe" => Some(("Caffe specific parameters:", &caffe[..])),
            _ => None,
        };
        for (title, block) in std::iter::once(("Common parameters:", &common[..])).chain(specific) {
            println!("{title}");
            for (name, value) in block {
                println!("\t- {name}: \t{value}");
            }
        }
        println!("Model Optimizer version: \t{} (Terroir)", env!("CARGO_PKG_VERSION"));
        println!();
    }
}

fn joined<T: ToString>(parts: impl Iterator<Item = T>) -> String {
    parts.map(|part| part.to_string()).collect::<Vec<_>>().join(",")
}

fn input_text(input: &InputSpec) -> String {
    use ir::cut::FrozenValue::{List, Scalar};
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
