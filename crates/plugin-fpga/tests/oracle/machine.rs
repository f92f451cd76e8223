//! Instructions by the text of `SPEC.md`, one place and channel after the other.

use crate::exact::{Exact, ZERO, block};
use plugin_fpga::{
    architecture::Architecture,
    instruction::{Activation, Addend, Auxiliary, Convolve, Instruction, Map, Pooling},
    program::Program,
};

pub(crate) struct Machine<'a> {
    architecture: &'a Architecture,
    program: &'a Program,
    pub(crate) features: Vec<u16>,
    stream: Vec<u16>,
    vector: usize,
}

/// Values without gaps: those of a chained convolution too.
struct Image {
    width: usize,
    pitch: usize,
    values: Vec<u16>,
}

impl<'a> Machine<'a> {
    pub(crate) fn new(architecture: &'a Architecture, program: &'a Program) -> Self {
        let vector = architecture.input_vector as usize;
        let features = vec![0; program.feature_words as usize * vector];
        let stream = vec![0; architecture.stream_words() as usize * vector];
        Self { architecture, program, features, stream, vector }
    }

    pub(crate) fn run(&mut self) {
        let mut handed = None;
        for instruction in &self.program.instructions {
            match instruction {
                Instruction::End => return,
                Instruction::Load(t) | Instruction::Store(t) => {
                    for i in 0..t.count as usize * self.vector {
                        let stream = t.stream as usize * self.vector + i;
                        let memory = t.memory as usize * self.vector + i;
                        if matches!(instruction, Instruction::Load(_)) {
                            self.stream[stream] = self.features[memory];
                        } else {
                            self.features[memory] = self.stream[stream];
                        }
                    }
                }
                Instruction::Convolve(c) => {
                    let made = self.convolve(c);
                    if c.chained {
                        handed = Some(made);
                    } else {
                        self.put(c.output, &made);
                    }
                }
                Instruction::Auxiliary(a) => {
                    let image = match handed.take() {
                        Some(image) if a.chained => image,
                        _ => self.get(a.input, a.in_height.into(), a.in_width.into(), a.blocks.into()),
                    };
                    let made = self.auxiliary(a, &image);
                    self.put(a.output, &made);
                }
            }
        }
    }

    fn get(&self, map: Map, height: usize, width: usize, words: usize) -> Image {
        let mut values = Vec::new();
        for place in 0..height * width {
            let start = (map.address as usize + place * usize::from(map.pitch)) * self.vector;
            values.extend_from_slice(&self.stream[start..start + words * self.vector]);
        }
        Image { width, pitch: words * self.vector, values }
    }

    fn put(&mut self, map: Map, image: &Image) {
        for (place, values) in image.values.chunks(image.pitch).enumerate() {
            let start = (map.address as usize + place * usize::from(map.pitch)) * self.vector;
            self.stream[start..start + values.len()].copy_from_slice(values);
        }
    }

