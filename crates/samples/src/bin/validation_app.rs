//! Measures how accurate a network is.

fn main() -> std::process::ExitCode {
    samples::validation::main()
}
