//! Classifies images, one inference after the other.

fn main() -> std::process::ExitCode {
    samples::classification::main(samples::classification::Mode::Sync)
}
