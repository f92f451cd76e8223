//! What users and scripts know from the console of 2018: one line a message, its kind in brackets before it.

use crate::Stage;
use clap::error::ErrorKind;
use indicatif::{ProgressBar, ProgressStyle};
use std::{fmt::Display, io::IsTerminal, process::ExitCode};
use tracing_subscriber::filter::LevelFilter;

/// Exit code of a conversion that failed.
const FAILED: u8 = 1;
/// Exit code of a command line that cannot be followed.
const USAGE: u8 = 2;

/// Prints an error and what caused it; answers the exit code.
pub fn failed(error: &dyn Display) -> ExitCode {
    message("ERROR", error);
    ExitCode::from(FAILED)
}

/// Prints a warning.
pub fn warning(text: &dyn Display) {
    message("WARNING", text);
}

fn message(kind: &str, text: &dyn Display) {
    for line in text.to_string().lines().filter(|line| !line.trim().is_empty()) {
        eprintln!("[ {kind} ]  {line}");
    }
}

/// Prints what the parser of the command line has to say: help and version, or an error.
pub fn usage(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A closed pipe (`mo -h | head`) is no reason to fail.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        _ => {
            let text = error.render().to_string();
            message("ERROR", &text.strip_prefix("error: ").unwrap_or(&text).trim_end());
            ExitCode::from(USAGE)
        }
    }
}

/// Lets what the crates log go to stderr.
pub fn log(info: bool, debug: bool) {
    if info {
        let level = if debug { LevelFilter::DEBUG } else { LevelFilter::INFO };
        // A program logs to one place: when it is taken already, that is it.
        let _ = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).try_init();
    }
}

/// A bar that shows how far the work is, when somebody sees it.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// A bar on the terminal, or none.
    pub fn new(wanted: bool) -> Self {
        if !wanted || !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::new(Stage::ALL.len() as u64);
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} {msg} [{elapsed}]") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(std::time::Duration::from_millis(100));
        Self(bar)
    }

    /// The work has come to `stage`.
    pub fn reached(&self, stage: Stage) {
        let position = Stage::ALL.iter().position(|s| *s == stage).unwrap_or_default();
        self.0.set_position(position as u64);
        self.0.set_message(stage.to_string());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
