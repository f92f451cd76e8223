//! Elementwise functions of one or two tensors, then the post-operations, in one pass over the memory.

use super::post::{Activation, Each, Sum};
use crate::{
    isa::{Isa, Kernel, Simd},
    pool::{Pool, Shards, by_row},
};
use std::ops::Range;

/// What two operands become.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Combine {
    /// `a + b`
    Add,
    /// `a - b`
    Subtract,
    /// `b - a`
    SubtractFrom,
    /// `a * b`
    Multiply,
    /// `a / b`
    Divide,
    /// `b / a`
    DivideInto,
    /// The greater.
    Maximum,
    /// The lesser.
    Minimum,
    /// `(a - b)^2`
    SquaredDifference,
}

/// How the second operand goes with the first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reach {
    /// There is none.
    Absent,
    /// Element by element.
    Elements,
    /// One number for all.
    Scalar,
    /// One number, or one block of lanes, for each plane; with `true`, the same for every image.
    Planes(bool),
}

/// The function, and how the memory is divided: images of planes. A plane is a channel, or in blocked layout a
/// block of channels; where all elements are alike, one plane holds everything.
#[derive(Clone, Debug)]
pub(crate) struct Elementwise {
    /// Images.
    pub(crate) images: usize,
    /// Planes of an image.
    pub(crate) planes: usize,
    /// Elements of a plane.
    pub(crate) len: usize,
    /// Channels, where planes are blocks of them.
    pub(crate) channels: Option<usize>,
    /// Scale and shift, a number for each channel, filled up with zeros to whole blocks.
    pub(crate) affine: Option<(Vec<f32>, Vec<f32>)>,
    /// What becomes of both operands.
    pub(crate) combine: Combine,
    /// How the second operand goes with the first.
    pub(crate) reach: Reach,
    /// Whether an addend follows.
    pub(crate) sum: Sum,
    /// The activation.
    pub(crate) activation: Activation,
}

/// Elements that are worked on at a time: they stay in the first cache for the next pass.
const CHUNK: usize = 2048;
/// Elements of a plane that stay together when threads divide it.
const PLACE: usize = 16;
/// So few of them are not divided.
const FEW_PLACES: usize = 16;

impl Elementwise {
    /// Runs it. `a` is `None` when it lies in `dst`; `b` and `addend` are empty when there are none. Nothing else
    /// overlaps.
    pub(crate) fn run(
        &self,
        isa: Isa,
        pool: &mut Pool,
        a: Option<&[f32]>,
        b: &[f32],
        addend: &[f32],
        dst: &mut [f32],
    ) {
        let total = self.images * self.planes * self.len;
        assert!(dst.len() == total && a.is_none_or(|a| a.len() == total));
        assert!(self.sum == Sum::None || addend.len() == total);
        let block = if self.channels.is_some() { isa.block() } else { 1 };
        let needed = match self.reach {
            Reach::Absent => 0,
            Reach::Elements => total,
            Reach::Scalar => 1,
            Reach::Planes(true) => self.planes * block,
            Reach::Planes(false) => self.images * self.planes * block,
        };
        assert!(b.len() >= needed);
        let out = Shards::new(dst);
        // Elements from `first` on of a plane of all images' planes.
        let chunk = |unit: usize, first: usize, len: usize| {
            let start = unit * self.len + first;
            let plane = unit % self.planes;
            let per_plane = match self.reach {
                Reach::Absent => 0,
                Reach::Elements => start,
                Reach::Scalar => 0,
                Reach::Planes(true) => plane * block,
                Reach::Planes(false) => unit * block,
            };
            // SAFETY: the lengths were checked above; each thread writes chunks of its own.
            unsafe {
                let dst = out.get().add(start);
                isa.dispatch(Chunk {
                    of: self,
                    a: a.map_or(dst.cast_const(), |a| a.as_ptr().add(start)),
                    b: b.as_ptr().add(per_plane),
                    addend: if self.sum == Sum::None { dst.cast_const() } else { addend.as_ptr().add(start) },
                    dst,
                    len,
                    plane,
                });
            }
        };
        let vectors = self.len.div_ceil(PLACE);
        pool.run(&|share| {
            let chunks = |unit: usize, vectors: Range<usize>| {
                let end = self.len.min(vectors.end * PLACE);
                let firsts = (vectors.start * PLACE..end).step_by(CHUNK);
                firsts.for_each(|first| chunk(unit, first, CHUNK.min(end - first)));
            };
            if vectors < FEW_PLACES {
                share.part(self.images * self.planes).for_each(|unit| chunks(unit, 0..vectors));
                return;
            }
            // Places, not channels: so most of what comes before and after is divided.
            for (image, vectors) in by_row(share.part(self.images * vectors), vectors) {
                (0..self.planes).for_each(|plane| chunks(image * self.planes + plane, vectors.clone()));
            }
        });
    }
}

struct Chunk<'a> {
    of: &'a Elementwise,
    a: *const f32,
    b: *const f32,
    addend: *const f32,
    dst: *mut f32,
    len: usize,
    plane: usize,
}

