//! Measures how fast a network runs.

fn main() -> std::process::ExitCode {
    samples::benchmark::main()
}
