//! The inner loop of the array, for each instruction set: sums of products of blocks, for some places and one panel of
//! channels. All give the same bits: the integers are exact, and so is the scaling, so that a fused multiplication and
//! addition rounds where the addition rounds.

use crate::{
    architecture::Precision,
    number::{block, block_unit},
};
use std::sync::OnceLock;

/// Channels that are computed side by side.
pub(crate) const PANEL: usize = 16;
/// The most places that are computed at once.
pub(crate) const TILE: usize = 8;

/// A row of a panel: the mantissas of two neighbouring input channels for each of its channels, as the halves of an i32.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Row(pub(crate) [i32; PANEL]);

/// What the exponents of a block make of its mantissas, for each channel of a panel.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Scales(pub(crate) [f32; PANEL]);

/// What a tile reads.
#[derive(Clone, Copy)]
pub(crate) struct Tile<'a> {
    /// Mantissas of the input's blocks, two in an i32.
    pub(crate) mantissas: &'a [i32],
    /// What a mantissa of each block is worth.
    pub(crate) units: &'a [f32],
    /// i32 of a block.
    pub(crate) pairs: usize,
    /// For each tap of the window, the first block of what the places read.
    pub(crate) offsets: &'a [[u32; TILE]],
    /// The block that the group reads first, from there.
    pub(crate) first: usize,
    /// How many blocks each reads there.
    pub(crate) blocks: usize,
    /// Rows of the panel: by tap of the window, block, pair.
    pub(crate) rows: &'a [Row],
    /// By tap of the window, block.
    pub(crate) scales: &'a [Scales],
}

/// What the places of a tile become, before the bias.
pub(crate) type Sums = [[f32; PANEL]; TILE];

