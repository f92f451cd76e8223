//! Element by element: two tensors, a tensor with numbers of its channels, one tensor.

use super::{Entry, Floats, Mapped, Part, Post, Routine, Step, View, entry};
use crate::{
    isa::{Isa, Simd},
    memory::Memory,
};

/// What is computed of two elements.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pair {
    Add,
    Subtract,
    Multiply,
    Divide,
    Maximum,
    Minimum,
    SquaredDifference,
}

/// How far an operand's row of elements reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reach {
    /// Each element once.
    Each,
    /// One element for the whole row.
    One,
    /// One vector for the whole row: the numbers of a channel block.
    Lanes,
}

/// `dst = post(a op b)`: rows of `len` elements, each operand's row found by strides over the outer dimensions.
pub(crate) struct Binary {
    pub(crate) a: View,
    pub(crate) b: View,
    pub(crate) dst: View,
    pub(crate) pair: Pair,
    pub(crate) reach: [Reach; 2],
    pub(crate) len: usize,
    /// Outer dimensions with the strides of a, b and the destination.
    pub(crate) outer: Vec<(usize, [usize; 3])>,
    pub(crate) post: Post,
    pub(crate) isa: Isa,
    entry: Entry<PairRow>,
}

struct PairRow {
    a: *const f32,
    b: *const f32,
    dst: *mut f32,
    len: usize,
    step: *const Binary,
}

struct PairKernel;

impl Routine for PairKernel {
    type Args = PairRow;

    #[inline(always)]
    unsafe fn run<S: Simd>(s: S, row: &PairRow) {
        // SAFETY: the step's.
        unsafe {
            let step = &*row.step;
            macro_rules! with {
                ($f:expr) => {
                    pairs(s, row, step, $f)
                };
            }
            match step.pair {
                Pair::Add => with!(|a, b| s.add(a, b)),
                Pair::Subtract => with!(|a, b| s.sub(a, b)),
                Pair::Multiply => with!(|a, b| s.mul(a, b)),
                Pair::Divide => with!(|a, b| s.div(a, b)),
                Pair::Maximum => with!(|a, b| s.max(a, b)),
                Pair::Minimum => with!(|a, b| s.min(a, b)),
                Pair::SquaredDifference => with!(|a, b| {
                    let d = s.sub(a, b);
                    s.mul(d, d)
                }),
            }
        }
    }
}

#[inline(always)]
unsafe fn pairs<S: Simd>(s: S, row: &PairRow, step: &Binary, f: impl Fn(S::V, S::V) -> S::V) {
    // SAFETY: the step's.
    unsafe {
        let (low, high) = (s.splat(step.post.low), s.splat(step.post.high));
        let fixed = |reach: Reach, p: *const f32| match reach {
            Reach::Each => s.splat(0.0),
            Reach::One => s.splat(*p),
            Reach::Lanes => s.load(p),
        };
        let (a0, b0) = (fixed(step.reach[0], row.a), fixed(step.reach[1], row.b));
        let (each_a, each_b) = (step.reach[0] == Reach::Each, step.reach[1] == Reach::Each);
        let mut i = 0;
        while i + S::LANES <= row.len {
            let a = if each_a { s.load(row.a.add(i)) } else { a0 };
            let b = if each_b { s.load(row.b.add(i)) } else { b0 };
            s.store(row.dst.add(i), s.min(high, s.max(low, f(a, b))));
            i += S::LANES;
        }
        if i < row.len {
            let n = row.len - i;
            let a = if each_a { s.load_first(row.a.add(i), n) } else { a0 };
            let b = if each_b { s.load_first(row.b.add(i), n) } else { b0 };
            s.store_first(row.dst.add(i), s.min(high, s.max(low, f(a, b))), n);
        }
        if let Some(map) = &step.post.map {
            map.in_place(row.dst, row.len, 0);
        }
    }
}

impl Binary {
    pub(crate) fn new(
        isa: Isa,
        pair: Pair,
        [a, b, dst]: [View; 3],
        reach: [Reach; 2],
        len: usize,
        outer: Vec<(usize, [usize; 3])>,
        post: Post,
    ) -> Self {
        Self { a, b, dst, pair, reach, len, outer, post, isa, entry: entry::<PairKernel>(isa) }
    }
}

/// Elements of a piece when long rows are split among threads.
const PIECE: usize = 4096;

impl Step for Binary {
    fn views(&mut self) -> Vec<&mut View> {
        vec![&mut self.a, &mut self.b, &mut self.dst]
    }

    fn name(&self) -> String {
        format!("eltwise_{}_f32", self.isa.name())
    }

