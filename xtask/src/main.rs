//! Project commands: `cargo xtask <command>`. One module a command, no shell scripts.

mod bench;
mod ci;
mod demo;
mod fpga;
mod interop;
mod process;
mod tidy;
mod zoo;

use anyhow::{Result, bail};
use process::{cargo, program};
use std::process::ExitCode;

const HELP: &str = "cargo xtask <command>

  convert ARGS..     the Model Optimizer: the flags of `mo`, see `cargo xtask convert --help`
  demo               converts the digits checkpoint to FP16, classifies the committed images, shows accuracy and counters
  bitstreams [FOLDER] [--opencl]
                     writes the FPGA's bitstreams under their names (default bitstreams/ in the repository);
                     --opencl: with the binary of their program for this machine's OpenCL device
  test [ARGS..]      all tests; ARGS go to cargo test
  tidy               the rules of the house that a program can check
  header             writes crates/plugin-abi/include/terroir_plugin.h from its source; a test compares them
  ci                 what .ci/run runs: formatting, clippy, tidy, tests, documentation, demo, corpus
  corpus [FOLDER]    converts and runs every case of a corpus folder (default ../shared/corpus)
  fpga-opencl        500 random layers of each precision on an OpenCL device and in the FPGA's simulator: the same bits
                     (installs PoCL where no driver is)
  zoo [NAME..]       builds the Keras networks with TensorFlow and the classics of Caffe, with OpenCV's answers, into
                     .cache/zoo (needs Python 3.9 to 3.11)
  interop [NAME..]   our IRs in OpenVINO and Netron, OpenVINO's in Terroir, all against TensorFlow and OpenCV (after zoo)
  bench [--threads=1,2] [--turns=N] [--layers=N] [--quick] [NETWORK..]
                     the zoo beside OpenVINO and ONNX Runtime in one run (after zoo): latency, throughput, loading,
                     memory, the slowest layers. --quick: latency on one thread and layers
  bench --roofline   every layer beside the least time that the machine's measured peaks allow
  bench --sweep      time against work: batches 1 to 32, sides of the image 64 to 512
                     a run of all networks is written to benches/results
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    match command.as_str() {
        "convert" => program("mo")?.args(rest).run(),
        "bitstreams" => {
            let (flags, folders): (Vec<&String>, Vec<&String>) =
                rest.iter().partition(|arg| arg.starts_with('-'));
            let folder = folders.first().map_or_else(|| process::root().join("bitstreams"), Into::into);
            // 20 small files: nothing is worth a build for release.
            let run = cargo(["run", "--quiet", "--package", "plugin-fpga", "--bin", "fpga_bitstreams", "--"]);
            run.in_callers_folder()?.arg(folder).args(flags).run()
        }
        "demo" => demo::run(),
        "test" => cargo(["test", "--workspace"]).args(rest).run(),
        "tidy" => tidy::run(),
        "header" => cargo(["test", "--quiet", "--package", "plugin-abi", "--test", "header"])
            .env("TERROIR_WRITE_HEADER", "1")
            .run(),
        "ci" => ci::run(),
        "fpga-opencl" => fpga::opencl(),
        "corpus" => ci::corpus(rest.first().map(String::as_str)),
        "zoo" => zoo::run(&rest),
        "interop" => interop::run(&rest),
        "bench" => bench::run(&rest),
        "" | "help" | "-h" | "--help" => {
            print!("{HELP}");
            Ok(())
        }
        other => bail!("there is no command `{other}`\n\n{HELP}"),
    }
}
