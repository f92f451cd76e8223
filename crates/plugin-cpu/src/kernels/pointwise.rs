//! Functions of the elements of up to five tensors of any types, broadcast against each other. A chunk of elements
//! is widened to f32, f64 or i64, computed there by loops that the compiler makes vectors of, and narrowed again.

use super::{power, widen::Widened};
use crate::{
    isa::{Isa, Kernel, Simd},
    pool::{Pool, Shards},
};
use ir::{
    ElementType,
    op::{BinaryKind, FakeQuantize, RoundMode, Unary},
};
use std::sync::atomic::{AtomicBool, Ordering};

/// What becomes of the operands.
#[derive(Clone, Debug)]
pub(crate) enum Function {
    /// The first, in the output's type.
    Convert,
    /// Of the first.
    Unary(Unary),
    /// The first, within bounds.
    Clamp(f64, f64),
    /// The first, to the nearest integer.
    Round(RoundMode),
    /// Whether the first is not a number; plus infinity; minus infinity; anything else.
    IsOneOf([bool; 4]),
    /// Of the first two.
    Binary(BinaryKind),
    /// The second where the first is true, else the third.
    Select,
    /// The first if it is not negative, else its product with the second.
    PRelu,
    /// Data, low and high ends of input and output.
    FakeQuantize(FakeQuantize),
    /// Data, scale, shift, mean, variance; with this number added to the variance.
    Normalize(f64),
}

/// The numbers that are computed with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wide {
    /// f32
    F32,
    /// f64
    F64,
    /// i64, wrapping
    I64,
}

/// An operand: its type, and its elements from index to index of each dimension of the output.
#[derive(Clone, Debug)]
pub(crate) struct Operand {
    /// The type.
    pub(crate) ty: ElementType,
    /// One a dimension, 0 where it repeats.
    pub(crate) strides: Vec<usize>,
}

/// A function, ready to run.
#[derive(Debug)]
pub(crate) struct Pointwise {
    function: Function,
    wide: Wide,
    shape: Vec<usize>,
    operands: Vec<Operand>,
    output: ElementType,
    total: usize,
}

/// Most operands.
const MOST: usize = 5;

/// Elements that are computed at a time: with five operands of eight bytes they stay in the first cache.
const CHUNK: usize = 256;

/// A division of integers by zero.
#[derive(Debug)]
pub(crate) struct DivisionByZero;

impl Pointwise {
    /// A function to an output of `shape`, row-major.
    ///
    /// # Panics
    /// If there are more than five operands, or strides for another rank.
    pub(crate) fn new(
        function: Function,
        wide: Wide,
        shape: &[usize],
        operands: Vec<Operand>,
        output: ElementType,
    ) -> Self {
        assert!(
            operands.len() <= MOST && operands.iter().all(|operand| operand.strides.len() == shape.len())
        );
        let total = shape.iter().product();
        // Neighbouring dimensions that all operands go through as through one are one.
        let mut dims: Vec<usize> = Vec::new();
        let mut merged: Vec<Operand> =
            operands.iter().map(|operand| Operand { ty: operand.ty, strides: Vec::new() }).collect();
        for (i, size) in shape.iter().enumerate().filter(|(_, size)| **size != 1) {
            let goes_on = |(own, operand): (&Operand, &Operand)| {
                own.strides.last() == Some(&(operand.strides[i] * size))
            };
            match dims.last_mut() {
                Some(last) if merged.iter().zip(&operands).all(goes_on) => {
                    *last *= size;
                    for (own, operand) in merged.iter_mut().zip(&operands) {
                        *own.strides.last_mut().expect("as many as dims") = operand.strides[i];
                    }
                }
                _ => {
                    dims.push(*size);
                    for (own, operand) in merged.iter_mut().zip(&operands) {
                        own.strides.push(operand.strides[i]);
                    }
                }
            }
        }
        if dims.is_empty() {
            dims.push(total);
            merged.iter_mut().for_each(|operand| operand.strides.push(0));
        }
        Self { function, wide, shape: dims, operands: merged, output, total }
    }

    /// Runs it on the bytes of the operands.
    ///
    /// # Panics
    /// If a slice is too short.
    pub(crate) fn run(
        &self,
        isa: Isa,
        pool: &mut Pool,
        sources: &[&[u8]],
        dst: &mut [u8],
    ) -> Result<(), DivisionByZero> {
        let size = self.output.bits() / 8;
        assert!(dst.len() == self.total * size && sources.len() == self.operands.len());
        if self.total == 0 {
            return Ok(());
        }
        for (operand, source) in self.operands.iter().zip(sources) {
            let last: usize =
                self.shape.iter().zip(&operand.strides).map(|(size, stride)| (size - 1) * stride).sum();
            assert!(source.len() >= (last + 1) * (operand.ty.bits() / 8), "{self:?}");
        }
        let failed = AtomicBool::new(false);
        let out = Shards::new(dst);
        pool.run(&|share| {
            for chunk in share.part(self.total.div_ceil(CHUNK)) {
                let start = chunk * CHUNK;
                let len = CHUNK.min(self.total - start);
                // SAFETY: elements `start..start + len`, within `dst` and this thread's own.
                let dst = unsafe { std::slice::from_raw_parts_mut(out.get().add(start * size), len * size) };
                if !isa.dispatch(Chunk { of: self, sources, dst, start, len }) {
                    failed.store(true, Ordering::Relaxed);
                }
            }
        });
        if failed.into_inner() { Err(DivisionByZero) } else { Ok(()) }
    }

