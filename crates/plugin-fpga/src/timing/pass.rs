//! What one pass through the array and the kernels behind it takes, each part for itself.

use crate::{
    architecture::{Architecture, Precision},
    instruction::{Activation, Addend, Auxiliary, Convolve, Map, Pooling},
};
use std::ops::Range;

/// Bytes of a function table: 65536 fp16 values (`SPEC.md`, section 4).
const TABLE_BYTES: u64 = 1 << 17;

/// A Convolve and the Auxiliary that it is chained to, or an Auxiliary alone: one stream of values through the kernels.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Pass {
    /// The layer that it works for.
    pub(crate) layer: u16,
    /// Portions of filters: K_vec filters each. Equal in size; at least 1.
    pub(crate) portions: u64,
    /// Cycles of the array for a portion.
    pub(crate) compute: u64,
    /// Cycles of the slowest kernel behind the array, for all portions.
    pub(crate) auxiliary: u64,
    /// Blocks of the filter cache that a portion takes, for each of its filters.
    pub(crate) blocks: u64,
    /// Bytes of filters for a portion, read again for each tile where they do not fit the cache.
    pub(crate) portion_bytes: u64,
    /// Bytes of biases, slopes, scales and tables, read once.
    pub(crate) parameter_bytes: u64,
    /// Words of the stream buffer that it reads or writes.
    pub(crate) touched: Vec<Range<u64>>,
}

/// A product that stays at the largest number instead of beginning anew: descriptors may come from a file.
fn product(factors: &[u64]) -> u64 {
    factors.iter().fold(1, |product, factor| product.saturating_mul(*factor))
}

fn words(map: Map, height: u16, width: u16) -> Range<u64> {
    let start = u64::from(map.address);
    start..start + product(&[height.into(), width.into(), map.pitch.into()])
}

/// How often the array's P x Q places are laid onto an image.
fn tiles(architecture: &Architecture, height: u64, width: u64) -> u64 {
    product(&[height.div_ceil(architecture.rows.into()), width.div_ceil(architecture.columns.into())])
}

impl Pass {
    fn addend(&mut self, addend: Addend, height: u16, width: u16) {
        if let Addend::Plus(map) | Addend::Minus(map) = addend {
            self.touched.push(words(map, height, width));
        }
    }

    fn activation(&mut self, activation: Activation, channels: u64) {
        self.parameter_bytes = self.parameter_bytes.saturating_add(match activation {
            Activation::Prelu => 2 * channels,
            Activation::Table { .. } => TABLE_BYTES,
            Activation::None | Activation::Relu { .. } | Activation::Clamp { .. } => 0,
        });
    }

    pub(crate) fn of_convolve(architecture: &Architecture, interleave: u64, c: &Convolve) -> Self {
        let columns = u64::from(c.out_width).div_ceil(architecture.columns.into());
        let columns = columns.div_ceil(interleave).saturating_mul(interleave);
        let tiles = product(&[u64::from(c.out_height).div_ceil(architecture.rows.into()), columns]);
        let k_vec = u64::from(architecture.output_vector);
        let groups = u64::from(c.groups);
        let k_portions = u64::from(c.out_channels).div_ceil(k_vec);
        let taps = product(&[c.kernel[0].into(), c.kernel[1].into(), c.in_blocks.into()]);
        let mantissa = match architecture.precision {
            Precision::Fp11 => 1,
            Precision::Fp16 => 2,
        };
        let block = 1 + u64::from(architecture.input_vector) * mantissa;
        let half = u64::from(architecture.filter_depth);
        let reads = if taps <= half { 1 } else { tiles.max(1) };
        let mut pass = Self {
            layer: c.layer,
            portions: product(&[groups, k_portions]).max(1),
            compute: product(&[tiles, taps]),
            blocks: taps.min(half),
            portion_bytes: product(&[taps, k_vec, block, reads]),
            parameter_bytes: product(&[groups, k_portions, k_vec, 4]),
            touched: vec![words(c.input, c.in_height, c.in_width)],
            ..Self::default()
        };
        let behind =
            |vector: u32| product(&[tiles, groups, u64::from(c.out_channels).div_ceil(vector.into())]);
        if c.activation != Activation::None {
            pass.auxiliary = behind(architecture.activation_vector);
        }
        if !c.chained {
            pass.auxiliary = pass.auxiliary.max(behind(architecture.output_width));
            pass.touched.push(words(c.output, c.out_height, c.out_width));
        }
        pass.addend(c.addend, c.out_height, c.out_width);
        pass.activation(c.activation, product(&[groups, k_portions, k_vec]));
        pass
    }

    /// Takes in what is chained behind the array, or, behind nothing, is the pass of an Auxiliary alone.
    pub(crate) fn with_auxiliary(mut self, architecture: &Architecture, a: &Auxiliary) -> Self {
        let lanes = product(&[a.blocks.into(), architecture.input_vector.into()]);
        let outputs = tiles(architecture, a.out_height.into(), a.out_width.into());
        let taken = tiles(
            architecture,
            product(&[a.in_height.into(), a.repeat[0].into()]),
            product(&[a.in_width.into(), a.repeat[1].into()]),
        );
        let kernel = |tiles, vector: u32| product(&[tiles, lanes.div_ceil(vector.into())]);
        let mut kernels = vec![self.auxiliary, kernel(outputs, architecture.output_width)];
        if a.pooling != Pooling::None {
            kernels.push(kernel(outputs.max(taken), architecture.pool_vector));
        }
        if a.norm_size > 0 {
            kernels.push(kernel(outputs, architecture.norm_vector));
        }
        if a.activation != Activation::None {
            kernels.push(kernel(outputs, architecture.activation_vector));
        }
        self.auxiliary = kernels.into_iter().max().unwrap_or_default();
        self.layer = a.layer;
        self.portions = self.portions.max(1);
        if !a.chained {
            self.touched.push(words(a.input, a.in_height, a.in_width));
        }
        self.touched.push(words(a.output, a.out_height, a.out_width));
        self.addend(a.addend, a.out_height, a.out_width);
        self.activation(a.activation, lanes);
        let scales = if a.scaled { product(&[lanes, 8]) } else { 0 };
        let table = if a.norm_size > 0 { TABLE_BYTES } else { 0 };
        self.parameter_bytes = self.parameter_bytes.saturating_add(scales).saturating_add(table);
        self
    }

    /// Cycles that a portion keeps the array and the kernels behind it.
    pub(crate) fn portion_cycles(&self) -> u64 {
        self.compute.max(self.auxiliary.div_ceil(self.portions))
    }

    /// Bytes of constants in all.
    pub(crate) fn constant_bytes(&self) -> u64 {
        product(&[self.portions, self.portion_bytes]).saturating_add(self.parameter_bytes)
    }
}
