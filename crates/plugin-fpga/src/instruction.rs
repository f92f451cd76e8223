//! The instruction set: descriptors of 64 bytes, little endian, as `SPEC.md` lists them byte by byte.

use thiserror::Error;

/// The size of a descriptor.
pub const DESCRIPTOR_BYTES: usize = 64;

/// A feature map in the stream buffer: row by row, in a row place by place, and of each place its words of `C_vec`
/// channels.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Map {
    /// The word where it begins.
    pub address: u32,
    /// Words from one place to the next: more than its own where it is a part of a concatenation.
    pub pitch: u16,
}

/// What happens to an fp16 value behind the array or a pooling window.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// Negative values are multiplied by `slope`: 0 for ReLU.
    Relu {
        /// fp16 bits.
        slope: u16,
    },
    /// As `Relu`, with a slope for each channel, from the parameters in memory.
    Prelu,
    /// Values are kept between two bounds.
    Clamp {
        /// fp16 bits.
        low: u16,
        /// fp16 bits.
        high: u16,
    },
    /// A value becomes what a table of 65536 fp16 values, by its bits, says. The table lies in memory.
    Table {
        /// In units of 64 bytes, in the constants.
        address: u32,
    },
}

/// What is added to a value before its activation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Addend {
    /// Nothing.
    #[default]
    None,
    /// A feature map of the output's size.
    Plus(Map),
    /// The same, subtracted.
    Minus(Map),
}

/// Feature maps between the card's memory and the stream buffer: `count` words, both sides without gaps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transfer {
    /// The layer that needs it.
    pub layer: u16,
    /// The first word in the stream buffer.
    pub stream: u32,
    /// The first word in the features' memory.
    pub memory: u32,
    /// How many words.
    pub count: u32,
}

/// A convolution, or what is computed as one: a fully connected layer, a depthwise convolution, a deconvolution.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Convolve {
    /// The layer.
    pub layer: u16,
    /// The image that is read; of `in_height` x `in_width` places.
    pub input: Map,
    /// The image that is written, unless `chained`.
    pub output: Map,
    /// Added before the activation.
    pub addend: Addend,
    /// Behind the addition.
    pub activation: Activation,
    /// Goes to the [`Auxiliary`] that follows instead of the stream buffer.
    pub chained: bool,
    /// Where biases, slopes and filters lie, in units of 64 bytes, in the constants.
    pub filters: u32,
    /// Rows of the input.
    pub in_height: u16,
    /// Columns of the input.
    pub in_width: u16,
    /// Words of a place that each group reads.
    pub in_blocks: u16,
    /// Rows of the output.
    pub out_height: u16,
    /// Columns of the output.
    pub out_width: u16,
    /// Channels that each group makes.
    pub out_channels: u16,
    /// Groups: group g reads `in_blocks` words from word `g * in_blocks` of a place and writes
    /// `ceil(out_channels / C_vec)` words.
    pub groups: u16,
    /// Rows and columns of the filters.
    pub kernel: [u8; 2],
    /// From one place of the output to the next.
    pub stride: [u8; 2],
    /// From one tap to the next.
    pub dilation: [u8; 2],
    /// Zeros before the first row and the first column.
    pub pad: [u8; 2],
    /// The input has `zoom - 1` zeros between its rows, and columns: 1 for what is no deconvolution.
    pub zoom: [u8; 2],
}

/// How a window becomes a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Pooling {
    /// The window is one place.
    #[default]
    None,
    /// The largest value.
    Max,
    /// The mean over the window, the zeros of padding counted.
    AveragePadded,
    /// The mean over the places of the window that lie in the image.
    Average,
}

