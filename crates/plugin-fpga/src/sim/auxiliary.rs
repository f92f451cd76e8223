//! The kernels beside the array: pooling, scale and shift, addition, normalisation, activation.

use super::{
    activation::{activate, add, addend, entry, round},
    threads::{Threads, divide, each},
};
use crate::{
    architecture::Architecture,
    instruction::{Activation, Auxiliary, Pooling},
    number::{from_fp16, to_fp16},
    ranges::{ParameterLayout, TABLE},
};

/// An auxiliary instruction that is ready to run.
pub(super) struct Kernels {
    pub(super) a: Auxiliary,
    vector: usize,
    /// One for each lane; empty without.
    scales: Vec<f32>,
    shifts: Vec<f32>,
    slopes: Vec<f32>,
    /// a and k of normalisation, and where its table lies.
    normalisation: Option<(f32, f32, usize)>,
}

/// The values that it reads: a map in the stream buffer, or what the convolution before has made.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    /// From the first value of the map on.
    pub(super) values: &'a [u16],
    /// Values from one place to the next.
    pub(super) pitch: usize,
}

/// The places of a window along one axis that lie in the image, and how many lie in the image and its padding.
struct Window {
    start: usize,
    end: usize,
    padded: usize,
}

impl Kernels {
    /// With its parameters, whose extent has been checked.
    pub(super) fn new(architecture: &Architecture, a: Auxiliary, constants: &[u8]) -> Self {
        let vector = architecture.input_vector as usize;
        let lanes = usize::from(a.blocks) * vector;
        let layout = ParameterLayout::new(architecture, &a);
        let float = |at: usize| f32::from_le_bytes(std::array::from_fn(|i| constants[at + i]));
        let floats =
            |there: bool, at: usize| (0..if there { lanes } else { 0 }).map(|i| float(at + 4 * i)).collect();
        let slopes = if a.activation == Activation::Prelu { lanes } else { 0 };
        Self {
            a,
            vector,
            scales: floats(a.scaled, layout.scales),
            shifts: floats(a.scaled, layout.shifts),
            slopes: (0..slopes).map(|lane| entry(&constants[layout.slopes + 2 * lane..], 0)).collect(),
            normalisation: (a.norm_size > 0)
                .then(|| (float(layout.coefficients), float(layout.coefficients + 4), layout.table)),
        }
    }

    fn lanes(&self) -> usize {
        usize::from(self.a.blocks) * self.vector
    }

    /// Values that it makes.
    pub(super) fn made(&self) -> usize {
        usize::from(self.a.out_height) * usize::from(self.a.out_width) * self.lanes()
    }

    /// Runs it: all places without gaps, in `values`.
    pub(super) fn run(
        &self,
        threads: Threads,
        input: Input,
        stream: &[u16],
        constants: &[u8],
        values: &mut [u16],
    ) {
        let window = usize::from(self.a.kernel[0]) * usize::from(self.a.kernel[1]);
        let threads = threads.of(values.len() * window);
        each(divide(values, self.lanes(), threads), |(first, values)| {
            let mut place_values = vec![0.0; self.lanes()];
            let mut squares = vec![0.0; if self.normalisation.is_some() { self.lanes() } else { 0 }];
            for (place, to) in (first..).zip(values.chunks_exact_mut(self.lanes())) {
                self.place(place, input, stream, constants, &mut place_values, &mut squares);
                to.iter_mut().zip(&place_values).for_each(|(to, value)| *to = to_fp16(*value));
            }
        });
    }

    fn place(
        &self,
        place: usize,
        input: Input,
        stream: &[u16],
        constants: &[u8],
        values: &mut [f32],
        squares: &mut [f32],
    ) {
        let a = &self.a;
        let (y, x) = (place / usize::from(a.out_width), place % usize::from(a.out_width));
        self.pool(y, x, input, values);
        for ((value, scale), shift) in values.iter_mut().zip(&self.scales).zip(&self.shifts) {
            *value = round(*value * scale + shift);
        }
        if let Some((map, sign)) = addend(a.addend) {
            let at = (map.address as usize + place * usize::from(map.pitch)) * self.vector;
            add(values, &stream[at..], sign);
        }
        if let Some((factor, k, table)) = self.normalisation {
            let table = &constants[table..][..2 * TABLE];
            squares.iter_mut().zip(&*values).for_each(|(square, value)| *square = value * value);
            let half = usize::from(a.norm_size / 2);
            for (lane, value) in values.iter_mut().enumerate() {
                let near = lane.saturating_sub(half)..(lane + half + 1).min(squares.len());
                let sum = squares[near].iter().fold(0.0, |sum, square| sum + square);
                *value = round(*value * entry(table, to_fp16(k + factor * sum)));
            }
        }
        activate(a.activation, constants, &self.slopes, values);
    }

    fn window(&self, axis: usize, out: usize, size: u16) -> Window {
        let a = &self.a;
        let image = usize::from(size) * usize::from(a.repeat[axis]);
        let pad = usize::from(a.pad[axis]);
        // In steps from the beginning of the padding.
        let start = out * usize::from(a.stride[axis]);
        let end = start + usize::from(a.kernel[axis]);
        Window {
            start: start.saturating_sub(pad).min(image),
            end: end.saturating_sub(pad).min(image),
            padded: end.min(image + 2 * pad).saturating_sub(start),
        }
    }

    fn pool(&self, y: usize, x: usize, input: Input, values: &mut [f32]) {
        let a = &self.a;
        let [repeat_rows, repeat_columns] = a.repeat.map(usize::from);
        let read = |row: usize, column: usize| {
            let place = row / repeat_rows * usize::from(a.in_width) + column / repeat_columns;
            input.values[place * input.pitch..][..self.lanes()].iter().map(|bits| from_fp16(*bits))
        };
        let (rows, columns) = (self.window(0, y, a.in_height), self.window(1, x, a.in_width));
        let places = (rows.start..rows.end)
            .flat_map(|row| (columns.start..columns.end).map(move |column| (row, column)));
        let n = match a.pooling {
            Pooling::None => {
                let [row, column] = [y * usize::from(a.stride[0]), x * usize::from(a.stride[1])];
                return values.iter_mut().zip(read(row, column)).for_each(|(to, value)| *to = value);
            }
            Pooling::Max => {
                let mut empty = true;
                for (row, column) in places {
                    let values = values.iter_mut().zip(read(row, column));
                    values.for_each(|(to, value)| *to = if empty { value } else { to.max(value) });
                    empty = false;
                }
                if empty {
                    values.fill(0.0);
                }
                return;
            }
            Pooling::Average => places.clone().count(),
            Pooling::AveragePadded => rows.padded * columns.padded,
        };
        values.fill(0.0);
        for (row, column) in places {
            values.iter_mut().zip(read(row, column)).for_each(|(to, value)| *to += value);
        }
        if n > 0 {
            let reciprocal = 1.0 / n as f32;
            values.iter_mut().for_each(|value| *value = round(*value * reciprocal));
        }
    }
}
