//! The sizes and abilities of an overlay: what a bitstream holds.

use serde_json::{Map, Value, json};
use std::{collections::BTreeSet, fmt, str::FromStr};
use thiserror::Error;

/// How numbers enter the array: block floating point, one exponent for `C_vec` values.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Precision {
    /// A sign, 6 bits of mantissa (the leading one among them), 5 bits of exponent.
    Fp11,
    /// A sign, 11 bits of mantissa (the leading one among them), 5 bits of exponent.
    Fp16,
}

impl Precision {
    /// Bits of a mantissa, the leading one among them.
    pub fn mantissa_bits(self) -> u32 {
        match self {
            Self::Fp11 => 6,
            Self::Fp16 => 11,
        }
    }

    /// As architectures write it: `fp16`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp11 => "fp11",
            Self::Fp16 => "fp16",
        }
    }
}

/// A unit beside the array that an overlay may have. Without it, layers that need it are refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Primitive {
    /// Bounds of other values than 0.
    Clamp,
    /// Exponential linear units: a function table behind the array.
    Elu,
    /// Local response normalisation.
    Lrn,
    /// A slope for each channel.
    Prelu,
}

impl Primitive {
    /// All there are, by name.
    pub const ALL: [(Self, &'static str); 4] =
        [(Self::Clamp, "clamp"), (Self::Elu, "elu"), (Self::Lrn, "lrn"), (Self::Prelu, "prelu")];

    /// As architectures write it.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(primitive, _)| *primitive == self).expect("all are listed").1
    }
}

/// An overlay.
///
/// Its name is Intel's: `4x2x16x32_fp16_sb9408_fcd1024_actk4_poolk4_normk1_owk2_image300x300x8192_mbfr` says P x Q x
/// C_vec x K_vec, the precision, the depth of the stream buffer, that of the filter cache, the vectors of the auxiliary
/// kernels (activation, pooling, normalisation, output), the largest image (height, width, channels) and flags.
#[derive(Clone, PartialEq, Debug)]
pub struct Architecture {
    /// P: output rows that the array computes at once.
    pub rows: u32,
    /// Q: output columns that the array computes at once.
    pub columns: u32,
    /// C_vec: input channels that enter a dot product, and of a word of the stream buffer.
    pub input_vector: u32,
    /// K_vec: output channels that the array computes at once.
    pub output_vector: u32,
    /// The form of numbers in the array.
    pub precision: Precision,
    /// Depth of the stream buffer. Each of its P x Q banks holds as many words of C_vec fp16 values.
    pub stream_depth: u32,
    /// Depth of the filter cache: blocks of C_vec values for each of the K_vec filters, of one of its two halves.
    pub filter_depth: u32,
    /// Values that the activation kernel takes in a cycle, for each of the P x Q places.
    pub activation_vector: u32,
    /// Values that the pooling kernel takes in a cycle, for each of the P x Q places.
    pub pool_vector: u32,
    /// Values that the normalisation kernel takes in a cycle, for each of the P x Q places.
    pub norm_vector: u32,
    /// Values that the path back to the stream buffer takes in a cycle, for each of the P x Q places.
    pub output_width: u32,
    /// The largest image: height, width, channels.
    pub largest_image: [u32; 3],
    /// The last part of the name: `mbfr`.
    pub flags: String,
    /// The clock of the array, in MHz.
    pub clock_mhz: f64,
    /// What the card's memory moves, in GB/s.
    pub ddr_gb_s: f64,
    /// The units that it has.
    pub primitives: BTreeSet<Primitive>,
}

/// The version of the instruction set and of the numeric specification.
pub const INSTRUCTION_SET: u32 = 1;

/// Why a text or JSON is no architecture.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ArchitectureError {
    /// The name has another form.
    #[error(
        "`{name}` is no architecture: at `{part}` there should be {expected}, as in \
         4x2x16x32_fp16_sb9408_fcd1024_actk4_poolk4_normk1_owk2_image300x300x8192_mbfr"
    )]
    Name {
        /// The name.
        name: String,
        /// The part that was not understood.
        part: String,
        /// What should stand there.
        expected: &'static str,
    },
    /// A size that no overlay has.
    #[error("{what} is {found}; an overlay has {expected}")]
    Size {
        /// The size.
        what: &'static str,
        /// Its value.
        found: u64,
        /// What it may be.
        expected: &'static str,
    },
    /// A field of the JSON is missing or has another type.
    #[error("the architecture's field `{0}` is missing or has another type")]
    Field(&'static str),
    /// Another instruction set.
    #[error(
        "the bitstream has instruction set {0}, this version knows {INSTRUCTION_SET}: generate the bitstream anew"
    )]
    InstructionSet(u64),
}

