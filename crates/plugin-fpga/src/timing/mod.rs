//! The cycle model: what a program takes on an architecture. A model's times, never a measurement; they depend on
//! the descriptors alone, so every input takes the same.
//!
//! | part | cycles |
//! |---|---|
//! | array | for each group and each K_vec of its filters: ceil(H / P) ceil(W / Q) in_blocks R S |
//! | kernels behind it | for each P x Q places, the slowest of: values / vector, for pooling those that it reads |
//! | card's memory | one request after the other, in the order of the descriptors |
//! | filters | bytes / rate of the memory, ahead of the array as far as the cache has room; K_vec filters that do not fit a half of it are read for each P x Q places anew |
//! | feature maps | bytes / rate of the memory, while the array works on other words |
//! | pipeline | [`fill_cycles`] for each pass |
//! | inference | [`FITTED_OVERHEAD_US`] |

mod pass;
pub mod pcie;
pub mod resources;
mod schedule;
#[cfg(test)]
mod tests;
pub mod timeline;

pub use schedule::{Lane, Span};

use crate::{
    architecture::Architecture,
    instruction::Instruction,
    program::{Layer, Program},
};
use pass::Pass;
use schedule::Schedule;

/// FITTED: what each inference takes beside its passes, in microseconds: starting it, and the end that is reported.
/// [`crate::published::fit`] gives it.
pub const FITTED_OVERHEAD_US: f64 = 123.6;

/// Cycles from a pass's last operands to its last result in the stream buffer.
///
/// The filters' vectors are a chain that operands pass link by link (arXiv 1701.03534, section 3: a one-dimensional
/// systolic array), so the last of K_vec is K_vec cycles behind the first; the dot product is a tree over C_vec.
pub fn fill_cycles(architecture: &Architecture) -> u64 {
    u64::from(architecture.output_vector + architecture.input_vector.ilog2())
}

/// What holds a layer up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Bound {
    /// The array.
    Compute,
    /// The kernels behind it.
    Auxiliary,
    /// Reading filters.
    Filters,
    /// Moving feature maps.
    Features,
}

impl Bound {
    /// As reports write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Compute => "compute",
            Self::Auxiliary => "auxiliary",
            Self::Filters => "ddr filters",
            Self::Features => "ddr features",
        }
    }
}

/// A layer's share, by the model.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct LayerEstimate {
    /// The node's name.
    pub name: String,
    /// The op.
    pub kind: String,
    /// By how much it makes the inference longer.
    pub cycles: u64,
    /// What the array would take alone.
    pub compute: u64,
    /// What the kernels behind it would take alone.
    pub auxiliary: u64,
    /// Bytes of filters and parameters that are read.
    pub filter_bytes: u64,
    /// Bytes of feature maps that are read or written in the card's memory.
    pub feature_bytes: u64,
    /// What reading the filters would take alone.
    pub filter_cycles: u64,
    /// What moving the feature maps would take alone.
    pub feature_cycles: u64,
    /// Multiplications and additions that the model asks for.
    pub flops: u64,
}

impl LayerEstimate {
    /// The part that alone would take longest.
    pub fn bound(&self) -> Bound {
        let parts = [
            (self.feature_cycles, Bound::Features),
            (self.filter_cycles, Bound::Filters),
            (self.auxiliary, Bound::Auxiliary),
            (self.compute, Bound::Compute),
        ];
        parts.into_iter().max_by_key(|(cycles, _)| *cycles).expect("there are four").1
    }
}

/// What a program takes, by the model.
#[derive(Clone, PartialEq, Debug)]
pub struct Estimate {
    /// By the numbers of the program's layers.
    pub layers: Vec<LayerEstimate>,
    /// From the first descriptor to the last; the sum of the layers' cycles.
    pub cycles: u64,
    /// The clock, in MHz.
    pub clock_mhz: f64,
    /// Who works when, for pictures.
    pub spans: Vec<Span>,
}

impl Estimate {
    /// Runs the model over a program.
    pub fn new(architecture: &Architecture, program: &Program) -> Self {
        Self::of(architecture, &program.instructions, &program.layers)
    }

