//! What executors check of a program before they run it: that no instruction reaches beyond a memory, and that each means
//! something. Programs come from files, so they may say anything.

use crate::{
    architecture::Architecture,
    executor::ExecutorError,
    instruction::{Activation, Addend, Auxiliary, Convolve, Instruction, Map, Pooling, Transfer},
    program::Program,
};

/// The memory of the board, for features: 8 GiB.
pub(crate) const BOARD_BYTES: u64 = 8 << 30;
/// The most bytes of values that a chained convolution may hand over, in an executor that keeps them.
const CHAINED_BYTES: u64 = 1 << 30;
/// Entries of a function table.
pub(crate) const TABLE: usize = 1 << 16;

/// Where the constants of a [`Convolve`] lie: bytes from the start, for each group the same way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct FilterLayout {
    /// The first byte.
    pub(crate) at: usize,
    /// Channels of a group, with those that fill the last vector.
    pub(crate) channels: usize,
    /// Blocks of a filter.
    pub(crate) taps: usize,
    /// From a group to the next.
    pub(crate) group: usize,
    /// Slopes, from the start of the group; there are some if `exponents` is beyond.
    pub(crate) slopes: usize,
    /// Exponents, from the start of the group.
    pub(crate) exponents: usize,
    /// Mantissas, from the start of the group.
    pub(crate) mantissas: usize,
}

/// Where the constants of an [`Auxiliary`] lie, in bytes from the start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ParameterLayout {
    /// Scales.
    pub(crate) scales: usize,
    /// Shifts.
    pub(crate) shifts: usize,
    /// Slopes.
    pub(crate) slopes: usize,
    /// The coefficients of normalisation.
    pub(crate) coefficients: usize,
    /// The table of normalisation.
    pub(crate) table: usize,
    end: u64,
}

impl FilterLayout {
    /// By the sizes of the instruction; `None` if they are beyond any memory.
    pub(crate) fn new(architecture: &Architecture, c: &Convolve) -> Option<Self> {
        let vector = u64::from(architecture.output_vector);
        let channels = u64::from(c.out_channels).next_multiple_of(vector);
        let taps = u64::from(c.kernel[0]) * u64::from(c.kernel[1]) * u64::from(c.in_blocks);
        let slopes = (4 * channels).next_multiple_of(64);
        let slope_bytes = if c.activation == Activation::Prelu { 2 * channels } else { 0 };
        let exponents = slopes + slope_bytes.next_multiple_of(64);
        let mantissas = exponents + (channels * taps).next_multiple_of(64);
        let bytes = u64::from(mantissa_bytes(architecture));
        let all = channels.checked_mul(taps)?.checked_mul(u64::from(architecture.input_vector) * bytes)?;
        let group = mantissas.checked_add(all.checked_next_multiple_of(64)?)?;
        Some(Self {
            at: c.filters as usize * 64,
            channels: channels as usize,
            taps: taps as usize,
            group: usize::try_from(group).ok()?,
            slopes: slopes as usize,
            exponents: exponents as usize,
            mantissas: mantissas as usize,
        })
    }

    fn end(&self, groups: u16) -> Option<u64> {
        let all = (self.group as u64).checked_mul(groups.into())?;
        all.checked_add(self.at as u64)
    }
}

impl ParameterLayout {
    /// By the sizes of the instruction.
    pub(crate) fn new(architecture: &Architecture, a: &Auxiliary) -> Self {
        let lanes = u64::from(a.blocks) * u64::from(architecture.input_vector);
        let mut end = u64::from(a.parameters) * 64;
        let mut part = |there: bool, bytes: u64| {
            let start = end;
            end += if there { bytes.next_multiple_of(64) } else { 0 };
            start as usize
        };
        let scales = part(a.scaled, 4 * lanes);
        let shifts = part(a.scaled, 4 * lanes);
        let slopes = part(a.activation == Activation::Prelu, 2 * lanes);
        let coefficients = part(a.norm_size > 0, 8);
        let table = part(a.norm_size > 0, 2 * TABLE as u64);
        Self { scales, shifts, slopes, coefficients, table, end }
    }
}

/// Bytes of a mantissa of a filter.
pub(crate) fn mantissa_bytes(architecture: &Architecture) -> u8 {
    if architecture.precision.mantissa_bits() > 7 { 2 } else { 1 }
}

/// Words of a place that a convolution writes.
pub(crate) fn out_words(architecture: &Architecture, c: &Convolve) -> u64 {
    u64::from(c.groups) * u64::from(architecture.blocks(c.out_channels.into()))
}

