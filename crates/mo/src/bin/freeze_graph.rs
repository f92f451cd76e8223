//! `freeze_graph`: a TensorFlow graph and a checkpoint become one frozen graph.

fn main() -> std::process::ExitCode {
    mo::command::freeze_graph::run(std::env::args_os())
}
