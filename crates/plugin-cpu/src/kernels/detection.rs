//! The tail of single-shot detectors: boxes decoded, the best of each class, the best of each image.

use super::suppress::{Corners, best, index, key, scratch, suppress};
use crate::{
    isa::Isa,
    pool::{Pool, Shards},
};
use ir::op::DetectionOutput;

/// Classes whose confidences are gone through together: those of a cache line.
const GROUP: usize = 16;

/// A detection, ready to run.
pub(crate) struct Detection {
    pub(crate) isa: Isa,
    /// Its parameters.
    pub(crate) op: DetectionOutput,
    pub(crate) images: usize,
    pub(crate) priors: usize,
    pub(crate) classes: usize,
    /// Each image has priors of its own.
    pub(crate) own_priors: bool,
    /// Threads that can have memory to work in.
    pub(crate) threads: usize,
}

/// Memory to work in.
pub(crate) struct Scratch<'a> {
    pub(crate) boxes: &'a mut [f32],
    pub(crate) candidates: &'a mut [u64],
    pub(crate) kept: &'a mut [f32],
    pub(crate) winners: &'a mut [u64],
    pub(crate) counts: &'a mut [u32],
}

impl Detection {
    /// Sets of boxes.
    fn sets(&self) -> usize {
        if self.op.share_location { 1 } else { self.classes }
    }

    /// The most boxes of an image.
    fn keep(&self) -> usize {
        usize::try_from(self.op.keep_top_k[0]).unwrap_or(usize::MAX)
    }

    /// The most boxes of a class: no more can be among the best of all.
    fn most(&self) -> usize {
        let top = usize::try_from(self.op.top_k).unwrap_or(usize::MAX);
        self.priors.min(top).min(self.keep())
    }

    fn group(&self) -> usize {
        self.classes.div_ceil(self.threads).min(GROUP)
    }

    /// The elements of each part of [`Scratch`].
    pub(crate) fn scratch(&self) -> [usize; 5] {
        let winners = self.images * self.classes * self.most();
        [
            self.images * self.sets() * self.priors * 4,
            self.threads * self.group() * self.priors,
            self.threads * scratch(self.most()),
            winners,
            self.images * self.classes * 2,
        ]
    }

    /// Runs it on changes, confidences and priors.
    ///
    /// # Panics
    /// If a slice is too short.
    pub(crate) fn run(
        &self,
        pool: &mut Pool,
        [changes, scores, priors]: [&[f32]; 3],
        dst: &mut [f32],
        memory: Scratch,
    ) {
        self.decode(pool, changes, priors, memory.boxes);
        self.pick(pool, scores, memory.boxes, memory.candidates, memory.kept, memory.winners, memory.counts);
        let mut written = 0;
        for image in 0..self.images {
            let most = self.most();
            let winners = &memory.winners[image * self.classes * most..][..self.classes * most];
            let counts = &mut memory.counts[image * self.classes * 2..][..self.classes * 2];
            let (counts, taken) = counts.split_at_mut(self.classes);
            self.keep_best(winners, counts, taken);
            for (class, taken) in taken.iter().enumerate() {
                for winner in &winners[class * most..][..*taken as usize] {
                    let prior = index(*winner);
                    let corners = corners(memory.boxes, self.place(image, class), self.priors, prior);
                    let clip = |v: f32| if self.op.clip_after_nms { v.clamp(0.0, 1.0) } else { v };
                    let score = scores[(image * self.priors + prior) * self.classes + class];
                    let [left, top, right, bottom] = corners.map(clip);
                    let row = [image as f32, class as f32, score, left, top, right, bottom];
                    dst[written..written + 7].copy_from_slice(&row);
                    written += 7;
                }
            }
        }
        dst[written..].fill(0.0);
        if let Some(end) = dst.get_mut(written) {
            *end = -1.0;
        }
    }

    /// Which set of boxes is a class's.
    fn place(&self, image: usize, class: usize) -> usize {
        if self.op.share_location { image } else { image * self.classes + class }
    }

