//! Instruction sets: one token each, made only by detection, so that having one is the proof; and the vector
//! operations that kernels are written in.
//!
//! A kernel is written once, generic over [`Simd`], and marked `#[inline(always)]`; [`Isa::dispatch`] inlines it
//! into a function that has the instruction set's target features. This module and the loads and stores of the
//! kernels are where `unsafe` lives.

use std::sync::OnceLock;

/// An instruction set that this machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isa {
    /// Whatever the target guarantees, through the crate `wide`.
    Portable(Portable),
    /// AVX2, FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// AVX-512 F, BW, DQ and VL.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

/// Work that is generic over the instruction set. Implementations are `#[inline(always)]`.
pub(crate) trait Kernel {
    /// What it returns.
    type Out;
    /// Does it.
    fn run<S: Simd>(self, s: S) -> Self::Out;
}

impl Isa {
    /// The instruction sets of this machine, the best one last.
    pub(crate) fn available() -> Vec<Self> {
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut))]
        let mut all = vec![Self::Portable(Portable(()))];
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(Avx2::detect().map(Self::Avx2));
            all.extend(Avx512::detect().map(Self::Avx512));
        }
        all
    }

    /// The best instruction set, or the one that the environment variable `TERROIR_ISA` (`portable`, `avx2`,
    /// `avx512`) names if the machine has it.
    pub(crate) fn best() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| {
            let all = Self::available();
            let wanted = std::env::var("TERROIR_ISA").unwrap_or_default();
            *all.iter().find(|isa| isa.name() == wanted).unwrap_or(&all[all.len() - 1])
        })
    }

    /// Its name as profiles print it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Portable(_) => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
        }
    }

    /// Channels in one block of the blocked layout `[N, ceil(C / block), H, W, block]`.
    pub(crate) fn block(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => Avx512::LANES,
            _ => Portable::LANES,
        }
    }

    /// Runs a kernel compiled for this instruction set.
    pub(crate) fn dispatch<K: Kernel>(self, kernel: K) -> K::Out {
        match self {
            Self::Portable(s) => s.vectorize(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(s) => s.vectorize(kernel),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(s) => s.vectorize(kernel),
        }
    }
}