    /// Widens the elements of an operand from `start` on.
    #[inline(always)]
    fn load<T: Widened>(&self, operand: &Operand, source: &[u8], start: usize, out: &mut [T]) {
        let (width, step) = (self.shape[self.shape.len() - 1], operand.strides[self.shape.len() - 1]);
        let size = operand.ty.bits() / 8;
        let mut at = 0;
        while at < out.len() {
            let (mut rest, column) = ((start + at) / width, (start + at) % width);
            let mut from = column * step;
            for (size, stride) in self.shape.iter().zip(&operand.strides).rev().skip(1) {
                from += rest % size * stride;
                rest /= size;
            }
            let len = (width - column).min(out.len() - at);
            let out = &mut out[at..at + len];
            at += len;
            match step {
                0 => {
                    T::widen(operand.ty, &source[from * size..][..size], &mut out[..1]);
                    out.fill(out[0]);
                }
                1 => T::widen(operand.ty, &source[from * size..][..len * size], out),
                _ => {
                    for (i, out) in out.chunks_mut(1).enumerate() {
                        T::widen(operand.ty, &source[(from + i * step) * size..][..size], out);
                    }
                }
            }
        }
    }
}

struct Chunk<'a> {
    of: &'a Pointwise,
    sources: &'a [&'a [u8]],
    dst: &'a mut [u8],
    start: usize,
    len: usize,
}

impl Kernel for Chunk<'_> {
    /// False after a division of integers by zero.
    type Out = bool;
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> bool {
        match self.of.wide {
            Wide::F32 => self.compute::<f32>(),
            Wide::F64 => self.compute::<f64>(),
            Wide::I64 => self.compute::<i64>(),
        }
    }
}

impl Chunk<'_> {
    #[inline(always)]
    fn compute<T: Widened + Number>(self) -> bool {
        let mut memory = [[T::default(); CHUNK]; MOST];
        for ((operand, source), out) in self.of.operands.iter().zip(self.sources).zip(&mut memory) {
            self.of.load(operand, source, self.start, &mut out[..self.len]);
        }
        let mut operands = memory.each_mut().map(|operand| &mut operand[..self.len]);
        let fine = T::compute(&self.of.function, &mut operands);
        T::narrow(self.of.output, operands[0], self.dst);
        fine
    }
}

/// Numbers that functions are computed of. What computes is `#[inline(always)]` all the way, and loops are no
/// iterators' methods: what stayed a function of its own would lack the instruction set.
trait Number: Sized {
    /// The function of the operands, in place of the first; false after a division of integers by zero.
    fn compute(function: &Function, operands: &mut [&mut [Self]]) -> bool;
}

/// `x = f(x)`
#[inline(always)]
fn one<T: Copy>(operands: &mut [&mut [T]], f: impl Fn(T) -> T) -> bool {
    for x in operands[0].iter_mut() {
        *x = f(*x);
    }
    true
}

/// `a = f(a, b)`
#[inline(always)]
fn two<T: Copy>(operands: &mut [&mut [T]], f: impl Fn(T, T) -> T) -> bool {
    let [a, b, ..] = operands else { return true };
    for (a, b) in a.iter_mut().zip(b.iter()) {
        *a = f(*a, *b);
    }
    true
}

/// `a = f(a, b, c)`
#[inline(always)]
fn three<T: Copy>(operands: &mut [&mut [T]], f: impl Fn(T, T, T) -> T) -> bool {
    let [a, b, c, ..] = operands else { return true };
    for ((a, b), c) in a.iter_mut().zip(b.iter()).zip(c.iter()) {
        *a = f(*a, *b, *c);
    }
    true
}

/// `a = f(a, [b, c, d, e])`
#[inline(always)]
fn five<T: Copy>(operands: &mut [&mut [T]], f: impl Fn(T, [T; 4]) -> T) -> bool {
    let [a, b, c, d, e] = operands else { return true };
    let pairs = b.iter().zip(c.iter()).zip(d.iter().zip(e.iter()));
    for (a, ((b, c), (d, e))) in a.iter_mut().zip(pairs) {
        *a = f(*a, [*b, *c, *d, *e]);
    }
    true
}

