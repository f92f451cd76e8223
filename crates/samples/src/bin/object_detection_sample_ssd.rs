//! Finds objects in images, prints them and draws their boxes.

fn main() -> std::process::ExitCode {
    samples::object_detection::main()
}
