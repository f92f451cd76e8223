//! Kernels: what a plan's steps run. Each takes plain slices and the pool of the stream it runs on.
//!
//! Blocked layout: `[N, ceil(C / b), H, W, b]` with `b` = [`Isa::block`](crate::isa::Isa::block); the channels
//! beyond `C` in the last block are zero.

pub(crate) mod conv;
#[cfg(test)]
mod conv_tests;
mod conv_tile;
pub(crate) mod math;
pub(crate) mod post;

// Steps: kernels with everything they need but the memory. What they find in the channels beyond `C` reaches no other
// lane, and what they leave there is anything.
pub(crate) mod dense;
pub(crate) mod depthwise;
pub(crate) mod direct;
pub(crate) mod eltwise;
mod epilogue;
pub(crate) mod layout;
pub(crate) mod pooling;
pub(crate) mod softmax;

pub(crate) use crate::memory::View;
pub(crate) use epilogue::{Mapped, Post};

use crate::{
    isa::{Isa, Kernel, Simd},
    memory::Memory,
    pool,
};
use ir::AlignedBytes;
use std::{marker::PhantomData, sync::Arc};

/// One thread's share of the work: part `index` of `count`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Part {
    pub(crate) index: usize,
    pub(crate) count: usize,
}

impl Part {
    /// This part's share of `items`, contiguous.
    pub(crate) fn of(self, items: usize) -> std::ops::Range<usize> {
        pool::part(items, self.index, self.count)
    }
}

/// A kernel that plans hold by address, one instance for each instruction set.
pub(crate) trait Routine {
    /// What it works on.
    type Args;

    /// Computes. Implementations are `#[inline(always)]`, as for [`Kernel`].
    ///
    /// # Safety
    /// The pointers in `args` are valid for what the routine reads and writes.
    unsafe fn run<S: Simd>(s: S, args: &Self::Args);
}

/// The address of a [`Routine`], and the instruction set to run it with.
pub(crate) struct Entry<A> {
    isa: Isa,
    call: unsafe fn(Isa, &A),
}

impl<A> Clone for Entry<A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for Entry<A> {}

impl<A> Entry<A> {
    /// Runs it.
    ///
    /// # Safety
    /// As for [`Routine::run`].
    pub(crate) unsafe fn call(&self, args: &A) {
        // SAFETY: the caller's.
        unsafe { (self.call)(self.isa, args) }
    }
}

/// The address of `K` for an instruction set.
pub(crate) fn entry<K: Routine>(isa: Isa) -> Entry<K::Args> {
    struct Call<'a, K: Routine>(&'a K::Args, PhantomData<K>);

    impl<K: Routine> Kernel for Call<'_, K> {
        type Out = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            // SAFETY: whoever calls the entry keeps the routine's contract.
            unsafe { K::run(s, self.0) }
        }
    }

    unsafe fn call<K: Routine>(isa: Isa, args: &K::Args) {
        isa.dispatch(Call::<K>(args, PhantomData));
    }
    Entry { isa, call: call::<K> }
}

/// Vectors that stay in registers.
fn registers(isa: Isa) -> usize {
    match isa.name() {
        "avx512" => 32,
        "avx2" => 16,
        // Sixteen, of half the length.
        _ => 8,
    }
}

/// One step of a plan: a kernel with everything it needs but the memory.
pub(crate) trait Step: Send + Sync {
    /// The tensors that it reads and writes, to be given places.
    fn views(&mut self) -> Vec<&mut View>;

    /// The kernel's name, for profiles.
    fn name(&self) -> String;

    /// Computes one part. Parts of the same step may run at the same time; together they write the destination, each
    /// element once and the same way for any number of parts.
    fn run(&self, memory: &Memory, part: Part);
}

/// Weights and other numbers of a kernel, at a multiple of 64 bytes; shared by the plans of a model.
#[derive(Clone)]
pub(crate) struct Floats(Arc<AlignedBytes>);

impl Floats {
    /// `len` floats that `fill` writes, zeros where it doesn't.
    pub(crate) fn new(len: usize, fill: impl FnOnce(&mut [f32])) -> Self {
        let mut bytes = ir::aligned_zeros(len * 4);
        fill(bytemuck::cast_slice_mut(&mut bytes));
        Self(Arc::new(bytes))
    }

    /// The first of them.
    pub(crate) fn as_ptr(&self) -> *const f32 {
        self.0.as_ptr().cast()
    }
}

#[cfg(test)]
mod tests;
