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

/// Adding it to a number below 2^22 rounds to an integer, halves to even: beyond it f32 has no fractions.
const ROUND: f32 = 12_582_912.0;

/// `(n, r, p)` with `exp(sign * x) = 2^n (1 + r p)` and `|r| <= ln(2) / 2`; `sign` is 1 or -1.
///
/// `p` is what makes `1 + r p` the minimax polynomial of degree 6 with its first two coefficients one (found by
/// Lawson's iteration): relative error 2^-28 before rounding.
#[inline(always)]
fn reduce<S: Simd>(s: S, x: S::V, sign: f32) -> (S::V, S::V, S::V) {
    let n = s.sub(s.mul_add(x, s.splat(sign * LOG2_E), s.splat(ROUND)), s.splat(ROUND));
    let r = s.mul_add(n, s.splat(-sign * LN2_HI), x);
    let r = s.mul_add(n, s.splat(-sign * LN2_LO), r);
    let odd = [8.368_745e-3 * sign, 0.166_665_21 * sign, sign];
    let p = polynomial(s, r, [1.381_453_1e-3, odd[0], 4.166_839_3e-2, odd[1], 0.499_999_94, odd[2]]);
    (n, r, p)
}

/// `exp(x)`: reduction by multiples of `ln(2)`, then a polynomial. At most 1.2 ULP, 0.9 with fused multiply-add.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    // Beyond these the result is infinite or zero; NaN passes, being the second operand.
    let x = s.min(s.splat(89.0), s.max(s.splat(-104.0), x));
    let (n, r, p) = reduce(s, x, 1.0);
    s.scale(s.mul_add(r, p, s.splat(1.0)), n)
}

/// `exp(x) - 1`, for `x <= 88`: the same without losing small results in the one. At most 2 ULP.
#[inline(always)]
pub(crate) fn expm1<S: Simd>(s: S, x: S::V) -> S::V {
    let one = s.splat(1.0);
    let x = s.min(s.splat(88.0), s.max(s.splat(-104.0), x));
    let (n, r, p) = reduce(s, x, 1.0);
    let power = s.scale(one, n);
    s.mul_add(s.mul(r, p), power, s.sub(power, one))
}

/// `1 / (1 + exp(-x))`, by the polynomial of [`exp`] and a reciprocal. At most 2.5 ULP down to -87, where it stays at
/// 1.6e-38: the smallest normal result that a reciprocal is precise for.
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(s: S, x: S::V) -> S::V {
    let one = s.splat(1.0);
    let x = s.min(s.splat(104.0), s.max(s.splat(-87.0), x));
    let (n, r, p) = reduce(s, x, -1.0);
    let power = s.scale(s.mul_add(r, p, one), n);
    s.recip(s.add(one, power))
}