/// The operations of one instruction set, on vectors of [`Simd::LANES`] f32.
///
/// Comparisons with NaN are false; `min` and `max` return the second operand when either is NaN.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// Elements of a vector, and channels of a block.
    const LANES: usize;
    /// Vectors that fit the registers.
    const REGISTERS: usize;
    /// A vector.
    type V: Copy;
    /// A truth value per lane.
    type M: Copy;

    /// The token again, for code that was chosen by it.
    ///
    /// # Safety
    /// The machine has the instruction set: there was a token before.
    unsafe fn assume() -> Self;

    /// Runs a kernel with the target features of this instruction set.
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Out;

    /// All lanes `x`.
    fn splat(self, x: f32) -> Self::V;
    /// # Safety
    /// `LANES` elements can be read at `p`, of any alignment.
    unsafe fn load(self, p: *const f32) -> Self::V;
    /// # Safety
    /// `LANES` elements can be written at `p`, of any alignment.
    unsafe fn store(self, p: *mut f32, v: Self::V);
    /// The first `n <= LANES` elements, the rest zero.
    /// # Safety
    /// `n` elements can be read at `p`.
    unsafe fn load_first(self, p: *const f32, n: usize) -> Self::V;
    /// The first `n <= LANES` elements.
    /// # Safety
    /// `n` elements can be written at `p`.
    unsafe fn store_first(self, p: *mut f32, v: Self::V, n: usize);
    /// Half-precision numbers, widened.
    /// # Safety
    /// `LANES` elements can be read at `p`.
    unsafe fn load_f16(self, p: *const half::f16) -> Self::V;
    /// Bytes as numbers.
    /// # Safety
    /// `LANES` elements can be read at `p`.
    unsafe fn load_u8(self, p: *const u8) -> Self::V;
    /// The lanes of three vectors in turns: all first ones, all second ones...
    #[inline(always)]
    fn interleave(self, v: [Self::V; 3]) -> [Self::V; 3] {
        const { assert!(Self::LANES <= 16) };
        let (mut from, mut to) = ([0.0; 48], [0.0; 48]);
        // SAFETY: three vectors are no longer than the arrays.
        unsafe {
            for (i, v) in v.into_iter().enumerate() {
                self.store(from[i * Self::LANES..].as_mut_ptr(), v);
            }
            for i in 0..3 * Self::LANES {
                to[i] = from[i % 3 * Self::LANES + i / 3];
            }
            let at = |i: usize| to[i * Self::LANES..].as_ptr();
            [self.load(at(0)), self.load(at(1)), self.load(at(2))]
        }
    }
    /// Turns the square of the first `LANES` vectors: lane `i` of vector `j` becomes lane `j` of vector `i`.
    #[inline(always)]
    fn transpose(self, rows: &mut [Self::V; 16]) {
        const { assert!(Self::LANES <= 16) };
        let (mut from, mut to) = ([0.0; 256], [0.0; 256]);
        // SAFETY: `LANES` vectors are no longer than the arrays.
        unsafe {
            for i in 0..Self::LANES {
                self.store(from[i * Self::LANES..].as_mut_ptr(), rows[i]);
            }
            for i in 0..Self::LANES * Self::LANES {
                to[i] = from[i % Self::LANES * Self::LANES + i / Self::LANES];
            }
            for i in 0..Self::LANES {
                rows[i] = self.load(to[i * Self::LANES..].as_ptr());
            }
        }
    }
    /// Asks for the cache line of `p`, which may be any address.
    #[inline(always)]
    fn prefetch<T>(self, p: *const T) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: part of what the target guarantees; it reads nothing that the program could see.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(p.cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = p;
    }
    /// As [`prefetch`](Self::prefetch), to write it: other cores give it up.
    #[inline(always)]
    fn prefetch_to_write<T>(self, p: *const T) {
        #[cfg(target_arch = "x86_64")]
        // The intrinsic becomes another instruction unless a feature is on that stable Rust does not know.
        // SAFETY: a processor without the instruction ignores it; it changes nothing that the program could see.
        unsafe {
            std::arch::asm!("prefetchw [{}]", in(reg) p.addr(), options(nomem, nostack, preserves_flags));
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = p;
    }

    /// `a * b + c`, rounded once where the instruction set can.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `a + b`
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a - b`
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b`
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a / b`
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `1 / a` within 1 ULP, where `|a|` is in 2^-126..2^126; as cheap as the instruction set has it.
    fn recip(self, a: Self::V) -> Self::V;
    /// The lesser.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// The greater.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The square root.
    fn sqrt(self, a: Self::V) -> Self::V;
    /// The magnitude.
    fn abs(self, a: Self::V) -> Self::V;
    /// The magnitude of `a` with the sign of `b`.
    fn copysign(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a < b`
    fn lt(self, a: Self::V, b: Self::V) -> Self::M;
    /// `a` where the mask is true, else `b`.
    fn select(self, m: Self::M, a: Self::V, b: Self::V) -> Self::V;
    /// `a * 2^n` for an integral `n` in -250..=250, also where the result is subnormal.
    fn scale(self, a: Self::V, n: Self::V) -> Self::V;
    /// A positive normal number as `(m, e)` with `m * 2^e` and `m` in `[sqrt(1/2), sqrt(2))`.
    fn split(self, a: Self::V) -> (Self::V, Self::V);
    /// The sum of the lanes, pairwise, the same order always.
    fn sum(self, a: Self::V) -> f32;
}

/// Bits of `sqrt(1/2)`, where [`Simd::split`] cuts.
const SQRT_HALF: i32 = 0x3f35_04f3;

/// Sums halves upon halves.
#[inline(always)]
fn pairwise<const N: usize>(mut lanes: [f32; N]) -> f32 {
    let mut n = N / 2;
    while n > 0 {
        for i in 0..n {
            lanes[i] += lanes[i + n];
        }
        n /= 2;
    }
    lanes[0]
}

/// The token of the portable tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Portable(());

impl Simd for Portable {
    const LANES: usize = 8;
    // Of the 16 that the target has, of half the size.
    const REGISTERS: usize = 8;
    type V = wide::f32x8;
    type M = wide::f32x8;

