//! Powers and sines of f32, computed in f64 by loops without branches, so that the results are those of f32 numbers
//! rounded once. Numbers that the formulas don't cover are left to the standard library.

use std::f64::consts::{LN_2, LOG2_E, PI};

/// 1.5 * 2^52: adding it rounds to an integer, which stands in the low bits.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// The logarithm to base 2 of a positive finite number: `e + 2 / ln 2 * atanh((m - 1) / (m + 1))` of `m * 2^e` with
/// `m` in `[sqrt(1/2), sqrt(2))`, by the series of atanh. Within 2e-13.
#[inline(always)]
fn log2(x: f64) -> f64 {
    const HALF: i64 = 0x3fe6_a09e_667f_3bcd;
    let bits = x.to_bits() as i64;
    let e = (bits - HALF) >> 52;
    let m = f64::from_bits((bits - (e << 52)) as u64);
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let mut series = 1.0 / 17.0;
    for term in [15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        series = series * z + 1.0 / term;
    }
    // An integer below 2^51 to f64 without a conversion of 64 bits, which AVX2 lacks.
    let e = f64::from_bits((e + ROUND.to_bits() as i64) as u64) - ROUND;
    2.0 * LOG2_E * s * series + e
}

/// 2 to the power `t`, for magnitudes up to 1000: Taylor's series around the nearest integer. Relative error 1e-12.
#[inline(always)]
fn exp2(t: f64) -> f64 {
    let shifted = t + ROUND;
    let r = (t - (shifted - ROUND)) * LN_2;
    let mut series = 1.0 / 3_628_800.0;
    for factorial in [362_880.0, 40_320.0, 5040.0, 720.0, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0] {
        series = series * r + 1.0 / factorial;
    }
    series * f64::from_bits(((shifted.to_bits() as i64 + 1023) as u64) << 52)
}

#[inline(always)]
fn each(a: &mut [f32], f: impl Fn(f32) -> f32) {
    for x in a {
        *x = f(*x);
    }
}

/// `a^b` of each pair, in place of `a`. Within half a unit in the last place and 1e-9 of one.
#[inline(always)]
pub(super) fn powers(a: &mut [f32], b: &[f32]) -> bool {
    let (mut same, mut all_simple) = (true, true);
    let simple = |x: f32, y: f32| (x > 0.0) & (x < f32::INFINITY) & (y.abs() < f32::INFINITY);
    for (x, y) in a.iter().zip(b) {
        same &= *y == b[0];
        all_simple &= simple(*x, *y);
    }
    match b.first() {
        Some(2.0) if same => each(a, |x| x * x),
        Some(3.0) if same => each(a, |x| x * x * x),
        Some(0.5) if same && all_simple => each(a, f32::sqrt),
        Some(-1.0) if same => each(a, |x| 1.0 / x),
        Some(1.0) if same => {}
        _ => {
            if all_simple {
                for (x, y) in a.iter_mut().zip(b) {
                    let t = f64::from(*y) * log2(f64::from(*x));
                    *x = exp2(t.clamp(-1000.0, 1000.0)) as f32;
                }
                return true;
            }
            for (x, y) in a.iter_mut().zip(b) {
                *x = match simple(*x, *y) {
                    true => exp2((f64::from(*y) * log2(f64::from(*x))).clamp(-1000.0, 1000.0)) as f32,
                    false => f64::from(*x).powf(f64::from(*y)) as f32,
                };
            }
        }
    }
    true
}

/// The sine, or the cosine, of each: Taylor's series around the nearest multiple of pi / 2. Absolute error 1e-10, and
/// as much of the angle's last places as f64 keeps.
#[inline(always)]
pub(super) fn sines(x: &mut [f32], cosine: bool) -> bool {
    const FAR: f32 = 1e6;
    let mut near = true;
    for x in x.iter() {
        near &= x.abs() < FAR;
    }
    if !near {
        for x in x {
            let wide = f64::from(*x);
            *x = if cosine { wide.cos() } else { wide.sin() } as f32;
        }
        return true;
    }
    for x in x {
        let wide = f64::from(*x);
        let shifted = wide * (2.0 / PI) + ROUND;
        let r = wide - (shifted - ROUND) * (PI / 2.0);
        let quarter = (shifted.to_bits() as i64).wrapping_add(i64::from(cosine));
        let z = r * r;
        let (mut sine, mut cosine) = (-1.0 / 39_916_800.0, 1.0 / 479_001_600.0);
        for term in [362_880.0, -5040.0, 120.0, -6.0, 1.0] {
            sine = sine * z + 1.0 / term;
        }
        for term in [-3_628_800.0, 40_320.0, -720.0, 24.0, -2.0, 1.0] {
            cosine = cosine * z + 1.0 / term;
        }
        let y = if quarter & 1 == 0 { sine * r } else { cosine };
        *x = if quarter & 2 == 0 { y } else { -y } as f32;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ulps(found: f32, want: f64) -> f64 {
        let unit = f64::from(f32::from_bits((want as f32).abs().to_bits() + 1)) - (want as f32).abs() as f64;
        (f64::from(found) - want).abs() / unit
    }

    #[test]
    fn within_half_a_unit() {
        let mut seed = 1u64;
        let mut next = || {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 40) as f32 / (1 << 24) as f32
        };
        for _ in 0..2000 {
            let mut x: Vec<f32> = (0..16).map(|_| (next() * 60.0 - 30.0).exp2()).collect();
            let y: Vec<f32> = (0..16).map(|_| next() * 8.0 - 4.0).collect();
            let before = x.clone();
            powers(&mut x, &y);
            for i in 0..16 {
                let want = f64::from(before[i]).powf(f64::from(y[i]));
                assert!(ulps(x[i], want) < 0.5001, "{}^{}: {} for {want}", before[i], y[i], x[i]);
            }
            for cosine in [false, true] {
                let mut x: Vec<f32> = (0..16).map(|_| next() * 2000.0 - 1000.0).collect();
                let before = x.clone();
                sines(&mut x, cosine);
                for i in 0..16 {
                    let wide = f64::from(before[i]);
                    let want = if cosine { wide.cos() } else { wide.sin() };
                    assert!((f64::from(x[i]) - want).abs() < 6.1e-8, "{wide}: {} for {want}", x[i]);
                }
            }
        }
    }

    #[test]
    fn the_edges_are_those_of_the_standard_library() {
        let edges =
            [0.0, -0.0, 1.0, -1.0, 0.5, -2.0, 3.0, 1e-40, 1e38, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
        for y in edges {
            for x in edges {
                let mut found = [x, 1.5];
                powers(&mut found, &[y, y]);
                let want = f64::from(x).powf(f64::from(y)) as f32;
                let same = found[0] == want || found[0].is_nan() && want.is_nan();
                assert!(same, "{x}^{y}: {} for {want}", found[0]);
            }
        }
    }
}