/// Which instructions the simulator uses. All give the same bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InstructionSet(Kind);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl InstructionSet {
    /// Those of this machine, the fastest last.
    pub fn available() -> Vec<Self> {
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut))]
        let mut all = vec![Self(Kind::Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                all.push(Self(Kind::Avx2));
            }
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni") {
                all.push(Self(Kind::Avx512));
            }
        }
        all
    }

    /// The fastest of this machine.
    pub fn best() -> Self {
        static BEST: OnceLock<InstructionSet> = OnceLock::new();
        *BEST.get_or_init(|| Self::available().pop().unwrap_or(Self(Kind::Portable)))
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512_vnni",
        }
    }

    /// The sums of the first `places` places of a tile.
    pub(crate) fn sums(self, tile: Tile, places: usize, sums: &mut Sums) {
        match self.0 {
            Kind::Portable => portable::sums(tile, places, sums),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: only `available` makes this kind, where detection found AVX2 and FMA.
            Kind::Avx2 => unsafe { avx2::sums(tile, places, sums) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: only `available` makes this kind, where detection found AVX-512 F and VNNI.
            Kind::Avx512 => unsafe { avx512::sums(tile, places, sums) },
        }
    }

    /// Forms the blocks of some words of `vector` fp16 values: mantissas in pairs, and what one is worth.
    pub(crate) fn blocks(
        self,
        fp16: &[u16],
        vector: usize,
        precision: Precision,
        mantissas: &mut [i32],
        units: &mut [f32],
    ) {
        match self.0 {
            Kind::Portable => portable::blocks(fp16, vector, precision, mantissas, units),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: only `available` makes this kind, where detection found AVX2 and FMA.
            Kind::Avx2 => unsafe { avx2::blocks(fp16, vector, precision, mantissas, units) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: only `available` makes this kind, where detection found AVX-512 F and VNNI.
            Kind::Avx512 => unsafe { avx512::blocks(fp16, vector, precision, mantissas, units) },
        }
    }
}

/// Blocks of some words of `vector` fp16 values: mantissas in pairs, and what one is worth.
#[inline(always)]
fn blocks_by_any(
    fp16: &[u16],
    vector: usize,
    precision: Precision,
    mantissas: &mut [i32],
    units: &mut [f32],
) {
    let mantissas: &mut [i16] = bytemuck::cast_slice_mut(mantissas);
    let words = fp16.chunks_exact(vector).zip(mantissas.chunks_exact_mut(vector));
    for ((values, mantissas), unit) in words.zip(units) {
        *unit = block_unit(block(values, precision, mantissas), precision);
    }
}

/// A module with the loop in one instruction set. It is a macro because functions that are generic over operations
/// with target features could only be inlined by `unsafe` calls throughout.
macro_rules! instruction_set {
    (
        $(#[$with:meta])* $name:ident: $lanes:literal lanes,
        $integers:ty, $floats:ty, zeros $zeros:expr, $float_zeros:expr,
        dot $dot:expr, scale $scale:expr, sum $sum:expr, store $store:expr
    ) => {
        mod $name {
            use super::{PANEL, Precision, Sums, Tile};
            #[cfg(target_arch = "x86_64")]
            #[allow(unused_imports)]
            use std::arch::x86_64::*;

            $(#[$with])*
            pub(super) fn sums(tile: Tile, places: usize, sums: &mut Sums) {
                let mut done = 0;
                while done < places {
                    done += match places - done {
                        8.. if $lanes == PANEL => some::<8>(tile, done, sums),
                        4.. => some::<4>(tile, done, sums),
                        2.. => some::<2>(tile, done, sums),
                        _ => some::<1>(tile, done, sums),
                    };
                }
            }

            $(#[$with])*
            pub(super) fn blocks(
                fp16: &[u16],
                vector: usize,
                precision: Precision,
                mantissas: &mut [i32],
                units: &mut [f32],
            ) {
                super::blocks_by_any(fp16, vector, precision, mantissas, units);
            }

            /// `P` places, from number `first` on.
            $(#[$with])*
            fn some<const P: usize>(tile: Tile, first: usize, sums: &mut Sums) -> usize {
                for part in 0..PANEL / $lanes {
                    let lanes = part * $lanes..(part + 1) * $lanes;
                    let mut acc: [$floats; P] = [$float_zeros; P];
                    let windows = tile.rows.chunks_exact(tile.blocks * tile.pairs);
                    let windows = windows.zip(tile.scales.chunks_exact(tile.blocks));
                    for (offsets, (rows, scales)) in tile.offsets.iter().zip(windows) {
                        let blocks = rows.chunks_exact(tile.pairs).zip(scales).enumerate();
                        for (block, (rows, scales)) in blocks {
                            let at: [usize; P] =
                                std::array::from_fn(|p| offsets[first + p] as usize + tile.first + block);
                            let inputs: [&[i32]; P] =
                                std::array::from_fn(|p| &tile.mantissas[at[p] * tile.pairs..][..rows.len()]);
                            let mut d: [$integers; P] = [$zeros; P];
                            for i in 0..rows.len() {
                                let row: &[i32; $lanes] =
                                    rows[i].0[lanes.clone()].try_into().expect("a part of a panel");
                                for p in 0..P {
                                    d[p] = $dot(d[p], inputs[p][i], row);
                                }
                            }
                            let scales: &[f32; $lanes] =
                                scales.0[lanes.clone()].try_into().expect("a part of a panel");
                            for p in 0..P {
                                acc[p] = $sum(acc[p], d[p], $scale(tile.units[at[p]], scales));
                            }
                        }
                    }
                    for p in 0..P {
                        $store(acc[p], &mut sums[first + p][lanes.clone()]);
                    }
                }
                P
            }
        }
    };
}

instruction_set!(
    portable: 8 lanes,
    [i32; 8], [f32; 8], zeros [0; 8], [0.0; 8],
    dot |d: [i32; 8], input: i32, row: &[i32; 8]| -> [i32; 8] {
        let halves = |value: i32| [i32::from(value as i16), value >> 16];
        let [low, high] = halves(input);
        std::array::from_fn(|lane| {
            let [row_low, row_high] = halves(row[lane]);
            d[lane] + (low * row_low + high * row_high)
        })
    },
    scale |unit: f32, scales: &[f32; 8]| -> [f32; 8] { scales.map(|scale| unit * scale) },
    sum |acc: [f32; 8], d: [i32; 8], scale: [f32; 8]| -> [f32; 8] {
        std::array::from_fn(|lane| acc[lane] + d[lane] as f32 * scale[lane])
    },
    store |acc: [f32; 8], to: &mut [f32]| to.copy_from_slice(&acc)
);

#[cfg(target_arch = "x86_64")]
instruction_set!(
    #[target_feature(enable = "avx2,fma")]
    avx2: 8 lanes,
    __m256i, __m256, zeros _mm256_setzero_si256(), _mm256_setzero_ps(),
    dot |d, input: i32, row: &[i32; 8]| {
        let row: __m256i = bytemuck::cast(*row);
        _mm256_add_epi32(d, _mm256_madd_epi16(_mm256_set1_epi32(input), row))
    },
    scale |unit: f32, scales: &[f32; 8]| {
        let scales: __m256 = bytemuck::cast(*scales);
        _mm256_mul_ps(_mm256_set1_ps(unit), scales)
    },
    sum |acc, d, scale| _mm256_fmadd_ps(_mm256_cvtepi32_ps(d), scale, acc),
    store |acc: __m256, to: &mut [f32]| to.copy_from_slice(&bytemuck::cast::<_, [f32; 8]>(acc))
);

#[cfg(target_arch = "x86_64")]
instruction_set!(
    #[target_feature(enable = "avx512f,avx512vnni")]
    avx512: 16 lanes,
    __m512i, __m512, zeros _mm512_setzero_si512(), _mm512_setzero_ps(),
    dot |d, input: i32, row: &[i32; 16]| {
        let row: __m512i = bytemuck::cast(*row);
        _mm512_dpwssd_epi32(d, _mm512_set1_epi32(input), row)
    },
    scale |unit: f32, scales: &[f32; 16]| {
        let scales: __m512 = bytemuck::cast(*scales);
        _mm512_mul_ps(_mm512_set1_ps(unit), scales)
    },
    sum |acc, d, scale| _mm512_fmadd_ps(_mm512_cvtepi32_ps(d), scale, acc),
    store |acc: __m512, to: &mut [f32]| to.copy_from_slice(&bytemuck::cast::<_, [f32; 16]>(acc))
);
