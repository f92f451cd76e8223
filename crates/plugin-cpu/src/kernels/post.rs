//! Post-operations: what follows a kernel's sum while the tile is at hand.

use super::math;
use crate::isa::{Isa, Kernel, Simd};

/// A function of one element.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) enum Activation {
    /// `x`
    #[default]
    None,
    /// `max(x, 0)`
    Relu,
    /// `min(max(x, lo), hi)`
    Clamp(f32, f32),
    /// `x` if positive, else `slope * x`
    Leaky(f32),
    /// [`Leaky`](Self::Leaky) with a slope per channel.
    PRelu(Vec<f32>),
    /// `x * sigmoid(beta * x)`
    Swish(f32),
    /// `x * min(max(x + 3, 0), 6) / 6`
    HSwish,
    /// `min(max(x + 3, 0), 6) / 6`
    HSigmoid,
    /// `min(max(alpha * x + beta, 0), 1)`
    HardSigmoid(f32, f32),
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// `tanh(x)`
    Tanh,
    /// `x` if positive, else `alpha * (exp(x) - 1)`
    Elu(f32),
    /// `lambda * Elu(alpha)(x)`, as (alpha, lambda)
    Selu(f32, f32),
    /// `x / 2 * (1 + erf(x / sqrt(2)))`
    Gelu,
    /// [`Gelu`](Self::Gelu), by its approximation with a hyperbolic tangent.
    GeluTanh,
    /// `x * tanh(SoftPlus(x))`
    Mish,
    /// `log(1 + exp(x))`
    SoftPlus,
    /// `exp(x)`
    Exp,
    /// `log(x)`
    Log,
    /// `erf(x)`
    Erf,
    /// `sqrt(x)`
    Sqrt,
    /// `|x|`
    Abs,
}

/// Whether, and when, a tensor of the output's shape is added.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Sum {
    /// Nothing is added.
    #[default]
    None,
    /// `activation(x + addend)`
    BeforeActivation,
    /// `activation(x) + addend`
    AfterActivation,
}

/// What follows the sum of products, in this order: bias, addend and activation as [`Sum`] says.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct PostOps {
    /// Added, per output channel.
    pub(crate) bias: Option<Vec<f32>>,
    /// The addend, given when the kernel runs.
    pub(crate) sum: Sum,
    /// The activation.
    pub(crate) activation: Activation,
}

impl Activation {
    /// The bounds, if the function is nothing but bounds that keep zero where it is.
    pub(crate) fn bounds(&self) -> Option<(f32, f32)> {
        match *self {
            Self::None => Some((f32::NEG_INFINITY, f32::INFINITY)),
            Self::Relu => Some((0.0, f32::INFINITY)),
            Self::Clamp(lo, hi) if lo <= 0.0 && hi >= 0.0 => Some((lo, hi)),
            _ => None,
        }
    }

    /// Applies the function to a vector. `c` is the channel of the first lane, whose slope PReLU needs; `lanes`
    /// the number of lanes that are channels.
    #[inline(always)]
    pub(super) fn vector<S: Simd>(&self, s: S, x: S::V, c: usize, lanes: usize) -> S::V {
        let zero = s.splat(0.0);
        let one = s.splat(1.0);
        let leaky = |slope| s.add(s.max(x, zero), s.mul(slope, s.min(x, zero)));
        match self {
            Self::None => x,
            Self::Relu => s.max(zero, x),
            Self::Clamp(lo, hi) => s.min(s.splat(*hi), s.max(s.splat(*lo), x)),
            Self::Leaky(slope) => leaky(s.splat(*slope)),
            Self::PRelu(slopes) => {
                let slopes = &slopes[c..];
                // SAFETY: as many elements are read as there are.
                leaky(unsafe { s.load_first(slopes.as_ptr(), lanes.min(slopes.len())) })
            }
            Self::Swish(beta) => s.mul(x, math::sigmoid(s, s.mul(x, s.splat(*beta)))),
            Self::HSwish => s.mul(x, hard_sigmoid(s, x, 1.0 / 6.0, 0.5)),
            Self::HSigmoid => hard_sigmoid(s, x, 1.0 / 6.0, 0.5),
            Self::HardSigmoid(alpha, beta) => hard_sigmoid(s, x, *alpha, *beta),
            Self::Sigmoid => math::sigmoid(s, x),
            Self::Tanh => math::tanh(s, x),
            Self::Elu(alpha) => elu(s, x, *alpha),
            Self::Selu(alpha, lambda) => s.mul(s.splat(*lambda), elu(s, x, *alpha)),
            Self::Gelu => {
                let half = s.mul(x, s.splat(0.5));
                s.mul_add(half, math::erf(s, s.mul(x, s.splat(std::f32::consts::FRAC_1_SQRT_2))), half)
            }
            Self::GeluTanh => {
                let half = s.mul(x, s.splat(0.5));
                let cubic = s.mul_add(s.mul(x, x), s.splat(0.044_715), one);
                let t = math::tanh(s, s.mul(s.mul(x, s.splat(0.797_884_6)), cubic));
                s.mul_add(half, t, half)
            }
            Self::Mish => {
                // tanh(log(1 + w)) = (w^2 + 2w) / (w^2 + 2w + 2), which is 1 in f32 from x = 20 on.
                let w = math::exp(s, s.min(s.splat(20.0), x));
                let n = s.mul(w, s.add(w, s.splat(2.0)));
                s.mul(x, s.div(n, s.add(n, s.splat(2.0))))
            }
            Self::SoftPlus => {
                let small = math::exp(s, s.sub(zero, s.abs(x)));
                s.add(s.max(zero, x), math::log1p(s, small))
            }
            Self::Exp => math::exp(s, x),
            Self::Log => math::log(s, x),
            Self::Erf => math::erf(s, x),
            Self::Sqrt => s.sqrt(x),
            Self::Abs => s.abs(x),
        }
    }
}

