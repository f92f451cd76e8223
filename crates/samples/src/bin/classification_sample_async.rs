//! Classifies images with several requests in flight.

fn main() -> std::process::ExitCode {
    samples::classification::main(samples::classification::Mode::Async)
}
