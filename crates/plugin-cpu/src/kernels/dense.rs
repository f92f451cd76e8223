//! Matrix products with constant weights: rows of `K` inputs to rows of outputs.
//!
//! Weights are packed [O / (B N)][K][B N], B vectors to a panel: a product with one row streams them once, front to
//! back. Weights that the model stores as f16 stay f16 and are widened in registers.

use super::{Entry, Floats, Part, Post, Routine, Step, View, entry, registers};
use crate::{
    isa::{Isa, Simd},
    memory::Memory,
};
use half::f16;
use ir::AlignedBytes;
use std::sync::Arc;

/// Vectors of a panel.
const VECTORS: usize = 4;

/// Packed weights.
#[derive(Clone)]
pub(crate) enum Panels {
    Full(Floats),
    Half(Arc<AlignedBytes>),
}

impl Panels {
    /// Packs weights of which `at(o, k)` is the one for output `o` and input `k`.
    pub(crate) fn full(isa: Isa, outputs: usize, inputs: usize, at: impl Fn(usize, usize) -> f32) -> Self {
        let len = packed_len(isa, outputs, inputs);
        Self::Full(Floats::new(len, |packed| pack(isa, outputs, inputs, packed, at)))
    }

    /// The same for halves.
    pub(crate) fn half(isa: Isa, outputs: usize, inputs: usize, at: impl Fn(usize, usize) -> f16) -> Self {
        let mut bytes = ir::aligned_zeros(2 * packed_len(isa, outputs, inputs));
        pack(isa, outputs, inputs, bytemuck::cast_slice_mut(&mut bytes), at);
        Self::Half(Arc::new(bytes))
    }
}

fn packed_len(isa: Isa, outputs: usize, inputs: usize) -> usize {
    outputs.next_multiple_of(VECTORS * isa.block()) * inputs
}

fn pack<T>(isa: Isa, outputs: usize, inputs: usize, packed: &mut [T], at: impl Fn(usize, usize) -> T) {
    let width = VECTORS * isa.block();
    for (p, panel) in packed.chunks_exact_mut(width * inputs.max(1)).enumerate() {
        for k in 0..inputs {
            for o in p * width..outputs.min((p + 1) * width) {
                panel[k * width + o % width] = at(o, k);
            }
        }
    }
}

/// `dst[m][o] = post(sum over k of src[m][k] w[o][k], + bias[o] + residual[m][o])`.
pub(crate) struct Dense {
    pub(crate) src: View,
    pub(crate) dst: View,
    pub(crate) residual: Option<View>,
    pub(crate) rows: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) panels: Panels,
    pub(crate) bias: Floats,
    pub(crate) post: Post,
    pub(crate) isa: Isa,
    /// By rows, from one up.
    entries: [Entry<Block>; MOST_ROWS],
}

/// Rows of the largest register tile.
const MOST_ROWS: usize = 6;

/// `R` rows by one panel.
struct Block {
    src: *const f32,
    weights: *const u8,
    panel: usize,
    dst: *mut f32,
    residual: *const f32,
    step: *const Dense,
}

struct BlockKernel<const R: usize>;

impl<const R: usize> Routine for BlockKernel<R> {
    type Args = Block;

    #[inline(always)]
    unsafe fn run<S: Simd>(s: S, a: &Block) {
        // SAFETY: the step's.
        unsafe {
            let step = &*a.step;
            match step.panels {
                Panels::Full(_) => block::<S, R>(s, a, step, |i| s.load(a.weights.cast::<f32>().add(i))),
                Panels::Half(_) => block::<S, R>(s, a, step, |i| s.load_f16(a.weights.cast::<f16>().add(i))),
            }
        }
    }
}