    fn decode(&self, pool: &mut Pool, changes: &[f32], priors: &[f32], boxes: &mut [f32]) {
        let (size, sets, count) = (self.op.prior_size(), self.sets(), self.priors);
        let encoded = self.op.variance_encoded_in_target;
        let each = count * size * if encoded { 1 } else { 2 };
        assert!(priors.len() >= each * if self.own_priors { self.images } else { 1 });
        assert!(changes.len() == self.images * count * sets * 4 && boxes.len() >= changes.len());
        let out = Shards::new(boxes);
        pool.run(&|share| {
            for at in share.part(self.images * count) {
                let (image, prior) = (at / count, at % count);
                let own = &priors[if self.own_priors { image * each } else { 0 }..][..each];
                let numbers = &own[prior * size..][..size];
                let variance = match encoded {
                    true => [1.0; 4],
                    false => std::array::from_fn(|i| own[count * size + prior * 4 + i]),
                };
                for set in 0..sets {
                    let change = std::array::from_fn(|i| changes[(at * sets + set) * 4 + i]);
                    let corners = self.op.decode(numbers, variance, change);
                    let to = ((image * sets + set) * count + prior) * 4;
                    // SAFETY: a box of this thread's own, within `boxes` by the assertion.
                    unsafe { out.get().add(to).cast::<Corners>().write_unaligned(corners) };
                }
            }
        });
    }

    /// The best of each class of each image.
    #[expect(clippy::too_many_arguments, reason = "the parts of the memory to work in")]
    fn pick(
        &self,
        pool: &mut Pool,
        scores: &[f32],
        boxes: &[f32],
        candidates: &mut [u64],
        kept: &mut [f32],
        winners: &mut [u64],
        counts: &mut [u32],
    ) {
        let (most, group, priors, classes) = (self.most(), self.group(), self.priors, self.classes);
        let [_, own, own_kept, all, numbers] = self.scratch();
        assert!(candidates.len() >= own && kept.len() >= own_kept && winners.len() >= all);
        assert!(counts.len() >= numbers && scores.len() == self.images * priors * classes);
        let (own, own_kept) = (group * priors, scratch(most));
        let groups = classes.div_ceil(group);
        let top = usize::try_from(self.op.top_k).unwrap_or(usize::MAX);
        let background = |class: usize| class as i64 == self.op.background_label_id;
        let (candidates, kept) = (Shards::new(candidates), Shards::new(kept));
        let (winners, counts) = (Shards::new(winners), Shards::new(counts));
        pool.run(&|share| {
            let Some(share) = share.among(self.threads) else { return };
            // SAFETY: each of the threads has memory of its own, of the lengths asserted.
            let (candidates, kept) = unsafe {
                let candidates =
                    std::slice::from_raw_parts_mut(candidates.get().add(share.index() * own), own);
                (
                    candidates,
                    std::slice::from_raw_parts_mut(kept.get().add(share.index() * own_kept), own_kept),
                )
            };
            for at in share.part(self.images * groups) {
                let (image, first) = (at / groups, at % groups * group);
                let here = group.min(classes - first);
                let mut found = [0usize; GROUP];
                let rows = scores[image * priors * classes..][..priors * classes].chunks_exact(classes);
                for (prior, row) in rows.enumerate() {
                    for (i, score) in row[first..first + here].iter().enumerate() {
                        if *score > self.op.confidence_threshold && !background(first + i) {
                            candidates[i * priors + found[i]] = key(*score, prior);
                            found[i] += 1;
                        }
                    }
                }
                for i in 0..here {
                    let class = first + i;
                    let keys = &mut candidates[i * priors..][..found[i]];
                    let count = best(keys, top);
                    let place = self.place(image, class);
                    let corners = |prior: usize| corners(boxes, place, priors, prior);
                    // SAFETY: the row of this class, which is this thread's, within both by the assertions.
                    let (to, number) = unsafe {
                        let row = image * classes + class;
                        let to = std::slice::from_raw_parts_mut(winners.get().add(row * most), most);
                        (to, &mut *counts.get().add(image * classes * 2 + class))
                    };
                    let threshold = self.op.nms_threshold;
                    *number = suppress(self.isa, &keys[..count], corners, threshold, to, kept) as u32;
                }
            }
        });
    }

    /// How many of each class are among the best of an image.
    fn keep_best(&self, winners: &[u64], counts: &[u32], taken: &mut [u32]) {
        let total: u64 = counts.iter().map(|count| u64::from(*count)).sum();
        if total <= self.keep() as u64 {
            taken.copy_from_slice(counts);
            return;
        }
        taken.fill(0);
        for _ in 0..self.keep() {
            let next = |class: usize| {
                let left = taken[class] < counts[class];
                left.then(|| (winners[class * self.most() + taken[class] as usize], class))
            };
            let Some((_, class)) = (0..self.classes).filter_map(next).min() else { break };
            taken[class] += 1;
        }
    }
}

/// A box of a set.
fn corners(boxes: &[f32], set: usize, priors: usize, prior: usize) -> Corners {
    std::array::from_fn(|i| boxes[(set * priors + prior) * 4 + i])
}
