//! The loops that are measured.

use super::{feed, inputs::Source};
use crate::{printout::AverageCounts, trace::Trace};
use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use runtime::InferRequest;
use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

/// When a run is long enough: when it has met both.
pub(super) struct Limits {
    pub(super) iterations: Option<u64>,
    pub(super) time: Option<Duration>,
}

impl Limits {
    fn met(&self, done: usize, begin: Instant) -> bool {
        self.iterations.is_none_or(|n| done as u64 >= n) && self.time.is_none_or(|t| begin.elapsed() >= t)
    }

    /// How far a run is, from 0 to 1.
    fn share(&self, done: usize, begin: Instant) -> f64 {
        let iterations = self.iterations.map_or(1.0, |n| done as f64 / n.max(1) as f64);
        let time = self.time.map_or(1.0, |time| begin.elapsed().as_secs_f64() / time.as_secs_f64());
        iterations.min(time).min(1.0)
    }
}

/// What the loops run.
pub(super) struct Work<'a> {
    /// The tensors to set before every inference, where they take turns.
    pub(super) refill: Option<&'a Source>,
    /// The batch of each turn.
    pub(super) frames: Vec<usize>,
    pub(super) limits: Limits,
    /// Where the layers' times are added, if anybody wants them.
    pub(super) counts: Option<AverageCounts>,
    /// Where the layers are drawn, if anybody wants that.
    pub(super) trace: Option<Trace>,
    /// Images a second at the most.
    pub(super) rate: Option<f64>,
}

/// What came out.
pub(super) struct Outcome {
    pub(super) latencies: Vec<Duration>,
    pub(super) total: Duration,
    /// Images, over all batches.
    pub(super) frames: usize,
}

/// Latencies in milliseconds.
#[derive(PartialEq, Debug)]
pub(super) struct Latency {
    pub(super) percentile: f64,
    pub(super) average: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Outcome {
    /// `percentile` from 1 to 100 stands for the median where it is 50.
    pub(super) fn latency(&self, percentile: u8) -> Latency {
        let mut sorted: Vec<f64> = self.latencies.iter().map(|time| super::ms(*time)).collect();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        if count == 0 {
            return Latency { percentile: f64::NAN, average: f64::NAN, min: f64::NAN, max: f64::NAN };
        }
        Latency {
            percentile: match percentile {
                50 => (sorted[(count - 1) / 2] + sorted[count / 2]) / 2.0,
                // As OpenVINO's program counts.
                _ => sorted[(count * usize::from(percentile) / 100).min(count - 1)],
            },
            average: sorted.iter().sum::<f64>() / count as f64,
            min: sorted[0],
            max: sorted[count - 1],
        }
    }
}

impl Work<'_> {
    fn before(&self, request: &mut InferRequest, iteration: usize, begin: Instant) -> Result<()> {
        if let Some(rate) = self.rate {
            let due =
                Duration::try_from_secs_f64(self.frames_of(iteration) as f64 / rate).unwrap_or(Duration::MAX);
            std::thread::sleep(due.saturating_sub(begin.elapsed()));
        }
        self.refill.map_or(Ok(()), |tensors| feed(request, tensors, iteration))
    }

    fn after(&mut self, request: &InferRequest) {
        if self.counts.is_none() && self.trace.is_none() {
            return;
        }
        let rows = request.profile();
        if let Some(trace) = &mut self.trace {
            trace.add(&rows);
        }
        if let Some(counts) = &mut self.counts {
            counts.add(rows);
        }
    }

    /// Images of the first inferences together.
    fn frames_of(&self, inferences: usize) -> usize {
        let turns = self.frames.len();
        let rest: usize = self.frames[..inferences % turns].iter().sum();
        inferences / turns * self.frames.iter().sum::<usize>() + rest
    }

    fn outcome(&self, latencies: Vec<Duration>, total: Duration) -> Outcome {
        let frames = self.frames_of(latencies.len());
        Outcome { latencies, total, frames }
    }
}

