//! The array: a convolution over blocks.

use super::{
    activation::{activate, add, addend, round},
    filters::Filters,
    instruction_sets::{InstructionSet, PANEL, Sums, TILE, Tile},
    threads::{Threads, divide, each},
};
use crate::{
    architecture::{Architecture, Precision},
    instruction::Convolve,
    number::to_fp16,
};
use std::{ops::Range, sync::Arc};

/// Offsets that are kept at once: a window for each place of some tiles.
const OFFSETS: usize = 1 << 15;
/// The most tiles whose input stays near while the panels pass.
const NEAR: usize = 64;

/// A convolution that is ready to run.
pub(super) struct Convolution {
    pub(super) c: Convolve,
    pub(super) filters: Arc<Filters>,
    pub(super) vector: usize,
    pub(super) precision: Precision,
}

/// The input in block form, with a place of zeros at its end; kept from one convolution to the next.
#[derive(Default)]
pub(super) struct Blocks {
    mantissas: Vec<i32>,
    units: Vec<f32>,
}

/// What all threads read.
#[derive(Clone, Copy)]
struct Job<'a> {
    convolution: &'a Convolution,
    set: InstructionSet,
    blocks: &'a Blocks,
    stream: &'a [u16],
    constants: &'a [u8],
}

/// What one thread makes: panels of places. `values` begins at the first channel of them, or is all channels.
struct Part<'a> {
    places: Range<usize>,
    panels: Range<usize>,
    values: &'a mut [u16],
}

impl Convolution {
    pub(super) fn new(architecture: &Architecture, c: Convolve, filters: Arc<Filters>) -> Self {
        let vector = architecture.input_vector as usize;
        Self { c, filters, vector, precision: architecture.precision }
    }

    /// Words of a place of the output.
    pub(super) fn words(&self) -> usize {
        usize::from(self.c.groups) * usize::from(self.c.out_channels).div_ceil(self.vector)
    }

    /// Values of a place of the output.
    fn width(&self) -> usize {
        self.words() * self.vector
    }

    /// Values that the whole convolution makes.
    pub(super) fn made(&self) -> usize {
        usize::from(self.c.out_height) * usize::from(self.c.out_width) * self.width()
    }

    /// The value of a place where a panel begins.
    fn start(&self, panel: usize) -> usize {
        let group = panel / self.filters.panels;
        group * self.width() / usize::from(self.c.groups) + panel % self.filters.panels * PANEL
    }

    /// Runs it: all places and channels, without gaps, in `values`.
    pub(super) fn run(
        &self,
        (set, threads): (InstructionSet, Threads),
        blocks: &mut Blocks,
        stream: &[u16],
        constants: &[u8],
        values: &mut [u16],
    ) {
        let places = usize::from(self.c.out_height) * usize::from(self.c.out_width);
        let work = places * self.filters.rows.len() * 2 * PANEL;
        let threads = threads.of(work);
        blocks.form(self, set, threads, stream);
        values.fill(0);
        let panels = usize::from(self.c.groups) * self.filters.panels;
        let parts = if places > 1 {
            let of_places = |(first, values): (usize, _)| {
                let values: &mut [u16] = values;
                Part { places: first..first + values.len() / self.width(), panels: 0..panels, values }
            };
            divide(values, self.width(), threads).into_iter().map(of_places).collect()
        } else {
            self.by_panels(panels, threads, values)
        };
        let job = Job { convolution: self, set, blocks, stream, constants };
        each(parts, |part| job.run(part));
    }

    /// One place, each thread some of its panels.
    fn by_panels<'a>(&self, panels: usize, threads: usize, mut values: &'a mut [u16]) -> Vec<Part<'a>> {
        let count = panels.div_ceil(threads);
        let mut parts = Vec::new();
        for first in (0..panels).step_by(count) {
            let last = (first + count).min(panels);
            let end = if last == panels { values.len() } else { self.start(last) - self.start(first) };
            let (own, rest) = values.split_at_mut(end);
            parts.push(Part { places: 0..1, panels: first..last, values: own });
            values = rest;
        }
        parts
    }

    /// The first block of what each of the places reads at each tap of the window.
    fn offsets(&self, places: Range<usize>, offsets: &mut Vec<[u32; TILE]>) {
        let c = &self.c;
        let words = usize::from(c.groups) * usize::from(c.in_blocks);
        let zeros = usize::from(c.in_height) * usize::from(c.in_width) * words;
        // Where the tap lies on an axis, if it lies in the image.
        let along = |axis: usize, out: usize, tap: usize, size: u16| {
            let fine = out * usize::from(c.stride[axis]) + tap * usize::from(c.dilation[axis]);
            let fine = fine.checked_sub(c.pad[axis].into())?;
            let zoom = usize::from(c.zoom[axis]);
            (fine % zoom == 0 && fine / zoom < size.into()).then_some(fine / zoom)
        };
        let columns = usize::from(c.kernel[1]);
        let window = usize::from(c.kernel[0]) * columns;
        offsets.clear();
        offsets.resize(places.len().div_ceil(TILE) * window, [zeros as u32; TILE]);
        for (i, place) in places.enumerate() {
            let (y, x) = (place / usize::from(c.out_width), place % usize::from(c.out_width));
            let tile = &mut offsets[i / TILE * window..][..window];
            for r in 0..usize::from(c.kernel[0]) {
                let Some(v) = along(0, y, r, c.in_height) else { continue };
                for s in 0..columns {
                    if let Some(u) = along(1, x, s, c.in_width) {
                        let block = (v * usize::from(c.in_width) + u) * words;
                        tile[r * columns + s][i % TILE] = block as u32;
                    }
                }
            }
        }
    }
}

