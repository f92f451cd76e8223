//! Work over threads. What a part computes never depends on how many there are.

/// How many threads there are, and what work is worth one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Threads {
    /// The most.
    pub(super) count: usize,
    /// Multiplications, or values read, that are worth one.
    pub(super) worth: usize,
}

impl Threads {
    /// For so much work.
    pub(super) fn of(self, work: usize) -> usize {
        self.count.min(work / self.worth).max(1)
    }
}

/// Does the work of each part, the first on this thread and the others on threads of their own.
pub(super) fn each<T: Send>(parts: Vec<T>, work: impl Fn(T) + Sync) {
    let mut parts = parts.into_iter();
    let Some(own) = parts.next() else { return };
    std::thread::scope(|scope| {
        let work = &work;
        parts.for_each(|part| {
            scope.spawn(move || work(part));
        });
        work(own);
    });
}

/// Divides items of `width` values each: the number of the first item, and the values of each part.
pub(super) fn divide(values: &mut [u16], width: usize, parts: usize) -> Vec<(usize, &mut [u16])> {
    let items = (values.len() / width).div_ceil(parts).max(1);
    values.chunks_mut(items * width).enumerate().map(|(i, part)| (i * items, part)).collect()
}
