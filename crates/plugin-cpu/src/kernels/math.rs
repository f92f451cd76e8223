//! Elementary functions of f32 vectors, on every instruction set.
//!
//! The errors in the documentation are maxima over all f32 inputs of the range that the test samples, against f64;
//! the test fails when a function gets worse.

use crate::isa::Simd;
use std::f32::consts::LOG2_E;

/// `ln(2)`, cut so that small multiples are exact, and what is missing.
const LN2_HI: f32 = 0.693_359_4;
const LN2_LO: f32 = -2.121_944_4e-4;

#[inline(always)]
fn polynomial<S: Simd, const N: usize>(s: S, x: S::V, highest_first: [f32; N]) -> S::V {
    let mut y = s.splat(highest_first[0]);
    for c in &highest_first[1..] {
        y = s.mul_add(y, x, s.splat(*c));
    }
    y
}

/// `(n, r, q)` with `x = n ln(2) + r` and `exp(r) = 1 + r + r^2 q`.
#[inline(always)]
fn reduce<S: Simd>(s: S, x: S::V) -> (S::V, S::V, S::V) {
    let n = s.round(s.mul(x, s.splat(LOG2_E)));
    let r = s.mul_add(n, s.splat(-LN2_HI), x);
    let r = s.mul_add(n, s.splat(-LN2_LO), r);
    let q =
        polynomial(s, r, [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5]);
    (n, r, q)
}

/// `exp(x)`: reduction by multiples of `ln(2)`, then the polynomial of Cephes' `expf`. At most 1.2 ULP.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    // Beyond these the result is infinite or zero; NaN passes, being the second operand.
    let x = s.min(s.splat(89.0), s.max(s.splat(-104.0), x));
    let (n, r, q) = reduce(s, x);
    let y = s.mul_add(s.mul(r, r), q, r);
    s.scale(s.add(y, s.splat(1.0)), n)
}

/// `exp(x) - 1`, for `x <= 88`: the same without losing small results in the one. At most 2 ULP.
#[inline(always)]
pub(crate) fn expm1<S: Simd>(s: S, x: S::V) -> S::V {
    let one = s.splat(1.0);
    let x = s.min(s.splat(88.0), s.max(s.splat(-104.0), x));
    let (n, r, q) = reduce(s, x);
    let y = s.mul_add(s.mul(r, r), q, r);
    let power = s.scale(one, n);
    s.mul_add(y, power, s.sub(power, one))
}

/// `1 / (1 + exp(-x))`. At most 2.5 ULP where the result is normal.
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(s: S, x: S::V) -> S::V {
    let one = s.splat(1.0);
    s.div(one, s.add(one, exp(s, s.sub(s.splat(0.0), x))))
}

/// `tanh(x)`: Cephes' `tanhf`, an odd polynomial below 0.625, else `1 - 2 / (exp(2|x|) + 1)`. At most 2.5 ULP.
#[inline(always)]
pub(crate) fn tanh<S: Simd>(s: S, x: S::V) -> S::V {
    let one = s.splat(1.0);
    let a = s.abs(x);
    let z = s.mul(x, x);
    let p = polynomial(s, z, [-5.704_988_6e-3, 2.063_908_9e-2, -5.373_971e-2, 0.133_314_42, -0.333_332_8]);
    let small = s.mul_add(s.mul(p, z), x, x);
    let e = exp(s, s.add(a, a));
    let large = s.copysign(s.sub(one, s.div(s.splat(2.0), s.add(e, one))), x);
    s.select(s.lt(a, s.splat(0.625)), small, large)
}

/// `log(x)`: Cephes' `logf` on a mantissa about one. At most 1.5 ULP; `-inf` of zero, NaN of negatives.
#[inline(always)]
pub(crate) fn log<S: Simd>(s: S, x: S::V) -> S::V {
    // Subnormal numbers are lifted by 2^24 first.
    let tiny = s.lt(x, s.splat(f32::MIN_POSITIVE));
    let lifted = s.select(tiny, s.mul(x, s.splat(16_777_216.0)), x);
    let (m, e) = s.split(lifted);
    let e = s.select(tiny, s.sub(e, s.splat(24.0)), e);
    let f = s.sub(m, s.splat(1.0));
    let z = s.mul(f, f);
    let p = polynomial(
        s,
        f,
        [
            7.037_683_6e-2,
            -0.115_146_1,
            0.116_769_99,
            -0.124_201_41,
            0.142_493_23,
            -0.166_680_58,
            0.200_007_15,
            -0.249_999_94,
            0.333_333_3,
        ],
    );
    let y = s.mul(s.mul(p, f), z);
    let y = s.mul_add(e, s.splat(LN2_LO), y);
    let y = s.mul_add(z, s.splat(-0.5), y);
    let y = s.mul_add(e, s.splat(LN2_HI), s.add(f, y));
    // The bounds of the domain, and what no comparison holds for: NaN.
    let zero = s.splat(0.0);
    let finite = s.lt(x, s.splat(f32::INFINITY));
    let y = s.select(finite, y, s.add(x, x));
    let edge = s.select(s.lt(x, zero), s.splat(f32::NAN), s.splat(f32::NEG_INFINITY));
    s.select(s.lt(zero, x), y, s.select(s.lt(x, s.splat(f32::MIN_POSITIVE)), edge, s.add(x, x)))
}

/// `log(1 + x)` for `0 <= x <= 1`, by Kahan's correction of the rounded `1 + x`. At most 3 ULP.
#[inline(always)]
pub(crate) fn log1p<S: Simd>(s: S, x: S::V) -> S::V {
    let one = s.splat(1.0);
    let u = s.add(one, x);
    let d = s.sub(u, one);
    let y = s.mul(log(s, u), s.div(x, d));
    s.select(s.lt(s.splat(0.0), d), y, x)
}

/// `erf(x)`: an odd polynomial below 0.921875, else `1 - exp(p(|x|))` (the form of N. Juffa). At most 2 ULP.
#[inline(always)]
pub(crate) fn erf<S: Simd>(s: S, x: S::V) -> S::V {
    let t = s.abs(x);
    let z = s.mul(x, x);
    let p = polynomial(
        s,
        z,
        [-5.967_617e-4, 4.991_194_2e-3, -2.676_813_5e-2, 0.112_819_925, -0.376_125_34, 0.128_379_17],
    );
    let small = s.mul_add(p, x, x);
    // Beyond 4 the result is one.
    let t4 = s.min(s.splat(4.0), t);
    let p = polynomial(
        s,
        t4,
        [
            -1.728_534_7e-5,
            3.831_971_3e-4,
            -3.883_964_4e-3,
            2.425_462_2e-2,
            -0.106_777_88,
            -0.634_846_7,
            -0.128_717_51,
        ],
    );
    let e = exp(s, s.sub(s.mul(p, t4), t4));
    let large = s.copysign(s.sub(s.splat(1.0), e), x);
    let y = s.select(s.lt(t, s.splat(0.921_875)), small, large);
    // NaN is in no order.
    s.select(
        s.lt(t, s.splat(f32::INFINITY)),
        y,
        s.select(s.lt(s.splat(1.0), t), s.copysign(s.splat(1.0), x), x),
    )
}
