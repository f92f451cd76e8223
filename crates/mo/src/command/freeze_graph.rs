//! `freeze_graph`, with the flags of TensorFlow's.

use super::console;
use crate::{FreezeRequest, Source, freeze, grammar};
use clap::{ArgAction, CommandFactory, FromArgMatches, Parser, error::ErrorKind};
use frontend_tf::FreezeOptions;
use std::{ffi::OsString, path::PathBuf, process::ExitCode};

type List<T> = Vec<T>;

/// Replaces the variables of a TensorFlow graph by constants with the values of a checkpoint. TensorFlow is not
/// needed.
#[derive(Debug, Clone, Parser)]
#[command(name = "freeze_graph", version, infer_long_args = true)]
pub struct Arguments {
    /// GraphDef file to load: binary (.pb) or text (.pbtxt), found out by its content
    #[arg(long = "input_graph", value_name = "FILE", required_unless_present = "input_meta_graph")]
    input_graph: Option<PathBuf>,
    /// MetaGraphDef file (.meta) to load instead; the checkpoint beside it is found
    #[arg(long = "input_meta_graph", value_name = "FILE", conflicts_with = "input_graph")]
    input_meta_graph: Option<PathBuf>,
    /// Whether the input files are in binary format; found out by content in any case
    #[arg(long = "input_binary", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true",
          value_parser = grammar::boolean, action = ArgAction::Set)]
    input_binary: Option<bool>,
    /// Checkpoint with the values of the variables: its prefix, any of its files or its folder; versions 1 and 2
    #[arg(long = "input_checkpoint", value_name = "PREFIX", required_unless_present = "input_meta_graph")]
    input_checkpoint: Option<PathBuf>,
    /// Version of the checkpoint format; found out in any case
    #[arg(long = "checkpoint_version", value_name = "1|2", value_parser = clap::value_parser!(u8).range(1..=2))]
    checkpoint_version: Option<u8>,
    /// Names of the output nodes, parted by commas
    #[arg(long = "output_node_names", value_name = "NAMES", value_parser = grammar::names, required = true)]
    output_node_names: List<String>,
    /// File to write the frozen GraphDef to
    #[arg(long = "output_graph", value_name = "FILE", required = true)]
    output_graph: PathBuf,
    /// Whether to forget on which devices the nodes were placed
    #[arg(long = "clear_devices", value_name = "BOOL", num_args = 0..=1, default_value = "true",
          default_missing_value = "true", value_parser = grammar::boolean, action = ArgAction::Set)]
    clear_devices: bool,
    /// Names of the variables to turn into constants, parted by commas; all of them without this
    #[arg(long = "variable_names_whitelist", value_name = "NAMES", value_parser = grammar::names)]
    variable_names_whitelist: Option<List<String>>,
    /// Names of variables that stay variables, parted by commas
    #[arg(long = "variable_names_blacklist", value_name = "NAMES", value_parser = grammar::names)]
    variable_names_blacklist: Option<List<String>>,
    /// Accepted without effect: nothing is run
    #[arg(long = "initializer_nodes", value_name = "NAMES", num_args = 0..=1, default_missing_value = "")]
    initializer_nodes: Option<String>,
    /// Accepted without effect: the values are read from the checkpoint itself
    #[arg(long = "restore_op_name", value_name = "NAME", num_args = 0..=1, default_missing_value = "")]
    restore_op_name: Option<String>,
    /// Accepted without effect: the values are read from the checkpoint itself
    #[arg(long = "filename_tensor_name", value_name = "NAME", num_args = 0..=1, default_missing_value = "")]
    filename_tensor_name: Option<String>,
    /// Accepted without effect: under which names variables are stored, the graph and the checkpoint say
    #[arg(long = "input_saver", value_name = "FILE", num_args = 0..=1, default_missing_value = "")]
    input_saver: Option<String>,
}

impl Arguments {
    /// What the flags ask for.
    pub fn request(&self) -> Result<FreezeRequest, clap::Error> {
        if self.output_node_names.is_empty() {
            let text = "--output_node_names is empty; name the nodes that compute the network's outputs\n";
            return Err(Self::command().error(ErrorKind::ValueValidation, text));
        }
        let graph = self.input_graph.as_ref().or(self.input_meta_graph.as_ref());
        Ok(FreezeRequest {
            source: Source {
                graph: graph.cloned().unwrap_or_default(),
                checkpoint: self.input_checkpoint.clone(),
                ..Source::default()
            },
            options: FreezeOptions {
                outputs: self.output_node_names.clone(),
                variables: self.variable_names_whitelist.clone().unwrap_or_default(),
                keep_variables: self.variable_names_blacklist.clone().unwrap_or_default(),
                clear_devices: self.clear_devices,
            },
            output: self.output_graph.clone(),
        })
    }

