//! Matrix products with constant weights: `[rows, inputs] x [inputs, outputs]`.
//!
//! Weights are packed `[outputs / (4 LANES)][inputs][4 LANES]`: one row of inputs streams them once, front to back.
//! Weights that the model stores as f16 stay f16 in memory and are widened in registers.

use super::{
    conv::{Floats, pack_bias},
    conv_tile::unroll,
    post::{PostOps, Sum},
};
use crate::{
    isa::{Isa, Kernel, Simd},
    memory::Packed,
    pool::{Pool, Shards, part},
};
use half::f16;
use std::ops::Range;

/// Vectors of a panel.
const VECTORS: usize = 4;
/// Inputs whose weights of one panel stay in the first-level cache while the rows pass: 32 KiB at 16 lanes.
const DEPTH: usize = 128;

/// Weights as they come: `at(output, input)` is a strided view.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a> {
    /// The elements.
    pub(crate) data: WeightData<'a>,
    /// Elements from one output to the next.
    pub(crate) output_stride: usize,
    /// Elements from one input to the next.
    pub(crate) input_stride: usize,
}

/// The elements of weights.
#[derive(Clone, Copy)]
pub(crate) enum WeightData<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// Half precision.
    F16(&'a [f16]),
}

/// A dense layer, ready to run.
pub(crate) struct Dense {
    isa: Isa,
    inputs: usize,
    outputs: usize,
    panels: Panels,
    bias: Floats,
    post: PostOps,
}

enum Panels {
    F32(Floats),
    F16(Packed<f16>),
}

impl Dense {
    /// Packs the weights. The output, and the addend if [`PostOps`] has a sum, are `[rows, outputs]`.
    ///
    /// # Panics
    /// If lengths do not fit.
    pub(crate) fn new(isa: Isa, [inputs, outputs]: [usize; 2], weights: Weights, post: PostOps) -> Self {
        assert!(post.bias.as_ref().is_none_or(|bias| bias.len() == outputs));
        let panels = match weights.data {
            WeightData::F32(data) => Panels::F32(pack(isa, [inputs, outputs], data, weights)),
            WeightData::F16(data) => Panels::F16(pack(isa, [inputs, outputs], data, weights)),
        };
        let bias = pack_bias(post.bias.as_ref(), outputs, VECTORS * isa.block());
        Self { isa, inputs, outputs, panels, bias, post }
    }

    /// The name of the kernel, for profiles.
    pub(crate) fn name(&self) -> &'static str {
        match self.panels {
            Panels::F32(_) => "dense",
            Panels::F16(_) => "dense_f16",
        }
    }

    /// Runs it on rows of inputs, dense in `src`.
    ///
    /// # Panics
    /// If lengths do not fit, or there is an addend and no [`Sum`] or the other way round.
    pub(crate) fn run(&self, pool: &mut Pool, src: &[f32], dst: &mut [f32], addend: Option<&[f32]>) {
        let rows = dst.len() / self.outputs.max(1);
        assert_eq!((src.len(), dst.len()), (rows * self.inputs, rows * self.outputs));
        assert!(addend.is_none_or(|addend| addend.len() == dst.len()));
        assert_eq!(self.post.sum == Sum::None, addend.is_none(), "an addend where none is summed");
        let width = VECTORS * self.isa.block();
        let panels = self.outputs.div_ceil(width);
        let dst = Shards::new(dst);
        pool.run(&|index, count| {
            let run = |panels: Range<usize>, rows: Range<usize>| {
                let addend = addend.map_or(std::ptr::null(), <[f32]>::as_ptr);
                self.isa.dispatch(Part { of: self, src, dst: dst.get(), addend, panels, rows });
            };
            // Few panels and many rows: threads share the rows.
            if panels >= count * 4 || rows < count {
                run(part(panels, index, count), 0..rows)
            } else {
                run(0..panels, part(rows, index, count))
            }
        });
    }
}

fn pack<T: bytemuck::Pod>(
    isa: Isa,
    [inputs, outputs]: [usize; 2],
    data: &[T],
    weights: Weights,
) -> Packed<T> {
    let width = VECTORS * isa.block();
    let mut packed = Packed::zeroed(outputs.next_multiple_of(width) * inputs);
    for (p, panel) in packed.chunks_exact_mut((width * inputs).max(1)).enumerate() {
        let first = p * width;
        for (k, to) in panel.chunks_exact_mut(width).enumerate() {
            for (o, to) in to.iter_mut().enumerate().take(outputs - first) {
                *to = data[(first + o) * weights.output_stride + k * weights.input_stride];
            }
        }
    }
    packed
}