    #[inline(always)]
    unsafe fn assume() -> Self {
        Self(())
    }
    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Out {
        kernel.run(self)
    }
    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        wide::f32x8::splat(x)
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> Self::V {
        // SAFETY: the caller says that eight elements can be read.
        wide::f32x8::new(unsafe { p.cast::<[f32; 8]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: Self::V) {
        // SAFETY: the caller says that eight elements can be written.
        unsafe { p.cast::<[f32; 8]>().write_unaligned(v.to_array()) }
    }
    #[inline(always)]
    unsafe fn load_first(self, p: *const f32, n: usize) -> Self::V {
        let mut lanes = [0.0; 8];
        // SAFETY: the caller says that `n` elements can be read.
        unsafe { p.copy_to_nonoverlapping(lanes.as_mut_ptr(), n.min(8)) };
        wide::f32x8::new(lanes)
    }
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, v: Self::V, n: usize) {
        // SAFETY: the caller says that `n` elements can be written.
        unsafe { p.copy_from_nonoverlapping(v.to_array().as_ptr(), n.min(8)) }
    }
    #[inline(always)]
    unsafe fn load_f16(self, p: *const half::f16) -> Self::V {
        // SAFETY: the caller says that eight elements can be read.
        let half = unsafe { p.cast::<[half::f16; 8]>().read_unaligned() };
        wide::f32x8::new(half.map(half::f16::to_f32))
    }
    #[inline(always)]
    unsafe fn load_u8(self, p: *const u8) -> Self::V {
        // SAFETY: the caller says that eight elements can be read.
        wide::f32x8::new(unsafe { p.cast::<[u8; 8]>().read_unaligned() }.map(f32::from))
    }
    #[inline(always)]
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        a.mul_add(b, c)
    }
    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        a + b
    }
    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        a - b
    }
    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        a * b
    }
    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        a / b
    }
    #[inline(always)]
    fn recip(self, a: Self::V) -> Self::V {
        self.splat(1.0) / a
    }
    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        self.select(self.lt(a, b), a, b)
    }
    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        self.select(self.lt(b, a), a, b)
    }
    #[inline(always)]
    fn sqrt(self, a: Self::V) -> Self::V {
        a.sqrt()
    }
    #[inline(always)]
    fn abs(self, a: Self::V) -> Self::V {
        a.abs()
    }
    #[inline(always)]
    fn copysign(self, a: Self::V, b: Self::V) -> Self::V {
        let sign = wide::f32x8::splat(-0.0);
        a.abs() | (b & sign)
    }
    #[inline(always)]
    fn lt(self, a: Self::V, b: Self::V) -> Self::M {
        a.simd_lt(b)
    }
    #[inline(always)]
    fn select(self, m: Self::M, a: Self::V, b: Self::V) -> Self::V {
        (m & a) | b.and_not_by(m)
    }
    #[inline(always)]
    fn scale(self, a: Self::V, n: Self::V) -> Self::V {
        let lanes: [f32; 8] = n.to_array();
        let half = lanes.map(|n| n as i32 >> 1);
        let rest: [i32; 8] = std::array::from_fn(|i| lanes[i] as i32 - half[i]);
        let pow = |n: [i32; 8]| wide::f32x8::new(n.map(|n| f32::from_bits(((n + 127) << 23) as u32)));
        a * pow(half) * pow(rest)
    }
    #[inline(always)]
    fn split(self, a: Self::V) -> (Self::V, Self::V) {
        let bits = a.to_array().map(|x| x.to_bits() as i32);
        let e = bits.map(|b| b.wrapping_sub(SQRT_HALF) >> 23);
        let m = std::array::from_fn(|i| f32::from_bits(bits[i].wrapping_sub(e[i] << 23) as u32));
        (wide::f32x8::new(m), wide::f32x8::new(e.map(|e| e as f32)))
    }
    #[inline(always)]
    fn sum(self, a: Self::V) -> f32 {
        pairwise(a.to_array())
    }
}

/// `b & !m`, which `wide` does not name.
trait AndNot {
    fn and_not_by(self, m: Self) -> Self;
}

impl AndNot for wide::f32x8 {
    #[inline(always)]
    fn and_not_by(self, m: Self) -> Self {
        let all = Self::splat(f32::from_bits(u32::MAX));
        self & (m ^ all)
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Kernel, SQRT_HALF, Simd, pairwise};
    use std::arch::x86_64::*;

