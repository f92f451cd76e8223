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

    /// Puts the function into a loop: it is chosen once, before the loop. `channel` is the loop's first one, from
    /// which on PReLU has slopes.
    #[inline(always)]
    pub(super) fn each<S: Simd>(&self, s: S, channel: usize, each: impl Each<S>) {
        let zero = s.splat(0.0);
        let one = s.splat(1.0);
        let leaky = |x, slope| s.add(s.max(x, zero), s.mul(slope, s.min(x, zero)));
        match self {
            Self::None => each.run(|x, _| x),
            Self::Relu => each.run(|x, _| s.max(zero, x)),
            Self::Clamp(lo, hi) => each.run(|x, _| s.min(s.splat(*hi), s.max(s.splat(*lo), x))),
            Self::Leaky(slope) => each.run(|x, _| leaky(x, s.splat(*slope))),
            Self::PRelu(slopes) => each.run(|x, i| {
                let slopes = &slopes[channel + i..];
                // SAFETY: as many elements are read as there are.
                leaky(x, unsafe { s.load_first(slopes.as_ptr(), slopes.len().min(S::LANES)) })
            }),
            Self::Swish(1.0) => each.run(|x, _| s.mul(x, math::sigmoid(s, x))),
            Self::Swish(beta) => each.run(|x, _| s.mul(x, math::sigmoid(s, s.mul(x, s.splat(*beta))))),
            Self::HSwish => each.run(|x, _| s.mul(x, hard_sigmoid(s, x, 1.0 / 6.0, 0.5))),
            Self::HSigmoid => each.run(|x, _| hard_sigmoid(s, x, 1.0 / 6.0, 0.5)),
            Self::HardSigmoid(alpha, beta) => each.run(|x, _| hard_sigmoid(s, x, *alpha, *beta)),
            Self::Sigmoid => each.run(|x, _| math::sigmoid(s, x)),
            Self::Tanh => each.run(|x, _| math::tanh(s, x)),
            Self::Elu(alpha) => each.run(|x, _| elu(s, x, *alpha)),
            Self::Selu(alpha, lambda) => each.run(|x, _| s.mul(s.splat(*lambda), elu(s, x, *alpha))),
            Self::Gelu => each.run(|x, _| {
                let half = s.mul(x, s.splat(0.5));
                s.mul_add(half, math::erf(s, s.mul(x, s.splat(std::f32::consts::FRAC_1_SQRT_2))), half)
            }),
            Self::GeluTanh => each.run(|x, _| {
                let half = s.mul(x, s.splat(0.5));
                let cubic = s.mul_add(s.mul(x, x), s.splat(0.044_715), one);
                let t = math::tanh(s, s.mul(s.mul(x, s.splat(0.797_884_6)), cubic));
                s.mul_add(half, t, half)
            }),
            Self::Mish => each.run(|x, _| {
                // tanh(log(1 + w)) = (w^2 + 2w) / (w^2 + 2w + 2), which is 1 in f32 from x = 20 on.
                let w = math::exp(s, s.min(s.splat(20.0), x));
                let n = s.mul(w, s.add(w, s.splat(2.0)));
                s.mul(x, s.div(n, s.add(n, s.splat(2.0))))
            }),
            Self::SoftPlus => each.run(|x, _| {
                let small = math::exp(s, s.sub(zero, s.abs(x)));
                s.add(s.max(zero, x), math::log1p(s, small))
            }),
            Self::Exp => each.run(|x, _| math::exp(s, x)),
            Self::Log => each.run(|x, _| math::log(s, x)),
            Self::Erf => each.run(|x, _| math::erf(s, x)),
            Self::Sqrt => each.run(|x, _| s.sqrt(x)),
            Self::Abs => each.run(|x, _| s.abs(x)),
        }
    }
}