impl Architecture {
    /// Words that the stream buffer holds, each of C_vec fp16 values.
    pub fn stream_words(&self) -> u32 {
        self.stream_depth * self.rows * self.columns
    }

    /// Bytes of a word.
    pub fn word_bytes(&self) -> u32 {
        2 * self.input_vector
    }

    /// Words that hold the channels of a place of an image.
    pub fn blocks(&self, channels: u32) -> u32 {
        channels.div_ceil(self.input_vector)
    }

    /// Multiplications and additions in a second, in GFLOPS: 2 P Q C_vec K_vec at every tick of the clock.
    pub fn peak_gflops(&self) -> f64 {
        let multiplications = self.rows * self.columns * self.input_vector * self.output_vector;
        2.0 * f64::from(multiplications) * self.clock_mhz / 1e3
    }

    /// The description as JSON, as bitstreams hold it.
    pub fn to_json(&self) -> Value {
        json!({
            "name": self.to_string(),
            "clock_mhz": self.clock_mhz,
            "ddr_gb_s": self.ddr_gb_s,
            "primitives": self.primitives.iter().map(|primitive| primitive.name()).collect::<Vec<_>>(),
            "instruction_set": INSTRUCTION_SET,
        })
    }

    /// Reads the description back.
    pub fn from_json(json: &Map<String, Value>) -> Result<Self, ArchitectureError> {
        let field = |name: &'static str| json.get(name).ok_or(ArchitectureError::Field(name));
        let version =
            field("instruction_set")?.as_u64().ok_or(ArchitectureError::Field("instruction_set"))?;
        if version != u64::from(INSTRUCTION_SET) {
            return Err(ArchitectureError::InstructionSet(version));
        }
        let mut architecture: Self =
            field("name")?.as_str().ok_or(ArchitectureError::Field("name"))?.parse()?;
        let positive = |name: &'static str| {
            let value = field(name)?.as_f64().filter(|value| value.is_finite() && *value > 0.0);
            value.ok_or(ArchitectureError::Field(name))
        };
        architecture.clock_mhz = positive("clock_mhz")?;
        architecture.ddr_gb_s = positive("ddr_gb_s")?;
        let listed = field("primitives")?.as_array().ok_or(ArchitectureError::Field("primitives"))?;
        let known = |value: &Value| Primitive::ALL.iter().find(|(_, name)| value == name).map(|(p, _)| *p);
        let primitives: Option<BTreeSet<Primitive>> = listed.iter().map(known).collect();
        architecture.primitives = primitives.ok_or(ArchitectureError::Field("primitives"))?;
        Ok(architecture)
    }

    fn check(self) -> Result<Self, ArchitectureError> {
        let size = |what, found: u32, range: std::ops::RangeInclusive<u32>, expected| {
            let fits = range.contains(&found);
            fits.then_some(()).ok_or(ArchitectureError::Size { what, found: found.into(), expected })
        };
        size("P", self.rows, 1..=16, "1 to 16")?;
        size("Q", self.columns, 1..=16, "1 to 16")?;
        size("C_vec", self.input_vector, 2..=64, "2 to 64, an even number")?;
        size("C_vec modulo 2", self.input_vector % 2, 0..=0, "an even C_vec")?;
        size("K_vec", self.output_vector, self.input_vector..=128, "C_vec to 128")?;
        size("K_vec modulo C_vec", self.output_vector % self.input_vector, 0..=0, "a multiple of C_vec")?;
        size("the stream buffer", self.stream_depth, 64..=1 << 20, "64 to 1048576 words a bank")?;
        size("the filter cache", self.filter_depth, 1..=1 << 16, "1 to 65536 blocks")?;
        for vector in [self.activation_vector, self.pool_vector, self.norm_vector, self.output_width] {
            size("a vector of an auxiliary kernel", vector, 1..=64, "1 to 64")?;
        }
        for side in self.largest_image {
            size("the largest image", side, 1..=65535, "sides of 1 to 65535")?;
        }
        Ok(self)
    }
}

