//! The simulator: it runs programs bit by bit as `SPEC.md` says, with the integers of the processor. It knows nothing of
//! time; that is the cycle model's.

mod activation;
mod auxiliary;
mod convolve;
mod filters;
mod instruction_sets;
mod memory;
mod threads;

pub use instruction_sets::InstructionSet;

use crate::{
    architecture::Architecture,
    executor::{CardMemory, Counters, Executor, ExecutorError, Loaded},
    instruction::{Convolve, Instruction, Map, Transfer},
    program::Program,
    ranges::{FilterLayout, check},
};
use auxiliary::{Input, Kernels};
use convolve::{Blocks, Convolution};
use filters::{Filters, unpacked_bytes};
use memory::SimulatedMemory;
use std::{any::Any, collections::HashMap, sync::Arc, time::Instant};
use threads::Threads;

/// Repacked filters may be larger than the constants: an i16 for a byte, 16 channels for 2. No program with filters of
/// its own for each layer goes beyond this factor.
const UNPACKED_FACTOR: u64 = 32;
/// What small programs may take beyond it.
const UNPACKED_FLOOR: u64 = 1 << 20;

/// Multiplications, or values read, that take longer than starting a thread.
const WORTH_A_THREAD: usize = 1 << 19;

/// An [`Executor`] on the host's processor.
#[derive(Clone, Copy, Debug)]
pub struct Simulator {
    set: InstructionSet,
    threads: Threads,
}

impl Simulator {
    /// With the fastest instructions, on all cores where an instruction is worth it.
    pub fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { set: InstructionSet::best(), threads: Threads { count: cores, worth: WORTH_A_THREAD } }
    }

    /// With these instructions. The bits are the same.
    pub fn with_instruction_set(self, set: InstructionSet) -> Self {
        Self { set, ..self }
    }

    /// On so many threads, at least one, however small an instruction is. The bits are the same.
    pub fn with_threads(self, threads: usize) -> Self {
        Self { threads: Threads { count: threads.max(1), worth: 1 }, ..self }
    }
}

impl Default for Simulator {
    fn default() -> Self {
        Self::new()
    }
}

impl Executor for Simulator {
    fn name(&self) -> &str {
        "simulated"
    }

    fn load(
        &self,
        architecture: &Architecture,
        program: &Arc<Program>,
    ) -> Result<Box<dyn Loaded>, ExecutorError> {
        let extent = check(architecture, program)?;
        let vector = architecture.input_vector as usize;
        let steps = Steps { architecture, program, filters: HashMap::new(), unpacked: 0 }.all()?;
        Ok(Box::new(Simulation {
            simulator: *self,
            vector,
            steps,
            features: zeros(u64::from(program.feature_words) * vector as u64)?,
            stream: zeros(extent.stream_words * vector as u64)?,
            made: zeros(extent.made)?,
            handed: zeros(extent.made)?,
            blocks: Blocks::default(),
            program: program.clone(),
        }))
    }

    fn allocate(&self, values: usize) -> Result<Box<dyn CardMemory>, ExecutorError> {
        Ok(Box::new(SimulatedMemory(zeros(values as u64)?)))
    }

    fn reaches(&self, memory: &dyn CardMemory) -> bool {
        (memory as &dyn Any).is::<SimulatedMemory>()
    }
}

/// Memory that the system gives zeroed, so that what a program never touches costs nothing.
fn zeros(values: u64) -> Result<Box<[u16]>, ExecutorError> {
    let refused = || ExecutorError::Device(format!("the host has no memory for {values} fp16 values"));
    let values = usize::try_from(values).map_err(|_| refused())?;
    bytemuck::allocation::try_zeroed_slice_box(values).map_err(|()| refused())
}

/// Checks that all filters of a program, whose extents have been checked, are blocks.
pub(crate) fn check_filters(architecture: &Architecture, program: &Program) -> Result<(), ExecutorError> {
    Steps { architecture, program, filters: HashMap::new(), unpacked: 0 }.all().map(|_| ())
}

enum Step {
    Load(Transfer),
    Store(Transfer),
    Convolve(Convolution),
    Auxiliary(Kernels),
}

/// Makes steps of instructions.
struct Steps<'a> {
    architecture: &'a Architecture,
    program: &'a Program,
    /// Slices of a layer share theirs.
    filters: HashMap<(FilterLayout, u16, u16), Arc<Filters>>,
    unpacked: u64,
}

