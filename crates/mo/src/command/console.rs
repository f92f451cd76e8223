//! What users and scripts know from the console of 2018: one line a message, its kind in brackets before it.

use crate::{Event, Stage};
use clap::error::ErrorKind;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    fmt::Display,
    io::{IsTerminal, Write},
    process::ExitCode,
    time::{Duration, Instant},
};
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

/// Prints what is good to know.
pub fn info(text: &dyn Display) {
    message("INFO", text);
}

fn message(kind: &str, text: &dyn Display) {
    for line in text.to_string().lines().filter(|line| !line.trim().is_empty()) {
        eprintln!("[ {kind} ]  {line}");
    }
}

/// Prints an answer. A closed pipe (`mo inspect | head`) is no reason to fail.
pub fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => failed(&error),
        _ => ExitCode::SUCCESS,
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

/// Lets what the crates log, from `level` on, go to stderr.
pub fn log(level: LevelFilter) {
    // A program logs to one place: when it is taken already, that is it.
    let _ = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).try_init();
}

/// Conversions that end sooner need no bar.
const PATIENCE: Duration = Duration::from_millis(500);

/// A bar that shows how far the work is, when somebody sees it: passes while the network is optimised, bytes while
/// the IR is written.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    start: Instant,
    shown: bool,
    allowed: bool,
}

impl Progress {
    /// A bar on the terminal as soon as the work takes long, or at once if that is wanted; none where nobody looks.
    pub fn new(at_once: bool, allowed: bool) -> Self {
        let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::hidden());
        let allowed = allowed && std::io::stderr().is_terminal();
        let mut progress = Self { bar, start: Instant::now(), shown: false, allowed };
        if at_once {
            progress.show();
        }
        progress
    }

    fn show(&mut self) {
        if self.allowed && !self.shown {
            self.shown = true;
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }

    /// The work has come to `event`.
    pub fn reached(&mut self, event: &Event) {
        if self.start.elapsed() > PATIENCE {
            self.show();
        }
        let (template, at, of, message) = match event {
            Event::Stage(stage) => {
                let at = Stage::ALL.iter().position(|s| s == stage).unwrap_or_default();
                (STAGES, at as u64, Stage::ALL.len() as u64, stage.to_string())
            }
            Event::Pass { step, done, of, .. } => (PASSES, *done as u64, *of as u64, step.pass.to_owned()),
            Event::Written { bytes, of } => (BYTES, *bytes, *of, Stage::Write.to_string()),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
        self.bar.set_length(of);
        self.bar.set_position(at);
        self.bar.set_message(message);
    }

    /// Lets `print` write lines that the bar does not draw over.
    pub fn above(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }
}

const STAGES: &str = "{bar:40} step {pos}/{len} {msg} [{elapsed}]";
const PASSES: &str = "{bar:40} pass {pos}/{len} {msg} [{elapsed}]";
const BYTES: &str = "{bar:40} {bytes}/{total_bytes} {msg} [{elapsed}]";

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