/// What one thread computes.
struct Part<'a> {
    of: &'a Dense,
    src: &'a [f32],
    dst: *mut f32,
    addend: *const f32,
    panels: Range<usize>,
    rows: Range<usize>,
}

impl Kernel for Part<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = VECTORS * S::LANES;
        let inputs = self.of.inputs;
        for panel in self.panels.clone() {
            match &self.of.panels {
                Panels::F32(w) => {
                    let w = w[panel * width * inputs..].as_ptr();
                    // SAFETY: a panel holds `inputs * VECTORS` vectors.
                    self.panel(s, panel, |i| unsafe { s.load(w.add(i * S::LANES)) });
                }
                Panels::F16(w) => {
                    let w = w[panel * width * inputs..].as_ptr();
                    // SAFETY: as above.
                    self.panel(s, panel, |i| unsafe { s.load_f16(w.add(i * S::LANES)) });
                }
            }
        }
    }
}

impl Part<'_> {
    #[inline(always)]
    fn panel<S: Simd>(&self, s: S, panel: usize, weights: impl Fn(usize) -> S::V) {
        let inputs = self.of.inputs;
        // One row reads its weights once anyway.
        let depth = if self.rows.len() == 1 { inputs } else { DEPTH };
        let mut from = 0;
        while from < inputs || from == 0 {
            let depth = from..inputs.min(from + depth.max(1));
            let mut row = self.rows.start;
            while const { S::REGISTERS >= 32 } && row + 6 <= self.rows.end {
                self.tile::<S, 6>(s, panel, row, depth.clone(), &weights);
                row += 6;
            }
            while const { S::REGISTERS >= 16 } && row + 2 <= self.rows.end {
                self.tile::<S, 2>(s, panel, row, depth.clone(), &weights);
                row += 2;
            }
            while row < self.rows.end {
                self.tile::<S, 1>(s, panel, row, depth.clone(), &weights);
                row += 1;
            }
            from = depth.end.max(1);
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const R: usize>(
        &self,
        s: S,
        panel: usize,
        row: usize,
        depth: Range<usize>,
        weights: &impl Fn(usize) -> S::V,
    ) {
        let Dense { inputs, outputs, bias, post, .. } = self.of;
        let first = panel * VECTORS * S::LANES;
        let place = |r: usize, v: usize| (row + r) * outputs + first + v * S::LANES;
        let lanes = |v: usize| outputs.saturating_sub(first + v * S::LANES).min(S::LANES);
        let mut acc = [[s.splat(0.0); VECTORS]; R];
        // SAFETY: rows, outputs and inputs are within `src`, `dst`, the addend and the packed bias, whose lengths
        // `run` has compared; lanes beyond the last output are not touched.
        unsafe {
            for v in 0..VECTORS {
                let bias = s.load(bias.as_ptr().add(first + v * S::LANES));
                unroll!(M < R, {
                    acc[M][v] = if depth.start == 0 {
                        bias
                    } else {
                        s.load_first(self.dst.wrapping_add(place(M, v)), lanes(v))
                    };
                });
            }
            let src = self.src.as_ptr().add(row * inputs);
            for k in depth.clone() {
                let w = [weights(k * 4), weights(k * 4 + 1), weights(k * 4 + 2), weights(k * 4 + 3)];
                unroll!(M < R, {
                    let x = s.splat(*src.add(M * inputs + k));
                    for v in 0..VECTORS {
                        acc[M][v] = s.mul_add(x, w[v], acc[M][v]);
                    }
                });
            }
            let last = depth.end == *inputs;
            let bounds = post.activation.bounds();
            let (lo, hi) = bounds.filter(|_| last).unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
            let sum = if last && bounds.is_some() { post.sum } else { Sum::None };
            unroll!(M < R, {
                for v in 0..VECTORS {
                    let addend = self.addend.wrapping_add(place(M, v));
                    let mut y = acc[M][v];
                    if sum == Sum::BeforeActivation {
                        y = s.add(y, s.load_first(addend, lanes(v)));
                    }
                    y = s.min(s.splat(hi), s.max(s.splat(lo), y));
                    if sum == Sum::AfterActivation {
                        y = s.add(y, s.load_first(addend, lanes(v)));
                    }
                    s.store_first(self.dst.wrapping_add(place(M, v)), y, lanes(v));
                }
            });
            if last && bounds.is_none() {
                for r in 0..R {
                    let len = (outputs - first).min(VECTORS * S::LANES);
                    let (dst, addend) = (self.dst.add(place(r, 0)), self.addend.wrapping_add(place(r, 0)));
                    post.finish_channels(self.of.isa, dst, addend, first, len);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::conv_tests::{Random, best_of, compare};
    use crate::kernels::post::Activation;

    #[test]
    fn sizes_about_the_blocks_on_every_instruction_set() {
        let mut r = Random(3);
        for case in 0..120 {
            let rows = r.of(&[1, 1, 2, 3, 6, 7, 13]);
            let inputs = r.of(&[1, 2, 17, 127, 128, 129, 300]);
            let outputs = r.of(&[1, 7, 8, 15, 16, 17, 33, 64, 65, 130]);
            let src = r.vec(rows * inputs);
            let half: Vec<f16> = r.vec(inputs * outputs).into_iter().map(f16::from_f32).collect();
            let full: Vec<f32> = half.iter().map(|h| h.to_f32()).collect();
            let by_output = r.below(2) == 0;
            let strides = if by_output { [inputs, 1] } else { [1, outputs] };
            let add = r.vec(rows * outputs);
            let bias = r.vec(outputs);
            let slopes = r.vec(outputs);
            let (prelu, sum) =
                (r.below(2) == 0, r.of(&[Sum::None, Sum::BeforeActivation, Sum::AfterActivation]));
            let expected: Vec<f32> = (0..rows * outputs)
                .map(|i| {
                    let (m, o) = (i / outputs, i % outputs);
                    let term = |k: usize| {
                        f64::from(src[m * inputs + k]) * f64::from(full[o * strides[0] + k * strides[1]])
                    };
                    let mut y = f64::from(bias[o]) + (0..inputs).map(term).sum::<f64>();
                    if sum == Sum::BeforeActivation {
                        y += f64::from(add[i]);
                    }
                    y = if y > 0.0 {
                        y
                    } else if prelu {
                        y * f64::from(slopes[o])
                    } else {
                        0.0
                    };
                    if sum == Sum::AfterActivation {
                        y += f64::from(add[i]);
                    }
                    y as f32
                })
                .collect();
            for isa in Isa::available() {
                for data in [WeightData::F32(&full), WeightData::F16(&half)] {
                    let activation = if prelu { Activation::PRelu(slopes.clone()) } else { Activation::Relu };
                    let post = PostOps { bias: Some(bias.clone()), sum, activation };
                    let weights = Weights { data, output_stride: strides[0], input_stride: strides[1] };
                    let dense = Dense::new(isa, [inputs, outputs], weights, post);
                    let run = |threads| {
                        let mut dst = vec![f32::NAN; rows * outputs];
                        let addend = (sum != Sum::None).then_some(&add[..]);
                        dense.run(&mut Pool::new(threads), &src, &mut dst, addend);
                        dst
                    };
                    let one = run(1);
                    let what =
                        format!("case {case} {} {rows}x{inputs}x{outputs} {}", isa.name(), dense.name());
                    compare(&what, &one, &expected, inputs);
                    assert!(run(2).iter().zip(&one).all(|(a, b)| a.to_bits() == b.to_bits()), "{what}");
                }
            }
        }
    }

    #[test]
    #[ignore = "measures"]
    fn speed_of_dense() {
        let isa = Isa::best();
        let mut r = Random(1);
        for [rows, inputs, outputs] in
            [[1, 2048, 1000], [1, 25088, 4096], [1, 4096, 4096], [16, 4096, 1024], [128, 1024, 1024]]
        {
            let full = r.vec(inputs * outputs);
            let half: Vec<f16> = full.iter().map(|x| f16::from_f32(*x)).collect();
            let src = r.vec(rows * inputs);
            let mut dst = vec![0.0; rows * outputs];
            for (data, size) in [(WeightData::F32(&full), 4), (WeightData::F16(&half), 2)] {
                let weights = Weights { data, output_stride: inputs, input_stride: 1 };
                let dense = Dense::new(isa, [inputs, outputs], weights, PostOps::default());
                let mut pool = Pool::new(1);
                let best = best_of(|| dense.run(&mut pool, &src, &mut dst, None));
                let (bytes, flop) = ((inputs * outputs * size) as f64, (2 * rows * inputs * outputs) as f64);
                println!(
                    "{rows:3} x {inputs:5} x {outputs:4} {:9} {:8.1} us {:6.1} GB/s {:6.1} GFLOP/s",
                    dense.name(),
                    best * 1e6,
                    bytes / best / 1e9,
                    flop / best / 1e9
                );
            }
        }
    }
}
