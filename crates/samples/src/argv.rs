//! Command lines as OpenVINO's users write them: long flags with one dash, `-nireq 2`.

use anyhow::Result;
use clap::Parser;
use std::{ffi::OsString, process::ExitCode};

/// A whole program: reads the command line, runs, and turns errors into a line and exit code 1.
pub fn main<A: Parser>(run: impl FnOnce(&A) -> Result<()>) -> ExitCode {
    let args = match A::try_parse_from(with_long_flags(std::env::args_os())) {
        Ok(args) => args,
        Err(error) => {
            // Nothing can be told to someone whose terminal is gone.
            _ = error.print();
            return if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("[ ERROR ] {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Turns `-nireq` into `--nireq`, so that an ordinary argument parser takes it; one-letter flags, numbers and
/// everything behind `--` stay.
pub fn with_long_flags(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut verbatim = false;
    let rewrite = |arg: OsString| {
        verbatim |= arg == "--";
        let long = arg.to_str().is_some_and(|text| {
            let mut letters = text.chars();
            letters.next() == Some('-')
                && letters.next().is_some_and(|c| c.is_ascii_alphabetic())
                && letters.next().is_some_and(|c| c != '=')
        });
        if long && !verbatim {
            let mut rewritten = OsString::from("-");
            rewritten.push(arg);
            rewritten
        } else {
            arg
        }
    };
    args.into_iter().map(rewrite).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_flags_gain_a_dash() {
        let args = ["p", "-nireq", "2", "-i", "a.png", "--pc", "-1", "-c=K=V", "--", "-nt"];
        let rewritten = with_long_flags(args.map(OsString::from));
        let expected = ["p", "--nireq", "2", "-i", "a.png", "--pc", "-1", "-c=K=V", "--", "-nt"];
        assert_eq!(rewritten, expected.map(OsString::from));
    }
}