    /// Declares a token: the features are detected, and enabled, from one list.
    macro_rules! token {
        ($(#[$doc:meta])* $name:ident: $($feature:tt),*) => {
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub(crate) struct $name(());

            impl $name {
                /// The token, if the machine has the instruction set.
                pub(super) fn detect() -> Option<Self> {
                    ($(is_x86_feature_detected!($feature))&&*).then_some(Self(()))
                }

                $(#[target_feature(enable = $feature)])*
                fn with_features<K: Kernel>(self, kernel: K) -> K::Out {
                    kernel.run(self)
                }
            }
        };
    }

    token!(
        /// The token of AVX2, FMA and F16C.
        Avx2: "avx", "avx2", "fma", "f16c"
    );
    token!(
        /// The token of AVX-512.
        Avx512: "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512dq", "avx512vl"
    );

    /// Methods that are one expression of intrinsics.
    macro_rules! operations {
        ($(fn $name:ident($($arg:ident: $type:ty),*) -> $out:ty = $body:expr;)*) => {$(
            #[inline(always)]
            fn $name(self, $($arg: $type),*) -> $out {
                // SAFETY: the token proves that the machine has the instructions.
                unsafe { $body }
            }
        )*};
    }

    impl Simd for Avx512 {
        const LANES: usize = 16;
        const REGISTERS: usize = 32;
        type V = __m512;
        type M = __mmask16;

        #[inline(always)]
        unsafe fn assume() -> Self {
            Self(())
        }
        #[inline(always)]
        fn vectorize<K: Kernel>(self, kernel: K) -> K::Out {
            // SAFETY: the token proves that the machine has the features.
            unsafe { self.with_features(kernel) }
        }
        #[inline(always)]
        unsafe fn load(self, p: *const f32) -> Self::V {
            // SAFETY: by the token, and the caller says that sixteen elements can be read.
            unsafe { _mm512_loadu_ps(p) }
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut f32, v: Self::V) {
            // SAFETY: by the token, and the caller says that sixteen elements can be written.
            unsafe { _mm512_storeu_ps(p, v) }
        }
        #[inline(always)]
        unsafe fn load_first(self, p: *const f32, n: usize) -> Self::V {
            // SAFETY: by the token; masked lanes are not read, and the caller says that the others can be.
            unsafe { _mm512_maskz_loadu_ps(first(n), p) }
        }
        #[inline(always)]
        unsafe fn store_first(self, p: *mut f32, v: Self::V, n: usize) {
            // SAFETY: by the token; masked lanes are not written, and the caller says that the others can be.
            unsafe { _mm512_mask_storeu_ps(p, first(n), v) }
        }
        #[inline(always)]
        unsafe fn load_f16(self, p: *const half::f16) -> Self::V {
            // SAFETY: by the token, and the caller says that sixteen elements can be read.
            unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(p.cast())) }
        }
        #[inline(always)]
        unsafe fn load_u8(self, p: *const u8) -> Self::V {
            // SAFETY: by the token, and the caller says that sixteen elements can be read.
            unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(p.cast()))) }
        }
        #[inline(always)]
        fn transpose(self, rows: &mut [Self::V; 16]) {
            // Squares of half the side change places, one bit of row and lane after the other.
            for bit in 0..4 {
                for i in 0..16 {
                    if i & (1 << bit) == 0 {
                        let (a, b) = (rows[i], rows[i + (1 << bit)]);
                        // SAFETY: by the token, and the tables are as long as a vector.
                        unsafe {
                            let upper = _mm512_loadu_si512(TRANSPOSE[bit][0].as_ptr().cast());
                            let lower = _mm512_loadu_si512(TRANSPOSE[bit][1].as_ptr().cast());
                            rows[i] = _mm512_permutex2var_ps(a, upper, b);
                            rows[i + (1 << bit)] = _mm512_permutex2var_ps(a, lower, b);
                        }
                    }
                }
            }
        }
        #[inline(always)]
        fn interleave(self, [a, b, c]: [Self::V; 3]) -> [Self::V; 3] {
            let mut mixed = [a; 3];
            for i in 0..3 {
                // SAFETY: by the token, and the tables are as long as a vector.
                mixed[i] = unsafe {
                    let pair = _mm512_loadu_si512(INTERLEAVE[i][0].as_ptr().cast());
                    let third = _mm512_loadu_si512(INTERLEAVE[i][1].as_ptr().cast());
                    _mm512_permutex2var_ps(_mm512_permutex2var_ps(a, pair, b), third, c)
                };
            }
            mixed
        }
        operations! {
            fn splat(x: f32) -> __m512 = _mm512_set1_ps(x);
            fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps(a, b, c);
            fn add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps(a, b);
            fn sub(a: __m512, b: __m512) -> __m512 = _mm512_sub_ps(a, b);
            fn mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
            fn div(a: __m512, b: __m512) -> __m512 = _mm512_div_ps(a, b);
            fn recip(a: __m512) -> __m512 = {
                // Newton's step doubles the 14 bits; a division would take the time of 16 multiplications.
                let y = _mm512_rcp14_ps(a);
                _mm512_fmadd_ps(y, _mm512_fnmadd_ps(a, y, _mm512_set1_ps(1.0)), y)
            };
            fn min(a: __m512, b: __m512) -> __m512 = _mm512_min_ps(a, b);
            fn max(a: __m512, b: __m512) -> __m512 = _mm512_max_ps(a, b);
            fn sqrt(a: __m512) -> __m512 = _mm512_sqrt_ps(a);
            fn abs(a: __m512) -> __m512 = _mm512_abs_ps(a);
            fn copysign(a: __m512, b: __m512) -> __m512 = {
                let sign = _mm512_set1_ps(-0.0);
                _mm512_or_ps(_mm512_andnot_ps(sign, a), _mm512_and_ps(sign, b))
            };
            fn lt(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b);
            fn select(m: __mmask16, a: __m512, b: __m512) -> __m512 = _mm512_mask_blend_ps(m, b, a);
            fn scale(a: __m512, n: __m512) -> __m512 = _mm512_scalef_ps(a, n);
            fn split(a: __m512) -> (__m512, __m512) = {
                let bits = _mm512_castps_si512(a);
                let e = _mm512_srai_epi32::<23>(_mm512_sub_epi32(bits, _mm512_set1_epi32(SQRT_HALF)));
                let m = _mm512_sub_epi32(bits, _mm512_slli_epi32::<23>(e));
                (_mm512_castsi512_ps(m), _mm512_cvtepi32_ps(e))
            };
            fn sum(a: __m512) -> f32 = {
                let mut lanes = [0.0; 16];
                _mm512_storeu_ps(lanes.as_mut_ptr(), a);
                pairwise(lanes)
            };
        }
    }

    /// Which lanes of two vectors, and then of the result and a third, make each vector of the three in turns.
    const INTERLEAVE: [[[i32; 16]; 2]; 3] = {
        let mut tables = [[[0; 16]; 2]; 3];
        let mut i = 0;
        while i < 48 {
            let (lane, from) = ((i % 16) as i32, (i / 3) as i32);
            let table = &mut tables[i / 16];
            table[0][i % 16] = if i % 3 == 1 { 16 + from } else { from };
            table[1][i % 16] = if i % 3 == 2 { 16 + from } else { lane };
            i += 1;
        }
        tables
    };

    /// Which lanes of two rows whose numbers differ in one bit make the one and the other of them.
    const TRANSPOSE: [[[i32; 16]; 2]; 4] = {
        let mut tables = [[[0; 16]; 2]; 4];
        let mut i = 0;
        while i < 64 {
            let (bit, lane) = (1 << (i / 16), (i % 16) as i32);
            let table = &mut tables[i / 16];
            table[0][i % 16] = if lane & bit == 0 { lane } else { 16 + lane - bit };
            table[1][i % 16] = if lane & bit == 0 { lane + bit } else { 16 + lane };
            i += 1;
        }
        tables
    };

    /// A mask of the first `n` lanes.
    #[inline(always)]
    fn first(n: usize) -> __mmask16 {
        if n >= 16 { !0 } else { (1 << n) - 1 }
    }

    /// The same for AVX2, whose masks are vectors.
    #[inline(always)]
    fn first8(n: usize) -> __m256i {
        const EDGE: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
        // SAFETY: eight elements from `8 - n`, which is 0..=8, are within the table; only tokens lead here.
        unsafe { _mm256_loadu_si256(EDGE.as_ptr().add(8 - n.min(8)).cast()) }
    }

    impl Simd for Avx2 {
        const LANES: usize = 8;
        const REGISTERS: usize = 16;
        type V = __m256;
        type M = __m256;

        #[inline(always)]
        unsafe fn assume() -> Self {
            Self(())
        }
        #[inline(always)]
        fn vectorize<K: Kernel>(self, kernel: K) -> K::Out {
            // SAFETY: the token proves that the machine has the features.
            unsafe { self.with_features(kernel) }
        }
        #[inline(always)]
        unsafe fn load(self, p: *const f32) -> Self::V {
            // SAFETY: by the token, and the caller says that eight elements can be read.
            unsafe { _mm256_loadu_ps(p) }
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut f32, v: Self::V) {
            // SAFETY: by the token, and the caller says that eight elements can be written.
            unsafe { _mm256_storeu_ps(p, v) }
        }
        #[inline(always)]
        unsafe fn load_first(self, p: *const f32, n: usize) -> Self::V {
            // SAFETY: by the token; masked lanes are not read, and the caller says that the others can be.
            unsafe { _mm256_maskload_ps(p, first8(n)) }
        }
        #[inline(always)]
        unsafe fn store_first(self, p: *mut f32, v: Self::V, n: usize) {
            // SAFETY: by the token; masked lanes are not written, and the caller says that the others can be.
            unsafe { _mm256_maskstore_ps(p, first8(n), v) }
        }
        #[inline(always)]
        unsafe fn load_f16(self, p: *const half::f16) -> Self::V {
            // SAFETY: by the token, and the caller says that eight elements can be read.
            unsafe { _mm256_cvtph_ps(_mm_loadu_si128(p.cast())) }
        }
        #[inline(always)]
        unsafe fn load_u8(self, p: *const u8) -> Self::V {
            // SAFETY: by the token, and the caller says that eight elements can be read.
            unsafe { _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(p.cast()))) }
        }
        operations! {
            fn splat(x: f32) -> __m256 = _mm256_set1_ps(x);
            fn mul_add(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fmadd_ps(a, b, c);
            fn add(a: __m256, b: __m256) -> __m256 = _mm256_add_ps(a, b);
            fn sub(a: __m256, b: __m256) -> __m256 = _mm256_sub_ps(a, b);
            fn mul(a: __m256, b: __m256) -> __m256 = _mm256_mul_ps(a, b);
            fn div(a: __m256, b: __m256) -> __m256 = _mm256_div_ps(a, b);
            fn recip(a: __m256) -> __m256 = _mm256_div_ps(_mm256_set1_ps(1.0), a);
            fn min(a: __m256, b: __m256) -> __m256 = _mm256_min_ps(a, b);
            fn max(a: __m256, b: __m256) -> __m256 = _mm256_max_ps(a, b);
            fn sqrt(a: __m256) -> __m256 = _mm256_sqrt_ps(a);
            fn abs(a: __m256) -> __m256 = _mm256_andnot_ps(_mm256_set1_ps(-0.0), a);
            fn copysign(a: __m256, b: __m256) -> __m256 = {
                let sign = _mm256_set1_ps(-0.0);
                _mm256_or_ps(_mm256_andnot_ps(sign, a), _mm256_and_ps(sign, b))
            };
            fn lt(a: __m256, b: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_LT_OQ>(a, b);
            fn select(m: __m256, a: __m256, b: __m256) -> __m256 = _mm256_blendv_ps(b, a, m);
            fn scale(a: __m256, n: __m256) -> __m256 = {
                let n = _mm256_cvtps_epi32(n);
                let half = _mm256_srai_epi32::<1>(n);
                let pow = |n| _mm256_slli_epi32::<23>(_mm256_add_epi32(n, _mm256_set1_epi32(127)));
                let a = _mm256_mul_ps(a, _mm256_castsi256_ps(pow(half)));
                _mm256_mul_ps(a, _mm256_castsi256_ps(pow(_mm256_sub_epi32(n, half))))
            };
            fn split(a: __m256) -> (__m256, __m256) = {
                let bits = _mm256_castps_si256(a);
                let e = _mm256_srai_epi32::<23>(_mm256_sub_epi32(bits, _mm256_set1_epi32(SQRT_HALF)));
                let m = _mm256_sub_epi32(bits, _mm256_slli_epi32::<23>(e));
                (_mm256_castsi256_ps(m), _mm256_cvtepi32_ps(e))
            };
            fn sum(a: __m256) -> f32 = {
                let mut lanes = [0.0; 8];
                _mm256_storeu_ps(lanes.as_mut_ptr(), a);
                pairwise(lanes)
            };
        }
    }
}