/// What the kernels behind the array do: pooling, scale and shift by channel, addition, normalisation, activation, in
/// this order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Auxiliary {
    /// The layer.
    pub layer: u16,
    /// The image that is read, unless `chained`: then what the convolution before gives.
    pub input: Map,
    /// Reads the convolution before instead of the stream buffer.
    pub chained: bool,
    /// The image that is written.
    pub output: Map,
    /// Rows of the input.
    pub in_height: u16,
    /// Columns of the input.
    pub in_width: u16,
    /// Words of a place.
    pub blocks: u16,
    /// Rows of the output.
    pub out_height: u16,
    /// Columns of the output.
    pub out_width: u16,
    /// Pooling.
    pub pooling: Pooling,
    /// Rows and columns of the window.
    pub kernel: [u8; 2],
    /// From one window to the next.
    pub stride: [u8; 2],
    /// Places before the first row and column that the window may reach.
    pub pad: [u8; 2],
    /// The input is repeated so many times in rows and columns before windows are laid on it: resampling to the nearest.
    pub repeat: [u8; 2],
    /// Where scales, shifts and slopes by channel lie, in units of 64 bytes, in the constants.
    pub parameters: u32,
    /// Scales and shifts are applied.
    pub scaled: bool,
    /// Added before normalisation.
    pub addend: Addend,
    /// Local response normalisation over so many channels (odd); 0 for none. Its coefficients and table lie at the end of
    /// the parameters.
    pub norm_size: u8,
    /// At last.
    pub activation: Activation,
}

/// One descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Instruction {
    /// From the card's memory to the stream buffer.
    Load(Transfer),
    /// From the stream buffer to the card's memory.
    Store(Transfer),
    /// The array.
    Convolve(Convolve),
    /// The kernels beside it.
    Auxiliary(Auxiliary),
    /// The program ends.
    End,
}

/// Why 64 bytes are no instruction.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("byte {at} of the descriptor is {found:#04x}: {expected}")]
pub struct DescriptorError {
    /// The byte.
    pub at: usize,
    /// What it is.
    pub found: u8,
    /// What could be there.
    pub expected: &'static str,
}

/// Writes a descriptor from its start.
struct Writer {
    bytes: [u8; DESCRIPTOR_BYTES],
    at: usize,
}

