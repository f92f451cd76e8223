//! What a compiled network takes, for people, for programs, and as a picture. Every time in it is the cycle model's.

mod picture;
mod published;
#[cfg(test)]
mod tests;
mod text;

use crate::{
    architecture::Architecture,
    instruction::{Addend, Instruction, Map},
    program::Program,
    timing::{
        Estimate, FITTED_OVERHEAD_US, LayerEstimate,
        resources::{CARD, resources},
        timeline::{Parts, throughput},
    },
};
use serde_json::{Value, json};

pub use published::Published;

/// A program, the architecture that it is for, and the model's estimate.
pub struct Report<'a> {
    architecture: &'a Architecture,
    program: &'a Program,
    estimate: Estimate,
}

/// How much of a buffer a program uses, and how much there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Use {
    /// What is used.
    pub used: u64,
    /// What there is.
    pub all: u64,
}

impl<'a> Report<'a> {
    /// Runs the model.
    pub fn new(architecture: &'a Architecture, program: &'a Program) -> Self {
        Self { architecture, program, estimate: Estimate::new(architecture, program) }
    }

    /// The words of the stream buffer up to the last one that a descriptor names.
    pub fn stream_buffer(&self) -> Use {
        let used = self.program.instructions.iter().map(last_word).max().unwrap_or_default();
        Use { used, all: self.architecture.stream_words().into() }
    }

    /// Blocks for each filter of the largest portion, and what half of the filter cache holds.
    pub fn filter_cache(&self) -> Use {
        let blocks = |instruction: &Instruction| match instruction {
            Instruction::Convolve(c) => {
                u64::from(c.in_blocks) * u64::from(c.kernel[0]) * u64::from(c.kernel[1])
            }
            _ => 0,
        };
        let used = self.program.instructions.iter().map(blocks).max().unwrap_or_default();
        Use { used, all: self.architecture.filter_depth.into() }
    }

    /// Transfers over PCIe and the device's part of one inference.
    pub fn parts(&self) -> Parts {
        Parts::new(self.architecture, self.program, &self.estimate)
    }

    /// Layers that take time.
    fn layers(&self) -> impl Iterator<Item = &LayerEstimate> {
        self.estimate.layers.iter().filter(|layer| layer.cycles > 0)
    }

    /// A layer's part of what the array could compute in its time.
    fn efficiency(&self, layer: &LayerEstimate) -> f64 {
        let possible = self.architecture.peak_gflops() * 1e3 / self.architecture.clock_mhz;
        layer.flops as f64 / (layer.cycles as f64 * possible)
    }

    /// Frames in a second with one request and with two, transfers included.
    fn rates(&self) -> [f64; 2] {
        [1, 2].map(|requests| throughput(&self.parts(), requests))
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let clock = self.architecture.clock_mhz;
        let layer = |layer: &LayerEstimate| {
            json!({
                "name": layer.name,
                "type": layer.kind,
                "cycles": layer.cycles,
                "microseconds": layer.cycles as f64 / clock,
                "bound": layer.bound().name(),
                "compute_cycles": layer.compute,
                "auxiliary_cycles": layer.auxiliary,
                "filter_cycles": layer.filter_cycles,
                "feature_cycles": layer.feature_cycles,
                "filter_bytes": layer.filter_bytes,
                "feature_bytes": layer.feature_bytes,
                "flops": layer.flops,
                "efficiency": self.efficiency(layer),
            })
        };
        let used = |buffer: Use| json!({ "used": buffer.used, "of": buffer.all });
        let parts = self.parts();
        let [filter_bytes, feature_bytes] = self.estimate.traffic();
        let [one, two] = self.rates();
        let needs = resources(self.architecture);
        json!({
            "times": "of a cycle model; no board was measured",
            "architecture": self.architecture.to_json(),
            "peak_gflops": self.architecture.peak_gflops(),
            "resources": {
                "dsp_blocks": used(Use { used: needs.dsp_blocks, all: CARD.dsp_blocks }),
                "m20k_blocks": used(Use { used: needs.memory_blocks, all: CARD.memory_blocks }),
            },
            "buffers": {
                "stream_words": used(self.stream_buffer()),
                "filter_blocks": used(self.filter_cache()),
            },
            "descriptors": self.program.instructions.len(),
            "constant_bytes": self.program.constants.len(),
            "cycles": self.estimate.cycles,
            "fitted_overhead_us": FITTED_OVERHEAD_US,
            "microseconds": { "write": parts.write, "device": parts.device, "read": parts.read },
            "fps": { "device": self.estimate.fps(), "one_request": one, "two_requests": two },
            "ddr_bytes": { "filters": filter_bytes, "features": feature_bytes },
            "layers": self.layers().map(layer).collect::<Vec<_>>(),
        })
    }
}

/// The word behind the last one of the stream buffer that an instruction names.
fn last_word(instruction: &Instruction) -> u64 {
    let end = |map: Map, height: u16, width: u16| {
        u64::from(map.address) + u64::from(height) * u64::from(width) * u64::from(map.pitch)
    };
    let added = |addend: Addend, height, width| match addend {
        Addend::None => 0,
        Addend::Plus(map) | Addend::Minus(map) => end(map, height, width),
    };
    match instruction {
        Instruction::Load(transfer) | Instruction::Store(transfer) => {
            u64::from(transfer.stream) + u64::from(transfer.count)
        }
        Instruction::Convolve(c) => {
            let output = if c.chained { 0 } else { end(c.output, c.out_height, c.out_width) };
            let input = end(c.input, c.in_height, c.in_width);
            output.max(input).max(added(c.addend, c.out_height, c.out_width))
        }
        Instruction::Auxiliary(a) => {
            let input = if a.chained { 0 } else { end(a.input, a.in_height, a.in_width) };
            let output = end(a.output, a.out_height, a.out_width);
            output.max(input).max(added(a.addend, a.out_height, a.out_width))
        }
        Instruction::End => 0,
    }
}