impl Chunk<'_> {
    /// `dst = f(x, i)` where `x` are the elements of `from` from `i` on.
    ///
    /// # Safety
    /// `len` elements can be read at `from` and written at `dst`.
    #[inline(always)]
    unsafe fn each<S: Simd>(&self, s: S, from: *const f32, f: impl Fn(S::V, usize, usize) -> S::V) {
        let mut i = 0;
        while i < self.len {
            let n = S::LANES.min(self.len - i);
            let whole = n == S::LANES;
            // SAFETY: at most what is left of `len` elements is touched.
            unsafe {
                let x = if whole { s.load(from.add(i)) } else { s.load_first(from.add(i), n) };
                // Called in one place only: else it would stay a function of its own, without the instruction set.
                let y = f(x, i, n);
                if whole { s.store(self.dst.add(i), y) } else { s.store_first(self.dst.add(i), y, n) }
            }
            i += n;
        }
    }

    /// # Safety
    /// As for [`Self::each`]; `b` holds what `reach` says.
    #[inline(always)]
    unsafe fn pair<S: Simd>(&self, s: S, from: *const f32, f: impl Fn(S::V, S::V) -> S::V) {
        // SAFETY: as the caller says; of `b` as many elements are read as of `a`, one block, or one.
        unsafe {
            match self.of.reach {
                Reach::Elements => {
                    self.each(s, from, |x, i, n| {
                        let y = if n == S::LANES {
                            s.load(self.b.add(i))
                        } else {
                            s.load_first(self.b.add(i), n)
                        };
                        f(x, y)
                    });
                }
                _ => {
                    let lanes = self.of.channels.is_some() && self.of.reach != Reach::Scalar;
                    let y = if lanes { s.load(self.b) } else { s.splat(*self.b) };
                    self.each(s, from, |x, _, _| f(x, y));
                }
            }
        }
    }
}

impl Kernel for Chunk<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let of = self.of;
        let mut from = self.a;
        let blocked = of.channels.is_some();
        // SAFETY: `Elementwise::run` gives pointers to `len` elements each, and to a block or a number per plane.
        unsafe {
            if let Some((scale, shift)) = &of.affine {
                let at = if blocked { self.plane * S::LANES } else { self.plane };
                let (scale, shift) = (&scale[at..], &shift[at..]);
                let (scale, shift) = if blocked {
                    (s.load(scale[..S::LANES].as_ptr()), s.load(shift[..S::LANES].as_ptr()))
                } else {
                    (s.splat(scale[0]), s.splat(shift[0]))
                };
                if of.activation == Activation::Relu && of.sum == Sum::None && of.reach == Reach::Absent {
                    let zero = s.splat(0.0);
                    self.each(s, from, |x, _, _| s.max(zero, s.mul_add(x, scale, shift)));
                    return;
                }
                self.each(s, from, |x, _, _| s.mul_add(x, scale, shift));
                from = self.dst.cast_const();
            }
            if of.reach != Reach::Absent {
                match of.combine {
                    Combine::Add => self.pair(s, from, |a, b| s.add(a, b)),
                    Combine::Subtract => self.pair(s, from, |a, b| s.sub(a, b)),
                    Combine::SubtractFrom => self.pair(s, from, |a, b| s.sub(b, a)),
                    Combine::Multiply => self.pair(s, from, |a, b| s.mul(a, b)),
                    Combine::Divide => self.pair(s, from, |a, b| s.div(a, b)),
                    Combine::DivideInto => self.pair(s, from, |a, b| s.div(b, a)),
                    Combine::Maximum => self.pair(s, from, |a, b| s.max(a, b)),
                    Combine::Minimum => self.pair(s, from, |a, b| s.min(a, b)),
                    Combine::SquaredDifference => self.pair(s, from, |a, b| {
                        let d = s.sub(a, b);
                        s.mul(d, d)
                    }),
                }
                from = self.dst.cast_const();
            }
            let lanes = of.channels.map_or(S::LANES, |c| S::LANES.min(c - self.plane * S::LANES));
            let channel = self.plane * S::LANES;
            let identity = of.activation == Activation::None && of.sum == Sum::None;
            if !identity || from != self.dst.cast_const() {
                of.activation.each(s, channel, Last { of: &self, s, from });
            }
            // What is beyond the last channel stays zero whatever the functions make of it.
            if lanes < S::LANES {
                for pixel in 0..self.len / S::LANES {
                    for lane in lanes..S::LANES {
                        *self.dst.add(pixel * S::LANES + lane) = 0.0;
                    }
                }
            }
        }
    }
}

/// The last pass over a chunk: addend and activation.
struct Last<'a, S> {
    of: &'a Chunk<'a>,
    s: S,
    from: *const f32,
}

impl<S: Simd> Each<S> for Last<'_, S> {
    #[inline(always)]
    fn run(self, f: impl Fn(S::V, usize) -> S::V) {
        let Self { of: chunk, s, from } = self;
        let sum = chunk.of.sum;
        // SAFETY: a chunk's pointers are to `len` elements each, of which vector `i` of `n` lanes is part.
        let addend = |i: usize, n: usize| unsafe {
            let at = chunk.addend.add(i);
            if n == S::LANES { s.load(at) } else { s.load_first(at, n) }
        };
        // SAFETY: as above.
        unsafe {
            chunk.each(s, from, |x, i, n| {
                let x = if sum == Sum::BeforeActivation { s.add(x, addend(i, n)) } else { x };
                let x = f(x, 0);
                if sum == Sum::AfterActivation { s.add(x, addend(i, n)) } else { x }
            });
        }
    }
}