impl Writer {
    fn new(opcode: u8, layer: u16) -> Self {
        let mut writer = Self { bytes: [0; DESCRIPTOR_BYTES], at: 0 };
        writer.put(&[opcode, 0]);
        writer.put(&layer.to_le_bytes());
        writer
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.at..][..bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    fn halves(&mut self, values: &[u16]) {
        values.iter().for_each(|value| self.put(&value.to_le_bytes()));
    }

    fn word(&mut self, value: u32) {
        self.put(&value.to_le_bytes());
    }

    fn map(&mut self, map: Map) {
        self.word(map.address);
        self.halves(&[map.pitch]);
    }

    fn addend(&mut self, addend: Addend) {
        let (kind, map) = match addend {
            Addend::None => (0, Map::default()),
            Addend::Plus(map) => (1, map),
            Addend::Minus(map) => (2, map),
        };
        self.put(&[kind]);
        self.map(map);
    }

    fn activation(&mut self, activation: Activation) {
        let (kind, value) = match activation {
            Activation::None => (0, 0),
            Activation::Relu { slope } => (1, u32::from(slope)),
            Activation::Prelu => (2, 0),
            Activation::Clamp { low, high } => (3, u32::from(low) | u32::from(high) << 16),
            Activation::Table { address } => (4, address),
        };
        self.put(&[kind]);
        self.word(value);
    }
}

/// Reads one back.
struct Reader<'a> {
    bytes: &'a [u8; DESCRIPTOR_BYTES],
    at: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let own = self.bytes[self.at..][..N].try_into().expect("a descriptor is longer than its fields");
        self.at += N;
        own
    }

    fn half(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    fn word(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    /// A code, from a list of those there are.
    fn code<T: Copy>(&mut self, known: &[T], expected: &'static str) -> Result<T, DescriptorError> {
        let [found] = self.take();
        known.get(usize::from(found)).copied().ok_or(DescriptorError { at: self.at - 1, found, expected })
    }

    fn map(&mut self) -> Map {
        Map { address: self.word(), pitch: self.half() }
    }

    fn addend(&mut self) -> Result<Addend, DescriptorError> {
        type Form = fn(Map) -> Addend;
        let forms: [Form; 3] = [|_| Addend::None, Addend::Plus, Addend::Minus];
        let form = self.code(&forms, "0 to 2, the kind of an addend")?;
        Ok(form(self.map()))
    }

    fn activation(&mut self) -> Result<Activation, DescriptorError> {
        type Form = fn(u32) -> Activation;
        let forms: [Form; 5] = [
            |_| Activation::None,
            |value| Activation::Relu { slope: value as u16 },
            |_| Activation::Prelu,
            |value| Activation::Clamp { low: value as u16, high: (value >> 16) as u16 },
            |address| Activation::Table { address },
        ];
        let form = self.code(&forms, "0 to 4, the kind of an activation")?;
        Ok(form(self.word()))
    }
}

const CHAINED: u8 = 1;
const SCALED: u8 = 2;

impl Instruction {
    /// The layer that it works for.
    pub fn layer(&self) -> Option<u16> {
        match self {
            Self::Load(transfer) | Self::Store(transfer) => Some(transfer.layer),
            Self::Convolve(convolve) => Some(convolve.layer),
            Self::Auxiliary(auxiliary) => Some(auxiliary.layer),
            Self::End => None,
        }
    }

    /// The descriptor.
    pub fn encode(&self) -> [u8; DESCRIPTOR_BYTES] {
        match self {
            Self::End => Writer::new(0, 0).bytes,
            Self::Load(transfer) | Self::Store(transfer) => {
                let opcode = if matches!(self, Self::Load(_)) { 1 } else { 2 };
                let mut to = Writer::new(opcode, transfer.layer);
                [transfer.stream, transfer.memory, transfer.count].iter().for_each(|word| to.word(*word));
                to.bytes
            }
            Self::Convolve(c) => {
                let mut to = Writer::new(3, c.layer);
                to.bytes[1] = u8::from(c.chained) * CHAINED;
                to.map(c.input);
                to.map(c.output);
                to.addend(c.addend);
                to.activation(c.activation);
                to.word(c.filters);
                to.halves(&[c.in_height, c.in_width, c.in_blocks]);
                to.halves(&[c.out_height, c.out_width, c.out_channels, c.groups]);
                [c.kernel, c.stride, c.dilation, c.pad, c.zoom].iter().for_each(|pair| to.put(pair));
                to.bytes
            }
            Self::Auxiliary(a) => {
                let mut to = Writer::new(4, a.layer);
                to.bytes[1] = u8::from(a.chained) * CHAINED + u8::from(a.scaled) * SCALED;
                to.map(a.input);
                to.map(a.output);
                to.addend(a.addend);
                to.activation(a.activation);
                to.word(a.parameters);
                to.halves(&[a.in_height, a.in_width, a.blocks, a.out_height, a.out_width]);
                to.put(&[match a.pooling {
                    Pooling::None => 0,
                    Pooling::Max => 1,
                    Pooling::AveragePadded => 2,
                    Pooling::Average => 3,
                }]);
                to.put(&[a.norm_size]);
                [a.kernel, a.stride, a.pad, a.repeat].iter().for_each(|pair| to.put(pair));
                to.bytes
            }
        }
    }

    /// The instruction of a descriptor. Whether its addresses lie in any memory is for the executor to check.
    pub fn decode(bytes: &[u8; DESCRIPTOR_BYTES]) -> Result<Self, DescriptorError> {
        let mut from = Reader { bytes, at: 0 };
        let [opcode, flags] = from.take();
        let layer = from.half();
        let wrong = |at: usize, expected| DescriptorError { at, found: bytes[at], expected };
        let allowed = match opcode {
            3 => CHAINED,
            4 => CHAINED | SCALED,
            _ => 0,
        };
        if flags & !allowed != 0 {
            return Err(wrong(1, "a flag that this instruction has not"));
        }
        let instruction = match opcode {
            0 => Self::End,
            1 | 2 => {
                let transfer =
                    Transfer { layer, stream: from.word(), memory: from.word(), count: from.word() };
                if opcode == 1 { Self::Load(transfer) } else { Self::Store(transfer) }
            }
            3 => Self::Convolve(Convolve {
                layer,
                chained: flags & CHAINED != 0,
                input: from.map(),
                output: from.map(),
                addend: from.addend()?,
                activation: from.activation()?,
                filters: from.word(),
                in_height: from.half(),
                in_width: from.half(),
                in_blocks: from.half(),
                out_height: from.half(),
                out_width: from.half(),
                out_channels: from.half(),
                groups: from.half(),
                kernel: from.take(),
                stride: from.take(),
                dilation: from.take(),
                pad: from.take(),
                zoom: from.take(),
            }),
            4 => Self::Auxiliary(Auxiliary {
                layer,
                chained: flags & CHAINED != 0,
                scaled: flags & SCALED != 0,
                input: from.map(),
                output: from.map(),
                addend: from.addend()?,
                activation: from.activation()?,
                parameters: from.word(),
                in_height: from.half(),
                in_width: from.half(),
                blocks: from.half(),
                out_height: from.half(),
                out_width: from.half(),
                pooling: {
                    let known = [Pooling::None, Pooling::Max, Pooling::AveragePadded, Pooling::Average];
                    from.code(&known, "0 to 3, the kind of pooling")?
                },
                norm_size: from.take::<1>()[0],
                kernel: from.take(),
                stride: from.take(),
                pad: from.take(),
                repeat: from.take(),
            }),
            _ => return Err(wrong(0, "0 to 4, the opcode")),
        };
        match bytes[from.at..].iter().position(|byte| *byte != 0) {
            Some(rest) => Err(wrong(from.at + rest, "0, for nothing is there")),
            None => Ok(instruction),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_decodes_encodes_to_the_same_bytes(
            opcode in 0..5u8,
            kinds in any::<[u8; 4]>(),
            mut bytes in prop::collection::vec(any::<u8>(), DESCRIPTOR_BYTES),
        ) {
            bytes[0] = opcode;
            bytes[1] = kinds[0] % 4;
            bytes[16] = kinds[1] % 3;
            bytes[23] = kinds[2] % 5;
            bytes[42] = kinds[3] % 4;
            bytes[60..].fill(0);
            let bytes: [u8; DESCRIPTOR_BYTES] = bytes.try_into().unwrap();
            if let Ok(instruction) = Instruction::decode(&bytes) {
                let again = Instruction::decode(&instruction.encode());
                prop_assert_eq!(again, Ok(instruction));
            }
        }
    }

    #[test]
    fn each_instruction_comes_back() {
        let map = |address| Map { address, pitch: 7 };
        let convolve = Convolve {
            layer: 513,
            input: map(0x0102_0304),
            output: map(99),
            addend: Addend::Minus(map(5)),
            activation: Activation::Clamp { low: 0xbc00, high: 0x4600 },
            chained: true,
            filters: 77,
            in_height: 1000,
            in_width: 2,
            in_blocks: 3,
            out_height: 4,
            out_width: 5,
            out_channels: 600,
            groups: 2,
            kernel: [3, 5],
            stride: [1, 2],
            dilation: [4, 6],
            pad: [7, 8],
            zoom: [9, 10],
        };
        let auxiliary = Auxiliary {
            layer: 2,
            input: map(1),
            chained: true,
            output: map(3),
            in_height: 11,
            in_width: 12,
            blocks: 13,
            out_height: 14,
            out_width: 15,
            pooling: Pooling::Average,
            kernel: [3, 2],
            stride: [2, 1],
            pad: [1, 0],
            repeat: [1, 4],
            parameters: 1 << 20,
            scaled: true,
            addend: Addend::Plus(map(8)),
            norm_size: 5,
            activation: Activation::Table { address: 70_000 },
        };
        let transfer = Transfer { layer: 1, stream: 2, memory: 3, count: 4 };
        let all = [
            Instruction::End,
            Instruction::Load(transfer),
            Instruction::Store(transfer),
            Instruction::Convolve(convolve),
            Instruction::Auxiliary(auxiliary),
        ];
        for instruction in all {
            assert_eq!(Instruction::decode(&instruction.encode()), Ok(instruction));
        }
    }

    #[test]
    fn what_means_nothing_is_refused() {
        let mut bytes = Instruction::End.encode();
        bytes[63] = 1;
        assert_eq!(Instruction::decode(&bytes).unwrap_err().at, 63);
        bytes[0] = 9;
        assert_eq!(Instruction::decode(&bytes).unwrap_err().at, 0);
        let transfer = Transfer { layer: 1, stream: 2, memory: 3, count: 4 };
        let mut bytes = Instruction::Load(transfer).encode();
        bytes[1] = CHAINED;
        assert_eq!(Instruction::decode(&bytes).unwrap_err().at, 1);
    }
}
