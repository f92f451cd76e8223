//! The transforms of Winograd's algorithm along one axis: inputs, filters, outputs.

use crate::isa::Simd;

/// One algorithm: `N` inputs give `M` outputs along each axis.
pub(super) trait Transform<const N: usize, const M: usize> {
    /// The points but the one at infinity: zero, then pairs of opposite sign.
    const POINTS: &[f64];
    /// `B^T d`
    fn input<S: Simd>(s: S, d: [S::V; N]) -> [S::V; N];
    /// `A^T m`
    fn output<S: Simd>(s: S, m: [S::V; N]) -> [S::V; M];
}

/// F(2x2, 3x3)
pub(super) struct F2;
/// F(4x4, 3x3)
pub(super) struct F4;
/// F(6x6, 3x3)
pub(super) struct F6;

// Functions, not closures: a closure that the compiler does not inline lacks the instruction set's features.

/// `a + k * b`
#[inline(always)]
fn axpy<S: Simd>(s: S, a: S::V, k: f32, b: S::V) -> S::V {
    s.mul_add(s.splat(k), b, a)
}

/// `k . x`
#[inline(always)]
pub(super) fn dot<S: Simd, const N: usize>(s: S, k: [f32; N], x: [S::V; N]) -> S::V {
    let mut sum = s.mul(s.splat(k[0]), x[0]);
    for i in 1..N {
        sum = axpy(s, sum, k[i], x[i]);
    }
    sum
}

impl Transform<4, 2> for F2 {
    const POINTS: &[f64] = &[0.0, 1.0, -1.0];

    #[inline(always)]
    fn input<S: Simd>(s: S, d: [S::V; 4]) -> [S::V; 4] {
        [s.sub(d[2], d[0]), s.add(d[2], d[1]), s.sub(d[2], d[1]), s.sub(d[3], d[1])]
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, m: [S::V; 4]) -> [S::V; 2] {
        [s.add(m[0], s.add(m[1], m[2])), s.add(s.sub(m[1], m[2]), m[3])]
    }
}

impl F4 {
    const A: f32 = 0.625;
    const B: f32 = 1.5;
}

impl Transform<6, 4> for F4 {
    const POINTS: &[f64] = &[0.0, Self::A as f64, -Self::A as f64, Self::B as f64, -Self::B as f64];

    #[inline(always)]
    fn input<S: Simd>(s: S, d: [S::V; 6]) -> [S::V; 6] {
        const AA: f32 = F4::A * F4::A;
        const BB: f32 = F4::B * F4::B;
        // (x^2 - a^2) (x^2 - b^2) and its multiple by x; what is common to the points of a pair is computed once.
        let zero = axpy(s, axpy(s, d[4], -AA - BB, d[2]), AA * BB, d[0]);
        let infinity = axpy(s, axpy(s, d[5], -AA - BB, d[3]), AA * BB, d[1]);
        let (even_a, odd_a) = (axpy(s, d[4], -BB, d[2]), axpy(s, d[3], -BB, d[1]));
        let (even_b, odd_b) = (axpy(s, d[4], -AA, d[2]), axpy(s, d[3], -AA, d[1]));
        [
            zero,
            axpy(s, even_a, Self::A, odd_a),
            axpy(s, even_a, -Self::A, odd_a),
            axpy(s, even_b, Self::B, odd_b),
            axpy(s, even_b, -Self::B, odd_b),
            infinity,
        ]
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, m: [S::V; 6]) -> [S::V; 4] {
        const A: f32 = F4::A;
        const B: f32 = F4::B;
        let (sum_a, dif_a) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
        let (sum_b, dif_b) = (s.add(m[3], m[4]), s.sub(m[3], m[4]));
        [
            s.add(m[0], s.add(sum_a, sum_b)),
            dot(s, [A, B], [dif_a, dif_b]),
            dot(s, [A * A, B * B], [sum_a, sum_b]),
            s.add(m[5], dot(s, [A * A * A, B * B * B], [dif_a, dif_b])),
        ]
    }
}