    fn run(&self, memory: &Memory, part: Part) {
        let rows: usize = self.outer.iter().map(|(size, _)| size).product();
        let pieces = self.len.div_ceil(PIECE);
        let base = [memory.at::<f32>(self.a), memory.at::<f32>(self.b), memory.at::<f32>(self.dst)];
        for i in part.of(rows * pieces) {
            let (mut row, piece) = (i / pieces, i % pieces * PIECE);
            let mut at = [0; 3];
            for (size, strides) in self.outer.iter().rev() {
                for k in 0..3 {
                    at[k] += row % size * strides[k];
                }
                row /= size;
            }
            for (k, reach) in self.reach.iter().enumerate() {
                at[k] += if *reach == Reach::Each { piece } else { 0 };
            }
            let args = PairRow {
                a: base[0].wrapping_add(at[0]),
                b: base[1].wrapping_add(at[1]),
                dst: base[2].wrapping_add(at[2] + piece),
                len: PIECE.min(self.len - piece),
                step: self,
            };
            // SAFETY: the views hold what the strides reach; each piece of a row is one part's.
            unsafe { self.entry.call(&args) };
        }
    }
}

/// `dst = post(src * scale + shift)`, numbers of each channel, in channel blocks.
pub(crate) struct Affine {
    pub(crate) src: View,
    pub(crate) dst: View,
    pub(crate) images: usize,
    pub(crate) channels: usize,
    pub(crate) pixels: usize,
    pub(crate) scale: Floats,
    pub(crate) shift: Floats,
    pub(crate) post: Post,
    pub(crate) isa: Isa,
    entry: Entry<AffineBlock>,
}

struct AffineBlock {
    src: *const f32,
    dst: *mut f32,
    block: usize,
    step: *const Affine,
}

struct AffineKernel;

impl Routine for AffineKernel {
    type Args = AffineBlock;

    #[inline(always)]
    unsafe fn run<S: Simd>(s: S, a: &AffineBlock) {
        // SAFETY: the step's.
        unsafe {
            let step = &*a.step;
            let scale = s.load(step.scale.as_ptr().add(a.block * S::LANES));
            let shift = s.load(step.shift.as_ptr().add(a.block * S::LANES));
            let (low, high) = (s.splat(step.post.low), s.splat(step.post.high));
            for i in 0..step.pixels {
                let y = s.mul_add(s.load(a.src.add(i * S::LANES)), scale, shift);
                s.store(a.dst.add(i * S::LANES), s.min(high, s.max(low, y)));
            }
            if let Some(map) = &step.post.map {
                map.in_place(a.dst, step.pixels * S::LANES, a.block * S::LANES);
            }
        }
    }
}

impl Affine {
    pub(crate) fn new(
        isa: Isa,
        [src, dst]: [View; 2],
        [images, channels, pixels]: [usize; 3],
        [scale, shift]: [Floats; 2],
        post: Post,
    ) -> Self {
        let entry = entry::<AffineKernel>(isa);
        Self { src, dst, images, channels, pixels, scale, shift, post, isa, entry }
    }
}

impl Step for Affine {
    fn views(&mut self) -> Vec<&mut View> {
        vec![&mut self.src, &mut self.dst]
    }

    fn name(&self) -> String {
        format!("affine_{}_f32", self.isa.name())
    }

    fn run(&self, memory: &Memory, part: Part) {
        let n = self.isa.block();
        let blocks = self.channels.div_ceil(n);
        for i in part.of(self.images * blocks) {
            let (image, block) = (i / blocks, i % blocks);
            let at = block * self.pixels * n;
            let args = AffineBlock {
                src: memory.at::<f32>(self.src).wrapping_add(image * self.src.batch + at),
                dst: memory.at::<f32>(self.dst).wrapping_add(image * self.dst.batch + at),
                block,
                step: self,
            };
            // SAFETY: the views hold images of this shape; each block is one part's.
            unsafe { self.entry.call(&args) };
        }
    }
}

/// A function of each element; runs of `len` elements in each of `images`.
pub(crate) struct Unary {
    pub(crate) src: View,
    pub(crate) dst: View,
    pub(crate) images: usize,
    pub(crate) len: usize,
    pub(crate) map: Mapped,
    pub(crate) isa: Isa,
}

impl Step for Unary {
    fn views(&mut self) -> Vec<&mut View> {
        vec![&mut self.src, &mut self.dst]
    }

    fn name(&self) -> String {
        format!("eltwise_{}_f32", self.isa.name())
    }

    fn run(&self, memory: &Memory, part: Part) {
        let pieces = self.len.div_ceil(PIECE);
        for i in part.of(self.images * pieces) {
            let (image, at) = (i / pieces, i % pieces * PIECE);
            let src = memory.at::<f32>(self.src).wrapping_add(image * self.src.batch + at);
            let dst = memory.at::<f32>(self.dst).wrapping_add(image * self.dst.batch + at);
            // SAFETY: the views hold images of `len` elements; each piece is one part's.
            unsafe { self.map.apply(src, dst, PIECE.min(self.len - at), 0) };
        }
    }
}
