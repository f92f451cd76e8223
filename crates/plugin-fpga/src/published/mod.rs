//! The cycle model beside figures that others published.
//!
//! Intel's chart names neither clock nor architecture of its Arria 10 bitstreams. Two scalars for all nine networks are
//! fitted, the clock and what each inference takes beside its passes; so the table is a fit, and each network's error is
//! also told for a fit that leaves it out.
//!
//! What is not fitted is assumed, alike for all: one [`ARCHITECTURE`], both banks of memory, and what Intel documents of
//! its compilers: the image folded by the first stride, averages computed by the array. A depthwise convolution runs in
//! groups that fill the array's filters. These choices were made among some hundred with the figures in sight, so the
//! errors are kinder than those of a network that nobody has seen would be. Most weight has the depthwise convolution:
//! in groups of C_vec channels the mean error is 13 % and the largest 40 %.

pub mod alexnet;
mod lower;
mod nets;
pub mod resnet8;
mod shapes;

use crate::{architecture::Architecture, timing::Estimate};

/// The architecture that all nine networks are taken to run on. P x Q x C_vec x K_vec are assumed; buffers are those of
/// the one name that Intel's documents show (`4x2x16x32_fp16_sb9408_fcd1024`); kernels behind the array take a word of
/// C_vec values in a cycle.
pub const ARCHITECTURE: &str =
    "4x2x16x64_fp11_sb9408_fcd1024_actk16_poolk16_normk16_owk16_image300x300x8192_mbfr";

/// Rate of the card's memory: two banks of DDR4-2133, 64 bits wide, 17 GB/s each, as cards with an Arria 10 have.
pub const DDR_GB_S: f64 = 34.0;

/// FITTED: the clock, in MHz. [`fit`] gives it.
pub const FITTED_CLOCK_MHZ: f64 = 243.0;

/// Clocks that the fit looks at, in MHz.
const CLOCKS: std::ops::RangeInclusive<u32> = 150..=400;

/// A network of the chart.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    /// As the chart names it.
    pub name: &'static str,
    /// Frames in a second, as published.
    pub published: f64,
    /// Frames in a second, by the model with the scalars fitted to all.
    pub model: f64,
    /// The same, fitted to the other networks.
    pub left_out: f64,
}

impl Row {
    /// How far the model is off: 0.1 is a tenth too fast.
    pub fn error(&self) -> f64 {
        self.model / self.published - 1.0
    }

    /// How far the model is off that has not seen this network.
    pub fn error_left_out(&self) -> f64 {
        self.left_out / self.published - 1.0
    }
}

/// The fit, and what it says.
#[derive(Clone, PartialEq, Debug)]
pub struct Fit {
    /// The clock, in MHz.
    pub clock_mhz: f64,
    /// What each inference takes beside its passes, in microseconds.
    pub overhead_us: f64,
    /// The networks.
    pub rows: Vec<Row>,
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (count, sum) = values.fold((0.0, 0.0), |(count, sum), value| (count + 1.0, sum + value.abs()));
    sum / count
}

impl Fit {
    /// The mean of the errors' sizes.
    pub fn mean_error(&self) -> f64 {
        mean(self.rows.iter().map(Row::error))
    }

    /// The mean of the errors' sizes, each of a fit without the network.
    pub fn mean_error_left_out(&self) -> f64 {
        mean(self.rows.iter().map(Row::error_left_out))
    }

    /// The largest error's size.
    pub fn worst_error(&self) -> f64 {
        self.rows.iter().map(|row| row.error().abs()).fold(0.0, f64::max)
    }

    /// Spearman's correlation of the ranks: 1 when the model orders the networks as the chart does.
    pub fn rank_correlation(&self) -> f64 {
        let ranks = |value: fn(&Row) -> f64| -> Vec<f64> {
            let below = |own: f64| self.rows.iter().filter(|row| value(row) < own).count() as f64;
            self.rows.iter().map(|row| below(value(row))).collect()
        };
        let (published, model) = (ranks(|row| row.published), ranks(|row| row.model));
        let squares: f64 = published.iter().zip(&model).map(|(a, b)| (a - b) * (a - b)).sum();
        let n = self.rows.len() as f64;
        1.0 - 6.0 * squares / (n * (n * n - 1.0))
    }
}

/// A network's published microseconds, and the model's without the overhead, at each clock.
struct Curve {
    published: f64,
    model: Vec<f64>,
}