impl Steps<'_> {
    fn all(mut self) -> Result<Vec<Step>, ExecutorError> {
        let mut steps = Vec::new();
        for (index, instruction) in self.program.instructions.iter().enumerate() {
            steps.push(match *instruction {
                Instruction::End => break,
                Instruction::Load(transfer) => Step::Load(transfer),
                Instruction::Store(transfer) => Step::Store(transfer),
                Instruction::Auxiliary(a) => {
                    Step::Auxiliary(Kernels::new(self.architecture, a, &self.program.constants))
                }
                Instruction::Convolve(c) => {
                    let wrong = |what| ExecutorError::Instruction { index, what };
                    Step::Convolve(self.convolution(c).map_err(wrong)?)
                }
            });
        }
        Ok(steps)
    }

    fn convolution(&mut self, c: Convolve) -> Result<Convolution, String> {
        let layout = FilterLayout::new(self.architecture, &c).ok_or("its filters are beyond any memory")?;
        let key = (layout, c.groups, c.out_channels);
        let filters = match self.filters.get(&key) {
            Some(filters) => filters.clone(),
            None => {
                self.unpacked += unpacked_bytes(self.architecture, &c, &layout);
                let most = UNPACKED_FACTOR * self.program.constants.len() as u64 + UNPACKED_FLOOR;
                if self.unpacked > most {
                    return Err("the filters of several instructions lie over each other".into());
                }
                let filters = Filters::unpack(self.architecture, &c, &layout, &self.program.constants)?;
                let filters = Arc::new(filters);
                self.filters.insert(key, filters.clone());
                filters
            }
        };
        Ok(Convolution::new(self.architecture, c, filters))
    }
}

struct Simulation {
    simulator: Simulator,
    vector: usize,
    steps: Vec<Step>,
    features: Box<[u16]>,
    stream: Box<[u16]>,
    /// What the instruction makes: it is written to the stream buffer when all of its input has been read.
    made: Box<[u16]>,
    /// What the chained convolution before has made.
    handed: Box<[u16]>,
    blocks: Blocks,
    program: Arc<Program>,
}

impl Simulation {
    /// The values of `count` words from word `address` on, in the features' memory.
    fn feature_range(&self, address: u32, values: usize) -> Result<std::ops::Range<usize>, ExecutorError> {
        let start = address as usize * self.vector;
        let range = start..start.saturating_add(values);
        if range.end > self.features.len() {
            return Err(ExecutorError::Device(format!(
                "values {range:?} of the features' memory were asked for, which has {}",
                self.features.len()
            )));
        }
        Ok(range)
    }
}

impl Loaded for Simulation {
    fn write(&mut self, address: u32, values: &[u16]) -> Result<(), ExecutorError> {
        let range = self.feature_range(address, values.len())?;
        self.features[range].copy_from_slice(values);
        Ok(())
    }

    fn fill(&mut self, address: u32, from: &dyn CardMemory) -> Result<(), ExecutorError> {
        let from = SimulatedMemory::of(from)?;
        self.write(address, &from.0)
    }

    fn drain(&mut self, address: u32, to: &mut dyn CardMemory) -> Result<(), ExecutorError> {
        let to = SimulatedMemory::of_mut(to)?;
        self.read(address, &mut to.0)
    }

    fn launch(&mut self) -> Result<Counters, ExecutorError> {
        let start = Instant::now();
        let constants = &*self.program.constants;
        let Simulator { set, threads } = self.simulator;
        let vector = self.vector;
        let ranges = |transfer: &Transfer| {
            let range =
                |word: u32| word as usize * vector..(word as usize + transfer.count as usize) * vector;
            (range(transfer.stream), range(transfer.memory))
        };
        // Values of a place of what is handed over.
        let mut handed_pitch = 0;
        for step in &self.steps {
            match step {
                Step::Load(transfer) => {
                    let (stream, memory) = ranges(transfer);
                    self.stream[stream].copy_from_slice(&self.features[memory]);
                }
                Step::Store(transfer) => {
                    let (stream, memory) = ranges(transfer);
                    self.features[memory].copy_from_slice(&self.stream[stream]);
                }
                Step::Convolve(convolution) => {
                    let made = &mut self.made[..convolution.made()];
                    convolution.run((set, threads), &mut self.blocks, &self.stream, constants, made);
                    handed_pitch = convolution.words() * vector;
                    if convolution.c.chained {
                        std::mem::swap(&mut self.made, &mut self.handed);
                    } else {
                        put(&mut self.stream, convolution.c.output, vector, handed_pitch, made);
                    }
                }
                Step::Auxiliary(kernels) => {
                    let a = &kernels.a;
                    let input = if a.chained {
                        Input { values: &self.handed, pitch: handed_pitch }
                    } else {
                        let values = &self.stream[a.input.address as usize * vector..];
                        Input { values, pitch: usize::from(a.input.pitch) * vector }
                    };
                    let made = &mut self.made[..kernels.made()];
                    kernels.run(threads, input, &self.stream, constants, made);
                    put(&mut self.stream, a.output, vector, usize::from(a.blocks) * vector, made);
                }
            }
        }
        Ok(Counters { host: start.elapsed(), device: None })
    }

    fn read(&mut self, address: u32, values: &mut [u16]) -> Result<(), ExecutorError> {
        let range = self.feature_range(address, values.len())?;
        values.copy_from_slice(&self.features[range]);
        Ok(())
    }
}

/// Puts places of `width` values into the stream buffer.
fn put(stream: &mut [u16], map: Map, vector: usize, width: usize, values: &[u16]) {
    for (place, values) in values.chunks_exact(width).enumerate() {
        let at = (map.address as usize + place * usize::from(map.pitch)) * vector;
        stream[at..][..width].copy_from_slice(values);
    }
}