/// What a checked program needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Extent {
    /// Words of the stream buffer that some instruction reaches.
    pub(crate) stream_words: u64,
    /// The most fp16 values that an instruction makes.
    pub(crate) made: u64,
}

/// Checks that the program is for the architecture and that all its instructions stay within the memories.
pub(crate) fn check(architecture: &Architecture, program: &Program) -> Result<Extent, ExecutorError> {
    let board = architecture.to_string();
    if program.architecture != board {
        return Err(ExecutorError::Architecture { program: program.architecture.clone(), board });
    }
    if u64::from(program.feature_words) * u64::from(architecture.word_bytes()) > BOARD_BYTES {
        return Err(ExecutorError::Device(format!(
            "the program's features take {} words of {} bytes, the board's memory is 8 GiB: use a smaller batch or \
             image",
            program.feature_words,
            architecture.word_bytes()
        )));
    }
    let mut checks = Checks { architecture, program, extent: Extent::default(), before: None };
    for (index, instruction) in program.instructions.iter().enumerate() {
        let wrong = |what| ExecutorError::Instruction { index, what };
        checks.instruction(instruction).map_err(wrong)?;
    }
    match checks.before {
        Some(_) => Err(ExecutorError::Instruction {
            index: program.instructions.len(),
            what: "the program ends behind a chained convolution".into(),
        }),
        None => Ok(checks.extent),
    }
}

struct Checks<'a> {
    architecture: &'a Architecture,
    program: &'a Program,
    extent: Extent,
    /// A convolution that hands its values to what follows.
    before: Option<Convolve>,
}

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

fn positive(sizes: &[(&str, u32)]) -> Result<(), String> {
    match sizes.iter().find(|(_, size)| *size == 0) {
        Some((name, _)) => Err(format!("its {name} is 0; it must be at least 1")),
        None => Ok(()),
    }
}