/// The clock (its number in [`CLOCKS`]) and overhead with the least sum of squared relative errors of the time. For each
/// clock the best overhead is known in closed form.
fn least_squares<'a>(curves: impl Iterator<Item = &'a Curve> + Clone) -> (usize, f64) {
    let at = |clock: usize| {
        let terms = curves.clone().map(|curve| (curve.model[clock] / curve.published, 1.0 / curve.published));
        let (along, squares) = terms
            .clone()
            .fold((0.0, 0.0), |(a, b), (model, unit)| (a + unit * (1.0 - model), b + unit * unit));
        let overhead = (along / squares).max(0.0);
        let error: f64 = terms.map(|(model, unit)| (model + overhead * unit - 1.0).powi(2)).sum();
        (clock, overhead, error)
    };
    let best = (0..CLOCKS.count()).map(at).min_by(|a, b| a.2.total_cmp(&b.2)).expect("there are clocks");
    (best.0, best.1)
}

/// Fits the two scalars to Intel's nine figures.
pub fn fit() -> Fit {
    let mut architecture: Architecture = ARCHITECTURE.parse().expect("a test parses it");
    architecture.ddr_gb_s = DDR_GB_S;
    let mut curve = |net: &nets::Published| {
        let instructions = lower::lower(&(net.build)(), &architecture);
        let mut at = |clock: u32| {
            architecture.clock_mhz = clock.into();
            Estimate::of(&architecture, &instructions, &[]).cycles as f64 / architecture.clock_mhz
        };
        Curve { published: 1e6 / net.fps, model: CLOCKS.map(&mut at).collect() }
    };
    let curves: Vec<Curve> = nets::NETS.iter().map(&mut curve).collect();
    let (clock, overhead_us) = least_squares(curves.iter());
    let row = |(i, net): (usize, &nets::Published)| {
        let others = curves.iter().enumerate().filter(|(other, _)| *other != i).map(|(_, curve)| curve);
        let (clock_left_out, overhead_left_out) = least_squares(others);
        Row {
            name: net.name,
            published: net.fps,
            model: 1e6 / (curves[i].model[clock] + overhead_us),
            left_out: 1e6 / (curves[i].model[clock_left_out] + overhead_left_out),
        }
    };
    let rows = nets::NETS.iter().enumerate().map(row).collect();
    Fit { clock_mhz: f64::from(*CLOCKS.start()) + clock as f64, overhead_us, rows }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timing::FITTED_OVERHEAD_US;

    #[test]
    fn the_fit_is_as_good_as_it_is_said_to_be() {
        let fit = fit();
        assert_eq!(fit.clock_mhz, FITTED_CLOCK_MHZ);
        assert!((fit.overhead_us - FITTED_OVERHEAD_US).abs() < 0.05);
        assert!(fit.mean_error() <= 0.12);
        assert!(fit.mean_error_left_out() <= 0.18);
        assert!(fit.worst_error() <= 0.30);
        assert!(fit.rank_correlation() >= 0.9);
    }

    /// Multiplications and additions as the networks' papers and model zoos give them, in 10^9.
    #[test]
    fn the_networks_are_what_their_names_say() {
        let known = [62.8, 0.78, 15.2, 7.7, 0.6, 1.14, 2.3, 11.4, 3.2];
        for (net, known) in nets::NETS.iter().zip(known) {
            let flops: u64 = (net.build)().nodes.iter().map(|node| node.flops).sum();
            let found = flops as f64 / 1e9;
            assert!((found / known - 1.0).abs() < 0.05, "{}: {found} against {known}", net.name);
        }
    }

    #[test]
    fn a_larger_stream_buffer_is_never_slower() {
        for net in &nets::NETS {
            let mut last = (u64::MAX, u64::MAX);
            for depth in [1000, 2000, 4000, 9408, 20_000, 100_000] {
                let name = ARCHITECTURE.replace("sb9408", &format!("sb{depth}"));
                let architecture: Architecture = name.parse().unwrap();
                let program = lower::lower(&(net.build)(), &architecture);
                let estimate = Estimate::of(&architecture, &program, &[]);
                let now = (estimate.cycles, estimate.traffic()[1]);
                assert!(
                    now.0 <= last.0 && now.1 <= last.1,
                    "{} at {depth}: {now:?} after {last:?}",
                    net.name
                );
                last = now;
            }
        }
    }
}
