//! `mo`: the Model Optimizer.

fn main() -> std::process::ExitCode {
    mo::command::mo::run(std::env::args_os())
}
