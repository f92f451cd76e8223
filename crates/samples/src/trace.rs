//! The course of inferences as a trace file, which Chrome (`chrome://tracing`) and Perfetto (<https://ui.perfetto.dev>)
//! show: a group of lanes for each device, a lane for each of its workers.

use anyhow::{Context, Result};
use runtime::{ProfileRow, Span};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::{self, BufWriter, Write},
    path::Path,
    time::{Duration, SystemTime},
};

/// Layers that are kept: viewers grow slow with more, and a long run must not fill the memory.
const MOST: usize = 200_000;

/// One layer of one inference.
struct Event {
    name: String,
    layer_type: String,
    exec_type: String,
    inference: usize,
    begin: SystemTime,
    time: Duration,
}

/// Layers as they ran, by device and lane.
#[derive(Default)]
pub struct Trace {
    lanes: BTreeMap<(String, usize), Vec<Event>>,
    events: usize,
    inferences: usize,
    left_out: usize,
}

impl Trace {
    /// Adds an inference by its profile. When a file's worth is there, later inferences are left out.
    pub fn add(&mut self, rows: &[ProfileRow]) {
        let ran = rows.iter().filter_map(|row| Some((row, row.span.as_ref()?)));
        if self.events + rows.len() > MOST {
            self.left_out += 1;
            return;
        }
        for (row, Span { device, lane, begin }) in ran {
            self.lanes.entry((device.clone(), *lane)).or_default().push(Event {
                name: row.name.clone(),
                layer_type: row.layer_type.clone(),
                exec_type: row.exec_type.clone(),
                inference: self.inferences,
                begin: *begin,
                time: row.real_time,
            });
            self.events += 1;
        }
        self.inferences += 1;
    }

    /// Writes the file; the line to print about it.
    pub fn write(mut self, path: &Path) -> Result<String> {
        for events in self.lanes.values_mut() {
            events.sort_by_key(|event| event.begin);
        }
        let written = std::fs::File::create(path).and_then(|file| self.write_events(BufWriter::new(file)));
        written.with_context(|| format!("cannot write the trace to {}", path.display()))?;
        let more = match self.left_out {
            0 => String::new(),
            more => format!(" ({more} later ones left out)"),
        };
        Ok(format!("Trace of {} inferences is stored to {}{more}", self.inferences, path.display()))
    }

    /// The Trace Event Format: complete events (`X`) in microseconds, and the names of lanes (`M`).
    fn write_events(&self, mut file: impl Write) -> io::Result<()> {
        let begin = self.lanes.values().filter_map(|events| events.first()).map(|event| event.begin).min();
        let micros = |time: Duration| time.as_nanos() as f64 / 1e3;
        let since = |time: SystemTime| {
            micros(begin.and_then(|begin| time.duration_since(begin).ok()).unwrap_or_default())
        };
        let mut devices: Vec<&str> = self.lanes.keys().map(|(device, _)| device.as_str()).collect();
        devices.dedup();
        write!(file, "{{\"displayTimeUnit\":\"ms\",\"traceEvents\":[")?;
        let mut separator = "";
        let mut write = |event: Value| write!(file, "{}\n{event}", std::mem::replace(&mut separator, ","));
        for (pid, device) in devices.iter().enumerate() {
            write(json!({"ph": "M", "name": "process_name", "pid": pid, "args": {"name": device}}))?;
        }
        for ((device, lane), events) in &self.lanes {
            let pid = devices.iter().position(|known| known == device);
            let name = format!("{device} {lane}");
            write(
                json!({"ph": "M", "name": "thread_name", "pid": pid, "tid": lane, "args": {"name": name}}),
            )?;
            for (i, event) in events.iter().enumerate() {
                // A layer whose steps ran apart ends for the picture where the next one begins: viewers take what
                // overlaps for calls within calls.
                let next = events.get(i + 1).and_then(|next| next.begin.duration_since(event.begin).ok());
                let time = next.map_or(event.time, |next| next.min(event.time));
                write(json!({
                    "ph": "X", "name": event.name, "cat": event.layer_type, "pid": pid, "tid": lane,
                    "ts": since(event.begin), "dur": micros(time),
                    "args": {"exec_type": event.exec_type, "inference": event.inference},
                }))?;
            }
        }
        writeln!(file, "\n]}}")?;
        file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::LayerStatus;

    fn row(name: &str, device: &str, lane: usize, begin: u64, micros: u64) -> ProfileRow {
        let begin = SystemTime::UNIX_EPOCH + Duration::from_micros(begin);
        ProfileRow {
            name: name.into(),
            status: LayerStatus::Executed,
            layer_type: "Convolution".into(),
            exec_type: "ref".into(),
            real_time: Duration::from_micros(micros),
            cpu_time: Duration::ZERO,
            span: Some(Span { device: device.into(), lane, begin }),
        }
    }

    #[test]
    fn devices_and_workers_have_lanes_of_their_own() {
        let mut trace = Trace::default();
        let folded = ProfileRow { span: None, ..row("folded", "CPU", 0, 0, 0) };
        trace.add(&[row("a", "FPGA", 0, 1000, 50), row("b", "CPU", 1, 1050, 10), folded]);
        trace.add(&[row("a", "FPGA", 0, 1030, 50), row("b", "CPU", 0, 1110, 10)]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.json");
        assert!(trace.write(&path).unwrap().starts_with("Trace of 2 inferences"));
        let json: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let events = json["traceEvents"].as_array().unwrap();
        let of = |phase: &str| events.iter().filter(|e| e["ph"] == phase).cloned().collect::<Vec<_>>();
        let names: Vec<_> = of("M").iter().map(|e| e["args"]["name"].as_str().unwrap().to_owned()).collect();
        assert_eq!(names, ["CPU", "FPGA", "CPU 0", "CPU 1", "FPGA 0"]);
        let spans: Vec<_> = of("X")
            .iter()
            .map(|e| (e["pid"].as_u64(), e["tid"].as_u64(), e["ts"].as_f64(), e["dur"].as_f64()))
            .collect();
        let span = |pid, tid, ts, dur| (Some(pid), Some(tid), Some(ts), Some(dur));
        // The first layer on the FPGA is cut where the second begins.
        assert_eq!(
            spans,
            [span(0, 0, 110.0, 10.0), span(0, 1, 50.0, 10.0), span(1, 0, 0.0, 30.0), span(1, 0, 30.0, 50.0)]
        );
    }

    #[test]
    fn a_long_run_fills_a_file_and_no_more() {
        let rows = vec![row("a", "CPU", 0, 1, 1); MOST / 2];
        let mut trace = Trace::default();
        (0..5).for_each(|_| trace.add(&rows));
        assert_eq!((trace.inferences, trace.left_out, trace.events), (2, 3, MOST));
    }
}
