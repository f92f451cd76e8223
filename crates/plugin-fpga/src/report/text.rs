//! The report as text.

use super::{Report, Use};
use crate::timing::{
    FITTED_OVERHEAD_US,
    resources::{CARD, resources},
};
use std::fmt;

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} of {}", self.used, self.all)
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let clock = self.architecture.clock_mhz;
        let needs = resources(self.architecture);
        let dsp = Use { used: needs.dsp_blocks, all: CARD.dsp_blocks };
        let memory = Use { used: needs.memory_blocks, all: CARD.memory_blocks };
        writeln!(f, "Architecture   {}", self.architecture)?;
        let gflops = self.architecture.peak_gflops();
        writeln!(
            f,
            "               {clock} MHz, at most {gflops:.1} GFLOPS, DDR {} GB/s",
            self.architecture.ddr_gb_s
        )?;
        writeln!(
            f,
            "Arria 10 1150  {dsp} DSP blocks, {memory} M20K blocks: array and buffers, counted, not synthesised"
        )?;
        if dsp.used > dsp.all {
            writeln!(f, "               multipliers beyond the DSP blocks would be logic")?;
        }
        let constants = megabytes(self.program.constants.len() as u64);
        writeln!(
            f,
            "Program        {} descriptors, {constants:.2} MB of constants",
            self.program.instructions.len()
        )?;
        writeln!(f, "Stream buffer  {} words", self.stream_buffer())?;
        let filters = self.filter_cache();
        let fit = if filters.used > filters.all { ": the largest are read for each tile anew" } else { "" };
        writeln!(f, "Filter cache   {filters} blocks for each filter{fit}\n")?;

        writeln!(f, "Times are of a cycle model; no board was measured.")?;
        let names = self.layers().map(|layer| layer.name.chars().count()).max().unwrap_or(0).clamp(5, 48);
        writeln!(
            f,
            "{:names$} {:>20} {:>11} {:>10} {:>6} {:>12} {:>9} {:>9} {:>6}",
            "Layer", "Type", "Cycles", "us", "%", "Bound", "DDR filt", "DDR feat", "Array"
        )?;
        let total = self.estimate.cycles.max(1) as f64;
        for layer in self.layers() {
            let name: String = layer.name.chars().take(names).collect();
            writeln!(
                f,
                "{name:names$} {:>20} {:>11} {:>10.1} {:>6.1} {:>12} {:>6.2} MB {:>6.2} MB {:>5.0}%",
                layer.kind,
                layer.cycles,
                layer.cycles as f64 / clock,
                100.0 * layer.cycles as f64 / total,
                layer.bound().name(),
                megabytes(layer.filter_bytes),
                megabytes(layer.feature_bytes),
                100.0 * self.efficiency(layer),
            )?;
        }
        let [filter_bytes, feature_bytes] = self.estimate.traffic().map(megabytes);
        let parts = self.parts();
        let [one, two] = self.rates();
        let cycles = self.estimate.cycles;
        writeln!(f, "\nTotal          {cycles} cycles, {:.1} us at {clock} MHz", cycles as f64 / clock)?;
        writeln!(f, "DDR traffic    {filter_bytes:.2} MB of filters, {feature_bytes:.2} MB of feature maps")?;
        writeln!(
            f,
            "Inference      {:.1} us with {FITTED_OVERHEAD_US} us of overhead (fitted): {:.1} FPS on the device",
            parts.device,
            self.estimate.fps()
        )?;
        writeln!(
            f,
            "Transfers      {:.1} us to the card, {:.1} us from it: {one:.1} FPS with one request, {two:.1} with two",
            parts.write, parts.read
        )
    }
}