impl Blocks {
    fn form(&mut self, convolution: &Convolution, set: InstructionSet, threads: usize, stream: &[u16]) {
        let c = &convolution.c;
        let (vector, width) = (convolution.vector, usize::from(c.in_width));
        let words = usize::from(c.groups) * usize::from(c.in_blocks);
        let places = usize::from(c.in_height) * width;
        self.mantissas.clear();
        self.mantissas.resize((places + 1) * words * vector / 2, 0);
        self.units.clear();
        self.units.resize((places + 1) * words, 0.0);
        let rows = usize::from(c.in_height).div_ceil(threads) * width;
        let mantissas = self.mantissas.chunks_mut(rows * words * vector / 2);
        let parts = mantissas.zip(self.units.chunks_mut(rows * words)).enumerate();
        // The place of zeros behind the last row may be a part of its own.
        let parts: Vec<_> = parts.filter(|(part, _)| part * rows < places).collect();
        each(parts, |(part, (mantissas, units))| {
            let first = part * rows;
            for place in first..(first + rows).min(places) {
                let from = (c.input.address as usize + place * usize::from(c.input.pitch)) * vector;
                let at = (place - first) * words;
                let mantissas = &mut mantissas[at * vector / 2..][..words * vector / 2];
                let values = &stream[from..][..words * vector];
                set.blocks(values, vector, convolution.precision, mantissas, &mut units[at..][..words]);
            }
        });
    }
}

impl Job<'_> {
    fn run(&self, part: Part) {
        let Self { convolution, blocks, .. } = *self;
        let (c, filters) = (&convolution.c, &convolution.filters);
        let window = usize::from(c.kernel[0]) * usize::from(c.kernel[1]);
        let near = (OFFSETS / window / TILE).clamp(1, NEAR) * TILE;
        let mut offsets = Vec::new();
        let mut sums: Sums = [[0.0; PANEL]; TILE];
        for first in part.places.clone().step_by(near) {
            let places = first..(first + near).min(part.places.end);
            convolution.offsets(places.clone(), &mut offsets);
            for panel in part.panels.clone() {
                let rows = &filters.rows[panel * filters.panel_rows..][..filters.panel_rows];
                let scales = &filters.scales[panel * filters.taps..][..filters.taps];
                for (i, offsets) in offsets.chunks_exact(window).enumerate() {
                    let first = places.start + i * TILE;
                    let count = (places.end - first).min(TILE);
                    let tile = Tile {
                        mantissas: &blocks.mantissas,
                        units: &blocks.units,
                        pairs: convolution.vector / 2,
                        offsets,
                        first: panel / filters.panels * usize::from(c.in_blocks),
                        blocks: c.in_blocks.into(),
                        rows,
                        scales,
                    };
                    self.set.sums(tile, count, &mut sums);
                    let skipped = convolution.start(part.panels.start);
                    for (place, sums) in (first..first + count).zip(&mut sums) {
                        let own = (place - part.places.start) * convolution.width();
                        let at = own + convolution.start(panel) - skipped;
                        self.drain(place, panel, sums, &mut part.values[at..]);
                    }
                }
            }
        }
    }

    /// From sums to fp16 values: bias, the one rounding, addend, activation.
    fn drain(&self, place: usize, panel: usize, sums: &mut [f32; PANEL], values: &mut [u16]) {
        let Self { convolution, stream, constants, .. } = *self;
        let (c, filters) = (&convolution.c, &convolution.filters);
        let channel = panel % filters.panels * PANEL;
        let count = (usize::from(c.out_channels) - channel).min(PANEL);
        for (sum, bias) in sums.iter_mut().zip(&filters.biases[panel]) {
            *sum = round(*sum + bias);
        }
        let own = &mut sums[..count];
        if let Some((map, sign)) = addend(c.addend) {
            let word = map.address as usize + place * usize::from(map.pitch);
            let at = word * convolution.vector + convolution.start(panel);
            add(own, &stream[at..][..count], sign);
        }
        activate(c.activation, constants, &filters.slopes[panel], own);
        values.iter_mut().zip(own).for_each(|(to, value)| *to = to_fp16(*value));
    }
}
