//! Filters as the inner loop takes them: panels of channels, whatever the vectors of the architecture.

use super::instruction_sets::{PANEL, Row, Scales};
use crate::{
    architecture::{Architecture, Precision},
    instruction::{Activation, Convolve},
    number::{block_unit, from_fp16},
    ranges::{FilterLayout, mantissa_bytes},
};

/// The largest biased exponent of a block.
const LARGEST_EXPONENT: u8 = 30;

/// The filters of a convolution, repacked. Channels that fill the last panel of a group are zeros.
pub(super) struct Filters {
    /// Panels of a group.
    pub(super) panels: usize,
    /// Rows of a panel: one for each pair of input channels of each tap.
    pub(super) panel_rows: usize,
    /// Taps: a block each.
    pub(super) taps: usize,
    /// By group, panel, tap, pair.
    pub(super) rows: Vec<Row>,
    /// By group, panel, tap.
    pub(super) scales: Vec<Scales>,
    /// By group, panel.
    pub(super) biases: Vec<[f32; PANEL]>,
    /// By group, panel; zeros if the activation needs none.
    pub(super) slopes: Vec<[f32; PANEL]>,
}

/// Bytes that [`Filters::unpack`] will make.
pub(super) fn unpacked_bytes(architecture: &Architecture, c: &Convolve, layout: &FilterLayout) -> u64 {
    let panels = u64::from(c.groups) * u64::from(c.out_channels).div_ceil(PANEL as u64);
    let tap = size_of::<Row>() as u64 * u64::from(architecture.input_vector / 2) + size_of::<Scales>() as u64;
    panels * (layout.taps as u64 * tap + 8 * PANEL as u64)
}

impl Filters {
    /// From the constants, whose length the layout has been checked against.
    pub(super) fn unpack(
        architecture: &Architecture,
        c: &Convolve,
        layout: &FilterLayout,
        constants: &[u8],
    ) -> Result<Self, String> {
        let pairs = architecture.input_vector as usize / 2;
        let panels = usize::from(c.out_channels).div_ceil(PANEL);
        let all = usize::from(c.groups) * panels;
        let mut filters = Self {
            panels,
            panel_rows: layout.taps * pairs,
            taps: layout.taps,
            rows: vec![Row([0; PANEL]); all * layout.taps * pairs],
            scales: vec![Scales([0.0; PANEL]); all * layout.taps],
            biases: vec![[0.0; PANEL]; all],
            slopes: vec![[0.0; PANEL]; all],
        };
        for group in 0..usize::from(c.groups) {
            let constants = &constants[layout.at + group * layout.group..][..layout.group];
            for channel in 0..usize::from(c.out_channels) {
                let panel = group * panels + channel / PANEL;
                filters
                    .channel(architecture, c, layout, constants, channel, panel)
                    .map_err(|what| format!("the filter of channel {channel} of group {group}: {what}"))?;
            }
        }
        Ok(filters)
    }

    /// One channel, from the constants of its group.
    fn channel(
        &mut self,
        architecture: &Architecture,
        c: &Convolve,
        layout: &FilterLayout,
        constants: &[u8],
        channel: usize,
        panel: usize,
    ) -> Result<(), String> {
        let vector = architecture.output_vector as usize;
        let (lane, own, part) = (channel % PANEL, channel % vector, channel / vector);
        let four = |at: usize| std::array::from_fn(|i| constants[at + i]);
        self.biases[panel][lane] = f32::from_le_bytes(four(4 * channel));
        if c.activation == Activation::Prelu {
            let at = layout.slopes + 2 * channel;
            self.slopes[panel][lane] = from_fp16(u16::from_le_bytes([constants[at], constants[at + 1]]));
        }
        let exponents = &constants[layout.exponents + part * layout.taps * vector..];
        for (tap, scales) in self.scales[panel * self.taps..][..self.taps].iter_mut().enumerate() {
            let exponent = exponents[tap * vector + own];
            if exponent > LARGEST_EXPONENT {
                return Err(format!(
                    "block {tap} has exponent {exponent}; the largest is {LARGEST_EXPONENT}"
                ));
            }
            scales.0[lane] = block_unit(exponent, architecture.precision);
        }
        let size = usize::from(mantissa_bytes(architecture));
        let most = (1i16 << architecture.precision.mantissa_bits()) - 1;
        let mantissas = &constants[layout.mantissas + part * self.panel_rows * vector * 2 * size..];
        let rows = &mut self.rows[panel * self.panel_rows..][..self.panel_rows];
        for (number, row) in rows.iter_mut().enumerate() {
            let at = (number * vector + own) * 2 * size;
            let pair: [i16; 2] = match architecture.precision {
                Precision::Fp11 => [0, 1].map(|i| i16::from(mantissas[at + i] as i8)),
                Precision::Fp16 => {
                    [0, 2].map(|i| i16::from_le_bytes([mantissas[at + i], mantissas[at + i + 1]]))
                }
            };
            if let Some(wrong) = pair.iter().find(|mantissa| !(-most..=most).contains(*mantissa)) {
                return Err(format!("a mantissa is {wrong}; they are from -{most} to {most}"));
            }
            row.0[lane] = bytemuck::cast(pair);
        }
        Ok(())
    }
}