impl Checks<'_> {
    fn instruction(&mut self, instruction: &Instruction) -> Result<(), String> {
        let before = self.before.take();
        let chained = matches!(instruction, Instruction::Auxiliary(a) if a.chained);
        ensure(chained == before.is_some(), || {
            if chained {
                "it is chained, but no chained convolution stands before it".into()
            } else {
                "a chained convolution stands before it; only a chained auxiliary instruction can follow"
                    .into()
            }
        })?;
        match instruction {
            Instruction::Load(transfer) | Instruction::Store(transfer) => self.transfer(transfer),
            Instruction::Convolve(c) => self.convolve(c),
            Instruction::Auxiliary(a) => self.auxiliary(a, before.as_ref()),
            Instruction::End => Ok(()),
        }
    }

    /// Notes that the stream buffer is reached as far as `end`.
    fn stream(&mut self, what: &str, end: u64) -> Result<(), String> {
        let words = self.architecture.stream_words();
        ensure(end <= words.into(), || {
            format!("{what} reaches to word {end} of the stream buffer, which has {words}")
        })?;
        self.extent.stream_words = self.extent.stream_words.max(end);
        Ok(())
    }

    fn map(&mut self, what: &str, map: Map, height: u16, width: u16, words: u64) -> Result<(), String> {
        let places = u64::from(height) * u64::from(width);
        let pitch = u64::from(map.pitch);
        ensure(pitch >= words || places == 1, || {
            format!("{what} has {words} words at each place and {pitch} from one to the next: places overlap")
        })?;
        self.stream(what, u64::from(map.address) + (places - 1) * pitch + words)
    }

    fn constants(&self, what: &str, end: Option<u64>) -> Result<(), String> {
        let length = self.program.constants.len();
        ensure(end.is_some_and(|end| end <= length as u64), || {
            let end = end.map_or("beyond any memory".into(), |end| format!("to byte {end}"));
            format!("{what} reach {end} of the constants, which have {length}")
        })
    }

    fn makes(&mut self, places: u64, words: u64) -> Result<(), String> {
        let values = places * words * u64::from(self.architecture.input_vector);
        ensure(values * 2 <= CHAINED_BYTES, || {
            format!("it makes {values} values at once; at most {} are possible", CHAINED_BYTES / 2)
        })?;
        self.extent.made = self.extent.made.max(values);
        Ok(())
    }

    fn transfer(&mut self, transfer: &Transfer) -> Result<(), String> {
        let count = u64::from(transfer.count);
        let end = u64::from(transfer.memory) + count;
        let words = self.program.feature_words;
        ensure(end <= words.into(), || {
            format!("it reaches to word {end} of the features' memory, which has {words}")
        })?;
        self.stream("it", u64::from(transfer.stream) + count)
    }

    fn addend(&mut self, addend: Addend, height: u16, width: u16, words: u64) -> Result<(), String> {
        match addend {
            Addend::None => Ok(()),
            Addend::Plus(map) | Addend::Minus(map) => self.map("the addend", map, height, width, words),
        }
    }

    fn activation(&self, activation: Activation) -> Result<(), String> {
        match activation {
            Activation::None | Activation::Relu { .. } | Activation::Prelu => Ok(()),
            Activation::Clamp { low, high } => {
                let [low, high] = [low, high].map(crate::number::from_fp16);
                ensure(low <= high, || format!("no value is at least {low} and at most {high}"))
            }
            Activation::Table { address } => {
                let end = u64::from(address) * 64 + 2 * TABLE as u64;
                self.constants("the activation's entries", Some(end))
            }
        }
    }

    fn convolve(&mut self, c: &Convolve) -> Result<(), String> {
        positive(&[
            ("in_height", c.in_height.into()),
            ("in_width", c.in_width.into()),
            ("in_blocks", c.in_blocks.into()),
            ("out_height", c.out_height.into()),
            ("out_width", c.out_width.into()),
            ("out_channels", c.out_channels.into()),
            ("groups", c.groups.into()),
            ("kernel", c.kernel.into_iter().min().unwrap_or(0).into()),
            ("stride", c.stride.into_iter().min().unwrap_or(0).into()),
            ("dilation", c.dilation.into_iter().min().unwrap_or(0).into()),
            ("zoom", c.zoom.into_iter().min().unwrap_or(0).into()),
        ])?;
        self.map(
            "the input",
            c.input,
            c.in_height,
            c.in_width,
            u64::from(c.groups) * u64::from(c.in_blocks),
        )?;
        let words = out_words(self.architecture, c);
        if c.chained {
            self.before = Some(*c);
        } else {
            self.map("the output", c.output, c.out_height, c.out_width, words)?;
        }
        self.makes(u64::from(c.out_height) * u64::from(c.out_width), words)?;
        self.addend(c.addend, c.out_height, c.out_width, words)?;
        self.activation(c.activation)?;
        let end = FilterLayout::new(self.architecture, c).and_then(|layout| layout.end(c.groups));
        self.constants("the filters", end)
    }

    fn auxiliary(&mut self, a: &Auxiliary, before: Option<&Convolve>) -> Result<(), String> {
        positive(&[
            ("in_height", a.in_height.into()),
            ("in_width", a.in_width.into()),
            ("blocks", a.blocks.into()),
            ("out_height", a.out_height.into()),
            ("out_width", a.out_width.into()),
            ("kernel", a.kernel.into_iter().min().unwrap_or(0).into()),
            ("stride", a.stride.into_iter().min().unwrap_or(0).into()),
            ("repeat", a.repeat.into_iter().min().unwrap_or(0).into()),
        ])?;
        let words = u64::from(a.blocks);
        match before {
            None => self.map("the input", a.input, a.in_height, a.in_width, words)?,
            Some(c) => {
                let made = out_words(self.architecture, c);
                ensure([a.in_height, a.in_width] == [c.out_height, c.out_width] && words <= made, || {
                    format!(
                        "it reads {} x {} places of {words} words, the convolution before it makes {} x {} of {made}",
                        a.in_height, a.in_width, c.out_height, c.out_width
                    )
                })?;
            }
        }
        self.map("the output", a.output, a.out_height, a.out_width, words)?;
        self.makes(u64::from(a.out_height) * u64::from(a.out_width), words)?;
        self.addend(a.addend, a.out_height, a.out_width, words)?;
        self.activation(a.activation)?;
        ensure(a.norm_size == 0 || a.norm_size % 2 == 1, || {
            format!("it normalises over {} channels; the number must be odd", a.norm_size)
        })?;
        if a.pooling == Pooling::None {
            for (axis, out, size) in [(0, a.out_height, a.in_height), (1, a.out_width, a.in_width)] {
                let last = (u32::from(out) - 1) * u32::from(a.stride[axis]);
                let there = u32::from(size) * u32::from(a.repeat[axis]);
                ensure(last < there, || {
                    format!("it reads row or column {last} of an image that has {there}")
                })?;
            }
        }
        self.constants("the parameters", Some(ParameterLayout::new(self.architecture, a).end))
    }
}
