//! The flags: OpenVINO's.

use crate::engine::{EngineArgs, GpuArgs};
use clap::{ArgAction, Parser, ValueEnum};
use ir::ElementType;
use std::path::PathBuf;

/// Measures how fast a network runs on a device.
#[derive(Parser, Debug)]
#[command(name = "benchmark_app", version, disable_help_flag = true)]
pub(super) struct Args {
    /// Prints this text and ends.
    #[arg(short = 'h', long, action = ArgAction::Help)]
    pub(super) help: Option<bool>,
    /// The network: the .xml of an IR, its .bin beside it.
    #[arg(short, value_name = "XML", required = true)]
    pub(super) m: PathBuf,
    #[command(flatten)]
    pub(super) engine: EngineArgs,
    #[command(flatten)]
    pub(super) gpu: GpuArgs,
    /// What the input tensors hold: [INPUT:]FILE with images or folders of images, .npy, .npz with arrays by the
    /// inputs' names, or raw bytes. Inputs without a file get random numbers, the same in every run.
    #[arg(short, value_name = "[INPUT:]FILE", num_args = 1..)]
    pub(super) i: Vec<String>,
    /// What the device shall be good at. Not given: none beside -nstreams or -nthreads, else latency for -api sync,
    /// and throughput.
    #[arg(long, value_enum, value_name = "HINT")]
    pub(super) hint: Option<Hint>,
    /// Inferences to run; 0 only compiles. Rounded up to a multiple of -nireq.
    #[arg(long, value_name = "N")]
    pub(super) niter: Option<u64>,
    /// Seconds to run at the least; 60 where -niter isn't given either.
    #[arg(short, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) t: Option<u64>,
    /// The batch.
    #[arg(short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) b: Option<u32>,
    /// The shapes of the inputs, which may be dynamic: [1,3,?,?], or INPUT[1,224..448,3],INPUT[2] for several.
    #[arg(long, value_name = "SHAPES")]
    pub(super) shape: Option<String>,
    /// The shapes of the tensors for inputs of dynamic shape; several of one input take turns:
    /// [1,3,224,224][1,3,448,448].
    #[arg(long = "data_shape", value_name = "SHAPES")]
    pub(super) data_shape: Option<String>,
    /// What the dimensions of the inputs mean: [NCHW], or INPUT[NHWC],INPUT[NC] for several.
    #[arg(long, value_name = "LAYOUTS")]
    pub(super) layout: Option<String>,
    /// One inference after the other, or -nireq in flight. Not given: sync for -hint latency, else async.
    #[arg(long, value_enum, value_name = "API")]
    pub(super) api: Option<Api>,
    /// Requests in flight; as many as the device finds best when not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) nireq: Option<u32>,
    /// Streams, [DEVICE:]N or AUTO.
    #[arg(long, value_name = "N")]
    pub(super) nstreams: Option<String>,
    /// Threads that the CPU uses, of all streams together.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) nthreads: Option<u32>,
    /// The arithmetic, [DEVICE:]TYPE.
    #[arg(long = "infer_precision", value_name = "TYPE")]
    pub(super) infer_precision: Option<String>,
    /// The element type of the tensors given to the inputs, such as u8 for images; the network's own when not given.
    #[arg(long, value_name = "TYPE", value_parser = element_type)]
    pub(super) ip: Option<ElementType>,
    /// The element type of the tensors that the outputs give.
    #[arg(long, value_name = "TYPE", value_parser = element_type)]
    pub(super) op: Option<ElementType>,
    /// Element types of single inputs and outputs, before those of -ip and -op: input:u8,output:f16.
    #[arg(long, value_name = "NAME:TYPE,..")]
    pub(super) iop: Option<String>,
    /// What is subtracted from the channels of the inputs: [123,117,104], or INPUT[..],INPUT[..].
    #[arg(long = "mean_values", value_name = "VALUES")]
    pub(super) mean_values: Option<String>,
    /// What the channels of the inputs are divided by, after the mean.
    #[arg(long = "scale_values", value_name = "VALUES")]
    pub(super) scale_values: Option<String>,
    /// Bind threads to processors, where the device can.
    #[arg(long, value_enum, value_name = "YES|NO", ignore_case = true)]
    pub(super) pin: Option<Pin>,
    /// Images a second at the most; 0 for as many as there can be.
    #[arg(long = "max_irate", value_name = "FPS", default_value_t = 0.0, value_parser = rate)]
    pub(super) max_irate: f64,
    /// true: inputs are filled once, before the measurement. false: before every inference. Not given: true for
    /// inputs of fixed shape.
    #[arg(long = "inference_only", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", value_parser = switch)]
    pub(super) inference_only: Option<bool>,
    /// Leaves out the inference before the measurement.
    #[arg(long = "no_warmup")]
    pub(super) no_warmup: bool,
    /// The folder where the device keeps compiled models, so that they load faster.
    #[arg(long = "cache_dir", visible_alias = "cdir", value_name = "FOLDER")]
    pub(super) cache_dir: Option<PathBuf>,
    /// Loads the network by its file's name, so that one that lies in -cache_dir isn't read again. The network stays as
    /// its file has it.
    #[arg(long = "load_from_file", conflicts_with_all = ["shape", "b", "ip", "op", "iop", "mean_values", "scale_values"])]
    pub(super) load_from_file: bool,
    /// Which percentile of the latencies is told; 50 is the median.
    #[arg(long = "latency_percentile", value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(super) latency_percentile: u8,
    /// Prints the performance counts of every layer, averaged over the inferences.
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true", value_name = "BOOL", value_parser = switch, action = ArgAction::Set)]
    pub(super) pc: bool,
    /// Prints the performance counts with their share of the time. sort: the longest first. simple_sort: of layers
    /// that ran, the longest first. no_sort: as they ran.
    #[arg(long, value_enum, value_name = "ORDER")]
    pub(super) pcsort: Option<Order>,
    /// Writes files with what was measured. average_counters: and the layers' times. detailed_counters: of every
    /// request's last inference.
    #[arg(long = "report_type", value_enum, value_name = "TYPE")]
    pub(super) report_type: Option<ReportType>,
    /// The folder for these files.
    #[arg(long = "report_folder", value_name = "FOLDER", default_value = ".")]
    pub(super) report_folder: PathBuf,
    /// Writes these files as JSON rather than CSV.
    #[arg(long = "json_stats", num_args = 0..=1, default_value_t = false, default_missing_value = "true", value_name = "BOOL", value_parser = switch, action = ArgAction::Set)]
    pub(super) json_stats: bool,
    /// Writes the network with how each layer ran, as the .xml of an IR.
    #[arg(long = "exec_graph_path", value_name = "XML")]
    pub(super) exec_graph_path: Option<PathBuf>,
    /// Writes the course of the inferences as a trace file, which Chrome and Perfetto show.
    #[arg(long, value_name = "JSON")]
    pub(super) trace: Option<PathBuf>,
    /// Reads settings by device, {"CPU": {"NUM_STREAMS": "2"}}, from a file. Flags come before them.
    #[arg(long = "load_config", value_name = "JSON")]
    pub(super) load_config: Option<PathBuf>,
    /// Writes the settings of all devices to a file that -load_config reads.
    #[arg(long = "dump_config", value_name = "JSON")]
    pub(super) dump_config: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Hint {
    #[value(alias = "tput")]
    Throughput,
    #[value(name = "cumulative_throughput", alias = "ctput")]
    CumulativeThroughput,
    Latency,
    None,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Api {
    Sync,
    Async,
}

fn element_type(text: &str) -> Result<ElementType, String> {
    ElementType::parse(text).ok_or_else(|| "no element type; f32 and u8 are some".to_owned())
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Pin {
    #[value(name = "YES")]
    Yes,
    #[value(name = "NO")]
    No,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Order {
    #[value(name = "no_sort")]
    NoSort,
    Sort,
    #[value(name = "simple_sort")]
    SimpleSort,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum ReportType {
    #[value(name = "no_counters")]
    No,
    #[value(name = "average_counters")]
    Average,
    #[value(name = "detailed_counters")]
    Detailed,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate >= 0.0);
    rate.ok_or_else(|| "expected a number, not negative".to_owned())
}

/// The words that OpenVINO's program takes.
fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "t" | "y" | "1" => Ok(true),
        "false" | "no" | "f" | "n" | "0" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}

impl Args {
    /// Whether layers are measured.
    pub(super) fn counts(&self) -> bool {
        let reported = matches!(self.report_type, Some(ReportType::Average | ReportType::Detailed));
        self.pc || self.pcsort.is_some() || reported || self.trace.is_some() || self.exec_graph_path.is_some()
    }
}
