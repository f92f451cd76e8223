//! Several requests on one board, by the model: while the device works for one, others are written or read.

use super::{Estimate, pcie};
use crate::{
    architecture::Architecture,
    program::{Feature, Program},
};
use ir::device::PortIndex;

/// What one inference takes, in microseconds.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Parts {
    /// From the host to the card.
    pub write: f64,
    /// On the device.
    pub device: f64,
    /// From the card to the host.
    pub read: f64,
    /// On the processor behind it: HETERO's other part. 0 where there is none.
    pub host: f64,
}

impl Parts {
    /// The board's parts of one inference of a program, by the model.
    pub fn new(architecture: &Architecture, program: &Program, estimate: &Estimate) -> Self {
        Self::with_remote(architecture, program, estimate, |_| false)
    }

    /// The same where some ports have tensors in the card's memory: these do not cross the bus. They are copied within
    /// the card's memory, each byte read and written there, which counts as the device's time.
    pub fn with_remote(
        architecture: &Architecture,
        program: &Program,
        estimate: &Estimate,
        is_remote: impl Fn(PortIndex) -> bool,
    ) -> Self {
        let bytes = |feature: &Feature| {
            let places = u64::from(feature.height) * u64::from(feature.width);
            let words = places * u64::from(feature.pitch(architecture.input_vector));
            words * u64::from(architecture.word_bytes())
        };
        let mut copied = 0;
        // The bytes that cross on one side, if anything does.
        let mut crossing = |features: &[Feature], port: fn(usize) -> PortIndex| {
            let mut sum = None;
            for (i, feature) in features.iter().enumerate() {
                match is_remote(port(i)) {
                    true => copied += bytes(feature),
                    false => *sum.get_or_insert(0) += bytes(feature),
                }
            }
            sum
        };
        let write = crossing(&program.inputs, PortIndex::Input).map_or(0.0, pcie::write_us);
        let read = crossing(&program.outputs, PortIndex::Output).map_or(0.0, pcie::read_us);
        let copies = 2.0 * copied as f64 / (architecture.ddr_gb_s * 1e3);
        Self { write, device: estimate.microseconds() + copies, read, host: 0.0 }
    }
}

/// When something begins and ends, in microseconds.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Interval {
    /// From here.
    pub start: f64,
    /// To here.
    pub end: f64,
}

/// When the parts of one inference happen.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Run {
    /// From the host to the card.
    pub write: Interval,
    /// On the device.
    pub device: Interval,
    /// From the card to the host.
    pub read: Interval,
    /// On the processor.
    pub host: Interval,
}

/// The four things that inferences share, each busy with one of them at a time, in the order in which they were started.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Timeline {
    write_free: f64,
    device_free: f64,
    read_free: f64,
    host_free: f64,
}

fn next(free: &mut f64, ready: f64, length: f64) -> Interval {
    let start = free.max(ready);
    *free = start + length;
    Interval { start, end: *free }
}

impl Timeline {
    /// An inference that is started at `ready`.
    pub fn start(&mut self, ready: f64, parts: &Parts) -> Run {
        let write = next(&mut self.write_free, ready, parts.write);
        let device = next(&mut self.device_free, write.end, parts.device);
        let read = next(&mut self.read_free, device.end, parts.read);
        let host = next(&mut self.host_free, read.end, parts.host);
        Run { write, device, read, host }
    }
}

/// Inferences in a second with so many requests, each started anew when it has its answer.
pub fn throughput(parts: &Parts, requests: usize) -> f64 {
    let requests = requests.max(1);
    let mut timeline = Timeline::default();
    // The pace is even once each of the four has been waited for; it is measured over a hundred rounds after that.
    let mut ready = std::collections::VecDeque::from(vec![0.0; requests]);
    let mut ends = Vec::new();
    for _ in 0..101 * requests {
        let run = timeline.start(ready.pop_front().unwrap_or_default(), parts);
        ready.push_back(run.host.end);
        ends.push(run.host.end);
    }
    let (first, last) = (ends[requests - 1], ends[ends.len() - 1]);
    1e6 * (ends.len() - requests) as f64 / (last - first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS: Parts = Parts { write: 200.0, device: 1000.0, read: 55.0, host: 0.0 };

    #[test]
    fn one_request_waits_for_each_part() {
        let mut timeline = Timeline::default();
        let run = timeline.start(10.0, &PARTS);
        assert_eq!(run.write, Interval { start: 10.0, end: 210.0 });
        assert_eq!(run.device, Interval { start: 210.0, end: 1210.0 });
        assert_eq!(run.read, Interval { start: 1210.0, end: 1265.0 });
        assert!((throughput(&PARTS, 1) - 1e6 / 1255.0).abs() < 1e-6);
    }

    #[test]
    fn two_requests_overlap_and_the_device_works_for_one() {
        let mut timeline = Timeline::default();
        let first = timeline.start(0.0, &PARTS);
        let second = timeline.start(0.0, &PARTS);
        assert_eq!(second.write, Interval { start: 200.0, end: 400.0 });
        assert_eq!(second.device.start, first.device.end);
        assert!((throughput(&PARTS, 2) - 1000.0).abs() < 1e-6);
        let on_both = Parts { host: 900.0, ..PARTS };
        let mut timeline = Timeline::default();
        let [first, second] = [0.0, 0.0].map(|ready| timeline.start(ready, &on_both));
        let overlap = |a: Interval, b: Interval| a.start < b.end && b.start < a.end;
        assert!(overlap(second.write, first.device), "the bus and the device");
        assert!(overlap(first.host, second.device), "the processor and the device");
        assert!((throughput(&on_both, 1) - 1e6 / 2155.0).abs() < 1e-6);
        // Each of two waits for the other's time on the device, and goes on.
        assert!(throughput(&on_both, 2) > 1.9 * throughput(&on_both, 1));
        let written = Parts { write: 3000.0, ..PARTS };
        assert!((throughput(&written, 4) - 1e6 / 3000.0).abs() < 1e-6);
    }
}