impl F6 {
    const A: f32 = 1.0;
    const B: f32 = 2.0;
    const C: f32 = 0.5;

    /// The values at `p` and `-p`; `x` and `y` are the squares of the other points.
    #[inline(always)]
    fn pair<S: Simd>(s: S, d: [S::V; 8], p: f32, x: f32, y: f32) -> (S::V, S::V) {
        let even = axpy(s, axpy(s, d[6], -x - y, d[4]), x * y, d[2]);
        let odd = axpy(s, axpy(s, d[5], -x - y, d[3]), x * y, d[1]);
        (axpy(s, even, p, odd), axpy(s, even, -p, odd))
    }
}

impl Transform<8, 6> for F6 {
    const POINTS: &[f64] = &[0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5];

    #[inline(always)]
    fn input<S: Simd>(s: S, d: [S::V; 8]) -> [S::V; 8] {
        const A: f32 = F6::A * F6::A;
        const B: f32 = F6::B * F6::B;
        const C: f32 = F6::C * F6::C;
        let (a, minus_a) = Self::pair(s, d, Self::A, B, C);
        let (b, minus_b) = Self::pair(s, d, Self::B, A, C);
        let (c, minus_c) = Self::pair(s, d, Self::C, A, B);
        let whole = [-A * B * C, A * B + A * C + B * C, -A - B - C, 1.0];
        // The last point is at infinity.
        let zero = dot(s, whole, [d[0], d[2], d[4], d[6]]);
        let infinity = dot(s, whole, [d[1], d[3], d[5], d[7]]);
        [zero, a, minus_a, b, minus_b, c, minus_c, infinity]
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, m: [S::V; 8]) -> [S::V; 6] {
        let sums = [s.add(m[1], m[2]), s.add(m[3], m[4]), s.add(m[5], m[6])];
        let difs = [s.sub(m[1], m[2]), s.sub(m[3], m[4]), s.sub(m[5], m[6])];
        const fn powers(p: i32) -> [f32; 3] {
            let mut powers = [1.0; 3];
            let mut i = 0;
            while i < p {
                powers = [powers[0] * F6::A, powers[1] * F6::B, powers[2] * F6::C];
                i += 1;
            }
            powers
        }
        [
            s.add(m[0], s.add(s.add(sums[0], sums[1]), sums[2])),
            dot(s, const { powers(1) }, difs),
            dot(s, const { powers(2) }, sums),
            dot(s, const { powers(3) }, difs),
            dot(s, const { powers(4) }, sums),
            s.add(m[7], dot(s, const { powers(5) }, difs)),
        ]
    }
}

/// Outputs of a tile along each axis.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Size {
    /// F(2x2, 3x3)
    Two,
    /// F(4x4, 3x3)
    Four,
    /// F(6x6, 3x3)
    Six,
}

impl Size {
    /// Outputs of a tile along each axis.
    pub(super) fn outputs(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
            Self::Six => 6,
        }
    }

    /// Inputs of a tile along each axis.
    pub(super) fn inputs(self) -> usize {
        self.outputs() + 2
    }

    fn points(self) -> &'static [f64] {
        match self {
            Self::Two => F2::POINTS,
            Self::Four => F4::POINTS,
            Self::Six => F6::POINTS,
        }
    }

    /// `G`, whose rows are the values of the filter's polynomial at the points, each divided by the product of the
    /// distances to the other points.
    pub(super) fn filter_matrix(self) -> Vec<[f32; 3]> {
        let points = self.points();
        let row = |(j, p): (usize, &f64)| {
            let others = points.iter().enumerate().filter(|(k, _)| *k != j);
            let distances: f64 = others.map(|(_, q)| p - q).product();
            [1.0, *p, p * p].map(|x| (x / distances) as f32)
        };
        points.iter().enumerate().map(row).chain([[0.0, 0.0, 1.0]]).collect()
    }
}
