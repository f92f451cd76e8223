//! Filters, parameters and tables as `SPEC.md` lays them out.

use super::{
    action::{Affine, Curve, Filters, Norm},
    constants::Constants,
    image::Lanes,
};
use crate::{
    architecture::Architecture,
    instruction::Activation,
    number::{block, from_fp16, to_fp16},
};
use std::collections::HashMap;

/// What blocks of the constants begin at a multiple of.
const ALIGNMENT: usize = 64;

/// How the groups of a convolution lie on words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Grouping {
    /// Groups of the model in one group of the descriptor: those whose channels share words.
    merged: usize,
    pub(crate) groups: usize,
    pub(crate) in_blocks: usize,
    pub(crate) out_channels: usize,
}

impl Grouping {
    /// The fewest groups together that fill words, of the input and of the output; else all of them.
    pub(crate) fn new(filters: &Filters, input: &Lanes, vector: usize) -> Self {
        let fills = |merged: usize, channels: usize| {
            let groups = filters.groups.div_ceil(merged);
            let words = (filters.groups * channels).div_ceil(vector);
            (merged * channels).is_multiple_of(vector) && groups * merged * channels == words * vector
        };
        let fit = |merged: &usize| fills(*merged, filters.inputs) && fills(*merged, filters.outputs);
        match (1..filters.groups).filter(|_| input.is_contiguous()).find(fit) {
            Some(merged) => Self {
                merged,
                groups: filters.groups.div_ceil(merged),
                in_blocks: merged * filters.inputs / vector,
                out_channels: merged * filters.outputs,
            },
            None => Self {
                merged: filters.groups,
                groups: 1,
                in_blocks: input.blocks(vector),
                out_channels: filters.groups * filters.outputs,
            },
        }
    }
}

/// Rounds to f32 so that a second rounding, to fewer bits, is right: what is cut off leaves an odd last bit.
fn to_odd(value: f64) -> f32 {
    let near = value as f32;
    if f64::from(near) == value || value.is_nan() {
        return near;
    }
    let cut = if f64::from(near).abs() > value.abs() { near.to_bits() - 1 } else { near.to_bits() };
    f32::from_bits(cut | 1)
}

/// The constants of a program while it is made.
pub(crate) struct Packer<'a> {
    architecture: &'a Architecture,
    constants: &'a Constants,
    bytes: Vec<u8>,
    /// Tables of exponential units, by their scale.
    tables: HashMap<u64, u32>,
}

impl<'a> Packer<'a> {
    /// Nothing yet.
    pub(crate) fn new(architecture: &'a Architecture, constants: &'a Constants) -> Self {
        Self { architecture, constants, bytes: Vec::new(), tables: HashMap::new() }
    }

    /// Begins a block; gives its address.
    fn begin(&mut self) -> u32 {
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
        (self.bytes.len() / ALIGNMENT) as u32
    }

