//! What lies in the stream buffer when: whole maps as long as they are used, best fit; the one that is used last goes to
//! memory when there is no room; a pass that does not fit runs in slices of rows.

use super::{
    buffer::Buffer,
    image::Span,
    passes::{Pass, TensorId},
    placement::Placed,
};
use crate::instruction::Map;
use std::{collections::HashMap, ops::Range};

/// One step of the program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Move {
    /// From memory to the stream buffer, for a pass.
    Load(Words),
    /// From the stream buffer to memory, for a pass.
    Store(Words),
    /// A pass, or a slice of it.
    Run(Run),
}

/// Words in both memories.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Words {
    pub(crate) pass: usize,
    pub(crate) stream: u32,
    pub(crate) memory: u32,
    pub(crate) count: u32,
}

/// Rows of a pass, and where its maps lie.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Run {
    pub(crate) pass: usize,
    pub(crate) rows: Rows,
    /// What it reads, in the order of [`Pass::reads`].
    pub(crate) reads: Vec<Map>,
    pub(crate) output: Map,
}

/// The rows that rows of a pass's output come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Rows {
    pub(crate) output: Range<usize>,
    /// Of what the array gives, and the padding that the window behind it has then.
    pub(crate) middle: Range<usize>,
    pub(crate) after_pad: usize,
    pub(crate) input: Range<usize>,
    /// The padding that the filters have then.
    pub(crate) array_pad: usize,
}

impl Rows {
    fn new(pass: &Pass, output: Range<usize>, in_height: usize) -> Self {
        let pool = pass.after.as_ref().and_then(|after| after.pool.as_ref());
        let span = pool.map_or(Span::ONE, |pool| pool.spans[0]);
        let middle_height = pass.array.as_ref().map_or(in_height, |array| array.sizes[0]);
        let (middle, after_pad) = span.reads(&output, middle_height);
        let (input, array_pad) = match &pass.array {
            Some(array) => array.filters.spans[0].reads(&middle, in_height),
            None => (middle.clone(), 0),
        };
        Self { output, middle, after_pad, input, array_pad }
    }
}

/// A pass that does not fit, even row by row.
#[derive(Debug)]
pub(crate) struct NoRoom {
    pub(crate) pass: usize,
    /// Words that its least slice takes.
    pub(crate) needed: usize,
}

/// The program, still without constants.
pub(crate) struct Schedule {
    pub(crate) moves: Vec<Move>,
    /// Words of the features' memory.
    pub(crate) feature_words: u64,
    /// Where the inputs and outputs of the model, and what is spilled, lie there.
    pub(crate) memory: HashMap<TensorId, u32>,
}

/// A map in words of its own while the schedule is made.
#[derive(Default)]
struct Root {
    words: u32,
    pitch: usize,
    width: usize,
    /// The passes that use it.
    touched: Vec<usize>,
    is_output: bool,
    /// Its address in the stream buffer.
    resident: Option<u32>,
    /// Something has been written into it.
    has_data: bool,
    /// The stream buffer knows more than the memory.
    is_dirty: bool,
}

struct Scheduler<'p> {
    placed: &'p Placed,
    buffer: Buffer,
    roots: HashMap<TensorId, Root>,
    moves: Vec<Move>,
    memory: HashMap<TensorId, u32>,
    feature_words: u64,
}