    fn half_at(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.program.constants[at..at + 2].try_into().unwrap())
    }

    fn float_at(&self, at: usize) -> Exact {
        Exact::of_f32(f32::from_le_bytes(self.program.constants[at..at + 4].try_into().unwrap()))
    }

    fn add(&self, addend: Addend, place: usize, lane: usize, value: Exact) -> Exact {
        let at = |map: Map| {
            let word = map.address as usize + place * usize::from(map.pitch);
            Exact::of_fp16(self.stream[word * self.vector + lane])
        };
        match addend {
            Addend::None => value,
            Addend::Plus(map) => value.plus(at(map)).half(),
            Addend::Minus(map) => value.plus(at(map).negative()).half(),
        }
    }

    fn activate(&self, activation: Activation, slope_at: usize, value: Exact) -> u16 {
        let relu = |slope: u16| {
            let product = value.times(Exact::of_fp16(slope));
            if value.is_negative() { product.to_fp16() } else { value.to_fp16() }
        };
        match activation {
            Activation::None => value.to_fp16(),
            Activation::Relu { slope } => relu(slope),
            Activation::Prelu => relu(self.half_at(slope_at)),
            Activation::Clamp { low, high } => {
                let [low, high] = [low, high].map(Exact::of_fp16);
                if low.is_above(value) {
                    low.to_fp16()
                } else if value.is_above(high) {
                    high.to_fp16()
                } else {
                    value.to_fp16()
                }
            }
            Activation::Table { address } => {
                let at = address as usize * 64 + 2 * usize::from(value.to_fp16());
                Exact::of_fp16(self.half_at(at)).to_fp16()
            }
        }
    }

    fn convolve(&self, c: &Convolve) -> Image {
        let m = self.architecture.precision.mantissa_bits() as i32;
        let size = if m == 6 { 1 } else { 2 };
        let k_vec = self.architecture.output_vector as usize;
        let [rows, columns] = c.kernel.map(usize::from);
        let (in_blocks, groups) = (usize::from(c.in_blocks), usize::from(c.groups));
        let taps = rows * columns * in_blocks;
        let channels = usize::from(c.out_channels).div_ceil(k_vec) * k_vec;
        let round = |bytes: usize| bytes.div_ceil(64) * 64;
        let slopes = if c.activation == Activation::Prelu { round(2 * channels) } else { 0 };
        let exponents = round(4 * channels) + slopes;
        let mantissas = exponents + round(channels * taps);
        let group_bytes = mantissas + round(channels * taps * self.vector * size);

        let in_words = groups * in_blocks;
        let input = self.get(c.input, c.in_height.into(), c.in_width.into(), in_words);
        let blocks: Vec<_> = input.values.chunks(self.vector).map(|word| block(word, m)).collect();

        let out_words = usize::from(c.out_channels).div_ceil(self.vector);
        let pitch = groups * out_words * self.vector;
        let (height, width) = (usize::from(c.out_height), usize::from(c.out_width));
        let mut image = Image { width, pitch, values: vec![0; height * width * pitch] };
        for place in 0..height * width {
            let (y, x) = ((place / width) as i64, (place % width) as i64);
            for g in 0..groups {
                let base = c.filters as usize * 64 + g * group_bytes;
                for k in 0..usize::from(c.out_channels) {
                    let mut acc = ZERO;
                    for r in 0..rows {
                        for s in 0..columns {
                            let v = y * i64::from(c.stride[0]) + r as i64 * i64::from(c.dilation[0])
                                - i64::from(c.pad[0]);
                            let u = x * i64::from(c.stride[1]) + s as i64 * i64::from(c.dilation[1])
                                - i64::from(c.pad[1]);
                            let zoom = c.zoom.map(i64::from);
                            if v < 0 || u < 0 || v % zoom[0] != 0 || u % zoom[1] != 0 {
                                continue;
                            }
                            let (v, u) = ((v / zoom[0]) as usize, (u / zoom[1]) as usize);
                            if v >= c.in_height.into() || u >= c.in_width.into() {
                                continue;
                            }
                            for b in 0..in_blocks {
                                let word = (v * usize::from(c.in_width) + u) * in_words + g * in_blocks + b;
                                let (a_exponent, a) = &blocks[word];
                                let tap = (r * columns + s) * in_blocks + b;
                                let part = k / k_vec * taps + tap;
                                let at = base + exponents + part * k_vec + k % k_vec;
                                let b_exponent = self.program.constants[at];
                                let mut d = 0i128;
                                for lane in 0..self.vector {
                                    let pair = part * self.vector / 2 + lane / 2;
                                    let number = (pair * k_vec + k % k_vec) * 2 + lane % 2;
                                    let at = base + mantissas + number * size;
                                    let filter = if size == 1 {
                                        i128::from(self.program.constants[at] as i8)
                                    } else {
                                        i128::from(self.half_at(at) as i16)
                                    };
                                    d += i128::from(a[lane]) * filter;
                                }
                                let power = i32::from(*a_exponent) + i32::from(b_exponent) - 30 - 2 * (m - 1);
                                let product = Exact { digits: d, power: 0 }.to_f32();
                                let product = product.times(Exact { digits: 1, power });
                                acc = acc.plus(product).to_f32();
                            }
                        }
                    }
                    let value = acc.plus(self.float_at(base + 4 * k)).to_f32().half();
                    let lane = g * out_words * self.vector + k;
                    let value = self.add(c.addend, place, lane, value);
                    let slope = base + round(4 * channels) + 2 * k;
                    image.values[place * pitch + lane] = self.activate(c.activation, slope, value);
                }
            }
        }
        image
    }

    fn pool(&self, a: &Auxiliary, image: &Image, y: usize, x: usize, lane: usize) -> Exact {
        let read = |row: usize, column: usize| {
            let [row, column] = [row / usize::from(a.repeat[0]), column / usize::from(a.repeat[1])];
            Exact::of_fp16(image.values[(row * image.width + column) * image.pitch + lane])
        };
        let [top, left] = [y * usize::from(a.stride[0]), x * usize::from(a.stride[1])];
        if a.pooling == Pooling::None {
            return read(top, left);
        }
        let size = |axis: usize, size: u16| i64::from(size) * i64::from(a.repeat[axis]);
        let (height, width) = (size(0, a.in_height), size(1, a.in_width));
        let pad = a.pad.map(i64::from);
        let (mut inside, mut padded) = (Vec::new(), 0);
        for r in 0..usize::from(a.kernel[0]) {
            for s in 0..usize::from(a.kernel[1]) {
                let (row, column) = ((top + r) as i64 - pad[0], (left + s) as i64 - pad[1]);
                if row < height + pad[0] && column < width + pad[1] {
                    padded += 1;
                }
                if (0..height).contains(&row) && (0..width).contains(&column) {
                    inside.push(read(row as usize, column as usize));
                }
            }
        }
        if a.pooling == Pooling::Max {
            let larger = |one: Exact, two: Exact| if two.is_above(one) { two } else { one };
            return inside.into_iter().reduce(larger).unwrap_or(ZERO);
        }
        let n = if a.pooling == Pooling::Average { inside.len() as u64 } else { padded };
        if n == 0 {
            return ZERO;
        }
        let sum = inside.into_iter().fold(ZERO, |sum, value| sum.plus(value).to_f32());
        sum.times(Exact::reciprocal(n)).to_f32().half()
    }

    fn auxiliary(&self, a: &Auxiliary, image: &Image) -> Image {
        let lanes = usize::from(a.blocks) * self.vector;
        let round = |bytes: usize| bytes.div_ceil(64) * 64;
        let scales = a.parameters as usize * 64;
        let shifts = scales + round(4 * lanes);
        let slopes = scales + if a.scaled { 2 * round(4 * lanes) } else { 0 };
        let coefficients = slopes + if a.activation == Activation::Prelu { round(2 * lanes) } else { 0 };
        let (height, width) = (usize::from(a.out_height), usize::from(a.out_width));
        let mut made = Image { width, pitch: lanes, values: Vec::new() };
        for place in 0..height * width {
            let mut values = Vec::new();
            for lane in 0..lanes {
                let mut value = self.pool(a, image, place / width, place % width, lane);
                if a.scaled {
                    let product = value.times(self.float_at(scales + 4 * lane)).to_f32();
                    value = product.plus(self.float_at(shifts + 4 * lane)).to_f32().half();
                }
                values.push(self.add(a.addend, place, lane, value));
            }
            if a.norm_size > 0 {
                let half = usize::from(a.norm_size) / 2;
                let factor = self.float_at(coefficients);
                let k = self.float_at(coefficients + 4);
                let table = coefficients + 64;
                let normal = |lane: usize| {
                    let near = lane.saturating_sub(half)..=(lane + half).min(lanes - 1);
                    let q = near.fold(ZERO, |q, near| q.plus(values[near].times(values[near])).to_f32());
                    let t = k.plus(factor.times(q).to_f32()).to_f32().to_fp16();
                    values[lane].times(Exact::of_fp16(self.half_at(table + 2 * usize::from(t)))).half()
                };
                values = (0..lanes).map(normal).collect();
            }
            for (lane, value) in values.into_iter().enumerate() {
                made.values.push(self.activate(a.activation, slopes + 2 * lane, value));
            }
        }
        made
    }
}
