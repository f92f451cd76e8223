//! Random small programs: one convolution, an auxiliary instruction behind it or chained to it, each by a seed.

use plugin_fpga::{
    architecture::Architecture,
    instruction::{Activation, Addend, Auxiliary, Convolve, Instruction, Map, Pooling, Transfer},
    program::Program,
};
use std::sync::Arc;

/// Numbers that follow from a seed (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// From `low` to `high`, both possible.
    pub(crate) fn from(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.next() as usize % from.len()]
    }

    fn once_in(&mut self, times: u64) -> bool {
        self.next().is_multiple_of(times)
    }

    fn pair(&mut self, low: u64, high: u64) -> [u8; 2] {
        [0; 2].map(|_| self.from(low, high) as u8)
    }

    /// fp16 bits near 1 in size, now and then any.
    pub(crate) fn half(&mut self) -> u16 {
        let bits = self.next();
        if bits >> 60 == 0 {
            return bits as u16;
        }
        let exponent = self.from(10, 18) as u16;
        bits as u16 & 0x83ff | exponent << 10
    }

    fn float(&mut self) -> f32 {
        let digits = self.from(0x80_0000, 0xff_ffff) as f32 / 16_777_216.0;
        let sign = if self.once_in(2) { -1.0 } else { 1.0 };
        sign * digits * 2f32.powi(self.from(0, 8) as i32 - 4)
    }
}

/// A program and what the features' memory holds before.
pub(crate) struct Case {
    pub(crate) architecture: Architecture,
    pub(crate) program: Arc<Program>,
    pub(crate) features: Vec<u16>,
}

/// What is written into the constants, each part at a multiple of 64 bytes.
#[derive(Default)]
struct Constants(Vec<u8>);

impl Constants {
    fn align(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(64), 0);
    }

    fn here(&self) -> u32 {
        (self.0.len() / 64) as u32
    }

    fn halves(&mut self, values: impl IntoIterator<Item = u16>) {
        self.0.extend(values.into_iter().flat_map(u16::to_le_bytes));
        self.align();
    }

    fn floats(&mut self, values: impl IntoIterator<Item = f32>) {
        self.0.extend(values.into_iter().flat_map(f32::to_le_bytes));
        self.align();
    }

    fn table(&mut self, random: &mut Random) -> u32 {
        let here = self.here();
        let all: Vec<u16> = (0..1 << 16).map(|_| random.half()).collect();
        self.halves(all);
        here
    }
}

struct Layer<'a> {
    random: &'a mut Random,
    architecture: Architecture,
    constants: Constants,
    /// The next free word of the stream buffer.
    free: u32,
}

/// The case of a seed, for `fp11` or `fp16`.
pub(crate) fn case(seed: u64, precision: &str) -> Case {
    let mut random = Random(seed);
    let c_vec = random.pick(&[2, 4, 6, 8, 16, 24]);
    let k_vec = c_vec * random.from(1, 3);
    let name = format!(
        "2x2x{c_vec}x{k_vec}_{precision}_sb8192_fcd64_actk1_poolk1_normk1_owk1_image300x300x8192_mbfr"
    );
    let architecture = name.parse().unwrap();
    Layer { random: &mut random, architecture, constants: Constants::default(), free: 0 }.case()
}