/// The last four operands, where each is one number.
#[inline(always)]
fn limits(operands: &[&mut [f32]]) -> Option<[f32; 4]> {
    let first = std::array::from_fn(|i| operands[i + 1][0]);
    let mut same = true;
    for (operand, first) in operands[1..].iter().zip(first) {
        for x in operand.iter() {
            same &= *x == first;
        }
    }
    same.then_some(first)
}

#[inline(always)]
fn truth(t: bool) -> f32 {
    f32::from(u8::from(t))
}

impl Number for f32 {
    #[inline(always)]
    fn compute(function: &Function, operands: &mut [&mut [Self]]) -> bool {
        match *function {
            Function::Convert => true,
            Function::Unary(unary) => match unary {
                Unary::Abs => one(operands, f32::abs),
                Unary::Ceiling => one(operands, f32::ceil),
                Unary::Floor => one(operands, f32::floor),
                Unary::LogicalNot => one(operands, |x| truth(x == 0.0)),
                Unary::Negative => one(operands, |x| -x),
                Unary::Relu => one(operands, |x| if x < 0.0 { 0.0 } else { x }),
                Unary::Sign => one(operands, |x| if x.abs() > 0.0 { 1f32.copysign(x) } else { x }),
                Unary::SoftSign => one(operands, |x| x / (1.0 + x.abs())),
                Unary::Sqrt => one(operands, f32::sqrt),
                Unary::Sin | Unary::Cos => power::sines(operands[0], unary == Unary::Cos),
                _ => one(operands, |x| unary.apply(f64::from(x)) as f32),
            },
            Function::Clamp(min, max) => {
                let (min, max) = (min as f32, max as f32);
                one(operands, |x| {
                    if x < min {
                        min
                    } else if x > max {
                        max
                    } else {
                        x
                    }
                })
            }
            Function::Round(RoundMode::HalfToEven) => one(operands, f32::round_ties_even),
            Function::Round(RoundMode::HalfAwayFromZero) => one(operands, f32::round),
            Function::IsOneOf([nan, plus, minus, other]) => one(operands, |x| {
                truth(if x.is_nan() {
                    nan
                } else if x == f32::INFINITY {
                    plus
                } else if x == f32::NEG_INFINITY {
                    minus
                } else {
                    other
                })
            }),
            Function::Binary(kind) => match kind {
                BinaryKind::Add => two(operands, |a, b| a + b),
                BinaryKind::Subtract => two(operands, |a, b| a - b),
                BinaryKind::Multiply => two(operands, |a, b| a * b),
                BinaryKind::Divide => two(operands, |a, b| a / b),
                BinaryKind::Maximum => two(operands, |a, b| if a > b || a.is_nan() { a } else { b }),
                BinaryKind::Minimum => two(operands, |a, b| if a < b || a.is_nan() { a } else { b }),
                BinaryKind::SquaredDifference => two(operands, |a, b| (a - b) * (a - b)),
                BinaryKind::Equal => two(operands, |a, b| truth(a == b)),
                BinaryKind::NotEqual => two(operands, |a, b| truth(a != b)),
                BinaryKind::Greater => two(operands, |a, b| truth(a > b)),
                BinaryKind::GreaterEqual => two(operands, |a, b| truth(a >= b)),
                BinaryKind::Less => two(operands, |a, b| truth(a < b)),
                BinaryKind::LessEqual => two(operands, |a, b| truth(a <= b)),
                BinaryKind::LogicalAnd => two(operands, |a, b| truth((a != 0.0) & (b != 0.0))),
                BinaryKind::LogicalOr => two(operands, |a, b| truth((a != 0.0) | (b != 0.0))),
                BinaryKind::LogicalXor => two(operands, |a, b| truth((a != 0.0) != (b != 0.0))),
                BinaryKind::Power => {
                    let [a, b, ..] = operands else { return true };
                    power::powers(a, b)
                }
                BinaryKind::Mod | BinaryKind::FloorMod => {
                    two(operands, |a, b| kind.apply(f64::from(a), f64::from(b)) as f32)
                }
            },
            Function::Select => three(operands, |a, b, c| if a != 0.0 { b } else { c }),
            Function::PRelu => two(operands, |x, slope| if x < 0.0 { x * slope } else { x }),
            Function::FakeQuantize(ref quantize) => {
                let steps = quantize.levels as f32 - 1.0;
                let scales = |[low, high, to_low, to_high]: [f32; 4]| {
                    (steps / (high - low), (to_high - to_low) * (1.0 / steps))
                };
                let snap = |x: f32, [low, high, to_low, to_high]: [f32; 4], (scale, step): (f32, f32)| {
                    let y = ((x - low) * scale).round_ties_even() * step + to_low;
                    let y = if x <= low.min(high) { to_low } else { y };
                    if x > low.max(high) { to_high } else { y }
                };
                // Divided once where all limits are the same.
                match limits(operands) {
                    Some(limits) => {
                        let scales = scales(limits);
                        one(operands, |x| snap(x, limits, scales))
                    }
                    None => five(operands, |x, limits| snap(x, limits, scales(limits))),
                }
            }
            Function::Normalize(epsilon) => {
                let epsilon = epsilon as f32;
                five(operands, |x, [scale, shift, mean, variance]| {
                    (x - mean) * (scale / (variance + epsilon).sqrt()) + shift
                })
            }
        }
    }
}