    /// All constants, to the end of the last block.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.begin();
        self.bytes
    }

    fn floats(&mut self, values: impl Iterator<Item = f32>) {
        self.begin();
        self.bytes.extend(values.flat_map(f32::to_le_bytes));
    }

    fn halves(&mut self, values: impl Iterator<Item = u16>) {
        self.bytes.extend(values.flat_map(u16::to_le_bytes));
    }

    fn table(&mut self, function: impl Fn(f64) -> f64) {
        let entry = |bits: u16| to_fp16(to_odd(function(f64::from(from_fp16(bits)))));
        self.halves((0..=u16::MAX).map(entry));
    }

    /// What a descriptor says of an activation.
    pub(crate) fn activation(&mut self, curve: Option<&Curve>) -> Activation {
        match curve {
            None => Activation::None,
            Some(Curve::Relu(slope)) => Activation::Relu { slope: to_fp16(*slope) },
            Some(Curve::Slopes(_)) => Activation::Prelu,
            Some(Curve::Clamp([low, high])) => Activation::Clamp { low: to_fp16(*low), high: to_fp16(*high) },
            Some(Curve::Elu(alpha)) => {
                if let Some(address) = self.tables.get(&alpha.to_bits()) {
                    return Activation::Table { address: *address };
                }
                let address = self.begin();
                self.table(|x| if x < 0.0 { alpha * x.exp_m1() } else { x });
                self.tables.insert(alpha.to_bits(), address);
                Activation::Table { address }
            }
        }
    }

    /// The constants of a Convolve.
    pub(crate) fn filters(
        &mut self,
        filters: &Filters,
        grouping: Grouping,
        input: &Lanes,
        curve: Option<&Curve>,
    ) -> u32 {
        let vector = self.architecture.input_vector as usize;
        let many = self.architecture.output_vector as usize;
        let constants = self.constants;
        let weights = constants.floats(filters.weights).expect("the weights are constants: it was looked at");
        // Which channel each value of a place is.
        let mut channels = vec![None; input.blocks(vector) * vector];
        for (channel, position) in input.positions(vector).into_iter().enumerate() {
            channels[position] = Some(channel);
        }
        let outputs = grouping.out_channels.next_multiple_of(many);
        let total = filters.groups * filters.outputs;
        let address = self.begin();
        for group in 0..grouping.groups {
            let first = group * grouping.out_channels;
            // Of each output channel of the group, that of the model.
            let channel = |k: usize| (k < grouping.out_channels && first + k < total).then_some(first + k);
            let shifts = &filters.affine.shifts;
            self.floats((0..outputs).map(|k| channel(k).map_or(0.0, |channel| shifts[channel])));
            if let Some(Curve::Slopes(slopes)) = curve {
                self.begin();
                self.halves((0..outputs).map(|k| channel(k).map_or(0, |channel| to_fp16(slopes[channel]))));
            }
            let words = &channels[group * grouping.in_blocks * vector..];
            let words = &words[..words.len().min(grouping.in_blocks * vector)];
            let (exponents, mantissas) = self.blocks(filters, &weights, grouping, words, channel);
            self.begin();
            self.bytes.extend(exponents);
            self.begin();
            self.bytes.extend(mantissas);
        }
        address
    }

    /// The filters of a group as blocks: exponents and mantissas.
    fn blocks(
        &self,
        filters: &Filters,
        weights: &[f32],
        grouping: Grouping,
        words: &[Option<usize>],
        channel: impl Fn(usize) -> Option<usize>,
    ) -> (Vec<u8>, Vec<u8>) {
        let vector = self.architecture.input_vector as usize;
        let many = self.architecture.output_vector as usize;
        let precision = self.architecture.precision;
        let wide = precision.mantissa_bits() > 8;
        let [of_group, of_output, of_input, of_row, of_column] = filters.steps;
        let [rows, columns] = [filters.spans[0].kernel, filters.spans[1].kernel];
        let taps = rows * columns * grouping.in_blocks;
        let (mut exponents, mut mantissas) = (Vec::new(), Vec::new());
        let mut half = vec![0u16; vector];
        let mut tap = vec![0i16; many * vector];
        for chunk in (0..grouping.out_channels).step_by(many) {
            exponents.reserve(taps * many);
            for row in 0..rows {
                for column in 0..columns {
                    let place = filters.base + row as isize * of_row + column as isize * of_column;
                    for at in 0..grouping.in_blocks {
                        let word = words.get(at * vector..(at + 1) * vector).unwrap_or_default();
                        for (k, own) in tap.chunks_exact_mut(vector).enumerate() {
                            half.fill(0);
                            if let Some(output) = channel(chunk + k) {
                                let (group, within) = (output / filters.outputs, output % filters.outputs);
                                let base = place + group as isize * of_group + within as isize * of_output;
                                let scale = filters.affine.scales[output];
                                for (to, input) in half.iter_mut().zip(word) {
                                    let input = input.filter(|input| input / filters.inputs == group);
                                    let Some(input) = input else { continue };
                                    let from = base + (input % filters.inputs) as isize * of_input;
                                    *to = to_fp16(weights[from as usize] * scale);
                                }
                            }
                            exponents.push(block(&half, precision, own));
                        }
                        for pair in 0..vector / 2 {
                            for k in 0..many {
                                for value in &tap[k * vector + 2 * pair..][..2] {
                                    match wide {
                                        true => mantissas.extend(value.to_le_bytes()),
                                        false => mantissas.push(*value as i8 as u8),
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        (exponents, mantissas)
    }

    /// The constants of an Auxiliary.
    pub(crate) fn parameters(
        &mut self,
        lanes: &Lanes,
        affine: Option<&Affine>,
        norm: Option<&Norm>,
        curve: Option<&Curve>,
    ) -> u32 {
        let vector = self.architecture.input_vector as usize;
        let (positions, all) = (lanes.positions(vector), lanes.blocks(vector) * vector);
        let spread = |values: &[f32]| {
            let mut spread = vec![0.0; all];
            positions.iter().zip(values).for_each(|(position, value)| spread[*position] = *value);
            spread
        };
        let address = self.begin();
        if let Some(affine) = affine {
            self.floats(spread(&affine.scales).into_iter());
            self.floats(spread(&affine.shifts).into_iter());
        }
        if let Some(Curve::Slopes(slopes)) = curve {
            self.begin();
            self.halves(spread(slopes).into_iter().map(to_fp16));
        }
        if let Some(norm) = norm {
            self.floats([norm.weight, norm.bias].into_iter());
            self.begin();
            self.table(|t| if t > 0.0 { t.powf(-norm.power) } else { f64::MAX });
        }
        address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_twice_rounds_once() {
        // A hair above the middle between two fp16: by way of the nearest f32 it would be a tie, to even.
        let hair = 1.0 + f64::powi(2.0, -11) + f64::powi(2.0, -40);
        assert_eq!(to_fp16(hair as f32), 0x3c00);
        assert_eq!(to_fp16(to_odd(hair)), 0x3c01);
        assert_eq!(to_fp16(to_odd(-hair)), 0xbc01);
        assert_eq!(to_odd(0.5), 0.5);
    }
}