impl Scheduler<'_> {
    /// The address of a map in memory.
    fn memory(&mut self, root: TensorId) -> u32 {
        let (words, next) = (self.roots[&root].words, &mut self.feature_words);
        *self.memory.entry(root).or_insert_with(|| {
            let address = *next;
            *next += u64::from(words);
            // Programs beyond 2^32 words are refused when the schedule is complete.
            address as u32
        })
    }

    fn root(&mut self, root: TensorId) -> &mut Root {
        self.roots.get_mut(&root).expect("every tensor of a pass has a root")
    }

    fn whole(&mut self, pass: usize, root: TensorId, stream: u32) -> Words {
        Words { pass, stream, memory: self.memory(root), count: self.roots[&root].words }
    }

    /// Gives the words of a map back; memory keeps what is still used.
    fn evict(&mut self, pass: usize, root: TensorId) {
        let Some(stream) = self.root(root).resident.take() else { return };
        if std::mem::take(&mut self.root(root).is_dirty) {
            let words = self.whole(pass, root, stream);
            self.moves.push(Move::Store(words));
        }
        self.buffer.give(stream);
    }

    /// All maps that lie in the stream buffer, in the order of their addresses.
    fn residents(&self) -> Vec<TensorId> {
        let mut all: Vec<TensorId> = self.roots.keys().copied().collect();
        all.retain(|root| self.roots[root].resident.is_some());
        all.sort_unstable_by_key(|root| self.roots[root].resident);
        all
    }

    fn evict_all(&mut self, pass: usize) {
        for root in self.residents() {
            self.evict(pass, root);
        }
    }

    /// Brings a map into the stream buffer, where those of `needed` stay.
    fn bring(&mut self, pass: usize, root: TensorId, needed: &[TensorId]) -> Option<()> {
        if self.roots[&root].resident.is_some() {
            return Some(());
        }
        let words = self.roots[&root].words;
        let stream = loop {
            if let Some(address) = self.buffer.take(words) {
                break address;
            }
            let next =
                |other: &TensorId| self.roots[other].touched.iter().find(|use_| **use_ > pass).copied();
            let others = self.residents().into_iter().filter(|other| !needed.contains(other));
            let victim = others.max_by_key(|other| next(other).unwrap_or(usize::MAX))?;
            self.evict(pass, victim);
        };
        self.root(root).resident = Some(stream);
        if self.roots[&root].has_data {
            let words = self.whole(pass, root, stream);
            self.moves.push(Move::Load(words));
        }
        Some(())
    }

    fn map(&self, tensor: TensorId, start: u32) -> Map {
        let (root, word) = self.placed.root(tensor);
        Map { address: start + word as u32, pitch: self.roots[&root].pitch as u16 }
    }

    /// A pass whose maps lie in the stream buffer as wholes.
    fn run_whole(&mut self, index: usize, needed: &[TensorId]) {
        let pass = &self.placed.passes[index];
        if needed.iter().any(|root| self.bring(index, *root, needed).is_none()) {
            // There is room, but in pieces.
            self.evict_all(index);
            let brought = needed.iter().all(|root| self.bring(index, *root, needed).is_some());
            debug_assert!(brought, "an empty buffer has room for what fits");
        }
        let tensors = &self.placed.tensors;
        let rows = Rows::new(pass, 0..tensors[pass.output].image.height, tensors[pass.input].image.height);
        let map = |tensor: TensorId| {
            let start = self.roots[&self.placed.root(tensor).0].resident;
            self.map(tensor, start.expect("it was brought"))
        };
        let reads = pass.reads().into_iter().map(map).collect();
        let output = map(pass.output);
        self.moves.push(Move::Run(Run { pass: index, rows, reads, output }));
        let root = self.placed.root(pass.output).0;
        let written = self.root(root);
        (written.has_data, written.is_dirty) = (true, true);
    }

    /// Rows of each map that a slice takes: what it reads, then what it writes.
    fn slice(&self, pass: &Pass, rows: &Rows) -> Vec<(TensorId, Range<usize>)> {
        let mut all = vec![(pass.input, rows.input.clone())];
        all.extend(pass.array.as_ref().and_then(|array| array.addend).map(|(t, _)| (t, rows.middle.clone())));
        all.extend(pass.after.as_ref().and_then(|after| after.addend).map(|(t, _)| (t, rows.output.clone())));
        all.push((pass.output, rows.output.clone()));
        all
    }

    fn row_words(&self, tensor: TensorId) -> usize {
        let root = &self.roots[&self.placed.root(tensor).0];
        root.width * root.pitch
    }

    /// A pass row by row, as many at once as fit; its maps lie in memory.
    fn run_slices(&mut self, index: usize) -> Result<(), NoRoom> {
        let pass = &self.placed.passes[index];
        let tensors = &self.placed.tensors;
        let (height, in_height) = (tensors[pass.output].image.height, tensors[pass.input].image.height);
        let pool = pass.after.as_ref().and_then(|after| after.pool.as_ref());
        let unit = pool.map_or(1, |pool| pool.spans[0].repeat);
        let slices = |rows: usize| {
            let starts = (0..height).step_by(rows);
            starts.map(move |start| Rows::new(pass, start..(start + rows).min(height), in_height))
        };
        let words = |rows: &Rows| -> usize {
            self.slice(pass, rows).iter().map(|(tensor, rows)| rows.len() * self.row_words(*tensor)).sum()
        };
        let needed = |rows: usize| slices(rows).map(|rows| words(&rows)).max().unwrap_or(0);
        let sizes = (1..=height).map(|count| height.div_ceil(count).next_multiple_of(unit));
        let fits = |rows: &usize| needed(*rows) <= self.buffer.words() as usize;
        let is_whole = pool.is_some_and(|pool| pool.is_whole());
        let Some(rows) = sizes.filter(|_| !is_whole).find(fits) else {
            let least = if is_whole { height } else { unit };
            return Err(NoRoom { pass: index, needed: needed(least) });
        };
        let slices: Vec<Rows> = slices(rows).collect();
        self.evict_all(index);
        for rows in slices {
            let mut start = 0;
            let all = self.slice(pass, &rows);
            let (mut maps, last) = (Vec::new(), all.len() - 1);
            for (at, (tensor, range)) in all.iter().enumerate() {
                let root = self.placed.root(*tensor).0;
                let row = self.row_words(*tensor);
                let words = Words {
                    pass: index,
                    stream: start,
                    memory: self.memory(root).wrapping_add((range.start * row) as u32),
                    count: (range.len() * row) as u32,
                };
                maps.push((self.map(*tensor, start), words));
                start += words.count;
                // Of a map that others write into too, the rest of these rows is kept.
                if at < last || self.roots[&root].has_data {
                    self.moves.push(Move::Load(words));
                }
            }
            let (output, words) = maps.pop().expect("a pass has an output");
            let reads = maps.into_iter().map(|(map, _)| map).collect();
            self.moves.push(Move::Run(Run { pass: index, rows, reads, output }));
            self.moves.push(Move::Store(words));
        }
        let root = self.placed.root(pass.output).0;
        self.root(root).has_data = true;
        Ok(())
    }

    fn run(&mut self, index: usize) -> Result<(), NoRoom> {
        let needed = touched(self.placed, index);
        let sum: u64 = needed.iter().map(|root| u64::from(self.roots[root].words)).sum();
        if sum <= u64::from(self.buffer.words()) {
            self.run_whole(index, &needed);
        } else {
            self.run_slices(index)?;
        }
        for root in needed {
            let own = &mut self.roots.get_mut(&root).expect("it is there");
            if own.touched.last() == Some(&index) {
                // Nobody reads it again but the host.
                own.is_dirty &= own.is_output;
                self.evict(index, root);
            }
        }
        Ok(())
    }
}

