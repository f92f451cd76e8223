//! Where the tensors of an inference lie: the arena, the caller's inputs and outputs, the plan's constants.

/// A tensor as a step sees it: a place, and the distance between the images of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct View {
    /// The value, by number; places are known once all steps are.
    pub(crate) value: usize,
    /// Which memory.
    pub(crate) base: usize,
    /// Bytes from its beginning.
    pub(crate) offset: usize,
    /// Elements between images.
    pub(crate) batch: usize,
}

/// The memory of one inference. Base 0 is the arena; inputs, outputs and constants follow.
#[derive(Default)]
pub(crate) struct Memory {
    bases: Vec<*mut u8>,
}

// SAFETY: the pointers are to memory that the request holds for the time of the run; which thread writes what is the
// steps' contract: disjoint parts of a destination, nobody reading it before the barrier.
unsafe impl Sync for Memory {}
// SAFETY: as above.
unsafe impl Send for Memory {}

impl Memory {
    /// Forgets the last inference.
    pub(crate) fn start(&mut self, arena: &mut [u8]) {
        self.bases.clear();
        self.bases.push(arena.as_mut_ptr());
    }

    /// The next base, to read only.
    pub(crate) fn push_source(&mut self, bytes: &[u8]) {
        self.bases.push(bytes.as_ptr().cast_mut());
    }

    /// The next base.
    pub(crate) fn push_target(&mut self, bytes: &mut [u8]) {
        self.bases.push(bytes.as_mut_ptr());
    }

    /// The first element of a view.
    pub(crate) fn at<T>(&self, view: View) -> *mut T {
        self.bases[view.base].wrapping_add(view.offset).cast()
    }
}