impl Number for f64 {
    #[inline(always)]
    fn compute(function: &Function, operands: &mut [&mut [Self]]) -> bool {
        match *function {
            Function::Convert => true,
            Function::Unary(unary) => one(operands, |x| unary.apply(x)),
            Function::Clamp(min, max) => one(operands, |x| {
                if x < min {
                    min
                } else if x > max {
                    max
                } else {
                    x
                }
            }),
            Function::Round(RoundMode::HalfToEven) => one(operands, f64::round_ties_even),
            Function::Round(RoundMode::HalfAwayFromZero) => one(operands, f64::round),
            Function::IsOneOf([nan, plus, minus, other]) => one(operands, |x| {
                let is = match x {
                    _ if x.is_nan() => nan,
                    f64::INFINITY => plus,
                    f64::NEG_INFINITY => minus,
                    _ => other,
                };
                f64::from(u8::from(is))
            }),
            Function::Binary(kind) => two(operands, |a, b| kind.apply(a, b)),
            Function::Select => three(operands, |a, b, c| if a != 0.0 { b } else { c }),
            Function::PRelu => two(operands, |x, slope| if x < 0.0 { x * slope } else { x }),
            Function::FakeQuantize(ref quantize) => five(operands, |x, limits| quantize.apply(x, limits)),
            Function::Normalize(epsilon) => five(operands, |x, [scale, shift, mean, variance]| {
                (x - mean) * (scale / (variance + epsilon).sqrt()) + shift
            }),
        }
    }
}

impl Number for i64 {
    #[inline(always)]
    fn compute(function: &Function, operands: &mut [&mut [Self]]) -> bool {
        let truth = |t: bool| i64::from(t);
        match *function {
            Function::Unary(unary) => match unary {
                Unary::Abs => one(operands, i64::wrapping_abs),
                Unary::LogicalNot => one(operands, |x| truth(x == 0)),
                Unary::Negative => one(operands, i64::wrapping_neg),
                Unary::Relu => one(operands, |x| x.max(0)),
                Unary::Sign => one(operands, i64::signum),
                _ => true,
            },
            Function::Clamp(min, max) => {
                let (min, max) = (min.ceil() as i64, max.floor() as i64);
                one(operands, |x| x.max(min).min(max))
            }
            Function::Binary(kind) => match kind {
                BinaryKind::Add => two(operands, i64::wrapping_add),
                BinaryKind::Subtract => two(operands, i64::wrapping_sub),
                BinaryKind::Multiply => two(operands, i64::wrapping_mul),
                BinaryKind::Maximum => two(operands, i64::max),
                BinaryKind::Minimum => two(operands, i64::min),
                BinaryKind::SquaredDifference => {
                    two(operands, |a, b| a.wrapping_sub(b).wrapping_mul(a.wrapping_sub(b)))
                }
                BinaryKind::Equal => two(operands, |a, b| truth(a == b)),
                BinaryKind::NotEqual => two(operands, |a, b| truth(a != b)),
                BinaryKind::Greater => two(operands, |a, b| truth(a > b)),
                BinaryKind::GreaterEqual => two(operands, |a, b| truth(a >= b)),
                BinaryKind::Less => two(operands, |a, b| truth(a < b)),
                BinaryKind::LessEqual => two(operands, |a, b| truth(a <= b)),
                BinaryKind::LogicalAnd => two(operands, |a, b| truth((a != 0) & (b != 0))),
                BinaryKind::LogicalOr => two(operands, |a, b| truth((a != 0) | (b != 0))),
                BinaryKind::LogicalXor => two(operands, |a, b| truth((a != 0) != (b != 0))),
                BinaryKind::Divide | BinaryKind::Mod | BinaryKind::FloorMod | BinaryKind::Power => {
                    let [a, b, ..] = operands else { return true };
                    a.iter_mut().zip(&**b).all(|(a, b)| match kind.apply_integer(*a, *b) {
                        Some(y) => {
                            *a = y;
                            true
                        }
                        None => false,
                    })
                }
            },
            Function::Select => three(operands, |a, b, c| if a != 0 { b } else { c }),
            // Of integers these change nothing, or are not made.
            _ => true,
        }
    }
}