/// A bar on terminals; elsewhere it draws nothing.
fn bar() -> ProgressBar {
    const PERMILLE: u64 = 1000;
    let style = ProgressStyle::with_template("{bar:40} {percent} %").expect("a template");
    ProgressBar::new(PERMILLE).with_style(style)
}

fn show(bar: &ProgressBar, share: f64) {
    bar.set_position((share * 1e3) as u64);
}

/// One inference after the other.
pub(super) fn one_by_one(request: &mut InferRequest, work: &mut Work) -> Result<Outcome> {
    let bar = bar();
    let mut latencies = Vec::new();
    let begin = Instant::now();
    while !work.limits.met(latencies.len(), begin) {
        work.before(request, latencies.len(), begin)?;
        let start = Instant::now();
        request.infer()?;
        latencies.push(start.elapsed());
        work.after(request);
        show(&bar, work.limits.share(latencies.len(), begin));
    }
    let total = begin.elapsed();
    bar.finish_and_clear();
    Ok(work.outcome(latencies, total))
}

/// All requests in flight: whichever ends is started again.
pub(super) fn in_flight(requests: &mut [InferRequest], work: &mut Work) -> Result<Outcome> {
    let bar = bar();
    let (sender, ended) = mpsc::channel();
    for (number, request) in requests.iter_mut().enumerate() {
        let sender = sender.clone();
        // The time is taken where the inference ends, not where somebody notices.
        request.set_callback(move |_| _ = sender.send((number, Instant::now())))?;
    }
    let mut starts = vec![Instant::now(); requests.len()];
    let mut latencies = Vec::new();
    let mut started = 0;
    let begin = Instant::now();
    let mut end_one = |requests: &mut [InferRequest], starts: &[Instant], work: &mut Work| -> Result<usize> {
        let (number, end) = ended.recv()?;
        requests[number].wait()?;
        latencies.push(end - starts[number]);
        work.after(&requests[number]);
        Ok(number)
    };
    // Every request runs equally often, as OpenVINO's program has it.
    while !work.limits.met(started, begin) || !started.is_multiple_of(requests.len()) {
        let number = if started < requests.len() { started } else { end_one(requests, &starts, work)? };
        work.before(&mut requests[number], started, begin)?;
        starts[number] = Instant::now();
        requests[number].start_async()?;
        started += 1;
        show(&bar, work.limits.share(started, begin));
    }
    for _ in 0..started.min(requests.len()) {
        end_one(requests, &starts, work)?;
    }
    let total = begin.elapsed();
    bar.finish_and_clear();
    Ok(work.outcome(latencies, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_summed_up() {
        let outcome = |ms: &[u64]| Outcome {
            latencies: ms.iter().map(|ms| Duration::from_millis(*ms)).collect(),
            total: Duration::from_secs(1),
            frames: 1,
        };
        let odd = outcome(&[9, 1, 2]).latency(50);
        assert_eq!(odd, Latency { percentile: 2.0, average: 4.0, min: 1.0, max: 9.0 });
        assert_eq!(outcome(&[1, 2, 4, 9]).latency(50).percentile, 3.0);
        for (percentile, expected) in [(1, 1.0), (49, 2.0), (75, 9.0), (100, 9.0)] {
            assert_eq!(outcome(&[1, 2, 4, 9]).latency(percentile).percentile, expected);
        }
    }

    #[test]
    fn both_limits_must_be_met() {
        let begin = Instant::now();
        let limits = Limits { iterations: Some(3), time: Some(Duration::ZERO) };
        assert!(!limits.met(2, begin) && limits.met(3, begin));
        let limits = Limits { iterations: Some(3), time: Some(Duration::from_secs(3600)) };
        assert!(!limits.met(5, begin));
        assert!(limits.share(5, begin) < 0.1);
    }
}