#[inline(always)]
fn hard_sigmoid<S: Simd>(s: S, x: S::V, alpha: f32, beta: f32) -> S::V {
    let line = s.mul_add(x, s.splat(alpha), s.splat(beta));
    s.min(s.splat(1.0), s.max(s.splat(0.0), line))
}

#[inline(always)]
fn elu<S: Simd>(s: S, x: S::V, alpha: f32) -> S::V {
    let negative = s.mul(s.splat(alpha), math::expm1(s, s.min(s.splat(0.0), x)));
    s.select(s.lt(s.splat(0.0), x), x, negative)
}

/// A run of pixels of one channel block that a kernel has just written, to be finished in place.
struct Finish<'a> {
    post: &'a PostOps,
    tile: *mut f32,
    addend: Option<*const f32>,
    pixels: usize,
    channel: usize,
    lanes: usize,
}

impl Kernel for Finish<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for i in 0..self.pixels {
            // SAFETY: the kernel that made the tile says it holds so many pixels of a block each, and so does the
            // addend if the post-operations have one.
            unsafe {
                let at = self.tile.add(i * S::LANES);
                let mut x = s.load(at);
                if let (Sum::BeforeActivation, Some(addend)) = (self.post.sum, self.addend) {
                    x = s.add(x, s.load(addend.add(i * S::LANES)));
                }
                x = self.post.activation.vector(s, x, self.channel, self.lanes);
                if let (Sum::AfterActivation, Some(addend)) = (self.post.sum, self.addend) {
                    x = s.add(x, s.load(addend.add(i * S::LANES)));
                }
                if self.lanes < S::LANES {
                    // What is beyond the last channel stays zero whatever the function makes of it.
                    s.store(at, s.splat(0.0));
                    s.store_first(at, x, self.lanes);
                } else {
                    s.store(at, x);
                }
            }
        }
    }
}

impl PostOps {
    /// Applies addend and activation (the bias is in already) to pixels of one channel block in place. `channel`
    /// is the first channel of the block, `lanes` how many of the block there are.
    ///
    /// # Safety
    /// `pixels` blocks can be read and written at `tile`, and read at `addend` if it is given (it is not where the
    /// kernel has added it).
    pub(crate) unsafe fn finish(
        &self,
        isa: Isa,
        tile: *mut f32,
        addend: Option<*const f32>,
        pixels: usize,
        channel: usize,
        lanes: usize,
    ) {
        isa.dispatch(Finish { post: self, tile, addend, pixels, channel, lanes });
    }
}

/// Channels side by side that a kernel has just written, to be finished in place.
struct FinishChannels<'a> {
    post: &'a PostOps,
    row: *mut f32,
    addend: *const f32,
    channel: usize,
    len: usize,
}

impl Kernel for FinishChannels<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for i in (0..self.len).step_by(S::LANES) {
            let lanes = S::LANES.min(self.len - i);
            // SAFETY: the kernel that made the row says it has so many channels, and so has the addend if the
            // post-operations have one.
            unsafe {
                let mut x = s.load_first(self.row.add(i), lanes);
                if self.post.sum == Sum::BeforeActivation {
                    x = s.add(x, s.load_first(self.addend.add(i), lanes));
                }
                x = self.post.activation.vector(s, x, self.channel + i, lanes);
                if self.post.sum == Sum::AfterActivation {
                    x = s.add(x, s.load_first(self.addend.add(i), lanes));
                }
                s.store_first(self.row.add(i), x, lanes);
            }
        }
    }
}

impl PostOps {
    /// Applies addend and activation to `len` channels from `channel` on that lie side by side, in place.
    ///
    /// # Safety
    /// `len` elements can be read and written at `row`, and read at `addend` unless there is no sum.
    pub(crate) unsafe fn finish_channels(
        &self,
        isa: Isa,
        row: *mut f32,
        addend: *const f32,
        channel: usize,
        len: usize,
    ) {
        isa.dispatch(FinishChannels { post: self, row, addend, channel, len });
    }
}