    /// Flags that were given and mean nothing here. The values that TensorFlow has by default are no reason to speak.
    fn without_effect(&self) -> Vec<&'static str> {
        let given = |value: &Option<String>, default: &str| {
            value.as_ref().is_some_and(|value| !value.is_empty() && value != default)
        };
        [
            ("--initializer_nodes", given(&self.initializer_nodes, "")),
            ("--restore_op_name", given(&self.restore_op_name, "save/restore_all")),
            ("--filename_tensor_name", given(&self.filename_tensor_name, "save/Const:0")),
            ("--input_saver", given(&self.input_saver, "")),
        ]
        .into_iter()
        .filter_map(|(flag, given)| given.then_some(flag))
        .collect()
    }
}

/// Runs the command with these words, the program's name first.
pub fn run(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = Arguments::command()
        .try_get_matches_from(words)
        .and_then(|matches| Arguments::from_arg_matches(&matches))
        .and_then(|arguments| Ok((arguments.request()?, arguments)));
    let (request, arguments) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return console::usage(&error),
    };
    for flag in arguments.without_effect() {
        console::warning(&format!("{flag} has no effect: the values are read from the checkpoint itself"));
    }
    match freeze(&request) {
        Ok(frozen) => {
            println!("Converted {} variables to const ops.", frozen.variables);
            println!("{} ops in the final graph.", frozen.nodes);
            ExitCode::SUCCESS
        }
        Err(error) => console::failed(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<FreezeRequest, clap::Error> {
        let words = std::iter::once("freeze_graph").chain(line.split_whitespace());
        Arguments::try_parse_from(words)?.request()
    }

    #[test]
    fn the_users_line_is_understood() {
        let request = parse(
            "--input_graph=resnet50_graph.pb --input_checkpoint=resnet50.ckpt \
             --output_node_names=predictions/Softmax --output_graph=resnet50_frozen.pb",
        )
        .unwrap();
        assert_eq!(request.source.graph, PathBuf::from("resnet50_graph.pb"));
        assert_eq!(request.source.checkpoint, Some("resnet50.ckpt".into()));
        assert_eq!(request.options.outputs, ["predictions/Softmax"]);
        assert!(request.options.clear_devices);
        assert_eq!(request.output, PathBuf::from("resnet50_frozen.pb"));
    }

    #[test]
    fn flags_are_tensorflows() {
        let base = "--input_graph g.pb --input_checkpoint c --output_node_names a,b --output_graph o.pb";
        for (flags, clear) in [
            ("--input_binary", true),
            ("--input_binary=true --clear_devices", true),
            ("--input_binary=False --clear_devices=False", false),
            ("--checkpoint_version 1 --clear_devices false --input_saver= --initializer_nodes=", false),
            ("--restore_op_name save/restore_all --filename_tensor_name save/Const:0", true),
        ] {
            let request = parse(&format!("{base} {flags}")).unwrap_or_else(|e| panic!("{flags}: {e}"));
            assert_eq!(request.options.clear_devices, clear, "{flags}");
            assert_eq!(request.options.outputs, ["a", "b"]);
        }
        let request =
            parse(&format!("{base} --variable_names_whitelist x,y --variable_names_blacklist z")).unwrap();
        assert_eq!((request.options.variables.len(), request.options.keep_variables.len()), (2, 1));
        let meta = parse("--input_meta_graph m.meta --output_node_names a --output_graph o.pb").unwrap();
        assert_eq!(meta.source.graph, PathBuf::from("m.meta"));
        for bad in [
            "--input_graph g.pb --output_node_names a --output_graph o.pb",
            "--input_graph g.pb --input_checkpoint c --output_graph o.pb",
            "--input_graph g.pb --input_checkpoint c --output_node_names= --output_graph o.pb",
            &format!("{base} --checkpoint_version 3"),
            &format!("{base} --clear_devices=perhaps"),
            &format!("{base} --no_such_flag"),
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