#[inline(always)]
unsafe fn block<S: Simd, const R: usize>(s: S, a: &Block, step: &Dense, weights: impl Fn(usize) -> S::V) {
    // SAFETY: the step's.
    unsafe {
        let width = VECTORS * S::LANES;
        let mut acc = [[s.splat(0.0); VECTORS]; R];
        for k in 0..step.inputs {
            let mut w = [s.splat(0.0); VECTORS];
            for v in 0..VECTORS {
                w[v] = weights(k * width + v * S::LANES);
            }
            for r in 0..R {
                let x = s.splat(*a.src.add(r * step.inputs + k));
                for v in 0..VECTORS {
                    acc[r][v] = s.mul_add(x, w[v], acc[r][v]);
                }
            }
        }
        let (low, high) = (s.splat(step.post.low), s.splat(step.post.high));
        let first = a.panel * width;
        for r in 0..R {
            for v in 0..VECTORS {
                let at = first + v * S::LANES;
                if at >= step.outputs {
                    break;
                }
                let lanes = (step.outputs - at).min(S::LANES);
                let (dst, other) = (
                    a.dst.add(r * step.outputs + v * S::LANES),
                    a.residual.wrapping_add(r * step.outputs + v * S::LANES),
                );
                let mut y = s.add(acc[r][v], s.load(step.bias.as_ptr().add(at)));
                if !a.residual.is_null() {
                    y = s.add(y, if lanes == S::LANES { s.load(other) } else { s.load_first(other, lanes) });
                }
                let y = s.min(high, s.max(low, y));
                if lanes == S::LANES { s.store(dst, y) } else { s.store_first(dst, y, lanes) }
            }
            if let Some(map) = &step.post.map {
                map.in_place(a.dst.add(r * step.outputs), width.min(step.outputs - first), first);
            }
        }
    }
}

impl Dense {
    pub(crate) fn new(
        isa: Isa,
        [src, dst]: [View; 2],
        residual: Option<View>,
        [rows, inputs, outputs]: [usize; 3],
        panels: Panels,
        bias: &[f32],
        post: Post,
    ) -> Self {
        let bias = Floats::new(outputs.next_multiple_of(VECTORS * isa.block()), |b| {
            b[..outputs].copy_from_slice(bias)
        });
        let entries = [
            entry::<BlockKernel<1>>(isa),
            entry::<BlockKernel<2>>(isa),
            entry::<BlockKernel<3>>(isa),
            entry::<BlockKernel<4>>(isa),
            entry::<BlockKernel<5>>(isa),
            entry::<BlockKernel<6>>(isa),
        ];
        Self { src, dst, residual, rows, inputs, outputs, panels, bias, post, isa, entries }
    }
}

impl Step for Dense {
    fn views(&mut self) -> Vec<&mut View> {
        [&mut self.src, &mut self.dst].into_iter().chain(&mut self.residual).collect()
    }

    fn name(&self) -> String {
        let half = if matches!(self.panels, Panels::Half(_)) { "_f16w" } else { "" };
        format!("dense_{}_f32{half}", self.isa.name())
    }

    fn run(&self, memory: &Memory, part: Part) {
        let width = VECTORS * self.isa.block();
        let (weights, size) = match &self.panels {
            Panels::Full(floats) => (floats.as_ptr().cast::<u8>(), 4),
            Panels::Half(bytes) => (bytes.as_ptr(), 2),
        };
        // Registers bound the rows: 4 vectors of sums each, 4 of weights.
        let most = if registers(self.isa) >= 32 { MOST_ROWS } else { 2 };
        for panel in part.of(self.outputs.div_ceil(width)) {
            let mut row = 0;
            while row < self.rows {
                let now = most.min(self.rows - row);
                let offset = row * self.outputs + panel * width;
                let args = Block {
                    src: memory.at::<f32>(self.src).wrapping_add(row * self.inputs),
                    weights: weights.wrapping_add(panel * width * self.inputs * size),
                    panel,
                    dst: memory.at::<f32>(self.dst).wrapping_add(offset),
                    residual: self.residual.map_or(std::ptr::null(), |view| {
                        memory.at::<f32>(view).wrapping_add(offset).cast_const()
                    }),
                    step: self,
                };
                // SAFETY: the views hold `rows` rows; each panel of outputs is one part's.
                unsafe { self.entries[now - 1].call(&args) };
                row += now;
            }
        }
    }
}