/// `tanh(x)`: Cephes' `tanhf`, an odd polynomial below 0.625, else `1 - 2 / (exp(2|x|) + 1)`. At most 2.5 ULP.
#[inline(always)]
pub(crate) fn tanh<S: Simd>(s: S, x: S::V) -> S::V {
    let one = s.splat(1.0);
    let a = s.abs(x);
    let z = s.mul(x, x);
    let p = polynomial(s, z, [-5.704_988_7e-3, 2.063_909e-2, -5.373_971e-2, 0.133_314_42, -0.333_332_8]);
    let small = s.mul_add(s.mul(p, z), x, x);
    // From 10 on the result is one.
    let b = s.min(s.splat(10.0), a);
    let e = exp(s, s.add(b, b));
    let large = s.copysign(s.mul_add(s.splat(-2.0), s.recip(s.add(e, one)), one), x);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::{Isa, Kernel};

    /// A function of this module over sixteen elements.
    struct Call<'a>(&'a str, &'a mut [f32; 16]);

    impl Kernel for Call<'_> {
        type Out = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            for part in self.1.chunks_exact_mut(S::LANES) {
                // SAFETY: the part is as long as a vector.
                unsafe {
                    let x = s.load(part.as_ptr());
                    let y = match self.0 {
                        "exp" => exp(s, x),
                        "expm1" => expm1(s, x),
                        "sigmoid" => sigmoid(s, x),
                        "tanh" => tanh(s, x),
                        "log" => log(s, x),
                        "log1p" => log1p(s, x),
                        "erf" => erf(s, x),
                        other => unreachable!("{other}"),
                    };
                    s.store(part.as_mut_ptr(), y);
                }
            }
        }
    }

    /// `erf` in f64: the series below 2, a continued fraction above.
    fn erf64(x: f64) -> f64 {
        let a = x.abs();
        let y = if a < 2.0 {
            let (mut term, mut sum, mut n) = (a, a, 0.0);
            while term.abs() > 1e-18 {
                n += 1.0;
                term *= -a * a / n;
                sum += term / (2.0 * n + 1.0);
            }
            sum * std::f64::consts::FRAC_2_SQRT_PI
        } else {
            let tail = (1..60).rev().fold(a, |f, k| a + f64::from(k) / 2.0 / f);
            1.0 - (-a * a).exp() / (tail * std::f64::consts::PI.sqrt())
        };
        y.copysign(x)
    }

    /// Distance in units of the last place of the expected number's f32.
    fn ulps(actual: f32, expected: f64) -> f64 {
        let rounded = expected as f32;
        if rounded.is_infinite() || actual.is_infinite() {
            return if rounded == actual { 0.0 } else { f64::INFINITY };
        }
        let ulp = f64::from(rounded.abs().next_up()) - f64::from(rounded.abs());
        (f64::from(actual) - expected).abs() / ulp
    }

    #[test]
    fn errors_stay_below_what_the_documentation_says() {
        type Row = (&'static str, fn(f64) -> f64, [f32; 2], f64);
        let table: [Row; 7] = [
            ("exp", f64::exp, [-103.0, 88.7], 1.2),
            ("expm1", f64::exp_m1, [-30.0, 88.0], 2.0),
            ("sigmoid", |x| 1.0 / (1.0 + (-x).exp()), [-87.0, 30.0], 2.5),
            ("tanh", f64::tanh, [-12.0, 12.0], 2.5),
            ("log", f64::ln, [1e-44, 3e38], 1.5),
            ("log1p", f64::ln_1p, [0.0, 1.0], 3.0),
            ("erf", erf64, [-5.0, 5.0], 2.0),
        ];
        let mut wrong = Vec::new();
        for isa in Isa::available() {
            for (name, reference, [lo, hi], bound) in table {
                let mut worst = (0.0, 0.0);
                let mut check = |xs: [f32; 16]| {
                    let mut ys = xs;
                    isa.dispatch(Call(name, &mut ys));
                    for (x, y) in xs.into_iter().zip(ys) {
                        let error = ulps(y, reference(f64::from(x)));
                        if error > worst.0 || error.is_nan() {
                            worst = (error, x);
                        }
                    }
                };
                for i in 0..40_000u32 {
                    // Evenly over the range, and over the exponents.
                    let even = |k: u32| {
                        let at = f64::from(i * 16 + k) / 640_000.0;
                        (f64::from(lo) * (1.0 - at) + f64::from(hi) * at) as f32
                    };
                    let spread = |k: u32| {
                        let bits = (i * 16 + k).wrapping_mul(2_654_435_761);
                        let x = f32::from_bits(bits);
                        if x >= lo && x <= hi { x } else { even(k) }
                    };
                    check(std::array::from_fn(|k| even(k as u32)));
                    check(std::array::from_fn(|k| spread(k as u32)));
                }
                println!("{:8} {name:8} {:.2} ULP at {:e}", isa.name(), worst.0, worst.1);
                if worst.0.is_nan() || worst.0 > bound {
                    wrong.push((isa.name(), name, worst));
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn special_numbers() {
        let inf = f32::INFINITY;
        for isa in Isa::available() {
            for (name, x, y) in [
                ("exp", inf, inf),
                ("exp", -inf, 0.0),
                ("exp", 0.0, 1.0),
                ("exp", 89.5, inf),
                ("sigmoid", inf, 1.0),
                ("tanh", inf, 1.0),
                ("tanh", -inf, -1.0),
                ("log", 0.0, -inf),
                ("log", inf, inf),
                ("log", 1.0, 0.0),
                ("erf", -inf, -1.0),
                ("erf", 0.0, 0.0),
                ("log1p", 0.0, 0.0),
            ] {
                let mut v = [x; 16];
                isa.dispatch(Call(name, &mut v));
                assert_eq!(v, [y; 16], "{} {name}({x})", isa.name());
            }
            for name in ["exp", "sigmoid", "tanh", "log", "erf"] {
                let mut v = [f32::NAN; 16];
                isa.dispatch(Call(name, &mut v));
                assert!(v.iter().all(|x| x.is_nan()), "{} {name}(NaN)", isa.name());
            }
            let mut v = [-inf; 16];
            isa.dispatch(Call("sigmoid", &mut v));
            assert!(v.iter().all(|x| *x > 0.0 && *x < 2e-38), "{} {v:?}", isa.name());
            let mut v = [-1.0; 16];
            isa.dispatch(Call("log", &mut v));
            assert!(v[0].is_nan());
        }
    }
}
