//! How threads divide a layer.

/// What each thread takes a part of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Split {
    /// Places of the image: a thread then reads what it wrote itself, and every weight.
    Places,
    /// Output channels: a thread then reads its own weights, and what all threads wrote.
    Channels,
}

/// Multiply-adds that a core does in a nanosecond, about.
const RATE: f64 = 80.0;
/// Nanoseconds that a core waits for a byte which another core has written, and for one that lies in the shared cache.
const FOREIGN: f64 = 0.12;
const SHARED: f64 = 0.02;

/// What a layer has to do.
pub(super) struct Work {
    /// Multiply-adds.
    pub(super) terms: usize,
    /// Elements of the input, and of the weights.
    pub(super) input: usize,
    pub(super) weights: usize,
    /// The smallest parts that places fall into.
    pub(super) places: usize,
    /// The part of the work that is done again in each thread when places are divided.
    pub(super) again: f64,
    /// The smallest parts that channels fall into.
    pub(super) channels: usize,
}

impl Work {
    /// The division that takes less time on so many threads.
    pub(super) fn split(&self, threads: usize) -> Split {
        let all = self.terms as f64 / RATE;
        let most = |parts: usize| parts.div_ceil(threads).min(parts) as f64 / parts.max(1) as f64;
        let (input, weights) = (4.0 * self.input as f64, 4.0 * self.weights as f64);
        let others = 1.0 - 1.0 / threads as f64;
        let places = all * (most(self.places) + self.again) + SHARED * weights;
        let channels =
            all * most(self.channels) + FOREIGN * others * input + SHARED * weights / threads as f64;
        if places <= channels { Split::Places } else { Split::Channels }
    }
}