/// A loop over vectors that a function is put into.
pub(super) trait Each<S: Simd> {
    /// Runs it with a function of a vector and of the channels between the loop's first and the vector's first.
    fn run(self, f: impl Fn(S::V, usize) -> S::V);
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
        self.post.activation.each(s, self.channel, Pixels { of: &self, s });
    }
}

struct Pixels<'a, S> {
    of: &'a Finish<'a>,
    s: S,
}

impl<S: Simd> Each<S> for Pixels<'_, S> {
    #[inline(always)]
    fn run(self, f: impl Fn(S::V, usize) -> S::V) {
        let Self { of, s } = self;
        for i in 0..of.pixels {
            // SAFETY: the kernel that made the tile says it holds so many pixels of a block each, and so does the
            // addend if the post-operations have one.
            unsafe {
                let at = of.tile.add(i * S::LANES);
                let mut x = s.load(at);
                if let (Sum::BeforeActivation, Some(addend)) = (of.post.sum, of.addend) {
                    x = s.add(x, s.load(addend.add(i * S::LANES)));
                }
                x = f(x, 0);
                if let (Sum::AfterActivation, Some(addend)) = (of.post.sum, of.addend) {
                    x = s.add(x, s.load(addend.add(i * S::LANES)));
                }
                if of.lanes < S::LANES {
                    // What is beyond the last channel stays zero whatever the function makes of it.
                    s.store(at, s.splat(0.0));
                    s.store_first(at, x, of.lanes);
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
        self.post.activation.each(s, self.channel, Channels { of: &self, s });
    }
}

struct Channels<'a, S> {
    of: &'a FinishChannels<'a>,
    s: S,
}

impl<S: Simd> Each<S> for Channels<'_, S> {
    #[inline(always)]
    fn run(self, f: impl Fn(S::V, usize) -> S::V) {
        let Self { of, s } = self;
        for i in (0..of.len).step_by(S::LANES) {
            let lanes = S::LANES.min(of.len - i);
            // SAFETY: the kernel that made the row says it has so many channels, and so has the addend if the
            // post-operations have one.
            unsafe {
                let mut x = s.load_first(of.row.add(i), lanes);
                if of.post.sum == Sum::BeforeActivation {
                    x = s.add(x, s.load_first(of.addend.add(i), lanes));
                }
                x = f(x, i);
                if of.post.sum == Sum::AfterActivation {
                    x = s.add(x, s.load_first(of.addend.add(i), lanes));
                }
                s.store_first(of.row.add(i), x, lanes);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::conv_tests::Random;

    /// `erf` by its series, which loses digits as the argument grows; beyond 4 it is one but for 2e-8.
    fn erf(x: f64) -> f64 {
        if x.abs() > 4.0 {
            return x.signum();
        }
        let (mut term, mut sum) = (x, x);
        for n in 1..120 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    }

    /// The function as its documentation writes it.
    fn scalar(activation: &Activation, x: f64, channel: usize) -> f64 {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let hard = |x: f64| (x + 3.0).clamp(0.0, 6.0) / 6.0;
        let elu = |x: f64, alpha: f32| if x > 0.0 { x } else { f64::from(alpha) * x.exp_m1() };
        match activation {
            Activation::None => x,
            Activation::Relu => x.max(0.0),
            Activation::Clamp(lo, hi) => x.clamp(f64::from(*lo), f64::from(*hi)),
            Activation::Leaky(slope) => x.max(0.0) + f64::from(*slope) * x.min(0.0),
            Activation::PRelu(slopes) => x.max(0.0) + f64::from(slopes[channel]) * x.min(0.0),
            Activation::Swish(beta) => x * sigmoid(f64::from(*beta) * x),
            Activation::HSwish => x * hard(x),
            Activation::HSigmoid => hard(x),
            Activation::HardSigmoid(alpha, beta) => {
                (f64::from(*alpha) * x + f64::from(*beta)).clamp(0.0, 1.0)
            }
            Activation::Sigmoid => sigmoid(x),
            Activation::Tanh => x.tanh(),
            Activation::Elu(alpha) => elu(x, *alpha),
            Activation::Selu(alpha, lambda) => f64::from(*lambda) * elu(x, *alpha),
            Activation::Gelu => x / 2.0 * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2)),
            Activation::GeluTanh => {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
                x / 2.0 * (1.0 + inner.tanh())
            }
            Activation::Mish => x * x.exp().ln_1p().tanh(),
            Activation::SoftPlus => x.exp().ln_1p(),
            Activation::Exp => x.exp(),
            Activation::Log => x.ln(),
            Activation::Erf => erf(x),
            Activation::Sqrt => x.sqrt(),
            Activation::Abs => x.abs(),
        }
    }

    #[test]
    fn every_function_after_and_before_a_sum() {
        let mut r = Random(5);
        let slopes = r.vec(40);
        let functions = [
            Activation::None,
            Activation::Relu,
            Activation::Clamp(-0.5, 1.5),
            Activation::Leaky(0.1),
            Activation::PRelu(slopes),
            Activation::Swish(1.5),
            Activation::HSwish,
            Activation::HSigmoid,
            Activation::HardSigmoid(0.3, 0.4),
            Activation::Sigmoid,
            Activation::Tanh,
            Activation::Elu(0.7),
            Activation::Selu(1.6732632, 1.050701),
            Activation::Gelu,
            Activation::GeluTanh,
            Activation::Mish,
            Activation::SoftPlus,
            Activation::Exp,
            Activation::Log,
            Activation::Erf,
            Activation::Sqrt,
            Activation::Abs,
        ];
        for (isa, activation) in
            Isa::available().into_iter().flat_map(|isa| functions.iter().map(move |f| (isa, f)))
        {
            // Of a block, and of channels from 3 on that lie side by side; of a block all lanes are channels, or three.
            let b = isa.block();
            let positive = matches!(activation, Activation::Log | Activation::Sqrt);
            let mut numbers = |n: usize| -> Vec<f32> {
                let spread = |x: f32| if positive { x.abs() + 0.01 } else { x * 4.0 };
                r.vec(n).into_iter().map(spread).collect()
            };
            for (sum, lanes) in [(Sum::None, b), (Sum::BeforeActivation, 3), (Sum::AfterActivation, b)] {
                let post = PostOps { bias: None, sum, activation: activation.clone() };
                let expected = |x: f32, add: f32, channel: usize| match sum {
                    Sum::None => scalar(activation, f64::from(x), channel),
                    Sum::BeforeActivation => scalar(activation, f64::from(x + add), channel),
                    Sum::AfterActivation => scalar(activation, f64::from(x), channel) + f64::from(add),
                };
                let check = |actual: f32, expected: f64| {
                    let close = (f64::from(actual) - expected).abs() <= 1e-6 * expected.abs().max(0.5);
                    assert!(close, "{} {activation:?} {sum:?}: {actual}, not {expected}", isa.name());
                };
                let (before, add) = (numbers(9 * b), numbers(9 * b));
                let mut after = before.clone();
                let addend = (sum != Sum::None).then_some(add.as_ptr());
                // SAFETY: nine pixels of a block each.
                unsafe { post.finish(isa, after.as_mut_ptr(), addend, 9, b, lanes) };
                for (i, x) in after.into_iter().enumerate() {
                    match i % b < lanes {
                        true => check(x, expected(before[i], add[i], b + i % b)),
                        false => assert_eq!(x, 0.0),
                    }
                }
                let mut after = before.clone();
                // SAFETY: 37 channels, and no vector is as long.
                unsafe { post.finish_channels(isa, after.as_mut_ptr(), add.as_ptr(), 3, 37) };
                for (i, x) in after.into_iter().enumerate() {
                    match i < 37 {
                        true => check(x, expected(before[i], add[i], 3 + i)),
                        false => assert_eq!(x, before[i]),
                    }
                }
            }
        }
    }
}