/// The maps that a pass uses, each once.
fn touched(placed: &Placed, index: usize) -> Vec<TensorId> {
    let pass = &placed.passes[index];
    let mut roots: Vec<TensorId> = Vec::new();
    for tensor in pass.reads().into_iter().chain([pass.output]) {
        let root = placed.root(tensor).0;
        if !roots.contains(&root) {
            roots.push(root);
        }
    }
    roots
}

/// Orders what passes need, for a stream buffer of `words` words of `vector` values.
pub(crate) fn schedule(placed: &Placed, words: u32, vector: usize) -> Result<Schedule, NoRoom> {
    let mut roots: HashMap<TensorId, Root> = HashMap::new();
    let mut root = |tensor: TensorId| {
        let image = &placed.tensors[tensor].image;
        let pitch = image.lanes.blocks(vector);
        let words = u32::try_from(image.height * image.width * pitch).unwrap_or(u32::MAX);
        roots.entry(tensor).or_insert(Root { words, pitch, width: image.width, ..Root::default() });
    };
    placed.inputs.iter().chain(&placed.outputs).for_each(|(_, tensor)| root(*tensor));
    for index in 0..placed.passes.len() {
        touched(placed, index).into_iter().for_each(&mut root);
    }
    for index in 0..placed.passes.len() {
        for root in touched(placed, index) {
            roots.get_mut(&root).expect("it is there").touched.push(index);
        }
    }
    let buffer = Buffer::new(words);
    let (moves, memory) = (Vec::new(), HashMap::new());
    let mut scheduler = Scheduler { placed, buffer, roots, moves, memory, feature_words: 0 };
    for (_, tensor) in &placed.inputs {
        scheduler.memory(*tensor);
        scheduler.root(*tensor).has_data = true;
    }
    for (_, tensor) in &placed.outputs {
        scheduler.memory(*tensor);
        scheduler.root(*tensor).is_output = true;
    }
    for index in 0..placed.passes.len() {
        scheduler.run(index)?;
    }
    let Scheduler { moves, memory, feature_words, .. } = scheduler;
    Ok(Schedule { moves, feature_words, memory })
}