/// What the name leaves open: the clock, memory and units of the boards that Intel published figures of.
impl FromStr for Architecture {
    type Err = ArchitectureError;

    fn from_str(name: &str) -> Result<Self, ArchitectureError> {
        let wrong = |part: &str, expected| ArchitectureError::Name {
            name: name.to_owned(),
            part: part.to_owned(),
            expected,
        };
        let mut parts = name.split('_');
        let mut part = || parts.next().unwrap_or_default();
        let sizes = |part: &str, count: usize, expected| {
            let sizes: Result<Vec<u32>, _> = part.split('x').map(str::parse).collect();
            sizes.ok().filter(|sizes| sizes.len() == count).ok_or_else(|| wrong(part, expected))
        };
        let number = |part: &str, prefix: &str, expected| {
            part.strip_prefix(prefix).and_then(|rest| rest.parse().ok()).ok_or_else(|| wrong(part, expected))
        };
        let array = sizes(part(), 4, "P x Q x C_vec x K_vec (4x2x16x32)")?;
        let precision = match part() {
            "fp11" => Precision::Fp11,
            "fp16" => Precision::Fp16,
            other => return Err(wrong(other, "fp11 or fp16")),
        };
        let stream_depth = number(part(), "sb", "the depth of the stream buffer (sb9408)")?;
        let filter_depth = number(part(), "fcd", "the depth of the filter cache (fcd1024)")?;
        let activation_vector = number(part(), "actk", "the vector of activations (actk4)")?;
        let pool_vector = number(part(), "poolk", "the vector of pooling (poolk4)")?;
        let norm_vector = number(part(), "normk", "the vector of normalisation (normk1)")?;
        let output_width = number(part(), "owk", "the vector of the output (owk2)")?;
        let image = part();
        let expected = "the largest image (image300x300x8192)";
        let largest = image.strip_prefix("image").ok_or_else(|| wrong(image, expected))?;
        let largest = sizes(largest, 3, expected)?;
        let flags: Vec<&str> = parts.collect();
        Self {
            rows: array[0],
            columns: array[1],
            input_vector: array[2],
            output_vector: array[3],
            precision,
            stream_depth,
            filter_depth,
            activation_vector,
            pool_vector,
            norm_vector,
            output_width,
            largest_image: [largest[0], largest[1], largest[2]],
            flags: flags.join("_"),
            clock_mhz: 300.0,
            ddr_gb_s: 17.0,
            primitives: Primitive::ALL.iter().map(|(primitive, _)| *primitive).collect(),
        }
        .check()
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let [height, width, channels] = self.largest_image;
        write!(
            f,
            "{}x{}x{}x{}_{}_sb{}_fcd{}_actk{}_poolk{}_normk{}_owk{}_image{height}x{width}x{channels}",
            self.rows,
            self.columns,
            self.input_vector,
            self.output_vector,
            self.precision.name(),
            self.stream_depth,
            self.filter_depth,
            self.activation_vector,
            self.pool_vector,
            self.norm_vector,
            self.output_width,
        )?;
        if self.flags.is_empty() { Ok(()) } else { write!(f, "_{}", self.flags) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "4x2x16x32_fp16_sb9408_fcd1024_actk4_poolk4_normk1_owk2_image300x300x8192_mbfr";

    #[test]
    fn a_name_comes_back_as_it_was() {
        let architecture: Architecture = NAME.parse().unwrap();
        assert_eq!(architecture.to_string(), NAME);
        assert_eq!(architecture.stream_words(), 9408 * 8);
        let json = architecture.to_json();
        assert_eq!(Architecture::from_json(json.as_object().unwrap()), Ok(architecture));
    }

    #[test]
    fn wrong_names_say_where() {
        let error = "4x2x16_fp16".parse::<Architecture>().unwrap_err().to_string();
        assert!(error.contains("at `4x2x16` there should be P x Q"), "{error}");
        let error = NAME.replace("sb9408", "9408").parse::<Architecture>().unwrap_err().to_string();
        assert!(error.contains("the depth of the stream buffer"), "{error}");
        let error = NAME.replace("x32_", "x24_").parse::<Architecture>().unwrap_err();
        assert_eq!(error.to_string(), "K_vec modulo C_vec is 8; an overlay has a multiple of C_vec");
        assert!(NAME.replace("300x300", "0x300").parse::<Architecture>().is_err());
    }
}
