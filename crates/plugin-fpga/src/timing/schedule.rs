//! When the passes and transfers of a program happen: events in cycles, without a look at any data.
//!
//! Three things work at a time: the array with the kernels behind it (in order, one pass after the other), the reader of
//! filters (one portion ahead: the cache has two halves), and the mover of feature maps. The two that use the card's
//! memory have a bank each. A pass waits for transfers of words that it touches, and a transfer for passes.

use super::pass::Pass;
use crate::{architecture::Architecture, instruction::Transfer};
use std::{collections::VecDeque, ops::Range};

/// Passes, or transfers, whose words are remembered; of older ones it is remembered when the last of them ended.
const REMEMBERED: usize = 64;

/// What works at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lane {
    /// The array and the kernels behind it.
    Array,
    /// The reader of filters.
    Filters,
    /// The mover of feature maps between the card's memory and the stream buffer.
    Features,
}

/// Work of a lane for a layer, in cycles from the start of the inference.
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

/// The state of the three lanes.
pub(crate) struct Schedule {
    bytes_per_cycle: f64,
    word_bytes: u64,
    fill: u64,
    array_free: u64,
    /// When the reader of filters is free.
    read: u64,
    /// When the portions before this one have left the cache: the last, and the one before it.
    left: [u64; 2],
    moved: u64,
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
            read: 0,
            left: [0; 2],
            moved: 0,
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
        let read_start = self.read.max(self.left[0]);
        let mut start = None;
        self.read = self.read.saturating_add(self.memory_cycles(pass.parameter_bytes));
        // Within a few portions the slower of the two sets the pace: then the rest need no look.
        let looked_at = pass.portions.min(8);
        for _ in 0..looked_at {
            self.read = self.read.max(self.left[0]).saturating_add(reading);
            let begin = self.array_free.max(self.read).max(ready);
            start.get_or_insert(begin);
            self.array_free = begin.saturating_add(cycles);
            self.left = [self.left[1], self.array_free];
        }
        let rest = (pass.portions - looked_at).saturating_mul(cycles.max(reading));
        self.read = self.read.saturating_add(rest);
        self.array_free = self.array_free.saturating_add(rest);
        self.left = self.left.map(|left| left.saturating_add(rest));
        // The next pass reads what this one writes, so it waits until the pipeline is empty.
        self.array_free = self.array_free.saturating_add(self.fill);
        for words in &pass.touched {
            self.passes.add(words.clone(), self.array_free);
        }
        let start = start.unwrap_or(self.array_free);
        let span = |lane, cycles| Span { lane, layer: pass.layer, cycles };
        self.spans.push(span(Lane::Array, start..self.array_free));
        if pass.constant_bytes() > 0 {
            self.spans.push(span(Lane::Filters, read_start.min(self.read)..self.read));
        }
    }

    pub(crate) fn transfer(&mut self, transfer: &Transfer) {
        let first = u64::from(transfer.stream);
        let words = first..first + u64::from(transfer.count);
        let start = self.moved.max(self.passes.free(&words));
        self.moved = start.saturating_add(self.memory_cycles(u64::from(transfer.count) * self.word_bytes));
        self.transfers.add(words, self.moved);
        self.spans.push(Span { lane: Lane::Features, layer: transfer.layer, cycles: start..self.moved });
    }

    /// When everything so far has ended.
    pub(crate) fn end(&self) -> u64 {
        self.array_free.max(self.moved)
    }
}
