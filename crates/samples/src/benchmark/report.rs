//! What was measured: the closing lines, and OpenVINO's `benchmark_report` file.

use super::{args::Args, measure::Outcome};
use anyhow::{Context, Result};
use runtime::CompiledModel;
use serde_json::{Map, Value};
use std::{fs, time::Duration};

/// What the file tells, in the order in which it came about.
#[derive(Default)]
pub(super) struct Report {
    setup: Vec<(String, String)>,
    results: Vec<(String, String)>,
}

/// A time in milliseconds, with two decimals.
fn two(time: Duration) -> String {
    format!("{:.2}", super::ms(time))
}

impl Report {
    /// Notes how the run was set up.
    pub(super) fn setup(&mut self, name: &str, value: impl ToString) {
        self.setup.push((name.to_owned(), value.to_string()));
    }

    /// Prints and notes how long a step took.
    pub(super) fn time(&mut self, step: &str, time: Duration) {
        println!("[ INFO ] {step} took {} ms", two(time));
        self.results.push((format!("{} time (ms)", step.to_lowercase()), two(time)));
    }

    /// Prints the closing lines, as scripts look for them, and notes what they say.
    pub(super) fn close(&mut self, outcome: &Outcome, compiled: &CompiledModel, percentile: u8) {
        if let Ok(devices) = compiled.property("EXECUTION_DEVICES") {
            println!("[ INFO ] Execution Devices:['{devices}']");
        }
        let latency = outcome.latency(percentile);
        let rate = outcome.frames as f64 / outcome.total.as_secs_f64();
        // Two decimals of a millisecond say nothing of an inference that takes a few microseconds.
        let digits = if latency.average < 1.0 { 4 } else { 2 };
        let first = match percentile {
            50 => "Median:        ".to_owned(),
            _ => format!("{percentile} percentile: "),
        };
        println!("[ INFO ] Count:            {} iterations", outcome.latencies.len());
        println!("[ INFO ] Duration:         {:.2} ms", super::ms(outcome.total));
        println!("[ INFO ] Latency:");
        println!("[ INFO ]    {first}{:.digits$} ms", latency.percentile);
        println!("[ INFO ]    Average:       {:.digits$} ms", latency.average);
        println!("[ INFO ]    Min:           {:.digits$} ms", latency.min);
        println!("[ INFO ]    Max:           {:.digits$} ms", latency.max);
        println!("[ INFO ] Throughput:   {rate:.2} FPS");
        let name = match percentile {
            50 => "latency (ms)".to_owned(),
            _ => format!("latency ({percentile} percentile) (ms)"),
        };
        self.results.extend([
            ("total execution time (ms)".to_owned(), two(outcome.total)),
            ("total number of iterations".to_owned(), outcome.latencies.len().to_string()),
            (name, format!("{:.digits$}", latency.percentile)),
            ("avg latency".to_owned(), format!("{:.digits$}", latency.average)),
            ("min latency".to_owned(), format!("{:.digits$}", latency.min)),
            ("max latency".to_owned(), format!("{:.digits$}", latency.max)),
            ("throughput".to_owned(), format!("{rate:.2}")),
        ]);
    }

    /// Writes `benchmark_report.csv`, or `.json`, and says so.
    pub(super) fn write(&self, args: &Args, command_line: &[(String, String)]) -> Result<()> {
        let parts = [
            ("Command line parameters", "cmd_options", command_line),
            ("Configuration setup", "configuration_setup", self.setup.as_slice()),
            ("Execution results", "execution_results", self.results.as_slice()),
        ];
        let (extension, text) = if args.json_stats {
            let object = |rows: &[(String, String)]| {
                Value::Object(rows.iter().map(|(k, v)| (k.clone(), v.clone().into())).collect())
            };
            let all: Map<String, Value> =
                parts.iter().map(|(_, name, rows)| ((*name).to_owned(), object(rows))).collect();
            ("json", format!("{:#}\n", Value::Object(all)))
        } else {
            let part = |(title, _, rows): &(&str, &str, &[(String, String)])| {
                let rows: String = rows.iter().map(|(name, value)| format!("{name};{value}\n")).collect();
                format!("{title}\n{rows}\n")
            };
            ("csv", parts.iter().map(part).collect())
        };
        let path = args.report_folder.join(format!("benchmark_report.{extension}"));
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("[ INFO ] Statistics report is stored to {}", path.display());
        Ok(())
    }
}

/// The flags of a command line with their values, one pair each.
pub(super) fn command_line(words: impl Iterator<Item = String>) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for word in words {
        let mut letters = word.chars();
        let is_flag =
            letters.next() == Some('-') && letters.next().is_some_and(|c| c == '-' || c.is_alphabetic());
        match pairs.last_mut() {
            _ if is_flag => {
                let (flag, value) = word.split_once('=').unwrap_or((&word, ""));
                pairs.push((flag.trim_start_matches('-').to_owned(), value.to_owned()));
            }
            Some((_, value)) if value.is_empty() => *value = word,
            Some((_, value)) => *value += &format!(" {word}"),
            None => {}
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_are_flags_and_values() {
        let words = ["-m", "a.xml", "-i", "a.png", "b.png", "-pc", "--niter=-1", "-t", "-2"];
        let pairs = command_line(words.into_iter().map(str::to_owned));
        let expected = [("m", "a.xml"), ("i", "a.png b.png"), ("pc", ""), ("niter", "-1"), ("t", "-2")];
        assert_eq!(pairs, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }
}