    /// Runs the model over descriptors.
    pub fn of(architecture: &Architecture, instructions: &[Instruction], layers: &[Layer]) -> Self {
        Self::interleaved(architecture, 1, instructions, layers)
    }

    /// The same for an array whose accumulators take turns: each place's next operand enters only `interleave` cycles
    /// later, meanwhile those of its neighbours in the row do. A row is rounded up to whole turns.
    pub fn interleaved(
        architecture: &Architecture,
        interleave: u32,
        instructions: &[Instruction],
        layers: &[Layer],
    ) -> Self {
        let interleave = u64::from(interleave.max(1));
        let mut estimates: Vec<LayerEstimate> = layers.iter().map(named).collect();
        let mut schedule = Schedule::new(architecture);
        let mut chained = Pass::default();
        for instruction in instructions {
            let before = schedule.end();
            let Some(layer) = instruction.layer() else { break };
            let estimate = at(&mut estimates, layer);
            match instruction {
                Instruction::Load(transfer) | Instruction::Store(transfer) => {
                    let bytes = u64::from(transfer.count) * u64::from(architecture.word_bytes());
                    estimate.feature_bytes += bytes;
                    estimate.feature_cycles += schedule.memory_cycles(bytes);
                    schedule.transfer(transfer);
                }
                Instruction::Convolve(convolve) => {
                    let pass = Pass::of_convolve(architecture, interleave, convolve);
                    if convolve.chained {
                        chained = pass;
                        continue;
                    }
                    count(estimate, &pass, &schedule);
                    schedule.pass(&pass);
                }
                Instruction::Auxiliary(auxiliary) => {
                    let behind =
                        if auxiliary.chained { std::mem::take(&mut chained) } else { Pass::default() };
                    let pass = behind.with_auxiliary(architecture, auxiliary);
                    count(estimate, &pass, &schedule);
                    schedule.pass(&pass);
                }
                Instruction::End => break,
            }
            let estimate = at(&mut estimates, layer);
            estimate.cycles = estimate.cycles.saturating_add(schedule.end() - before);
        }
        Self {
            layers: estimates,
            cycles: schedule.end(),
            clock_mhz: architecture.clock_mhz,
            spans: schedule.spans,
        }
    }

    /// One inference on the device, in microseconds, with the overhead.
    pub fn microseconds(&self) -> f64 {
        self.cycles as f64 / self.clock_mhz + FITTED_OVERHEAD_US
    }

    /// Inferences in a second, one after the other.
    pub fn fps(&self) -> f64 {
        1e6 / self.microseconds()
    }

    /// Bytes that cross the border of the card's memory: filters and parameters, feature maps.
    pub fn traffic(&self) -> [u64; 2] {
        let sum = |part: fn(&LayerEstimate) -> u64| self.layers.iter().map(part).fold(0, u64::saturating_add);
        [sum(|layer| layer.filter_bytes), sum(|layer| layer.feature_bytes)]
    }
}

fn named(layer: &Layer) -> LayerEstimate {
    LayerEstimate {
        name: layer.name.clone(),
        kind: layer.kind.clone(),
        flops: layer.flops,
        ..LayerEstimate::default()
    }
}

/// The layer's row; a program that names more layers than it lists gets rows without names.
fn at(estimates: &mut Vec<LayerEstimate>, layer: u16) -> &mut LayerEstimate {
    let layer = usize::from(layer);
    if layer >= estimates.len() {
        estimates.resize(layer + 1, LayerEstimate::default());
    }
    &mut estimates[layer]
}

fn count(estimate: &mut LayerEstimate, pass: &Pass, schedule: &Schedule) {
    let bytes = pass.constant_bytes();
    let array = pass.compute.saturating_mul(pass.portions);
    for (sum, part) in [
        (&mut estimate.compute, array),
        (&mut estimate.auxiliary, pass.auxiliary),
        (&mut estimate.filter_bytes, bytes),
        (&mut estimate.filter_cycles, schedule.memory_cycles(bytes)),
    ] {
        *sum = sum.saturating_add(part);
    }
}
