//! When the passes and transfers of a program happen: events in cycles, without a look at any data.
//!
//! Two things work at a time: the array with the kernels behind it, one pass after the other, and the card's memory, one
//! request after the other. Filters are read ahead of the array, as far as the filter cache has room. A pass waits for
//! transfers of words that it touches, and a transfer for passes.

use super::pass::Pass;
use crate::{architecture::Architecture, instruction::Transfer};
use std::{collections::VecDeque, ops::Range};

/// Passes, or transfers, whose words are remembered; of older ones it is remembered when the last of them ended.
const REMEMBERED: usize = 64;

/// Portions of filters of a pass that are looked at one by one; further ones have an even pace, set by what is slower.
/// No network has so many; a spoilt file may.
const LOOKED_AT: u64 = 1 << 12;

/// What works at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lane {
    /// The array and the kernels behind it.
    Array,
    /// The card's memory, for filters.
    Filters,
    /// The card's memory, for feature maps.
    Features,
}

/// Work for a layer, in cycles from the start of the inference.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Span {
    /// Who works.
    pub lane: Lane,
    /// The layer's number.
    pub layer: u16,
    /// When.
    pub cycles: Range<u64>,
}

/// Words of the stream buffer that are in use, and until when.
#[derive(Default)]
struct Uses {
    latest: VecDeque<(Range<u64>, u64)>,
    before: u64,
}

impl Uses {
    fn add(&mut self, words: Range<u64>, until: u64) {
        self.latest.push_back((words, until));
        if self.latest.len() > REMEMBERED {
            let (_, until) = self.latest.pop_front().expect("it was just found longer");
            self.before = self.before.max(until);
        }
    }

    /// When the words are free.
    fn free(&self, words: &Range<u64>) -> u64 {
        let meets = |used: &Range<u64>| used.start < words.end && words.start < used.end;
        let until = self.latest.iter().filter(|(used, _)| meets(used)).map(|(_, until)| *until);
        until.max().unwrap_or_default().max(self.before)
    }
}

/// The state of both.
pub(crate) struct Schedule {
    bytes_per_cycle: f64,
    word_bytes: u64,
    fill: u64,
    /// When the array is free.
    array_free: u64,
    /// Blocks that the filter cache has room for, for each of the K_vec filters: both halves.
    cache: u64,
    /// What lies in it: blocks, and until when; the oldest first.
    cached: VecDeque<(u64, u64)>,
    /// Blocks of all that lies in it.
    used: u64,
    /// When the card's memory is free.
    memory_free: u64,
    passes: Uses,
    transfers: Uses,
    pub(crate) spans: Vec<Span>,
}

impl Schedule {
    pub(crate) fn new(architecture: &Architecture) -> Self {
        Self {
            bytes_per_cycle: architecture.ddr_gb_s * 1e3 / architecture.clock_mhz,
            word_bytes: architecture.word_bytes().into(),
            fill: super::fill_cycles(architecture),
            array_free: 0,
            cache: 2 * u64::from(architecture.filter_depth),
            cached: VecDeque::new(),
            used: 0,
            memory_free: 0,
            passes: Uses::default(),
            transfers: Uses::default(),
            spans: Vec::new(),
        }
    }

    /// Cycles that the card's memory needs for so many bytes.
    pub(crate) fn memory_cycles(&self, bytes: u64) -> u64 {
        (bytes as f64 / self.bytes_per_cycle).ceil() as u64
    }

    pub(crate) fn pass(&mut self, pass: &Pass) {
        let cycles = pass.portion_cycles();
        let reading = self.memory_cycles(pass.portion_bytes);
        let ready = pass.touched.iter().map(|words| self.transfers.free(words)).max().unwrap_or_default();
        self.memory_free = self.memory_free.saturating_add(self.memory_cycles(pass.parameter_bytes));
        let read_start = self.memory_free;
        let mut start = None;
        let looked_at = pass.portions.min(LOOKED_AT);
        for _ in 0..looked_at {
            let room = self.room(pass.blocks);
            self.memory_free = self.memory_free.max(room).saturating_add(reading);
            let loaded = if pass.constant_bytes() > 0 { self.memory_free } else { 0 };
            let begin = self.array_free.max(loaded).max(ready);
            start.get_or_insert(begin);
            self.array_free = begin.saturating_add(cycles);
            if pass.blocks > 0 {
                self.cached.push_back((pass.blocks, self.array_free));
                self.used += pass.blocks;
            }
        }
        let rest = (pass.portions - looked_at).saturating_mul(cycles.max(reading));
        self.memory_free = self.memory_free.saturating_add(rest);
        self.array_free = self.array_free.saturating_add(rest);
        // The next pass reads what this one writes, so it waits until the pipeline is empty.
        self.array_free = self.array_free.saturating_add(self.fill);
        for words in &pass.touched {
            self.passes.add(words.clone(), self.array_free);
        }
        let start = start.unwrap_or(self.array_free);
        let span = |lane, cycles| Span { lane, layer: pass.layer, cycles };
        self.spans.push(span(Lane::Array, start..self.array_free));
        if pass.constant_bytes() > 0 {
            self.spans.push(span(Lane::Filters, read_start..self.memory_free));
        }
    }

    /// When the filter cache has room for a portion of so many blocks.
    fn room(&mut self, blocks: u64) -> u64 {
        let mut free = 0;
        while self.used + blocks > self.cache
            && let Some((left, until)) = self.cached.pop_front()
        {
            self.used -= left;
            free = until;
        }
        free
    }

    pub(crate) fn transfer(&mut self, transfer: &Transfer) {
        let first = u64::from(transfer.stream);
        let words = first..first + u64::from(transfer.count);
        let start = self.memory_free.max(self.passes.free(&words));
        self.memory_free =
            start.saturating_add(self.memory_cycles(u64::from(transfer.count) * self.word_bytes));
        self.transfers.add(words, self.memory_free);
        self.spans.push(Span {
            lane: Lane::Features,
            layer: transfer.layer,
            cycles: start..self.memory_free,
        });
    }

    /// When everything so far has ended.
    pub(crate) fn end(&self) -> u64 {
        self.array_free.max(self.memory_free)
    }
}
