//! `mo`, with the Model Optimizer's flags.

mod flags;
mod parameters;
#[cfg(test)]
mod tests;

use super::{
    compare,
    console::{self, Progress},
    inspect,
};
use crate::{Event, Request, convert, grammar::LayoutSpec, mean_image::MeanFile};
use clap::{Arg, ArgAction, Command, CommandFactory, FromArgMatches, error::ErrorKind};
use flags::{Arguments, DataType, INERT, LogLevel};
use ir::cut::InputSpec;
use std::{ffi::OsString, path::Path, process::ExitCode, time::Instant};

const WITHOUT_EFFECT: &str = "Accepted from older command lines, without effect";

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

/// Two letters behind one dash, which a modern parser takes for two flags.
const SHORT: &[(&str, &str)] =
    &[("-ms", "--mean_values"), ("-mf", "--mean_file"), ("-mo", "--mean_file_offsets")];

fn modern(word: OsString) -> OsString {
    let Some(text) = word.to_str() else { return word };
    let found = SHORT.iter().find_map(|(short, long)| {
        let rest = text.strip_prefix(short)?;
        (rest.is_empty() || rest.starts_with('=')).then(|| format!("{long}{rest}").into())
    });
    found.unwrap_or(word)
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
        if self.scale == Some(0.0) || self.scale.is_some_and(|scale| !scale.is_finite()) {
            return usage("--scale must be a number other than 0".to_owned());
        }
        if self.scale_values.iter().flatten().any(|scale| scale.values.contains(&0.0)) {
            return usage("--scale_values holds a 0, by which nothing can be divided".to_owned());
        }
        let mut request = self.network.request(self.graph()).map_err(|error| conflict(error.to_string()))?;
        request.inputs = self.inputs(&mut request.input_shapes).map_err(conflict)?;
        Ok(Request {
            model_name: name,
            output_dir: self.output_dir.clone(),
            batch: self.batch,
            static_shape: self.static_shape,
            mean_values: self.mean_values.clone().unwrap_or_default(),
            mean_file: self
                .mean_file
                .as_ref()
                .map(|path| MeanFile { path: path.clone(), offsets: self.mean_file_offsets }),
            scale_values: self.scale_values.clone().unwrap_or_default(),
            scale: self.scale,
            reverse_input_channels: self.reverse_input_channels,
            layouts: self.layouts().map_err(conflict)?,
            compress_to_fp16: self.is_fp16(),
            skip_passes: self.skipped_passes(),
            keep_unfused: self.finegrain_fusing.clone().unwrap_or_default(),
            transforms: self.transform.clone().unwrap_or_default(),
            target_device: self.target_device.clone(),
            ir_version: self.ir_version,
            parameters: self.parameters(),
            ..request
        })
    }

    /// Passes that flags turn off.
    fn skipped_passes(&self) -> Vec<String> {
        let flags = [
            (self.disable_fusing, optimizer::LINEAR_FUSING),
            (self.disable_gfusing, optimizer::GROUP_FUSING),
            (self.disable_resnet_optimization, optimizer::STRIDE_HOISTING),
        ];
        flags.into_iter().filter(|(off, _)| *off).map(|(_, pass)| pass.to_owned()).collect()
    }

    /// The inputs that the flags name, with the shapes that `--input_shape` gives them; `shapes` keeps what is not
    /// about them.
    fn inputs(&self, shapes: &mut Vec<ir::PartialShape>) -> Result<Vec<InputSpec>, String> {
        let mut inputs = self.input.clone().unwrap_or_default();
        let has_shape = inputs.iter().any(|input| input.shape.is_some() && input.value.is_none());
        if has_shape && !shapes.is_empty() {
            return Err("shapes are given by --input and by --input_shape; give them once".to_owned());
        }
        if has_shape && self.batch.is_some() {
            return Err(
                "--input gives shapes, which --batch contradicts; put the batch into the shapes".to_owned()
            );
        }
        let mut open: Vec<&mut InputSpec> = inputs.iter_mut().filter(|input| input.value.is_none()).collect();
        if !open.is_empty() && !shapes.is_empty() {
            if open.len() != shapes.len() {
                return Err(format!(
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
                    return Err(format!("'{}' is given a value twice", frozen.place));
                }
                Some(input) => input.value = frozen.value.clone(),
                None => inputs.push(frozen.clone()),
            }
        }
        Ok(inputs)
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
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// Runs the command with these words, the program's name first.
pub fn run(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut words: Vec<OsString> = words.into_iter().collect();
    // Flags begin with a dash; a word that does not is a command.
    match words.get(1).and_then(|word| word.to_str()) {
        Some("inspect") => return inspect::run(words.drain(1..)),
        Some("compare") => return compare::run(words.drain(1..)),
        _ => {}
    }
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
    }
    console::log(arguments.log_level.filter());
    let mut progress = Progress::new(arguments.progress, tell);
    let converted = convert(&request, &mut |event| {
        if arguments.verbose && tell {
            progress.above(|| print_step(&event));
        }
        progress.reached(&event);
    });
    drop(progress);
    match converted {
        Ok(converted) => {
            if tell {
                converted.notes.iter().for_each(|text| console::info(text));
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

/// `--verbose`: a line for every pass.
fn print_step(event: &Event) {
    if let Event::Pass { step, nodes, .. } = event {
        let millis = step.time.as_secs_f64() * 1e3;
        println!(
            "[ PASS ] {:<32} {millis:>9.2} ms  {:>5} changes  {nodes:>5} nodes left",
            step.pass, step.changes
        );
        for (rule, count) in &step.applied {
            println!("[ PASS ]     {rule}: {count}");
        }
    }
}

impl LogLevel {
    fn filter(self) -> tracing_subscriber::filter::LevelFilter {
        use tracing_subscriber::filter::LevelFilter;
        match self {
            Self::Critical => LevelFilter::OFF,
            Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
            Self::NotSet => LevelFilter::TRACE,
        }
    }
}