impl Layer<'_> {
    fn case(mut self) -> Case {
        let chained = self.random.once_in(2);
        let convolve = self.convolve(chained);
        let mut instructions = vec![Instruction::Convolve(convolve)];
        if chained || self.random.once_in(2) {
            instructions.push(Instruction::Auxiliary(self.auxiliary(&convolve)));
        }
        // All of the stream buffer comes from the features' memory and goes back.
        let all = Transfer { layer: 0, stream: 0, memory: 0, count: self.free };
        instructions.insert(0, Instruction::Load(all));
        instructions.push(Instruction::Store(Transfer { memory: self.free, ..all }));
        instructions.push(Instruction::End);
        let vector = self.architecture.input_vector;
        let features = (0..2 * self.free * vector).map(|_| self.random.half()).collect();
        let program = Program {
            architecture: self.architecture.to_string(),
            instructions,
            constants: ir::Bytes::from(self.constants.0),
            feature_words: 2 * self.free,
            inputs: Vec::new(),
            outputs: Vec::new(),
            layers: Vec::new(),
        };
        Case { architecture: self.architecture, program: Arc::new(program), features }
    }

    fn map(&mut self, places: u32, words: u32) -> Map {
        let pitch = words + self.random.from(0, 2) as u32;
        let address = self.free + self.random.from(0, 3) as u32;
        self.free = address + places * pitch;
        Map { address, pitch: pitch as u16 }
    }

    fn addend(&mut self, places: u32, words: u32) -> Addend {
        match self.random.from(0, 3) {
            0 => Addend::Plus(self.map(places, words)),
            1 => Addend::Minus(self.map(places, words)),
            _ => Addend::None,
        }
    }

    fn activation(&mut self) -> Activation {
        match self.random.from(0, 7) {
            0 => Activation::Relu { slope: 0 },
            1 => Activation::Relu { slope: self.random.half() },
            2 | 3 => Activation::Prelu,
            4 => Activation::Clamp { low: 0, high: 0x4600 },
            5 => Activation::Clamp { low: 0xbc00, high: 0x3c00 },
            6 if self.random.once_in(4) => Activation::Table { address: self.constants.table(self.random) },
            _ => Activation::None,
        }
    }

    fn convolve(&mut self, chained: bool) -> Convolve {
        let random = &mut *self.random;
        let mut size = |high| random.from(1, high) as u16;
        let [in_height, in_width, out_height, out_width] = [7, 7, 6, 6].map(&mut size);
        let [in_blocks, groups, out_channels] = [3, 3, 40].map(&mut size);
        let places = u32::from(out_height) * u32::from(out_width);
        let words = u32::from(groups) * self.architecture.blocks(out_channels.into());
        let inputs = u32::from(in_height) * u32::from(in_width);
        let plain = self.random.once_in(2);
        let mut pair = |high: u64| if plain { [1, 1] } else { self.random.pair(1, high) };
        let (stride, dilation, zoom) = (pair(3), pair(3), pair(3));
        let mut convolve = Convolve {
            layer: 0,
            input: self.map(inputs, u32::from(groups) * u32::from(in_blocks)),
            output: if chained { Map::default() } else { self.map(places, words) },
            addend: self.addend(places, words),
            activation: self.activation(),
            chained,
            filters: 0,
            in_height,
            in_width,
            in_blocks,
            out_height,
            out_width,
            out_channels,
            groups,
            kernel: self.random.pair(1, 4),
            stride,
            dilation,
            pad: self.random.pair(0, 4),
            zoom,
        };
        convolve.filters = self.constants.here();
        (0..groups).for_each(|_| self.filters(&convolve));
        convolve
    }

    /// One group's biases, slopes, exponents, mantissas.
    fn filters(&mut self, c: &Convolve) {
        let Self { random, architecture, constants, .. } = self;
        let (c_vec, k_vec) = (architecture.input_vector as usize, architecture.output_vector as usize);
        let taps = usize::from(c.kernel[0]) * usize::from(c.kernel[1]) * usize::from(c.in_blocks);
        let channels = usize::from(c.out_channels);
        let all = channels.next_multiple_of(k_vec);
        constants.floats((0..all).map(|k| if k < channels { random.float() } else { 0.0 }));
        if c.activation == Activation::Prelu {
            constants.halves((0..all).map(|k| if k < channels { random.half() } else { 0 }));
        }
        let edge = random.once_in(6);
        for first in (0..all).step_by(k_vec) {
            for _ in 0..taps {
                let exponents = (first..first + k_vec).map(|k| match k < channels {
                    true if edge => random.pick(&[0, 1, 15, 30]),
                    true => random.from(12, 16) as u8,
                    false => 0,
                });
                constants.0.extend(exponents);
            }
        }
        constants.align();
        let most = (1 << architecture.precision.mantissa_bits()) - 1;
        for first in (0..all).step_by(k_vec) {
            for _ in 0..taps * c_vec / 2 {
                for k in (first..first + k_vec).flat_map(|k| [k, k]) {
                    let mantissa =
                        if k < channels { random.from(0, 2 * most) as i64 - most as i64 } else { 0 };
                    let bytes = (mantissa as i16).to_le_bytes();
                    let size = if most < 128 { 1 } else { 2 };
                    constants.0.extend(&bytes[..size]);
                }
            }
        }
        constants.align();
    }

    fn auxiliary(&mut self, c: &Convolve) -> Auxiliary {
        let blocks = u32::from(c.groups) * self.architecture.blocks(c.out_channels.into());
        let pooling =
            self.random.pick(&[Pooling::None, Pooling::Max, Pooling::Average, Pooling::AveragePadded]);
        let (repeat, stride) = (self.random.pair(1, 2), self.random.pair(1, 3));
        let out = |axis: usize, size: u16, random: &mut Random| {
            let there = u64::from(size) * u64::from(repeat[axis]);
            let most = if pooling == Pooling::None { (there - 1) / u64::from(stride[axis]) + 1 } else { 8 };
            random.from(1, most) as u16
        };
        let out_height = out(0, c.out_height, self.random);
        let out_width = out(1, c.out_width, self.random);
        let places = u32::from(out_height) * u32::from(out_width);
        let scaled = self.random.once_in(3);
        let norm_size = if self.random.once_in(8) { self.random.pick(&[1, 3, 5, 7]) } else { 0 };
        let activation = self.activation();
        let parameters = self.constants.here();
        let lanes = blocks * self.architecture.input_vector;
        if scaled {
            for _ in 0..2 {
                self.constants.floats((0..lanes).map(|_| self.random.float()));
            }
        }
        if activation == Activation::Prelu {
            self.constants.halves((0..lanes).map(|_| self.random.half()));
        }
        if norm_size > 0 {
            self.constants.floats([0.02, 1.0]);
            self.constants.table(self.random);
        }
        Auxiliary {
            layer: 1,
            input: if c.chained { Map::default() } else { c.output },
            chained: c.chained,
            output: self.map(places, blocks),
            in_height: c.out_height,
            in_width: c.out_width,
            blocks: blocks as u16,
            out_height,
            out_width,
            pooling,
            kernel: self.random.pair(1, 4),
            stride,
            pad: self.random.pair(0, 3),
            repeat,
            parameters,
            scaled,
            addend: self.addend(places, blocks),
            norm_size,
            activation,
        }
    }
}
